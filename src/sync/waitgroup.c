/* SPDX-License-Identifier: MIT */
/* The wait group: a count of outstanding pieces of work, and those who wait for zero.
 *
 * The state word: twice the count, plus WAITERS in bit 0.
 *
 *   +-2n                       add, done; not to zero, or nobody waits: one compare-and-swap
 *   2n -> 2n|WAITERS (n > 0)   a waiter queues itself (guard)
 *   2n|WAITERS -> 0            the last piece is done: all waiters are claimed (guard)
 *   2n|WAITERS -> 2n           all waiters gave up (guard)
 *
 * Invariant: WAITERS implies a count above zero, and is set exactly if the queue is not empty,
 * whenever the guard is free.
 *
 * Ordering. Every change of the count is acquire and release, so the last one carries on what all
 * pieces did before they were done; hd_waitgroup_wait() acquires it in its fast path, and parked
 * waiters get it through hd__wait_wake() and the return of hd__wait_park().
 *
 * Memory. A waiter may free the group as soon as its wait has returned; queue.h, rule 2. So the
 * call that takes the count to zero first claims the waiters, under the guard, and only then writes
 * the zero, on which a newcomer would return at once.
 *
 * An add that runs at the same time as the done that takes away the last piece, and has no piece of
 * its own outstanding, comes after it: present waiters are released, and the group counts anew. */
#include "base/atomic.h"
#include "base/check.h"
#include "sync/queue.h"

#include <heddle/sync.h>

enum { WAITERS = 1 };
static const int64_t COUNT_MAX = INT64_MAX / 4;

struct waitgroup {
    _Atomic uint64_t state;
    hd__spin guard;         /* guards queue, and the WAITERS bit of state */
    struct hd__waitq queue; /* links: hd__wait.next and .prev */
} __attribute__((may_alias));

_Static_assert(sizeof(struct waitgroup) <= sizeof(hd_waitgroup), "fits into the public type");
_Static_assert(_Alignof(struct waitgroup) <= _Alignof(hd_waitgroup), "aligned as the public type");

static inline struct waitgroup *waitgroup_of(hd_waitgroup *wg) {
    return (struct waitgroup *)wg;
}

static inline bool change(struct waitgroup *wg, uint64_t *state, uint64_t to) {
    return atomic_compare_exchange_weak_explicit(&wg->state, state, to, memory_order_acq_rel,
                                                 memory_order_relaxed);
}

static inline void check_not_negative(struct waitgroup *wg, int64_t count, int64_t n,
                                      const char *call) {
    HD__CHECK(count + n >= 0,
              "%s: the count of wait group %p falls below zero (%lld, adding %lld); add "
              "before the work starts, and be done once a piece",
              call, (void *)wg, (long long)count, (long long)n);
}

/* Adds n, which takes the count to zero, and lets all waiters go. False when all had given up:
 * nothing has happened then but that WAITERS is clear. */
static HD__NOINLINE bool release_all(struct waitgroup *wg, int64_t n, const char *call) {
    struct hd__waitq claimed = {NULL, NULL};
    hd__sched_enter();
    hd__spin_lock(&wg->guard);
    hd__sync_claim_all(&wg->queue, &claimed);
    uint64_t state = hd__load_relaxed(&wg->state), to;
    do {
        to = state & ~(uint64_t)WAITERS;
        if (claimed.head != NULL) {
            check_not_negative(wg, (int64_t)(state >> 1), n, call);
            to += (uint64_t)n * 2;
        }
    } while (!change(wg, &state, to));
    hd__spin_unlock(&wg->guard);
    bool any = claimed.head != NULL;
    hd__sync_wake_all(&claimed);
    hd__sched_leave();
    return any;
}

static inline void add(struct waitgroup *wg, int64_t n, const char *call) {
    uint64_t state = hd__load_relaxed(&wg->state);
    for (;;) {
        int64_t count = (int64_t)(state >> 1), sum;
        bool overflow = __builtin_add_overflow(count, n, &sum);
        HD__CHECK(!overflow && sum <= COUNT_MAX, "%s: the count of wait group %p overflows", call,
                  (void *)wg);
        check_not_negative(wg, count, n, call);
        if (HD__UNLIKELY(sum == 0 && (state & WAITERS))) {
            if (release_all(wg, n, call)) {
                return;
            }
            state = hd__load_relaxed(&wg->state);
        } else if (HD__LIKELY(change(wg, &state, state + (uint64_t)n * 2))) {
            return;
        }
    }
}

void hd_waitgroup_add(hd_waitgroup *wg, int64_t n) {
    add(waitgroup_of(wg), n, "hd_waitgroup_add");
    hd__sched_hostile_point();
}

void hd_waitgroup_done(hd_waitgroup *wg) {
    hd__sched_hostile_point();
    add(waitgroup_of(wg), -1, "hd_waitgroup_done");
}

static HD__NOINLINE int wait_slow(struct waitgroup *wg, uint64_t deadline_ns, const void *site) {
    struct hd__wait w;
    hd__wait_init(&w, "waitgroup", wg, site);
    hd__spin_lock(&wg->guard);
    uint64_t state = hd__load_acquire(&wg->state);
    do {
        if (state == 0) {
            hd__spin_unlock(&wg->guard);
            return 0;
        }
        /* Acquire: the word may have become zero, and then this is the wait's end. */
    } while (!atomic_compare_exchange_weak_explicit(&wg->state, &state, state | WAITERS,
                                                    memory_order_acquire, memory_order_acquire));
    hd__waitq_push_back(&wg->queue, &w);
    int err = hd__wait_park(&w, &wg->guard, deadline_ns, 0);
    if (err != 0) {
        hd__spin_lock(&wg->guard);
        if (hd__waitq_remove(&wg->queue, &w) && wg->queue.head == NULL) {
            atomic_fetch_and_explicit(&wg->state, ~(uint64_t)WAITERS, memory_order_relaxed);
        }
        hd__spin_unlock(&wg->guard);
    }
    return err;
}

static inline int wait_until(struct waitgroup *wg, uint64_t deadline_ns, const void *site) {
    hd__sched_hostile_point();
    if (hd__load_acquire(&wg->state) == 0) return 0;
    hd__sched_enter();
    int err = wait_slow(wg, deadline_ns, site);
    hd__sched_leave();
    return err;
}

int hd_waitgroup_wait(hd_waitgroup *wg) {
    return wait_until(waitgroup_of(wg), HD_FOREVER, __builtin_return_address(0));
}

int hd_waitgroup_wait_until(hd_waitgroup *wg, uint64_t deadline_ns) {
    return wait_until(waitgroup_of(wg), deadline_ns, __builtin_return_address(0));
}
