/* SPDX-License-Identifier: MIT */
/* Calls that block the kernel thread: the worker goes on without it. A worker that does not shows
 * as a test that does not end. */
#include "preempt_test.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

/* ---- hd_blocking() ---- */

static void *add_one(void *arg) {
    return (char *)arg + 1;
}

PREEMPT_TEST(the_result_is_passed, 1) {
    char at[4];
    void *result = NULL;
    CHECK_OK(hd_blocking(add_one, at, &result));
    CHECK_EQ(result, at + 1);
    CHECK_OK(hd_blocking(add_one, at + 1, NULL));
    CHECK_OK(hd_blocking(add_one, NULL, &result));
    CHECK_EQ((uintptr_t)result, 1);
    CHECK_EQ(metrics().blocking_calls, 3);
    return 0;
}

TEST(on_a_foreign_thread_it_just_calls) {
    char at[4];
    void *result = NULL;
    CHECK_OK(hd_blocking(add_one, at, &result));
    CHECK_EQ(result, at + 1);
    CHECK_OK(hd_start(QUICK(.workers = 1)));
    CHECK_OK(hd_blocking(add_one, at + 1, &result));
    CHECK_EQ(result, at + 2);
    CHECK_OK(hd_blocking(add_one, at, NULL));
    CHECK_OK(hd_stop());
}

static void *spawn_and_join(void *arg) {
    void *result = join(spawn(add_one, arg));
    hd_yield();
    CHECK_OK(hd_sleep_for(100000));
    CHECK(hd_self() != NULL);
    return result;
}

static void *block_again(void *arg) {
    void *result = NULL;
    const hd_thread *self = hd_self();
    CHECK_OK(hd_blocking(spawn_and_join, arg, &result));
    CHECK_EQ(hd_self(), self);
    return result;
}

PREEMPT_TEST(hd_calls_within, 1) {
    char at[4];
    void *result = NULL;
    CHECK_OK(hd_blocking(spawn_and_join, at, &result));
    CHECK_EQ(result, at + 1);
    CHECK_OK(hd_blocking(block_again, at, &result));
    CHECK_EQ(result, at + 1);
    return 0;
}

static void *fails_with_errno(void *arg) {
    CHECK_EQ(read(-1, arg, 1), -1);
    return (void *)(intptr_t)errno;
}

PREEMPT_TEST(errno_within, 1) {
    char c;
    void *result = NULL;
    CHECK_OK(hd_blocking(fails_with_errno, &c, &result));
    CHECK_EQ((intptr_t)result, EBADF);
    return 0;
}

/* ---- a pipe that one of the others writes to ---- */

struct line {
    int ends[2];
    counter progress;
    bool plain; /* without hd_blocking() */
};

static void *read_byte(void *arg) {
    struct line *l = arg;
    char c = 0;
    CHECK_EQ(read(l->ends[0], &c, 1), 1);
    return (void *)(intptr_t)c;
}

static void *read_blocking(void *arg) {
    struct line *l = arg;
    void *result = NULL;
    if (l->plain)
        result = read_byte(l);
    else
        CHECK_OK(hd_blocking(read_byte, l, &result));
    CHECK_EQ((intptr_t)result, 'x');
    /* And it is an ordinary thread again. */
    hd_yield();
    CHECK(hd_self() != NULL);
    return result;
}

static void *progress_then_write(void *arg) {
    struct line *l = arg;
    for (int i = 0; i < 50; i++) {
        count_up(&l->progress);
        hd_yield();
    }
    CHECK_EQ(write(l->ends[1], "x", 1), 1);
    return NULL;
}

static void pipe_with_one_worker(bool plain) {
    struct line l = {.plain = plain};
    CHECK_EQ(pipe(l.ends), 0);
    hd_thread *w = spawn(progress_then_write, &l);
    hd_thread *r = spawn(read_blocking, &l);
    CHECK_EQ((intptr_t)join(r), 'x');
    join(w);
    CHECK_EQ(count_of(&l.progress), 50);
    close(l.ends[0]);
    close(l.ends[1]);
}

PREEMPT_TEST(a_read_that_blocks, 1) {
    struct hd_metrics before = metrics();
    for (int i = 0; i < 10; i++)
        pipe_with_one_worker(false);
    struct hd_metrics after = metrics();
    CHECK_EQ(after.blocking_calls, before.blocking_calls + 10);
    CHECK_GT(after.blocking_handed_off, before.blocking_handed_off);
    return 0;
}

PREEMPT_TEST(a_plain_read_that_blocks, 1) {
    struct hd_metrics before = metrics();
    CHECK_EQ(before.blocked_last_nr, -1);
    for (int i = 0; i < 10; i++)
        pipe_with_one_worker(true);
    struct hd_metrics after = metrics();
    CHECK_EQ(after.blocking_calls, before.blocking_calls);
    CHECK_GT(after.blocked_in_syscall, before.blocked_in_syscall);
    CHECK(after.blocked_last_thread != 0);
    CHECK_GE(after.blocked_last_nr, -1);
    return 0;
}

static int plain_read(void *arg) {
    (void)arg;
    pipe_with_one_worker(true);
    return 0;
}

/* Whatever the length of a slice, and in all ways of preemption. */
TEST_WITHIN(a_plain_read_with_other_settings, 60) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1), plain_read, NULL));
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .preempt = HD_PREEMPT_LIGHT), plain_read, NULL));
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2, .slice_us = 1000), plain_read, NULL));
}

/* The first thread of hd_run() blocks: the caller's kernel thread. */
PREEMPT_TEST(the_first_thread_blocks, 1) {
    struct line l = {.plain = true};
    void *result = NULL;
    for (int i = 0; i < 5; i++) {
        l.progress = 0;
        CHECK_EQ(pipe(l.ends), 0);
        hd_thread *w = spawn(progress_then_write, &l);
        if (i % 2)
            CHECK_OK(hd_blocking(read_byte, &l, &result));
        else
            result = read_byte(&l);
        CHECK_EQ((intptr_t)result, 'x');
        join(w);
        close(l.ends[0]);
        close(l.ends[1]);
    }
    return 0;
}

/* ---- many at once ---- */

struct many {
    int ends[2];
    counter inside;
    bool plain;
};

static void *read_of_many(void *arg) {
    struct many *m = arg;
    char c;
    count_up(&m->inside);
    CHECK_EQ(read(m->ends[0], &c, 1), 1);
    return NULL;
}

static void *block_of_many(void *arg) {
    struct many *m = arg;
    if (m->plain)
        return read_of_many(m);
    CHECK_OK(hd_blocking(read_of_many, m, NULL));
    return NULL;
}

static int many_block(void *arg) {
    struct many *m = arg;
    enum { THREADS = 40 };
    hd_thread *t[THREADS];
    CHECK_EQ(pipe(m->ends), 0);
    for (int i = 0; i < THREADS; i++)
        t[i] = spawn(block_of_many, m);
    /* Each gets in, if kernel threads suffice. */
    hd_yield();
    while (count_of(&m->inside) < THREADS && metrics().carriers < metrics().carriers_limit)
        CHECK_OK(hd_sleep_for(MS));
    char bytes[THREADS] = {0};
    CHECK_EQ(write(m->ends[1], bytes, THREADS), THREADS);
    for (int i = 0; i < THREADS; i++)
        join(t[i]);
    CHECK_LE(metrics().carriers_most, metrics().carriers_limit);
    close(m->ends[0]);
    close(m->ends[1]);
    return 0;
}

TEST_WITHIN(many_at_once, 60) {
    for (int plain = 0; plain < 2; plain++) {
        struct many m = {.plain = plain};
        CHECK_OK(hd_run(QUICK(.workers = 2), many_block, &m));
    }
}

/* The writer must run when all carriers may be blocked: it is foreign. */
static void *write_in_a_while(void *arg) {
    struct many *m = arg;
    char bytes[40] = {0};
    usleep(50000);
    CHECK_EQ(write(m->ends[1], bytes, sizeof bytes), sizeof bytes);
    return NULL;
}

static int block_all(void *arg) {
    struct many *m = arg;
    hd_thread *t[40];
    pthread_t p = foreign(write_in_a_while, m);
    for (int i = 0; i < 40; i++)
        t[i] = spawn(block_of_many, m);
    for (int i = 0; i < 40; i++)
        join(t[i]);
    CHECK_LE(metrics().carriers_most, metrics().carriers_limit);
    foreign_join(p);
    return 0;
}

TEST_WITHIN(more_at_once_than_kernel_threads, 60) {
    for (int plain = 0; plain < 2; plain++) {
        struct many m = {.plain = plain};
        CHECK_EQ(pipe(m.ends), 0);
        CHECK_OK(hd_run(QUICK(.workers = 1, .carriers_max = 4), block_all, &m));
        close(m.ends[0]);
        close(m.ends[1]);
    }
}

/* ---- interruption ---- */

static void *read_then_sleep(void *arg) {
    struct line *l = arg;
    void *result = NULL;
    CHECK_OK(hd_blocking(read_byte, l, &result));
    CHECK_EQ((intptr_t)result, 'x');
    CHECK_ERR(hd_sleep_until(HD_FOREVER), -EINTR);
    return NULL;
}

/* It does not reach into fn, and is not lost. */
PREEMPT_TEST(an_interruption_waits_until_after, 1) {
    struct line l = {.plain = false};
    CHECK_EQ(pipe(l.ends), 0);
    hd_thread *r = spawn(read_then_sleep, &l);
    let_wait();
    CHECK_OK(hd_interrupt(r));
    let_wait();
    CHECK_EQ(write(l.ends[1], "x", 1), 1);
    join(r);
    close(l.ends[0]);
    close(l.ends[1]);
    return 0;
}

static void *sleep_within(void *arg) {
    return (void *)(intptr_t)hd_sleep_until(arg == NULL ? HD_FOREVER : 0);
}

static void *blocked_sleeper(void *arg) {
    void *result = NULL;
    CHECK_OK(hd_blocking(sleep_within, arg, &result));
    return result;
}

PREEMPT_TEST(an_interruption_ends_hd_calls_within, 1) {
    hd_thread *t = spawn(blocked_sleeper, NULL);
    let_wait();
    CHECK_OK(hd_interrupt(t));
    CHECK_EQ((intptr_t)join(t), -EINTR);
    return 0;
}

/* ---- system calls that time out: they take their whole time ---- */

struct timed {
    int ends[2], epoll;
    counter calls, early;
    bool computes; /* before each call */
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Ended by a signal, as only one that is on its way when the call begins may do. */
static bool ended_early(struct timed *timed, int result) {
    count_up(&timed->calls);
    if (result == 0)
        return false;
    CHECK_MSG(result == EINTR || (result == -1 && errno == EINTR), "it returned %d", result);
    count_up(&timed->early);
    return true;
}

static void *sleep_in_the_kernel(void *arg) {
    struct timed *timed = arg;
    struct pollfd fd = {.fd = timed->ends[0], .events = POLLIN};
    struct epoll_event event;
    const struct timespec request = {0, 3000000};
    for (int i = 0; i < 5; i++) {
        uint64_t start = now_ns();
        struct timespec left = request;
        while (timed->computes && now_ns() - start < 300000) {
        }
        start = now_ns();
        if (ended_early(timed, nanosleep(&request, &left)))
            CHECK_LE(left.tv_nsec, request.tv_nsec);
        else
            CHECK_GE(now_ns() - start, 3000000);
        start = now_ns();
        if (!ended_early(timed, usleep(3000)))
            CHECK_GE(now_ns() - start, 3000000);
        start = now_ns();
        if (!ended_early(timed, poll(&fd, 1, 3)))
            CHECK_GE(now_ns() - start, 2900000);
        start = now_ns();
        if (!ended_early(timed, clock_nanosleep(CLOCK_MONOTONIC, 0, &request, NULL)))
            CHECK_GE(now_ns() - start, 3000000);
        start = now_ns();
        if (!ended_early(timed, pselect(0, NULL, NULL, NULL, &request, NULL)))
            CHECK_GE(now_ns() - start, 3000000);
        start = now_ns();
        if (!ended_early(timed, epoll_pwait(timed->epoll, &event, 1, 3, NULL)))
            CHECK_GE(now_ns() - start, 2900000);
    }
    return NULL;
}

static int sleeps_in_the_kernel(void *arg) {
    struct timed timed = {.calls = 0, .computes = arg != NULL};
    struct ticker busy = {.thread = NULL};
    hd_thread *t[6];
    CHECK_EQ(pipe(timed.ends), 0);
    CHECK_GE(timed.epoll = epoll_create1(0), 0);
    ticker_start(&busy, NULL);
    for (int i = 0; i < 6; i++)
        t[i] = spawn(sleep_in_the_kernel, &timed);
    spin_until(&busy.turns, 20);
    for (int i = 0; i < 6; i++)
        join(t[i]);
    ticker_stop(&busy);
    close(timed.ends[0]);
    close(timed.ends[1]);
    test_note("%llu of %llu calls ended early", (unsigned long long)count_of(&timed.early),
              (unsigned long long)count_of(&timed.calls));
    close(timed.epoll);
    CHECK_EQ(count_of(&timed.calls), 6 * 5 * 6);
    /* Nearly all do where threads that block are signalled like others. A few do in any case: those
     * that begin to block between the look at them and the signal, which a busy machine delays. */
    CHECK_LT(count_of(&timed.early), count_of(&timed.calls) / 2);
    return 0;
}

TEST_WITHIN(sleeping_in_the_kernel_beside_busy_threads, 60) {
    CHECK_OK(hd_run(QUICK(.workers = 1), sleeps_in_the_kernel, NULL));
    CHECK_OK(hd_run(QUICK(.workers = 2), sleeps_in_the_kernel, NULL));
}

/* They have had whole slices before, so that their carriers have alarms set when they block. */
TEST_WITHIN(sleeping_in_the_kernel_after_computing, 60) {
    char computes = 1;
    CHECK_OK(hd_run(QUICK(.workers = 1), sleeps_in_the_kernel, &computes));
    CHECK_OK(hd_run(QUICK(.workers = 2), sleeps_in_the_kernel, &computes));
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2, .slice_us = 2000), sleeps_in_the_kernel, &computes));
}

/* Others run while one blocks, however long the slices are. */
static int blocking_read(void *arg) {
    (void)arg;
    pipe_with_one_worker(false);
    return 0;
}

TEST_WITHIN(a_blocking_call_does_not_wait_for_the_slice, 60) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .slice_us = 1000000), blocking_read, NULL));
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .slice_us = HD_SLICE_NONE), blocking_read, NULL));
}

/* ---- kernel objects that threads share ---- */

struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    counter waiting, held;
    uint64_t value;
    struct ticker ticker;
};

static void *hold_mutex(void *arg) {
    struct shared *s = arg;
    pthread_mutex_lock(&s->mutex);
    count_up(&s->held);
    uint64_t value = s->value;
    spin_until(&s->waiting, 3);
    spin_until(&s->ticker.turns, count_of(&s->ticker.turns) + 5);
    CHECK_EQ(s->value, value);
    s->value++;
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

static void *want_mutex(void *arg) {
    struct shared *s = arg;
    spin_until(&s->held, 1);
    count_up(&s->waiting);
    pthread_mutex_lock(&s->mutex);
    s->value++;
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

/* The holder is preempted. Those who want the lock block the only worker, lose it, and the holder
 * goes on. */
PREEMPT_TEST(a_preempted_holder_of_a_pthread_mutex, 1) {
    for (int round = 0; round < 10; round++) {
        struct shared s = {.mutex = PTHREAD_MUTEX_INITIALIZER};
        hd_thread *t[4];
        ticker_start(&s.ticker, NULL);
        for (int i = 0; i < 3; i++)
            t[i] = spawn(want_mutex, &s);
        t[3] = spawn(hold_mutex, &s);
        for (int i = 0; i < 4; i++)
            join(t[i]);
        CHECK_EQ(s.value, 4);
        ticker_stop(&s.ticker);
    }
    return 0;
}

static void *wait_for_cond(void *arg) {
    struct shared *s = arg;
    pthread_mutex_lock(&s->mutex);
    s->waiting++;
    while (s->value == 0)
        pthread_cond_wait(&s->cond, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

PREEMPT_TEST(a_pthread_condition, 1) {
    struct shared s = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    hd_thread *t[5];
    for (int i = 0; i < 5; i++)
        t[i] = spawn(wait_for_cond, &s);
    spin_until(&s.waiting, 5);
    pthread_mutex_lock(&s.mutex);
    s.value = 1;
    pthread_cond_broadcast(&s.cond);
    pthread_mutex_unlock(&s.mutex);
    for (int i = 0; i < 5; i++)
        join(t[i]);
    return 0;
}
