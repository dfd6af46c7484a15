/* SPDX-License-Identifier: MIT */
/* heddle-bench-machine: what the machine itself does, without any library's threads. */
#include "workloads.h"

int main(int argc, char **argv) {
    static const struct bench_experiment *const experiments[] = {&bench_memory, NULL};
    return bench_main(argc, argv, experiments);
}
