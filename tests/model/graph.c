/* SPDX-License-Identifier: MIT */
/* What the memory model permits: C11 as repaired by Lahav, Vafeiadis, Kang, Hur and Dreyer
 * ("Repairing Sequential Consistency in C/C++11", PLDI 2017), called RC11, with the release
 * sequences of C++20.
 *
 *   coherence    Along happens-before, reads and writes of one location never go back in its
 *                modification order: a choice of what to read, or where to put a write, begins
 *                after what is seen already (model__seen_index()).
 *   atomicity    Nothing comes between the write that a read-modify-write reads, and its own.
 *   SC           The relation psc of the paper, over sequentially consistent accesses and fences,
 *                has no cycle (model__consistent()).
 *   no thin air  Program order and reads-from have no cycle, by construction. */
#include "core.h"

#include <string.h>

/* ---- Locations ---- */

static bool is_hidden(uintptr_t addr) {
    return addr >> 60 != 0;
}

struct location *model__location(uintptr_t addr, unsigned bytes) {
    struct checker *c = model__c;
    for (int i = 0; i < c->locations; i++) {
        struct location *l = &c->location[i];
        if (l->addr != addr || l->gone) continue;
        if (l->bytes == bytes) return l;
        model__failed(NULL, "accesses of different sizes to %p", (void *)addr);
        return l;
    }
    if (c->locations == LOCATIONS) {
        model__failed(NULL, "more than %d locations", LOCATIONS);
        return &c->location[0];
    }
    struct location *l = &c->location[c->locations++];
    l->addr = addr;
    l->bytes = (uint8_t)bytes;
    l->n = l->reads = 0;
    l->gone = false;
    l->first = 0;
    if (!is_hidden(addr)) memcpy(&l->first, (void *)addr, bytes);
    return l;
}

/* Where the write that r reads is in the modification order. */
int model__read_index(const struct event *r) {
    return r->rf < 0 ? 0 : model__c->event[r->rf].index;
}

/* Before what `hb` covers nothing is read, and nothing written behind it. */
int model__seen_index(const struct location *l, const uint16_t *hb) {
    struct checker *c = model__c;
    int seen = 0;
    for (int i = l->n; i > 0 && seen == 0; i--) {
        const struct event *w = &c->event[l->order[i - 1]];
        if (w->pos <= hb[w->thread]) seen = i;
    }
    for (int i = 0; i < l->reads; i++) {
        const struct event *r = &c->event[l->read[i]];
        if (r->pos <= hb[r->thread] && model__read_index(r) > seen) seen = model__read_index(r);
    }
    return seen;
}

/* Puts a write into the modification order, `index` from 1. */
int model__insert(struct location *l, int id, int index) {
    struct checker *c = model__c;
    memmove(&l->order[index], &l->order[index - 1],
            (size_t)(l->n - index + 1) * sizeof l->order[0]);
    l->order[index - 1] = (int16_t)id;
    c->event[id].related = false;
    l->n++;
    for (int i = index; i <= l->n; i++) c->event[l->order[i - 1]].index = (int16_t)i;
    return index;
}

/* Takes the event that was executed last out of its location. */
void model__remove_last(int id) {
    struct checker *c = model__c;
    struct event *e = &c->event[id];
    struct location *l = &c->location[e->loc];
    if (e->kind == READ) {
        l->reads--;
    } else if (e->kind == WRITE) {
        int index = e->index;
        memmove(&l->order[index - 1], &l->order[index],
                (size_t)(l->n - index) * sizeof l->order[0]);
        l->n--;
        for (int i = index; i <= l->n; i++) c->event[l->order[i - 1]].index = (int16_t)i;
    }
}

/* ---- Sequential consistency ---- */

static bool before(const struct event *a, const struct event *b) {
    return a != b && a->pos <= b->hb[a->thread];
}

static bool in_program_order(const struct event *a, const struct event *b) {
    return a->thread == b->thread && a->pos < b->pos;
}

static bool is_access(const struct event *e) {
    return e->kind == READ || e->kind == WRITE;
}

static bool same_location(const struct event *a, const struct event *b) {
    return is_access(a) && is_access(b) && a->loc == b->loc;
}

static int index_of(const struct event *e) {
    return e->kind == WRITE ? e->index : model__read_index(e);
}

/* The nearest event after (step 1) or before (-1) e in its thread that is not an access to the same
 * location. */
static const struct event *other_location(const struct event *e, int step) {
    struct checker *c = model__c;
    const struct thread *t = &c->thread[e->thread];
    for (int i = e->pos - 1 + step; i >= 0 && i < (int)t->pos; i += step) {
        const struct event *o = &c->event[t->ids[i]];
        if (o->done && !same_location(e, o)) return o;
    }
    return NULL;
}

/* Modification order and from-read, of one location; and, with reads-from, all of their closure. */
static bool coherence_before(const struct event *a, const struct event *b, bool reads_from) {
    if (a == b || !same_location(a, b)) return false;
    if (b->kind == WRITE) return index_of(a) < index_of(b);
    return reads_from && (index_of(a) < index_of(b) ||
                          (a->kind == WRITE && index_of(a) == index_of(b)));
}

static bool scb(const struct event *a, const struct event *b) {
    if (in_program_order(a, b) || coherence_before(a, b, false)) return true;
    if (!before(a, b)) return false;
    if (same_location(a, b)) return true;
    const struct event *x = other_location(a, 1), *y = other_location(b, -1);
    return x && y && (x == y || before(x, y));
}

static void assign(uint64_t *bits, int at, bool on) {
    uint64_t bit = (uint64_t)1 << at % 64;
    bits[at / 64] = on ? bits[at / 64] | bit : bits[at / 64] & ~bit;
}

static bool has(const uint64_t *bits, int at) {
    return bits[at / 64] >> at % 64 & 1;
}

/* Notes what is new in scb. Between two events that are there it does not change when a third one
 * comes. */
static void relate(void) {
    struct checker *c = model__c;
    for (int i = 0; i < c->n; i++) {
        struct event *e = &c->event[i];
        if (!e->done || e->related) continue;
        e->related = true;
        for (int k = 0; k < c->n; k++) {
            const struct event *o = &c->event[k];
            if (!o->done || !o->related) continue;
            assign(c->after[i], k, k != i && scb(e, o));
            assign(c->after[k], i, k != i && scb(o, e));
        }
    }
}

/* What follows a by scb, or, of a fence, follows what it happens before; `through` for fences that
 * come later still: the same by coherence. */
static void reach(const struct event *a, int id, uint64_t *to, uint64_t *through) {
    struct checker *c = model__c;
    memset(to, 0, sizeof c->after[0]);
    memset(through, 0, sizeof c->after[0]);
    for (int i = 0; i < c->n; i++) {
        const struct event *x = &c->event[i];
        if (!x->done || (i != id && (a->kind != FENCE || !before(a, x)))) continue;
        for (int k = 0; k < c->n && i != id; k++) {
            const struct event *y = &c->event[k];
            if (y->done && coherence_before(x, y, true)) assign(through, k, true);
        }
        for (int k = 0; k < EVENTS / 64; k++) to[k] |= c->after[i][k];
    }
}

/* Whether psc orders a, with what reach() says of it, before b; both sequentially consistent. */
static bool psc(const struct event *a, const uint64_t *to, const uint64_t *through,
                const struct event *b, int id) {
    struct checker *c = model__c;
    if (has(to, id)) return true;
    if (b->kind != FENCE) return false;
    if (a->kind == FENCE && before(a, b)) return true;
    for (int i = 0; i < c->n; i++) {
        if ((has(to, i) || has(through, i)) && before(&c->event[i], b)) return true;
    }
    return false;
}

enum { STRICT_MAX = 64 };

/* A cycle among n events whose successors are the bits of after[]. */
static bool cyclic(const uint64_t *after, int n) {
    uint64_t left = n == 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
    for (bool some = true; some;) {
        some = false;
        for (int i = 0; i < n; i++) {
            if (!(left >> i & 1) || (after[i] & left)) continue;
            left &= ~((uint64_t)1 << i);
            some = true;
        }
    }
    return left != 0;
}

/* The same after one event more, which is the last of its thread, and nobody's cause. No cycle goes
 * through an event that nothing follows. */
bool model__still_consistent(int id) {
    struct checker *c = model__c;
    const struct event *e = &c->event[id];
    return !is_access(e) || index_of(e) == c->location[e->loc].n || model__consistent();
}

/* Of what has been executed. */
bool model__consistent(void) {
    struct checker *c = model__c;
    int strict[STRICT_MAX];
    uint64_t after[STRICT_MAX] = {0}, to[EVENTS / 64], through[EVENTS / 64];
    int n = 0;
    unsigned threads = 0;
    for (int i = 0; i < c->n; i++) {
        const struct event *e = &c->event[i];
        if (!e->done || e->order != memory_order_seq_cst || e->kind == CHOICE) continue;
        if (n == STRICT_MAX) {
            model__failed(NULL, "more than %d sequentially consistent events", STRICT_MAX);
            return true;
        }
        threads |= 1u << e->thread;
        strict[n++] = i;
    }
    if ((threads & (threads - 1)) == 0) return true;
    relate();
    for (int a = 0; a < n; a++) {
        const struct event *from = &c->event[strict[a]];
        reach(from, strict[a], to, through);
        for (int b = 0; b < n; b++) {
            if (a != b && psc(from, to, through, &c->event[strict[b]], strict[b]))
                after[a] |= (uint64_t)1 << b;
        }
    }
    return !cyclic(after, n);
}
