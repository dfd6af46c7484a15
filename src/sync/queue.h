/* SPDX-License-Identifier: MIT */
/* What all waits of this layer share: how a waker takes waiters from a queue and lets them go,
 * and the rules that keep the object's memory safe.
 *
 * The shape of every object here: a state word that the fast paths change with one atomic
 * instruction; a guard (hd__spin) with a queue of waiters, which only the slow paths touch; and in
 * the state word one bit, WAITERS, that says "the queue is not empty". Two rules hold everywhere:
 *
 * 1. WAITERS is set under the guard by the waiter that queues itself, in a compare-and-swap that
 *    fails if the object has meanwhile become what the waiter waits for. A waker changes the state
 *    by a read-modify-write of the same word. One of the two comes first: either the waiter sees
 *    the new state and does not wait, or the waker sees WAITERS and takes the guard, which the
 *    waiter gives up only when it can be woken. So no wake-up is lost, and neither side needs a
 *    fence: both act on one word.
 *
 * 2. The object may be gone as soon as anybody could have seen the waker's effect: a semaphore may
 *    lie on the stack of the one that waits for it. So the *last* thing that a waker does to an
 *    object is either the atomic instruction by which it takes effect (nobody waits), or the
 *    release of the guard while it owns a claimed waiter. A claimed waiter *pins* the object: it
 *    cannot return from its wait before hd__wait_wake(), so nobody may free the object yet. A
 *    waker that took the guard and found only waiters that had given up pins nothing; it must
 *    release the guard first, without having taken effect, and begin anew.
 *
 * A waiter whose wait ended with an error (deadline, interruption) was not claimed. It takes the
 * guard again and leaves the queue, unless a waker has thrown it out already. A waiter that was
 * claimed always consumed the wake-up and returns 0, however late its deadline has become.
 *
 * Ordering: hd__wait_wake() happens before the return of the hd__wait_park() that it ends. */
#ifndef HD__SYNC_QUEUE_H
#define HD__SYNC_QUEUE_H

#include "sched/wait.h"

/* All three: the guard of `q` is held. */

/* Takes the first waiter whose wait the caller ends by this; NULL when there is none. Waiters that
 * have given up meanwhile fall out on the way. */
static inline struct hd__wait *hd__sync_claim_first(struct hd__waitq *q) {
    struct hd__wait *w;
    while ((w = hd__waitq_pop_front(q)) != NULL) {
        if (hd__wait_claim(w)) {
            break;
        }
    }
    return w;
}

/* Empties `q`, appending to `claimed` (which is the caller's own) the waiters whose wait the
 * caller ends by this. Their links are free for that: a claimed waiter does not look at them. */
static inline void hd__sync_claim_all(struct hd__waitq *q, struct hd__waitq *claimed) {
    struct hd__wait *w;
    while ((w = hd__sync_claim_first(q)) != NULL) {
        hd__waitq_push_back(claimed, w);
    }
}

/* Lets claimed waiters go, first come first. No guard is held, and the object that they waited for
 * may vanish during the call. */
static inline void hd__sync_wake_all(struct hd__waitq *claimed) {
    struct hd__wait *w;
    while ((w = hd__waitq_pop_front(claimed)) != NULL) {
        hd__wait_wake(w);
    }
}

#endif
