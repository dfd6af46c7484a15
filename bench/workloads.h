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

#endif
