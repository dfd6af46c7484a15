/* SPDX-License-Identifier: MIT */
/* References beside what a run measured.
 *
 * The range of a ratio is that of the extremes of both intervals: wider than a proper interval of
 * the ratio, so that a source is called wrong only where it clearly is. */
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "experiment.h"
#include "text.h"

/* Without an interval (fewer than three processes) a tenth up and down is allowed for. */
static const double no_interval_low = 0.9, no_interval_high = 1.1;

/* What the result is divided by, or NULL. */
static const struct lab_result *find_than(const struct lab_run *run,
                                          const struct lab_reference *reference,
                                          const struct lab_result *r) {
    const char *metric = reference->than_metric ? reference->than_metric : reference->metric;
    const char *subject = reference->than_subject ? reference->than_subject : r->subject;
    const char *variant = reference->than_variant ? reference->than_variant : r->variant;
    for (size_t i = 0; i < run->result_count; i++) {
        const struct lab_result *than = &run->results[i];
        if (strcmp(than->experiment, r->experiment) == 0 && strcmp(than->metric, metric) == 0 &&
            fnmatch(subject, than->subject, 0) == 0 && fnmatch(variant, than->variant, 0) == 0) {
            return than;
        }
    }
    return NULL;
}

static bool measured(const struct lab_run *run, const char *experiment) {
    for (size_t i = 0; i < run->result_count; i++) {
        if (strcmp(run->results[i].experiment, experiment) == 0)
            return true;
    }
    return false;
}

static double low_of(const struct lab_result *r) {
    return isfinite(r->ci_low) ? r->ci_low : r->median * no_interval_low;
}

static double high_of(const struct lab_result *r) {
    return isfinite(r->ci_high) ? r->ci_high : r->median * no_interval_high;
}

static struct lab_check check(const struct lab_run *run, const struct lab_reference *reference,
                              const struct lab_result *r) {
    struct lab_check c = {.reference = reference, .result = r, .agreement = LAB_UNMEASURED};
    bool ratio = reference->than_metric || reference->than_subject;
    if (r && ratio)
        c.than = find_than(run, reference, r);
    if (!r || (ratio && (!c.than || !(low_of(c.than) > 0))))
        return c;
    c.measured = ratio ? r->median / c.than->median : r->median;
    c.low = ratio ? low_of(r) / high_of(c.than) : low_of(r);
    c.high = ratio ? high_of(r) / low_of(c.than) : high_of(r);
    bool apart = c.high < reference->low || c.low > reference->high;
    bool figure = reference->low >= reference->high; /* one, that an interval can only contain */
    bool within = c.low >= reference->low && c.high <= reference->high;
    c.agreement = apart ? LAB_DISAGREES : figure || within ? LAB_AGREES : LAB_UNDECIDED;
    return c;
}

static void append(struct lab_check **checks, size_t *count, struct lab_check c) {
    *checks = lab_grow_one(*checks, *count, sizeof(**checks));
    (*checks)[(*count)++] = c;
}

size_t lab_references_check(const struct lab_run *run, struct lab_check **checks) {
    size_t count = 0;
    *checks = NULL;
    for (size_t i = 0; i < lab_reference_count; i++) {
        const struct lab_reference *reference = &lab_references[i];
        size_t before = count;
        if (!measured(run, reference->experiment))
            continue;
        for (size_t k = 0; k < run->result_count; k++) {
            const struct lab_result *r = &run->results[k];
            if (strcmp(r->experiment, reference->experiment) == 0 &&
                strcmp(r->metric, reference->metric) == 0 &&
                fnmatch(reference->subject, r->subject, 0) == 0 &&
                (!reference->variant || fnmatch(reference->variant, r->variant, 0) == 0)) {
                append(checks, &count, check(run, reference, r));
            }
        }
        if (count == before)
            append(checks, &count, check(run, reference, NULL));
    }
    return count;
}
