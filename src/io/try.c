/* SPDX-License-Identifier: MIT */
/* The system calls behind the calls: as they are, and so that they do not wait.
 *
 * Descriptors may be in blocking mode, and their flags are not ours to change: they are shared with
 * whoever has the same open file. Not waiting is asked for call by call:
 *
 *   sockets                 MSG_DONTWAIT; read() and write() are then recv() and send()
 *   pipes, eventfds, ...    RWF_NOWAIT, where the kernel knows it for the kind of file
 *   the others, accept()    the descriptor is in non-blocking mode already, or poll() is asked
 *                           first: what the call would refuse at once is then refused when it
 *                           is ready. Somebody else can be faster between poll() and the call.
 *                           Threads are kept apart (asking); what another process can do, or a
 *                           call that is not ours, makes the call wait. So it is made outside of
 *                           the gate (sched/self.h), where a thread that waits in the kernel loses
 *                           its worker: others run meanwhile, but neither a deadline nor an
 *                           interruption ends that wait.
 *   files                   cannot: HD__IO_WAITS */
#include "base/atomic.h"
#include "io/io.h"
#include "os/epoll.h"
#include "os/iocall.h"

#include <errno.h>
#include <limits.h>

/* What fits into a pipe that poll() calls writable, without waiting. */
enum { WRITE_UNSEEN_MAX = 4096 };

/* The descriptors that a thread asks poll() about, until its call is done: nobody else may make one
 * at the same descriptor in between. With more than ASKING_MAX at once that is not kept, and one of
 * them may wait. */
enum { ASKING_MAX = 64 };
static struct {
    hd__spin lock;
    unsigned count;
    int fds[ASKING_MAX];
} asking;

static const struct {
    const char *what;
    short events;
} kinds[] = {
    [HD__IO_READ] = {"read from descriptor", POLLIN},
    [HD__IO_WRITE] = {"write to descriptor", POLLOUT},
    [HD__IO_READV] = {"read from descriptor", POLLIN},
    [HD__IO_WRITEV] = {"write to descriptor", POLLOUT},
    [HD__IO_PREAD] = {"read from file", 0},
    [HD__IO_PWRITE] = {"write to file", 0},
    [HD__IO_RECV] = {"receive from socket", POLLIN},
    [HD__IO_SEND] = {"send to socket", POLLOUT},
    [HD__IO_RECVMSG] = {"receive from socket", POLLIN},
    [HD__IO_SENDMSG] = {"send to socket", POLLOUT},
    [HD__IO_ACCEPT] = {"accept a connection", POLLIN},
    [HD__IO_OPENAT] = {"open of file", 0},
    [HD__IO_FSYNC] = {"fsync of file", 0},
    [HD__IO_CLOSE] = {"close of descriptor", 0},
};

short hd__io_events(enum hd__io_kind kind) {
    return kinds[kind].events;
}

const char *hd__io_what(enum hd__io_kind kind) {
    return kinds[kind].what;
}

static ssize_t call(const struct hd__io_call *c) {
    switch (c->kind) {
    case HD__IO_READ:
        return hd__os_read(c->fd, c->buf, c->n);
    case HD__IO_WRITE:
        return hd__os_write(c->fd, c->buf, c->n);
    case HD__IO_READV:
        return hd__os_readv(c->fd, c->buf, c->count);
    case HD__IO_WRITEV:
        return hd__os_writev(c->fd, c->buf, c->count);
    case HD__IO_PREAD:
        return hd__os_pread(c->fd, c->buf, c->n, c->offset);
    case HD__IO_PWRITE:
        return hd__os_pwrite(c->fd, c->buf, c->n, c->offset);
    case HD__IO_RECV:
        return hd__os_recv(c->fd, c->buf, c->n, c->flags);
    case HD__IO_SEND:
        return hd__os_send(c->fd, c->buf, c->n, c->flags);
    case HD__IO_RECVMSG:
        return hd__os_recvmsg(c->fd, c->buf, c->flags);
    case HD__IO_SENDMSG:
        return hd__os_sendmsg(c->fd, c->buf, c->flags);
    case HD__IO_ACCEPT:
        return hd__os_accept(c->fd, c->buf, c->addr_len, c->flags);
    case HD__IO_OPENAT:
        return hd__os_openat(c->fd, c->buf, c->flags, (mode_t)c->count);
    case HD__IO_FSYNC:
        return hd__os_fsync(c->fd);
    case HD__IO_CLOSE:
        return hd__os_close(c->fd);
    }
    return -EINVAL;
}

ssize_t hd__io_plain(const struct hd__io_call *c) {
    ssize_t r;
    /* A closed descriptor is closed, even if a signal came. */
    do {
        r = call(c);
    } while (r == -EINTR && c->kind != HD__IO_CLOSE);
    return r;
}

/* ---- Without waiting ---- */

static bool reads(const struct hd__io_call *c) {
    return kinds[c->kind].events == POLLIN;
}

static ssize_t socket_nowait(const struct hd__io_call *c) {
    int flags = c->flags | MSG_DONTWAIT;
    if (c->kind == HD__IO_READ || c->kind == HD__IO_RECV)
        return hd__os_recv(c->fd, c->buf, c->n, flags);
    if (c->kind == HD__IO_WRITE || c->kind == HD__IO_SEND)
        return hd__os_send(c->fd, c->buf, c->n, flags);
    if (c->kind == HD__IO_RECVMSG) return hd__os_recvmsg(c->fd, c->buf, flags);
    if (c->kind == HD__IO_SENDMSG) return hd__os_sendmsg(c->fd, c->buf, flags);
    struct msghdr msg = {.msg_iov = c->buf, .msg_iovlen = (size_t)c->count};
    return reads(c) ? hd__os_recvmsg(c->fd, &msg, flags) : hd__os_sendmsg(c->fd, &msg, flags);
}

static ssize_t file_nowait(const struct hd__io_call *c, off_t offset) {
    bool vector = c->kind == HD__IO_READV || c->kind == HD__IO_WRITEV;
    struct iovec one = {c->buf, c->n};
    const struct iovec *iov = vector ? c->buf : &one;
    int count = vector ? c->count : 1;
    bool in = reads(c) || c->kind == HD__IO_PREAD;
    return in ? hd__os_readv_nowait(c->fd, iov, count, offset)
              : hd__os_writev_nowait(c->fd, iov, count, offset);
}

/* A part of a write that poll() promises room for: all of it, if it is as short as that. */
static ssize_t write_little(const struct hd__io_call *c) {
    struct hd__io_call part = *c;
    if (c->kind == HD__IO_WRITEV) {
        const struct iovec *iov = c->buf;
        size_t all = 0;
        int i = 0;
        for (int k = 0; k < c->count && all <= WRITE_UNSEEN_MAX; k++) all += iov[k].iov_len;
        if (all <= WRITE_UNSEEN_MAX) return hd__io_plain(c);
        while (i + 1 < c->count && iov[i].iov_len == 0) i++;
        part.kind = HD__IO_WRITE;
        part.buf = iov[i].iov_base;
        part.n = iov[i].iov_len;
    }
    if (part.n > WRITE_UNSEEN_MAX) part.n = WRITE_UNSEEN_MAX;
    return hd__io_plain(&part);
}

static bool begin_asking(int fd) {
    bool alone = true;
    hd__spin_lock(&asking.lock);
    for (unsigned i = 0; i < asking.count && alone; i++) alone = asking.fds[i] != fd;
    if (alone && asking.count < ASKING_MAX) asking.fds[asking.count++] = fd;
    hd__spin_unlock(&asking.lock);
    return alone;
}

static void end_asking(int fd) {
    hd__spin_lock(&asking.lock);
    for (unsigned i = 0; i < asking.count; i++) {
        if (asking.fds[i] != fd) continue;
        asking.fds[i] = asking.fds[--asking.count];
        break;
    }
    hd__spin_unlock(&asking.lock);
}

/* The thread may be on another worker after it. */
static ssize_t call_outside(const struct hd__io_call *c) {
    bool inside = hd__worker_get() != NULL;
    if (inside) hd__sched_leave();
    ssize_t r = reads(c) ? hd__io_plain(c) : write_little(c);
    if (inside) (void)hd__sched_enter();
    return r;
}

static ssize_t look_and_call(const struct hd__io_call *c) {
    int mode = hd__os_fd_mode(c->fd);
    if (mode < 0) return mode;
    if (!(mode & (reads(c) ? HD__FD_READS : HD__FD_WRITES))) return -EBADF;
    if (mode & HD__FD_NONBLOCKING) return hd__io_plain(c);
    struct pollfd look = {c->fd, kinds[c->kind].events, 0};
    if (!begin_asking(c->fd)) {
        /* The other one is about to have it, and will be done before we look again. */
        if (hd__worker_get()) hd__sched_yield();
        return -EAGAIN;
    }
    ssize_t r = hd__os_poll(&look, 1, 0);
    if (r > 0)
        r = look.revents & POLLNVAL ? -EBADF : call_outside(c);
    else if (r == 0 || r == -EINTR)
        r = -EAGAIN;
    end_asking(c->fd);
    if (r == -EAGAIN && c->kind == HD__IO_ACCEPT) {
        int err = hd__os_socket_listens(c->fd); /* what is none would never become ready */
        if (err) r = err;
    }
    return r;
}

ssize_t hd__io_try_file(const struct hd__io_call *c) {
    if (!kinds[c->kind].events) return HD__IO_WAITS;
    ssize_t r = file_nowait(c, -1);
    return r == -EOPNOTSUPP || r == -ENOSYS ? (ssize_t)HD__IO_WAITS : r;
}

/* Part of it would do harm: the rest comes later, and others may write in between. So for the file
 * position nothing is tried, where there is time. What is at a given place can be read or written
 * again. The call also says what has no places: a ring would take an offset for none, and read from
 * the pipe. */
static ssize_t try_at(const struct hd__io_call *c) {
    ssize_t r = file_nowait(c, c->offset);
    bool end = r == 0 && c->kind == HD__IO_PREAD;
    bool all = r >= 0 && (size_t)r == c->n;
    bool failed = r < 0 && r != -EAGAIN && r != -EOPNOTSUPP && r != -EINVAL && r != -ENOSYS;
    return end || all || failed ? r : HD__IO_WAITS;
}

ssize_t hd__io_try(const struct hd__io_call *c) {
    switch (c->kind) {
    case HD__IO_RECV:
    case HD__IO_SEND:
    case HD__IO_RECVMSG:
    case HD__IO_SENDMSG:
        return socket_nowait(c);
    case HD__IO_ACCEPT:
        return look_and_call(c);
    case HD__IO_PREAD:
    case HD__IO_PWRITE:
        return c->offset < 0 ? -EINVAL : try_at(c);
    case HD__IO_OPENAT:
    case HD__IO_FSYNC:
        return HD__IO_WAITS;
    case HD__IO_CLOSE:
        return hd__os_close_waits(c->fd) ? (ssize_t)HD__IO_WAITS : hd__io_plain(c);
    default:
        break;
    }
    bool vector = c->kind == HD__IO_READV || c->kind == HD__IO_WRITEV;
    if (vector && (c->count < 0 || c->count > IOV_MAX)) return -EINVAL;
    if (vector ? c->count == 0 : c->n == 0 && reads(c)) return hd__io_plain(c);
    ssize_t r = socket_nowait(c);
    if (r != -ENOTSOCK) return r;
    int kind = hd__os_fd_kind(c->fd);
    if (kind < 0) return kind;
    if (kind == HD__FD_FILE) return HD__IO_WAITS;
    r = file_nowait(c, -1);
    return r == -EOPNOTSUPP || r == -ENOSYS ? look_and_call(c) : r;
}
