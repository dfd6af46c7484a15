/* SPDX-License-Identifier: MIT */
/* heddle-bench-boost: the same workloads, compiled as C++ for Boost.Fiber. Without `wake`: fibers
 * cannot be told which worker to run on, and two of them on one worker would measure a switch. */
#include "capacity.c"
#include "forkjoin.c"
#include "idle.c"
#include "lifecycle.c"
#include "spawn.c"
#include "switch.c"

static const struct bench_experiment *const experiments[] = {
    &bench_switch, &bench_spawn, &bench_lifecycle, &bench_capacity, &bench_forkjoin, &bench_idle,
    nullptr,
};

int main(int argc, char **argv) {
    int status = bench_main(argc, argv, experiments);
    subject_boost_end();
    return status;
}
