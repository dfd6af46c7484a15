/* SPDX-License-Identifier: MIT */
/* Channels: queues of elements of one size that can be closed, bounded, unbounded or without any
 * places, and the choice between several of them. After Hoare, "Communicating Sequential
 * Processes", CACM 21(8), 1978; the choice with sends and receives is Plan 9's alt and Go's select.
 *
 * All may be called by threads and foreign kernel threads alike, not by signal handlers. What a
 * sender did before it sent an element is seen by the one that receives it. */
#ifndef HEDDLE_CHAN_H
#define HEDDLE_CHAN_H

#include <heddle/base.h>
#include <heddle/sync.h>

HD_BEGIN_DECLS

typedef struct hd_chan hd_chan;

/* The capacity of a channel that holds as many elements as there is memory for. */
#define HD_CHAN_UNBOUNDED SIZE_MAX

/* Makes a channel of elements of elem_size bytes (0: signals without data) that holds `capacity`
 * of them; 0: unbuffered, a send waits for its receiver. NULL when memory is short or the size
 * overflows. Does not block. */
HD_API hd_chan *hd_chan_create(size_t elem_size, size_t capacity);

/* Frees it; NULL is accepted. Destroying it while somebody waits on it aborts with a message. */
HD_API void hd_chan_destroy(hd_chan *c);

/* Closes it: senders get -EPIPE from now on, receivers get what is left and then -EPIPE; all
 * waiters wake. Closing twice is harmless. */
HD_API void hd_chan_close(hd_chan *c);

/* Copies an element in, waiting for room (unbuffered: for a receiver). 0; -EPIPE when closed;
 * -EINTR when interrupted (nothing was sent); -ENOMEM (unbounded alone). */
HD_API int hd_chan_send(hd_chan *c, const void *elem);
/* Copies the oldest element out, waiting for one. 0; -EPIPE when closed and empty; -EINTR. */
HD_API int hd_chan_recv(hd_chan *c, void *elem);
/* As send and recv, but -EAGAIN instead of waiting. */
HD_API int hd_chan_trysend(hd_chan *c, const void *elem);
HD_API int hd_chan_tryrecv(hd_chan *c, void *elem);
/* As send and recv; -ETIMEDOUT at the deadline (nothing was sent or received). */
HD_API int hd_chan_send_until(hd_chan *c, const void *elem, uint64_t deadline_ns);
HD_API int hd_chan_recv_until(hd_chan *c, void *elem, uint64_t deadline_ns);

/* Sends n elements that lie one behind the other, in their order, waiting for room as often as it
 * takes; elements of other senders may come in between. Returns n, or how many were sent before the
 * channel was closed, memory ran out, the deadline came or the thread was interrupted; an error if
 * that is none: as send_until. An interruption that did not become the result is kept for the next
 * wait. */
HD_API ssize_t hd_chan_send_many(hd_chan *c, const void *elems, size_t n);
HD_API ssize_t hd_chan_send_many_until(hd_chan *c, const void *elems, size_t n,
                                       uint64_t deadline_ns);
/* Receives the oldest elements, n at most: waits for the first one, and takes what else is there.
 * Returns how many, or an error as recv_until. n of 0 returns 0. */
HD_API ssize_t hd_chan_recv_many(hd_chan *c, void *elems, size_t n);
HD_API ssize_t hd_chan_recv_many_until(hd_chan *c, void *elems, size_t n, uint64_t deadline_ns);

/* Receives into *elem and runs the statement, until the channel is closed and empty (or the thread
 * is interrupted: hd_chan_is_closed() tells):
 *
 *     HD_CHAN_EACH(numbers, &n) sum += n; */
#define HD_CHAN_EACH(c, elem) while (hd_chan_recv((c), (elem)) == 0)

/* How many elements are in it, how many it holds at most, and whether it is closed: at the moment
 * of the call. Do not block. */
HD_API size_t hd_chan_count(hd_chan *c);
HD_API size_t hd_chan_capacity(const hd_chan *c);
HD_API bool hd_chan_is_closed(hd_chan *c);

/* ---- The choice ---- */

enum hd_select_op {
    HD_SELECT_NONE, /* never fires */
    HD_SELECT_SEND,
    HD_SELECT_RECV,
    HD_SELECT_EVENT /* fires when the event is set, which it stays */
};

struct hd_select_case {
    enum hd_select_op op;
    hd_chan *chan;
    const void *send;  /* the element that is copied in */
    void *recv;        /* where an element is copied to */
    hd_event *event;
    int result;        /* of the case that fired: 0; -EPIPE: its channel is closed; -ENOMEM */
};

/* For a case in an array of them. */
#define HD_CASE_SEND(c, elem) { HD_SELECT_SEND, (c), (elem), NULL, NULL, 0 }
#define HD_CASE_RECV(c, elem) { HD_SELECT_RECV, (c), NULL, (elem), NULL, 0 }
#define HD_CASE_EVENT(e) { HD_SELECT_EVENT, NULL, NULL, NULL, (e), 0 }

/* Waits until one of n cases can go on, does that one and no other, and returns its index. If
 * several can, each of them is as likely. A closed channel can always go on: see `result`. Returns
 * -ETIMEDOUT at the deadline (at once if that is past: a look), -EINTR when interrupted, -ENOMEM
 * (more than 8 cases); then nothing was sent or received. n may be 0. What the cases name must live
 * until it returns. */
HD_API int hd_select(struct hd_select_case *cases, size_t n, uint64_t deadline_ns);

HD_END_DECLS
#endif
