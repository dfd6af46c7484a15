/* SPDX-License-Identifier: MIT */
/* Counters: every addition is in the sum once, whoever adds, wherever it is preempted. */
#include "preempt_test.h"

static hd_counter total = HD_COUNTER_INIT;

TEST(a_counter_is_a_sum) {
    CHECK_EQ(hd_counter_sum(&total), 0);
    for (int i = 0; i < 1000; i++) {
        hd_counter_add(&total, 3);
        hd_counter_add(&total, -1);
        CHECK_EQ(hd_counter_sum(&total), 2 * (i + 1));
    }
    hd_counter_add(&total, INT64_C(1) << 40);
    CHECK_EQ(hd_counter_sum(&total), 2000 + (INT64_C(1) << 40));
    hd_counter_finish(&total);
    CHECK_EQ(hd_counter_sum(&total), 0);
    hd_counter_add(&total, 5);
    CHECK_EQ(hd_counter_sum(&total), 5);
    hd_counter_finish(&total);
    hd_counter_finish(NULL);
}

TEST(it_wraps_like_a_number) {
    for (int i = 0; i < 100; i++)
        hd_counter_add(&total, INT64_MAX);
    CHECK_EQ(hd_counter_sum(&total), (int64_t)(100 * (uint64_t)INT64_MAX));
    hd_counter_finish(&total);
}

TEST(a_quiet_counter_takes_no_memory) {
    hd_counter_add(&total, 1);
    CHECK_EQ(total.slots, NULL);
    CHECK_EQ(hd_counter_sum(&total), 1);
    for (int i = 0; i < 100; i++)
        hd_counter_add(&total, 1);
    CHECK(total.slots != NULL);
    CHECK_EQ(hd_counter_sum(&total), 101);
    hd_counter_finish(&total);
}

/* ---- from everywhere ---- */

static void *add_and_yield(void *arg) {
    for (int i = 0; i < 1000; i++) {
        hd_counter_add(arg, 1);
        if (i % 100 == 0 && hd_self())
            hd_yield();
    }
    return NULL;
}

RUNTIME_TEST(threads_and_foreign_ones_add, 3) {
    enum { THREADS = 50, FOREIGN = 8 };
    hd_thread *t[THREADS];
    pthread_t p[FOREIGN];
    for (int i = 0; i < THREADS; i++)
        t[i] = spawn(add_and_yield, &total);
    for (int i = 0; i < FOREIGN; i++)
        p[i] = foreign(add_and_yield, &total);
    for (int i = 0; i < THREADS; i++)
        join(t[i]);
    for (int i = 0; i < FOREIGN; i++)
        foreign_join(p[i]);
    CHECK_EQ(hd_counter_sum(&total), 1000 * (THREADS + FOREIGN));
    hd_counter_finish(&total);
    return 0;
}

static void *add_one(void *arg) {
    hd_counter_add(arg, 1);
    return NULL;
}

/* The number of a kernel thread that ends is used again; what it has added stays. */
TEST(kernel_threads_come_and_go) {
    enum { TIMES = TEST_TSAN ? 300 : 3000, AT_ONCE = 4 };
    for (int i = 0; i < 100; i++)
        hd_counter_add(&total, 1); /* has slots from here on */
    for (int i = 0; i < TIMES / AT_ONCE; i++) {
        pthread_t p[AT_ONCE];
        for (int j = 0; j < AT_ONCE; j++)
            p[j] = foreign(add_one, &total);
        for (int j = 0; j < AT_ONCE; j++)
            foreign_join(p[j]);
    }
    CHECK_EQ(hd_counter_sum(&total), 100 + TIMES);
    hd_counter_finish(&total);
}

static pthread_barrier_t all_there;

static void *add_beside_many(void *arg) {
    hd_counter_add(arg, 1);
    pthread_barrier_wait(&all_there);
    for (int i = 0; i < 200; i++)
        hd_counter_add(arg, 1);
    pthread_barrier_wait(&all_there);
    return NULL;
}

/* More kernel threads at once than there are slots: some share one. */
TEST(more_kernel_threads_than_slots) {
    enum { MANY = 100 };
    static pthread_t p[MANY];
    pthread_barrier_init(&all_there, NULL, MANY);
    for (int i = 0; i < 100; i++)
        hd_counter_add(&total, 1);
    for (int i = 0; i < MANY; i++)
        p[i] = foreign(add_beside_many, &total);
    for (int i = 0; i < MANY; i++)
        foreign_join(p[i]);
    CHECK_EQ(hd_counter_sum(&total), 100 + 201 * MANY);
    hd_counter_finish(&total);
}

static pthread_key_t late_key;

static void add_late(void *arg) {
    hd_counter_add(arg, 1);
}

static void *add_when_ending(void *arg) {
    CHECK_EQ(pthread_setspecific(late_key, arg), 0);
    hd_counter_add(arg, 1);
    return NULL;
}

TEST(a_destructor_of_the_kernel_thread_adds) {
    CHECK_EQ(pthread_key_create(&late_key, add_late), 0);
    for (int i = 0; i < 100; i++)
        hd_counter_add(&total, 1);
    for (int i = 0; i < 100; i++)
        foreign_join(foreign(add_when_ending, &total));
    CHECK_EQ(hd_counter_sum(&total), 300);
    hd_counter_finish(&total);
}

/* ---- preempted at any instruction ---- */

static _Atomic bool enough;

static void *add_until_enough(void *arg) {
    uint64_t n = 0;
    while (!atomic_load_explicit(&enough, memory_order_relaxed)) {
        for (int i = 0; i < 100; i++)
            hd_counter_add(arg, 1);
        n += 100;
    }
    return (void *)(uintptr_t)n;
}

static int add_while_preempted(int kind) {
    enum { N = 6 };
    static struct ticker clock;
    hd_thread *t[N];
    uint64_t expected = 0, before = preemptions();
    for (int i = 0; i < N; i++)
        t[i] = spawn_kind(kind, add_until_enough, &total);
    ticker_start(&clock, NULL);
    while (preemptions() < before + (TEST_TSAN ? 20 : 200))
        CHECK_OK(hd_sleep_for(MS));
    atomic_store(&enough, true);
    for (int i = 0; i < N; i++)
        expected += (uintptr_t)join(t[i]);
    ticker_stop(&clock);
    CHECK_EQ(hd_counter_sum(&total), expected);
    hd_counter_finish(&total);
    return 0;
}

PREEMPT_TEST(preempted_with_the_kernel_thread, 2) {
    return add_while_preempted(HD_PREEMPT_CARRIER);
}

PREEMPT_TEST(preempted_the_light_way, 1) {
    return add_while_preempted(HD_PREEMPT_LIGHT);
}

/* ---- misuse ---- */

static void sum_of_nothing(void *arg) {
    (void)arg;
    hd_counter_sum(NULL);
}

TEST(no_counter_no_sum) {
    check_fatal("hd_counter_sum: c is NULL", sum_of_nothing, NULL);
}
