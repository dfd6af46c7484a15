/* SPDX-License-Identifier: MIT */
/* Stacks: classes, guards, reservations, caches, finding, high-water marks. */
#include "base/atomic.h"
#include "ctx/context.h"
#include "ctx/stack.h"
#include "os/kthread.h"
#include "os/mem.h"

#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)
#define GIB (MIB * KIB)

static struct hd__stack *take(struct hd__stack_cache *cache, unsigned klass) {
    CHECK_OK(hd__stack_reserve(klass, 1));
    return hd__stack_get(cache, klass);
}

static void give(struct hd__stack_cache *cache, struct hd__stack *s) {
    unsigned klass = s->klass;
    hd__stack_put(cache, s);
    hd__stack_unreserve(klass, 1);
}

/* ---- classes ---- */

TEST(class_is_the_next_power_of_two) {
    size_t least = 2 * hd__os_page_size() > 16 * KIB ? 2 * hd__os_page_size() : 16 * KIB;
    for (size_t bytes = 1; bytes <= GIB; bytes = bytes * 2 + 1) {
        size_t slot = hd__stack_class_bytes(hd__stack_class(bytes));
        CHECK_GE(slot, bytes);
        CHECK(slot == least || slot < 2 * bytes);
    }
    CHECK_EQ(hd__stack_class_bytes(hd__stack_class(64 * KIB)), 64 * KIB);
    CHECK_EQ(hd__stack_class_bytes(hd__stack_class(64 * KIB + 1)), 128 * KIB);
    CHECK_EQ(hd__stack_class_bytes(hd__stack_class(GIB)), GIB);
    CHECK_LT(hd__stack_class(GIB), HD__STACK_SIZES);
}

TEST(least_size_holds_a_signal_frame) {
    size_t least = hd__stack_size_min();
    CHECK_GE(least, 16 * KIB);
    CHECK_EQ(least % hd__os_page_size(), 0);
    struct hd__stack *s = take(NULL, hd__stack_class(least));
    CHECK_GE(s->size, 4 * KIB + 4096);
    give(NULL, s);
}

TEST(every_class_can_be_had) {
    for (unsigned klass = hd__stack_class(1); klass < HD__STACK_SIZES; klass++) {
        size_t slot = hd__stack_class_bytes(klass);
        struct hd__stack *s = take(NULL, klass);
        CHECK_EQ(s->klass, klass);
        CHECK_EQ(s->size, (char *)s->top - (char *)s->low);
        CHECK_GE(s->size, slot - hd__os_page_size() - 960);
        CHECK_LT(s->size, slot);
        CHECK_EQ((uintptr_t)s->top % 64, 0);
        *(volatile char *)s->low = 1;
        ((volatile char *)s->top)[-1] = 1;
        give(NULL, s);
    }
    hd__stack_release_all();
}

TEST(tops_are_coloured) {
    unsigned klass = hd__stack_class(64 * KIB);
    struct hd__stack *s[16];
    uint64_t seen = 0;
    for (int i = 0; i < 16; i++) {
        s[i] = take(NULL, klass);
        seen |= UINT64_C(1) << ((uintptr_t)s[i]->top / 64 % 64);
    }
    CHECK_EQ(__builtin_popcountll(seen), 16);
    for (int i = 0; i < 16; i++) {
        give(NULL, s[i]);
    }
}

/* ---- reuse ---- */

TEST(the_last_one_in_is_the_first_one_out) {
    unsigned klass = hd__stack_class(64 * KIB);
    struct hd__stack_cache cache = { .head = NULL };
    hd__stack_set_workers(1);
    CHECK_OK(hd__stack_reserve(klass, 3));
    struct hd__stack *a = hd__stack_get(&cache, klass);
    struct hd__stack *b = hd__stack_get(&cache, klass);
    CHECK_NE(a, b);
    hd__stack_put(&cache, a);
    hd__stack_put(&cache, b);
    CHECK_EQ(hd__stack_get(&cache, klass), b);
    CHECK_EQ(hd__stack_get(&cache, klass), a);
    hd__stack_put(&cache, a);
    hd__stack_put(&cache, b);
    hd__stack_unreserve(klass, 3);
}

TEST(a_thousand_in_turn_use_one_stack) {
    unsigned klass = hd__stack_class(64 * KIB);
    struct hd__stack_cache cache = { .head = NULL };
    struct hd__stack_stats stats;
    hd__stack_set_workers(1);
    struct hd__stack *first = take(&cache, klass);
    give(&cache, first);
    for (int i = 0; i < 1000; i++) {
        struct hd__stack *s = take(&cache, klass);
        CHECK_EQ(s, first);
        CHECK_EQ(s->owner, NULL);
        s->owner = &cache;
        give(&cache, s);
    }
    hd__stack_stats(&stats);
    CHECK_LE(stats.handed_out, 4);
    CHECK_EQ(stats.reserved, 0);
}

/* Fills caches far beyond their size and empties them; every stack must be somewhere, once. */
TEST(a_full_cache_gives_half_away) {
    for (unsigned klass = hd__stack_class(64 * KIB); klass <= hd__stack_class(8 * MIB); klass++) {
        enum { STACKS = 200 };
        struct hd__stack_cache cache = { .head = NULL };
        struct hd__stack *s[STACKS];
        hd__stack_set_workers(1);
        CHECK_OK(hd__stack_reserve(klass, STACKS));
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < STACKS; i++) {
                s[i] = hd__stack_get(&cache, klass);
                CHECK_EQ(s[i]->owner, NULL);
                s[i]->owner = &s[i];
                CHECK_LE(cache.count, hd__stack_cache_max(klass));
            }
            for (int i = 0; i < STACKS; i++) {
                CHECK_EQ(s[i]->owner, &s[i]); /* nobody got it twice */
            }
            for (int i = 0; i < STACKS; i++) {
                unsigned length = 0;
                hd__stack_put(&cache, s[i]);
                CHECK_LE(cache.count, hd__stack_cache_max(klass));
                for (struct hd__stack *at = cache.head; at != NULL; at = at->next) {
                    length++;
                }
                CHECK_EQ(length, cache.count);
            }
        }
        hd__stack_cache_drain(&cache, klass);
        CHECK_EQ(cache.head, NULL);
        CHECK_EQ(cache.count, 0);
        hd__stack_unreserve(klass, STACKS);
    }
}

/* ---- reservations ---- */

/* One worker may hold as many as a cache takes, and still every reservation is good for one. */
TEST(a_reservation_is_good_although_caches_hoard) {
    enum { WORKERS = 4, STACKS = 500 };
    unsigned klass = hd__stack_class(64 * KIB);
    struct hd__stack_cache caches[WORKERS] = { { .head = NULL } };
    static struct hd__stack *s[STACKS];
    struct test_rng rng = test_rng(1);
    unsigned held = 0;
    hd__stack_set_workers(WORKERS);
    for (unsigned long step = 0; step < test_iterations(100000); step++) {
        struct hd__stack_cache *cache = &caches[test_rng_below(&rng, WORKERS)];
        if (test_rng_below(&rng, 20) == 0) {
            cache = NULL; /* a foreign kernel thread */
        }
        /* Long swings up and down. */
        bool up = test_rng_below(&rng, 100) < (step / 2000 % 2 ? 70 : 30);
        if (up && held < STACKS) {
            s[held] = take(cache, klass);
            CHECK_EQ(s[held]->owner, NULL);
            s[held]->owner = &s[held];
            held++;
        } else if (!up && held > 0) {
            unsigned i = (unsigned)test_rng_below(&rng, held);
            CHECK_EQ(s[i]->owner, &s[i]);
            give(cache, s[i]);
            if (i != --held) {
                s[i] = s[held];
                s[i]->owner = &s[i];
            }
        }
    }
    struct hd__stack_stats stats;
    hd__stack_stats(&stats);
    CHECK_EQ(stats.reserved, held);
    CHECK_GE(stats.capacity, held + WORKERS * hd__stack_cache_max(klass));
}

struct hammer {
    unsigned long steps;
    uint64_t stream;
};

static void hammer_worker(void *arg) {
    struct hammer *hammer = arg;
    unsigned klass = hd__stack_class(64 * KIB);
    struct hd__stack_cache cache = { .head = NULL };
    struct hd__stack *mine[100];
    struct test_rng rng = test_rng(hammer->stream);
    unsigned held = 0;
    for (unsigned long step = 0; step < hammer->steps; step++) {
        if (test_rng_below(&rng, 2) && held < 100) {
            struct hd__stack *s = take(&cache, klass);
            s->owner = hammer;
            *(uint64_t *)s->low = hammer->stream;
            mine[held++] = s;
        } else if (held > 0) {
            struct hd__stack *s = mine[--held];
            CHECK_EQ(s->owner, hammer);
            CHECK_EQ(*(uint64_t *)s->low, hammer->stream);
            give(&cache, s);
        }
    }
    while (held > 0) {
        give(&cache, mine[--held]);
    }
    hd__stack_cache_drain(&cache, klass);
}

TEST(kernel_threads_share_the_pool) {
    enum { THREADS = 4 };
    struct hd__os_kthread threads[THREADS];
    struct hammer hammers[THREADS];
    hd__stack_set_workers(THREADS);
    for (unsigned i = 0; i < THREADS; i++) {
        hammers[i] = (struct hammer){ test_iterations(50000), 10 + i };
        CHECK_OK(hd__os_kthread_create("hammer", hammer_worker, &hammers[i], &threads[i]));
    }
    for (int i = 0; i < THREADS; i++) {
        hd__os_kthread_join(&threads[i]);
    }
    struct hd__stack_stats stats;
    hd__stack_stats(&stats);
    CHECK_EQ(stats.reserved, 0);
}

TEST(no_address_space_is_an_error_and_nothing_is_lost) {
    if (TEST_ASAN || TEST_TSAN || test_under_qemu() || test_under_valgrind()) {
        SKIP("the tool itself needs address space without limit");
    }
    unsigned klass = hd__stack_class(MIB);
    struct rlimit limit = { GIB, GIB };
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    CHECK_ERR(hd__stack_reserve(klass, 2000), -ENOMEM);
    /* What little there is can still be had, if by smaller slabs. */
    unsigned got = 0;
    while (hd__stack_reserve(klass, 1) == 0) {
        got++;
    }
    CHECK_GT(got, 500);
    CHECK_LT(got, 1024);
    struct hd__stack_stats stats;
    hd__stack_stats(&stats);
    CHECK_EQ(stats.reserved, got);
    for (unsigned i = 0; i < got; i++) {
        struct hd__stack *s = hd__stack_get(NULL, klass);
        ((volatile char *)s->top)[-1] = 1;
    }
    hd__stack_unreserve(klass, got);
}

static unsigned lines_of_maps(void) {
    char text[4096];
    unsigned lines = 0;
    size_t n;
    FILE *maps = fopen("/proc/self/maps", "re");
    CHECK(maps != NULL);
    while ((n = fread(text, 1, sizeof text, maps)) > 0) {
        for (size_t i = 0; i < n; i++) {
            lines += text[i] == '\n';
        }
    }
    fclose(maps);
    return lines;
}

TEST(many_stacks_take_few_mappings) {
    unsigned klass = hd__stack_class(64 * KIB);
    unsigned n = (unsigned)test_iterations(100000), before = lines_of_maps();
    if (TEST_TSAN || test_under_qemu()) {
        SKIP("the tool maps shadow memory beside");
    }
    CHECK_OK(hd__stack_reserve(klass, n));
    for (unsigned i = 0; i < n; i++) {
        hd__stack_get(NULL, klass);
    }
    struct hd__stack_stats stats;
    hd__stack_stats(&stats);
    CHECK_EQ(stats.handed_out, n);
    CHECK_LE(stats.slabs, 7 + n / 4096 + 1);
    if (strcmp(hd__stack_guard_kind(), "madv-guard") != 0) {
        SKIP("this kernel has no guards without mappings");
    }
    CHECK_EQ(stats.unguarded, 0);
    CHECK_LE(lines_of_maps(), before + 2 * stats.slabs + 10);
}

TEST(release_begins_anew) {
    unsigned klass = hd__stack_class(64 * KIB);
    unsigned before = lines_of_maps();
    for (int round = 0; round < 3; round++) {
        struct hd__stack_stats stats;
        struct hd__stack *s = take(NULL, klass);
        struct hd__stack_hit hit;
        char *in_it = s->low;
        CHECK(hd__stack_find(in_it, &hit));
        hd__stack_put(NULL, s);
        hd__stack_release_all();
        CHECK(!hd__stack_find(in_it, &hit));
        hd__stack_stats(&stats);
        CHECK_EQ(stats.capacity, 0);
        CHECK_EQ(stats.reserved, 0);
        CHECK_EQ(stats.mapped_bytes, 0);
    }
    if (!TEST_ASAN && !TEST_TSAN) { /* which map memory of their own */
        CHECK_LE(lines_of_maps(), before + 2);
    }
}

/* ---- guards ---- */

static void check_guard(struct hd__stack *s) {
    struct hd__stack_hit hit;
    char *guard = (char *)s->low - 1;
    CHECK(hd__stack_find(guard, &hit));
    CHECK(hit.in_guard);
    CHECK_EQ(hit.stack, s);
    CHECK_EQ(hit.slot_bytes, hd__stack_class_bytes(s->klass));
    CHECK_EQ((char *)hit.slot_low, (char *)s->low - hd__os_page_size());
    CHECK(hd__stack_find(s->low, &hit));
    CHECK(!hit.in_guard);
    CHECK_EQ(hit.stack, s);
    CHECK(hd__stack_find((char *)s->top - 1, &hit));
    CHECK(!hit.in_guard);
    CHECK_DEATH("", *(volatile char *)guard = 1);
    CHECK_DEATH("", *(volatile char *)hit.slot_low = 1);
}

static void check_guards_of_kind(enum hd__stack_guard kind, const char *name) {
    unsigned klass = hd__stack_class(64 * KIB);
    struct hd__stack *s[5];
    hd__stack_guard_force(kind);
    for (int i = 0; i < 5; i++) {
        s[i] = take(NULL, klass);
    }
    if (strcmp(hd__stack_guard_kind(), name) != 0) {
        SKIP("there is no %s here; guards are %s", name, hd__stack_guard_kind());
    }
    for (int i = 0; i < 5; i++) {
        CHECK(s[i]->guarded);
        check_guard(s[i]);
    }
}

TEST(guards_by_advice_fault) {
    check_guards_of_kind(HD__GUARD_MADVISE, "madv-guard");
}

TEST(guards_by_protection_fault) {
    check_guards_of_kind(HD__GUARD_MPROTECT, "mprotect");
}

TEST(guards_by_protection_leave_mappings_to_the_program) {
    enum { STACKS = 20000 };
    unsigned klass = hd__stack_class(16 * KIB);
    if (test_under_qemu() || test_under_valgrind() || TEST_TSAN) {
        SKIP("takes too many mappings there");
    }
    hd__stack_guard_force(HD__GUARD_MPROTECT);
    CHECK_OK(hd__stack_reserve(klass, STACKS));
    for (int i = 0; i < STACKS; i++) {
        struct hd__stack *s = hd__stack_get(NULL, klass);
        ((volatile char *)s->top)[-1] = 1;
    }
    CHECK_LT(lines_of_maps(), 40000);
    CHECK_STR_EQ(hd__stack_guard_kind(), "none");
    struct hd__stack_stats stats;
    hd__stack_stats(&stats);
    CHECK_EQ(stats.unguarded, STACKS - 16000);
    hd__stack_release_all();
    CHECK_STR_EQ(hd__stack_guard_kind(), "madv-guard");
}

TEST(without_guards_all_else_works) {
    struct hd__stack_hit hit;
    hd__stack_guard_force(HD__GUARD_NONE);
    struct hd__stack *s = take(NULL, hd__stack_class(64 * KIB));
    CHECK(!s->guarded);
    CHECK(hd__stack_find((char *)s->low - 1, &hit));
    CHECK(hit.in_guard);
    *(volatile char *)s->low = 1;
    give(NULL, s);
}

TEST(find_knows_its_own) {
    struct hd__stack_hit hit;
    int local = 0;
    struct hd__stack *s = take(NULL, hd__stack_class(64 * KIB));
    CHECK(!hd__stack_find(&local, &hit));
    CHECK(!hd__stack_find(NULL, &hit));
    CHECK(!hd__stack_find((void *)UINTPTR_MAX, &hit));
    /* A slot that nobody has had yet. */
    CHECK(hd__stack_find((char *)s->top + 40 * 64 * KIB, &hit));
    CHECK_EQ(hit.stack, NULL);
    give(NULL, s);
}

/* ---- high-water marks ---- */

struct digger {
    struct hd__context self, back;
    size_t depth;
};

/* Uses the stack to about `depth` bytes below where it begins. */
static HD__NOINLINE void dig(const struct digger *d, const char *begin) {
    volatile char frame[200];
    frame[0] = 1;
    if ((size_t)(begin - (const char *)frame) < d->depth) {
        dig(d, begin);
    }
    frame[1] = frame[0];
}

static void digger_entry(void *pass, void *arg) {
    struct digger *d = arg;
    dig(d, __builtin_frame_address(0));
    hd__ctx_jump(&d->self, &d->back, pass);
}

static HD__NOINLINE void run_digger(struct hd__stack *s, size_t depth) {
    static struct digger d;
    d.depth = depth;
    hd__ctx_adopt(&d.back);
    hd__ctx_make(&d.self, s, digger_entry, &d);
    hd__ctx_switch(&d.back, &d.self, NULL);
}

TEST(painted_mark_is_exact) {
    if (TEST_ASAN) {
        SKIP("frames are larger there, or elsewhere");
    }
    struct hd__stack *s = take(NULL, hd__stack_class(64 * KIB));
    bool exact = false;
    hd__stack_paint(s);
    CHECK_EQ(hd__stack_high_water(s, true, &exact), 0);
    CHECK(exact);
    size_t last = 0;
    for (size_t depth = 1000; depth < 50000; depth += 7000) {
        run_digger(s, depth);
        size_t mark = hd__stack_high_water(s, true, &exact);
        CHECK_GE(mark, depth);
        CHECK_LT(mark, depth + 2000);
        CHECK_GT(mark, last);
        last = mark;
    }
    run_digger(s, 100);
    CHECK_EQ(hd__stack_high_water(s, true, &exact), last);
    hd__stack_paint(s);
    CHECK_EQ(hd__stack_high_water(s, true, &exact), 0);
    give(NULL, s);
}

TEST(unpainted_mark_counts_pages) {
    if (test_under_qemu() || TEST_ASAN) {
        SKIP("what is in memory is not what was touched there");
    }
    struct hd__stack *s = take(NULL, hd__stack_class(256 * KIB));
    size_t page = hd__os_page_size();
    bool exact = true;
    CHECK_EQ(hd__stack_high_water(s, false, &exact), 0);
    CHECK(!exact);
    run_digger(s, 10 * page);
    size_t mark = hd__stack_high_water(s, false, &exact);
    CHECK_GE(mark, 10 * page);
    CHECK_LE(mark, 13 * page);
    CHECK_LE(mark, s->size);
    *(volatile char *)s->low = 1;
    CHECK_EQ(hd__stack_high_water(s, false, &exact), s->size);
    give(NULL, s);
}
