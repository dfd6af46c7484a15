/* SPDX-License-Identifier: MIT */
/* In which state a thread is, from hand-overs, from its coming on and off CPU, and from samples.
 *
 * The interpreter tells one thing: who takes its lock (the GIL) after somebody else (PROBE_TAKE).
 * That a thread lets go, or takes again what it was the last to have, leaves no event; nor does the
 * beginning of a wait. They follow from this:
 *
 * - The last holder, while on a CPU, has the lock, unless a sample says that nobody has it.
 * - The last holder that leaves its CPU by its own will has let go, unless samples say that the
 *   lock is still taken (two of them: one may be a little older than it says). Preempted, it still
 * has it: everybody waits for nothing.
 * - A thread that leaves its CPU while another one had the lock last waits either for the lock or
 *   for something else. A look during that span decides. Without one: if it took the lock at once
 *   after the span, and whoever had it was busy with it until then, it waited for the lock; if the
 *   span is just as long as the switch interval, too (the interpreter waits so long at a time, then
 *   asks the holder to let go). Else not.
 * - Once it waits it goes on to wait until it takes the lock, through the short moments on a CPU
 *   between one interval and the next.
 * - A thread that waited for a whole interval, in which nobody took the lock, has asked the holder
 *   to let go. So when somebody then takes it, the asker or another one, the holder lost it by
 *   force, and waits itself as soon as it leaves its CPU (preempted on the way there, it lacks a
 *   CPU, not the lock).
 *
 * Spans that are too short for samples are presumed to be as the rules say; at the end the totals
 * are corrected by how often samples, all together, said otherwise (probe_presumed_correct()).
 *
 * Where samples find the lock free far more often even so, they are right, and the sums are brought
 * down to what they say (probe_trust_samples()).
 *
 * A state that could be seen only in the middle (samples) is taken to have begun half way between
 * the sample and what was known before.
 *
 * Where the target itself tells (PROBE_WANT, GOT, DROP) all of this is left aside. */
#include "probe/timeline_inside.h"

enum {
    BLIP_NS = 1000000,  /* a thread that is on CPU for longer does not wait */
    WAKING_NS = 300000, /* from the holder's leaving to the waiter's being on a CPU */
    LATE_NS = 20000,    /* a sample this soon after a switch may be older than it */
    LATE_TIMEOUT_NS = 400000,
};

/* ---- what a thread has to do with which lock ---- */

/* Of a thread that had to do with none yet: the first one of its process, if there is one. */
static int lock_index(const struct probe_timeline *t, const struct probe_tracker *tr) {
    size_t i = tr->lock >= 0 ? (size_t)tr->lock : 0;
    for (; i < t->lock_count; i++) {
        const struct probe_lock_inside *l = &t->inside->lock[i];
        if (l->seen && l->pid == tr->pid)
            return (int)i;
        if (tr->lock >= 0)
            break;
    }
    return -1;
}

struct probe_lock_inside *probe_lock_of(struct probe_timeline *t, const struct probe_tracker *tr,
                                        int *index) {
    int i = lock_index(t, tr);
    if (i < 0)
        return NULL;
    *index = i;
    return &t->inside->lock[i];
}

/* Whether it could wait for one at all. */
static bool has_lock(const struct probe_timeline *t, const struct probe_tracker *tr) {
    return lock_index(t, tr) >= 0;
}

static bool is_exact(const struct probe_timeline *t, const struct probe_tracker *tr) {
    int i = lock_index(t, tr);
    return i >= 0 && t->lock[i].exact;
}

static bool is_last(struct probe_timeline *t, const struct probe_tracker *tr) {
    int index;
    struct probe_lock_inside *l = probe_lock_of(t, tr, &index);
    return l && l->last == tr;
}

/* Whether it left its CPU with the lock, by its own will. */
static bool kept_it(const struct probe_tracker *tr) {
    return tr->saw_taken >= 2 && tr->saw_taken > tr->saw_free;
}

static uint64_t between(uint64_t a, uint64_t b) {
    return a < b ? a + (b - a) / 2 : b;
}

static uint64_t later_of(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* ---- waiting ---- */

static void begin_wait(struct probe_tracker *tr, uint64_t ns) {
    if (tr->waits)
        return;
    tr->waits = true;
    tr->wait_since = ns;
}

/* What was taken for waiting was not, from the beginning of the open span on. */
static void no_wait(struct probe_timeline *t, struct probe_tracker *tr, enum probe_state state) {
    probe_wait_ended(t, tr, tr->since);
    tr->state = (uint8_t)state;
}

static void decide_back(struct probe_timeline *t, struct probe_tracker *tr,
                        enum probe_state state) {
    if (!tr->back)
        return;
    tr->back = false;
    probe_account(t, tr, state, tr->back_begin, tr->back_end);
    if (state == PROBE_STATE_WAITS)
        begin_wait(tr, tr->back_begin);
}

/* A waiter that has been on its CPU for a while without having taken the lock from another one. */
static void check_blip(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns) {
    if (tr->waits && tr->cpu_state == CPU_ON && tr->state == PROBE_STATE_WAITS &&
        !is_exact(t, tr) && ns > tr->since + BLIP_NS) {
        no_wait(t, tr, is_last(t, tr) ? PROBE_STATE_HOLDS : PROBE_STATE_ON);
        tr->has = is_last(t, tr);
        tr->hold_since = tr->since;
    }
}

/* ---- on and off CPU ---- */

enum { UNDECIDED = PROBE_STATES };

/* The state of the open span off CPU, as it ends at ns, or UNDECIDED. */
static int decide_off(const struct probe_timeline *t, const struct probe_tracker *tr, uint64_t ns) {
    if (tr->preempted || tr->waits || is_exact(t, tr))
        return tr->state;
    if (kept_it(tr))
        return PROBE_STATE_HOLDS_OFF;
    if (tr->saw_lock > tr->saw_other)
        return PROBE_STATE_WAITS;
    if (tr->saw_other || tr->off_as_last || !has_lock(t, tr))
        return PROBE_STATE_BLOCKED;
    uint64_t interval = t->inside->interval_ns, span = ns - tr->since;
    if (interval && span >= interval && span < interval + LATE_TIMEOUT_NS)
        return PROBE_STATE_WAITS;
    return UNDECIDED;
}

enum probe_state probe_guess(const struct probe_timeline *t, const struct probe_tracker *tr,
                             uint64_t ns) {
    if (tr->cpu_state == CPU_ON)
        return tr->state;
    int state = decide_off(t, tr, ns > tr->since ? ns : tr->since);
    return state == UNDECIDED ? PROBE_STATE_BLOCKED : (enum probe_state)state;
}

static void came_back(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns) {
    int state = decide_off(t, tr, ns);
    if (state == UNDECIDED) {
        tr->back = true;
        tr->back_begin = tr->since;
        tr->back_end = ns;
        tr->since = ns;
        tr->samples = tr->sample[0] = tr->sample[1] = 0;
        return;
    }
    tr->state = (uint8_t)state;
    if (state == PROBE_STATE_WAITS)
        begin_wait(tr, tr->since);
    if (state == PROBE_STATE_BLOCKED || state == PROBE_STATE_WAITS)
        probe_hold_ended(t, tr, tr->hold_end);
    probe_close_span(t, tr, ns, tr->state);
}

void probe_on_cpu(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns, int cpu) {
    struct probe_thread *e = &t->thread[tr->index];
    if (ns < tr->since)
        ns = tr->since;
    if (cpu >= 0) {
        if (tr->cpu >= 0 && tr->cpu != cpu)
            e->migrations++;
        tr->cpu = cpu;
    }
    if (e->first_ns == 0)
        e->first_ns = ns;
    if (tr->cpu_state == CPU_ON)
        return;
    if (!(tr->preempted && tr->back)) /* else what is held back waits for the next event */
        decide_back(t, tr, PROBE_STATE_BLOCKED);
    came_back(t, tr, ns);
    bool as_before = tr->preempted; /* no code of its own has run since */
    tr->cpu_state = CPU_ON;
    tr->cpu_ns = ns;
    tr->preempted = false;
    if (tr->waits) {
        tr->state = PROBE_STATE_WAITS;
    } else if (tr->has || (!as_before && is_last(t, tr) && !is_exact(t, tr))) {
        if (!tr->has)
            tr->hold_since = ns;
        tr->has = true;
        tr->state = PROBE_STATE_HOLDS;
    } else {
        tr->state = PROBE_STATE_ON;
    }
}

/* Nothing was known of this thread's CPU so far, and now it must have been on one. */
static void was_on(struct probe_timeline *t, struct probe_tracker *tr) {
    tr->cpu_state = CPU_ON;
    if (tr->waits) {
        tr->state = PROBE_STATE_WAITS;
    } else if (is_last(t, tr) && (tr->has || !is_exact(t, tr))) {
        if (!tr->has)
            tr->hold_since = tr->since;
        tr->has = true;
        tr->state = PROBE_STATE_HOLDS;
    } else {
        tr->state = PROBE_STATE_ON;
    }
}

void probe_off_cpu(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns,
                   bool preempted) {
    if (tr->cpu_state == CPU_OFF) {
        return; /* its coming was lost */
    }
    if (tr->cpu_state == CPU_UNSEEN)
        was_on(t, tr);
    check_blip(t, tr, ns);
    if (!preempted) {
        decide_back(t, tr, PROBE_STATE_BLOCKED);
        if (tr->wants && ns < tr->since + BLIP_NS)
            begin_wait(tr, ns);
        tr->wants = false;
    }
    enum probe_state next;
    if (tr->waits) {
        next = PROBE_STATE_WAITS;
    } else if (tr->has && (preempted || is_exact(t, tr))) {
        next = PROBE_STATE_HOLDS_OFF;
    } else {
        next = preempted ? PROBE_STATE_RUNNABLE : PROBE_STATE_BLOCKED;
    }
    probe_close_span(t, tr, ns, next);
    tr->cpu_state = CPU_OFF;
    tr->cpu_ns = tr->hold_end = ns;
    tr->preempted = preempted;
    tr->off_as_last = is_last(t, tr);
}

/* ---- hand-overs ---- */

static void lose(struct probe_timeline *t, struct probe_tracker *h, uint64_t ns, bool forced) {
    if (h->cpu_state == CPU_UNSEEN)
        was_on(t, h);
    if (!h->has)
        return; /* it had let go some time before, and was seen without it */
    if (forced)
        t->thread[h->index].forced_from++;
    if (h->cpu_state == CPU_OFF && !h->preempted) {
        if (kept_it(h)) {
            h->state = PROBE_STATE_HOLDS_OFF;
            probe_hold_ended(t, h, ns);
            probe_close_span(t, h, ns, PROBE_STATE_BLOCKED);
        } else {
            probe_hold_ended(t, h, h->hold_end);
        }
        if (forced && h->saw_other == 0) {
            begin_wait(h, h->since);
            h->state = PROBE_STATE_WAITS;
        }
        return;
    }
    probe_hold_ended(t, h, ns);
    h->wants = forced;
    probe_close_span(t, h, ns, h->cpu_state == CPU_ON ? PROBE_STATE_ON : PROBE_STATE_RUNNABLE);
}

/* Whether somebody had the lock, and was busy with it, until about that moment. */
static bool was_busy(const struct probe_lock_inside *l, uint64_t ns) {
    const struct probe_tracker *h = l->last;
    if (!h)
        return false;
    if (h->cpu_state == CPU_OFF && !h->preempted && !kept_it(h))
        return h->cpu_ns + WAKING_NS >= ns;
    return h->has || h->cpu_state == CPU_UNSEEN;
}

/* The first of those who have waited for the whole interval behind one holder asks it to let go;
 * whoever is woken then takes the lock, and that is another one as often as not. */
static bool was_forced(const struct probe_timeline *t, const struct probe_lock_inside *l, int lock,
                       uint64_t ns) {
    const struct probe_timeline_inside *in = t->inside;
    uint64_t patience = in->interval_ns - in->interval_ns / 20;
    if (l->asks_seen)
        return l->asked;
    if (in->interval_ns == 0 || ns < l->take_ns + patience)
        return false;
    for (size_t i = 0; i < in->table_size; i++) {
        const struct probe_tracker *tr = in->table[i];
        if (!tr || tr->lock != lock)
            continue;
        /* An open span that looks found on the lock is one of waiting, though not decided yet. */
        bool waits = tr->waits || (tr->cpu_state == CPU_OFF && tr->saw_lock > tr->saw_other);
        if (waits && ns >= (tr->waits ? tr->wait_since : tr->since) + patience)
            return true;
    }
    return false;
}

void probe_took(struct probe_timeline *t, struct probe_tracker *tr, int lock, uint64_t ns,
                bool counts) {
    struct probe_lock_inside *l = &t->inside->lock[lock];
    tr->lock = (int16_t)lock;
    if (ns < tr->since)
        ns = tr->since;
    if (tr->cpu_state == CPU_UNSEEN) {
        if (tr->saw_lock > tr->saw_other)
            begin_wait(tr, tr->since);
        was_on(t, tr);
    } else if (tr->cpu_state == CPU_OFF) {
        probe_on_cpu(t, tr, ns, -1);
    }
    if (tr->back) {
        bool waited = was_busy(l, tr->back_end) && ns < tr->back_end + BLIP_NS;
        decide_back(t, tr, waited ? PROBE_STATE_WAITS : PROBE_STATE_BLOCKED);
        if (waited)
            tr->state = PROBE_STATE_WAITS;
    }
    bool forced = was_forced(t, l, lock, ns);
    l->asked = false;
    if (l->last && l->last != tr && l->last->lock == lock) /* it may have gone to another GIL */
        lose(t, l->last, ns, forced);
    if (counts) {
        t->thread[tr->index].takes++;
        t->lock[lock].takes++;
        t->thread[tr->index].forced_by += forced;
        t->lock[lock].forced += forced;
    }
    probe_close_span(t, tr, ns, PROBE_STATE_HOLDS);
    probe_wait_ended(t, tr, ns);
    if (!tr->has)
        tr->hold_since = ns;
    tr->has = true;
    tr->wants = false;
    l->last = tr;
    l->take_ns = ns;
    l->unsure = false;
    l->doubt = 0;
    probe_lock_changed(l, ns, tr->index);
}

void probe_over(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns) {
    if (ns < tr->since)
        ns = tr->since;
    decide_back(t, tr, PROBE_STATE_BLOCKED);
    check_blip(t, tr, ns);
    if (tr->cpu_state == CPU_ON) {
        probe_close_span(t, tr, ns, PROBE_STATE_NONE);
    } else {
        came_back(t, tr, ns);
        decide_back(t, tr, PROBE_STATE_BLOCKED);
        tr->state = PROBE_STATE_NONE;
    }
    probe_wait_ended(t, tr, ns);
    probe_hold_ended(t, tr, ns);
}

/* ---- samples ---- */

static void seen_free(struct probe_timeline *t, struct probe_tracker *h, uint64_t before,
                      uint64_t ns) {
    if (h->cpu_state == CPU_OFF && !h->preempted) {
        h->saw_free += ns > h->cpu_ns;
        return;
    }
    if (!h->has || h->waits)
        return;
    uint64_t at = between(later_of(before, h->since), ns);
    probe_hold_ended(t, h, at);
    probe_close_span(t, h, at, h->cpu_state == CPU_OFF ? PROBE_STATE_RUNNABLE : PROBE_STATE_ON);
}

static void seen_taken(struct probe_timeline *t, struct probe_tracker *h, uint64_t before,
                       uint64_t ns) {
    if (h->cpu_state == CPU_OFF && !h->preempted) {
        h->saw_taken += ns > h->cpu_ns + LATE_NS;
        return;
    }
    if (h->has)
        return;
    uint64_t at = between(later_of(before, h->since), ns);
    bool off = h->cpu_state == CPU_OFF;
    probe_close_span(t, h, at, off ? PROBE_STATE_HOLDS_OFF : PROBE_STATE_HOLDS);
    probe_wait_ended(t, h, at);
    h->has = true;
    h->hold_since = at;
}

void probe_lock_sampled(struct probe_timeline *t, const struct probe_event *e) {
    int lock = e->lock >= 0 ? e->lock : 0;
    struct probe_lock_inside *l = &t->inside->lock[lock];
    struct probe_lock *sums = &t->lock[lock];
    sums->looks++;
    sums->looks_locked += e->tid != 0;
    uint64_t before = l->look_ns ? l->look_ns : l->begin_ns, skipped = 0;
    if (e->value && l->number && e->value > l->number)
        skipped = e->value - l->number;
    l->number = e->value;
    l->look_ns = e->ns;
    if (sums->exact)
        return;
    if (!l->takes_seen)
        sums->takes += skipped; /* nobody tells of hand-overs but the number itself */
    bool its = l->last && l->last->lock == lock; /* else it has gone to another one since */
    if (its && l->last->has && (e->tid == 0 || e->tid == l->last->tid))
        probe_presumed_sample(t, l->last, e->tid == 0);
    if (e->tid == 0) {
        if (its)
            seen_free(t, l->last, before, e->ns);
        return;
    }
    struct probe_tracker *tr = probe_tracker_get(t, e->tid, e->pid, e->ns);
    tr->lock = (int16_t)lock;
    t->inside->entry[tr->index].sampled++;
    t->inside->entry[tr->index].lock = (int16_t)lock;
    if (l->last == tr) {
        l->doubt = 0;
        seen_taken(t, tr, before, e->ns);
    } else if (!l->last && l->changes == 0) { /* the first that is known of it */
        l->last = tr;
        probe_lock_changed(l, l->begin_ns, tr->index);
        if (tr->cpu_state == CPU_ON && !tr->waits)
            seen_taken(t, tr, before, e->ns);
    } else if (!l->takes_seen || l->unsure || l->doubt == e->tid) {
        /* Its taking was lost, or is not told at all. */
        probe_took(t, tr, lock, between(later_of(before, l->take_ns), e->ns), false);
        t->thread[tr->index].takes += !l->takes_seen;
        sums->takes += !l->takes_seen && e->value == 0;
    } else {
        l->doubt = e->tid; /* the event may be about to come: it was read after the sample */
    }
}

static void tally(struct probe_timeline *t, struct probe_tracker *tr, const struct probe_event *e) {
    struct probe_thread *th = &t->thread[tr->index];
    struct probe_tally what = {.stack = e->stack ? e->stack : e->native, .call = -1};
    if (e->doing == PROBE_RUNS) {
        if (tr->has)
            probe_tally_add(&th->held, &th->held_count, &what);
    } else if (e->doing == PROBE_ON_FUTEX && e->lock >= 0) {
        probe_tally_add(&th->waited, &th->waited_count, &what);
    } else {
        if (e->doing == PROBE_IN_CALL)
            what.call = (int)e->value;
        else if (e->doing == PROBE_ON_FUTEX)
            what.futex = e->mutex ? e->object : e->value;
        else
            return;
        what.mutex = e->mutex;
        probe_tally_add(&th->blocked_on, &th->blocked_on_count, &what);
    }
}

void probe_looked(struct probe_timeline *t, struct probe_tracker *tr, const struct probe_event *e) {
    uint64_t before = tr->look_ns;
    tr->look_ns = e->ns;
    if (e->doing == PROBE_NOT_KNOWN)
        return;
    bool on_lock = e->doing == PROBE_ON_FUTEX && e->lock >= 0;
    if (on_lock)
        tr->lock = e->lock;
    if (!t->inside->switches) { /* looks alone tell when it comes and goes */
        uint64_t at = between(later_of(before, tr->since), e->ns);
        if (tr->cpu_state == CPU_UNSEEN)
            at = tr->since;
        bool runs = e->doing == PROBE_RUNS;
        bool changed = on_lock ? tr->saw_other > 0 : tr->saw_lock > 0;
        if (runs || (tr->cpu_state == CPU_OFF && changed))
            probe_on_cpu(t, tr, at, e->cpu);
        if (!runs)
            probe_off_cpu(t, tr, at, false);
    }
    if (tr->cpu_state == CPU_UNSEEN && e->doing == PROBE_RUNS)
        was_on(t, tr);
    check_blip(t, tr, e->ns);
    tally(t, tr, e);
    probe_sampled(tr, e->ns, e->stack);
    if (tr->cpu_state == CPU_ON || tr->preempted || e->doing == PROBE_RUNS)
        return;
    if (on_lock) {
        tr->saw_lock++;
        return;
    }
    tr->saw_other++;
    if (tr->waits && !is_exact(t, tr))
        no_wait(t, tr, PROBE_STATE_BLOCKED);
}

/* ---- what the target itself tells ---- */

static enum probe_state plain_state(const struct probe_tracker *tr) {
    bool off = tr->cpu_state == CPU_OFF;
    if (tr->waits)
        return PROBE_STATE_WAITS;
    if (tr->has)
        return off ? PROBE_STATE_HOLDS_OFF : PROBE_STATE_HOLDS;
    if (off)
        return tr->preempted ? PROBE_STATE_RUNNABLE : PROBE_STATE_BLOCKED;
    return PROBE_STATE_ON;
}

/* Began to wait, or is seen to have waited for some time: what was taken for blocking until then,
 * since it could not be known, was waiting. */
static void want(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns,
                 uint64_t lasted_ns) {
    uint64_t *state_ns = t->thread[tr->index].state_ns;
    uint64_t blocked = state_ns[PROBE_STATE_BLOCKED];
    uint64_t moved = lasted_ns < blocked ? lasted_ns : blocked;
    if (tr->waits)
        return;
    state_ns[PROBE_STATE_BLOCKED] -= moved;
    state_ns[PROBE_STATE_WAITS] += moved;
    begin_wait(tr, ns - moved);
}

void probe_exact(struct probe_timeline *t, struct probe_tracker *tr, const struct probe_event *e) {
    int lock = e->lock >= 0 ? e->lock : 0;
    struct probe_lock_inside *l = &t->inside->lock[lock];
    struct probe_thread *th = &t->thread[tr->index];
    uint64_t ns = later_of(e->ns, tr->since);
    tr->lock = (int16_t)lock;
    t->lock[lock].exact = true;
    probe_close_span(t, tr, ns, tr->state);
    if (e->kind == PROBE_WANT) {
        want(t, tr, ns, e->value);
    } else if (e->kind == PROBE_GOT) {
        probe_wait_ended(t, tr, ns);
        if (l->last != tr) {
            if (l->last && l->last->has) { /* its letting go was lost */
                probe_hold_ended(t, l->last, ns);
                probe_close_span(t, l->last, ns, plain_state(l->last));
            }
            if (!l->takes_seen) {
                t->lock[lock].takes += l->changes > 0;
                th->takes += l->changes > 0;
            }
            probe_lock_changed(l, ns, tr->index);
        }
        if (!tr->has)
            tr->hold_since = ns;
        tr->has = true;
        l->last = tr;
        l->take_ns = ns;
    } else {
        probe_hold_ended(t, tr, ns);
        th->forced_from += l->asked;
        t->lock[lock].forced += l->asked;
        l->asked = false;
    }
    tr->state = (uint8_t)plain_state(tr);
}
