/* SPDX-License-Identifier: MIT */
/* The data of the charts, as one JSON object for the page's script: an array of charts in the
 * order of the page. A chart of dots shows one metric, a row a subject; the chart of phases shows
 * how the life of threads is made up, as bars. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"
#include "json.h"

/* What is only a fact, or a number of things, is told by the table. */
static bool has_chart(const struct lab_result *r) {
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

bool html_chart_at(const struct html_span *s, size_t n, struct html_chart *chart) {
    const struct lab_result *r;
    *chart = (struct html_chart){0};
    for (size_t i = 0; (r = html_metric(s, i)); i++) {
        if (!r->primary || !has_chart(r)) continue;
        chart->first = r;
        chart->large = true;
        if (n-- == 0) return true;
    }
    if ((r = phases_first(s))) {
        *chart = (struct html_chart){.first = r, .phases = true, .large = true};
        if (n-- == 0) return true;
    }
    for (size_t i = 0; (r = html_metric(s, i)); i++) {
        bool shown = r->primary || (phases_first(s) && is_phase(r->metric));
        if (shown || !has_chart(r)) continue;
        *chart = (struct html_chart){.first = r};
        if (n-- == 0) return true;
    }
    return false;
}

static void row_head(struct lab_json *j, const struct html_span *s, const struct lab_result *r) {
    lab_json_object(j, NULL, true);
    lab_json_string(j, "name", r->subject);
    lab_json_string(j, "kind", html_kind(s->run, r->subject));
}

static void dots_row(struct lab_json *j, const struct html_span *s, const struct lab_result *r,
                     const struct lab_result *first) {
    row_head(j, s, r);
    lab_json_number(j, "median", r->median);
    lab_json_number(j, "low", r->ci_low);
    lab_json_number(j, "high", r->ci_high);
    lab_json_array(j, "samples", true);
    for (size_t i = 0; i < r->n; i++) lab_json_number(j, NULL, r->samples[i]);
    lab_json_end_array(j);
    char *median = html_value(r->median, r->unit);
    char *range = html_range(r->ci_low, r->ci_high, r->unit);
    lab_json_string(j, "label", median);
    lab_json_string(j, "range", range);
    lab_json_bool(j, "other", !r->per_thing && !lab_same_work(first, r));
    free(median);
    free(range);
    lab_json_end_object(j);
}

/* The bare switch stands in the chart of everything that is counted in switches. */
static void dots_reference(struct lab_json *j, const struct html_span *s, const char *metric) {
    const struct lab_metric *m = s->experiment ? lab_metric_find(s->experiment, metric) : NULL;
    for (size_t i = s->begin; i < s->end && m && m->over_bare; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (!html_is_bare(r)) continue;
        char *value = html_value(r->median, r->unit), *label = lab_format("bare switch, %s", value);
        lab_json_object(j, "reference", true);
        lab_json_number(j, "value", r->median);
        lab_json_string(j, "label", label);
        lab_json_end_object(j);
        free(label);
        free(value);
        return;
    }
}

static void dots(struct lab_json *j, const struct html_span *s, const struct lab_result *first) {
    lab_json_object(j, NULL, false);
    lab_json_string(j, "chart", "dots");
    lab_json_string(j, "unit", first->unit);
    dots_reference(j, s, first->metric);
    lab_json_array(j, "rows", false);
    for (size_t i = s->begin; i < s->end; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (strcmp(r->metric, first->metric) == 0 && !html_is_bare(r)) dots_row(j, s, r, first);
    }
    lab_json_end_array(j);
    lab_json_end_object(j);
}

static void phases_chart(struct lab_json *j, const struct html_span *s) {
    lab_json_object(j, NULL, false);
    lab_json_string(j, "chart", "phases");
    lab_json_string(j, "unit", "ms");
    lab_json_array(j, "parts", true);
    for (size_t p = 0; p < PHASES; p++) {
        lab_json_string(j, NULL, html_metric_label(s, phases[p]));
    }
    lab_json_end_array(j);
    lab_json_array(j, "rows", false);
    for (size_t i = s->begin; i < s->end; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (strcmp(r->metric, "start_ms") != 0 || !html_find(s, "join_ms", r->subject)) continue;
        double sum = 0;
        row_head(j, s, r);
        lab_json_array(j, "values", true);
        for (size_t p = 0; p < PHASES; p++) {
            const struct lab_result *x = html_find(s, phases[p], r->subject);
            lab_json_number(j, NULL, x ? x->median : 0);
            sum += x ? x->median : 0;
        }
        lab_json_end_array(j);
        char *label = html_value(sum, "ms");
        lab_json_string(j, "label", label);
        free(label);
        lab_json_end_object(j);
    }
    lab_json_end_array(j);
    lab_json_end_object(j);
}

void html_chart_data(const struct lab_run *run, FILE *f) {
    char *text = NULL;
    size_t bytes;
    FILE *memory = open_memstream(&text, &bytes);
    if (!memory) return; /* the page then has its tables */
    struct lab_json j = {.f = memory};
    lab_json_array(&j, NULL, false);
    for (size_t i = 0; i < run->result_count;) {
        struct html_span s = html_span_at(run, i);
        struct html_chart chart;
        for (size_t n = 0; html_chart_at(&s, n, &chart); n++) {
            if (chart.phases) {
                phases_chart(&j, &s);
            } else {
                dots(&j, &s, chart.first);
            }
        }
        i = s.end;
    }
    lab_json_end_array(&j);
    if (fclose(memory) == 0) html_json_in_script(f, text);
    free(text);
}
