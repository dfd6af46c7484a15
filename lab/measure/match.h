/* SPDX-License-Identifier: MIT */
/* Which results are compared with which, and how they compare. */
#ifndef HEDDLE_LAB_MATCH_H
#define HEDDLE_LAB_MATCH_H

#include <stddef.h>

#include "../result.h"
#include "../stat/compare.h"

/* Two results of the same work, and what B's differs by from A's. */
struct lab_match {
    const struct lab_result *a, *b;
    struct lab_comparison c;
    bool bound; /* a side is known to be at most so large: there is no verdict but "more" */
};

struct lab_matches {
    struct lab_match *items; /* in the order of A's results */
    size_t count;
    const struct lab_result **only_a, **only_b; /* who has no partner in the other run */
    size_t only_a_count, only_b_count;
    bool renamed; /* both runs have one subject only, of different names: taken for the same */
};

/* What lab_match_runs leaves out. */
struct lab_match_choice {
    const char *const *metrics; /* these alone; NULL: all */
    size_t metric_count;
    bool primary; /* those alone that answer an experiment's question */
};

/* Compares run B with run A: results with the same experiment, variant, subject, metric, and
 * parameters but for repetition. Metrics that are better neither low nor high are left out. */
void lab_match_runs(const struct lab_run *a, const struct lab_run *b,
                    const struct lab_match_choice *choice, double margin, struct lab_matches *out);

/* Compares, within a run, each result with that of the run's first subject. */
void lab_match_subjects(const struct lab_run *run, double margin, struct lab_matches *out);

void lab_matches_free(struct lab_matches *m);

#endif
