/* SPDX-License-Identifier: MIT */
/* What subjects say on standard output, one line a thing:
 *
 *     sample METRIC UNIT VALUE
 *     note KEY TEXT
 *     error TEXT                  (what could not be measured; the status is then 3)
 *
 * Nothing else is taken: a subject that prints anything else did not do what it was told, and its
 * numbers cannot be trusted. */
#ifndef HEDDLE_LAB_PROTOCOL_H
#define HEDDLE_LAB_PROTOCOL_H

#include <stddef.h>

#include "../result.h"
#include "../text.h"

struct lab_series {
    char *metric, *unit;
    double *values;
    size_t count;
};

struct lab_answer {
    struct lab_series *series;
    size_t series_count;
    struct lab_pair *notes;
    size_t note_count;
    char *error;   /* what the subject says it could not measure */
    char *garbage; /* what is wrong with its output; then nothing else counts */
};

void lab_answer_parse(struct lab_answer *a, const struct lab_text *out);
void lab_answer_free(struct lab_answer *a);

#endif
