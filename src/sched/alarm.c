/* SPDX-License-Identifier: MIT */
/* Alarms.
 *
 * The monitor is a kernel thread: it must get a CPU before it can end a slice, while all CPUs are
 * busy with what it is to interrupt. So it begins, and from then on each carrier does it by
 * itself: whoever gets a worker by a preemption, or goes on after one, sets a timer of its own
 * carrier for the end of its slice; the kernel sends the signal from the timer's interrupt on the
 * CPU that the carrier runs on. As long as others wait, each preemption so leads to the next. Who
 * does not preempt, or is not, sets no timer: the switches of a program whose threads wait for
 * each other pay nothing, and a program in which nobody waits gets no signal.
 *
 * The same timer serves the first of the worker's deadlines, if that comes before: a sleeper's.
 *
 * What is true while an alarm is set (slice_end_ns is not 0): when the slice ends, its carrier
 * looks (hd__alarm_ends_slice()), and then either preempts, and the next carrier sets its own; or
 * sets it again; or tells the monitor, which has been asleep trusting in it. A timer belongs to a
 * carrier: what follows by an ordinary switch on the same carrier finds it set, with another count
 * of dispatches (slice_tick), and gets a slice of its own from then on; what goes to another
 * carrier is taken there by take_worker(), which sets that one's. A timer is never stopped: one
 * that comes too early, for what has been set since or on a carrier without a worker, is a signal
 * for nothing, one a slice at most.
 *
 * If the alarm interrupts a call that blocked in the kernel, the thread is not preempted: it uses
 * no CPU, and would begin its call again each time. The monitor is told, and takes the worker from
 * under it after a moment, without a signal. So each call is interrupted once, if at all.
 * Elsewhere than on x86-64 that cannot be hidden from the program (os/interrupt.c): there are no
 * alarms, and the monitor does it all. So it does where the kernel refuses the timer
 * (RLIMIT_SIGPENDING). It looks, less often, after those that mind themselves as well: a carrier
 * may sleep in the kernel where no signal wakes it, or the program have blocked the signal there.
 *
 * A slice is one of CPU time, as far as that is known: a carrier that the kernel has run little in
 * it, since other processes or a hypervisor took the CPU, gets what is left of it, up to
 * PATIENCE_SLICES; and a fourth of a slice in any case. Else, on a loaded machine and with short
 * slices, threads would be preempted as soon as they run, and get nowhere.
 *
 * Where deadlines come faster than their threads can run, the next is over already when an alarm
 * has been dealt with. So the next alarm lets as much time pass as that took (rest_ns): else one
 * carrier would wake sleepers all the time, and another one run them, from a queue of hundreds of
 * thousands, at half the speed that both reach if each wakes its own.
 *
 * Rejected: taking what a slice was too long by from the next one (deficit round robin):
 * shares were no more equal, what is left being the CPUs' own unevenness; timers of the CPU
 * clock, which the kernel looks at on its own tick only; one timer for a worker, since a timer's
 * target cannot be changed; setting it in each switch. */
#include "sched/alarm.h"

#include "os/clock.h"
#include "os/interrupt.h"
#include "sched/carrier.h"
#include "sched/monitor.h"
#include "sched/preempt.h"
#include "sched/ranked.h"

/* ThreadSanitizer keeps signals back and delivers several at once, with all blocked; a few thousand
 * a second are enough for it to leave them blocked. */
#if defined(HD__TSAN)
enum { POSSIBLE = 0 };
#else
enum { POSSIBLE = HD__OS_INTERRUPT_REPEATS };
#endif

enum {
    EARLY_NS = 20 * 1000,  /* not worth another signal */
    AGAIN_NS = 50 * 1000,  /* after a signal that found the thread where that was impossible */
    TRUST_SLICES = 4,      /* the monitor looks so many slices after the end */
    PATIENCE_SLICES = 8,
    REST_MAX_NS = 1000 * 1000, /* the kernel may have run another meanwhile */
};

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t slice_of(const hd_thread *t) {
    uint32_t own_us = t ? hd__thread_look(t).slice_us : 0;
    return own_us ? own_us * 1000ull
                  : atomic_load_explicit(&hd__rt.slice_ns, memory_order_relaxed);
}

static void note_end(struct hd__worker *w, uint64_t end_ns) {
    w->slice_tick = atomic_load_explicit(&w->tick, memory_order_relaxed);
    atomic_store_explicit(&w->slice_end_ns, end_ns, memory_order_relaxed);
}

static bool same_thread(struct hd__worker *w) {
    return w->slice_tick == atomic_load_explicit(&w->tick, memory_order_relaxed);
}

static uint64_t slice_of_current(struct hd__worker *w) {
    return slice_of(atomic_load_explicit(&w->current, memory_order_relaxed));
}

static uint64_t used_of_slice(struct hd__worker *w) {
    return hd__os_thread_cpu_ns() - w->slice_cpu_ns;
}

/* How much of the present slice is to come, of which so much is used. */
static uint64_t left_of_slice(struct hd__worker *w, uint64_t now_ns, uint64_t used_ns) {
    uint64_t length_ns = w->slice_length_ns;
    bool patient = now_ns < w->slice_begin_ns + PATIENCE_SLICES * length_ns;
    uint64_t enough_ns = patient ? length_ns - length_ns / 16 : length_ns / 4;
    return used_ns >= enough_ns ? 0 : length_ns - used_ns;
}

/* Sees to it that the alarm comes by when_ns. An earlier one does: who gets it sets the next. */
static bool set(struct hd__worker *w, uint64_t when_ns, uint64_t now_ns) {
    struct hd__carrier *c = atomic_load_explicit(&w->carrier, memory_order_relaxed);
    bool ok = POSSIBLE;
    if (when_ns < c->rest_ns) when_ns = c->rest_ns;
    if (ok && (c->slice_ns > when_ns || c->slice_ns <= now_ns)) {
        c->slice_ns = when_ns; /* before it can come */
        atomic_signal_fence(memory_order_seq_cst);
        ok = hd__os_alarm_set(&c->slice, HD__OS_SLICE, c->tid, when_ns);
        if (!ok) c->slice_ns = HD_FOREVER;
    }
    atomic_store_explicit(&w->alarm_ns, ok ? c->slice_ns : HD_FOREVER, memory_order_relaxed);
    return ok;
}

/* Whether somebody waits who would run instead of t, which may not be known yet. */
static bool others_wait(struct hd__worker *w, const hd_thread *t) {
    return hd__rt.ranked && t ? hd__ranked_would_switch(w, t) : hd__idle_work_hint();
}

void hd__alarm_begin(struct hd__worker *w, const hd_thread *t, uint64_t now_ns, bool slice) {
    uint64_t slice_ns = slice_of(t), first_ns = hd__timers_earliest(&w->timers), length_ns = 0;
    bool sliced = slice && slice_ns != HD_FOREVER && others_wait(w, t);
    if (sliced) {
        length_ns = slice_ns;
        sliced = set(w, sooner(now_ns + length_ns, first_ns), now_ns);
        w->slice_cpu_ns = hd__os_thread_cpu_ns();
    }
    if (!sliced) atomic_store_explicit(&w->alarm_ns, HD_FOREVER, memory_order_relaxed);
    note_end(w, sliced ? now_ns + length_ns : 0);
    w->slice_length_ns = length_ns;
    w->slice_begin_ns = now_ns;
    if (first_ns != HD_FOREVER) hd__idle_cover_timer(first_ns);
}

bool hd__alarm_cover(struct hd__worker *w, uint64_t deadline_ns) {
    bool hogs = atomic_load_explicit(&hd__rt.idle, memory_order_relaxed) & HD__IDLE_HOGS;
    return hogs && set(w, deadline_ns, hd__os_now_ns());
}

void hd__alarm_worked(uint64_t since_ns) {
    uint64_t now_ns = hd__os_now_ns();
    hd__self_carrier()->rest_ns = now_ns + sooner(now_ns - since_ns, REST_MAX_NS);
}

bool hd__alarm_came(uint64_t now_ns) {
    struct hd__carrier *c = hd__self_carrier();
    if (!c || now_ns < c->slice_ns) return false;
    c->slice_ns = HD_FOREVER;
    return true;
}

/* Sets it for the end, and says so; else the monitor is told. */
static void set_end(struct hd__worker *w, uint64_t end_ns, uint64_t now_ns) {
    if (set(w, sooner(end_ns, hd__timers_earliest(&w->timers)), now_ns))
        note_end(w, end_ns);
    else
        hd__alarm_rest(w);
}

bool hd__alarm_ends_slice(struct hd__worker *w, uint64_t now_ns, bool in_call) {
    uint64_t end_ns = atomic_load_explicit(&w->slice_end_ns, memory_order_relaxed);
    uint64_t slice_ns = slice_of_current(w), used_ns = used_of_slice(w), left_ns;
    atomic_store_explicit(&w->alarm_ns, HD_FOREVER, memory_order_relaxed);
    if (end_ns == 0 || slice_ns == HD_FOREVER) {
        note_end(w, 0);
    } else if (now_ns + EARLY_NS < end_ns) {
        if (same_thread(w))
            set_end(w, end_ns, now_ns);
        else
            hd__alarm_begin(w, atomic_load_explicit(&w->current, memory_order_relaxed), now_ns,
                            true);
    } else if (!same_thread(w)) {
        hd__alarm_begin(w, atomic_load_explicit(&w->current, memory_order_relaxed), now_ns, true);
        if (atomic_load_explicit(&w->slice_end_ns, memory_order_relaxed) == 0) hd__alarm_rest(w);
    } else if (in_call) {
        atomic_store_explicit(&w->in_call, true, memory_order_relaxed);
        note_end(w, 0);
        hd__monitor_poke();
    } else if ((left_ns = left_of_slice(w, now_ns, used_ns)) != 0) {
        set_end(w, now_ns + left_ns, now_ns);
    } else {
        note_end(w, 0);
        return true;
    }
    hd__alarm_stay(w);
    return false;
}

bool hd__alarm_had_little(struct hd__worker *w, uint64_t now_ns) {
    return POSSIBLE && same_thread(w) && slice_of_current(w) != HD_FOREVER &&
           atomic_load_explicit(&w->slice_end_ns, memory_order_relaxed) != 0 &&
           left_of_slice(w, now_ns, used_of_slice(w)) != 0;
}

void hd__alarm_stay(struct hd__worker *w) {
    uint64_t first_ns = hd__timers_earliest(&w->timers);
    if (first_ns != HD_FOREVER) hd__idle_cover_timer(first_ns);
}

void hd__alarm_again(struct hd__worker *w, uint64_t now_ns) {
    set_end(w, now_ns + AGAIN_NS, now_ns);
}

void hd__alarm_rest(struct hd__worker *w) {
    note_end(w, 0);
    if (!(atomic_load_explicit(&hd__rt.idle, memory_order_relaxed) & HD__IDLE_LISTENS))
        hd__monitor_poke();
}

bool hd__alarm_minds_slice(struct hd__worker *w, uint64_t now_ns, uint64_t slice_ns) {
    uint64_t end_ns = atomic_load_explicit(&w->slice_end_ns, memory_order_relaxed);
    if (end_ns == 0 || slice_ns == HD_FOREVER) return false;
    /* The second: slices have become shorter since. */
    return now_ns < end_ns + TRUST_SLICES * slice_ns && end_ns <= now_ns + 2 * slice_ns;
}

uint64_t hd__alarm_when(struct hd__worker *w, uint64_t now_ns) {
    uint64_t when_ns = atomic_load_explicit(&w->alarm_ns, memory_order_relaxed);
    return when_ns > now_ns ? when_ns : HD_FOREVER;
}
