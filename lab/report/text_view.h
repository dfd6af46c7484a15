/* SPDX-License-Identifier: MIT */
/* What the parts of the table for a terminal share. */
#ifndef HEDDLE_LAB_TEXT_VIEW_H
#define HEDDLE_LAB_TEXT_VIEW_H

#include <stdbool.h>
#include <stdio.h>

#include "../result.h"

enum {
    TEXT_NAME = 15,
    TEXT_SMALL = 9, /* columns of a table of medians, plus a blank */
};

struct text_view {
    const struct lab_run *run;
    FILE *f;
    const char *bold, *dim, *red, *plain; /* empty without colour */
};

/* Some of the run's results, such as those of one variant: [begin, end). */
struct text_span {
    size_t begin, end;
};

/* The result of a subject for a metric, or NULL. */
const struct lab_result *text_find(const struct text_view *v, struct text_span s,
                                   const char *metric, const char *subject);

/* What could not be measured of a variant. */
void text_failures(const struct text_view *v, const char *experiment, const char *variant);

/* The title of a variant, with the point of a sweep or without. */
void text_heading(const struct text_view *v, const char *experiment, const char *variant,
                  bool with_point);

/* Shows the sweep that begins with this variant, and returns all of it; an empty span where it is
 * none (text_sweep.c). */
struct text_span text_sweep(const struct text_view *v, struct text_span first);

/* What earlier sources say of the experiment (text_references.c). */
void text_references(const struct text_view *v, const char *experiment);

#endif
