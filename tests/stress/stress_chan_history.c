/* SPDX-License-Identifier: MIT */
/* Linearizability of channels: short histories of calls by several threads at once, each with the
 * moments of its begin and end, are recorded; then an order of the calls is sought that agrees with
 * these moments and that a queue without any concurrency would answer in the same way. The search
 * is Wing and Gong's (Testing and Verifying Concurrent Objects, JPDC 1993), with Lowe's memory of
 * what was tried. */
#include "crew.h"

#include <sched.h>
#include <string.h>

enum { TESTS = 2, CALLS = 4, ACTORS = 4, OPS = CALLS * ACTORS, TRIED = 1 << 14 };

enum kind { SEND, RECV, SEND_LATER, CLOSE };

struct op {
    enum kind kind;
    int value, err;
    uint64_t begin, end;
};

struct history {
    size_t capacity;
    hd_chan *chan;
    _Atomic uint64_t clock;
    _Atomic unsigned ready;
    struct op ops[OPS];
};

/* ---- The queue by itself ---- */

struct model {
    size_t capacity;
    uint8_t content[OPS]; /* values are indices of operations */
    unsigned first, count;
    bool closed;
};

/* Whether this operation may end like this now; then it is done. A send with a deadline may time
 * out although there is room later. (An unbuffered channel is no queue: stress_chan has it.) */
static bool apply(struct model *m, const struct op *o) {
    switch (o->kind) {
    case SEND:
    case SEND_LATER:
        if (o->err == -EPIPE) return m->closed;
        if (o->err != 0) return o->kind == SEND_LATER || (!m->closed && m->count >= m->capacity);
        if (m->closed || m->count >= m->capacity) return false;
        m->content[(m->first + m->count++) % OPS] = (uint8_t)o->value;
        return true;
    case RECV:
        if (o->err == -EPIPE) return m->closed && m->count == 0;
        if (o->err != 0) return !m->closed && m->count == 0;
        if (m->count == 0 || m->content[m->first] != o->value) return false;
        m->first = (m->first + 1) % OPS;
        m->count--;
        return true;
    case CLOSE:
        m->closed = true;
        return true;
    }
    return false;
}

/* ---- The search ---- */

struct search {
    const struct op *ops;
    uint64_t tried[TRIED]; /* hashes of what led nowhere; 0: none */
};

static uint64_t hash(uint32_t left, const struct model *m) {
    uint64_t h = left * UINT64_C(0x9e3779b97f4a7c15) + m->closed;
    for (unsigned i = 0; i < m->count; i++)
        h = (h ^ m->content[(m->first + i) % OPS]) * UINT64_C(0x100000001b3) + (h >> 31);
    return h | 1;
}

static bool explains(struct search *s, uint32_t left, struct model m) {
    uint64_t first_end = UINT64_MAX, h = hash(left, &m);
    if (left == 0) return true;
    if (s->tried[h % TRIED] == h) return false;
    for (int i = 0; i < OPS; i++)
        if ((left >> i & 1) && s->ops[i].end < first_end) first_end = s->ops[i].end;
    for (int i = 0; i < OPS; i++) {
        struct model next = m;
        if (!(left >> i & 1) || s->ops[i].begin > first_end) continue;
        if (apply(&next, &s->ops[i]) && explains(s, left & ~(UINT32_C(1) << i), next)) return true;
    }
    s->tried[h % TRIED] = h;
    return false;
}

/* ---- Recording ---- */

struct actor {
    struct history *history;
    unsigned index;
    struct test_rng rng;
};

static uint64_t moment(struct history *h) {
    return atomic_fetch_add(&h->clock, 1);
}

static void *act(void *arg) {
    struct actor *a = arg;
    struct history *h = a->history;
    atomic_fetch_add(&h->ready, 1);
    while (atomic_load(&h->ready) < ACTORS) {
        if (hd_self())
            hd_yield();
        else
            sched_yield();
    }
    for (unsigned i = 0; i < CALLS; i++) {
        int number = (int)(a->index * CALLS + i);
        struct op *o = &h->ops[number];
        unsigned choice = (unsigned)test_rng_below(&a->rng, 16);
        o->kind = choice == 0 ? CLOSE : choice < 5 ? SEND : choice < 8 ? SEND_LATER : RECV;
        o->value = number;
        o->begin = moment(h);
        if (o->kind == CLOSE)
            hd_chan_close(h->chan);
        else if (o->kind == SEND)
            o->err = hd_chan_trysend(h->chan, &o->value);
        else if (o->kind == SEND_LATER)
            o->err = hd_chan_send_until(h->chan, &o->value, hd_now_ns() + 3000);
        else
            o->err = hd_chan_tryrecv(h->chan, &o->value);
        o->end = moment(h);
        if (test_rng_below(&a->rng, 4) == 0 && hd_self()) hd_yield();
    }
    return NULL;
}

static void print(const struct history *h) {
    static const char *const names[] = {"trysend", "tryrecv", "send", "close"};
    for (int i = 0; i < OPS; i++) {
        const struct op *o = &h->ops[i];
        test_note("actor %d: %3lu to %3lu  %s(%d) = %d", i / CALLS, (unsigned long)o->begin,
                  (unsigned long)o->end, names[o->kind], o->value, o->err);
    }
}

static void record_one(struct search *s, struct test_rng *rng, unsigned foreign) {
    static const size_t capacities[] = {1, 2, 3, HD_CHAN_UNBOUNDED};
    struct history h = {.capacity = capacities[test_rng_below(rng, 4)]};
    struct actor actors[ACTORS];
    hd_thread *threads[ACTORS];
    pthread_t kernel_threads[ACTORS];
    CHECK((h.chan = hd_chan_create(sizeof(int), h.capacity)) != NULL);
    for (unsigned i = 0; i < ACTORS; i++) {
        actors[i] = (struct actor){&h, i, {test_rng_next(rng)}};
        if (i < foreign)
            CHECK_EQ(pthread_create(&kernel_threads[i], NULL, act, &actors[i]), 0);
        else
            CHECK_OK(hd_spawn(&threads[i], NULL, act, &actors[i]));
    }
    for (unsigned i = 0; i < ACTORS; i++) {
        if (i < foreign)
            CHECK_EQ(pthread_join(kernel_threads[i], NULL), 0);
        else
            CHECK_OK(hd_join(threads[i], NULL));
    }
    hd_chan_destroy(h.chan);
    memset(s->tried, 0, sizeof s->tried);
    s->ops = h.ops;
    if (!explains(s, (1u << OPS) - 1, (struct model){.capacity = h.capacity})) {
        print(&h);
        CHECK_MSG(false, "no order of these calls explains them; capacity %zu", h.capacity);
    }
}

static int record_many(void *arg) {
    unsigned foreign = *(unsigned *)arg;
    struct search *s = malloc(sizeof *s);
    struct test_rng rng = test_rng(7);
    uint64_t end_ns = hd_now_ns() + crew_time_ns(TESTS);
    unsigned histories = 0;
    for (; hd_now_ns() < end_ns; histories++) record_one(s, &rng, foreign);
    test_note("%u histories of %d calls", histories, OPS);
    CHECK_GT(histories, 0);
    free(s);
    return 0;
}

TEST_WITHIN(chan_histories_of_threads, 60) {
    unsigned foreign = 0;
    CHECK_OK(hd_run(HD_CONFIG(.workers = 3, .slice_us = 100), record_many, &foreign));
}

TEST_WITHIN(chan_histories_of_threads_and_foreign_threads, 60) {
    unsigned foreign = 2;
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), record_many, &foreign));
}

/* The checker finds what is wrong: the second element comes first. */
TEST(chan_history_out_of_order_is_found) {
    struct search *s = calloc(1, sizeof *s);
    struct op ops[OPS] = {{SEND, 0, 0, 0, 1}, {SEND, 1, 0, 2, 3}, {RECV, 1, 0, 4, 5},
                          {RECV, 0, 0, 6, 7}};
    struct model m = {.capacity = 4};
    s->ops = ops;
    CHECK(!explains(s, 15, m));
    ops[1].begin = 0; /* now they overlap */
    memset(s->tried, 0, sizeof s->tried);
    CHECK(explains(s, 15, m));
    free(s);
}
