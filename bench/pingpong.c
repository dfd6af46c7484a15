/* SPDX-License-Identifier: MIT */
/* pingpong: two threads take turns, each waiting for the other on a mutex and a condition. Printed
 * is the time of a round, there and back, and beside it that of a cache line that two CPUs hand to
 * each other: written by one, seen and answered by the other.
 *
 * With two workers the threads are either left to the runtime (--pinned 0) or kept on a worker
 * each. */
#include <heddle/heddle.h>

#include <pthread.h>

#include "workloads.h"

/* ---- a cache line, there and back ---- */

static struct {
    uint64_t turn HD_CACHE_ALIGNED;
    uint64_t rounds;
    unsigned arrived HD_CACHE_ALIGNED;
} line;

struct line_side {
    unsigned index;
    uint64_t begin_ns, end_ns;
} HD_CACHE_ALIGNED;

/* Looks without pausing: what the hardware can do, not what is kind to it. */
static void *line_run(void *arg) {
    struct line_side *me = (struct line_side *)arg;
    __atomic_fetch_add(&line.arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&line.arrived, __ATOMIC_ACQUIRE) < 2) {
        continue;
    }
    me->begin_ns = bench_now_ns();
    for (uint64_t i = 0; i < line.rounds; i++) {
        while (__atomic_load_n(&line.turn, __ATOMIC_ACQUIRE) != 2 * i + me->index) {
            continue;
        }
        __atomic_store_n(&line.turn, 2 * i + me->index + 1, __ATOMIC_RELEASE);
    }
    me->end_ns = bench_now_ns();
    return NULL;
}

/* The nanoseconds of a round between the workers 0 and 1, or a negative number. */
static double line_round(uint64_t rounds) {
    static struct line_side sides[2];
    hd_thread *threads[2];
    line.turn = 0;
    line.arrived = 0;
    line.rounds = rounds;
    for (unsigned i = 0; i < 2; i++) {
        hd_cpuset cpus = {{0}};
        hd_cpuset_add(&cpus, bench_cpu(i));
        sides[i].index = i;
        int err = hd_spawn(&threads[i], HD_ATTR(.cpus = &cpus), line_run, &sides[i]);
        if (err) {
            bench_error("hd_spawn: %s", hd_strerror(err));
            exit(BENCH_CANNOT); /* the first one waits for the second */
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        hd_join(threads[i], NULL);
    }
    return (double)(sides[1].end_ns - sides[0].begin_ns) / (double)rounds;
}

/* ---- mutex and condition ---- */

static struct {
    hd_mutex mutex HD_CACHE_ALIGNED;
    hd_cond cond[2];
    unsigned turn;
    uint64_t rounds;
} pong;

static void *pong_run(void *arg) {
    unsigned me = *(const unsigned *)arg;
    hd_mutex_lock(&pong.mutex);
    for (uint64_t i = 0; i < pong.rounds; i++) {
        while (pong.turn != me) {
            hd_cond_wait(&pong.cond[me], &pong.mutex);
        }
        pong.turn = 1 - me;
        hd_cond_signal(&pong.cond[1 - me]);
    }
    hd_mutex_unlock(&pong.mutex);
    return NULL;
}

static double pong_round(uint64_t rounds) {
    static const unsigned index[2] = {0, 1};
    hd_thread *threads[2];
    pong.turn = 0;
    pong.rounds = rounds;
    uint64_t begin_ns = bench_now_ns();
    for (unsigned i = 0; i < 2; i++) {
        hd_cpuset cpus = {{0}};
        hd_cpuset_add(&cpus, bench_cpu(i % (unsigned)bench_value("workers")));
        int err = hd_spawn(&threads[i], HD_ATTR(.cpus = bench_value("pinned") ? &cpus : NULL),
                           pong_run, (void *)(uintptr_t)&index[i]);
        if (err) {
            bench_error("hd_spawn: %s", hd_strerror(err));
            exit(BENCH_CANNOT);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        hd_join(threads[i], NULL);
    }
    return (double)(bench_now_ns() - begin_ns) / (double)rounds;
}

static int pingpong_body(void *arg) {
    uint64_t rounds = bench_value("iterations");
    bool lines = bench_value("workers") > 1 && bench_cpus() > 1;
    (void)arg;
    pong_round(rounds / 10 + 1);
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        double ns = pong_round(rounds);
        bench_sample("cond_round_ns", "ns", ns);
        if (lines) {
            double line_ns = line_round(rounds);
            bench_sample("line_round_ns", "ns", line_ns);
            bench_sample("cond_line_ratio", "ratio", ns / line_ns);
        }
    }
    return BENCH_OK;
}

static int pingpong_run(void) {
    int result = hd_run(HD_CONFIG(.workers = (unsigned)bench_value("workers"),
                                  .bind_workers = true),
                        pingpong_body, NULL);
    return result < 0 ? bench_error("hd_run: %s", hd_strerror(result)) : result;
}

const struct bench_experiment bench_pingpong = {
    "pingpong",
    false,
    pingpong_run,
    {{"workers", 1, 1, 1024, NULL},
     {"pinned", 0, 0, 1, NULL},
     {"iterations", 10000, 1, 10000000000u, NULL},
     {"samples", 31, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
