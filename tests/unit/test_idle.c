/* SPDX-License-Identifier: MIT */
/* A runtime with nothing to do uses no CPU, and still hears who comes from outside. */
#include "runtime_test.h"

#include <time.h>

static uint64_t cpu_time_ns(void) {
    struct timespec used;
    CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used), 0);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

enum { INJECTIONS = TEST_TSAN ? 1500 : 10000 }; /* a thread is dear there */

static hd_event gate;
static hd_sem there;

static void *block(void *arg) {
    hd_sem_post(&there);
    switch ((uintptr_t)arg % 4) {
    case 0:
        CHECK_OK(hd_event_wait(&gate));
        break;
    case 1:
        CHECK_OK(hd_event_wait_until(&gate, hd_now_ns() + 3600 * 1000 * MS));
        break;
    case 2: {
        hd_thread *t = spawn(block, NULL);
        join(t);
        break;
    }
    default:
        CHECK_ERR(hd_sleep_until(HD_FOREVER), -EINTR);
        break;
    }
    return NULL;
}

static void check_idle(unsigned workers, uint64_t ms) {
    enum { N = 1000 };
    static hd_thread *t[N];
    CHECK_OK(hd_start(HD_CONFIG(.workers = workers)));
    for (uintptr_t i = 0; i < N; i++)
        t[i] = spawn(block, (void *)i);
    for (int i = 0; i < N + N / 4; i++)
        CHECK_OK(hd_sem_wait(&there));
    /* The last worker may take its time to park on a busy machine; who does not park never does. */
    uint64_t wall, cpu;
    int tries = 0;
    do {
        hd_sleep_for(20 * MS);
        wall = hd_now_ns();
        cpu = cpu_time_ns();
        CHECK_OK(hd_sleep_for(ms * MS));
        cpu = cpu_time_ns() - cpu;
        wall = hd_now_ns() - wall;
        test_note("%u workers: %g %% of a CPU", workers, 100.0 * (double)cpu / (double)wall);
    } while (cpu * 100 >= wall && ++tries < 10);
    CHECK_LT(cpu * 100, wall);
    hd_event_set(&gate);
    for (int i = 0; i < N; i++) {
        if (i % 4 == 3)
            hd_interrupt(t[i]);
        join(t[i]);
    }
    CHECK_OK(hd_stop());
    hd_event_reset(&gate);
}

TEST(blocked_threads_use_no_cpu) {
    if (test_under_qemu() || test_under_valgrind())
        SKIP("the emulator uses the CPU");
    check_idle(2, 1000);
    check_idle(1, 300);
    check_idle(8, 300);
}

/* ---- nobody who comes from outside is overlooked ---- */

static void *post(void *s) {
    hd_sem_post(s);
    return NULL;
}

/* Workers park at once, so that many of the spawns come while one is about to. */
TEST(a_parked_worker_hears_a_spawn) {
    hd_sem ran = HD_SEM_INIT(0);
    for (unsigned workers = 1; workers <= 4; workers *= 4) {
        struct test_rng rng = test_rng(workers);
        CHECK_OK(hd_start(HD_CONFIG(.workers = workers, .spin_us = HD_SPIN_NONE)));
        for (unsigned long i = 0; i < test_iterations(INJECTIONS); i++) {
            CHECK_OK(hd_spawn(NULL, NULL, post, &ran));
            CHECK_OK(hd_sem_wait(&ran));
            for (volatile uint64_t n = test_rng_below(&rng, 2000); n > 0; n--) {
            }
        }
        CHECK_OK(hd_stop());
    }
}

static void *answer(void *arg) {
    hd_sem *s = arg; /* s[0]: question, s[1]: answer */
    for (unsigned long i = 0; i < test_iterations(INJECTIONS); i++) {
        CHECK_OK(hd_sem_wait(&s[0]));
        hd_sem_post(&s[1]);
    }
    return NULL;
}

static void check_wakes(unsigned workers, unsigned spin_us) {
    hd_sem s[2] = {HD_SEM_INIT(0), HD_SEM_INIT(0)};
    struct test_rng rng = test_rng(workers);
    CHECK_OK(hd_start(HD_CONFIG(.workers = workers, .spin_us = spin_us)));
    hd_thread *t = spawn(answer, s);
    for (unsigned long i = 0; i < test_iterations(INJECTIONS); i++) {
        hd_sem_post(&s[0]);
        CHECK_OK(hd_sem_wait(&s[1]));
        for (volatile uint64_t n = test_rng_below(&rng, 2000); n > 0; n--) {
        }
    }
    join(t);
    CHECK_OK(hd_stop());
}

TEST(a_parked_worker_hears_a_wake_up) {
    check_wakes(2, HD_SPIN_NONE);
    check_wakes(2, 1);
}

/* A burst wakes as many workers as it needs, and all of it is run. */
TEST(bursts_are_run) {
    CHECK_OK(hd_start(HD_CONFIG(.workers = 4, .spin_us = HD_SPIN_NONE)));
    for (unsigned long i = 0; i < test_iterations(100); i++) {
        hd_sem ran = HD_SEM_INIT(0);
        for (int k = 0; k < 100; k++)
            CHECK_OK(hd_spawn(NULL, NULL, post, &ran));
        for (int k = 0; k < 100; k++)
            CHECK_OK(hd_sem_wait(&ran));
    }
    CHECK_OK(hd_stop());
}

/* ---- work spreads ---- */

static _Atomic int meeting;

static void *meet_busily(void *arg) {
    atomic_fetch_add(&meeting, 1);
    while (atomic_load(&meeting) < 2) {
    }
    return arg;
}

/* Two threads that never yield need two workers, one of which has to be woken by a spawn inside. */
RUNTIME_TEST(a_spawn_wakes_a_second_worker, 2) {
    for (unsigned long i = 0; i < test_iterations(150); i++) {
        atomic_store(&meeting, 0);
        if (i % 2)
            hd_sleep_for(100 * 1000); /* the other worker has parked */
        hd_thread *a = spawn(meet_busily, NULL), *b = spawn(meet_busily, NULL);
        join(a);
        join(b);
    }
    return 0;
}

static void *wait_and_meet(void *s) {
    CHECK_OK(hd_sem_wait(s));
    return meet_busily(NULL);
}

static void *yield_and_meet(void *arg) {
    (void)arg;
    hd_yield();
    return meet_busily(NULL);
}

/* One yields to the other for good; the second worker, which may have looked while the first of
 * them was between its stack and a queue, must come for it. */
RUNTIME_TEST(a_yield_wakes_a_second_worker, 2) {
    for (unsigned long i = 0; i < test_iterations(150); i++) {
        atomic_store(&meeting, 0);
        if (i % 2)
            hd_sleep_for(100 * 1000);
        /* A stack of its own, which takes longer to make than an idle worker searches. */
        size_t size = (size_t)1 << (17 + i % 4);
        hd_thread *a, *b = spawn(yield_and_meet, NULL);
        CHECK_OK(hd_spawn(&a, HD_ATTR(.stack_size = size, .flags = HD_ATTR_PAINT_STACK),
                          meet_busily, NULL));
        hd_yield();
        meet_busily(NULL);
        join(a);
        join(b);
    }
    return 0;
}

RUNTIME_TEST(a_wake_up_wakes_a_second_worker, 2) {
    for (unsigned long i = 0; i < test_iterations(150); i++) {
        hd_sem s = HD_SEM_INIT(0);
        atomic_store(&meeting, 0);
        hd_thread *a = spawn(wait_and_meet, &s), *b = spawn(wait_and_meet, &s);
        hd_yield();
        if (i % 2)
            hd_sleep_for(100 * 1000);
        hd_sem_post(&s);
        hd_sem_post(&s);
        join(a);
        join(b);
    }
    return 0;
}

static void *sleep_and_meet(void *deadline) {
    CHECK_OK(hd_sleep_until(*(uint64_t *)deadline));
    return meet_busily(NULL);
}

RUNTIME_TEST(timers_wake_a_second_worker, 2) {
    for (unsigned long i = 0; i < test_iterations(150); i++) {
        uint64_t deadline = hd_now_ns() + i % 4 * 100 * 1000;
        atomic_store(&meeting, 0);
        hd_thread *a = spawn(sleep_and_meet, &deadline), *b = spawn(sleep_and_meet, &deadline);
        join(a);
        join(b);
    }
    return 0;
}
