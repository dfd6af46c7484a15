/* SPDX-License-Identifier: MIT */
/* Receiving from a socket.
 *
 * It could be handed to the ring as a whole. It is cheaper to wait until there is something, and to
 * receive then: the thread that receives answers next, while the socket is in the cache
 * (doc/decisions/io.md). And what has mostly not arrived yet is not tried in vain, unless the last
 * call did not take all that there was, or the socket is new.
 *
 * Of a TCP socket it is known whether something has come since (ready.c), and waiting for it mostly
 * costs nothing; others are asked for with a call that makes the kernel watch them. */
#include <errno.h>

#include "base/atomic.h"
#include "io/io.h"
#include "os/iocall.h"


bool hd__io_was_socket(int fd) {
    struct hd__io_place *p = hd__io_place_of(fd, false);
    return p && (hd__load_relaxed(&p->hint) & HD__IO_SOCKET);
}

static size_t asked_for(const struct hd__io_call *c) {
    if (c->kind != HD__IO_RECVMSG) return c->n;
    const struct msghdr *msg = c->buf;
    size_t n = 0;
    for (size_t i = 0; i < msg->msg_iovlen; i++) n += msg->msg_iov[i].iov_len;
    return n;
}

/* Notes what a call that returned r says; `edges`: those of the place before it. */
static void note(struct hd__io_place *p, const struct hd__io_call *c, ssize_t r, uint32_t edges) {
    enum { TAKES_ALL = MSG_NOSIGNAL | MSG_CMSG_CLOEXEC };
    uint8_t hint = hd__load_relaxed(&p->hint), now = hint;
    bool less = r > 0 && (size_t)r < asked_for(c), all = r > 0 && !less;
    if (r >= 0) now |= HD__IO_SOCKET;
    if (r <= 0) now &= (uint8_t)~HD__IO_TCP; /* it ends, or is no more */
    if (less && !(hint & (HD__IO_TCP | HD__IO_NOT_TCP)) &&
        (hd__load_relaxed(&p->watched) & POLLIN))
        now |= hd__os_socket_is_tcp(c->fd) ? HD__IO_TCP : HD__IO_NOT_TCP;
    if (less && (now & HD__IO_TCP) && !(c->flags & ~TAKES_ALL))
        hd__store_relaxed(&p->drained, edges);
    now &= (uint8_t)~HD__IO_MORE;
    if (all || (now & HD__IO_TCP)) now |= HD__IO_MORE;
    if (now != hint) hd__store_relaxed(&p->hint, now);
}

/* Whether waiting for it may be cheap. */
static bool is_tcp(struct hd__io_place *p) {
    return hd__load_relaxed(&p->hint) & HD__IO_TCP;
}

static int wait_drained(const struct hd__io_call *c, struct hd__io_place *p, uint32_t edges) {
    return hd__io_ready_wait_drained(c->fd, p, edges, c->deadline_ns, hd__io_what(c->kind),
                                     c->site);
}

static int wait(struct hd__worker *w, const struct hd__io_call *c) {
    return hd__io_wait_ready(w, c->fd, POLLIN, c->deadline_ns, hd__io_what(c->kind), c->site);
}

static int wait_first(struct hd__worker *w, const struct hd__io_call *c, struct hd__io_place *p) {
    uint32_t drained = hd__load_relaxed(&p->drained);
    uint8_t hint = hd__load_relaxed(&p->hint);
    if ((hint & HD__IO_TCP) && drained == hd__load_acquire(&p->edges))
        return wait_drained(c, p, drained);
    return (hint & (HD__IO_SOCKET | HD__IO_MORE)) == HD__IO_SOCKET ? wait(w, c) : 0;
}

ssize_t hd__io_receive(struct hd__worker *w, const struct hd__io_call *c) {
    struct hd__io_place *p = hd__io_place_of(c->fd, false);
    int err = p ? wait_first(w, c, p) : 0;
    for (bool again = false;; again = true) {
        /* Each call tries, whatever ended the first wait; but the number is perhaps another file's
         * after it was closed. What cannot be waited for is no socket, or is one no more: the call
         * tells. */
        if (HD__UNLIKELY(err && (again || err == -EBADF) && err != -EPERM)) return err;
        uint32_t edges = p ? hd__load_acquire(&p->edges) : 0;
        ssize_t r = hd__io_try(c);
        if (HD__LIKELY(r != -EAGAIN)) {
            if (HD__UNLIKELY(err == -EINTR)) hd__wait_interrupt(hd__wait_self());
            if (p) note(p, c, r, edges);
            return r;
        }
        if (HD__UNLIKELY(err)) return err == -EPERM ? (ssize_t)HD__IO_WAITS : err;
        err = p && is_tcp(p) && !again ? wait_drained(c, p, edges) : wait(hd__worker_get(), c);
        p = hd__io_place_of(c->fd, false);
    }
}
