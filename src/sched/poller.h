/* SPDX-License-Identifier: MIT */
/* What the I/O layer, above the scheduler, gives it: a way to look for completed operations, and a
 * way to sleep that completed operations end. `start` and `stop` are set before the first runtime
 * starts, the others by `start`; they may be called until `stop`.
 *
 * At most one kernel thread sleeps in the poller at a time, the keeper (idle.c): a parked worker,
 * or the monitor while every worker is busy. */
#ifndef HD__SCHED_POLLER_H
#define HD__SCHED_POLLER_H

#include "base/base.h"

struct hd__worker;

struct hd__poller {
    /* How many operations are in flight: begun, and their threads not made runnable yet. While it
     * is 0 nobody polls or sleeps in the poller. Added to before an operation is begun. */
    HD__ALIGNED(HD__CACHE_LINE) _Atomic uint32_t in_flight;

    /* How many kernel threads the I/O layer has; those that work count in in_flight as well. */
    _Atomic uint32_t kthreads;

    /* Makes all ready for so many workers; kind is HD_IO_*. 0 or -errno. After the last thread has
     * run, `stop` gives everything back; operations of discarded threads are cancelled. */
    int (*start)(int kind, unsigned worker_count);
    void (*stop)(void);

    /* Takes what has completed, of any worker, and makes the threads runnable through
     * hd__wait_claim() and hd__wait_wake(). True if there was any. Never blocks, makes no system
     * call while nothing has completed. Any number of callers at once; `w` is the calling worker,
     * NULL in the monitor. */
    bool (*poll)(struct hd__worker *w);

    /* Hands the operations that threads of w have begun to the kernel. By w's carrier: before w
     * looks for other work in vain, and every HD__POLL_TICK-th dispatch; and with the monitor's
     * help for a worker whose thread runs long. */
    void (*flush)(struct hd__worker *w);

    /* w has nothing to do, with operations in flight, and will look for work next. */
    void (*offer)(struct hd__worker *w);

    /* Sleeps until an operation completes, kick() is called, or the deadline (ns of the monotonic
     * clock, HD_FOREVER) comes. May return early. A kick() that came before it is not lost. */
    void (*sleep)(uint64_t deadline_ns);
    void (*kick)(void); /* from any kernel thread */

    /* When the monitor is to call check(), 0: never. Who sets it calls hd__monitor_cover_now();
     * check() sets it anew, and returns it. */
    _Atomic uint64_t check_ns;
    uint64_t (*check)(uint64_t now_ns);
};

extern struct hd__poller hd__poller;

#endif
