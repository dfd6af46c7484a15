/* SPDX-License-Identifier: MIT */
/* A spin lock for short internal sections: one exchange to take, one store to give back.
 *
 * Contract. Taking is an acquire that pairs with the release of the previous giver. Not fair, not
 * recursive. A section must not park, must not call user code and must not fault in memory that
 * may fail. The kernel can deschedule the holder, so a waiter spins for a bounded time only, then
 * gives its CPU away (hd__spin_slow, in os/spin.c, since that takes system calls).
 *
 * Rejected: ticket and queue locks. Fairness would hand the lock to a waiter that the kernel has
 * descheduled, and everybody behind it would wait for a time slice. */
#ifndef HD_SRC_BASE_SPIN_H
#define HD_SRC_BASE_SPIN_H

#include "base/base.h"

#include <stdatomic.h>

typedef struct {
    _Atomic uint32_t word; /* 0 free, 1 taken */
} hd__spin;

#define HD__SPIN_INIT { 0 }

/* Waits until the lock is free and takes it; called after one failed attempt. */
void hd__spin_slow(hd__spin *s) __attribute__((noinline, cold));

/* One turn of such a wait, between two looks; `turn` counts from 0. Most pause for some
 * nanoseconds, one in a while gives the CPU away, and later ones sleep for moments. */
void hd__spin_turn(unsigned turn);

/* In checked builds: called before a lock is taken; aborts where the caller could be preempted with
 * it, since those who spin for it would wait for a thread that waits for their worker. NULL: there
 * is nothing to preempt anybody. */
#ifdef HD_DEBUG
extern void (*_Atomic hd__spin_check)(void);
#endif

static inline void hd__spin_checked(void) {
#ifdef HD_DEBUG
    void (*check)(void) = atomic_load_explicit(&hd__spin_check, memory_order_relaxed);
    if (check) check();
#endif
}

static inline bool hd__spin_trylock(hd__spin *s) {
    /* The plain look first keeps a failing attempt from taking the line away from the holder. */
    return atomic_load_explicit(&s->word, memory_order_relaxed) == 0 &&
           atomic_exchange_explicit(&s->word, 1, memory_order_acquire) == 0;
}

static inline void hd__spin_lock(hd__spin *s) {
    hd__spin_checked();
    if (HD__UNLIKELY(atomic_exchange_explicit(&s->word, 1, memory_order_acquire) != 0)) {
        hd__spin_slow(s);
    }
}

static inline void hd__spin_unlock(hd__spin *s) {
    atomic_store_explicit(&s->word, 0, memory_order_release);
}

/* For assertions: whether anybody holds it. */
static inline bool hd__spin_is_locked(const hd__spin *s) {
    return atomic_load_explicit(&s->word, memory_order_relaxed) != 0;
}

#endif
