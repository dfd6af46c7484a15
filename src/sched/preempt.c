/* SPDX-License-Identifier: MIT */
/* Preemption: what the signal's handler does.
 *
 * The monitor, or whoever makes an urgent thread runnable, sends a signal to the carrier of the
 * worker that shall run something else. The handler runs on the preempted thread's own stack, at
 * any instruction of its code, and so the interrupted registers, vector state included, are saved
 * by the kernel in the signal frame, below everything that the thread has on its stack.
 *
 *   1. In the runtime (self.h, `inside`)? Then it is noted, and the call's hd__sched_leave() goes
 *      on from 2. So does a call that has itself made an urgent thread runnable; to its own CPU
 *      nobody sends a signal.
 *   2. Is preemption disabled? Then it is noted as due (HD__PREEMPT_DUE).
 *   3. Who runs next? If nobody waits, nothing happens.
 *   4. Carrier preemption: the thread is queued as BOUND, the worker is granted to the carrier of
 *      the next thread if that is bound as well, else to a spare one, and this carrier waits in the
 *      handler until some worker is granted to it. Without a spare carrier nothing happens.
 *      Light preemption: the handler switches contexts like any call that waits. Only if the
 *      interrupted code is the program's own or was registered: not in the C library, whose locks
 *      the next thread on this carrier may need; not on an alternate stack, which belongs to the
 *      carrier. So does the mask of signals: a thread that blocks other ones than usual is
 *      preempted the first way, and the second way, its mask being kept, where that cannot be.
 *
 * A carrier with light threads that wait for it is never held by one that is preempted in the C
 * library or on an alternate stack: nobody else can run them, and run on this carrier in the middle
 * of that, they would wait for a lock that only it can release, or overwrite the stack. So
 * such a thread goes on until it is elsewhere.
 *
 * Why the handler may take the runtime's spinlocks: `inside` was clear, so this kernel thread holds
 * none. Why nothing of the thread's kernel state is lost: under carrier preemption its kernel
 * thread does nothing else meanwhile.
 *
 * After Shiina, Iwasaki, Taura and Balaji, Lightweight Preemptive User-Level Threads (PPoPP 2021),
 * who call the two ways KLT-switching and signal-yield. New here: workers change carriers only
 * through one mailbox a carrier; the choice is made by where the interrupted code is; calls that
 * block are told apart without a signal (monitor.c). */
#include "sched/preempt.h"

#include <errno.h>

#include "os/clock.h"
#include "os/symbol.h"
#include "sched/alarm.h"
#include "sched/dispatch.h"
#include "sched/follow.h"
#include "sched/monitor.h"
#include "sched/place.h"
#include "sched/rcu.h"

/* Signals that one preemption of a light thread may cost before it is preempted the other way. */
enum { LIGHT_TRIES = 4 };

/* Preemptions without a kernel thread for whoever is next, for each search for another one. */
enum { SEARCH_EVERY = 8 };

/* ---- Code in which light preemption is allowed ---- */

enum { CODE_MAX = 64 };
static struct {
    _Atomic uintptr_t low, end;
} code[CODE_MAX];
static _Atomic unsigned code_count;
static hd__spin code_lock;

static bool in_registered_code(uintptr_t pc) {
    unsigned n = atomic_load_explicit(&code_count, memory_order_acquire);
    for (unsigned i = 0; i < n; i++) {
        if (pc >= atomic_load_explicit(&code[i].low, memory_order_relaxed) &&
            pc < atomic_load_explicit(&code[i].end, memory_order_relaxed))
            return true;
    }
    return false;
}

static int add_code(uintptr_t low, uintptr_t end) {
    int err = 0;
    hd__spin_lock(&code_lock);
    unsigned n = atomic_load_explicit(&code_count, memory_order_relaxed);
    if (in_registered_code(low)) {
        err = 0;
    } else if (n == CODE_MAX) {
        err = -ENOMEM;
    } else {
        atomic_store_explicit(&code[n].low, low, memory_order_relaxed);
        atomic_store_explicit(&code[n].end, end, memory_order_relaxed);
        atomic_store_explicit(&code_count, n + 1, memory_order_release);
    }
    hd__spin_unlock(&code_lock);
    return err;
}

int hd__preempt_register(const void *address) {
    uintptr_t low, end;
    if (!hd__os_code_segment(address, &low, &end)) return -EINVAL;
    return add_code(low, end);
}

/* ---- Choosing who runs instead ---- */

static hd_thread *take_oldest(struct hd__worker *w, struct hd__ring *r, bool front) {
    hd_thread *t = NULL;
    if (hd__ring_count(r) == 0) return NULL;
    hd__spin_lock(&w->runq.lock);
    if (hd__ring_count(r) != 0) t = front ? hd__ring_take_front(r) : hd__ring_take_back(r);
    hd__spin_unlock(&w->runq.lock);
    return t;
}

/* The queues take turns, so that none of them is passed over for ever: at the end of a slice there
 * is no order to preserve. */
static hd_thread *choose(struct hd__worker *w, bool urgent) {
    hd_thread *t = NULL;
    if (hd__ranked()) {
        t = atomic_load_explicit(&w->current, memory_order_relaxed);
        return hd__ranked_take_before(w, t, HD_WHY_PREEMPTED);
    }
    if (urgent && hd__fifo_count(&w->inbox) != 0) t = hd__sched_take_inbox(w);
    if (!t && urgent) t = take_next(w);
    for (int i = 0; !t && i < 5; i++) {
        switch (w->turn++ % 5) {
        case 0:
            t = take_oldest(w, &w->runq.fifo, true);
            break;
        case 1:
            t = hd__sched_take_injected(w, 1);
            break;
        case 2:
            t = take_oldest(w, &w->runq.lifo, false);
            break;
        case 3:
            if (hd__fifo_count(&w->light) != 0) t = hd__fifo_take(&w->light, 1);
            break;
        case 4:
            if (hd__fifo_count(&w->inbox) != 0) t = hd__sched_take_inbox(w);
            break;
        }
    }
    return t ? t : hd__idle_steal(w);
}

/* Of so many threads that are looked at. */
enum { BOUND_LOOKS = 1024 };

hd_thread *hd__preempt_choose_bound(struct hd__worker *w) {
    hd_thread *aside = NULL, *t = NULL;
    if (hd__ranked()) return hd__ranked_take_bound(w, NULL);
    for (int i = 0; i < BOUND_LOOKS; i++) {
        t = choose(w, false);
        if (!t || (hd__thread_flags(t) & HD__THREAD_BOUND)) break;
        t->next = aside;
        aside = t;
        t = NULL;
    }
    while (aside) {
        hd_thread *next = aside->next;
        hd__sched_ready_front(w, aside); /* the last one first: as they were */
        aside = next;
    }
    return t;
}

void hd__preempt_begin(struct hd__worker *w, const hd_thread *t, uint64_t now_ns, bool hog,
                       bool preempted) {
    uint32_t tick = next_tick(w); /* it is another thread than before, or as good as */
    atomic_store_explicit(&w->started_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&w->started_tick, tick, memory_order_relaxed);
    atomic_store_explicit(&w->hog_tick, hog ? tick : tick - 1, memory_order_relaxed);
    if (hog && !(atomic_load_explicit(&hd__rt.idle, memory_order_relaxed) & HD__IDLE_HOGS))
        atomic_fetch_or_explicit(&hd__rt.idle, HD__IDLE_HOGS, memory_order_relaxed);
    hd__alarm_begin(w, t, now_ns, hog || preempted);
}

/* ---- The handler ---- */

/* `handler`: in the signal's handler, where the signal is blocked. `masked`: t blocks other signals
 * than usual; see settle_mask() in sched.c. */
static void switch_light(struct hd__worker *w, struct hd__carrier *c, hd_thread *t,
                         hd_thread *next, bool handler, bool masked) {
    uint64_t mask = masked && !handler ? hd__os_signal_mask() : 0;
    hd__preempt_count(&w->preempted_light, 1);
    hd__carrier_bind(c, t);
    if (masked) atomic_fetch_or_explicit(&t->flags, HD__THREAD_MASKED, memory_order_relaxed);
    c->mask_left = masked;
    atomic_fetch_add_explicit(&c->lights, 1, memory_order_relaxed);
    w->lights++;
    w->special = true;
    hd__preempt_begin(w, next, hd__os_now_ns(), hd__thread_flags(next) & HD__THREAD_BOUND, true);
    /* Whoever goes on lets the signal through, unless that is in such a handler as well: see
     * settle_light(). Here it would come at once, perhaps, and take twice the stack. */
    c->signal_blocked = handler;
    w = switch_to(w, t, next, HD__POST_LIGHT, t);
    HD__ASSERT(hd__self_carrier() == c);
    if (handler && !c->signal_blocked) hd__os_interrupt_block();
    if (!handler && masked) hd__os_signal_set_mask(mask);
    if (!handler && !masked && c->signal_blocked) (void)hd__os_interrupt_unblock();
    c->signal_blocked = false; /* the kernel does it when the handler returns */
    if (masked) atomic_fetch_and_explicit(&t->flags, ~HD__THREAD_MASKED, memory_order_relaxed);
    atomic_fetch_sub_explicit(&c->lights, 1, memory_order_relaxed);
    w->lights--; /* of the same worker */
    hd__carrier_unbind(t);
    hd__carrier_note_special(w, w->special && !hd__place_is_ordinary(w));
    hd__preempt_begin(w, t, hd__os_now_ns(), true, true);
}

/* There is no carrier for `next`. The monitor has one made, even if by the time that it looks
 * nobody waits any more, and tries again. */
static void no_carrier(struct hd__worker *w, hd_thread *next, bool urgent) {
    hd__preempt_count(&w->no_carrier, 1);
    if (next) hd__sched_ready_front(w, next);
    if (urgent) atomic_store_explicit(&w->urgent, true, memory_order_relaxed);
    hd__alarm_stay(w);
    atomic_store_explicit(&hd__monitor.spare_missed, true, memory_order_relaxed);
    hd__monitor_poke();
}

/* The carrier that `next` can run on, or that can run the loop, if `next` is NULL; NULL: there is
 * none. */
static struct hd__carrier *carrier_for(const hd_thread *next) {
    if (!next || !(hd__thread_flags(next) & HD__THREAD_BOUND)) return hd__carrier_take_spare();
    return hd__carrier_of(next);
}

/* No kernel thread is to be had for those that are to begin, since there are as many as there may
 * be, perhaps: then those that have begun take turns. t may wait in a loop for what one of them
 * has. It is a search, and so not made each time. NULL: there is none. */
static hd_thread *choose_begun(struct hd__worker *w, const hd_thread *t) {
    if (++w->searches % SEARCH_EVERY != 0) return NULL;
    return hd__ranked() ? hd__ranked_take_bound_before(w, t) : hd__preempt_choose_bound(w);
}

static void switch_carrier(struct hd__worker *w, struct hd__self *self, hd_thread *t,
                           hd_thread *next, bool urgent, uint64_t since_ns) {
    struct hd__carrier *c = self->carrier, *to = carrier_for(next);
    hd_thread *begun = to || !next ? NULL : choose_begun(w, t);
    if (begun) {
        hd__sched_ready_front(w, next);
        next = begun;
        to = hd__carrier_of(next);
    }
    if (!to) {
        no_carrier(w, next, urgent);
        return;
    }
    hd__preempt_count(&w->preempted_carrier, 1);
    hd__carrier_bind(c, t);
    atomic_store_explicit(&w->current, NULL, memory_order_relaxed);
    if (hd__ranked())
        hd__ranked_requeue(w, t, HD_WHY_PREEMPTED, next);
    else /* also for something urgent: before the others, it would begin slice after slice */
        hd__sched_ready_back(w, t);
    hd__idle_wake_if_needed(); /* the monitor may have looked while neither of the two was queued */
    hd__carrier_lose_worker(c);
    hd__carrier_grant_here(to, w, next, since_ns);
    if (!hd__carrier_wait_held(c, t, true)) hd__carrier_run_free(c, t);
}

/* Where the thread stands: on its own stack, in code where it can be switched away from; a call of
 * ours (`at` is NULL) is such code. */
enum light { LIGHT_NOT, LIGHT_MASKED, LIGHT_FREELY };

static enum light light_allowed(hd_thread *t, const struct hd__os_interrupted *at) {
#ifdef HD__TSAN
    return LIGHT_NOT; /* it delivers signals late, within its own code */
#endif
    uintptr_t sp = at ? at->sp : (uintptr_t)__builtin_frame_address(0);
    if (sp < (uintptr_t)t->stack->low || sp > (uintptr_t)t->stack->top ||
        (at && !in_registered_code(at->pc)))
        return LIGHT_NOT;
    uint64_t mask = at ? at->mask : hd__os_signal_mask();
    return mask == hd__self_carrier()->mask ? LIGHT_FREELY : LIGHT_MASKED;
}

/* How a thread is preempted here. It may be put off a few times: a light one that is in the C
 * library will soon be elsewhere. And a carrier with light threads is not held. */
enum way { WAY_NONE, WAY_CARRIER, WAY_LIGHT, WAY_LIGHT_MASKED };

static enum way way_of(struct hd__worker *w, const struct hd__carrier *c, hd_thread *t,
                       bool wants_light, const struct hd__os_interrupted *at) {
    enum light light = wants_light ? light_allowed(t, at) : LIGHT_NOT;
    if (light == LIGHT_FREELY) return WAY_LIGHT;
    if (wants_light && at && w->light_tries < LIGHT_TRIES && ++w->light_tries < LIGHT_TRIES)
        return WAY_NONE;
    if (atomic_load_explicit(&c->lights, memory_order_relaxed) == 0) return WAY_CARRIER;
    return light == LIGHT_MASKED ? WAY_LIGHT_MASKED : WAY_NONE;
}

/* An alarm for the first deadline came. Whoever it wakes runs at once, in place of a hog, or of a
 * thread of lower priority, or where the policy says so, which then has found that w is urgent;
 * next, in place of another. False: there is nothing to be preempted for. */
static bool expire(struct hd__worker *w, uint64_t now_ns) {
    const hd_thread *t = atomic_load_explicit(&w->current, memory_order_relaxed);
    unsigned above = 0, urgent = 0;
    if (t && !hd__preempt_is_hog(w))
        above = hd__ranked() ? HD__PRIORITY_HIGHEST : hd__thread_look(t).priority;
    for (unsigned i = 0; i < hd__rt.worker_count; i++)
        urgent += hd__sched_expire(w, &hd__rt.workers[i].timers, now_ns, above);
    hd__alarm_worked(now_ns);
    return urgent != 0 || (hd__ranked() && atomic_load_explicit(&w->urgent, memory_order_relaxed));
}

/* Whether there is something to be preempted for; *woken: somebody whom an alarm has woken. */
static bool has_reason(struct hd__worker *w, const struct hd__os_interrupted *at, bool in_call,
                       uint64_t now_ns, bool *woken) {
    if (at->source == HD__OS_SENT) {
        *woken = false;
        return atomic_load_explicit(&w->urgent, memory_order_relaxed) ||
               hd__follow_must_retire(w) || !hd__alarm_had_little(w, now_ns);
    }
    *woken = expire(w, now_ns);
    return (at->source == HD__OS_SLICE && hd__alarm_ends_slice(w, now_ns, in_call)) || *woken;
}

/* `at`: where the signal came; NULL: in a call of ours that is about to return, which is as good
 * for a change of carriers. */
static void preempt(struct hd__worker *w, struct hd__self *self,
                    const struct hd__os_interrupted *at, bool urgent, uint64_t since_ns) {
    urgent |= atomic_exchange_explicit(&w->urgent, false, memory_order_relaxed);
    hd_thread *t = atomic_load_explicit(&w->current, memory_order_relaxed);
    if (!t || atomic_load_explicit(&hd__rt.stopping, memory_order_relaxed)) return;
    int kind = hd__preempt_kind(t);
    bool retires = hd__follow_must_retire(w); /* then nobody runs next: the loop sees to it */
    enum way way = WAY_NONE;
    bool slice = at && at->source == HD__OS_SLICE;
    bool reading = hd__rcu_reading();
    if (t->no_preempt) t->no_preempt |= HD__PREEMPT_DUE;
    if (reading && kind != HD_PREEMPT_OFF) hd__rcu_note_preemption();
    if (kind != HD_PREEMPT_OFF && !t->no_preempt && !reading)
        way = way_of(w, self->carrier, t, kind == HD_PREEMPT_LIGHT && !retires, at);
    if (way == WAY_NONE) {
        hd__preempt_count(&w->deferred, 1);
        if (urgent && kind != HD_PREEMPT_OFF && !t->no_preempt && !reading)
            atomic_store_explicit(&w->urgent, true, memory_order_relaxed);
        if (slice && kind != HD_PREEMPT_OFF && !t->no_preempt) hd__alarm_again(w, since_ns);
        hd__alarm_stay(w);
        return;
    }
    w->light_tries = 0;
    hd_thread *next = retires ? NULL : choose(w, urgent);
    if (!next && !retires) {
        if (slice) hd__alarm_rest(w);
        hd__alarm_stay(w);
        return;
    }
    if (way != WAY_CARRIER && hd__preempt_kind(next) != HD_PREEMPT_LIGHT &&
        !(hd__thread_flags(next) & HD__THREAD_BOUND) && hd__carriers.spare_count == 0) {
        /* It would not be run on this carrier. */
        no_carrier(w, next, urgent);
    } else if (way != WAY_CARRIER)
        switch_light(w, self->carrier, t, next, at != NULL, way == WAY_LIGHT_MASKED);
    else
        switch_carrier(w, self, t, next, urgent || retires, since_ns);
}

/* For hd__sched_leave(); by the kernel thread itself, or its handler in the midst of that. */
static void note_due(struct hd__self *self, struct hd__worker *w, uint8_t what) {
    atomic_store_explicit(&self->due_tick, atomic_load_explicit(&w->tick, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_fetch_or_explicit(&self->due, what, memory_order_relaxed);
}

static void act_on_due(struct hd__worker *w, struct hd__self *self, uint8_t due) {
    uint64_t now_ns = hd__os_now_ns();
    bool now = false;
    if ((due & HD__DUE_ALARM) && expire(w, now_ns))
        atomic_store_explicit(&w->urgent, now = true, memory_order_relaxed);
    if (due & HD__DUE_END) now |= hd__alarm_ends_slice(w, now_ns, false);
    now |= atomic_load_explicit(&w->urgent, memory_order_relaxed) ||
           ((due & HD__DUE_SLICE) &&
            atomic_load_explicit(&self->due_tick, memory_order_relaxed) ==
                atomic_load_explicit(&w->tick, memory_order_relaxed));
    if (now) preempt(w, self, NULL, false, now_ns);
}

/* A preemption fell due while this thread, or another one that was on this carrier, was in the
 * runtime: it comes before the call returns, and needs no signal. So does one that falls due
 * meanwhile. */
HD__COLD void hd__sched_leave_due(void) {
    int saved = hd__os_errno_get();
    do {
        struct hd__worker *w = hd__sched_enter();
        struct hd__self *self = hd__self_get(); /* a preempted thread keeps its carrier */
        uint8_t due = atomic_exchange_explicit(&self->due, 0, memory_order_relaxed);
        if (w && current_of(w)) act_on_due(w, self, due);
        hd__os_errno_set(saved);
    } while (hd__self_leave_brief());
}

static void interrupted(struct hd__self *self, const struct hd__os_interrupted *at) {
    struct hd__worker *w = atomic_load_explicit(&self->worker, memory_order_relaxed);
    bool slice = at->source == HD__OS_SLICE, inside, in_call;
    if (at->source != HD__OS_SENT)
        atomic_fetch_add_explicit(&hd__monitor.signals, 1, memory_order_relaxed);
    inside = atomic_load_explicit(&self->inside, memory_order_relaxed);
    /* Whoever is inside repeats it, with what is left of its timeout. */
    in_call = !inside && hd__os_interrupt_repeat_call(at);
    if (slice && !hd__alarm_came(hd__os_now_ns())) return;
    if (inside) {
        if (w) {
            hd__preempt_count(&w->deferred, 1);
            note_due(self, w, slice ? HD__DUE_ALARM | HD__DUE_END
                              : at->source == HD__OS_ALARM ? HD__DUE_ALARM : HD__DUE_SLICE);
        }
        return;
    }
    atomic_store_explicit(&self->inside, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    w = atomic_load_explicit(&self->entry, memory_order_acquire); /* as hd__sched_enter() */
    if (w == HD__WORKERLESS && !slice) /* with an alarm, it may have blocked just now */
        hd__carrier_queue_up(self->carrier);
    else if ((uintptr_t)w > (uintptr_t)HD__NOTICED) {
        uint64_t now_ns = hd__os_now_ns();
        bool urgent;
        if (has_reason(w, at, in_call, now_ns, &urgent)) preempt(w, self, at, urgent, now_ns);
    }
    atomic_store_explicit(&self->inside, 0, memory_order_release);
}

static bool on_signal(const struct hd__os_interrupted *at) {
    struct hd__self *self = hd__self_get(); /* stays right: a preempted thread keeps its carrier */
    struct hd__os_interrupted by = *at;
    bool expected = self->carrier &&
                    atomic_load_explicit(&self->carrier->signalled, memory_order_relaxed);
    if (by.source == HD__OS_UNMARKED) {
        if (!expected) return false;
        by.source = HD__OS_SENT;
    }
    if (expected && by.source == HD__OS_SENT)
        atomic_store_explicit(&self->carrier->signalled, false, memory_order_relaxed);
    interrupted(self, &by);
    return true;
}

/* ---- Sending ---- */

void hd__preempt_interrupt(struct hd__carrier *c) {
    atomic_store_explicit(&c->signalled, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&hd__monitor.signals, 1, memory_order_relaxed);
    (void)hd__os_interrupt_send(c->tid); /* if it fails the monitor tries again */
}

void hd__preempt_signal(struct hd__worker *w) {
    hd__preempt_interrupt(atomic_load_explicit(&w->carrier, memory_order_relaxed));
}

void hd__preempt_urgently(struct hd__worker *w) {
    struct hd__self *self = hd__self_get();
    bool own = atomic_load_explicit(&self->worker, memory_order_relaxed) == w;
    bool already = atomic_exchange_explicit(&w->urgent, true, memory_order_relaxed);
    if (own) note_due(self, w, HD__DUE_SLICE);
    if (own || already) return;
    hd__idle_wake_worker(w); /* in case that it parks just now */
    if (!HD__OS_INTERRUPT_REPEATS)
        hd__monitor_poke(); /* it looks whether w is blocked, where a signal would end the call */
    else
        hd__preempt_signal(w);
}

/* A descriptor may be another thread's by the time that we look: the answer is a hint. */
static bool may_interrupt(struct hd__worker *v, const hd_thread *t) {
    bool slices = atomic_load_explicit(&hd__rt.slice_ns, memory_order_relaxed) != HD_FOREVER;
    const hd_thread *running = atomic_load_explicit(&v->current, memory_order_relaxed);
    if (!running) return false;
    struct hd__thread_look look = hd__thread_look(running);
    return hd__preempt_may(look) && !hd__preempt_is_blocking(v) &&
           (t->priority > look.priority || (slices && hd__preempt_is_hog(v)));
}

bool hd__preempt_for(struct hd__worker *self, hd_thread *t) {
    uint32_t word = atomic_load_explicit(&hd__rt.idle, memory_order_relaxed);
    unsigned n = hd__rt.worker_count, start = self ? self->index : 0;
    bool hog = false;
    if (HD__IDLE_PARKED(word) != 0 || HD__IDLE_SEARCHING(word) != 0) return false;
    for (unsigned i = 0; i < n; i++) {
        struct hd__worker *v = &hd__rt.workers[(start + i) % n];
        if (!may_interrupt(v, t)) continue;
        hog = true;
        if (v != self && atomic_load_explicit(&v->urgent, memory_order_relaxed)) continue;
        hd__fifo_put(&v->inbox, t, t, 1);
        hd__preempt_urgently(v);
        return true;
    }
    uint32_t no_hogs = ~(uint32_t)HD__IDLE_HOGS;
    if (!hog) atomic_fetch_and_explicit(&hd__rt.idle, no_hogs, memory_order_relaxed);
    return false;
}

/* ---- Sections that are not preempted ---- */

enum { DEPTH_MAX = HD__PREEMPT_DUE - 2 };

void hd__preempt_disable(void) {
    struct hd__worker *w = hd__worker_get();
    if (!w) return;
    hd_thread *t = atomic_load_explicit(&w->current, memory_order_relaxed);
    HD__CHECK((t->no_preempt & ~HD__PREEMPT_DUE) < DEPTH_MAX,
              "hd_preempt_disable: thread %llu '%s' has called it 32,766 times without "
              "hd_preempt_enable()", (unsigned long long)t->id, hd_thread_name(t));
    t->no_preempt++;
}

void hd__preempt_enable(void) {
    struct hd__worker *w = hd__worker_get();
    if (!w) return;
    hd_thread *t = atomic_load_explicit(&w->current, memory_order_relaxed);
    HD__CHECK((t->no_preempt & ~HD__PREEMPT_DUE) != 0,
              "hd_preempt_enable: preemption of thread %llu '%s' is not disabled",
              (unsigned long long)t->id, hd_thread_name(t));
    if (--t->no_preempt != HD__PREEMPT_DUE) return;
    t->no_preempt = 0;
    if (HD__UNLIKELY(hd__rcu_reading())) {
        hd__rcu_note_preemption();
        return;
    }
    hd_thread *next = choose(w, false);
    if (!next) return;
    hd__preempt_count(&w->preempted_enable, 1);
    hd__preempt_begin(w, next, hd__os_now_ns(), hd__thread_flags(next) & HD__THREAD_BOUND, true);
    switch_to(w, t, next, hd__ranked() ? HD__POST_RANK : HD__POST_YIELD, t);
}

void hd__preempt_late(void) {
    struct hd__worker *w = hd__worker_get();
    hd_thread *t = atomic_load_explicit(&w->current, memory_order_relaxed);
    bool disabled = t->no_preempt != 0;
    t->no_preempt |= HD__PREEMPT_DUE;
    if (disabled) return;
    t->no_preempt++;
    hd__preempt_enable();
}

/* ---- Life ---- */

static _Atomic bool forked;
static uint64_t program_mask; /* the signals that were blocked where the runtime was started */

/* In the child only the thread that called fork() exists, and no worker. */
static void in_child(void) {
    struct hd__self *self = hd__self_get();
    if (atomic_load_explicit(&hd__rt.state, memory_order_relaxed) == HD__RT_OFF) return;
    atomic_store_explicit(&forked, true, memory_order_relaxed);
    if (self->carrier) {
        atomic_store_explicit(&self->entry, HD__WORKERLESS, memory_order_relaxed);
        hd__os_signal_set_mask(program_mask); /* for what it will exec */
    }
}

void hd__preempt_check_fork(void) {
    if (atomic_load_explicit(&forked, memory_order_relaxed))
        hd__fatal("in the child of a fork() there are no threads: it may only exec or _exit(), and "
                  "call no hd_* function");
}

void hd__preempt_open_signal(void) {
    bool blocked = hd__os_interrupt_unblock();
    struct hd__carrier *c = hd__self_carrier();
    c->signal_was_blocked = blocked;
    c->mask = hd__os_signal_mask();
}

void hd__preempt_close_signal(void) {
    if (hd__self_carrier()->signal_was_blocked) hd__os_interrupt_block();
}

#ifdef HD_DEBUG
/* No HD__CHECK before it is certain: it may take locks itself. */
static void check_spin(void) {
    struct hd__self *self = hd__self_get();
    struct hd__worker *w = atomic_load_explicit(&self->worker, memory_order_relaxed);
    if (!w || atomic_load_explicit(&self->inside, memory_order_relaxed) ||
        atomic_load_explicit(&hd__rt.stopping, memory_order_relaxed))
        return;
    hd_thread *t = atomic_load_explicit(&w->current, memory_order_relaxed);
    if (!t || t->no_preempt || hd__preempt_kind(t) == HD_PREEMPT_OFF) return;
    atomic_store_explicit(&hd__spin_check, NULL, memory_order_relaxed);
    hd__fatal("a spinlock is taken outside of the gate, where its holder may be preempted");
}
#endif

int hd__preempt_init(int sig) {
    static bool hooked;
    uintptr_t low, end;
    program_mask = hd__os_signal_mask();
    if (!hooked) hooked = hd__os_at_fork(in_child) == 0;
    atomic_store_explicit(&forked, false, memory_order_relaxed);
#ifdef HD_DEBUG
    atomic_store_explicit(&hd__spin_check, check_spin, memory_order_relaxed);
#endif
    if (hd__os_program_code(&low, &end)) (void)add_code(low, end);
    return hd__os_interrupt_install(sig ? sig : hd__os_interrupt_default(), on_signal);
}

void hd__preempt_finish(void) {
    hd__os_interrupt_restore();
}
