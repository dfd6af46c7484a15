/* SPDX-License-Identifier: MIT */
/* The workloads, one a file. */
#ifndef HEDDLE_BENCH_WORKLOADS_H
#define HEDDLE_BENCH_WORKLOADS_H

#include "bench.h"

extern const struct bench_experiment bench_switch;
extern const struct bench_experiment bench_spawn;
extern const struct bench_experiment bench_lifecycle;
extern const struct bench_experiment bench_wake;
extern const struct bench_experiment bench_capacity;
extern const struct bench_experiment bench_forkjoin;
extern const struct bench_experiment bench_idle;
extern const struct bench_experiment bench_bare;
extern const struct bench_experiment bench_latency;
extern const struct bench_experiment bench_sleepers;
extern const struct bench_experiment bench_preempt; /* heddle alone, as the next */
extern const struct bench_experiment bench_alone;

/* How long `count` timer signals took to their handler, in microseconds, on a machine with this
 * many busy CPUs. BENCH_OK or BENCH_CANNOT. */
int bench_signal_floor(double *delays_us, uint64_t count, unsigned cpus);

#endif
