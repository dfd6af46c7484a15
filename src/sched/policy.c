/* SPDX-License-Identifier: MIT */
/* The table of policies.
 *
 * "priority" with ageing. A thread that becomes runnable at time s with priority p gets the rank
 * s + (20 - p) * A. So it comes behind another of priority q > p that becomes runnable up to
 * (q - p) * A later, and before all that come after that: a thread of priority p that is runnable
 * from s on is passed over by none that becomes runnable after s + (20 - p) * A. That is the bound,
 * and it costs no pass over the waiting threads. Without ageing the rank is 20 - p: strict. */
#include <errno.h>
#include <string.h>

#include "sched/ranked.h"
#include <heddle/preempt.h>
#include <heddle/time.h>

enum { TOP_PRIORITY = 20, POLICIES_MAX = 32 };

static uint64_t ageing_ns; /* written while no runtime runs */

static uint64_t rank_by_priority(const struct hd_policy_thread *t, int why) {
    uint64_t below = (uint64_t)(TOP_PRIORITY - t->priority);
    if (ageing_ns && why == HD_WHY_CHANGED) /* the time that it has waited stays with it */
        return t->rank + (uint64_t)(t->former - t->priority) * ageing_ns;
    return ageing_ns ? hd_now_ns() + below * ageing_ns : below;
}

static bool preempts_by_priority(const struct hd_policy_thread *woken,
                                 const struct hd_policy_thread *running) {
    return woken->priority > running->priority;
}

/* Rows are added under the lock, and never change afterwards. */
static hd__spin lock;
static _Atomic unsigned count = 3;
static struct hd_policy table[POLICIES_MAX] = {
    {
        .size = sizeof(struct hd_policy),
        .name = "steal",
        .summary = "queues for each worker, newest first, with work stealing",
        .order = HD_ORDER_LOCAL,
    },
    {
        .size = sizeof(struct hd_policy),
        .name = "rr",
        .summary = "round robin: one queue, first come, first served, with time slices",
        .order = HD_ORDER_RANK,
    },
    {
        .size = sizeof(struct hd_policy),
        .name = "priority",
        .summary = "strict priorities 1 to 20, round robin among equals; ageing on request",
        .order = HD_ORDER_RANK,
        .rank = rank_by_priority,
        .preempts = preempts_by_priority,
    },
};

void hd__policy_set_ageing(uint64_t ns) {
    ageing_ns = ns;
}

const struct hd_policy *hd__policy_get(unsigned i) {
    return i < atomic_load_explicit(&count, memory_order_acquire) ? &table[i] : NULL;
}

const struct hd_policy *hd__policy_find(const char *name) {
    const struct hd_policy *p;
    for (unsigned i = 0; (p = hd__policy_get(i)); i++)
        if (strcmp(p->name, name) == 0) return p;
    return NULL;
}

static bool in_range(const struct hd_policy *p) {
    size_t len = p->name ? strnlen(p->name, HD_NAME_MAX + 1) : 0;
    if (len == 0 || len > HD_NAME_MAX) return false;
    if (p->order != HD_ORDER_RANK && p->order != HD_ORDER_LOCAL) return false;
    if (p->order == HD_ORDER_LOCAL && (p->rank || p->preempts)) return false;
    return p->slice_us == 0 || p->slice_us == HD_SLICE_NONE ||
           (p->slice_us >= 100 && p->slice_us <= 1000000);
}

int hd__policy_add(const struct hd_policy *policy) {
    int err = 0;
    if (!in_range(policy)) return -EINVAL;
    hd__spin_lock(&lock);
    unsigned n = atomic_load_explicit(&count, memory_order_relaxed);
    if (hd__policy_find(policy->name)) {
        err = -EEXIST;
    } else if (n == POLICIES_MAX) {
        err = -ENOSPC;
    } else {
        table[n] = *policy;
        atomic_store_explicit(&count, n + 1, memory_order_release);
    }
    hd__spin_unlock(&lock);
    return err;
}
