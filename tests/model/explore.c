/* SPDX-License-Identifier: MIT */
/* The exploration: every execution of a model program that the memory model permits, each once.
 *
 * Idea. What matters of an execution is a graph: each thread's events, from which write each read
 * reads, and in which order the writes to each location take effect. Interleavings that give the
 * same graph are the same execution. So graphs are explored, not interleavings: events are added
 * one by one; a read is tried with each write that it may read from, a write at each place in its
 * location's order. What a read may read from a write that comes later, the write sees to: it
 * *revisits* the reads of its location that are not among its causes. The graph is then cut back to
 * what was there when the read was added, and the causes of the write, and the read reads from it.
 * A revisit takes place only if all that it removes is as it would be if each event had read from,
 * or been placed as, the latest write known to it: so of all graphs from which the same cut graph
 * can be had exactly one has the revisit. This is the algorithm TruSt: Kokologiannakis, Marmanis,
 * Gladstein, Vafeiadis: "Truly Stateless, Optimal Dynamic Partial Order Reduction" (POPL 2022). It
 * needs no memory but for what is still to be done, and no preemption bound: what bounds an
 * exploration is the number of events of a thread, and an execution that meets it is counted.
 *
 * Each graph is run from the beginning: first the events that it has, in any order in which a write
 * comes before its readers, then whatever comes, with the latest write first; the other choices are
 * left for later runs. Memory that is not accessed atomically holds what such a run has put there,
 * which is right as long as no data race is found.
 *
 * Rejected: interleavings with backtracking sets (Flanagan, Godefroid 2005) over a machine with
 * histories of messages. Weak behaviours then multiply with the interleavings that show them. And
 * own definitions of the atomic operations in place of <stdatomic.h>: the compiler's
 * instrumentation sees accesses that no macro sees (plain ones, `_Atomic` variables without an
 * operation's name, the builtins), in unchanged sources. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

/* ---- Clocks ---- */

static void join(uint16_t *a, const uint16_t *b) {
    for (int i = 0; i < MODEL_THREADS; i++) {
        if (b[i] > a[i]) a[i] = b[i];
    }
}

static bool acquires(unsigned order) {
    return order == memory_order_acquire || order == memory_order_consume ||
           order == memory_order_acq_rel || order == memory_order_seq_cst;
}

static bool releases(unsigned order) {
    return order == memory_order_release || order == memory_order_acq_rel ||
           order == memory_order_seq_cst;
}

/* ---- One event, of a thread's pending operation ---- */

static enum kind kind_of(const struct op *op) {
    switch (op->kind) {
    case OP_LOAD: return READ;
    case OP_STORE: return WRITE;
    case OP_FENCE: return FENCE;
    case OP_RMW:
    case OP_CAS: return op->second ? WRITE : READ;
    default: return CHOICE;
    }
}

static uint64_t modified(const struct op *op, uint64_t old) {
    uint64_t v = op->operand, mask = ~(uint64_t)0 >> (64 - op->bytes * 8);
    if (op->kind == OP_CAS) return v & mask;
    switch (op->rmw) {
    case RMW_SET: break;
    case RMW_ADD: v = old + v; break;
    case RMW_SUB: v = old - v; break;
    case RMW_AND: v = old & v; break;
    case RMW_OR: v = old | v; break;
    case RMW_XOR: v = old ^ v; break;
    case RMW_NAND: v = ~(old & v); break;
    }
    return v & mask;
}

/* Whether a write follows the read of an operation that has found `value`. An exchange that only
 * acquires, and leaves what it found, as of a lock that is taken: nobody can tell whether it has
 * written. */
static bool writes(const struct op *op, uint64_t value) {
    if (op->kind == OP_CAS) return value == op->expected;
    if (op->kind != OP_RMW) return false;
    return op->rmw != RMW_SET || releases(op->order) || modified(op, value) != value;
}

static void begin(struct thread *t, int id) {
    struct checker *c = model__c;
    struct event *e = &c->event[id];
    const struct op *op = &t->op;
    e->kind = (uint8_t)kind_of(op);
    e->thread = (uint8_t)(t - c->thread);
    e->half = op->second;
    e->aside = t->in_handler;
    e->done = true;
    e->order = op->order;
    e->bytes = op->bytes;
    e->pos = (uint16_t)(t->pos + 1);
    e->pc = op->pc;
    e->loc = -1;
    if (e->kind == READ || e->kind == WRITE)
        e->loc = (int16_t)(model__location(op->addr, op->bytes) - c->location);
    memcpy(e->hb, t->hb, sizeof e->hb);
    memcpy(e->porf, t->porf, sizeof e->porf);
    memset(e->rel, 0, sizeof e->rel);
    e->hb[e->thread] = e->porf[e->thread] = e->pos;
}

/* What e, which begin() has filled, becomes by reading from rf. */
static void set_read(const struct thread *t, struct event *e, int rf) {
    struct checker *c = model__c;
    const struct op *op = &t->op;
    memcpy(e->hb, t->hb, sizeof e->hb);
    memcpy(e->porf, t->porf, sizeof e->porf);
    e->hb[e->thread] = e->porf[e->thread] = e->pos;
    e->rf = (int16_t)rf;
    e->related = false;
    e->value = rf < 0 ? c->location[e->loc].first : c->event[rf].value;
    e->half = writes(op, e->value);
    e->order = op->kind == OP_CAS && !e->half ? op->fail_order : op->order;
    if (rf < 0) return;
    join(e->porf, c->event[rf].porf);
    if (acquires(e->order)) join(e->hb, c->event[rf].rel);
}

static struct event *half_of(const struct thread *t) {
    return &model__c->event[t->ids[t->pos - 1]];
}

static void set_write(const struct thread *t, struct event *e) {
    struct checker *c = model__c;
    memcpy(e->rel, releases(e->order) ? e->hb : t->released, sizeof e->rel);
    e->value = t->op.operand;
    if (!e->half) return;
    const struct event *r = half_of(t);
    e->value = modified(&t->op, r->value);
    if (r->rf >= 0) join(e->rel, c->event[r->rf].rel);
}

static void set_fence(struct thread *t, struct event *e) {
    if (acquires(e->order)) join(e->hb, t->pending);
    if (releases(e->order)) memcpy(t->released, e->hb, sizeof t->released);
}

/* The event has its place in the graph: its thread goes on. */
static void commit(struct thread *t, int id) {
    struct checker *c = model__c;
    struct event *e = &c->event[id];
    struct op *op = &t->op;
    c->current = e->thread;
    t->ids[t->pos++] = (int16_t)id;
    memcpy(t->hb, e->hb, sizeof t->hb);
    memcpy(t->porf, e->porf, sizeof t->porf);
    if (e->loc >= 0 && op->addr >> 60 == 0)
        model__atomic_access(op->addr, op->bytes, e->kind == WRITE, op->pc);
    if (c->failing) return;
    if (e->kind == READ) {
        if (e->rf >= 0) join(t->pending, c->event[e->rf].rel);
        op->result = e->value;
        op->second = e->half;
        if (e->half) return; /* the rest follows */
    } else if (e->kind == WRITE) {
        if (e->index == c->location[e->loc].n && op->addr >> 60 == 0)
            memcpy((void *)op->addr, &e->value, op->bytes);
    } else if (e->kind == CHOICE) {
        op->result = e->choice;
    }
    model__resume(e->thread);
}

/* ---- Running what is known ---- */

static void load(const struct work *work) {
    struct checker *c = model__c;
    c->n = (int)work->n;
    for (int i = 0; i < c->n; i++) {
        const struct step *s = &work->steps[i];
        struct thread *t = &c->thread[s->thread];
        memset(&c->event[i], 0, sizeof c->event[i]);
        c->event[i].kind = s->kind;
        c->event[i].thread = s->thread;
        c->event[i].rf = s->rf;
        c->event[i].choice = s->kind == WRITE ? (uint32_t)s->index : s->choice;
        t->ids[t->replayed++] = (int16_t)i;
    }
}

/* False: the graph is not consistent. */
static bool execute_known(struct thread *t, int id) {
    struct checker *c = model__c;
    struct event *e = &c->event[id];
    int rf = e->rf, index = 1;
    uint32_t choice = e->choice;
    if (kind_of(&t->op) != e->kind) {
        model__failed(t->op.pc, "the program does not do the same each time");
        return true;
    }
    begin(t, id);
    if (e->kind == READ) {
        struct location *l = &c->location[e->loc];
        set_read(t, e, rf);
        if (model__read_index(e) < model__seen_index(l, t->hb)) return false;
        l->read[l->reads++] = (int16_t)id;
    } else if (e->kind == WRITE) {
        struct location *l = &c->location[e->loc];
        set_write(t, e);
        while (index <= l->n && c->event[l->order[index - 1]].choice < choice) index++;
        if (index <= model__seen_index(l, t->hb)) return false;
        model__insert(l, id, index);
    } else if (e->kind == FENCE) {
        set_fence(t, e);
    }
    commit(t, id);
    return true;
}

static bool can_execute(const struct thread *t) {
    struct checker *c = model__c;
    if (t->state != PENDING || t->pos == t->replayed || t->op.kind == OP_STUCK) return false;
    const struct event *e = &c->event[t->ids[t->pos]];
    return e->kind != READ || e->rf < 0 || c->event[e->rf].done;
}

static bool replay(void) {
    struct checker *c = model__c;
    bool some = true;
    while (some && !c->failing) {
        some = false;
        for (unsigned i = 0; i < c->threads && !c->failing; i++) {
            struct thread *t = &c->thread[i];
            if (!can_execute(t)) continue;
            some = true;
            if (!execute_known(t, t->ids[t->pos])) return false;
        }
    }
    for (unsigned i = 0; i < c->threads && !c->failing; i++) {
        if (c->thread[i].pos < c->thread[i].replayed)
            model__failed(NULL, "the program does not do the same each time: thread %u", i);
    }
    return model__consistent();
}

/* ---- What is left for later ---- */

static struct work *new_work(unsigned n) {
    struct work *w = malloc(sizeof *w + n * sizeof w->steps[0]);
    if (!w) abort();
    w->n = n;
    return w;
}

static void fill_step(struct step *s, const struct event *e) {
    *s = (struct step){.kind = e->kind, .thread = e->thread, .rf = e->kind == READ ? e->rf : -1,
                       .index = (int16_t)(e->kind == WRITE ? e->index : 0),
                       .choice = e->kind == CHOICE ? e->choice : 0};
}

static void push(struct work *w) {
    w->next = model__c->work;
    model__c->work = w;
}

static void push_present(void) {
    struct checker *c = model__c;
    struct work *w = new_work((unsigned)c->n);
    for (int i = 0; i < c->n; i++) fill_step(&w->steps[i], &c->event[i]);
    push(w);
}

/* ---- Revisits ---- */

/* A write `id` that is about to be added, and the graph that a revisit of `read` cuts. */
struct cut {
    int id, read;
    int new_id[EVENTS]; /* -1: removed */
    int n;
    int16_t order[WRITES]; /* the writes to the location that remain */
    int writes;
};

static bool covers(const struct event *a, const struct event *e) {
    return e->pos <= a->porf[e->thread];
}

/* Whether e is as it would be if it had read or been placed last when it was added; of what was
 * there then, and the causes of a. */
static bool is_latest(const struct event *e, int id, const struct event *a) {
    struct checker *c = model__c;
    if (e->kind == FENCE) return true;
    if (e->kind == CHOICE) return e->choice == 0;
    const struct location *l = &c->location[e->loc];
    int from = e->kind == WRITE ? e->index : model__read_index(e);
    if (e->kind == READ && e->rf > id && !covers(a, &c->event[e->rf])) return false;
    for (int i = from; i < l->n; i++) {
        if (l->order[i] <= id || covers(a, &c->event[l->order[i]])) return false;
    }
    for (int i = 0; e->kind == WRITE && i < l->reads; i++) {
        const struct event *r = &c->event[l->read[i]];
        if (r->rf == id && (l->read[i] <= id || covers(a, r))) return false;
    }
    return true;
}

static bool make_cut(struct cut *cut, int id, int read) {
    struct checker *c = model__c;
    const struct event *a = &c->event[id];
    const struct location *l = &c->location[a->loc];
    cut->id = id;
    cut->read = read;
    cut->n = cut->writes = 0;
    for (int i = 0; i < id; i++) {
        const struct event *e = &c->event[i];
        bool stays = i <= read || covers(a, e);
        if ((!stays || i == read) && !is_latest(e, i, a)) return false;
        cut->new_id[i] = stays ? cut->n++ : -1;
    }
    for (int i = 0; i < l->n; i++) {
        if (cut->new_id[l->order[i]] >= 0) cut->order[cut->writes++] = l->order[i];
    }
    return true;
}

/* As model__seen_index(), in the graph that remains. */
static int seen_after_cut(const struct cut *cut, const uint16_t *hb) {
    struct checker *c = model__c;
    const struct location *l = &c->location[c->event[cut->id].loc];
    int seen = 0;
    for (int i = 0; i < cut->writes; i++) {
        const struct event *w = &c->event[cut->order[i]];
        if (w->pos <= hb[w->thread]) seen = i + 1;
        for (int k = 0; k < l->reads && seen <= i; k++) {
            const struct event *r = &c->event[l->read[k]];
            if (r->rf == cut->order[i] && r->pos <= hb[r->thread]) seen = i + 1;
        }
    }
    return seen;
}

static void push_revisit(const struct cut *cut, int index) {
    struct checker *c = model__c;
    const struct event *a = &c->event[cut->id];
    struct work *w = new_work((unsigned)cut->n + 1);
    for (int i = 0; i < cut->id; i++) {
        if (cut->new_id[i] < 0) continue;
        struct step *s = &w->steps[cut->new_id[i]];
        fill_step(s, &c->event[i]);
        if (s->rf >= 0) s->rf = (int16_t)cut->new_id[s->rf];
        if (i == cut->read) s->rf = (int16_t)cut->n;
    }
    for (int i = 0; i < cut->writes; i++)
        w->steps[cut->new_id[cut->order[i]]].index = (int16_t)(2 * (i + 1));
    fill_step(&w->steps[cut->n], a);
    w->steps[cut->n].index = (int16_t)(2 * index - 1);
    push(w);
}

/* Whether the write is that of a read-modify-write, which must stay behind what that one read. */
static bool is_half(int id) {
    return model__c->event[id].half;
}

static int half_reads(int id) {
    struct checker *c = model__c;
    const struct event *w = &c->event[id];
    return c->event[c->thread[w->thread].ids[w->pos - 2]].rf;
}

static void revisit(const struct thread *t, int id, int read) {
    struct checker *c = model__c;
    static struct cut cut;
    const struct event *a = &c->event[id], *r = &c->event[read];
    static const uint16_t nothing[MODEL_THREADS];
    if (!make_cut(&cut, id, read)) return;
    const struct thread *reader = &c->thread[r->thread];
    const uint16_t *hb = r->pos > 1 ? c->event[reader->ids[r->pos - 2]].hb : nothing;
    int least = seen_after_cut(&cut, hb) + 1, most = cut.writes + 1;
    if (a->half) {
        int rf = half_of(t)->rf, index = 1;
        for (int i = 0; i < cut.writes; i++) {
            if (cut.order[i] == rf) index = i + 2;
        }
        if (index < least) return;
        if (index <= cut.writes && is_half(cut.order[index - 1]) &&
            half_reads(cut.order[index - 1]) == rf)
            return;
        push_revisit(&cut, index);
        return;
    }
    int seen = seen_after_cut(&cut, t->hb) + 1;
    for (int index = most; index >= least && index >= seen; index--) {
        if (index <= cut.writes && is_half(cut.order[index - 1])) continue;
        push_revisit(&cut, index);
    }
}

/* ---- Adding ---- */

/* False: there is nothing that may follow. */
static bool extend_read(struct thread *t, int id) {
    struct checker *c = model__c;
    struct event *e = &c->event[id];
    struct location *l = &c->location[e->loc];
    int seen = model__seen_index(l, t->hb), first = -2;
    l->read[l->reads++] = (int16_t)id;
    for (int i = l->n; i >= seen; i--) {
        int rf = i ? l->order[i - 1] : -1;
        set_read(t, e, rf);
        if (!model__still_consistent(id)) continue;
        if (first == -2)
            first = rf;
        else
            push_present();
    }
    if (first == -2) return false;
    set_read(t, e, first);
    return true;
}

static bool extend_write(struct thread *t, int id) {
    struct checker *c = model__c;
    struct event *e = &c->event[id];
    struct location *l = &c->location[e->loc];
    int seen = model__seen_index(l, t->hb), first = 0;
    set_write(t, e);
    if (l->n == WRITES) {
        model__failed(e->pc, "more than %d writes to one location", WRITES);
        return false;
    }
    for (int i = 0; i < l->reads; i++) {
        if (!covers(e, &c->event[l->read[i]])) revisit(t, id, l->read[i]);
    }
    int from = l->n + 1;
    if (e->half) {
        int rf = half_of(t)->rf;
        from = seen = rf < 0 ? 1 : c->event[rf].index + 1;
        if (from <= l->n && is_half(l->order[from - 1]) && half_reads(l->order[from - 1]) == rf)
            return false;
        seen--;
    }
    for (int i = from; i > seen; i--) {
        if (!e->half && i <= l->n && is_half(l->order[i - 1])) continue;
        model__insert(l, id, i);
        bool consistent = model__still_consistent(id);
        if (consistent && first == 0)
            first = i;
        else if (consistent)
            push_present();
        model__remove_last(id);
    }
    if (first == 0) return false;
    model__insert(l, id, first);
    return true;
}

static bool extend(struct thread *t) {
    struct checker *c = model__c;
    int id = c->n;
    struct event *e = &c->event[id];
    memset(e, 0, sizeof *e);
    begin(t, id);
    if (c->failing) return true;
    c->n++;
    if (e->kind == READ && !extend_read(t, id)) return false;
    if (e->kind == WRITE && !extend_write(t, id)) return c->failing;
    if (e->kind == FENCE) {
        set_fence(t, e);
    } else if (e->kind == CHOICE) {
        for (e->choice = (uint32_t)t->op.operand - 1; e->choice > 0; e->choice--) push_present();
    }
    commit(t, id);
    return true;
}

static struct thread *next_thread(void) {
    struct checker *c = model__c;
    struct thread *next = NULL;
    unsigned most = c->model->steps_max ? c->model->steps_max : STEPS_MAX;
    for (unsigned i = 0; i < c->threads; i++) {
        struct thread *t = &c->thread[i];
        if (t->state != PENDING) continue;
        if (t->op.kind == OP_STUCK)
            t->state = STUCK;
        else if (t->op.second)
            return t;
        else if (t->pos >= most || c->n == EVENTS)
            t->state = CUT; /* the others go on: this one may have read something else */
        else if (!next)
            next = t;
    }
    return next;
}

/* ---- The end of an execution ---- */

/* Whether all that the thread has read since it last did anything is the latest there is. */
static bool has_seen_all(const struct thread *t) {
    struct checker *c = model__c;
    unsigned reads = 0;
    for (int i = (int)t->pos - 1; i >= 0; i--) {
        const struct event *e = &c->event[t->ids[i]];
        if (e->kind == CHOICE || e->aside) continue;
        if (e->kind != READ) break;
        if (model__read_index(e) != c->location[e->loc].n) return false;
        if (++reads == t->op.operand) break;
    }
    return true;
}

static void finish(void) {
    struct checker *c = model__c;
    unsigned stuck = 0, hopeless = 0, which = 0;
    for (unsigned i = 0; i < c->threads; i++) {
        struct thread *t = &c->thread[i];
        if (t->state == CUT) {
            c->result.cut++;
            return;
        }
        if (t->state != STUCK) continue;
        stuck++;
        if (!t->op.given_up && has_seen_all(t)) {
            hopeless++;
            which = i;
        }
    }
    if (stuck == 0) {
        model__run_alone(c->model->after, AFTER);
        if (!c->failing) c->result.executions++;
    } else if (stuck == hopeless) {
        model__failed(c->thread[which].op.pc, "stuck: thread %u waits for what nobody will do, and "
                      "nobody else can go on", which);
    } else {
        c->result.blocked++;
    }
}

static void run(const struct work *work) {
    struct checker *c = model__c;
    model__machine_reset();
    load(work);
    model__run_alone(c->model->setup, SETUP);
    c->phase = THREADS;
    for (unsigned i = 0; i < c->threads && !c->failing; i++) model__resume(i);
    bool consistent = replay();
    while (consistent && !c->failing) {
        struct thread *t = next_thread();
        if (!t) {
            finish();
            break;
        }
        consistent = extend(t);
    }
    c->phase = OUTSIDE;
    if (!consistent || (c->failing && !model__consistent()))
        c->result.inconsistent++;
    else if (c->failing)
        model__note_failure();
}

/* From the work that is there. */
void model__explore(void) {
    struct checker *c = model__c;
    uint64_t most = c->model->executions_max ? c->model->executions_max : 20000000;
    uint64_t runs = 0, at_failure = 0;
    c->result.complete = true;
    while (c->work) {
        struct work *w = c->work;
        c->work = w->next;
        if (c->result.failed && at_failure == 0) at_failure = runs;
        if (runs++ >= most || (c->result.failed && runs > at_failure + c->after_failure)) {
            c->result.complete = false;
        } else {
            run(w);
        }
        free(w);
    }
}
