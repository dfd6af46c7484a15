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

/* hd_attr.migration: where a thread may be moved to. NODE and CACHE are those of the CPU that its
 * spawner runs on, if cpus and numa_node allow that; the CPU of NEVER is chosen at the spawn. Where
 * there is one node, one such cache, one CPU, they make no difference and cost nothing. */
enum {
    HD_MIGRATE_DEFAULT = 0, /* anywhere */
    HD_MIGRATE_ANY = 0,
    HD_MIGRATE_ALLOWED = 1, /* the same, said aloud */
    HD_MIGRATE_NODE = 2,    /* within a NUMA node */
    HD_MIGRATE_NEVER = 3,
    HD_MIGRATE_CACHE = 4    /* within an L3 cache, or the largest that there is */
};

/* hd_attr.preempt: how a thread may be preempted. */
enum { HD_PREEMPT_DEFAULT = 0, HD_PREEMPT_CARRIER = 1, HD_PREEMPT_LIGHT = 2, HD_PREEMPT_OFF = 3 };

/* hd_attr.fpu, hd_attr.vector: whether a thread's floating-point state outlives its waits. */
enum { HD_STATE_DEFAULT = 0, HD_STATE_SAVED = 1, HD_STATE_NONE = 2 };

/* hd_attr.flags */
#define HD_ATTR_PAINT_STACK 1u   /* fill the stack first, so that its high-water mark is exact */
#define HD_ATTR_STACK_HUGE 2u    /* a stack of transparent huge pages, if the kernel gives them */
#define HD_ATTR_STACK_HUGETLB 4u /* of huge pages that the administrator set aside, if there are
                                  * any left; else as HD_ATTR_STACK_HUGE */

/* How a thread is made. Fill it through HD_ATTR(); zero means the default. */
struct hd_attr {
    size_t size;           /* sizeof(struct hd_attr): HD_ATTR() fills it */
    const char *name;      /* copied, cut at HD_NAME_MAX bytes; NULL: none */
    size_t stack_size;     /* bytes of address space, its guard page included: hd_stack_min() to
                            * 1 GiB, rounded up to a power of two; 0: the runtime's. With huge
                            * pages at least 2 MiB, and the guard lies outside */
    int priority;          /* 1 to 20, the highest; 0: 10. A thread of higher priority that wakes up
                            * interrupts one of lower; policy "priority" serves it first as well */
    const hd_cpuset *cpus; /* CPUs it may run on, copied; NULL: any */
    int numa_node;         /* 0: any, n + 1: node n, see hd_numa_node_count(); like its CPUs */
    int migration;         /* HD_MIGRATE_* */
    int preempt;           /* HD_PREEMPT_* */
    unsigned flags;        /* HD_ATTR_* */
    unsigned slice_us;     /* its own time slice: 100 to 1,000,000 microseconds; 0: the runtime's */
    uint64_t value;        /* a number for the program's own policy: a deadline, a weight */
    int fpu;               /* HD_STATE_*; 0: saved. HD_STATE_NONE: switches leave floating-point
                            * control (rounding, exceptions, flush to zero) alone, and the thread
                            * computes with what the one before it on the worker had: for threads
                            * that change none of it, in programs that change none of it */
    int vector;            /* HD_STATE_*; 0: saved. HD_STATE_NONE: switches do not keep the vector
                            * and floating-point registers that a call keeps (ARM64: d8 to d15,
                            * RISC-V: fs0 to fs11, x86-64: there are none): for threads that do
                            * not compute with floating point */
};

#ifndef __cplusplus
/* A pointer to attributes with the named members set: HD_ATTR(.name = "io", .priority = 5). */
#define HD_ATTR(...) (&(struct hd_attr){.size = sizeof(struct hd_attr), __VA_ARGS__})
#endif

/* Starts a thread that runs fn(arg). attr may be NULL. With out NULL the thread is detached;
 * otherwise *out receives a handle that must be joined or detached once.
 * Errors: -EINVAL (an attribute out of range; cpus or numa_node without a CPU that the process may
 * use and the other one allows),
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

/* A number that no other thread of this process has or had; from 1. */
HD_API uint64_t hd_thread_id(const hd_thread *t);

/* The name it was given; "main" for the first; "" for none. Valid as long as the handle. */
HD_API const char *hd_thread_name(const hd_thread *t);

/* The priority of a thread, 1 to 20, and its change, which takes effect at once: a queued thread
 * gets its new place, one that runs gives way if there is now another of higher priority, one
 * that waits keeps it for its wake-up. t must be a valid handle, or the caller itself. set
 * returns 0, or -EINVAL (not 1 to 20). Do not block. From threads and foreign kernel threads. */
HD_API int hd_thread_priority(const hd_thread *t);
HD_API int hd_thread_set_priority(hd_thread *t, int priority);

/* The number that the program's own policy may use (hd_attr.value); 0 at first. As for the
 * priority, a queued thread gets its new place. */
HD_API uint64_t hd_thread_value(const hd_thread *t);
HD_API void hd_thread_set_value(hd_thread *t, uint64_t value);

/* The thread's own time slice in microseconds; 0: it has the runtime's, hd_slice_get(). set returns
 * 0, or -EINVAL (neither 0 nor 100 to 1,000,000). Takes effect with the slice that runs at present.
 * Do not block. From threads and foreign kernel threads. */
HD_API unsigned hd_thread_slice(const hd_thread *t);
HD_API int hd_thread_set_slice(hd_thread *t, unsigned slice_us);

/* The CPUs that a thread may run on, of those that the process may use, and their change (NULL:
 * any), which replaces cpus, numa_node and migration of its attributes. One that runs elsewhere
 * goes on there until it waits, yields or is preempted; the caller itself is on one of the CPUs
 * when the call returns. t must be a valid handle, or the caller. set returns 0, -EINVAL (the
 * process may use none of them) or -ENOMEM. Do not block. From threads and foreign kernel
 * threads. */
HD_API void hd_thread_cpus(hd_thread *t, hd_cpuset *out);
HD_API int hd_thread_set_cpus(hd_thread *t, const hd_cpuset *cpus);

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

/* What pages the calling thread's stack has: "ordinary"; for HD_ATTR_STACK_HUGE and _HUGETLB
 * "transparent", "explicit" (set aside), or "missed" when the kernel gave ordinary ones instead.
 * NULL on a foreign kernel thread. Does not block. */
HD_API const char *hd_stack_huge_kind(void);

HD_END_DECLS
#endif
