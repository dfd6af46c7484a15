/* SPDX-License-Identifier: MIT */
#include "os/slack.h"

#include <sys/prctl.h>

uint64_t hd__os_timer_slack(uint64_t slack_ns) {
    int before = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    prctl(PR_SET_TIMERSLACK, (unsigned long)slack_ns, 0, 0, 0);
    return before > 0 ? (uint64_t)before : 50000;
}
