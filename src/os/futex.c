/* SPDX-License-Identifier: MIT */
/* Futexes; see futex.h. */
#include "os/futex.h"

#include "os/fault.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int hd__os_futex_wait(_Atomic uint32_t *word, uint32_t expect, uint64_t deadline_ns) {
    struct timespec deadline, *until = NULL;
    if (deadline_ns != HD_FOREVER) {
        deadline.tv_sec = (time_t)(deadline_ns / 1000000000u);
        deadline.tv_nsec = (long)(deadline_ns % 1000000000u);
        until = &deadline;
    }
    if (HD__FAULT("futex-wait")) {
        return -EINTR;
    }
    /* The bitset form takes an absolute time on the monotonic clock; plain FUTEX_WAIT takes a
     * relative one, which would drift when a wait is repeated. */
    long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expect, until, NULL,
                     FUTEX_BITSET_MATCH_ANY);
    return r == 0 ? 0 : -errno;
}

int hd__os_futex_wake(_Atomic uint32_t *word, unsigned n) {
    int count = n > (unsigned)INT_MAX ? INT_MAX : (int)n;
    long r = syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
    return r < 0 ? 0 : (int)r;
}
