/* SPDX-License-Identifier: MIT */
/* Read sections and grace periods, for the scheduler; the idea is in rcu.c. */
#ifndef HD__SCHED_RCU_H
#define HD__SCHED_RCU_H

#include <stdatomic.h>

#include "base/base.h"
#include "sched/rcu_mark.h"
#include <heddle/rcu.h>

/* The calling kernel thread becomes a reader, a carrier or a foreign one, and ceases to be one.
 * False: it was one before. Never fail. */
bool hd__rcu_join(void);
void hd__rcu_part(void);

/* Whether this kernel thread is in a read section; and has it deal with a preemption at its end. */
bool hd__rcu_reading(void);
void hd__rcu_note_preemption(void);

/* Waits for a grace period. Inside. */
void hd__rcu_synchronize(const void *site);

/* The runtime has ended, and its threads are no more: those that waited here wait no longer. */
void hd__rcu_discard(void);
extern _Atomic uint64_t hd__rcu_runtimes; /* how many have ended */

/* Who calls the functions that were given to hd_rcu_call() (sync/rcu_call.c): kept here, so that
 * discard() can tell when it was a thread that is no more. */
enum hd__rcu_runner { HD__RCU_NOBODY, HD__RCU_FOREIGN, HD__RCU_THREAD };
extern _Atomic int hd__rcu_running;

/* The same as hd__rcu_reading(), without a call where that is possible: one load. Inside. */
static inline bool hd__rcu_marked(void) {
#if defined(HD__RCU_SEGMENT)
    uintptr_t at;
    uint32_t word;
    HD__RCU_FIND(at);
    __asm__ volatile("movl %%fs:(%1), %0" : "=r"(word) : "r"(at) : "memory");
    return (word & HD__RCU_DEPTH) != 0;
#elif defined(HD__RCU_FIND)
    uint32_t *at;
    HD__RCU_FIND(at);
    return (__atomic_load_n(at, __ATOMIC_RELAXED) & HD__RCU_DEPTH) != 0;
#else
    return hd__rcu_reading();
#endif
}

/* What the calling thread is about to do it must not do in a read section, in which it is. */
_Noreturn void hd__rcu_die(const char *does);

/* Debug builds: aborts if it is in one. */
static inline void hd__rcu_check(const char *does) {
#ifdef HD_DEBUG
    if (HD__UNLIKELY(hd__rcu_reading())) hd__rcu_die(does);
#else
    (void)does;
#endif
}

#endif
