/* SPDX-License-Identifier: MIT */
/* The runtime's life: run, start, stop, drain, restart, configuration, and use from outside. What a
 * caller's bug says is in test_misuse.c. */
#include "runtime_test.h"

#include <malloc.h>
#include <sched.h>
#include <stdio.h>

static void *echo(void *arg) {
    return arg;
}

static int return_arg(void *arg) {
    return (int)(intptr_t)arg;
}

TEST(run_returns_its_functions_result) {
    CHECK_EQ(hd_run(NULL, return_arg, (void *)(intptr_t)42), 42);
    CHECK_EQ(hd_run(HD_CONFIG(), return_arg, (void *)(intptr_t)-7), -7);
    CHECK_EQ(hd_run(HD_CONFIG(.workers = 1), return_arg, NULL), 0);
}

/* ---- what the end waits for, and what not ---- */

static _Atomic int ended;

static void *end_later(void *arg) {
    hd_sleep_for((uint64_t)(uintptr_t)arg * MS);
    atomic_fetch_add(&ended, 1);
    return NULL;
}

static void *spawn_and_leave(void *arg) {
    uintptr_t depth = (uintptr_t)arg;
    hd_sleep_for(MS);
    if (depth > 0)
        spawn(spawn_and_leave, (void *)(depth - 1));
    atomic_fetch_add(&ended, 1);
    return NULL;
}

static int leave_joinable_ones(void *arg) {
    (void)arg;
    for (uintptr_t i = 0; i < 20; i++)
        spawn(end_later, (void *)(i % 5));
    spawn(spawn_and_leave, (void *)(uintptr_t)10);
    return 1;
}

TEST(run_waits_for_all_joinable_threads) {
    for (unsigned workers = 1; workers <= 4; workers *= 2) {
        atomic_store(&ended, 0);
        CHECK_EQ(hd_run(HD_CONFIG(.workers = workers), leave_joinable_ones, NULL), 1);
        CHECK_EQ(atomic_load(&ended), 31);
    }
}

static hd_key key;
static _Atomic int destroyed;

static void count_destroyed(void *value) {
    (void)value;
    atomic_fetch_add(&destroyed, 1);
}

static hd_mutex taken; /* by the first thread */

static void *block_for_ever(void *arg) {
    CHECK_OK(hd_set(key, &key));
    atomic_fetch_add(&ended, 1);
    uintptr_t kind = (uintptr_t)arg;
    hd_sem sem = HD_SEM_INIT(0);
    if (kind == 0)
        hd_sem_wait(&sem);
    else if (kind == 1)
        hd_sleep_until(HD_FOREVER);
    else if (kind == 2)
        hd_sleep_for(3600 * 1000 * MS);
    else
        hd_mutex_lock(&taken);
    FAIL("a discarded thread went on");
}

static int leave_detached_ones(void *arg) {
    (void)arg;
    taken = (hd_mutex)HD_MUTEX_INIT;
    hd_mutex_lock(&taken);
    for (uintptr_t i = 0; i < 40; i++)
        CHECK_OK(hd_spawn(NULL, i % 8 < 4 ? NULL : HD_ATTR(.name = "stays", .stack_size = 1 << 18),
                          block_for_ever, (void *)(i % 4)));
    while (atomic_load(&ended) < 40)
        hd_sleep_for(MS);
    return 2;
}

TEST(run_discards_detached_threads_that_wait) {
    CHECK_OK(hd_key_create(&key, count_destroyed));
    for (unsigned workers = 1; workers <= 4; workers *= 2) {
        atomic_store(&ended, 0);
        CHECK_EQ(hd_run(HD_CONFIG(.workers = workers), leave_detached_ones, NULL), 2);
        CHECK_EQ(atomic_load(&destroyed), 0);
    }
}

static void *yield_for_ever(void *arg) {
    atomic_fetch_add(&ended, 1);
    for (;;)
        hd_yield();
    return arg;
}

static int leave_running_ones(void *arg) {
    (void)arg;
    for (int i = 0; i < 4; i++)
        CHECK_OK(hd_spawn(NULL, NULL, yield_for_ever, NULL));
    while (atomic_load(&ended) < 4)
        hd_yield();
    spawn(end_later, (void *)(uintptr_t)2);
    return 3;
}

TEST(run_ends_while_detached_threads_run) {
    for (unsigned workers = 1; workers <= 2; workers++) {
        atomic_store(&ended, 0);
        CHECK_EQ(hd_run(HD_CONFIG(.workers = workers), leave_running_ones, NULL), 3);
    }
}

static int detach_and_leave(void *arg) {
    for (uintptr_t i = 0; i < 200; i++) {
        hd_thread *t = spawn(i % 2 ? echo : end_later, (void *)(i % 3));
        if (i % 5 == 0)
            hd_yield();
        if (i % 3)
            hd_detach(t); /* ended, running or fresh: the count of joinable ones stays right */
        else
            join(t);
    }
    spawn(end_later, (void *)(uintptr_t)5);
    return (int)(intptr_t)arg;
}

TEST(detached_threads_do_not_upset_the_count) {
    for (int i = 0; i < 10; i++)
        CHECK_EQ(hd_run(HD_CONFIG(.workers = 2), detach_and_leave, (void *)(intptr_t)i), i);
}

/* ---- start and stop ---- */

TEST(start_and_stop) {
    CHECK_EQ(hd_worker_count(), 0);
    CHECK_EQ(hd_stack_guard_kind(), NULL);
    CHECK_OK(hd_start(HD_CONFIG(.workers = 3)));
    CHECK_EQ(hd_worker_count(), 3);
    CHECK(hd_stack_guard_kind() != NULL);
    hd_thread *t = spawn(echo, &t);
    CHECK_EQ(join(t), &t);
    for (uintptr_t i = 0; i < 20; i++)
        spawn(end_later, (void *)(i % 5));
    CHECK_OK(hd_stop());
    CHECK_EQ(atomic_load(&ended), 20);
    CHECK_EQ(hd_worker_count(), 0);
    CHECK_EQ(hd_stack_guard_kind(), NULL);
}

TEST(stop_without_a_runtime) {
    CHECK_ERR(hd_stop(), -EINVAL);
    CHECK_OK(hd_start(NULL));
    CHECK_OK(hd_stop());
    CHECK_ERR(hd_stop(), -EINVAL);
}

static void *stop_inside(void *arg) {
    (void)arg;
    return (void *)(intptr_t)hd_stop();
}

static void *stop_outside(void *arg) {
    (void)arg;
    return (void *)(intptr_t)hd_stop();
}

static void *start_outside(void *arg) {
    (void)arg;
    return (void *)(intptr_t)hd_start(NULL);
}

static void *run_outside(void *arg) {
    (void)arg;
    return (void *)(intptr_t)hd_run(NULL, return_arg, NULL);
}

static int stop_a_run(void *arg) {
    (void)arg;
    CHECK_ERR(hd_stop(), -EDEADLK);
    CHECK_EQ((intptr_t)foreign_join(foreign(stop_outside, NULL)), -EINVAL);
    CHECK_EQ((intptr_t)foreign_join(foreign(start_outside, NULL)), -EBUSY);
    CHECK_EQ((intptr_t)foreign_join(foreign(run_outside, NULL)), -EBUSY);
    return 5;
}

TEST(one_runtime_at_a_time) {
    CHECK_EQ(hd_run(HD_CONFIG(.workers = 2), stop_a_run, NULL), 5);
    CHECK_OK(hd_start(HD_CONFIG(.workers = 2)));
    CHECK_ERR(hd_start(NULL), -EBUSY);
    CHECK_ERR(hd_run(NULL, return_arg, NULL), -EBUSY);
    CHECK_EQ((intptr_t)join(spawn(stop_inside, NULL)), -EDEADLK);
    CHECK_OK(hd_stop());
}

/* Several stop it at once: it ends once, for one of them. */
TEST(one_of_many_stops_it) {
    for (int round = 0; round < 20; round++) {
        pthread_t p[4];
        int stopped = 0;
        hd_event go = HD_EVENT_INIT;
        CHECK_OK(hd_start(HD_CONFIG(.workers = 2)));
        hd_thread *t = spawn(end_later, (void *)(uintptr_t)(round % 3));
        for (int i = 0; i < 4; i++)
            p[i] = foreign(stop_outside, &go);
        for (int i = 0; i < 4; i++) {
            int err = (int)(intptr_t)foreign_join(p[i]);
            CHECK(err == 0 || err == -EINVAL);
            stopped += err == 0;
        }
        CHECK_EQ(stopped, 1);
        (void)t;
    }
}

TEST(spawn_needs_a_runtime) {
    hd_thread *t = NULL;
    CHECK_ERR(hd_spawn(&t, NULL, echo, NULL), -EAGAIN);
    CHECK_ERR(hd_spawn(NULL, HD_ATTR(.name = "x"), echo, NULL), -EAGAIN);
    CHECK_OK(hd_start(HD_CONFIG(.workers = 1)));
    CHECK_OK(hd_stop());
    CHECK_ERR(hd_spawn(&t, NULL, echo, NULL), -EAGAIN);
    CHECK_EQ(t, NULL);
}

static int count_and_use(void *arg) {
    hd_thread *t[20];
    for (uintptr_t i = 0; i < 20; i++)
        t[i] = spawn(end_later, (void *)(uintptr_t)(i % 2));
    for (int i = 0; i < 20; i++)
        join(t[i]);
    return hd_worker_count() == (unsigned)(uintptr_t)arg ? 0 : 1;
}

TEST(worker_counts) {
    unsigned counts[] = {1, 2, 4, 64};
    for (int i = 0; i < 4; i++) {
        CHECK_OK(hd_run(HD_CONFIG(.workers = counts[i]), count_and_use,
                        (void *)(uintptr_t)counts[i]));
        CHECK_OK(hd_run(HD_CONFIG(.workers = counts[i], .bind_workers = 1,
                                  .spin_us = HD_SPIN_NONE),
                        count_and_use, (void *)(uintptr_t)counts[i]));
    }
}

TEST(restart_many_times) {
    for (unsigned i = 0; i < 50; i++) {
        atomic_store(&ended, 0);
        if (i % 2) {
            CHECK_EQ(hd_run(HD_CONFIG(.workers = 1 + i % 4), leave_joinable_ones, NULL), 1);
        } else {
            CHECK_OK(hd_start(HD_CONFIG(.workers = 1 + i % 4)));
            leave_joinable_ones(NULL);
            CHECK_OK(hd_stop());
        }
        CHECK_EQ(atomic_load(&ended), 31);
    }
}

static int quick_run(void *arg) {
    return join(spawn(echo, arg)) == arg ? 0 : 1;
}

static size_t mapped_bytes(void) {
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f && fscanf(f, "%zu", &pages) == 1);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

TEST(a_stopped_runtime_gives_its_memory_back) {
    if (TEST_ASAN || TEST_TSAN || test_under_qemu() || test_under_valgrind())
        SKIP("the tool's own memory is seen as well");
    mallopt(M_ARENA_MAX, 1); /* each arena of the C library would be 64 MiB */
    for (int i = 0; i < 5; i++)
        CHECK_OK(hd_run(HD_CONFIG(.workers = 4), quick_run, NULL));
    size_t before = mapped_bytes();
    for (int i = 0; i < 100; i++)
        CHECK_OK(hd_run(HD_CONFIG(.workers = 4), quick_run, NULL));
    CHECK_LE(mapped_bytes(), before + (4 << 20));
}

static int read_cpus(void *arg) {
    return sched_getaffinity(0, sizeof(cpu_set_t), arg);
}

TEST(run_leaves_the_callers_affinity_alone) {
    cpu_set_t before, inside, after;
    CHECK_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .bind_workers = 1), read_cpus, &inside));
    CHECK_EQ(CPU_COUNT(&inside), 1);
    CHECK_EQ(sched_getaffinity(0, sizeof after, &after), 0);
    CHECK(CPU_EQUAL(&before, &after));
}

/* ---- configuration ---- */

static void check_refused(const struct hd_config *cfg) {
    CHECK_ERR(hd_run(cfg, return_arg, NULL), -EINVAL);
    CHECK_ERR(hd_start(cfg), -EINVAL);
    CHECK_EQ(hd_worker_count(), 0);
}

TEST(config_out_of_range) {
    check_refused(HD_CONFIG(.workers = 1025));
    check_refused(HD_CONFIG(.workers = UINT32_MAX));
    check_refused(HD_CONFIG(.slice_us = 99));
    check_refused(HD_CONFIG(.slice_us = 1000001));
    check_refused(HD_CONFIG(.policy = "none such"));
    check_refused(HD_CONFIG(.policy = ""));
    check_refused(HD_CONFIG(.stack_size = 1));
    check_refused(HD_CONFIG(.stack_size = hd_stack_min() - 1));
    check_refused(HD_CONFIG(.stack_size = ((size_t)1 << 30) + 1));
    check_refused(HD_CONFIG(.spin_us = 1000001));
    check_refused(HD_CONFIG(.deadlock = -1));
    check_refused(HD_CONFIG(.deadlock = HD_DEADLOCK_IGNORE + 1));
    check_refused(HD_CONFIG(.bind_workers = 2));
    check_refused(HD_CONFIG(.bind_workers = -1));
    check_refused(HD_CONFIG(.prefetch = -1));
    check_refused(HD_CONFIG(.prefetch = HD_PREFETCH_OFF + 1));
    check_refused(&(struct hd_config){.size = 0});
    check_refused(&(struct hd_config){.size = sizeof(size_t)});
    check_refused(&(struct hd_config){.size = SIZE_MAX});
}

static void *take_turns(void *arg) {
    for (int i = 0; i < 5; i++)
        hd_yield();
    return arg;
}

static void turns_of(hd_thread **t, int n) {
    for (int i = 0; i < n; i++)
        t[i] = spawn(take_turns, &t[i]);
    for (int i = 0; i < n; i++)
        CHECK_EQ(join(t[i]), &t[i]);
}

static int turns_of_many(void *arg) {
    enum { MANY = 1500 };
    static hd_thread *t[MANY];
    for (int n = 1; n <= MANY; n = 2 * n + 3)
        turns_of(t, n);
    return arg ? 1 : 0;
}

TEST_WITHIN(config_in_range, 60) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .slice_us = 100, .policy = "steal", .spin_us = 1,
                              .stack_size = hd_stack_min()),
                    return_arg, NULL));
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2, .slice_us = 1000000, .spin_us = 1000000,
                              .deadlock = HD_DEADLOCK_IGNORE, .bind_workers = 1),
                    quick_run, NULL));
    /* As many as queues hold, and more, in turns: those ahead of the front are looked at. */
    for (int prefetch = HD_PREFETCH_DEFAULT; prefetch <= HD_PREFETCH_OFF; prefetch++) {
        CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .prefetch = prefetch), turns_of_many, NULL));
        CHECK_OK(hd_run(HD_CONFIG(.workers = 2, .prefetch = prefetch), turns_of_many, NULL));
    }
    struct {
        struct hd_config known;
        uint64_t more;
    } newer = {.known = {.size = sizeof newer, .workers = 1}};
    CHECK_OK(hd_run(&newer.known, return_arg, NULL));
    newer.more = 1;
    check_refused(&newer.known);
    struct hd_config older = {.size = offsetof(struct hd_config, slice_us), .slice_us = 1};
    CHECK_OK(hd_run(&older, return_arg, NULL));
}

static int worker_count(void *arg) {
    (void)arg;
    return (int)hd_worker_count();
}

TEST(workers_from_the_environment) {
    cpu_set_t cpus;
    CHECK_EQ(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    unsetenv("HEDDLE_WORKERS");
    CHECK_EQ(hd_run(NULL, worker_count, NULL), CPU_COUNT(&cpus));
    setenv("HEDDLE_WORKERS", "3", 1);
    CHECK_EQ(hd_run(NULL, worker_count, NULL), 3);
    CHECK_EQ(hd_run(HD_CONFIG(.workers = 2), worker_count, NULL), 2); /* the program's word first */
    setenv("HEDDLE_WORKERS", "", 1);
    CHECK_EQ(hd_run(NULL, worker_count, NULL), CPU_COUNT(&cpus));
    static const char *const wrong[] = {"0", "-1", "1025", "two", "2x", " 2", "1e3",
                                        "99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        setenv("HEDDLE_WORKERS", wrong[i], 1);
        CHECK_ERR(hd_run(NULL, worker_count, NULL), -EINVAL);
    }
}

/* ---- errors and versions ---- */

TEST(errors_in_words) {
    static const int known[] = {0, EINVAL, ENOMEM, EAGAIN, EBUSY, EDEADLK, EINTR, ETIMEDOUT, EPIPE};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        CHECK(strlen(hd_strerror(known[i])) > 3);
        CHECK_STR_EQ(hd_strerror(-known[i]), hd_strerror(known[i]));
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(hd_strerror(known[i]), hd_strerror(known[j])) != 0);
    }
    CHECK(hd_strerror(-99999) != NULL);
    CHECK(hd_strerror(INT32_MIN) != NULL);
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", HD_VERSION_MAJOR, HD_VERSION_MINOR,
             HD_VERSION_PATCH);
    CHECK_STR_EQ(hd_version(), version);
}
