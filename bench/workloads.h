/* SPDX-License-Identifier: MIT */
/* The workloads, one a file. */
#ifndef HEDDLE_BENCH_WORKLOADS_H
#define HEDDLE_BENCH_WORKLOADS_H

#include "bench.h"

extern const struct bench_experiment bench_switch;
extern const struct bench_experiment bench_spawn;
extern const struct bench_experiment bench_lifecycle;
extern const struct bench_experiment bench_lifecycle_as;
extern const struct bench_experiment bench_limits;
extern const struct bench_experiment bench_wake;
extern const struct bench_experiment bench_capacity;
extern const struct bench_experiment bench_forkjoin;
extern const struct bench_experiment bench_idle;
extern const struct bench_experiment bench_bare;
extern const struct bench_experiment bench_latency;
extern const struct bench_experiment bench_sleepers;
extern const struct bench_experiment bench_planted;
extern const struct bench_experiment bench_pool;
extern const struct bench_experiment bench_falsesharing;
extern const struct bench_experiment bench_affinity;
extern const struct bench_experiment bench_sync;
extern const struct bench_experiment bench_memory; /* heddle-bench-machine alone */
extern const struct bench_experiment bench_preempt; /* heddle alone, as the next */
extern const struct bench_experiment bench_alone;
extern const struct bench_experiment bench_share;
extern const struct bench_experiment bench_starve;
extern const struct bench_experiment bench_state;
extern const struct bench_experiment bench_many;
extern const struct bench_experiment bench_counter;
extern const struct bench_experiment bench_alloc;
extern const struct bench_experiment bench_ref;
extern const struct bench_experiment bench_chan;
extern const struct bench_experiment bench_rcu;
extern const struct bench_experiment bench_lock;
extern const struct bench_experiment bench_crowd;
extern const struct bench_experiment bench_pingpong;
extern const struct bench_experiment bench_rwlock;
extern const struct bench_experiment bench_lockfree;

/* How long `count` timer signals took to their handler, in microseconds, on a machine with this
 * many busy CPUs. BENCH_OK or BENCH_CANNOT. */
int bench_signal_floor(double *delays_us, uint64_t count, unsigned cpus);

#endif
