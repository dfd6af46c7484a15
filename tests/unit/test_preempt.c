/* SPDX-License-Identifier: MIT */
/* Preemption: who loses the worker, who does not, and when. */
#include "preempt_test.h"

#include <math.h>

/* ---- busy loops ---- */

struct crowd {
    counter flag, done;
    int kind;
};

static void *busy(void *arg) {
    struct crowd *c = arg;
    spin_until(&c->flag, 1);
    count_up(&c->done);
    return NULL;
}

static void *raise_flag(void *arg) {
    struct crowd *c = arg;
    count_up(&c->flag);
    return NULL;
}

/* Both loops and the first thread are busy; on one worker the flag rises only by preemption. */
static int busy_crowd(void *arg) {
    struct crowd *c = arg;
    hd_thread *t[3];
    t[0] = spawn_kind(c->kind, raise_flag, c);
    t[1] = spawn_kind(c->kind, busy, c);
    t[2] = spawn_kind(c->kind, busy, c);
    spin_until(&c->done, 2);
    for (int i = 0; i < 3; i++)
        join(t[i]);
    return 0;
}

TEST_WITHIN(busy_loops_lose_their_worker, 60) {
    struct crowd c = {.kind = HD_PREEMPT_CARRIER};
    CHECK_OK(hd_run(QUICK(.workers = 1), busy_crowd, &c));
}

TEST_WITHIN(it_is_the_default, 60) {
    struct crowd c = {.kind = HD_PREEMPT_DEFAULT};
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1), busy_crowd, &c));
}

TEST_WITHIN(on_two_workers, 60) {
    struct crowd c = {.kind = HD_PREEMPT_CARRIER};
    CHECK_OK(hd_run(QUICK(.workers = 2), busy_crowd, &c));
}

TEST_WITHIN(the_light_way, 60) {
    struct crowd c = {.kind = HD_PREEMPT_LIGHT};
    CHECK_OK(hd_run(QUICK(.workers = 1), busy_crowd, &c));
}

TEST_WITHIN(the_configuration_says_how, 60) {
    struct crowd c = {.kind = HD_PREEMPT_DEFAULT};
    CHECK_OK(hd_run(QUICK(.workers = 1, .preempt = HD_PREEMPT_LIGHT), busy_crowd, &c));
}

TEST_WITHIN(with_another_signal, 60) {
    struct crowd c = {.kind = HD_PREEMPT_CARRIER};
    CHECK_OK(hd_run(QUICK(.workers = 1, .preempt_signal = SIGRTMIN + 3), busy_crowd, &c));
    CHECK_ERR(hd_run(QUICK(.preempt_signal = SIGKILL), busy_crowd, &c), -EINVAL);
    CHECK_ERR(hd_run(QUICK(.preempt_signal = -1), busy_crowd, &c), -EINVAL);
    CHECK_ERR(hd_run(QUICK(.preempt_signal = 65), busy_crowd, &c), -EINVAL);
    CHECK_ERR(hd_run(QUICK(.preempt = 4), busy_crowd, &c), -EINVAL);
}

/* Each way is really taken. */
static void *be_preempted(void *arg) {
    struct ticker *ticker = arg;
    spin_until(&ticker->turns, count_of(&ticker->turns) + 10);
    return NULL;
}

PREEMPT_TEST(each_way_is_counted, 1) {
    struct ticker ticker = {.thread = NULL};
    ticker_start(&ticker, NULL);
    struct hd_metrics before = metrics();
    join(spawn_kind(HD_PREEMPT_CARRIER, be_preempted, &ticker));
    struct hd_metrics between = metrics();
    join(spawn_kind(HD_PREEMPT_LIGHT, be_preempted, &ticker));
    struct hd_metrics after = metrics();
    CHECK_GE(between.preempted_carrier, before.preempted_carrier + 10);
    CHECK_EQ(between.preempted_light, before.preempted_light);
    if (!TEST_TSAN) /* which delivers signals late, in code of its own */
        CHECK_GT(after.preempted_light, between.preempted_light);
    /* The ticker may have had a turn or two without it at times. */
    CHECK_GE(after.preempted_carrier + after.preempted_light,
             between.preempted_carrier + between.preempted_light + 4);
    CHECK_GE(after.preempt_signals, after.preempted_carrier + after.preempted_light);
    ticker_stop(&ticker);
    return 0;
}

/* A light thread in the C library is preempted, too. */
static void *light_in_libc(void *arg) {
    struct ticker *ticker = arg;
    static char text[1 << 20];
    memset(text, 'x', sizeof text - 1);
    size_t length = 0;
    for (uint64_t end = count_of(&ticker->turns) + 5; count_of(&ticker->turns) < end;)
        length += strlen(text);
    CHECK_EQ(length % (sizeof text - 1), 0);
    return NULL;
}

PREEMPT_TEST(light_threads_in_the_c_library, 1) {
    struct ticker ticker = {.thread = NULL};
    ticker_start(&ticker, NULL);
    join(spawn_kind(HD_PREEMPT_LIGHT, light_in_libc, &ticker));
    ticker_stop(&ticker);
    return 0;
}

static void *busy_with_name(void *arg) {
    struct crowd *c = arg;
    const hd_thread *self = hd_self();
    uint64_t id = hd_thread_id(self);
    spin_until(&c->flag, 1);
    CHECK_EQ(hd_self(), self);
    CHECK_EQ(hd_thread_id(hd_self()), id);
    CHECK_STR_EQ(hd_thread_name(self), "busy");
    count_up(&c->done);
    return NULL;
}

/* More of them than kernel threads may exist. */
static int many_busy(void *arg) {
    struct crowd *c = arg;
    enum { THREADS = 40 };
    hd_thread *t[THREADS + 1];
    CHECK_OK(hd_spawn(&t[THREADS], NULL, raise_flag, c));
    for (int i = 0; i < THREADS; i++) {
        int kind = i % 4 == 3 ? HD_PREEMPT_LIGHT : HD_PREEMPT_CARRIER;
        CHECK_OK(hd_spawn(&t[i], HD_ATTR(.name = "busy", .preempt = kind), busy_with_name, c));
    }
    for (int i = 0; i <= THREADS; i++)
        join(t[i]);
    struct hd_metrics m = metrics();
    CHECK_LE(m.carriers_most, m.carriers_limit);
    return 0;
}

TEST_WITHIN(more_than_kernel_threads, 60) {
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct crowd c = {.kind = 0};
        CHECK_OK(hd_run(QUICK(.workers = workers, .carriers_max = 64), many_busy, &c));
    }
}

/* With the bound reached preemption comes late: threads that each do some work end all the same. */
static void *some_work(void *arg) {
    counter *sum = arg;
    for (uint64_t i = 0; i < test_iterations(300000); i++)
        atomic_fetch_add_explicit(sum, 1, memory_order_relaxed);
    return NULL;
}

static int bound_reached(void *arg) {
    enum { THREADS = 30 };
    counter *sum = arg;
    hd_thread *t[THREADS];
    for (int i = 0; i < THREADS; i++)
        t[i] = spawn(some_work, sum);
    for (int i = 0; i < THREADS; i++)
        join(t[i]);
    CHECK_EQ(count_of(sum), THREADS * test_iterations(300000));
    struct hd_metrics m = metrics();
    CHECK_LE(m.carriers_most, m.carriers_limit);
    CHECK_LE(m.carriers_limit, hd_worker_count() + 2);
    return 0;
}

TEST_WITHIN(the_bound_of_kernel_threads_holds, 60) {
    for (unsigned workers = 1; workers <= 2; workers++) {
        counter sum = 0;
        CHECK_OK(hd_run(QUICK(.workers = workers, .carriers_max = workers + 2), bound_reached,
                        &sum));
    }
}

/* Those that have begun take turns then, too, though others wait to begin: one of them has what
 * all others wait for, without ever giving their workers up. */
struct spinning {
    _Atomic bool taken;
    uint64_t sum;
};

static void *work_in_a_spinlock(void *arg) {
    struct spinning *s = arg;
    while (atomic_exchange_explicit(&s->taken, true, memory_order_acquire)) {
    }
    for (uint64_t i = 0; i < test_iterations(100000); i++)
        *(volatile uint64_t *)&s->sum += 1;
    atomic_store_explicit(&s->taken, false, memory_order_release);
    return NULL;
}

static int spin_beyond_the_bound(void *arg) {
    enum { THREADS = 20 };
    struct spinning *s = arg;
    hd_thread *t[THREADS];
    for (int i = 0; i < THREADS; i++)
        t[i] = spawn(work_in_a_spinlock, s);
    for (int i = 0; i < THREADS; i++)
        join(t[i]);
    CHECK_EQ(s->sum, THREADS * test_iterations(100000));
    return 0;
}

TEST_WITHIN(a_preempted_holder_of_a_spinlock_beyond_the_bound, 60) {
    static const char *const policies[] = {"steal", "rr", "priority"};
    for (unsigned i = 0; i < 3 * 2; i++) {
        unsigned workers = 1 + i % 2;
        struct spinning s = {.sum = 0};
        CHECK_OK(hd_run(QUICK(.workers = workers, .policy = policies[i / 2],
                              .carriers_max = workers + 2),
                        spin_beyond_the_bound, &s));
    }
}

static void *busy_on_small_stack(void *arg) {
    struct ticker *ticker = arg;
    volatile double x = 1.5;
    for (uint64_t end = count_of(&ticker->turns) + 20; count_of(&ticker->turns) < end;)
        x = x * 1.0000001;
    CHECK_GT(x, 1.0);
    return NULL;
}

PREEMPT_TEST(on_the_smallest_stacks, 1) {
    struct ticker ticker = {.thread = NULL};
    hd_thread *t[2];
    ticker_start(&ticker, NULL);
    for (int i = 0; i < 2; i++)
        CHECK_OK(hd_spawn(&t[i], HD_ATTR(.stack_size = hd_stack_min(),
                                         .preempt = HD_PREEMPT_CARRIER + i),
                          busy_on_small_stack, &ticker));
    join(t[0]);
    join(t[1]);
    ticker_stop(&ticker);
    return 0;
}

/* Sleepers, and threads that others wake, run beside a loop that never ends by itself. */
static void *nap_often(void *arg) {
    for (int i = 0; i < 20; i++)
        CHECK_OK(hd_sleep_for(MS));
    count_up(arg);
    return NULL;
}

PREEMPT_TEST(sleepers_run_beside_a_busy_loop, 1) {
    counter done = 0;
    hd_thread *t = spawn(nap_often, &done);
    spin_until(&done, 1);
    join(t);
    return 0;
}

static void *post_it(void *arg) {
    hd_sem_post(arg);
    return NULL;
}

static void *wait_for_it(void *arg) {
    struct crowd *c = ((void **)arg)[0];
    hd_sem_wait(((void **)arg)[1]);
    count_up(&c->flag);
    return NULL;
}

PREEMPT_TEST(a_foreign_thread_wakes_beside_a_busy_loop, 1) {
    static hd_sem sem;
    struct crowd c = {.kind = 0};
    hd_thread *t = spawn(wait_for_it, (void *[]){&c, &sem});
    hd_yield();
    pthread_t p = foreign(post_it, &sem);
    spin_until(&c.flag, 1);
    join(t);
    foreign_join(p);
    return 0;
}

/* ---- a wake-up that concerns the waker's own worker ---- */

/* Who posts is preempted before the call returns: the other has run by then. Not if it may not be
 * preempted. (If no kernel thread is to be had just then, it comes later: not each time. One is
 * made, which may take a machine with other work a while.) */
static void *post_urgently(void *arg) {
    bool off = (intptr_t)arg == HD_PREEMPT_OFF;
    unsigned at_once = 0;
    for (int i = 0; i < (off ? 50 : 5000) && at_once < 10; i++) {
        struct crowd c = {.kind = 0};
        hd_sem sem = HD_SEM_INIT(0);
        hd_thread *t = NULL;
        void *args[] = {&c, &sem};
        CHECK_OK(hd_spawn(&t, HD_ATTR(.priority = 20), wait_for_it, args));
        CHECK_OK(hd_sleep_for(MS));
        hd_sem_post(&sem);
        at_once += count_of(&c.flag) == 1;
        join(t);
    }
    struct hd_metrics m = metrics();
    test_note("kind %d: %u at once; %llu carrier, %llu light, %llu without a carrier, %llu put off",
              (int)(intptr_t)arg, at_once, (unsigned long long)m.preempted_carrier,
              (unsigned long long)m.preempted_light, (unsigned long long)m.preempt_no_carrier,
              (unsigned long long)m.preempt_deferred);
    if (off)
        CHECK(at_once == 0 || test_under_qemu()); /* which may lose its worker in a call */
    else
        CHECK(at_once > 0);
    return NULL;
}

static int wakers(void *arg) {
    (void)arg;
    struct hd_metrics before = metrics();
    join(spawn_kind(HD_PREEMPT_CARRIER, post_urgently, (void *)(intptr_t)HD_PREEMPT_CARRIER));
    struct hd_metrics after = metrics();
    CHECK(after.preempted_carrier > before.preempted_carrier);
    join(spawn_kind(HD_PREEMPT_LIGHT, post_urgently, (void *)(intptr_t)HD_PREEMPT_LIGHT));
#ifndef TEST_TSAN /* no light preemption there */
    CHECK(metrics().preempted_light > after.preempted_light);
#endif
    join(spawn_kind(HD_PREEMPT_OFF, post_urgently, (void *)(intptr_t)HD_PREEMPT_OFF));
    return 0;
}

TEST_WITHIN(a_wake_up_preempts_the_waker, 60) {
    static const char *const policies[] = {"steal", "priority"};
    for (int i = 0; i < 2; i++)
        CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .policy = policies[i], .slice_us = HD_SLICE_NONE),
                        wakers, NULL));
}

/* ---- a deadline of a thread of higher priority ---- */

struct race {
    counter done; /* 0: nobody; who was first: 1 the sleeper, 2 the one in the queue */
    counter busy; /* the busy one has begun, and nobody was done */
};

static void *sleep_first(void *arg) {
    struct race *r = arg;
    uint64_t nobody = 0;
    CHECK_OK(hd_sleep_for(3 * MS));
    atomic_compare_exchange_strong(&r->done, &nobody, 1);
    return NULL;
}

static void *wait_in_queue(void *arg) {
    struct race *r = arg;
    uint64_t nobody = 0;
    atomic_compare_exchange_strong(&r->done, &nobody, 2);
    return NULL;
}

static void *busy_low(void *arg) {
    struct race *r = arg;
    if (count_of(&r->done) == 0)
        count_up(&r->busy);
    spin_until(&r->done, 1);
    return NULL;
}

/* With a hog in the past, carriers mind their deadlines themselves. */
static void *be_hog(void *arg) {
    const uint64_t *until = arg;
    while (preemptions() < *until) {
    }
    return NULL;
}

/* The busy thread is no hog, and begins a slice of a second: only the sleeper may interrupt it. The
 * one of its own priority waits in the queue, and comes when the slice is over. */
static int deadlines(void *arg) {
    unsigned first = 0, rounds = 0;
    for (int i = 0; i < 100 && rounds < 6; i++) {
        struct race r = {0};
        uint64_t until = preemptions() + 2;
        hd_thread *t[3], *hogs[2] = {spawn(be_hog, &until), spawn(be_hog, &until)};
        for (int k = 0; k < 2; k++) join(hogs[k]);
        CHECK_OK(hd_spawn(&t[0], HD_ATTR(.priority = 15), sleep_first, &r));
        hd_yield();
        CHECK_OK(hd_spawn(&t[1], HD_ATTR(.priority = 5), wait_in_queue, &r));
        CHECK_OK(hd_spawn(&t[2], HD_ATTR(.priority = 5, .slice_us = 1000000), busy_low, &r));
        for (int k = 0; k < 3; k++) join(t[k]);
        if (count_of(&r.busy) == 0)
            continue; /* another was done before it began: that shows nothing */
        rounds++;
        first += count_of(&r.done) == 1;
    }
    test_note("%u of %u times", first, rounds);
    if (rounds < 6)
        SKIP("another order of threads: the busy one began last");
    CHECK(first >= 5);
    return arg != NULL;
}

TEST_WITHIN(a_deadline_interrupts_a_lower_priority, 60) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .policy = "steal", .slice_us = 2000), deadlines,
                    NULL));
}

/* ---- the one that runs hd_run() ---- */

static __thread int of_the_caller;

static int first_thread_is_preempted(void *arg) {
    struct ticker ticker = {.thread = NULL};
    ticker_start(&ticker, NULL);
    for (int i = 0; i < 20; i++) {
        spin_until(&ticker.turns, count_of(&ticker.turns) + 3);
        hd_yield();
    }
    ticker_stop(&ticker);
    return *(int *)arg;
}

TEST_WITHIN(hd_run_returns_on_its_kernel_thread, 60) {
    int result = 42;
    pthread_t self = pthread_self();
    of_the_caller = 7;
    for (unsigned workers = 1; workers <= 2; workers++) {
        CHECK_EQ(hd_run(QUICK(.workers = workers), first_thread_is_preempted, &result), 42);
        CHECK(pthread_equal(self, pthread_self()));
        CHECK_EQ(of_the_caller, 7);
    }
}

/* ---- embedded ---- */

TEST_WITHIN(beside_a_host, 60) {
    struct crowd c = {.kind = HD_PREEMPT_CARRIER};
    CHECK_OK(hd_start(QUICK(.workers = 1)));
    hd_thread *b = spawn(busy, &c), *f = spawn(raise_flag, &c);
    join(b);
    join(f);
    CHECK_OK(hd_stop());
}

/* ---- light preemption elsewhere ---- */

PREEMPT_TEST(code_can_be_registered, 1) {
    int local = 0;
    double (*function)(double) = cbrt;
    CHECK_OK(hd_preempt_register((const void *)(uintptr_t)function));
    CHECK_OK(hd_preempt_register((const void *)(uintptr_t)function)); /* again */
    CHECK_OK(hd_preempt_register((const void *)(uintptr_t)main_of_code_can_be_registered));
    CHECK_ERR(hd_preempt_register((const void *)16), -EINVAL);
    CHECK_ERR(hd_preempt_register(&local), -EINVAL);
    return 0;
}

/* ---- no signal can be queued ---- */

static int preempted_all_the_same(void *arg) {
    counter done = 0;
    (void)arg;
    hd_thread *t = spawn(nap_often, &done);
    spin_until(&done, 1);
    join(t);
    return 0;
}

static void without_queued_signals(void *arg) {
    rlim_t most = *(rlim_t *)arg;
    CHECK_EQ(setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){most, most}), 0);
    CHECK_OK(hd_run(QUICK(.workers = 1), preempted_all_the_same, NULL));
    CHECK_OK(hd_run(QUICK(.workers = 2), preempted_all_the_same, NULL));
    CHECK_EQ(write(STDOUT_FILENO, "done\n", 5), 5);
}

TEST_WITHIN(where_no_signal_can_be_queued, 60) {
    static rlim_t limits[] = {0, 1, 9};
    if (test_under_qemu())
        SKIP("the emulator queues signals itself");
    for (int i = 0; i < 3; i++) {
        struct child *c = calloc(1, sizeof *c);
        child_run(c, without_queued_signals, &limits[i]);
        CHECK_STR_HAS(c->out, "done");
        free(c);
    }
}
