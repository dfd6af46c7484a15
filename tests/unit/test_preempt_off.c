/* SPDX-License-Identifier: MIT */
/* What keeps a thread from being preempted, and time slices. */
#include "preempt_test.h"

/* One worker. A neighbour that never waits counts as often as it runs; while the count stands still
 * the one who looks was not preempted. */
struct neighbour {
    counter runs;
    _Atomic bool stop;
    uint64_t taken; /* how many had lost their worker in a call when it began */
    hd_thread *thread;
    struct clockwork clock;
};

static void *neighbour_run(void *arg) {
    struct neighbour *n = arg;
    while (!atomic_load(&n->stop))
        count_up(&n->runs);
    return NULL;
}

static void neighbour_start(struct neighbour *n) {
    clockwork_start(&n->clock);
    n->taken = metrics().blocked_in_syscall;
    n->thread = spawn_kind(HD_PREEMPT_CARRIER, neighbour_run, n);
}

static void neighbour_stop(struct neighbour *n) {
    atomic_store(&n->stop, true);
    join(n->thread);
    clockwork_stop(&n->clock);
}

/* How often the neighbour ran since `before`. It makes no call; but where an emulator waits in one
 * on its behalf, it loses its worker like anybody, and may count on until it is told to stop: then
 * nothing can be said, and it is 0. */
static uint64_t runs_since(struct neighbour *n, uint64_t before) {
    uint64_t runs = count_of(&n->runs) - before;
    return metrics().blocked_in_syscall == n->taken ? runs : 0;
}

/* Busy for a moment in which slices end; how often the neighbour ran meanwhile. */
static uint64_t runs_meanwhile(struct neighbour *n) {
    uint64_t before = count_of(&n->runs);
    clockwork_spin(&n->clock, 0);
    return runs_since(n, before);
}

static void *not_preempted(void *arg) {
    CHECK_EQ(runs_meanwhile(arg), 0);
    return NULL;
}

PREEMPT_TEST(off_is_not_preempted, 1) {
    struct neighbour n = {.thread = NULL};
    neighbour_start(&n);
    for (int i = 0; i < 3; i++)
        join(spawn_kind(HD_PREEMPT_OFF, not_preempted, &n));
    neighbour_stop(&n);
    return 0;
}

static int off_by_default(void *arg) {
    struct neighbour *n = arg;
    neighbour_start(n);
    hd_yield();
    CHECK_EQ(runs_meanwhile(n), 0);
    join(spawn_kind(HD_PREEMPT_DEFAULT, not_preempted, n));
    neighbour_stop(n);
    return 0;
}

TEST_WITHIN(the_configuration_may_say_off, 60) {
    struct neighbour n = {.thread = NULL};
    CHECK_OK(hd_run(QUICK(.workers = 1, .preempt = HD_PREEMPT_OFF), off_by_default, &n));
}

/* A neighbour of the ones that are looked at: always there, always runnable. */
static void with_disabled(int kind, void *(*fn)(void *)) {
    struct neighbour n = {.thread = NULL};
    neighbour_start(&n);
    join(spawn_kind(kind, fn, &n));
    neighbour_stop(&n);
}

/* Nothing else runs between tries that were put off and the end of the section, where the
 * neighbour gets the worker. That it also counts then is up to the kernel; at times it will. */
static void *disable_and_enable(void *arg) {
    struct neighbour *n = arg;
    bool ran = false, counted = false; /* not each time: somebody else may be asked just then */
    for (int i = 0; i < 100 && !(ran && counted); i++) {
        uint64_t due = metrics().preempted_enable;
        hd_preempt_disable();
        uint64_t before = count_of(&n->runs);
        clockwork_spin(&n->clock, 3);
        CHECK_EQ(runs_since(n, before), 0);
        hd_preempt_enable();
        ran |= count_of(&n->runs) > before;
        counted |= metrics().preempted_enable > due;
    }
    CHECK(ran);
    CHECK(counted);
    return NULL;
}

PREEMPT_TEST(a_preemption_that_fell_due_comes_at_enable, 1) {
    with_disabled(HD_PREEMPT_CARRIER, disable_and_enable);
    with_disabled(HD_PREEMPT_LIGHT, disable_and_enable);
    return 0;
}

static void *nested(void *arg) {
    struct neighbour *n = arg;
    hd_preempt_disable();
    hd_preempt_disable();
    hd_preempt_disable();
    uint64_t before = count_of(&n->runs);
    for (int depth = 3; depth > 1; depth--) {
        clockwork_spin(&n->clock, 2);
        hd_preempt_enable();
        CHECK_EQ(runs_since(n, before), 0);
    }
    clockwork_spin(&n->clock, 2);
    CHECK_EQ(runs_since(n, before), 0);
    hd_preempt_enable();
    /* And from now on it is preemptible again. */
    spin_until(&n->runs, count_of(&n->runs) + 1);
    return NULL;
}

PREEMPT_TEST(disabling_nests, 1) {
    with_disabled(HD_PREEMPT_CARRIER, nested);
    with_disabled(HD_PREEMPT_LIGHT, nested);
    return 0;
}

static void *deep(void *arg) {
    enum { DEPTH = 30000 };
    struct neighbour *n = arg;
    for (int i = 0; i < DEPTH; i++)
        hd_preempt_disable();
    for (int i = 0; i < DEPTH; i++)
        hd_preempt_enable();
    spin_until(&n->runs, count_of(&n->runs) + 1);
    return NULL;
}

PREEMPT_TEST(disabling_nests_deep, 1) {
    with_disabled(HD_PREEMPT_CARRIER, deep);
    return 0;
}

/* Others run while it yields or waits; when it goes on, it is as before. */
static void *across_yield(void *arg) {
    struct neighbour *n = arg;
    hd_preempt_disable();
    for (int i = 0; i < 3; i++) {
        uint64_t before = count_of(&n->runs);
        while (count_of(&n->runs) == before)
            hd_yield();
        CHECK_EQ(runs_meanwhile(n), 0);
    }
    hd_preempt_enable();
    return NULL;
}

static void *across_wait(void *arg) {
    struct neighbour *n = arg;
    hd_preempt_disable();
    for (int i = 0; i < 3; i++) {
        CHECK_OK(hd_sleep_for(2 * MS));
        CHECK_EQ(runs_meanwhile(n), 0);
    }
    hd_preempt_enable();
    return NULL;
}

PREEMPT_TEST(disabled_across_a_yield_and_a_wait, 1) {
    with_disabled(HD_PREEMPT_CARRIER, across_yield);
    with_disabled(HD_PREEMPT_LIGHT, across_yield);
    with_disabled(HD_PREEMPT_CARRIER, across_wait);
    with_disabled(HD_PREEMPT_LIGHT, across_wait);
    return 0;
}

/* One thread's switch is not the others'. */
static void *disabled_and_waiting(void *arg) {
    hd_preempt_disable();
    hd_event_wait(arg);
    hd_preempt_enable();
    return NULL;
}

PREEMPT_TEST(disabling_is_the_threads_own, 1) {
    static hd_event event;
    struct neighbour n = {.thread = NULL};
    hd_thread *t = spawn(disabled_and_waiting, &event);
    hd_yield();
    neighbour_start(&n);
    spin_until(&n.runs, 1);
    uint64_t more = count_of(&n.runs) + 1;
    spin_until(&n.runs, more);
    hd_event_set(&event);
    join(t);
    neighbour_stop(&n);
    return 0;
}

TEST(on_foreign_threads_disabling_does_nothing) {
    hd_preempt_disable();
    hd_preempt_enable();
    CHECK_OK(hd_start(QUICK(.workers = 1)));
    hd_preempt_disable();
    hd_preempt_disable();
    hd_preempt_enable();
    CHECK_OK(hd_stop());
}

/* ---- misuse ---- */

static void *end_disabled(void *arg) {
    hd_preempt_disable();
    return arg;
}

static int run_end_disabled(void *arg) {
    hd_thread *t;
    CHECK_OK(hd_spawn(&t, HD_ATTR(.name = "careless"), end_disabled, arg));
    join(t);
    return 0;
}

static int main_ends_disabled(void *arg) {
    (void)arg;
    hd_preempt_disable();
    return 0;
}

static int disable_too_often(void *arg) {
    (void)arg;
    for (int i = 0; i < 65536; i++)
        hd_preempt_disable();
    return 0;
}

static int enable_too_often(void *arg) {
    (void)arg;
    hd_preempt_disable();
    hd_preempt_enable();
    hd_preempt_enable();
    return 0;
}

static void run_one(void *fn) {
    hd_run(HD_CONFIG(.workers = 1), (int (*)(void *))fn, NULL);
}

TEST(unbalanced_sections_end_the_process) {
    check_fatal("careless", run_one, (void *)run_end_disabled);
    check_fatal("preempt", run_one, (void *)run_end_disabled);
    check_fatal("preempt", run_one, (void *)main_ends_disabled);
    check_fatal("hd_preempt_disable", run_one, (void *)disable_too_often);
    check_fatal("hd_preempt_enable", run_one, (void *)enable_too_often);
}

/* ---- slices ---- */

static int slices(void *arg) {
    (void)arg;
    CHECK_EQ(hd_slice_get(), 10000);
    CHECK_OK(hd_slice_set(100));
    CHECK_EQ(hd_slice_get(), 100);
    CHECK_OK(hd_slice_set(1000000));
    CHECK_EQ(hd_slice_get(), 1000000);
    const uint64_t bad[] = {0, 1, 99, 1000001, HD_SLICE_NONE - 1};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_ERR(hd_slice_set(bad[i]), -EINVAL);
        CHECK_EQ(hd_slice_get(), 1000000);
    }
    CHECK_OK(hd_slice_set(HD_SLICE_NONE));
    CHECK_EQ(hd_slice_get(), HD_SLICE_NONE);
    CHECK_OK(hd_slice_set(2500));
    CHECK_EQ(hd_slice_get(), 2500);
    return 0;
}

static int slice_is_250(void *arg) {
    (void)arg;
    CHECK_EQ(hd_slice_get(), 250);
    return 0;
}

TEST(slices_can_be_set_and_read) {
    CHECK_ERR(hd_slice_set(1000), -EINVAL);
    CHECK_EQ(hd_slice_get(), 0);
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1), slices, NULL));
    CHECK_EQ(hd_slice_get(), 0);
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .slice_us = 250), slice_is_250, NULL));
}

static int without_slices(void *arg) {
    struct neighbour *n = arg;
    neighbour_start(n);
    CHECK_EQ(runs_meanwhile(n), 0);
    CHECK_EQ(preemptions(), 0);
    /* Others run once it waits. With slices again the neighbour can be stopped. */
    CHECK_OK(hd_slice_set(100));
    neighbour_stop(n);
    return 0;
}

TEST_WITHIN(no_slices_no_preemption, 60) {
    struct neighbour n = {.thread = NULL};
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .slice_us = HD_SLICE_NONE), without_slices, &n));
}

static void *set_slice(void *arg) {
    usleep(20000);
    CHECK_OK(hd_slice_set(*(uint64_t *)arg));
    return NULL;
}

/* The thread that runs has begun its slice under the old rule. */
static int slices_begin(void *arg) {
    struct neighbour n = {.thread = NULL};
    neighbour_start(&n);
    pthread_t p = foreign(set_slice, arg);
    for (int i = 1; i <= 5; i++)
        spin_until(&n.runs, count_of(&n.runs) + 1);
    neighbour_stop(&n);
    foreign_join(p);
    return 0;
}

TEST_WITHIN(a_new_slice_counts_for_those_that_run, 60) {
    uint64_t new_slice = 100;
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .slice_us = HD_SLICE_NONE), slices_begin, &new_slice));
    new_slice = 1000;
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .slice_us = 1000000), slices_begin, &new_slice));
}

/* Set again and again from several sides, while threads are preempted. */
static void *set_slices(void *arg) {
    counter *stop = arg;
    const uint64_t values[] = {100, 1000, 200, HD_SLICE_NONE, 10000, 500};
    for (unsigned i = 0; count_of(stop) == 0; i++) {
        CHECK_OK(hd_slice_set(values[i % 6]));
        CHECK(hd_slice_get() != 0);
        usleep(300);
    }
    /* Here, not by who stops it: the last value that is set must have an end. */
    CHECK_OK(hd_slice_set(100));
    return NULL;
}

PREEMPT_TEST(slices_change_all_the_time, 2) {
    static counter stop;
    struct neighbour n[4] = {{.thread = NULL}};
    pthread_t p = foreign(set_slices, &stop);
    for (int i = 0; i < 4; i++)
        neighbour_start(&n[i]);
    for (int round = 0; round < 10; round++)
        for (int i = 0; i < 4; i++)
            spin_until(&n[i].runs, count_of(&n[i].runs) + 1);
    count_up(&stop);
    for (int i = 0; i < 4; i++)
        neighbour_stop(&n[i]);
    foreign_join(p);
    return 0;
}

/* ---- a thread that is never preempted blocks in the kernel ---- */

static void *read_a_byte(void *arg) {
    char byte;
    CHECK_EQ(read(*(int *)arg, &byte, 1), 1);
    return NULL;
}

/* It loses the one worker: else nobody would write. */
PREEMPT_TEST(off_does_not_hold_a_worker_in_the_kernel, 1) {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    hd_thread *t = spawn_kind(HD_PREEMPT_OFF, read_a_byte, &ends[0]);
    hd_yield();
    CHECK_EQ(write(ends[1], "x", 1), 1);
    join(t);
    close(ends[0]);
    close(ends[1]);
    return 0;
}
