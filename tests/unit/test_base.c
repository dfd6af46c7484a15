/* SPDX-License-Identifier: MIT */
/* The base layer: formatting, checks, lists, the spin lock. */
#include "base/base.h"
#include "base/check.h"
#include "base/list.h"
#include "base/spin.h"
#include "os/kthread.h"

#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- formatting: everything that it understands must read as the C library's does. ---- */

#define FORMATS_LIKE_PRINTF(...)                                                                   \
    do {                                                                                           \
        char ours[256], theirs[256];                                                               \
        size_t n = hd__format(ours, sizeof ours, __VA_ARGS__);                                     \
        int m = snprintf(theirs, sizeof theirs, __VA_ARGS__);                                      \
        CHECK_STR_EQ(ours, theirs);                                                                \
        CHECK_EQ(n, m);                                                                            \
    } while (0)

TEST(format_agrees_with_printf) {
    FORMATS_LIKE_PRINTF("plain text, 100%%");
    FORMATS_LIKE_PRINTF("%s and %s", "one", "");
    FORMATS_LIKE_PRINTF("%c%c", 'a', '%');
    FORMATS_LIKE_PRINTF("%d %d %d %i", 0, INT32_MAX, INT32_MIN, -7);
    FORMATS_LIKE_PRINTF("%u %x", UINT32_MAX, 0xdeadbeefu);
    FORMATS_LIKE_PRINTF("%ld %lld %lu %llu", INT64_MIN + 0L, (long long)INT64_MAX, UINT64_MAX + 0UL,
                        (unsigned long long)UINT64_MAX);
    FORMATS_LIKE_PRINTF("%zu %zd %lx %jd", SIZE_MAX, (ssize_t)-1, 0x123456789abcUL, (intmax_t)-5);
    FORMATS_LIKE_PRINTF("%p", (void *)&errno);
    FORMATS_LIKE_PRINTF("%5d|%-5d|%05d|%5s|%-5s|", -42, 42, -42, "ab", "ab");
    FORMATS_LIKE_PRINTF("%08x|%-8x|%3u|%20llu", 0xbeefu, 0xbeefu, 12345u, 1ull);
    FORMATS_LIKE_PRINTF("%.3s|%.*s|%.0s|%10.2s", "abcdef", 2, "xyz", "gone", "right");
    FORMATS_LIKE_PRINTF("%*d", 7, 3);
    FORMATS_LIKE_PRINTF("%hhu %hd", (unsigned char)200, (short)-3);
}

TEST(format_cuts_and_terminates) {
    char buf[8];
    memset(buf, 'x', sizeof buf);
    CHECK_EQ(hd__format(buf, 4, "%s", "abcdefgh"), 8);
    CHECK_STR_EQ(buf, "abc");
    CHECK_EQ(buf[4], 'x');
    CHECK_EQ(hd__format(buf, 1, "%d", 12345), 5);
    CHECK_STR_EQ(buf, "");
    CHECK_EQ(hd__format(NULL, 0, "%d", 12345), 5);
}

TEST(format_survives_null_and_nonsense) {
    char buf[64];
    const char *volatile null_text = NULL;
    const char *volatile nonsense = "50% of %q and a last %";
    hd__format(buf, sizeof buf, "%s", null_text);
    CHECK_STR_EQ(buf, "(null)");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
    hd__format(buf, sizeof buf, nonsense);
#pragma GCC diagnostic pop
    CHECK_STR_HAS(buf, "%q and a last %");
}

/* ---- checks ---- */

TEST(fatal_writes_one_line_and_aborts) {
    CHECK_DEATH("heddle: no 7 of \"x y\"\n", hd__fatal("no %d of \"%s\"", 7, "x\ny"));
}

TEST(fatal_cuts_what_is_too_long) {
    static char text[3 * HD__MESSAGE_BYTES];
    memset(text, 'a', sizeof text - 1);
    CHECK_DEATH("aaaa\n", hd__fatal("%s", text));
}

TEST(check_passes_and_fails) {
    HD__CHECK(1 + 1 == 2, "arithmetic");
    CHECK_DEATH("heddle: hd_thing(): count is 3, at most 2", {
        volatile int count = 3;
        HD__CHECK(count <= 2, "hd_thing(): count is %d, at most %d", count, 2);
    });
}

TEST(assertions_in_debug_builds_only) {
#ifdef HD_DEBUG
    CHECK_DEATH("assertion failed: count == 2", {
        volatile int count = 3;
        HD__ASSERT(count == 2);
    });
#else
    int evaluated = 0;
    HD__ASSERT(++evaluated == 7);
    CHECK_EQ(evaluated, 0);
#endif
}

TEST(print_leaves_errno_alone) {
    errno = ENOTTY;
    hd__print_fd2("%s", "");
    CHECK_EQ(errno, ENOTTY);
}

/* ---- arithmetic ---- */

TEST(log2_ceil) {
    CHECK_EQ(hd__log2_ceil(0), 0);
    CHECK_EQ(hd__log2_ceil(1), 0);
    CHECK_EQ(hd__log2_ceil(2), 1);
    for (unsigned k = 2; k < 63; k++) {
        CHECK_EQ(hd__log2_ceil((UINT64_C(1) << k) - 1), k);
        CHECK_EQ(hd__log2_ceil(UINT64_C(1) << k), k);
        CHECK_EQ(hd__log2_ceil((UINT64_C(1) << k) + 1), k + 1);
    }
}

TEST(rounding) {
    CHECK_EQ(HD__ROUND_UP(0u, 16u), 0u);
    CHECK_EQ(HD__ROUND_UP(1u, 16u), 16u);
    CHECK_EQ(HD__ROUND_UP(16u, 16u), 16u);
    CHECK_EQ(HD__ROUND_DOWN(31u, 16u), 16u);
}

/* ---- lists, against an array that does the same. ---- */

struct item {
    int value;
    struct hd__link link;
};

static int item_value(struct hd__link *link) {
    return link == NULL ? -1 : hd__container_of(link, struct item, link)->value;
}

TEST(list_keeps_order) {
    struct hd__list list;
    struct item items[3] = { { .value = 0 }, { .value = 1 }, { .value = 2 } };
    hd__list_init(&list);
    CHECK(hd__list_empty(&list));
    CHECK_EQ(hd__list_pop_front(&list), NULL);
    hd__list_push_back(&list, &items[1].link);
    hd__list_push_back(&list, &items[2].link);
    hd__list_push_front(&list, &items[0].link);
    CHECK_EQ(item_value(hd__list_next(&list, hd__list_first(&list))), 1);
    CHECK(hd__link_is_linked(&items[1].link));
    hd__list_remove(&items[1].link);
    CHECK(!hd__link_is_linked(&items[1].link));
    CHECK_EQ(item_value(hd__list_pop_front(&list)), 0);
    CHECK_EQ(hd__list_next(&list, hd__list_first(&list)), NULL);
    CHECK_EQ(item_value(hd__list_pop_front(&list)), 2);
    CHECK(hd__list_empty(&list));
}

TEST(list_against_an_array) {
    enum { ITEMS = 24 };
    struct item items[ITEMS] = { { 0 } };
    int model[ITEMS], length = 0;
    struct hd__list list;
    struct test_rng rng = test_rng(1);
    hd__list_init(&list);
    for (int i = 0; i < ITEMS; i++) {
        items[i].value = i;
    }
    for (unsigned long step = 0; step < test_iterations(20000); step++) {
        int i = (int)test_rng_below(&rng, ITEMS);
        if (hd__link_is_linked(&items[i].link)) {
            int at = 0;
            while (model[at] != i) {
                at++;
            }
            memmove(model + at, model + at + 1, sizeof(int) * (size_t)(--length - at));
            hd__list_remove(&items[i].link);
        } else if (test_rng_below(&rng, 2)) {
            model[length++] = i;
            hd__list_push_back(&list, &items[i].link);
        } else {
            memmove(model + 1, model, sizeof(int) * (size_t)length++);
            model[0] = i;
            hd__list_push_front(&list, &items[i].link);
        }
        int at = 0;
        for (struct hd__link *l = hd__list_first(&list); l != NULL; l = hd__list_next(&list, l)) {
            CHECK_EQ(item_value(l), model[at++]);
        }
        CHECK_EQ(at, length);
    }
}

/* ---- the spin lock ---- */

TEST(spin_trylock) {
    hd__spin s = HD__SPIN_INIT;
    CHECK(!hd__spin_is_locked(&s));
    CHECK(hd__spin_trylock(&s));
    CHECK(hd__spin_is_locked(&s));
    CHECK(!hd__spin_trylock(&s));
    hd__spin_unlock(&s);
    hd__spin_lock(&s);
    CHECK(!hd__spin_trylock(&s));
    hd__spin_unlock(&s);
}

struct spin_shared {
    hd__spin lock;
    unsigned long count; /* not atomic: the lock is all that guards it */
    unsigned long rounds;
};

static void spin_worker(void *arg) {
    struct spin_shared *shared = arg;
    for (unsigned long i = 0; i < shared->rounds; i++) {
        hd__spin_lock(&shared->lock);
        shared->count++;
        hd__spin_unlock(&shared->lock);
    }
}

/* More threads than CPUs, so that holders are descheduled. */
TEST(spin_excludes) {
    enum { THREADS = 5 };
    struct spin_shared shared = { .rounds = test_iterations(100000) };
    struct hd__os_kthread threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK_OK(hd__os_kthread_create("spin", spin_worker, &shared, &threads[i]));
    }
    for (int i = 0; i < THREADS; i++) {
        hd__os_kthread_join(&threads[i]);
    }
    CHECK_EQ(shared.count, THREADS * shared.rounds);
}
