/* SPDX-License-Identifier: MIT */
/* What the facts of a machine mean: a rule for each. */
#include "disturb.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

struct list {
    const struct lab_run *run;
    struct lab_disturbance *items;
    size_t count;
};

static const char *fact(const struct list *l, const char *key) {
    for (size_t i = 0; i < l->run->machine_count; i++) {
        if (strcmp(l->run->machine[i].key, key) == 0)
            return l->run->machine[i].value;
    }
    return NULL;
}

static double number(const struct list *l, const char *key, double otherwise) {
    const char *value = fact(l, key);
    return value ? strtod(value, NULL) : otherwise;
}

static bool is(const char *value, const char *word) {
    return value && strcmp(value, word) == 0;
}

static void add(struct list *l, enum lab_disturb_level level, const char *name, char *value,
                const char *effect, const char *remedy) {
    l->items = lab_grow_one(l->items, l->count, sizeof(*l->items));
    l->items[l->count++] = (struct lab_disturbance){level, name, value, effect, remedy};
}

/* ---- who else is at work ---- */

static void noise(struct list *l) {
    if (!fact(l, "noise_lost_percent")) {
        add(l, LAB_DISTURB_UNKNOWN, "noise", lab_copy("not measured"),
            "nobody listened for neighbours", NULL);
        return;
    }
    double lost = number(l, "noise_worst_percent", 0), us = number(l, "noise_longest_us", 0);
    enum lab_disturb_level level = lost >= 2     ? LAB_DISTURB_MUCH
                                   : lost >= 0.3 ? LAB_DISTURB_SOME
                                                 : LAB_DISTURB_NOT;
    add(l, level, "noise",
        lab_format("%.2g %% of the time taken from a busy CPU, up to %.3g %s at once", lost,
                   us < 1000 ? us : us / 1000, us < 1000 ? "us" : "ms"),
        level == LAB_DISTURB_NOT ? "interrupts and little else"
                                 : "somebody else runs here: wall times grow by what they take, "
                                   "and more while several threads need a CPU each",
        level == LAB_DISTURB_NOT ? NULL : "end other programs, or measure at another time");
    double spread = number(l, "noise_spread_percent", 0);
    level = spread >= 10 ? LAB_DISTURB_MUCH : spread >= 2 ? LAB_DISTURB_SOME : LAB_DISTURB_NOT;
    add(l, level, "speed", lab_format("the same work takes up to %.2g %% longer", spread),
        level == LAB_DISTURB_NOT ? "the CPUs run at one speed"
                                 : "neighbours on the same core or in the same caches, or a clock "
                                   "that changes: CPU times vary with it, not wall times alone",
        level == LAB_DISTURB_NOT ? NULL
                                 : "more processes (--repeat) average it; see governor, smt");
}

static void steal(struct list *l) {
    double percent = number(l, "steal_percent", 0);
    if (!is(fact(l, "hypervisor"), "yes"))
        return;
    enum lab_disturb_level level = percent >= 1     ? LAB_DISTURB_MUCH
                                   : percent >= 0.1 ? LAB_DISTURB_SOME
                                                    : LAB_DISTURB_NOT;
    add(l, level, "steal_percent", lab_format("%.2g %% since the machine started", percent),
        level == LAB_DISTURB_NOT ? "the host gave its CPUs when they were asked for"
                                 : "the host gives this machine's CPUs to others: wall times and "
                                   "CPU times hold their turns",
        level == LAB_DISTURB_NOT ? NULL : "a machine with CPUs of its own");
    add(l, LAB_DISTURB_SOME, "hypervisor", lab_copy("a virtual machine"),
        "other guests share caches and memory bandwidth, and cannot be seen from here; leaving the "
        "guest (timers, wake-ups of idle CPUs) costs microseconds",
        NULL);
}

static void load(struct list *l) {
    const char *value = fact(l, "load_1min");
    double cpus = number(l, "cpus_online", 1), now = number(l, "load_1min", 0);
    if (!value)
        return;
    enum lab_disturb_level level = now >= 0.5 * cpus   ? LAB_DISTURB_MUCH
                                   : now >= 0.1 * cpus ? LAB_DISTURB_SOME
                                                       : LAB_DISTURB_NOT;
    add(l, level, "load_1min", lab_format("%s on %.0f CPUs", value, cpus),
        level == LAB_DISTURB_NOT
            ? "nobody else computed in the last minute"
            : "somebody computed in the last minute; if it goes on, subjects share their CPUs",
        level == LAB_DISTURB_NOT ? NULL : "end other programs, or wait");
}

/* ---- the CPUs and their clock ---- */

static void frequency(struct list *l) {
    const char *governor = fact(l, "governor"), *turbo = fact(l, "turbo");
    if (!governor) {
        add(l, LAB_DISTURB_UNKNOWN, "governor", lab_copy("not to be seen"),
            "the clock's frequency is the host's or the firmware's business: see speed", NULL);
    } else if (is(governor, "performance")) {
        add(l, LAB_DISTURB_NOT, "governor", lab_copy(governor), "the clock does not wait for load",
            NULL);
    } else {
        add(l, LAB_DISTURB_SOME, "governor", lab_copy(governor),
            "the clock follows the load: the first milliseconds of a process run slower, and those "
            "after a sleep",
            "cpupower frequency-set -g performance");
    }
    if (is(turbo, "on")) {
        add(l, LAB_DISTURB_SOME, "turbo", lab_copy(turbo),
            "the clock depends on heat and on how many cores are busy: one thread runs faster than "
            "each of several, and a warm machine slower than a cold one",
            "echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo, or echo 0 > "
            "/sys/devices/system/cpu/cpufreq/boost");
    } else if (turbo) {
        add(l, LAB_DISTURB_NOT, "turbo", lab_copy(turbo), "the clock stays below the limit of heat",
            NULL);
    }
}

static void smt(struct list *l) {
    const char *value = fact(l, "smt");
    if (is(value, "on")) {
        add(l, LAB_DISTURB_SOME, "smt", lab_copy(value),
            "two CPUs share a core: threads there slow each other by a third or more, and which "
            "ones do differs from process to process",
            "echo off > /sys/devices/system/cpu/smt/control, or taskset to one CPU a core");
    } else if (value) {
        add(l, LAB_DISTURB_NOT, "smt", lab_copy(value),
            is(fact(l, "hypervisor"), "yes") ? "no two CPUs share a core, as far as the host tells"
                                             : "no two CPUs share a core",
            NULL);
    }
}

static void clock_source(struct list *l) {
    static const char *const fast[] = {"tsc", "arch_sys_counter", "kvm-clock", "riscv_clocksource",
                                       "hyperv_clocksource_tsc_page"};
    const char *value = fact(l, "clocksource");
    double ns = number(l, "clock_ns", 0);
    bool good = false;
    for (size_t i = 0; i < sizeof(fast) / sizeof(fast[0]); i++)
        good = good || is(value, fast[i]);
    if (!value && ns <= 0)
        return;
    good = good ? ns < 500 : ns > 0 && ns < 150;
    add(l, good ? LAB_DISTURB_NOT : LAB_DISTURB_SOME, "clocksource",
        lab_format("%s, %.3g ns a reading", value ? value : "unknown", ns),
        good ? "the clock is read without the kernel"
             : "each reading of the clock is a system call: it is a part of short times",
        good ? NULL : "boot with tsc=reliable, if this CPU's counter is");
}

/* ---- limits and memory ---- */

static void limits(struct list *l) {
    double cpus = number(l, "cgroup_cpus", 0), bytes = number(l, "cgroup_memory_bytes", 0);
    double allowed = number(l, "cpus", 1);
    if (cpus > 0) {
        bool tight = cpus < allowed + 0.5;
        add(l, tight ? LAB_DISTURB_MUCH : LAB_DISTURB_SOME, "cgroup_cpus",
            lab_format("the time of %.3g CPUs, of %.0f", cpus, allowed),
            "when the quota of a period (mostly 100 ms) is spent, all threads stand still until "
            "the next: latencies and what many threads do are those of the quota",
            "raise cpu.max of the control group (docker run without --cpus)");
    } else {
        add(l, LAB_DISTURB_NOT, "cgroup_cpus", lab_copy("no quota"), "no group limits the CPU time",
            NULL);
    }
    if (bytes > 0 && bytes < 4e9) {
        add(l, LAB_DISTURB_SOME, "cgroup_memory_bytes", lab_format("%.3g GB", bytes * 1e-9),
            "large experiments may be killed, and page caches are given up early",
            "raise memory.max of the control group");
    }
}

static void memory(struct list *l) {
    const char *thp = fact(l, "thp"), *aslr = fact(l, "aslr");
    if (is(thp, "always")) {
        add(l, LAB_DISTURB_SOME, "thp", lab_copy(thp),
            "memory gets huge pages when the kernel finds some: page faults and large working sets "
            "jump between two speeds",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
    } else if (thp) {
        add(l, LAB_DISTURB_NOT, "thp", lab_copy(thp), "only who asks for huge pages gets them",
            NULL);
    }
    if (aslr && !is(aslr, "0")) {
        add(l, LAB_DISTURB_NOT, "aslr", lab_copy(aslr),
            "addresses differ between processes: they are sampled, and part of the interval. "
            "Leave it on: without it every process has the same luck",
            NULL);
    } else if (aslr) {
        add(l, LAB_DISTURB_SOME, "aslr", lab_copy("0 (off)"),
            "every process has the same addresses: a lucky or unlucky placement counts as the "
            "program's own speed, and the length of the environment moves the stack",
            "sysctl kernel.randomize_va_space=2");
    }
    if (is(fact(l, "numa_balancing"), "1")) {
        add(l, LAB_DISTURB_SOME, "numa_balancing", lab_copy("1"),
            "the kernel unmaps pages to see who uses them, and moves them: extra page faults",
            "sysctl kernel.numa_balancing=0");
    }
}

static void counters(struct list *l) {
    const char *value = fact(l, "hardware_counters"), *paranoid = fact(l, "perf_event_paranoid");
    if (!value)
        return;
    char *shown = lab_format("%s, perf_event_paranoid %s", value, paranoid ? paranoid : "unknown");
    if (is(value, "yes")) {
        add(l, LAB_DISTURB_NOT, "hardware_counters", shown, "misses and cycles can be counted",
            NULL);
    } else if (number(l, "perf_event_paranoid", 0) > 2) {
        add(l, LAB_DISTURB_NOT, "hardware_counters", shown,
            "times are not disturbed, but their causes can only be simulated",
            "sysctl kernel.perf_event_paranoid=2");
    } else {
        add(l, LAB_DISTURB_NOT, "hardware_counters", shown,
            "times are not disturbed, but their causes can only be simulated: this machine shows "
            "no counters",
            NULL);
    }
}

static int by_level(const void *a, const void *b) {
    const struct lab_disturbance *x = a, *y = b;
    if (x->level != y->level)
        return x->level < y->level ? -1 : 1;
    return strcmp(x->fact, y->fact);
}

struct lab_disturbance *lab_disturbances(const struct lab_run *run, size_t *count) {
    struct list l = {.run = run};
    noise(&l);
    steal(&l);
    load(&l);
    frequency(&l);
    smt(&l);
    clock_source(&l);
    limits(&l);
    memory(&l);
    counters(&l);
    qsort(l.items, l.count, sizeof(*l.items), by_level);
    *count = l.count;
    return l.items;
}

void lab_disturbances_free(struct lab_disturbance *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        free(list[i].value);
    free(list);
}

const char *lab_disturb_word(enum lab_disturb_level level) {
    static const char *const words[LAB_DISTURB_LEVELS] = {"disturbs", "a little", "unknown",
                                                          "fine"};
    return words[level];
}
