/* SPDX-License-Identifier: MIT */
/* Batches: as many elements as possible each time that the guard is held, AT_ONCE at most, so that
 * nobody spins on it for long. What is handed to waiters is copied under the guard, too: there is
 * no place to note who gets which element. */
#include "sync/chan.h"

#include <errno.h>
#include <limits.h>

enum { AT_ONCE = 64 };

static const unsigned char *nth(const hd_chan *c, const void *elems, size_t n) {
    return c->elem_size == 0 ? elems : (const unsigned char *)elems + n * c->elem_size;
}

/* Hands an element to a waiting receiver, or puts it into the channel. False: neither is possible.
 * The guard is held. */
static bool put_one(hd_chan *c, const void *elem, struct hd__waitq *claimed) {
    struct hd__wait *receiver = hd__select_claim_first(&c->receivers);
    if (receiver != NULL) {
        hd__chan_copy(receiver->slot, elem, c->elem_size);
        receiver->tag = HD__CHAN_PASSED;
        hd__waitq_push_back(claimed, receiver);
    } else if (hd__chan_has_room(c)) {
        hd__chan_put(c, elem);
    } else {
        return false;
    }
    return true;
}

/* Takes one out, or from a waiting sender. The guard is held. */
static bool take_one(hd_chan *c, void *elem, struct hd__waitq *claimed,
                     struct hd__chan_block **idle) {
    bool from_ring = c->count > 0;
    if (from_ring) hd__chan_take(c, elem, idle);
    struct hd__wait *sender = hd__select_claim_first(&c->senders);
    if (sender != NULL) {
        if (from_ring)
            hd__chan_put(c, sender->slot);
        else
            hd__chan_copy(elem, sender->slot, c->elem_size);
        sender->tag = HD__CHAN_PASSED;
        hd__waitq_push_back(claimed, sender);
    }
    return from_ring || sender != NULL;
}

/* Sends some without waiting, and says how many. 0 with *err -EAGAIN and the guard *held*, or with
 * another error. */
static size_t send_some(hd_chan *c, const void *elems, size_t n, int *err) {
    struct hd__waitq claimed = {NULL, NULL};
    size_t sent = 0;
    if (n > AT_ONCE) n = AT_ONCE;
    hd__spin_lock(&c->guard);
    *err = c->closed ? -EPIPE : -EAGAIN;
    if (!c->closed)
        while (sent < n && put_one(c, nth(c, elems, sent), &claimed)) sent++;
    if (sent == 0 && *err == -EAGAIN) return 0;
    hd__spin_unlock(&c->guard);
    hd__select_wake_all(&claimed);
    return sent;
}

/* The result of a batch that ended with an error. An interruption that is not the result is not
 * lost. Inside. */
static ssize_t result_of(size_t done, int err) {
    if (done == 0) return err;
    if (err == -EINTR) hd__wait_interrupt(hd__wait_self());
    return (ssize_t)done;
}

static ssize_t send_many(hd_chan *c, const void *elems, size_t n, uint64_t deadline_ns,
                         const void *site) {
    size_t sent = 0;
    while (sent < n) {
        int err;
        const void *elem = nth(c, elems, sent);
        size_t some = send_some(c, elem, n - sent, &err);
        sent += some;
        if (some != 0) continue;
        if (err == -EAGAIN && c->unbounded) {
            hd__spin_unlock(&c->guard);
            err = hd__chan_grow(c);
            if (err == 0) continue;
        } else if (err == -EAGAIN) {
            err = hd__chan_wait(c, &c->senders, (void *)(uintptr_t)elem, "chan send", deadline_ns,
                                site);
            sent += err == 0;
        }
        if (err != 0) return result_of(sent, err);
    }
    return (ssize_t)sent;
}

/* As send_some(). */
static size_t recv_some(hd_chan *c, void *elems, size_t n, int *err) {
    struct hd__waitq claimed = {NULL, NULL};
    struct hd__chan_block *idle = NULL;
    size_t got = 0;
    if (n > AT_ONCE) n = AT_ONCE;
    hd__spin_lock(&c->guard);
    while (got < n &&
           take_one(c, (void *)(uintptr_t)nth(c, elems, got), &claimed, &idle))
        got++;
    *err = c->closed ? -EPIPE : -EAGAIN;
    if (got == 0 && *err == -EAGAIN) return 0;
    hd__spin_unlock(&c->guard);
    hd__select_wake_all(&claimed);
    if (idle != NULL) hd__chan_free_blocks(idle);
    return got;
}

static ssize_t recv_many(hd_chan *c, void *elems, size_t n, uint64_t deadline_ns,
                         const void *site) {
    size_t got = 0;
    while (got < n) {
        int err;
        void *elem = (void *)(uintptr_t)nth(c, elems, got);
        size_t some = recv_some(c, elem, n - got, &err);
        got += some;
        if (some != 0) continue;
        if (err == -EAGAIN && got != 0) hd__spin_unlock(&c->guard);
        if (got != 0) break;
        if (err == -EAGAIN)
            err = hd__chan_wait(c, &c->receivers, elem, "chan recv", deadline_ns, site);
        if (err != 0) return err;
        got = 1;
    }
    return (ssize_t)got;
}

static ssize_t send_many_until(hd_chan *c, const void *elems, size_t n, uint64_t deadline_ns,
                               const void *site) {
    HD__CHECK(n <= SSIZE_MAX, "hd_chan_send_many: %zu elements cannot lie one behind the other", n);
    if (n != 0) hd__chan_check_elem(c, elems, "hd_chan_send_many");
    hd__sched_hostile_point();
    hd__sched_enter();
    ssize_t result = send_many(c, elems, n, deadline_ns, site);
    hd__sched_leave();
    hd__sched_hostile_point();
    return result;
}

static ssize_t recv_many_until(hd_chan *c, void *elems, size_t n, uint64_t deadline_ns,
                               const void *site) {
    HD__CHECK(n <= SSIZE_MAX, "hd_chan_recv_many: %zu elements cannot lie one behind the other", n);
    if (n != 0) hd__chan_check_elem(c, elems, "hd_chan_recv_many");
    hd__sched_hostile_point();
    hd__sched_enter();
    ssize_t result = recv_many(c, elems, n, deadline_ns, site);
    hd__sched_leave();
    hd__sched_hostile_point();
    return result;
}

ssize_t hd_chan_send_many(hd_chan *c, const void *elems, size_t n) {
    return send_many_until(c, elems, n, HD_FOREVER, __builtin_return_address(0));
}

ssize_t hd_chan_recv_many(hd_chan *c, void *elems, size_t n) {
    return recv_many_until(c, elems, n, HD_FOREVER, __builtin_return_address(0));
}

ssize_t hd_chan_send_many_until(hd_chan *c, const void *elems, size_t n, uint64_t deadline_ns) {
    return send_many_until(c, elems, n, deadline_ns, __builtin_return_address(0));
}

ssize_t hd_chan_recv_many_until(hd_chan *c, void *elems, size_t n, uint64_t deadline_ns) {
    return recv_many_until(c, elems, n, deadline_ns, __builtin_return_address(0));
}
