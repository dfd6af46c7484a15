/* SPDX-License-Identifier: MIT */
/* What is worth knowing of the machine. */
#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <gnu/libc-version.h>

#include <heddle/base.h>

#include "../record.h"
#include "../text.h"
#include "plan.h"

#ifdef HEDDLE_HAVE_COMMIT
#include "commit.h"
#else
#define HEDDLE_COMMIT "unknown"
#endif

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static void fact(struct lab_run *run, const char *key, const char *value, bool number) {
    if (!value)
        return;
    size_t n = strlen(value);
    while (n > 0 && value[n - 1] == ' ')
        n--;
    char *trimmed = lab_copy_n(value, n);
    if (n)
        lab_pairs_add(&run->machine, &run->machine_count, key, trimmed, number);
    free(trimmed);
}

static void number(struct lab_run *run, const char *key, long long value) {
    char *text = lab_format("%lld", value);
    fact(run, key, text, true);
    free(text);
}

/* What follows the colon of the first line that begins with one of the keys; NULL if none. */
static char *cpuinfo(const char *key) {
    FILE *f = fopen("/proc/cpuinfo", "re");
    if (!f)
        return NULL;
    char *line = NULL, *value = NULL;
    size_t room = 0;
    while (!value && getline(&line, &room, f) > 0) {
        char *colon = strchr(line, ':');
        if (!colon || !lab_starts_with(line, key))
            continue;
        const char *after = line + strlen(key);
        if (after + strspn(after, " \t") != colon)
            continue;
        value = lab_copy(colon + 1 + strspn(colon + 1, " "));
        value[strcspn(value, "\n")] = '\0';
    }
    free(line);
    fclose(f);
    return value;
}

static void describe_cpu(struct lab_run *run) {
    static const char *const names[] = {"model name", "uarch", "CPU part", "cpu model"};
    char *model = NULL;
    for (size_t i = 0; !model && i < sizeof(names) / sizeof(names[0]); i++) {
        model = cpuinfo(names[i]);
    }
    fact(run, "cpu", model, false);
    free(model);
    number(run, "cpus", lab_cpu_count());
    number(run, "cpus_online", sysconf(_SC_NPROCESSORS_ONLN));
    char *governor = lab_read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    fact(run, "governor", governor, false);
    free(governor);
    char *flags = cpuinfo("flags"), *kind = lab_read_line("/sys/hypervisor/type");
    if (flags)
        fact(run, "hypervisor", strstr(flags, " hypervisor") ? "yes" : "no", false);
    fact(run, "hypervisor_type", kind, false);
    free(flags);
    free(kind);
}

void lab_machine_describe(struct lab_run *run) {
    char date[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    fact(run, "date", date, false);
    describe_cpu(run);
    number(run, "memory_bytes", (long long)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
    number(run, "page_bytes", sysconf(_SC_PAGESIZE));
    struct utsname u;
    if (uname(&u) == 0) {
        char *kernel = lab_format("%s %s", u.sysname, u.release);
        fact(run, "kernel", kernel, false);
        fact(run, "arch", u.machine, false);
        free(kernel);
    }
    fact(run, "glibc", gnu_get_libc_version(), false);
    fact(run, "compiler", COMPILER, false);
    double loads[1];
    if (getloadavg(loads, 1) == 1) {
        char *load = lab_format("%.2f", loads[0]);
        fact(run, "load_1min", load, true);
        free(load);
    }
    char *version = lab_format("%d.%d.%d", HD_VERSION_MAJOR, HD_VERSION_MINOR, HD_VERSION_PATCH);
    fact(run, "heddle", version, false);
    free(version);
    if (strcmp(HEDDLE_COMMIT, "unknown") != 0)
        fact(run, "commit", HEDDLE_COMMIT, false);
}

const char *lab_machine_fact(const struct lab_run *run, const char *key) {
    for (size_t i = 0; i < run->machine_count; i++) {
        if (strcmp(run->machine[i].key, key) == 0)
            return run->machine[i].value;
    }
    return NULL;
}
