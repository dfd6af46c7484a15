/* SPDX-License-Identifier: MIT */
/* Waiters that wait for several objects at once, as the objects see them.
 *
 * A selecting party has a record in the queue of each object, whose `party` is NULL, and one
 * hd__select for all of them. Whoever would end its wait claims that instead of the party:
 *
 *   OPEN --- claim() ---> TAKEN      the claimer owns the wake-up, as after hd__wait_claim()
 *   OPEN --- the party gives up, or begins anew ---> SHUT
 *
 * One word, so exactly one case fires. It orders nothing else: records are handed over under the
 * guards of their objects, and what was delivered under `lock`.
 *
 * A claim needs no parked party: it may come while the party still puts records into further
 * queues. So no two objects are ever locked at once, and there is no order of objects. The claimer
 * does its part (copies the element), and delivers; the party waits for the delivery when it finds
 * itself TAKEN, also when its deadline came meanwhile.
 *
 * Memory. A claimer touches the hd__select until it has released `lock` in hd__select_deliver(),
 * and the party does not return before it has seen `done` under that lock. A record that was not
 * claimed is unlinked by the party under its object's guard, before it returns. */
#ifndef HD__SYNC_SELECT_H
#define HD__SYNC_SELECT_H

#include "sync/queue.h"
#include <heddle/chan.h>

enum hd__select_state { HD__SELECT_OPEN, HD__SELECT_TAKEN, HD__SELECT_SHUT };

struct hd__select {
    _Atomic uint32_t state; /* enum hd__select_state */
    hd__spin lock;          /* guards done and parked; the party parks under it */
    bool done;              /* delivered */
    bool parked;            /* `wait` may be claimed */
    struct hd__wait *fired; /* the record that was claimed; once done */
    struct hd__wait wait;   /* the party's; in no queue */
};

struct hd__select_wait {
    struct hd__wait wait; /* link: the object's queue */
    struct hd__select *of;
};

static inline struct hd__select *hd__select_of(struct hd__wait *w) {
    return hd__container_of(w, struct hd__select_wait, wait)->of;
}

/* Ends the wait of whoever is claimed, all but the wake-up of a plain waiter: select.c. */
void hd__select_deliver(struct hd__wait *w);

/* As hd__wait_claim() and hd__wait_wake(), of either kind of waiter. */
static inline bool hd__select_claim(struct hd__wait *w) {
    uint32_t open = HD__SELECT_OPEN;
    if (HD__LIKELY(w->party != NULL)) return hd__wait_claim(w);
    return atomic_compare_exchange_strong_explicit(&hd__select_of(w)->state, &open,
                                                   HD__SELECT_TAKEN, memory_order_relaxed,
                                                   memory_order_relaxed);
}

static inline void hd__select_wake(struct hd__wait *w) {
    if (HD__LIKELY(w->party != NULL))
        hd__wait_wake(w);
    else
        hd__select_deliver(w);
}

/* As the functions of queue.h, for queues with either kind of waiter. */
static inline struct hd__wait *hd__select_claim_first(struct hd__waitq *q) {
    struct hd__wait *w;
    while ((w = hd__waitq_pop_front(q)) != NULL)
        if (hd__select_claim(w)) break;
    return w;
}

static inline void hd__select_claim_all(struct hd__waitq *q, struct hd__waitq *claimed) {
    struct hd__wait *w;
    while ((w = hd__select_claim_first(q)) != NULL) hd__waitq_push_back(claimed, w);
}

static inline void hd__select_wake_all(struct hd__waitq *claimed) {
    struct hd__wait *w;
    while ((w = hd__waitq_pop_front(claimed)) != NULL) hd__select_wake(w);
}

/* ---- What an object offers to select.c; all inside ---- */

/* Puts a record of s into the object's queue, unless it can go on at once (without s itself): then
 * false. And takes it out if it is still there. */
bool hd__event_queue(hd_event *e, struct hd__wait *w);
void hd__event_unqueue(hd_event *e, struct hd__wait *w);
bool hd__chan_queue(hd_chan *c, bool sends, struct hd__wait *w);
void hd__chan_unqueue(hd_chan *c, bool sends, struct hd__wait *w);

/* 0, -EPIPE, -ENOMEM or -EAGAIN. */
int hd__chan_trysend(hd_chan *c, const void *elem);
int hd__chan_tryrecv(hd_chan *c, void *elem);

/* hd__wait.tag of a claimed waiter of a channel. */
enum { HD__CHAN_PASSED = 1, HD__CHAN_CLOSED = 2 };

#endif
