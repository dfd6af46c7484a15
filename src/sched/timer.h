/* SPDX-License-Identifier: MIT */
/* Timers of one worker: a pairing heap whose nodes live on the waiters' stacks, so that arming a
 * timer needs no memory and cannot fail. Fredman, Sedgewick, Sleator and Tarjan, "The Pairing
 * Heap: A New Form of Self-Adjusting Heap", Algorithmica 1, 1986. Insertion is constant time,
 * taking the earliest and removing any node O(log n) amortised.
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
    struct hd__timer *child;   /* first child */
    struct hd__timer *sibling; /* next child of the same parent */
    struct hd__timer *prev;    /* previous sibling, or the parent of a first child */
    struct hd__timers *owner;  /* the heap it is in; NULL: in none. Written under the lock */
};

struct hd__timers {
    hd__spin lock;
    struct hd__timer *root;
    _Atomic uint64_t earliest_ns; /* root's deadline or HD_FOREVER; a hint without the lock */
};

static inline uint64_t hd__timers_earliest(struct hd__timers *h) {
    return atomic_load_explicit(&h->earliest_ns, memory_order_relaxed);
}

void hd__timers_init(struct hd__timers *h);
/* Both with h->lock held. */
void hd__timers_insert(struct hd__timers *h, struct hd__timer *t);
/* The earliest timer whose deadline is not after now_ns, taken out; or NULL. */
struct hd__timer *hd__timers_take_expired(struct hd__timers *h, uint64_t now_ns);

/* Takes t out of the heap h if it is still there. Takes the lock: on return nobody else is
 * looking at t. */
void hd__timer_cancel(struct hd__timers *h, struct hd__timer *t);

#endif
