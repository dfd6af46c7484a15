/* SPDX-License-Identifier: MIT */
/* The commands that heddle run measures: what their results are called. */
#include "rows.h"

extern const struct lab_experiment lab_experiment_run;

#define COSTS(name_, label_, unit_)                                                                \
    { .name = name_, .label = label_, .unit = unit_, .better = LAB_BETTER_LOWER }

const struct lab_experiment lab_experiment_run = {
    .name = "run",
    .question = "how long does a command take, and what does it use?",
    .hidden = true,
    .elsewhere = "heddle run",
    .variants = {{.name = "", .title = ""}},
    .metrics = {{.name = "wall_s",
                 .label = "time",
                 .unit = "s",
                 .better = LAB_BETTER_LOWER,
                 .primary = true},
                COSTS("user_s", "user", "s"),
                COSTS("sys_s", "system", "s"),
                COSTS("max_rss_bytes", "max RSS", "bytes"),
                COSTS("minor_faults", "faults", "count"),
                COSTS("major_faults", "faults/IO", "count"),
                COSTS("voluntary_switches", "waits", "count"),
                COSTS("involuntary_switches", "preempted", "count")},
};
