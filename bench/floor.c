/* SPDX-License-Identifier: MIT */
/* What a signal takes on this machine: from the moment that a timer was set for to the handler, in
 * a kernel thread that computes on a CPU of its own while the others are as busy. */
#include "workloads.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

struct floor {
    double *delays; /* in microseconds */
    uint64_t count;
    unsigned stop; /* atomic */
    int error;
};

static volatile uint64_t handled_ns;

static void handle(int number) {
    (void)number;
    handled_ns = bench_now_ns();
}

static void *spin(void *arg) {
    struct floor *f = (struct floor *)arg;
    while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
        continue;
    }
    return NULL;
}

static void *take_signals(void *arg) {
    struct floor *f = (struct floor *)arg;
    struct sigevent event;
    timer_t timer;
    unsigned seed = 1;
    memset(&event, 0, sizeof(event));
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event.sigev_notify_thread_id = gettid();
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) {
        f->error = errno;
        return NULL;
    }
    for (uint64_t i = 0; i < f->count; i++) {
        uint64_t deadline = bench_now_ns() + 200000 + (uint64_t)rand_r(&seed) % 800000;
        struct itimerspec when;
        memset(&when, 0, sizeof(when));
        when.it_value.tv_sec = (time_t)(deadline / 1000000000u);
        when.it_value.tv_nsec = (long)(deadline % 1000000000u);
        handled_ns = 0;
        timer_settime(timer, TIMER_ABSTIME, &when, NULL);
        while (!handled_ns) {
            continue;
        }
        f->delays[i] = (double)(handled_ns - deadline) / 1e3;
    }
    timer_delete(timer);
    return NULL;
}

int bench_signal_floor(double *delays_us, uint64_t count, unsigned cpus) {
    struct floor f = {delays_us, count, 0, 0};
    pthread_t taker, *spinners = (pthread_t *)bench_array(cpus, sizeof(*spinners));
    struct sigaction action, before;
    unsigned started = 0;
    memset(&action, 0, sizeof(action));
    action.sa_handler = handle;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, &before);
    int error = 0;
    for (; started + 1 < cpus && !error; started += !error) {
        error = pthread_create(&spinners[started], NULL, spin, &f);
    }
    error = error ? error : pthread_create(&taker, NULL, take_signals, &f);
    if (!error) {
        pthread_join(taker, NULL);
        error = f.error;
    }
    __atomic_store_n(&f.stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < started; i++) {
        pthread_join(spinners[i], NULL);
    }
    sigaction(SIGUSR1, &before, NULL);
    free(spinners);
    return error ? bench_error("the floor cannot be measured: %s", strerror(error)) : BENCH_OK;
}
