/* SPDX-License-Identifier: MIT */
/* Three things are looked at while the runtime runs: the set of CPUs that the process may use, the
 * quota of its control group, and, once, the topology. All by the maker of carriers, a kernel
 * thread that has time, takes part in whatever is done to the whole process (cpusets, taskset -a),
 * and is never bound by us.
 *
 * When. Nobody ticks. Whoever is awake anyway, the monitor when it looks or a worker that begins to
 * search, asks for a look if the last one is a second ago. A process that sleeps is not woken for
 * it, and one that runs on with nobody waiting does not need it.
 *
 * What. Workers are places; hd__rt.worker_count of them are there from the start to the end, one a
 * CPU of the machine if their number follows, and those with an index below hd__rt.active are in
 * service. The others are retired: they have no carrier yet, or one that sleeps in
 * hd__follow_sleep(), in no list, counted in hd__rt.retired. Retiring is something that a worker
 * does itself, from the search for work, so that it hands the search on like any that leaves it:
 * its threads go to the others, and what comes to it later wakes it, to be passed on. For the
 * latter the argument is that of idle.c: who puts something into its inbox then looks, under the
 * idle lock, whether it sleeps, here or in the list; it says so under that lock, and then looks
 * into its inbox. A thread that computes on such a worker is preempted, and goes on elsewhere.
 *
 * Home CPUs are those of the set in order, so they change with it. Carriers notice at the next
 * dispatch through the loop. The order of victims is made from home CPUs, and stacks are kept apart
 * by memory node, some time after the start and beside it: reading the topology of a machine with
 * 64 CPUs takes some milliseconds, and a program may be done by then.
 *
 * Rejected: ending the carriers of retired workers. Stack caches and rings would have to move, for
 * a kernel thread that costs nothing while it sleeps. */
#include "sched/follow.h"

#include <string.h>

#include "os/cgroup.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "os/futex.h"
#include "os/mem.h"
#include "sched/carrier.h"
#include "sched/monitor.h"
#include "sched/place.h"
#include "sched/preempt.h"
#include "sched/ranked.h"

enum { ORDER_AFTER_NS = 1000 * 1000 };

_Atomic uint64_t hd__follow_every_ns = 1000 * 1000 * 1000;

static bool follow_counts; /* written before the workers start */
static _Atomic bool asked;

/* ---- At the start ---- */

unsigned hd__follow_workers(const hd_cpuset *allowed) {
    unsigned n = hd__os_cpus_count(allowed);
    unsigned quota = n > 1 ? hd__os_cgroup_cpus() : 0;
    if (quota != 0 && quota < n) n = quota;
    return n > HD__WORKERS_MAX ? HD__WORKERS_MAX : n ? n : 1;
}

unsigned hd__follow_home(const hd_cpuset *allowed, unsigned index) {
    unsigned nth = index % hd__os_cpus_count(allowed), cpu = 0;
    for (; !hd_cpuset_has(allowed, cpu) || nth-- != 0; cpu++) {
    }
    return cpu;
}

void hd__follow_start(bool counts) {
    unsigned active = atomic_load(&hd__rt.active);
    follow_counts = counts;
    atomic_store(&asked, false);
    atomic_store(&hd__rt.cpus_changes, 0);
    atomic_store(&hd__rt.follow_ns, hd__os_now_ns() + atomic_load(&hd__follow_every_ns));
    for (unsigned i = active; i < hd__rt.worker_count; i++) hd__rt.workers[i].retired = true;
    atomic_store(&hd__rt.retired, hd__rt.worker_count - active);
}

/* ---- Asking ---- */

void hd__follow_ask(uint64_t now_ns) {
    uint64_t due = atomic_load_explicit(&hd__rt.follow_ns, memory_order_relaxed);
    uint64_t next = now_ns + atomic_load_explicit(&hd__follow_every_ns, memory_order_relaxed);
    if (now_ns < due || !atomic_compare_exchange_strong(&hd__rt.follow_ns, &due, next)) return;
    atomic_store_explicit(&asked, true, memory_order_release);
    hd__carriers_ask();
}

bool hd__follow_is_asked(void) {
    return atomic_exchange_explicit(&asked, false, memory_order_acquire);
}

/* ---- The order of victims ---- */

uint64_t hd__follow_order_due(void) {
    /* Of two workers each has one victim. */
    return hd__rt.worker_count > 2 ? hd__os_now_ns() + ORDER_AFTER_NS : HD_FOREVER;
}

static void build(struct hd__order *o, const struct hd__topo *t) {
    unsigned *cpu = hd__os_alloc(hd__rt.worker_count * sizeof *cpu);
    for (unsigned i = 0; cpu && i < hd__rt.worker_count; i++)
        cpu[i] = atomic_load_explicit(&hd__rt.workers[i].cpu, memory_order_relaxed);
    if (cpu) hd__order_build(o, t, cpu);
    hd__os_free(cpu);
}

/* Notes on which node each worker is, where stacks are kept by node. */
static void note_nodes(const struct hd__topo *t) {
    for (unsigned i = 0; i < hd__rt.worker_count; i++) {
        struct hd__worker *w = &hd__rt.workers[i];
        unsigned cpu = atomic_load_explicit(&w->cpu, memory_order_relaxed);
        uint16_t node = t->cpu[cpu].group[HD__TOPO_NODE];
        if (node < hd__stack_nodes())
            atomic_store_explicit(&w->node, node, memory_order_relaxed);
    }
}

/* From now on stacks are kept by memory node, if there are several. */
static void keep_nodes_apart(const struct hd__topo *t) {
    unsigned nodes = t->groups[HD__TOPO_NODE];
    if (nodes < 2 || hd__stack_set_nodes(nodes, t->real ? t->node_number : NULL) != 0) return;
    note_nodes(t);
}

void hd__follow_make_order(const _Atomic bool *stop) {
    const struct hd__topo *t = hd__topo_make(stop);
    if (t) keep_nodes_apart(t);
    struct hd__order *o = t ? hd__order_new(hd__rt.worker_count) : NULL;
    if (!o) return;
    build(o, t);
    /* Without groups it would be no order at all, and nobody would steal. */
    if (hd__order_groups(o, 0) != 0)
        atomic_store_explicit(&hd__rt.order, o, memory_order_release);
    else
        hd__order_free(o);
}

/* ---- Looking ---- */

/* The process may use other CPUs than before. */
static void move_home(const hd_cpuset *now) {
    hd__spin_lock(&hd__rt.allowed_lock);
    hd__rt.allowed = *now;
    hd__spin_unlock(&hd__rt.allowed_lock);
    for (unsigned i = 0; i < hd__rt.worker_count; i++)
        atomic_store_explicit(&hd__rt.workers[i].cpu, hd__follow_home(now, i),
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&hd__rt.cpus_changes, 1, memory_order_release);
    const struct hd__topo *t = hd__topo_any();
    struct hd__order *o = atomic_load_explicit(&hd__rt.order, memory_order_relaxed);
    if (o) build(o, t);
    if (hd__stack_nodes() > 1) note_nodes(t);
}

/* The worker at the end of those in service gets to work. */
static bool enlist(struct hd__worker *w) {
    bool fresh = !atomic_load_explicit(&w->carrier, memory_order_relaxed);
    struct hd__carrier *c = fresh ? hd__carrier_make() : NULL;
    if (fresh && !c) return false;
    hd__spin_lock(&hd__rt.idle_lock);
    atomic_store_explicit(&hd__rt.active, w->index + 1, memory_order_seq_cst);
    if (fresh) {
        w->retired = false;
        atomic_store_explicit(&w->notified, 0, memory_order_relaxed);
        atomic_fetch_sub_explicit(&hd__rt.retired, 1, memory_order_seq_cst);
    }
    hd__spin_unlock(&hd__rt.idle_lock);
    if (fresh)
        hd__carrier_grant(c, w, NULL, 0);
    else
        hd__idle_wake_worker(w);
    return true;
}

/* Those from `want` on notice by themselves, but for one that runs a thread without an end. */
static void dismiss(unsigned want, unsigned active) {
    bool slices = atomic_load_explicit(&hd__rt.slice_ns, memory_order_relaxed) != HD_FOREVER;
    atomic_store_explicit(&hd__rt.active, want, memory_order_seq_cst);
    for (unsigned i = want; i < active; i++) {
        struct hd__worker *w = &hd__rt.workers[i];
        if (!hd__idle_wake_worker(w) && slices)
            atomic_store_explicit(&w->urgent, true, memory_order_relaxed);
    }
    hd__monitor_poke();
}

void hd__follow_look(void) {
    hd_cpuset now;
    unsigned active = atomic_load_explicit(&hd__rt.active, memory_order_relaxed);
    if (hd__os_cpus_allowed(&now) <= 0) return;
    if (memcmp(&now, &hd__rt.allowed, sizeof now) != 0) move_home(&now); /* we alone write it */
    if (!follow_counts) return;
    unsigned want = hd__follow_workers(&now);
    if (want > hd__rt.worker_count) want = hd__rt.worker_count;
    if (want < active) dismiss(want, active);
    while (active < want && enlist(&hd__rt.workers[active])) active++;
    hd__stack_set_workers(2 * atomic_load_explicit(&hd__rt.active, memory_order_relaxed));
}

/* ---- Retiring ---- */

/* Under the policies with ranks only threads that are restricted to CPUs wait for one worker. */
static void hand_over_own(struct hd__worker *w) {
    hd_thread *t;
    while ((t = hd__ranked_take_own(w)) != NULL) hd__ranked_ready(t, HD_WHY_CHANGED);
}

void hd__follow_hand_over(struct hd__worker *w) {
    hd_thread *t;
    if (atomic_load_explicit(&hd__poller.in_flight, memory_order_relaxed) != 0)
        hd__poller.flush(w);
    if (hd__ranked()) {
        hand_over_own(w);
        return;
    }
    while ((t = hd__sched_take_next(w)) != NULL) hd__fifo_put(&hd__rt.injected, t, t, 1);
    while ((t = hd__sched_take_inbox(w)) != NULL) {
        if (hd__thread_flags(t) & HD__THREAD_PINNED)
            hd__sched_place(t);
        else
            hd__fifo_put(&hd__rt.injected, t, t, 1);
    }
    hd__idle_wake_if_needed();
}

static bool wanted(struct hd__worker *w) {
    return w->index < atomic_load_explicit(&hd__rt.active, memory_order_seq_cst) ||
           atomic_load_explicit(&hd__rt.stopping, memory_order_seq_cst);
}

/* From here on hd__idle_wake_worker() knows that w sleeps, and the others know that they are all.
 * w->notified is still 0 from when w parked last. */
static void step_aside(struct hd__worker *w, bool aside) {
    hd__spin_lock(&hd__rt.idle_lock);
    w->retired = aside;
    atomic_fetch_add_explicit(&hd__rt.retired, aside ? 1 : -1u, memory_order_seq_cst);
    if (!aside) atomic_store_explicit(&w->notified, 0, memory_order_relaxed);
    hd__spin_unlock(&hd__rt.idle_lock);
}

void hd__follow_sleep(struct hd__worker *w) {
    atomic_store_explicit(&w->urgent, false, memory_order_relaxed);
    step_aside(w, true);
    if (atomic_load_explicit(&hd__rt.draining, memory_order_relaxed)) hd__runtime_check_drain();
    hd__idle_cover_timer(hd__timers_earliest(&w->timers));
    /* The one that parked last did not know that it was. */
    if (hd__idle_all_parked()) hd__idle_wake_one();
    while (!wanted(w) && !hd__idle_own_work(w) &&
           !atomic_load_explicit(&w->notified, memory_order_acquire))
        hd__os_futex_wait(&w->notified, 0, HD_FOREVER);
    step_aside(w, false);
}
