/* SPDX-License-Identifier: MIT */
/* io_uring: rings that take operations and give their results back. Through liburing; in builds
 * without it (no HD_HAVE_URING) no ring can be created.
 *
 * A ring has two sides that know nothing of each other. The callers see to it that each side is
 * used by one kernel thread at a time: push and submit on the one, reap on the other. */
#ifndef HD_SRC_OS_URING_H
#define HD_SRC_OS_URING_H

#include "base/base.h"

enum hd__uring_opcode {
    HD__URING_READ,
    HD__URING_WRITE,
    HD__URING_READV,
    HD__URING_WRITEV,
    HD__URING_RECV,
    HD__URING_RECVMSG,
    HD__URING_ACCEPT,
    HD__URING_CONNECT,
    HD__URING_OPENAT,
    HD__URING_FSYNC,
    HD__URING_CLOSE,
    HD__URING_CANCEL, /* addr: the tag of the operation to be cancelled */
};

/* An operation. What off, addr, len and flags mean is up to the kernel: see io_uring_enter(2). */
struct hd__uring_op {
    enum hd__uring_opcode code;
    int fd;
    uint64_t off;
    const void *addr;
    uint32_t len;
    uint32_t flags;
    bool async; /* it is known to block: to a kernel thread of its own, at once */
};

struct hd__uring_result {
    uint64_t tag;
    int32_t result; /* as of the system call, or -errno */
};

struct hd__os_uring;

/* Makes a ring that holds `entries` operations between two submissions. 0, -ENOSYS (the kernel, or
 * this build, has no io_uring or not all of what we use), -EPERM, -ENOMEM, -EMFILE, ... */
int hd__os_uring_create(struct hd__os_uring **out, unsigned entries);
/* Operations still in flight are cancelled, but some only after this returns. NULL is harmless. */
void hd__os_uring_destroy(struct hd__os_uring *u);

/* A descriptor that poll() finds readable while there is something to reap. */
int hd__os_uring_fd(const struct hd__os_uring *u);

/* Puts an operation down for the next submission. What it points to must stay until its result is
 * reaped. False: there is no room. */
bool hd__os_uring_push(struct hd__os_uring *u, const struct hd__uring_op *op, uint64_t tag);
/* How many operations are down for the next submission. */
unsigned hd__os_uring_pushed(const struct hd__os_uring *u);
/* Hands them to the kernel. 0: all; or -errno (out of memory, too many results not reaped), and
 * some are still down. */
int hd__os_uring_submit(struct hd__os_uring *u);

/* Whether there is something to reap; from anywhere, no system call. */
bool hd__os_uring_ready(const struct hd__os_uring *u);
/* Takes up to `max` results out. A system call only if there were more than the ring can hold. */
unsigned hd__os_uring_reap(struct hd__os_uring *u, struct hd__uring_result *out, unsigned max);

#endif
