/* SPDX-License-Identifier: MIT */
/* What earlier analyses say, to be shown beside what was measured. Figures are theirs as they
 * stand; where a chart without figures shows an order, the bounds mean "clearly more" or "clearly
 * less". */
#include <math.h>

#include "../experiment.h"

#define LIFECYCLE(what_, metric_, subject_, than_, ratio_) \
    {.experiment = "lifecycle", .what = what_, .metric = metric_, .subject = subject_, \
     .than_subject = than_, .low = ratio_, .high = ratio_, .says = #ratio_ " times", \
     .source = "Thread management overhead analysis"}

/* A bar of a chart is longer than another. */
#define LONGER(experiment_, what_, metric_, than_, subject_, says_, because_) \
    {.experiment = experiment_, .what = what_, .metric = metric_, .subject = subject_, \
     .than_metric = than_, .low = 1.1, .high = INFINITY, .says = says_, \
     .source = "Core performance concepts", .because = because_}

/* The same of counters in C, by how they are shared. */
#define SHARED(what_, variant_, than_, says_, because_) \
    {.experiment = "falsesharing", .what = what_, .metric = "atomic_ns", .subject = "*", \
     .variant = variant_, .than_metric = "atomic_ns", .than_variant = than_, .low = 1.1, \
     .high = INFINITY, .says = says_, .source = "Core performance concepts", .because = because_}

static const char one_at_a_time[] =
    "the global lock lets one thread write at a time, and a line moves when the lock does";

const struct lab_reference lab_references[] = {
    LIFECYCLE("creating a Thread object", "create_ms", "python3.13", "python3.12", 1.2),
    LIFECYCLE("creating a Thread object", "create_ms", "python3.13t", "python3.12", 1.2),
    LIFECYCLE("starting it", "start_ms", "python3.13", "python3.12", 1.1),
    LIFECYCLE("starting it", "start_ms", "python3.13t", "python3.12", 1.1),
    LIFECYCLE("joining it", "join_ms", "python3.13", "python3.12", 1.3),
    LIFECYCLE("joining it", "join_ms", "python3.13t", "python3.12", 1.3),
    LIFECYCLE("the first thread-local value", "tls_ns", "python3.13", "python3.12", 1.4),
    LIFECYCLE("the first thread-local value", "tls_ns", "python3.13t", "python3.12", 1.4),
    LIFECYCLE("switches by the kernel", "switches_per_thread", "python3.13t", "python3.13", 0.8),
    {.experiment = "capacity",
     .what = "address space of a thread's stack",
     .metric = "address_bytes_per_thread",
     .subject = "python*",
     .low = 0.8 * (1 << 20),
     .high = 1.25 * (1 << 20),
     .says = "1 MB",
     .source = "Thread management overhead analysis",
     .because = "what is reserved follows ulimit -s, and little of it is used"},
    {.experiment = "gil",
     .what = "an echo beside a busy thread, to one without",
     .metric = "echo_1_us",
     .than_metric = "echo_0_us",
     .subject = "python3*",
     .low = 2,
     .high = INFINITY,
     .says = "take_gil() is the bottleneck",
     .source = "Object counting, name resolution"},
    LONGER("specialize", "int + float, to int + int", "mixed_add_ns", "int_add_ns",
           "python3.1[1-9]*", "more: bars of 4 and 2 cells", NULL),
    LONGER("specialize", "a user-defined addition, to int + int", "user_add_ns", "int_add_ns",
           "python3.1[1-9]*", "more: bars of 10 and 2 cells", NULL),
    LONGER("falsesharing", "two attributes of one object, to two far apart", "attributes_ns",
           "separate_ns", "python*", "more: bars of 10 and 4 cells", one_at_a_time),
    LONGER("falsesharing", "two attributes of one object, to the same attribute",
           "attributes_ns", "same_ns", "python*", "more: bars of 10 and 6 cells", one_at_a_time),
    SHARED("atomic additions in one line, to such on pages of their own", "false padding=0", "none",
           "more: bars of 10 and 4 cells", NULL),
    SHARED("atomic additions in one line, to such to one counter", "false padding=0", "true",
           "more: bars of 10 and 6 cells",
           "either way the line moves with each addition: which of the two is slower is up to the "
           "CPU"),
    {.experiment = "falsesharing",
     .what = "with bytes(64) between two attributes, to without",
     .metric = "padded_ns",
     .than_metric = "attributes_ns",
     .subject = "python*",
     .low = 0,
     .high = 0.9,
     .says = "less: no false sharing",
     .source = "Core performance concepts",
     .because = one_at_a_time},
    {.experiment = "falsesharing",
     .what = "from one counter to the other, with bytes(64) between",
     .metric = "padded_bytes",
     .subject = "python*",
     .low = 64,
     .high = INFINITY,
     .says = "a new cache line",
     .source = "Core performance concepts",
     .because = "the pad is one pointer more in the table of attributes; its 64 zeros lie "
                "elsewhere"},
    {.experiment = "affinity",
     .what = "a touch, 10 % by the owner, to 90 %",
     .metric = "object_ns",
     .than_metric = "object_ns",
     .subject = "python*",
     .variant = "serial owner=10",
     .than_variant = "serial owner=90",
     .low = 1.1,
     .high = INFINITY,
     .says = "more: bars of 8 and 4 cells",
     .source = "Core performance concepts",
     .because = "with the global lock objects have no owner: only the caches make a difference"},
};

const size_t lab_reference_count = sizeof(lab_references) / sizeof(lab_references[0]);
