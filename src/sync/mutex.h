/* SPDX-License-Identifier: MIT */
/* The mutex from the inside, for conditions: they give it back while a waiter is being queued, and
 * move signalled waiters to its queue. The idea and the state word are explained in mutex.c. */
#ifndef HD__SYNC_MUTEX_H
#define HD__SYNC_MUTEX_H

#include "base/spin.h"
#include "sched/look.h"
#include "sync/queue.h"

#include <heddle/sync.h>

struct hd__watch;
struct hd__watch_wait;

/* The state word: flags, and above them the owner. */
enum { LOCKED = 1, WAITERS = 2, WOKEN = 4, WATCHED = 8, NEXT = 16, FLAGS = 0xff };

/* Who competes. HIDING: it was woken, and has hidden that others wait (spin_woken()). */
enum kind { NEW, ARRIVED, HIDING };

/* hd__wait.tag of a waiter in the queue: flags, and above them hd__mutex_me() of its party. Written
 * by the waiter before it queues itself, then by whoever holds the guard, or owns the waiter by a
 * claim. */
enum {
    STARVING = 1, /* gets the mutex handed over */
    HANDED = 2,   /* owns the mutex by now */
    CLAIMED = 4,  /* a condition claimed it before it came here */
    SPINNING = 8, /* it does not park, and looks at the state word */
};

struct hd__mutex {
    _Atomic uint64_t state; /* mutex.c has the page on it */
    hd__spin guard;         /* guards queue, and the WAITERS bit of state */
    uint32_t barged;        /* unlocks while a woken waiter was on its way; the owner's */
    struct hd__waitq queue; /* links: hd__wait.next and .prev */
    struct hd__wait *next;  /* with NEXT: a claimed waiter; the owner's */
    struct hd__watch *watch; /* what is known of it beyond that; written by init and finish */
} __attribute__((may_alias));

_Static_assert(sizeof(struct hd__mutex) <= sizeof(hd_mutex), "fits into the public type");
_Static_assert(_Alignof(struct hd__mutex) <= _Alignof(hd_mutex), "aligned as the public type");

/* The caller's number where the owner stands in the state word and in hd__wait.tag. Inside. */
static inline uint64_t hd__mutex_me(void) {
#ifdef HD__TOKEN_READ
    uint64_t token;
    HD__TOKEN_READ(token);
    if (HD__LIKELY(token < HD__TOKEN_ENDED)) return token << 8;
#endif
    return hd__look_token() << 8;
}

/* A kernel thread that has lost its number, since it ends, in the place of the owner. */
#define HD__MUTEX_NOBODY (HD__TOKEN_ENDED << 8)

/* Takes it if it is free. */
bool hd__mutex_try(struct hd__mutex *m, uint64_t me);

/* Takes it, or fails as hd__wait_park() does. wait, which may be NULL, is told what happened. */
int hd__mutex_contend(struct hd__mutex *m, uint64_t me, uint64_t deadline_ns, unsigned flags,
                      const void *site, struct hd__watch_wait *wait);

/* Gives the mutex back if that needs nobody to be woken, and it is not watched: nobody waits, or
 * somebody is on the way already and will see to the others. Also outside. */
bool hd__mutex_give_quietly(struct hd__mutex *m, uint64_t me, const char *call);

_Noreturn void hd__mutex_die_recursive(struct hd__mutex *m, uint64_t me);

/* Gives the mutex back. May be called with the guard of another object held: takes the mutex's own
 * guard only, and never parks. `call` names the public call for the message of a caller's bug. */
void hd__mutex_give(struct hd__mutex *m, uint64_t me, const char *call);

/* The same for a caller that is about to park: hd__wait_wake_party() is to be called for the party
 * that is returned, if it is not NULL. */
hd_thread *hd__mutex_give_parking(struct hd__mutex *m, uint64_t me, const char *call);

/* Makes waiters, which the caller has claimed, compete for m: all of them go to m's queue if it
 * is taken; otherwise the first is woken and the others follow it one by one. At least one waiter,
 * each with hd__mutex_me() of its party in its tag; the list is consumed. No guard is held. Each of
 * them must continue with hd__mutex_retake(). */
void hd__mutex_requeue(struct hd__mutex *m, struct hd__waitq *claimed);

/* Takes m again after a wait on a condition. `w` is the wait that has ended; with `signalled` it
 * came through hd__mutex_requeue(). Not interrupted. */
void hd__mutex_retake(struct hd__mutex *m, struct hd__wait *w, bool signalled, const void *site);

#endif
