/* SPDX-License-Identifier: MIT */
/* Sums of a timeline: times by state, histograms, who waited for whom, the log of spans. */
#include <string.h>

#include "probe/timeline_inside.h"
#include "text.h"

/* ---- distributions ---- */

void probe_histogram_add(struct probe_histogram *h, uint64_t ns) {
    int i = ns ? 63 - __builtin_clzll(ns) : 0;
    h->bucket[i < PROBE_BUCKETS ? i : PROBE_BUCKETS - 1]++;
    h->count++;
    h->sum_ns += ns;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

uint64_t probe_histogram_quantile(const struct probe_histogram *h, double q) {
    if (h->count == 0)
        return 0;
    double rank = q * (double)h->count, before = 0;
    for (int i = 0; i < PROBE_BUCKETS; i++) {
        double here = (double)h->bucket[i];
        if (here > 0 && before + here >= rank) {
            double low = i ? (double)(UINT64_C(1) << i) : 0;
            double high = (double)(UINT64_C(1) << (i + 1));
            if (high > (double)h->max_ns)
                high = (double)h->max_ns;
            if (high < low)
                low = high;
            return (uint64_t)(low + (high - low) * (rank > before ? (rank - before) / here : 0));
        }
        before += here;
    }
    return h->max_ns;
}

/* A fair choice among all values that came (Vitter's algorithm R), for medians that are finer than
 * a bucket. The same events give the same choice. */
void probe_reservoir_add(struct probe_timeline *t, struct probe_reservoir **r, uint64_t value) {
    if (!*r)
        *r = lab_alloc(1, sizeof(**r));
    uint64_t i = (*r)->seen++;
    if (i >= RESERVOIR) {
        uint64_t x = t->inside->random += 0x9e3779b97f4a7c15u;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        i = (x ^ (x >> 31)) % (*r)->seen;
    }
    if (i < RESERVOIR)
        (*r)->value[i] = value;
}

uint64_t probe_reservoir_median(const struct probe_reservoir *r) {
    if (!r || r->seen == 0)
        return 0;
    uint64_t sorted[RESERVOIR];
    size_t n = r->seen < RESERVOIR ? (size_t)r->seen : RESERVOIR;
    for (size_t i = 0; i < n; i++) {
        size_t j = i;
        for (; j > 0 && sorted[j - 1] > r->value[i]; j--)
            sorted[j] = sorted[j - 1];
        sorted[j] = r->value[i];
    }
    return sorted[(n - 1) / 2];
}

uint64_t probe_thread_median_hold(const struct probe_timeline *t, size_t index) {
    return probe_reservoir_median(t->inside->entry[index].hold);
}

uint64_t probe_thread_median_wait(const struct probe_timeline *t, size_t index) {
    return probe_reservoir_median(t->inside->entry[index].wait);
}

/* ---- spans ---- */

/* Of the samples in a span the first, second, fourth, ... are remembered, so one of the last two
 * of these is near the middle. */
void probe_sampled(struct probe_tracker *tr, uint64_t ns, uint32_t stack) {
    if (stack == 0)
        return;
    tr->samples++;
    if ((tr->samples & (tr->samples - 1)) != 0)
        return;
    tr->sample[0] = tr->sample[1];
    tr->sample_ns[0] = tr->sample_ns[1];
    tr->sample[1] = stack;
    tr->sample_ns[1] = ns;
}

static uint64_t distance(uint64_t a, uint64_t b) {
    return a > b ? a - b : b - a;
}

static uint32_t middle_stack(const struct probe_tracker *tr, uint64_t begin, uint64_t end) {
    uint64_t middle = begin + (end - begin) / 2;
    int i = tr->sample[0] && distance(tr->sample_ns[0], middle) < distance(tr->sample_ns[1], middle)
                ? 0
                : 1;
    return tr->sample[i];
}

static void log_span(struct probe_timeline *t, struct probe_tracker *tr, enum probe_state state,
                     uint64_t begin, uint64_t end) {
    struct probe_timeline_inside *in = t->inside;
    if (in->spans_max == 0) {
        t->spans_dropped++;
        return;
    }
    uint32_t stack = middle_stack(tr, begin, end);
    bool runs = state == PROBE_STATE_HOLDS || state == PROBE_STATE_ON;
    int16_t cpu = (int16_t)(runs ? tr->cpu : -1);
    int lock = -1;
    if (state >= PROBE_STATE_HOLDS && state <= PROBE_STATE_WAITS)
        (void)probe_lock_of(t, tr, &lock);
    if (tr->span && tr->span + in->spans_max > in->spans_logged) {
        struct probe_span *s = &t->span[(tr->span - 1) % in->spans_max];
        if (s->state == state && s->end_ns == begin && s->cpu == cpu && s->thread == tr->index &&
            s->lock == lock) {
            s->end_ns = end;
            if (stack && (!s->stack || end - begin > begin - s->begin_ns))
                s->stack = stack;
            return;
        }
    }
    size_t at = (size_t)(in->spans_logged % in->spans_max);
    if (t->span_count < in->spans_max) {
        t->span = lab_grow_one(t->span, t->span_count, sizeof(*t->span));
        t->span_count++;
    } else {
        t->spans_dropped++;
    }
    t->span[at] = (struct probe_span){.begin_ns = begin,
                                      .end_ns = end,
                                      .thread = tr->index,
                                      .state = (uint8_t)state,
                                      .cpu = cpu,
                                      .stack = stack,
                                      .lock = (int16_t)lock};
    tr->span = ++in->spans_logged;
}

void probe_account(struct probe_timeline *t, struct probe_tracker *tr, enum probe_state state,
                   uint64_t begin_ns, uint64_t end_ns) {
    if (end_ns <= begin_ns)
        return;
    struct probe_thread *e = &t->thread[tr->index];
    uint64_t ns = end_ns - begin_ns;
    e->state_ns[state] += ns;
    if (state == PROBE_STATE_RUNNABLE)
        probe_histogram_add(&e->runnable, ns);
    if (state == PROBE_STATE_BLOCKED)
        probe_histogram_add(&e->blocked, ns);
    if (state == PROBE_STATE_HOLDS_OFF && tr->preempted)
        e->held_preempted_ns += ns;
    if (state == PROBE_STATE_HOLDS || state == PROBE_STATE_HOLDS_OFF) {
        int lock;
        if (probe_lock_of(t, tr, &lock))
            t->lock[lock].held_ns += ns;
    }
    log_span(t, tr, state, begin_ns, end_ns);
}

static struct probe_presumed *presumed(struct probe_timeline *t, const struct probe_tracker *tr) {
    struct probe_entry_inside *in = &t->inside->entry[tr->index];
    if (tr->state == PROBE_STATE_HOLDS)
        return &in->on;
    return tr->state == PROBE_STATE_HOLDS_OFF && tr->preempted ? &in->preempted : NULL;
}

void probe_presumed_sample(struct probe_timeline *t, struct probe_tracker *tr, bool is_free) {
    struct probe_presumed *p = tr->sampled ? NULL : presumed(t, tr);
    if (!p)
        return;
    tr->sampled = true;
    p->samples++;
    p->free += is_free;
}

static void move(struct probe_timeline *t, size_t index, const struct probe_presumed *p,
                 enum probe_state from, enum probe_state to) {
    enum { ENOUGH = 20 };
    struct probe_thread *e = &t->thread[index];
    int lock = t->inside->entry[index].lock;
    if (p->samples < ENOUGH || p->free == 0)
        return;
    uint64_t ns = (uint64_t)((double)p->ns * (double)p->free / (double)p->samples);
    e->state_ns[from] -= ns;
    e->state_ns[to] += ns;
    if (from == PROBE_STATE_HOLDS_OFF)
        e->held_preempted_ns -= ns;
    if ((size_t)lock < t->lock_count && t->lock[lock].held_ns >= ns)
        t->lock[lock].held_ns -= ns;
}

void probe_presumed_correct(struct probe_timeline *t, size_t index) {
    const struct probe_entry_inside *in = &t->inside->entry[index];
    move(t, index, &in->on, PROBE_STATE_HOLDS, PROBE_STATE_ON);
    move(t, index, &in->preempted, PROBE_STATE_HOLDS_OFF, PROBE_STATE_RUNNABLE);
}

void probe_close_span(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns,
                      enum probe_state next) {
    if (ns < tr->since)
        ns = tr->since;
    struct probe_presumed *p = tr->sampled ? NULL : presumed(t, tr);
    if (p)
        p->ns += ns - tr->since;
    if (p && tr->lock >= 0)
        t->inside->entry[tr->index].lock = tr->lock;
    tr->sampled = false;
    probe_account(t, tr, tr->state, tr->since, ns);
    tr->since = ns;
    tr->state = (uint8_t)next;
    tr->saw_lock = tr->saw_other = tr->saw_taken = tr->saw_free = 0;
    tr->samples = tr->sample[0] = tr->sample[1] = 0;
}

void probe_hold_ended(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns) {
    if (!tr->has)
        return;
    tr->has = false;
    uint64_t held = ns > tr->hold_since ? ns - tr->hold_since : 0;
    probe_histogram_add(&t->thread[tr->index].hold, held);
    probe_reservoir_add(t, &t->inside->entry[tr->index].hold, held);
}

static uint64_t shift(uint64_t *from, uint64_t *to, double part) {
    uint64_t ns = (uint64_t)((double)*from * part);
    *from -= ns;
    *to += ns;
    return ns;
}

/* Of the time for which a thread is taken to have held the lock, so much it did not. */
static uint64_t take_back(struct probe_thread *th, double part) {
    uint64_t ready = th->held_preempted_ns, *state = th->state_ns;
    uint64_t off = state[PROBE_STATE_HOLDS_OFF], asleep = off > ready ? off - ready : 0;
    uint64_t ns = shift(&state[PROBE_STATE_HOLDS], &state[PROBE_STATE_ON], part);
    ns += shift(&ready, &state[PROBE_STATE_RUNNABLE], part);
    ns += shift(&asleep, &state[PROBE_STATE_BLOCKED], part);
    th->held_preempted_ns = ready;
    state[PROBE_STATE_HOLDS_OFF] = ready + asleep;
    return ns;
}

uint64_t probe_lock_life(const struct probe_timeline *t, size_t lock) {
    const struct probe_lock_inside *l = &t->inside->lock[lock];
    uint64_t end = l->end_ns ? l->end_ns : t->end_ns;
    return end > l->begin_ns ? end - l->begin_ns : 0;
}

static double held_ns(const struct probe_thread *th) {
    return (double)th->state_ns[PROBE_STATE_HOLDS] + (double)th->state_ns[PROBE_STATE_HOLDS_OFF];
}

/* For how much longer a thread is taken to have held a lock than samples say. */
static double excess(const struct probe_timeline *t, size_t i, size_t lock, double whole_ns) {
    const struct probe_entry_inside *in = &t->inside->entry[i];
    const struct probe_lock *l = &t->lock[lock];
    double held = held_ns(&t->thread[i]);
    double true_ns = (double)in->sampled / (double)l->looks * whole_ns;
    bool its = (size_t)in->lock == lock && t->thread[i].pid == l->pid;
    return its && held > true_ns ? held - true_ns : 0;
}

void probe_trust_samples(struct probe_timeline *t) {
    enum { LOOKS = 100 };
    for (size_t k = 0; k < t->lock_count; k++) {
        struct probe_lock *l = &t->lock[k];
        double whole = (double)probe_lock_life(t, k);
        if (l->exact || l->looks < LOOKS || whole <= 0)
            continue;
        double n = (double)l->looks, seen = (double)l->looks_locked / n;
        double off = (double)l->held_ns / whole - seen; /* 4 standard deviations are no chance */
        if (off < 0.05 || off * off < 16 * seen * (1 - seen) / n)
            continue;
        l->by_samples = true;
        double wrong = off * whole, all = 0; /* short holds have no sample: not theirs alone */
        for (size_t i = 0; i < t->thread_count; i++)
            all += excess(t, i, k, whole);
        for (size_t i = 0; all > 0 && i < t->thread_count; i++) {
            struct probe_thread *th = &t->thread[i];
            double part = excess(t, i, k, whole) * (all > wrong ? wrong / all : 1);
            uint64_t ns = part > 0 ? take_back(th, part / held_ns(th)) : 0;
            l->held_ns -= ns < l->held_ns ? ns : l->held_ns;
        }
    }
}

/* ---- who waited for whom ---- */

void probe_lock_changed(struct probe_lock_inside *l, uint64_t ns, uint32_t index) {
    if (!l->history)
        l->history = lab_alloc(HISTORY, sizeof(*l->history));
    l->history[l->changes++ % HISTORY] = (struct probe_change){.ns = ns, .index = index};
}

static void pair_add(struct probe_timeline *t, uint32_t waiter, uint32_t holder, uint64_t ns,
                     uint64_t count) {
    struct probe_timeline_inside *in = t->inside;
    enum { SIZE = PAIRS_MAX * 2 };
    if (!in->pair_table)
        in->pair_table = lab_alloc(SIZE, sizeof(*in->pair_table));
    uint64_t key = ((uint64_t)waiter << 32 | holder) * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(key >> 40) % SIZE;
    for (; in->pair_table[i]; i = (i + 1) % SIZE) {
        struct probe_pair *p = &t->pair[in->pair_table[i] - 1];
        if (p->waiter == waiter && p->holder == holder) {
            p->ns += ns;
            p->count += count;
            return;
        }
    }
    if (t->pair_count == PAIRS_MAX)
        return;
    t->pair = lab_grow_one(t->pair, t->pair_count, sizeof(*t->pair));
    t->pair[t->pair_count] =
        (struct probe_pair){.waiter = waiter, .holder = holder, .ns = ns, .count = count};
    in->pair_table[i] = (uint32_t)++t->pair_count;
}

/* Divides a wait among those who had the lock meanwhile; the one who had it for most of it, or
 * UINT32_MAX where nobody is known. */
static uint32_t divide_wait(struct probe_timeline *t, uint32_t waiter,
                            const struct probe_lock_inside *l, uint64_t begin, uint64_t end) {
    enum { DIFFERENT = 16 };
    struct {
        uint32_t index;
        uint64_t ns;
    } by[DIFFERENT];
    size_t n = 0, most = 0;
    uint64_t later = end;
    for (uint64_t i = l->changes; i > 0 && l->changes - i < HISTORY && later > begin; i--) {
        const struct probe_change *c = &l->history[(i - 1) % HISTORY];
        if (c->ns >= later)
            continue;
        uint64_t from = c->ns > begin ? c->ns : begin, ns = later - from;
        uint32_t index = c->index;
        later = from;
        if (index == waiter) { /* it had let go; the time until the next one came is that one's */
            if (i == l->changes)
                continue;
            index = l->history[i % HISTORY].index;
        }
        size_t k = 0;
        while (k < n && by[k].index != index)
            k++;
        if (k == DIFFERENT) {
            pair_add(t, waiter, index, ns, 0);
            continue;
        }
        if (k == n) {
            by[n].index = index;
            by[n++].ns = 0;
        }
        by[k].ns += ns;
    }
    for (size_t k = 1; k < n; k++) {
        if (by[k].ns > by[most].ns)
            most = k;
    }
    for (size_t k = 0; k < n; k++)
        pair_add(t, waiter, by[k].index, by[k].ns, k == most);
    return n ? by[most].index : UINT32_MAX;
}

void probe_wait_ended(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns) {
    if (!tr->waits)
        return;
    tr->waits = false;
    if (ns <= tr->wait_since)
        return;
    struct probe_thread *e = &t->thread[tr->index];
    uint64_t waited = ns - tr->wait_since;
    probe_histogram_add(&e->wait, waited);
    probe_reservoir_add(t, &t->inside->entry[tr->index].wait, waited);
    int lock;
    struct probe_lock_inside *l = probe_lock_of(t, tr, &lock);
    uint32_t holder = UINT32_MAX;
    if (l) {
        t->lock[lock].waiters_ns += waited;
        holder = divide_wait(t, tr->index, l, tr->wait_since, ns);
    }
    if (waited > e->worst_wait_ns) {
        e->worst_wait_ns = waited;
        e->worst_wait_at_ns = tr->wait_since;
        e->worst_wait_holder = holder == UINT32_MAX ? 0 : t->thread[holder].tid;
    }
}

/* ---- tallies ---- */

void probe_tally_add(struct probe_tally **list, size_t *count, const struct probe_tally *what) {
    struct probe_tally *l = *list, w = *what;
    for (int again = 0; again < 2; again++) {
        for (size_t i = 0; i < *count; i++) {
            if (l[i].stack == w.stack && l[i].call == w.call && l[i].futex == w.futex) {
                l[i].count++;
                if (i > 0 && l[i].count > l[i - 1].count) { /* what is frequent is found soon */
                    struct probe_tally other = l[i - 1];
                    l[i - 1] = l[i];
                    l[i] = other;
                }
                return;
            }
        }
        if (*count < TALLIES_MAX - 1 || again)
            break;
        w = (struct probe_tally){.call = -1}; /* the rest, together */
    }
    w.count = 1;
    w.ns = 0;
    *list = lab_grow_one(*list, *count, sizeof(**list));
    (*list)[(*count)++] = w;
}
