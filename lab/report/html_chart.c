/* SPDX-License-Identifier: MIT */
/* The charts of one variant. Dots show how the processes' values of one metric are distributed, a
 * row a subject; the chart of phases shows how the life of threads is made up, as bars. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"

/* More processes than this are shown by as many quantiles of theirs. */
enum { SAMPLES_SHOWN = 150 };

bool html_has_chart(const struct lab_result *r) {
    return r->better != LAB_BETTER_NONE && strcmp(r->unit, "count") != 0;
}

/* Creation is there for those who tell it apart from the start. */
static const char *const phases[] = {"create_ms", "start_ms", "join_ms"};
enum { PHASES = sizeof(phases) / sizeof(phases[0]) };

static bool is_phase(const char *metric) {
    for (size_t p = 0; p < PHASES; p++) {
        if (strcmp(phases[p], metric) == 0) return true;
    }
    return false;
}

/* The first result of the starts in a lifecycle whose joins were measured too, or NULL. */
static const struct lab_result *phases_first(const struct html_span *s) {
    for (size_t i = s->begin; i < s->end && strcmp(s->name, "lifecycle") == 0; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (strcmp(r->metric, "start_ms") == 0 && html_find(s, "join_ms", r->subject)) return r;
    }
    return NULL;
}

bool html_has_phases(const struct html_span *s) {
    return phases_first(s) != NULL;
}

void html_chart_number(struct lab_json *j, const char *key, double value) {
    char text[32];
    snprintf(text, sizeof(text), isfinite(value) ? "%.5g" : "null", value);
    lab_json_literal(j, key, text);
}

size_t html_place(const struct lab_run *run, const char *subject) {
    size_t place = 0;
    for (size_t i = 0; i < run->subject_count; i++) {
        const char *name = run->subjects[i].name;
        if (strcmp(name, subject) == 0) break;
        place += strcmp(name, "heddle") != 0 && strcmp(name, "pthread") != 0;
    }
    return place;
}

void html_chart_subject(struct html_page *p, const char *subject) {
    size_t i = 0;
    while (i < p->subject_count && strcmp(p->subjects[i], subject) != 0) i++;
    if (i == p->subject_count) {
        p->subjects = lab_grow_one(p->subjects, i, sizeof(*p->subjects));
        p->subjects[p->subject_count++] = lab_copy(subject);
    }
    lab_json_integer(&p->data, "who", (long long)i);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void html_chart_samples(struct lab_json *j, const struct lab_result *r) {
    html_chart_number(j, "median", r->median);
    html_chart_number(j, "low", r->ci_low);
    html_chart_number(j, "high", r->ci_high);
    lab_json_integer(j, "n", (long long)r->n);
    lab_json_array(j, "samples", true);
    if (r->n <= SAMPLES_SHOWN) {
        for (size_t i = 0; i < r->n; i++) html_chart_number(j, NULL, r->samples[i]);
    } else {
        double *sorted = lab_alloc(r->n, sizeof(*sorted));
        memcpy(sorted, r->samples, r->n * sizeof(*sorted));
        qsort(sorted, r->n, sizeof(*sorted), by_value);
        for (size_t i = 0; i < SAMPLES_SHOWN; i++) {
            html_chart_number(j, NULL, sorted[i * (r->n - 1) / (SAMPLES_SHOWN - 1)]);
        }
        free(sorted);
    }
    lab_json_end_array(j);
}

static void dots_row(struct html_page *p, const struct lab_result *r,
                     const struct lab_result *first) {
    struct lab_json *j = &p->data;
    char *median = html_value(r->median, r->unit);
    char *range = html_range(r->ci_low, r->ci_high, r->unit);
    lab_json_object(j, NULL, true);
    html_chart_subject(p, r->subject);
    html_chart_samples(j, r);
    lab_json_string(j, "label", median);
    lab_json_string(j, "range", range);
    if (!html_comparable(r, first)) lab_json_bool(j, "other", true);
    lab_json_end_object(j);
    free(median);
    free(range);
}

/* The bare switch stands in the chart of everything that is counted in switches. */
static void dots_reference(struct lab_json *j, const struct html_span *s, const char *metric) {
    const struct lab_metric *m = s->experiment ? lab_metric_find(s->experiment, metric) : NULL;
    for (size_t i = s->begin; i < s->end && m && m->over_bare; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (!html_is_bare(r)) continue;
        char *value = html_value(r->median, r->unit), *label = lab_format("bare switch, %s", value);
        lab_json_object(j, "reference", true);
        html_chart_number(j, "value", r->median);
        lab_json_string(j, "label", label);
        lab_json_end_object(j);
        free(label);
        free(value);
        return;
    }
}

static void dots(struct html_page *p, const struct html_span *s, const struct lab_result *first) {
    struct lab_json *j = &p->data;
    char *command = html_command(s);
    html_figure_begin(p, html_metric_label(s, first->metric), "", first->better);
    html_figure_end(p, command);
    free(command);
    lab_json_object(j, NULL, false);
    lab_json_string(j, "chart", "dots");
    lab_json_string(j, "unit", first->unit);
    dots_reference(j, s, first->metric);
    lab_json_array(j, "rows", false);
    for (size_t i = s->begin; i < s->end; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (strcmp(r->metric, first->metric) == 0 && !html_is_bare(r)) dots_row(p, r, first);
    }
    lab_json_end_array(j);
    lab_json_end_object(j);
}

static void phases_row(struct html_page *p, const struct html_span *s, const char *subject) {
    struct lab_json *j = &p->data;
    double sum = 0;
    lab_json_object(j, NULL, true);
    html_chart_subject(p, subject);
    lab_json_array(j, "values", true);
    for (size_t i = 0; i < PHASES; i++) {
        const struct lab_result *x = html_find(s, phases[i], subject);
        html_chart_number(j, NULL, x ? x->median : 0);
        sum += x ? x->median : 0;
    }
    lab_json_end_array(j);
    char *label = html_value(sum, "ms");
    lab_json_string(j, "label", label);
    free(label);
    lab_json_end_object(j);
}

static void phases_chart(struct html_page *p, const struct html_span *s) {
    struct lab_json *j = &p->data;
    char *command = html_command(s);
    html_figure_begin(p, "where the time goes, by medians", "", LAB_BETTER_LOWER);
    html_figure_end(p, command);
    free(command);
    lab_json_object(j, NULL, false);
    lab_json_string(j, "chart", "phases");
    lab_json_string(j, "unit", "ms");
    lab_json_array(j, "parts", true);
    for (size_t i = 0; i < PHASES; i++) {
        lab_json_string(j, NULL, html_metric_label(s, phases[i]));
    }
    lab_json_end_array(j);
    lab_json_array(j, "rows", false);
    for (size_t i = s->begin; i < s->end; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (strcmp(r->metric, "start_ms") == 0 && html_find(s, "join_ms", r->subject)) {
            phases_row(p, s, r->subject);
        }
    }
    lab_json_end_array(j);
    lab_json_end_object(j);
}

/* Large ones across the page: what answers the question. The others side by side. */
void html_charts(struct html_page *p, const struct html_span *s) {
    const struct lab_result *r;
    bool phased = html_has_phases(s), grid = false;
    for (size_t i = 0; (r = html_metric(s, i)); i++) {
        if (r->primary && html_has_chart(r)) dots(p, s, r);
    }
    if (phased) phases_chart(p, s);
    for (size_t i = 0; (r = html_metric(s, i)); i++) {
        if (r->primary || (phased && is_phase(r->metric)) || !html_has_chart(r)) continue;
        if (!grid) fputs("<div class=\"grid\">\n", p->f);
        grid = true;
        dots(p, s, r);
    }
    if (grid) fputs("</div>\n", p->f);
}
