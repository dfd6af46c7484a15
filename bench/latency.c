/* SPDX-License-Identifier: MIT */
/* latency: how long a thread that could run waits until it does, while twice as many threads as
 * there are workers (CPUs) do nothing but compute. Three ways to become runnable:
 *
 *     sleeper   its sleep is over: measured from the deadline that it asked for
 *     foreign   a kernel thread that is none of the runtime's posts what it waits for: from just
 *               before the post
 *     thread    one of those that compute posts it, and computes on: from just before the post
 *
 * Moments are random, so that they do not go along with time slices or timer ticks. With --high 1
 * the thread has a higher priority than those that compute: kernel threads get SCHED_FIFO, which
 * needs permission. The process keeps to as many CPUs as it has workers.
 *
 * floor: what the machine itself takes. In the same process, before: a kernel thread that computes
 * on a CPU, all others as busy, asks for a timer signal; from its time to its handler. */
#include "subject.h"
#include "workloads.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NEVER UINT64_MAX

struct busy {
    subject_thread thread;
    struct latency *all;
    double value;
} __attribute__((aligned(BENCH_LINE)));

struct latency {
    struct busy *busy;
    unsigned busy_count;
    uint64_t count, gap_us, random;
    double *delays; /* in microseconds */
    subject_thread urgent;
    subject_sem wanted;
    /* Atomic. */
    uint64_t post_at_ns __attribute__((aligned(BENCH_LINE))); /* who computes posts then */
    uint64_t posted_ns;
    uint32_t taken, stop, foreign_stop, running;
};

/* Half to one and a half of the mean gap, in nanoseconds. */
static uint64_t random_gap_ns(struct latency *l) {
    uint64_t x = l->random; /* xorshift: Marsaglia, 2003 */
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    l->random = x;
    return l->gap_us * 500 + x % (l->gap_us * 1000);
}

static void post(struct latency *l) {
    __atomic_store_n(&l->posted_ns, bench_now_ns(), __ATOMIC_RELEASE);
    subject_sem_post(&l->wanted);
}

static void *compute(void *arg) {
    struct busy *me = (struct busy *)arg;
    struct latency *l = me->all;
    double x = 1;
    __atomic_add_fetch(&l->running, 1, __ATOMIC_RELAXED);
    while (!__atomic_load_n(&l->stop, __ATOMIC_RELAXED)) {
        for (int i = 0; i < 200; i++) {
            x = x * 0.999 + 0.001;
        }
        uint64_t at = __atomic_load_n(&l->post_at_ns, __ATOMIC_RELAXED);
        if (at != NEVER && bench_now_ns() >= at &&
            __atomic_compare_exchange_n(&l->post_at_ns, &at, NEVER, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
            post(l);
        }
    }
    me->value = x;
    return NULL;
}

static void *post_from_outside(void *arg) {
    struct latency *l = (struct latency *)arg;
    uint64_t posts = 0;
    uint32_t taken_before = __atomic_load_n(&l->taken, __ATOMIC_ACQUIRE);
    while (!__atomic_load_n(&l->foreign_stop, __ATOMIC_ACQUIRE)) {
        struct timespec gap = {0, (long)random_gap_ns(l)};
        nanosleep(&gap, NULL);
        /* One at a time. */
        if (__atomic_load_n(&l->taken, __ATOMIC_ACQUIRE) - taken_before == (uint32_t)posts &&
            posts < l->count) {
            posts++;
            post(l);
        }
    }
    return NULL;
}

static void report(struct latency *l, const char *what) {
    char name[64];
    snprintf(name, sizeof(name), "%s_p50_us", what);
    bench_sample(name, "us", bench_quantile(l->delays, l->count, 0.5));
    snprintf(name, sizeof(name), "%s_p99_us", what);
    bench_sample(name, "us", bench_quantile(l->delays, l->count, 0.99));
}

static void take(struct latency *l, uint64_t i) {
    subject_sem_wait(&l->wanted);
    uint64_t now = bench_now_ns();
    l->delays[i] = (double)(now - __atomic_load_n(&l->posted_ns, __ATOMIC_ACQUIRE)) / 1e3;
    __atomic_add_fetch(&l->taken, 1, __ATOMIC_ACQ_REL);
}

/* The thread that is in a hurry. */
static void *be_urgent(void *arg) {
    struct latency *l = (struct latency *)arg;
    while (__atomic_load_n(&l->running, __ATOMIC_RELAXED) < l->busy_count) {
        subject_sleep_us(1000);
    }
    for (uint64_t i = 0; i < l->count; i++) {
        uint64_t deadline = bench_now_ns() + random_gap_ns(l);
        subject_sleep_until(deadline);
        l->delays[i] = (double)(bench_now_ns() - deadline) / 1e3;
    }
    report(l, "sleeper");

    pthread_t foreign;
    l->foreign_stop = 0;
    int error = pthread_create(&foreign, NULL, post_from_outside, l);
    if (error) {
        bench_error("no kernel thread: %s", strerror(error));
        return NULL;
    }
    for (uint64_t i = 0; i < l->count; i++) {
        take(l, i);
    }
    __atomic_store_n(&l->foreign_stop, 1, __ATOMIC_RELEASE);
    pthread_join(foreign, NULL);
    report(l, "foreign");

    for (uint64_t i = 0; i < l->count; i++) {
        __atomic_store_n(&l->post_at_ns, bench_now_ns() + random_gap_ns(l), __ATOMIC_RELEASE);
        take(l, i);
    }
    report(l, "thread");
    return NULL;
}

static int latency_body(void *arg) {
    struct latency *l = (struct latency *)arg;
    unsigned started = 0;
    int error = 0;
    subject_sem_init(&l->wanted, 0);
    l->post_at_ns = NEVER;
    l->stop = l->running = 0;
    for (; started < l->busy_count && !error; started++) {
        l->busy[started].all = l;
        error = subject_spawn(&l->busy[started].thread, compute, &l->busy[started]);
        if (error) {
            break;
        }
    }
    if (!error) {
        error = bench_value("high") ? subject_spawn_high(&l->urgent, be_urgent, l)
                                    : subject_spawn(&l->urgent, be_urgent, l);
        if (!error) {
            subject_join(&l->urgent);
        }
    }
    __atomic_store_n(&l->stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < started; i++) {
        subject_join(&l->busy[i].thread);
    }
    if (error == EPERM) {
        return bench_error("SCHED_FIFO is not permitted");
    }
    return error ? bench_error("a thread cannot be started: %s", strerror(error)) : BENCH_OK;
}

static int latency_run(void) {
    struct latency *l = (struct latency *)bench_array(1, sizeof(*l));
    unsigned workers = (unsigned)bench_value("workers");
    bench_limit_cpus(workers);
    workers = workers ? workers : bench_cpus();
    l->busy_count = 2 * workers;
    l->busy = (struct busy *)bench_array(l->busy_count, sizeof(*l->busy));
    l->count = bench_value("iterations");
    l->gap_us = bench_value("gap-us");
    l->random = bench_now_ns() | 1;
    l->delays = (double *)bench_array(l->count, sizeof(*l->delays));
    int status = bench_signal_floor(l->delays, l->count, workers);
    if (status == BENCH_OK) {
        report(l, "floor");
        struct subject_setup setup = {workers, 0, false};
        status = subject_run(&setup, latency_body, l);
    }
    free(l->delays);
    free(l->busy);
    free(l);
    return status;
}

const struct bench_experiment bench_latency = {
    "latency",
    false,
    latency_run,
    {{"workers", 0, 0, 64, NULL},
     {"iterations", 500, 1, 1000000, NULL},
     {"gap-us", 1500, 100, 500000, NULL},
     {"high", 0, 0, 1, NULL},
     {NULL, 0, 0, 0, NULL}},
};
