/* SPDX-License-Identifier: MIT */
/* Waiting: the one primitive under every lock, channel, join and sleep.
 *
 * A party (a thread, or the stand-in of a foreign kernel thread) that must wait puts a wait record
 * into the object's queue under the object's spinlock and calls hd__wait_park(). Three sides may
 * end the wait: a waker that finds the record in the queue, the deadline, and an interruption.
 * Exactly one wins: the one whose compare-and-swap clears WAITING in the party's park word.
 *
 *   parker, under lock L          waker, under L           expirer, under the timers' lock
 *   ---------------------         ---------------          --------------------------------
 *   put record into queue         take record out
 *   [switch away: registers       claim: WAITING ->        claim: WAITING -> TIMEOUT
 *    are saved]                          NOTIFIED
 *   arm timer, set WAITING        won: wake the party      won: make the party runnable
 *   release L                     lost: try the next
 *
 * Why no wake-up is lost: L is held from the queueing until WAITING is set, so a waker never sees
 * a queued record whose party cannot be claimed, and never claims a party whose registers are not
 * saved. Setting WAITING (release) pairs with the claim (acquire): the winner sees the saved
 * registers. An interruption that comes before WAITING leaves the INTR bit, which the parker's own
 * compare-and-swap sees.
 *
 * Why nobody touches a record that is gone: a waker claims under L, and a party whose wait ended
 * otherwise takes L to unlink its record before it returns; the expirer claims under the timers'
 * lock, and the party cancels its timer under it; an interrupter touches the descriptor only. */
#ifndef HD__SCHED_WAIT_H
#define HD__SCHED_WAIT_H

#include "base/spin.h"
#include "sched/self.h"
#include "sched/timer.h"
#include "thread/thread.h"

struct hd__wait {
    struct hd__wait *next, *prev; /* link in the object's queue; guarded by the object's lock */
    hd_thread *party;
    void *slot;         /* for the object's use */
    uintptr_t tag;      /* for the object's use */
    const char *what;   /* for the deadlock report: kind of object, object, call site */
    const void *object;
    const void *site;
    bool queued;        /* guarded by the object's lock */
    /* The rest is private to wait.c. */
    uint32_t flags;
    hd__spin *held;
    uint64_t deadline_ns;
    struct hd__timers *timers;
    struct hd__timer timer;
};

enum { HD__WAIT_UNINTERRUPTIBLE = 1u << 0 };

/* First in, first out; all zero is empty. The object's lock guards it. */
struct hd__waitq {
    struct hd__wait *head, *tail;
};

static inline bool hd__waitq_empty(const struct hd__waitq *q) {
    return q->head == NULL;
}

static inline void hd__waitq_push_back(struct hd__waitq *q, struct hd__wait *w) {
    w->next = NULL;
    w->prev = q->tail;
    if (q->tail)
        q->tail->next = w;
    else
        q->head = w;
    q->tail = w;
    w->queued = true;
}

static inline void hd__waitq_push_front(struct hd__waitq *q, struct hd__wait *w) {
    w->prev = NULL;
    w->next = q->head;
    if (q->head)
        q->head->prev = w;
    else
        q->tail = w;
    q->head = w;
    w->queued = true;
}

/* Takes w out if it is queued; says whether it was. */
static inline bool hd__waitq_remove(struct hd__waitq *q, struct hd__wait *w) {
    if (!w->queued) return false;
    if (w->prev)
        w->prev->next = w->next;
    else
        q->head = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        q->tail = w->prev;
    w->next = w->prev = NULL;
    w->queued = false;
    return true;
}

static inline struct hd__wait *hd__waitq_pop_front(struct hd__waitq *q) {
    struct hd__wait *w = q->head;
    if (w) hd__waitq_remove(q, w);
    return w;
}

/* The calling party: the running thread, or the stand-in of this foreign kernel thread. */
hd_thread *hd__wait_self(void);

/* Ends what a party has for itself (thread/tls.h), on the party, outside. */
void hd__sched_end_values(void *party);

/* Prepares a record for the calling party. */
static inline void hd__wait_init(struct hd__wait *w, const char *what, const void *object,
                                 const void *site) {
    w->next = w->prev = NULL;
    w->party = hd__wait_self();
    w->slot = NULL;
    w->tag = 0;
    w->what = what;
    w->object = object;
    w->site = site;
    w->queued = false;
}

/* Parks the calling party until it is claimed. w is queued under *held, which the caller holds and
 * which is released once the caller's registers are saved (held NULL: there is no lock). Returns
 * 0 when a waker claimed it, -ETIMEDOUT at the deadline (at once if that is past), -EINTR when
 * interrupted. After an error the caller takes the lock again and unlinks w if it is still
 * queued. */
int hd__wait_park(struct hd__wait *w, hd__spin *held, uint64_t deadline_ns, unsigned flags);

/* As hd__wait_park(), after hd__wait_wake_party(next): if nothing speaks against it the caller's
 * worker goes on with `next` at once, without a detour through its queue. next NULL: nobody. */
int hd__wait_park_waking(struct hd__wait *w, hd__spin *held, uint64_t deadline_ns, unsigned flags,
                         hd_thread *next);

/* Ends a party's wait with `reason`; false if somebody else ended it or it does not wait. */
static inline bool hd__wait_claim_as(hd_thread *party, uint32_t reason) {
    uint64_t old = atomic_load_explicit(&party->park, memory_order_relaxed);
    uint64_t next;
    do {
        if (!(old & HD__PARK_WAITING)) return false;
        next = (old & HD__PARK_COUNT) | reason;
        if (reason != HD__PARK_INTERRUPTED) next |= old & HD__PARK_INTR;
    } while (!atomic_compare_exchange_weak_explicit(&party->park, &old, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return true;
}

/* Takes the first timer that is due out of h; false: none is. *ended is the party whose wait ends
 * by that, and which the caller makes runnable; NULL: somebody else has ended it. */
static inline bool hd__wait_expire(struct hd__timers *h, uint64_t now_ns, hd_thread **ended) {
    *ended = NULL;
    hd__spin_lock(&h->lock);
    struct hd__timer *timer = hd__timers_take_expired(h, now_ns);
    if (timer) {
        hd_thread *t = hd__container_of(timer, struct hd__wait, timer)->party;
        if (hd__wait_claim_as(t, HD__PARK_TIMEOUT)) *ended = t;
    }
    hd__spin_unlock(&h->lock);
    return timer != NULL;
}

/* Under the object's lock, after unlinking w: true if this caller is the one that ends the wait.
 * hd__wait_wake(w) must follow, with or without the lock; until then w and its party stay. */
static inline bool hd__wait_claim(struct hd__wait *w) {
    return hd__wait_claim_as(w->party, HD__PARK_NOTIFIED);
}

/* Makes a claimed party runnable; the record and the party may be gone when this returns. */
void hd__wait_wake_party(hd_thread *party);
static inline void hd__wait_wake(struct hd__wait *w) {
    hd__wait_wake_party(w->party);
}

/* Makes the party's present wait, or its next one, return -EINTR. */
void hd__wait_interrupt(hd_thread *party);

/* A place where preemption would be permitted: the hostile build yields here now and then. Never
 * with a spinlock held. */
#ifdef HD_HOSTILE
void hd__sched_hostile_point(void);
#else
static inline void hd__sched_hostile_point(void) {}
#endif

#endif
