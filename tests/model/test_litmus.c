/* SPDX-License-Identifier: MIT */
/* The checker itself: classic programs with the exact set of outcomes that C11 permits, and how
 * many executions have them; and failures that it must see. */
#include "base/atomic.h"
#include "model.h"
#include "test.h"

#include <stdlib.h>

static _Atomic int x, y, z;
static int r[6], data;

#define LOAD(p, o) atomic_load_explicit(p, memory_order_##o)
#define STORE(p, v, o) atomic_store_explicit(p, v, memory_order_##o)
#define FENCE(o) atomic_thread_fence(memory_order_##o)

static void two(void) { model_outcome("%d%d", r[0], r[1]); }

#define LITMUS(name_, after_, count, expected, ...)                              \
    TEST(name_) {                                                                \
        static const struct model m = {.name = #name_, .after = after_, .threads = {__VA_ARGS__}}; \
        struct model_result result = model_explore(&m, true);                    \
        CHECK(!result.failed && result.complete && result.cut == 0);             \
        CHECK_STR_EQ(model_outcomes(), expected);                                   \
        CHECK_EQ(result.executions, count);                                      \
    }

/* Store buffering. */
static void sb0(void) { STORE(&x, 1, release); r[0] = LOAD(&y, acquire); }
static void sb1(void) { STORE(&y, 1, release); r[1] = LOAD(&x, acquire); }
LITMUS(sb_may_miss_both, two, 4, "00 01 10 11", sb0, sb1)
static void sbs0(void) { STORE(&x, 1, seq_cst); r[0] = LOAD(&y, seq_cst); }
static void sbs1(void) { STORE(&y, 1, seq_cst); r[1] = LOAD(&x, seq_cst); }
LITMUS(sb_seq_cst, two, 3, "01 10 11", sbs0, sbs1)
LITMUS(sb_one_seq_cst, two, 4, "00 01 10 11", sbs0, sb1)
static void sbf0(void) { STORE(&x, 1, relaxed); FENCE(seq_cst); r[0] = LOAD(&y, relaxed); }
static void sbf1(void) { STORE(&y, 1, relaxed); FENCE(seq_cst); r[1] = LOAD(&x, relaxed); }
LITMUS(sb_fences, two, 3, "01 10 11", sbf0, sbf1)
LITMUS(sb_one_fence, two, 4, "00 01 10 11", sbf0, sb1)
LITMUS(sb_fence_and_seq_cst, two, 3, "01 10 11", sbf0, sbs1)
static void sba0(void) { STORE(&x, 1, relaxed); FENCE(acq_rel); r[0] = LOAD(&y, relaxed); }
LITMUS(sb_acq_rel_fence, two, 4, "00 01 10 11", sba0, sbf1)
static void sbx0(void) { atomic_exchange(&x, 1); r[0] = LOAD(&y, relaxed); }
static void sbx1(void) { atomic_exchange(&y, 1); r[1] = LOAD(&x, relaxed); }
LITMUS(sb_exchange_is_no_fence, two, 4, "00 01 10 11", sbx0, sbx1)
/* Two additions of nothing to one word are ordered, and what is before the first is seen. */
static void sbz0(void) {
    STORE(&x, 1, relaxed);
    atomic_fetch_add_explicit(&z, 0, memory_order_acq_rel);
    r[0] = LOAD(&y, relaxed);
}
static void sbz1(void) {
    STORE(&y, 1, relaxed);
    atomic_fetch_add_explicit(&z, 0, memory_order_acq_rel);
    r[1] = LOAD(&x, relaxed);
}
LITMUS(sb_through_one_word, two, 4, "01 10 11", sbz0, sbz1)

/* Message passing. */
static void mp0(void) { STORE(&x, 1, relaxed); STORE(&y, 1, release); }
static void mp0r(void) { STORE(&x, 1, relaxed); STORE(&y, 1, relaxed); }
static void mp0f(void) { STORE(&x, 1, relaxed); FENCE(release); STORE(&y, 1, relaxed); }
static void mp1(void) { r[0] = LOAD(&y, acquire); r[1] = LOAD(&x, relaxed); }
static void mp1r(void) { r[0] = LOAD(&y, relaxed); r[1] = LOAD(&x, relaxed); }
static void mp1f(void) { r[0] = LOAD(&y, relaxed); FENCE(acquire); r[1] = LOAD(&x, relaxed); }
LITMUS(mp_release_acquire, two, 3, "00 01 11", mp0, mp1)
LITMUS(mp_relaxed_writer, two, 4, "00 01 10 11", mp0r, mp1)
LITMUS(mp_relaxed_reader, two, 4, "00 01 10 11", mp0, mp1r)
LITMUS(mp_fences, two, 3, "00 01 11", mp0f, mp1f)
LITMUS(mp_release_and_fence, two, 3, "00 01 11", mp0, mp1f)
LITMUS(mp_fence_and_acquire, two, 3, "00 01 11", mp0f, mp1)
/* Through a read-modify-write of a third, which continues the release sequence. */
static void add(void) { r[2] = atomic_fetch_add_explicit(&y, 1, memory_order_relaxed); }
static void mp_three(void) { model_outcome("%d%d%d", r[0], r[1], r[2]); }
LITMUS(mp_release_sequence, mp_three, 9, "000 001 010 011 100 110 111 211", mp0, mp1, add)
static void over(void) { STORE(&y, 2, relaxed); }
LITMUS(mp_overwritten, two, 10, "00 01 11 20 21", mp0, mp1, over)

/* Load buffering: not explored with both, see model.h. */
static void lb0(void) { r[0] = LOAD(&x, relaxed); STORE(&y, 1, relaxed); }
static void lb1(void) { r[1] = LOAD(&y, relaxed); STORE(&x, 1, relaxed); }
LITMUS(lb_not_both, two, 3, "00 01 10", lb0, lb1)

/* Independent reads of independent writes. */
static void wx(void) { STORE(&x, 1, release); }
static void wy(void) { STORE(&y, 1, release); }
static void ir0(void) { r[0] = LOAD(&x, acquire); r[1] = LOAD(&y, acquire); }
static void ir1(void) { r[2] = LOAD(&y, acquire); r[3] = LOAD(&x, acquire); }
static void four(void) { model_outcome("%d%d%d%d", r[0], r[1], r[2], r[3]); }
#define ALL_BUT_1010 "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1011 1100 1101 1110 1111"
LITMUS(iriw_acquire, four, 16,
       "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1010 1011 1100 1101 1110 1111",
       wx, wy, ir0, ir1)
static void wxs(void) { STORE(&x, 1, seq_cst); }
static void wys(void) { STORE(&y, 1, seq_cst); }
static void irs0(void) { r[0] = LOAD(&x, seq_cst); r[1] = LOAD(&y, seq_cst); }
static void irs1(void) { r[2] = LOAD(&y, seq_cst); r[3] = LOAD(&x, seq_cst); }
LITMUS(iriw_seq_cst, four, 15, ALL_BUT_1010, wxs, wys, irs0, irs1)
static void irf0(void) { r[0] = LOAD(&x, relaxed); FENCE(seq_cst); r[1] = LOAD(&y, relaxed); }
static void irf1(void) { r[2] = LOAD(&y, relaxed); FENCE(seq_cst); r[3] = LOAD(&x, relaxed); }
LITMUS(iriw_fences, four, 15, ALL_BUT_1010, wx, wy, irf0, irf1)

/* Two writes each. */
static void w0(void) { STORE(&x, 1, release); STORE(&y, 2, release); }
static void w1(void) { STORE(&y, 1, release); STORE(&x, 2, release); }
static void last(void) { model_outcome("%d%d", LOAD(&x, relaxed), LOAD(&y, relaxed)); }
LITMUS(two_writes_each, last, 4, "11 12 21 22", w0, w1)
static void ws0(void) { STORE(&x, 1, seq_cst); STORE(&y, 2, seq_cst); }
static void ws1(void) { STORE(&y, 1, seq_cst); STORE(&x, 2, seq_cst); }
LITMUS(two_writes_each_seq_cst, last, 3, "12 21 22", ws0, ws1)

/* Coherence of one location. */
static void c0(void) { STORE(&x, 1, relaxed); }
static void c1(void) { STORE(&x, 2, relaxed); }
static void corr0(void) { r[0] = LOAD(&x, relaxed); r[1] = LOAD(&x, relaxed); }
LITMUS(corr_never_back, two, 3, "00 01 11", c0, corr0)
static void corr1(void) { r[2] = LOAD(&x, relaxed); r[3] = LOAD(&x, relaxed); }
static void agree(void) {
    MODEL_ASSERT(!(r[0] == 1 && r[1] == 2 && r[2] == 2 && r[3] == 1));
    MODEL_ASSERT(!(r[0] == 2 && r[1] == 1 && r[2] == 1 && r[3] == 2));
}
LITMUS(corr_all_agree, agree, 72, "", c0, c1, corr0, corr1)
static void cowr(void) { STORE(&x, 1, relaxed); r[0] = LOAD(&x, relaxed); }
LITMUS(cowr, two, 3, "10 20", cowr, c1)

/* Read-modify-writes are one step. */
static void inc(void) { atomic_fetch_add_explicit(&x, 1, memory_order_relaxed); }
static void is_three(void) { model_outcome("%d", LOAD(&x, relaxed)); }
LITMUS(additions_count, is_three, 6, "3", inc, inc, inc)
static void cas(void) {
    int old = LOAD(&x, relaxed);
    while (!atomic_compare_exchange_weak_explicit(&x, &old, old + 1, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}
/* 3! orders; whoever comes k-th may have seen any of the k values before in vain: 2^k. */
LITMUS(cas_loops_count, is_three, 6 * 1 * 2 * 4, "3", cas, cas, cas)

/* ---- Failures ---- */

#define FAILS(name_, what, setup_, ...)                                                   \
    TEST(name_) {                                                                         \
        static const struct model m = {.name = #name_, .setup = setup_, .threads = {__VA_ARGS__}}; \
        model_must_fail(&m, what);                                                        \
    }

static void race0(void) { data = 1; STORE(&x, 1, relaxed); }
static void race1(void) { if (LOAD(&x, acquire)) r[0] = data; }
FAILS(race_is_seen, "data race", NULL, race0, race1)
static void ok0(void) { data = 1; STORE(&x, 1, release); }
TEST(no_race_is_seen) {
    static const struct model m = {.name = "no_race_is_seen", .threads = {ok0, race1}};
    model_must_hold(&m);
}

static int *shared;
static void alloc(void) { shared = model_alloc(sizeof *shared); }
static void freer(void) { model_free(shared); STORE(&x, 1, release); }
static void user(void) { if (LOAD(&x, acquire)) *shared = 1; }
FAILS(use_after_free_is_seen, "use after free", alloc, freer, user)
static void user2(void) { if (!LOAD(&x, acquire)) *shared = 1; }
FAILS(unordered_free_is_seen, "use after free", alloc, freer, user2)

static void wait_x(void) { while (!LOAD(&x, acquire)) model_spin(); }
static void wait_y(void) { while (!LOAD(&y, acquire)) model_spin(); STORE(&x, 1, release); }
FAILS(deadlock_is_seen, "stuck", NULL, wait_x, wait_y)
static void give_y(void) { STORE(&y, 1, release); }
TEST(waits_end) {
    static const struct model m = {.name = "waits_end", .threads = {wait_x, wait_y, give_y}};
    struct model_result result = model_explore(&m, true);
    CHECK(!result.failed && result.complete);
    CHECK_EQ(result.executions, 1);
}

static _Atomic uint32_t word;
static void sleeper(void) {
    while (LOAD(&word, acquire) == 0) (void)model_futex_wait(&word, 0);
    MODEL_ASSERT(data == 1);
}
static void waker(void) { data = 1; STORE(&word, 1, release); model_futex_wake(&word); }
static void forgets(void) { data = 1; STORE(&word, 1, release); }
static void too_early(void) { data = 1; model_futex_wake(&word); STORE(&word, 1, release); }
TEST(futex_wakes) {
    static const struct model m = {.name = "futex_wakes", .threads = {sleeper, waker}};
    model_must_hold(&m);
}
FAILS(futex_without_wake, "stuck", NULL, sleeper, forgets)
FAILS(futex_woken_too_early, "stuck", NULL, sleeper, too_early)

static void never_ends(void) { while (!LOAD(&x, relaxed)) {} }
TEST(steps_are_bounded) {
    static const struct model m = {.name = "steps", .threads = {never_ends, c0}, .steps_max = 10};
    struct model_result result = model_explore(&m, true);
    CHECK(!result.failed);
    CHECK_EQ(result.cut, 1);
    CHECK_EQ(result.executions, 10);
}

static void crash(void) { if (LOAD(&x, relaxed)) *(volatile int *)(uintptr_t)8 = 1; }
FAILS(fault_is_seen, "fault", NULL, c0, crash)

/* Barriers on others: with one, store buffering needs no fence on the other side. */
static void asym0(void) { STORE(&x, 1, relaxed); model_membarrier(1); r[0] = LOAD(&y, relaxed); }
static void asym1(void) {
    model_take_barriers();
    STORE(&y, 1, relaxed);
    r[1] = LOAD(&x, relaxed);
}
static void not_00(void) { two(); MODEL_ASSERT(r[0] || r[1]); }
TEST(membarrier_orders) {
    static const struct model m = {.name = "membarrier", .threads = {asym0, asym1},
                                   .after = not_00};
    model_must_hold(&m);
    CHECK_STR_EQ(model_outcomes(), "01 10 11");
}

/* A signal between any two operations. */
static void on_signal(void) { r[1] = LOAD(&x, relaxed) * 10 + LOAD(&y, relaxed); }
static void interrupted(void) {
    r[1] = -1;
    model_on_interrupt(on_signal);
    STORE(&x, 1, relaxed);
    STORE(&y, 1, relaxed);
}
LITMUS(interrupts_come_anywhere, two, 6, "0-1 00 010 011", interrupted)

static __thread int mine;
static void set_mine(void) { mine++; r[0] += mine; }
static void see_mine(void) { MODEL_ASSERT(mine == 0); STORE(&x, 1, relaxed); mine = 5; }
TEST(thread_locals_are_their_own) {
#ifndef __x86_64__
    SKIP("thread-local variables are switched on x86-64 only");
#endif
    static const struct model m = {.name = "thread-local", .threads = {set_mine, see_mine}};
    model_must_hold(&m);
}

/* ---- Mutants, and replaying ---- */

static void reader(void) { if (LOAD(&x, acquire)) MODEL_ASSERT(data == 1); }
TEST(mutants_are_found) {
    static const struct model m = {.name = "mutants_are_found", .threads = {ok0, reader}};
    static const struct model *const programs[] = {&m, NULL};
    model_mutants_must_fail(programs, "tests/*", NULL);
}

TEST(replay_repeats_a_failure) {
    static const struct model m = {.name = "replay", .threads = {sleeper, too_early}};
    struct model_result found = model_explore(&m, false);
    CHECK(found.failed && found.replay != NULL);
    CHECK_EQ(setenv("HEDDLE_MODEL_REPLAY", found.replay, 1), 0);
    struct model_result again = model_explore(&m, false);
    CHECK(again.failed);
    CHECK_EQ(again.executions + again.blocked + again.inconsistent, 0);
    CHECK_STR_EQ(again.replay, found.replay);
    CHECK_STR_EQ(again.message, found.message);
}
