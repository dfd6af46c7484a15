/* SPDX-License-Identifier: MIT */
/* Experiments with the machine's memory, and with what threads make of its cache lines. */
#include "rows.h"

#define RATE(metric, label_) \
    {.name = metric, .label = label_, .unit = "per_s", .better = LAB_BETTER_HIGHER,                \
     .primary = true, .per_thing = true}
#define SHARE(metric, label_) \
    {.name = metric, .label = label_, .unit = "percent", .better = LAB_BETTER_HIGHER, \
     .per_thing = true}
#define TIME(metric, label_) \
    {.name = metric, .label = label_, .unit = "ns", .primary = true, .per_thing = true}
#define DETAIL(metric, label_, unit_) \
    {.name = metric, .label = label_, .unit = unit_, .per_thing = true}
#define FACT(metric, label_, unit_) \
    {.name = metric, .label = label_, .unit = unit_, .better = LAB_BETTER_NONE, .per_thing = true}

const struct lab_experiment lab_experiment_memory = {
    .name = "memory",
    .question = "What does this machine's memory cost, cache by cache?",
    .in_tour = ALWAYS,
    .scripts = NEVER,
    .parameters =
        {
            REPEATED("iterations", SAME("30000"), SAME("100000"), SAME("200000")),
            REPEATED("samples", SAME("3"), SAME("5"), SAME("5")),
        },
    .variants = {{.name = "latency",
                  .title = "a load in random order, by the size of what is read",
                  .set = {FIXED("what", "latency"),
                          BY_MODE("kib", "16,512,16384", "16,64,256,1024,4096,16384,65536",
                                  "8,16,24,32,64,128,256,512,1024,2048,4096,8192,16384,32768,"
                                  "65536,131072,262144")}},
                 {.name = "steps",
                  .title = "where a load becomes slower: the ends of the caches",
                  .depends = "kib",
                  .left_out = BUT_QUICK,
                  .set = {FIXED("what", "steps")}},
                 {.name = "bandwidth",
                  .title = "bytes a second, beside the most that all CPUs move together",
                  .set = {FIXED("what", "bandwidth"),
                          BY_MODE("threads", LAB_ALL_CPUS, "1," LAB_ALL_CPUS, "1," LAB_ALL_CPUS),
                          FIXED("mib", "0")}},
                 {.name = "barrier",
                  .title = "orderings and atomic instructions, undisturbed",
                  .depends = "kib",
                  .set = {FIXED("what", "barrier")}},
                 {.name = "line",
                  .title = "a cache line between two CPUs",
                  .depends = "kib",
                  .set = {FIXED("what", "line")}},
                 {.name = "fault",
                  .title = "the first touch of a page, and giving it back",
                  .set = {FIXED("what", "fault"), FIXED("mib", "32")}}},
    .metrics = {TIME("load_ns", "huge"),
                TIME("load_4k_ns", "4 KiB"),
                RATE("read_per_s", "read"),
                RATE("write_per_s", "write"),
                RATE("copy_per_s", "copy"),
                RATE("stream_per_s", "stream"),
                {.name = "peak_per_s",
                 .label = "peak",
                 .unit = "per_s",
                 .better = LAB_BETTER_NONE,
                 .per_thing = true},
                SHARE("read_percent", "read"),
                SHARE("write_percent", "write"),
                SHARE("copy_percent", "copy"),
                SHARE("stream_percent", "stream"),
                TIME("fence_ns", "full fence"),
                TIME("fetch_add_ns", "atomic addition"),
                DETAIL("store_ns", "store", "ns"),
                DETAIL("release_ns", "release", "ns"),
                DETAIL("seq_cst_ns", "seq_cst", "ns"),
                DETAIL("cas_ns", "cas", "ns"),
                DETAIL("membarrier_ns", "membarr.", "ns"),
                TIME("line_round_ns", "there and back"),
                DETAIL("both_add_ns", "both add", "ns"),
                TIME("fault_ns", "touch of 4 KiB"),
                TIME("huge_per_4k_ns", "by huge pages"),
                DETAIL("huge_fault_ns", "2 MiB", "ns"),
                DETAIL("populate_ns", "at once", "ns"),
                DETAIL("back_ns", "back", "ns"),
                DETAIL("huge_back_ns", "back 2 M", "ns"),
                TIME("memory_ns", "beyond caches")},
};

const struct lab_experiment lab_experiment_falsesharing = {
    .name = "falsesharing",
    .question = "What does it cost threads to write to the same cache line?",
    .in_tour = ALWAYS,
    .scripts = NOT_QUICK,
    .parameters =
        {
            FIXED("threads", "2"),
            REPEATED("iterations", SAME("50000"), SAME("100000"), SAME("200000")),
            REPEATED("samples", SAME("5"), SAME("7"), SAME("11")),
        },
    .variants = {{.name = "none",
                  .title = "no sharing: counters on pages of their own",
                  .depends = "padding",
                  .set = {FIXED("sharing", "none")}},
                 {.name = "false",
                  .title = "false sharing: counters of their own, by the bytes between them",
                  .set = {FIXED("sharing", "false"),
                          BY_MODE("padding", "0,56", "0,24,56,120,248",
                                  "0,8,16,24,32,40,48,56,64,72,96,120,128,192,248,256")}},
                 {.name = "true",
                  .title = "true sharing: the same counter",
                  .depends = "padding",
                  .set = {FIXED("sharing", "true")}},
                 {.name = "python",
                  .title = "Python: two threads that add to attributes",
                  .workload = "attributes",
                  .who = LAB_WHO_PYTHON,
                  .depends = "padding",
                  .set = {REPEATED("iterations", SAME("20000"), SAME("20000"), SAME("200000")),
                          REPEATED("samples", SAME("1"), SAME("2"), SAME("5"))}}},
    .metrics = {TIME("add_ns", "addition"),
                TIME("atomic_ns", "atomic"),
                DETAIL("alone_ns", "alone", "ns"),
                DETAIL("slowdown", "x alone", "ratio"),
                DETAIL("lost_percent", "lost", "percent"),
                TIME("attributes_ns", "two attributes of one object"),
                TIME("padded_ns", "with bytes(64) between"),
                DETAIL("separate_ns", "far apart", "ns"),
                DETAIL("slots_ns", "slots", "ns"),
                DETAIL("neighbours_ns", "neighbour", "ns"),
                DETAIL("view_1_ns", "1 byte", "ns"),
                DETAIL("view_256_ns", "256 bytes", "ns"),
                DETAIL("same_ns", "the same", "ns"),
                FACT("attributes_bytes", "apart", "bytes"),
                FACT("padded_bytes", "apart,pad", "bytes"),
                FACT("slots_bytes", "in slots", "bytes"),
                FACT("neighbours_bytes", "next one", "bytes"),
                FACT("attributes_same_line_percent", "one line", "percent"),
                FACT("padded_same_line_percent", "line, pad", "percent")},
};

/* Of interpreters only the ends, but in full: there are many, and each takes long to start. */
#define OWNERS "90,80,70,60,50,40,30,20,10"
#define BY_OWNER                                                                      \
    {.name = "owner", .value = {SAME("90,50"), ROW("90,70,50,30,10", "90,70,50,30,10", "90,10"), \
                                SAME(OWNERS)}}

const struct lab_experiment lab_experiment_affinity = {
    .name = "affinity",
    .question = "What does a reference cost its object's owner, and what another thread?",
    .in_tour = ALWAYS,
    .scripts = NOT_QUICK,
    .parameters =
        {
            REPEATED("iterations", ROW("100000", "100000", "200000"),
                     ROW("200000", "200000", "1000000"), ROW("1000000", "1000000", "5000000")),
            REPEATED("samples", ROW("3", "3", "1"), ROW("5", "5", "2"), ROW("7", "7", "5")),
        },
    .variants = {{.name = "serial",
                  .title = "one after the other, by the owner's share in percent",
                  .set = {FIXED("mode", "serial"), BY_OWNER}},
                 {.name = "concurrent",
                  .title = "both at once, by the owner's share in percent",
                  .set = {FIXED("mode", "concurrent"), BY_OWNER}}},
    .metrics = {TIME("biased_ns", "hd_ref"),
                TIME("atomic_ns", "atomic count"),
                TIME("plain_ns", "plain count"),
                TIME("object_ns", "a Python object"),
                DETAIL("biased_over_atomic", "x atomic", "ratio"),
                FACT("by_owner_percent", "by owner", "percent"),
                FACT("bias_switches", "switches", "count"),
                FACT("merges", "merges", "count"),
                FACT("migrations", "migrated", "count"),
                DETAIL("switches", "kernel sw", "count")},
};
