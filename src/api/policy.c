/* SPDX-License-Identifier: MIT */
/* Policies, and what they know of a thread: checks the arguments and calls down. */
#include <heddle/policy.h>

#include <errno.h>

#include "api/options.h"
#include "base/check.h"
#include "sched/monitor.h"
#include "sched/ranked.h"
#include "sync/inherit.h"

int hd_policy_register(const struct hd_policy *policy) {
    HD__CHECK(policy != NULL, "hd_policy_register: policy is NULL");
    struct hd_policy own = {.size = 0};
    int err = hd__options_copy(&own, sizeof own, policy, policy->size);
    if (err) return err;
    hd__sched_enter();
    err = hd__policy_add(&own);
    hd__sched_leave();
    return err;
}

const struct hd_policy *hd_policy_get(unsigned i) {
    return hd__policy_get(i);
}

const char *hd_policy_name(void) {
    return hd_worker_count() ? hd__rt.policy->name : NULL;
}

/* What changed may concern who runs; the runtime must not stop meanwhile. */
static void changed(hd_thread *t, int former) {
    hd__runtime_enter();
    if (hd__rt.ranked && atomic_load_explicit(&hd__rt.state, memory_order_seq_cst) != HD__RT_OFF)
        hd__ranked_changed(t, former);
    hd__runtime_leave();
}

int hd_thread_priority(const hd_thread *t) {
    HD__CHECK(t != NULL, "hd_thread_priority: t is NULL");
    return atomic_load_explicit(&t->priority, memory_order_relaxed);
}

int hd_thread_set_priority(hd_thread *t, int priority) {
    HD__CHECK(t != NULL, "hd_thread_set_priority: t is NULL");
    if (priority < 1 || priority > 20) return -EINVAL;
    hd__sched_enter();
    if (priority != HD__PRIORITY_DEFAULT)
        atomic_fetch_or_explicit(&hd__rt.idle, HD__IDLE_PRIORITIES, memory_order_relaxed);
    hd__inherit_set_priority(t, priority);
    hd__sched_leave();
    return 0;
}

uint64_t hd_thread_value(const hd_thread *t) {
    HD__CHECK(t != NULL, "hd_thread_value: t is NULL");
    return atomic_load_explicit(&hd__thread_side(t)->value, memory_order_relaxed);
}

void hd_thread_set_value(hd_thread *t, uint64_t value) {
    HD__CHECK(t != NULL, "hd_thread_set_value: t is NULL");
    hd__sched_enter();
    atomic_fetch_or_explicit(&t->flags, HD__THREAD_TUNED, memory_order_relaxed);
    atomic_store_explicit(&hd__thread_side(t)->value, value, memory_order_relaxed);
    changed(t, atomic_load_explicit(&t->priority, memory_order_relaxed));
    hd__sched_leave();
}

unsigned hd_thread_slice(const hd_thread *t) {
    HD__CHECK(t != NULL, "hd_thread_slice: t is NULL");
    return atomic_load_explicit(&hd__thread_side(t)->slice_us, memory_order_relaxed);
}

int hd_thread_set_slice(hd_thread *t, unsigned slice_us) {
    HD__CHECK(t != NULL, "hd_thread_set_slice: t is NULL");
    if (slice_us != 0 && (slice_us < 100 || slice_us > 1000000)) return -EINVAL;
    hd__sched_enter();
    atomic_fetch_or_explicit(&t->flags, HD__THREAD_TUNED, memory_order_relaxed);
    atomic_store_explicit(&hd__thread_side(t)->slice_us, slice_us, memory_order_relaxed);
    if (slice_us) hd__sched_note_slice(slice_us);
    hd__monitor_poke();
    hd__sched_leave();
    return 0;
}
