/* SPDX-License-Identifier: MIT */
/* Sockets; io.h has the ways that a call takes. */
#include <heddle/io.h>

#include "io/io.h"
#include "os/iocall.h"

#include <errno.h>

#define SITE __builtin_return_address(0)

ssize_t hd_recv_until(int fd, void *buf, size_t n, int flags, uint64_t deadline_ns) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_RECV,
                                            .fd = fd,
                                            .buf = buf,
                                            .n = n,
                                            .flags = flags,
                                            .deadline_ns = deadline_ns,
                                            .site = SITE});
}

ssize_t hd_recv(int fd, void *buf, size_t n, int flags) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_RECV,
                                            .fd = fd,
                                            .buf = buf,
                                            .n = n,
                                            .flags = flags,
                                            .deadline_ns = HD_FOREVER,
                                            .site = SITE});
}

ssize_t hd_send_until(int fd, const void *buf, size_t n, int flags, uint64_t deadline_ns) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_SEND,
                                            .fd = fd,
                                            .buf = (void *)(uintptr_t)buf,
                                            .n = n,
                                            .flags = flags,
                                            .deadline_ns = deadline_ns,
                                            .site = SITE});
}

ssize_t hd_send(int fd, const void *buf, size_t n, int flags) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_SEND,
                                            .fd = fd,
                                            .buf = (void *)(uintptr_t)buf,
                                            .n = n,
                                            .flags = flags,
                                            .deadline_ns = HD_FOREVER,
                                            .site = SITE});
}

ssize_t hd_recvmsg_until(int fd, struct msghdr *msg, int flags, uint64_t deadline_ns) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_RECVMSG,
                                            .fd = fd,
                                            .buf = msg,
                                            .flags = flags,
                                            .deadline_ns = deadline_ns,
                                            .site = SITE});
}

ssize_t hd_recvmsg(int fd, struct msghdr *msg, int flags) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_RECVMSG,
                                            .fd = fd,
                                            .buf = msg,
                                            .flags = flags,
                                            .deadline_ns = HD_FOREVER,
                                            .site = SITE});
}

ssize_t hd_sendmsg_until(int fd, const struct msghdr *msg, int flags, uint64_t deadline_ns) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_SENDMSG,
                                            .fd = fd,
                                            .buf = (void *)(uintptr_t)msg,
                                            .flags = flags,
                                            .deadline_ns = deadline_ns,
                                            .site = SITE});
}

ssize_t hd_sendmsg(int fd, const struct msghdr *msg, int flags) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_SENDMSG,
                                            .fd = fd,
                                            .buf = (void *)(uintptr_t)msg,
                                            .flags = flags,
                                            .deadline_ns = HD_FOREVER,
                                            .site = SITE});
}

int hd_accept_until(int fd, struct sockaddr *addr, socklen_t *len, int flags,
                    uint64_t deadline_ns) {
    return (int)hd__io_make((struct hd__io_call){.kind = HD__IO_ACCEPT,
                                                 .fd = fd,
                                                 .buf = addr,
                                                 .addr_len = len,
                                                 .flags = flags,
                                                 .deadline_ns = deadline_ns,
                                                 .site = SITE});
}

int hd_accept(int fd, struct sockaddr *addr, socklen_t *len, int flags) {
    return (int)hd__io_make((struct hd__io_call){.kind = HD__IO_ACCEPT,
                                                 .fd = fd,
                                                 .buf = addr,
                                                 .addr_len = len,
                                                 .flags = flags,
                                                 .deadline_ns = HD_FOREVER,
                                                 .site = SITE});
}

/* ---- Connecting ---- */

/* Begins it without waiting. A socket in blocking mode has no flag for that by the call: it is
 * changed to non-blocking mode over the call, while nobody else can have a use for it yet. */
static int begin_connect(int fd, const struct sockaddr *addr, socklen_t len) {
    int mode = hd__os_fd_mode(fd);
    if (mode < 0)
        return mode;
    bool blocking = !(mode & HD__FD_NONBLOCKING);
    if (blocking) {
        int err = hd__os_fd_set_nonblocking(fd, true);
        if (err)
            return err;
    }
    int r = hd__os_connect(fd, addr, len);
    /* Cannot fail where the first change did not, but for the fault seam, which fails once. */
    if (blocking && hd__os_fd_set_nonblocking(fd, false) != 0)
        (void)hd__os_fd_set_nonblocking(fd, false);
    return r;
}

static const char what[] = "connect";

/* Waits until a connection that was begun has come to something: 0, or its error. */
static int await_connection(struct hd__worker *w, int fd, uint64_t deadline_ns, const void *site) {
    int err = hd__io_wait_ready(w, fd, POLLOUT, deadline_ns, what, site);
    return err ? err : hd__os_socket_error(fd);
}

/* A second call tells what has come of it, as connect(2) says; before that the kernel does not take
 * a socket for connected, and would let a third one succeed. */
static int connect_by_readiness(struct hd__worker *w, int fd, const struct sockaddr *addr,
                                socklen_t len, uint64_t deadline_ns, const void *site) {
    uint64_t pause_ns = 100 * 1000;
    for (bool begun = false;;) {
        int err = begin_connect(fd, addr, len);
        if (err == -EISCONN && begun)
            return 0;
        if (err == -EINPROGRESS || err == -EALREADY || err == -EINTR) {
            begun = true;
            err = await_connection(w, fd, deadline_ns, site);
        } else if (err == -EAGAIN) {
            /* The queue of a unix socket's listener is full; nothing tells when it has room. */
            err = hd__io_pause(pause_ns, deadline_ns, what, site);
            if (pause_ns < 10 * 1000 * 1000)
                pause_ns *= 2;
        } else {
            return err;
        }
        if (err)
            return err;
        w = w ? hd__worker_get() : NULL;
    }
}

static int do_connect(int fd, const struct sockaddr *addr, socklen_t len, uint64_t deadline_ns,
                      const void *site) {
    struct hd__worker *w = hd__sched_enter();
    HD__IO_COUNT(w, submitted);
    int r, backend = w ? hd__io_backend() : 0;
    if (w) hd__io_is_new_socket(fd);
    if (backend < 0) {
        r = backend;
    } else if (backend == HD_IO_URING && !hd__io_is_past(deadline_ns)) {
        struct hd__uring_op op = {.code = HD__URING_CONNECT, .fd = fd, .addr = addr, .off = len};
        r = (int)hd__io_uring_run(&op, deadline_ns, what, site);
        /* It was begun before; or the queue is full, after the ring has tried for a while. */
        if (r == -EALREADY || r == -EINPROGRESS || r == -EAGAIN)
            r = connect_by_readiness(hd__worker_get(), fd, addr, len, deadline_ns, site);
    } else {
        r = connect_by_readiness(w, fd, addr, len, deadline_ns, site);
    }
    hd__sched_leave();
    hd__sched_hostile_point();
    return r;
}

int hd_connect_until(int fd, const struct sockaddr *addr, socklen_t len, uint64_t deadline_ns) {
    return do_connect(fd, addr, len, deadline_ns, SITE);
}

int hd_connect(int fd, const struct sockaddr *addr, socklen_t len) {
    return do_connect(fd, addr, len, HD_FOREVER, SITE);
}
