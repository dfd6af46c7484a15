/* SPDX-License-Identifier: MIT */
/* What pools in debug mode find, and what they say of it. */
#include "runtime_test.h"

static struct child child;

static void run_checked(void (*fn)(void *), void *arg) {
    child_run(&child, fn, arg);
}

static hd_pool *make(const char *name) {
    hd_pool *pool = NULL;
    CHECK_OK(hd_pool_create(&pool, HD_POOL_ATTR(.object_size = 40, .name = name,
                                                .debug = HD_POOL_DEBUG_ON)));
    return pool;
}

static hd_pool *shared;
static char *volatile object;

static void *take_one(void *arg) {
    object = hd_pool_alloc(shared);
    return arg;
}

static void *give_one(void *arg) {
    hd_pool_free(shared, object);
    return arg;
}

static void in_thread(const char *name, hd_fn fn) {
    hd_thread *t;
    CHECK_OK(hd_spawn(&t, HD_ATTR(.name = name), fn, NULL));
    join(t);
}

/* ---- double free ---- */

static int free_twice(void *arg) {
    shared = make("parcels");
    in_thread("taker", take_one);
    in_thread("giver", give_one);
    in_thread("second giver", give_one);
    (void)arg;
    return 0;
}

static void run_free_twice(void *arg) {
    hd_run(HD_CONFIG(.workers = 1), free_twice, arg);
}

TEST(a_double_free_names_all_three_threads) {
    run_checked(run_free_twice, NULL);
    CHECK(WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGABRT);
    CHECK_STR_HAS(child.out, "pool 'parcels'");
    CHECK_STR_HAS(child.out, "is free already; taken by thread 2 'taker'");
    CHECK_STR_HAS(child.out, "freed by thread 3 'giver'");
    CHECK_STR_HAS(child.out, "found by thread 4 'second giver'");
    CHECK_EQ(child_lines(&child), 1u);
}

TEST(a_double_free_is_found_without_a_runtime) {
    hd_pool *pool = make("p");
    char *p = hd_pool_alloc(pool);
    hd_pool_free(pool, p);
    CHECK_DEATH("is free already; taken by kernel thread", hd_pool_free(pool, p));
    CHECK_DEATH("was never taken", hd_pool_free(pool, p + 64 * 20));
    hd_pool_destroy(pool);
}

/* ---- use after free, overflow ---- */

TEST(a_write_after_free_is_found) {
    hd_pool *pool = make("p");
    char *volatile p = hd_pool_alloc(pool);
    CHECK_EQ((unsigned char)p[0], 0xa5);
    hd_pool_free(pool, p);
    CHECK_EQ((unsigned char)p[39], 0xdf);
    CHECK_DEATH("was written to after it was freed (byte 7)", {
        p[7] = 1;
        hd_pool_destroy(pool);
    });
    CHECK_DEATH("was written to after it was freed (byte 39)", {
        p[39] = 1;
        for (;;)
            hd_pool_alloc(pool);
    });
    hd_pool_destroy(pool);
}

TEST(a_write_past_the_end_is_found) {
    hd_pool *pool = make("p");
    char *volatile p = hd_pool_alloc(pool);
    memset(p, 0, 40);
    hd_pool_free(pool, p);
    p = hd_pool_alloc(pool);
    CHECK_DEATH("of 40 bytes was written to past its end (byte 40)", {
        p[40] = 0;
        hd_pool_free(pool, p);
    });
    CHECK_DEATH("past its end (byte 55)", {
        p[55] = 0;
        hd_pool_free(pool, p);
    });
    hd_pool_free(pool, p);
    hd_pool_destroy(pool);
}

/* ---- foreign pointers ---- */

TEST(foreign_pointers_are_found) {
    hd_pool *one = make("one"), *two = make("two");
    char *p = hd_pool_alloc(one), *heap = malloc(100);
    CHECK_DEATH("lies in pool 'one'", hd_pool_free(two, p));
    CHECK_DEATH("is not where an object begins", hd_pool_free(one, p + 8));
    CHECK_DEATH("is no object of any pool", hd_pool_free(one, heap));
    CHECK_DEATH("is no object of any pool", hd_pool_free(one, (void *)16));
    CHECK_DEATH("is no object of any pool", hd_pool_free(one, &p));
    free(heap);
    hd_pool_free(one, p);
    hd_pool_destroy(one);
    hd_pool_destroy(two);
}

TEST(hd_free_finds_them_too) {
    setenv("HEDDLE_POOL_DEBUG", "1", 1);
    char *p = hd_alloc(100), *large = hd_alloc(1000000), *heap = malloc(100);
    CHECK_DEATH("is no object of any pool", hd_free(heap));
    CHECK_DEATH("is not where an object begins", hd_free(p + 16));
    CHECK_DEATH("is no object of any pool", hd_free(large + 16));
    CHECK_DEATH("pool 'hd_alloc-112'", {
        hd_free(p);
        hd_free(p);
    });
    CHECK_DEATH("is no object of any pool", {
        hd_free(large);
        hd_free(large);
    });
    hd_free(p);
    hd_free(large);
    free(heap);
}

TEST(a_program_without_checks_finds_some_when_it_trims) {
    hd_pool *pool = NULL;
    CHECK_OK(hd_pool_create(&pool, HD_POOL_ATTR(.object_size = 40)));
    char *p = hd_pool_alloc(pool);
    if (!TEST_ASAN) /* it finds it at once */
        CHECK_DEATH("was free already; HEDDLE_POOL_DEBUG=1", {
            hd_pool_free(pool, p);
            hd_pool_free(pool, p);
            hd_pool_trim(pool);
        });
    CHECK_DEATH("is not where an object begins", {
        hd_pool_free(pool, p + 8);
        hd_pool_trim(pool);
    });
    hd_pool_free(pool, p);
    hd_pool_destroy(pool);
}

/* ---- leaks ---- */

static int leak_some(void *arg) {
    shared = make("leaky");
    for (int i = 0; i < 3; i++)
        in_thread("careless", take_one);
    in_thread("tidy", give_one);
    if (arg)
        hd_pool_destroy(shared);
    return 0;
}

static void run_leak_some(void *arg) {
    hd_run(HD_CONFIG(.workers = 1), leak_some, arg);
    exit(0);
}

TEST(leaks_are_named_when_the_pool_is_destroyed_or_the_process_ends) {
    for (int destroyed = 0; destroyed < 2; destroyed++) {
        run_checked(run_leak_some, destroyed ? &shared : NULL);
        CHECK_EQ(child.status, 0);
        CHECK_EQ(child_lines(&child), 2u);
        CHECK_STR_HAS(child.out, "pool 'leaky': object 0x");
        CHECK_STR_HAS(child.out, "of 40 bytes was not freed; taken by thread 2 'careless'");
        CHECK_STR_HAS(child.out, "taken by thread 3 'careless'");
    }
}

static void leak_many(void *arg) {
    hd_pool *pool = make("leaky");
    (void)arg;
    for (int i = 0; i < 100; i++)
        hd_pool_alloc(pool);
    hd_pool_destroy(pool);
}

TEST(many_leaks_are_counted) {
    run_checked(leak_many, NULL);
    CHECK_EQ(child.status, 0);
    CHECK_EQ(child_lines(&child), 9u);
    CHECK_STR_HAS(child.out, "pool 'leaky': 92 more objects were not freed");
    CHECK_STR_HAS(child.out, "taken by kernel thread");
}

static void leak_block(void *arg) {
    setenv("HEDDLE_POOL_DEBUG", "1", 1);
    void *volatile p = hd_alloc(50);
    p = arg;
    exit(p != arg);
}

TEST(blocks_of_hd_alloc_are_named_at_the_end) {
    run_checked(leak_block, NULL);
    CHECK_EQ(child.status, 0);
    CHECK_STR_HAS(child.out, "pool 'hd_alloc-64': object 0x");
}

/* ---- all the same ---- */

RUNTIME_TEST(a_pool_in_debug_mode_does_what_others_do, 2) {
    hd_pool *pool = NULL;
    void *all[50];
    struct hd_pool_stats s = HD_POOL_STATS_INIT;
    CHECK_OK(hd_pool_create(&pool, HD_POOL_ATTR(.object_size = 1, .align = 64, .capacity = 50,
                                                .debug = HD_POOL_DEBUG_ON)));
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 50; i++) {
            all[i] = hd_pool_alloc(pool);
            CHECK(all[i] != NULL);
            CHECK_EQ((uintptr_t)all[i] % 64, 0u);
        }
        CHECK_EQ(hd_pool_alloc(pool), NULL);
        CHECK_OK(hd_pool_stats(pool, &s));
        CHECK_EQ(s.in_use, 50u);
        for (int i = 0; i < 50; i++)
            hd_pool_free(pool, all[i]);
    }
    CHECK_EQ(hd_pool_trim(pool), s.bytes);
    CHECK_OK(hd_pool_stats(pool, &s));
    CHECK_EQ(s.in_use, 0u);
    CHECK_EQ(s.bytes, 0u);
    CHECK_EQ(s.failed, 100u);
    hd_pool_destroy(pool);
    return 0;
}

/* ---- AddressSanitizer, in either mode ---- */

TEST(the_sanitizer_knows_what_is_free) {
    if (!TEST_ASAN)
        SKIP("not built with AddressSanitizer");
    hd_pool *pool = NULL;
    CHECK_OK(hd_pool_create(&pool, HD_POOL_ATTR(.object_size = 40)));
    char *volatile p = hd_pool_alloc(pool);
    memset(p, 0, 40);
    CHECK_DEATH("use-after-poison", p[40] = 1);
    hd_pool_free(pool, p);
    CHECK_DEATH("use-after-poison", p[0] = 1);
    CHECK_DEATH("use-after-poison", hd_pool_free(pool, p));
    hd_pool_destroy(pool);
}
