/* SPDX-License-Identifier: MIT */
/* Stacks of huge pages: where they lie, what pages they really have, their guards, and what happens
 * where there are none. */
#include "runtime_test.h"

#include "ctx/stack.h"

#include <stdio.h>

#define HUGE ((size_t)2 << 20)

static void needs_pages_of_4k(void) {
    if (sysconf(_SC_PAGESIZE) != 4096)
        SKIP("huge pages are not of 2 MiB here");
}

/* The number in the line `field` of what the kernel tells about the mapping of an address, KiB. */
static size_t smaps_kib(const void *address, const char *field) {
    char line[512];
    bool here = false;
    size_t kib = SIZE_MAX;
    FILE *smaps = fopen("/proc/self/smaps", "re");
    CHECK(smaps != NULL);
    while (kib == SIZE_MAX && fgets(line, sizeof line, smaps)) {
        uintptr_t low, end;
        if (sscanf(line, "%lx-%lx ", &low, &end) == 2)
            here = (uintptr_t)address >= low && (uintptr_t)address < end;
        else if (here && strncmp(line, field, strlen(field)) == 0)
            CHECK_EQ(sscanf(line + strlen(field), ": %zu", &kib), 1);
    }
    fclose(smaps);
    CHECK_NE(kib, SIZE_MAX);
    return kib;
}

static bool transparent_ones(void) {
    char text[128] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
    if (!file)
        return false;
    bool read = fgets(text, sizeof text, file) != NULL;
    fclose(file);
    return read && !strstr(text, "[never]");
}

struct seen {
    const char *kind;
    size_t size, huge_kib, set_aside_kib;
    void *low;
};

/* Big frames: the kernel is asked while the lowest page of the stack is still untouched. */
static void *see(void *arg) {
    struct seen *s = arg;
    struct hd__stack_hit hit;
    char here = 0;
    CHECK(hd__stack_find(&here, &hit) || TEST_ASAN);
    s->kind = hd_stack_huge_kind();
    if (hit.stack) {
        s->size = hit.stack->size;
        s->low = hit.stack->low;
    }
    return NULL;
}

static void *see_and_ask(void *arg) {
    struct seen *s = arg;
    see(arg);
    if (s->low && !test_under_qemu() && !test_under_valgrind()) {
        char *inside = (char *)s->low + s->size / 2;
        s->huge_kib = smaps_kib(inside, "AnonHugePages");
        s->set_aside_kib = smaps_kib(inside, "Private_Hugetlb");
    }
    return NULL;
}

static struct seen look_at(unsigned flags, size_t size) {
    struct seen s = {.kind = NULL};
    hd_thread *t;
    CHECK_OK(hd_spawn(&t, HD_ATTR(.flags = flags, .stack_size = size), see_and_ask, &s));
    join(t);
    CHECK(s.kind != NULL);
    return s;
}

static void check_place(const struct seen *s, size_t size) {
    if (TEST_ASAN) /* whose locals may lie elsewhere */
        return;
    CHECK_EQ((uintptr_t)s->low % HUGE, 0);
    CHECK_GE(s->size, size - 1024);
    CHECK_LE(s->size, size);
}

RUNTIME_TEST(ordinary_stacks, 2) {
    CHECK_STR_EQ(look_at(0, 0).kind, "ordinary");
    CHECK_STR_EQ(look_at(0, HUGE).kind, "ordinary");
    return 0;
}

TEST(a_foreign_thread_has_none) {
    CHECK_EQ(hd_stack_huge_kind(), NULL);
}

RUNTIME_TEST(transparent_ones_or_it_says_so, 2) {
    needs_pages_of_4k();
    const size_t sizes[] = {0, hd_stack_min(), HUGE, HUGE + 1, 8 * HUGE};
    for (int i = 0; i < 5; i++) {
        struct seen s = look_at(HD_ATTR_STACK_HUGE, sizes[i]);
        test_note("%zu bytes: %s, %zu KiB huge", sizes[i], s.kind, s.huge_kib);
        check_place(&s, i < 3 ? HUGE : i == 3 ? 2 * HUGE : 8 * HUGE);
        CHECK(strcmp(s.kind, "transparent") == 0 || strcmp(s.kind, "missed") == 0);
        if (strcmp(s.kind, "transparent") == 0 && !test_under_qemu() && !test_under_valgrind())
            CHECK_GE(s.huge_kib, TEST_ASAN ? 0 : 2048);
    }
    if (!transparent_ones())
        SKIP("transparent huge pages are turned off here");
    return 0;
}

static size_t set_aside(void) {
    char line[256];
    size_t n = 0, more = 0;
    FILE *info = fopen("/proc/meminfo", "re");
    while (info && fgets(line, sizeof line, info))
        (void)!sscanf(line, "HugePages_Free: %zu", &n);
    if (info)
        fclose(info);
    FILE *overcommit = fopen("/proc/sys/vm/nr_overcommit_hugepages", "re");
    if (overcommit) {
        (void)!fscanf(overcommit, "%zu", &more);
        fclose(overcommit);
    }
    return n + more;
}

RUNTIME_TEST(explicit_ones_or_it_says_so, 2) {
    needs_pages_of_4k();
    size_t there = set_aside();
    struct seen s = look_at(HD_ATTR_STACK_HUGETLB, HUGE);
    test_note("%zu set aside: %s, %zu KiB", there, s.kind, s.set_aside_kib);
    check_place(&s, HUGE);
    if (there == 0) {
        CHECK(strcmp(s.kind, "transparent") == 0 || strcmp(s.kind, "missed") == 0);
        SKIP("no huge pages are set aside here");
    }
    CHECK(strcmp(s.kind, "explicit") == 0 || test_under_qemu() || test_under_valgrind());
    if (!test_under_qemu() && !TEST_ASAN)
        CHECK_EQ(s.set_aside_kib, 2048);
    return 0;
}

/* ---- many, trimmed, and counted ---- */

static void *dig_and_see(void *arg) {
    volatile char frame[100 * 1024];
    for (size_t i = 0; i < sizeof frame; i += 1024)
        frame[i] = 1;
    hd_yield();
    return see(arg);
}

static void run_many(unsigned flags) {
    enum { N = 30 };
    hd_thread *t[N];
    struct seen s[N];
    memset(s, 0, sizeof s);
    for (int i = 0; i < N; i++)
        CHECK_OK(hd_spawn(&t[i], HD_ATTR(.flags = flags | (i % 7 ? 0 : HD_ATTR_PAINT_STACK)),
                          dig_and_see, &s[i]));
    for (int i = 0; i < N; i++) {
        join(t[i]);
        check_place(&s[i], HUGE);
    }
}

RUNTIME_TEST(many_are_trimmed_and_counted, 2) {
    needs_pages_of_4k();
    for (int round = 0; round < 3; round++) {
        run_many(HD_ATTR_STACK_HUGE);
        run_many(HD_ATTR_STACK_HUGETLB);
        run_many(HD_ATTR_STACK_HUGE | HD_ATTR_STACK_HUGETLB);
        struct hd_metrics m = HD_METRICS_INIT;
        CHECK_OK(hd_metrics_get(&m));
        CHECK_GT(m.stacks_explicit + m.stacks_transparent + m.stacks_missed, 0);
        size_t released = hd_trim();
        struct hd_metrics n = HD_METRICS_INIT;
        CHECK_OK(hd_metrics_get(&n));
        CHECK_LE(n.stacks_transparent + n.stacks_missed, 4); /* those that were not idle */
        CHECK_EQ(n.stacks_explicit, m.stacks_explicit);
        if (!test_under_qemu() && !test_under_valgrind())
            CHECK_GT(released, 100 * 1024);
    }
    return 0;
}

/* ---- guards ---- */

__attribute__((noinline, no_sanitize("address", "thread", "undefined"))) static unsigned
recurse(unsigned depth) {
    volatile unsigned char frame[1000];
    frame[depth % 1000] = (unsigned char)depth;
    if (depth == UINT32_MAX)
        return 0;
    return recurse(depth + 1) + frame[depth % 1000];
}

static volatile size_t deepest = 0;

/* A frame that jumps over any guard of a page. */
__attribute__((noinline, no_sanitize("address", "thread", "undefined"))) static unsigned
big_frame(void) {
    volatile unsigned char frame[3 << 20];
    frame[deepest] = 1;
    return frame[deepest];
}

static void *go_deep(void *arg) {
    return (char *)arg + recurse(0);
}

static void *go_wide(void *arg) {
    return (char *)arg + big_frame();
}

struct overflow {
    unsigned flags;
    hd_fn fn;
};

static int overflow_one(void *arg) {
    const struct overflow *o = arg;
    hd_thread *t;
    CHECK_OK(hd_spawn(&t, HD_ATTR(.name = "deep", .flags = o->flags), o->fn, NULL));
    return hd_join(t, NULL);
}

static void run_overflow(void *arg) {
    hd_run(HD_CONFIG(.workers = 1), overflow_one, arg);
}

TEST(guards_lie_outside_and_hold) {
    if (test_under_valgrind() || test_under_qemu())
        SKIP("the tool has its own word on faults");
    needs_pages_of_4k();
    struct overflow cases[] = {
        {HD_ATTR_STACK_HUGE, go_deep},
        {HD_ATTR_STACK_HUGE, go_wide},
        {HD_ATTR_STACK_HUGETLB, go_deep},
        {HD_ATTR_STACK_HUGETLB, go_wide},
    };
    for (int i = 0; i < 4; i++) {
        struct child *c = calloc(1, sizeof *c);
        child_run(c, run_overflow, &cases[i]);
        child_check_fatal(c, "'deep' ran over the end of its stack of 2097152 bytes");
        free(c);
    }
}
