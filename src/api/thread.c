/* SPDX-License-Identifier: MIT */
/* Threads: checks the arguments and calls down. */
#include <heddle/thread.h>

#include "api/options.h"
#include "base/check.h"
#include "mem/ref.h"
#include "sched/place.h"
#include "sched/worker.h"

void hd_cpuset_add(hd_cpuset *set, unsigned cpu) {
    HD__CHECK(cpu < HD_CPU_MAX, "hd_cpuset_add: CPU %u is not below HD_CPU_MAX (%d)", cpu,
              HD_CPU_MAX);
    set->bits[cpu / 64] |= (uint64_t)1 << (cpu % 64);
}

bool hd_cpuset_has(const hd_cpuset *set, unsigned cpu) {
    return cpu < HD_CPU_MAX && (set->bits[cpu / 64] >> (cpu % 64) & 1);
}

static HD__NOINLINE int spawn_with(hd_thread **out, const struct hd_attr *attr, hd_fn fn,
                                   void *arg) {
    struct hd_attr own = {.size = 0};
    int err = hd__options_copy(&own, sizeof own, attr, attr->size);
    if (err) return err;
    if (hd__place_wanted(&own)) (void)hd__topo_sched(); /* it must not be made inside */
    hd__sched_enter();
    err = hd__sched_spawn(out, &own, fn, arg);
    hd__sched_leave();
    return err;
}

int hd_spawn(hd_thread **out, const struct hd_attr *attr, hd_fn fn, void *arg) {
    HD__CHECK(fn != NULL, "hd_spawn: fn is NULL; pass the function to run");
    if (HD__UNLIKELY(attr != NULL)) return spawn_with(out, attr, fn, arg);
    hd__sched_enter();
    int err = hd__sched_spawn(out, NULL, fn, arg);
    hd__sched_leave();
    return err;
}

int hd_join(hd_thread *t, void **result) {
    HD__CHECK(t != NULL, "hd_join: t is NULL");
    hd__sched_enter();
    int err = hd__sched_join(t, result, HD_FOREVER, __builtin_return_address(0));
    hd__sched_leave();
    return err;
}

int hd_join_until(hd_thread *t, void **result, uint64_t deadline_ns) {
    HD__CHECK(t != NULL, "hd_join_until: t is NULL");
    hd__sched_enter();
    int err = hd__sched_join(t, result, deadline_ns, __builtin_return_address(0));
    hd__sched_leave();
    return err;
}

void hd_detach(hd_thread *t) {
    HD__CHECK(t != NULL, "hd_detach: t is NULL");
    hd__sched_enter();
    hd__sched_detach(t);
    hd__sched_leave();
}

int hd_interrupt(hd_thread *t) {
    HD__CHECK(t != NULL, "hd_interrupt: t is NULL");
    hd__sched_enter();
    hd__wait_interrupt(t);
    hd__sched_leave();
    return 0;
}

hd_thread *hd_self(void) {
    struct hd__worker *w = hd__sched_enter();
    hd_thread *t = w ? atomic_load_explicit(&w->current, memory_order_relaxed) : NULL;
    hd__sched_leave();
    return t;
}

void hd_yield(void) {
    hd__ref_safe_point();
    hd__sched_enter();
    hd__sched_yield();
    hd__sched_leave();
}

uint64_t hd_thread_id(const hd_thread *t) {
    HD__CHECK(t != NULL, "hd_thread_id: t is NULL");
    return t->id;
}

const char *hd_thread_name(const hd_thread *t) {
    HD__CHECK(t != NULL, "hd_thread_name: t is NULL");
    const struct hd__thread_ext *ext = atomic_load_explicit(&t->ext, memory_order_acquire);
    return ext ? ext->name : "";
}

void hd_thread_cpus(hd_thread *t, hd_cpuset *out) {
    HD__CHECK(t != NULL, "hd_thread_cpus: t is NULL");
    HD__CHECK(out != NULL, "hd_thread_cpus: out is NULL");
    hd__sched_enter();
    hd__place_get_cpus(t, out);
    hd__sched_leave();
}

int hd_thread_set_cpus(hd_thread *t, const hd_cpuset *cpus) {
    HD__CHECK(t != NULL, "hd_thread_set_cpus: t is NULL");
    hd__sched_enter();
    int err = hd__place_set_cpus(t, cpus);
    hd__sched_leave();
    return err;
}

size_t hd_stack_min(void) {
    return hd__stack_size_min();
}

const char *hd_stack_huge_kind(void) {
    static const char *const names[] = {
        [HD__PAGES_ORDINARY] = "ordinary",
        [HD__PAGES_UNKNOWN] = "missed",
        [HD__PAGES_TRANSPARENT] = "transparent",
        [HD__PAGES_MISSED] = "missed",
        [HD__PAGES_EXPLICIT] = "explicit",
    };
    hd_thread *t = hd_self();
    if (!t) return NULL;
    /* Where huge pages have another size than 2 MiB, the class is an ordinary one. */
    bool asked = hd__thread_flags(t) & HD__THREAD_HUGE;
    return asked && t->stack->pages == HD__PAGES_ORDINARY ? "missed" : names[t->stack->pages];
}

int hd_stack_usage(struct hd_stack_usage *out) {
    HD__CHECK(out != NULL, "hd_stack_usage: out is NULL");
    hd_thread *t = hd_self();
    if (!t) return -EINVAL;
    bool painted = hd__thread_flags(t) & HD__THREAD_PAINTED;
    out->size = t->stack->size;
    out->high_water = hd__stack_high_water(t->stack, painted, &out->exact);
    return 0;
}
