/* SPDX-License-Identifier: MIT */
/* How many samples at the beginning of a process are still warm-up. */
#ifndef HEDDLE_LAB_WARMUP_H
#define HEDDLE_LAB_WARMUP_H

#include <stdbool.h>

#include "../result.h"

struct lab_warmup {
    size_t samples; /* leading ones, of every process, to be left out */
    bool unsettled; /* that is all that may be left out: perhaps they never settle */
};

/* Looks at all processes of one metric of one subject, in the order of time. */
struct lab_warmup lab_warmup_find(const struct lab_process_samples *processes, size_t n);

/* Whether warm-up makes sense of a metric of this unit: of times and rates. What a process needs,
 * it needs from the beginning. */
bool lab_warmup_applies(const char *unit);

#endif
