/* SPDX-License-Identifier: MIT */
/* The runtime: workers that run threads. One runtime a process at a time. */
#ifndef HEDDLE_RUNTIME_H
#define HEDDLE_RUNTIME_H

#include <heddle/base.h>

HD_BEGIN_DECLS

/* What to do when nothing can run any more and nothing can change that (hd_config.deadlock). */
enum {
    HD_DEADLOCK_ABORT = 0,  /* report every thread and where it waits, then abort() */
    HD_DEADLOCK_REPORT = 1, /* report once, go on waiting */
    HD_DEADLOCK_IGNORE = 2, /* say nothing */
};

/* How the runtime is set up. Fill it through HD_CONFIG(); zero means the default. */
struct hd_config {
    size_t size;         /* sizeof(struct hd_config): HD_CONFIG() fills it */
    unsigned workers;    /* workers; 0: one per CPU that the process may use; at most 1024 */
    uint64_t slice_us;   /* time slice in microseconds, 100 to 1,000,000; 0: 10,000;
                          * HD_SLICE_NONE: none */
    const char *policy;  /* scheduling policy; NULL: "steal" */
    size_t stack_size;   /* default stack of a thread, bytes; 0: 65,536 */
    unsigned spin_us;    /* an idle worker spins so long before it parks; 0: 20; HD_SPIN_NONE */
    int deadlock;        /* HD_DEADLOCK_* */
    int bind_workers;    /* 1: each worker stays on its own CPU; 0: the kernel places them */
    int preempt;         /* HD_PREEMPT_* of threads that leave it open; 0: HD_PREEMPT_CARRIER */
    int preempt_signal;  /* the signal that preempts; 0: SIGURG */
    unsigned carriers_max; /* kernel threads that run workers, at most; 0: 256 more than workers */
    int io;              /* HD_IO_* */
};

/* hd_config.spin_us: an idle worker parks at once. */
#define HD_SPIN_NONE UINT32_MAX

#ifdef __cplusplus
#define HD_CONFIG_SIZE (sizeof(struct hd_config))
#else
/* A pointer to a configuration with the named members set: HD_CONFIG(.workers = 2). */
#define HD_CONFIG(...) (&(struct hd_config){.size = sizeof(struct hd_config), __VA_ARGS__})
#endif

/* Starts the runtime, runs fn(arg) as its first thread ("main"), waits for that thread and for
 * every joinable thread to end, stops the runtime and returns fn's result. The calling kernel
 * thread serves as the first worker's carrier meanwhile.
 *
 * cfg may be NULL. Detached threads that still wait when the last joinable one ends are
 * discarded: their stacks go, their thread-local destructors do not run.
 *
 * Errors, returned instead of fn's result before fn has run: -EINVAL (a member of cfg is out of
 * range), -EBUSY (a runtime runs already in this process), -ENOMEM, -EAGAIN (no kernel thread
 * could be had). Blocks. Not from a heddle thread, not from a signal handler. */
HD_API int hd_run(const struct hd_config *cfg, int (*fn)(void *arg), void *arg);

/* Starts the runtime beside the host program; the calling kernel thread goes on and is foreign
 * to it. 0 or the errors of hd_run(). Not from a signal handler. */
HD_API int hd_start(const struct hd_config *cfg);

/* Waits for every joinable thread to end, then stops the runtime that hd_start() began and gives
 * its memory back: handles that nobody joins yet are then invalid. As long as joinable threads
 * live, others may still be spawned, and are waited for; then hd_spawn() returns -EAGAIN.
 * Errors: -EINVAL (none runs, or it was begun by hd_run()), -EDEADLK (called from a heddle
 * thread). Blocks. */
HD_API int hd_stop(void);

/* How many workers the runtime has; 0 when none runs. */
HD_API unsigned hd_worker_count(void);

/* How stacks are guarded in this process: "madv-guard" (no mapping each), "mprotect", or "none"
 * when neither could be had. NULL when no runtime runs. */
HD_API const char *hd_stack_guard_kind(void);

HD_END_DECLS
#endif
