/* SPDX-License-Identifier: MIT */
/* Random trees of threads that do whatever moves threads about: spawn, yield, sleep, join with
 * deadlines, detach, interrupt, from inside and from foreign kernel threads, pinned and not.
 *
 * Checked all along: a thread keeps its identity, its thread-local value and what is on its stack;
 * a joiner gets the result of the thread that it joins; a deadline is not missed by coming early;
 * -EINTR comes to whom somebody interrupted. In the end: as many threads ended as were started,
 * and as many values were destroyed as were set. A lost thread shows as a test without an end. */
#include "crew.h"

#include <sched.h>

enum { CHILDREN = 6, DEPTH = 5, LIVE_MAX = 3000 };

static struct {
    hd_key key;
    uint64_t end_ns;
    hd_cpuset cpus[2];
    _Atomic uint64_t started, ended, set, destroyed, streams, interruptions, interrupted;
    _Atomic int64_t live;
    hd_mutex mutex;
    uint64_t guarded, expected; /* guarded by mutex */
} all;

struct node {
    unsigned depth;
    uint64_t token;
    bool pinned, detached;
    hd_cpuset cpus;
};

struct children {
    hd_thread *thread[CHILDREN];
    struct node *node[CHILDREN];
    unsigned count;
};

static void *run_node(void *arg);

static void destroy_value(void *value) {
    free(value);
    atomic_fetch_add(&all.destroyed, 1);
}

static bool time_is_up(void) {
    return hd_now_ns() >= all.end_ns;
}

/* A thread with random attributes; NULL when there are enough. */
static struct node *start(struct test_rng *rng, unsigned depth, hd_thread **out) {
    if (atomic_fetch_add(&all.live, 1) > LIVE_MAX) {
        atomic_fetch_sub(&all.live, 1);
        return NULL;
    }
    struct node *n = calloc(1, sizeof *n);
    CHECK(n != NULL);
    n->depth = depth;
    n->detached = out == NULL;
    n->token = atomic_fetch_add(&all.streams, 1);
    struct hd_attr attr = {.size = sizeof attr};
    if (test_rng_below(rng, 8) == 0)
        attr.name = "a node with a name";
    if (test_rng_below(rng, 16) == 0)
        attr.stack_size = (size_t)32768 << test_rng_below(rng, 4);
    if (test_rng_below(rng, 64) == 0)
        attr.flags = HD_ATTR_PAINT_STACK;
    if (test_rng_below(rng, 16) == 0) {
        n->pinned = true;
        n->cpus = all.cpus[test_rng_below(rng, 2)];
        attr.cpus = &n->cpus;
    }
    atomic_fetch_add(&all.started, 1);
    CHECK_OK(hd_spawn(out, test_rng_below(rng, 2) || attr.name || attr.cpus ? &attr : NULL,
                      run_node, n));
    return n;
}

/* Takes child i off the list. */
static void forget(struct children *c, unsigned i) {
    c->count--;
    c->thread[i] = c->thread[c->count];
    c->node[i] = c->node[c->count];
}

static void check_result(struct node *n, void *result) {
    CHECK_EQ(result, n);
    free(n);
}

static void join_one(struct children *c, unsigned i, uint64_t deadline_ns) {
    void *result = NULL;
    int err = hd_join_until(c->thread[i], &result, deadline_ns);
    if (err == 0) {
        struct node *n = c->node[i];
        forget(c, i);
        check_result(n, result);
    } else if (err == -ETIMEDOUT) {
        CHECK_GE(hd_now_ns(), deadline_ns);
    } else {
        CHECK_EQ(err, -EINTR);
        atomic_fetch_add(&all.interrupted, 1);
    }
}

static void interrupt(hd_thread *t) {
    atomic_fetch_add(&all.interruptions, 1);
    CHECK_OK(hd_interrupt(t));
}

static void nap(struct test_rng *rng) {
    uint64_t deadline = hd_now_ns() + test_rng_below(rng, 100 * 1000);
    int err = hd_sleep_until(deadline);
    if (err == 0) {
        CHECK_GE(hd_now_ns(), deadline);
    } else {
        CHECK_EQ(err, -EINTR);
        atomic_fetch_add(&all.interrupted, 1);
    }
}

static void use_mutex(void) {
    hd_mutex_lock(&all.mutex);
    CHECK_EQ(all.guarded, all.expected);
    all.guarded++;
    if (all.guarded % 16 == 0 && hd_self())
        hd_yield();
    all.expected++;
    hd_mutex_unlock(&all.mutex);
}

static void one_step(struct test_rng *rng, unsigned depth, struct children *c) {
    unsigned i = c->count ? (unsigned)test_rng_below(rng, c->count) : 0;
    switch (test_rng_below(rng, 12)) {
    case 0:
    case 1:
    case 2:
        if (depth < DEPTH && c->count < CHILDREN && !time_is_up() &&
            (c->node[c->count] = start(rng, depth + 1, &c->thread[c->count])) != NULL)
            c->count++;
        break;
    case 3:
        if (depth < DEPTH && !time_is_up())
            start(rng, DEPTH, NULL); /* detached: it frees its node itself */
        break;
    case 4:
        nap(rng);
        break;
    case 5:
        use_mutex();
        break;
    case 6:
        if (c->count)
            interrupt(c->thread[i]);
        break;
    case 7:
        if (c->count)
            join_one(c, i, HD_FOREVER);
        break;
    case 8:
        if (c->count)
            join_one(c, i, hd_now_ns() + test_rng_below(rng, 50 * 1000));
        break;
    case 9:
        if (c->count)
            join_one(c, i, 0);
        break;
    default:
        if (hd_self())
            hd_yield();
        break;
    }
}

/* What a thread must find unchanged wherever it runs. */
static void check_identity(const struct node *n, const hd_thread *self, const uint64_t *value,
                           const uint64_t *on_stack) {
    CHECK_EQ(hd_self(), self);
    CHECK_EQ(hd_get(all.key), value);
    CHECK_EQ(*value, n->token);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(on_stack[i], n->token * 7 + (uint64_t)i);
    if (n->pinned && !test_under_qemu())
        CHECK(hd_cpuset_has(&n->cpus, (unsigned)sched_getcpu()));
}

static void *run_node(void *arg) {
    struct node *n = arg;
    hd_thread *self = hd_self();
    struct test_rng rng = test_rng(n->token + 100);
    struct children c = {.count = 0};
    volatile uint64_t on_stack[8];
    uint64_t *value = malloc(sizeof *value);
    CHECK(value != NULL);
    *value = n->token;
    CHECK_EQ(hd_get(all.key), NULL);
    CHECK_OK(hd_set(all.key, value));
    atomic_fetch_add(&all.set, 1);
    for (int i = 0; i < 8; i++)
        on_stack[i] = n->token * 7 + (uint64_t)i;
    for (uint64_t steps = test_rng_below(&rng, 24); steps > 0; steps--) {
        one_step(&rng, n->depth, &c);
        check_identity(n, self, value, (const uint64_t *)on_stack);
    }
    while (c.count > 0)
        join_one(&c, 0, HD_FOREVER);
    check_identity(n, self, value, (const uint64_t *)on_stack);
    atomic_fetch_add(&all.ended, 1);
    atomic_fetch_sub(&all.live, 1);
    if (!n->detached)
        return n;
    free(n);
    return NULL;
}

/* A foreign kernel thread does the same, as a root. */
static void *run_foreign(void *arg) {
    struct test_rng rng = test_rng((uint64_t)(uintptr_t)arg + 1000000000);
    struct children c = {.count = 0};
    while (!time_is_up())
        one_step(&rng, 0, &c);
    while (c.count > 0)
        join_one(&c, 0, HD_FOREVER);
    return NULL;
}

static int run_main(void *arg) {
    unsigned foreigners = (unsigned)(uintptr_t)arg;
    pthread_t p[4];
    struct test_rng rng = test_rng(99);
    struct children c = {.count = 0};
    for (uintptr_t i = 0; i < foreigners; i++)
        CHECK_EQ(pthread_create(&p[i], NULL, run_foreign, (void *)i), 0);
    while (!time_is_up())
        one_step(&rng, 0, &c);
    while (c.count > 0)
        join_one(&c, 0, HD_FOREVER);
    for (unsigned i = 0; i < foreigners; i++) {
        /* Only once all threads are done with this worker may its kernel thread wait. */
        while (pthread_tryjoin_np(p[i], NULL) == EBUSY)
            CHECK_OK(hd_sleep_for(100 * 1000));
    }
    /* Detached ones: the destructors run last. */
    while (atomic_load(&all.ended) != atomic_load(&all.started) ||
           atomic_load(&all.destroyed) != atomic_load(&all.set))
        CHECK_OK(hd_sleep_for(100 * 1000));
    return 0;
}

static void find_cpus(void) {
    cpu_set_t allowed;
    unsigned found = 0;
    CHECK_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            hd_cpuset_add(&all.cpus[found++], cpu);
    if (found == 1)
        all.cpus[1] = all.cpus[0];
}

static void stress(unsigned workers, unsigned foreigners) {
    find_cpus();
    CHECK_OK(hd_key_create(&all.key, destroy_value));
    all.end_ns = hd_now_ns() + crew_time_ns(4);
    CHECK_OK(hd_run(HD_CONFIG(.workers = workers), run_main, (void *)(uintptr_t)foreigners));
    CHECK_EQ(atomic_load(&all.live), 0);
    CHECK_EQ(atomic_load(&all.ended), atomic_load(&all.started));
    CHECK_EQ(all.guarded, all.expected);
    CHECK_LE(atomic_load(&all.interrupted), atomic_load(&all.interruptions));
    test_note("%u workers: %llu threads, %llu of %llu interruptions ended a wait", workers,
              (unsigned long long)atomic_load(&all.started),
              (unsigned long long)atomic_load(&all.interrupted),
              (unsigned long long)atomic_load(&all.interruptions));
    CHECK_EQ(atomic_load(&all.destroyed), atomic_load(&all.set));
}

TEST(one_worker) {
    stress(1, 1);
}

TEST(two_workers) {
    stress(2, 0);
}

TEST(two_workers_and_foreign_threads) {
    stress(2, 2);
}

TEST(four_workers_and_foreign_threads) {
    stress(4, 3);
}
