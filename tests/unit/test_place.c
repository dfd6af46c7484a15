/* SPDX-License-Identifier: MIT */
/* Where threads are put and kept: by node, by cache, on one CPU, by a set that is changed. On
 * machines that are folders: each of this machine's CPUs is a node there, or all are in one. */
#include "runtime_test.h"
#include "topology_test.h"

#include "sched/place.h"

#include <sched.h>

static cpu_set_t allowed;
static unsigned first, second; /* CPUs; the same where there is only one */

static unsigned find_cpus(void) {
    unsigned found = 0;
    if (test_under_qemu())
        SKIP("the emulator does not say on which CPU a thread runs");
    CHECK_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && found++ < 2)
            *(found == 1 ? &first : &second) = cpu;
    if (found == 1)
        second = first;
    return found;
}

static void need_two(void) {
    if (find_cpus() < 2)
        SKIP("there is only one CPU");
}

static hd_cpuset only(unsigned cpu) {
    hd_cpuset set = {{0}};
    hd_cpuset_add(&set, cpu);
    return set;
}

static hd_cpuset both(void) {
    hd_cpuset set = only(first);
    hd_cpuset_add(&set, second);
    return set;
}

static unsigned here(void) {
    return (unsigned)sched_getcpu();
}

/* Runs fn on such a machine, with so many workers. */
static void on_machine(struct machine m, unsigned workers, const char *policy, int (*fn)(void *)) {
    char *root = folder_make();
    put_machine(root, &m);
    setenv("HEDDLE_TOPOLOGY", root, 1);
    for (int bind = 0; bind <= 1; bind++)
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers, .policy = policy, .bind_workers = bind), fn,
                        NULL));
    folder_remove(root);
}

/* Each CPU up to the second is a node. */
static struct machine node_each(void) {
    return (struct machine){1, second + 1, 1, 1, 1};
}

/* ---- Attributes ---- */

struct seen {
    hd_cpuset cpus;
    bool pinned;
    unsigned cpu;
};

static void *look(void *arg) {
    struct seen *seen = arg;
    hd_thread_cpus(hd_self(), &seen->cpus);
    seen->pinned = hd__thread_flags(hd_self()) & HD__THREAD_PINNED;
    for (int i = 0; i < 10; i++) {
        seen->cpu = here();
        CHECK(hd_cpuset_has(&seen->cpus, seen->cpu));
        if (i % 2)
            hd_yield();
        else
            CHECK_OK(hd_sleep_for(100 * 1000));
    }
    return NULL;
}

static struct seen try(const struct hd_attr *attr) {
    struct seen seen;
    hd_thread *t;
    CHECK_OK(hd_spawn(&t, attr, look, &seen));
    join(t);
    return seen;
}

static unsigned count(const hd_cpuset *set) {
    unsigned n = 0;
    for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++)
        n += hd_cpuset_has(set, cpu);
    return n;
}

static int by_node(void *arg) {
    struct seen seen = try(HD_ATTR(.numa_node = (int)first + 1));
    hd_cpuset set = only(first);
    (void)arg;
    CHECK_MEM_EQ(&seen.cpus, &set, sizeof set);
    CHECK_EQ(seen.cpu, first);
    seen = try(HD_ATTR(.numa_node = (int)second + 1, .migration = HD_MIGRATE_NEVER));
    CHECK_EQ(seen.cpu, second);
    CHECK_EQ(count(&seen.cpus), 1);
    set = both();
    seen = try(HD_ATTR(.numa_node = (int)second + 1, .cpus = &set));
    CHECK_EQ(seen.cpu, second);
    set = only(first);
    CHECK_ERR(hd_spawn(NULL, HD_ATTR(.numa_node = (int)second + 1, .cpus = &set), look, NULL),
              -EINVAL);
    CHECK_ERR(hd_spawn(NULL, HD_ATTR(.numa_node = (int)second + 2), look, NULL), -EINVAL);
    CHECK_ERR(hd_spawn(NULL, HD_ATTR(.numa_node = INT32_MAX), look, NULL), -EINVAL);
    return 0;
}

TEST(on_a_node) {
    need_two();
    on_machine(node_each(), 1, NULL, by_node);
    on_machine(node_each(), 2, NULL, by_node);
    on_machine(node_each(), 4, "rr", by_node);
}

/* From a thread on one of the CPUs: its children stay there. */
static void *spawn_near(void *arg) {
    unsigned cpu = here();
    for (int migration = HD_MIGRATE_DEFAULT; migration <= HD_MIGRATE_CACHE; migration++) {
        struct seen seen = try(HD_ATTR(.migration = migration));
        bool kept = migration == HD_MIGRATE_NODE || migration == HD_MIGRATE_CACHE;
        if (kept)
            CHECK_EQ(seen.cpu, cpu);
        CHECK_EQ(seen.pinned, kept || migration == HD_MIGRATE_NEVER);
        CHECK_EQ(count(&seen.cpus), seen.pinned ? 1 : (unsigned)CPU_COUNT(&allowed));
    }
    return arg;
}

static int migrations(void *arg) {
    hd_thread *t;
    (void)arg;
    for (unsigned i = 0; i < 2; i++) {
        hd_cpuset set = only(i ? first : second);
        CHECK_OK(hd_spawn(&t, HD_ATTR(.cpus = &set), spawn_near, NULL));
        join(t);
    }
    return 0;
}

TEST(within_a_node_or_a_cache) {
    need_two();
    on_machine(node_each(), 2, NULL, migrations);
    on_machine(node_each(), 2, "priority", migrations);
}

/* The others are elsewhere: the node is that of the set. */
static int far_from_the_spawner(void *arg) {
    hd_cpuset set = only(second);
    (void)arg;
    struct seen seen = try(HD_ATTR(.cpus = &set, .migration = HD_MIGRATE_NODE));
    CHECK_EQ(seen.cpu, second);
    seen = try(HD_ATTR(.cpus = &set, .migration = HD_MIGRATE_CACHE));
    CHECK_EQ(seen.cpu, second);
    seen = try(HD_ATTR(.cpus = &set, .migration = HD_MIGRATE_NEVER));
    CHECK_EQ(seen.cpu, second);
    return 0;
}

TEST(within_the_set) {
    need_two();
    on_machine(node_each(), 2, NULL, far_from_the_spawner);
}

/* One node, one cache: nobody is restricted. */
static int no_difference(void *arg) {
    (void)arg;
    CHECK(!try(HD_ATTR(.migration = HD_MIGRATE_NODE)).pinned);
    CHECK(!try(HD_ATTR(.migration = HD_MIGRATE_CACHE)).pinned);
    CHECK(!try(HD_ATTR(.numa_node = 1)).pinned);
    CHECK_EQ(try(HD_ATTR(.migration = HD_MIGRATE_NEVER)).pinned, first != second);
    CHECK_ERR(hd_spawn(NULL, HD_ATTR(.numa_node = 2), look, NULL), -EINVAL);
    return 0;
}

TEST(one_node_costs_nothing) {
    find_cpus();
    unsigned most = 0;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            most = cpu;
    on_machine((struct machine){1, 1, 1, most + 1, 1}, 2, NULL, no_difference);
}

/* NEVER spreads over the CPUs. An idle worker comes first, and may be the same one each time, if
 * the kernel runs this one slowly: then there is another round. */
enum { SPREAD = 8 };

static unsigned round_of_spreading(void) {
    hd_thread *t[SPREAD];
    unsigned on_second = 0;
    static struct seen seen[SPREAD];
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < SPREAD; i++)
        CHECK_OK(hd_spawn(&t[i], HD_ATTR(.migration = HD_MIGRATE_NEVER), look, &seen[i]));
    for (int i = 0; i < SPREAD; i++) {
        join(t[i]);
        CHECK_EQ(count(&seen[i].cpus), 1);
        on_second += seen[i].cpu == second;
    }
    return on_second;
}

static int spread(void *arg) {
    unsigned on_second = 0;
    (void)arg;
    for (int round = 0; round < 50 && (on_second == 0 || on_second == SPREAD); round++)
        on_second = round_of_spreading();
    CHECK_MSG(on_second != 0 && on_second != SPREAD, "%u of %d on CPU %u", on_second, SPREAD,
              second);
    return 0;
}

TEST(those_that_never_migrate_are_spread) {
    need_two();
    if (CPU_COUNT(&allowed) != 2)
        SKIP("made for two CPUs");
    on_machine(node_each(), 2, NULL, spread);
}

/* From outside, and without a topology to speak of. */
TEST(from_outside) {
    find_cpus();
    setenv("HEDDLE_TOPOLOGY", "/dev/null", 1);
    CHECK_OK(hd_start(HD_CONFIG(.workers = 2)));
    for (int migration = HD_MIGRATE_DEFAULT; migration <= HD_MIGRATE_CACHE; migration++)
        try(HD_ATTR(.migration = migration));
    CHECK_OK(hd_stop());
}

/* ---- Changing the set ---- */

static hd_sem go = HD_SEM_INIT(0);

static void *wait_then_look(void *arg) {
    CHECK_OK(hd_sem_wait(&go));
    hd_yield(); /* if it did not wait */
    *(unsigned *)arg = here();
    return NULL;
}

static int change(void *arg) {
    hd_cpuset set, absent = only(HD_CPU_MAX - 1);
    (void)arg;
    for (int i = 0; i < 20; i++) {
        unsigned cpu = i % 2 ? first : second, seen = UINT32_MAX;
        set = only(cpu);
        /* Oneself: at once. */
        CHECK_OK(hd_thread_set_cpus(hd_self(), &set));
        CHECK_EQ(here(), cpu);
        hd_thread_cpus(hd_self(), &set);
        CHECK_EQ(count(&set), 1);
        CHECK(hd_cpuset_has(&set, cpu));
        hd_yield();
        CHECK_EQ(here(), cpu);
        CHECK_OK(hd_thread_set_cpus(hd_self(), NULL));
        cpu_set_t now;
        CHECK_EQ(sched_getaffinity(0, sizeof now, &now), 0);
        CHECK(hd__rt.bind_workers || CPU_EQUAL(&now, &allowed));
        /* One that waits. */
        hd_thread *t = spawn(wait_then_look, &seen);
        if (i % 3)
            let_wait();
        set = only(cpu);
        CHECK_OK(hd_thread_set_cpus(t, &set));
        CHECK_ERR(hd_thread_set_cpus(t, &absent), -EINVAL);
        hd_sem_post(&go);
        join(t);
        CHECK_EQ(seen, cpu);
    }
    return 0;
}

TEST(a_set_that_changes) {
    find_cpus();
    for (unsigned workers = 1; workers <= 4; workers *= 2) {
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers), change, NULL));
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers, .bind_workers = 1), change, NULL));
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers, .policy = "rr"), change, NULL));
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers, .policy = "priority"), change, NULL));
    }
}

/* One that computes, and is preempted. */
static _Atomic bool enough;

static void *compute(void *arg) {
    hd_cpuset set = only(*(unsigned *)arg);
    while (!atomic_load(&enough)) {
    }
    hd_yield(); /* here at the latest */
    for (int i = 0; i < 10; i++) {
        hd_thread_cpus(hd_self(), &set);
        CHECK_EQ(here(), *(unsigned *)arg);
        hd_yield();
    }
    return NULL;
}

static int change_running(void *arg) {
    (void)arg;
    for (int i = 0; i < 10; i++) {
        unsigned cpu = i % 2 ? first : second;
        hd_cpuset set = only(cpu);
        atomic_store(&enough, false);
        hd_thread *t = spawn(compute, &cpu);
        CHECK_OK(hd_sleep_for(2 * MS));
        CHECK_OK(hd_thread_set_cpus(t, &set));
        CHECK_OK(hd_sleep_for(2 * MS));
        atomic_store(&enough, true);
        join(t);
    }
    return 0;
}

TEST(the_set_of_one_that_runs) {
    find_cpus();
    for (unsigned workers = 1; workers <= 2; workers++) {
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers, .slice_us = 500), change_running, NULL));
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers, .slice_us = 500, .policy = "rr"),
                        change_running, NULL));
    }
}

/* Everybody changes everybody, while all run, wait, yield and are preempted. */
enum { CROWD = 8 };
static hd_thread *crowd[CROWD];
static hd_sem ready = HD_SEM_INIT(0), finished = HD_SEM_INIT(0);

static void *mill_about(void *arg) {
    struct test_rng rng = test_rng((uintptr_t)arg);
    hd_sem_wait(&ready);
    for (unsigned long i = 0; i < test_iterations(300); i++) {
        hd_thread *t = crowd[test_rng_below(&rng, CROWD)];
        unsigned cpu = test_rng_below(&rng, 2) ? first : second;
        hd_cpuset set = test_rng_below(&rng, 3) == 0 ? both() : only(cpu);
        switch (test_rng_below(&rng, 6)) {
        case 0:
            CHECK_OK(hd_thread_set_cpus(t, NULL));
            break;
        case 1:
            CHECK_OK(hd_thread_set_cpus(t, &set));
            break;
        case 2:
            hd_thread_cpus(t, &set);
            CHECK_GE(count(&set), 1);
            CHECK(hd_thread_name(t) != NULL);
            break;
        case 3:
            CHECK_OK(hd_sleep_for(test_rng_below(&rng, 20 * 1000)));
            break;
        case 4:
            for (volatile int k = 0; k < 20000; k++) {
            }
            break;
        default:
            hd_yield();
        }
    }
    hd_sem_post(&finished);
    return NULL;
}

static int mill(void *arg) {
    (void)arg;
    for (uintptr_t i = 0; i < CROWD; i++)
        crowd[i] = spawn(mill_about, (void *)i);
    for (int i = 0; i < CROWD; i++)
        hd_sem_post(&ready);
    /* Until all are done, all handles must stay valid. */
    for (int i = 0; i < CROWD; i++)
        CHECK_OK(hd_sem_wait(&finished));
    for (int i = 0; i < CROWD; i++)
        join(crowd[i]);
    CHECK_EQ(atomic_load(&hd__rt.shared_pinned), 0);
    return 0;
}

TEST_WITHIN(everybody_changes_everybody, 120) {
    find_cpus();
    static const char *const policies[] = {"steal", "rr", "priority"};
    for (unsigned i = 0; i < 3; i++)
        for (unsigned workers = 1; workers <= 4; workers *= 2)
            CHECK_OK(hd_run(HD_CONFIG(.workers = workers, .slice_us = 200, .policy = policies[i]),
                            mill, NULL));
}

/* ---- The others have their turns ---- */

static _Atomic bool others_done;
static _Atomic int started;

static void *yield_until_done(void *arg) {
    atomic_fetch_add(&started, 1);
    while (!atomic_load(&others_done))
        hd_yield();
    return arg;
}

static void *compute_until_done(void *arg) {
    atomic_fetch_add(&started, 1);
    while (!atomic_load(&others_done)) {
    }
    return arg;
}

static void *take_turns(void *arg) {
    for (int i = 0; i < 20; i++)
        hd_yield();
    return arg;
}

/* Restricted threads that yield, or compute, again and again, on one worker with others. */
static int beside_restricted_ones(void *arg) {
    enum { N = 3 };
    static hd_fn const ways[] = {yield_until_done, compute_until_done};
    hd_cpuset set = only(first);
    (void)arg;
    for (int way = 0; way < 2; way++) {
        hd_thread *t[N];
        atomic_store(&others_done, false);
        atomic_store(&started, 0);
        for (int i = 0; i < N; i++)
            CHECK_OK(hd_spawn(&t[i], HD_ATTR(.cpus = &set), ways[way], NULL));
        while (atomic_load(&started) != N)
            hd_yield();
        join(spawn(take_turns, NULL));
        atomic_store(&others_done, true);
        for (int i = 0; i < N; i++)
            join(t[i]);
    }
    return 0;
}

TEST_WITHIN(restricted_threads_leave_room, 60) {
    find_cpus();
    static const char *const policies[] = {"steal", "rr", "priority"};
    for (unsigned i = 0; i < 3; i++)
        CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .slice_us = 200, .policy = policies[i]),
                        beside_restricted_ones, NULL));
}

/* ---- Threads that several workers may take ---- */

static _Atomic int done;

static void *count_one(void *arg) {
    atomic_fetch_add(&done, 1);
    return arg;
}

/* The spawner keeps its worker to itself: the other one must take them all, wherever they wait. */
static int keep_busy(void *arg) {
    enum { N = 16 };
    hd_cpuset set = both();
    (void)arg;
    for (int round = 0; round < 20; round++) {
        hd_thread *t[N];
        atomic_store(&done, 0);
        for (int i = 0; i < N; i++)
            CHECK_OK(hd_spawn(&t[i], HD_ATTR(.cpus = &set), count_one, NULL));
        if (round % 2)
            CHECK_OK(hd_sleep_for(MS)); /* the other worker is parked by then */
        while (atomic_load(&done) != N) {
        }
        for (int i = 0; i < N; i++)
            join(t[i]);
    }
    CHECK_EQ(atomic_load(&hd__rt.shared_pinned), 0);
    return 0;
}

TEST(whoever_is_idle_takes_them) {
    need_two();
    static const char *const policies[] = {"steal", "rr", "priority"};
    for (unsigned i = 0; i < 3; i++)
        for (int bind = 0; bind <= 1; bind++)
            CHECK_OK(hd_run(HD_CONFIG(.workers = 2, .slice_us = HD_SLICE_NONE, .bind_workers = bind,
                                      .policy = policies[i], .spin_us = HD_SPIN_NONE),
                            keep_busy, NULL));
}

/* Woken from outside, by one worker or by the other, with nobody spinning. */
static hd_sem ping = HD_SEM_INIT(0), pong = HD_SEM_INIT(0);

static void *answer(void *arg) {
    for (unsigned long i = 0; i < test_iterations(2000); i++) {
        CHECK_OK(hd_sem_wait(&ping));
        hd_sem_post(&pong);
    }
    return arg;
}

TEST(no_wake_up_is_lost) {
    need_two();
    static const char *const policies[] = {"steal", "rr"};
    for (unsigned i = 0; i < 2; i++) {
        hd_cpuset set = both();
        hd_thread *t;
        CHECK_OK(hd_start(HD_CONFIG(.workers = 3, .spin_us = HD_SPIN_NONE, .policy = policies[i])));
        CHECK_OK(hd_spawn(&t, HD_ATTR(.cpus = &set), answer, NULL));
        for (unsigned long k = 0; k < test_iterations(2000); k++) {
            hd_sem_post(&ping);
            CHECK_OK(hd_sem_wait(&pong));
        }
        join(t);
        CHECK_OK(hd_stop());
    }
}
