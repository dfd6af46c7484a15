/* SPDX-License-Identifier: MIT */
/* sync/mutex.c, for a program whose mutexes inherit no priorities: for one source file, behind
 * party.h. Nobody spins unless the program has its own hd__look_alone() and more workers. */
#ifndef HEDDLE_MODEL_PLAIN_MUTEX_H
#define HEDDLE_MODEL_PLAIN_MUTEX_H

#include "locks.h"

/* A waiter that spins looks at the clock, too, and gives up in the end. */
#ifdef PLAIN_MUTEX_SPINS
#undef hd__cpu_relax
#define hd__cpu_relax() ((void)0)
#endif

#include "sync/mutex.c"

__thread uint64_t hd__thread_token;

#ifndef PLAIN_MUTEX_SPINS
bool hd__look_alone(void) { return false; }
MODEL_ABSENT(struct hd__worker *, hd__look_runner, uint64_t t HD__UNUSED)
MODEL_ABSENT(bool, hd__look_runs, struct hd__worker *w HD__UNUSED, uint64_t t HD__UNUSED)
#endif
MODEL_ABSENT(uint64_t, hd__look_token, void)
MODEL_ABSENT(void, hd__inherit_give, struct hd__mutex *m HD__UNUSED)
MODEL_ABSENT(bool, hd__inherit_trylock, struct hd__mutex *m HD__UNUSED, uint64_t me HD__UNUSED)
MODEL_ABSENT(void, hd__inherit_requeue, struct hd__mutex *m HD__UNUSED,
             struct hd__waitq *q HD__UNUSED)
MODEL_ABSENT(int, hd__inherit_lock, struct hd__mutex *m HD__UNUSED, uint64_t me HD__UNUSED,
             uint64_t d HD__UNUSED, unsigned f HD__UNUSED, const void *s HD__UNUSED,
             struct hd__watch_wait *w HD__UNUSED)

static inline int mutex_lock(struct hd__mutex *m, uint64_t deadline_ns, unsigned flags) {
    hd__thread_token = model_self() + 1;
    if (hd__mutex_try(m, hd__mutex_me())) return 0;
    return hd__mutex_contend(m, hd__mutex_me(), deadline_ns, flags, NULL, NULL);
}

static inline void mutex_unlock(struct hd__mutex *m) {
    hd__mutex_give(m, hd__mutex_me(), "unlock");
}

#endif
