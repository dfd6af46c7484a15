/* SPDX-License-Identifier: MIT */
/* Sleeping. What is checked of the clock is only that nothing ends early. */
#include "runtime_test.h"

#include <time.h>

static uint64_t monotonic_ns(void) {
    struct timespec now;
    CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

RUNTIME_TEST(now_is_the_monotonic_clock, 2) {
    for (int i = 0; i < 1000; i++) {
        uint64_t a = monotonic_ns(), b = hd_now_ns(), c = monotonic_ns();
        CHECK_LE(a, b);
        CHECK_LE(b, c);
    }
    return 0;
}

static void check_sleeps(void) {
    for (uint64_t ns = 1; ns < 5 * MS; ns = ns * 7 + 3) {
        uint64_t begin = monotonic_ns();
        CHECK_OK(hd_sleep_for(ns));
        CHECK_GE(monotonic_ns() - begin, ns);
        uint64_t deadline = monotonic_ns() + ns;
        CHECK_OK(hd_sleep_until(deadline));
        CHECK_GE(monotonic_ns(), deadline);
    }
    CHECK_OK(hd_sleep_for(0));
    CHECK_OK(hd_sleep_until(0));
    CHECK_OK(hd_sleep_until(1));
    CHECK_OK(hd_sleep_until(hd_now_ns()));
}

RUNTIME_TEST(a_sleep_does_not_end_early, 2) {
    check_sleeps();
    return 0;
}

static void *sleep_outside(void *arg) {
    check_sleeps();
    return arg;
}

TEST(nor_does_that_of_a_foreign_thread) {
    check_sleeps(); /* no runtime yet */
    CHECK_OK(hd_start(HD_CONFIG(.workers = 1)));
    pthread_t p = foreign(sleep_outside, NULL);
    check_sleeps();
    foreign_join(p);
    CHECK_OK(hd_stop());
}

/* ---- many ---- */

static _Atomic unsigned woken;

static void *sleep_random(void *arg) {
    struct test_rng rng = test_rng((uintptr_t)arg);
    for (int i = 0; i < 5; i++) {
        uint64_t deadline = hd_now_ns() + test_rng_below(&rng, 20 * MS);
        CHECK_OK(hd_sleep_until(deadline));
        CHECK_GE(monotonic_ns(), deadline);
    }
    atomic_fetch_add(&woken, 1);
    return NULL;
}

static int many_sleepers(void *arg) {
    unsigned n = (unsigned)(uintptr_t)arg;
    hd_thread **t = calloc(n, sizeof(hd_thread *));
    for (uintptr_t i = 0; i < n; i++)
        t[i] = spawn(sleep_random, (void *)i);
    for (unsigned i = 0; i < n; i++)
        join(t[i]);
    CHECK_EQ(atomic_load(&woken), n);
    atomic_store(&woken, 0);
    free(t);
    return 0;
}

TEST(many_sleepers_all_wake) {
    unsigned n = (unsigned)test_iterations(3000);
    for (unsigned workers = 1; workers <= 4; workers *= 2) {
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers), many_sleepers, (void *)(uintptr_t)n));
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers, .spin_us = HD_SPIN_NONE), many_sleepers,
                        (void *)(uintptr_t)(n / 10)));
    }
}

/* One deadline for all, and a thread that keeps the only worker busy when it comes. */
static uint64_t common_deadline;

static void *sleep_together(void *arg) {
    CHECK_OK(hd_sleep_until(common_deadline));
    CHECK_GE(monotonic_ns(), common_deadline);
    atomic_fetch_add(&woken, 1);
    return arg;
}

RUNTIME_TEST(sleepers_wake_while_others_yield, 1) {
    hd_thread *t[200];
    common_deadline = hd_now_ns() + 5 * MS;
    for (int i = 0; i < 200; i++)
        t[i] = spawn(sleep_together, NULL);
    while (atomic_load(&woken) < 200)
        hd_yield();
    for (int i = 0; i < 200; i++)
        join(t[i]);
    return 0;
}

/* A worker that runs threads without a pause has timers that an idle one must mind. */
static void *busy_until_told(void *arg) {
    _Atomic bool *stop = arg;
    while (!atomic_load(stop)) {
    }
    return NULL;
}

RUNTIME_TEST(sleepers_wake_while_their_worker_is_busy, 2) {
    for (int i = 0; i < 20; i++) {
        _Atomic bool stop = false;
        hd_thread *busy = spawn(busy_until_told, &stop);
        /* This thread sleeps on whichever worker it is; the other one, or this, gets busy. */
        CHECK_OK(hd_sleep_for(MS / 2));
        atomic_store(&stop, true);
        join(busy);
    }
    return 0;
}

/* ---- for ever ---- */

static void *sleep_for_ever(void *arg) {
    hd_sem_post(arg);
    return (void *)(intptr_t)hd_sleep_until(HD_FOREVER);
}

static void *sleep_overlong(void *arg) {
    hd_sem_post(arg);
    return (void *)(intptr_t)hd_sleep_for(HD_FOREVER - 5); /* beyond the end of the clock */
}

RUNTIME_TEST(for_ever_ends_by_interruption, 2) {
    hd_sem ready = HD_SEM_INIT(0);
    for (int i = 0; i < 20; i++) {
        hd_thread *t = spawn(i % 2 ? sleep_for_ever : sleep_overlong, &ready);
        CHECK_OK(hd_sem_wait(&ready));
        if (i % 4 < 2)
            hd_sleep_for(MS / 2);
        CHECK_ERR(hd_join_until(t, NULL, hd_now_ns() + MS / 4), -ETIMEDOUT);
        hd_interrupt(t);
        CHECK_EQ((intptr_t)join(t), -EINTR);
    }
    return 0;
}

/* A deadline next to the end of the clock's range is covered without a look at it ever after. */
static void *sleep_to_the_end(void *arg) {
    hd_sem_post(arg);
    return (void *)(intptr_t)hd_sleep_until(HD_FOREVER - 1);
}

static uint64_t monitor_wakeups(void) {
    struct hd_metrics m = HD_METRICS_INIT;
    CHECK_OK(hd_metrics_get(&m));
    return m.monitor_wakeups;
}

RUNTIME_TEST(a_far_deadline_costs_nothing, 1) {
    hd_sem ready = HD_SEM_INIT(0);
    hd_thread *t = spawn(sleep_to_the_end, &ready);
    CHECK_OK(hd_sem_wait(&ready));
    let_wait();
    uint64_t before = monitor_wakeups(), until = monotonic_ns() + 50 * MS;
    while (monotonic_ns() < until) {
    }
    for (int i = 0; i < 1000; i++)
        hd_yield();
    CHECK_LT(monitor_wakeups() - before, 200);
    hd_interrupt(t);
    CHECK_EQ((intptr_t)join(t), -EINTR);
    return 0;
}

/* Sleepers that are woken early leave nothing in the heap. */
static void *sleep_long(void *arg) {
    (void)arg;
    return (void *)(intptr_t)hd_sleep_for(3600 * 1000 * MS);
}

RUNTIME_TEST(many_sleepers_are_interrupted, 2) {
    enum { N = 1000 };
    static hd_thread *t[N];
    struct test_rng rng = test_rng(9);
    for (int i = 0; i < N; i++)
        t[i] = spawn(sleep_long, NULL);
    let_wait();
    for (int i = N; i > 1; i--) { /* in any order */
        int j = (int)test_rng_below(&rng, (uint64_t)i);
        hd_thread *swap = t[i - 1];
        t[i - 1] = t[j];
        t[j] = swap;
    }
    for (int i = 0; i < N; i++)
        hd_interrupt(t[i]);
    for (int i = 0; i < N; i++)
        CHECK_EQ((intptr_t)join(t[i]), -EINTR);
    return 0;
}
