/* SPDX-License-Identifier: MIT */
/* Scheduling policies: which runnable thread runs next.
 *
 * A policy is a row of a table: "steal", "rr" and "priority" are built in, a program adds its own.
 * It does not keep the queues, the runtime does. A policy says in what order they are served: by a
 * rank, a number that its function computes when a thread becomes runnable; the smallest runs
 * first, equal ones in the order in which they came. Earliest deadline first is a rank that is the
 * deadline, fair shares are a rank that is the time had so far divided by the weight, and so on
 * (Sivaraman et al., Programmable Packet Scheduling at Line Rate, SIGCOMM 2016, show how far one
 * gets with that). */
#ifndef HEDDLE_POLICY_H
#define HEDDLE_POLICY_H

#include <heddle/thread.h>

HD_BEGIN_DECLS

/* hd_policy.order */
enum {
    HD_ORDER_RANK = 0,  /* one queue for all workers, by rank; without a rank function, first come,
                         * first served */
    HD_ORDER_LOCAL = 1, /* queues for each worker, newest first, with stealing; no rank */
};

/* Why a thread is queued. */
enum {
    HD_WHY_SPAWNED = 0,
    HD_WHY_WOKEN = 1,     /* what it waited for has happened, or its deadline has passed */
    HD_WHY_YIELDED = 2,   /* hd_yield() */
    HD_WHY_PREEMPTED = 3, /* its time slice is over, or something more urgent runs */
    HD_WHY_CHANGED = 4,   /* its priority or value was changed while it was queued */
};

/* What a policy is told of a thread. */
struct hd_policy_thread {
    uint64_t id;    /* hd_thread_id() */
    uint64_t value; /* hd_attr.value, hd_thread_set_value() */
    uint64_t rank;  /* the rank that it was given last; 0 at first */
    int priority;   /* hd_attr.priority, hd_thread_set_priority() */
    int former;     /* HD_WHY_CHANGED: the priority before the change; else the same */
};

/* A policy. Fill it through HD_POLICY(); zero means the default. */
struct hd_policy {
    size_t size;         /* sizeof(struct hd_policy): HD_POLICY() fills it */
    const char *name;    /* for hd_config.policy and HEDDLE_POLICY: 1 to HD_NAME_MAX letters */
    const char *summary; /* one line; may be NULL */
    int order;           /* HD_ORDER_* */
    uint64_t slice_us;   /* the time slice if hd_config.slice_us is 0: 100 to 1,000,000,
                          * HD_SLICE_NONE: none; 0: 10,000 */

    /* The rank of t, which becomes runnable; the smallest runs first. NULL: 0. After a change, one
     * whose rank stays the same keeps its place.
     * Called within the runtime, also in signal handlers and from foreign kernel threads, by
     * several at once: it may read t, variables and hd_now_ns(), and must not wait, allocate, take
     * locks or call any other function of Heddle. */
    uint64_t (*rank)(const struct hd_policy_thread *t, int why);

    /* Whether `woken`, which has just become runnable with no worker free, is to interrupt
     * `running`; of several that it may interrupt, it does the one of the largest rank. NULL: if
     * its rank is smaller. Ranks decide who runs after the interruption: if that of `running` is
     * the smaller one, it goes on. Besides, a thread that has had a whole time slice is interrupted
     * for any that wakes up whose rank is not larger. Called as rank() is. */
    bool (*preempts)(const struct hd_policy_thread *woken, const struct hd_policy_thread *running);
};

#ifndef __cplusplus
/* A pointer to a policy with the named members set. */
#define HD_POLICY(...) (&(struct hd_policy){.size = sizeof(struct hd_policy), __VA_ARGS__})
#endif

/* Adds a policy, which is copied; its strings and functions must stay. For the life of the process.
 * Errors: -EINVAL (no name, a name longer than HD_NAME_MAX, a member out of range, a rank with
 * HD_ORDER_LOCAL), -EEXIST (the name is taken), -ENOSPC (32 there are). Does not block. From any
 * kernel thread, whether or not a runtime runs. */
HD_API int hd_policy_register(const struct hd_policy *policy);

/* The policies by number, from 0; NULL beyond the last. What it points to stays as it is. */
HD_API const struct hd_policy *hd_policy_get(unsigned i);

/* The name of the policy of the runtime that runs; NULL when none does. */
HD_API const char *hd_policy_name(void);

HD_END_DECLS
#endif
