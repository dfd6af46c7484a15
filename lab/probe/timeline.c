/* SPDX-License-Identifier: MIT */
/* The timeline: each event goes to the thread that it is about. */
#include "probe/timeline.h"

#include <stdlib.h>
#include <string.h>

#include "probe/timeline_inside.h"
#include "text.h"

const char *probe_state_word(enum probe_state s) {
    static const char *const words[PROBE_STATES] = {
        [PROBE_STATE_NONE] = "absent",
        [PROBE_STATE_HOLDS] = "holds",
        [PROBE_STATE_HOLDS_OFF] = "holds, off CPU",
        [PROBE_STATE_WAITS] = "waits",
        [PROBE_STATE_ON] = "runs",
        [PROBE_STATE_RUNNABLE] = "runnable",
        [PROBE_STATE_BLOCKED] = "blocked",
    };
    return (unsigned)s < PROBE_STATES ? words[s] : "unknown";
}

struct probe_timeline *probe_timeline_new(size_t threads_max, size_t spans_max) {
    struct probe_timeline *t = lab_alloc(1, sizeof(*t));
    t->inside = lab_alloc(1, sizeof(*t->inside));
    t->inside->threads_max = threads_max > 2 ? threads_max : 2;
    t->inside->spans_max = spans_max;
    return t;
}

static void set_interval(struct probe_lock *l, uint64_t us) {
    l->interval_us = us;
    if (us && (l->interval_least_us == 0 || us < l->interval_least_us))
        l->interval_least_us = us;
    if (us > l->interval_most_us)
        l->interval_most_us = us;
}

void probe_timeline_interval(struct probe_timeline *t, uint64_t us) {
    t->inside->interval_ns = us * 1000;
    for (size_t i = 0; i < t->lock_count; i++)
        set_interval(&t->lock[i], us);
}

void probe_timeline_free(struct probe_timeline *t) {
    if (!t)
        return;
    struct probe_timeline_inside *in = t->inside;
    for (size_t i = 0; i < in->table_size; i++)
        free(in->table[i]);
    for (size_t i = 0; i < t->thread_count; i++) {
        free(t->thread[i].name);
        free(t->thread[i].held);
        free(t->thread[i].waited);
        free(t->thread[i].blocked_on);
        free(in->entry[i].hold);
        free(in->entry[i].wait);
    }
    for (size_t i = 0; i < LOCKS_MAX; i++)
        free(in->lock[i].history);
    free(in->table);
    free(in->entry);
    free(in->pair_table);
    free(in);
    free(t->thread);
    free(t->lock);
    free(t->pair);
    free(t->convoy);
    free(t->span);
    free(t);
}

/* The lock of an event, made known if it is new; false if there are too many, or if it is a lock at
 * the same place in another process, a fork of the one that is watched. */
static bool know_lock(struct probe_timeline *t, const struct probe_event *e) {
    size_t i = e->lock >= 0 ? (size_t)e->lock : 0;
    if (i >= LOCKS_MAX || (t->inside->lock[i].seen && t->inside->lock[i].pid != e->pid))
        return false;
    while (t->lock_count <= i) {
        t->lock = lab_grow_one(t->lock, t->lock_count, sizeof(*t->lock));
        t->lock[t->lock_count] = (struct probe_lock){0};
        set_interval(&t->lock[t->lock_count++], t->inside->interval_ns / 1000);
    }
    struct probe_lock_inside *l = &t->inside->lock[i];
    if (!l->seen) {
        l->seen = true;
        l->pid = t->lock[i].pid = e->pid;
        l->begin_ns = e->ns;
    }
    l->end_ns = 0;
    return true;
}

static bool is_of_lock(const struct probe_event *e) {
    switch (e->kind) {
    case PROBE_TAKE:
    case PROBE_WANT:
    case PROBE_GOT:
    case PROBE_DROP:
    case PROBE_FORCE:
    case PROBE_HOLDER:
        return true;
    default:
        return e->kind == PROBE_LOOK && e->lock >= 0;
    }
}

static void began(struct probe_timeline *t, const struct probe_event *e) {
    struct probe_tracker *tr = probe_tracker_get(t, e->tid, e->pid, e->ns);
    struct probe_thread *th = &t->thread[tr->index];
    if (e->value == 0 || th->tid != e->tid || th->born_ns)
        return;
    th->parent = (pid_t)e->value;
    th->born_ns = e->ns;
    if (tr->cpu_state == CPU_UNSEEN) { /* it waits for a CPU to begin on */
        tr->cpu_state = CPU_OFF;
        tr->preempted = true;
        tr->state = PROBE_STATE_RUNNABLE;
    }
}

static void renamed(struct probe_timeline *t, const struct probe_event *e) {
    struct probe_tracker *tr = probe_tracker_get(t, e->tid, e->pid, e->ns);
    struct probe_thread *th = &t->thread[tr->index];
    if (!e->text || th->tid != e->tid)
        return;
    free(th->name);
    th->name = lab_copy(e->text);
    lab_make_printable(th->name);
}

static void ended(struct probe_timeline *t, const struct probe_event *e) {
    struct probe_tracker *tr = probe_tracker_find(t, e->tid);
    if (!tr)
        return;
    probe_over(t, tr, e->ns);
    struct probe_thread *th = &t->thread[tr->index];
    if (th->tid == e->tid)
        th->end_ns = e->ns;
    for (size_t i = 0; i < t->lock_count && e->tid == e->pid; i++) {
        if (t->lock[i].pid == e->pid && t->inside->lock[i].end_ns == 0)
            t->inside->lock[i].end_ns = e->ns;
    }
    probe_tracker_end(t, tr, e->ns);
}

/* The locks of the program that was are gone. Its other threads' ends are told by themselves. */
static void became(struct probe_timeline *t, const struct probe_event *e) {
    for (size_t i = 0; i < LOCKS_MAX; i++) {
        struct probe_lock_inside *l = &t->inside->lock[i];
        if (!l->seen || l->pid != e->pid)
            continue;
        struct probe_tracker *tr = l->last;
        if (tr && tr->has) {
            probe_hold_ended(t, tr, e->ns);
            probe_close_span(t, tr, e->ns,
                             tr->cpu_state == CPU_ON ? PROBE_STATE_ON
                             : tr->preempted         ? PROBE_STATE_RUNNABLE
                                                     : PROBE_STATE_BLOCKED);
        }
        l->last = NULL;
        l->end_ns = e->ns;
    }
}

static void of_lock(struct probe_timeline *t, const struct probe_event *e) {
    size_t i = e->lock >= 0 ? (size_t)e->lock : 0;
    struct probe_lock_inside *l = &t->inside->lock[i];
    if (e->kind == PROBE_HOLDER) {
        probe_lock_sampled(t, e);
        struct probe_tracker *tr = e->tid && e->stack ? probe_tracker_find(t, e->tid) : NULL;
        if (tr && tr->has) {
            struct probe_tally what = {.stack = e->stack, .call = -1};
            struct probe_thread *th = &t->thread[tr->index];
            probe_tally_add(&th->held, &th->held_count, &what);
            probe_sampled(tr, e->ns, e->stack);
        }
        return;
    }
    struct probe_tracker *tr = probe_tracker_get(t, e->tid, e->pid, e->ns);
    if (e->kind == PROBE_TAKE) {
        l->takes_seen = true;
        if (t->lock[i].exact) { /* only to be counted */
            t->lock[i].takes++;
            t->thread[tr->index].takes++;
        } else {
            probe_took(t, tr, (int)i, e->ns, true);
        }
    } else if (e->kind == PROBE_FORCE) {
        l->asks_seen = l->asked = true;
        t->thread[tr->index].forced_by += t->lock[i].exact;
    } else {
        probe_exact(t, tr, e);
    }
}

static void of_cpu(struct probe_timeline *t, const struct probe_event *e) {
    struct probe_tracker *tr = probe_tracker_get(t, e->tid, e->pid, e->ns);
    t->inside->switches = true;
    if (e->kind == PROBE_ON) {
        probe_on_cpu(t, tr, e->ns, e->cpu);
        return;
    }
    struct probe_thread *th = &t->thread[tr->index];
    if (e->preempted) {
        th->preempted++;
    } else {
        th->voluntary++;
    }
    if (e->cpu >= 0)
        tr->cpu = e->cpu;
    probe_off_cpu(t, tr, e->ns, e->preempted);
}

/* ---- settling: totals up to now, which the next event takes back ---- */

static void unsettle(struct probe_timeline *t) {
    struct probe_timeline_inside *in = t->inside;
    if (!in->settled)
        return;
    in->settled = false;
    for (size_t i = 0; i < in->table_size; i++) {
        struct probe_tracker *tr = in->table[i];
        int lock;
        if (!tr)
            continue;
        struct probe_thread *th = &t->thread[tr->index];
        th->state_ns[tr->provisional] -= tr->provisional_ns;
        th->state_ns[PROBE_STATE_BLOCKED] -= tr->back_provisional_ns;
        if ((tr->provisional == PROBE_STATE_HOLDS || tr->provisional == PROBE_STATE_HOLDS_OFF) &&
            probe_lock_of(t, tr, &lock))
            t->lock[lock].held_ns -= tr->provisional_ns;
        tr->provisional_ns = tr->back_provisional_ns = 0;
    }
}

static void estimate(struct probe_tally *list, size_t count, uint64_t total_ns) {
    uint64_t samples = 0;
    for (size_t i = 0; i < count; i++)
        samples += list[i].count;
    for (size_t i = 0; i < count; i++)
        list[i].ns = (uint64_t)((double)total_ns * (double)list[i].count / (double)samples);
}

static void estimate_all(struct probe_timeline *t) {
    for (size_t i = 0; i < t->thread_count; i++) {
        struct probe_thread *th = &t->thread[i];
        uint64_t held = th->state_ns[PROBE_STATE_HOLDS] + th->state_ns[PROBE_STATE_HOLDS_OFF];
        estimate(th->held, th->held_count, held);
        estimate(th->waited, th->waited_count, th->state_ns[PROBE_STATE_WAITS]);
        estimate(th->blocked_on, th->blocked_on_count, th->state_ns[PROBE_STATE_BLOCKED]);
    }
    for (size_t i = 0; i < t->lock_count; i++) {
        const struct probe_lock_inside *l = &t->inside->lock[i];
        t->lock[i].forced_known =
            t->lock[i].forced || l->asks_seen || (l->takes_seen && t->inside->interval_ns);
        uint64_t whole = probe_lock_life(t, i);
        t->lock[i].free_ns = whole > t->lock[i].held_ns ? whole - t->lock[i].held_ns : 0;
    }
}

void probe_timeline_settle(struct probe_timeline *t, uint64_t now_ns) {
    struct probe_timeline_inside *in = t->inside;
    unsettle(t);
    in->settled = true;
    if (now_ns > t->end_ns)
        t->end_ns = now_ns;
    for (size_t i = 0; i < in->table_size; i++) {
        struct probe_tracker *tr = in->table[i];
        int lock;
        if (!tr)
            continue;
        struct probe_thread *th = &t->thread[tr->index];
        tr->provisional = (uint8_t)probe_guess(t, tr, t->end_ns);
        tr->provisional_ns = t->end_ns > tr->since ? t->end_ns - tr->since : 0;
        tr->back_provisional_ns = tr->back ? tr->back_end - tr->back_begin : 0;
        th->state_ns[tr->provisional] += tr->provisional_ns;
        th->state_ns[PROBE_STATE_BLOCKED] += tr->back_provisional_ns;
        if ((tr->provisional == PROBE_STATE_HOLDS || tr->provisional == PROBE_STATE_HOLDS_OFF) &&
            probe_lock_of(t, tr, &lock))
            t->lock[lock].held_ns += tr->provisional_ns;
    }
    estimate_all(t);
}

void probe_timeline_event(void *arg, const struct probe_event *e) {
    struct probe_timeline *t = arg;
    unsettle(t);
    if (t->begin_ns == 0)
        t->begin_ns = t->end_ns = e->ns;
    if (e->ns > t->end_ns)
        t->end_ns = e->ns;
    struct probe_event without = *e;
    bool may_be_late = e->kind == PROBE_LOOK || e->kind == PROBE_NAME || e->kind == PROBE_HOLDER ||
                       e->kind == PROBE_ON || e->kind == PROBE_OFF;
    if (may_be_late && e->tid && probe_tracker_is_late(t, e->tid, e->ns))
        return;
    if (is_of_lock(e)) {
        bool known = know_lock(t, e);
        if (e->kind != PROBE_LOOK) {
            if (known)
                of_lock(t, e);
            return;
        }
        if (!known) {
            without.lock = PROBE_NO_LOCK;
            e = &without;
        }
    }
    switch (e->kind) {
    case PROBE_THREAD:
        began(t, e);
        break;
    case PROBE_NAME:
        renamed(t, e);
        break;
    case PROBE_EXIT:
        ended(t, e);
        break;
    case PROBE_ON:
    case PROBE_OFF:
        of_cpu(t, e);
        break;
    case PROBE_LOOK:
        probe_looked(t, probe_tracker_get(t, e->tid, e->pid, e->ns), e);
        break;
    case PROBE_PAUSE:
        t->pauses++;
        t->pause_ns += e->value;
        break;
    case PROBE_EXEC:
        became(t, e);
        break;
    case PROBE_LOST:
        t->lost += e->value;
        for (size_t i = 0; i < LOCKS_MAX; i++)
            t->inside->lock[i].unsure = true;
        break;
    default:
        break;
    }
}

/* ---- the end ---- */

static int by_count(const void *a, const void *b) {
    const struct probe_tally *x = a, *y = b;
    return x->count == y->count ? 0 : x->count < y->count ? 1 : -1;
}

static int by_ns(const void *a, const void *b) {
    const struct probe_pair *x = a, *y = b;
    return x->ns == y->ns ? 0 : x->ns < y->ns ? 1 : -1;
}

static int by_begin(const void *a, const void *b) {
    const struct probe_span *x = a, *y = b;
    if (x->begin_ns != y->begin_ns)
        return x->begin_ns < y->begin_ns ? -1 : 1;
    return x->thread == y->thread ? 0 : x->thread < y->thread ? -1 : 1;
}

static int by_cost(const void *a, const void *b) {
    const struct probe_convoy *x = a, *y = b;
    double cost = (double)x->times * (double)x->wait_ns,
           other = (double)y->times * (double)y->wait_ns;
    return cost == other ? 0 : cost < other ? 1 : -1;
}

/* Of each thread the one behind which it waited most, if that is a good part of its waiting. */
struct main_holder {
    uint64_t all_ns;
    const struct probe_pair *most;
};

static struct main_holder *main_holders(const struct probe_timeline *t) {
    struct main_holder *by = lab_alloc(t->thread_count + 1, sizeof(*by));
    for (size_t i = 0; i < t->pair_count; i++) {
        struct main_holder *m = &by[t->pair[i].waiter];
        m->all_ns += t->pair[i].ns;
        if (!m->most || t->pair[i].ns > m->most->ns)
            m->most = &t->pair[i];
    }
    return by;
}

static void find_convoys(struct probe_timeline *t) {
    enum { TIMES = 5, SHORT = 4, WAIT_NS = 500000 };
    struct main_holder *by = main_holders(t);
    for (size_t i = 0; i < t->thread_count; i++) {
        const struct probe_pair *p = by[i].most;
        if (!p || t->thread[i].tid == 0 || p->ns * 10 < by[i].all_ns * 4 || p->holder == i ||
            p->count < TIMES)
            continue;
        uint64_t need = probe_reservoir_median(t->inside->entry[i].hold);
        uint64_t wait = probe_reservoir_median(t->inside->entry[i].wait);
        uint64_t other = probe_reservoir_median(t->inside->entry[p->holder].hold);
        if (need == 0 || wait < WAIT_NS || need * SHORT > wait || need * SHORT > other)
            continue;
        t->convoy = lab_grow_one(t->convoy, t->convoy_count, sizeof(*t->convoy));
        t->convoy[t->convoy_count++] = (struct probe_convoy){
            .waiter = i, .holder = p->holder, .times = p->count, .need_ns = need, .wait_ns = wait};
    }
    free(by);
}

static void sort(void *list, size_t count, size_t size,
                 int (*compare)(const void *, const void *)) {
    if (count > 1)
        qsort(list, count, size, compare);
}

void probe_timeline_finish(struct probe_timeline *t, uint64_t end_ns) {
    struct probe_timeline_inside *in = t->inside;
    unsettle(t);
    if (end_ns > t->end_ns)
        t->end_ns = end_ns;
    for (size_t i = 0; i < in->table_size; i++) {
        if (in->table[i])
            probe_over(t, in->table[i], t->end_ns);
    }
    for (size_t i = 0; i < t->thread_count; i++)
        probe_presumed_correct(t, i);
    probe_trust_samples(t);
    estimate_all(t);
    for (size_t i = 0; i < t->thread_count; i++) {
        struct probe_thread *th = &t->thread[i];
        sort(th->held, th->held_count, sizeof(*th->held), by_count);
        sort(th->waited, th->waited_count, sizeof(*th->waited), by_count);
        sort(th->blocked_on, th->blocked_on_count, sizeof(*th->blocked_on), by_count);
    }
    find_convoys(t);
    sort(t->pair, t->pair_count, sizeof(*t->pair), by_ns); /* the table of pairs ends here */
    free(in->pair_table);
    in->pair_table = NULL;
    sort(t->convoy, t->convoy_count, sizeof(*t->convoy), by_cost);
    sort(t->span, t->span_count, sizeof(*t->span), by_begin);
}
