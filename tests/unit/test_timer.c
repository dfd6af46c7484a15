/* SPDX-License-Identifier: MIT */
/* The heap of timers against a plain array, by random operations that the seed repeats. */
#include "test.h"

#include "sched/timer.h"

#include <stdlib.h>

enum { TIMERS = 200 };

struct model {
    struct hd__timers heap;
    struct hd__timer timer[TIMERS];
    bool in[TIMERS];
    unsigned count;
};

static uint64_t earliest(const struct model *m) {
    uint64_t min = HD_FOREVER;
    for (int i = 0; i < TIMERS; i++)
        if (m->in[i] && m->timer[i].deadline_ns < min)
            min = m->timer[i].deadline_ns;
    return min;
}

/* No child is earlier than its parent, each timer knows its place, and every timer is there. */
static void check_valid(struct model *m) {
    const struct hd__timers *h = &m->heap;
    CHECK_EQ(hd__timers_earliest(&m->heap), earliest(m));
    CHECK_EQ(h->count, m->count);
    CHECK_LE(h->count, h->capacity);
    for (uint32_t i = 0; i < h->count; i++) {
        const struct hd__timer *t = h->heap[i].timer;
        CHECK_EQ(t->owner, h);
        CHECK_EQ(t->place, i);
        CHECK_EQ(t->deadline_ns, h->heap[i].deadline_ns);
        CHECK(i == 0 || h->heap[(i - 1) / 4].deadline_ns <= t->deadline_ns);
        CHECK(m->in[t - m->timer]);
    }
    for (int i = 0; i < TIMERS; i++)
        if (!m->in[i])
            CHECK_EQ(m->timer[i].owner, NULL);
}

static void insert(struct model *m, unsigned i, uint64_t deadline_ns) {
    CHECK(!m->in[i]);
    m->timer[i].deadline_ns = deadline_ns;
    hd__spin_lock(&m->heap.lock);
    hd__timers_insert(&m->heap, &m->timer[i]);
    hd__spin_unlock(&m->heap.lock);
    m->in[i] = true;
    m->count++;
}

static void cancel(struct model *m, unsigned i) {
    hd__timer_cancel(&m->heap, &m->timer[i]);
    m->count -= m->in[i];
    m->in[i] = false;
}

/* Takes what has expired by then; the deadlines never fall. */
static unsigned expire(struct model *m, uint64_t now_ns, unsigned max) {
    uint64_t last = 0;
    unsigned n = 0;
    for (; n < max; n++) {
        hd__spin_lock(&m->heap.lock);
        struct hd__timer *t = hd__timers_take_expired(&m->heap, now_ns);
        hd__spin_unlock(&m->heap.lock);
        if (!t)
            break;
        CHECK_EQ(t->owner, NULL);
        CHECK_GE(t->deadline_ns, last);
        CHECK_LE(t->deadline_ns, now_ns);
        CHECK_EQ(t->deadline_ns, earliest(m));
        last = t->deadline_ns;
        CHECK(m->in[t - m->timer]);
        m->in[t - m->timer] = false;
        m->count--;
    }
    CHECK(n == max || earliest(m) > now_ns);
    return n;
}

static struct model *model_new(void) {
    struct model *m = calloc(1, sizeof *m);
    CHECK(m != NULL);
    CHECK_OK(hd__timers_init(&m->heap));
    return m;
}

static void model_free(struct model *m) {
    while (m->count > 0)
        expire(m, HD_FOREVER, TIMERS);
    hd__timers_finish(&m->heap);
    free(m);
}

TEST(an_empty_heap) {
    struct model *m = model_new();
    check_valid(m);
    CHECK_EQ(expire(m, HD_FOREVER - 1, TIMERS), 0);
    cancel(m, 0); /* was never in it */
    check_valid(m);
    model_free(m);
}

TEST(they_come_out_in_order) {
    struct model *m = model_new();
    for (int order = 0; order < 3; order++) {
        for (unsigned i = 0; i < TIMERS; i++) {
            uint64_t at = order == 0 ? i : order == 1 ? TIMERS - i : i * 77 % TIMERS;
            insert(m, i, at + 10);
        }
        check_valid(m);
        CHECK_EQ(expire(m, 9, TIMERS), 0);
        CHECK_EQ(expire(m, HD_FOREVER - 1, TIMERS), TIMERS);
        check_valid(m);
    }
    model_free(m);
}

TEST(equal_deadlines) {
    struct model *m = model_new();
    for (unsigned i = 0; i < TIMERS; i++)
        insert(m, i, 5);
    for (unsigned i = 0; i < TIMERS; i += 3)
        cancel(m, i);
    check_valid(m);
    CHECK_EQ(expire(m, 5, TIMERS), TIMERS - (TIMERS + 2) / 3);
    check_valid(m);
    model_free(m);
}

TEST(for_ever_is_a_deadline_like_others) {
    struct model *m = model_new();
    insert(m, 0, HD_FOREVER);
    insert(m, 1, HD_FOREVER - 1);
    check_valid(m);
    CHECK_EQ(expire(m, HD_FOREVER - 2, TIMERS), 0);
    CHECK_EQ(expire(m, HD_FOREVER - 1, TIMERS), 1);
    cancel(m, 0);
    check_valid(m);
    model_free(m);
}

/* Also with the deadlines of a real program: most are cancelled, some expire, time goes on. */
TEST(random_operations_agree_with_an_array) {
    struct model *m = model_new();
    struct test_rng rng = test_rng(1);
    uint64_t now = 1000;
    unsigned long steps = test_iterations(60000);
    for (unsigned long step = 0; step < steps; step++) {
        unsigned i = (unsigned)test_rng_below(&rng, TIMERS);
        /* Phases in which it grows, and in which it shrinks. */
        bool grow = test_rng_below(&rng, 8) < (step / 1000 % 2 ? 5 : 3);
        if (grow && !m->in[i])
            insert(m, i, now + test_rng_below(&rng, step % 3 ? 50 : 5000));
        else if (!grow && test_rng_below(&rng, 4))
            cancel(m, i);
        else
            expire(m, now, 1 + (unsigned)test_rng_below(&rng, 4));
        now += test_rng_below(&rng, 4);
        if (step % 64 == 0)
            check_valid(m);
        else
            CHECK_EQ(hd__timers_earliest(&m->heap), earliest(m));
    }
    unsigned left = m->count;
    CHECK_EQ(expire(m, HD_FOREVER - 1, TIMERS), left);
    check_valid(m);
    model_free(m);
}

/* Beyond the room that is reserved at first, and back. */
TEST(a_heap_grows) {
    unsigned long n = 3ul << 20;
    if (test_iterations(1000) < 1000)
        n = 3ul << 18; /* slow builds */
    struct hd__timers *h = calloc(1, sizeof *h);
    struct hd__timer *timers = calloc(n, sizeof *timers);
    struct test_rng rng = test_rng(2);
    CHECK(h != NULL && timers != NULL);
    CHECK_OK(hd__timers_init(h));
    for (unsigned long i = 0; i < n; i++) {
        timers[i].deadline_ns = 1 + test_rng_below(&rng, n);
        hd__timers_insert(h, &timers[i]);
    }
    CHECK_EQ(h->count, n);
    unsigned long taken = 0;
    for (unsigned long i = 0; i < n; i += 2) {
        hd__timer_cancel(h, &timers[i]);
        taken++;
    }
    uint64_t last = 0;
    struct hd__timer *t;
    while ((t = hd__timers_take_expired(h, n)) != NULL) {
        CHECK_GE(t->deadline_ns, last);
        CHECK_EQ((t - timers) % 2, 1);
        last = t->deadline_ns;
        taken++;
    }
    CHECK_EQ(taken, n);
    CHECK_EQ(hd__timers_earliest(h), HD_FOREVER);
    hd__timers_finish(h);
    free(timers);
    free(h);
}
