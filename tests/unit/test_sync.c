/* SPDX-License-Identifier: MIT */
/* Mutex, condition, semaphore, wait group, event and once: what each call promises, one thing a
 * test, with threads and foreign kernel threads. Races are the stress programs' part. */
#include "runtime_test.h"

static uint64_t in_ms(uint64_t n) {
    return hd_now_ns() + n * MS;
}

/* ---- mutex ---- */

static void *try_and_say(void *m) {
    bool got = hd_mutex_trylock(m);
    if (got)
        hd_mutex_unlock(m);
    return (void *)(uintptr_t)got;
}

RUNTIME_TEST(mutex_trylock_tells_whether_it_is_taken, 2) {
    hd_mutex m = HD_MUTEX_INIT;
    CHECK(hd_mutex_trylock(&m));
    CHECK(!hd_mutex_trylock(&m));
    CHECK(join(spawn(try_and_say, &m)) == NULL);
    hd_mutex_unlock(&m);
    CHECK(join(spawn(try_and_say, &m)) != NULL);
    hd_mutex_lock(&m);
    CHECK(join(spawn(try_and_say, &m)) == NULL);
    hd_mutex_unlock(&m);
    return 0;
}

struct counter {
    hd_mutex mutex;
    long value;
    unsigned long rounds;
};

static void *count_up(void *arg) {
    struct counter *c = arg;
    for (unsigned long i = 0; i < c->rounds; i++) {
        hd_mutex_lock(&c->mutex);
        long seen = c->value;
        if (i % 64 == 0 && hd_self())
            hd_yield();
        c->value = seen + 1;
        hd_mutex_unlock(&c->mutex);
    }
    return NULL;
}

RUNTIME_TEST(mutex_excludes_threads_and_foreign_threads, 2) {
    struct counter c = {.rounds = test_iterations(5000)};
    hd_thread *threads[6];
    pthread_t foreign[2];
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&foreign[i], NULL, count_up, &c), 0);
    for (int i = 0; i < 6; i++)
        threads[i] = spawn(count_up, &c);
    for (int i = 0; i < 6; i++)
        join(threads[i]);
    /* Threads of the runtime are all done, so the foreign ones need nobody any more. */
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(foreign[i], NULL), 0);
    CHECK_EQ(c.value, (long)(8 * c.rounds));
    return 0;
}

struct lock_until {
    hd_mutex mutex;
    uint64_t deadline_ns;
};

static void *lock_until(void *arg) {
    struct lock_until *l = arg;
    int err = hd_mutex_lock_until(&l->mutex, l->deadline_ns);
    if (err == 0)
        hd_mutex_unlock(&l->mutex);
    return (void *)(intptr_t)err;
}

RUNTIME_TEST(mutex_lock_until_gives_up_at_the_deadline, 2) {
    struct lock_until l = {.deadline_ns = 0};
    CHECK_OK(hd_mutex_lock_until(&l.mutex, 0)); /* free: no wait, no deadline */
    CHECK_EQ((intptr_t)join(spawn(lock_until, &l)), -ETIMEDOUT);
    uint64_t start_ns = hd_now_ns();
    l.deadline_ns = start_ns + 10 * MS;
    CHECK_EQ((intptr_t)join(spawn(lock_until, &l)), -ETIMEDOUT);
    CHECK_GE(hd_now_ns(), start_ns + 10 * MS);
    hd_mutex_unlock(&l.mutex);
    CHECK_EQ((intptr_t)join(spawn(lock_until, &l)), 0);
    CHECK(hd_mutex_trylock(&l.mutex));
    hd_mutex_unlock(&l.mutex);
    return 0;
}

RUNTIME_TEST(mutex_lock_until_is_interrupted, 2) {
    struct lock_until l = {.deadline_ns = HD_FOREVER};
    hd_mutex_lock(&l.mutex);
    hd_thread *t = spawn(lock_until, &l);
    let_wait();
    hd_interrupt(t);
    CHECK_EQ((intptr_t)join(t), -EINTR);
    hd_mutex_unlock(&l.mutex);
    /* A pending interruption ends a wait, but not a call that need not wait. */
    hd_interrupt(hd_self());
    CHECK_OK(hd_mutex_lock_until(&l.mutex, HD_FOREVER));
    hd_mutex_unlock(&l.mutex);
    CHECK_ERR(hd_sleep_for(MS), -EINTR);
    CHECK_OK(hd_sleep_for(1));
    return 0;
}

static void *lock_then_sleep(void *m) {
    hd_mutex_lock(m);
    hd_mutex_unlock(m);
    return (void *)(intptr_t)hd_sleep_for(1);
}

RUNTIME_TEST(mutex_lock_leaves_an_interruption_pending, 1) {
    hd_mutex m = HD_MUTEX_INIT;
    hd_mutex_lock(&m);
    hd_thread *t = spawn(lock_then_sleep, &m);
    let_wait();
    hd_interrupt(t);
    let_wait();
    hd_mutex_unlock(&m);
    CHECK_EQ((intptr_t)join(t), -EINTR);
    return 0;
}

struct barger {
    hd_mutex mutex;
    _Atomic bool stop;
    _Atomic unsigned long rounds;
};

/* Takes the mutex again as soon as it has given it back, and is away while it has it. */
static void *barge(void *arg) {
    struct barger *b = arg;
    while (!atomic_load(&b->stop)) {
        hd_mutex_lock(&b->mutex);
        atomic_fetch_add(&b->rounds, 1);
        if (hd_self()) {
            hd_yield();
        } else {
            uint64_t until_ns = hd_now_ns() + 20 * 1000;
            while (hd_now_ns() < until_ns) {
            }
        }
        hd_mutex_unlock(&b->mutex);
    }
    return NULL;
}

static void lock_against(struct barger *b) {
    unsigned long seen = 0;
    for (unsigned long i = 0; i < test_iterations(50); i++) {
        while (atomic_load(&b->rounds) == seen)
            hd_sleep_for(10 * 1000);
        hd_mutex_lock(&b->mutex);
        seen = atomic_load(&b->rounds);
        hd_mutex_unlock(&b->mutex);
    }
    atomic_store(&b->stop, true);
}

RUNTIME_TEST(mutex_is_handed_over_to_a_loser, 1) {
    struct barger b = {.stop = false};
    hd_thread *t = spawn(barge, &b);
    let_wait();
    lock_against(&b);
    join(t);
    return 0;
}

/* A waiter that was woken and does not get to run is given way to after many unlocks; but not where
 * the unlocker must not leave its worker. Debug builds abort if it does so in a read section. */
enum { MANY_UNLOCKS = 40000 };

struct hogged {
    hd_mutex mutex;
    _Atomic bool got;
};

static void *get_in_between(void *arg) {
    struct hogged *h = arg;
    hd_mutex_lock(&h->mutex);
    atomic_store(&h->got, true);
    hd_mutex_unlock(&h->mutex);
    return NULL;
}

/* Whether a waiter got the mutex while this thread took it again and again. */
static bool gives_way(bool reading, bool disabled) {
    struct hogged h = {.got = false};
    hd_mutex_lock(&h.mutex);
    hd_thread *t = spawn(get_in_between, &h);
    hd_yield(); /* it waits */
    if (reading)
        hd_rcu_read_lock();
    if (disabled)
        hd_preempt_disable();
    for (int i = 0; i < MANY_UNLOCKS; i++) {
        hd_mutex_unlock(&h.mutex);
        hd_mutex_lock(&h.mutex);
    }
    bool got = atomic_load(&h.got);
    if (disabled)
        hd_preempt_enable();
    if (reading)
        hd_rcu_read_unlock();
    hd_mutex_unlock(&h.mutex);
    join(t);
    return got;
}

static int give_way_or_not(void *arg) {
    (void)arg;
    CHECK(gives_way(false, false));
#ifndef HD_HOSTILE /* which yields everywhere */
    CHECK(!gives_way(true, false));
    CHECK(!gives_way(false, true));
#endif
    return 0;
}

TEST(mutex_unlock_gives_way_unless_it_must_not) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .slice_us = HD_SLICE_NONE), give_way_or_not, NULL));
}

TEST(mutex_is_handed_over_between_foreign_threads) {
    struct barger b = {.stop = false};
    pthread_t foreign;
    CHECK_EQ(pthread_create(&foreign, NULL, barge, &b), 0);
    lock_against(&b);
    CHECK_EQ(pthread_join(foreign, NULL), 0);
}

TEST(mutex_unlock_of_a_free_one_dies) {
    hd_mutex m = HD_MUTEX_INIT;
    CHECK_DEATH("hd_mutex_unlock: mutex", hd_mutex_unlock(&m));
    hd_mutex_lock(&m);
    hd_mutex_unlock(&m);
    CHECK_DEATH("is not locked", hd_mutex_unlock(&m));
}

/* ---- cond ---- */

struct gate {
    hd_mutex mutex;
    hd_cond cond;
    int waiting, passed, tickets;
    uint64_t deadline_ns;
};

static void *pass_gate(void *arg) {
    struct gate *g = arg;
    int err = 0;
    hd_mutex_lock(&g->mutex);
    g->waiting++;
    while (g->tickets == 0 && err == 0)
        err = hd_cond_wait_until(&g->cond, &g->mutex, g->deadline_ns);
    CHECK(!hd_mutex_trylock(&g->mutex));
    g->waiting--;
    if (g->tickets > 0) {
        g->tickets--;
        g->passed++;
    }
    hd_mutex_unlock(&g->mutex);
    return (void *)(intptr_t)err;
}

static void await(struct gate *g, const int *number, int value) {
    for (;;) {
        hd_mutex_lock(&g->mutex);
        int now = *number;
        hd_mutex_unlock(&g->mutex);
        if (now == value)
            return;
        hd_sleep_for(MS / 10);
    }
}

static void admit(struct gate *g, int n) {
    hd_mutex_lock(&g->mutex);
    g->tickets += n;
    hd_mutex_unlock(&g->mutex);
}

RUNTIME_TEST(cond_signal_wakes_one_and_broadcast_all, 2) {
    struct gate g = {.deadline_ns = HD_FOREVER};
    hd_thread *threads[8];
    hd_cond_signal(&g.cond); /* nobody waits: forgotten */
    hd_cond_broadcast(&g.cond);
    for (int i = 0; i < 8; i++)
        threads[i] = spawn(pass_gate, &g);
    await(&g, &g.waiting, 8);
    CHECK_EQ(g.passed, 0);
    for (int i = 1; i <= 3; i++) {
        admit(&g, 1);
        hd_cond_signal(&g.cond);
        await(&g, &g.passed, i);
    }
    CHECK_EQ(g.waiting, 5);
    hd_mutex_lock(&g.mutex);
    g.tickets = 5;
    hd_cond_broadcast(&g.cond); /* with the mutex held: all move to its queue */
    hd_mutex_unlock(&g.mutex);
    for (int i = 0; i < 8; i++)
        CHECK(join(threads[i]) == NULL);
    CHECK_EQ(g.passed, 8);
    return 0;
}

RUNTIME_TEST(cond_broadcast_without_the_mutex_wakes_all, 2) {
    struct gate g = {.deadline_ns = HD_FOREVER};
    hd_thread *threads[8];
    for (int i = 0; i < 8; i++)
        threads[i] = spawn(pass_gate, &g);
    await(&g, &g.waiting, 8);
    admit(&g, 8);
    hd_cond_broadcast(&g.cond);
    for (int i = 0; i < 8; i++)
        CHECK(join(threads[i]) == NULL);
    return 0;
}

RUNTIME_TEST(cond_wait_times_out_with_the_mutex_held, 2) {
    struct gate g = {.deadline_ns = 0};
    CHECK_EQ((intptr_t)pass_gate(&g), -ETIMEDOUT);
    g.deadline_ns = in_ms(5);
    CHECK_EQ((intptr_t)pass_gate(&g), -ETIMEDOUT);
    CHECK_GE(hd_now_ns(), g.deadline_ns);
    CHECK(hd_mutex_trylock(&g.mutex));
    hd_mutex_unlock(&g.mutex);
    return 0;
}

RUNTIME_TEST(cond_wait_is_interrupted_with_the_mutex_held, 2) {
    struct gate g = {.deadline_ns = HD_FOREVER};
    hd_thread *t = spawn(pass_gate, &g);
    await(&g, &g.waiting, 1);
    hd_interrupt(t);
    CHECK_EQ((intptr_t)join(t), -EINTR);
    hd_interrupt(hd_self());
    CHECK_EQ((intptr_t)pass_gate(&g), -EINTR);
    return 0;
}

/* A waiter that was signalled while the mutex was taken has consumed the signal: neither its
 * deadline nor an interruption turn that into an error. */
RUNTIME_TEST(cond_signalled_waiter_returns_0, 2) {
    struct gate g = {.deadline_ns = in_ms(500)};
    hd_thread *t = spawn(pass_gate, &g);
    await(&g, &g.waiting, 1);
    hd_mutex_lock(&g.mutex);
    g.tickets = 1;
    hd_cond_signal(&g.cond);
    hd_interrupt(t);
    hd_sleep_until(g.deadline_ns + MS);
    hd_mutex_unlock(&g.mutex);
    CHECK_EQ((intptr_t)join(t), 0);
    CHECK_EQ(g.passed, 1);
    return 0;
}

static void *signal_from_outside(void *arg) {
    struct gate *g = arg;
    admit(g, 1);
    hd_cond_signal(&g->cond);
    return NULL;
}

RUNTIME_TEST(cond_between_threads_and_foreign_threads, 2) {
    struct gate g = {.deadline_ns = HD_FOREVER};
    pthread_t foreign;
    CHECK_EQ(pthread_create(&foreign, NULL, signal_from_outside, &g), 0);
    CHECK(pass_gate(&g) == NULL);
    CHECK_EQ(pthread_join(foreign, NULL), 0);
    CHECK_EQ(pthread_create(&foreign, NULL, pass_gate, &g), 0);
    await(&g, &g.waiting, 1);
    signal_from_outside(&g);
    await(&g, &g.waiting, 0);
    void *result = &g;
    CHECK_EQ(pthread_join(foreign, &result), 0);
    CHECK(result == NULL);
    return 0;
}

TEST(cond_wait_without_the_mutex_dies) {
    hd_mutex m = HD_MUTEX_INIT;
    hd_cond c = HD_COND_INIT;
    CHECK_DEATH("hd_cond_wait: mutex", hd_cond_wait(&c, &m));
}

/* ---- once ---- */

struct lazy {
    hd_once once;
    int runs, value;
    bool slow;
};

static void make_value(void *arg) {
    struct lazy *l = arg;
    if (l->slow)
        hd_sleep_for(5 * MS);
    l->value = 42;
    l->runs++;
}

static void *get_value(void *arg) {
    struct lazy *l = arg;
    hd_once_call(&l->once, make_value, l);
    return (void *)(intptr_t)l->value;
}

RUNTIME_TEST(once_runs_once_and_everybody_waits_for_it, 2) {
    struct lazy l = {.once = HD_ONCE_INIT, .slow = true};
    hd_thread *threads[8];
    pthread_t foreign;
    CHECK_EQ(pthread_create(&foreign, NULL, get_value, &l), 0);
    for (int i = 0; i < 8; i++)
        threads[i] = spawn(get_value, &l);
    hd_interrupt(threads[3]); /* does not end its wait */
    for (int i = 0; i < 8; i++)
        CHECK_EQ((intptr_t)join(threads[i]), 42);
    CHECK_EQ((intptr_t)get_value(&l), 42);
    void *result;
    CHECK_EQ(pthread_join(foreign, &result), 0);
    CHECK_EQ((intptr_t)result, 42);
    CHECK_EQ(l.runs, 1);
    return 0;
}

struct slow_once {
    hd_once once;
    hd_event runs_now, go;
    int runs;
};

static void run_slowly(void *arg) {
    struct slow_once *s = arg;
    hd_event_set(&s->runs_now);
    CHECK_OK(hd_event_wait(&s->go));
    s->runs++;
}

static void *call_slowly(void *arg) {
    struct slow_once *s = arg;
    return (void *)(intptr_t)hd_once_call_until(&s->once, run_slowly, s, HD_FOREVER);
}

RUNTIME_TEST(once_call_until_gives_up, 2) {
    struct slow_once s = {.runs = 0};
    hd_thread *runner = spawn(call_slowly, &s), *waiter;
    CHECK_OK(hd_event_wait(&s.runs_now));
    CHECK_ERR(hd_once_call_until(&s.once, run_slowly, &s, 0), -ETIMEDOUT);
    CHECK_ERR(hd_once_call_until(&s.once, run_slowly, &s, in_ms(2)), -ETIMEDOUT);
    waiter = spawn(call_slowly, &s);
    hd_interrupt(waiter);
    CHECK_EQ((intptr_t)join(waiter), -EINTR);
    waiter = spawn(call_slowly, &s);
    let_wait();
    hd_event_set(&s.go);
    CHECK(join(waiter) == NULL);
    CHECK(join(runner) == NULL);
    CHECK_OK(hd_once_call_until(&s.once, run_slowly, &s, 0));
    CHECK_EQ(s.runs, 1);
    return 0;
}

static void call_again(void *o) {
    hd_once_call(o, call_again, o);
}

static int recursive_once(void *arg) {
    hd_once o = HD_ONCE_INIT;
    hd_once_call(&o, call_again, &o);
    (void)arg;
    return 0;
}

TEST(once_from_within_its_function_dies) {
    CHECK_DEATH("from within its own function", recursive_once(NULL));
    CHECK_DEATH("from within its own function",
                hd_run(HD_CONFIG(.workers = 1), recursive_once, NULL));
}
