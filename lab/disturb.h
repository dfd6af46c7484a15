/* SPDX-License-Identifier: MIT */
/* What the facts of a machine mean for a measurement on it. A pure function of the record: it can
 * be asked of a run that was measured elsewhere. */
#ifndef HEDDLE_LAB_DISTURB_H
#define HEDDLE_LAB_DISTURB_H

#include "result.h"

enum lab_disturb_level {
    LAB_DISTURB_MUCH,    /* differences of a percent cannot be trusted */
    LAB_DISTURB_SOME,    /* adds to the spread, which the interval shows; or shifts whole runs */
    LAB_DISTURB_UNKNOWN, /* could not be seen */
    LAB_DISTURB_NOT,
    LAB_DISTURB_LEVELS,
};

struct lab_disturbance {
    enum lab_disturb_level level;
    const char *fact;   /* its name in the record, or what was looked for */
    char *value;        /* for a person: "powersave", "4.1 % of the time" */
    const char *effect; /* what it would disturb, or why it does not */
    const char *remedy; /* what to do about it; NULL: nothing to be done, or nothing needed */
};

/* All that is known, most disturbing first. The caller frees it by the next function. */
struct lab_disturbance *lab_disturbances(const struct lab_run *run, size_t *count);
void lab_disturbances_free(struct lab_disturbance *list, size_t count);

/* "disturbs", "a little", "unknown", "fine". */
const char *lab_disturb_word(enum lab_disturb_level level);

#endif
