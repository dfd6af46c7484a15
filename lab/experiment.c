/* SPDX-License-Identifier: MIT */
/* The table of experiments.
 *
 * How much is done is chosen so that a process takes a few tenths of a second with every subject
 * (full: a second or two). Where the amount defines the work (threads, leaves), all paces get the
 * same, except where a pace cannot do it at all or not in bearable time; such results are kept
 * apart by their parameters and no ratio is formed from them. */
#include "experiment.h"

#include <string.h>

/* One row of a parameter: three modes of three paces. */
#define ROW(a, b, c) {a, b, c}
#define SAME(v) ROW(v, v, v)
#define REPEATED(name_, quick, normal, full) \
    {.name = name_, .repetition = true, .value = {quick, normal, full}}
#define FIXED(name_, v) {.name = name_, .value = {SAME(v), SAME(v), SAME(v)}}
#define BY_MODE(name_, quick, normal, full) \
    {.name = name_, .value = {SAME(quick), SAME(normal), SAME(full)}}
#define ALWAYS {true, true, true}
#define NOT_QUICK {false, true, true}

const struct lab_experiment lab_experiments[] = {
    {
        .name = "switch",
        .question = "What does a switch from one thread to another cost?",
        .needs_bare = true,
        .in_tour = ALWAYS,
        .scripts = ALWAYS,
        .parameters =
            {
                FIXED("workers", "1"),
                {.name = "threads", .value = {SAME("2"), SAME("2"), SAME("2")}, .min = 2},
                REPEATED("iterations", ROW("500000", "20000", "5000"),
                         ROW("2000000", "50000", "10000"), ROW("5000000", "200000", "50000")),
                REPEATED("samples", ROW("5", "3", "2"), SAME("5"), SAME("5")),
            },
        .variants = {{.name = "", .title = ""}},
        .metrics = {{.name = "yield_ns",
                     .label = "switch",
                     .unit = "ns",
                     .primary = true,
                     .per_thing = true,
                     .over_bare = true}},
    },
    {
        .name = "spawn",
        .question = "What does it cost to start a thread and join it?",
        .needs_bare = true,
        .in_tour = ALWAYS,
        .scripts = ALWAYS,
        .parameters =
            {
                FIXED("workers", "1"),
                FIXED("count", "1000"),
                REPEATED("iterations", ROW("200000", "2000", "1000"),
                         ROW("1000000", "5000", "1000"), ROW("2000000", "20000", "5000")),
                REPEATED("samples", ROW("3", "2", "1"), ROW("5", "3", "1"), SAME("5")),
            },
        .variants = {{.name = "", .title = ""}},
        .metrics = {{.name = "single_ns",
                     .label = "one at a time",
                     .unit = "ns",
                     .primary = true,
                     .per_thing = true,
                     .over_bare = true},
                    {.name = "batch_ns",
                     .label = "in batches of many",
                     .unit = "ns",
                     .primary = true,
                     .per_thing = true,
                     .over_bare = true}},
    },
    {
        .name = "lifecycle",
        .question = "What do threads that sleep a moment cost, from creation to join?",
        .in_tour = ALWAYS,
        .scripts = ALWAYS,
        .parameters =
            {
                FIXED("threads", "1000"),
                FIXED("stack-size", "0"),
                FIXED("sleep-us", "1000"),
                FIXED("workers", LAB_ALL_CPUS),
                REPEATED("samples", ROW("5", "3", "1"), ROW("5", "5", "1"), SAME("5")),
            },
        .variants = {{.name = "", .title = ""}},
        .metrics = {{.name = "total_ms", .label = "total", .unit = "ms", .primary = true},
                    {.name = "create_ms", .label = "create", .unit = "ms"},
                    {.name = "start_ms", .label = "start", .unit = "ms"},
                    {.name = "join_ms", .label = "join", .unit = "ms"},
                    {.name = "first_ms", .label = "first run", .unit = "ms"},
                    {.name = "switches_per_thread",
                     .label = "switches",
                     .unit = "count",
                     .per_thing = true}},
    },
    {
        .name = "wake",
        .question = "How long does a waiting thread take to run after it is woken?",
        .in_tour = ALWAYS,
        .scripts = NOT_QUICK,
        .parameters =
            {
                FIXED("workers", "2"),
                REPEATED("iterations", ROW("5000", "1000", "500"), ROW("20000", "5000", "1000"),
                         ROW("50000", "20000", "5000")),
                REPEATED("samples", ROW("3", "2", "1"), ROW("5", "5", "2"), SAME("5")),
                FIXED("gap-us", "0"),
            },
        .variants = {{.name = "busy", .title = "woken at once, the waker never pauses"},
                     {.name = "idle",
                      .title = "woken after 1 ms without work",
                      .set = {REPEATED("iterations", SAME("50"), SAME("100"), SAME("500")),
                              REPEATED("samples", ROW("3", "2", "1"), SAME("2"), SAME("5")),
                              FIXED("gap-us", "1000")}}},
        .metrics = {{.name = "spin_p50_ns",
                     .label = "p50",
                     .unit = "ns",
                     .primary = true,
                     .per_thing = true},
                    {.name = "spin_p99_ns", .label = "p99", .unit = "ns", .per_thing = true},
                    {.name = "parked_p50_ns",
                     .label = "p50",
                     .unit = "ns",
                     .primary = true,
                     .per_thing = true},
                    {.name = "parked_p99_ns", .label = "p99", .unit = "ns", .per_thing = true}},
    },
    {
        .name = "capacity",
        .question = "What do very many blocked threads cost, in time and memory?",
        .in_tour = ALWAYS,
        .scripts = NOT_QUICK,
        .parameters =
            {
                {.name = "threads",
                 .value = {ROW("10000", "10000", "2000"), ROW("100000", "10000", "2000"),
                           ROW("1000000", "10000", "5000")}},
                FIXED("stack-size", "0"),
                FIXED("workers", LAB_ALL_CPUS),
                REPEATED("samples", SAME("1"), SAME("1"), SAME("1")),
            },
        .variants = {{.name = "", .title = ""}},
        .metrics = {{.name = "total_ms", .label = "total", .unit = "ms", .primary = true},
                    {.name = "bytes_per_thread",
                     .label = "each",
                     .unit = "bytes",
                     .per_thing = true},
                    {.name = "start_ms", .label = "start", .unit = "ms"},
                    {.name = "release_ms", .label = "release", .unit = "ms"},
                    {.name = "ok_threads",
                     .label = "threads",
                     .unit = "count",
                     .better = LAB_BETTER_HIGHER},
                    {.name = "page_floor_ms",
                     .label = "floor",
                     .unit = "ms",
                     .better = LAB_BETTER_NONE},
                    {.name = "page_floor_ratio",
                     .label = "x floor",
                     .unit = "ratio",
                     .per_thing = true},
                    {.name = "address_bytes_per_thread",
                     .label = "address",
                     .unit = "bytes",
                     .better = LAB_BETTER_NONE,
                     .per_thing = true}},
    },
    {
        .name = "forkjoin",
        .question = "How fast is work that splits into a thread per call?",
        .in_tour = ALWAYS,
        .scripts = {false, false, false},
        .parameters =
            {
                FIXED("workers", "1"),
                REPEATED("samples", SAME("1"), SAME("1"), SAME("2")),
            },
        .variants = {{.name = "fib-1",
                      .title = "fib, one worker",
                      .depends = "workers",
                      .plain_name = "fib",
                      .plain_title = "fib",
                      .set = {FIXED("work", "fib"), BY_MODE("n", "23", "27", "32")}},
                     {.name = "fib-all",
                      .title = "fib, a worker on every CPU",
                      .depends = "workers",
                      .set = {FIXED("work", "fib"), BY_MODE("n", "23", "27", "32"),
                              FIXED("workers", LAB_ALL_CPUS)}},
                     {.name = "skynet-1",
                      .title = "skynet, one worker",
                      .depends = "workers",
                      .plain_name = "skynet",
                      .plain_title = "skynet",
                      .set = {FIXED("work", "skynet"),
                              BY_MODE("leaves", "100000", "100000", "1000000")}},
                     {.name = "skynet-all",
                      .title = "skynet, a worker on every CPU",
                      .depends = "workers",
                      .set = {FIXED("work", "skynet"),
                              BY_MODE("leaves", "100000", "100000", "1000000"),
                              FIXED("workers", LAB_ALL_CPUS)}}},
        .metrics = {{.name = "fib_ms", .label = "fib", .unit = "ms", .primary = true},
                    {.name = "skynet_ms", .label = "skynet", .unit = "ms", .primary = true}},
    },
    {
        .name = "idle",
        .question = "How much CPU does a program burn while all its threads wait?",
        .in_tour = NOT_QUICK,
        .scripts = {false, false, true},
        .parameters =
            {
                FIXED("workers", LAB_ALL_CPUS),
                FIXED("threads", "1000"),
                {.name = "seconds",
                 .repetition = true,
                 .value = {SAME("1"), SAME("1"), SAME("2")}},
                REPEATED("samples", SAME("1"), SAME("1"), SAME("1")),
            },
        .variants = {{.name = "", .title = ""}},
        .metrics = {{.name = "idle_cpu_percent",
                     .label = "of one CPU",
                     .unit = "percent",
                     .primary = true,
                     .per_thing = true}},
    },
    {
        .name = "bare",
        .question = "The floor: six registers saved, six loaded, and an indirect jump.",
        .hidden = true,
        .parameters = {REPEATED("samples", SAME("3"), SAME("5"), SAME("5"))},
        .variants = {{.name = "", .title = ""}},
        .metrics = {{.name = "bare_switch_ns",
                     .label = "switch",
                     .unit = "ns",
                     .better = LAB_BETTER_NONE,
                     .primary = true,
                     .per_thing = true}},
    },
};

const size_t lab_experiment_count = sizeof(lab_experiments) / sizeof(lab_experiments[0]);

const struct lab_experiment *lab_experiment_find(const char *name) {
    for (size_t i = 0; i < lab_experiment_count; i++) {
        if (strcmp(lab_experiments[i].name, name) == 0) return &lab_experiments[i];
    }
    return NULL;
}

const struct lab_metric *lab_metric_find(const struct lab_experiment *e, const char *metric) {
    for (const struct lab_metric *m = e->metrics; m->name; m++) {
        if (strcmp(m->name, metric) == 0) return m;
    }
    return NULL;
}

/* The first description of a parameter; NULL if there is none. */
static const struct lab_parameter *find_parameter(const struct lab_experiment *e,
                                                  const char *name) {
    for (const struct lab_parameter *p = e->parameters; p->name; p++) {
        if (strcmp(p->name, name) == 0) return p;
    }
    for (const struct lab_variant *v = e->variants; v->name; v++) {
        for (const struct lab_parameter *p = v->set; p->name; p++) {
            if (strcmp(p->name, name) == 0) return p;
        }
    }
    return NULL;
}

bool lab_experiment_takes(const struct lab_experiment *e, const char *parameter) {
    return find_parameter(e, parameter) != NULL;
}

unsigned long long lab_experiment_least(const struct lab_experiment *e, const char *parameter) {
    const struct lab_parameter *p = find_parameter(e, parameter);
    return p ? p->min : 0;
}

/* Whether the parameter only says how often the work is repeated. */
static bool is_repetition(const struct lab_experiment *e, const char *name) {
    const struct lab_parameter *p = find_parameter(e, name);
    return p && p->repetition;
}

bool lab_same_work(const struct lab_result *a, const struct lab_result *b) {
    const struct lab_experiment *e = lab_experiment_find(a->experiment);
    if (!e || strcmp(a->experiment, b->experiment) != 0) return false;
    for (size_t i = 0; i < a->param_count; i++) {
        const struct lab_pair *p = &a->params[i];
        if (is_repetition(e, p->key)) continue;
        for (size_t k = 0; k < b->param_count; k++) {
            const struct lab_pair *q = &b->params[k];
            if (strcmp(p->key, q->key) == 0 && strcmp(p->value, q->value) != 0) return false;
        }
    }
    return true;
}

bool lab_parameter_counts(const struct lab_result *r, const char *name) {
    const struct lab_experiment *e = lab_experiment_find(r->experiment);
    return !e || !is_repetition(e, name);
}

const char *lab_parameter_value(const struct lab_parameter *p, enum lab_mode mode,
                                enum lab_pace pace) {
    return p->value[mode][pace];
}

const char *lab_mode_name(enum lab_mode mode) {
    static const char *const names[LAB_MODES] = {"quick", "default", "full"};
    return names[mode];
}
