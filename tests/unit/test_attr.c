/* SPDX-License-Identifier: MIT */
/* Attributes of a thread: which are valid, how option structs grow, and what a stack holds. */
#include "runtime_test.h"

#include <limits.h>

static void *echo(void *arg) {
    return arg;
}

/* 0: started and joined. */
static int try_attr(const struct hd_attr *attr) {
    hd_thread *t = NULL;
    int object;
    int err = hd_spawn(&t, attr, echo, &object);
    if (err == 0)
        CHECK_EQ(join(t), &object);
    else
        CHECK_EQ(t, NULL);
    return err;
}

RUNTIME_TEST(attributes_in_range, 2) {
    for (int priority = 0; priority <= 20; priority++)
        CHECK_OK(try_attr(HD_ATTR(.priority = priority)));
    int here = hd_numa_current_node() + 1;
    CHECK_OK(try_attr(HD_ATTR(.numa_node = here)));
    for (int migration = HD_MIGRATE_DEFAULT; migration <= HD_MIGRATE_CACHE; migration++)
        CHECK_OK(try_attr(HD_ATTR(.migration = migration)));
    for (int preempt = HD_PREEMPT_DEFAULT; preempt <= HD_PREEMPT_OFF; preempt++)
        CHECK_OK(try_attr(HD_ATTR(.preempt = preempt)));
    for (int state = HD_STATE_DEFAULT; state <= HD_STATE_NONE; state++)
        CHECK_OK(try_attr(HD_ATTR(.fpu = state, .vector = HD_STATE_NONE - state)));
    CHECK_OK(try_attr(HD_ATTR(.flags = HD_ATTR_PAINT_STACK)));
    CHECK_OK(try_attr(HD_ATTR(.name = "everything", .stack_size = 128 * 1024, .priority = 20,
                              .numa_node = here, .migration = HD_MIGRATE_NODE,
                              .preempt = HD_PREEMPT_OFF, .flags = HD_ATTR_PAINT_STACK)));
    CHECK_OK(try_attr(HD_ATTR()));
    return 0;
}

RUNTIME_TEST(attributes_out_of_range, 2) {
    hd_cpuset none = {{0}};
    CHECK_ERR(try_attr(HD_ATTR(.priority = -1)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.priority = 21)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.numa_node = -1)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.numa_node = INT_MAX)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.numa_node = (int)hd_numa_node_count() + 1)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.migration = -1)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.migration = HD_MIGRATE_CACHE + 1)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.preempt = -1)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.preempt = HD_PREEMPT_OFF + 1)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.flags = 8)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.flags = 1u << 31)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.fpu = -1)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.fpu = HD_STATE_NONE + 1)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.vector = -1)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.vector = HD_STATE_NONE + 1)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.stack_size = 1)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.stack_size = hd_stack_min() - 1)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.stack_size = ((size_t)1 << 30) + 1)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.stack_size = SIZE_MAX)), -EINVAL);
    CHECK_ERR(try_attr(HD_ATTR(.cpus = &none)), -EINVAL);
    /* What failed left nothing behind: the next one is an ordinary thread. */
    CHECK_ERR(try_attr(HD_ATTR(.name = "never", .flags = 64)), -EINVAL);
    hd_thread *t = spawn(echo, NULL);
    CHECK_STR_EQ(hd_thread_name(t), "");
    join(t);
    return 0;
}

/* A program built against an older library has a shorter struct, one against a newer a longer. */
RUNTIME_TEST(attributes_of_other_versions, 2) {
    struct {
        struct hd_attr known;
        uint64_t more[4];
    } newer = {.known = {.size = sizeof newer, .name = "newer"}};
    CHECK_OK(try_attr(&newer.known));
    newer.more[3] = 1; /* asks for what this library does not know */
    CHECK_ERR(try_attr(&newer.known), -EINVAL);

    struct hd_attr older = {.size = offsetof(struct hd_attr, priority), .name = "older",
                            .priority = 99 /* beyond its end: not looked at */};
    CHECK_OK(try_attr(&older));
    struct hd_attr bad = {.size = 0};
    CHECK_ERR(try_attr(&bad), -EINVAL);
    bad.size = sizeof(size_t);
    CHECK_ERR(try_attr(&bad), -EINVAL);
    bad.size = SIZE_MAX;
    CHECK_ERR(try_attr(&bad), -EINVAL);
    return 0;
}

/* ---- stacks ---- */

static void *usage(void *arg) {
    CHECK_OK(hd_stack_usage(arg));
    return NULL;
}

static struct hd_stack_usage usage_of(const struct hd_attr *attr) {
    struct hd_stack_usage u = {0, 0, false};
    hd_thread *t;
    CHECK_OK(hd_spawn(&t, attr, usage, &u));
    join(t);
    return u;
}

RUNTIME_TEST(stack_sizes, 2) {
    CHECK_GE(hd_stack_min(), 4096);
    CHECK_LE(hd_stack_min(), 64 * 1024);
    size_t guard_and_colour = (size_t)sysconf(_SC_PAGESIZE) + 1024;
    CHECK_GE(usage_of(NULL).size, 64 * 1024 - guard_and_colour);
    size_t sizes[] = {hd_stack_min(), hd_stack_min() + 1, 64 * 1024,  64 * 1024 + 1, 100000,
                      1 << 20,        (1 << 20) + 4095,   16 << 20,   (size_t)1 << 30};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct hd_stack_usage u = usage_of(HD_ATTR(.stack_size = sizes[i]));
        CHECK_GE(u.size, sizes[i] - guard_and_colour);
        CHECK_GT(u.high_water, 0);
        CHECK_LE(u.high_water, u.size);
    }
    return 0;
}

static int default_stack(void *arg) {
    *(size_t *)arg = usage_of(NULL).size;
    return 0;
}

TEST(the_runtime_has_a_default_stack) {
    size_t size = 0;
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .stack_size = 1 << 20), default_stack, &size));
    CHECK_GE(size, (1 << 20) - 64 * 1024 - 1024);
    setenv("HEDDLE_STACK_SIZE", "512k", 1);
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1), default_stack, &size));
    CHECK_GE(size, 512 * 1024 - 64 * 1024 - 1024);
    CHECK_LT(size, 1 << 20);
    /* The program's own word comes first. */
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .stack_size = 64 * 1024), default_stack, &size));
    CHECK_LT(size, 512 * 1024 - 64 * 1024);
}

/* Stands on so much stack, all of it touched. */
__attribute__((noinline, no_sanitize("address"))) static unsigned stand_on(size_t bytes) {
    enum { FRAME = 4096 };
    volatile unsigned char frame[FRAME];
    for (size_t i = 0; i < FRAME; i += 64)
        frame[i] = (unsigned char)(bytes + i);
    unsigned below = bytes > FRAME ? stand_on(bytes - FRAME) : 0;
    hd_yield(); /* also with the stack nearly full */
    return below + frame[bytes % FRAME / 64 * 64];
}

static void *use_most_of_it(void *arg) {
    struct hd_stack_usage *u = arg;
    CHECK_OK(hd_stack_usage(u));
    /* What an instrumented frame takes beyond its variables is not known. */
    size_t instrumented = TEST_ASAN || TEST_TSAN ? 2 : 1;
    stand_on(u->size / instrumented / 2);
    CHECK_OK(hd_stack_usage(u));
    return NULL;
}

RUNTIME_TEST(a_stack_can_be_used, 2) {
    size_t sizes[] = {hd_stack_min() * 2, 64 * 1024, 1 << 20, 16 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct hd_stack_usage u;
        hd_thread *t;
        CHECK_OK(hd_spawn(&t, HD_ATTR(.stack_size = sizes[i]), use_most_of_it, &u));
        join(t);
        CHECK_GE(u.high_water, u.size / 5);
        CHECK_LE(u.high_water, u.size);
    }
    return 0;
}

static size_t mark(bool *exact) {
    struct hd_stack_usage u;
    CHECK_OK(hd_stack_usage(&u));
    *exact = u.exact;
    return u.high_water;
}

static void *watch_the_mark(void *arg) {
    bool exact;
    size_t begin = mark(&exact);
    CHECK(exact);
    CHECK_LT(begin, 8 * 1024);
    stand_on(16 * 1024);
    size_t deep = mark(&exact);
    CHECK_GE(deep, 16 * 1024);
    CHECK_LT(deep, TEST_ASAN || TEST_TSAN ? 200 * 1024 : 40 * 1024);
    stand_on(4096);
    CHECK_EQ(mark(&exact), deep); /* it only rises */
    stand_on(32 * 1024);
    CHECK_GE(mark(&exact), deep + 8 * 1024);
    return arg;
}

RUNTIME_TEST(the_mark_on_a_painted_stack_is_exact, 1) {
    const struct hd_attr *painted =
        HD_ATTR(.flags = HD_ATTR_PAINT_STACK, .stack_size = 256 * 1024);
    /* Again and again on the same stack: it is painted anew. */
    for (int i = 0; i < 3; i++) {
        hd_thread *t;
        CHECK_OK(hd_spawn(&t, painted, watch_the_mark, NULL));
        join(t);
    }
    CHECK(!usage_of(HD_ATTR(.stack_size = 256 * 1024)).exact);
    CHECK(!usage_of(NULL).exact);
    return 0;
}

TEST(a_foreign_thread_has_no_stack_of_ours) {
    struct hd_stack_usage u;
    CHECK_ERR(hd_stack_usage(&u), -EINVAL);
}

static void *recurse_into_new_threads(void *arg) {
    uintptr_t depth = (uintptr_t)arg;
    if (depth == 0)
        return NULL;
    hd_thread *t;
    CHECK_OK(hd_spawn(&t, HD_ATTR(.stack_size = hd_stack_min() << depth % 5),
                      recurse_into_new_threads, (void *)(depth - 1)));
    return join(t);
}

RUNTIME_TEST(stacks_of_many_sizes_at_once, 2) {
    hd_thread *t[8];
    for (int i = 0; i < 8; i++)
        t[i] = spawn(recurse_into_new_threads, (void *)(uintptr_t)60);
    for (int i = 0; i < 8; i++)
        join(t[i]);
    return 0;
}
