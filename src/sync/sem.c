/* SPDX-License-Identifier: MIT */
/* The counting semaphore: first come, first served.
 *
 * Idea. A permit is one unit of a word; taking and posting are one compare-and-swap each. When
 * somebody waits, a post does not count up but gives its permit straight to the first waiter, so
 * nobody can overtake, and a woken waiter has nothing left to do.
 *
 * The state word: the permits in the low half (0 to PERMITS_MAX), WAITERS above them.
 *
 *   n -> n - 1                 wait, trywait (n > 0)
 *   n -> n + 1                 post, nobody waits
 *   0 -> WAITERS               a waiter queues itself (guard)
 *   WAITERS -> WAITERS or 0    post takes a waiter out, or a waiter gives up (guard)
 *
 * Invariant: WAITERS implies no permits, and is set exactly if the queue is not empty, whenever the
 * guard is free.
 *
 * Ordering. A post releases, in hd_sem_post(); taking a permit acquires, in
 * try_take(). A permit that is handed over is ordered by hd__wait_wake() and the return of
 * hd__wait_park().
 *
 * Memory. The waiter may free the semaphore as soon as it has its permit; queue.h, rule 2. That is
 * why a post that finds only waiters who gave up releases the guard before it counts up. */
#include "base/atomic.h"
#include "base/check.h"
#include "sync/queue.h"

#include <heddle/sync.h>

static const uint64_t PERMITS_MAX = INT32_MAX;
static const uint64_t WAITERS = (uint64_t)1 << 63;

struct sem {
    _Atomic uint64_t state; /* first: HD_SEM_INIT(n) sets it to n */
    hd__spin guard;         /* guards queue, and the WAITERS bit of state */
    struct hd__waitq queue; /* links: hd__wait.next and .prev */
} __attribute__((may_alias));

_Static_assert(sizeof(struct sem) <= sizeof(hd_sem), "fits into the public type");
_Static_assert(_Alignof(struct sem) <= _Alignof(hd_sem), "aligned as the public type");
_Static_assert(offsetof(struct sem, state) == 0, "HD_SEM_INIT() fills the first word");

static inline struct sem *sem_of(hd_sem *s) {
    return (struct sem *)s;
}

/* A word that cannot be taken from holds nothing but WAITERS. */
static inline void check_range(struct sem *s, uint64_t state) {
    HD__CHECK(!(state & ~WAITERS),
              "hd_sem: semaphore %p has more than %u permits; give HD_SEM_INIT() a number within "
              "that",
              (void *)s, (unsigned)PERMITS_MAX);
}

/* Takes a permit if there is one. */
static inline bool try_take(struct sem *s) {
    uint64_t state = hd__load_relaxed(&s->state);
    /* One comparison: no permits wraps around to a large number, and WAITERS is one. */
    while (state - 1 < PERMITS_MAX) {
        if (atomic_compare_exchange_weak_explicit(&s->state, &state, state - 1,
                                                  memory_order_acquire, memory_order_relaxed)) {
            return true;
        }
    }
    check_range(s, state);
    return false;
}

static HD__NOINLINE int wait_slow(struct sem *s, uint64_t deadline_ns, const void *site) {
    struct hd__wait w;
    hd__wait_init(&w, "sem", s, site);
    hd__spin_lock(&s->guard);
    /* Relaxed: a post that sees WAITERS takes the guard before it looks at the queue. */
    uint64_t state = 0;
    while (!atomic_compare_exchange_weak_explicit(&s->state, &state, WAITERS, memory_order_relaxed,
                                                  memory_order_relaxed)) {
        if (state == WAITERS) {
            break;
        }
        if (try_take(s)) {
            hd__spin_unlock(&s->guard);
            return 0;
        }
        state = 0;
    }
    hd__waitq_push_back(&s->queue, &w);
    int err = hd__wait_park(&w, &s->guard, deadline_ns, 0);
    if (err != 0) {
        hd__spin_lock(&s->guard);
        if (hd__waitq_remove(&s->queue, &w) && s->queue.head == NULL) {
            hd__store_relaxed(&s->state, 0);
        }
        hd__spin_unlock(&s->guard);
    }
    return err;
}

static inline int wait_until(struct sem *s, uint64_t deadline_ns, const void *site) {
    int err = 0;
    if (HD__UNLIKELY(!try_take(s))) {
        hd__sched_enter();
        err = wait_slow(s, deadline_ns, site);
        hd__sched_leave();
    }
    hd__sched_hostile_point();
    return err;
}

int hd_sem_wait(hd_sem *s) {
    return wait_until(sem_of(s), HD_FOREVER, __builtin_return_address(0));
}

int hd_sem_wait_until(hd_sem *s, uint64_t deadline_ns) {
    return wait_until(sem_of(s), deadline_ns, __builtin_return_address(0));
}

bool hd_sem_trywait(hd_sem *s) {
    return try_take(sem_of(s));
}

/* Gives the permit to the first waiter. False when all had given up: nothing has happened then. */
static HD__NOINLINE bool hand_over(struct sem *s) {
    hd__sched_enter();
    hd__spin_lock(&s->guard);
    struct hd__wait *w = hd__sync_claim_first(&s->queue);
    uint64_t state = hd__load_relaxed(&s->state);
    if (s->queue.head == NULL && (state & WAITERS)) {
        /* Nobody but the holder of the guard changes a word that has WAITERS. */
        check_range(s, state);
        hd__store_relaxed(&s->state, 0);
    }
    hd__spin_unlock(&s->guard);
    if (w != NULL) {
        hd__wait_wake(w);
    }
    hd__sched_leave();
    return w != NULL;
}

void hd_sem_post(hd_sem *public) {
    struct sem *s = sem_of(public);
    hd__sched_hostile_point();
    uint64_t state = hd__load_relaxed(&s->state);
    for (;;) {
        if (HD__UNLIKELY(state & WAITERS)) {
            if (hand_over(s)) {
                return;
            }
            state = hd__load_relaxed(&s->state);
            continue;
        }
        HD__CHECK(state < PERMITS_MAX,
                  "hd_sem_post: semaphore %p has %u permits already; there are more posts than "
                  "the program can have meant",
                  (void *)s, (unsigned)PERMITS_MAX);
        if (HD__LIKELY(atomic_compare_exchange_weak_explicit(
                &s->state, &state, state + 1, memory_order_release, memory_order_relaxed))) {
            return;
        }
    }
}
