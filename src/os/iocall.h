/* SPDX-License-Identifier: MIT */
/* The system calls of input and output. Each does what the call of its name does, and returns its
 * result or -errno; errno stays as it was. */
#ifndef HD_SRC_OS_IOCALL_H
#define HD_SRC_OS_IOCALL_H

#include "base/base.h"

#include <sys/socket.h>
#include <sys/uio.h>

ssize_t hd__os_read(int fd, void *buf, size_t n);
ssize_t hd__os_write(int fd, const void *buf, size_t n);
ssize_t hd__os_readv(int fd, const struct iovec *iov, int count);
ssize_t hd__os_writev(int fd, const struct iovec *iov, int count);
ssize_t hd__os_pread(int fd, void *buf, size_t n, off_t offset);
ssize_t hd__os_pwrite(int fd, const void *buf, size_t n, off_t offset);
/* Without waiting, at `offset` or at -1, the file position: -EAGAIN if it would have to wait; less
 * than asked for if the rest would; -EOPNOTSUPP if the kernel does not know how for this file. */
ssize_t hd__os_readv_nowait(int fd, const struct iovec *iov, int count, off_t offset);
ssize_t hd__os_writev_nowait(int fd, const struct iovec *iov, int count, off_t offset);

ssize_t hd__os_recv(int fd, void *buf, size_t n, int flags);
ssize_t hd__os_send(int fd, const void *buf, size_t n, int flags);
ssize_t hd__os_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t hd__os_sendmsg(int fd, const struct msghdr *msg, int flags);
int hd__os_accept(int fd, struct sockaddr *addr, socklen_t *len, int flags);
int hd__os_connect(int fd, const struct sockaddr *addr, socklen_t len);
/* The error that a socket keeps, as -errno, taken off it. */
int hd__os_socket_error(int fd);
/* 0, or what accept() says of a descriptor that does not listen. */
int hd__os_socket_listens(int fd);
/* Whether it is a socket that passes a stream of bytes. */
bool hd__os_socket_is_stream(int fd);
bool hd__os_socket_is_tcp(int fd);

int hd__os_openat(int dir, const char *path, int flags, mode_t mode);
int hd__os_fsync(int fd);
int hd__os_close(int fd);

/* What a descriptor is. */
enum hd__fd_kind {
    HD__FD_FILE, /* a regular file, directory or block device: always ready, but may take time */
    HD__FD_OTHER,
};
/* Or -EBADF. */
int hd__os_fd_kind(int fd);
/* Whether close() may take time: it writes back, or waits for a peer (SO_LINGER). */
bool hd__os_close_waits(int fd);
/* How it was opened; or -EBADF. */
enum { HD__FD_NONBLOCKING = 1, HD__FD_READS = 2, HD__FD_WRITES = 4 };
int hd__os_fd_mode(int fd);
int hd__os_fd_set_nonblocking(int fd, bool on);

/* Tells ThreadSanitizer that the caller has read from fd what others wrote to it, where the kernel
 * did it out of the tool's sight. Nothing in other builds. */
void hd__os_fd_acquired(int fd);

#endif
