/* SPDX-License-Identifier: MIT */
/* The condition variable, with wait morphing.
 *
 * Idea. A signalled waiter can do nothing until it has the mutex. So a signal claims the waiter,
 * which ends its wait for good (its deadline and interruptions no longer count), but does not run
 * it while the mutex is taken: the claimed waiter moves to the mutex's queue, and an unlock wakes
 * it. A broadcast sends a whole crowd there, and they wake one after another instead of all at
 * once.
 *
 * Invariants. `waiting` is not 0 exactly if the queue is not empty, whenever the guard is free.
 * A waiter is in at most one queue. Between claim and wake it belongs to the signaller, then to the
 * mutex's queue.
 *
 * No signal is lost. A waiter queues itself under the guard while it still owns the mutex, and
 * gives the mutex back under the same guard; only hd__wait_park() releases the guard. A signaller
 * that changed the condition under the mutex either did so before the waiter took the mutex (then
 * the waiter saw the condition) or after the waiter gave it back (then it finds the waiter queued).
 * A signal is consumed only by a waiter that could be claimed; one that timed out meanwhile is
 * passed over, so it cannot swallow a signal that others need.
 *
 * Ordering. hd_cond_signal() and hd_cond_broadcast() read `waiting` without the guard. Relaxed is
 * enough: the store in wait_for_signal() is followed by the release of the mutex, and the signaller
 * took the mutex after that (an acquire) if its change of the condition is one that the waiter has
 * not seen. What the waiter sees after its return is ordered by the mutex, which it takes again.
 *
 * Memory. A waiter may free the condition and the mutex as soon as its wait has returned, even if
 * the signaller did not hold the mutex. So a signaller releases the condition's guard *before* it
 * moves or wakes anybody and does not look at the condition again; each mutex is pinned by the
 * claimed waiters that must still take it (queue.h, rule 2). Hence no lock is ever taken inside the
 * condition's guard but the mutex's own guard, in hd__mutex_give(); the order is cond, then mutex.
 *
 * Waiters of one condition may use different mutexes; then a broadcast moves them in groups. */
#include "base/atomic.h"
#include "sync/mutex.h"
#include "sync/watch.h"

struct cond {
    struct hd__waitq queue; /* links: hd__wait.next and .prev; hd__wait.slot is the mutex */
    hd__spin guard;         /* guards queue; writes of waiting */
    _Atomic uint32_t waiting;
} __attribute__((may_alias));

_Static_assert(sizeof(struct cond) <= sizeof(hd_cond), "fits into the public type");
_Static_assert(_Alignof(struct cond) <= _Alignof(hd_cond), "aligned as the public type");

static inline struct cond *cond_of(hd_cond *c) {
    return (struct cond *)c;
}

static inline void note_emptiness(struct cond *c) {
    if (c->queue.head == NULL) {
        hd__store_relaxed(&c->waiting, 0);
    }
}

static int wait_for_signal(struct cond *c, hd_mutex *mutex, uint64_t deadline_ns,
                           const void *site) {
    struct hd__mutex *m = (struct hd__mutex *)mutex;
    struct hd__wait w;
    hd__sched_hostile_point();
    hd__sched_enter();
    if (HD__UNLIKELY(m->watch)) hd__watch_check_again(m->watch, "hd_cond_wait");
    hd__wait_init(&w, "cond", c, site);
    w.slot = m;
    w.tag = hd__mutex_me();
    hd__spin_lock(&c->guard);
    hd__waitq_push_back(&c->queue, &w);
    hd__store_relaxed(&c->waiting, 1);
    hd_thread *next = hd__mutex_give_parking(m, w.tag, "hd_cond_wait");
    int err = hd__wait_park_waking(&w, &c->guard, deadline_ns, 0, next);
    if (err != 0) {
        hd__spin_lock(&c->guard);
        hd__waitq_remove(&c->queue, &w);
        note_emptiness(c);
        hd__spin_unlock(&c->guard);
    }
    hd__mutex_retake(m, &w, err == 0, site);
    hd__sched_leave();
    hd__sched_hostile_point();
    return err;
}

int hd_cond_wait(hd_cond *c, hd_mutex *m) {
    return wait_for_signal(cond_of(c), m, HD_FOREVER, __builtin_return_address(0));
}

int hd_cond_wait_until(hd_cond *c, hd_mutex *m, uint64_t deadline_ns) {
    return wait_for_signal(cond_of(c), m, deadline_ns, __builtin_return_address(0));
}

static HD__NOINLINE void signal_slow(struct cond *c) {
    hd__sched_enter();
    hd__spin_lock(&c->guard);
    struct hd__wait *w = hd__sync_claim_first(&c->queue);
    note_emptiness(c);
    hd__spin_unlock(&c->guard);
    if (w != NULL) {
        struct hd__waitq one = {NULL, NULL};
        hd__waitq_push_back(&one, w);
        hd__mutex_requeue(w->slot, &one);
    }
    hd__sched_leave();
}

static HD__NOINLINE void broadcast_slow(struct cond *c) {
    struct hd__waitq claimed = {NULL, NULL};
    hd__sched_enter();
    hd__spin_lock(&c->guard);
    hd__sync_claim_all(&c->queue, &claimed);
    note_emptiness(c);
    hd__spin_unlock(&c->guard);
    while (claimed.head != NULL) {
        struct hd__waitq group = {NULL, NULL};
        struct hd__mutex *m = claimed.head->slot;
        do {
            hd__waitq_push_back(&group, hd__waitq_pop_front(&claimed));
        } while (claimed.head != NULL && claimed.head->slot == m);
        hd__mutex_requeue(m, &group);
    }
    hd__sched_leave();
}

void hd_cond_signal(hd_cond *public) {
    struct cond *c = cond_of(public);
    if (hd__load_relaxed(&c->waiting)) {
        signal_slow(c);
    }
    hd__sched_hostile_point();
}

void hd_cond_broadcast(hd_cond *public) {
    struct cond *c = cond_of(public);
    if (hd__load_relaxed(&c->waiting)) {
        broadcast_slow(c);
    }
    hd__sched_hostile_point();
}
