/* SPDX-License-Identifier: MIT */
/* Counters of the runtime: what they count, what stays zero, how the structure grows. */
#include "preempt_test.h"

TEST(without_a_runtime) {
    struct hd_metrics m = HD_METRICS_INIT;
    CHECK_ERR(hd_metrics_get(&m), -EINVAL);
}

/* Programs of earlier versions know fewer members, those of later ones more. */
static int sizes(void *arg) {
    (void)arg;
    struct hd_metrics m = HD_METRICS_INIT;
    union {
        struct hd_metrics m;
        unsigned char bytes[sizeof(struct hd_metrics) + 64];
    } u;
    m.size = 0;
    CHECK_ERR(hd_metrics_get(&m), -EINVAL);
    for (size_t size = sizeof(size_t); size <= sizeof u; size += sizeof(uint64_t)) {
        memset(&u, 0xa5, sizeof u);
        u.m.size = size;
        CHECK_OK(hd_metrics_get(&u.m));
        CHECK_EQ(u.m.size, size);
        for (size_t i = size; i < sizeof u; i++)
            CHECK_EQ(u.bytes[i], 0xa5);
    }
    return 0;
}

TEST(sizes_of_other_versions) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1), sizes, NULL));
}

static void *get_metrics(void *arg) {
    *(struct hd_metrics *)arg = metrics();
    return NULL;
}

RUNTIME_TEST(at_the_start, 2) {
    struct hd_metrics m = metrics(), n = HD_METRICS_INIT;
    CHECK_EQ(m.preempted_carrier, 0);
    CHECK_EQ(m.preempted_light, 0);
    CHECK_EQ(m.preempted_enable, 0);
    CHECK_EQ(m.preempt_signals, 0);
    CHECK_EQ(m.preempt_lost_ns, 0);
    CHECK_EQ(m.blocking_calls, 0);
    CHECK_EQ(m.blocking_handed_off, 0);
    CHECK_EQ(m.blocked_in_syscall, 0);
    CHECK_EQ(m.blocked_last_nr, -1);
    CHECK_EQ(m.io_submitted, 0);
    CHECK_GE(m.carriers, 2);
    CHECK_EQ(m.carriers_limit, 4096 + 2);
    CHECK(m.io_kind != NULL);
    CHECK(strcmp(m.io_kind, "io_uring") == 0 || strcmp(m.io_kind, "epoll") == 0);
    /* From foreign threads, too. */
    foreign_join(foreign(get_metrics, &n));
    CHECK_EQ(n.carriers_limit, m.carriers_limit);
    return 0;
}

static int limit(void *arg) {
    CHECK_EQ(metrics().carriers_limit, *(uint64_t *)arg);
    return 0;
}

TEST(the_limit_of_carriers) {
    uint64_t expected = 7;
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2, .carriers_max = 7), limit, &expected));
    expected = 4097;
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1), limit, &expected));
}

/* ---- nobody waits, no signal ---- */

static void pause_by_spinning(void) {
    struct clockwork c = {.stop = false};
    clockwork_start(&c);
    for (int i = 0; i < 3; i++)
        clockwork_spin(&c, 0);
    clockwork_stop(&c);
}

PREEMPT_TEST(alone_without_signals, 1) {
    pause_by_spinning();
    CHECK_EQ(metrics().preempt_signals, 0);
    CHECK_EQ(preemptions(), 0);
    return 0;
}

static void *sleep_often(void *arg) {
    for (int i = 0; i < 50; i++)
        CHECK_OK(hd_sleep_for(200000));
    return arg;
}

/* Threads that give the worker away before their slice ends are not signalled either. */
static int well_behaved(void *arg) {
    hd_thread *t[10];
    (void)arg;
    for (int i = 0; i < 10; i++)
        t[i] = spawn(sleep_often, NULL);
    for (int i = 0; i < 10; i++)
        join(t[i]);
    CHECK_EQ(preemptions(), 0);
    return 0;
}

TEST(sleepers_without_preemption) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .slice_us = 1000000), well_behaved, NULL));
}

struct pair {
    counter running, flag;
};

static void *run_beside(void *arg) {
    struct pair *p = arg;
    count_up(&p->running);
    spin_until(&p->flag, 1);
    return NULL;
}

/* A busy thread on each worker, and nobody else. */
PREEMPT_TEST(as_many_threads_as_workers, 2) {
    struct pair p = {.running = 0};
    hd_thread *t = spawn(run_beside, &p);
    spin_until(&p.running, 1);
    struct clockwork c = {.stop = false};
    clockwork_start(&c);
    uint64_t signals, tries = 0;
    do { /* until what was begun when both wanted one worker is over */
        signals = metrics().preempt_signals;
        clockwork_spin(&c, 0);
    } while (metrics().preempt_signals != signals && ++tries < 200);
    for (int i = 0; i < 3; i++)
        clockwork_spin(&c, 0);
    CHECK_EQ(metrics().preempt_signals, signals);
    count_up(&p.flag);
    join(t);
    clockwork_stop(&c);
    return 0;
}

/* ---- a busy program: monotone, and of a piece ---- */

static void check_of_a_piece(const struct hd_metrics *m) {
    CHECK_GE(m->carriers_most, m->carriers);
    CHECK_LE(m->carriers_most, m->carriers_limit);
    CHECK_LE(m->carriers_spare, m->carriers_most);
    CHECK_GE(m->carriers, hd_worker_count());
    CHECK_LE(m->io_cancelled, m->io_submitted);
    CHECK_LE(m->io_helped, m->io_submitted);
}

static void check_not_less(const struct hd_metrics *a, const struct hd_metrics *b) {
    CHECK_GE(b->preempted_carrier, a->preempted_carrier);
    CHECK_GE(b->preempted_light, a->preempted_light);
    CHECK_GE(b->preempted_enable, a->preempted_enable);
    CHECK_GE(b->preempt_deferred, a->preempt_deferred);
    CHECK_GE(b->preempt_no_carrier, a->preempt_no_carrier);
    CHECK_GE(b->preempt_signals, a->preempt_signals);
    CHECK_GE(b->preempt_lost_ns, a->preempt_lost_ns);
    CHECK_GE(b->carriers_most, a->carriers_most);
    CHECK_EQ(b->carriers_limit, a->carriers_limit);
    CHECK_GE(b->blocking_calls, a->blocking_calls);
    CHECK_GE(b->blocking_handed_off, a->blocking_handed_off);
    CHECK_GE(b->blocked_in_syscall, a->blocked_in_syscall);
    CHECK_GE(b->monitor_wakeups, a->monitor_wakeups);
}

static void *nothing(void *arg) {
    return arg;
}

static void *mixed_load(void *arg) {
    struct ticker *ticker = arg;
    for (int i = 0; i < 20; i++) {
        spin_until(&ticker->turns, count_of(&ticker->turns) + 1);
        hd_preempt_disable();
        for (volatile int k = 0; k < 20000; k++) {
        }
        hd_preempt_enable();
        CHECK_OK(hd_blocking(nothing, NULL, NULL));
    }
    return NULL;
}

static int watch_them_grow(void *arg) {
    (void)arg;
    struct ticker ticker = {.thread = NULL};
    hd_thread *t[8];
    struct hd_metrics last = metrics();
    ticker_start(&ticker, NULL);
    for (int i = 0; i < 8; i++)
        t[i] = spawn_kind(1 + i % 2, mixed_load, &ticker);
    for (int i = 0; i < 100; i++) {
        struct hd_metrics m = metrics();
        check_not_less(&last, &m);
        check_of_a_piece(&m);
        last = m;
        hd_yield();
    }
    for (int i = 0; i < 8; i++)
        join(t[i]);
    ticker_stop(&ticker);
    struct hd_metrics m = metrics();
    check_not_less(&last, &m);
    CHECK_EQ(m.blocking_calls, 8 * 20);
    CHECK_LE(m.blocking_handed_off, m.blocking_calls);
    CHECK_GT(m.preempt_signals, 0);
    if (!TEST_TSAN) { /* which delivers signals late */
        CHECK_GT(m.preempted_carrier + m.preempted_light, 0);
        CHECK(m.preempt_lost_ns > 0 || m.preempted_carrier == 0); /* light ones lose no carrier */
    }
    CHECK_GT(m.monitor_wakeups, 0);
    return 0;
}

TEST_WITHIN(under_load, 60) {
    CHECK_OK(hd_run(QUICK(.workers = 1), watch_them_grow, NULL));
    CHECK_OK(hd_run(QUICK(.workers = 2), watch_them_grow, NULL));
}

/* Each runtime begins at zero. */
TEST(a_new_runtime_begins_anew) {
    CHECK_OK(hd_run(QUICK(.workers = 1), watch_them_grow, NULL));
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), main_of_at_the_start, NULL));
}
