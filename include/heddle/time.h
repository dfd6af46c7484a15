/* SPDX-License-Identifier: MIT */
/* Time: absolute nanoseconds of CLOCK_MONOTONIC, and sleeping. */
#ifndef HEDDLE_TIME_H
#define HEDDLE_TIME_H

#include <heddle/base.h>

HD_BEGIN_DECLS

/* The monotonic clock, in nanoseconds; the scale of all deadlines. Callable from anywhere. */
HD_API uint64_t hd_now_ns(void);

/* Sleeps for `ns` nanoseconds at least. Parks the calling thread, not its worker; a foreign
 * kernel thread sleeps in the kernel. Returns 0, or -EINTR when hd_interrupt() ended the sleep
 * early. hd_sleep_for(0) returns at once. */
HD_API int hd_sleep_for(uint64_t ns);

/* Sleeps until the monotonic clock shows `deadline_ns`; HD_FOREVER sleeps until interrupted.
 * Returns as hd_sleep_for(). */
HD_API int hd_sleep_until(uint64_t deadline_ns);

HD_END_DECLS
#endif
