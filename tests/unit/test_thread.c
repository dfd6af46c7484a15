/* SPDX-License-Identifier: MIT */
/* Spawning, joining, detaching, yielding, and what a thread knows of itself. Attributes and stacks
 * are in test_attr.c, interruption is in test_interrupt.c, races are the stress programs' part. */
#include "runtime_test.h"

static void *echo(void *arg) {
    return arg;
}

RUNTIME_TEST(join_takes_the_result, 2) {
    int object;
    CHECK_EQ(join(spawn(echo, &object)), &object);
    CHECK_EQ(join(spawn(echo, NULL)), NULL);
    CHECK_OK(hd_join(spawn(echo, &object), NULL));
    return 0;
}

RUNTIME_TEST(each_of_many_has_its_own_argument_and_result, 2) {
    const uintptr_t N = test_iterations(3000);
    hd_thread **t = calloc(N, sizeof *t);
    for (uintptr_t round = 0; round < 2; round++) {
        for (uintptr_t i = 0; i < N; i++)
            t[i] = spawn(echo, (void *)(i + round));
        for (uintptr_t i = 0; i < N; i++)
            CHECK_EQ(join(t[i]), (void *)(i + round));
    }
    /* And in the other order, where the joiner meets ended and fresh ones. */
    for (uintptr_t i = 0; i < N; i++)
        t[i] = spawn(echo, (void *)i);
    for (uintptr_t i = N; i-- > 0;)
        CHECK_EQ(join(t[i]), (void *)i);
    free(t);
    return 0;
}

static void *sum_tree(void *arg) {
    uintptr_t depth = (uintptr_t)arg;
    if (depth == 0)
        return (void *)(uintptr_t)1;
    hd_thread *left = spawn(sum_tree, (void *)(depth - 1));
    hd_thread *right = spawn(sum_tree, (void *)(depth - 1));
    uintptr_t a = (uintptr_t)join(left);
    return (void *)(a + (uintptr_t)join(right));
}

RUNTIME_TEST(threads_spawn_threads, 2) {
    CHECK_EQ((uintptr_t)join(spawn(sum_tree, (void *)(uintptr_t)(TEST_TSAN ? 6 : 10))),
             TEST_TSAN ? 64 : 1024);
    return 0;
}

RUNTIME_TEST(an_ended_thread_waits_to_be_joined, 2) {
    int object;
    hd_thread *t = spawn(echo, &object);
    let_wait();
    CHECK_EQ(join(t), &object);
    t = spawn(echo, &object);
    void *result = NULL;
    while (hd_join_until(t, &result, 0) == -ETIMEDOUT)
        hd_yield(); /* once it has ended there is nothing to wait for */
    CHECK_EQ(result, &object);
    return 0;
}

/* ---- detached threads ---- */

static _Atomic unsigned detached_ran;

static void *count_up(void *arg) {
    atomic_fetch_add(&detached_ran, 1);
    return arg;
}

static void wait_for_detached(unsigned n) {
    while (atomic_load(&detached_ran) != n)
        hd_sleep_for(MS / 10);
}

RUNTIME_TEST(without_out_a_thread_is_detached, 2) {
    unsigned n = (unsigned)test_iterations(1000);
    for (unsigned i = 0; i < n; i++)
        CHECK_OK(hd_spawn(NULL, NULL, count_up, NULL));
    wait_for_detached(n);
    return 0;
}

RUNTIME_TEST(detach_at_any_moment, 2) {
    unsigned n = (unsigned)test_iterations(1000);
    for (unsigned i = 0; i < n; i++) {
        hd_thread *t = spawn(count_up, NULL);
        if (i % 3 == 1)
            hd_yield();
        if (i % 100 == 2)
            let_wait();
        hd_detach(t);
    }
    wait_for_detached(n);
    return 0;
}

static hd_sem gate, ready;

static void *wait_at_gate(void *arg) {
    hd_sem_post(&ready);
    CHECK_OK(hd_sem_wait(&gate));
    atomic_fetch_add(&detached_ran, 1);
    return arg;
}

RUNTIME_TEST(detach_a_waiting_thread, 2) {
    for (int i = 0; i < 50; i++) {
        hd_thread *t = spawn(wait_at_gate, NULL);
        CHECK_OK(hd_sem_wait(&ready));
        hd_detach(t);
    }
    for (int i = 0; i < 50; i++)
        hd_sem_post(&gate);
    wait_for_detached(50);
    return 0;
}

/* ---- yielding ---- */

static _Atomic unsigned turn;

static void *take_turns(void *arg) {
    unsigned mine = (unsigned)(uintptr_t)arg;
    for (unsigned i = 0; i < 200; i++) {
        while (atomic_load(&turn) % 3 != mine)
            hd_yield();
        atomic_fetch_add(&turn, 1);
    }
    return NULL;
}

/* Nobody comes forward but by the others' yields: one worker, no preemption. */
RUNTIME_TEST(yield_lets_the_others_run, 1) {
    hd_thread *t[3];
    for (uintptr_t i = 0; i < 3; i++)
        t[i] = spawn(take_turns, (void *)i);
    for (unsigned i = 0; i < 3; i++)
        join(t[i]);
    CHECK_EQ(atomic_load(&turn), 600);
    return 0;
}

static _Atomic unsigned arrived;

static void *yield_until_all_are_here(void *arg) {
    unsigned n = (unsigned)(uintptr_t)arg;
    atomic_fetch_add(&arrived, 1);
    while (atomic_load(&arrived) < n)
        hd_yield();
    return NULL;
}

RUNTIME_TEST(yielding_threads_do_not_starve_fresh_ones, 1) {
    enum { N = 500 };
    hd_thread *t[N];
    for (int i = 0; i < N; i++) {
        t[i] = spawn(yield_until_all_are_here, (void *)(uintptr_t)N);
        if (i % 50 == 0)
            hd_yield();
    }
    for (int i = 0; i < N; i++)
        join(t[i]);
    return 0;
}

static void *post_when_run(void *arg) {
    hd_sem_post(arg);
    return NULL;
}

static void *spawn_from_outside(void *arg) {
    CHECK_OK(hd_spawn(NULL, NULL, post_when_run, arg));
    return NULL;
}

/* Injected threads and timers get their turn while others yield for ever. */
RUNTIME_TEST(yielding_threads_do_not_starve_injected_ones_and_timers, 1) {
    hd_sem ran = HD_SEM_INIT(0);
    pthread_t p = foreign(spawn_from_outside, &ran);
    hd_thread *sleeper = NULL;
    CHECK_OK(hd_spawn(&sleeper, NULL, wait_at_gate, NULL));
    while (!hd_sem_trywait(&ran))
        hd_yield();
    hd_sem_post(&gate);
    join(sleeper);
    uint64_t deadline = hd_now_ns() + 2 * MS;
    while (hd_sem_wait_until(&ran, deadline) != -ETIMEDOUT)
        FAIL("nobody posted");
    foreign_join(p);
    return 0;
}

RUNTIME_TEST(yield_alone_returns, 1) {
    for (int i = 0; i < 1000; i++)
        hd_yield();
    return 0;
}

/* ---- oneself ---- */

static void *self(void *arg) {
    (void)arg;
    for (int i = 0; i < 20; i++) {
        hd_thread *before = hd_self();
        hd_yield();
        CHECK_EQ(hd_self(), before);
    }
    return hd_self();
}

static void *foreign_self(void *arg) {
    (void)arg;
    return hd_self();
}

RUNTIME_TEST(self_is_the_handle, 2) {
    CHECK(hd_self() != NULL);
    for (int i = 0; i < 50; i++) {
        hd_thread *t = spawn(self, NULL);
        CHECK_EQ(join(t), t);
    }
    CHECK_EQ(foreign_join(foreign(foreign_self, NULL)), NULL);
    return 0;
}

TEST(self_is_null_outside) {
    CHECK_EQ(hd_self(), NULL);
    CHECK_OK(hd_start(HD_CONFIG(.workers = 1)));
    CHECK_EQ(hd_self(), NULL);
    CHECK_OK(hd_stop());
    CHECK_EQ(hd_self(), NULL);
}

/* ---- names and numbers ---- */

static void *check_own_name(void *arg) {
    CHECK_STR_EQ(hd_thread_name(hd_self()), arg);
    return NULL;
}

RUNTIME_TEST(names, 2) {
    char given[100], cut[HD_NAME_MAX + 1];
    memset(given, 'x', sizeof given);
    given[sizeof given - 1] = '\0';
    memset(cut, 'x', HD_NAME_MAX);
    cut[HD_NAME_MAX] = '\0';
    hd_thread *t;
    CHECK_STR_EQ(hd_thread_name(hd_self()), "main");
    CHECK_OK(hd_spawn(&t, HD_ATTR(.name = given), check_own_name, cut));
    CHECK_STR_EQ(hd_thread_name(t), cut);
    memset(given, 'y', 10); /* the name was copied */
    CHECK_STR_EQ(hd_thread_name(t), cut);
    join(t);
    given[HD_NAME_MAX] = '\0'; /* exactly as long as fits */
    CHECK_OK(hd_spawn(&t, HD_ATTR(.name = given), check_own_name, given));
    join(t);
    CHECK_OK(hd_spawn(&t, HD_ATTR(.name = ""), check_own_name, ""));
    join(t);
    CHECK_OK(hd_spawn(&t, HD_ATTR(.priority = 3), check_own_name, ""));
    join(t);
    /* A descriptor that had a name is used again without. */
    for (int i = 0; i < 100; i++) {
        CHECK_OK(hd_spawn(&t, i % 2 ? HD_ATTR(.name = "odd") : NULL, check_own_name,
                          i % 2 ? "odd" : ""));
        join(t);
    }
    return 0;
}

static int compare_ids(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

enum { IDS_EACH = TEST_TSAN ? 100 : 1500, ID_SPAWNERS = 4, IDS = IDS_EACH * ID_SPAWNERS + 1 };
static uint64_t ids[IDS];
static _Atomic unsigned ids_used;

static void *spawn_many_ids(void *arg) {
    for (int i = 0; i < IDS_EACH; i++) {
        hd_thread *t = spawn(echo, NULL);
        ids[atomic_fetch_add(&ids_used, 1)] = hd_thread_id(t);
        if (i % 7 == 0 && hd_self())
            hd_yield();
        join(t);
    }
    return arg;
}

RUNTIME_TEST(ids_are_never_the_same, 2) {
    hd_thread *inside[ID_SPAWNERS / 2];
    pthread_t outside[ID_SPAWNERS / 2];
    for (int i = 0; i < ID_SPAWNERS / 2; i++) {
        inside[i] = spawn(spawn_many_ids, NULL);
        outside[i] = foreign(spawn_many_ids, NULL);
    }
    for (int i = 0; i < ID_SPAWNERS / 2; i++)
        join(inside[i]);
    CHECK(hd_thread_id(hd_self()) > 0);
    ids[atomic_fetch_add(&ids_used, 1)] = hd_thread_id(hd_self());
    for (int i = 0; i < ID_SPAWNERS / 2; i++)
        foreign_join(outside[i]);
    CHECK_EQ(atomic_load(&ids_used), IDS);
    qsort(ids, IDS, sizeof ids[0], compare_ids);
    CHECK(ids[0] > 0);
    for (int i = 1; i < IDS; i++)
        CHECK_LT(ids[i - 1], ids[i]);
    return 0;
}

/* ---- joining with a deadline ---- */

RUNTIME_TEST(join_until_gives_up, 2) {
    hd_thread *t = spawn(wait_at_gate, &gate);
    CHECK_OK(hd_sem_wait(&ready));
    CHECK_ERR(hd_join_until(t, NULL, 0), -ETIMEDOUT);
    CHECK_ERR(hd_join_until(t, NULL, hd_now_ns()), -ETIMEDOUT);
    uint64_t deadline = hd_now_ns() + 5 * MS;
    CHECK_ERR(hd_join_until(t, NULL, deadline), -ETIMEDOUT);
    CHECK_GE(hd_now_ns(), deadline);
    hd_sem_post(&gate);
    void *result = NULL;
    CHECK_OK(hd_join_until(t, &result, HD_FOREVER));
    CHECK_EQ(result, &gate);
    return 0;
}

RUNTIME_TEST(join_until_ends_with_the_thread, 2) {
    for (int i = 0; i < 20; i++) {
        hd_thread *t = spawn(wait_at_gate, &ready);
        CHECK_OK(hd_sem_wait(&ready));
        hd_sem_post(&gate);
        void *result = NULL;
        CHECK_OK(hd_join_until(t, &result, hd_now_ns() + 30000 * MS));
        CHECK_EQ(result, &ready);
    }
    return 0;
}

static void *join_outside(void *arg) {
    hd_thread *t = arg;
    void *result = NULL;
    CHECK_ERR(hd_join_until(t, NULL, 0), -ETIMEDOUT);
    uint64_t deadline = hd_now_ns() + 2 * MS;
    CHECK_ERR(hd_join_until(t, NULL, deadline), -ETIMEDOUT);
    CHECK_GE(hd_now_ns(), deadline);
    hd_sem_post(&gate);
    CHECK_OK(hd_join(t, &result));
    return result;
}

RUNTIME_TEST(foreign_threads_join_too, 2) {
    for (int i = 0; i < 20; i++) {
        hd_thread *t = spawn(wait_at_gate, &gate);
        CHECK_OK(hd_sem_wait(&ready));
        pthread_t p = foreign(join_outside, t);
        hd_sleep_for(MS);
        CHECK_EQ(foreign_join(p), &gate);
    }
    return 0;
}
