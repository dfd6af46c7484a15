/* SPDX-License-Identifier: MIT */
/* Input and output that parks the calling thread, not its worker.
 *
 * Each call does what the system call of its name does, and returns what that returns, but errors
 * as -errno; errno itself is not touched. Descriptors may be in blocking or non-blocking mode: the
 * calls wait in both. A call waits until it can do something, as the system call would: read()
 * returns what there is, write() may write less than asked for.
 *
 * The forms that end in _until give up at deadline_ns (CLOCK_MONOTONIC; see hd_now_ns()) with
 * -ETIMEDOUT. hd_interrupt() ends any of them with -EINTR. In both cases the kernel's operation has
 * been cancelled, or has ended without effect, when the call returns: the buffer and the descriptor
 * are the caller's again. An operation that had an effect before the cancellation came reports its
 * result instead, and the interruption stays pending. With a deadline that is past, such as 0, they
 * do what can be done without waiting, of files what is in memory, and begin nothing else.
 *
 * hd_close() ends the waits of other threads at the descriptor: they return -EBADF; hd_io(3) has
 * who is not told. Where it cannot be excluded that a thread is about to call, interrupt it first,
 * or shutdown() the socket. Close with hd_close() what these calls were used on, not with close():
 * the runtime would not learn that the number is free. If another file gets it, a thread that waits
 * for that may be told up to a tenth of a second late.
 *
 * On foreign kernel threads the calls block the kernel thread; deadlines hold, and nothing
 * interrupts them. None may be called from signal handlers. */
#ifndef HEDDLE_IO_H
#define HEDDLE_IO_H

#include <heddle/base.h>

/* The system's headers are not included, so that a program may have a function named send() of its
 * own. What the calls take is what those headers call socklen_t (unsigned int), nfds_t (unsigned
 * long) and: */
struct addrinfo; /* <netdb.h> */
struct iovec;    /* <sys/uio.h> */
struct msghdr;   /* <sys/socket.h> */
struct pollfd;   /* <poll.h> */
struct sockaddr; /* <sys/socket.h> */

HD_BEGIN_DECLS

/* hd_config.io: how I/O is done. */
enum {
    HD_IO_AUTO = 0,  /* io_uring where the kernel grants it, else epoll */
    HD_IO_URING = 1, /* io_uring; hd_run() fails with -ENOSYS or -EPERM without it */
    HD_IO_EPOLL = 2, /* epoll, and helper threads for what it cannot do */
};

/* As read(): up to n bytes into buf, at the file's position. 0 at the end. */
HD_API ssize_t hd_read(int fd, void *buf, size_t n);
/* As hd_read(), giving up at deadline_ns. */
HD_API ssize_t hd_read_until(int fd, void *buf, size_t n, uint64_t deadline_ns);
/* As write(): up to n bytes from buf, at the file's position. */
HD_API ssize_t hd_write(int fd, const void *buf, size_t n);
/* As hd_write(), giving up at deadline_ns. */
HD_API ssize_t hd_write_until(int fd, const void *buf, size_t n, uint64_t deadline_ns);
/* As readv(), into `count` pieces, at most IOV_MAX. */
HD_API ssize_t hd_readv(int fd, const struct iovec *iov, int count);
/* As hd_readv(), giving up at deadline_ns. */
HD_API ssize_t hd_readv_until(int fd, const struct iovec *iov, int count, uint64_t deadline_ns);
/* As writev(), from `count` pieces, at most IOV_MAX. */
HD_API ssize_t hd_writev(int fd, const struct iovec *iov, int count);
/* As hd_writev(), giving up at deadline_ns. */
HD_API ssize_t hd_writev_until(int fd, const struct iovec *iov, int count, uint64_t deadline_ns);
/* As pread(): at `offset` in the file, whose position stays as it is. */
HD_API ssize_t hd_pread(int fd, void *buf, size_t n, off_t offset);
/* As hd_pread(), giving up at deadline_ns. */
HD_API ssize_t hd_pread_until(int fd, void *buf, size_t n, off_t offset, uint64_t deadline_ns);
/* As pwrite(): at `offset` in the file, whose position stays as it is. */
HD_API ssize_t hd_pwrite(int fd, const void *buf, size_t n, off_t offset);
/* As hd_pwrite(), giving up at deadline_ns. */
HD_API ssize_t hd_pwrite_until(int fd, const void *buf, size_t n, off_t offset,
                               uint64_t deadline_ns);

/* As recv(); flags are MSG_*. MSG_DONTWAIT makes it return -EAGAIN instead of waiting. */
HD_API ssize_t hd_recv(int fd, void *buf, size_t n, int flags);
/* As hd_recv(), giving up at deadline_ns. */
HD_API ssize_t hd_recv_until(int fd, void *buf, size_t n, int flags, uint64_t deadline_ns);
/* As send(); flags are MSG_*. Without MSG_NOSIGNAL a closed peer raises SIGPIPE. */
HD_API ssize_t hd_send(int fd, const void *buf, size_t n, int flags);
/* As hd_send(), giving up at deadline_ns. */
HD_API ssize_t hd_send_until(int fd, const void *buf, size_t n, int flags, uint64_t deadline_ns);
/* As recvmsg(). */
HD_API ssize_t hd_recvmsg(int fd, struct msghdr *msg, int flags);
/* As hd_recvmsg(), giving up at deadline_ns. */
HD_API ssize_t hd_recvmsg_until(int fd, struct msghdr *msg, int flags, uint64_t deadline_ns);
/* As sendmsg(). */
HD_API ssize_t hd_sendmsg(int fd, const struct msghdr *msg, int flags);
/* As hd_sendmsg(), giving up at deadline_ns. */
HD_API ssize_t hd_sendmsg_until(int fd, const struct msghdr *msg, int flags,
                                uint64_t deadline_ns);

/* The new descriptor, or -errno. As accept4(): flags are SOCK_NONBLOCK and SOCK_CLOEXEC. */
HD_API int hd_accept(int fd, struct sockaddr *addr, unsigned *len, int flags);
/* As hd_accept(), giving up at deadline_ns. */
HD_API int hd_accept_until(int fd, struct sockaddr *addr, unsigned *len, int flags,
                           uint64_t deadline_ns);
/* 0 once connected. After -ETIMEDOUT and -EINTR close the socket, as after connect(). */
HD_API int hd_connect(int fd, const struct sockaddr *addr, unsigned len);
/* As hd_connect(), giving up at deadline_ns. */
HD_API int hd_connect_until(int fd, const struct sockaddr *addr, unsigned len,
                            uint64_t deadline_ns);

/* As poll(), but the deadline is absolute: HD_FOREVER waits, 0 only looks. How many descriptors are
 * ready; 0 at the deadline. */
HD_API int hd_poll(struct pollfd *fds, unsigned long count, uint64_t deadline_ns);

/* As openat(): the new descriptor or -errno. Regular files may take a disk's time, which this and
 * the other calls park for as well. */
HD_API int hd_openat(int dir, const char *path, int flags, mode_t mode);
/* As hd_openat(), giving up at deadline_ns. */
HD_API int hd_openat_until(int dir, const char *path, int flags, mode_t mode,
                           uint64_t deadline_ns);
/* As fsync(). */
HD_API int hd_fsync(int fd);
/* As hd_fsync(), giving up at deadline_ns. */
HD_API int hd_fsync_until(int fd, uint64_t deadline_ns);
/* As close(). Not interrupted and without deadline: the descriptor is closed when it returns,
 * whatever it returns. Other threads that wait at it return -EBADF. */
HD_API int hd_close(int fd);

/* As waitpid(). With WNOHANG in options it does not wait. */
HD_API pid_t hd_waitpid(pid_t pid, int *status, int options);
/* As hd_waitpid(), giving up at deadline_ns. */
HD_API pid_t hd_waitpid_until(pid_t pid, int *status, int options, uint64_t deadline_ns);

/* As getaddrinfo(), on a helper thread: 0 or an EAI_* code. EAI_SYSTEM stands for -ETIMEDOUT and
 * -EINTR, which *err (if err is not NULL) tells apart; the helper then goes on by itself and its
 * result is dropped. Free the list with freeaddrinfo(). */
HD_API int hd_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                          struct addrinfo **list, int *err);
/* As hd_getaddrinfo(), giving up at deadline_ns. */
HD_API int hd_getaddrinfo_until(const char *node, const char *service,
                                const struct addrinfo *hints, struct addrinfo **list, int *err,
                                uint64_t deadline_ns);

HD_END_DECLS
#endif
