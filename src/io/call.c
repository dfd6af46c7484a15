/* SPDX-License-Identifier: MIT */
/* From a call to its result: which way it goes. io.h has the ways. */
#include <errno.h>

#include "base/atomic.h"
#include "io/io.h"
#include "os/clock.h"
#include "os/epoll.h"
#include "os/iocall.h"

/* ---- Being ready ---- */

static int wait_foreign(int fd, short events, uint64_t deadline_ns) {
    struct pollfd p = {fd, events, 0};
    int n;
    do {
        n = hd__os_poll(&p, 1, deadline_ns);
    } while (n == -EINTR);
    if (n > 0) return p.revents & POLLNVAL ? -EBADF : 0;
    return n == 0 ? -ETIMEDOUT : n;
}

int hd__io_wait_ready(struct hd__worker *w, int fd, short events, uint64_t deadline_ns,
                      const char *what, const void *site) {
    if (!w) return wait_foreign(fd, events, deadline_ns);
    int backend = hd__io_backend();
    if (backend < 0) return backend;
    return hd__io_ready_wait(fd, events, deadline_ns, what, site);
}

int hd__io_pause(uint64_t ns, uint64_t deadline_ns, const char *what, const void *site) {
    struct hd__wait wait;
    uint64_t until_ns = hd__os_now_ns() + ns;
    hd__wait_init(&wait, what, NULL, site);
    int err = hd__wait_park(&wait, NULL, until_ns < deadline_ns ? until_ns : deadline_ns, 0);
    if (err != -ETIMEDOUT) return err;
    return until_ns < deadline_ns ? 0 : err;
}

/* ---- Calls ---- */

static bool never_waits(const struct hd__io_call *c) {
    return (c->kind == HD__IO_RECV || c->kind == HD__IO_RECVMSG || c->kind == HD__IO_SEND ||
            c->kind == HD__IO_SENDMSG) &&
           (c->flags & (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB));
}

/* Tries, and waits until the next try can do something. */
static ssize_t try_and_wait(struct hd__worker *w, const struct hd__io_call *c) {
    for (;;) {
        ssize_t r = hd__io_try(c);
        if (HD__LIKELY(r != -EAGAIN)) return r;
        int err = hd__io_wait_ready(w, c->fd, hd__io_events(c->kind), c->deadline_ns,
                                    hd__io_what(c->kind), c->site);
        if (err == -EPERM) return HD__IO_WAITS;
        if (err) return err;
        w = w ? hd__worker_get() : NULL;
    }
}

/* The deadline is past: what can be done without waiting is done, and nothing else begun. The same
 * by all ways, and of files no more than is in memory. */
static HD__COLD ssize_t do_at_once(struct hd__worker *w, const struct hd__io_call *c) {
    ssize_t r = hd__io_try(c);
    if (r == HD__IO_WAITS) r = hd__io_try_file(c);
    if (r != -EAGAIN && r != HD__IO_WAITS) return r;
    /* Which an interruption that is pending comes before. */
    return w ? hd__io_pause(1, c->deadline_ns, hd__io_what(c->kind), c->site) : -ETIMEDOUT;
}

static ssize_t do_foreign(const struct hd__io_call *c) {
    ssize_t r;
    if (c->deadline_ns == HD_FOREVER) {
        while ((r = hd__io_plain(c)) == -EAGAIN && hd__io_events(c->kind)) {
            int err = wait_foreign(c->fd, hd__io_events(c->kind), HD_FOREVER);
            if (err) return err;
        }
        return r;
    }
    r = try_and_wait(NULL, c);
    return r == HD__IO_WAITS ? hd__io_plain(c) : r;
}

/* How the ring is told of a call. */
static struct hd__uring_op ring_op(const struct hd__io_call *c) {
    static const enum hd__uring_opcode codes[] = {
        [HD__IO_READ] = HD__URING_READ,       [HD__IO_WRITE] = HD__URING_WRITE,
        [HD__IO_READV] = HD__URING_READV,     [HD__IO_WRITEV] = HD__URING_WRITEV,
        [HD__IO_PREAD] = HD__URING_READ,      [HD__IO_PWRITE] = HD__URING_WRITE,
        [HD__IO_RECV] = HD__URING_RECV,       [HD__IO_RECVMSG] = HD__URING_RECVMSG,
        [HD__IO_ACCEPT] = HD__URING_ACCEPT,   [HD__IO_OPENAT] = HD__URING_OPENAT,
        [HD__IO_FSYNC] = HD__URING_FSYNC,     [HD__IO_CLOSE] = HD__URING_CLOSE,
    };
    enum { RW_MAX = 0x7ffff000 }; /* more is never read or written at once */
    struct hd__uring_op op = {.code = codes[c->kind], .fd = c->fd, .addr = c->buf,
                              .flags = (uint32_t)c->flags,
                              .len = c->n > RW_MAX ? RW_MAX : (uint32_t)c->n};
    switch (c->kind) {
    case HD__IO_READV:
    case HD__IO_WRITEV:
        op.len = (uint32_t)c->count;
        op.off = UINT64_MAX; /* the file position */
        break;
    case HD__IO_READ:
    case HD__IO_WRITE:
        op.off = UINT64_MAX;
        break;
    case HD__IO_PREAD:
    case HD__IO_PWRITE:
        op.off = (uint64_t)c->offset;
        break;
    case HD__IO_RECVMSG:
        op.len = 1;
        break;
    case HD__IO_ACCEPT:
        op.off = (uintptr_t)c->addr_len;
        break;
    case HD__IO_OPENAT:
        op.len = (uint32_t)c->count;
        op.async = true; /* tried at once, the kernel opens a FIFO as if it were told not to wait */
        break;
    case HD__IO_CLOSE:
        op.async = true; /* it comes here if it may take time */
        break;
    default:
        break;
    }
    return op;
}

/* Hands the call to the ring. A descriptor in non-blocking mode may have it come back with -EAGAIN:
 * then it is waited for by itself. */
static ssize_t do_ring(const struct hd__io_call *c) {
    struct hd__uring_op op = ring_op(c);
    for (;;) {
        ssize_t r = hd__io_uring_run(&op, c->deadline_ns, hd__io_what(c->kind), c->site);
        if (HD__LIKELY(r >= 0)) {
            if (hd__io_events(c->kind) == POLLIN) hd__os_fd_acquired(c->fd);
            return r;
        }
        if (r != -EAGAIN || !hd__io_events(c->kind)) return r;
        int err = hd__io_wait_ready(hd__worker_get(), c->fd, hd__io_events(c->kind),
                                    c->deadline_ns, hd__io_what(c->kind), c->site);
        if (err) return err;
    }
}

/* A write to a pipe or socket that nobody reads must raise SIGPIPE in the caller's kernel thread,
 * so it is not the ring that writes, but to files. */
static ssize_t do_uring(struct hd__worker *w, const struct hd__io_call *c) {
    if (c->kind == HD__IO_ACCEPT || (c->kind == HD__IO_READ && c->n > 0) ||
        (c->kind == HD__IO_READV && c->count > 0))
        return do_ring(c);
    ssize_t r = try_and_wait(w, c);
    return HD__UNLIKELY(r == HD__IO_WAITS) ? do_ring(c) : r;
}

static ssize_t do_epoll(struct hd__worker *w, const struct hd__io_call *c) {
    ssize_t r = try_and_wait(w, c);
    return r == HD__IO_WAITS ? hd__io_help_call(c) : r;
}

static ssize_t do_in_time(struct hd__worker *w, const struct hd__io_call *c) {
    int backend = hd__io_backend();
    if (HD__UNLIKELY(backend < 0)) return backend;
    if (c->kind == HD__IO_RECV || c->kind == HD__IO_RECVMSG) return hd__io_receive(w, c);
    if (c->kind == HD__IO_READ && c->n > 0 && hd__io_was_socket(c->fd)) {
        ssize_t r = hd__io_receive(w, c);
        if (HD__LIKELY(r != HD__IO_WAITS)) return r;
        hd__io_is_new(c->fd);
        w = hd__worker_get();
    }
    return HD__LIKELY(backend == HD_IO_URING) ? do_uring(w, c) : do_epoll(w, c);
}

static ssize_t do_once(struct hd__worker *w, const struct hd__io_call *c) {
    ssize_t r = HD__UNLIKELY(hd__io_is_past(c->deadline_ns)) ? do_at_once(w, c)
                : HD__LIKELY(w != NULL)  ? do_in_time(w, c)
                                         : do_foreign(c);
    if (r >= 0 && c->kind == HD__IO_ACCEPT && w) hd__io_is_new_socket((int)r);
    if (r >= 0 && c->kind == HD__IO_OPENAT && w) hd__io_is_new((int)r);
    return r;
}

/* ---- MSG_WAITALL ---- */

/* Fills a part of a buffer. What has been received is not given up for an error: the next call will
 * see that again, or the interruption. */
static ssize_t fill(struct hd__io_call *part) {
    size_t got = 0;
    while (got < part->n) {
        struct hd__io_call rest = *part;
        rest.buf = (char *)part->buf + got;
        rest.n = part->n - got;
        ssize_t r = do_once(hd__worker_get(), &rest);
        if (r == -EINTR) hd__wait_interrupt(hd__wait_self());
        if (r <= 0) break;
        got += (size_t)r;
    }
    return (ssize_t)got;
}

/* Goes on after the first `got` bytes, as long as a stream delivers. */
static ssize_t receive_rest(const struct hd__io_call *c, ssize_t got) {
    struct iovec one = {c->buf, c->n};
    const struct msghdr *msg = c->buf;
    const struct iovec *iov = c->kind == HD__IO_RECV ? &one : msg->msg_iov;
    size_t count = c->kind == HD__IO_RECV ? 1 : msg->msg_iovlen;
    size_t skip = (size_t)got, all = 0;
    for (size_t i = 0; i < count; i++) all += iov[i].iov_len;
    if (got <= 0 || skip >= all || !hd__os_socket_is_stream(c->fd)) return got;
    for (size_t i = 0; i < count; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        struct hd__io_call part = *c;
        part.kind = HD__IO_RECV;
        part.flags &= ~MSG_WAITALL;
        part.buf = (char *)iov[i].iov_base + skip;
        part.n = iov[i].iov_len - skip;
        ssize_t r = fill(&part);
        got += r;
        if ((size_t)r < part.n) break;
        skip = 0;
    }
    return got;
}

static HD__COLD ssize_t receive_all(struct hd__worker *w, const struct hd__io_call *c) {
    struct hd__io_call some = *c;
    some.flags &= ~MSG_WAITALL;
    ssize_t got = do_once(w, &some);
    return c->flags & MSG_PEEK ? got : receive_rest(c, got);
}

/* A foreign kernel thread keeps the runtime, if there is one, from ending over it. */
static ssize_t do_close(struct hd__worker *w, const struct hd__io_call *c) {
    if (!w) hd__runtime_enter();
    bool on = w || atomic_load_explicit(&hd__rt.state, memory_order_seq_cst) == HD__RT_ON;
    bool begun = on && hd__io_close_begin(c->fd);
    ssize_t r = do_once(w ? hd__worker_get() : NULL, c);
    if (begun) hd__io_close_end(c->fd);
    if (!w) hd__runtime_leave();
    return r;
}

static ssize_t do_call(struct hd__worker *w, const struct hd__io_call *c) {
    HD__IO_COUNT(w, submitted);
    if (HD__UNLIKELY(c->kind == HD__IO_OPENAT && !c->buf)) return -EFAULT;
    if (HD__UNLIKELY(c->kind == HD__IO_ACCEPT && (c->flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))))
        return -EINVAL;
    if (HD__UNLIKELY(never_waits(c))) return hd__io_plain(c);
    if (c->kind == HD__IO_CLOSE) return do_close(w, c);
    bool receives = c->kind == HD__IO_RECV || c->kind == HD__IO_RECVMSG;
    if (HD__UNLIKELY(receives && (c->flags & MSG_WAITALL))) return receive_all(w, c);
    return do_once(w, c);
}

ssize_t hd__io_make(struct hd__io_call c) {
    struct hd__worker *w = hd__sched_enter();
    ssize_t r = do_call(w, &c);
    hd__sched_leave();
    hd__sched_hostile_point();
    return r;
}
