/* SPDX-License-Identifier: MIT */
/* Counters of the runtime. */
#ifndef HEDDLE_METRICS_H
#define HEDDLE_METRICS_H

#include <heddle/base.h>

HD_BEGIN_DECLS

/* Since the start of the runtime, unless said otherwise. Later versions add members at the end. */
struct hd_metrics {
    size_t size; /* sizeof(struct hd_metrics): HD_METRICS_INIT fills it */
    /* Preemption. */
    uint64_t preempted_carrier;   /* threads preempted with their kernel thread */
    uint64_t preempted_light;     /* threads preempted by a context switch */
    uint64_t preempted_enable;    /* preemptions that were due in hd_preempt_enable() */
    uint64_t preempt_deferred;    /* tries that had to wait: preemption disabled, inside heddle */
    uint64_t preempt_no_carrier;  /* tries that had to wait because no spare carrier was left */
    uint64_t preempt_signals;     /* signals sent */
    uint64_t preempt_lost_ns;     /* from the signal's handler until the next thread ran on its
                                   * carrier, all together */
    /* Carriers: the kernel threads that run workers. */
    uint64_t carriers;            /* now, those of the workers included */
    uint64_t carriers_spare;      /* now, those without work */
    uint64_t carriers_most;       /* the most at one time */
    uint64_t carriers_limit;      /* their bound */
    /* Blocking. */
    uint64_t blocking_calls;      /* hd_blocking() */
    uint64_t blocking_handed_off; /* of those, the ones that lost their worker meanwhile */
    uint64_t blocked_in_syscall;  /* threads that lost their worker in a plain system call */
    int64_t blocked_last_nr;      /* number of the last such system call; -1: none, not known */
    uint64_t blocked_last_thread; /* id of the thread that made it */
    /* The monitor: the kernel thread that enforces time slices. */
    uint64_t monitor_wakeups;     /* how often it looked */
    /* I/O. */
    uint64_t io_submitted;        /* operations begun, by whatever way */
    uint64_t io_cancelled;        /* of those, cancelled by interruption or deadline */
    uint64_t io_helped;           /* of those, done by helper threads */
    const char *io_kind;          /* "io_uring" or "epoll" */
    uint64_t io_watches;          /* how often the kernel was told to watch a descriptor */
    uint64_t io_reused;           /* waits that began late, since the number was another file's
                                   * before, which was not closed with hd_close() */
    /* Stacks, now: each that was ever used is in use, cached, idle or clean. */
    uint64_t stacks_mapped;       /* address space is there for so many */
    uint64_t stacks_used;         /* threads stand on them */
    uint64_t stacks_cached;       /* at hand of a worker */
    uint64_t stacks_idle;         /* idle, with what memory they have */
    uint64_t stacks_clean;        /* idle, and their memory was given back */
    uint64_t stacks_unguarded;    /* of all, those for which there was no guard */
    uint64_t stack_bytes_mapped;  /* address space of all */
    uint64_t stack_bytes_idle;    /* address space of the idle ones: at most so much memory */
    uint64_t stack_bytes_trimmed; /* memory given back since the start */
    uint64_t stacks_explicit;     /* of huge pages that were set aside */
    uint64_t stacks_transparent;  /* of transparent huge pages */
    uint64_t stacks_missed;       /* were to have huge pages, and have ordinary ones */
    /* Workers. */
    uint64_t workers;             /* now, those that run threads: hd_worker_count() */
    uint64_t workers_most;        /* how many there can be, should the process get more CPUs */
};

#define HD_METRICS_INIT {                                                                         \
    sizeof(struct hd_metrics), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,     \
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0                                                \
}

/* Fills in the counters; each is exact by itself, all together are not one moment. 0, -EINVAL (no
 * runtime runs, or out->size is 0). From anywhere but signal handlers; does not block. */
HD_API int hd_metrics_get(struct hd_metrics *out);

HD_END_DECLS
#endif
