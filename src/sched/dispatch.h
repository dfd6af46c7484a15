/* SPDX-License-Identifier: MIT */
/* The dispatcher's hot parts, inline: queueing at the front, switching, parking.
 *
 * A thread that stops running switches straight to the next one; the scheduler's own loop, on the
 * carrier's stack, runs only when there is no next one, or every HD__POLL_TICK-th time to look at
 * what is not in the local queue (timers, inbox, injected threads, the oldest work). So the common
 * switch is one, not two.
 *
 * Nothing may see a thread as runnable before its registers are saved, and a stack cannot be given
 * back by the thread that stands on it. So what must happen to the one that leaves is noted in the
 * worker (`post`), and the context that continues does it first: settle(). The switch hands the
 * worker over as its result, since a thread may continue on another worker than it left.
 *
 * A thread that ends and finds a fresh one next does not switch at all: the fresh thread is run by
 * the same loop on the same stack (run_threads). A thousand short threads cost a thousand calls.
 *
 * Rejected: going through the scheduler's context on each switch (two switches for one), and a
 * child-first spawn (the parent's frame must be saved on every spawn, and whoever spawns a
 * thousand threads and holds a lock would find them run before the unlock). */
#ifndef HD__SCHED_DISPATCH_H
#define HD__SCHED_DISPATCH_H

#include <errno.h>

#include "base/check.h"
#include "os/clock.h"
#include "sched/ranked.h"
#include "sched/rcu.h"

/* sched.c */
void hd__sched_spill(struct hd__worker *w, struct hd__ring *r); /* locked; unlocks */
void hd__sched_bind_stack(struct hd__worker *w, hd_thread *t);
void hd__sched_leave_stack(struct hd__worker *w, struct hd__stack *s);
/* wait.c */
void hd__wait_commit_timed(struct hd__worker *w, struct hd__wait *wait);
int hd__wait_park_foreign(struct hd__wait *wait, hd__spin *held, uint64_t deadline_ns);

/* ---- Queueing ---- */

/* Locks the run queue with room for one more in one of its rings. */
static inline void lock_with_room(struct hd__worker *w, struct hd__ring *r) {
    hd__spin_lock(&w->runq.lock);
    while (HD__UNLIKELY(hd__ring_full(&w->runq, r))) {
        hd__sched_spill(w, r);
        hd__spin_lock(&w->runq.lock);
    }
}

/* Queues a spawned thread, newest first. It is not pinned. */
static inline void ready_spawned(struct hd__worker *w, hd_thread *t) {
    if (hd__ranked()) {
        hd__ranked_ready(t, HD_WHY_SPAWNED);
        return;
    }
    lock_with_room(w, &w->runq.lifo);
    hd__ring_put_front(&w->runq.lifo, t);
    hd__spin_unlock(&w->runq.lock);
    hd__idle_wake_if_needed();
}

/* Queues a thread behind all others of its worker. */
static inline void ready_back(struct hd__worker *w, hd_thread *t) {
    if (HD__UNLIKELY(hd__thread_flags(t) & HD__THREAD_PINNED)) {
        hd__sched_place(t);
        return;
    }
    lock_with_room(w, &w->runq.fifo);
    hd__ring_put_back(&w->runq.fifo, t);
    hd__spin_unlock(&w->runq.lock);
}

/* The next local thread: the newest spawned or woken, else the one that waits longest. */
static inline hd_thread *take_local(struct hd__worker *w) {
    hd_thread *t = NULL;
    if (hd__runq_count(&w->runq) == 0) return NULL;
    hd__spin_lock(&w->runq.lock);
    if (hd__ring_count(&w->runq.lifo) != 0) {
        t = hd__ring_take_front(&w->runq.lifo);
    } else if (hd__ring_count(&w->runq.fifo) != 0) {
        t = hd__ring_take_front(&w->runq.fifo);
        hd__ring_prefetch(&w->runq.fifo, hd__rt.prefetch_least);
    }
    hd__spin_unlock(&w->runq.lock);
    return t;
}

static inline hd_thread *take_next(struct hd__worker *w) {
    return hd__ranked() ? hd__ranked_take(w) : take_local(w);
}

/* Counts a dispatch; w's owner. */
static inline uint32_t next_tick(struct hd__worker *w) {
    uint32_t tick = atomic_load_explicit(&w->tick, memory_order_relaxed) + 1;
    atomic_store_explicit(&w->tick, tick, memory_order_relaxed);
    return tick;
}

/* Notes who runs on w, and on the calling carrier, which runs w. */
static inline void set_current(struct hd__worker *w, hd_thread *t) {
    atomic_store_explicit(&w->current, t, memory_order_relaxed);
    if (t) hd__self_set_token(t->id);
}

static inline hd_thread *current_of(struct hd__worker *w) {
    return atomic_load_explicit(&w->current, memory_order_relaxed);
}

/* The next thread to switch to directly; NULL: go through the scheduler's loop. */
static inline hd_thread *next_direct(struct hd__worker *w) {
    if (HD__UNLIKELY(next_tick(w) % HD__POLL_TICK == 0)) return NULL;
    if (HD__UNLIKELY(hd__fifo_count(&w->inbox) != 0)) return NULL;
    return take_next(w);
}

/* ---- Parking ---- */

/* Sets WAITING; returns the park word that says so. An interruption that was pending stays in it:
 * an interruptible wait must then end with it. */
static inline uint64_t set_waiting(hd_thread *t, bool deaf) {
    uint64_t old = atomic_load_explicit(&t->park, memory_order_relaxed);
    uint64_t next;
    do {
        next = (old & (HD__PARK_COUNT | HD__PARK_INTR)) + HD__PARK_ONE_WAIT +
               (HD__PARK_WAITING | (deaf ? HD__PARK_DEAF : 0));
    } while (!atomic_compare_exchange_weak_explicit(&t->park, &old, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return next;
}

static inline bool must_end(uint64_t word) {
    return (word & (HD__PARK_INTR | HD__PARK_DEAF)) == HD__PARK_INTR;
}

/* A wait without lock and deadline: see commit(). Returns the park word of the wait. */
static inline uint64_t commit_bare(hd_thread *t) {
    uint64_t word = set_waiting(t, false);
    if (HD__UNLIKELY(must_end(word)) && hd__wait_claim_as(t, HD__PARK_INTERRUPTED))
        hd__sched_ready(t);
    return word;
}

/* On the context that continues: the parked thread's registers are saved. From the moment that
 * WAITING is set the thread may run elsewhere and its wait record be gone, so everything needed
 * later is read before. */
static inline void commit(struct hd__worker *w, struct hd__wait *wait) {
    if (HD__UNLIKELY(wait->deadline_ns != HD_FOREVER)) {
        hd__wait_commit_timed(w, wait);
        return;
    }
    hd_thread *t = wait->party;
    hd__spin *held = wait->held;
    bool interrupted = must_end(set_waiting(t, wait->flags & HD__WAIT_UNINTERRUPTIBLE));
    if (HD__UNLIKELY(interrupted)) interrupted = hd__wait_claim_as(t, HD__PARK_INTERRUPTED);
    if (held) hd__spin_unlock(held);
    if (HD__UNLIKELY(interrupted)) hd__sched_ready(t);
}

/* ---- Switching ---- */

/* Does for the context that left what it could not do itself. First thing on every context that
 * continues. sched.c has what is not inlined. */
void hd__sched_settle(struct hd__worker *w, enum hd__post kind);

/* For a thread that begins. Returns the one that left to wait for it, with its park word, if that
 * is who left. */
static inline hd_thread *settle_start(struct hd__worker *w, uint64_t *waiting) {
    enum hd__post kind = w->post_kind;
    w->post_kind = HD__POST_NONE;
    if (HD__LIKELY(kind == HD__POST_WAIT)) {
        hd_thread *joiner = w->post;
        *waiting = commit_bare(joiner);
        return joiner;
    }
    hd__sched_settle(w, kind);
    return NULL;
}

/* For a thread that goes on. One that yielded was in no queue during the switch: a worker that
 * looked then has seen nothing, and may have parked. */
static inline void settle(struct hd__worker *w) {
    enum hd__post kind = w->post_kind;
    w->post_kind = HD__POST_NONE;
    if (kind == HD__POST_YIELD) {
        ready_back(w, w->post);
        hd__idle_wake_if_needed();
    } else if (kind == HD__POST_STACK &&
               ((struct hd__stack *)w->post)->key == w->stacks.key) {
        hd__stack_put(&w->stacks, w->post);
    } else {
        hd__sched_settle(w, kind);
    }
}

/* Makes `next` the one that runs on w; the caller switches to the context that it returns: that of
 * `next`, or the loop's, if `next` must run on another carrier (carrier.h). */
struct hd__context *hd__sched_prepare_special(struct hd__worker *w, hd_thread *next);
static inline struct hd__context *prepare(struct hd__worker *w, hd_thread *next) {
    const uint32_t special = HD__THREAD_PINNED | HD__THREAD_BOUND | HD__THREAD_MOVE;
    if (HD__UNLIKELY((hd__thread_flags(next) & special) || w->special))
        return hd__sched_prepare_special(w, next);
    set_current(w, next);
    if (HD__UNLIKELY(!next->stack)) hd__sched_bind_stack(w, next);
    return &next->ctx;
}

/* In debug builds a thread without floating-point control is watched: what it changes would become
 * that of others. Noted when it begins or goes on, compared when it leaves by itself; within a
 * signal handler the kernel has put other values there. */
#ifdef HD_DEBUG
static inline void note_fp(hd_thread *t) {
    if (t->ctx.regs.without & HD__ARCH_WITHOUT_FPU) hd__arch_fp_note(&t->ctx.regs);
}

static inline void check_fp(hd_thread *t) {
    HD__CHECK(!(t->ctx.regs.without & HD__ARCH_WITHOUT_FPU) || hd__arch_fp_noted(&t->ctx.regs),
              "thread %llu '%s' changed floating-point control, which was to be left out of its "
              "switches: spawn it without .fpu = HD_STATE_NONE", (unsigned long long)t->id,
              hd_thread_name(t));
}
#else
static inline void note_fp(hd_thread *t) {
    (void)t;
}

static inline void check_fp(hd_thread *t) {
    (void)t;
}
#endif

/* Switches from t, whose exceptions in flight go with it; returns on the worker that continues it.
 * sched.c has the rare case. */
struct hd__worker *hd__sched_switch_in_handler(struct hd__worker *w, hd_thread *t,
                                               struct hd__context *to);
static HD__ALWAYS_INLINE struct hd__worker *switch_from(struct hd__worker *w, hd_thread *t,
                                                        struct hd__context *to) {
    bool light = w->post_kind == HD__POST_LIGHT;
    if (!light) check_fp(t);
    hd__rcu_check("waits or yields");
    w = HD__UNLIKELY(hd__cxx_any(w->cxx)) ? hd__sched_switch_in_handler(w, t, to)
                                          : hd__ctx_switch(&t->ctx, to, w);
    if (!light) note_fp(t);
    return w;
}

/* Leaves t, with `post` to be done for it, for `next` or the scheduler's loop. Returns when t is
 * continued, on the worker that it is then on. */
static inline struct hd__worker *switch_to(struct hd__worker *w, hd_thread *t, hd_thread *next,
                                           enum hd__post kind, void *post) {
    w->post_kind = kind;
    w->post = post;
    struct hd__context *to = w->loop;
    if (HD__LIKELY(next != NULL))
        to = prepare(w, next);
    else
        set_current(w, NULL);
    w = switch_from(w, t, to);
    settle(w);
    return w;
}

/* Consumes a pending interruption. */
static inline bool take_interruption(hd_thread *t) {
    if (HD__LIKELY(!(atomic_load_explicit(&t->park, memory_order_relaxed) & HD__PARK_INTR)))
        return false;
    return atomic_fetch_and_explicit(&t->park, ~(uint64_t)HD__PARK_INTR, memory_order_relaxed) &
           HD__PARK_INTR;
}

static inline int result_of(hd_thread *t) {
    uint64_t reason = atomic_load_explicit(&t->park, memory_order_acquire) & HD__PARK_REASON;
    if (HD__LIKELY(reason == HD__PARK_NOTIFIED)) return 0;
    return reason == HD__PARK_TIMEOUT ? -ETIMEDOUT : -EINTR;
}

/* hd__wait_park() for a heddle thread that waits without a deadline. */
static inline int park_untimed(struct hd__worker *w, struct hd__wait *wait, hd__spin *held,
                               unsigned flags) {
    hd_thread *t = wait->party;
    if (HD__UNLIKELY(!(flags & HD__WAIT_UNINTERRUPTIBLE) && take_interruption(t))) {
        if (held) hd__spin_unlock(held);
        return -EINTR;
    }
    wait->held = held;
    wait->deadline_ns = HD_FOREVER;
    wait->flags = flags;
    t->wait = wait;
    switch_to(w, t, next_direct(w), HD__POST_PARK, wait);
    t->wait = NULL;
    return result_of(t);
}

#endif
