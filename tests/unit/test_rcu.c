/* SPDX-License-Identifier: MIT */
/* Read-copy-update: what sections, grace periods and calls promise, one thing a test. Races are
 * stress_rcu's part. */
#include "preempt_test.h"

static void nothing(hd_rcu_head *head) {
    (void)head;
}

RUNTIME_TEST(rcu_sections_nest, 1) {
    CHECK(!hd_rcu_reading());
    hd_rcu_read_lock();
    CHECK(hd_rcu_reading());
    hd_rcu_read_lock();
    hd_rcu_read_lock();
    hd_rcu_read_unlock();
    CHECK(hd_rcu_reading());
    hd_rcu_read_unlock();
    CHECK(hd_rcu_reading());
    hd_rcu_read_unlock();
    CHECK(!hd_rcu_reading());
    return 0;
}

static int misuse(void (*fn)(void)) {
    fn();
    return 0;
}

static void unlock_alone(void) {
    hd_rcu_read_unlock();
}

static void synchronize_within(void) {
    hd_rcu_read_lock();
    hd_rcu_synchronize();
}

static void barrier_within(void) {
    hd_rcu_read_lock();
    hd_rcu_barrier();
}

static void barrier_in_barrier(hd_rcu_head *head) {
    (void)head;
    hd_rcu_barrier();
}

static void barrier_in_call(void) {
    static hd_rcu_head head;
    hd_rcu_call(&head, barrier_in_barrier);
    hd_rcu_barrier();
}

static void call_nothing(void) {
    static hd_rcu_head head;
    hd_rcu_call(&head, NULL);
}

static int run_misuse(void *arg) {
    void (*fn)(void);
    memcpy(&fn, arg, sizeof fn);
    return misuse(fn);
}

static void in_runtime(void (*fn)(void)) {
    hd_run(HD_CONFIG(.workers = 1), run_misuse, &fn);
}

static void unregister_within(void) {
    CHECK_OK(hd_rcu_register());
    hd_rcu_read_lock();
    hd_rcu_unregister();
}

static void *end_within(void *arg) {
    hd_rcu_read_lock();
    return arg;
}

static void thread_ends_within(void) {
    join(spawn(end_within, NULL));
}

static void *end_within_foreign(void *arg) {
    CHECK_OK(hd_rcu_register());
    return end_within(arg);
}

static void kernel_thread_ends_within(void) {
    foreign_join(foreign(end_within_foreign, NULL));
}

TEST(rcu_misuse_is_told) {
    CHECK_DEATH("no read section is open", in_runtime(unlock_alone));
    CHECK_DEATH("hd_rcu_synchronize: called within a read section", in_runtime(synchronize_within));
    CHECK_DEATH("hd_rcu_barrier: called within a read section", in_runtime(barrier_within));
    CHECK_DEATH("hd_rcu_barrier: called by a function", in_runtime(barrier_in_call));
    CHECK_DEATH("hd_rcu_call: head or fn is NULL", in_runtime(call_nothing));
    CHECK_DEATH("call hd_rcu_register() in it first", hd_rcu_read_lock());
    CHECK_DEATH("hd_rcu_unregister: called within", unregister_within());
    CHECK_DEATH("thread 2 '' ends within a read section", in_runtime(thread_ends_within));
    CHECK_DEATH("ends within a read section", kernel_thread_ends_within());
}

#ifdef HD_DEBUG
static void *yield_for_ever(void *arg) {
    for (;;) hd_yield();
    return arg;
}

static void yield_within(void) {
    spawn(yield_for_ever, NULL);
    hd_rcu_read_lock();
    for (;;) hd_yield(); /* some do not switch */
}

static void sleep_within(void) {
    hd_rcu_read_lock();
    hd_sleep_for(MS);
}

static void wait_within(void) {
    hd_event e = HD_EVENT_INIT;
    hd_rcu_read_lock();
    hd_event_wait(&e);
}

static void blocking_within(void) {
    hd_rcu_read_lock();
    hd_blocking(end_within, NULL, NULL);
}

static void foreign_waits_within(void) {
    hd_event e = HD_EVENT_INIT;
    CHECK_OK(hd_rcu_register());
    hd_rcu_read_lock();
    hd_event_wait(&e);
}

TEST(rcu_a_section_that_waits_is_told_in_debug_builds) {
    CHECK_DEATH("waits or yields within a read section", in_runtime(yield_within));
    CHECK_DEATH("waits or yields within a read section", in_runtime(sleep_within));
    CHECK_DEATH("waits or yields within a read section", in_runtime(wait_within));
    CHECK_DEATH("calls hd_blocking() within", in_runtime(blocking_within));
    CHECK_DEATH("waits within a read section", foreign_waits_within());
}
#endif

/* ---- Grace periods ---- */

struct pair {
    counter entered, leave, left, synchronized;
};

static void *read_on_request(void *arg) {
    struct pair *p = arg;
    hd_rcu_read_lock();
    count_up(&p->entered);
    spin_until(&p->leave, 1);
    CHECK_EQ(count_of(&p->synchronized), 0);
    count_up(&p->left);
    hd_rcu_read_unlock();
    return NULL;
}

static void *read_on_request_foreign(void *arg) {
    CHECK_OK(hd_rcu_register());
    CHECK_OK(hd_rcu_register());
    return read_on_request(arg); /* and ends without hd_rcu_unregister() */
}

static void *synchronize(void *arg) {
    struct pair *p = arg;
    hd_rcu_synchronize();
    CHECK_EQ(count_of(&p->left), 1);
    count_up(&p->synchronized);
    return NULL;
}

static void check_grace_period(bool foreign_reader, bool foreign_writer) {
    struct pair p = {0};
    pthread_t kernel_threads[2];
    hd_thread *threads[2];
    if (foreign_reader)
        kernel_threads[0] = foreign(read_on_request_foreign, &p);
    else
        threads[0] = spawn(read_on_request, &p);
    while (count_of(&p.entered) == 0) hd_yield();
    if (foreign_writer)
        kernel_threads[1] = foreign(synchronize, &p);
    else
        threads[1] = spawn(synchronize, &p);
    let_wait(); /* it has asked for a report by then, and is parked */
    CHECK_EQ(count_of(&p.synchronized), 0);
    count_up(&p.leave);
    for (int i = 0; i < 2; i++) {
        if (i ? foreign_writer : foreign_reader)
            foreign_join(kernel_threads[i]);
        else
            join(threads[i]);
    }
    CHECK_EQ(count_of(&p.synchronized), 1);
}

RUNTIME_TEST(rcu_a_grace_period_waits_for_open_sections, 3) {
    for (int i = 0; i < 4; i++) check_grace_period(i & 1, i & 2);
    return 0;
}

static void *read_without_a_pause(void *arg) {
    struct pair *p = arg;
    count_up(&p->entered);
    while (count_of(&p->leave) == 0) {
        hd_rcu_read_lock();
        for (volatile int i = 0; i < 100; i++) {
        }
        hd_rcu_read_unlock();
    }
    return NULL;
}

RUNTIME_TEST(rcu_readers_without_a_pause_hold_nobody_up, 3) {
    struct pair p = {0};
    hd_thread *threads[2];
    for (int i = 0; i < 2; i++) threads[i] = spawn(read_without_a_pause, &p);
    while (count_of(&p.entered) < 2) hd_yield();
    for (int i = 0; i < 100; i++) hd_rcu_synchronize();
    count_up(&p.leave);
    for (int i = 0; i < 2; i++) join(threads[i]);
    return 0;
}

RUNTIME_TEST(rcu_nobody_is_waited_for_at_rest, 2) {
    int fds[2];
    CHECK_EQ(pipe(fds), 0);
    for (int i = 0; i < 10; i++) hd_rcu_synchronize();
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static void *synchronize_often(void *arg) {
    for (int i = 0; i < 50; i++) hd_rcu_synchronize();
    return arg;
}

RUNTIME_TEST(rcu_many_wait_at_once, 2) {
    hd_thread *threads[8];
    pthread_t kernel_threads[2];
    for (int i = 0; i < 2; i++) kernel_threads[i] = foreign(synchronize_often, NULL);
    for (int i = 0; i < 8; i++) threads[i] = spawn(synchronize_often, NULL);
    for (int i = 0; i < 8; i++) join(threads[i]);
    for (int i = 0; i < 2; i++) foreign_join(kernel_threads[i]);
    return 0;
}

static int nothing_to_do(void *arg) {
    (void)arg;
    hd_rcu_read_lock();
    hd_rcu_read_unlock();
    return 0;
}

TEST(rcu_a_registered_kernel_thread_may_start_a_runtime) {
    hd_rcu_synchronize(); /* without a runtime, and without readers */
    CHECK_OK(hd_rcu_register());
    for (int i = 0; i < 3; i++) CHECK_OK(hd_run(HD_CONFIG(.workers = 2), nothing_to_do, NULL));
    hd_rcu_read_lock();
    hd_rcu_read_unlock();
    hd_rcu_synchronize();
    hd_rcu_unregister();
    hd_rcu_unregister();
    CHECK_DEATH("call hd_rcu_register", hd_rcu_read_lock());
}

/* ---- Preemption ---- */

PREEMPT_TEST(rcu_a_section_is_not_preempted, 1) {
    static struct clockwork clock;
    struct ticker t = {0};
    if (test_under_valgrind())
        SKIP("who waits for Valgrind's own lock looks blocked, and so loses its worker");
    clockwork_start(&clock);
    ticker_start(&t, NULL);
    hd_yield();
    for (int i = 0; i < 3; i++) {
        hd_rcu_read_lock();
        uint64_t turns = count_of(&t.turns);
        clockwork_spin(&clock, 3);
        CHECK_EQ(count_of(&t.turns), turns);
        hd_rcu_read_lock();
        hd_rcu_read_unlock();
        CHECK_EQ(count_of(&t.turns), turns);
        hd_rcu_read_unlock(); /* here it happens */
        CHECK_LT(turns, count_of(&t.turns));
    }
    clockwork_stop(&clock);
    ticker_stop(&t);
    return 0;
}

PREEMPT_TEST(rcu_sections_and_other_unpreempted_ones_may_overlap, 1) {
    static struct clockwork clock;
    struct ticker t = {0};
    clockwork_start(&clock);
    ticker_start(&t, NULL);
    hd_yield();
    for (int i = 0; i < 2; i++) {
        uint64_t turns = count_of(&t.turns);
        hd_preempt_disable();
        hd_rcu_read_lock();
        clockwork_spin(&clock, 2);
        if (i)
            hd_preempt_enable();
        else
            hd_rcu_read_unlock();
        CHECK_EQ(count_of(&t.turns), turns);
        if (i)
            hd_rcu_read_unlock();
        else
            hd_preempt_enable();
        CHECK_LT(turns, count_of(&t.turns));
    }
    clockwork_stop(&clock);
    ticker_stop(&t);
    return 0;
}

static void *short_sections(void *arg) {
    struct ticker *t = arg;
    uint64_t turns = count_of(&t->turns);
    while (count_of(&t->turns) < turns + 20) {
        hd_rcu_read_lock();
        hd_rcu_read_unlock();
    }
    return NULL;
}

PREEMPT_TEST(rcu_light_threads_read, 1) {
    struct ticker t = {0};
    ticker_start(&t, NULL);
    hd_yield();
    hd_thread *threads[2];
    for (int i = 0; i < 2; i++) threads[i] = spawn_kind(HD_PREEMPT_LIGHT, short_sections, &t);
    for (int i = 0; i < 2; i++) join(threads[i]);
    ticker_stop(&t);
    return 0;
}

/* ---- Calls ---- */

struct called {
    hd_rcu_head head;
    int number;
};
static counter done;
static int last;

static void note(hd_rcu_head *head) {
    struct called *c = (struct called *)(void *)head;
    CHECK_EQ(c->number, last + 1);
    last = c->number;
    free(c);
    count_up(&done);
}

static void call_note(int number) {
    struct called *c = malloc(sizeof *c);
    c->number = number;
    hd_rcu_call(&c->head, note);
}

static void *call_from_outside(void *arg) {
    for (int i = 101; i <= 200; i++) call_note(i);
    hd_rcu_barrier();
    CHECK_EQ(count_of(&done), *(uint64_t *)arg);
    return NULL;
}

RUNTIME_TEST(rcu_calls_come_in_order, 2) {
    last = 0;
    hd_rcu_read_lock();
    for (int i = 1; i <= 100; i++) call_note(i);
    CHECK_EQ(count_of(&done), 0); /* the section is open */
    hd_rcu_read_unlock();
    hd_rcu_barrier();
    CHECK_EQ(count_of(&done), 100);
    hd_rcu_barrier();
    uint64_t sum = 200;
    foreign_join(foreign(call_from_outside, &sum));
    return 0;
}

static int leave_calls(void *arg) {
    (void)arg;
    for (int i = 1; i <= 100; i++) call_note(i);
    return 0;
}

TEST(rcu_calls_come_before_the_runtime_ends) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1), leave_calls, NULL));
    CHECK_EQ(count_of(&done), 100);
    last = 0;
    CHECK_OK(hd_start(HD_CONFIG(.workers = 2)));
    for (int i = 1; i <= 100; i++) call_note(i);
    CHECK_OK(hd_stop());
    CHECK_EQ(count_of(&done), 200);
}

TEST(rcu_calls_without_a_runtime_wait_for_a_barrier) {
    for (int i = 1; i <= 10; i++) call_note(i);
    CHECK_EQ(count_of(&done), 0);
    hd_rcu_barrier();
    CHECK_EQ(count_of(&done), 10);
}

static hd_rcu_head again;
static void call_again(hd_rcu_head *head) {
    if (count_of(&done) < 20) hd_rcu_call(head, call_again);
    count_up(&done);
}

RUNTIME_TEST(rcu_a_function_may_call_again, 1) {
    hd_rcu_call(&again, call_again);
    while (count_of(&done) < 21) hd_rcu_barrier();
    return 0;
}

static void *barrier(void *arg) {
    hd_rcu_barrier();
    CHECK_ERR(hd_sleep_for(MS), -EINTR); /* which came in the barrier, and is still to be told */
    return arg;
}

RUNTIME_TEST(rcu_a_barrier_is_not_interrupted, 1) {
    static hd_rcu_head head;
    hd_rcu_call(&head, nothing);
    hd_thread *t = spawn(barrier, NULL);
    hd_interrupt(t);
    join(t);
    return 0;
}

static void *detached(void *arg) {
    for (;;) {
        hd_rcu_synchronize();
        count_up(arg);
        hd_yield();
    }
    return NULL;
}

static int leave_waiting(void *arg) {
    for (int i = 0; i < 4; i++) CHECK_OK(hd_spawn(NULL, NULL, detached, arg));
    while (count_of(arg) < 10) hd_yield();
    return 0;
}

/* Some of them lead a grace period, or wait for one, when there is no runtime any more. */
TEST(rcu_a_runtime_may_end_in_a_grace_period) {
    for (int i = 0; i < 10; i++) {
        counter rounds = 0;
        CHECK_OK(hd_run(HD_CONFIG(.workers = 2), leave_waiting, &rounds));
        hd_rcu_synchronize();
        hd_rcu_barrier();
    }
}

/* ---- who waits for functions is discarded ---- */

static void *barriers_for_ever(void *arg) {
    for (;;)
        hd_rcu_barrier();
    return arg;
}

static int leave_barriers(void *arg) {
    for (int i = 0; i < 4; i++)
        CHECK_OK(hd_spawn(NULL, NULL, barriers_for_ever, NULL));
    for (int i = 0; i < 20; i++)
        hd_yield();
    return arg != NULL;
}

TEST(discarded_threads_in_barriers) {
    for (int i = 0; i < 30; i++)
        CHECK_OK(hd_run(HD_CONFIG(.workers = 1 + (unsigned)i % 2), leave_barriers, NULL));
    hd_rcu_synchronize();
    hd_rcu_barrier();
}
