/* SPDX-License-Identifier: MIT */
/* Experiments with interpreters: what their lock costs, what they keep of names and types, what
 * counting references costs. Only Pythons can do them, so that they take part in each tour that has
 * the experiment.
 *
 * With ten interpreters a tenth of a second more in each process is some seconds more in a quick
 * tour, so that the dearer parts are left out of it. */
#include "rows.h"

#define NS(name_, label_, ...) \
    {.name = name_ "_ns", .label = label_, .unit = "ns", .per_thing = true, __VA_ARGS__}
#define PRIMARY .primary = true
#define FACT .better = LAB_BETTER_NONE

const struct lab_experiment lab_experiment_gil = {
    .name = "gil",
    .question = "What does the global interpreter lock cost, on one core and on two?",
    .in_tour = ALWAYS,
    .scripts = ALWAYS,
    .variants = {{.name = "countdown",
                  .title = "counting down, by one thread and by two",
                  .set = {FIXED("work", "countdown"),
                          BY_MODE("iterations", "200000", "400000", "2000000"),
                          REPEATED("samples", SAME("1"), SAME("2"), SAME("5"))}},
                 {.name = "convoy",
                  .title = "an echo and a short sleep beside 0, 1 and 2 busy threads",
                  .left_out = BUT_QUICK,
                  .set = {FIXED("work", "convoy"), FIXED("sleep-us", "100"),
                          REPEATED("count", SAME("3"), SAME("5"), SAME("50"))}}},
    .metrics = {{.name = "one_thread_ms", .label = "1 thread", .unit = "ms", PRIMARY},
                {.name = "one_core_ms", .label = "2 threads, 1 core", .unit = "ms", PRIMARY},
                {.name = "two_cores_ms", .label = "2 threads, 2 cores", .unit = "ms", PRIMARY},
                {.name = "one_core_cpu_ms", .label = "CPU 1c", .unit = "ms"},
                {.name = "two_cores_cpu_ms", .label = "CPU 2c", .unit = "ms"},
                {.name = "one_core_switches", .label = "switch 1c", .unit = "count"},
                {.name = "two_cores_switches", .label = "switch 2c", .unit = "count"},
                {.name = "echo_0_us", .label = "echo 0", .unit = "us", .per_thing = true},
                {.name = "echo_1_us",
                 .label = "echo, 1 busy",
                 .unit = "us",
                 .per_thing = true,
                 PRIMARY},
                {.name = "echo_2_us", .label = "echo 2", .unit = "us", .per_thing = true},
                {.name = "sleep_0_us", .label = "sleep 0", .unit = "us", .per_thing = true},
                {.name = "sleep_1_us",
                 .label = "sleep, 1 busy",
                 .unit = "us",
                 .per_thing = true,
                 PRIMARY},
                {.name = "sleep_2_us", .label = "sleep 2", .unit = "us", .per_thing = true}},
};

const struct lab_experiment lab_experiment_specialize = {
    .name = "specialize",
    .question = "What does an operation cost by the types that it meets?",
    .in_tour = ALWAYS,
    .scripts = ALWAYS,
    .parameters = {REPEATED("iterations", SAME("10000"), SAME("50000"), SAME("500000")),
                   REPEATED("samples", SAME("1"), SAME("2"), SAME("5"))},
    .variants = {{.name = "", .title = ""}},
    .metrics = {NS("int_add", "int + int", PRIMARY),
                NS("float_add", "float"),
                NS("mixed_add", "int+float"),
                NS("str_add", "str + str"),
                NS("user_add", "__add__"),
                NS("attribute", "attribute"),
                NS("slot", "slot"),
                NS("global", "global"),
                NS("add_1_type", "add, 1"),
                NS("add_2_types", "add, 2"),
                NS("load_1_type", "load, 1"),
                NS("load_2_types", "load, 2"),
                NS("load_8_types", "load, 8"),
                NS("add_cold", "add, cold"),
                NS("add_warm", "warm"),
                NS("add_miss", "miss"),
                NS("add_unsettled", "unsettled")},
};

const struct lab_experiment lab_experiment_names = {
    .name = "names",
    .question = "What does it cost to find a name?",
    .in_tour = ALWAYS,
    .scripts = ALWAYS,
    .parameters = {REPEATED("iterations", SAME("10000"), SAME("50000"), SAME("500000")),
                   REPEATED("samples", SAME("1"), SAME("2"), SAME("5"))},
    .variants = {{.name = "", .title = ""}},
    .metrics = {NS("local", "local"),
                NS("closure", "closure"),
                NS("global", "global", PRIMARY),
                NS("builtin", "builtin", PRIMARY),
                NS("shadowed", "shadowed"),
                NS("unshadowed", "unshadow"),
                NS("module_level", "module"),
                NS("attribute", "attribute"),
                NS("class_attribute", "of class"),
                NS("method", "method"),
                NS("method_call", "call it"),
                NS("global_unchanged", "unchanged"),
                NS("global_stored", "stored"),
                NS("global_added", "added"),
                NS("method_changed", "class chg")},
};

const struct lab_experiment lab_experiment_refcount = {
    .name = "refcount",
    .question = "What do a million objects cost to make, release and collect?",
    .in_tour = NOT_QUICK,
    .scripts = NOT_QUICK,
    .parameters = {BY_MODE("count", "20000", "50000", "1000000"),
                   REPEATED("samples", SAME("1"), SAME("1"), SAME("2"))},
    .variants = {{.name = "", .title = ""}},
    .metrics = {{.name = "create_ms", .label = "create", .unit = "ms", PRIMARY},
                {.name = "release_ms", .label = "release", .unit = "ms", PRIMARY},
                {.name = "collect_ms", .label = "collect", .unit = "ms", PRIMARY},
                {.name = "scan_ms", .label = "scan", .unit = "ms"},
                {.name = "share_ms", .label = "share", .unit = "ms"},
                {.name = "unshare_ms", .label = "unshare", .unit = "ms"},
                {.name = "share_none_ms", .label = "None", .unit = "ms"},
                {.name = "keep_ms", .label = "keep", .unit = "ms"},
                {.name = "pause_max_ms", .label = "pause", .unit = "ms"},
                {.name = "collections", .label = "pauses", .unit = "count", FACT},
                {.name = "collector_percent", .label = "collector", .unit = "percent"}},
};
