/* SPDX-License-Identifier: MIT */
/* hd_trim(): what is taken out of reach is taken inside; giving it back to the kernel takes time,
 * and is done outside, where others may preempt us. */
#include <heddle/pool.h>
#include <heddle/runtime.h>

#include "ctx/stack.h"
#include "sched/worker.h"

static size_t trim_stacks(unsigned node, unsigned klass) {
    size_t bytes = 0;
    for (;;) {
        hd__sched_enter();
        struct hd__stack *chain = hd__stack_trim_take(node, klass);
        hd__sched_leave();
        if (!chain) return bytes;
        bytes += hd__stack_trim_discard(&chain);
        hd__sched_enter();
        hd__stack_trim_give(chain);
        hd__sched_leave();
    }
}

static size_t trim_threads(void) {
    hd__sched_enter();
    hd_thread *chain = hd__thread_trim_take();
    hd__sched_leave();
    if (!chain) return 0;
    size_t bytes = hd__thread_trim_discard(&chain);
    hd__sched_enter();
    hd__thread_trim_give(chain);
    hd__sched_leave();
    return bytes;
}

static size_t trim_timers(void) {
    size_t bytes = 0;
    for (unsigned i = 0; i < hd__rt.worker_count; i++) {
        hd__sched_enter();
        bytes += hd__timers_trim(&hd__rt.workers[i].timers);
        hd__sched_leave();
    }
    return bytes;
}

size_t hd_trim(void) {
    size_t bytes = 0;
    struct hd__worker *w = hd__sched_enter();
    hd__runtime_enter();
    bool on = atomic_load_explicit(&hd__rt.state, memory_order_seq_cst) == HD__RT_ON;
    if (on && w) {
        hd__stack_cache_drain(&w->stacks, hd__rt.stack_class);
        hd__thread_cache_drain(&w->threads);
    }
    hd__sched_leave();
    for (unsigned klass = 0; on && klass < HD__STACK_CLASSES; klass++)
        for (unsigned node = 0; node < hd__stack_nodes(); node++) bytes += trim_stacks(node, klass);
    if (on) bytes += trim_threads() + trim_timers();
    hd__sched_enter();
    hd__runtime_leave();
    hd__sched_leave();
    return bytes + hd_pool_trim(NULL);
}
