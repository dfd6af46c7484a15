/* SPDX-License-Identifier: MIT */
/* The channel: elements and two queues of waiters under one guard.
 *
 * Idea. An element goes straight from hand to hand whenever the other side is already there: a send
 * copies into the memory of a waiting receiver, which lies still while it is parked, and a receive
 * that makes room puts the element of the first waiting sender into the ring for it. The woken
 * party only has to return. An unbuffered channel is the case of a ring without places. An
 * unbounded one has a list of blocks instead of the ring; no sender waits there.
 *
 * Invariants, whenever the guard is free (waiters that gave up but have not left do not count):
 *   count <= capacity;
 *   a receiver waits only if count is 0 and no sender waits;
 *   a sender waits only if count is capacity;
 *   nobody waits once it is closed.
 * Elements are received in the order in which they were sent: a sender waits only while the ring is
 * full, and the first one's element follows the ring's last.
 *
 * hd__wait.slot is the address of the waiter's element, hd__wait.tag how its wait went:
 * HD__CHAN_PASSED or HD__CHAN_CLOSED, written by the claimer and read after the wait. A waiter may
 * be one of several records of a party that selects (select.h): a record is there, or it has given
 * up, as any other.
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
 * Blocks are allocated and freed outside of the gate, by malloc(): a channel that was long gives
 * its memory back. One spare block is kept, so that a queue that is short most of the time does
 * neither.
 *
 * Rejected: a lock-free ring with the guard for waiters only (Vyukov). Closing, the hand-over and
 * capacity 0 each need a second protocol beside it; it belongs to a type of its own. */
#include "sync/chan.h"

#include <errno.h>

#include "base/atomic.h"
#include "os/mem.h"

enum { BLOCK_BYTES = 4096, BLOCK_LEAST = 8 };

/* ---- Life ---- */

/* Of one block; 0: the elements are too large. */
static size_t elems_per_block(size_t elem_size) {
    size_t bytes, n = elem_size == 0 ? SIZE_MAX : BLOCK_BYTES / elem_size;
    if (n < BLOCK_LEAST) n = elem_size > BLOCK_BYTES ? 1 : BLOCK_LEAST;
    if (elem_size == 0) return n;
    if (__builtin_mul_overflow(elem_size, n, &bytes) ||
        bytes > PTRDIFF_MAX - sizeof(struct hd__chan_block))
        return 0;
    return n;
}

hd_chan *hd_chan_create(size_t elem_size, size_t capacity) {
    bool unbounded = capacity == HD_CHAN_UNBOUNDED;
    size_t bytes = 0, per_block = unbounded ? elems_per_block(elem_size) : 0;
    /* A ring of empty elements needs no memory, but its positions must not overflow either. */
    if (unbounded ? per_block == 0
                  : __builtin_mul_overflow(elem_size, capacity, &bytes) || capacity > PTRDIFF_MAX)
        return NULL;
    if (__builtin_add_overflow(bytes, sizeof(hd_chan), &bytes) || bytes > PTRDIFF_MAX) return NULL;
    hd_chan *c = hd__os_heap_alloc(bytes);
    if (c != NULL) {
        *c = (hd_chan){.elem_size = elem_size, .capacity = capacity, .unbounded = unbounded,
                       .per_block = per_block};
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
    while (c->oldest != NULL) {
        struct hd__chan_block *next = c->oldest->next;
        hd__os_heap_free(c->oldest);
        c->oldest = next;
    }
    hd__os_heap_free(c->spare);
    hd__os_heap_free(c);
}

/* ---- Blocks ---- */

HD__NOINLINE void hd__chan_put_block(hd_chan *c, const void *elem) {
    if (c->elem_size != 0) {
        if (hd__chan_block_full(c)) {
            struct hd__chan_block *fresh = c->spare;
            c->spare = NULL;
            fresh->next = NULL;
            if (c->newest != NULL)
                c->newest->next = fresh;
            else
                c->oldest = fresh;
            c->newest = fresh;
            c->next = 0;
        }
        hd__chan_copy(c->newest->elems + c->next++ * c->elem_size, elem, c->elem_size);
    }
    c->count++;
}

HD__NOINLINE void hd__chan_take_block(hd_chan *c, void *elem, struct hd__chan_block **idle) {
    struct hd__chan_block *b = c->oldest;
    c->count--;
    if (c->elem_size == 0) return;
    hd__chan_copy(elem, b->elems + c->first++ * c->elem_size, c->elem_size);
    if (c->count == 0) {
        c->first = c->next = 0; /* of the last block, which is used from its begin again */
    } else if (c->first == c->per_block) {
        c->first = 0;
        c->oldest = b->next;
        if (c->spare == NULL) {
            c->spare = b;
        } else {
            b->next = *idle;
            *idle = b;
        }
    }
}

HD__NOINLINE int hd__chan_grow(hd_chan *c) {
    size_t bytes = sizeof(struct hd__chan_block) + c->per_block * c->elem_size;
    hd__sched_leave();
    struct hd__chan_block *fresh = hd__os_heap_alloc(bytes);
    hd__sched_enter();
    if (fresh == NULL) return -ENOMEM;
    fresh->next = NULL;
    hd__spin_lock(&c->guard);
    bool use = c->spare == NULL;
    if (use) c->spare = fresh;
    hd__spin_unlock(&c->guard);
    if (!use) hd__chan_free_blocks(fresh);
    return 0;
}

HD__NOINLINE void hd__chan_free_blocks(struct hd__chan_block *idle) {
    hd__sched_leave();
    while (idle != NULL) {
        struct hd__chan_block *next = idle->next;
        hd__os_heap_free(idle);
        idle = next;
    }
    hd__sched_enter();
}

/* ---- Waiting ---- */

HD__NOINLINE int hd__chan_wait(hd_chan *c, struct hd__waitq *q, void *elem, const char *what,
                               uint64_t deadline_ns, const void *site) {
    struct hd__wait w;
    hd__wait_init(&w, what, c, site);
    w.slot = elem;
    hd__waitq_push_back(q, &w);
    int err = hd__wait_park(&w, &c->guard, deadline_ns, 0);
    if (err != 0) {
        hd__spin_lock(&c->guard);
        hd__waitq_remove(q, &w);
        hd__spin_unlock(&c->guard);
        return err;
    }
    return w.tag == HD__CHAN_PASSED ? 0 : -EPIPE;
}

/* Sends without waiting: 0, -EPIPE, or -EAGAIN with the guard *held*. */
static inline int send_now(hd_chan *c, const void *elem) {
    size_t size = c->elem_size;
    hd__spin_lock(&c->guard);
    if (HD__UNLIKELY(c->closed)) {
        hd__spin_unlock(&c->guard);
        return -EPIPE;
    }
    struct hd__wait *receiver = hd__select_claim_first(&c->receivers);
    if (receiver != NULL) {
        hd__spin_unlock(&c->guard);
        hd__chan_copy(receiver->slot, elem, size);
        receiver->tag = HD__CHAN_PASSED;
        hd__select_wake(receiver);
        return 0;
    }
    if (hd__chan_has_room(c)) {
        hd__chan_put(c, elem);
        hd__spin_unlock(&c->guard);
        return 0;
    }
    return -EAGAIN;
}

/* Receives without waiting: 0, -EPIPE, or -EAGAIN with the guard *held*. */
static inline int recv_now(hd_chan *c, void *elem) {
    size_t size = c->elem_size;
    struct hd__chan_block *idle = NULL;
    hd__spin_lock(&c->guard);
    if (c->count > 0) {
        hd__chan_take(c, elem, &idle);
        struct hd__wait *sender = hd__select_claim_first(&c->senders);
        if (sender != NULL) {
            hd__chan_put(c, sender->slot);
            sender->tag = HD__CHAN_PASSED;
        }
        hd__spin_unlock(&c->guard);
        if (sender != NULL) hd__select_wake(sender);
        if (HD__UNLIKELY(idle != NULL)) hd__chan_free_blocks(idle);
        return 0;
    }
    struct hd__wait *sender = hd__select_claim_first(&c->senders);
    if (sender != NULL) {
        hd__spin_unlock(&c->guard);
        hd__chan_copy(elem, sender->slot, size);
        sender->tag = HD__CHAN_PASSED;
        hd__select_wake(sender);
        return 0;
    }
    if (c->closed) {
        hd__spin_unlock(&c->guard);
        return -EPIPE;
    }
    return -EAGAIN;
}

/* There is no room in an unbounded channel; the guard is held. */
static HD__NOINLINE int send_growing(hd_chan *c, const void *elem) {
    int err;
    do {
        hd__spin_unlock(&c->guard);
        err = hd__chan_grow(c);
        if (err) return err;
        err = send_now(c, elem);
    } while (err == -EAGAIN);
    return err;
}

static inline int send_until(hd_chan *c, const void *elem, uint64_t deadline_ns, const void *site) {
    hd__chan_check_elem(c, elem, "hd_chan_send");
    hd__sched_hostile_point();
    hd__sched_enter();
    int err = send_now(c, elem);
    if (err == -EAGAIN && HD__UNLIKELY(c->unbounded)) {
        err = send_growing(c, elem);
    } else if (err == -EAGAIN) {
        /* A sender's element is only read through the slot. */
        err = hd__chan_wait(c, &c->senders, (void *)(uintptr_t)elem, "chan send", deadline_ns,
                            site);
    }
    hd__sched_leave();
    hd__sched_hostile_point();
    return err;
}

static inline int recv_until(hd_chan *c, void *elem, uint64_t deadline_ns, const void *site) {
    hd__chan_check_elem(c, elem, "hd_chan_recv");
    hd__sched_hostile_point();
    hd__sched_enter();
    int err = recv_now(c, elem);
    if (err == -EAGAIN) {
        err = hd__chan_wait(c, &c->receivers, elem, "chan recv", deadline_ns, site);
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

int hd__chan_trysend(hd_chan *c, const void *elem) {
    hd__chan_check_elem(c, elem, "hd_chan_trysend");
    int err = send_now(c, elem);
    if (err != -EAGAIN) return err;
    if (c->unbounded) return send_growing(c, elem);
    hd__spin_unlock(&c->guard);
    return err;
}

int hd__chan_tryrecv(hd_chan *c, void *elem) {
    hd__chan_check_elem(c, elem, "hd_chan_tryrecv");
    int err = recv_now(c, elem);
    if (err == -EAGAIN) hd__spin_unlock(&c->guard);
    return err;
}

int hd_chan_trysend(hd_chan *c, const void *elem) {
    hd__sched_enter();
    int err = hd__chan_trysend(c, elem);
    hd__sched_leave();
    return err;
}

int hd_chan_tryrecv(hd_chan *c, void *elem) {
    hd__sched_enter();
    int err = hd__chan_tryrecv(c, elem);
    hd__sched_leave();
    return err;
}

void hd_chan_close(hd_chan *c) {
    struct hd__waitq claimed = {NULL, NULL};
    HD__CHECK(c != NULL, "hd_chan_close: c is NULL");
    hd__sched_hostile_point();
    hd__sched_enter();
    hd__spin_lock(&c->guard);
    c->closed = true;
    hd__select_claim_all(&c->senders, &claimed);
    hd__select_claim_all(&c->receivers, &claimed);
    for (struct hd__wait *w = claimed.head; w != NULL; w = w->next) {
        w->tag = HD__CHAN_CLOSED;
    }
    hd__spin_unlock(&c->guard);
    hd__select_wake_all(&claimed);
    hd__sched_leave();
}

/* ---- Looks ---- */

size_t hd_chan_count(hd_chan *c) {
    hd__sched_enter();
    hd__spin_lock(&c->guard);
    size_t count = c->count;
    hd__spin_unlock(&c->guard);
    hd__sched_leave();
    return count;
}

size_t hd_chan_capacity(const hd_chan *c) {
    return c->capacity;
}

bool hd_chan_is_closed(hd_chan *c) {
    hd__sched_enter();
    hd__spin_lock(&c->guard);
    bool closed = c->closed;
    hd__spin_unlock(&c->guard);
    hd__sched_leave();
    return closed;
}

/* ---- For select.c ---- */

/* Whether somebody else waits; those who gave up count, and are found out by who tries. */
static bool others_wait(const struct hd__waitq *q, const struct hd__select *mine) {
    for (struct hd__wait *w = q->head; w != NULL; w = w->next)
        if (w->party != NULL || hd__select_of(w) != mine) return true;
    return false;
}

bool hd__chan_queue(hd_chan *c, bool sends, struct hd__wait *w) {
    const struct hd__select *mine = hd__select_of(w);
    hd__spin_lock(&c->guard);
    bool ready = c->closed || (sends ? c->unbounded || c->count < c->capacity ||
                                           others_wait(&c->receivers, mine)
                                     : c->count > 0 || others_wait(&c->senders, mine));
    if (!ready) hd__waitq_push_back(sends ? &c->senders : &c->receivers, w);
    hd__spin_unlock(&c->guard);
    return !ready;
}

void hd__chan_unqueue(hd_chan *c, bool sends, struct hd__wait *w) {
    hd__spin_lock(&c->guard);
    hd__waitq_remove(sends ? &c->senders : &c->receivers, w);
    hd__spin_unlock(&c->guard);
}
