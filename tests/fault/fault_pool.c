/* SPDX-License-Identifier: MIT */
/* Every allocation and system call of pools fails once, then all from some point on. Calls work or
 * say that there is no memory, free always works, nothing is lost, and afterwards all works again.
 * One of the calls is membarrier(), without which pools work by their locks. */
#include "test.h"

#include "mem/pool.h"
#include "os/fault.h"

#include <heddle/heddle.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#ifndef HD_FAULT
#error "this program is for builds with -DHD_FAULT"
#endif

enum { COUNT = 280, SIZE = 1000 };

static bool faultless; /* nothing is armed: everything must work */

static bool worked(bool good) {
    CHECK_MSG(good || !faultless, "%s", "a failure without a fault");
    return good;
}

static _Atomic int made, undone;

static int init(void *object, void *arg) {
    memset(object, 1, SIZE);
    made++;
    (void)arg;
    return 0;
}

static void fini(void *object, void *arg) {
    CHECK_EQ(*(char *)object, 1);
    undone++;
    (void)arg;
}

static uint64_t in_use(hd_pool *pool) {
    struct hd_pool_stats s = HD_POOL_STATS_INIT;
    CHECK_OK(hd_pool_stats(pool, &s));
    return s.in_use;
}

static void fill(hd_pool *pool, size_t most, bool (*use)(char *)) {
    char *all[COUNT];
    size_t n = 0;
    while (n < most && worked((all[n] = hd_pool_alloc(pool)) != NULL)) {
        CHECK(use == NULL || use(all[n]));
        n++;
    }
    CHECK_EQ(in_use(pool), n);
    for (size_t i = 0; i < n; i += 2)
        hd_pool_free(pool, all[i]);
    hd_pool_trim(pool);
    for (size_t i = 1; i < n; i += 2)
        hd_pool_free(pool, all[i]);
    CHECK_EQ(in_use(pool), 0u);
}

static bool was_made(char *object) {
    return object[0] == 1 && object[SIZE - 1] == 1;
}

static bool write_all(char *object) {
    memset(object, 7, SIZE);
    return true;
}

static void use_pool(const struct hd_pool_attr *attr, size_t most, bool (*use)(char *)) {
    hd_pool *pool = NULL;
    int err = hd_pool_create(&pool, attr);
    CHECK(err == 0 || err == -ENOMEM);
    if (!worked(err == 0))
        return;
    fill(pool, most, use);
    fill(pool, most, use);
    hd_pool_destroy(pool);
}

static unsigned two(void) {
    return 2;
}

static _Atomic unsigned turns;

static unsigned some_node(void) {
    return turns++ / 50 % 2;
}

static void use_blocks(void) {
    char *all[COUNT];
    size_t n = 0;
    while (n < COUNT && worked((all[n] = hd_alloc(n * 131)) != NULL)) {
        memset(all[n], (int)n, n * 131);
        n++;
    }
    while (n-- > 0)
        hd_free(all[n]);
    hd_pool_trim(NULL);
}

static void use_two_nodes(void) {
    struct hd__pool_numa real = hd__pool_numa;
    hd__pool_numa = (struct hd__pool_numa){two, some_node};
    use_pool(HD_POOL_ATTR(.object_size = SIZE), COUNT, write_all);
    hd__pool_numa = real;
}

static void *use_all(void *arg) {
    use_pool(HD_POOL_ATTR(.object_size = SIZE), COUNT, write_all);
    use_pool(HD_POOL_ATTR(.object_size = SIZE, .capacity = 100), 100, write_all);
    use_pool(HD_POOL_ATTR(.object_size = SIZE, .init = init, .fini = fini), COUNT, was_made);
    use_pool(HD_POOL_ATTR(.object_size = SIZE, .debug = HD_POOL_DEBUG_ON), COUNT, write_all);
    use_blocks();
    return arg;
}

static int in_thread(void *arg) {
    use_all(arg);
    use_two_nodes();
    return 0;
}

static void program(void) {
    use_all(NULL);
    use_two_nodes();
    int err = hd_run(HD_CONFIG(.workers = 1), in_thread, NULL);
    CHECK(err == 0 || err == -ENOMEM || err == -EAGAIN || err == -ENOSYS);
    CHECK_EQ(made, undone);
    if (in_use(NULL) != 0)
        FAIL("%llu blocks are left", (unsigned long long)in_use(NULL));
}

static void run_faultless(void) {
    hd__fault_arm(0);
    faultless = true;
    program();
    faultless = false;
}

static void fail_each(void (*arm)(uint64_t)) {
    run_faultless();
    uint64_t calls = hd__fault_hits(), n = 1;
    for (;; n++) {
        arm(n);
        program();
        uint64_t failed = hd__fault_failed();
        const char *site = hd__fault_site();
        hd__fault_arm(0);
        test_note("%llu: %s", (unsigned long long)n, site ? site : "(none)");
        if (n % 32 == 1)
            run_faultless();
        if (failed == 0 && n > calls)
            break;
    }
    run_faultless();
    CHECK_GT(n, 100u);
}

TEST_WITHIN(each_call_fails_once, 120) {
    fail_each(hd__fault_arm);
}

TEST_WITHIN(all_calls_fail_from_some_point_on, 120) {
    fail_each(hd__fault_arm_from);
}

TEST(without_membarrier_pools_work_by_their_locks) {
    bool failed = false;
    faultless = true;
    uint64_t n = 1;
    for (unsigned starts = 0; !failed; starts++) {
        hd__fault_arm(n);
        (void)hd_start(HD_CONFIG(.workers = 2));
        bool any = hd__fault_failed() != 0;
        failed = any && strcmp(hd__fault_site(), "membarrier") == 0;
        CHECK_LT(starts, 10000u);
        hd__fault_arm(0);
        n = any ? n + 1 : 1; /* what other kernel threads call comes in between, sometimes */
        if (!failed)
            (void)hd_stop();
    }
    hd_pool *pool = NULL;
    CHECK_OK(hd_pool_create(&pool, HD_POOL_ATTR(.object_size = SIZE, .capacity = 100)));
    hd_thread *t[4];
    for (int i = 0; i < 4; i++)
        CHECK_OK(hd_spawn(&t[i], NULL, use_all, NULL));
    for (int i = 0; i < 4; i++)
        CHECK_OK(hd_join(t[i], NULL));
    CHECK_EQ(hd__load_relaxed(&pool->caches[0].mag), NULL);
    hd_pool_destroy(pool);
    CHECK_OK(hd_stop());
}
