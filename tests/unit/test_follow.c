/* SPDX-License-Identifier: MIT */
/* Workers follow the quota of the control group and the CPUs of the process. */
#include "follow_test.h"

#include <fcntl.h>

/* ---- Reading quotas ---- */

static void check_quota(const char *groups, unsigned expected) {
    put_file(group_root, groups, "proc/self/cgroup");
    CHECK_MSG(hd__os_cgroup_cpus() == expected, "%s: %u", groups, hd__os_cgroup_cpus());
}

TEST(quotas_of_version_2) {
    group_make(4);
    CHECK_EQ(hd__os_cpus_online(), 4);
    CHECK_EQ(hd__os_cgroup_cpus(), 0);
    static const struct {
        const char *text;
        unsigned cpus;
    } known[] = {
        {"150000 100000", 2}, {"100000 100000", 1}, {"100001 100000", 2}, {"1000 100000", 1},
        {"max 100000", 0},    {"6400000 100000", 64}, {"50000 10000", 5}, {"", 0},
        {"100000", 0},        {"100000 0", 0},      {"0 100000", 0},     {"-1 100000", 0},
        {"no number", 0},     {"18446744073709551615 1", 0},
    };
    for (size_t i = 0; i < HD__COUNTOF(known); i++) {
        put_file(group_root, known[i].text, "sys/fs/cgroup/a/b/cpu.max");
        CHECK_MSG(hd__os_cgroup_cpus() == known[i].cpus, "%s: %u", known[i].text,
                  hd__os_cgroup_cpus());
    }
    /* The least of all above it. */
    put_file(group_root, "500000 100000", "sys/fs/cgroup/a/b/cpu.max");
    put_file(group_root, "300000 100000", "sys/fs/cgroup/a/cpu.max");
    CHECK_EQ(hd__os_cgroup_cpus(), 3);
    put_file(group_root, "200000 100000", "sys/fs/cgroup/cpu.max");
    check_quota("0::/a/b", 2);
    check_quota("0::/", 2);
    check_quota("0::/../../elsewhere", 2);
    check_quota("0::/not/seen/in/a/container", 2);
    put_file(group_root, "max 100000", "sys/fs/cgroup/cpu.max");
    check_quota("0::/a/b", 3);
    check_quota("0::/a/b/", 3);
    check_quota("0::/a", 3);
    check_quota("0::/", 0);
    check_quota("", 0);
    check_quota("0", 0);
    check_quota("0:", 0);
    check_quota("::", 0);
    check_quota("0::", 0);
    group_remove();
}

TEST(quotas_of_version_1) {
    group_make(4);
    put_file(group_root, "250000", "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us");
    put_file(group_root, "100000", "sys/fs/cgroup/cpu/x/cpu.cfs_period_us");
    check_quota("9:cpuset:/\n1:cpu,cpuacct:/x/y\n0::/", 3);
    check_quota("2:cpuacct,cpu:/x", 3);
    check_quota("2:cpuacct:/x", 0);
    check_quota("2:cpu:/", 0);
    check_quota("7:cpus:/x\n8:name=cpu:/x", 0);
    put_file(group_root, "-1", "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us");
    check_quota("2:cpu:/x", 0);
    /* Where the names are not linked to each other. */
    put_file(group_root, "99999", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us");
    put_file(group_root, "50000", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us");
    check_quota("2:cpu,cpuacct:/x", 0);
    check_quota("2:cpu,cpuacct:/y", 2);
    /* Both versions: the lesser. */
    put_file(group_root, "100000 100000", "sys/fs/cgroup/cpu.max");
    check_quota("2:cpu,cpuacct:/y\n0::/", 1);
    group_remove();
}

/* This process is in some group, and its quota, if any, can be read. */
TEST(the_real_one) {
    CHECK_GE(hd__os_cpus_online(), 1);
    CHECK_LE(hd__os_cgroup_cpus(), 1000000);
}

/* ---- At the start ---- */

static void check_start(const struct hd_config *cfg, unsigned workers, unsigned most) {
    CHECK_OK(hd_start(cfg));
    CHECK_EQ(hd_worker_count(), workers);
    CHECK_EQ(workers_most(), most);
    struct hd_config now = {.size = sizeof now};
    CHECK_OK(hd_config_get(&now));
    CHECK_EQ(now.workers, workers);
    CHECK_OK(hd_stop());
    CHECK_EQ(hd_worker_count(), 0);
}

TEST(how_many_at_the_start) {
    cpu_set_t allowed;
    unsigned cpus = cpus_allowed(&allowed), most = cpus > 8 ? cpus : 8;
    group_make(8);
    check_start(NULL, cpus, most);
    group_quota(100);
    check_start(NULL, 1, most);
    group_quota(150);
    check_start(NULL, cpus < 2 ? 1 : 2, most);
    group_quota(9900);
    check_start(NULL, cpus, most);
    /* Who says a number gets it. */
    group_quota(100);
    check_start(HD_CONFIG(.workers = 3), 3, 3);
    check_start(HD_CONFIG(.carriers_max = 1), 1, 1);
    setenv("HEDDLE_WORKERS", "2", 1);
    check_start(NULL, 2, 2);
    group_remove();
}

/* ---- While it runs ---- */

/* Each kind of thread counts its turns; whatever happens to the workers, all of them go on. */
enum { YIELDS, SLEEPS, PASSES, TAKES, SPAWNS, COMPUTES, LIGHT, PINNED, SHARED, READS, KINDS };
static _Atomic unsigned long turns[KINDS];
static _Atomic bool over;
static hd_sem passed = HD_SEM_INIT(0);
static int ends[2];
static hd_cpuset everywhere, one_cpu;

static void turn(int kind) {
    atomic_fetch_add(&turns[kind], 1);
}

static void *nothing(void *arg) {
    return arg;
}

static void one_turn(int kind) {
    char c = 0;
    switch (kind) {
    case YIELDS:
    case PINNED:
        hd_yield();
        break;
    case SLEEPS:
    case SHARED:
        CHECK_OK(hd_sleep_for(50 * 1000));
        break;
    case PASSES:
        hd_sem_post(&passed);
        CHECK_EQ(hd_write(ends[1], &c, 1), 1);
        CHECK_OK(hd_sleep_for(20 * 1000));
        break;
    case TAKES:
        CHECK_OK(hd_sem_wait(&passed));
        break;
    case READS:
        CHECK_EQ(hd_read(ends[0], &c, 1), 1);
        break;
    case SPAWNS:
        join(spawn(nothing, NULL));
        break;
    default:
        break; /* computes, without a call */
    }
}

static void *take_turns(void *arg) {
    int kind = (int)(intptr_t)arg;
    while (!atomic_load(&over)) {
        one_turn(kind);
        turn(kind);
    }
    return NULL;
}

static hd_thread *spawn_turns(int kind) {
    hd_thread *t;
    struct hd_attr attr = {.size = sizeof attr};
    if (kind == LIGHT)
        attr.preempt = HD_PREEMPT_LIGHT;
    if (kind == SHARED)
        attr.cpus = &everywhere;
    if (kind == PINNED)
        attr.cpus = &one_cpu;
    CHECK_OK(hd_spawn(&t, &attr, take_turns, (void *)(intptr_t)kind));
    return t;
}

/* Everybody has had a turn since. */
static void await_turns(void) {
    unsigned long before[KINDS];
    for (int kind = 0; kind < KINDS; kind++)
        before[kind] = atomic_load(&turns[kind]);
    for (int kind = 0; kind < KINDS; kind++)
        while (atomic_load(&turns[kind]) == before[kind])
            CHECK_OK(hd_sleep_for(MS));
}

/* change(i) makes the process have `few` workers' worth for an odd i, and all for an even one. */
static void (*change)(unsigned long i);
static unsigned few, many;

static int ups_and_downs(void *arg) {
    hd_thread *t[KINDS];
    (void)arg;
    CHECK_EQ(pipe(ends), 0);
    atomic_store(&over, false);
    for (int kind = 0; kind < KINDS; kind++)
        t[kind] = spawn_turns(kind);
    for (unsigned long i = 1; i <= 2 * test_iterations(5); i++) {
        change(i);
        await_workers(i % 2 ? few : many);
        await_turns();
    }
    atomic_store(&over, true);
    hd_sem_post(&passed);
    CHECK_EQ(hd_write(ends[1], "", 1), 1);
    for (int kind = 0; kind < KINDS; kind++)
        join(t[kind]);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static void find_cpus(void) {
    cpu_set_t allowed;
    if (test_under_qemu())
        SKIP("the emulator has CPU sets of its own");
    many = cpus_allowed(&allowed);
    if (many < 2)
        SKIP("there is only one CPU");
    if (many > 4)
        SKIP("made for a few CPUs");
    memset(&everywhere, 0, sizeof everywhere);
    memset(&one_cpu, 0, sizeof one_cpu);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        hd_cpuset_add(&everywhere, cpu);
        memset(&one_cpu, 0, sizeof one_cpu);
        hd_cpuset_add(&one_cpu, cpu); /* the last one: its worker goes first */
    }
}

static void run_everywhere(void) {
    static const char *const policies[] = {"steal", "rr", "priority"};
    for (unsigned i = 0; i < 3; i++)
        for (int bind = 0; bind <= 1; bind++)
            CHECK_OK(hd_run(HD_CONFIG(.policy = policies[i], .bind_workers = bind, .slice_us = 500),
                            ups_and_downs, NULL));
}

static void change_quota(unsigned long i) {
    group_quota(i % 2 ? few * 100 : i % 4 ? 0 : many * 100);
}

TEST_WITHIN(the_quota_goes_down_and_up, 120) {
    find_cpus();
    few = 1;
    group_make(many);
    change = change_quota;
    run_everywhere();
    group_remove();
}

static void change_cpus(unsigned long i) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    for (unsigned cpu = 0, n = 0; cpu < CPU_SETSIZE && n < (i % 2 ? few : many); cpu++)
        if (hd_cpuset_has(&everywhere, cpu)) {
            CPU_SET(cpu, &cpus);
            n++;
        }
    confine_all(&cpus);
}

TEST_WITHIN(the_cpus_become_fewer_and_more, 120) {
    find_cpus();
    few = 1;
    group_make(many);
    change = change_cpus;
    run_everywhere();
    group_remove();
}

/* From one worker, whose siblings have never run. */
static void change_quota_up(unsigned long i) {
    group_quota(i % 2 ? 0 : 100);
}

static int up_first(void *arg) {
    (void)arg;
    CHECK_EQ(hd_worker_count(), 1);
    unsigned low = few;
    few = many;
    many = low;
    int err = ups_and_downs(NULL);
    many = few;
    few = low;
    return err;
}

TEST_WITHIN(workers_that_have_never_run, 120) {
    find_cpus();
    few = 1;
    group_make(many);
    group_quota(100);
    change = change_quota_up;
    CHECK_OK(hd_run(HD_CONFIG(.slice_us = 500), up_first, NULL));
    group_quota(100);
    CHECK_OK(hd_run(HD_CONFIG(.slice_us = 500, .policy = "rr"), up_first, NULL));
    group_remove();
}

/* ---- What retired means ---- */

static _Atomic int inside, most_inside;

static void *be_inside(void *arg) {
    for (int i = 0; i < 20; i++) {
        int n = atomic_fetch_add(&inside, 1) + 1;
        for (int seen = atomic_load(&most_inside); n > seen;)
            if (atomic_compare_exchange_weak(&most_inside, &seen, n))
                break;
        for (volatile int k = 0; k < 50000; k++) {
        }
        atomic_fetch_sub(&inside, 1);
        hd_yield();
    }
    return arg;
}

static int one_at_a_time(void *arg) {
    enum { N = 16 };
    hd_thread *t[N];
    (void)arg;
    group_quota(100);
    await_workers(1);
    atomic_store(&most_inside, 0);
    for (int i = 0; i < N; i++)
        t[i] = spawn(be_inside, NULL);
    for (int i = 0; i < N; i++)
        join(t[i]);
    CHECK_EQ(atomic_load(&most_inside), 1);
    return 0;
}

TEST(retired_workers_run_nothing) {
    find_cpus();
    group_make(many);
    CHECK_OK(hd_run(HD_CONFIG(.slice_us = HD_SLICE_NONE), one_at_a_time, NULL));
    group_quota(0);
    CHECK_OK(hd_run(HD_CONFIG(.slice_us = HD_SLICE_NONE, .policy = "rr"), one_at_a_time, NULL));
    group_remove();
}

/* An explicit number stays, its CPUs do not. */
static int stay(void *arg) {
    cpu_set_t now;
    (void)arg;
    change_cpus(1);
    group_quota(100);
    for (unsigned i = 0; atomic_load(&hd__rt.cpus_changes) == 0; i++)
        CHECK_OK(hd_sleep_for(MS));
    CHECK_EQ(hd_worker_count(), 3);
    CHECK_ERR(hd_spawn(NULL, HD_ATTR(.cpus = &one_cpu), nothing, NULL), -EINVAL);
    change_cpus(2);
    while (atomic_load(&hd__rt.cpus_changes) == 1)
        CHECK_OK(hd_sleep_for(MS));
    hd_thread *t;
    CHECK_OK(hd_spawn(&t, HD_ATTR(.cpus = &one_cpu), nothing, NULL));
    join(t);
    CHECK_OK(hd_thread_set_cpus(hd_self(), &one_cpu));
    CHECK_EQ(cpus_allowed(&now), 1);
    CHECK_OK(hd_thread_set_cpus(hd_self(), NULL));
    CHECK_EQ(cpus_allowed(&now), many);
    CHECK_EQ(hd_worker_count(), 3);
    return 0;
}

TEST(an_explicit_number_stays) {
    find_cpus();
    few = 1;
    group_make(many);
    CHECK_OK(hd_run(HD_CONFIG(.workers = 3), stay, NULL));
    group_remove();
}

/* With retired workers the last one still notices that nothing can run any more. */
static int deadlock(void *arg) {
    hd_sem never = HD_SEM_INIT(0);
    (void)arg;
    if (hd_worker_count() > 1) {
        group_quota(100);
        await_workers(1);
    }
    return hd_sem_wait(&never);
}

static void run_deadlock(void *arg) {
    group_make(2);
    if (arg)
        group_quota(100);
    exit(hd_run(NULL, deadlock, NULL));
}

TEST(a_deadlock_is_found) {
    find_cpus();
    if (TEST_TSAN)
        SKIP("ThreadSanitizer's own kernel threads could still act, as far as can be told");
    for (int i = 0; i < 2; i++) {
        static struct child c;
        child_run(&c, run_deadlock, i ? &c : NULL);
        CHECK_STR_HAS(c.out, "deadlock");
        CHECK(WIFSIGNALED(c.status) && WTERMSIG(c.status) == SIGABRT);
    }
}

/* ---- A real control group, where one can be made ---- */

static bool write_file(const char *name, const char *text) {
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    if (fd >= 0)
        close(fd);
    return n == (ssize_t)strlen(text);
}

static const char *real_group;

static int count_workers(void *arg) {
    *(unsigned *)arg = hd_worker_count();
    return 0;
}

static void in_real_group(void *arg) {
    char name[128], pid[32];
    unsigned workers = 0;
    (void)arg;
    snprintf(name, sizeof name, "%s/cgroup.procs", real_group);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (!write_file(name, pid))
        _exit(77);
    int err = hd_run(NULL, count_workers, &workers);
    _exit(err ? 78 : (int)workers);
}

TEST(a_real_control_group) {
    static const char *const mounts[] = {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup"};
    static const char *const files[] = {"cpu.cfs_quota_us", "cpu.max"};
    static const char *const quotas[] = {"50000", "50000 100000"};
    find_cpus();
    for (unsigned i = 0; i < 2; i++) {
        static struct child c;
        char folder[64], name[128];
        snprintf(folder, sizeof folder, "%s/heddle-test-%d", mounts[i], (int)getpid());
        snprintf(name, sizeof name, "%s/%s", folder, files[i]);
        if (mkdir(folder, 0755) != 0)
            continue;
        real_group = folder;
        bool set = write_file(name, quotas[i]);
        if (set)
            child_run(&c, in_real_group, NULL);
        for (int tries = 0; rmdir(folder) != 0 && tries < 1000; tries++)
            usleep(1000);
        if (!set || WEXITSTATUS(c.status) == 77)
            continue;
        CHECK(WIFEXITED(c.status));
        CHECK_EQ(WEXITSTATUS(c.status), 1);
        return;
    }
    SKIP("no control group can be made here");
}
