/* SPDX-License-Identifier: MIT */
/* Fork-join programs of several shapes with known results, over and over, each time in a runtime of
 * its own and with a number of workers that the seed chooses. */
#include "crew.h"

#include <string.h>

static uint64_t rounds;

static void repeat(int (*fn)(void *), unsigned salt) {
    struct test_rng rng = test_rng(salt);
    uint64_t end = hd_now_ns() + crew_time_ns(4);
    do {
        unsigned workers = 1u << test_rng_below(&rng, 3);
        unsigned spin_us = test_rng_below(&rng, 2) ? 0 : HD_SPIN_NONE;
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers, .spin_us = spin_us), fn, &rng));
        rounds++;
    } while (hd_now_ns() < end);
    test_note("%llu rounds", (unsigned long long)rounds);
}

/* ---- a thread a call ---- */

static void *fib(void *arg) {
    uintptr_t n = (uintptr_t)arg;
    if (n < 2)
        return arg;
    hd_thread *t;
    void *a, *b;
    CHECK_OK(hd_spawn(&t, NULL, fib, (void *)(n - 1)));
    b = fib((void *)(n - 2));
    CHECK_OK(hd_join(t, &a));
    return (void *)((uintptr_t)a + (uintptr_t)b);
}

static int fib_round(void *arg) {
    static const uintptr_t expected[] = {55, 89, 144, 233, 377, 610, 987, 1597};
    uint64_t i = test_rng_below(arg, TEST_TSAN ? 2 : 8);
    CHECK_EQ((uintptr_t)fib((void *)(uintptr_t)(10 + i)), expected[i]);
    return 0;
}

TEST(fib_with_a_thread_a_call) {
    repeat(fib_round, 1);
}

/* ---- ten children each ---- */

struct part {
    uint64_t first, size;
    bool yields;
};

static void *skynet(void *arg) {
    const struct part *p = arg;
    if (p->yields && p->first % 3 == 0)
        hd_yield();
    if (p->size == 1)
        return (void *)(uintptr_t)p->first;
    struct part child[10];
    hd_thread *t[10];
    uintptr_t sum = 0;
    for (unsigned i = 0; i < 10; i++) {
        child[i] = (struct part){p->first + i * p->size / 10, p->size / 10, p->yields};
        CHECK_OK(hd_spawn(&t[i], NULL, skynet, &child[i]));
    }
    for (unsigned i = 0; i < 10; i++) {
        /* Oldest first, or newest first. */
        void *result;
        CHECK_OK(hd_join(t[p->first % 20 < 10 ? i : 9 - i], &result));
        sum += (uintptr_t)result;
    }
    return (void *)sum;
}

static int skynet_round(void *arg) {
    uint64_t n = test_rng_below(arg, 2) && !TEST_TSAN ? 10000 : 1000;
    struct part all = {0, n, test_rng_below(arg, 2)};
    CHECK_EQ((uintptr_t)skynet(&all), n * (n - 1) / 2);
    return 0;
}

TEST(skynet_with_and_without_yields) {
    repeat(skynet_round, 2);
}

/* ---- batches joined in any order ---- */

enum { BATCH = TEST_TSAN ? 200 : 2000 };

static void *square(void *arg) {
    uintptr_t n = (uintptr_t)arg;
    if (n % 5 == 0)
        hd_yield();
    if (n % 97 == 0)
        CHECK_OK(hd_sleep_for(n * 10));
    return (void *)(n * n);
}

static int batch_round(void *arg) {
    static hd_thread *t[BATCH];
    static unsigned order[BATCH];
    for (unsigned i = 0; i < BATCH; i++) {
        order[i] = i;
        CHECK_OK(hd_spawn(&t[i], NULL, square, (void *)(uintptr_t)i));
    }
    for (unsigned i = BATCH; i > 1; i--) {
        unsigned j = (unsigned)test_rng_below(arg, i), swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
    for (unsigned i = 0; i < BATCH; i++) {
        void *result;
        uintptr_t n = order[i];
        CHECK_OK(hd_join(t[n], &result));
        CHECK_EQ((uintptr_t)result, n * n);
    }
    return 0;
}

TEST(batches_joined_in_any_order) {
    repeat(batch_round, 3);
}

/* ---- parallel mergesort: threads that work on each other's memory ---- */

struct range {
    uint32_t *data, *spare;
    size_t n;
};

static void *sort(void *arg) {
    struct range *r = arg;
    if (r->n < 2)
        return NULL;
    struct range low = {r->data, r->spare, r->n / 2};
    struct range high = {r->data + r->n / 2, r->spare + r->n / 2, r->n - r->n / 2};
    hd_thread *t = NULL;
    if (r->n > 16)
        CHECK_OK(hd_spawn(&t, NULL, sort, &low));
    else
        sort(&low);
    sort(&high);
    if (t)
        CHECK_OK(hd_join(t, NULL));
    size_t a = 0, b = 0;
    for (size_t i = 0; i < r->n; i++)
        r->spare[i] = b == high.n || (a < low.n && low.data[a] <= high.data[b]) ? low.data[a++]
                                                                              : high.data[b++];
    memcpy(r->data, r->spare, r->n * sizeof r->data[0]);
    return NULL;
}

static int sort_round(void *arg) {
    enum { N = TEST_TSAN ? 2000 : 20000 };
    static uint32_t data[N], spare[N];
    uint64_t before = 0, after = 0;
    for (int i = 0; i < N; i++)
        before += data[i] = (uint32_t)test_rng_next(arg);
    sort(&(struct range){data, spare, N});
    for (int i = 0; i < N; i++) {
        after += data[i];
        if (i > 0)
            CHECK_LE(data[i - 1], data[i]);
    }
    CHECK_EQ(after, before);
    return 0;
}

TEST(mergesort) {
    repeat(sort_round, 4);
}
