/* SPDX-License-Identifier: MIT */
/* Waiting in the kernel on a word of memory of this process. */
#ifndef HD_SRC_OS_FUTEX_H
#define HD_SRC_OS_FUTEX_H

#include "base/base.h"

#include <stdatomic.h>

/* Waits until woken, if *word still is `expect`. deadline_ns is absolute on CLOCK_MONOTONIC;
 * HD_FOREVER waits without one. 0: woken (or for no reason: look at the word again); -EAGAIN: the
 * word was different; -EINTR: a signal handler ran; -ETIMEDOUT. */
int hd__os_futex_wait(_Atomic uint32_t *word, uint32_t expect, uint64_t deadline_ns);

/* Wakes at most n waiters and returns how many. The memory of `word` may be gone already: only its
 * address is used. */
int hd__os_futex_wake(_Atomic uint32_t *word, unsigned n);

#endif
