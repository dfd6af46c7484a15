/* SPDX-License-Identifier: MIT */
/* The monitor: the kernel thread that enforces time slices; the idea is in monitor.c. */
#ifndef HD__SCHED_MONITOR_H
#define HD__SCHED_MONITOR_H

#include "os/kthread.h"
#include "sched/worker.h"

struct hd__monitor {
    struct hd__os_kthread kthread;
    bool running;
    _Atomic bool can_retake;        /* the kernel has membarrier() */
    HD__ALIGNED(HD__CACHE_LINE) _Atomic uint32_t poked; /* a futex */
    _Atomic bool in_poller;         /* it sleeps there, not on the futex */
    _Atomic bool awake;             /* it looks, or sleeps in the poller */
    _Atomic bool spare_missed;      /* somebody needed a spare carrier, and there was none */
    _Atomic uint64_t wake_ns;       /* when it looks next */
    _Atomic uint64_t signals, wakeups;
    _Atomic uint64_t handed_off, in_syscall, last_thread;
    _Atomic int64_t last_nr;
};

extern struct hd__monitor hd__monitor;

int hd__monitor_start(void);
void hd__monitor_stop(void);

/* Makes it look now. From any kernel thread, handlers of the preempting signal included. */
void hd__monitor_poke(void);

/* While a worker carries on with nobody parked: makes sure that it looks by deadline_ns. */
static inline void hd__monitor_cover(uint64_t deadline_ns) {
    if (deadline_ns < atomic_load_explicit(&hd__monitor.wake_ns, memory_order_seq_cst))
        hd__monitor_poke();
}

/* As cover, but by deadline_ns whatever it is doing now: it may have looked at us already. */
static inline void hd__monitor_cover_now(uint64_t deadline_ns) {
    uint64_t wake_ns = atomic_load_explicit(&hd__monitor.wake_ns, memory_order_seq_cst);
    if (wake_ns == 0 || deadline_ns < wake_ns) hd__monitor_poke();
}

#endif
