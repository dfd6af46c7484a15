/* SPDX-License-Identifier: MIT */
/* peer-lockfree: the workload lockfree alone, with its peers. */
#include "../workloads.h"

static const struct bench_experiment *const experiments[] = {&bench_lockfree, NULL};

int main(int argc, char **argv) {
    return bench_main(argc, argv, experiments);
}
