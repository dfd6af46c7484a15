/* SPDX-License-Identifier: MIT */
/* Interruption: of the present wait or the next one, once, and never of a call that cannot fail. */
#include "runtime_test.h"

static hd_sem ready;
static hd_mutex mutex;
static hd_event event;
static hd_cond cond;
static hd_waitgroup group;
static hd_chan *empty, *full;

static void *wait_at_event(void *arg) {
    CHECK_OK(hd_event_wait(arg));
    return NULL;
}

/* ---- every wait that can be interrupted, with and without a deadline ---- */

static uint64_t later(void) {
    return hd_now_ns() + 60000 * MS;
}

static hd_thread *waiting; /* is joined by the waits below and does not end before the event */

static int sleep_long(void) {
    return hd_sleep_for(60000 * MS);
}
static int sleep_for_ever(void) {
    return hd_sleep_until(HD_FOREVER);
}
static int sleep_overlong(void) {
    return hd_sleep_for(UINT64_MAX);
}
static int wait_join(void) {
    return hd_join(waiting, NULL);
}
static int wait_join_until(void) {
    return hd_join_until(waiting, NULL, later());
}
static int wait_sem(void) {
    hd_sem s = HD_SEM_INIT(0);
    return hd_sem_wait(&s);
}
static int wait_sem_until(void) {
    hd_sem s = HD_SEM_INIT(0);
    return hd_sem_wait_until(&s, later());
}
static int wait_event(void) {
    return hd_event_wait(&event);
}
static int wait_event_until(void) {
    return hd_event_wait_until(&event, later());
}
static int wait_group(void) {
    return hd_waitgroup_wait(&group);
}
static int wait_group_until(void) {
    return hd_waitgroup_wait_until(&group, later());
}
static int wait_mutex_until(void) {
    return hd_mutex_lock_until(&mutex, later());
}
static int wait_cond(void) {
    hd_mutex m = HD_MUTEX_INIT;
    hd_mutex_lock(&m);
    int err = hd_cond_wait(&cond, &m);
    CHECK(!hd_mutex_trylock(&m));
    hd_mutex_unlock(&m);
    return err;
}
static int wait_cond_until(void) {
    hd_mutex m = HD_MUTEX_INIT;
    hd_mutex_lock(&m);
    int err = hd_cond_wait_until(&cond, &m, later());
    CHECK(!hd_mutex_trylock(&m));
    hd_mutex_unlock(&m);
    return err;
}
static int wait_recv(void) {
    int i;
    return hd_chan_recv(empty, &i);
}
static int wait_recv_until(void) {
    int i;
    return hd_chan_recv_until(empty, &i, later());
}
static int wait_send(void) {
    int i = 1;
    return hd_chan_send(full, &i);
}
static int wait_send_until(void) {
    int i = 1;
    return hd_chan_send_until(full, &i, later());
}

static int (*const waits[])(void) = {
    sleep_long,       sleep_for_ever, sleep_overlong,  wait_join,       wait_join_until,
    wait_sem,         wait_sem_until, wait_event,      wait_event_until, wait_group,
    wait_group_until, wait_mutex_until, wait_cond,     wait_cond_until, wait_recv,
    wait_recv_until,  wait_send,      wait_send_until,
};
enum { WAITS = sizeof waits / sizeof waits[0] };

struct one_wait {
    int (*wait)(void);
    bool pending; /* the interruption comes before the wait */
};

static void *wait_and_say(void *arg) {
    const struct one_wait *one = arg;
    if (one->pending)
        hd_interrupt(hd_self());
    hd_sem_post(&ready);
    int err = one->wait();
    /* Once: the next one waits its time. */
    uint64_t deadline = hd_now_ns() + MS / 10;
    CHECK_OK(hd_sleep_until(deadline));
    CHECK_GE(hd_now_ns(), deadline);
    return (void *)(intptr_t)err;
}

static void set_waits_up(void) {
    int one = 1;
    waiting = spawn(wait_at_event, &event);
    hd_waitgroup_add(&group, 1);
    empty = hd_chan_create(sizeof(int), 1);
    full = hd_chan_create(sizeof(int), 1);
    CHECK(empty && full);
    CHECK_OK(hd_chan_send(full, &one));
    hd_mutex_lock(&mutex);
}

static void tear_waits_down(void) {
    hd_mutex_unlock(&mutex);
    hd_event_set(&event);
    join(waiting);
    hd_chan_destroy(empty);
    hd_chan_destroy(full);
}

RUNTIME_TEST(it_ends_the_present_wait, 2) {
    set_waits_up();
    for (unsigned i = 0; i < WAITS; i++) {
        struct one_wait one = {waits[i], false};
        test_note("wait %u", i);
        hd_thread *t = spawn(wait_and_say, &one);
        CHECK_OK(hd_sem_wait(&ready));
        hd_sleep_for(MS);
        CHECK_OK(hd_interrupt(t));
        CHECK_EQ((intptr_t)join(t), -EINTR);
    }
    tear_waits_down();
    return 0;
}

RUNTIME_TEST(it_ends_the_next_wait, 2) {
    set_waits_up();
    for (unsigned i = 0; i < WAITS; i++) {
        struct one_wait one = {waits[i], true};
        test_note("wait %u", i);
        CHECK_EQ((intptr_t)join(spawn(wait_and_say, &one)), -EINTR);
        CHECK_OK(hd_sem_wait(&ready));
    }
    tear_waits_down();
    return 0;
}

/* ---- what it does not end ---- */

RUNTIME_TEST(it_waits_for_a_call_that_would_block, 2) {
    hd_sem s = HD_SEM_INIT(1);
    hd_event set = HD_EVENT_INIT;
    hd_waitgroup zero = HD_WAITGROUP_INIT;
    hd_mutex m = HD_MUTEX_INIT;
    hd_chan *c = hd_chan_create(sizeof(int), 1);
    int i = 7;
    hd_event_set(&set);
    CHECK_OK(hd_interrupt(hd_self()));
    CHECK_OK(hd_sem_wait(&s));
    CHECK_OK(hd_event_wait(&set));
    CHECK_OK(hd_waitgroup_wait(&zero));
    CHECK_OK(hd_mutex_lock_until(&m, HD_FOREVER));
    CHECK_OK(hd_chan_send(c, &i));
    CHECK_OK(hd_chan_recv(c, &i));
    CHECK_OK(hd_sleep_for(0));
    hd_yield();
    CHECK_ERR(hd_sleep_for(60000 * MS), -EINTR);
    hd_chan_destroy(c);
    return 0;
}

static void *lock_briefly(void *arg) {
    hd_sem_post(&ready);
    hd_mutex_lock(arg); /* waits, deaf */
    hd_mutex_unlock(arg);
    return (void *)(intptr_t)hd_sleep_for(60000 * MS);
}

RUNTIME_TEST(a_deaf_wait_keeps_it_pending, 2) {
    for (int i = 0; i < 20; i++) {
        hd_mutex m = HD_MUTEX_INIT;
        hd_mutex_lock(&m);
        hd_thread *t = spawn(lock_briefly, &m);
        if (i % 2)
            hd_interrupt(t); /* may come before it waits, too */
        CHECK_OK(hd_sem_wait(&ready));
        if (i % 4 < 2)
            hd_sleep_for(MS / 2);
        if (i % 2 == 0)
            hd_interrupt(t);
        hd_mutex_unlock(&m);
        CHECK_EQ((intptr_t)join(t), -EINTR);
    }
    return 0;
}

/* ---- how often, and when ---- */

static void *sleep_twice(void *arg) {
    atomic_store((_Atomic bool *)arg, true);
    CHECK_ERR(hd_sleep_for(60000 * MS), -EINTR);
    return (void *)(intptr_t)hd_sleep_for(MS);
}

RUNTIME_TEST(pending_ones_do_not_add_up, 1) {
    bool late = true;
    for (int tries = 0; late && tries < 1000; tries++) {
        _Atomic bool begun = false;
        hd_thread *t = spawn(sleep_twice, &begun); /* one worker: it begins when we wait */
        for (int i = 0; i < 5; i++)
            hd_interrupt(t);
        late = atomic_load(&begun); /* or when our slice ends: that says nothing */
        intptr_t second = (intptr_t)join(t);
        CHECK(second == 0 || late);
    }
    CHECK(!late);
    return 0;
}

static void *return_at_once(void *arg) {
    return arg;
}

RUNTIME_TEST(an_ended_thread_does_not_mind, 2) {
    int object;
    hd_thread *t = spawn(return_at_once, &object);
    let_wait();
    CHECK_OK(hd_interrupt(t));
    CHECK_EQ(join(t), &object);
    /* Nor does the next user of its descriptor. */
    for (int i = 0; i < 100; i++) {
        t = spawn(return_at_once, NULL);
        hd_interrupt(t);
        join(t);
        hd_sem s = HD_SEM_INIT(0);
        CHECK_ERR(hd_sem_wait_until(&s, hd_now_ns() + 1000), -ETIMEDOUT);
    }
    return 0;
}

static void *interrupt_self_and_wait(void *arg) {
    (void)arg;
    hd_interrupt(hd_self());
    return (void *)(intptr_t)hd_sleep_until(HD_FOREVER);
}

RUNTIME_TEST(an_interrupted_join_can_be_repeated, 2) {
    hd_event go = HD_EVENT_INIT;
    hd_thread *t = spawn(wait_at_event, &go);
    CHECK_EQ((intptr_t)join(spawn(interrupt_self_and_wait, NULL)), -EINTR);
    for (int i = 0; i < 10; i++) {
        hd_interrupt(hd_self());
        CHECK_ERR(hd_join(t, NULL), -EINTR);
    }
    hd_event_set(&go);
    CHECK_OK(hd_join(t, NULL));
    return 0;
}

static void *interrupt_outside(void *t) {
    CHECK_OK(hd_interrupt(t));
    return NULL;
}

static void *sleep_and_say(void *arg) {
    (void)arg;
    hd_sem_post(&ready);
    return (void *)(intptr_t)hd_sleep_until(HD_FOREVER);
}

RUNTIME_TEST(foreign_threads_interrupt_too, 2) {
    for (int i = 0; i < 20; i++) {
        hd_thread *t = spawn(sleep_and_say, NULL);
        CHECK_OK(hd_sem_wait(&ready));
        pthread_t p = foreign(interrupt_outside, t);
        CHECK_EQ((intptr_t)join(t), -EINTR);
        foreign_join(p);
    }
    return 0;
}

/* The interruption, the deadline and the wake-up at about the same time: one of them ends the
 * wait, and an interruption that did not is still there. */
struct race {
    hd_sem sem;
    _Atomic bool posted;
    struct test_rng rng;
};

static void *wait_in_race(void *arg) {
    struct race *r = arg;
    bool interrupted = false, got = false;
    hd_sem_post(&ready);
    while (!interrupted || !got) {
        int err = hd_sem_wait_until(&r->sem, hd_now_ns() + test_rng_below(&r->rng, MS / 20));
        if (err == -EINTR) {
            CHECK(!interrupted);
            interrupted = true;
        } else if (err == 0) {
            CHECK(!got);
            got = true;
        } else {
            CHECK_EQ(err, -ETIMEDOUT);
            hd_yield();
        }
    }
    return NULL;
}

RUNTIME_TEST(one_of_three_wins, 2) {
    for (unsigned long i = 0; i < test_iterations(400); i++) {
        struct race r = {.rng = test_rng(i)};
        struct test_rng rng = test_rng(i + 1000000);
        hd_thread *t = spawn(wait_in_race, &r);
        CHECK_OK(hd_sem_wait(&ready));
        bool first = test_rng_below(&rng, 2);
        for (volatile uint64_t n = test_rng_below(&rng, 5000); n > 0; n--) {
        }
        if (first)
            hd_interrupt(t);
        hd_sem_post(&r.sem);
        if (!first)
            hd_interrupt(t);
        join(t);
    }
    return 0;
}
