/* SPDX-License-Identifier: MIT */
/* The protocol between a reader and whoever waits for a grace period, by itself: a word of each
 * reader, and two fences. It uses nothing but C11 atomics, so that it can be compiled over others
 * than these. What the inline functions of heddle/rcu.h do are enter() and leave() below.
 *
 *   reader                                  waiter
 *   ------                                  ------
 *   depth + 1                               unpublish the old version
 *   LIGHT                            (a)    HEAVY
 *   read the pointer, use the object        depth != 0: is waited for
 *   depth - 1, release               (b)    depth == 0, acquire: has passed
 *     REPORT in what is left: report (c)    word |= REPORT; HEAVY
 *                                           depth == 0: has passed
 *                                           no REPORT: again
 *
 * (a) A light and a heavy fence are what a pair of sequentially consistent ones would be: of the
 *     two, the store before one is seen by the load after the other. Either the waiter sees the
 *     section, or the section sees that the old version is gone.
 * (b) What the section read, it read before the waiter goes on.
 * (c) The reader's addition is a load and a store, not an atomic instruction, so it may overwrite
 *     the flag; never the other way round, since the waiter's addition of the flag is one. So the
 *     waiter looks: if the flag is still there behind the fence, which no addition spans where it
 *     is one instruction, the next one will carry it along, and the last find it. Where an
 *     addition is several instructions the fence may fall into one of them, and the flag be lost
 *     after the look: the waiter does not rely on it alone, and looks again later.
 *
 * The light fence is nothing but an order to the compiler where the heavy one interrupts all CPUs
 * that run this process (membarrier()). Where the kernel has no such call, the light fence is a
 * real one: HD__RCU_SPECIAL, the sign, sends the inline functions to it. */
#ifndef HD__SCHED_RCU_MARK_H
#define HD__SCHED_RCU_MARK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct hd__rcu_mark {
    _Atomic uint32_t word; /* its own, but for HD__RCU_REPORT, which others add */
};

enum {
    HD__RCU_DEPTH = (1 << 24) - 1,
    HD__RCU_REPORT = 1 << 24,  /* somebody waits for this section's end */
    HD__RCU_PREEMPT = 1 << 25, /* a preemption fell due in it */
    HD__RCU_DUE = HD__RCU_REPORT | HD__RCU_PREEMPT,
};
#define HD__RCU_SPECIAL (UINT32_C(1) << 31) /* this reader needs fences; */
#define HD__RCU_STRANGER (UINT32_C(3) << 30) /* or is none at all */

#ifndef HD__RCU_LIGHT
#define HD__RCU_LIGHT() atomic_signal_fence(memory_order_seq_cst)
#endif

static inline uint32_t hd__rcu_mark_word(struct hd__rcu_mark *m) {
    return atomic_load_explicit(&m->word, memory_order_relaxed);
}

/* The word as it is then. */
static inline uint32_t hd__rcu_mark_enter(struct hd__rcu_mark *m) {
    uint32_t word = hd__rcu_mark_word(m) + 1;
    atomic_store_explicit(&m->word, word, memory_order_relaxed);
    HD__RCU_LIGHT();
    return word;
}

static inline uint32_t hd__rcu_mark_leave(struct hd__rcu_mark *m) {
    uint32_t word = hd__rcu_mark_word(m) - 1;
    atomic_store_explicit(&m->word, word, memory_order_release);
    return word;
}

/* By the waiter, after a heavy fence. */
static inline bool hd__rcu_mark_passed(struct hd__rcu_mark *m) {
    return (atomic_load_explicit(&m->word, memory_order_acquire) & HD__RCU_DEPTH) == 0;
}

/* Asks for a report; false: was asked, and will. After true a heavy fence and another look
 * follow. */
static inline bool hd__rcu_mark_ask(struct hd__rcu_mark *m) {
    if (hd__rcu_mark_word(m) & HD__RCU_REPORT) return false;
    atomic_fetch_or_explicit(&m->word, HD__RCU_REPORT, memory_order_relaxed);
    return true;
}

/* By the reader, outside of sections: what it is to do. */
static inline uint32_t hd__rcu_mark_take_due(struct hd__rcu_mark *m) {
    return atomic_fetch_and_explicit(&m->word, ~(uint32_t)HD__RCU_DUE, memory_order_relaxed) &
           HD__RCU_DUE;
}

#endif
