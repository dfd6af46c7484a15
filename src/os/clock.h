/* SPDX-License-Identifier: MIT */
/* The monotonic clock. */
#ifndef HD_SRC_OS_CLOCK_H
#define HD_SRC_OS_CLOCK_H

#include "base/base.h"

/* Nanoseconds of CLOCK_MONOTONIC: about 20 ns, no system call where the vDSO has the clock. */
uint64_t hd__os_now_ns(void);

/* Nanoseconds of CPU time that the process, or the calling kernel thread, has used. */
uint64_t hd__os_process_cpu_ns(void);
uint64_t hd__os_thread_cpu_ns(void);

/* Blocks the calling kernel thread until deadline_ns (HD_FOREVER: until a signal). 0 or -EINTR. */
int hd__os_sleep_until(uint64_t deadline_ns);

#endif
