/* SPDX-License-Identifier: MIT */
/* The channel: a ring of elements and two queues of waiters under one guard.
 *
 * Idea. An element goes straight from hand to hand whenever the other side is already there: a send
 * copies into the memory of a waiting receiver, which lies still while it is parked, and a receive
 * that makes room puts the element of the first waiting sender into the ring for it. The woken
 * party only has to return. An unbuffered channel is the case of a ring without places.
 *
 * Invariants, whenever the guard is free (waiters that gave up but have not left do not count):
 *   count <= capacity;
 *   a receiver waits only if count is 0 and no sender waits;
 *   a sender waits only if count is capacity;
 *   nobody waits once it is closed.
 * Elements are received in the order in which they were sent: a sender waits only while the ring is
 * full, and the first one's element follows the ring's last.
 *
 * hd__wait.slot is the address of the waiter's element, hd__wait.tag how its wait went: PASSED or
 * CLOSED, written by the claimer and read after the wait.
 *
 * Ordering. Everything is ordered by the guard, and by hd__wait_wake() and the return of
 * hd__wait_park() for what is passed from hand to hand. `closed` and the ring are plain fields.
 *
 * Memory. The last access to the channel in each call is the release of the guard, so a receiver
 * that got what it expected may destroy the channel while the sender's call is still returning.
 *
 * Copying from hand to hand happens after the guard is released: a claimed waiter stays where it is
 * until it is woken. Only what goes through the ring is copied under the guard.
 *
 * Rejected: a lock-free ring with the guard for waiters only (Vyukov). Closing, the hand-over and
 * capacity 0 each need a second protocol beside it; it belongs to a type of its own. */
#include "base/atomic.h"
#include "base/check.h"
#include "os/mem.h"
#include "sync/queue.h"

#include <heddle/chan.h>

#include <errno.h>
#include <string.h>

enum { PASSED = 1, CLOSED = 2 };

struct hd_chan {
    hd__spin guard; /* guards all below that changes */
    bool closed;
    size_t elem_size;           /* constant */
    size_t capacity;            /* constant */
    size_t first;               /* place of the oldest element, < capacity (0 if capacity is 0) */
    size_t count;               /* elements in the ring */
    struct hd__waitq senders;   /* links: hd__wait.next and .prev */
    struct hd__waitq receivers; /* links: hd__wait.next and .prev */
    unsigned char ring[] HD__ALIGNED(16);
};

hd_chan *hd_chan_create(size_t elem_size, size_t capacity) {
    size_t bytes;
    /* A ring of empty elements needs no memory, but its positions must not overflow either. */
    if (__builtin_mul_overflow(elem_size, capacity, &bytes) ||
        __builtin_add_overflow(bytes, sizeof(hd_chan), &bytes) || bytes > PTRDIFF_MAX ||
        capacity > PTRDIFF_MAX) {
        return NULL;
    }
    hd_chan *c = hd__os_heap_alloc(bytes);
    if (c != NULL) {
        *c = (hd_chan){.elem_size = elem_size, .capacity = capacity};
    }
    return c;
}

void hd_chan_destroy(hd_chan *c) {
    if (c == NULL) {
        return;
    }
    hd__sched_enter();
    hd__spin_lock(&c->guard);
    HD__CHECK(c->senders.head == NULL && c->receivers.head == NULL,
              "hd_chan_destroy: channel %p has waiting %s; close it and let them return first",
              (void *)c, c->senders.head != NULL ? "senders" : "receivers");
    hd__spin_unlock(&c->guard);
    hd__sched_leave();
    hd__os_heap_free(c);
}

static inline void copy(void *to, const void *from, size_t size) {
    /* Pointers and integers are what most channels carry; without a call that costs a move. */
    if (HD__LIKELY(size == sizeof(uint64_t))) {
        memcpy(to, from, sizeof(uint64_t));
    } else if (size != 0) {
        memcpy(to, from, size);
    }
}

static inline void check_elem(const hd_chan *c, const void *elem, const char *call) {
    HD__CHECK(elem != NULL || c->elem_size == 0,
              "%s: the element's address is NULL; only channels of elem_size 0 take that", call);
}

/* Both: guard held; there is room, or content. */
static inline void ring_put(hd_chan *c, const void *elem) {
    size_t place = c->first + c->count;
    if (place >= c->capacity) {
        place -= c->capacity;
    }
    copy(c->ring + place * c->elem_size, elem, c->elem_size);
    c->count++;
}

static inline void ring_take(hd_chan *c, void *elem) {
    copy(elem, c->ring + c->first * c->elem_size, c->elem_size);
    if (++c->first == c->capacity) {
        c->first = 0;
    }
    c->count--;
}

/* Parks the caller in a queue of c; guard held. */
static HD__NOINLINE int wait_in(hd_chan *c, struct hd__waitq *q, void *elem, const char *what,
                                uint64_t deadline_ns, const void *site) {
    struct hd__wait w;
    hd__wait_init(&w, what, c, site);
    w.slot = elem;
    w.tag = 0;
    hd__waitq_push_back(q, &w);
    int err = hd__wait_park(&w, &c->guard, deadline_ns, 0);
    if (err != 0) {
        hd__spin_lock(&c->guard);
        hd__waitq_remove(q, &w);
        hd__spin_unlock(&c->guard);
        return err;
    }
    return w.tag == PASSED ? 0 : -EPIPE;
}

/* Sends without waiting: 0, -EPIPE, or -EAGAIN with the guard *held*. */
static inline int send_now(hd_chan *c, const void *elem) {
    size_t size = c->elem_size;
    hd__spin_lock(&c->guard);
    if (HD__UNLIKELY(c->closed)) {
        hd__spin_unlock(&c->guard);
        return -EPIPE;
    }
    struct hd__wait *receiver = hd__sync_claim_first(&c->receivers);
    if (receiver != NULL) {
        hd__spin_unlock(&c->guard);
        copy(receiver->slot, elem, size);
        receiver->tag = PASSED;
        hd__wait_wake(receiver);
        return 0;
    }
    if (c->count < c->capacity) {
        ring_put(c, elem);
        hd__spin_unlock(&c->guard);
        return 0;
    }
    return -EAGAIN;
}

/* Receives without waiting: 0, -EPIPE, or -EAGAIN with the guard *held*. */
static inline int recv_now(hd_chan *c, void *elem) {
    size_t size = c->elem_size;
    hd__spin_lock(&c->guard);
    if (c->count > 0) {
        ring_take(c, elem);
        struct hd__wait *sender = hd__sync_claim_first(&c->senders);
        if (sender != NULL) {
            ring_put(c, sender->slot);
            sender->tag = PASSED;
        }
        hd__spin_unlock(&c->guard);
        if (sender != NULL) {
            hd__wait_wake(sender);
        }
        return 0;
    }
    struct hd__wait *sender = hd__sync_claim_first(&c->senders);
    if (sender != NULL) {
        hd__spin_unlock(&c->guard);
        copy(elem, sender->slot, size);
        sender->tag = PASSED;
        hd__wait_wake(sender);
        return 0;
    }
    if (c->closed) {
        hd__spin_unlock(&c->guard);
        return -EPIPE;
    }
    return -EAGAIN;
}

static inline int send_until(hd_chan *c, const void *elem, uint64_t deadline_ns, const void *site) {
    check_elem(c, elem, "hd_chan_send");
    hd__sched_hostile_point();
    hd__sched_enter();
    int err = send_now(c, elem);
    if (err == -EAGAIN) {
        /* A sender's element is only read through the slot. */
        err = wait_in(c, &c->senders, (void *)(uintptr_t)elem, "chan send", deadline_ns, site);
    }
    hd__sched_leave();
    hd__sched_hostile_point();
    return err;
}

static inline int recv_until(hd_chan *c, void *elem, uint64_t deadline_ns, const void *site) {
    check_elem(c, elem, "hd_chan_recv");
    hd__sched_hostile_point();
    hd__sched_enter();
    int err = recv_now(c, elem);
    if (err == -EAGAIN) {
        err = wait_in(c, &c->receivers, elem, "chan recv", deadline_ns, site);
    }
    hd__sched_leave();
    hd__sched_hostile_point();
    return err;
}

int hd_chan_send(hd_chan *c, const void *elem) {
    return send_until(c, elem, HD_FOREVER, __builtin_return_address(0));
}

int hd_chan_recv(hd_chan *c, void *elem) {
    return recv_until(c, elem, HD_FOREVER, __builtin_return_address(0));
}

int hd_chan_send_until(hd_chan *c, const void *elem, uint64_t deadline_ns) {
    return send_until(c, elem, deadline_ns, __builtin_return_address(0));
}

int hd_chan_recv_until(hd_chan *c, void *elem, uint64_t deadline_ns) {
    return recv_until(c, elem, deadline_ns, __builtin_return_address(0));
}

int hd_chan_trysend(hd_chan *c, const void *elem) {
    check_elem(c, elem, "hd_chan_trysend");
    hd__sched_enter();
    int err = send_now(c, elem);
    if (err == -EAGAIN) {
        hd__spin_unlock(&c->guard);
    }
    hd__sched_leave();
    return err;
}

int hd_chan_tryrecv(hd_chan *c, void *elem) {
    check_elem(c, elem, "hd_chan_tryrecv");
    hd__sched_enter();
    int err = recv_now(c, elem);
    if (err == -EAGAIN) {
        hd__spin_unlock(&c->guard);
    }
    hd__sched_leave();
    return err;
}

void hd_chan_close(hd_chan *c) {
    struct hd__waitq claimed = {NULL, NULL};
    hd__sched_hostile_point();
    hd__sched_enter();
    hd__spin_lock(&c->guard);
    c->closed = true;
    hd__sync_claim_all(&c->senders, &claimed);
    hd__sync_claim_all(&c->receivers, &claimed);
    for (struct hd__wait *w = claimed.head; w != NULL; w = w->next) {
        w->tag = CLOSED;
    }
    hd__spin_unlock(&c->guard);
    hd__sync_wake_all(&claimed);
    hd__sched_leave();
}
