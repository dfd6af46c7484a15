/* SPDX-License-Identifier: MIT */
/* Pools: what is handed out, limits, trimming, statistics, foreign kernel threads, constructors. */
#include "runtime_test.h"

#include "mem/pool.h"

static hd_pool *make(const struct hd_pool_attr *attr) {
    hd_pool *pool = NULL;
    CHECK_OK(hd_pool_create(&pool, attr));
    CHECK(pool != NULL);
    return pool;
}

static struct hd_pool_stats stats(hd_pool *pool) {
    struct hd_pool_stats s = HD_POOL_STATS_INIT;
    CHECK_OK(hd_pool_stats(pool, &s));
    return s;
}

/* Takes n objects, each filled with a number of its own. */
static unsigned char **take(hd_pool *pool, size_t n, size_t bytes) {
    unsigned char **all = calloc(n, sizeof *all);
    CHECK(all != NULL);
    for (size_t i = 0; i < n; i++) {
        all[i] = hd_pool_alloc(pool);
        CHECK(all[i] != NULL);
        memset(all[i], (int)(i % 251), bytes);
    }
    return all;
}

static void give(hd_pool *pool, unsigned char **all, size_t n, size_t bytes) {
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < bytes; k++)
            CHECK_EQ(all[i][k], i % 251);
        hd_pool_free(pool, all[i]);
    }
    free(all);
}

static void exercise(void) {
    static const struct {
        size_t size, align, n;
    } shapes[] = {{1, 0, 1000},   {8, 8, 1000},   {17, 1, 500},     {64, 64, 3000},
                  {100, 32, 500}, {1024, 0, 700}, {5000, 4096, 40}, {100000, 64, 20}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        size_t align = shapes[s].align ? shapes[s].align : 8;
        hd_pool *pool = make(HD_POOL_ATTR(.object_size = shapes[s].size, .name = "shape",
                                          .align = shapes[s].align));
        for (int round = 0; round < 3; round++) {
            unsigned char **all = take(pool, shapes[s].n, shapes[s].size);
            for (size_t i = 0; i < shapes[s].n; i++)
                CHECK_EQ((uintptr_t)all[i] % align, 0u);
            CHECK_EQ(stats(pool).in_use, shapes[s].n);
            give(pool, all, shapes[s].n, shapes[s].size);
        }
        CHECK_EQ(stats(pool).in_use, 0u);
        CHECK_GE(stats(pool).free_objects, shapes[s].n);
        hd_pool_destroy(pool);
    }
}

TEST(objects_are_whole_and_apart_without_a_runtime) {
    exercise();
}

RUNTIME_TEST(objects_are_whole_and_apart_in_a_thread, 2) {
    exercise();
    return 0;
}

static void *exercise_thread(void *arg) {
    exercise();
    return arg;
}

TEST(objects_are_whole_and_apart_beside_a_runtime) {
    CHECK_OK(hd_start(HD_CONFIG(.workers = 2)));
    foreign_join(foreign(exercise_thread, NULL));
    CHECK_OK(hd_stop());
    exercise();
}

TEST(null_is_freed_and_destroyed_in_silence) {
    hd_pool *pool = make(HD_POOL_ATTR(.object_size = 64));
    hd_pool_free(pool, NULL);
    hd_free(NULL);
    hd_pool_destroy(pool);
    hd_pool_destroy(NULL);
}

/* ---- arguments ---- */

TEST(attributes_that_cannot_be_are_refused) {
    hd_pool *pool;
    CHECK_ERR(hd_pool_create(&pool, HD_POOL_ATTR(.object_size = 0)), -EINVAL);
    CHECK_ERR(hd_pool_create(&pool, HD_POOL_ATTR(.object_size = HD_POOL_OBJECT_MAX + 1)), -EINVAL);
    CHECK_ERR(hd_pool_create(&pool, HD_POOL_ATTR(.object_size = 64, .align = 24)), -EINVAL);
    CHECK_ERR(hd_pool_create(&pool, HD_POOL_ATTR(.object_size = 64, .align = 8192)), -EINVAL);
    CHECK_ERR(hd_pool_create(&pool, HD_POOL_ATTR(.object_size = 64, .numa_node = -1)), -EINVAL);
    CHECK_ERR(hd_pool_create(&pool, HD_POOL_ATTR(.object_size = 64, .numa_node = 65)), -EINVAL);
    CHECK_ERR(hd_pool_create(&pool, HD_POOL_ATTR(.object_size = 64, .debug = 3)), -EINVAL);
    struct hd_pool_attr none = {.object_size = 64};
    CHECK_ERR(hd_pool_create(&pool, &none), -EINVAL);
    CHECK_EQ(pool, NULL);
    CHECK_DEATH("out is NULL", hd_pool_create(NULL, HD_POOL_ATTR(.object_size = 64)));
    CHECK_DEATH("attr is NULL", hd_pool_create(&pool, NULL));
    CHECK_DEATH("pool is NULL", hd_pool_alloc(NULL));
    CHECK_DEATH("pool is NULL", hd_pool_free(NULL, &pool));
}

TEST(longer_and_shorter_attributes_are_understood) {
    struct {
        struct hd_pool_attr known;
        size_t more;
    } later = {.known = {.size = sizeof later, .object_size = 64}};
    hd_pool *pool = NULL;
    CHECK_OK(hd_pool_create(&pool, &later.known));
    hd_pool_destroy(pool);
    later.more = 1;
    CHECK_ERR(hd_pool_create(&pool, &later.known), -EINVAL);
    struct hd_pool_attr earlier = {.size = offsetof(struct hd_pool_attr, align),
                                   .object_size = 64, .align = 24};
    CHECK_OK(hd_pool_create(&pool, &earlier));
    hd_pool_destroy(pool);
}

TEST(the_environment_turns_checks_on) {
    hd_pool *pool;
    setenv("HEDDLE_POOL_DEBUG", "2", 1);
    CHECK_ERR(hd_pool_create(&pool, HD_POOL_ATTR(.object_size = 64)), -EINVAL);
    CHECK_OK(hd_pool_create(&pool, HD_POOL_ATTR(.object_size = 64, .debug = HD_POOL_DEBUG_OFF)));
    CHECK(!pool->debug);
    hd_pool_destroy(pool);
    setenv("HEDDLE_POOL_DEBUG", "1", 1);
    pool = make(HD_POOL_ATTR(.object_size = 64));
    CHECK(pool->debug);
    hd_pool_destroy(pool);
}

/* ---- capacity ---- */

static void fill_to_capacity(hd_pool *pool, size_t capacity) {
    void **all = calloc(capacity, sizeof *all);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < capacity; i++) {
            all[i] = hd_pool_alloc(pool);
            CHECK(all[i] != NULL);
        }
        CHECK_EQ(hd_pool_alloc(pool), NULL);
        CHECK_EQ(hd_pool_alloc(pool), NULL);
        hd_pool_free(pool, all[capacity - 1]);
        all[capacity - 1] = hd_pool_alloc(pool);
        CHECK(all[capacity - 1] != NULL);
        CHECK_EQ(hd_pool_alloc(pool), NULL);
        for (size_t i = 0; i < capacity; i++)
            hd_pool_free(pool, all[i]);
    }
    free(all);
}

static void *fill_in_thread(void *arg) {
    fill_to_capacity(arg, 1000);
    return arg;
}

RUNTIME_TEST(capacity_is_exact_whoever_has_the_free_objects, 2) {
    static const size_t capacities[] = {1, 2, 7, 100};
    for (size_t i = 0; i < sizeof capacities / sizeof capacities[0]; i++) {
        hd_pool *pool = make(HD_POOL_ATTR(.object_size = 64, .capacity = capacities[i]));
        fill_to_capacity(pool, capacities[i]);
        CHECK_EQ(stats(pool).in_use, 0u);
        CHECK_EQ(stats(pool).failed, 9u);
        hd_pool_destroy(pool);
    }
    /* What one worker, and a foreign kernel thread, keep is for the others, too. */
    hd_pool *pool = make(HD_POOL_ATTR(.object_size = 64, .capacity = 1000));
    for (int i = 0; i < 5; i++) {
        fill_to_capacity(pool, 1000);
        hd_cpuset cpus = {{0}};
        hd_thread *t = NULL;
        hd_cpuset_add(&cpus, (unsigned)i % 2);
        if (hd_spawn(&t, HD_ATTR(.cpus = &cpus), fill_in_thread, pool) == 0)
            join(t);
        foreign_join(foreign(fill_in_thread, pool));
    }
    CHECK_EQ(stats(pool).in_use, 0u);
    CHECK_EQ(stats(pool).capacity, 1000u);
    hd_pool_destroy(pool);
    return 0;
}

TEST(what_the_workers_of_a_runtime_kept_is_there_after_its_end) {
    hd_pool *pool = make(HD_POOL_ATTR(.object_size = 64, .capacity = 1000));
    for (int i = 0; i < 3; i++) {
        CHECK_OK(hd_start(HD_CONFIG(.workers = (unsigned)i + 1)));
        join(spawn(fill_in_thread, pool));
        CHECK_OK(hd_stop());
        fill_to_capacity(pool, 1000);
    }
    hd_pool_destroy(pool);
}

/* ---- trimming ---- */

RUNTIME_TEST(trim_gives_back_what_is_not_in_use, 2) {
    hd_pool *pool = make(HD_POOL_ATTR(.object_size = 1024));
    unsigned char **all = take(pool, 2000, 1024);
    uint64_t most = stats(pool).bytes;
    CHECK_GE(most, 2000u * 1024);
    CHECK_EQ(hd_pool_trim(pool), 0u);
    CHECK_EQ(stats(pool).in_use, 2000u);
    unsigned char *one = all[1000];
    memset(one, 7, 1024);
    for (size_t i = 0; i < 2000; i++)
        if (i != 1000)
            hd_pool_free(pool, all[i]);
    free(all);
    size_t freed = hd_pool_trim(pool);
    CHECK_EQ(stats(pool).bytes, most - freed);
    CHECK_EQ(stats(pool).bytes, pool->slab_bytes);
    CHECK_EQ(stats(pool).in_use, 1u);
    CHECK_EQ(one[1023], 7);
    give(pool, take(pool, 2000, 1024), 2000, 1024);
    hd_pool_free(pool, one);
    CHECK_GT(hd_pool_trim(pool), 0u);
    CHECK_EQ(stats(pool).bytes, 0u);
    CHECK_EQ(hd_pool_trim(pool), 0u);
    hd_pool_destroy(pool);
    return 0;
}

/* ---- constructors ---- */

struct made {
    int alive;
    int users;
};
static _Atomic int inits, finis;
static _Atomic int fail_init;

static int init(void *object, void *arg) {
    struct made *m = object;
    CHECK_EQ(arg, &inits);
    hd_yield();
    if (atomic_load(&fail_init))
        return -ENOMEM;
    m->alive = 1234;
    m->users = 0;
    atomic_fetch_add(&inits, 1);
    return 0;
}

static void fini(void *object, void *arg) {
    struct made *m = object;
    CHECK_EQ(arg, &inits);
    CHECK_EQ(m->alive, 1234);
    m->alive = 0;
    atomic_fetch_add(&finis, 1);
}

static void use_made(hd_pool *pool) {
    struct made *all[300];
    for (int i = 0; i < 300; i++) {
        all[i] = hd_pool_alloc(pool);
        CHECK_EQ(all[i]->alive, 1234);
        CHECK_EQ(all[i]->users++, 0);
    }
    for (int i = 0; i < 300; i++) {
        all[i]->users--;
        hd_pool_free(pool, all[i]);
    }
}

RUNTIME_TEST(objects_are_made_once_and_undone_once, 1) {
    for (int debug = HD_POOL_DEBUG_ON; debug <= HD_POOL_DEBUG_OFF; debug++) {
        hd_pool *pool = make(HD_POOL_ATTR(.object_size = sizeof(struct made), .init = init,
                                          .fini = fini, .arg = &inits, .debug = debug));
        use_made(pool);
        int first = atomic_load(&inits);
        CHECK_GE(first, 300);
        use_made(pool);
        if (debug == HD_POOL_DEBUG_OFF)
            CHECK_EQ(atomic_load(&inits), first);
        hd_pool_trim(pool);
        CHECK_EQ(atomic_load(&finis), atomic_load(&inits));
        use_made(pool);
        atomic_store(&fail_init, 1);
        struct made *got[400];
        int n = 0;
        while (n < 400 && (got[n] = hd_pool_alloc(pool)) != NULL)
            n++;
        CHECK_LT(n, 400);
        CHECK_GE(stats(pool).failed, 1u);
        atomic_store(&fail_init, 0);
        while (n > 0)
            hd_pool_free(pool, got[--n]);
        hd_pool_destroy(pool);
        CHECK_EQ(atomic_load(&finis), atomic_load(&inits));
    }
    return 0;
}

/* ---- size classes ---- */

RUNTIME_TEST(hd_alloc_has_room_for_any_size, 2) {
    static const size_t sizes[] = {0,    1,    15,   16,    17,    128,   129,    160,    161,
                                   1000, 1024, 1025, 4000,  32767, 32768, 32769,  100000, 5000000};
    enum { N = sizeof sizes / sizeof sizes[0] };
    for (int round = 0; round < 20; round++) {
        unsigned char *p[N];
        for (size_t i = 0; i < N; i++) {
            p[i] = hd_alloc(sizes[i]);
            CHECK(p[i] != NULL);
            CHECK_EQ((uintptr_t)p[i] % 16, 0u);
            memset(p[i], (int)i, sizes[i]);
        }
        struct hd_pool_stats s = stats(NULL);
        CHECK_EQ(s.in_use, (uint64_t)N);
        for (size_t i = 0; i < N; i++) {
            for (size_t k = 0; k < sizes[i]; k++)
                CHECK_EQ(p[i][k], i);
            hd_free(p[i]);
        }
    }
    CHECK_EQ(stats(NULL).in_use, 0u);
    CHECK_GT(hd_pool_trim(NULL), 0u);
    CHECK_EQ(stats(NULL).bytes, 0u);
    CHECK_EQ(hd_alloc(SIZE_MAX), NULL);
    CHECK_EQ(hd_alloc(SIZE_MAX / 2), NULL);
    return 0;
}

TEST(hd_alloc_wastes_no_more_than_it_says) {
    for (size_t size = 129; size <= 32768; size += 13) {
        void *p = hd_alloc(size);
        uintptr_t slab = (uintptr_t)p & ~(uintptr_t)(HD__POOL_SLAB_BYTES - 1);
        size_t got = ((struct hd__slab_head *)slab)->pool->object_size;
        CHECK_GE(got, size);
        CHECK_LE(got * 4, size * 5);
        hd_free(p);
    }
}

/* ---- one thread takes, others free ---- */

enum { MOVED = 20000 };

static void *free_received(void *arg) {
    void **job = arg;
    void *object;
    uint64_t sum = 0;
    while (hd_chan_recv(job[0], &object) == 0) {
        sum += *(uint64_t *)object;
        hd_pool_free(job[1], object);
    }
    return (void *)(uintptr_t)sum;
}

RUNTIME_TEST(objects_freed_elsewhere_come_back, 2) {
    hd_pool *pool = make(HD_POOL_ATTR(.object_size = 64));
    hd_chan *c = hd_chan_create(sizeof(void *), 64);
    void *job[2] = {c, pool};
    hd_thread *t = spawn(free_received, job);
    pthread_t f = foreign(free_received, job);
    unsigned long n = test_iterations(MOVED);
    for (uint64_t i = 1; i <= n; i++) {
        uint64_t *object = hd_pool_alloc(pool);
        *object = i;
        CHECK_OK(hd_chan_send(c, &object));
    }
    hd_chan_close(c);
    uint64_t sum = (uintptr_t)join(t) + (uintptr_t)foreign_join(f);
    CHECK_EQ(sum, n * (n + 1) / 2);
    CHECK_EQ(stats(pool).in_use, 0u);
    /* They went around: many fewer were made than moved. */
    if (n == MOVED)
        CHECK_LT(stats(pool).bytes / 64, (uint64_t)MOVED);
    hd_chan_destroy(c);
    hd_pool_destroy(pool);
    return 0;
}

/* ---- two nodes, on any machine ---- */

static _Atomic unsigned node_now;

static unsigned two(void) {
    return 2;
}

static unsigned node_of_caller(void) {
    return atomic_load(&node_now);
}

static unsigned node_of(hd_pool *pool, void *object) {
    return hd__slab_of(pool, object)->node;
}

RUNTIME_TEST(objects_stay_on_their_node, 1) {
    enum { N = 1000 };
    static void *all[N], *other[N];
    hd__pool_numa = (struct hd__pool_numa){two, node_of_caller};
    hd_pool *pool = make(HD_POOL_ATTR(.object_size = 64));
    hd_pool *bound = make(HD_POOL_ATTR(.object_size = 64, .numa_node = 2));
    for (int round = 0; round < 5; round++) {
        atomic_store(&node_now, 0);
        hd_pool_trim(pool); /* what this worker still has of node 1 */
        for (int i = 0; i < N; i++) {
            all[i] = hd_pool_alloc(pool);
            CHECK_EQ(node_of(pool, all[i]), 0u);
            other[i] = hd_pool_alloc(bound);
            CHECK_EQ(node_of(bound, other[i]), 1u);
        }
        for (int i = 0; i < N; i++)
            hd_pool_free(bound, other[i]);
        atomic_store(&node_now, 1);
        hd_pool_trim(pool); /* what this worker still has of node 0 */
        for (int i = 0; i < N; i++) {
            other[i] = hd_pool_alloc(pool);
            CHECK_EQ(node_of(pool, other[i]), 1u);
        }
        for (int i = 0; i < N; i++) {
            hd_pool_free(pool, all[i]);
            hd_pool_free(pool, other[i]);
        }
        CHECK_GT(stats(pool).remote, 0u);
        for (int i = 0; i < N / 2; i++) {
            all[i] = hd_pool_alloc(pool);
            CHECK_EQ(node_of(pool, all[i]), 1u);
        }
        for (int i = 0; i < N / 2; i++)
            hd_pool_free(pool, all[i]);
        CHECK_EQ(stats(pool).in_use, 0u);
    }
    hd_pool_destroy(pool);
    hd_pool_destroy(bound);
    return 0;
}

RUNTIME_TEST(a_capacity_is_for_all_nodes_together, 1) {
    hd__pool_numa = (struct hd__pool_numa){two, node_of_caller};
    hd_pool *pool = make(HD_POOL_ATTR(.object_size = 64, .capacity = 200));
    for (unsigned i = 0; i < 6; i++) {
        atomic_store(&node_now, i % 2);
        fill_to_capacity(pool, 200);
    }
    hd_pool_destroy(pool);
    return 0;
}

/* ---- preemption ---- */

static _Atomic bool stop_churning;

static void *churn(void *arg) {
    hd_pool *pool = arg;
    uint64_t self = (uint64_t)(uintptr_t)&self;
    uint64_t *mine[64];
    while (!atomic_load_explicit(&stop_churning, memory_order_relaxed)) {
        for (int i = 0; i < 64; i++) {
            mine[i] = hd_pool_alloc(pool);
            *mine[i] = self + (uint64_t)i;
        }
        for (int i = 0; i < 64; i++) {
            CHECK_EQ(*mine[i], self + (uint64_t)i);
            hd_pool_free(pool, mine[i]);
        }
    }
    return NULL;
}

static void churn_preempted(int preempt) {
    hd_thread *t[6];
    hd_pool *pool = make(HD_POOL_ATTR(.object_size = 64));
    CHECK_OK(hd_start(HD_CONFIG(.workers = 2, .slice_us = 100, .preempt = preempt)));
    for (int i = 0; i < 6; i++)
        t[i] = spawn(churn, pool);
    struct hd_metrics m = HD_METRICS_INIT;
    do {
        usleep(1000);
        (void)hd_pool_trim(pool);
        CHECK_OK(hd_metrics_get(&m));
    } while ((preempt == HD_PREEMPT_LIGHT ? m.preempted_light : m.preempted_carrier) <
             test_iterations(200));
    atomic_store(&stop_churning, true);
    for (int i = 0; i < 6; i++)
        join(t[i]);
    CHECK_OK(hd_stop());
    CHECK_EQ(stats(pool).in_use, 0u);
    hd_pool_destroy(pool);
}

TEST_WITHIN(threads_that_are_preempted_keep_their_objects, 60) {
    churn_preempted(HD_PREEMPT_CARRIER);
}

TEST_WITHIN(threads_that_are_preempted_the_light_way_keep_their_objects, 60) {
    if (TEST_TSAN)
        SKIP("no light preemption under ThreadSanitizer");
    churn_preempted(HD_PREEMPT_LIGHT);
}
