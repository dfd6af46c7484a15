/* SPDX-License-Identifier: MIT */
/* many: more threads than the CPU's caches hold, which yield to each other in turn on one worker,
 * with prefetching of those next in line (hd_config.prefetch) and without, in turns. */
#include "workloads.h"

#include <heddle/heddle.h>

#include <stdlib.h>

struct many {
    hd_thread **threads;
    uint64_t count, yields; /* of each */
    double ns;              /* of a yield */
};

static void *yield_often(void *arg) {
    uint64_t n = ((const struct many *)arg)->yields;
    for (uint64_t i = 0; i < n; i++) {
        hd_yield();
    }
    return NULL;
}

static int many_body(void *arg) {
    struct many *m = (struct many *)arg;
    for (uint64_t i = 0; i < m->count; i++) {
        int error = hd_spawn(&m->threads[i], NULL, yield_often, m);
        if (error) {
            bench_error("hd_spawn: %s", hd_strerror(error));
            exit(BENCH_CANNOT);
        }
    }
    for (int i = 0; i < 2; i++) {
        hd_yield(); /* all have begun, on cold stacks, and yielded once */
    }
    uint64_t begin = bench_now_ns();
    for (uint64_t i = 0; i < m->count; i++) {
        hd_join(m->threads[i], NULL);
    }
    m->ns = (double)(bench_now_ns() - begin) / (double)(m->count * m->yields);
    return BENCH_OK;
}

static int round_of(struct many *m, int prefetch) {
    int result = hd_run(HD_CONFIG(.workers = 1, .slice_us = HD_SLICE_NONE, .prefetch = prefetch),
                        many_body, m);
    return result < 0 ? bench_error("hd_run: %s", hd_strerror(result)) : result;
}

static int many_run(void) {
    struct many m = {NULL, bench_value("threads"), bench_value("yields"), 0};
    m.threads = bench_array(m.count, sizeof(*m.threads));
    int status = round_of(&m, HD_PREFETCH_ON);
    for (uint64_t i = 0; i < bench_value("samples") && status == BENCH_OK; i++) {
        double on = 0, off = 0;
        for (int turn = 0; turn < 2 && status == BENCH_OK; turn++) {
            bool with = (turn == 0) == (i % 2 == 0);
            status = round_of(&m, with ? HD_PREFETCH_ON : HD_PREFETCH_OFF);
            *(with ? &on : &off) = m.ns;
        }
        if (status == BENCH_OK) {
            bench_sample("prefetched_ns", "ns", on);
            bench_sample("plain_ns", "ns", off);
            bench_sample("prefetch_ratio", "ratio", on / off);
        }
    }
    free(m.threads);
    return status;
}

const struct bench_experiment bench_many = {
    "many",
    false,
    many_run,
    {{"threads", 10000, 1, 1000000, NULL},
     {"yields", 100, 1, 1000000, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
