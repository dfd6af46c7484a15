/* SPDX-License-Identifier: MIT */
/* state: what it saves to leave floating-point state out of switches (hd_attr.fpu and .vector).
 *
 * Two threads yield to each other on one worker: both with all their state, both without control,
 * both without anything, and one of each. All of it a few times in turns, so that what else the
 * machine does hits all alike. */
#include "workloads.h"

#include <heddle/heddle.h>

#include <stdio.h>
#include <stdlib.h>

enum { KINDS = 4 };
static const char *const kinds[KINDS] = {"saved", "no_fpu", "none", "mixed"};

struct pair {
    const struct hd_attr *attr[2];
    uint64_t yields;
};

/* The attributes of the two threads of a kind. */
static struct pair pair_of(int kind, struct hd_attr attr[2]) {
    attr[0] = attr[1] = (struct hd_attr){.size = sizeof *attr};
    attr[0].fpu = kind == 0 ? HD_STATE_SAVED : HD_STATE_NONE;
    attr[0].vector = kind >= 2 ? HD_STATE_NONE : HD_STATE_SAVED;
    if (kind < 3) {
        attr[1] = attr[0];
    }
    return (struct pair){{&attr[0], &attr[1]}, bench_value("iterations") / 2};
}

static void *yield_often(void *arg) {
    uint64_t n = *(const uint64_t *)arg;
    for (uint64_t i = 0; i < n; i++) {
        hd_yield();
    }
    return NULL;
}

static double yield_ns(int kind) {
    struct hd_attr attr[2];
    struct pair pair = pair_of(kind, attr);
    hd_thread *t[2];
    for (int i = 0; i < 2; i++) {
        int error = hd_spawn(&t[i], pair.attr[i], yield_often, &pair.yields);
        if (error) {
            bench_error("hd_spawn: %s", hd_strerror(error));
            exit(BENCH_CANNOT);
        }
    }
    uint64_t begin = bench_now_ns();
    hd_join(t[0], NULL);
    hd_join(t[1], NULL);
    return (double)(bench_now_ns() - begin) / (double)(2 * pair.yields);
}

static int state_body(void *arg) {
    (void)arg;
    for (uint64_t i = 0; i <= bench_value("samples"); i++) {
        double ns[KINDS];
        for (int kind = 0; kind < KINDS; kind++) {
            ns[kind] = yield_ns(kind);
        }
        for (int kind = 0; kind < KINDS && i > 0; kind++) { /* the first round warms up */
            char name[32];
            snprintf(name, sizeof name, "yield_%s_ns", kinds[kind]);
            bench_sample(name, "ns", ns[kind]);
        }
        if (i > 0) {
            bench_sample("yield_none_ratio", "ratio", ns[2] / ns[0]);
        }
    }
    return BENCH_OK;
}

static int state_run(void) {
    int result = hd_run(HD_CONFIG(.workers = 1), state_body, NULL);
    return result < 0 ? bench_error("hd_run: %s", hd_strerror(result)) : result;
}

const struct bench_experiment bench_state = {
    "state",
    false,
    state_run,
    {{"iterations", 2000000, 2, 10000000000u, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
