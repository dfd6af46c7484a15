/* SPDX-License-Identifier: MIT */
/* Preemption from within the scheduler; the idea is in preempt.c. */
#ifndef HD__SCHED_PREEMPT_H
#define HD__SCHED_PREEMPT_H

#include "os/interrupt.h"
#include "sched/carrier.h"

/* Installs the handler. 0, -EINVAL (signal). */
int hd__preempt_init(int sig);
void hd__preempt_finish(void);

/* Lets the signal through to the calling kernel thread, a carrier; and the opposite. */
void hd__preempt_open_signal(void);
void hd__preempt_close_signal(void);

/* Aborts in a child of fork(). */
void hd__preempt_check_fork(void);

/* A thread begins or goes on at now_ns: t, or what the loop finds (NULL). hog: see
 * hd__worker.hog_tick; preempted: another one was, for it. */
void hd__preempt_begin(struct hd__worker *w, const hd_thread *t, uint64_t now_ns, bool hog,
                       bool preempted);

static inline bool hd__preempt_is_hog(struct hd__worker *w) {
    return atomic_load_explicit(&w->hog_tick, memory_order_relaxed) ==
           atomic_load_explicit(&w->tick, memory_order_relaxed);
}

static inline bool hd__preempt_is_blocking(struct hd__worker *w) {
    return atomic_load_explicit(&w->blocking_tick, memory_order_relaxed) ==
           atomic_load_explicit(&w->tick, memory_order_relaxed);
}

/* The calling thread begins or ends a call that may block. */
static inline void hd__preempt_set_blocking(struct hd__worker *w, bool blocking) {
    uint32_t tick = atomic_load_explicit(&w->tick, memory_order_relaxed);
    atomic_store_explicit(&w->blocking_tick, blocking ? tick : tick - 1, memory_order_relaxed);
}

/* Has w run another thread, as soon as it is not in the runtime. */
void hd__preempt_signal(struct hd__worker *w);
void hd__preempt_interrupt(struct hd__carrier *c); /* the thread on it */

/* Has w look at once whether something more urgent than what it runs is queued; the caller has just
 * queued it. May be ourselves: then it happens at hd__sched_leave(). */
void hd__preempt_urgently(struct hd__worker *w);

/* t became runnable: if a worker runs a hog or something of lower priority, t is to run there at
 * once. False: nothing was done. */
bool hd__preempt_for(struct hd__worker *self, hd_thread *t);

/* A thread that waits for its turn on a carrier of its own; taken from the queues. The caller owns
 * w. NULL: there is none. */
hd_thread *hd__preempt_choose_bound(struct hd__worker *w);

/* HD_PREEMPT_* of a thread. */
static inline int hd__preempt_kind_of(uint32_t flags) {
    if (flags & HD__THREAD_LIGHT) return HD_PREEMPT_LIGHT;
    if (flags & HD__THREAD_UNPREEMPTED) return HD_PREEMPT_OFF;
    if (flags & HD__THREAD_CARRIED) return HD_PREEMPT_CARRIER;
    return hd__rt.preempt;
}

static inline int hd__preempt_kind(const hd_thread *t) {
    return hd__preempt_kind_of(hd__thread_flags(t));
}

/* Whether it may be preempted now, as far as another thread can know. */
static inline bool hd__preempt_may(struct hd__thread_look look) {
    return !look.no_preempt && hd__preempt_kind_of(look.flags) != HD_PREEMPT_OFF;
}

/* Adds to a counter that one kernel thread at a time writes. */
static inline void hd__preempt_count(_Atomic uint64_t *counter, uint64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

void hd__preempt_disable(void);
void hd__preempt_enable(void);
/* A preemption of the calling thread was put off until now; it happens in hd__preempt_enable(), if
 * that is still to be called. */
void hd__preempt_late(void);
int hd__preempt_register(const void *code);

#endif
