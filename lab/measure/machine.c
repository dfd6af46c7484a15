/* SPDX-License-Identifier: MIT */
/* What is worth knowing of the machine. */
#include "machine.h"

#include <math.h>
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

#ifndef HEDDLE_FLAGS
#define HEDDLE_FLAGS ""
#endif

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

void lab_machine_add(struct lab_run *run, const char *key, const char *value, bool number) {
    if (!value)
        return;
    size_t n = strlen(value);
    while (n > 0 && value[n - 1] == ' ')
        n--;
    char *trimmed = lab_copy_n(value, n);
    lab_make_printable(trimmed);
    if (n)
        lab_pairs_add(&run->machine, &run->machine_count, key, trimmed, number);
    free(trimmed);
}

void lab_machine_add_number(struct lab_run *run, const char *key, double value) {
    /* Whole numbers whole; of what was measured, six digits are more than enough. */
    bool whole = value >= -1e15 && value <= 1e15 && !(fabs(value - nearbyint(value)) > 0);
    char *text = lab_format(whole ? "%.0f" : "%.6g", value);
    lab_machine_add(run, key, text, true);
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
    lab_machine_add(run, "cpu", model, false);
    free(model);
    lab_machine_add_number(run, "cpus", lab_cpu_count());
    lab_machine_add_number(run, "cpus_online", (double)sysconf(_SC_NPROCESSORS_ONLN));
    char *flags = cpuinfo("flags"), *kind = lab_read_line("/sys/hypervisor/type");
    if (flags)
        lab_machine_add(run, "hypervisor", strstr(flags, " hypervisor") ? "yes" : "no", false);
    lab_machine_add(run, "hypervisor_type", kind, false);
    free(flags);
    free(kind);
}

enum { SHORT_LOOK_CPUS = 4 };
static const double short_look_s = 0.02;

void lab_machine_describe(struct lab_run *run) {
    lab_machine_describe_for(run, short_look_s, SHORT_LOOK_CPUS);
}

void lab_machine_describe_for(struct lab_run *run, double seconds_per_cpu, unsigned cpus_max) {
    char date[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    lab_machine_add(run, "date", date, false);
    describe_cpu(run);
    lab_machine_add_number(run, "memory_bytes",
                           (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE));
    lab_machine_add_number(run, "page_bytes", (double)sysconf(_SC_PAGESIZE));
    struct utsname u;
    if (uname(&u) == 0) {
        char *kernel = lab_format("%s %s", u.sysname, u.release);
        lab_machine_add(run, "kernel", kernel, false);
        lab_machine_add(run, "arch", u.machine, false);
        free(kernel);
    }
    lab_machine_add(run, "glibc", gnu_get_libc_version(), false);
    lab_machine_add(run, "compiler", COMPILER, false);
    lab_machine_add(run, "flags", HEDDLE_FLAGS, false);
    lab_machine_settings(run, "");
    double loads[1]; /* before the look at the noise, which is a load itself */
    if (getloadavg(loads, 1) == 1) {
        char *load = lab_format("%.2f", loads[0]);
        lab_machine_add(run, "load_1min", load, true);
        free(load);
    }
    lab_machine_noise(run, seconds_per_cpu, cpus_max);
    char *version = lab_format("%d.%d.%d", HD_VERSION_MAJOR, HD_VERSION_MINOR, HD_VERSION_PATCH);
    lab_machine_add(run, "heddle", version, false);
    free(version);
    if (strcmp(HEDDLE_COMMIT, "unknown") != 0)
        lab_machine_add(run, "commit", HEDDLE_COMMIT, false);
}

const char *lab_machine_fact(const struct lab_run *run, const char *key) {
    for (size_t i = 0; i < run->machine_count; i++) {
        if (strcmp(run->machine[i].key, key) == 0)
            return run->machine[i].value;
    }
    return NULL;
}
