/* SPDX-License-Identifier: MIT */
/* The monitor: a kernel thread that sees to it that nobody holds a worker for longer than a slice
 * while others wait. Once it has ended a slice, carriers end those that follow by themselves, where
 * that is possible (alarm.c): then it looks less often.
 *
 * It sleeps until the first of: the end of the slice of some running thread, if somebody waits; the
 * first deadline, if no parked worker minds the timers; 20 us after hd_blocking() was called, if
 * somebody waits. If none of them is ahead it sleeps without a limit, and sends no signal: a
 * program in which nobody waits is left alone.
 *
 * No lost poke. Who makes a thread runnable looks at hd__rt.idle after the push, for parked
 * workers, and sees HD__IDLE_LISTENS there as well. The monitor sets it, then looks into every
 * queue under its lock, then sleeps: the argument is that of idle.c. Who arms a timer compares with
 * wake_ns after it; the monitor stores wake_ns, then looks at the timers; both are sequentially
 * consistent, so one of them sees the other.
 *
 * A worker's present thread is told by its count of dispatches (`tick`): if that has not changed
 * since the last look, the thread has run since then. So switches pay nothing, and a thread that
 * follows voluntary switches gets one to two slices; those that were preempted are timed exactly
 * (started_ns).
 *
 * A thread that is blocked in a system call is not signalled: a signal would make calls that the
 * kernel does not restart (poll(), nanosleep()) return early. The kernel tells (os/task.h), and the
 * worker is taken from under it (hd__carrier_retake()). What remains are the few microseconds
 * between that look and the arrival of the signal. Without membarrier(), which taking a worker away
 * needs, blocked threads are signalled like all others.
 *
 * It has spare carriers made ahead of need, and those ended that were idle for long. It takes no
 * lock of the C library itself: see carrier.h. */
#include "sched/monitor.h"

#include "os/clock.h"
#include "os/cpu.h"
#include "os/futex.h"
#include "os/slack.h"
#include "sched/alarm.h"
#include "sched/follow.h"
#include "sched/preempt.h"
#include "sched/ranked.h"

enum {
    BLOCKING_NS = 20 * 1000,
    RETRY_NS = 50 * 1000,              /* after a signal that found the thread in the runtime */
    RETRY_LATER_NS = 1000 * 1000,      /* after many */
    IO_LOOK_NS = 10 * 1000 * 1000,     /* at what has completed, while all workers are busy */
    FEW_TRIES = 8,
    HELD_LOOK_NS = 10 * 1000 * 1000,
    ALARM_LATE_NS = 100 * 1000,        /* how much later than an alarm the monitor looks */
    TRIM_NS = 1000 * 1000 * 1000,      /* how often too many spare carriers are looked at */
    SPARES_MAX = 8,                    /* made ahead, at most */
    MINDED_SLICES = 4,                 /* between looks at those that mind them themselves */
};

struct hd__monitor hd__monitor;

/* What one look has found. */
struct look {
    uint64_t now_ns;
    uint64_t next_ns;   /* look again by then */
    uint64_t first_ns;  /* the first deadline, if we mind it; else HD_FOREVER */
    uint64_t slice_ns;
    bool waiting;       /* somebody is runnable and does not run */
    bool parked;        /* some worker is */
    bool busy;          /* some worker is not */
    bool stuck;         /* no worker has changed its thread since the last look */
    bool wants_spare;
    bool minded;        /* every thread that runs has an alarm for the end of its slice */
};

void hd__monitor_poke(void) {
    atomic_store_explicit(&hd__monitor.poked, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&hd__monitor.in_poller, memory_order_seq_cst))
        hd__poller.kick();
    else
        hd__os_futex_wake(&hd__monitor.poked, 1);
}

static void no_later(struct look *l, uint64_t ns) {
    if (ns < l->next_ns) l->next_ns = ns;
}

/* ---- Acting ---- */

/* Finds a carrier for w, which is ours: a spare one, or that of a thread that waits for its turn.
 * The latter matters when there is no spare: that thread may hold the lock that the one wants
 * which blocked w's carrier. */
static bool rehouse(struct hd__worker *w) {
    struct hd__carrier *spare = hd__carrier_take_spare();
    hd_thread *t = spare ? NULL : hd__preempt_choose_bound(w);
    if (spare)
        hd__carrier_grant(spare, w, NULL, 0);
    else if (t)
        hd__carrier_grant(hd__carrier_of(t), w, t, 0);
    w->orphan = !spare && !t;
    return !w->orphan;
}

/* sections: also from a thread that is in a section in which it is not preempted. */
static bool take_away(struct hd__worker *w, struct look *l, bool sections) {
    if (hd__carriers.spare_count == 0) l->wants_spare = true;
    if (!hd__monitor.can_retake || !hd__carrier_retake(w, sections))
        return false;
    if (rehouse(w)) return true;
    /* Without one, its thread may keep it; unless that thread has come back already. */
    if (hd__carrier_give_back(w)) {
        w->orphan = false;
        return false;
    }
    return true;
}

static void count(_Atomic uint64_t *counter) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static bool may_stop(const hd_thread *t) {
    return t && hd__preempt_may(hd__thread_look(t));
}

/* The slice of w's thread is over, or something urgent waits for w. */
static void enforce(struct hd__worker *w, struct look *l) {
    struct hd__carrier *c = atomic_load_explicit(&w->carrier, memory_order_relaxed);
    hd_thread *t = atomic_load_explicit(&w->current, memory_order_relaxed);
    int64_t nr;
    if (!t) return;
    struct hd__thread_look seen = hd__thread_look(t);
    if (hd__monitor.can_retake && hd__carrier_is_blocked_in(c, &nr)) {
        /* Also one that is never preempted: it may wait for a lock whose holder waits for this
         * worker. But not one in a section: that has something of the worker to itself. */
        if (!seen.no_preempt && take_away(w, l, false)) {
            count(&hd__monitor.in_syscall);
            atomic_store_explicit(&hd__monitor.last_nr, nr, memory_order_relaxed);
            atomic_store_explicit(&hd__monitor.last_thread, seen.id, memory_order_relaxed);
        }
    } else if (hd__preempt_kind_of(seen.flags) != HD_PREEMPT_OFF) {
        hd__preempt_signal(w);
    }
}

/* ---- Looking ---- */

/* Since when w's present thread runs. */
static uint64_t since(struct hd__worker *w, struct look *l) {
    uint32_t tick = atomic_load_explicit(&w->tick, memory_order_relaxed);
    if (tick != w->seen_tick) {
        l->stuck = false;
        w->seen_tick = tick;
        w->seen_ns = l->now_ns;
        w->tries = 0;
    }
    if (tick == atomic_load_explicit(&w->started_tick, memory_order_relaxed))
        return atomic_load_explicit(&w->started_ns, memory_order_relaxed);
    return w->seen_ns;
}

static void look_at_blocking(struct hd__worker *w, struct look *l) {
    if (w->blocking_ns == 0) w->blocking_ns = l->now_ns;
    uint64_t end_ns = w->blocking_ns + BLOCKING_NS;
    if (l->now_ns < end_ns) {
        no_later(l, end_ns);
    } else if (take_away(w, l, true)) {
        count(&hd__monitor.handed_off);
    } else {
        if (!hd__monitor.can_retake) hd__preempt_signal(w);
        no_later(l, l->now_ns + (hd__monitor.can_retake ? BLOCKING_NS : RETRY_LATER_NS));
    }
}

static hd_thread *current(struct hd__worker *w) {
    return atomic_load_explicit(&w->current, memory_order_relaxed);
}

static bool signalled(struct hd__worker *w) {
    struct hd__carrier *c = atomic_load_explicit(&w->carrier, memory_order_relaxed);
    return atomic_load_explicit(&c->signalled, memory_order_relaxed);
}

static uint64_t slice_of(const hd_thread *t, const struct look *l) {
    uint32_t own_us = hd__thread_look(t).slice_us;
    return own_us ? own_us * 1000ull : l->slice_ns;
}

static void look_at(struct hd__worker *w, struct look *l) {
    if (w->orphan && !rehouse(w)) {
        l->wants_spare = true;
        no_later(l, l->now_ns + RETRY_NS);
        return;
    }
    uint64_t since_ns = since(w, l);
    bool urgent = atomic_load_explicit(&w->urgent, memory_order_relaxed);
    hd_thread *t = current(w);
    if (!t) { /* the loop dispatches the next one without another tick */
        w->seen_tick--;
        l->minded = false;
        return;
    }
    uint64_t slice_ns = slice_of(t, l);
    bool minded = hd__alarm_minds_slice(w, l->now_ns, slice_ns);
    l->minded &= minded;
    if (!hd__preempt_is_blocking(w)) {
        w->blocking_ns = 0;
    } else if (l->waiting) {
        look_at_blocking(w, l);
        return;
    }
    if (!urgent && (!l->waiting || slice_ns == HD_FOREVER)) return;
    if (!urgent && minded) {
        w->tries = 0;
        no_later(l, l->now_ns + MINDED_SLICES * slice_ns);
        return;
    }
    if (hd__rt.ranked && !hd__ranked_would_switch(w, t)) {
        /* Whoever waits is to wait. */
        atomic_store_explicit(&w->urgent, false, memory_order_relaxed);
        return;
    }
    /* Those whose slices end at about the same time are dealt with in one look. */
    uint64_t end_ns = since_ns + slice_ns;
    if (!urgent && l->now_ns + slice_ns / 16 < end_ns) {
        w->tries = 0;
        no_later(l, end_ns);
        return;
    }
    if (!hd__preempt_is_hog(w))
        atomic_store_explicit(&w->hog_tick,
                              atomic_load_explicit(&w->tick, memory_order_relaxed),
                              memory_order_relaxed);
    if (atomic_exchange_explicit(&w->in_call, false, memory_order_relaxed)) {
        w->tries = 1; /* it has just been interrupted, and is about to block again */
        w->retry_ns = l->now_ns + RETRY_NS;
    }
    if (l->now_ns >= w->retry_ns || w->tries == 0) {
        bool on_its_way = w->tries != 0 && signalled(w); /* the kernel does not run it, perhaps */
        /* In the runtime it is not for long, if perhaps often. */
        bool soon = !on_its_way && (++w->tries < FEW_TRIES || may_stop(current(w)));
        w->retry_ns = l->now_ns + (soon ? RETRY_NS : RETRY_LATER_NS);
        if (!on_its_way || ++w->tries % FEW_TRIES == 0) enforce(w, l);
    }
    no_later(l, w->retry_ns);
}

static bool in_section(const hd_thread *t) {
    return !t || hd__thread_look(t).no_preempt;
}

/* Threads that have lost their worker in a call that blocked, and compute by now: they are made to
 * wait for their turn. */
static void look_at_held(struct look *l) {
    static uint64_t last_ns;
    if (atomic_load_explicit(&hd__carriers.held, memory_order_relaxed) == 0) return;
    no_later(l, l->now_ns + HELD_LOOK_NS);
    if (l->now_ns - last_ns < HELD_LOOK_NS) return;
    last_ns = l->now_ns;
    hd__spin_lock(&hd__carriers.lock);
    for (struct hd__carrier *c = hd__carriers.all; c; c = c->all) {
        struct hd__self *self = atomic_load_explicit(&c->self, memory_order_acquire);
        if (!self || atomic_load_explicit(&c->gone, memory_order_acquire) ||
            atomic_load_explicit(&self->entry, memory_order_relaxed) != HD__WORKERLESS ||
            in_section(atomic_load_explicit(&c->held, memory_order_relaxed)) ||
            hd__carrier_is_blocked(c))
            continue;
        hd__preempt_interrupt(c);
    }
    hd__spin_unlock(&hd__carriers.lock);
}

/* The first deadline comes while every worker computes: a timer of the kernel that interrupts one
 * of them is quicker than we would be, who have to get a CPU first. Only a hog is worth it. */
static bool set_alarm(uint64_t deadline_ns) {
    if (!HD__OS_INTERRUPT_REPEATS) return false;
    for (unsigned i = 0; i < hd__rt.worker_count; i++) {
        struct hd__worker *w = &hd__rt.workers[i];
        struct hd__carrier *c = atomic_load_explicit(&w->carrier, memory_order_relaxed);
        hd_thread *t = atomic_load_explicit(&w->current, memory_order_relaxed);
        if (!may_stop(t) || !hd__preempt_is_hog(w) || hd__preempt_is_blocking(w)) continue;
        if (c->alarm_ns == deadline_ns) return true;
        if (hd__carrier_is_blocked(c) ||
            !hd__os_alarm_set(&c->alarm, HD__OS_ALARM, c->tid, deadline_ns))
            continue;
        c->alarm_ns = deadline_ns;
        return true;
    }
    return false;
}

/* Of the workers whose carriers do not mind it themselves. */
static uint64_t earliest_unminded(const struct look *l) {
    uint64_t earliest_ns = HD_FOREVER;
    for (unsigned i = 0; i < hd__rt.worker_count; i++) {
        struct hd__worker *w = &hd__rt.workers[i];
        uint64_t first_ns = hd__timers_earliest(&w->timers);
        if (first_ns < earliest_ns && first_ns < hd__alarm_when(w, l->now_ns))
            earliest_ns = first_ns;
    }
    return earliest_ns;
}

static void look_at_timers(struct look *l) {
    uint64_t earliest_ns = hd__idle_earliest_deadline();
    l->first_ns = HD_FOREVER;
    if (l->parked || earliest_ns == HD_FOREVER) return;
    if (earliest_ns <= l->now_ns) {
        for (unsigned i = 0; i < hd__rt.worker_count; i++)
            hd__sched_expire(NULL, &hd__rt.workers[i].timers, l->now_ns, HD__PRIORITY_HIGHEST);
        earliest_ns = hd__idle_earliest_deadline();
    }
    l->first_ns = earliest_ns;
    if (earliest_ns == HD_FOREVER) return;
    no_later(l, hd__alarm_after(earliest_ns, HD__ALARM_TRUST_NS));
    earliest_ns = earliest_unminded(l);
    if (earliest_ns == HD_FOREVER) return;
    /* With an alarm set we are the second to come, if at all. */
    no_later(l, set_alarm(earliest_ns) ? hd__alarm_after(earliest_ns, ALARM_LATE_NS) : earliest_ns);
}

/* While all workers are busy, nobody else may see for long what has completed. */
static void look_at_io(struct look *l) {
    /* The exchange: who sets it after this look sees that we do not sleep yet. */
    uint64_t check_ns = atomic_fetch_add_explicit(&hd__poller.check_ns, 0, memory_order_acq_rel);
    if (check_ns != 0 && check_ns <= l->now_ns) check_ns = hd__poller.check(l->now_ns);
    if (check_ns != 0) no_later(l, check_ns);
    if (l->parked || atomic_load_explicit(&hd__poller.in_flight, memory_order_relaxed) == 0) return;
    hd__poller.poll(NULL);
    for (unsigned i = 0; i < hd__rt.worker_count; i++) hd__poller.flush(&hd__rt.workers[i]);
    no_later(l, l->now_ns + IO_LOOK_NS);
}

static void look_at_spares(struct look *l) {
    unsigned target = atomic_load_explicit(&hd__rt.active, memory_order_relaxed);
    if (target > SPARES_MAX) target = SPARES_MAX;
    if (l->waiting || l->wants_spare) {
        if (hd__carriers.spare_count < target && hd__carriers.count < hd__carriers.max)
            hd__carriers_want(target);
    } else if (hd__carriers.spare_count > target) {
        hd__carriers_want(target);
        no_later(l, l->now_ns + TRIM_NS);
    }
}

static void look(struct look *l) {
    uint32_t word = atomic_load_explicit(&hd__rt.idle, memory_order_seq_cst);
    l->now_ns = hd__os_now_ns();
    l->next_ns = HD_FOREVER;
    l->slice_ns = atomic_load_explicit(&hd__rt.slice_ns, memory_order_relaxed);
    l->wants_spare =
        atomic_exchange_explicit(&hd__monitor.spare_missed, false, memory_order_relaxed);
    l->stuck = true;
    l->parked = HD__IDLE_PARKED(word) != 0;
    l->busy = HD__IDLE_PARKED(word) +
                  atomic_load_explicit(&hd__rt.retired, memory_order_relaxed) !=
              hd__rt.worker_count;
    hd__follow_tick(l->now_ns);
    look_at_timers(l);
    look_at_io(l);
    l->waiting = hd__idle_work_anywhere(NULL);
    /* Whatever the workers are up to right now, they have a slice to get to it. */
    uint64_t least_ns = atomic_load_explicit(&hd__rt.least_slice_ns, memory_order_relaxed);
    if (l->slice_ns < least_ns) least_ns = l->slice_ns;
    l->minded = l->busy && !l->parked;
    for (unsigned i = 0; l->busy && i < hd__rt.worker_count; i++)
        look_at(&hd__rt.workers[i], l);
    if (l->waiting && least_ns != HD_FOREVER)
        no_later(l, l->now_ns + (l->minded ? MINDED_SLICES : 1) * least_ns);
    look_at_held(l);
    look_at_spares(l);
}

/* ---- Sleeping ---- */

static void sleep_until(const struct look *l) {
    /* While all workers are stuck, what completes must be noticed by us. */
    bool poller = l->stuck && l->busy && !l->parked &&
                  atomic_load_explicit(&hd__poller.in_flight, memory_order_relaxed) != 0;
    atomic_store_explicit(&hd__monitor.in_poller, poller, memory_order_seq_cst);
    if (atomic_load_explicit(&hd__monitor.poked, memory_order_seq_cst)) {
        atomic_store_explicit(&hd__monitor.in_poller, false, memory_order_relaxed);
    } else if (poller) {
        hd__poller.sleep(l->next_ns);
        atomic_store_explicit(&hd__monitor.in_poller, false, memory_order_seq_cst);
        /* A worker may have begun to sleep there meanwhile, and the kick have been for it. */
        if (atomic_load_explicit(&hd__rt.io_keeper, memory_order_seq_cst)) hd__poller.kick();
    } else {
        atomic_store_explicit(&hd__monitor.awake, false, memory_order_seq_cst);
        hd__os_futex_wait(&hd__monitor.poked, 0, l->next_ns);
    }
}

/* An exchange, not a store: what was written before a poke is seen by the look that takes it. */
static void begin_look(void) {
    atomic_store_explicit(&hd__monitor.awake, true, memory_order_seq_cst);
    (void)atomic_exchange_explicit(&hd__monitor.poked, 0, memory_order_seq_cst);
    atomic_fetch_and_explicit(&hd__rt.idle, ~(uint32_t)HD__IDLE_LISTENS, memory_order_seq_cst);
}

/* Nobody waits: whoever becomes runnable without finding a parked worker shall say so. */
static bool listen(void) {
    atomic_fetch_or_explicit(&hd__rt.idle, HD__IDLE_LISTENS, memory_order_seq_cst);
    return !hd__idle_work_anywhere(NULL);
}

static void monitor_main(void *arg) {
    (void)arg;
    hd__os_timer_slack(1);
    atomic_fetch_add_explicit(&hd__rt.kthreads, 1, memory_order_seq_cst);
    while (!atomic_load_explicit(&hd__rt.stopping, memory_order_acquire)) {
        struct look l;
        begin_look();
        look(&l);
        count(&hd__monitor.wakeups);
        atomic_store_explicit(&hd__monitor.wake_ns, l.next_ns, memory_order_seq_cst);
        if (!l.waiting && !listen()) continue;
        /* A timer that was armed since is covered by its armer, or seen here; the same goes for
         * those whose keeper has left. */
        uint32_t word = atomic_load_explicit(&hd__rt.idle, memory_order_seq_cst);
        if (HD__IDLE_PARKED(word) == 0 && hd__idle_earliest_deadline() < l.first_ns) continue;
        if (atomic_load_explicit(&hd__rt.stopping, memory_order_seq_cst)) break;
        sleep_until(&l);
        atomic_store_explicit(&hd__monitor.wake_ns, 0, memory_order_relaxed);
    }
    atomic_fetch_sub_explicit(&hd__rt.kthreads, 1, memory_order_seq_cst);
}

int hd__monitor_start(void) {
    hd__monitor.can_retake = hd__os_membarrier_register() == 0;
    atomic_store(&hd__monitor.poked, 0);
    atomic_store(&hd__monitor.awake, true);
    atomic_store(&hd__monitor.spare_missed, false);
    atomic_store(&hd__monitor.wake_ns, 0);
    atomic_store(&hd__monitor.signals, 0);
    atomic_store(&hd__monitor.wakeups, 0);
    atomic_store(&hd__monitor.handed_off, 0);
    atomic_store(&hd__monitor.in_syscall, 0);
    atomic_store(&hd__monitor.last_thread, 0);
    atomic_store(&hd__monitor.last_nr, -1);
    int err = hd__os_kthread_create("heddle/mon", monitor_main, NULL, &hd__monitor.kthread);
    hd__monitor.running = err == 0;
    if (err) atomic_store(&hd__monitor.awake, false);
    return err;
}

void hd__monitor_stop(void) {
    if (!hd__monitor.running) return;
    hd__monitor_poke();
    hd__os_kthread_join(&hd__monitor.kthread);
    hd__monitor.running = false;
}
