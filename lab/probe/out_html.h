/* SPDX-License-Identifier: MIT */
/* The parts of a probe's page. All words and figures are plain HTML; the script draws the timeline
 * alone, and nothing else is lost where scripts do not run. */
#ifndef HEDDLE_LAB_PROBE_OUT_HTML_H
#define HEDDLE_LAB_PROBE_OUT_HTML_H

#include "probe/out.h"

/* ---- out_html_parts.c ---- */

/* The class that has a state's colour: "st-holds". */
const char *out_html_state_class(enum probe_state s);
/* "5.00 ms", "12.3 %": the caller frees. */
char *out_html_ns(uint64_t ns);
char *out_html_share(uint64_t part, uint64_t whole);
char *out_html_count(uint64_t n);
/* A cell of a table with one of these, which it frees. */
void out_html_cell(FILE *f, char *text);
/* A sentence: what stands in `backticks` is a name. */
void out_html_words(FILE *f, const char *text);
/* A thread's name with its colour, as its track has it. */
void out_html_thread(FILE *f, const struct probe_timeline *t, size_t index);
/* A bar that is divided by the states of [state_ns], of so much in all. */
void out_html_bar(FILE *f, const uint64_t state_ns[PROBE_STATES], uint64_t whole);

/* ---- out_html_time.c: the timeline ---- */

void out_html_timeline(FILE *f, const struct probe_report *r);
/* What the script draws it from. */
void out_html_data(FILE *f, const struct probe_report *r);

/* ---- out_html_threads.c: threads, and who waited for whom ---- */

void out_html_threads(FILE *f, const struct probe_report *r);
void out_html_waits(FILE *f, const struct probe_report *r);

/* ---- out_html_places.c: lines of code, and what the command knows besides ---- */

void out_html_places(FILE *f, const struct probe_report *r);
void out_html_tables(FILE *f, const struct probe_report *r);

/* ---- out_html_spread.c: histograms ---- */

void out_html_spreads(FILE *f, const struct probe_report *r);

#endif
