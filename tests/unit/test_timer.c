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

/* Links lead both ways, no child is earlier than its parent, and every timer is there. */
static unsigned count_valid(const struct hd__timer *t, const struct hd__timers *owner) {
    unsigned n = 1;
    CHECK_EQ(t->owner, owner);
    const struct hd__timer *prev = t;
    for (const struct hd__timer *c = t->child; c; prev = c, c = c->sibling) {
        CHECK_EQ(c->prev, prev);
        CHECK_GE(c->deadline_ns, t->deadline_ns);
        n += count_valid(c, owner);
    }
    return n;
}

static void check_valid(struct model *m) {
    CHECK_EQ(hd__timers_earliest(&m->heap), earliest(m));
    CHECK_EQ(m->heap.root ? count_valid(m->heap.root, &m->heap) : 0, m->count);
    CHECK(!m->heap.root || (!m->heap.root->sibling && !m->heap.root->prev));
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
    hd__timers_init(&m->heap);
    return m;
}

TEST(an_empty_heap) {
    struct model *m = model_new();
    check_valid(m);
    CHECK_EQ(expire(m, HD_FOREVER - 1, TIMERS), 0);
    cancel(m, 0); /* was never in it */
    check_valid(m);
    free(m);
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
    free(m);
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
    free(m);
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
    free(m);
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
    free(m);
}
