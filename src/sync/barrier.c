/* SPDX-License-Identifier: MIT */
/* The barrier: so many parties wait for one another, again and again.
 *
 * Everything happens under the guard: all parties but the last have to park anyway, and the last
 * one wakes them.
 *
 * Invariant: `arrived` is the number of waiters in the queue, whenever the guard is free. The last
 * party empties the queue, so that those of the next round find an empty one even if some of this
 * round have not run yet. A waiter whose deadline came, but which the last party found in the queue
 * still, was counted: it has passed the barrier, and says so. Hence nobody needs to be told that
 * the round failed, and a party that gives up was never part of one that was complete.
 *
 * Ordering. All parties' guards order what each did before the barrier before the last one's
 * hd__wait_wake(), which is before the others' returns.
 *
 * Memory. A party may free the barrier when its wait has returned, if the others do not come again:
 * the last access of the last party is the release of the guard with claimed waiters in hand
 * (queue.h, rule 2), and claimed waiters do not look at it again. Those that have a deadline may,
 * if it came at the same moment: so they must have returned. */
#include "base/atomic.h"
#include "base/check.h"
#include "sync/queue.h"

#include <heddle/sync.h>

#include <errno.h>

struct barrier {
    uint64_t parties;       /* first: HD_BARRIER_INIT(n) sets it to n */
    hd__spin guard;         /* guards the rest */
    uint32_t arrived;
    struct hd__waitq queue; /* links: hd__wait.next and .prev */
} __attribute__((may_alias));

_Static_assert(sizeof(struct barrier) <= sizeof(hd_barrier), "fits into the public type");
_Static_assert(_Alignof(struct barrier) <= _Alignof(hd_barrier), "aligned as the public type");
_Static_assert(offsetof(struct barrier, parties) == 0, "HD_BARRIER_INIT() fills the first word");

/* Lets the waiters of a complete round go; the guard is held, and released. */
static void complete(struct barrier *b) {
    struct hd__waitq claimed = {NULL, NULL};
    hd__sync_claim_all(&b->queue, &claimed);
    b->arrived = 0;
    hd__spin_unlock(&b->guard);
    hd__sync_wake_all(&claimed);
}

static int wait_slow(struct barrier *b, uint64_t deadline_ns, unsigned flags, const void *site) {
    struct hd__wait w;
    hd__wait_init(&w, "barrier", b, site);
    hd__spin_lock(&b->guard);
    if (b->arrived + UINT64_C(1) == b->parties) {
        complete(b);
        return 1;
    }
    b->arrived++;
    hd__waitq_push_back(&b->queue, &w);
    int err = hd__wait_park(&w, &b->guard, deadline_ns, flags);
    if (err != 0) {
        hd__spin_lock(&b->guard);
        if (hd__waitq_remove(&b->queue, &w))
            b->arrived--;
        else
            err = 0;
        hd__spin_unlock(&b->guard);
    }
    return err;
}

static int wait_until(hd_barrier *public, uint64_t deadline_ns, unsigned flags, const char *call,
                      const void *site) {
    struct barrier *b = (struct barrier *)public;
    HD__CHECK(b->parties > 0 && b->parties <= UINT32_MAX,
              "%s: barrier %p is for %llu parties; give HD_BARRIER_INIT() a number from 1 to %u",
              call, (void *)b, (unsigned long long)b->parties, (unsigned)UINT32_MAX);
    hd__sched_hostile_point();
    hd__sched_enter();
    int result = wait_slow(b, deadline_ns, flags, site);
    hd__sched_leave();
    hd__sched_hostile_point();
    return result;
}

bool hd_barrier_wait(hd_barrier *b) {
    return wait_until(b, HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE, "hd_barrier_wait",
                      __builtin_return_address(0)) > 0;
}

int hd_barrier_wait_until(hd_barrier *b, uint64_t deadline_ns) {
    return wait_until(b, deadline_ns, 0, "hd_barrier_wait_until", __builtin_return_address(0));
}
