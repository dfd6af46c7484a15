/* SPDX-License-Identifier: MIT */
/* Mutexes whose owner has at least the priority of those who wait (HD_LOCK_INHERIT); inherit.c has
 * the idea. Inside. */
#ifndef HD__SYNC_INHERIT_H
#define HD__SYNC_INHERIT_H

#include "sync/mutex.h"
#include "sync/watch.h"

/* What mutex.c does for other mutexes. */
bool hd__inherit_trylock(struct hd__mutex *m, uint64_t me);
int hd__inherit_lock(struct hd__mutex *m, uint64_t me, uint64_t deadline_ns, unsigned flags,
                     const void *site, struct hd__watch_wait *wait);
void hd__inherit_give(struct hd__mutex *m);
void hd__inherit_requeue(struct hd__mutex *m, struct hd__waitq *claimed);

/* Sets the priority that t has of its own. */
void hd__inherit_set_priority(hd_thread *t, int priority);

#endif
