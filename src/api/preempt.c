/* SPDX-License-Identifier: MIT */
/* Preemption and blocking calls: checks the arguments and calls down. */
#include <heddle/preempt.h>

#include <errno.h>

#include "base/check.h"
#include "os/clock.h"
#include "sched/monitor.h"
#include "sched/preempt.h"
#include "sched/rcu.h"

static bool running(void) {
    return atomic_load_explicit(&hd__rt.state, memory_order_acquire) == HD__RT_ON;
}

int hd_slice_set(uint64_t slice_us) {
    if (slice_us != HD_SLICE_NONE && (slice_us < 100 || slice_us > 1000000)) return -EINVAL;
    if (!running()) return -EINVAL;
    uint64_t ns = slice_us == HD_SLICE_NONE ? HD_FOREVER : slice_us * 1000;
    hd__sched_enter();
    atomic_store_explicit(&hd__rt.slice_ns, ns, memory_order_relaxed);
    hd__monitor_poke();
    hd__sched_leave();
    return 0;
}

uint64_t hd_slice_get(void) {
    if (!running()) return 0;
    uint64_t ns = atomic_load_explicit(&hd__rt.slice_ns, memory_order_relaxed);
    return ns == HD_FOREVER ? HD_SLICE_NONE : ns / 1000;
}

void hd_preempt_disable(void) {
    hd__sched_enter();
    hd__preempt_disable();
    hd__sched_leave();
}

void hd_preempt_enable(void) {
    hd__sched_enter();
    hd__preempt_enable();
    hd__sched_leave();
}

int hd_preempt_register(const void *code) {
    hd__sched_enter();
    int err = hd__preempt_register(code);
    hd__sched_leave();
    return err;
}

enum { SOON_NS = 20 * 1000 };

/* Tells the monitor, which looks again in 20 us if somebody waits. If nobody does, whoever becomes
 * runnable tells it. */
static void begin(struct hd__worker *w) {
    hd__preempt_set_blocking(w, true);
    hd__preempt_count(&w->blocking_calls, 1);
    if (hd__idle_work_anywhere(w) || hd__idle_earliest_deadline() != HD_FOREVER ||
        atomic_load_explicit(&hd__poller.in_flight, memory_order_relaxed) != 0)
        hd__monitor_cover_now(hd__os_now_ns() + SOON_NS);
}

int hd_blocking(hd_fn fn, void *arg, void **result) {
    HD__CHECK(fn != NULL, "hd_blocking: fn is NULL; pass the function to run");
    struct hd__worker *w = hd__sched_enter();
    hd__rcu_check("calls hd_blocking()");
    if (w) begin(w);
    hd__sched_leave();
    void *value = fn(arg);
    /* On another worker, perhaps, if fn lost it or waited. */
    w = hd__sched_enter();
    if (w) hd__preempt_set_blocking(w, false);
    hd__sched_leave();
    if (result) *result = value;
    return 0;
}
