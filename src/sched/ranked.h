/* SPDX-License-Identifier: MIT */
/* Policies with ranks: who runs next is the thread of the smallest rank, whichever worker asks.
 *
 * There is one queue for all workers, hd__rt.shared, and one for each worker, `own`, of threads
 * that only that worker may run: those restricted to CPUs, and light threads that were preempted
 * there. A worker takes the better of the two fronts. None of the queues of `steal` (run queues,
 * inboxes, injected threads) is in use meanwhile. Numbers in sequence come from one counter, so
 * that the order of equal ranks holds across the queues.
 *
 * A queue's lock orders a push before the look of a worker that is about to sleep, as for run
 * queues (idle.c). A rank is computed under the lock, so that a change of the priority, which is
 * stored before the queues are looked into, is either seen by the push or finds the thread
 * queued.
 *
 * The lock of an own queue is taken before that of the shared one. */
#ifndef HD__SCHED_RANKED_H
#define HD__SCHED_RANKED_H

#include "sched/worker.h"
#include <heddle/policy.h>

/* Whether the runtime's policy has ranks. */
static inline bool hd__ranked(void) {
    return HD__UNLIKELY(hd__rt.ranked);
}

int hd__ranked_start(void); /* 0 or -ENOMEM */
void hd__ranked_finish(void);

/* Makes t runnable: queues it, and wakes or interrupts whom that concerns. Any context. */
void hd__ranked_ready(hd_thread *t, int why);

/* By w's owner. Only queues t, which was running on w; `next`, if not NULL, runs instead: if
 * that is of a smaller rank, t keeps its place among its equals. */
void hd__ranked_requeue(struct hd__worker *w, hd_thread *t, int why, const hd_thread *next);
/* The same for a light thread that stays with w. */
void hd__ranked_requeue_light(struct hd__worker *w, hd_thread *t);
/* Undoes a take. */
void hd__ranked_return(struct hd__worker *w, hd_thread *t);

/* By w's owner: the best thread that w may run, or NULL; and only if t, queued now, would come
 * behind it. */
hd_thread *hd__ranked_take(struct hd__worker *w);
hd_thread *hd__ranked_take_before(struct hd__worker *w, const hd_thread *t, int why);
/* A thread that is bound to a carrier; to c, if that is not NULL. */
hd_thread *hd__ranked_take_bound(struct hd__worker *w, const struct hd__carrier *c);
/* Of those that come before t or with it. */
hd_thread *hd__ranked_take_bound_before(struct hd__worker *w, const hd_thread *t);

/* A thread in v's own queue that w may run as well (place.h); of the first `looks` there. take: and
 * out of it. */
hd_thread *hd__ranked_find(struct hd__worker *v, const struct hd__worker *w, bool take,
                           uint32_t looks);

/* By w's owner: the first thread that waits for w alone, or NULL; whether there is one. */
hd_thread *hd__ranked_take_own(struct hd__worker *w);
bool hd__ranked_any_own(struct hd__worker *w);

/* Whether w would run another thread than the one that it runs, which is t as far as one can
 * see. */
bool hd__ranked_would_switch(struct hd__worker *w, const hd_thread *t);

/* Whether any queue that w serves holds a thread, under the locks; w NULL: any queue at all. */
bool hd__ranked_any(const struct hd__worker *w);

/* t's value has changed, or its priority, which was `former` before. */
void hd__ranked_changed(hd_thread *t, int former);

/* policy.c */
const struct hd_policy *hd__policy_find(const char *name);
const struct hd_policy *hd__policy_get(unsigned i);
int hd__policy_add(const struct hd_policy *policy);
void hd__policy_set_ageing(uint64_t ageing_ns); /* of "priority"; 0: none */

#endif
