/* SPDX-License-Identifier: MIT */
/* mbind(), move_pages() and get_mempolicy() by their numbers: the C library has no wrappers, and
 * libnuma would be one more library for three calls. */
#include "os/numa.h"

#include "os/fault.h"
#include "os/mem.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NODES_MAX = 1024, WORD_BITS = 8 * sizeof(unsigned long) };

int hd__os_numa_bind(void *addr, size_t bytes, unsigned number) {
    unsigned long mask[NODES_MAX / WORD_BITS] = { 0 };
    if (HD__FAULT("mbind")) {
        return -EPERM;
    }
    if (number >= NODES_MAX) {
        return -EINVAL;
    }
    mask[number / WORD_BITS] = 1ul << (number % WORD_BITS);
    /* The kernel takes one bit less than it is told of. */
    return syscall(SYS_mbind, addr, bytes, MPOL_PREFERRED, mask, (unsigned long)NODES_MAX + 1, 0)
               ? -errno
               : 0;
}

static void *page_of(const void *addr) {
    return (void *)((uintptr_t)addr & ~(uintptr_t)(hd__os_page_size() - 1));
}

int hd__os_page_state(const void *addr) {
    unsigned char there;
    if (HD__FAULT("mincore")) {
        return -ENOENT;
    }
    if (mincore(page_of(addr), 1, &there) != 0) {
        return errno == ENOMEM ? -EFAULT : -ENOENT;
    }
    return there & 1 ? 0 : -ENOENT;
}

/* What containers that forbid the one often forbid as well; not all do. */
static int ask_policy(const void *addr) {
    int node = -1;
    if (HD__FAULT("get_mempolicy")) {
        return -EPERM;
    }
    /* It would bring a page in that is not there. */
    int err = hd__os_page_state(addr);
    if (err != 0) {
        return err;
    }
    return syscall(SYS_get_mempolicy, &node, NULL, 0ul, addr, MPOL_F_NODE | MPOL_F_ADDR) ? -errno
                                                                                         : node;
}

int hd__os_numa_node_of(const void *addr) {
    int status = -ENOENT;
    void *page = page_of(addr);
    if (HD__FAULT("move_pages") ||
        syscall(SYS_move_pages, 0, 1ul, &page, NULL, &status, 0) != 0) {
        return ask_policy(addr);
    }
    if (status == -EFAULT) {
        /* It says so, too, of a page that was only read: that one is everybody's zero. */
        int state = hd__os_page_state(addr);
        return state == -EFAULT ? -EFAULT : -ENOENT;
    }
    return status;
}
