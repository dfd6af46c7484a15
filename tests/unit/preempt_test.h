/* SPDX-License-Identifier: MIT */
/* What the tests of preemption share. They observe order, not time: on one worker, whatever another
 * thread did while a busy one was in its loop proves that the busy one was preempted. A preemption
 * that does not come shows as a test that does not end. */
#ifndef HEDDLE_TEST_PREEMPT_TEST_H
#define HEDDLE_TEST_PREEMPT_TEST_H

#include "runtime_test.h"

/* A configuration with the shortest slices. */
#define QUICK(...) HD_CONFIG(.slice_us = 100, __VA_ARGS__)

/* As RUNTIME_TEST(), with slices of 100 microseconds. */
#define PREEMPT_TEST(name, worker_count)                                             \
    static int main_of_##name(void *arg);                                            \
    TEST_WITHIN(name, 60) {                                                          \
        CHECK_OK(hd_run(QUICK(.workers = worker_count), main_of_##name, NULL));      \
    }                                                                                \
    static int main_of_##name(void *arg __attribute__((unused)))

typedef _Atomic uint64_t counter;

static inline uint64_t count_of(counter *c) {
    return atomic_load_explicit(c, memory_order_acquire);
}

static inline void count_up(counter *c) {
    atomic_fetch_add_explicit(c, 1, memory_order_acq_rel);
}

/* Busy until the counter has reached `value`: no call, no wait. */
static inline void spin_until(counter *c, uint64_t value) {
    while (count_of(c) < value) {
    }
}

static inline hd_thread *spawn_kind(int preempt, hd_fn fn, void *arg) {
    hd_thread *t = NULL;
    CHECK_OK(hd_spawn(&t, HD_ATTR(.preempt = preempt), fn, arg));
    return t;
}

static inline struct hd_metrics metrics(void) {
    struct hd_metrics m = HD_METRICS_INIT;
    CHECK_OK(hd_metrics_get(&m));
    return m;
}

static inline uint64_t preemptions(void) {
    struct hd_metrics m = metrics();
    return m.preempted_carrier + m.preempted_light;
}

/* ---- A thread that counts its turns ---- */

struct ticker {
    counter turns;
    _Atomic bool stop;
    void (*disturb)(void); /* done in each turn; or NULL */
    hd_thread *thread;
};

static inline void *ticker_run(void *arg) {
    struct ticker *t = arg;
    while (!atomic_load(&t->stop)) {
        count_up(&t->turns);
        if (t->disturb)
            t->disturb();
        hd_yield();
    }
    return NULL;
}

static inline void ticker_start(struct ticker *t, void (*disturb)(void)) {
    t->disturb = disturb;
    t->thread = spawn_kind(HD_PREEMPT_OFF, ticker_run, t);
}

static inline void ticker_stop(struct ticker *t) {
    atomic_store(&t->stop, true);
    join(t->thread);
}

/* ---- A foreign kernel thread that lets some time pass, on request ----
 *
 * The one that asks makes no system call, so that it does not lose its worker in one. */

struct clockwork {
    counter asked, served;
    _Atomic uint64_t tries; /* to preempt that must have been put off; 0: just a moment */
    _Atomic bool stop;
    pthread_t thread;
};

static inline void *clockwork_run(void *arg) {
    struct clockwork *c = arg;
    while (!atomic_load(&c->stop)) {
        usleep(200);
        if (count_of(&c->asked) == count_of(&c->served))
            continue;
        uint64_t tries = atomic_load(&c->tries);
        uint64_t until = tries ? metrics().preempt_deferred + tries : 0;
        if (!tries)
            usleep(20000);
        while (tries && metrics().preempt_deferred < until)
            usleep(200);
        count_up(&c->served);
    }
    return NULL;
}

static inline void clockwork_start(struct clockwork *c) {
    c->thread = foreign(clockwork_run, c);
}

static inline void clockwork_stop(struct clockwork *c) {
    atomic_store(&c->stop, true);
    foreign_join(c->thread);
}

/* Busy until as many tries to preempt somebody were put off; 0: for a moment, in which slices end
 * whether or not anybody is preempted. */
static inline void clockwork_spin(struct clockwork *c, uint64_t tries) {
    atomic_store(&c->tries, tries);
    uint64_t turn = count_of(&c->asked) + 1;
    count_up(&c->asked);
    spin_until(&c->served, turn);
}

#endif
