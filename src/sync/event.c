/* SPDX-License-Identifier: MIT */
/* The event: a flag that can be waited for.
 *
 * The state word
 *
 *   any -> SET            set, nobody waits: one read-modify-write
 *   WAITERS -> SET        set claims all waiters (guard)
 *   WAITERS -> 0          all waiters gave up (guard)
 *   SET -> 0              reset
 *   0 -> WAITERS          a waiter queues itself (guard)
 *
 * Invariant: WAITERS and SET exclude one another; WAITERS is set exactly if the queue is not empty,
 * whenever the guard is free.
 *
 * Present waiters are claimed by the set itself, so a reset right after it does not take their
 * wake-up back.
 *
 * Ordering. Setting is a release, also when the flag was set already, since those who see it may
 * rely on what *this* caller did before; it pairs with the acquire in hd_event_is_set() and in the
 * waits' fast path. Parked waiters get it through hd__wait_wake() and the return of
 * hd__wait_park().
 *
 * Memory. A waiter may free the event as soon as its wait has returned; queue.h, rule 2. So a set
 * with waiters writes SET, on which a newcomer would return, only when it has claimed one. */
#include "base/atomic.h"
#include "sync/select.h"

#include <heddle/sync.h>

enum { SET = 1, WAITERS = 2 };

struct event {
    _Atomic uint32_t state;
    hd__spin guard;         /* guards queue, and the WAITERS bit of state */
    struct hd__waitq queue; /* links: hd__wait.next and .prev */
} __attribute__((may_alias));

_Static_assert(sizeof(struct event) <= sizeof(hd_event), "fits into the public type");
_Static_assert(_Alignof(struct event) <= _Alignof(hd_event), "aligned as the public type");

static inline struct event *event_of(hd_event *e) {
    return (struct event *)e;
}

/* Sets it for waiters. False when all had given up: nothing has happened then but that WAITERS is
 * clear. */
static HD__NOINLINE bool release_all(struct event *e) {
    struct hd__waitq claimed = {NULL, NULL};
    hd__sched_enter();
    hd__spin_lock(&e->guard);
    hd__select_claim_all(&e->queue, &claimed);
    bool any = claimed.head != NULL;
    uint32_t state = hd__load_relaxed(&e->state);
    /* Another set may have come here first; then the word may be SET, or have been reset. */
    while (!atomic_compare_exchange_weak_explicit(&e->state, &state,
                                                  any ? SET : state & ~(uint32_t)WAITERS,
                                                  memory_order_release, memory_order_relaxed)) {
    }
    hd__spin_unlock(&e->guard);
    hd__select_wake_all(&claimed);
    hd__sched_leave();
    return any;
}

void hd_event_set(hd_event *public) {
    struct event *e = event_of(public);
    hd__sched_hostile_point();
    uint32_t state = hd__load_relaxed(&e->state);
    for (;;) {
        if (HD__UNLIKELY(state & WAITERS)) {
            if (release_all(e)) {
                return;
            }
            state = hd__load_relaxed(&e->state);
        } else if (atomic_compare_exchange_weak_explicit(
                       &e->state, &state, SET, memory_order_release, memory_order_relaxed)) {
            return;
        }
    }
}

void hd_event_reset(hd_event *e) {
    atomic_fetch_and_explicit(&event_of(e)->state, ~(uint32_t)SET, memory_order_relaxed);
}

bool hd_event_is_set(const hd_event *e) {
    return hd__load_acquire(&((const struct event *)e)->state) & SET;
}

/* Takes the guard and queues w there; false: it is set, and the guard is free again. */
static HD__NOINLINE bool queue_locked(struct event *e, struct hd__wait *w) {
    hd__spin_lock(&e->guard);
    uint32_t state = hd__load_acquire(&e->state);
    do {
        if (state & SET) {
            hd__spin_unlock(&e->guard);
            return false;
        }
        /* Acquire: the word may have become SET, and then this is the wait's end. */
    } while (!atomic_compare_exchange_weak_explicit(&e->state, &state, WAITERS,
                                                    memory_order_acquire, memory_order_acquire));
    hd__waitq_push_back(&e->queue, w);
    return true;
}

static void unqueue(struct event *e, struct hd__wait *w) {
    hd__spin_lock(&e->guard);
    if (hd__waitq_remove(&e->queue, w) && e->queue.head == NULL) {
        atomic_fetch_and_explicit(&e->state, ~(uint32_t)WAITERS, memory_order_relaxed);
    }
    hd__spin_unlock(&e->guard);
}

static HD__NOINLINE int wait_slow(struct event *e, uint64_t deadline_ns, const void *site) {
    struct hd__wait w;
    hd__wait_init(&w, "event", e, site);
    if (!queue_locked(e, &w)) return 0;
    int err = hd__wait_park(&w, &e->guard, deadline_ns, 0);
    if (err != 0) unqueue(e, &w);
    return err;
}

bool hd__event_queue(hd_event *public, struct hd__wait *w) {
    struct event *e = event_of(public);
    bool queued = queue_locked(e, w);
    if (queued) hd__spin_unlock(&e->guard);
    return queued;
}

void hd__event_unqueue(hd_event *e, struct hd__wait *w) {
    unqueue(event_of(e), w);
}

static inline int wait_until(struct event *e, uint64_t deadline_ns, const void *site) {
    hd__sched_hostile_point();
    if (hd__load_acquire(&e->state) & SET) return 0;
    hd__sched_enter();
    int err = wait_slow(e, deadline_ns, site);
    hd__sched_leave();
    return err;
}

int hd_event_wait(hd_event *e) {
    return wait_until(event_of(e), HD_FOREVER, __builtin_return_address(0));
}

int hd_event_wait_until(hd_event *e, uint64_t deadline_ns) {
    return wait_until(event_of(e), deadline_ns, __builtin_return_address(0));
}
