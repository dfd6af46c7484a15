/* SPDX-License-Identifier: MIT */
/* Clocks; see clock.h. */
#include "os/clock.h"

#include <limits.h>
#include <time.h>

static uint64_t read_clock(clockid_t id) {
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t hd__os_now_ns(void) {
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t hd__os_process_cpu_ns(void) {
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t hd__os_thread_cpu_ns(void) {
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

int hd__os_sleep_until(uint64_t deadline_ns) {
    /* 2^64 ns are 584 years, so HD_FOREVER needs no case of its own. */
    struct timespec deadline = {
        .tv_sec = (time_t)(deadline_ns / 1000000000u),
        .tv_nsec = (long)(deadline_ns % 1000000000u),
    };
    return -clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL);
}
