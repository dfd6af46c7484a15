/* SPDX-License-Identifier: MIT */
/* heddle-bench-heddle and heddle-bench-pthread: every workload in one program. BENCH_PREEMPT: with
 * those that only a runtime with time slices of its own can do. */
#include "workloads.h"

static const struct bench_experiment *const experiments[] = {
    &bench_switch,
    &bench_spawn,
    &bench_lifecycle,
    &bench_lifecycle_as,
    &bench_limits,
    &bench_wake,
    &bench_capacity,
    &bench_forkjoin,
    &bench_idle,
    &bench_bare,
    &bench_latency,
    &bench_sleepers,
    &bench_pool,
    &bench_planted,
    &bench_falsesharing,
    &bench_affinity,
    &bench_sync,
#ifdef BENCH_PREEMPT
    &bench_preempt,
    &bench_alone,
    &bench_share,
    &bench_starve,
    &bench_state,
    &bench_many,
    &bench_counter,
    &bench_alloc,
    &bench_ref,
    &bench_chan,
    &bench_rcu,
    &bench_lock,
    &bench_crowd,
    &bench_pingpong,
    &bench_rwlock,
    &bench_lockfree,
#endif
    NULL,
};

int main(int argc, char **argv) {
    return bench_main(argc, argv, experiments);
}
