/* SPDX-License-Identifier: MIT */
/* wake: one thread posts, another that waited on a different worker (CPU) runs. Measured from
 * just before the post to the first instruction after the wait.
 *
 * Without a gap the two answer each other at once, in both directions: whoever is woken was
 * waiting for a few microseconds at most, so that a runtime which spins before it sleeps is seen
 * spinning. With a gap the waker sleeps first, so the other side has been at rest for that long. */
#include "subject.h"
#include "workloads.h"

struct side {
    subject_thread thread;
    subject_sem mine; /* what this side waits for */
    struct side *other;
    struct wake *all;
    uint64_t posted_ns; /* when the other side posted `mine` */
    double *delays;     /* in nanoseconds */
} __attribute__((aligned(BENCH_LINE)));

struct wake {
    struct side side[2];
    subject_gate gate;
    uint64_t rounds, gap_us;
};

static void post(struct side *to) {
    to->posted_ns = bench_now_ns();
    subject_sem_post(&to->mine);
}

static void wait_for(struct side *me, uint64_t round) {
    subject_sem_wait(&me->mine);
    me->delays[round] = (double)(bench_now_ns() - me->posted_ns);
}

static void *waker(void *arg) {
    struct side *me = (struct side *)arg;
    uint64_t gap_us = me->all->gap_us;
    subject_gate_wait(&me->all->gate);
    for (uint64_t i = 0; i < me->all->rounds; i++) {
        if (gap_us) {
            subject_sleep_us(gap_us);
        }
        post(me->other);
        wait_for(me, i);
    }
    return NULL;
}

static void *answerer(void *arg) {
    struct side *me = (struct side *)arg;
    for (uint64_t i = 0; i < me->all->rounds; i++) {
        wait_for(me, i);
        post(me->other);
    }
    return NULL;
}

static bool play(struct wake *w, uint64_t rounds) {
    static void *(*const roles[2])(void *) = {answerer, waker};
    w->rounds = rounds;
    subject_gate_init(&w->gate);
    for (unsigned i = 0; i < 2; i++) {
        subject_sem_init(&w->side[i].mine, 0);
        int error = subject_spawn_at(&w->side[i].thread, i, roles[i], &w->side[i]);
        if (error) {
            /* The first side, if it runs, waits forever: the process ends with it. */
            bench_error("a thread on CPU %u cannot be started: error %d", bench_cpu(i), error);
            return false;
        }
    }
    subject_gate_open(&w->gate);
    for (unsigned i = 0; i < 2; i++) {
        subject_join(&w->side[i].thread);
    }
    return true;
}

static int wake_body(void *arg) {
    struct wake *w = (struct wake *)arg;
    uint64_t n = bench_value("iterations");
    if (!play(w, n / 10 + 1)) {
        exit(BENCH_CANNOT);
    }
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        if (!play(w, n)) {
            exit(BENCH_CANNOT);
        }
        /* With a gap only the answerer was at rest; without one both sides are alike. */
        double *delays = w->side[0].delays;
        uint64_t count = w->gap_us ? n : 2 * n;
        bench_sample(w->gap_us ? "parked_p50_ns" : "spin_p50_ns", "ns",
                     bench_quantile(delays, count, 0.5));
        bench_sample(w->gap_us ? "parked_p99_ns" : "spin_p99_ns", "ns",
                     bench_quantile(delays, count, 0.99));
    }
    return BENCH_OK;
}

static int wake_run(void) {
    if (bench_value("workers") < 2 || bench_cpus() < 2) {
        return bench_error("a wake-up across workers needs two CPUs and two workers");
    }
    uint64_t n = bench_value("iterations");
    struct wake *w = (struct wake *)bench_array(1, sizeof(*w));
    double *delays = (double *)bench_array(2 * n, sizeof(*delays));
    for (unsigned i = 0; i < 2; i++) {
        w->side[i].other = &w->side[1 - i];
        w->side[i].all = w;
        w->side[i].delays = delays + i * n;
    }
    w->gap_us = bench_value("gap-us");
    struct subject_setup setup = {(unsigned)bench_value("workers"), 0, true};
    int status = subject_run(&setup, wake_body, w);
    free(delays);
    free(w);
    return status;
}

const struct bench_experiment bench_wake = {
    "wake",
    true,
    wake_run,
    {{"workers", 2, 1, 1024, NULL},
     {"iterations", 20000, 1, 100000000, NULL},
     {"gap-us", 0, 0, 10000000, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
