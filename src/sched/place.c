/* SPDX-License-Identifier: MIT */
/* Threads that may run on certain CPUs only.
 *
 * They never enter a run queue, so thieves do not see them: each goes into the inbox of a worker
 * whose home CPU is in its set, or of any worker if there is none (a runtime with fewer workers
 * than CPUs). Before such a thread runs, its carrier is bound to the thread's CPUs; the binding
 * is undone when an ordinary thread follows, and costs nothing while pinned threads follow each
 * other with the same set. */
#include <string.h>

#include "os/cpu.h"
#include "sched/carrier.h"

static bool suits(const struct hd__worker *w, const hd_thread *t) {
    return hd_cpuset_has(&t->ext->cpus, w->cpu);
}

static bool parked(struct hd__worker *w) {
    hd__spin_lock(&hd__rt.idle_lock);
    bool listed = w->listed;
    hd__spin_unlock(&hd__rt.idle_lock);
    return listed;
}

/* The worker that t was with, if that suits; else a parked one that does; else any that does. */
static struct hd__worker *choose(hd_thread *t) {
    unsigned n = hd__rt.worker_count;
    struct hd__worker *home = &hd__rt.workers[t->home % n];
    if (t->stack && suits(home, t)) return home;
    struct hd__worker *any = NULL;
    for (unsigned i = 0; i < n; i++) {
        struct hd__worker *w = &hd__rt.workers[(t->home + 1 + i) % n];
        if (!suits(w, t)) continue;
        if (parked(w)) return w;
        if (!any) any = w;
    }
    return any ? any : home;
}

void hd__sched_place(hd_thread *t) {
    if (!t->stack) t->home = (uint16_t)(t->id % hd__rt.worker_count);
    struct hd__worker *self = hd__worker_get();
    if (!self) hd__runtime_enter(); /* t may end, and be the last, before w is woken */
    struct hd__worker *w = choose(t);
    t->home = (uint16_t)w->index;
    hd__fifo_put(&w->inbox, t, t, 1);
    if (w != self) hd__idle_wake_worker(w);
    if (!self) hd__runtime_leave();
}

void hd__sched_set_affinity(struct hd__worker *w, hd_thread *t) {
    struct hd__carrier *c = atomic_load_explicit(&w->carrier, memory_order_relaxed);
    hd_cpuset want;
    bool pinned = t && (hd__thread_flags(t) & HD__THREAD_PINNED);
    if (pinned) {
        for (size_t i = 0; i < HD_CPU_MAX / 64; i++)
            want.bits[i] = t->ext->cpus.bits[i] & hd__rt.allowed.bits[i];
    } else if (hd__rt.bind_workers) {
        memset(&want, 0, sizeof want);
        hd_cpuset_add(&want, w->cpu);
    } else {
        want = hd__rt.allowed;
    }
    /* A CPU that went away meanwhile leaves the binding as it was: the thread still runs. */
    if (memcmp(&want, &c->affinity, sizeof want) != 0 && hd__os_cpus_set(&want) == 0)
        c->affinity = want;
    hd__carrier_note_special(w, pinned);
}
