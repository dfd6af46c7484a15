/* SPDX-License-Identifier: MIT */
/* Carriers; the idea is in carrier.h. */
#include "sched/carrier.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "base/check.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "os/futex.h"
#include "os/mem.h"
#include "os/slack.h"
#include "sched/follow.h"
#include "sched/monitor.h"
#include "sched/place.h"
#include "sched/preempt.h"
#include "sched/rcu.h"

enum { SPARE_IDLE_NS = 1000 * 1000 * 1000, SPARE_LOOKS = 16 };
static const uint64_t PATIENCE_NS = 2000000000; /* of a runtime that stops */

struct hd__carriers hd__carriers;
__thread struct hd__self hd__self __attribute__((tls_model("initial-exec")));

__thread uint64_t hd__thread_token __attribute__((tls_model("initial-exec"))) = HD__TOKEN_NONE;

#ifndef HD__SELF_INLINE
HD__NOINLINE void hd__self_set_token(uint64_t token) {
    hd__thread_token = token;
}

HD__NOINLINE struct hd__worker *hd__worker_get(void) {
    return atomic_load_explicit(&hd__self.worker, memory_order_relaxed);
}

HD__NOINLINE struct hd__worker *hd__self_enter(void) {
    atomic_store_explicit(&hd__self.inside, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    return atomic_load_explicit(&hd__self.entry, memory_order_acquire);
}

HD__NOINLINE void hd__sched_leave(void) {
    atomic_store_explicit(&hd__self.inside, 0, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
    if (HD__UNLIKELY(atomic_load_explicit(&hd__self.due, memory_order_relaxed) != 0))
        hd__sched_leave_due();
}
#endif

HD__NOINLINE bool hd__sched_inside(void) {
    return atomic_load_explicit(&hd__self.inside, memory_order_relaxed) != 0;
}

HD__NOINLINE struct hd__carrier *hd__self_carrier(void) {
    return hd__self.carrier;
}

HD__NOINLINE uint64_t hd__self_token(void) {
    return hd__thread_token;
}

HD__NOINLINE struct hd__self *hd__self_get(void) {
    return &hd__self;
}

/* ---- Spares ---- */

struct hd__carrier *hd__carrier_take_spare(void) {
    hd__spin_lock(&hd__carriers.lock);
    struct hd__carrier **link = &hd__carriers.spares;
    unsigned cpu = hd__os_cpu_current(), looks = 0;
    while (*link && (*link)->cpu != cpu && ++looks < SPARE_LOOKS) link = &(*link)->next;
    if (!*link || (*link)->cpu != cpu) link = &hd__carriers.spares;
    struct hd__carrier *c = *link;
    if (c) {
        *link = c->next;
        hd__carriers.spare_count--;
    }
    hd__spin_unlock(&hd__carriers.lock);
    return c;
}

void hd__carrier_put_spare(struct hd__carrier *c) {
    hd__spin_lock(&hd__carriers.lock);
    c->next = hd__carriers.spares;
    hd__carriers.spares = c;
    hd__carriers.spare_count++;
    c->spare_since_ns = hd__os_now_ns();
    hd__spin_unlock(&hd__carriers.lock);
}

/* ---- Grants ---- */

void hd__carrier_grant(struct hd__carrier *c, struct hd__worker *w, hd_thread *t,
                       uint64_t since_ns) {
    c->grant_worker = w;
    c->grant_thread = t;
    c->grant_ns = since_ns;
    atomic_store_explicit(&w->carrier, c, memory_order_relaxed);
    atomic_store_explicit(&c->granted, HD__GRANT, memory_order_release);
    hd__os_futex_wake(&c->granted, 1);
}

void hd__carrier_grant_here(struct hd__carrier *c, struct hd__worker *w, hd_thread *t,
                            uint64_t since_ns) {
    unsigned cpu = hd__os_cpu_current();
    /* It widens the set again as soon as it runs: hd__sched_set_affinity(). */
    if (c->cpu != cpu && !hd__rt.bind_workers && c->tid != 0 &&
        !(t && (hd__thread_flags(t) & HD__THREAD_PINNED))) {
        hd_cpuset own = {{0}};
        hd_cpuset_add(&own, cpu);
        if (hd__os_cpus_set_of(c->tid, &own) == 0) {
            c->affinity = own;
            c->only = cpu + 1;
        }
    }
    hd__carrier_grant(c, w, t, since_ns);
}

static enum hd__grant wait_granted(struct hd__carrier *c) {
    uint32_t grant;
    c->cpu = hd__os_cpu_current();
    while ((grant = atomic_load_explicit(&c->granted, memory_order_acquire)) == HD__GRANT_NONE)
        hd__os_futex_wait(&c->granted, HD__GRANT_NONE, HD_FOREVER);
    atomic_store_explicit(&c->granted, HD__GRANT_NONE, memory_order_relaxed);
    return grant;
}

void hd__carrier_note_special(struct hd__worker *w, bool affine) {
    struct hd__carrier *c = atomic_load_explicit(&w->carrier, memory_order_relaxed);
    w->special = affine || c->lights != 0;
}

/* On the carrier itself. */
static void set_worker(struct hd__self *self, struct hd__worker *w) {
    atomic_store_explicit(&self->worker, w, memory_order_relaxed);
    atomic_store_explicit(&self->entry, w, memory_order_relaxed);
}

void hd__carrier_lose_worker(struct hd__carrier *c) {
    set_worker(c->self, NULL);
}

/* c begins to run the worker that it was granted. */
static struct hd__worker *take_worker(struct hd__carrier *c, hd_thread *t, bool hog) {
    struct hd__worker *w = c->grant_worker;
    w->loop = &c->loop;
    w->cxx = c->cxx;
    atomic_store_explicit(&c->held, NULL, memory_order_relaxed); /* before w can be taken again */
    set_worker(c->self, w);
    hd__sched_set_affinity(w, t);
    uint64_t now = hd__os_now_ns();
    if (c->grant_ns != 0) hd__preempt_count(&w->lost_ns, now - c->grant_ns);
    hd__preempt_begin(w, t, now, hog, c->grant_ns != 0);
    return w;
}

struct hd__worker *hd__carrier_wait_held(struct hd__carrier *c, hd_thread *t, bool hog) {
    if (wait_granted(c) == HD__GRANT_FREE) return NULL;
    struct hd__worker *w = take_worker(c, t, hog);
    hd__carrier_unbind(t);
    atomic_store_explicit(&w->current, t, memory_order_relaxed);
    return w;
}

/* ---- Brief sections ---- */

bool hd__carriers_can_pass(void) {
    hd__spin_lock(&hd__carriers.lock);
    bool none = hd__carriers.all == NULL;
    hd__spin_unlock(&hd__carriers.lock);
    return none || atomic_load_explicit(&hd__monitor.can_retake, memory_order_relaxed);
}

/* Whether every carrier was seen outside of brief sections since the ticket was drawn. A look
 * counts for all tickets that were drawn before it. */
static bool all_passed(uint64_t ticket) {
    bool all = true;
    for (struct hd__carrier *c = hd__carriers.all; c; c = c->all) {
        if (c->passed >= ticket) continue;
        struct hd__self *self = atomic_load_explicit(&c->self, memory_order_acquire);
        /* Acquires what was done in the section that has ended: leave() is a release. */
        if (self && atomic_load_explicit(&self->inside, memory_order_acquire) == HD__INSIDE_BRIEF)
            all = false;
        else
            c->passed = hd__carriers.passes;
    }
    return all;
}

/* Dekker's algorithm as in retake(): after the barrier, a carrier that has not seen what was hidden
 * is seen in its section. A carrier that is not in the list yet begins after this. */
void hd__carriers_pass(void) {
    uint64_t ticket = 0;
    for (bool done = false; !done;) {
        hd__spin_lock(&hd__carriers.lock);
        if (ticket == 0 && hd__carriers.all &&
            atomic_load_explicit(&hd__monitor.can_retake, memory_order_relaxed)) {
            hd__spin_unlock(&hd__carriers.lock);
            hd__os_membarrier();
            hd__spin_lock(&hd__carriers.lock);
        }
        if (ticket == 0) ticket = ++hd__carriers.passes;
        done = all_passed(ticket);
        hd__spin_unlock(&hd__carriers.lock);
        if (!done) hd__os_yield(); /* only if it was descheduled by the kernel */
    }
}

/* ---- A thread that lost its worker ---- */

/* Takes back what retake() has begun. It fails against a hand-over by the carrier itself; then w is
 * another's by now. */
static bool undo_retake(struct hd__self *self, struct hd__worker *w) {
    struct hd__worker *expected = HD__WORKERLESS;
    (void)atomic_compare_exchange_strong(&self->entry, &expected, w);
    return false;
}

bool hd__carrier_retake(struct hd__worker *w, bool sections) {
    struct hd__carrier *c = atomic_load_explicit(&w->carrier, memory_order_relaxed);
    struct hd__self *self = atomic_load_explicit(&c->self, memory_order_acquire);
    struct hd__worker *expected = w;
    if (!self || atomic_load_explicit(&c->lights, memory_order_relaxed) != 0) return false;
    if (!atomic_compare_exchange_strong(&self->entry, &expected, HD__WORKERLESS)) return false;
    hd__os_membarrier();
    if (atomic_load_explicit(&self->inside, memory_order_seq_cst)) return undo_retake(self, w);
    /* Its thread is outside, or in enter(), which waits for our decision. It may have begun a
     * section since it was seen blocked: that was inside, and is seen by now. */
    hd_thread *t = atomic_load_explicit(&w->current, memory_order_relaxed);
    if (!sections && t && hd__thread_look(t).no_preempt) return undo_retake(self, w);
    /* Perhaps it was another that was seen blocked: who has just given w away sleeps. */
    if (!sections && !hd__carrier_is_blocked(c)) return undo_retake(self, w);
    /* From here on w is ours. */
    atomic_store_explicit(&c->held, t, memory_order_release);
    atomic_store_explicit(&w->current, NULL, memory_order_relaxed);
    atomic_fetch_add_explicit(&hd__carriers.held, 1, memory_order_relaxed);
    return true;
}

bool hd__carrier_give_back(struct hd__worker *w) {
    struct hd__carrier *c = atomic_load_explicit(&w->carrier, memory_order_relaxed);
    struct hd__self *self = atomic_load_explicit(&c->self, memory_order_relaxed);
    struct hd__worker *expected = HD__WORKERLESS;
    hd_thread *t = atomic_exchange_explicit(&c->held, NULL, memory_order_relaxed);
    atomic_store_explicit(&w->current, t, memory_order_relaxed);
    if (atomic_compare_exchange_strong(&self->entry, &expected, w)) {
        atomic_fetch_sub_explicit(&hd__carriers.held, 1, memory_order_relaxed);
        return true;
    }
    atomic_store_explicit(&w->current, NULL, memory_order_relaxed);
    return false;
}

/* The runtime stops: leaves the thread, which nobody continues, for the carrier's own loop. */
static _Noreturn void abandon(struct hd__carrier *c, hd_thread *t) {
    struct hd__context dying;
    hd__ctx_move(&t->ctx, &dying); /* t is discarded like those that wait */
    hd__ctx_jump(&dying, &c->loop, NULL);
}

/* The thread on this carrier asks for a worker again: it waits in the queue like everybody else.
 * NULL: the runtime stops. */
static struct hd__worker *come_back(struct hd__carrier *c, hd_thread *t) {
    bool stopping = atomic_load_explicit(&hd__rt.stopping, memory_order_seq_cst);
    if (!stopping) {
        hd__carrier_bind(c, t);
        hd__sched_ready(t);
    }
    /* Not before it is in a queue: a look for a deadlock would see it nowhere. */
    atomic_fetch_sub_explicit(&hd__carriers.held, 1, memory_order_seq_cst);
    if (stopping) return NULL;
    return hd__carrier_wait_held(c, t, false);
}

/* By a carrier that has seen that its worker is being taken away: waits for the decision, which is
 * made in a moment. Whose thread it has, if the worker is gone; NULL: it was given back. */
static hd_thread *notice(struct hd__carrier *c) {
    struct hd__worker *_Atomic *entry = &c->self->entry;
    struct hd__worker *gone = HD__WORKERLESS;
    hd_thread *t;
    for (unsigned looks = 1; !(t = atomic_load_explicit(&c->held, memory_order_acquire)); looks++) {
        if (atomic_load_explicit(entry, memory_order_acquire) != HD__WORKERLESS) return NULL;
        hd__cpu_relax();
        if (looks % 1024 == 0) hd__os_yield(); /* the monitor has no CPU */
    }
    if (!atomic_compare_exchange_strong(entry, &gone, HD__NOTICED)) return NULL;
    atomic_store_explicit(&c->self->worker, NULL, memory_order_relaxed);
    return t;
}

HD__NOINLINE struct hd__worker *hd__sched_enter_slow(struct hd__worker *w) {
    hd__preempt_check_fork();
    if (!w) return NULL;
    struct hd__self *self = hd__self_get();
    int saved = hd__os_errno_get();
    hd_thread *t = notice(self->carrier);
    if (!t) {
        hd__os_errno_set(saved);
        return atomic_load_explicit(&self->entry, memory_order_acquire);
    }
    w = come_back(self->carrier, t);
    if (!w) abandon(self->carrier, t);
    hd__os_errno_set(saved);
    return w;
}

void hd__carrier_run_free(struct hd__carrier *c, hd_thread *t) {
    atomic_fetch_add_explicit(&hd__carriers.held, 1, memory_order_relaxed);
    atomic_store_explicit(&c->held, t, memory_order_relaxed);
    atomic_store_explicit(&c->self->entry, HD__WORKERLESS, memory_order_relaxed);
}

void hd__carrier_queue_up(struct hd__carrier *c) {
    if (atomic_load_explicit(&hd__rt.stopping, memory_order_seq_cst)) return;
    hd_thread *t = notice(c);
    if (t && !come_back(c, t)) hd__carrier_run_free(c, t);
}

/* ---- The life of a carrier ---- */

static struct hd__os_exit_hook carrier_exit;

/* A kernel thread ended while it carried a worker, and took that worker's threads along. */
static void carrier_ended(void *arg) {
    const struct hd__carrier *c = arg;
    struct hd__worker *w = atomic_load_explicit(&c->self->entry, memory_order_relaxed);
    hd_thread *t = w == HD__WORKERLESS || w == HD__NOTICED ? c->held : w ? w->current : NULL;
    hd__fatal("pthread_exit: called from thread %llu '%s', which is not a kernel thread; return "
              "from its function instead", t ? (unsigned long long)t->id : 0,
              t ? hd_thread_name(t) : "");
}

/* Not before it runs: what a kernel thread does first may need a lock that a preempted thread holds
 * (of the C library, of a sanitizer), and that thread the worker that this one is granted. */
static void begin_spare(struct hd__carrier *c) {
    hd__carrier_put_spare(c);
    atomic_fetch_sub_explicit(&hd__carriers.starting, 1, memory_order_relaxed);
    hd__monitor_poke();
}

/* Runs workers on this kernel thread as long as it is granted any. */
static void carry(struct hd__carrier *c) {
    struct hd__os_altstack alt;
    uint64_t token = hd__self_token();
    hd__os_altstack_init(&alt);
    hd__ctx_adopt(&c->loop);
    c->cxx = hd__cxx_globals();
    c->self = &hd__self;
    c->tid = hd__os_gettid();
    hd__self.carrier = c;
    atomic_fetch_add_explicit(&hd__rt.kthreads, 1, memory_order_seq_cst);
    atomic_store_explicit(&hd__self.inside, 1, memory_order_relaxed);
    hd__preempt_open_signal();
    bool reader = hd__rcu_join();
    /* Without the hook such an end goes unnoticed, as it does in the C library. */
    (void)hd__os_kthread_at_exit(&carrier_exit, carrier_ended, c);
    if (c->begins_spare) begin_spare(c);
    while (wait_granted(c) == HD__GRANT) {
        struct hd__worker *w = take_worker(c, c->grant_thread, false);
        w = hd__sched_loop(c, w, c->grant_thread);
        set_worker(&hd__self, NULL);
        if (w || atomic_load_explicit(&hd__rt.stopping, memory_order_acquire)) {
            if (w) hd__stack_cache_drain(&w->stacks, hd__rt.stack_class);
            break;
        }
    }
    (void)hd__os_kthread_at_exit(&carrier_exit, carrier_ended, NULL);
    if (reader) hd__rcu_part();
    hd__preempt_close_signal();
    hd__self_set_token(token);
    hd__self.carrier = NULL;
    atomic_fetch_sub_explicit(&hd__rt.kthreads, 1, memory_order_seq_cst);
    atomic_store_explicit(&hd__self.inside, 0, memory_order_relaxed);
    hd__os_altstack_finish(&alt);
    /* Under the lock, so that the monitor does not look at what goes with this kernel thread. */
    hd__spin_lock(&hd__carriers.lock);
    c->self = NULL;
    atomic_store_explicit(&c->gone, true, memory_order_release);
    hd__spin_unlock(&hd__carriers.lock);
}

static void carrier_main(void *arg) {
    /* Without an alternate stack an overflow still ends the process, only without our line. */
    hd__os_timer_slack(1);
    carry(arg);
}

static struct hd__carrier *carrier_new(void) {
    struct hd__carrier *c = hd__os_alloc_aligned(HD__CACHE_LINE, sizeof *c);
    if (!c) return NULL;
    memset(c, 0, sizeof *c);
    c->slice_ns = HD_FOREVER;
    c->cpus_changes = atomic_load_explicit(&hd__rt.cpus_changes, memory_order_acquire);
    hd__place_allowed(&c->affinity);
    hd__spin_lock(&hd__carriers.lock);
    c->all = hd__carriers.all;
    hd__carriers.all = c;
    hd__carriers.count++;
    if (hd__carriers.count > hd__carriers.most) hd__carriers.most = hd__carriers.count;
    hd__spin_unlock(&hd__carriers.lock);
    return c;
}

static void carrier_free(struct hd__carrier *c) {
    hd__spin_lock(&hd__carriers.lock);
    struct hd__carrier **link = &hd__carriers.all;
    while (*link != c) link = &(*link)->all;
    *link = c->all;
    hd__carriers.count--;
    hd__spin_unlock(&hd__carriers.lock);
    hd__os_task_close(&c->task);
    hd__os_alarm_delete(&c->alarm);
    hd__os_alarm_delete(&c->slice);
    hd__os_free(c);
}

static int carrier_start(struct hd__carrier *c, unsigned number) {
    char name[16];
    hd__format(name, sizeof name, "heddle/%u", number);
    return hd__os_kthread_create(name, carrier_main, c, &c->kthread);
}

static struct hd__carrier *make(bool spare) {
    struct hd__carrier *c = hd__carriers.count < hd__carriers.max ? carrier_new() : NULL;
    if (!c) return NULL;
    c->begins_spare = spare;
    /* It may take grants before it has begun to wait for them. */
    if (carrier_start(c, hd__carriers.count - 1) == 0) return c;
    carrier_free(c);
    return NULL;
}

struct hd__carrier *hd__carrier_make(void) {
    return make(false);
}

static bool add_spare(void) {
    atomic_fetch_add_explicit(&hd__carriers.starting, 1, memory_order_relaxed);
    bool added = make(true) != NULL;
    if (!added) atomic_fetch_sub_explicit(&hd__carriers.starting, 1, memory_order_relaxed);
    return added;
}

/* Takes those spares off the list, all but `keep`, that had nothing to do for SPARE_IDLE_NS. What
 * the kernel still does for such a kernel thread in a ring it cancels, and that is begun again. */
static struct hd__carrier *take_idle(unsigned keep) {
    struct hd__carrier *ended = NULL;
    uint64_t now_ns = hd__os_now_ns();
    hd__spin_lock(&hd__carriers.lock);
    struct hd__carrier **link = &hd__carriers.spares;
    for (unsigned kept = 0; *link;) {
        struct hd__carrier *c = *link;
        if (kept < keep || c->caller || now_ns - c->spare_since_ns < SPARE_IDLE_NS) {
            kept++;
            link = &c->next;
            continue;
        }
        *link = c->next;
        hd__carriers.spare_count--;
        c->next = ended;
        ended = c;
    }
    hd__spin_unlock(&hd__carriers.lock);
    return ended;
}

static void end_idle(unsigned keep) {
    struct hd__carrier *ended = take_idle(keep);
    while (ended) {
        struct hd__carrier *c = ended;
        ended = c->next;
        atomic_store_explicit(&c->granted, HD__GRANT_FREE, memory_order_release);
        hd__os_futex_wake(&c->granted, 1);
        hd__os_kthread_join(&c->kthread);
        carrier_free(c);
    }
}

/* ---- The maker ---- */

void hd__carriers_want(unsigned target) {
    atomic_store_explicit(&hd__carriers.target, target, memory_order_relaxed);
    hd__carriers_ask();
}

void hd__carriers_ask(void) {
    if (atomic_exchange_explicit(&hd__carriers.asked, 1, memory_order_release) == 0)
        hd__os_futex_wake(&hd__carriers.asked, 1);
}

/* The runtime has been stopping for a while: who keeps it? */
static void tell_who_is_left(void) {
    hd__spin_lock(&hd__carriers.lock);
    for (struct hd__carrier *c = hd__carriers.all; c; c = c->all) {
        struct hd__self *self = atomic_load_explicit(&c->self, memory_order_acquire);
        struct hd__worker *w =
            self ? atomic_load_explicit(&self->entry, memory_order_acquire) : NULL;
        bool held = w == HD__WORKERLESS || w == HD__NOTICED;
        hd_thread *t = held ? atomic_load_explicit(&c->held, memory_order_acquire)
                       : w  ? atomic_load_explicit(&w->current, memory_order_relaxed) : NULL;
        if (!t) continue;
        hd__print_fd2("heddle: the runtime is to stop, and waits for detached thread %llu '%s' to "
                      "wait, to yield or to end: it computes, or blocks the kernel thread\n",
                      (unsigned long long)hd__thread_look(t).id, hd_thread_name(t));
    }
    hd__spin_unlock(&hd__carriers.lock);
}

static void maker_main(void *arg) {
    uint64_t tell_ns = HD_FOREVER, order_ns = hd__follow_order_due();
    (void)arg;
    atomic_fetch_add_explicit(&hd__rt.kthreads, 1, memory_order_seq_cst);
    while (!atomic_load_explicit(&hd__carriers.maker_ends, memory_order_acquire)) {
        if (tell_ns == HD_FOREVER && atomic_load_explicit(&hd__rt.stopping, memory_order_acquire))
            tell_ns = hd__os_now_ns() + PATIENCE_NS;
        uint64_t until_ns = order_ns < tell_ns ? order_ns : tell_ns;
        if (hd__os_futex_wait(&hd__carriers.asked, 0, until_ns) == -ETIMEDOUT) {
            if (until_ns == order_ns) {
                hd__follow_make_order(&hd__carriers.maker_ends);
                order_ns = HD_FOREVER;
            } else {
                tell_who_is_left();
                tell_ns = HD_FOREVER - 1;
            }
        }
        if (atomic_exchange_explicit(&hd__carriers.asked, 0, memory_order_acquire) == 0) continue;
        if (hd__follow_is_asked()) hd__follow_look();
        unsigned target = atomic_load_explicit(&hd__carriers.target, memory_order_relaxed);
        while (hd__carriers.spare_count + hd__load_relaxed(&hd__carriers.starting) < target &&
               !hd__load_relaxed(&hd__carriers.maker_ends) && add_spare()) {
        }
        if (hd__carriers.spare_count > target) end_idle(target);
    }
    atomic_fetch_sub_explicit(&hd__rt.kthreads, 1, memory_order_seq_cst);
}

/* ---- All of them ---- */

void hd__carriers_run_caller(void) {
    carry(hd__carriers.caller);
}

bool hd__carriers_release(void) {
    bool left = false;
    hd__spin_lock(&hd__carriers.lock);
    for (struct hd__carrier *c = hd__carriers.all; c; c = c->all) {
        if (atomic_load_explicit(&c->gone, memory_order_acquire)) continue;
        if (!c->caller) left = true;
        uint32_t none = HD__GRANT_NONE;
        if (atomic_compare_exchange_strong(&c->granted, &none, HD__GRANT_FREE))
            hd__os_futex_wake(&c->granted, 1);
    }
    hd__spin_unlock(&hd__carriers.lock);
    return left;
}

void hd__carriers_stop(void) {
    if (hd__carriers.maker_runs) {
        atomic_store_explicit(&hd__carriers.maker_ends, true, memory_order_release);
        hd__carriers_want(0);
        hd__os_kthread_join(&hd__carriers.maker);
        hd__carriers.maker_runs = false;
    }
    /* A held one may begin to wait at any time, so they are told again until all are gone. */
    while (hd__carriers_release()) hd__os_sleep_until(hd__os_now_ns() + 200 * 1000);
    while (hd__carriers.all) {
        struct hd__carrier *c = hd__carriers.all;
        if (!c->caller) hd__os_kthread_join(&c->kthread);
        carrier_free(c);
    }
    hd__carriers.spares = NULL;
    hd__carriers.spare_count = 0;
}

int hd__carriers_start(unsigned max, bool caller) {
    hd__carriers.max = max;
    hd__carriers.most = 0;
    atomic_store(&hd__carriers.starting, 0);
    atomic_store(&hd__carriers.maker_ends, false);
    atomic_store(&hd__carriers.asked, 0);
    unsigned active = atomic_load(&hd__rt.active);
    for (unsigned i = 0; i < active; i++) {
        struct hd__carrier *c = carrier_new();
        if (!c) return -ENOMEM;
        c->caller = caller && i == 0;
        if (c->caller) hd__carriers.caller = c;
        int err = c->caller ? 0 : carrier_start(c, i);
        if (err) {
            carrier_free(c);
            return err;
        }
        hd__carrier_grant(c, &hd__rt.workers[i], NULL, 0);
    }
    int err = hd__os_kthread_create("heddle/make", maker_main, NULL, &hd__carriers.maker);
    hd__carriers.maker_runs = err == 0;
    return err;
}
