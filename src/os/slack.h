/* SPDX-License-Identifier: MIT */
/* Timer slack: how late the kernel may end a timed wait of the calling kernel thread so as to
 * group it with others. The default is 50 us, which would be the floor of every sleep. */
#ifndef HD_SRC_OS_SLACK_H
#define HD_SRC_OS_SLACK_H

#include "base/base.h"

/* Sets the calling kernel thread's slack, in nanoseconds, and returns what it was before; where the
 * kernel refuses, nothing changes. */
uint64_t hd__os_timer_slack(uint64_t slack_ns);

#endif
