/* SPDX-License-Identifier: MIT */
/* hd_attr.fpu and .vector: what switches keep for threads that want it, and what they leave alone
 * for those that do without. */
#include "runtime_test.h"

#include <fenv.h>

/* How many of the registers that a call preserves were changed by fn(arg): arch_regs.S. */
long test_regs_hold(void (*fn)(void *), void *arg, uint64_t seed);

#if defined(__aarch64__)
enum { KEPT_VECTORS = 8 };
#elif defined(__riscv)
enum { KEPT_VECTORS = 12 };
#else
enum { KEPT_VECTORS = 0 };
#endif

static const volatile double one = 1.0, three = 3.0;

static void skip_without_fp_control(void) {
    if (test_under_valgrind())
        SKIP("Valgrind computes with the default rounding only");
}

static hd_thread *spawn_state(int fpu, int vector, hd_fn fn, void *arg) {
    hd_thread *t = NULL;
    CHECK_OK(hd_spawn(&t, HD_ATTR(.fpu = fpu, .vector = vector), fn, arg));
    return t;
}

/* ---- control: rounding ---- */

static void *round_up_and_end(void *arg) {
    CHECK_OK(fesetround(FE_UPWARD));
    return arg;
}

static void *expect_nearest(void *arg) {
    CHECK_EQ(fegetround(), FE_TONEAREST);
    CHECK_EQ(one / three, 1.0 / 3.0);
    return arg;
}

/* Threads that begin where another one has ended, on its stack and without a switch. */
RUNTIME_TEST(a_thread_begins_afresh_after_one_that_rounded, 1) {
    skip_without_fp_control();
    hd_thread *t[20];
    for (int i = 0; i < 20; i++)
        t[i] = spawn(i % 2 ? round_up_and_end : expect_nearest, NULL);
    for (int i = 0; i < 20; i++)
        join(t[i]);
    CHECK_EQ(fegetround(), FE_TONEAREST);
    return 0;
}

struct rounder {
    int mode, fpu;
};

static void *round_and_yield(void *arg) {
    const struct rounder *r = arg;
    CHECK_OK(fesetround(r->mode));
    double third = one / three;
    for (int i = 0; i < 200; i++) {
        hd_yield();
        CHECK_EQ(fegetround(), r->mode);
        CHECK_EQ(one / three, third);
    }
    return NULL;
}

static void *only_yield(void *arg) {
    for (int i = 0; i < 200; i++)
        hd_yield();
    return arg;
}

static int round_all(void *arg) {
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    struct rounder r[8];
    hd_thread *t[16];
    (void)arg;
    for (int i = 0; i < 8; i++) {
        r[i] = (struct rounder){modes[i % 4], i < 4 ? HD_STATE_DEFAULT : HD_STATE_SAVED};
        t[i] = spawn_state(r[i].fpu, HD_STATE_DEFAULT, round_and_yield, &r[i]);
        t[8 + i] = spawn_state(HD_STATE_NONE, HD_STATE_NONE, only_yield, NULL);
    }
    for (int i = 0; i < 16; i++)
        join(t[i]);
    CHECK_EQ(fegetround(), FE_TONEAREST);
    return 0;
}

TEST(saved_control_survives_beside_threads_without) {
    skip_without_fp_control();
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1), round_all, NULL));
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), round_all, NULL));
    CHECK_EQ(fegetround(), FE_TONEAREST);
}

/* What a thread without control has is what the one before it on the worker had: another thread, or
 * now and then the scheduler. */
static void *see_rounding(void *arg) {
    *(int *)arg = fegetround();
    return NULL;
}

RUNTIME_TEST(without_control_it_is_the_one_befores, 1) {
    skip_without_fp_control();
    int down = 0;
    for (int i = 0; i < 100; i++) {
        int seen = -1;
        CHECK_OK(fesetround(FE_DOWNWARD));
        join(spawn_state(HD_STATE_NONE, HD_STATE_DEFAULT, see_rounding, &seen));
        CHECK_EQ(fegetround(), FE_DOWNWARD);
        CHECK(seen == FE_DOWNWARD || seen == FE_TONEAREST);
        down += seen == FE_DOWNWARD;
        CHECK_OK(fesetround(FE_TONEAREST));
    }
#ifndef HD_HOSTILE /* where the scheduler is before each of them */
    CHECK_GT(down, 0);
#endif
    return 0;
}

static void *change_and_yield(void *arg) {
    CHECK_OK(fesetround(FE_UPWARD));
    hd_yield();
    return arg;
}

static void *change_and_end(void *arg) {
    CHECK_OK(fesetround(FE_UPWARD));
    return arg;
}

static int change(void *arg) {
    hd_thread *beside = spawn(only_yield, NULL);
    join(spawn_state(HD_STATE_NONE, HD_STATE_DEFAULT, *(hd_fn *)arg, NULL));
    CHECK_EQ(fegetround(), FE_TONEAREST); /* this thread's is saved */
    join(beside);
    return 0;
}

static void run_change(void *fn) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1), change, fn));
}

TEST(a_change_without_control_is_noticed_in_debug_builds) {
    skip_without_fp_control();
    hd_fn changes[] = {change_and_yield, change_and_end};
    for (int i = 0; i < 2; i++) {
#ifdef HD_DEBUG
        check_fatal("changed floating-point control", run_change, &changes[i]);
#else
        run_change(&changes[i]);
#endif
    }
}

/* ---- registers ---- */

struct keeper {
    uint64_t seed;
    long lost; /* the most registers that were lost at one time */
};

static void yield_only(void *arg) {
    (void)arg;
    hd_yield();
}

static void wait_only(void *arg) {
    (void)arg;
    CHECK_OK(hd_sleep_for(1000));
}

static void *keep_registers(void *arg) {
    struct keeper *k = arg;
    struct test_rng rng = test_rng(k->seed);
    for (unsigned long i = 0; i < test_iterations(2000); i++) {
        void (*leave)(void *) = i % 100 ? yield_only : wait_only;
        long lost = test_regs_hold(leave, NULL, test_rng_next(&rng) >> 1);
        if (lost > k->lost)
            k->lost = lost;
    }
    return NULL;
}

static void *join_and_keep(void *arg) {
    struct keeper *k = arg;
    hd_thread *t = spawn_state(HD_STATE_NONE, HD_STATE_NONE, keep_registers, k + 1);
    keep_registers(k);
    join(t);
    return NULL;
}

static int keep_all(void *arg) {
    struct keeper k[8] = {{.seed = 0}};
    hd_thread *t[4];
    for (unsigned i = 0; i < 8; i++)
        k[i].seed = 20 + i;
    for (int i = 0; i < 4; i++)
        t[i] = spawn_state(i % 2 ? HD_STATE_NONE : HD_STATE_SAVED, HD_STATE_SAVED, join_and_keep,
                           &k[2 * i]);
    for (int i = 0; i < 4; i++)
        join(t[i]);
    for (int i = 0; i < 8; i += 2)
        CHECK_EQ(k[i].lost, 0);
    for (int i = 1; i < 8; i += 2)
        *(long *)arg = k[i].lost > *(long *)arg ? k[i].lost : *(long *)arg;
    return 0;
}

/* With a single worker and no slices each yield leads to another thread. */
TEST_WITHIN(saved_registers_survive_beside_threads_without, 120) {
    long lost = 0;
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .slice_us = HD_SLICE_NONE), keep_all, &lost));
    CHECK_EQ(lost, KEPT_VECTORS); /* and the others pay for nothing */
    lost = 0;
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), keep_all, &lost));
    CHECK_LE(lost, KEPT_VECTORS);
}

/* The caller of hd_run() has its registers back, too. */
static int spawn_some(void *arg) {
    for (int i = 0; i < 10; i++)
        join(spawn_state(HD_STATE_NONE, HD_STATE_NONE, only_yield, arg));
    return 0;
}

static void run_some(void *arg) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), spawn_some, arg));
}

TEST(the_callers_registers_survive_a_runtime) {
    CHECK_EQ(test_regs_hold(run_some, NULL, 12345), 0);
}
