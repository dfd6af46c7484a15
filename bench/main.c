/* SPDX-License-Identifier: MIT */
/* heddle-bench-heddle and heddle-bench-pthread: every workload in one program. BENCH_PREEMPT: with
 * those that only a runtime with time slices of its own can do. */
#include "workloads.h"

static const struct bench_experiment *const experiments[] = {
    &bench_switch,   &bench_spawn,    &bench_lifecycle, &bench_wake,
    &bench_capacity, &bench_forkjoin, &bench_idle,      &bench_bare,
    &bench_latency,  &bench_sleepers,
#ifdef BENCH_PREEMPT
    &bench_preempt,  &bench_alone,
#endif
    NULL,
};

int main(int argc, char **argv) {
    return bench_main(argc, argv, experiments);
}
