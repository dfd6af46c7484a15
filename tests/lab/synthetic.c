/* SPDX-License-Identifier: MIT */
#include "synthetic.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "stat/stat.h"
#include "text.h"

static uint64_t seed_of(const char *experiment, const char *subject, double median) {
    uint64_t seed = (uint64_t)(median * 1000);
    for (const char *c = experiment; *c; c++) seed = seed * 31 + (unsigned char)*c;
    for (const char *c = subject; *c; c++) seed = seed * 31 + (unsigned char)*c;
    return seed;
}

struct lab_result *synthetic_add(struct lab_run *run, const char *experiment, const char *variant,
                                 const char *subject, const char *metric, const char *unit,
                                 double median, size_t n) {
    uint64_t seed = seed_of(experiment, subject, median);
    struct lab_result *r = lab_run_add(run);
    r->experiment = lab_copy(experiment);
    r->variant = lab_copy(variant);
    r->subject = lab_copy(subject);
    r->metric = lab_copy(metric);
    r->unit = lab_copy(unit);
    r->per_thing = true;
    r->primary = true;
    r->bare_ratio = NAN;
    r->n = n;
    r->samples = lab_alloc(n, sizeof(double));
    r->processes = lab_alloc(n, sizeof(*r->processes));
    for (size_t i = 0; i < n; i++) {
        double a = (double)(lab_stat_random(&seed) >> 11) / 9007199254740992.0;
        double b = (double)(lab_stat_random(&seed) >> 11) / 9007199254740992.0;
        r->samples[i] = median * exp(0.04 * (a + b - 1));
        r->processes[i].values = lab_alloc(1, sizeof(double));
        r->processes[i].values[0] = r->samples[i];
        r->processes[i].count = 1;
    }
    struct lab_interval interval = lab_stat_interval95(r->samples, n);
    r->median = lab_stat_median(r->samples, n);
    r->min = lab_stat_min(r->samples, n);
    r->max = lab_stat_max(r->samples, n);
    r->ci_low = interval.low;
    r->ci_high = interval.high;
    return r;
}

void synthetic_subject(struct lab_run *run, const char *name, const char *kind, const char *version,
                       bool free_threaded) {
    run->subjects = lab_grow_one(run->subjects, run->subject_count, sizeof(*run->subjects));
    run->subjects[run->subject_count++] = (struct lab_subject_info){
        .name = lab_copy(name),
        .kind = lab_copy(kind),
        .version = lab_copy(version),
        .path = lab_format("/opt/it's here/%s", name),
        .free_threaded = free_threaded};
}

static void param(struct lab_result *r, const char *key, double value) {
    char *text = lab_format("%.10g", value);
    lab_pairs_add(&r->params, &r->param_count, key, text, true);
    free(text);
}

static const char *const pythons[] = {"python2.7",  "python3.6",  "python3.8",  "python3.10",
                                      "python3.11", "python3.12", "python3.13", "python3.13t"};
enum { PYTHONS = sizeof(pythons) / sizeof(pythons[0]) };

static void subjects(struct lab_run *run) {
    synthetic_subject(run, "heddle", "native", "0.1.0", false);
    synthetic_subject(run, "pthread", "native", "2.36", false);
    synthetic_subject(run, "boost", "native", "1.74", false);
    synthetic_subject(run, "go1.19", "go", "1.19.8", false);
    for (size_t i = 0; i < PYTHONS; i++) {
        const char *version = pythons[i] + strlen("python");
        bool free_threaded = version[strlen(version) - 1] == 't';
        char *plain = lab_format("%.*s.1", (int)(strlen(version) - free_threaded), version);
        synthetic_subject(run, pythons[i], "python", plain, free_threaded);
        free(plain);
    }
}

static void switches(struct lab_run *run, double factor) {
    static const double ns[] = {9.6, 1490, 61, 88};
    for (size_t i = 0; i < 4; i++) {
        struct lab_result *r = synthetic_add(run, "switch", "", run->subjects[i].name, "yield_ns",
                                             "ns", ns[i] * (i == 0 ? factor : 1), 20);
        r->bare_ratio = ns[i] / 2.6;
        param(r, "threads", 2);
    }
    synthetic_add(run, "switch", "", "bare", "bare_switch_ns", "ns", 2.6, 20)->better =
        LAB_BETTER_NONE;
}

static void lifecycle(struct lab_run *run) {
    static const char *const metrics[] = {"total_ms", "create_ms", "start_ms", "join_ms"};
    static const double parts[] = {1, 0.2, 0.5, 0.3};
    for (size_t m = 0; m < 4; m++) {
        for (size_t i = 0; i < run->subject_count; i++) {
            double ms = i == 0 ? 1.4 : i == 1 ? 48 : i < 4 ? 3 : 70 + 6 * (double)i;
            struct lab_result *r = synthetic_add(run, "lifecycle", "", run->subjects[i].name,
                                                 metrics[m], "ms", ms * parts[m], 6);
            r->primary = m == 0;
            param(r, "threads", 1000);
        }
    }
}

/* Scaling: two workers are not quite twice as fast as one. */
static void forkjoin(struct lab_run *run, double factor) {
    for (int workers = 1; workers <= 8; workers *= 2) {
        for (size_t i = 0; i < 4; i++) {
            char *variant = lab_format("fib workers=%d", workers);
            double ms = (i == 1 ? 900 : 60 + 40 * (double)i) * factor / pow(workers, 0.85);
            struct lab_result *r = synthetic_add(run, "forkjoin", variant, run->subjects[i].name,
                                                 "fib_ms", "ms", ms, 6);
            r->per_thing = false;
            param(r, "n", 27);
            param(r, "workers", workers);
            free(variant);
        }
    }
}

/* A sweep over two parameters of an experiment that the table need not know. */
static void padding(struct lab_run *run) {
    static const char *const kinds[] = {"none", "false", "true"};
    for (size_t k = 0; k < 3; k++) {
        for (int bytes = 0; bytes <= (k == 1 ? 256 : 0); bytes = bytes ? 2 * bytes : 8) {
            for (size_t i = 0; i < 2; i++) {
                char *variant = k == 1 ? lab_format("sharing=%s,padding=%d", kinds[k], bytes)
                                       : lab_format("sharing=%s", kinds[k]);
                double ns = k == 0 ? 1.1 : k == 2 ? 38 : bytes < 64 ? 31 : bytes < 128 ? 9 : 1.2;
                struct lab_result *r =
                    synthetic_add(run, "padded", variant, run->subjects[i].name, "increment_ns",
                                  "ns", ns * (1 + 0.2 * (double)i), 6);
                lab_pairs_add(&r->params, &r->param_count, "sharing", kinds[k], false);
                if (k == 1) param(r, "padding", bytes);
                free(variant);
            }
        }
    }
}

static void cases(struct lab_run *run) {
    static const char *const names[] = {"int + int",  "float + float",  "int + float",
                                        "str + str",  "user-defined",   "one type at a site",
                                        "four types at a site"};
    static const double ns[] = {21, 23, 31, 45, 160, 22, 64};
    for (size_t v = 0; v < sizeof(ns) / sizeof(ns[0]); v++) {
        for (size_t i = 0; i < PYTHONS; i++) {
            double faster = i >= 4 ? 0.55 : 1;
            synthetic_add(run, "specialized", names[v], pythons[i], "add_ns", "ns",
                          ns[v] * faster * (1 + 0.03 * (double)i), 6);
        }
    }
    for (size_t i = 0; i < PYTHONS; i++) {
        lab_run_note(run, "specialized", pythons[i], "dis_int_add",
                     i < 4 ? "LOAD_FAST a; LOAD_FAST b; BINARY_ADD; RETURN_VALUE"
                           : "RESUME 0; LOAD_FAST a; LOAD_FAST b; BINARY_OP +; RETURN_VALUE");
        if (i < 4) continue;
        lab_run_note(run, "specialized", pythons[i], "adaptive_int_add",
                     "RESUME 0; LOAD_FAST__LOAD_FAST a b; BINARY_OP_ADD_INT +; RETURN_VALUE");
    }
    lab_run_note(run, "specialized", "python3.13t", "adaptive", "the specializer is off");
}

struct lab_run synthetic_run(double factor) {
    struct lab_run run = {.mode = "full"};
    lab_pairs_add(&run.machine, &run.machine_count, "date", "2026-11-22T01:00:00Z", false);
    lab_pairs_add(&run.machine, &run.machine_count, "cpu", "A processor", false);
    lab_pairs_add(&run.machine, &run.machine_count, "cpus", "8", true);
    lab_pairs_add(&run.machine, &run.machine_count, "kernel", "Linux 6.1", false);
    subjects(&run);
    switches(&run, factor);
    lifecycle(&run);
    forkjoin(&run, factor);
    padding(&run);
    cases(&run);
    lab_run_fail(&run, "switch", "", "tbb", "exit status 1: no such luck");
    lab_run_fail(&run, "idle", "", "go1.19", "timed out after 10 s");
    return run;
}
