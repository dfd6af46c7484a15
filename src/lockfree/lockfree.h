/* SPDX-License-Identifier: MIT */
/* What the lock-free structures ask of the world around them: memory, a wait, and a number that
 * spreads callers over cache lines. The algorithms themselves are headers of this folder that
 * include this one, base/ and nothing else, and use C11 atomics without fences; so a test can
 * compile them over other atomics, and give these five functions bodies of its own.
 *
 * What the scheduler means for them. A thread can be preempted at any instruction, for long, and go
 * on on another worker; there may be far more threads than CPUs. So
 *
 *   - nothing belongs to "the present worker" over more than one atomic operation. A worker's
 *     number is used as a hint alone: two callers with the same hint are slower, not wrong;
 *   - where the algorithm of others has a record for each thread, ours has a record for each
 *     operation or section in progress (hazard.h), or a count of them (epoch.h);
 *   - where a step of one caller must be completed before others can go on (ring.h), preemption is
 *     held off for those few instructions (a brief section, sched/self.h). A kernel thread that the
 *     kernel itself deschedules there is waited for, with the CPU given away: hd__lf_wait(). */
#ifndef HD_SRC_LOCKFREE_LOCKFREE_H
#define HD_SRC_LOCKFREE_LOCKFREE_H

#include "base/atomic.h"
#include "base/base.h"

/* Zeroed, aligned to a cache line. NULL: no memory. Outside of the scheduler's gate. */
void *hd__lf_alloc(size_t bytes);
void hd__lf_free(void *p, size_t bytes);

/* The number of the caller's worker; on a foreign kernel thread, one that comes of the address of
 * its stack. */
unsigned hd__lf_hint(void);

/* One turn of a loop that waits for another caller's next few instructions; `turn` counts from 0.
 * It pauses, later gives the CPU to other kernel threads, and then sleeps for moments. */
void hd__lf_wait(unsigned turn);

/* Two halves of a sequentially consistent fence: the light one costs nothing, and keeps the
 * compiler from moving accesses over it; the heavy one makes all other CPUs that run the process
 * pass a full fence (membarrier(), where the kernel has it, else nothing: then nobody may rely on
 * light ones). Of a light one on one CPU and a heavy one on another, one comes first: all before it
 * is seen by all after the other. */
#ifndef HD__LF_LIGHT_BARRIER
#define HD__LF_LIGHT_BARRIER() atomic_signal_fence(memory_order_seq_cst)
#endif
void hd__lf_barrier(void);

#endif
