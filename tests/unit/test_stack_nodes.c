/* SPDX-License-Identifier: MIT */
/* Stacks: pools by memory node, and idle stacks that give their memory back. */
#include "ctx/stack.h"
#include "os/kthread.h"

#include "test.h"

#include <string.h>
#include <sys/resource.h>

/* ---- nodes: this machine may have one; what the kernel says to that does not matter ---- */

static const uint16_t numbers[HD__STACK_NODES] = { 0, 1, 2 };

TEST(each_node_has_its_own) {
    enum { NODES = 3, N = 10 };
    unsigned klass = hd__stack_class(64 * 1024);
    struct hd__stack *s[NODES][N];
    hd__stack_set_workers(NODES);
    CHECK_OK(hd__stack_set_nodes(NODES, numbers));
    CHECK_EQ(hd__stack_nodes(), NODES);
    for (unsigned node = 0; node < NODES; node++) {
        CHECK_OK(hd__stack_reserve_at(node, klass, N));
    }
    for (int round = 0; round < 3; round++) {
        for (unsigned node = 0; node < NODES; node++) {
            struct hd__stack_cache cache = { .key = hd__stack_key(klass, node) };
            for (int i = 0; i < N; i++) {
                s[node][i] = hd__stack_get(&cache, klass);
                CHECK_EQ(s[node][i]->node, node);
                CHECK_EQ(s[node][i]->key, cache.key);
                ((volatile char *)s[node][i]->top)[-1] = 1;
            }
            hd__stack_cache_drain(&cache, klass);
            CHECK_EQ(cache.key, hd__stack_key(klass, node));
        }
        /* Whoever puts them back, they go where they belong. */
        for (unsigned node = 0; node < NODES; node++) {
            for (int i = 0; i < N; i++) {
                hd__stack_put(NULL, s[node][i]);
            }
        }
    }
    hd__stack_unreserve(klass, NODES * N);
    hd__stack_release_all();
    CHECK_EQ(hd__stack_nodes(), 1);
}

TEST(a_node_that_is_not_known_is_node_0) {
    unsigned klass = hd__stack_class(64 * 1024);
    CHECK_OK(hd__stack_set_nodes(2, numbers));
    CHECK_OK(hd__stack_reserve_at(70, klass, 1));
    CHECK_OK(hd__stack_reserve_at(1, klass, 1));
    CHECK_EQ(hd__stack_get_at(1, klass)->node, 1);
    (void)hd__stack_get_at(70, klass);
    hd__stack_release_all();
    CHECK_OK(hd__stack_set_nodes(1000, NULL));
    CHECK_EQ(hd__stack_nodes(), HD__STACK_NODES);
    hd__stack_release_all();
}

TEST(without_address_space_another_nodes_will_do) {
    if (TEST_ASAN || TEST_TSAN || test_under_qemu() || test_under_valgrind()) {
        SKIP("the tool itself needs address space without limit");
    }
    enum { N = 64 };
    unsigned klass = hd__stack_class(1 << 20);
    hd__stack_set_workers(0);
    CHECK_OK(hd__stack_set_nodes(2, numbers));
    CHECK_OK(hd__stack_reserve_at(0, klass, N));
    struct rlimit limit = { 1, 1 };
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    for (int i = 0; i < N; i++) {
        struct hd__stack *s = hd__stack_get_at(1, klass);
        CHECK_EQ(s->node, 0);
        ((volatile char *)s->top)[-1] = 1;
    }
}

struct hammer {
    unsigned long steps;
    uint64_t stream;
};

static void hammer_node(void *arg) {
    struct hammer *hammer = arg;
    unsigned klass = hd__stack_class(64 * 1024), node = (unsigned)hammer->stream % 2;
    struct hd__stack_cache cache = { .key = hd__stack_key(klass, node) };
    struct test_rng rng = test_rng(hammer->stream);
    struct hd__stack *mine[100];
    unsigned held = 0;
    for (unsigned long step = 0; step < hammer->steps; step++) {
        if (test_rng_below(&rng, 2) && held < 100) {
            CHECK_OK(hd__stack_reserve_at(node, klass, 1));
            mine[held] = hd__stack_get(&cache, klass);
            mine[held++]->owner = hammer;
        } else if (held > 0) {
            struct hd__stack *s = mine[--held];
            CHECK_EQ(s->owner, hammer);
            hd__stack_put(s->key == cache.key ? &cache : NULL, s);
            hd__stack_unreserve(klass, 1);
        }
        if (step % 1000 == 0) {
            struct hd__stack *chain = hd__stack_trim_take((unsigned)step / 1000 % 2, klass);
            if (chain != NULL) {
                hd__stack_trim_discard(&chain);
                hd__stack_trim_give(chain);
            }
        }
    }
    while (held > 0) {
        hd__stack_put(NULL, mine[--held]);
        hd__stack_unreserve(klass, 1);
    }
    hd__stack_cache_drain(&cache, klass);
}

TEST(kernel_threads_share_two_nodes_and_trim) {
    enum { THREADS = 4 };
    struct hd__os_kthread threads[THREADS];
    struct hammer hammers[THREADS];
    struct hd__stack_stats stats;
    hd__stack_set_workers(THREADS);
    CHECK_OK(hd__stack_set_nodes(2, numbers));
    for (unsigned i = 0; i < THREADS; i++) {
        hammers[i] = (struct hammer){ test_iterations(20000), 20 + i };
        CHECK_OK(hd__os_kthread_create("hammer", hammer_node, &hammers[i], &threads[i]));
    }
    for (int i = 0; i < THREADS; i++) {
        hd__os_kthread_join(&threads[i]);
    }
    hd__stack_stats(&stats);
    CHECK_EQ(stats.reserved, 0);
    CHECK_EQ(stats.idle + stats.clean, stats.handed_out);
}

/* ---- giving memory back ---- */

TEST(trimmed_stacks_are_the_last_choice) {
    enum { N = 50 };
    unsigned klass = hd__stack_class(64 * 1024);
    struct hd__stack *s[N], *chain;
    struct hd__stack_stats stats;
    size_t bytes = 0;
    hd__stack_set_workers(1);
    CHECK_OK(hd__stack_reserve(klass, N));
    for (int i = 0; i < N; i++) {
        s[i] = hd__stack_get(NULL, klass);
        memset((char *)s[i]->top - 5000, 1, 5000);
    }
    CHECK_EQ(hd__stack_trim_take(0, klass), NULL);
    for (int i = N - 1; i > 0; i--) {
        hd__stack_put(NULL, s[i * 7 % N]); /* not in order, and one is not there */
    }
    hd__stack_unreserve(klass, N - 1);
    while ((chain = hd__stack_trim_take(0, klass)) != NULL) {
        bytes += hd__stack_trim_discard(&chain);
        for (struct hd__stack *at = chain; at->next != NULL; at = at->next) {
            CHECK_LT((uintptr_t)at, (uintptr_t)at->next);
        }
        hd__stack_trim_give(chain);
    }
    hd__stack_stats(&stats);
    CHECK_EQ(stats.clean, N - 1);
    CHECK_EQ(stats.idle, 0);
    CHECK_EQ(stats.reserved, 1);
    CHECK_EQ(stats.trimmed_bytes, bytes);
    if (!test_under_qemu() && !test_under_valgrind()) {
        CHECK_GE(bytes, (N - 1) * 2 * 4096);
    }
    /* Emulators take the advice and do nothing. */
    bool told = test_under_valgrind() || test_under_qemu();
    for (int i = 1; i < N; i++) {
        struct hd__stack *one = s[i * 7 % N];
        CHECK(told || ((volatile char *)one->top)[-1] == 0);
        CHECK(one->guarded);
    }
    /* The one that keeps its memory comes first. */
    hd__stack_put(NULL, s[0]);
    CHECK_EQ(hd__stack_get(NULL, klass), s[0]);
}
