/* SPDX-License-Identifier: MIT */
/* The mutex: barging, with bounded unfairness.
 *
 * Idea. A free mutex is taken and given back by one compare-and-swap each. A waiter that is woken
 * does not own the mutex yet: it competes with whoever comes by ("barging"). Handing the mutex to
 * it directly would keep it locked while the waiter travels through a run queue, and everybody who
 * comes meanwhile would park as well; throughput falls to one section per context switch. Barging
 * alone lets a waiter lose for ever, so a waiter that was woken and lost LOSSES_MAX times, or that
 * loses again LOSING_MAX_NS after its first loss, is marked STARVING, and the next unlock hands it
 * the mutex. A waiter that lost goes back to the *front* of the queue, so the order among waiters
 * is kept, and each waits for a bounded number of wake-ups of those before it.
 *
 * Few wake-ups. At most one woken waiter is on its way at a time (WOKEN): until it has arrived,
 * unlocks leave the others asleep and stay on their short path.
 *
 * Rejected: a queue lock (MCS: hands over directly, see above); waiters in a table hashed by
 * address, which makes a mutex one word but costs the slow path a shared lock; releasing before
 * taking the guard, which touches the mutex after another thread may have freed it.
 *
 * The state word
 *
 *   LOCKED   somebody owns it. Set by compare-and-swap of whoever takes it. Cleared by the owner.
 *   WAITERS  the queue is not empty. Written under the guard only.
 *   WOKEN    a waiter was woken to compete and has neither taken the mutex nor queued itself
 *            again. Set under the guard, by whoever wakes; cleared by a woken waiter.
 *
 *   0 <-> LOCKED                                   lock, unlock: nobody waits
 *   LOCKED -> LOCKED|WAITERS                       a waiter queues itself (guard)
 *   LOCKED|WAITERS -> WOKEN[|WAITERS]              unlock wakes the first waiter (guard)
 *   LOCKED|WAITERS -> LOCKED[|WAITERS]             unlock hands over to a starving one (guard)
 *   WOKEN|... <-> LOCKED|WOKEN|...                 others barge meanwhile
 *   WOKEN|... -> LOCKED|...                        the woken waiter takes it
 *   LOCKED|WOKEN|... -> LOCKED|WAITERS             the woken waiter lost, and queues again (guard)
 *   0 -> WOKEN[|WAITERS]                           a condition sends it waiters (guard)
 *
 * Invariant: WAITERS without LOCKED implies WOKEN. So somebody who will unlock, and then see
 * WAITERS, is always there: the owner, or the woken waiter on its way. A condition may add a
 * second woken waiter; then WOKEN may be clear too early, which costs a superfluous wake-up and
 * breaks nothing: WOKEN is only ever cleared by a compare-and-swap whose result has LOCKED.
 *
 * Ordering. Taking is an acquire, in try_take() and in the fast paths; giving back a release, in
 * hd_mutex_unlock(), hd__mutex_give() and wake_next(). They pair through the state word; the
 * read-modify-writes in between, by anybody, continue the release sequence. A mutex that is handed
 * over is ordered by hd__wait_wake() and the return of hd__wait_park() instead.
 *
 * Memory. An owner may free the mutex right after its unlock if nobody else uses it, even while the
 * unlocker before it has not returned: the last access of each unlock is the compare-and-swap that
 * clears LOCKED, or the release of the guard with a claimed waiter in hand (queue.h, rule 2). */
#include "sync/mutex.h"

#include "base/atomic.h"
#include "base/check.h"
#include "os/clock.h"

enum { LOCKED = 1, WAITERS = 2, WOKEN = 4 };

/* hd__wait.tag of a waiter in the queue. Written by the waiter before it queues itself, then by
 * whoever holds the guard, or owns the waiter by a claim. */
enum {
    STARVING = 1, /* gets the mutex handed over */
    HANDED = 2,   /* owns the mutex by now */
    CLAIMED = 4,  /* a condition claimed it before it came here */
};

/* When a waiter starves: after so many lost races, or at the first one that comes so long after it
 * began to lose. The time in the queue before does not count: in a crowd everybody waits long, and
 * handing over to everybody would be what barging is to avoid. */
enum { LOSSES_MAX = 8 };
static const uint64_t LOSING_MAX_NS = 5 * 1000 * 1000;

static inline struct hd__mutex *mutex_of(hd_mutex *m) {
    return (struct hd__mutex *)m;
}

/* Takes the mutex if it is free. A woken waiter takes WOKEN away with the same instruction: from
 * then on it is an owner like any other, and its unlock wakes the next.
 *
 * This is the place where a contender would spin while the owner runs on another worker. */
static inline bool try_take(struct hd__mutex *m, bool woken) {
    uint32_t s = hd__load_relaxed(&m->state);
    while (!(s & LOCKED)) {
        uint32_t taken = (woken ? s & ~(uint32_t)WOKEN : s) | LOCKED;
        if (atomic_compare_exchange_weak_explicit(&m->state, &s, taken, memory_order_acquire,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

/* Takes the mutex (true), or queues w and returns with the guard held (false). The guard is taken
 * before the last look, so that the compare-and-swap that sets WAITERS, together with the queue, is
 * one step for everybody who acts under the guard.
 *
 * Not inlined: gcc cannot see that others take w out of the queue before contend() returns. */
static HD__NOINLINE bool take_or_queue(struct hd__mutex *m, struct hd__wait *w, bool woken) {
    if (try_take(m, woken)) {
        return true;
    }
    hd__spin_lock(&m->guard);
    uint32_t s = hd__load_relaxed(&m->state);
    for (;;) {
        if (!(s & LOCKED)) {
            if (try_take(m, woken)) {
                hd__spin_unlock(&m->guard);
                return true;
            }
            s = hd__load_relaxed(&m->state);
            continue;
        }
        /* Relaxed: an owner that sees WAITERS takes the guard before it looks at the queue. */
        uint32_t queued = (woken ? s & ~(uint32_t)WOKEN : s) | WAITERS;
        if (atomic_compare_exchange_weak_explicit(&m->state, &s, queued, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            break;
        }
    }
    if (woken) {
        hd__waitq_push_front(&m->queue, w);
    } else {
        hd__waitq_push_back(&m->queue, w);
    }
    return false;
}

/* After a wait that nobody claimed. */
static void leave_queue(struct hd__mutex *m, struct hd__wait *w) {
    hd__spin_lock(&m->guard);
    hd__waitq_remove(&m->queue, w);
    if (m->queue.head == NULL) {
        atomic_fetch_and_explicit(&m->state, ~(uint32_t)WAITERS, memory_order_relaxed);
    }
    hd__spin_unlock(&m->guard);
}

/* Competes for the mutex until it has it or the wait fails. With `woken` the caller is the waiter
 * that WOKEN speaks of. */
static int contend(struct hd__mutex *m, bool woken, uint64_t deadline_ns, unsigned flags,
                   const void *site) {
    struct hd__wait w;
    unsigned losses = 0;
    uint64_t since_ns = 0;
    bool starving = false;
    if (try_take(m, woken)) {
        return 0;
    }
    for (;;) {
        hd__wait_init(&w, "mutex", m, site);
        w.tag = starving ? STARVING : 0;
        if (take_or_queue(m, &w, woken)) {
            return 0;
        }
        int err = hd__wait_park(&w, &m->guard, deadline_ns, flags);
        if (err != 0) {
            leave_queue(m, &w);
            return err;
        }
        if (w.tag & HANDED) {
            return 0;
        }
        woken = true;
        if (try_take(m, true)) {
            return 0;
        }
        uint64_t now_ns = hd__os_now_ns(); /* read by losers only */
        if (losses++ == 0) {
            since_ns = now_ns;
        }
        starving = losses >= LOSSES_MAX || now_ns - since_ns >= LOSING_MAX_NS;
    }
}

static HD__NOINLINE void lock_slow(struct hd__mutex *m, const void *site) {
    hd__sched_enter();
    (void)contend(m, false, HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE, site);
    hd__sched_leave();
}

/* The owner's part when somebody waits and nobody is on its way: gives the mutex back and wakes
 * the first waiter, or hands it over. False when all waiters had given up: then the mutex is still
 * the caller's, WAITERS is clear, and the guard is released without effect (queue.h, rule 2). */
static bool wake_next(struct hd__mutex *m) {
    hd__spin_lock(&m->guard);
    struct hd__wait *w;
    while ((w = hd__waitq_pop_front(&m->queue)) != NULL) {
        if ((w->tag & CLAIMED) || hd__wait_claim(w)) {
            break;
        }
    }
    if (w == NULL) {
        atomic_fetch_and_explicit(&m->state, ~(uint32_t)WAITERS, memory_order_relaxed);
        hd__spin_unlock(&m->guard);
        return false;
    }
    uint32_t clear = m->queue.head == NULL ? WAITERS : 0;
    uint32_t set = 0;
    if (w->tag & STARVING) {
        w->tag |= HANDED;
    } else {
        clear |= LOCKED;
        set = WOKEN;
    }
    uint32_t s = hd__load_relaxed(&m->state);
    while (!atomic_compare_exchange_weak_explicit(&m->state, &s, (s & ~clear) | set,
                                                  memory_order_release, memory_order_relaxed)) {
    }
    hd__spin_unlock(&m->guard);
    hd__wait_wake(w);
    return true;
}

HD__NOINLINE void hd__mutex_give(struct hd__mutex *m, const char *call) {
    uint32_t s = hd__load_relaxed(&m->state);
    for (;;) {
        HD__CHECK(s & LOCKED,
                  "%s: mutex %p is not locked; only the thread that locked it may give it back",
                  call, (void *)m);
        if ((s & (WAITERS | WOKEN)) != WAITERS) {
            /* Nobody to wake, or somebody is on the way already and will see to the others. */
            if (atomic_compare_exchange_weak_explicit(&m->state, &s, s & ~(uint32_t)LOCKED,
                                                      memory_order_release, memory_order_relaxed)) {
                return;
            }
        } else if (wake_next(m)) {
            return;
        } else {
            s = hd__load_relaxed(&m->state);
        }
    }
}

void hd__mutex_requeue(struct hd__mutex *m, struct hd__waitq *claimed) {
    hd__spin_lock(&m->guard);
    struct hd__wait *first = claimed->head;
    uint32_t s = hd__load_relaxed(&m->state), next;
    do {
        if (s & LOCKED) {
            next = s | WAITERS;
        } else {
            next = s | WOKEN | (first != claimed->tail ? WAITERS : 0);
        }
    } while (!atomic_compare_exchange_weak_explicit(&m->state, &s, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    if (s & LOCKED) {
        first = NULL;
    } else {
        hd__waitq_pop_front(claimed);
        first->tag = CLAIMED;
    }
    struct hd__wait *w;
    while ((w = hd__waitq_pop_front(claimed)) != NULL) {
        w->tag = CLAIMED;
        w->what = "mutex";
        w->object = m;
        hd__waitq_push_back(&m->queue, w);
    }
    hd__spin_unlock(&m->guard);
    if (first != NULL) {
        hd__wait_wake(first);
    }
}

void hd__mutex_retake(struct hd__mutex *m, struct hd__wait *w, bool signalled, const void *site) {
    if (signalled && (w->tag & HANDED)) {
        return;
    }
    (void)contend(m, signalled, HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE, site);
}

void hd_mutex_lock(hd_mutex *public) {
    struct hd__mutex *m = mutex_of(public);
    uint32_t free = 0;
    if (HD__UNLIKELY(!atomic_compare_exchange_strong_explicit(
            &m->state, &free, LOCKED, memory_order_acquire, memory_order_relaxed))) {
        lock_slow(m, __builtin_return_address(0));
    }
    hd__sched_hostile_point();
}

bool hd_mutex_trylock(hd_mutex *public) {
    if (!try_take(mutex_of(public), false)) {
        return false;
    }
    hd__sched_hostile_point();
    return true;
}

int hd_mutex_lock_until(hd_mutex *public, uint64_t deadline_ns) {
    struct hd__mutex *m = mutex_of(public);
    hd__sched_enter();
    int err = contend(m, false, deadline_ns, 0, __builtin_return_address(0));
    hd__sched_leave();
    hd__sched_hostile_point();
    return err;
}

void hd_mutex_unlock(hd_mutex *public) {
    struct hd__mutex *m = mutex_of(public);
    uint32_t alone = LOCKED;
    hd__sched_hostile_point();
    if (HD__UNLIKELY(!atomic_compare_exchange_strong_explicit(
            &m->state, &alone, 0, memory_order_release, memory_order_relaxed))) {
        hd__sched_enter();
        hd__mutex_give(m, "hd_mutex_unlock");
        hd__sched_leave();
    }
}
