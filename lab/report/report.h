/* SPDX-License-Identifier: MIT */
/* The reports. Each takes a finished run and writes it to a stream; whether the writing worked is
 * asked of the stream afterwards. They return 0, or -errno of what else went wrong. */
#ifndef HEDDLE_LAB_REPORT_H
#define HEDDLE_LAB_REPORT_H

#include <stdio.h>

#include "../result.h"

/* A table for a person, 80 columns wide. */
int report_text(const struct lab_run *run, FILE *f, bool colour);

/* Whichever table there is for what the run holds: that one, or that of heddle run. */
int report_plain_text(const struct lab_run *run, FILE *f, bool colour);

/* Tables for a pull request (GitHub's Markdown). */
int report_markdown(const struct lab_run *run, FILE *f);

/* One object; the schema is in heddle-lab(1). */
int report_json(const struct lab_run *run, FILE *f);

/* A header and one row a metric (RFC 4180). */
int report_csv(const struct lab_run *run, FILE *f);

/* A header and one row a sample (RFC 4180). */
int report_runs(const struct lab_run *run, FILE *f);

/* One self-contained page. */
int report_html(const struct lab_run *run, FILE *f);

#endif
