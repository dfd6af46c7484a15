/* SPDX-License-Identifier: MIT */
/* What the two halves of the workload memory share. */
#ifndef HEDDLE_BENCH_MEMORY_H
#define HEDDLE_BENCH_MEMORY_H

#include "subject.h"
#include "workloads.h"

#define MEMORY_HUGE ((size_t)2 << 20)
enum { MEMORY_THREADS = 256 };

/* Address space that begins at a huge page's boundary, with huge pages asked for or refused. Ends
 * the program with an error line when there is none. */
void *memory_map(size_t bytes, bool huge);
void memory_unmap(void *p, size_t bytes);

/* How much of this process's memory is in huge pages. */
double memory_huge_bytes(void);

/* The size of the last cache, as the kernel says; 32 MiB if it does not. */
size_t memory_last_cache(void);

/* memory_move.c: BENCH_OK or BENCH_CANNOT. */
int memory_bandwidth(void);
int memory_barrier(void);
int memory_line(void);
int memory_fault(void);

#endif
