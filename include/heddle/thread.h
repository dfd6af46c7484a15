/* SPDX-License-Identifier: MIT */
/* Threads: spawn, join, detach, yield, interrupt, names, stacks. */
#ifndef HEDDLE_THREAD_H
#define HEDDLE_THREAD_H

#include <heddle/base.h>

/* The longest thread name that is kept, without its terminating zero; longer ones are cut. */
#define HD_NAME_MAX 63

/* The CPUs that hd_cpuset can hold: 0 to HD_CPU_MAX - 1. */
#define HD_CPU_MAX 1024

HD_BEGIN_DECLS

/* A set of CPUs, by the kernel's numbers. All zero is the empty set. */
typedef struct hd_cpuset {
    uint64_t bits[HD_CPU_MAX / 64];
} hd_cpuset;

/* Adds a CPU; a number of HD_CPU_MAX or above aborts with a message. */
HD_API void hd_cpuset_add(hd_cpuset *set, unsigned cpu);

/* Whether the CPU is in the set; false for numbers of HD_CPU_MAX or above. */
HD_API bool hd_cpuset_has(const hd_cpuset *set, unsigned cpu);

/* hd_attr.migration: where a thread may be moved to. */
enum { HD_MIGRATE_DEFAULT = 0, HD_MIGRATE_ALLOWED = 1, HD_MIGRATE_NODE = 2, HD_MIGRATE_NEVER = 3 };

/* hd_attr.preempt: how a thread may be preempted. */
enum { HD_PREEMPT_DEFAULT = 0, HD_PREEMPT_CARRIER = 1, HD_PREEMPT_LIGHT = 2, HD_PREEMPT_OFF = 3 };

/* hd_attr.flags */
#define HD_ATTR_PAINT_STACK 1u /* fill the stack first, so that its high-water mark is exact */

/* How a thread is made. Fill it through HD_ATTR(); zero means the default. */
struct hd_attr {
    size_t size;           /* sizeof(struct hd_attr): HD_ATTR() fills it */
    const char *name;      /* copied, cut at HD_NAME_MAX bytes; NULL: none */
    size_t stack_size;     /* bytes of address space, its guard page included: hd_stack_min() to
                            * 1 GiB, rounded up to a power of two; 0: the runtime's */
    int priority;          /* 1 to 20, 0: 10. Kept for policies that have priorities */
    const hd_cpuset *cpus; /* CPUs it may run on, copied; NULL: any */
    int numa_node;         /* 0: any, n + 1: node n. A hint */
    int migration;         /* HD_MIGRATE_* */
    int preempt;           /* HD_PREEMPT_* */
    unsigned flags;        /* HD_ATTR_* */
};

#ifndef __cplusplus
/* A pointer to attributes with the named members set: HD_ATTR(.name = "io", .priority = 5). */
#define HD_ATTR(...) (&(struct hd_attr){.size = sizeof(struct hd_attr), __VA_ARGS__})
#endif

/* Starts a thread that runs fn(arg). attr may be NULL. With out NULL the thread is detached;
 * otherwise *out receives a handle that must be joined or detached once.
 * Errors: -EINVAL (an attribute out of range; cpus without a CPU that the process may use),
 * -ENOMEM (no memory for its descriptor or stack), -EAGAIN (no runtime runs, or it is stopping).
 * Does not block. From threads and from foreign kernel threads, not from a signal handler. */
HD_API int hd_spawn(hd_thread **out, const struct hd_attr *attr, hd_fn fn, void *arg);

/* Waits until t has ended, stores what it returned in *result (if result is not NULL) and frees
 * the handle. Joining twice, joining oneself or a detached thread aborts with a message.
 * Returns 0, or -EINTR when the caller was interrupted (t is then still to be joined).
 * From threads and foreign kernel threads. */
HD_API int hd_join(hd_thread *t, void **result);

/* As hd_join(), giving up at deadline_ns with -ETIMEDOUT (t is then still to be joined). */
HD_API int hd_join_until(hd_thread *t, void **result, uint64_t deadline_ns);

/* Gives the handle up: the thread frees itself when it ends. Does not block. */
HD_API void hd_detach(hd_thread *t);

/* Makes t's wait, the present one or the next that would block or whose deadline is past, return
 * -EINTR once. Calls that cannot fail (hd_mutex_lock(), ...) are not interrupted; the interruption
 * stays pending. t must be a valid handle, or the caller itself. Returns 0. Does not block. */
HD_API int hd_interrupt(hd_thread *t);

/* The calling thread; NULL on a foreign kernel thread. */
HD_API hd_thread *hd_self(void);

/* Lets the other runnable threads of this worker run first. On a foreign kernel thread it aborts
 * with a message: there is nothing to yield to. */
HD_API void hd_yield(void);

/* A number that no other thread of this runtime has or had; from 1. */
HD_API uint64_t hd_thread_id(const hd_thread *t);

/* The name it was given; "main" for the first; "" for none. Valid as long as the handle. */
HD_API const char *hd_thread_name(const hd_thread *t);

/* The smallest stack that hd_attr.stack_size may ask for here, bytes: it holds a signal frame
 * with this CPU's full vector state. */
HD_API size_t hd_stack_min(void);

/* What a thread's stack holds, in bytes. */
struct hd_stack_usage {
    size_t size;       /* usable bytes, without the guard */
    size_t high_water; /* the most that was in use; by the page without HD_ATTR_PAINT_STACK */
    bool exact;        /* whether high_water is exact */
};

/* Measures the calling thread's stack. 0, or -EINVAL on a foreign kernel thread. Without
 * HD_ATTR_PAINT_STACK the mark counts pages that an earlier thread on the same stack touched. */
HD_API int hd_stack_usage(struct hd_stack_usage *out);

HD_END_DECLS
#endif
