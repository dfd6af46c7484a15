/* SPDX-License-Identifier: MIT */
/* The preloaded library's parts, to each other. Everything is hidden but the functions that stand
 * before the C library's. */
#ifndef HEDDLE_LAB_PROBE_PRELOAD_LIBRARY_H
#define HEDDLE_LAB_PROBE_PRELOAD_LIBRARY_H

#include "probe/preload/shared.h"

/* One GIL of this process. */
struct lock {
    _Atomic uintptr_t cond;  /* or the semaphore; 0: not known yet */
    _Atomic uintptr_t other; /* the condition variable of forced switches; 0: none, or not known */
    unsigned number;         /* in the shared list */
    bool semaphore;          /* of 2.7 */
    /* Written by who has the lock (or its mutex). */
    struct preload_ring *last; /* who took it last */
    uint64_t takes;            /* by another thread than the one before */
    bool held;
};

enum role { ROLE_NONE, ROLE_COND, ROLE_OTHER };

/* ---- locks.c ---- */
/* The GIL to which an address belongs, for a call from the code at `caller`; NULL: to none. */
struct lock *locks_signalled(uintptr_t address, uintptr_t caller, enum role *role);
struct lock *locks_awaited(uintptr_t address, uintptr_t caller, enum role role);
/* The GIL of 2.7, likewise: at a post, a wait, an attempt that did not wait. */
struct lock *locks_posted(uintptr_t semaphore, uintptr_t caller);
struct lock *locks_semaphore(uintptr_t semaphore, uintptr_t caller);
struct lock *locks_tried(uintptr_t semaphore);
void locks_forked(void);

/* ---- rings.c ---- */
extern struct preload_shared *rings_memory; /* NULL: nothing is recorded */

void rings_want(struct lock *l);
void rings_got(struct lock *l);
void rings_drop(struct lock *l);
/* Waited in vain for the time limit; `takes`: of before. */
void rings_force(struct lock *l, uint64_t takes);
/* Begins and ends waiting for a forced switch. */
void rings_switch_begin(void);
void rings_switch_end(void);
/* A thread of this process begins, made by another one; and ends. */
void rings_born(int parent);
void rings_ended(void);
void rings_forked(void);

#endif
