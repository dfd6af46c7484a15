/* SPDX-License-Identifier: MIT */
/* A hazard record that each kernel thread has for itself, for the queues' fast paths.
 *
 * Between hd__self_enter_brief() and hd__self_leave_brief() (sched/self.h) the calling thread is
 * not preempted, so no other thread of the runtime comes to its kernel thread's record meanwhile.
 * So the record need not be taken, and protecting costs no atomic instruction (hazard.h, "light").
 *
 * A kernel thread gets its record when it needs one the first time, and gives it back at its end.
 * It has none where the kernel lacks membarrier(), or without memory; the caller then takes a
 * record for the operation. */
#ifndef HD_SRC_LOCKFREE_HAZARD_OWN_H
#define HD_SRC_LOCKFREE_HAZARD_OWN_H

#include "lockfree/hazard.h"

/* NULL: none yet. Read in a brief section. */
extern __thread struct hd_hazard *hd__hazard_own __attribute__((tls_model("initial-exec")));

/* Tries to get one for the calling kernel thread; outside of brief sections and of the gate. */
void hd__hazard_own_make(void);

/* Before the first object is reachable that is protected lightly. */
void hd__hazard_prepare(void);

#endif
