/* SPDX-License-Identifier: MIT */
/* Races in pools: objects that are taken here and freed there, while the pool is trimmed, gathered
 * and counted, and its users are preempted every 100 us. Each object in use bears its user's mark,
 * so that one that is handed out twice shows. */
#include "crew.h"

#include <string.h>

enum { TESTS = 6, SWAPS = 16, HELD = 40, SIZE = 64, MARKS = SIZE / sizeof(uint64_t) };

struct swap {
    hd_pool *pool;
    uint64_t *_Atomic objects[SWAPS]; /* on their way to whoever takes them */
    _Atomic uint64_t next_mark;
};

static void mark(uint64_t *object, uint64_t value) {
    for (unsigned i = 0; i < MARKS; i++)
        object[i] = value + i;
}

static void check(const uint64_t *object) {
    for (unsigned i = 1; i < MARKS; i++)
        CHECK_EQ(object[i], object[0] + i);
}

static void discard(hd_pool *pool, uint64_t *object) {
    if (object == NULL)
        return;
    check(object);
    memset(object, 0x5a, SIZE);
    hd_pool_free(pool, object);
}

/* Takes, keeps, passes on and frees at random. */
static void trade(struct crew_member *m) {
    struct swap *s = m->shared;
    uint64_t *held[HELD] = {NULL};
    while (crew_goes_on(m)) {
        unsigned i = (unsigned)test_rng_below(&m->rng, HELD);
        if (held[i] == NULL) {
            held[i] = hd_pool_alloc(s->pool);
            CHECK(held[i] != NULL);
            mark(held[i], atomic_fetch_add(&s->next_mark, MARKS));
        } else if (crew_chance(m, 2)) {
            unsigned k = (unsigned)test_rng_below(&m->rng, SWAPS);
            held[i] = atomic_exchange(&s->objects[k], held[i]);
            if (held[i] != NULL)
                check(held[i]);
        } else {
            discard(s->pool, held[i]);
            held[i] = NULL;
        }
        if (crew_chance(m, 64))
            crew_pause(m);
        if (crew_chance(m, 3000))
            hd_pool_trim(s->pool);
        if (crew_chance(m, 3000)) {
            struct hd_pool_stats stats = HD_POOL_STATS_INIT;
            CHECK_OK(hd_pool_stats(s->pool, &stats));
        }
    }
    for (unsigned i = 0; i < HELD; i++)
        discard(s->pool, held[i]);
}

static void run_trade(int debug) {
    struct swap s = {.pool = NULL};
    struct hd_pool_stats stats = HD_POOL_STATS_INIT;
    CHECK_OK(hd_slice_set(100));
    CHECK_OK(hd_pool_create(&s.pool, HD_POOL_ATTR(.object_size = SIZE, .debug = debug)));
    crew_run(trade, &s, 8, 3, crew_time_ns(TESTS), true);
    for (unsigned i = 0; i < SWAPS; i++)
        discard(s.pool, s.objects[i]);
    CHECK_OK(hd_pool_stats(s.pool, &stats));
    CHECK_EQ(stats.in_use, 0u);
    hd_pool_trim(s.pool);
    CHECK_OK(hd_pool_stats(s.pool, &stats));
    CHECK_EQ(stats.bytes, 0u);
    hd_pool_destroy(s.pool);
}

STRESS_TEST(no_object_is_handed_out_twice) {
    run_trade(HD_POOL_DEBUG_OFF);
    return 0;
}

STRESS_TEST(no_object_is_handed_out_twice_in_debug_mode) {
    run_trade(HD_POOL_DEBUG_ON);
    return 0;
}

/* ---- a capacity: who may hold so many gets so many, and all together never more ---- */

enum { SHARE_MAX = 3, SHARERS = 5, FOREIGN_SHARERS = 4 };

struct limited {
    hd_pool *pool;
    _Atomic int taken;
    int capacity;
    unsigned share;
    _Atomic unsigned long refused;
};

static void *take_counted(struct limited *l) {
    uint64_t *object = hd_pool_alloc(l->pool);
    if (object != NULL) {
        CHECK_LE(atomic_fetch_add(&l->taken, 1) + 1, l->capacity);
        mark(object, (uint64_t)(uintptr_t)object);
    }
    return object;
}

static void free_counted(struct limited *l, uint64_t *object) {
    CHECK_EQ(object[0], (uint64_t)(uintptr_t)object);
    check(object);
    atomic_fetch_sub(&l->taken, 1);
    hd_pool_free(l->pool, object);
}

static void use_own_share(struct crew_member *m) {
    struct limited *l = m->shared;
    while (crew_goes_on(m)) {
        uint64_t *held[SHARE_MAX];
        unsigned n = 1 + (unsigned)test_rng_below(&m->rng, l->share);
        for (unsigned i = 0; i < n; i++) {
            held[i] = take_counted(l);
            CHECK_MSG(held[i] != NULL, "of a share of %u of %d", l->share, l->capacity);
            if (crew_chance(m, 16))
                crew_pause(m);
        }
        for (unsigned i = 0; i < n; i++)
            free_counted(l, held[i]);
    }
}

STRESS_TEST(everybody_gets_their_share_of_a_capacity) {
    CHECK_OK(hd_slice_set(100));
    for (unsigned share = 1; share <= SHARE_MAX; share++) {
        struct limited l = {.share = share, .capacity = (int)share * (SHARERS + FOREIGN_SHARERS)};
        CHECK_OK(hd_pool_create(&l.pool, HD_POOL_ATTR(.object_size = SIZE,
                                                      .capacity = (size_t)l.capacity)));
        crew_run(use_own_share, &l, SHARERS, FOREIGN_SHARERS, crew_time_ns(TESTS * SHARE_MAX),
                 true);
        hd_pool_destroy(l.pool);
    }
    return 0;
}

static void want_too_much(struct crew_member *m) {
    struct limited *l = m->shared;
    unsigned long refused = 0;
    while (crew_goes_on(m)) {
        uint64_t *held[HELD];
        unsigned n = 0, want = (unsigned)test_rng_below(&m->rng, HELD);
        while (n < want && (held[n] = take_counted(l)) != NULL)
            n++;
        refused += n < want;
        if (crew_chance(m, 8))
            crew_pause(m);
        while (n > 0)
            free_counted(l, held[--n]);
    }
    atomic_fetch_add(&l->refused, refused);
}

STRESS_TEST(a_capacity_is_never_exceeded) {
    struct limited l = {.capacity = 100};
    struct hd_pool_stats stats = HD_POOL_STATS_INIT;
    CHECK_OK(hd_slice_set(100));
    CHECK_OK(hd_pool_create(&l.pool, HD_POOL_ATTR(.object_size = SIZE, .capacity = 100)));
    crew_run(want_too_much, &l, 9, 3, crew_time_ns(TESTS), true);
    CHECK_OK(hd_pool_stats(l.pool, &stats));
    CHECK_EQ(stats.failed, atomic_load(&l.refused));
    CHECK_EQ(stats.in_use, 0u);
    hd_pool_destroy(l.pool);
    return 0;
}

/* ---- pools that come and go ---- */

static void make_and_destroy(struct crew_member *m) {
    while (crew_goes_on(m)) {
        hd_pool *pool = NULL;
        void *held[HELD];
        CHECK_OK(hd_pool_create(&pool, HD_POOL_ATTR(.object_size = 1 + m->index * 50)));
        for (unsigned i = 0; i < HELD; i++) {
            held[i] = hd_pool_alloc(pool);
            memset(held[i], (int)i, 1 + m->index * 50);
        }
        crew_pause(m);
        for (unsigned i = 0; i < HELD; i++)
            if (i != m->index)
                hd_pool_free(pool, held[i]);
        hd_pool_destroy(pool); /* with one object in use */
    }
}

STRESS_TEST(pools_come_and_go) {
    CHECK_OK(hd_slice_set(100));
    crew_run(make_and_destroy, NULL, 6, 3, crew_time_ns(TESTS), true);
    return 0;
}

/* ---- hd_alloc ---- */

static void trade_blocks(struct crew_member *m) {
    struct swap *s = m->shared;
    while (crew_goes_on(m)) {
        size_t words = 1 + test_rng_below(&m->rng, crew_chance(m, 16) ? 6000 : 100);
        unsigned k = (unsigned)test_rng_below(&m->rng, SWAPS);
        uint64_t *block = hd_alloc(words * sizeof *block);
        CHECK(block != NULL);
        block[0] = words;
        block[words - 1] = words;
        block = atomic_exchange(&s->objects[k], block);
        if (block != NULL) {
            CHECK_EQ(block[block[0] - 1], block[0]);
            hd_free(block);
        }
        if (crew_chance(m, 5000))
            hd_pool_trim(NULL);
    }
}

STRESS_TEST(blocks_of_any_size_go_from_hand_to_hand) {
    struct swap s = {.pool = NULL};
    struct hd_pool_stats stats = HD_POOL_STATS_INIT;
    CHECK_OK(hd_slice_set(100));
    crew_run(trade_blocks, &s, 8, 3, crew_time_ns(TESTS), true);
    for (unsigned i = 0; i < SWAPS; i++)
        hd_free(s.objects[i]);
    CHECK_OK(hd_pool_stats(NULL, &stats));
    CHECK_EQ(stats.in_use, 0u);
    return 0;
}
