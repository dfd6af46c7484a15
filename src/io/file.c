/* SPDX-License-Identifier: MIT */
/* Files; io.h has the ways that a call takes. */
#include <heddle/io.h>

#include "io/io.h"

#define SITE __builtin_return_address(0)

int hd_openat_until(int dir, const char *path, int flags, mode_t mode, uint64_t deadline_ns) {
    return (int)hd__io_make((struct hd__io_call){.kind = HD__IO_OPENAT,
                                                 .fd = dir,
                                                 .buf = (void *)(uintptr_t)path,
                                                 .flags = flags,
                                                 .count = (int)mode,
                                                 .deadline_ns = deadline_ns,
                                                 .site = SITE});
}

int hd_openat(int dir, const char *path, int flags, mode_t mode) {
    return (int)hd__io_make((struct hd__io_call){.kind = HD__IO_OPENAT,
                                                 .fd = dir,
                                                 .buf = (void *)(uintptr_t)path,
                                                 .flags = flags,
                                                 .count = (int)mode,
                                                 .deadline_ns = HD_FOREVER,
                                                 .site = SITE});
}

int hd_fsync_until(int fd, uint64_t deadline_ns) {
    return (int)hd__io_make((struct hd__io_call){
        .kind = HD__IO_FSYNC, .fd = fd, .deadline_ns = deadline_ns, .site = SITE});
}

int hd_fsync(int fd) {
    return (int)hd__io_make((struct hd__io_call){
        .kind = HD__IO_FSYNC, .fd = fd, .deadline_ns = HD_FOREVER, .site = SITE});
}

int hd_close(int fd) {
    return (int)hd__io_make((struct hd__io_call){
        .kind = HD__IO_CLOSE, .fd = fd, .deadline_ns = HD_FOREVER, .site = SITE});
}
