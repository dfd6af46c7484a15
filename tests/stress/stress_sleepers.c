/* SPDX-License-Identifier: MIT */
/* As many sleepers as the machine holds, up to a million, with random and with equal deadlines.
 * None wakes early, none is forgotten, and those that are interrupted are told so. */
#include "crew.h"

#include <stdio.h>
#include <unistd.h>

/* A stack, its descriptor's page included, its page table's share, and something to spare. */
enum { BYTES_PER_SLEEPER = 12 * 1024, SLEEPERS_MAX = 1000000 };

static struct {
    _Atomic uint64_t started, woken, interrupted;
} all;

static uint64_t memory_available(void) {
    unsigned long long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return kib * 1024;
}

/* Instrumented builds keep much about each stack, and take long to make one. */
static unsigned long how_many(void) {
    uint64_t fit = memory_available() / 2 / BYTES_PER_SLEEPER;
    unsigned long limit = TEST_TSAN ? 2000 : TEST_ASAN ? 20000 : SLEEPERS_MAX;
    return fit < limit ? (unsigned long)fit : limit;
}

static void *sleep_once(void *arg) {
    uint64_t deadline = (uint64_t)(uintptr_t)arg;
    atomic_fetch_add_explicit(&all.started, 1, memory_order_relaxed);
    int err = hd_sleep_until(deadline);
    if (err == 0) {
        CHECK_GE(hd_now_ns(), deadline);
        atomic_fetch_add_explicit(&all.woken, 1, memory_order_relaxed);
    } else {
        CHECK_EQ(err, -EINTR);
        atomic_fetch_add_explicit(&all.interrupted, 1, memory_order_relaxed);
    }
    return NULL;
}

static void forget_all(void) {
    all.started = all.woken = all.interrupted = 0;
}

/* Detached, with deadlines that begin when about all of them sleep. */
static void sleepers(unsigned long n, bool equal) {
    struct test_rng rng = test_rng(equal);
    const uint64_t begin = hd_now_ns();
    const uint64_t first = begin + 500000000 + n * 6000, span = 1500000000;
    forget_all();
    for (unsigned long i = 0; i < n; i++) {
        uint64_t deadline = equal ? first : first + test_rng_below(&rng, span);
        CHECK_OK(hd_spawn(NULL, NULL, sleep_once, (void *)(uintptr_t)deadline));
        if (i % 256 == 0)
            hd_yield();
    }
    const uint64_t spawned = hd_now_ns();
    while (atomic_load(&all.woken) < n)
        CHECK_OK(hd_sleep_for(1000000));
    const uint64_t last = hd_now_ns();
    CHECK_GE(last, first);
    CHECK_EQ(atomic_load(&all.started), n);
    test_note("%lu sleepers, started within %.3f s, woken by %.3f s after the %s deadline", n,
              (double)(spawned - begin) / 1e9,
              (double)(last - first - (equal ? 0 : span)) / 1e9, equal ? "common" : "latest");
}

/* Every one that is interrupted before its deadline ends so. */
static void interrupted_sleepers(unsigned long n) {
    hd_thread **t = calloc(n, sizeof *t);
    struct test_rng rng = test_rng(3);
    CHECK(t != NULL);
    forget_all();
    for (unsigned long i = 0; i < n; i++)
        CHECK_OK(hd_spawn(&t[i], NULL, sleep_once,
                          (void *)(uintptr_t)(HD_FOREVER - test_rng_below(&rng, 1000000000))));
    while (atomic_load(&all.started) < n)
        CHECK_OK(hd_sleep_for(1000000));
    for (unsigned long i = 0; i < n; i++)
        CHECK_OK(hd_interrupt(t[i]));
    for (unsigned long i = 0; i < n; i++)
        CHECK_OK(hd_join(t[i], NULL));
    CHECK_EQ(atomic_load(&all.interrupted), n);
    free(t);
}

static int random_deadlines(void *arg) {
    sleepers(*(unsigned long *)arg, false);
    return 0;
}

static int equal_deadlines(void *arg) {
    sleepers(*(unsigned long *)arg, true);
    return 0;
}

static int interruptions(void *arg) {
    interrupted_sleepers(*(unsigned long *)arg);
    return 0;
}

static void with_workers(int (*fn)(void *), unsigned long n) {
    if (n < 1000)
        SKIP("there is not enough memory");
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), fn, &n));
}

TEST_WITHIN(a_million_with_random_deadlines, 100) {
    with_workers(random_deadlines, how_many());
}

TEST_WITHIN(a_hundred_thousand_with_one_deadline, 100) {
    unsigned long n = how_many();
    with_workers(equal_deadlines, n < 100000 ? n : 100000);
}

TEST_WITHIN(interrupted, 100) {
    unsigned long n = how_many();
    with_workers(interruptions, n < 100000 ? n : 100000);
}
