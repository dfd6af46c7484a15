/* SPDX-License-Identifier: MIT */
/* The rings of a run queue and the lists beside them, against a plain array; no runtime runs. */
#include "test.h"

#include "sched/dispatch.h"

#include <stdlib.h>

#ifdef HD_HOSTILE
enum { RING_SIZE = 2 };
#else
enum { RING_SIZE = 1024 };
#endif
enum { N = RING_SIZE + 300 };

static hd_thread *threads; /* descriptors that only stand in queues */

static void make_threads(void) {
    threads = aligned_alloc(_Alignof(hd_thread), N * sizeof *threads);
    CHECK(threads != NULL);
    memset(threads, 0, N * sizeof *threads);
}

static struct hd__ring *ring_new(void) {
    struct hd__ring *r = calloc(1, sizeof *r);
    CHECK(r != NULL);
    return r;
}

static struct hd__worker *worker_new(void) {
    struct hd__worker *w = aligned_alloc(_Alignof(struct hd__worker), sizeof *w);
    CHECK(w != NULL);
    memset(w, 0, sizeof *w);
    w->runq.limit = RING_SIZE;
    hd__rt.worker_count = 1;
    hd__rt.active = 1;
    hd__rt.prefetch_least = UINT32_MAX;
    hd__rt.workers = w;
    return w;
}

/* A ring does whatever a double-ended queue does, also where its positions wrap around. */
TEST(a_ring_agrees_with_an_array) {
    struct hd__ring *r = ring_new();
    static hd_thread *model[3 * N];
    unsigned long steps = test_iterations(200000);
    make_threads();
    for (int start = 0; start < 2; start++) {
        struct test_rng rng = test_rng((uint64_t)start);
        uint32_t position = start ? UINT32_MAX - 5 : 0;
        atomic_store(&r->head, position);
        atomic_store(&r->tail, position);
        size_t front = N, back = N; /* model[front] to model[back - 1] */
        for (unsigned long step = 0; step < steps; step++) {
            hd_thread *t = &threads[test_rng_below(&rng, N)];
            bool room = hd__ring_count(r) < RING_SIZE;
            CHECK_EQ(hd__ring_count(r), back - front);
            switch (test_rng_below(&rng, 4)) {
            case 0:
                if (room && front > 0)
                    hd__ring_put_front(r, model[--front] = t);
                break;
            case 1:
                if (room && back < 3 * N)
                    hd__ring_put_back(r, model[back++] = t);
                break;
            case 2:
                if (front < back)
                    CHECK_EQ(hd__ring_take_front(r), model[front++]);
                break;
            default:
                if (front < back)
                    CHECK_EQ(hd__ring_take_back(r), model[--back]);
                break;
            }
            if (front == back)
                front = back = N;
        }
    }
    free(r);
}

TEST(a_ring_holds_all_that_it_should) {
    struct hd__ring *r = ring_new();
    make_threads();
    for (unsigned i = 0; i < RING_SIZE; i++)
        hd__ring_put_back(r, &threads[i]);
    CHECK_EQ(hd__ring_count(r), RING_SIZE);
    for (unsigned i = 0; i < RING_SIZE; i++)
        CHECK_EQ(hd__ring_take_front(r), &threads[i]);
    for (unsigned i = 0; i < RING_SIZE; i++)
        hd__ring_put_front(r, &threads[i]);
    for (unsigned i = 0; i < RING_SIZE; i++)
        CHECK_EQ(hd__ring_take_back(r), &threads[i]);
    CHECK_EQ(hd__ring_count(r), 0);
    free(r);
}

/* A full ring overflows into the injection queue: nothing is lost, and the oldest leaves first. */
TEST(a_full_ring_spills_its_oldest) {
    struct hd__worker *w = worker_new();
    bool seen[N] = {false};
    make_threads();
    for (unsigned i = 0; i < N; i++)
        hd__sched_ready_back(w, &threads[i]);
    CHECK_GT(hd__fifo_count(&hd__rt.injected), 0);
    CHECK_EQ(hd__rt.injected.head, &threads[0]);
    CHECK_EQ(hd__fifo_count(&hd__rt.injected) + hd__runq_count(&w->runq), N);
    unsigned taken = 0;
    for (hd_thread *t; (t = hd__sched_take_next(w)) != NULL; taken++) {
        CHECK(!seen[t - threads]);
        seen[t - threads] = true;
    }
    uint32_t chunk = RING_SIZE / 2;
    for (hd_thread *t; (t = hd__sched_take_injected(w, chunk)) != NULL;) {
        for (; t != NULL; t = hd__sched_take_next(w), taken++) {
            CHECK(!seen[t - threads]);
            seen[t - threads] = true;
        }
    }
    CHECK_EQ(taken, N);
    CHECK_EQ(hd__fifo_count(&hd__rt.injected), 0);
    free(w);
}

TEST(a_list_is_first_in_first_out) {
    struct hd__fifo f = {.head = NULL};
    struct test_rng rng = test_rng(3);
    make_threads();
    unsigned in = 0, out = 0;
    CHECK_EQ(hd__fifo_take(&f, 10), NULL);
    while (out < N) {
        unsigned k = 1 + (unsigned)test_rng_below(&rng, 5);
        if (test_rng_below(&rng, 2) && in + k <= N) {
            for (unsigned i = 0; i + 1 < k; i++)
                threads[in + i].next = &threads[in + i + 1];
            hd__fifo_put(&f, &threads[in], &threads[in + k - 1], k);
            in += k;
        } else if (in + 5 > N || test_rng_below(&rng, 2)) {
            unsigned n = 0;
            for (hd_thread *t = hd__fifo_take(&f, k); t != NULL; t = t->next, n++)
                CHECK_EQ(t, &threads[out++]);
            CHECK_LE(n, k);
            if (n == 0 && in + 5 > N)
                break;
        }
        CHECK_EQ(hd__fifo_count(&f), in - out);
    }
    CHECK_EQ(in, out);
}
