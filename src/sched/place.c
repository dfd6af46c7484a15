/* SPDX-License-Identifier: MIT */
/* Threads that may run on certain CPUs only.
 *
 * They enter no run queue that is stolen from: each goes into the inbox of a worker whose home CPU
 * is in its set, or of any worker if there is none (a runtime with fewer workers than CPUs). Before
 * such a thread runs, its carrier is bound to the thread's CPUs; the binding is undone when an
 * ordinary thread follows, and costs nothing while pinned threads follow each other with the same
 * set. hd_attr.cpus, numa_node and migration all come down to one set, at the spawn.
 *
 * A set may suit several workers. Such a thread, a *shared* one, goes to a parked worker if there
 * is one. If not, whoever of them is done first takes it: an idle worker looks into the inboxes of
 * the others, a bounded number of threads deep. hd__rt.shared_pinned counts shared threads in
 * inboxes, so that without any of them nobody looks. No wake-up is lost: who queues one counts it,
 * puts it into the inbox, and then looks for a parked worker that suits; who parks counts itself in
 * hd__rt.idle, then looks at the count and into the inboxes. Both counts are changed and read in
 * one total order (seq_cst), so one of the two sees the other.
 *
 * The set of a living thread can be changed. It is read and written under a lock of its own, at the
 * bottom of the order; the flag HD__THREAD_PINNED is what decides, and may change while the thread
 * is in any queue: a pinned thread in a run queue still gets its carrier bound, and one in an inbox
 * that is pinned no longer runs there as any other. HD__THREAD_MOVE says that it has changed since
 * the last dispatch: then even a yield with nobody to yield to goes through the queues. */
#include "sched/place.h"

#include <errno.h>
#include <string.h>

#include "os/cpu.h"
#include "os/mem.h"
#include "sched/carrier.h"
#include "sched/dispatch.h"
#include "sched/preempt.h"
#include "sched/ranked.h"

enum { LOOKS = 64 }; /* at threads in another worker's queue */

/* ---- Sets ---- */

static bool is_empty(const hd_cpuset *a) {
    return hd__os_cpus_count(a) == 0;
}

static void intersect(hd_cpuset *a, const hd_cpuset *b) {
    for (size_t i = 0; i < HD_CPU_MAX / 64; i++) a->bits[i] &= b->bits[i];
}

static bool holds(const hd_cpuset *a, const hd_cpuset *b) {
    for (size_t i = 0; i < HD_CPU_MAX / 64; i++)
        if (b->bits[i] & ~a->bits[i]) return false;
    return true;
}

void hd__place_allowed(hd_cpuset *out) {
    hd__spin_lock(&hd__rt.allowed_lock);
    *out = hd__rt.allowed;
    hd__spin_unlock(&hd__rt.allowed_lock);
}

/* Of a thread that is or was pinned. */
static void cpus_of(const hd_thread *t, hd_cpuset *out) {
    struct hd__thread_ext *ext = atomic_load_explicit(&t->ext, memory_order_acquire);
    hd__spin_lock(&ext->cpus_lock);
    *out = ext->cpus;
    hd__spin_unlock(&ext->cpus_lock);
}

static unsigned home_cpu(const struct hd__worker *w) {
    return atomic_load_explicit(&w->cpu, memory_order_relaxed);
}

static bool is_active(const struct hd__worker *w) {
    return w->index < atomic_load_explicit(&hd__rt.active, memory_order_relaxed);
}

bool hd__place_suits(const struct hd__worker *w, const hd_thread *t) {
    hd_cpuset set;
    if (!(hd__thread_flags(t) & HD__THREAD_PINNED)) return false;
    cpus_of(t, &set);
    return hd_cpuset_has(&set, home_cpu(w));
}

/* ---- Attributes ---- */

static bool parked(struct hd__worker *w) {
    hd__spin_lock(&hd__rt.idle_lock);
    bool listed = w->listed;
    hd__spin_unlock(&hd__rt.idle_lock);
    return listed;
}

/* The home CPU of a worker, parked ones first; else some CPU of the set. Each time another one. */
static unsigned spread(const hd_cpuset *set) {
    static _Atomic unsigned turn;
    unsigned nth = atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed);
    unsigned n = atomic_load_explicit(&hd__rt.active, memory_order_relaxed), cpu = HD_CPU_MAX;
    for (unsigned i = 0; i < n; i++) {
        struct hd__worker *w = &hd__rt.workers[(nth + i) % n];
        if (!hd_cpuset_has(set, home_cpu(w))) continue;
        if (parked(w)) return home_cpu(w);
        if (cpu == HD_CPU_MAX) cpu = home_cpu(w);
    }
    if (cpu != HD_CPU_MAX) return cpu;
    nth %= hd__os_cpus_count(set);
    for (cpu = 0; !hd_cpuset_has(set, cpu) || nth-- != 0;) cpu++;
    return cpu;
}

/* Where the spawner runs, if that is in the set. */
static unsigned near(const hd_cpuset *set) {
    struct hd__worker *w = hd__worker_get();
    unsigned cpu = w && hd__rt.bind_workers ? home_cpu(w) : hd__os_cpu_current();
    return hd_cpuset_has(set, cpu) ? cpu : spread(set);
}

static enum hd__topo_level cache_level(const struct hd__topo *t, unsigned cpu) {
    static const enum hd__topo_level levels[] = {HD__TOPO_L3, HD__TOPO_L2, HD__TOPO_L1};
    for (unsigned i = 0; i < HD__COUNTOF(levels); i++)
        if (t->cpu[cpu].group[levels[i]] != HD__TOPO_NONE) return levels[i];
    return HD__TOPO_CORE;
}

static void keep_group(const struct hd__topo *t, enum hd__topo_level level, unsigned cpu,
                       hd_cpuset *set) {
    hd_cpuset group;
    unsigned index = t->cpu[cpu].group[level];
    if (index == HD__TOPO_NONE) return; /* nobody knows of a narrower place */
    hd__topo_group(t, level, index, &group);
    intersect(set, &group);
}

int hd__place_resolve(struct hd_attr *attr, hd_cpuset *set) {
    const struct hd__topo *t = hd__topo_any();
    hd_cpuset allowed, node;
    hd__place_allowed(&allowed);
    *set = allowed;
    if (attr->cpus) intersect(set, attr->cpus);
    if (attr->numa_node < 0 || attr->numa_node > (int)t->groups[HD__TOPO_NODE]) return -EINVAL;
    if (attr->numa_node) {
        hd__topo_group(t, HD__TOPO_NODE, (unsigned)attr->numa_node - 1, &node);
        intersect(set, &node);
    }
    if (is_empty(set)) return -EINVAL;
    unsigned cpu;
    switch (attr->migration) {
    case HD_MIGRATE_NODE:
        keep_group(t, HD__TOPO_NODE, near(set), set);
        break;
    case HD_MIGRATE_CACHE:
        cpu = near(set);
        keep_group(t, cache_level(t, cpu), cpu, set);
        break;
    case HD_MIGRATE_NEVER:
        cpu = spread(set);
        memset(set, 0, sizeof *set);
        hd_cpuset_add(set, cpu);
        break;
    default:
        break; /* whoever fills the descriptor checks the rest */
    }
    attr->cpus = holds(set, &allowed) ? NULL : set;
    return 0;
}

/* ---- Choosing a worker ---- */

/* The worker that t was with, if that suits; else a parked one that does; else any that does. */
static struct hd__worker *choose(hd_thread *t, const hd_cpuset *set, bool *several) {
    unsigned n = atomic_load_explicit(&hd__rt.active, memory_order_relaxed), suit = 0;
    if (!t->stack) t->home = (uint16_t)(t->id % n);
    struct hd__worker *home = &hd__rt.workers[t->home % n], *best = NULL;
    bool is_parked = false;
    for (unsigned i = 0; i < n && !(is_parked && suit > 1); i++) {
        struct hd__worker *w = &hd__rt.workers[(t->home + i) % n];
        if (!hd_cpuset_has(set, home_cpu(w))) continue;
        suit++;
        if (w == home && t->stack) {
            best = w;
            is_parked = true; /* or as good: what t has used is there */
        } else if (!best || !is_parked) {
            if (parked(w)) is_parked = true, best = w;
            if (!best) best = w;
        }
    }
    *several = suit > 1;
    return best ? best : home;
}

/* If t may run on one CPU only: one more than that, else 0. */
static uint32_t only_cpu(const hd_thread *t) {
    const struct hd__thread_ext *ext = atomic_load_explicit(&t->ext, memory_order_acquire);
    return atomic_load_explicit(&ext->only, memory_order_relaxed);
}

struct hd__worker *hd__place_choose(hd_thread *t, bool *several) {
    hd_cpuset set;
    uint32_t only = only_cpu(t);
    struct hd__worker *home = &hd__rt.workers[t->home % hd__rt.worker_count];
    /* One CPU, and its worker: no other could do better. */
    if (HD__LIKELY(only != 0 && t->stack && home_cpu(home) == only - 1 && is_active(home))) {
        *several = false;
        return home;
    }
    cpus_of(t, &set);
    return choose(t, &set, several);
}

/* ---- Threads that several workers may take ---- */

void hd__place_share(hd_thread *t, hd_cpuset *set) {
    cpus_of(t, set);
    atomic_fetch_or_explicit(&t->flags, HD__THREAD_SHARED, memory_order_relaxed);
    atomic_fetch_add_explicit(&hd__rt.shared_pinned, 1, memory_order_seq_cst);
}

void hd__place_unshare(hd_thread *t) {
    if (HD__LIKELY(!(hd__thread_flags(t) & HD__THREAD_SHARED))) return;
    atomic_fetch_and_explicit(&t->flags, ~(uint32_t)HD__THREAD_SHARED, memory_order_relaxed);
    atomic_fetch_sub_explicit(&hd__rt.shared_pinned, 1, memory_order_relaxed);
}

void hd__place_shared(const hd_cpuset *set, const struct hd__worker *w, bool woken) {
    uint32_t word = atomic_load_explicit(&hd__rt.idle, memory_order_seq_cst);
    if (woken || HD__IDLE_PARKED(word) == 0) return;
    for (unsigned i = 0; i < hd__rt.worker_count; i++) {
        struct hd__worker *v = &hd__rt.workers[i];
        if (v != w && hd_cpuset_has(set, home_cpu(v)) && is_active(v) && hd__idle_wake_worker(v))
            return;
    }
}

static bool anything_shared(void) {
    return atomic_load_explicit(&hd__rt.shared_pinned, memory_order_seq_cst) != 0;
}

/* Lock held; `before` is the one in front of t, NULL if t is the first. */
static void unlink(struct hd__fifo *f, hd_thread *before, hd_thread *t) {
    if (before)
        before->next = t->next;
    else
        f->head = t->next;
    if (f->tail == t) f->tail = before;
    t->next = NULL;
    atomic_store_explicit(&f->count, hd__fifo_count(f) - 1, memory_order_relaxed);
}

/* The first thread in the inbox of v that suits w; `take`: and out of it. */
static hd_thread *find(struct hd__worker *v, const struct hd__worker *w, bool take) {
    struct hd__fifo *f = &v->inbox;
    hd_thread *found = NULL, *before = NULL;
    if (hd__ranked()) return hd__ranked_find(v, w, take, LOOKS);
    hd__spin_lock(&f->lock);
    hd_thread *t = f->head;
    for (unsigned i = 0; t && i < LOOKS; before = t, t = t->next, i++) {
        if (!hd__place_suits(w, t)) continue;
        found = t;
        if (take) unlink(f, before, t);
        break;
    }
    hd__spin_unlock(&f->lock);
    return found;
}

static hd_thread *find_anywhere(const struct hd__worker *w, bool take) {
    if (!anything_shared()) return NULL;
    for (unsigned i = 1; i < hd__rt.worker_count; i++) {
        hd_thread *t = find(&hd__rt.workers[(w->index + i) % hd__rt.worker_count], w, take);
        if (t) return t;
    }
    return NULL;
}

hd_thread *hd__place_take(struct hd__worker *w) {
    hd_thread *t = find_anywhere(w, true);
    if (!t) return NULL;
    hd__place_unshare(t);
    t->home = (uint16_t)w->index;
    return t;
}

bool hd__place_any(const struct hd__worker *w) {
    return find_anywhere(w, false) != NULL;
}

void hd__sched_place(hd_thread *t) {
    struct hd__worker *self = hd__worker_get();
    hd_cpuset set;
    bool several;
    if (!self) hd__runtime_enter(); /* t may end, and be the last, before w is woken */
    struct hd__worker *w = hd__place_choose(t, &several);
    t->home = (uint16_t)w->index;
    if (several) hd__place_share(t, &set);
    hd__fifo_put(&w->inbox, t, t, 1);
    bool woken = w != self && hd__idle_wake_worker(w);
    if (several) hd__place_shared(&set, w, woken);
    if (!self) hd__runtime_leave();
}

/* ---- Binding ---- */

/* What w's carrier is bound to while ordinary threads run. */
static void ordinary(const struct hd__worker *w, hd_cpuset *out) {
    if (!hd__rt.bind_workers) {
        hd__place_allowed(out);
        return;
    }
    memset(out, 0, sizeof *out);
    hd_cpuset_add(out, home_cpu(w));
}

bool hd__place_is_ordinary(struct hd__worker *w) {
    const struct hd__carrier *c = atomic_load_explicit(&w->carrier, memory_order_relaxed);
    hd_cpuset set;
    ordinary(w, &set);
    return memcmp(&set, &c->affinity, sizeof set) == 0;
}

void hd__sched_set_affinity(struct hd__worker *w, hd_thread *t) {
    struct hd__carrier *c = atomic_load_explicit(&w->carrier, memory_order_relaxed);
    hd_cpuset want, allowed;
    /* Before what has changed is read. */
    uint32_t changes = atomic_load_explicit(&hd__rt.cpus_changes, memory_order_acquire);
    uint32_t flags = t ? hd__thread_flags(t) : 0;
    if (HD__UNLIKELY(flags & HD__THREAD_MOVE)) /* before the set is read */
        flags = atomic_fetch_and_explicit(&t->flags, ~(uint32_t)HD__THREAD_MOVE,
                                          memory_order_acq_rel);
    bool pinned = flags & HD__THREAD_PINNED;
    uint32_t only = pinned ? only_cpu(t) : hd__rt.bind_workers ? home_cpu(w) + 1 : 0;
    if (HD__LIKELY(only != 0 && only == c->only && changes == c->cpus_changes)) {
        hd__carrier_note_special(w, pinned);
        return;
    }
    if (pinned) {
        cpus_of(t, &want);
        hd__place_allowed(&allowed);
        intersect(&want, &allowed);
    } else {
        ordinary(w, &want);
    }
    /* A CPU that went away meanwhile leaves the binding as it was: the thread still runs. */
    if ((changes != c->cpus_changes || memcmp(&want, &c->affinity, sizeof want) != 0) &&
        hd__os_cpus_set(&want) == 0) {
        c->affinity = want;
        c->only = hd__os_cpus_count(&want) == 1 ? hd__os_cpus_first(&want) + 1 : 0;
        c->cpus_changes = changes;
    }
    hd__carrier_note_special(w, pinned);
}

/* ---- Changing the CPUs of a living thread ---- */

static struct hd__thread_ext *ext_of(hd_thread *t) {
    struct hd__thread_ext *ext = atomic_load_explicit(&t->ext, memory_order_acquire), *none = NULL;
    if (ext || !(ext = hd__os_calloc(1, sizeof *ext))) return ext;
    if (atomic_compare_exchange_strong(&t->ext, &none, ext)) return ext;
    hd__os_free(ext);
    return none;
}

/* Out of every queue and back: it is placed anew. */
static void move_on(struct hd__worker *w, hd_thread *t) {
    next_tick(w);
    switch_to(w, t, NULL, hd__ranked() ? HD__POST_RANK : HD__POST_YIELD, t);
}

int hd__place_set_cpus(hd_thread *t, const hd_cpuset *cpus) {
    hd_cpuset allowed, open;
    hd__place_allowed(&allowed);
    if (cpus) {
        open = *cpus;
        intersect(&open, &allowed);
        if (is_empty(&open)) return -EINVAL;
        if (holds(cpus, &allowed)) cpus = NULL;
    }
    struct hd__thread_ext *ext = ext_of(t);
    if (!ext) return -ENOMEM;
    struct hd__worker *w = hd__worker_get();
    bool self = w && current_of(w) == t;
    hd__spin_lock(&ext->cpus_lock);
    /* Who has seen the flag just before it goes still reads the set. */
    hd__thread_set_cpus(ext, cpus ? cpus : &allowed);
    uint32_t flags = atomic_load_explicit(&t->flags, memory_order_relaxed), next;
    do {
        next = cpus ? flags | HD__THREAD_PINNED : flags & ~(uint32_t)HD__THREAD_PINNED;
        next |= HD__THREAD_MOVE;
    } while (!atomic_compare_exchange_weak_explicit(&t->flags, &flags, next, memory_order_release,
                                                    memory_order_relaxed));
    hd__spin_unlock(&ext->cpus_lock);
    if (self) move_on(w, t);
    return 0;
}

void hd__place_get_cpus(hd_thread *t, hd_cpuset *out) {
    hd_cpuset set;
    hd__place_allowed(out);
    if (!(hd__thread_flags(t) & HD__THREAD_PINNED)) return;
    cpus_of(t, &set);
    intersect(&set, out);
    if (!is_empty(&set)) *out = set;
}
