/* SPDX-License-Identifier: MIT */
/* The layer between a workload and the threads that it measures. The build defines
 * SUBJECT_HEADER; that header gives, as inline functions that add nothing:
 *
 *     subject_thread                  a handle, in memory that need not be initialised
 *     subject_run(setup, body, arg)   starts the runtime if there is one, returns body(arg)
 *     subject_spawn(t, fn, arg)       0 or a positive errno
 *     subject_spawn_at(t, n, fn, arg) the same, on the n-th worker or CPU and nowhere else
 *     subject_spawn_high(t, fn, arg)  the same, of a higher priority than others (latency.c alone)
 *     SUBJECT_CHOICES                 defined where there are the next four (lifecycle.c alone):
 *     subject_spawn_as(t, choice, fn, arg): with another priority, or on the n-th CPU alone
 *     subject_priority_take(p)        what the thread does itself for it: 0 or a positive errno
 *     subject_local_init(), subject_local_set(p): a thread-local value
 *     subject_fork(t, fn, arg)        a spawn whose joiner comes soon (fork-join work)
 *     subject_join(t)
 *     subject_yield(), subject_sleep_us(us)
 *     subject_sleep_until(ns)         bench_now_ns() (latency.c, sleepers.c)
 *     subject_sem, _sem_init(s, n), _sem_wait(s), _sem_post(s)
 *     subject_gate, _gate_init(g), _gate_wait(g), _gate_open(g): many wait until it is opened
 *     subject_guard()                 how stacks are guarded, in a word; while it runs
 *     SUBJECT_LIMIT                   kernel threads: how many are sensible at most; else 0 */
#ifndef HEDDLE_BENCH_SUBJECT_H
#define HEDDLE_BENCH_SUBJECT_H

#include "bench.h"

/* What --stack-size 0 means for everybody who has stacks: the size that heddle takes by default.
 * The C library's own default of 8 MiB makes kernel threads up to ten times dearer (more of them
 * than fit into its cache of stacks are mapped and unmapped each time), and the difference would
 * be one of address space, not of threads. --stack-size 8388608 measures it. */
#define SUBJECT_STACK_BYTES 65536

struct subject_setup {
    unsigned workers;  /* user-space threads: workers; kernel threads: CPUs. 0: every CPU */
    size_t stack_size; /* bytes; 0: SUBJECT_STACK_BYTES */
    bool pinned;       /* subject_spawn_at() will be used */
};

struct subject_choice {
    bool pinned;
    int priority; /* below, at or above what threads have: -1, 0, 1 */
    unsigned n;   /* the CPU */
};

#include SUBJECT_HEADER

#endif
