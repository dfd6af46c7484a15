/* SPDX-License-Identifier: MIT */
/* A scheduler for model programs in which threads wait: each thread of the model is a worker with
 * one thread of the runtime on it. When that parks, the real code of sched/wait.c and
 * sched/dispatch.h switches to the worker's loop; here this does for the parked thread what a
 * context that continues does, then waits until somebody makes it runnable. Being made runnable is
 * a flag in place of a queue. Time stands still; whoever wants a deadline to pass calls
 * party_expire(). For one source file of a program; it includes the library's. */
#ifndef HEDDLE_MODEL_PARTY_H
#define HEDDLE_MODEL_PARTY_H

#include "absent.h"

#include "os/spin.c"
#include "sched/timer.c"
#include "sched/wait.c"

/* What a thread does that is left to directly, and begins: join_newest(). */
#ifndef PARTY_BEGINS
#define PARTY_BEGINS(worker) model_fail("nobody begins here")
#endif

static hd_thread parties[MODEL_THREADS];
static struct hd__worker party_worker[MODEL_THREADS];
static struct hd__timers_entry party_timers[MODEL_THREADS][4];
static _Atomic bool party_ready[MODEL_THREADS];
static struct hd__cxx party_cxx;
static char party_saved; /* what a stack pointer is once the registers are saved */

struct hd__runtime hd__rt;
struct hd__poller hd__poller;

/* From setup(). */
static inline void party_setup(void) {
    for (unsigned i = 0; i < MODEL_THREADS; i++) {
        struct hd__worker *w = &party_worker[i];
        w->timers.heap = party_timers[i];
        w->timers.capacity = 4;
        w->timers.earliest_ns = HD_FOREVER;
        w->current = &parties[i];
        w->cxx = &party_cxx;
        model_name(&parties[i], sizeof parties[i], "party");
        model_name(&parties[i].park, sizeof parties[i].park, "park");
        model_name(w, sizeof *w, "worker");
        model_name(&w->timers, sizeof w->timers, "timers");
        model_name(&party_ready[i], sizeof party_ready[i], "runnable");
    }
}

static inline hd_thread *party_self(void) {
    return &parties[model_self()];
}

/* ---- What the scheduler does ---- */

struct hd__worker *hd__worker_get(void) {
    return &party_worker[model_self()];
}

struct hd__worker *hd__self_enter(void) {
    return hd__worker_get();
}

struct hd__worker *hd__sched_enter_slow(struct hd__worker *w) {
    return w;
}

void hd__sched_leave(void) {}
void hd__self_set_token(uint64_t token) {
    (void)token;
}

void hd__sched_ready(hd_thread *t) {
    MODEL_ASSERT(t->ctx.regs.sp == &party_saved);
    t->ctx.regs.sp = NULL;
    bool before = atomic_exchange_explicit(&party_ready[t - parties], true, memory_order_release);
    if (before) model_fail("a thread is made runnable twice");
}

void hd__sched_settle(struct hd__worker *w, enum hd__post kind) {
    if (kind == HD__POST_NONE) return;
    MODEL_ASSERT(kind == HD__POST_PARK);
    commit(w, w->post);
}

void *model_ctx_switch(struct hd__context *from, struct hd__context *to, void *pass) {
    struct hd__worker *w = pass;
    unsigned self = model_self();
    (void)to;
    from->regs.sp = &party_saved;
    if (w->post_kind == HD__POST_WAIT) {
        PARTY_BEGINS(w);
    } else {
        w->post_kind = HD__POST_NONE;
        hd__sched_settle(w, HD__POST_PARK);
    }
    if (!atomic_load_explicit(&party_ready[self], memory_order_acquire)) model_spin();
    atomic_store_explicit(&party_ready[self], false, memory_order_relaxed);
    atomic_store_explicit(&w->current, &parties[self], memory_order_relaxed);
    return w;
}

/* The time comes for all deadlines of one party. */
static inline void party_expire(unsigned of) {
    hd_thread *t;
    while (hd__wait_expire(&party_worker[of].timers, HD_FOREVER - 1, &t)) {
        if (t) hd__sched_ready(t);
    }
}

#ifndef PARTY_CLOCK /* the program has its own */
uint64_t hd__os_now_ns(void) {
    return 0;
}
#endif

void hd__idle_cover_timer(uint64_t deadline_ns) {
    (void)deadline_ns;
}

int hd__os_futex_wait(_Atomic uint32_t *word, uint32_t expect, uint64_t deadline_ns) {
    (void)deadline_ns;
    (void)model_futex_wait(word, expect);
    return 0;
}

int hd__os_futex_wake(_Atomic uint32_t *word, unsigned n) {
    (void)n;
    model_futex_wake(word);
    return 1;
}

/* ---- What is linked and never called: nothing is queued but by its flag ---- */

MODEL_ABSENT(void, hd__sched_spill, struct hd__worker *w HD__UNUSED, struct hd__ring *r HD__UNUSED)
#ifndef PARTY_SPAWNS /* sched/spawn.c is in the program, too */
MODEL_ABSENT(void, hd__sched_bind_stack, struct hd__worker *w HD__UNUSED, hd_thread *t HD__UNUSED)
#endif
MODEL_ABSENT(struct hd__context *, hd__sched_prepare_special, struct hd__worker *w HD__UNUSED,
            hd_thread *next HD__UNUSED)
MODEL_ABSENT(struct hd__worker *, hd__sched_switch_in_handler, struct hd__worker *w HD__UNUSED,
            hd_thread *t HD__UNUSED, struct hd__context *to HD__UNUSED)
MODEL_ABSENT(void, hd__idle_wake_one, void)
MODEL_ABSENT(void, hd__stack_put_slow, struct hd__stack_cache *c HD__UNUSED,
            struct hd__stack *s HD__UNUSED)

#endif
