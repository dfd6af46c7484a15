/* SPDX-License-Identifier: MIT */
/* Threads with a set of CPUs run on these alone, whatever moves them about; the others are free. */
#include "runtime_test.h"

#include <sched.h>

static cpu_set_t allowed;
static unsigned first, second; /* CPUs; the same where there is only one */

static void find_cpus(void) {
    if (test_under_qemu())
        SKIP("the emulator does not say on which CPU a thread runs");
    CHECK_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    unsigned found = 0;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            *(found++ ? &second : &first) = cpu;
    if (found == 1)
        second = first;
}

static hd_cpuset only(unsigned cpu) {
    hd_cpuset set = {{0}};
    hd_cpuset_add(&set, cpu);
    return set;
}

static hd_thread *spawn_on(unsigned cpu, hd_fn fn, void *arg) {
    hd_cpuset set = only(cpu);
    hd_thread *t;
    CHECK_OK(hd_spawn(&t, HD_ATTR(.cpus = &set), fn, arg));
    return t;
}

struct pinned {
    unsigned cpu;
    struct test_rng rng;
    hd_sem mine, *next;
};

static void check_here(const struct pinned *p) {
    for (int i = 0; i < 3; i++)
        CHECK_EQ((unsigned)sched_getcpu(), p->cpu);
}

static void *short_thread(void *arg) {
    CHECK_EQ((unsigned)sched_getcpu(), (unsigned)(uintptr_t)arg);
    return NULL;
}

static void *move_about(void *arg) {
    struct pinned *p = arg;
    for (unsigned long i = 0; i < test_iterations(200); i++) {
        check_here(p);
        switch (test_rng_below(&p->rng, 5)) {
        case 0:
            hd_yield();
            break;
        case 1:
            CHECK_OK(hd_sleep_for(test_rng_below(&p->rng, 50 * 1000)));
            break;
        case 2: { /* from here a thread for another CPU, and one for this */
            unsigned cpu = test_rng_below(&p->rng, 2) ? first : second;
            join(spawn_on(cpu, short_thread, (void *)(uintptr_t)cpu));
            break;
        }
        default: /* woken by somebody on another worker, or who has no worker */
            hd_sem_post(p->next);
            CHECK_OK(hd_sem_wait(&p->mine));
            break;
        }
    }
    check_here(p);
    for (unsigned long i = 0; i < test_iterations(200); i++)
        hd_sem_post(p->next); /* those behind still wait for theirs */
    return NULL;
}

static void *noise(void *arg) {
    for (unsigned long i = 0; i < test_iterations(300); i++) {
        if (i % 3 == 0)
            hd_yield();
        else
            hd_sleep_for(1000);
    }
    return arg;
}

static int pin_many(void *arg) {
    enum { N = 8 };
    static struct pinned p[N];
    hd_thread *t[N], *others[N];
    (void)arg;
    for (int i = 0; i < N; i++)
        p[i] = (struct pinned){.cpu = i % 2 ? first : second, .rng = test_rng((uint64_t)i),
                               .next = &p[(i + 1) % N].mine};
    for (int i = 0; i < N; i++) {
        t[i] = spawn_on(p[i].cpu, move_about, &p[i]);
        others[i] = spawn(noise, NULL);
    }
    for (int i = 0; i < N; i++) {
        join(t[i]);
        join(others[i]);
    }
    return 0;
}

TEST(pinned_threads_stay) {
    find_cpus();
    for (unsigned workers = 1; workers <= 4; workers *= 2) {
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers), pin_many, NULL));
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers, .bind_workers = 1), pin_many, NULL));
    }
    cpu_set_t after;
    CHECK_EQ(sched_getaffinity(0, sizeof after, &after), 0);
    CHECK(CPU_EQUAL(&allowed, &after));
}

/* ---- the others are free ---- */

static void *check_free(void *arg) {
    cpu_set_t here;
    CHECK_EQ(sched_getaffinity(0, sizeof here, &here), 0);
    CHECK(CPU_EQUAL(&here, &allowed));
    return arg;
}

static int alternate(void *arg) {
    (void)arg;
    for (int i = 0; i < 100; i++) {
        hd_thread *pinned = spawn_on(i % 2 ? first : second, short_thread,
                                     (void *)(uintptr_t)(i % 2 ? first : second));
        hd_thread *unpinned = spawn(check_free, NULL);
        if (i % 3)
            hd_yield();
        join(pinned);
        check_free(NULL);
        join(unpinned);
    }
    return 0;
}

TEST(unpinned_threads_are_free) {
    find_cpus();
    for (unsigned workers = 1; workers <= 2; workers++)
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers), alternate, NULL));
}

/* ---- sets of several, and of CPUs that the process may not use ---- */

static void *check_affinity(void *arg) {
    cpu_set_t here;
    CHECK_EQ(sched_getaffinity(0, sizeof here, &here), 0);
    CHECK(CPU_EQUAL(&here, (cpu_set_t *)arg));
    return NULL;
}

static int use_sets(void *arg) {
    (void)arg;
    hd_cpuset set = {{0}};
    cpu_set_t expected;
    hd_thread *t;
    CPU_ZERO(&expected);
    CPU_SET(first, &expected);
    CPU_SET(second, &expected);
    hd_cpuset_add(&set, first);
    hd_cpuset_add(&set, second);
    hd_cpuset_add(&set, HD_CPU_MAX - 1);
    CHECK_OK(hd_spawn(&t, HD_ATTR(.cpus = &set), check_affinity, &expected));
    memset(&set, 0, sizeof set); /* it was copied */
    join(t);
    hd_cpuset absent = only(HD_CPU_MAX - 1);
    CHECK_ERR(hd_spawn(&t, HD_ATTR(.cpus = &absent), check_affinity, NULL), -EINVAL);
    return 0;
}

TEST(only_what_is_allowed) {
    find_cpus();
    CHECK(!CPU_ISSET(HD_CPU_MAX - 1, &allowed));
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), use_sets, NULL));
}

/* A process that is confined itself, e.g. by taskset. */
TEST(in_a_confined_process) {
    find_cpus();
    if (first == second)
        SKIP("there is only one CPU");
    CPU_ZERO(&allowed);
    CPU_SET(second, &allowed);
    CHECK_EQ(sched_setaffinity(0, sizeof allowed, &allowed), 0);
    unsigned outside = first;
    first = second;
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), pin_many, NULL));
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), alternate, NULL));
    CHECK_OK(hd_start(NULL));
    CHECK_EQ(hd_worker_count(), 1);
    hd_cpuset set = only(outside);
    CHECK_ERR(hd_spawn(NULL, HD_ATTR(.cpus = &set), check_free, NULL), -EINVAL);
    CHECK_OK(hd_stop());
}

/* From a kernel thread that has no worker, while all workers are parked. */
static void *spawn_and_join_pinned(void *arg) {
    for (unsigned long i = 0; i < test_iterations(500); i++) {
        unsigned cpu = i % 2 ? first : second;
        join(spawn_on(cpu, short_thread, (void *)(uintptr_t)cpu));
    }
    return arg;
}

TEST(pinned_threads_from_outside) {
    find_cpus();
    CHECK_OK(hd_start(HD_CONFIG(.workers = 2, .spin_us = HD_SPIN_NONE)));
    pthread_t p = foreign(spawn_and_join_pinned, NULL);
    spawn_and_join_pinned(NULL);
    foreign_join(p);
    CHECK_OK(hd_stop());
}

/* ---- one that must run here and is always there ---- */

static _Atomic bool crowd_over;
static hd_sem from_outside = HD_SEM_INIT(0);

static void *yield_until_over(void *arg) {
    while (!atomic_load(&crowd_over))
        hd_yield();
    return arg;
}

static void *wait_for_outside(void *arg) {
    CHECK_OK(hd_sem_wait(&from_outside));
    atomic_store(&crowd_over, true);
    return arg;
}

static void *post_from_outside(void *arg) {
    hd_sem_post(&from_outside);
    return arg;
}

/* Nobody is preempted, so whoever is woken from outside has its turn by the worker's own looks. */
static int with_pinned_yielders(void *arg) {
    hd_thread *t[6];
    (void)arg;
    atomic_store(&crowd_over, false);
    hd_thread *waiter = spawn(wait_for_outside, NULL);
    hd_yield();
    for (int i = 0; i < 6; i++)
        t[i] = i % 2 ? spawn_on(first, yield_until_over, NULL) : spawn(yield_until_over, NULL);
    for (int i = 0; i < 1000; i++)
        hd_yield();
    foreign_join(foreign(post_from_outside, NULL));
    join(waiter);
    for (int i = 0; i < 6; i++)
        join(t[i]);
    return 0;
}

TEST_WITHIN(a_woken_thread_beside_pinned_ones_that_yield, 60) {
    find_cpus();
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .slice_us = HD_SLICE_NONE), with_pinned_yielders,
                    NULL));
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1), with_pinned_yielders, NULL));
}
