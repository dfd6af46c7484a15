/* SPDX-License-Identifier: MIT */
/* The parts of the page that report_html() writes: one file with everything in it, that is read
 * without a network, with or without JavaScript (which draws the charts and nothing else). */
#ifndef HEDDLE_LAB_HTML_H
#define HEDDLE_LAB_HTML_H

#include <stdio.h>

#include "../experiment.h"
#include "../result.h"
#include "../text.h"

/* ---- html_write.c: text that cannot break out of where it stands ---- */

/* Text between tags or inside a quoted attribute. */
void html_text(FILE *f, const char *s);
/* As printf, everything escaped but what the format itself says. Only %s is understood. */
void html_printf(FILE *f, const char *format, ...) LAB_PRINTF(2, 3);
/* A name as a fragment identifier: letters, digits and dashes. */
void html_id(FILE *f, const char *s);
/* JSON for a <script> element, where `<` must not appear. */
void html_json_in_script(FILE *f, const char *json);
/* A word of a shell's command line, in quotes where it needs them. */
void html_shell_word(struct lab_text *t, const char *word);

/* 9.51 ns, with the proper sign for micro. The caller frees. */
char *html_value(double value, const char *unit);
/* 2.34 times, or 1/241. The caller frees. */
char *html_ratio(double ratio);
/* 9.2 to 9.9 ns; "" without an interval. The caller frees. */
char *html_range(double low, double high, const char *unit);

/* ---- html_view.c: looking at a run ---- */

/* The results of one variant of an experiment: [begin, end) of the run's. */
struct html_span {
    const struct lab_run *run;
    size_t begin, end;
    const struct lab_experiment *experiment; /* NULL if the table does not know it */
    const char *name, *variant;
};

/* The span that begins at a result. */
struct html_span html_span_at(const struct lab_run *run, size_t begin);

#define HTML_BARE "bare"

bool html_is_bare(const struct lab_result *r);
const struct lab_result *html_find(const struct html_span *s, const char *metric,
                                   const char *subject);
/* The n-th metric of the span that is not the bare switch's (by its first result), or NULL. */
const struct lab_result *html_metric(const struct html_span *s, size_t n);
/* What the table calls a metric, or its plain name. */
const char *html_metric_label(const struct html_span *s, const char *metric);
/* The title of the variant; "" if there is only one. */
const char *html_variant_title(const struct html_span *s);
/* How r compares with pthread's result in the span; NAN where that has no meaning. */
double html_over_pthread(const struct html_span *s, const struct lab_result *r);
const struct lab_subject_info *html_subject(const struct lab_run *run, const char *name);
/* A class for colour: heddle, pthread, native, python, go. */
const char *html_kind(const struct lab_run *run, const char *subject);

/* ---- html_words.c: sentences and commands ---- */

/* What a metric counts, as the beginning of a sentence: "A switch takes". */
const char *html_phrase(const char *experiment, const char *metric);
/* One sentence or two: what is seen in the metric. */
void html_say(FILE *f, const struct html_span *s, const char *metric);
/* The command that measures the experiment again. The caller frees. */
char *html_command(const struct html_span *s);
/* What one process of a result was started with. The caller frees. */
char *html_process(const struct lab_run *run, const struct lab_result *r);

/* ---- html_chart.c: what the page's script draws from ---- */

/* A chart of one metric, or of the phases of a life (then `first` is the starts' first result). */
struct html_chart {
    const struct lab_result *first;
    bool phases;
    bool large; /* the metric that answers the question, or the phases */
};

/* The n-th chart of a span, in the order in which the page shows them; false after the last. */
bool html_chart_at(const struct html_span *s, size_t n, struct html_chart *chart);
/* All charts of the run as a JSON array, span after span. */
void html_chart_data(const struct lab_run *run, FILE *f);

/* ---- html_table.c ---- */
void html_tables(FILE *f, const struct html_span *s);

/* ---- html_claims.c: an earlier analysis of Python's threads beside what was measured ---- */
bool html_claims_wanted(const struct lab_run *run);
void html_claims(FILE *f, const struct lab_run *run);

/* ---- resources, made at build time from html_page.css, html_page.js and the chart library ---- */
extern const unsigned char html_css[], html_js[], html_library[], html_library_notice[];
extern const size_t html_css_bytes, html_js_bytes, html_library_bytes, html_library_notice_bytes;

#endif
