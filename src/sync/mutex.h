/* SPDX-License-Identifier: MIT */
/* The mutex from the inside, for conditions: they give it back while a waiter is being queued, and
 * move signalled waiters to its queue. The idea and the state word are explained in mutex.c. */
#ifndef HD__SYNC_MUTEX_H
#define HD__SYNC_MUTEX_H

#include "base/spin.h"
#include "sync/queue.h"

#include <heddle/sync.h>

struct hd__mutex {
    _Atomic uint32_t state; /* mutex.c has the page on it */
    hd__spin guard;         /* guards queue, and the WAITERS bit of state */
    struct hd__waitq queue; /* links: hd__wait.next and .prev */
} __attribute__((may_alias));

_Static_assert(sizeof(struct hd__mutex) <= sizeof(hd_mutex), "fits into the public type");
_Static_assert(_Alignof(struct hd__mutex) <= _Alignof(hd_mutex), "aligned as the public type");

/* Gives the mutex back. May be called with the guard of another object held: takes the mutex's own
 * guard only, and never parks. `call` names the public call for the message of a caller's bug. */
void hd__mutex_give(struct hd__mutex *m, const char *call);

/* Makes waiters, which the caller has claimed, compete for m: all of them go to m's queue if it
 * is taken; otherwise the first is woken and the others follow it one by one. At least one waiter;
 * the list is consumed. No guard is held. Each of them must continue with hd__mutex_retake(). */
void hd__mutex_requeue(struct hd__mutex *m, struct hd__waitq *claimed);

/* Takes m again after a wait on a condition. `w` is the wait that has ended; with `signalled` it
 * came through hd__mutex_requeue(). Not interrupted. */
void hd__mutex_retake(struct hd__mutex *m, struct hd__wait *w, bool signalled, const void *site);

#endif
