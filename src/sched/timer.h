/* SPDX-License-Identifier: MIT */
/* Timers of one worker: a heap of four children a node in an array. Johnson, "Priority Queues with
 * Update and Finding Minimum Spanning Trees", Information Processing Letters 4, 1975.
 *
 * An entry holds its deadline beside a pointer to its node, which lives on the waiter's stack and
 * knows its place. So comparing reads the array alone, a cache line for four children, and the
 * stacks of other sleepers, a page each and cold, are only written to. No operation takes more than
 * some twenty steps with a million timers, so the lock is never held for long. The array is address
 * space that is reserved when the worker is made: arming a timer takes memory as a push on a stack
 * does, and cannot fail. doc/decisions/timers.md has the measured alternatives.
 *
 * The lock guards the heap and every node in it. Whoever takes a node out (the expirer, or the
 * waiter that no longer needs it) does so under the lock; the expirer also claims the wait under
 * it, so that after hd__timer_cancel() nobody touches the node or the wait any more. */
#ifndef HD__SCHED_TIMER_H
#define HD__SCHED_TIMER_H

#include "base/spin.h"
#include <heddle/base.h>

struct hd__timers;

struct hd__timer {
    uint64_t deadline_ns;
    uint32_t place;           /* in the array; guarded by the lock */
    struct hd__timers *owner; /* the heap it is in; NULL: in none. Written under the lock */
};

struct hd__timers_entry {
    uint64_t deadline_ns;
    struct hd__timer *timer;
};

struct hd__timers {
    hd__spin lock;
    uint32_t count, capacity;
    struct hd__timers_entry *heap; /* the children of i are 4i + 1 to 4i + 4 */
    void *memory;                  /* NULL: none was reserved */
    _Atomic uint64_t earliest_ns;  /* the first deadline or HD_FOREVER; a hint without the lock */
};

static inline uint64_t hd__timers_earliest(struct hd__timers *h) {
    return atomic_load_explicit(&h->earliest_ns, memory_order_relaxed);
}

/* Reserves room for a million timers. 0 or -ENOMEM; after that the first insertion tries again.
 * hd__timers_finish() gives the room back; what is still in the heap is forgotten. */
int hd__timers_init(struct hd__timers *h);
void hd__timers_finish(struct hd__timers *h);
/* Gives the memory back in which there are no timers at present; returns how much. */
size_t hd__timers_trim(struct hd__timers *h);
/* Both with h->lock held. Insertion beyond the room reserves twice as much, or ends the process. */
void hd__timers_insert(struct hd__timers *h, struct hd__timer *t);
/* The earliest timer whose deadline is not after now_ns, taken out; or NULL. */
struct hd__timer *hd__timers_take_expired(struct hd__timers *h, uint64_t now_ns);

/* Takes t out of the heap h if it is still there. Takes the lock: on return nobody else is
 * looking at t. */
void hd__timer_cancel(struct hd__timers *h, struct hd__timer *t);

#endif
