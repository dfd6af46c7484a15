/* SPDX-License-Identifier: MIT */
/* Preemption: what the signal's handler does.
 *
 * The monitor, or whoever makes an urgent thread runnable, sends a signal to the carrier of the
 * worker that shall run something else. The handler runs on the preempted thread's own stack, at
 * any instruction of its code, and so the interrupted registers, vector state included, are saved
 * by the kernel in the signal frame, below everything that the thread has on its stack.
 *
 *   1. In the runtime (self.h, `inside`)? Then nothing happens; the monitor tries again soon.
 *   2. Is preemption disabled? Then it is noted as due (HD__PREEMPT_DUE).
 *   3. Who runs next? If nobody waits, nothing happens.
 *   4. Carrier preemption: the thread is queued as BOUND, the worker is granted to the carrier of
 *      the next thread if that is bound as well, else to a spare one, and this carrier waits in the
 *      handler until some worker is granted to it. Without a spare carrier nothing happens.
 *      Light preemption: the handler switches contexts like any call that waits. Only if the
 *      interrupted code is the program's own or was registered: not in the C library, whose locks
 *      the next thread on this carrier may need; not on an alternate stack or with other signals
 *      blocked than usual, which belong to the carrier.
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
#include "sched/dispatch.h"
#include "sched/monitor.h"

/* Signals that one preemption of a light thread may cost before it is preempted the other way. */
enum { LIGHT_TRIES = 4 };

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
    if (hd__fifo_count(&w->inbox) != 0) t = hd__sched_take_inbox(w);
    if (!t && urgent) t = take_next(w);
    for (int i = 0; !t && i < 4; i++) {
        switch (w->turn++ % 4) {
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
        }
    }
    return t ? t : hd__idle_steal(w);
}

/* Of so many threads that are looked at. */
enum { BOUND_LOOKS = 1024 };

hd_thread *hd__preempt_choose_bound(struct hd__worker *w) {
    hd_thread *aside = NULL, *t = NULL;
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

/* Undoes choose(). */
static void put_back(struct hd__worker *w, hd_thread *t) {
    hd__sched_ready_front(w, t);
}

void hd__preempt_begin(struct hd__worker *w, uint64_t now_ns, bool hog) {
    uint32_t tick = next_tick(w); /* it is another thread than before, or as good as */
    atomic_store_explicit(&w->started_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&w->started_tick, tick, memory_order_relaxed);
    atomic_store_explicit(&w->hog_tick, hog ? tick : tick - 1, memory_order_relaxed);
    if (hog && !(atomic_load_explicit(&hd__rt.idle, memory_order_relaxed) & HD__IDLE_HOGS))
        atomic_fetch_or_explicit(&hd__rt.idle, HD__IDLE_HOGS, memory_order_relaxed);
}

/* ---- The handler ---- */

static void switch_light(struct hd__worker *w, struct hd__carrier *c, hd_thread *t,
                         hd_thread *next) {
    hd__preempt_count(&w->preempted_light, 1);
    hd__carrier_bind(c, t);
    atomic_fetch_add_explicit(&c->lights, 1, memory_order_relaxed);
    w->special = true;
    hd__preempt_begin(w, hd__os_now_ns(), hd__thread_flags(next) & HD__THREAD_BOUND);
    hd__monitor_cover(hd__idle_earliest_deadline());
    /* Others will run on this carrier. We leave the handler with it blocked, as we entered. */
    hd__os_interrupt_unblock();
    w = switch_to(w, t, next, HD__POST_LIGHT, t);
    hd__os_interrupt_block();
    atomic_fetch_sub_explicit(&c->lights, 1, memory_order_relaxed);
    hd__carrier_unbind(t);
    hd__carrier_note_special(w, w->special && memcmp(&c->affinity, &hd__rt.allowed,
                                                     sizeof c->affinity) != 0);
    hd__preempt_begin(w, hd__os_now_ns(), true);
}

/* The carrier that `next` can run on; NULL: there is none. */
static struct hd__carrier *carrier_for(const hd_thread *next) {
    if (!(hd__thread_flags(next) & HD__THREAD_BOUND)) return hd__carrier_take_spare();
    return hd__carrier_of(next);
}

static void switch_carrier(struct hd__worker *w, struct hd__self *self, hd_thread *t,
                           hd_thread *next, bool urgent, uint64_t since_ns) {
    struct hd__carrier *c = self->carrier, *to = carrier_for(next);
    if (!to) {
        hd__preempt_count(&w->no_carrier, 1);
        put_back(w, next);
        hd__monitor_poke();
        return;
    }
    hd__preempt_count(&w->preempted_carrier, 1);
    hd__carrier_bind(c, t);
    atomic_store_explicit(&w->current, NULL, memory_order_relaxed);
    if (urgent)
        hd__sched_ready_front(w, t);
    else
        hd__sched_ready_back(w, t);
    hd__idle_wake_if_needed(); /* the monitor may have looked while neither of the two was queued */
    hd__carrier_lose_worker(c);
    hd__carrier_grant_here(to, w, next, since_ns);
    hd__monitor_cover(hd__idle_earliest_deadline()); /* it may have been an alarm that came */
    if (!hd__carrier_wait_held(c, t, true)) hd__carrier_run_free(c, t);
}

/* Where the thread stands: on its own stack, in code where it can be switched away from. */
static bool light_allowed(struct hd__worker *w, hd_thread *t, const struct hd__os_interrupted *at) {
#ifdef HD__TSAN
    return false; /* it delivers signals late, within its own code */
#endif
    const char *sp = (const char *)at->sp;
    return sp >= (const char *)t->stack->low && sp <= (const char *)t->stack->top &&
           at->mask == hd__self_carrier()->mask && in_registered_code(at->pc) &&
           !hd__cxx_any(w->cxx);
}

/* An alarm that the monitor has set for the first deadline. Whoever it wakes runs at once, in place
 * of a hog; next, in place of another. False: there is nothing to be preempted for. */
static bool expire(struct hd__worker *w, uint64_t now_ns) {
    bool hog = hd__preempt_is_hog(w), any = false;
    for (unsigned i = 0; i < hd__rt.worker_count; i++) {
        struct hd__timers *h = &hd__rt.workers[i].timers;
        any |= hd__sched_expire(w, h, now_ns, hog) != 0;
    }
    return any && hog;
}

static void preempt(struct hd__worker *w, struct hd__self *self,
                    const struct hd__os_interrupted *at) {
    uint64_t since_ns = hd__os_now_ns();
    if (at->alarm && !expire(w, since_ns)) return;
    bool urgent = atomic_exchange_explicit(&w->urgent, false, memory_order_relaxed);
    hd_thread *t = atomic_load_explicit(&w->current, memory_order_relaxed);
    if (!t || atomic_load_explicit(&hd__rt.stopping, memory_order_relaxed)) return;
    urgent |= at->alarm;
    int kind = hd__preempt_kind(t);
    bool light = kind == HD_PREEMPT_LIGHT && light_allowed(w, t, at);
    if (t->no_preempt) t->no_preempt |= HD__PREEMPT_DUE;
    /* A carrier with light threads is not held: nobody else could run them. */
    if (kind == HD_PREEMPT_OFF || t->no_preempt || (!light && self->carrier->lights != 0) ||
        (kind == HD_PREEMPT_LIGHT && !light && ++w->light_tries < LIGHT_TRIES)) {
        hd__preempt_count(&w->deferred, 1);
        return;
    }
    w->light_tries = 0;
    hd_thread *next = choose(w, urgent);
    if (!next) return;
    if (light && hd__preempt_kind(next) != HD_PREEMPT_LIGHT &&
        !(hd__thread_flags(next) & HD__THREAD_BOUND) && hd__carriers.spare_count == 0) {
        /* It would not be run on this carrier. */
        hd__preempt_count(&w->no_carrier, 1);
        put_back(w, next);
        hd__monitor_poke();
    } else if (light)
        switch_light(w, self->carrier, t, next);
    else
        switch_carrier(w, self, t, next, urgent, since_ns);
}

static void on_signal(const struct hd__os_interrupted *at) {
    struct hd__self *self = hd__self_get(); /* stays right: a preempted thread keeps its carrier */
    struct hd__worker *w = atomic_load_explicit(&self->worker, memory_order_relaxed);
    if (self->carrier)
        atomic_store_explicit(&self->carrier->signalled, false, memory_order_relaxed);
    if (atomic_load_explicit(&self->inside, memory_order_relaxed)) {
        if (w) {
            hd__preempt_count(&w->deferred, 1);
            if (at->alarm || atomic_load_explicit(&w->urgent, memory_order_relaxed))
                hd__monitor_poke();
        }
        return;
    }
    atomic_store_explicit(&self->inside, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    w = atomic_load_explicit(&self->entry, memory_order_acquire); /* as hd__sched_enter() */
    if (w == HD__WORKERLESS)
        hd__carrier_queue_up(self->carrier);
    else if (w)
        preempt(w, self, at);
    atomic_store_explicit(&self->inside, 0, memory_order_release);
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
    unsigned n = hd__rt.worker_count, start = self ? self->index + 1 : 0;
    bool hog = false;
    if (HD__IDLE_PARKED(word) != 0 || HD__IDLE_SEARCHING(word) != 0) return false;
    for (unsigned i = 0; i < n; i++) {
        struct hd__worker *v = &hd__rt.workers[(start + i) % n];
        if (!may_interrupt(v, t)) continue;
        hog = true;
        if (atomic_exchange_explicit(&v->urgent, true, memory_order_relaxed)) continue;
        hd__fifo_put(&v->inbox, t, t, 1);
        hd__idle_wake_worker(v); /* in case that it parks just now */
        /* Ourselves cannot be interrupted here; the monitor does it in a moment. It also looks
         * first whether the thread is blocked, where a signal would end its call. */
        if (v == self || !HD__OS_INTERRUPT_REPEATS)
            hd__monitor_poke();
        else
            hd__preempt_signal(v);
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
    hd_thread *next = choose(w, false);
    if (!next) return;
    hd__preempt_count(&w->preempted_enable, 1);
    hd__preempt_begin(w, hd__os_now_ns(), hd__thread_flags(next) & HD__THREAD_BOUND);
    switch_to(w, t, next, HD__POST_YIELD, t);
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

int hd__preempt_init(int sig) {
    static bool hooked;
    uintptr_t low, end;
    program_mask = hd__os_signal_mask();
    if (!hooked) hooked = hd__os_at_fork(in_child) == 0;
    atomic_store_explicit(&forked, false, memory_order_relaxed);
    if (hd__os_program_code(&low, &end)) (void)add_code(low, end);
    return hd__os_interrupt_install(sig ? sig : hd__os_interrupt_default(), on_signal);
}

void hd__preempt_finish(void) {
    hd__os_interrupt_restore();
}
