/* SPDX-License-Identifier: MIT */
/* What is set on the machine: clocks, CPUs, memory, limits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../text.h"
#include "machine.h"

static char *read_line(const char *root, const char *path) {
    char *whole = lab_format("%s%s", root, path);
    char *line = lab_read_line(whole);
    free(whole);
    return line;
}

static void add_line(struct lab_run *run, const char *key, const char *root, const char *path,
                     bool number) {
    char *line = read_line(root, path);
    lab_machine_add(run, key, line, number);
    free(line);
}

/* The word in brackets: "always [madvise] never". */
static void add_choice(struct lab_run *run, const char *key, const char *root, const char *path) {
    char *line = read_line(root, path), *open = line ? strchr(line, '[') : NULL;
    if (open) {
        open[strcspn(open, "]")] = '\0';
        lab_machine_add(run, key, open + 1, false);
    }
    free(line);
}

/* Intel's driver says what it is without, the others what they are with. */
static void add_turbo(struct lab_run *run, const char *root) {
    char *without = read_line(root, "/sys/devices/system/cpu/intel_pstate/no_turbo");
    char *with = read_line(root, "/sys/devices/system/cpu/cpufreq/boost");
    if (without) {
        lab_machine_add(run, "turbo", *without == '0' ? "on" : "off", false);
    } else if (with) {
        lab_machine_add(run, "turbo", *with == '0' ? "off" : "on", false);
    }
    free(without);
    free(with);
}

/* Whether two CPUs share a core. */
static void add_smt(struct lab_run *run, const char *root) {
    char *active = read_line(root, "/sys/devices/system/cpu/smt/active");
    char *siblings = read_line(root, "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list");
    if (active) {
        lab_machine_add(run, "smt", *active == '1' ? "on" : "off", false);
    } else if (siblings) {
        lab_machine_add(run, "smt", strpbrk(siblings, ",-") ? "on" : "off", false);
    }
    free(active);
    free(siblings);
}

/* The part of their time that the host kept from this machine's CPUs since it started. */
static void add_steal(struct lab_run *run, const char *root) {
    enum { FIELDS = 8, STEAL = 7 }; /* user nice system idle iowait irq softirq steal */
    double ticks[FIELDS], all = 0;
    char *line = read_line(root, "/proc/stat");
    if (line && sscanf(line, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &ticks[0], &ticks[1], &ticks[2],
                       &ticks[3], &ticks[4], &ticks[5], &ticks[6], &ticks[7]) == FIELDS) {
        for (int i = 0; i < FIELDS; i++)
            all += ticks[i];
        if (all > 0)
            lab_machine_add_number(run, "steal_percent", 100 * ticks[STEAL] / all);
    }
    free(line);
}

/* ---- limits of control groups ---- */

/* A line of numbers in a file of a group: how many of at most two there are. "max" is none. */
static int read_numbers(const char *root, const char *group, const char *name, double values[2]) {
    char *path = lab_format("%s/%s", group, name), *line = read_line(root, path);
    int n = line ? sscanf(line, "%lf %lf", &values[0], &values[1]) : 0;
    free(line);
    free(path);
    return n < 0 ? 0 : n;
}

struct limits {
    double cpus, memory_bytes; /* 0: none */
};

static void take_lower(double *limit, double found) {
    if (found > 0 && (*limit <= 0 || found < *limit))
        *limit = found;
}

static void look_at_group(struct limits *l, const char *root, const char *group) {
    static const double unlimited = 0x1p62; /* how version 1 says that there is no limit */
    double v[2], period[2];
    if (read_numbers(root, group, "cpu.max", v) == 2 && v[1] > 0)
        take_lower(&l->cpus, v[0] / v[1]);
    if (read_numbers(root, group, "cpu.cfs_quota_us", v) == 1 &&
        read_numbers(root, group, "cpu.cfs_period_us", period) == 1 && period[0] > 0)
        take_lower(&l->cpus, v[0] / period[0]);
    if (read_numbers(root, group, "memory.max", v) == 1)
        take_lower(&l->memory_bytes, v[0]);
    if (read_numbers(root, group, "memory.limit_in_bytes", v) == 1 && v[0] < unlimited)
        take_lower(&l->memory_bytes, v[0]);
}

/* The group and those above it: the lowest limit counts. In a container the path may lead nowhere;
 * what is mounted is then the group itself. */
static void look_upwards(struct limits *l, const char *root, const char *mount, const char *path) {
    char *group = lab_format("%s%s", mount, path);
    size_t least = strlen(mount);
    while (strlen(group) > least) {
        look_at_group(l, root, group);
        *strrchr(group, '/') = '\0';
    }
    look_at_group(l, root, mount);
    free(group);
}

/* One line of /proc/self/cgroup: NUMBER:CONTROLLERS:PATH, no controllers in version 2. */
static void look_at_line(struct limits *l, const char *root, char *line) {
    char *rest = line;
    line[strcspn(line, "\n")] = '\0';
    strsep(&rest, ":");
    char *controllers = strsep(&rest, ":");
    if (!rest || *rest != '/')
        return;
    if (!*controllers) {
        look_upwards(l, root, "/sys/fs/cgroup", rest);
        look_upwards(l, root, "/sys/fs/cgroup/unified", rest);
        return;
    }
    char *mount = lab_format("/sys/fs/cgroup/%s", controllers);
    look_upwards(l, root, mount, rest);
    free(mount);
}

static void add_limits(struct lab_run *run, const char *root) {
    struct limits l = {0};
    char *path = lab_format("%s/proc/self/cgroup", root), *line = NULL;
    FILE *f = fopen(path, "re");
    size_t room = 0;
    free(path);
    if (!f)
        return;
    while (getline(&line, &room, f) > 0)
        look_at_line(&l, root, line);
    free(line);
    fclose(f);
    if (l.cpus > 0)
        lab_machine_add_number(run, "cgroup_cpus", l.cpus);
    if (l.memory_bytes > 0)
        lab_machine_add_number(run, "cgroup_memory_bytes", l.memory_bytes);
}

void lab_machine_settings(struct lab_run *run, const char *root) {
    add_line(run, "governor", root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", false);
    add_turbo(run, root);
    add_smt(run, root);
    add_line(run, "isolated_cpus", root, "/sys/devices/system/cpu/isolated", false);
    add_line(run, "clocksource", root,
             "/sys/devices/system/clocksource/clocksource0/current_clocksource", false);
    add_line(run, "aslr", root, "/proc/sys/kernel/randomize_va_space", true);
    add_line(run, "perf_event_paranoid", root, "/proc/sys/kernel/perf_event_paranoid", true);
    add_choice(run, "thp", root, "/sys/kernel/mm/transparent_hugepage/enabled");
    add_line(run, "numa_balancing", root, "/proc/sys/kernel/numa_balancing", true);
    add_steal(run, root);
    add_limits(run, root);
}
