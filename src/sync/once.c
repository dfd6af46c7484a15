/* SPDX-License-Identifier: MIT */
/* Once: the first caller runs the function, the others wait until it has run.
 *
 * The state word
 *
 *   0 -> RUNNING                    the first caller, which then runs the function
 *   RUNNING -> RUNNING|WAITERS      another one queues itself (guard)
 *   RUNNING -> DONE                 nobody waits
 *   RUNNING|WAITERS -> DONE         all waiters are claimed (guard)
 *   RUNNING|WAITERS -> RUNNING      all waiters gave up (guard)
 *
 * `runner` tells a call from within the function; it is compared only with the comparer's own
 * party, so the one value that matters is one that the comparer has written itself.
 *
 * Ordering. DONE is written with a release, in finish(), and read with an acquire, in
 * hd_once_call(): what the function did is visible to everybody who returns. Parked waiters get it
 * through hd__wait_wake() and the return of hd__wait_park().
 *
 * Memory. Any caller may free the object when its call has returned and no other uses it; queue.h,
 * rule 2. */
#include "base/atomic.h"
#include "base/check.h"
#include "sync/queue.h"

#include <heddle/sync.h>

enum { RUNNING = 1, WAITERS = 2, DONE = 4 };

struct once {
    _Atomic uint32_t state;
    hd__spin guard;                     /* guards queue, and the WAITERS bit of state */
    struct hd__waitq queue;             /* links: hd__wait.next and .prev */
    _Atomic(struct hd_thread *) runner; /* who runs the function; written by itself */
} __attribute__((may_alias));

_Static_assert(sizeof(struct once) <= sizeof(hd_once), "fits into the public type");
_Static_assert(_Alignof(struct once) <= _Alignof(hd_once), "aligned as the public type");

/* Lets all waiters go. False when all had given up: nothing has happened then but that WAITERS is
 * clear. */
static bool release_all(struct once *o) {
    struct hd__waitq claimed = {NULL, NULL};
    hd__sched_enter();
    hd__spin_lock(&o->guard);
    hd__sync_claim_all(&o->queue, &claimed);
    bool any = claimed.head != NULL;
    /* Nobody but the holder of the guard changes a word that has WAITERS. */
    hd__store_release(&o->state, any ? DONE : RUNNING);
    hd__spin_unlock(&o->guard);
    hd__sync_wake_all(&claimed);
    hd__sched_leave();
    return any;
}

static void finish(struct once *o) {
    for (;;) {
        uint32_t alone = RUNNING;
        if (atomic_compare_exchange_strong_explicit(&o->state, &alone, DONE, memory_order_release,
                                                    memory_order_relaxed) ||
            release_all(o)) {
            return;
        }
    }
}

static int wait_done(struct once *o, struct hd__wait *w, uint64_t deadline_ns, unsigned flags) {
    hd__spin_lock(&o->guard);
    uint32_t state = hd__load_acquire(&o->state);
    do {
        if (state == DONE) {
            hd__spin_unlock(&o->guard);
            return 0;
        }
        /* Acquire: the word may have become DONE, and then this is the wait's end. */
    } while (!atomic_compare_exchange_weak_explicit(&o->state, &state, state | WAITERS,
                                                    memory_order_acquire, memory_order_acquire));
    hd__waitq_push_back(&o->queue, w);
    int err = hd__wait_park(w, &o->guard, deadline_ns, flags);
    if (err != 0) {
        hd__spin_lock(&o->guard);
        if (hd__waitq_remove(&o->queue, w) && o->queue.head == NULL) {
            hd__store_relaxed(&o->state, RUNNING);
        }
        hd__spin_unlock(&o->guard);
    }
    return err;
}

static HD__NOINLINE int call_slow(struct once *o, void (*fn)(void *), void *arg,
                                  uint64_t deadline_ns, unsigned flags, const void *site) {
    struct hd__wait w;
    uint32_t fresh = 0;
    HD__CHECK(fn != NULL, "hd_once_call: fn is NULL");
    hd__sched_enter();
    hd__wait_init(&w, "once", o, site);
    hd__sched_leave();
    if (atomic_compare_exchange_strong_explicit(&o->state, &fresh, RUNNING, memory_order_relaxed,
                                                memory_order_relaxed)) {
        hd__store_relaxed(&o->runner, w.party);
        hd__sched_hostile_point();
        fn(arg);
        hd__store_relaxed(&o->runner, NULL);
        finish(o);
        return 0;
    }
    HD__CHECK(hd__load_relaxed(&o->runner) != w.party,
              "hd_once_call: once %p is called from within its own function, which would wait for "
              "itself; call the function's parts directly there",
              (void *)o);
    hd__sched_enter();
    int err = wait_done(o, &w, deadline_ns, flags);
    hd__sched_leave();
    return err;
}

void hd_once_call(hd_once *public, void (*fn)(void *arg), void *arg) {
    struct once *o = (struct once *)public;
    if (HD__UNLIKELY(hd__load_acquire(&o->state) != DONE)) {
        (void)call_slow(o, fn, arg, HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE,
                        __builtin_return_address(0));
    }
    hd__sched_hostile_point();
}

int hd_once_call_until(hd_once *public, void (*fn)(void *arg), void *arg, uint64_t deadline_ns) {
    struct once *o = (struct once *)public;
    int err = 0;
    if (HD__UNLIKELY(hd__load_acquire(&o->state) != DONE)) {
        err = call_slow(o, fn, arg, deadline_ns, 0, __builtin_return_address(0));
    }
    hd__sched_hostile_point();
    return err;
}
