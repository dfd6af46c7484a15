/* SPDX-License-Identifier: MIT */
/* Read sections and whoever waits for them: sched/rcu_mark.h, with the barrier that the waiter
 * imposes on the reader, and with real fences where there is none. */
#include "source.h"
#include "test.h"

#include "sched/rcu_mark.h"

static struct hd__rcu_mark mark; /* the first thread's */
static int old, fresh;
static int *_Atomic current;
static bool with_barrier;

static void setup(void) {
    with_barrier = true;
    old = fresh = 1;
    atomic_init(&current, &old);
    model_name(&mark, sizeof mark, "mark");
    model_name(&current, sizeof current, "current");
    model_name(&old, sizeof old, "old");
}

static void setup_without_barrier(void) {
    setup();
    with_barrier = false;
}

static void setup_special(void) {
    setup_without_barrier();
    atomic_init(&mark.word, HD__RCU_SPECIAL);
}

/* ---- The reader ---- */

static void enter(void) {
    /* As hd__rcu_lock(). */
    if (hd__rcu_mark_enter(&mark) & HD__RCU_SPECIAL) atomic_thread_fence(memory_order_seq_cst);
}

static void leave(void) {
    (void)hd__rcu_mark_leave(&mark);
}

static void use(void) {
    const int *p = atomic_load_explicit(&current, memory_order_acquire);
    MODEL_ASSERT(*p == 1);
}

static void reads(void) {
    if (with_barrier) model_take_barriers();
    enter();
    use();
    leave();
}

static void reads_nested(void) {
    if (with_barrier) model_take_barriers();
    enter();
    enter();
    use();
    leave();
    use();
    leave();
}

static void reads_twice(void) {
    reads();
    enter();
    use();
    leave();
}

/* ---- The waiter ---- */

static void replace(void) {
    fresh = 1;
    atomic_store_explicit(&current, &fresh, memory_order_release);
    if (with_barrier)
        model_membarrier(0);
    else
        atomic_thread_fence(memory_order_seq_cst);
}

static void frees(void) {
    replace();
    if (!hd__rcu_mark_passed(&mark)) {
        /* It asks, which must not disturb the count, and looks until it has passed. */
        (void)hd__rcu_mark_ask(&mark);
        while (!hd__rcu_mark_passed(&mark)) model_spin();
    }
    old = 0;
}

static void frees_at_once(void) {
    replace();
    old = 0;
}

static void frees_without_a_barrier(void) {
    atomic_store_explicit(&current, &fresh, memory_order_release);
    while (!hd__rcu_mark_passed(&mark)) model_spin();
    old = 0;
}

static void nobody_reads(void) {
    MODEL_ASSERT((atomic_load(&mark.word) & HD__RCU_DEPTH) == 0);
    MODEL_ASSERT(old == 0);
}

static const struct model section = {
    .name = "rcu", .setup = setup, .threads = {reads, frees}, .after = nobody_reads};
static const struct model nested = {
    .name = "rcu-nested", .setup = setup, .threads = {reads_nested, frees}, .after = nobody_reads};
static const struct model twice = {
    .name = "rcu-twice", .setup = setup, .threads = {reads_twice, frees}, .after = nobody_reads};
static const struct model special = {.name = "rcu-special",
                                     .setup = setup_special,
                                     .threads = {reads, frees},
                                     .after = nobody_reads};
static const struct model special_twice = {.name = "rcu-special-twice",
                                           .setup = setup_special,
                                           .threads = {reads_twice, frees},
                                           .after = nobody_reads};

TEST(rcu_what_a_section_reads_stays) { model_must_hold(&section); }
TEST(rcu_nested_sections_end_with_the_outermost) { model_must_hold(&nested); }
TEST(rcu_two_sections_in_a_row) { model_must_hold(&twice); }
TEST(rcu_readers_with_fences) { model_must_hold(&special); }
TEST(rcu_two_sections_with_fences) { model_must_hold(&special_twice); }

TEST(rcu_mutants) {
    static const struct model *const programs[] = {&section, &twice, &special, NULL};
    static const struct model_spared spared[] = {{NULL, NULL}};
    model_mutants_must_fail(programs, "src/sched/rcu*", spared);
}

TEST(rcu_must_wait) {
    static const struct model m = {
        .name = "rcu-at-once", .setup = setup, .threads = {reads, frees_at_once}};
    model_must_fail(&m, "data race");
}

TEST(rcu_readers_without_fences_need_the_barrier) {
    static const struct model m = {.name = "rcu-no-barrier",
                                   .setup = setup_without_barrier,
                                   .threads = {reads, frees_without_a_barrier}};
    model_must_fail(&m, "data race");
}

TEST(rcu_fences_of_one_side_are_not_enough) {
    static const struct model m = {.name = "rcu-one-side",
                                   .setup = setup_without_barrier,
                                   .threads = {reads, frees}};
    model_must_fail(&m, "data race");
}
