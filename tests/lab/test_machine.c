/* SPDX-License-Identifier: MIT */
/* The settings of a made-up machine are read as they are written, and each means what it should. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disturb.h"
#include "measure/machine.h"
#include "record.h"
#include "report/report.h"
#include "text.h"

/* A folder that stands for "/". */
static char *make_root(void) {
    char *root = lab_copy("/tmp/heddle-machine-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    return root;
}

static void write_file(const char *root, const char *path, const char *text) {
    char *whole = lab_format("%s%s", root, path);
    for (char *slash = strchr(whole + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0755);
        *slash = '/';
    }
    FILE *f = fopen(whole, "w");
    CHECK_MSG(f != NULL, "%s", whole);
    fputs(text, f);
    fclose(f);
    free(whole);
}

static void remove_root(char *root) {
    char *command = lab_format("rm -rf '%s'", root);
    CHECK_EQ(system(command), 0);
    free(command);
    free(root);
}

static void check_fact(const struct lab_run *run, const char *key, const char *wanted) {
    const char *value = lab_machine_fact(run, key);
    if (!wanted) {
        CHECK_MSG(!value, "%s is %s", key, value);
        return;
    }
    CHECK_MSG(value && strcmp(value, wanted) == 0, "%s is %s, not %s", key,
              value ? value : "absent", wanted);
}

TEST(settings_are_read) {
    char *root = make_root();
    write_file(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
    write_file(root, "/sys/devices/system/cpu/intel_pstate/no_turbo", "0\n");
    write_file(root, "/sys/devices/system/cpu/smt/active", "1\n");
    write_file(root, "/sys/devices/system/cpu/isolated", "\n");
    write_file(root, "/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
    write_file(root, "/proc/sys/kernel/randomize_va_space", "0\n");
    write_file(root, "/proc/sys/kernel/perf_event_paranoid", "4\n");
    write_file(root, "/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
    write_file(root, "/proc/stat", "cpu  100 0 100 700 0 0 0 100 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n");
    write_file(root, "/proc/self/cgroup", "0::/a/b\n");
    write_file(root, "/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    write_file(root, "/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    write_file(root, "/sys/fs/cgroup/a/b/memory.max", "1073741824\n");
    write_file(root, "/sys/fs/cgroup/memory.max", "2147483648\n");
    struct lab_run run = {0};
    lab_machine_settings(&run, root);
    check_fact(&run, "governor", "powersave");
    check_fact(&run, "turbo", "on");
    check_fact(&run, "smt", "on");
    check_fact(&run, "isolated_cpus", NULL);
    check_fact(&run, "clocksource", "hpet");
    check_fact(&run, "aslr", "0");
    check_fact(&run, "perf_event_paranoid", "4");
    check_fact(&run, "thp", "always");
    check_fact(&run, "steal_percent", "10");
    check_fact(&run, "cgroup_cpus", "1.5");
    check_fact(&run, "cgroup_memory_bytes", "1073741824");
    lab_run_free(&run);
    remove_root(root);
}

TEST(settings_of_the_older_kind_are_read) {
    char *root = make_root();
    write_file(root, "/sys/devices/system/cpu/cpufreq/boost", "0\n");
    write_file(root, "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,4\n");
    write_file(root, "/proc/self/cgroup",
               "3:memory:/m\n2:cpu,cpuacct:/d/x\n1:name=systemd:/\n0::/\n");
    write_file(root, "/sys/fs/cgroup/cpu,cpuacct/d/x/cpu.cfs_quota_us", "-1\n");
    write_file(root, "/sys/fs/cgroup/cpu,cpuacct/d/x/cpu.cfs_period_us", "100000\n");
    write_file(root, "/sys/fs/cgroup/cpu,cpuacct/d/cpu.cfs_quota_us", "50000\n");
    write_file(root, "/sys/fs/cgroup/cpu,cpuacct/d/cpu.cfs_period_us", "100000\n");
    write_file(root, "/sys/fs/cgroup/memory/m/memory.limit_in_bytes", "9223372036854771712\n");
    struct lab_run run = {0};
    lab_machine_settings(&run, root);
    check_fact(&run, "turbo", "off");
    check_fact(&run, "smt", "on");
    check_fact(&run, "cgroup_cpus", "0.5");
    check_fact(&run, "cgroup_memory_bytes", NULL);
    lab_run_free(&run);
    remove_root(root);
}

TEST(settings_that_are_not_there_are_left_out) {
    char *root = make_root();
    struct lab_run run = {0};
    lab_machine_settings(&run, root);
    CHECK_EQ(run.machine_count, 0u);
    write_file(root, "/proc/self/cgroup", "nonsense\n::\n0:\n5:cpu\n0::relative\n\n");
    write_file(root, "/proc/stat", "cpu nonsense\n");
    write_file(root, "/sys/kernel/mm/transparent_hugepage/enabled", "always madvise never\n");
    lab_machine_settings(&run, root);
    CHECK_EQ(run.machine_count, 0u);
    lab_run_free(&run);
    remove_root(root);
}

TEST(this_machine_is_described) {
    struct lab_run run = {0};
    lab_machine_describe_for(&run, 0.01, 2);
    static const char *const always[] = {"date", "cpus", "kernel", "hardware_counters", "clock_ns",
                                         "noise_lost_percent", "noise_spread_percent"};
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        CHECK_MSG(lab_machine_fact(&run, always[i]) != NULL, "%s", always[i]);
    double lost = strtod(lab_machine_fact(&run, "noise_lost_percent"), NULL);
    CHECK(lost >= 0 && lost <= 100);
    for (size_t i = 0; i < run.machine_count; i++) {
        for (size_t k = 0; k < i; k++)
            CHECK_MSG(strcmp(run.machine[i].key, run.machine[k].key) != 0, "%s twice",
                      run.machine[i].key);
    }
    lab_run_free(&run);
}

/* ---- what the facts mean ---- */

static enum lab_disturb_level level_of(const struct lab_run *run, const char *name) {
    size_t count;
    struct lab_disturbance *list = lab_disturbances(run, &count);
    enum lab_disturb_level level = LAB_DISTURB_LEVELS; /* not said */
    for (size_t i = 0; i < count; i++) {
        CHECK(list[i].value && *list[i].value && list[i].effect && *list[i].effect);
        if (i > 0) CHECK(list[i].level >= list[i - 1].level);
        if (strcmp(list[i].fact, name) == 0) level = list[i].level;
    }
    lab_disturbances_free(list, count);
    return level;
}

TEST(each_fact_means_what_it_should) {
    static const struct {
        const char *key, *value, *says;
        enum lab_disturb_level level;
    } cases[] = {
        {"governor", "powersave", "governor", LAB_DISTURB_SOME},
        {"governor", "performance", "governor", LAB_DISTURB_NOT},
        {"nothing", "x", "governor", LAB_DISTURB_UNKNOWN},
        {"turbo", "on", "turbo", LAB_DISTURB_SOME},
        {"turbo", "off", "turbo", LAB_DISTURB_NOT},
        {"nothing", "x", "turbo", LAB_DISTURB_LEVELS},
        {"smt", "on", "smt", LAB_DISTURB_SOME},
        {"smt", "off", "smt", LAB_DISTURB_NOT},
        {"aslr", "2", "aslr", LAB_DISTURB_NOT},
        {"aslr", "0", "aslr", LAB_DISTURB_SOME},
        {"thp", "always", "thp", LAB_DISTURB_SOME},
        {"thp", "madvise", "thp", LAB_DISTURB_NOT},
        {"cgroup_cpus", "0.5", "cgroup_cpus", LAB_DISTURB_MUCH},
        {"cgroup_cpus", "64", "cgroup_cpus", LAB_DISTURB_SOME},
        {"nothing", "x", "cgroup_cpus", LAB_DISTURB_NOT},
        {"cgroup_memory_bytes", "1e9", "cgroup_memory_bytes", LAB_DISTURB_SOME},
        {"cgroup_memory_bytes", "1e12", "cgroup_memory_bytes", LAB_DISTURB_LEVELS},
        {"load_1min", "0.01", "load_1min", LAB_DISTURB_NOT},
        {"load_1min", "3", "load_1min", LAB_DISTURB_MUCH},
        {"clocksource", "tsc", "clocksource", LAB_DISTURB_NOT},
        {"clocksource", "hpet", "clocksource", LAB_DISTURB_SOME},
        {"noise_lost_percent", "0.1", "noise", LAB_DISTURB_NOT},
        {"noise_worst_percent", "9", "noise", LAB_DISTURB_UNKNOWN},
        {"nothing", "x", "noise", LAB_DISTURB_UNKNOWN},
        {"hypervisor", "yes", "hypervisor", LAB_DISTURB_SOME},
        {"hypervisor", "no", "hypervisor", LAB_DISTURB_LEVELS},
        {"numa_balancing", "1", "numa_balancing", LAB_DISTURB_SOME},
        {"hardware_counters", "no", "hardware_counters", LAB_DISTURB_NOT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct lab_run run = {0};
        lab_machine_add(&run, cases[i].key, cases[i].value, false);
        enum lab_disturb_level level = level_of(&run, cases[i].says);
        CHECK_MSG(level == cases[i].level, "%s %s: %d", cases[i].key, cases[i].value, (int)level);
        lab_run_free(&run);
    }
}

TEST(noise_has_levels) {
    static const struct {
        const char *worst, *spread;
        enum lab_disturb_level noise, speed;
    } cases[] = {
        {"0.05", "0.4", LAB_DISTURB_NOT, LAB_DISTURB_NOT},
        {"0.8", "4", LAB_DISTURB_SOME, LAB_DISTURB_SOME},
        {"51", "30", LAB_DISTURB_MUCH, LAB_DISTURB_MUCH},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct lab_run run = {0};
        lab_machine_add(&run, "noise_lost_percent", "0.01", true);
        lab_machine_add(&run, "noise_worst_percent", cases[i].worst, true);
        lab_machine_add(&run, "noise_longest_us", "20000", true);
        lab_machine_add(&run, "noise_spread_percent", cases[i].spread, true);
        CHECK_EQ(level_of(&run, "noise"), cases[i].noise);
        CHECK_EQ(level_of(&run, "speed"), cases[i].speed);
        lab_run_free(&run);
    }
}

TEST(the_table_says_what_disturbs) {
    for (int noisy = 0; noisy < 2; noisy++) {
        struct lab_run run = {.mode = "quick"};
        char *text = NULL;
        size_t bytes = 0;
        lab_machine_add(&run, "noise_lost_percent", "0.01", true);
        lab_machine_add(&run, "noise_worst_percent", noisy ? "51" : "0.02", true);
        lab_machine_add(&run, "noise_longest_us", "12", true);
        FILE *f = open_memstream(&text, &bytes);
        CHECK(f != NULL);
        report_text(&run, f, false);
        CHECK_EQ(fclose(f), 0);
        CHECK_MSG((strstr(text, "Disturbed by noise: 51 % of the time") != NULL) == (noisy == 1),
                  "%s", text);
        free(text);
        lab_run_free(&run);
    }
}
