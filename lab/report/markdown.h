/* SPDX-License-Identifier: MIT */
/* Runs and comparisons as Markdown (GitHub's, whose tables others have, too): to be pasted into a
 * pull request. */
#ifndef HEDDLE_LAB_REPORT_MARKDOWN_H
#define HEDDLE_LAB_REPORT_MARKDOWN_H

#include <stdbool.h>
#include <stdio.h>

#include "../result.h"
#include "matches.h"

/* Anything, so that it is read as it is: nothing in it is a mark-up, or ends a cell. */
void markdown_text(FILE *f, const char *s);

/* The same between backticks; in a cell of a table, or elsewhere. */
void markdown_code(FILE *f, const char *s, bool cell);

/* The first line. */
void markdown_title(FILE *f, const char *title);

/* A paragraph of its own; nothing for NULL. The line is freed. */
void markdown_line(FILE *f, char *line);

/* The two lines above a table's rows. The columns begin at the left where `left` has an 'l'. */
void markdown_header(FILE *f, const char *const *titles, const char *left);

/* What is folded away until somebody asks, and its end. */
void markdown_fold(FILE *f, const char *title);
void markdown_unfold(FILE *f);

/* Who measured when, where, of which commit, and what disturbed it. */
void markdown_origin(FILE *f, const struct lab_run *run);

#endif
