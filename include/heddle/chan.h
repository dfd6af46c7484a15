/* SPDX-License-Identifier: MIT */
/* Channels: bounded or unbuffered queues of elements of one size, which can be closed. After
 * Hoare, "Communicating Sequential Processes", CACM 21(8), 1978. */
#ifndef HEDDLE_CHAN_H
#define HEDDLE_CHAN_H

#include <heddle/base.h>

HD_BEGIN_DECLS

typedef struct hd_chan hd_chan;

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
 * -EINTR when interrupted (nothing was sent). */
HD_API int hd_chan_send(hd_chan *c, const void *elem);
/* Copies the oldest element out, waiting for one. 0; -EPIPE when closed and empty; -EINTR. */
HD_API int hd_chan_recv(hd_chan *c, void *elem);
/* As send and recv, but -EAGAIN instead of waiting. */
HD_API int hd_chan_trysend(hd_chan *c, const void *elem);
HD_API int hd_chan_tryrecv(hd_chan *c, void *elem);
/* As send and recv; -ETIMEDOUT at the deadline (nothing was sent or received). */
HD_API int hd_chan_send_until(hd_chan *c, const void *elem, uint64_t deadline_ns);
HD_API int hd_chan_recv_until(hd_chan *c, void *elem, uint64_t deadline_ns);

HD_END_DECLS
#endif
