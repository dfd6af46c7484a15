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

/* hd_config.prefetch */
enum { HD_PREFETCH_DEFAULT = 0, HD_PREFETCH_ON = 1, HD_PREFETCH_OFF = 2 };

/* How the runtime is set up. Fill it through HD_CONFIG(); zero means the default. */
struct hd_config {
    size_t size;         /* sizeof(struct hd_config): HD_CONFIG() fills it */
    unsigned workers;    /* workers, at most 1024; 0: one per CPU that the process may use, or as
                          * many as the quota of its control group is worth, see
                          * hd_worker_count() */
    uint64_t slice_us;   /* time slice in microseconds, 100 to 1,000,000; HD_SLICE_NONE: none;
                          * 0: the policy's, 10,000 as a rule */
    const char *policy;  /* scheduling policy: "steal", "rr", "priority", or one of the program's,
                          * see hd_policy_register(); NULL: "steal" */
    size_t stack_size;   /* default stack of a thread, bytes; 0: 65,536 */
    unsigned spin_us;    /* an idle worker spins so long before it parks; 0: 20; HD_SPIN_NONE */
    int deadlock;        /* HD_DEADLOCK_* */
    int bind_workers;    /* 1: each worker stays on its own CPU; 0: the kernel places them */
    int preempt;         /* HD_PREEMPT_* of threads that leave it open; 0: HD_PREEMPT_CARRIER */
    int preempt_signal;  /* the signal that preempts; 0: SIGURG */
    unsigned carriers_max; /* kernel threads that run workers, at most 30,000; 0: 4,096 more than
                            * workers */
    int io;              /* HD_IO_* */
    uint64_t ageing_us;  /* policy "priority": a thread that waits gains a level on those that come
                          * later in so many microseconds, at most 1,000,000,000; 0: strict */
    unsigned steal_batch; /* policy "steal": threads that a theft takes at most, 1 to 64; 0: 32 */
    unsigned queue_size; /* policy "steal": threads that a worker's queue holds, 16 to 1,024; beyond
                          * that half of them go to the queue of all workers; 0: 1,024 */
    uint64_t stack_idle_max; /* so much may lie idle in stacks that keep their memory, bytes of
                          * address space; what more becomes idle is given back to the kernel at
                          * once; 0: without limit. Beside it each worker keeps 4 MiB at most */
    int prefetch;        /* HD_PREFETCH_*: whether the stacks of threads next in line are brought
                          * into the cache; 0: HD_PREFETCH_ON */
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
 * discarded: their stacks go, their thread-local destructors do not run, and the objects that they
 * waited on or held must not be used any more, but for being initialised anew.
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

/* The configuration of the runtime that runs, with the environment and the defaults filled in, and
 * the time slice as it is now. out->size must be set (HD_CONFIG() does). 0, or -EINVAL (no runtime
 * runs, no size). Does not block. From any kernel thread. */
HD_API int hd_config_get(struct hd_config *out);

/* Whether hd_run() would accept cfg (NULL: the defaults) in the present environment: 0 or its
 * error, with one line in why[], cut at `size` bytes, that names the member or variable and says
 * what it may be; empty if all is well. Does not block. From any kernel thread. */
HD_API int hd_config_check(const struct hd_config *cfg, char *why, size_t size);

/* How many workers run threads at present; 0 when no runtime runs. If hd_config.workers and the
 * environment left their number open, it follows the CPUs that the process may use and the quota
 * of its control group, up to the number of CPUs that were online at the start. */
HD_API unsigned hd_worker_count(void);

/* Gives memory that nothing needs at present back to the kernel: that of idle stacks, but for the
 * up to 4 MiB in stacks that each other worker keeps at hand; of the descriptors of ended threads;
 * of timers that have run out; of the pools of hd_alloc(), also when no runtime runs, but not of
 * other pools (hd_pool_trim()). Returns how many bytes that was. What is needed again is had
 * again, at the cost of a page fault a page. Takes a time in proportion, during which others run
 * on; does not park the caller. From threads and foreign kernel threads. */
HD_API size_t hd_trim(void);

/* How stacks are guarded in this process: "madv-guard" (no mapping each), "mprotect", or "none"
 * when neither could be had. NULL when no runtime runs. */
HD_API const char *hd_stack_guard_kind(void);

HD_END_DECLS
#endif
