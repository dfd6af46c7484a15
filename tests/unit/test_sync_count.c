/* SPDX-License-Identifier: MIT */
/* Semaphore, wait group and event: what each call promises, one thing a test. */
#include "runtime_test.h"

/* ---- semaphore ---- */

static void *wait_sem(void *s) {
    return (void *)(intptr_t)hd_sem_wait(s);
}

RUNTIME_TEST(sem_counts, 2) {
    hd_sem s = HD_SEM_INIT(2);
    CHECK(hd_sem_trywait(&s));
    CHECK_OK(hd_sem_wait(&s));
    CHECK(!hd_sem_trywait(&s));
    CHECK_ERR(hd_sem_wait_until(&s, 0), -ETIMEDOUT);
    hd_sem_post(&s);
    CHECK_OK(hd_sem_wait_until(&s, 0));
    for (int i = 0; i < 100; i++)
        hd_sem_post(&s);
    for (int i = 0; i < 100; i++)
        CHECK(hd_sem_trywait(&s));
    CHECK(!hd_sem_trywait(&s));
    return 0;
}

struct turn {
    hd_sem sem;
    _Atomic int next, arrived;
};

static void *take_turn(void *arg) {
    struct turn *t = arg;
    atomic_fetch_add(&t->arrived, 1);
    CHECK_OK(hd_sem_wait(&t->sem));
    return (void *)(intptr_t)atomic_fetch_add(&t->next, 1);
}

/* Without time slices: a preemption between two posts would change the order of those woken. */
static int serve_in_order(void *arg);
TEST(sem_serves_in_order) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .slice_us = HD_SLICE_NONE), serve_in_order, NULL));
}

static int serve_in_order(void *arg) {
    (void)arg;
    struct turn turn = {.sem = HD_SEM_INIT(0)};
    hd_thread *threads[5];
    for (int i = 0; i < 5; i++) {
        threads[i] = spawn(take_turn, &turn);
        while (atomic_load(&turn.arrived) <= i) /* and on one worker that means that it waits */
            hd_yield();
    }
    for (int i = 0; i < 5; i++) {
        hd_sem_post(&turn.sem);
        CHECK(!hd_sem_trywait(&turn.sem)); /* the permit is the first waiter's already */
        CHECK_EQ((intptr_t)join(threads[i]), i);
    }
    return 0;
}

RUNTIME_TEST(sem_wait_ends_early, 2) {
    hd_sem s = HD_SEM_INIT(0);
    uint64_t deadline_ns = hd_now_ns() + 5 * MS;
    CHECK_ERR(hd_sem_wait_until(&s, deadline_ns), -ETIMEDOUT);
    CHECK_GE(hd_now_ns(), deadline_ns);
    hd_thread *t = spawn(wait_sem, &s);
    let_wait();
    hd_interrupt(t);
    CHECK_EQ((intptr_t)join(t), -EINTR);
    hd_sem_post(&s);
    hd_interrupt(hd_self());
    CHECK_OK(hd_sem_wait(&s)); /* need not wait */
    CHECK_ERR(hd_sem_wait(&s), -EINTR);
    CHECK_ERR(hd_sem_wait_until(&s, 0), -ETIMEDOUT); /* once only */
    hd_sem_post(&s);
    CHECK(hd_sem_trywait(&s)); /* no permit went to a waiter that had left */
    return 0;
}

static void *answer(void *arg) {
    hd_sem *pair = arg;
    for (int i = 0; i < 1000; i++) {
        CHECK_OK(hd_sem_wait(&pair[0]));
        hd_sem_post(&pair[1]);
    }
    return NULL;
}

static void call_1000(hd_sem *pair) {
    for (int i = 0; i < 1000; i++) {
        hd_sem_post(&pair[0]);
        CHECK_OK(hd_sem_wait(&pair[1]));
    }
}

RUNTIME_TEST(sem_ping_pong_with_threads_and_foreign_threads, 2) {
    hd_sem pair[2] = {HD_SEM_INIT(0), HD_SEM_INIT(0)};
    pthread_t foreign;
    hd_thread *t = spawn(answer, pair);
    call_1000(pair);
    join(t);
    CHECK_EQ(pthread_create(&foreign, NULL, answer, pair), 0);
    call_1000(pair);
    CHECK_EQ(pthread_join(foreign, NULL), 0);
    return 0;
}

TEST(sem_of_too_many_permits_dies) {
    hd_sem full = HD_SEM_INIT(INT32_MAX);
    hd_sem over = HD_SEM_INIT((uint64_t)INT32_MAX + 1);
    hd_sem negative = HD_SEM_INIT(-1);
    CHECK_DEATH("hd_sem_post: semaphore", hd_sem_post(&full));
    CHECK(hd_sem_trywait(&full));
    hd_sem_post(&full);
    CHECK_DEATH("more than 2147483647 permits", hd_sem_trywait(&over));
    CHECK_DEATH("more than 2147483647 permits", hd_sem_wait(&negative));
    CHECK_DEATH("more than 2147483647 permits", hd_sem_post(&negative));
}

/* ---- wait group ---- */

static void *wait_group(void *wg) {
    return (void *)(intptr_t)hd_waitgroup_wait(wg);
}

struct piece {
    hd_waitgroup *wg;
    int done;
};

static void *work(void *arg) {
    struct piece *p = arg;
    if (hd_self())
        hd_yield();
    p->done = 1;
    hd_waitgroup_done(p->wg);
    return NULL;
}

RUNTIME_TEST(waitgroup_waits_for_all_pieces, 2) {
    hd_waitgroup wg = HD_WAITGROUP_INIT;
    struct piece pieces[20];
    CHECK_OK(hd_waitgroup_wait(&wg)); /* nothing outstanding */
    for (int round = 0; round < 50; round++) {
        hd_waitgroup_add(&wg, 20);
        for (int i = 0; i < 20; i++) {
            pieces[i] = (struct piece){&wg, 0};
            CHECK_OK(hd_spawn(NULL, NULL, work, &pieces[i]));
        }
        CHECK_OK(hd_waitgroup_wait(&wg));
        for (int i = 0; i < 20; i++)
            CHECK_EQ(pieces[i].done, 1);
    }
    return 0;
}

RUNTIME_TEST(waitgroup_releases_every_waiter, 2) {
    hd_waitgroup wg = HD_WAITGROUP_INIT;
    hd_thread *threads[5];
    pthread_t foreign;
    hd_waitgroup_add(&wg, 5);
    for (int i = 0; i < 5; i++)
        threads[i] = spawn(wait_group, &wg);
    CHECK_EQ(pthread_create(&foreign, NULL, wait_group, &wg), 0);
    let_wait();
    hd_waitgroup_add(&wg, -3);
    hd_waitgroup_done(&wg);
    CHECK_ERR(hd_waitgroup_wait_until(&wg, hd_now_ns() + MS), -ETIMEDOUT);
    hd_waitgroup_done(&wg);
    for (int i = 0; i < 5; i++)
        CHECK(join(threads[i]) == NULL);
    CHECK_EQ(pthread_join(foreign, NULL), 0);
    CHECK_OK(hd_waitgroup_wait_until(&wg, 0));
    return 0;
}

RUNTIME_TEST(waitgroup_wait_ends_early, 1) {
    hd_waitgroup wg = HD_WAITGROUP_INIT;
    hd_waitgroup_add(&wg, 1);
    CHECK_ERR(hd_waitgroup_wait_until(&wg, 0), -ETIMEDOUT);
    hd_thread *t = spawn(wait_group, &wg);
    let_wait();
    hd_interrupt(t);
    CHECK_EQ((intptr_t)join(t), -EINTR);
    hd_interrupt(hd_self());
    CHECK_ERR(hd_waitgroup_wait(&wg), -EINTR);
    hd_waitgroup_done(&wg);
    CHECK_OK(hd_waitgroup_wait(&wg));
    return 0;
}

TEST(waitgroup_outside_its_range_dies) {
    hd_waitgroup wg = HD_WAITGROUP_INIT;
    CHECK_DEATH("hd_waitgroup_done: the count of wait group", hd_waitgroup_done(&wg));
    CHECK_DEATH("falls below zero (0, adding -1)", hd_waitgroup_done(&wg));
    CHECK_DEATH("falls below zero", hd_waitgroup_add(&wg, INT64_MIN));
    CHECK_DEATH("overflows", hd_waitgroup_add(&wg, INT64_MAX));
    hd_waitgroup_add(&wg, 3);
    CHECK_DEATH("falls below zero (3, adding -4)", hd_waitgroup_add(&wg, -4));
    hd_waitgroup_add(&wg, -3);
}

/* ---- event ---- */

static void *wait_event(void *e) {
    return (void *)(intptr_t)hd_event_wait(e);
}

RUNTIME_TEST(event_stays_set_until_reset, 2) {
    hd_event e = HD_EVENT_INIT;
    CHECK(!hd_event_is_set(&e));
    CHECK_ERR(hd_event_wait_until(&e, 0), -ETIMEDOUT);
    hd_event_set(&e);
    hd_event_set(&e);
    CHECK(hd_event_is_set(&e));
    CHECK_OK(hd_event_wait(&e));
    CHECK_OK(hd_event_wait_until(&e, 0));
    hd_event_reset(&e);
    hd_event_reset(&e);
    CHECK(!hd_event_is_set(&e));
    CHECK_ERR(hd_event_wait_until(&e, hd_now_ns() + MS), -ETIMEDOUT);
    return 0;
}

struct crowd {
    hd_event event;
    _Atomic int arrived, released;
};

static void *join_crowd(void *arg) {
    struct crowd *c = arg;
    atomic_fetch_add(&c->arrived, 1);
    CHECK_OK(hd_event_wait(&c->event));
    atomic_fetch_add(&c->released, 1);
    return NULL;
}

RUNTIME_TEST(event_releases_present_waiters_even_if_reset_at_once, 1) {
    struct crowd c = {.event = HD_EVENT_INIT};
    hd_thread *threads[5];
    pthread_t foreign;
    for (int i = 0; i < 5; i++)
        threads[i] = spawn(join_crowd, &c);
    CHECK_EQ(pthread_create(&foreign, NULL, join_crowd, &c), 0);
    while (atomic_load(&c.arrived) < 6)
        hd_sleep_for(MS);
    let_wait();
    hd_event_set(&c.event);
    hd_event_reset(&c.event);
    for (int ms = 0; ms < 2000 && atomic_load(&c.released) < 6; ms++)
        hd_sleep_for(MS);
    CHECK_GE(atomic_load(&c.released), 1);
    hd_event_set(&c.event); /* for one that had arrived, but was not yet waiting */
    for (int i = 0; i < 5; i++)
        join(threads[i]);
    CHECK_EQ(pthread_join(foreign, NULL), 0);
    return 0;
}

RUNTIME_TEST(event_wait_is_interrupted, 2) {
    hd_event e = HD_EVENT_INIT;
    hd_thread *t = spawn(wait_event, &e);
    let_wait();
    hd_interrupt(t);
    CHECK_EQ((intptr_t)join(t), -EINTR);
    hd_interrupt(hd_self());
    CHECK_ERR(hd_event_wait(&e), -EINTR);
    hd_event_set(&e);
    CHECK_OK(hd_event_wait(&e));
    return 0;
}
