/* SPDX-License-Identifier: MIT */
/* The parts of the page that report_html() writes: one file with everything in it, that is read
 * without a network, with or without JavaScript (which draws the charts and nothing else). */
#ifndef HEDDLE_LAB_HTML_H
#define HEDDLE_LAB_HTML_H

#include <stdio.h>

#include "../experiment.h"
#include "../result.h"
#include "../stat/compare.h"
#include "../text.h"
#include "json.h"

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
/* All variants of the experiment that begins at a result. */
struct html_span html_span_whole(const struct lab_run *run, size_t begin);

#define HTML_BARE "bare"

bool html_is_bare(const struct lab_result *r);
const struct lab_result *html_find(const struct html_span *s, const char *metric,
                                   const char *subject);
/* The n-th metric of the span that is not the bare switch's (by its first result), or NULL. */
const struct lab_result *html_metric(const struct html_span *s, size_t n);
/* How many metrics of the span answer the question. */
size_t html_primary_count(const struct html_span *s);
/* What the table calls a metric, or its plain name. */
const char *html_metric_label(const struct html_span *s, const char *metric);
/* The title of the variant and, in a sweep, its point; "" if it is the only one. To be freed. */
char *html_variant_title(const struct html_span *s);
/* Whether a ratio of the two has a meaning: the work was the same, or is what is compared. */
bool html_comparable(const struct lab_result *a, const struct lab_result *b);
/* How r compares with pthread's result in the span; NAN where that has no meaning. */
double html_over_pthread(const struct html_span *s, const struct lab_result *r);
const struct lab_subject_info *html_subject(const struct lab_run *run, const char *name);
/* A class for colour: heddle, pthread, native, python, go. */
const char *html_kind(const struct lab_run *run, const char *subject);

/* ---- html_words.c: sentences and commands ---- */

/* What a metric counts, as the beginning of a sentence: "A switch takes"; NULL if unknown. */
const char *html_phrase(const char *experiment, const char *metric);
/* One sentence or two: what is seen in the metric. */
void html_say(FILE *f, const struct html_span *s, const char *metric);
/* The command that measures the experiment again; NULL if that is unknown. The caller frees. */
char *html_command(const struct html_span *s);
/* What one process of a result was started with. The caller frees. */
char *html_process(const struct lab_run *run, const struct lab_result *r);

/* ---- html_verdict.c: results beside one that everybody knows ---- */

/* What the span's results of a metric are compared with: pthread's, heddle's, or the first. */
const struct lab_result *html_base(const struct html_span *s, const char *metric);
/* How r compares with that; NAN where it has no meaning. */
double html_over_base(const struct html_span *s, const struct lab_result *r);

struct html_verdicts {
    const struct lab_run *run;
    size_t *place; /* of each result: 1 for the first comparison, 0 for none */
    struct lab_comparison *all;
    size_t count;
};

void html_verdicts_find(struct html_verdicts *v, const struct lab_run *run);
void html_verdicts_free(struct html_verdicts *v);
/* The comparison of a result, or NULL. */
const struct lab_comparison *html_verdict(const struct html_verdicts *v,
                                          const struct lab_result *r);
const char *html_verdict_word(const struct lab_comparison *c, const char *unit);
void html_verdict_cell(FILE *f, const struct lab_comparison *c, const char *unit);
char *html_p(double p);

/* ---- html_page.c: what every page is made of ---- */

/* A page that is being written. What the script draws its charts from is gathered beside it, and
 * stands at the page's end. */
struct html_page {
    FILE *f;
    struct lab_json data;
    char *text; /* of the data */
    size_t bytes;
    size_t charts;
    struct html_verdicts verdicts; /* empty if nothing is compared */
    const struct lab_run *run;     /* whose subjects the charts name; NULL: none are named */
    char **subjects;               /* in the order in which charts named them first */
    size_t subject_count;
    bool large; /* what an overview shows is not shown again by itself */
};

/* Up to the beginning of the body; `more` is added to the style sheet. */
void html_head(FILE *f, const char *title, const unsigned char *more, size_t more_bytes);
void html_page_begin(struct html_page *p, FILE *f, const char *title);
/* Ends the page; 0, or -errno. */
int html_page_end(struct html_page *p);

/* A figure: its head, then its chart's data by html_chart_*(), then its end. `better` may be
 * LAB_BETTER_NONE; `command` is what repeats it, or NULL. */
void html_figure_begin(struct html_page *p, const char *title, const char *about,
                       enum lab_better better);
void html_figure_end(struct html_page *p, const char *command);
/* A command to copy. */
void html_repeat(FILE *f, const char *command);

/* ---- html_chart.c: distributions of one metric, and phases ---- */

/* The charts of one variant. */
void html_charts(struct html_page *p, const struct html_span *s);
/* Whether they show how the life of threads is made up. */
bool html_has_phases(const struct html_span *s);
/* What is only a fact, or a number of things, is told by the tables. */
bool html_has_chart(const struct lab_result *r);
/* A number of a chart, with as many digits as can be seen. */
void html_chart_number(struct lab_json *j, const char *key, double value);
/* The subject's place among those that have no colour of their own. */
size_t html_place(const struct lab_run *run, const char *subject);
/* The field of each series, row and mark that says whose it is: the script finds its name, kind and
 * place in the list of subjects at the end of the data. */
void html_chart_subject(struct html_page *p, const char *subject);

/* The fields that say how the processes' values are distributed. */
void html_chart_samples(struct lab_json *j, const struct lab_result *r);

/* ---- html_sweep.c: one metric over a parameter of the work ---- */

/* The charts over parameters that the span's variants differ by: those of metrics that answer the
 * question, or of the others. Their number. */
size_t html_sweeps(struct html_page *p, const struct html_span *all, bool primary);
/* Whether a metric is shown over a parameter. */
bool html_is_swept(const struct html_span *all, const char *metric);

/* ---- html_cases.c: one metric in several variants, or several metrics of one kind ---- */
/* The numbers of metrics shown: over the variants of an experiment, and in one variant. */
size_t html_cases(struct html_page *p, const struct html_span *all, bool primary);
size_t html_metric_cases(struct html_page *p, const struct html_span *s);

/* ---- html_glance.c: heddle against kernel threads, a card a question ---- */
void html_glance(FILE *f, const struct lab_run *run);

/* ---- html_section.c ---- */
void html_sections(struct html_page *p, const struct lab_run *run);

/* ---- html_notes.c: what subjects said, and what could not be measured ---- */
void html_notes(FILE *f, const struct lab_run *run, const char *experiment);
void html_failures(FILE *f, const struct lab_run *run, const char *experiment);

/* ---- html_machine.c ---- */
void html_machine(FILE *f, const struct lab_run *run);
/* What disturbs measurements on it, and all that is known of it. */
void html_machine_facts(FILE *f, const struct lab_run *run);
/* A warning, where differences of a percent cannot be trusted. */
void html_disturbed(FILE *f, const struct lab_run *run);

/* ---- html_table.c ---- */
void html_tables(struct html_page *p, const struct html_span *s);
/* All metrics of a variant by their medians; intervals are what a pointer is told. */
void html_medians(struct html_page *p, const struct html_span *s);

/* ---- html_claims.c: what earlier sources say beside what was measured ---- */
void html_claims(FILE *f, const struct lab_run *run, const char *experiment);

/* ---- resources, made at build time from html_*.css, html_*.js and the chart library ---- */
extern const unsigned char html_css[], html_js[], html_library[], html_library_notice[];
extern const size_t html_css_bytes, html_js_bytes, html_library_bytes, html_library_notice_bytes;
/* What the pages of probes (lab/probe/out_html.c) have besides html_css. */
extern const unsigned char html_probe_css[], html_probe_js[];
extern const size_t html_probe_css_bytes, html_probe_js_bytes;

#endif
