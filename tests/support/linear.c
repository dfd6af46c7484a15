/* SPDX-License-Identifier: MIT */
/* See linear.h. */
#include "linear.h"

#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { TABLE = 1 << 14 }; /* configurations that are remembered; more are looked at again */

struct state {
    uint32_t first, count;
    uint32_t items[2 * LINEAR_OPS]; /* from the middle outwards; pushes go to the upper end */
};

struct search {
    const struct linear_history *history;
    size_t count;
    struct {
        uint64_t done, state;
    } seen[TABLE];
};

struct linear_op *linear_begin(struct linear_history *h, enum linear_call call, uint32_t value) {
    size_t i = atomic_fetch_add_explicit(&h->count, 1, memory_order_relaxed);
    if (i >= LINEAR_OPS)
        FAIL("a history has room for %d calls", LINEAR_OPS);
    struct linear_op *op = &h->ops[i];
    op->call = call;
    op->value = value;
    op->begin_ns = test_now_ns();
    /* A CPU may show its stores to others later than it reads the clock. Before and after mean what
     * threads can tell each other, so the times are taken with nothing pending. */
    atomic_thread_fence(memory_order_seq_cst);
    return op;
}

void linear_end(struct linear_op *op, uint32_t result) {
    atomic_thread_fence(memory_order_seq_cst);
    op->end_ns = test_now_ns();
    op->result = result;
}

/* Does one call on the state. False: it would have given another result. */
static bool apply(const struct linear_history *h, struct state *s, const struct linear_op *op) {
    if (op->call == LINEAR_PUSH) {
        bool full = h->capacity != 0 && s->count == h->capacity;
        if (full || op->result == LINEAR_FAILED)
            return full && op->result == LINEAR_FAILED;
        s->items[s->first + s->count++] = op->value;
        return true;
    }
    if (s->count == 0 || op->result == LINEAR_FAILED)
        return s->count == 0 && op->result == LINEAR_FAILED;
    s->count--;
    if (h->kind != LINEAR_QUEUE && op->call == LINEAR_POP)
        return s->items[s->first + s->count] == op->result;
    return s->items[s->first++] == op->result;
}

static uint64_t hash_of(const struct state *s) {
    uint64_t hash = s->count + 1;
    for (uint32_t i = 0; i < s->count; i++)
        hash = (hash ^ s->items[s->first + i]) * UINT64_C(0x9e3779b97f4a7c15) + (hash >> 29);
    return hash;
}

/* Whether this configuration was looked at before; now it was. */
static bool seen_before(struct search *x, uint64_t done, const struct state *s) {
    uint64_t state = hash_of(s);
    size_t i = (size_t)((done * UINT64_C(0x9e3779b97f4a7c15) ^ state) >> 20) % TABLE;
    if (x->seen[i].done == done && x->seen[i].state == state)
        return true;
    x->seen[i].done = done;
    x->seen[i].state = state;
    return false;
}

/* Tries each call that may come next: one that began before the first of the others ended. */
static bool search(struct search *x, uint64_t done, const struct state *s) {
    const struct linear_op *ops = x->history->ops;
    uint64_t first_end = UINT64_MAX;
    size_t left = 0;
    for (size_t i = 0; i < x->count; i++) {
        if (done >> i & 1)
            continue;
        left++;
        first_end = ops[i].end_ns < first_end ? ops[i].end_ns : first_end;
    }
    if (left == 0)
        return true;
    if (seen_before(x, done, s))
        return false;
    for (size_t i = 0; i < x->count; i++) {
        struct state next = *s;
        if (!(done >> i & 1) && ops[i].begin_ns <= first_end &&
            apply(x->history, &next, &ops[i]) && search(x, done | UINT64_C(1) << i, &next))
            return true;
    }
    return false;
}

bool linear_check(const struct linear_history *h) {
    struct search *x = calloc(1, sizeof *x);
    struct state empty = {0};
    CHECK(x != NULL);
    x->history = h;
    x->count = atomic_load(&h->count);
    bool found = search(x, 0, &empty);
    free(x);
    return found;
}

void linear_show(const struct linear_history *h) {
    static const char *const names[] = {"push", "pop", "steal"};
    size_t count = atomic_load(&h->count);
    uint64_t begin = UINT64_MAX;
    for (size_t i = 0; i < count; i++)
        begin = h->ops[i].begin_ns < begin ? h->ops[i].begin_ns : begin;
    for (size_t i = 0; i < count; i++) {
        const struct linear_op *op = &h->ops[i];
        test_note("%6llu - %6llu  %s %d: %d", (unsigned long long)(op->begin_ns - begin),
                  (unsigned long long)(op->end_ns - begin), names[op->call], (int)op->value,
                  (int)op->result);
    }
}
