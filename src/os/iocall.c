/* SPDX-License-Identifier: MIT */
/* The system calls of input and output; see iocall.h. */
#include "os/iocall.h"

#include "os/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

/* The body of a wrapper. A call that fails at the seam was not made. */
#define CALL(type, site, call)             \
    do {                                   \
        int saved_ = errno;                \
        if (HD__FAULT(site)) {             \
            return -ENOMEM;                \
        }                                  \
        type result_ = (call);             \
        if (HD__UNLIKELY(result_ < 0)) {   \
            result_ = -(type)errno;        \
            errno = saved_;                \
        }                                  \
        return result_;                    \
    } while (0)

ssize_t hd__os_read(int fd, void *buf, size_t n) {
    CALL(ssize_t, "read", read(fd, buf, n));
}

ssize_t hd__os_write(int fd, const void *buf, size_t n) {
    CALL(ssize_t, "write", write(fd, buf, n));
}

ssize_t hd__os_readv(int fd, const struct iovec *iov, int count) {
    CALL(ssize_t, "readv", readv(fd, iov, count));
}

ssize_t hd__os_writev(int fd, const struct iovec *iov, int count) {
    CALL(ssize_t, "writev", writev(fd, iov, count));
}

ssize_t hd__os_pread(int fd, void *buf, size_t n, off_t offset) {
    CALL(ssize_t, "pread", pread(fd, buf, n, offset));
}

ssize_t hd__os_pwrite(int fd, const void *buf, size_t n, off_t offset) {
    CALL(ssize_t, "pwrite", pwrite(fd, buf, n, offset));
}

/* The C library emulates what the kernel does not know, but not RWF_NOWAIT: it says ENOTSUP. */
ssize_t hd__os_readv_nowait(int fd, const struct iovec *iov, int count, off_t offset) {
    CALL(ssize_t, "preadv2", preadv2(fd, iov, count, offset, RWF_NOWAIT));
}

ssize_t hd__os_writev_nowait(int fd, const struct iovec *iov, int count, off_t offset) {
    CALL(ssize_t, "pwritev2", pwritev2(fd, iov, count, offset, RWF_NOWAIT));
}

ssize_t hd__os_recv(int fd, void *buf, size_t n, int flags) {
    CALL(ssize_t, "recv", recv(fd, buf, n, flags));
}

ssize_t hd__os_send(int fd, const void *buf, size_t n, int flags) {
    CALL(ssize_t, "send", send(fd, buf, n, flags));
}

ssize_t hd__os_recvmsg(int fd, struct msghdr *msg, int flags) {
    CALL(ssize_t, "recvmsg", recvmsg(fd, msg, flags));
}

ssize_t hd__os_sendmsg(int fd, const struct msghdr *msg, int flags) {
    CALL(ssize_t, "sendmsg", sendmsg(fd, msg, flags));
}

int hd__os_accept(int fd, struct sockaddr *addr, socklen_t *len, int flags) {
    CALL(int, "accept", accept4(fd, addr, len, flags));
}

int hd__os_connect(int fd, const struct sockaddr *addr, socklen_t len) {
    CALL(int, "connect", connect(fd, addr, len));
}

static int socket_option(int fd, int option) {
    int value = 0;
    socklen_t len = sizeof value;
    CALL(int, "getsockopt", getsockopt(fd, SOL_SOCKET, option, &value, &len) ? -1 : value);
}

int hd__os_socket_error(int fd) {
    int err = socket_option(fd, SO_ERROR);
    return err < 0 ? err : -err;
}

int hd__os_socket_listens(int fd) {
    int listens = socket_option(fd, SO_ACCEPTCONN);
    return listens == 0 ? -EINVAL : listens < 0 ? listens : 0;
}

bool hd__os_socket_is_stream(int fd) {
    return socket_option(fd, SO_TYPE) == SOCK_STREAM;
}

bool hd__os_socket_is_tcp(int fd) {
    return socket_option(fd, SO_PROTOCOL) == IPPROTO_TCP && hd__os_socket_is_stream(fd);
}

int hd__os_openat(int dir, const char *path, int flags, mode_t mode) {
    CALL(int, "openat", openat(dir, path, flags, mode));
}

int hd__os_fsync(int fd) {
    CALL(int, "fsync", fsync(fd));
}

/* Not at the seam: the descriptor is gone after it, whatever it returns. */
int hd__os_close(int fd) {
    int saved = errno;
    int err = close(fd) != 0 ? -errno : 0;
    errno = saved;
    return err;
}

int hd__os_fd_kind(int fd) {
    struct stat st;
    int saved = errno;
    if (HD__FAULT("fstat")) {
        return -ENOMEM;
    }
    if (fstat(fd, &st) != 0) {
        int err = -errno;
        errno = saved;
        return err;
    }
    return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || S_ISDIR(st.st_mode) ? HD__FD_FILE
                                                                             : HD__FD_OTHER;
}

bool hd__os_close_waits(int fd) {
    struct stat st;
    struct linger linger = {0, 0};
    socklen_t len = sizeof linger;
    int saved = errno;
    bool waits = false;
    if (fstat(fd, &st) != 0) {
        errno = saved;
    } else if (S_ISSOCK(st.st_mode)) {
        if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len) != 0) {
            errno = saved;
        }
        waits = linger.l_onoff && linger.l_linger > 0;
    } else {
        waits = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
    }
    return waits;
}

static int status_flags(int fd) {
    CALL(int, "fcntl", fcntl(fd, F_GETFL));
}

static int set_status_flags(int fd, int flags) {
    CALL(int, "fcntl", fcntl(fd, F_SETFL, flags));
}

int hd__os_fd_mode(int fd) {
    int flags = status_flags(fd);
    if (flags < 0) {
        return flags;
    }
    int access = flags & O_ACCMODE;
    return (flags & O_NONBLOCK ? HD__FD_NONBLOCKING : 0) |
           (access == O_RDONLY || access == O_RDWR ? HD__FD_READS : 0) |
           (access == O_WRONLY || access == O_RDWR ? HD__FD_WRITES : 0);
}

int hd__os_fd_set_nonblocking(int fd, bool on) {
    int flags = status_flags(fd);
    if (flags < 0) {
        return flags;
    }
    return set_status_flags(fd, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

#if defined(__SANITIZE_THREAD__)
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WATCHED 1
#endif
#endif

/* Reading nothing does not wait, at these, and is what the tool takes for reading. */
void hd__os_fd_acquired(int fd) {
#ifdef WATCHED
    struct stat st;
    int saved = errno;
    char nothing;
    if (fstat(fd, &st) == 0 && (S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode))) {
        (void)!read(fd, &nothing, 0);
    }
    errno = saved;
#else
    (void)fd;
#endif
}
