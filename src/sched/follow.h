/* SPDX-License-Identifier: MIT */
/* Workers follow the machine: the CPUs that the process may use, and how much of them its control
 * group grants. The idea is in follow.c. */
#ifndef HD__SCHED_FOLLOW_H
#define HD__SCHED_FOLLOW_H

#include "sched/worker.h"

/* How many workers are of use in this set of CPUs: one for each, or fewer if the control group has
 * a quota; at least 1. */
unsigned hd__follow_workers(const hd_cpuset *allowed);
/* The home CPU of a worker. */
unsigned hd__follow_home(const hd_cpuset *allowed, unsigned index);

/* Before the workers run: those from hd__rt.active on are retired. counts: their number follows;
 * else only their CPUs do. */
void hd__follow_start(bool counts);

/* When the order of victims is to be made; HD_FOREVER: there is nothing to order. */
uint64_t hd__follow_order_due(void);
/* Reads the topology and makes that order; gives up when *stop becomes true. The next three are the
 * maker's. */
void hd__follow_make_order(const _Atomic bool *stop);
/* Whether somebody asked for a look since the last one; the look. */
bool hd__follow_is_asked(void);
void hd__follow_look(void);

/* How long nobody looks after a look; tests make it shorter. */
extern _Atomic uint64_t hd__follow_every_ns;

/* For whoever is awake anyway: asks for a look if the last one was long ago. */
void hd__follow_ask(uint64_t now_ns);
static inline void hd__follow_tick(uint64_t now_ns) {
    if (HD__UNLIKELY(now_ns >= atomic_load_explicit(&hd__rt.follow_ns, memory_order_relaxed)))
        hd__follow_ask(now_ns);
}

/* By w's owner, or its carrier's handler: whether w is to run nothing any more. A worker that light
 * threads must go on with does so until they have left by themselves. */
static inline bool hd__follow_must_retire(struct hd__worker *w) {
    return HD__UNLIKELY(w->index >= atomic_load_explicit(&hd__rt.active, memory_order_relaxed)) &&
           w->lights == 0;
}

/* By w's owner, who has nothing in hand: gives all that waits for w to the others. Then, counted
 * neither as searching nor as running, sleeps until w is wanted again or the runtime stops. */
void hd__follow_hand_over(struct hd__worker *w);
void hd__follow_sleep(struct hd__worker *w);

/* By w's owner, now and then: notices that home CPUs have changed. */
static inline void hd__follow_notice(struct hd__worker *w) {
    uint32_t changes = atomic_load_explicit(&hd__rt.cpus_changes, memory_order_acquire);
    if (HD__LIKELY(w->cpus_changes == changes)) return;
    w->cpus_changes = changes;
    w->special = true; /* the next dispatch binds the carrier */
}

#endif
