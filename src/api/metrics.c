/* SPDX-License-Identifier: MIT */
/* The counters of all workers, added up. */
#include <heddle/metrics.h>

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "io/io.h"
#include "sched/carrier.h"
#include "sched/monitor.h"

static uint64_t get(_Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_workers(struct hd_metrics *m) {
    m->workers = atomic_load_explicit(&hd__rt.active, memory_order_relaxed);
    m->workers_most = hd__rt.worker_count;
    for (unsigned i = 0; i < hd__rt.worker_count; i++) {
        struct hd__worker *w = &hd__rt.workers[i];
        m->preempted_carrier += get(&w->preempted_carrier);
        m->preempted_light += get(&w->preempted_light);
        m->preempted_enable += get(&w->preempted_enable);
        m->preempt_deferred += get(&w->deferred);
        m->preempt_no_carrier += get(&w->no_carrier);
        m->preempt_lost_ns += get(&w->lost_ns);
        m->blocking_calls += get(&w->blocking_calls);
    }
}

/* The caches are their workers' own; the look is a hint, and no atomic access that would cost them
 * something. */
#ifdef HD__TSAN
__attribute__((no_sanitize_thread))
#endif
static HD__NOINLINE uint64_t cached_by(const struct hd__worker *w) {
    return *(const volatile unsigned *)&w->stacks.count;
}

static void add_stacks(struct hd_metrics *m) {
    struct hd__stack_stats s;
    hd__stack_stats(&s);
    for (unsigned i = 0; i < hd__rt.worker_count; i++)
        m->stacks_cached += cached_by(&hd__rt.workers[i]);
    uint64_t not_used = s.idle + s.clean + m->stacks_cached;
    m->stacks_mapped = s.capacity;
    m->stacks_used = s.handed_out > not_used ? s.handed_out - not_used : 0;
    m->stacks_idle = s.idle;
    m->stacks_clean = s.clean;
    m->stacks_unguarded = s.unguarded;
    m->stack_bytes_mapped = s.mapped_bytes;
    m->stack_bytes_idle = s.idle_bytes;
    m->stack_bytes_trimmed = s.trimmed_bytes;
    m->stacks_explicit = s.explicit;
    m->stacks_transparent = s.transparent;
    m->stacks_missed = s.missed;
}

static void add_carriers(struct hd_metrics *m) {
    hd__spin_lock(&hd__carriers.lock);
    m->carriers = hd__carriers.count;
    m->carriers_spare = hd__carriers.spare_count;
    m->carriers_most = hd__carriers.most;
    m->carriers_limit = hd__carriers.max;
    hd__spin_unlock(&hd__carriers.lock);
}

static void add_monitor(struct hd_metrics *m) {
    m->preempt_signals = get(&hd__monitor.signals);
    m->monitor_wakeups = get(&hd__monitor.wakeups);
    m->blocking_handed_off = get(&hd__monitor.handed_off);
    m->blocked_in_syscall = get(&hd__monitor.in_syscall);
    m->blocked_last_nr = atomic_load_explicit(&hd__monitor.last_nr, memory_order_relaxed);
    m->blocked_last_thread = get(&hd__monitor.last_thread);
}

int hd_metrics_get(struct hd_metrics *out) {
    HD__CHECK(out != NULL, "hd_metrics_get: out is NULL");
    size_t size = out->size;
    struct hd_metrics m = {.size = size};
    if (size < sizeof size) return -EINVAL;
    hd__sched_enter();
    hd__runtime_enter();
    bool on = atomic_load_explicit(&hd__rt.state, memory_order_seq_cst) == HD__RT_ON;
    if (on) {
        add_workers(&m);
        add_carriers(&m);
        add_monitor(&m);
        add_stacks(&m);
        hd__io_metrics(&m);
    }
    hd__runtime_leave();
    hd__sched_leave();
    if (!on) return -EINVAL;
    memcpy(out, &m, size < sizeof m ? size : sizeof m);
    return 0;
}
