/* SPDX-License-Identifier: MIT */
/* A control group that is a folder, whose quota the tests change; and the CPUs of this process. */
#ifndef HEDDLE_TEST_FOLLOW_TEST_H
#define HEDDLE_TEST_FOLLOW_TEST_H

#include "runtime_test.h"
#include "topology_test.h"

#include "os/cgroup.h"
#include "sched/follow.h"

#include <dirent.h>
#include <sched.h>

static char *group_root;

/* The process is in group /a/b, of version 2. */
static inline void group_make(unsigned cpus_online) {
    char list[32];
    group_root = folder_make();
    put_file(group_root, "0::/a/b", "proc/self/cgroup");
    put_file(group_root, cpu_list(list, 0, cpus_online), "sys/devices/system/cpu/online");
    hd__os_cgroup_set_root(group_root);
    atomic_store(&hd__follow_every_ns, MS);
}

static inline void group_remove(void) {
    hd__os_cgroup_set_root(NULL);
    folder_remove(group_root);
}

/* In hundredths of a CPU; 0: no quota. Never seen half written. */
static inline void group_quota(unsigned hundredths) {
    char text[64], from[256], to[256];
    snprintf(text, sizeof text, "%u 100000", hundredths * 1000);
    put_file(group_root, hundredths ? text : "max 100000", "sys/fs/cgroup/a/cpu.next");
    snprintf(from, sizeof from, "%s/sys/fs/cgroup/a/cpu.next", group_root);
    snprintf(to, sizeof to, "%s/sys/fs/cgroup/a/cpu.max", group_root);
    CHECK_EQ(rename(from, to), 0);
}

/* What taskset -a does: every kernel thread of the process may use these CPUs. */
static inline void confine_all(const cpu_set_t *cpus) {
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    CHECK(tasks != NULL);
    while ((task = readdir(tasks)) != NULL)
        if (task->d_name[0] != '.')
            (void)sched_setaffinity(atoi(task->d_name), sizeof *cpus, cpus);
    closedir(tasks);
}

static inline unsigned cpus_allowed(cpu_set_t *out) {
    CHECK_EQ(sched_getaffinity(0, sizeof *out, out), 0);
    return (unsigned)CPU_COUNT(out);
}

static inline uint64_t workers_most(void) {
    struct hd_metrics m = HD_METRICS_INIT;
    CHECK_OK(hd_metrics_get(&m));
    CHECK_EQ(m.workers, hd_worker_count());
    return m.workers_most;
}

/* From a thread: until so many workers are in service, and the others are retired. */
static inline void await_workers(unsigned n) {
    while (hd_worker_count() != n ||
           atomic_load(&hd__rt.retired) != hd__rt.worker_count - n)
        CHECK_OK(hd_sleep_for(MS));
}

#endif
