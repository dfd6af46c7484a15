/* SPDX-License-Identifier: MIT */
/* Comparisons on paper. */
#ifndef HEDDLE_LAB_MATCHES_H
#define HEDDLE_LAB_MATCHES_H

#include <stdio.h>

#include "../measure/match.h"
#include "../trust.h"
#include "format.h"

/* "faster" and "slower" for times and rates; "less" and "more" for amounts. */
const char *matches_word(const struct lab_match *m);

/* The escape sequence for the colour of a verdict; "" without colour. */
const char *matches_colour(const struct lab_match *m, bool colour);

/* The numbers of a row, for people. */
struct matches_cells {
    char a[LAB_CELL], b[LAB_CELL]; /* the medians */
    char ratio[LAB_CELL], range[2 * LAB_CELL], shift[LAB_CELL + 1], p[LAB_CELL];
};
void matches_cells(const struct lab_match *m, struct matches_cells *out);

/* The heading of rows, and a row: whose name, both medians, ratio with interval, shift, p and
 * verdict, within 80 columns. A name that is too long gets a line of its own. */
void matches_header(FILE *f, const char *title, const char *a, const char *b, bool colour);
void matches_row(FILE *f, const char *name, const struct lab_match *m, bool colour);

/* How many processes it would take where something is undecided; nothing if all is decided. */
void matches_footnote(FILE *f, const struct lab_matches *m);

/* A run of commands: who, how long, what else it took, and what differs. */
int report_run_text(const struct lab_run *run, const struct lab_matches *m, FILE *f, bool colour);

/* Two runs beside each other. The names are what the user called them. */
struct report_pair {
    const struct lab_run *a, *b;
    const char *name_a, *name_b;
    const struct lab_matches *matches;
    double margin;
    const struct lab_trust *trust; /* of verdicts on B's machine; NULL: was not asked for */
};

/* ---- matches_words.c: sentences; what is there nothing to say of is NULL, and the caller frees
 * the rest ---- */

/* "wall_s", or "time" where the experiment has a name for it. */
const char *matches_label(const struct lab_result *r);

/* Over the rows of a metric: "switch threads=2: yield". */
char *matches_title(const struct lab_result *r);

/* Which run it is, of which commit, and where it was measured. */
char *matches_whose(char letter, const char *name, const struct lab_run *run);

/* Facts of the machine that differ, and make the comparison one of machines too. */
char *matches_machines(const struct report_pair *p);

/* What only one run has. */
char *matches_lonely(char letter, const struct lab_result *const *list, size_t count);

/* How many verdicts of each kind; and what it would take to decide the rest. */
char *matches_counts(const struct lab_matches *m, double margin);
char *matches_undecided(const struct lab_matches *m);

/* What verdicts are worth, where that is not settled. */
char *matches_trust(const struct report_pair *p);

bool matches_same_run(const struct report_pair *p);

/* ---- reports ---- */

int report_matches_text(const struct report_pair *p, FILE *f, bool colour);
int report_matches_csv(const struct report_pair *p, FILE *f);
int report_matches_json(const struct report_pair *p, FILE *f);
int report_matches_markdown(const struct report_pair *p, FILE *f);
int report_matches_html(const struct report_pair *p, FILE *f);

#endif
