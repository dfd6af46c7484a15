/* SPDX-License-Identifier: MIT */
/* Reading and writing; io.h has the ways that a call takes. */
#include <heddle/io.h>

#include "io/io.h"

#define SITE __builtin_return_address(0)

ssize_t hd_read_until(int fd, void *buf, size_t n, uint64_t deadline_ns) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_READ,
                                            .fd = fd,
                                            .buf = buf,
                                            .n = n,
                                            .deadline_ns = deadline_ns,
                                            .site = SITE});
}

ssize_t hd_read(int fd, void *buf, size_t n) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_READ,
                                            .fd = fd,
                                            .buf = buf,
                                            .n = n,
                                            .deadline_ns = HD_FOREVER,
                                            .site = SITE});
}

ssize_t hd_write_until(int fd, const void *buf, size_t n, uint64_t deadline_ns) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_WRITE,
                                            .fd = fd,
                                            .buf = (void *)(uintptr_t)buf,
                                            .n = n,
                                            .deadline_ns = deadline_ns,
                                            .site = SITE});
}

ssize_t hd_write(int fd, const void *buf, size_t n) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_WRITE,
                                            .fd = fd,
                                            .buf = (void *)(uintptr_t)buf,
                                            .n = n,
                                            .deadline_ns = HD_FOREVER,
                                            .site = SITE});
}

ssize_t hd_readv_until(int fd, const struct iovec *iov, int count, uint64_t deadline_ns) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_READV,
                                            .fd = fd,
                                            .buf = (void *)(uintptr_t)iov,
                                            .count = count,
                                            .deadline_ns = deadline_ns,
                                            .site = SITE});
}

ssize_t hd_readv(int fd, const struct iovec *iov, int count) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_READV,
                                            .fd = fd,
                                            .buf = (void *)(uintptr_t)iov,
                                            .count = count,
                                            .deadline_ns = HD_FOREVER,
                                            .site = SITE});
}

ssize_t hd_writev_until(int fd, const struct iovec *iov, int count, uint64_t deadline_ns) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_WRITEV,
                                            .fd = fd,
                                            .buf = (void *)(uintptr_t)iov,
                                            .count = count,
                                            .deadline_ns = deadline_ns,
                                            .site = SITE});
}

ssize_t hd_writev(int fd, const struct iovec *iov, int count) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_WRITEV,
                                            .fd = fd,
                                            .buf = (void *)(uintptr_t)iov,
                                            .count = count,
                                            .deadline_ns = HD_FOREVER,
                                            .site = SITE});
}

ssize_t hd_pread_until(int fd, void *buf, size_t n, off_t offset, uint64_t deadline_ns) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_PREAD,
                                            .fd = fd,
                                            .buf = buf,
                                            .n = n,
                                            .offset = offset,
                                            .deadline_ns = deadline_ns,
                                            .site = SITE});
}

ssize_t hd_pread(int fd, void *buf, size_t n, off_t offset) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_PREAD,
                                            .fd = fd,
                                            .buf = buf,
                                            .n = n,
                                            .offset = offset,
                                            .deadline_ns = HD_FOREVER,
                                            .site = SITE});
}

ssize_t hd_pwrite_until(int fd, const void *buf, size_t n, off_t offset, uint64_t deadline_ns) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_PWRITE,
                                            .fd = fd,
                                            .buf = (void *)(uintptr_t)buf,
                                            .n = n,
                                            .offset = offset,
                                            .deadline_ns = deadline_ns,
                                            .site = SITE});
}

ssize_t hd_pwrite(int fd, const void *buf, size_t n, off_t offset) {
    return hd__io_make((struct hd__io_call){.kind = HD__IO_PWRITE,
                                            .fd = fd,
                                            .buf = (void *)(uintptr_t)buf,
                                            .n = n,
                                            .offset = offset,
                                            .deadline_ns = HD_FOREVER,
                                            .site = SITE});
}
