/* SPDX-License-Identifier: MIT */
#include <heddle/time.h>

#include <errno.h>

#include "mem/ref.h"
#include "os/clock.h"
#include "sched/wait.h"

uint64_t hd_now_ns(void) {
    return hd__os_now_ns();
}

static int sleep_until(uint64_t deadline_ns, const void *site) {
    struct hd__wait w;
    hd__ref_safe_point();
    hd__sched_enter();
    hd__wait_init(&w, "a sleep to end", NULL, site);
    int err = hd__wait_park(&w, NULL, deadline_ns, 0);
    hd__sched_leave();
    return err == -ETIMEDOUT ? 0 : err;
}

int hd_sleep_until(uint64_t deadline_ns) {
    return sleep_until(deadline_ns, __builtin_return_address(0));
}

int hd_sleep_for(uint64_t ns) {
    if (ns == 0) return 0;
    uint64_t now = hd__os_now_ns();
    return sleep_until(ns < HD_FOREVER - now ? now + ns : HD_FOREVER, __builtin_return_address(0));
}
