/* SPDX-License-Identifier: MIT */
/* alloc: the workload pool by way of hd_alloc() and hd_free(); heddle alone. */
#define BENCH_POOL_CLASSES
#include "pool.c"
