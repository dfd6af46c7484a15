/* SPDX-License-Identifier: MIT */
/* Scheduling policies: the order in which threads run, and what changes it. One worker, so that the
 * order is one; the first thread has the highest priority, so that it goes on while it spawns. */
#include "preempt_test.h"

#include <stdio.h>

/* ---- the table ---- */

static uint64_t by_value(const struct hd_policy_thread *t, int why) {
    (void)why;
    return t->value;
}

TEST(the_table) {
    static const char *const names[] = {"steal", "rr", "priority"};
    for (unsigned i = 0; i < 3; i++) {
        CHECK(hd_policy_get(i) != NULL);
        CHECK_STR_EQ(hd_policy_get(i)->name, names[i]);
        CHECK(hd_policy_get(i)->summary != NULL);
    }
    CHECK_EQ(hd_policy_get(3), NULL);
    CHECK_OK(hd_policy_register(HD_POLICY(.name = "mine", .rank = by_value)));
    CHECK_STR_EQ(hd_policy_get(3)->name, "mine");
    CHECK_EQ(hd_policy_get(4), NULL);
    CHECK_EQ(hd_policy_name(), NULL);
}

TEST(policies_that_cannot_be) {
    char name[HD_NAME_MAX + 2];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    CHECK_ERR(hd_policy_register(HD_POLICY()), -EINVAL);
    CHECK_ERR(hd_policy_register(HD_POLICY(.name = "")), -EINVAL);
    CHECK_ERR(hd_policy_register(HD_POLICY(.name = name)), -EINVAL);
    CHECK_ERR(hd_policy_register(HD_POLICY(.name = "a", .order = 2)), -EINVAL);
    CHECK_ERR(hd_policy_register(HD_POLICY(.name = "a", .order = -1)), -EINVAL);
    CHECK_ERR(hd_policy_register(HD_POLICY(.name = "a", .slice_us = 99)), -EINVAL);
    CHECK_ERR(hd_policy_register(HD_POLICY(.name = "a", .slice_us = 1000001)), -EINVAL);
    CHECK_ERR(hd_policy_register(HD_POLICY(.name = "a", .order = HD_ORDER_LOCAL, .rank = by_value)),
              -EINVAL);
    CHECK_ERR(hd_policy_register(&(struct hd_policy){.size = 8, .name = "a"}), -EINVAL);
    CHECK_ERR(hd_policy_register(HD_POLICY(.name = "rr")), -EEXIST);
    name[sizeof name - 2] = '\0';
    CHECK_OK(hd_policy_register(HD_POLICY(.name = name, .slice_us = HD_SLICE_NONE)));
    static char many[40][8];
    int err = 0;
    unsigned n;
    for (n = 0; n < 40 && err == 0; n++) {
        snprintf(many[n], sizeof many[n], "p%u", n);
        err = hd_policy_register(HD_POLICY(.name = many[n]));
    }
    CHECK_ERR(err, -ENOSPC);
    CHECK_EQ(n, 32 - 4 + 1);
}

static int main_of_names(void *arg) {
    CHECK_STR_EQ(hd_policy_name(), arg);
    return 0;
}

TEST(chosen_by_name) {
    CHECK_OK(hd_policy_register(HD_POLICY(.name = "mine", .order = HD_ORDER_LOCAL)));
    CHECK_OK(hd_run(NULL, main_of_names, "steal"));
    CHECK_OK(hd_run(HD_CONFIG(.policy = "rr"), main_of_names, "rr"));
    CHECK_OK(hd_run(HD_CONFIG(.policy = "priority"), main_of_names, "priority"));
    CHECK_OK(hd_run(HD_CONFIG(.policy = "mine"), main_of_names, "mine"));
    CHECK_ERR(hd_run(HD_CONFIG(.policy = "fifo"), main_of_names, NULL), -EINVAL);
    setenv("HEDDLE_POLICY", "rr", 1);
    CHECK_OK(hd_run(NULL, main_of_names, "rr"));
    CHECK_OK(hd_run(HD_CONFIG(.policy = "priority"), main_of_names, "priority"));
    setenv("HEDDLE_POLICY", "fifo", 1);
    CHECK_ERR(hd_run(NULL, main_of_names, NULL), -EINVAL);
    CHECK_OK(hd_run(HD_CONFIG(.policy = "rr"), main_of_names, "rr"));
}

static int main_of_slices(void *arg) {
    CHECK_EQ(hd_slice_get(), *(uint64_t *)arg);
    return 0;
}

TEST(a_policys_time_slice) {
    uint64_t expected = 700;
    CHECK_OK(hd_policy_register(HD_POLICY(.name = "brief", .slice_us = 700)));
    CHECK_OK(hd_run(HD_CONFIG(.policy = "brief"), main_of_slices, &expected));
    expected = 300;
    CHECK_OK(hd_run(HD_CONFIG(.policy = "brief", .slice_us = 300), main_of_slices, &expected));
    setenv("HEDDLE_SLICE_US", "400", 1);
    expected = 400;
    CHECK_OK(hd_run(HD_CONFIG(.policy = "brief"), main_of_slices, &expected));
}

/* ---- the order ---- */

enum { N = 60 };

static struct {
    unsigned next;
    uint64_t which[8 * N];
} journal;

static void *note(void *arg) {
    journal.which[journal.next++] = (uintptr_t)arg;
    return NULL;
}

static hd_thread *spawn_as(hd_fn fn, uintptr_t arg, int priority, uint64_t value) {
    hd_thread *t;
    CHECK_OK(hd_spawn(&t, HD_ATTR(.priority = priority, .value = value), fn, (void *)arg));
    return t;
}

/* A test on one worker under a policy, without time slices. */
#define ORDER_TEST(called, policy_name)                                                          \
    static int main_of_##called(void *arg);                                                      \
    TEST_WITHIN(called, 60) {                                                                    \
        CHECK_OK(hd_policy_register(HD_POLICY(.name = "by value", .rank = by_value)));         \
        journal.next = 0;                                                                      \
        CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .policy = policy_name,                         \
                                  .slice_us = HD_SLICE_NONE), main_of_##called, NULL));          \
    }                                                                                          \
    static int main_of_##called(void *arg __attribute__((unused)))

ORDER_TEST(first_come_first_served, "rr") {
    hd_thread *t[N];
    for (uintptr_t i = 0; i < N; i++)
        t[i] = spawn_as(note, i, 1 + (int)i % 20, N - i);
    for (unsigned i = 0; i < N; i++)
        join(t[i]);
    for (unsigned i = 0; i < N; i++)
        CHECK_EQ(journal.which[i], i);
    return 0;
}

static void *note_and_yield(void *arg) {
    for (int i = 0; i < 4; i++) {
        note(arg);
        hd_yield();
    }
    return NULL;
}

ORDER_TEST(turns_are_taken, "rr") {
    hd_thread *t[N];
    for (uintptr_t i = 0; i < N; i++)
        t[i] = spawn_as(note_and_yield, i, 0, 0);
    for (unsigned i = 0; i < N; i++)
        join(t[i]);
    CHECK_EQ(journal.next, 4 * N);
#ifndef HD_HOSTILE /* which has the first thread yield while it spawns */
    for (unsigned i = 0; i < 4 * N; i++)
        CHECK_EQ(journal.which[i], i % N);
#endif
    return 0;
}

/* Who yields goes on before those of lower priority. */
ORDER_TEST(strict_priorities, "priority") {
    struct test_rng rng = test_rng(1);
    hd_thread *t[N];
    CHECK_OK(hd_thread_set_priority(hd_self(), 20));
    for (uintptr_t i = 0; i < N; i++) {
        int priority = 1 + (int)test_rng_below(&rng, 20);
        t[i] = spawn_as(note_and_yield, (uintptr_t)(20 - priority) * N + i, priority, 0);
        CHECK_EQ(hd_thread_priority(t[i]), priority);
    }
    for (unsigned i = 0; i < N; i++)
        join(t[i]);
    CHECK_EQ(journal.next, 4 * N);
    for (unsigned i = 1; i < journal.next; i++)
        CHECK_LE(journal.which[i - 1] / N, journal.which[i] / N);
    return 0;
}

ORDER_TEST(a_rank_of_ones_own, "by value") {
    struct test_rng rng = test_rng(2);
    hd_thread *t[N];
    for (unsigned i = 0; i < N; i++) {
        uint64_t value = test_rng_below(&rng, N);
        t[i] = spawn_as(note, value * N + i, 0, value + 1);
        CHECK_EQ(hd_thread_value(t[i]), value + 1);
    }
    for (unsigned i = 0; i < N; i++)
        join(t[i]);
    for (unsigned i = 1; i < N; i++) /* and those of one value as they came */
        CHECK_LT(journal.which[i - 1], journal.which[i]);
    return 0;
}

/* ---- changes while they run ---- */

/* Every queued thread gets another place than it had. */
ORDER_TEST(queued_threads_are_moved, "priority") {
    hd_thread *t[19];
    CHECK_OK(hd_thread_set_priority(hd_self(), 20));
    for (uintptr_t i = 0; i < 19; i++)
        t[i] = spawn_as(note, i, 1 + (int)i, 0);
    for (int i = 0; i < 19; i++)
        CHECK_OK(hd_thread_set_priority(t[i], 19 - i));
    for (unsigned i = 0; i < 19; i++)
        join(t[i]);
    for (unsigned i = 0; i < 19; i++)
        CHECK_EQ(journal.which[i], i);
    CHECK_ERR(hd_thread_set_priority(hd_self(), 0), -EINVAL);
    CHECK_ERR(hd_thread_set_priority(hd_self(), 21), -EINVAL);
    CHECK_EQ(hd_thread_priority(hd_self()), 20);
    return 0;
}

/* Who is queued keeps its place through changes that change nothing. */
ORDER_TEST(changes_without_effect, "rr") {
    hd_thread *t[20];
    for (uintptr_t i = 0; i < 20; i++)
        t[i] = spawn_as(note, i, 0, 0);
    for (int i = 0; i < 20; i += 3) {
        hd_thread_set_value(t[i], 7);
        CHECK_OK(hd_thread_set_priority(t[i], 3));
    }
    for (unsigned i = 0; i < 20; i++)
        join(t[i]);
    for (unsigned i = 0; i < 20; i++)
        CHECK_EQ(journal.which[i], i);
    return 0;
}

/* With ageing, the time that a thread has waited stays with it. */
static int age_while_changed(void *arg) {
    hd_thread *early = spawn_as(note, 0, 9, 0), *late;
    (void)arg;
    for (int i = 0; i < 50; i++) {
        usleep(1000); /* not a wait of ours: nobody else runs */
        hd_thread_set_value(early, (uint64_t)i);
        CHECK_OK(hd_thread_set_priority(early, 8 + i % 2));
    }
    late = spawn_as(note, 1, 10, 0); /* a level or two more, and 50 ms later */
    join(late);
    join(early);
    CHECK_EQ(journal.which[0], 0);
    return 0;
}

TEST(changes_do_not_make_young) {
    journal.next = 0;
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .policy = "priority", .ageing_us = 1000,
                              .slice_us = HD_SLICE_NONE, .preempt = HD_PREEMPT_OFF),
                    age_while_changed, NULL));
}

static bool always(const struct hd_policy_thread *woken, const struct hd_policy_thread *running) {
    return woken->id != running->id;
}

ORDER_TEST(values_are_changed, "by value") {
    hd_thread *t[20];
    for (uintptr_t i = 0; i < 20; i++)
        t[i] = spawn_as(note, i, 0, 1 + i);
    for (unsigned i = 0; i < 20; i++)
        hd_thread_set_value(t[i], 100 - i);
    for (unsigned i = 0; i < 20; i++)
        join(t[i]);
    for (unsigned i = 0; i < 20; i++)
        CHECK_EQ(journal.which[i], 19 - i);
    /* A new thread does not inherit what another had in the same descriptor. */
    hd_thread *fresh = spawn(note, NULL);
    CHECK_EQ(hd_thread_value(fresh), 0);
    CHECK_EQ(hd_thread_slice(fresh), 0);
    join(fresh);
    return 0;
}

/* ---- interruptions: none of these ends if nobody is interrupted ---- */

static counter urgent_ran;

static void *run_urgently(void *arg) {
    count_up(&urgent_ran);
    return arg;
}

static void *wait_urgently(void *arg) {
    hd_sem_wait(arg);
    count_up(&urgent_ran);
    return NULL;
}

static void *post_from_outside(void *arg) {
    usleep(20000);
    hd_sem_post(arg);
    return NULL;
}

/* t, which waits so, is woken while this thread spins. */
static void interrupt_by(hd_thread *t, hd_sem *sem) {
    let_wait();
    pthread_t p = foreign(post_from_outside, sem);
    spin_until(&urgent_ran, 1);
    foreign_join(p);
    join(t);
}

/* Without time slices only a higher priority interrupts. */
ORDER_TEST(a_higher_priority_interrupts, "priority") {
    hd_sem sem = HD_SEM_INIT(0);
    interrupt_by(spawn_as(wait_urgently, (uintptr_t)&sem, 11, 0), &sem);
    return 0;
}

ORDER_TEST(a_smaller_rank_interrupts, "by value") {
    hd_sem sem = HD_SEM_INIT(0);
    hd_thread_set_value(hd_self(), 5);
    interrupt_by(spawn_as(wait_urgently, (uintptr_t)&sem, 0, 4), &sem);
    return 0;
}

/* In the order in which they come, but at once. */
static int wake_in_a_queue(void *arg) {
    hd_sem sem = HD_SEM_INIT(0);
    (void)arg;
    interrupt_by(spawn(wait_urgently, &sem), &sem);
    return 0;
}

TEST(interruptions_without_ranks) {
    CHECK_OK(hd_policy_register(HD_POLICY(.name = "eager", .preempts = always)));
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .policy = "eager", .slice_us = HD_SLICE_NONE),
                    wake_in_a_queue, NULL));
}

/* By what the running thread does itself: it spawns, posts, raises or steps back. */
ORDER_TEST(the_running_thread_gives_way, "priority") {
    hd_sem sem = HD_SEM_INIT(0);
    uint64_t n = 0;
    for (int i = 0; i < 5; i++) {
        hd_thread *t = spawn_as(run_urgently, 0, 15, 0);
        spin_until(&urgent_ran, ++n);
        join(t);
        t = spawn_as(wait_urgently, (uintptr_t)&sem, 15, 0);
        let_wait();
        hd_sem_post(&sem);
        spin_until(&urgent_ran, ++n);
        join(t);
        t = spawn_as(run_urgently, 0, 5, 0);
        CHECK_OK(hd_thread_set_priority(t, 11));
        spin_until(&urgent_ran, ++n);
        join(t);
        t = spawn_as(run_urgently, 0, 5, 0);
        CHECK_OK(hd_thread_set_priority(hd_self(), 4));
        spin_until(&urgent_ran, ++n);
        CHECK_OK(hd_thread_set_priority(hd_self(), 10));
        join(t);
    }
    return 0;
}

static _Atomic bool low_ran;

static void *note_low(void *arg) {
    atomic_store(&low_ran, true);
    return arg;
}

/* Slices end, and it goes on all the same: whoever waits is less urgent. */
static int spin_above(void *arg) {
    struct clockwork c = {.stop = false};
    (void)arg;
    clockwork_start(&c);
    hd_thread *t = spawn_as(note_low, 0, 9, 0);
    for (int i = 0; i < 3; i++)
        clockwork_spin(&c, 0);
    CHECK(!atomic_load(&low_ran));
    CHECK_EQ(metrics().preempt_signals, 0);
    clockwork_stop(&c);
    join(t);
    CHECK(atomic_load(&low_ran));
    return 0;
}

TEST_WITHIN(slices_do_not_help_a_lower_priority, 60) {
    CHECK_OK(hd_run(QUICK(.workers = 1, .policy = "priority"), spin_above, NULL));
}

/* With ageing its turn comes. */
static int spin_until_aged(void *arg) {
    (void)arg;
    hd_thread *t = spawn_as(note_low, 0, 1, 0);
    while (!atomic_load(&low_ran)) {
    }
    join(t);
    return 0;
}

TEST_WITHIN(ageing_helps_a_lower_priority, 60) {
    CHECK_OK(hd_run(QUICK(.workers = 1, .policy = "priority", .ageing_us = 1000), spin_until_aged,
                    NULL));
    CHECK_OK(hd_run(QUICK(.workers = 2, .policy = "priority", .ageing_us = 100), spin_until_aged,
                    NULL));
}

/* ---- time slices of threads ---- */

static int own_slice(void *arg) {
    (void)arg;
    CHECK_EQ(hd_thread_slice(hd_self()), 0);
    CHECK_ERR(hd_thread_set_slice(hd_self(), 99), -EINVAL);
    CHECK_ERR(hd_thread_set_slice(hd_self(), 1000001), -EINVAL);
    /* The runtime has none: it takes one of our own to be preempted. */
    hd_thread *t = spawn(run_urgently, NULL);
    CHECK_OK(hd_thread_set_slice(hd_self(), 200));
    CHECK_EQ(hd_thread_slice(hd_self()), 200);
    spin_until(&urgent_ran, 1);
    join(t);
    CHECK_OK(hd_thread_set_slice(hd_self(), 0));
    return 0;
}

TEST_WITHIN(a_slice_of_its_own, 60) {
    static const char *const policies[] = {"steal", "rr", "priority"};
    for (unsigned i = 0; i < 3; i++) {
        atomic_store(&urgent_ran, 0);
        CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .policy = policies[i], .slice_us = HD_SLICE_NONE),
                        own_slice, NULL));
    }
}

/* ---- what else there is under ranks ---- */

static void *watch_the_ticker(void *arg) {
    struct ticker *ticker = arg;
    for (int i = 0; i < 5; i++)
        spin_until(&ticker->turns, count_of(&ticker->turns) + 1);
    return NULL;
}

static int of_all_kinds(void *arg) {
    struct ticker ticker = {.thread = NULL};
    hd_thread *t[12];
    (void)arg;
    hd_cpuset here = {{0}};
    for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++)
        hd_cpuset_add(&here, cpu);
    ticker_start(&ticker, NULL);
    for (int i = 0; i < 12; i++)
        CHECK_OK(hd_spawn(&t[i], HD_ATTR(.preempt = 1 + i % 2, .cpus = i % 3 ? NULL : &here,
                                         .priority = 9 + i % 3),
                          watch_the_ticker, &ticker));
    for (int i = 0; i < 12; i++)
        join(t[i]);
    ticker_stop(&ticker);
    return 0;
}

/* Threads that are restricted to CPUs, preempted lightly and heavily. */
TEST_WITHIN(threads_of_all_kinds, 60) {
    for (unsigned workers = 1; workers <= 3; workers++) {
        CHECK_OK(hd_run(QUICK(.workers = workers, .policy = "rr"), of_all_kinds, NULL));
        CHECK_OK(hd_run(QUICK(.workers = workers, .policy = "priority", .ageing_us = 200),
                        of_all_kinds, NULL));
    }
}

/* More threads than a queue has room for at first, in the hostile build. */
ORDER_TEST(many_are_queued, "by value") {
    enum { MANY = 3000 };
    static hd_thread *t[MANY];
    struct test_rng rng = test_rng(3);
    for (uintptr_t i = 0; i < MANY; i++)
        t[i] = spawn_as(note_low, 0, 0, 1 + test_rng_below(&rng, MANY));
    for (uintptr_t i = 0; i < MANY; i++)
        hd_thread_set_value(t[i], 1 + test_rng_below(&rng, MANY));
    for (unsigned i = 0; i < MANY; i++)
        join(t[i]);
    return 0;
}
