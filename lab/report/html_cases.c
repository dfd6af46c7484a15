/* SPDX-License-Identifier: MIT */
/* An experiment of many cases at one glance: a row a case, a column a subject. The cases are the
 * variants in which a metric was measured, or the metrics of one variant that answer the question
 * in one unit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"

enum {
    LEAST_METRICS = 3, /* fewer stand well beside each other */
    MANY_METRICS = 6,
    COLOURS = 10,      /* of the style sheet: own-0 and so on */
};

struct row {
    struct html_span span;
    const char *metric;
    char *name;
};

struct cases {
    const struct html_span *all;
    struct row *rows;
    size_t row_count;
    const char **subjects; /* in the order of the results */
    size_t subject_count;
    const char *unit;
    enum lab_better better;
};

static const struct lab_result *at(const struct cases *c, size_t row, size_t subject) {
    return html_find(&c->rows[row].span, c->rows[row].metric, c->subjects[subject]);
}

static void add_row(struct cases *c, struct html_span s, const struct lab_result *m,
                    const char *name) {
    c->rows = lab_grow_one(c->rows, c->row_count, sizeof(*c->rows));
    c->rows[c->row_count++] = (struct row){s, m->metric, lab_copy(name)};
    c->unit = m->unit;
    c->better = m->better;
    for (size_t i = s.begin; i < s.end; i++) {
        const struct lab_result *r = &s.run->results[i];
        bool known = html_is_bare(r) || strcmp(r->metric, m->metric) != 0;
        for (size_t k = 0; k < c->subject_count && !known; k++) {
            known = strcmp(c->subjects[k], r->subject) == 0;
        }
        if (known) continue;
        c->subjects = lab_grow_one(c->subjects, c->subject_count, sizeof(*c->subjects));
        c->subjects[c->subject_count++] = r->subject;
    }
}

/* The median that does best in a row; NAN if there is none to compare. */
static double best_of(const struct cases *c, size_t row) {
    double best = NAN;
    size_t count = 0;
    for (size_t k = 0; k < c->subject_count && c->better != LAB_BETTER_NONE; k++) {
        const struct lab_result *r = at(c, row, k);
        if (!r || !(r->median > 0)) continue;
        bool better = c->better == LAB_BETTER_HIGHER ? r->median > best : r->median < best;
        if (isnan(best) || better) best = r->median;
        count++;
    }
    return count > 1 ? best : NAN;
}

/* How far from the best, in five steps. */
static int heat(const struct cases *c, double median, double best) {
    static const double steps[] = {1.1, 1.5, 2.5, 6};
    double ratio = c->better == LAB_BETTER_HIGHER ? best / median : median / best;
    int step = 0;
    while (step < 4 && ratio > steps[step]) step++;
    return isfinite(ratio) && median > 0 ? step : 0;
}

static void table_row(FILE *f, const struct cases *c, size_t row) {
    double best = best_of(c, row);
    html_printf(f, "<tr><th scope=\"row\">%s</th>", c->rows[row].name);
    for (size_t k = 0; k < c->subject_count; k++) {
        const struct lab_result *r = at(c, row, k);
        if (!r) {
            fputs("<td class=\"none\">\xe2\x80\x93</td>", f);
            continue;
        }
        char *value = html_value(r->median, r->unit);
        char *range = html_range(r->ci_low, r->ci_high, r->unit);
        fprintf(f, "<td class=\"heat-%d\"", isnan(best) ? 0 : heat(c, r->median, best));
        if (*range) html_printf(f, " title=\"95 %% interval %s\"", range);
        html_printf(f, ">%s</td>", value);
        free(value);
        free(range);
    }
    fputs("</tr>\n", f);
}

/* In the colour that the subject has in charts of several. */
static void column(FILE *f, const struct lab_run *run, const char *subject) {
    const char *kind = html_kind(run, subject);
    bool own = strcmp(kind, "heddle") == 0 || strcmp(kind, "pthread") == 0;
    fputs("<th scope=\"col\"><span class=\"key ", f);
    if (own) {
        fputs(kind, f);
    } else {
        fprintf(f, "own own-%zu", html_place(run, subject) % COLOURS);
    }
    html_printf(f, "\"></span>%s</th>", subject);
}

static void table(FILE *f, const struct cases *c) {
    fputs("<div class=\"scroll\"><table class=\"cases\">\n<thead><tr><th scope=\"col\">median</th>",
          f);
    for (size_t k = 0; k < c->subject_count; k++) column(f, c->all->run, c->subjects[k]);
    fputs("</tr></thead>\n<tbody>\n", f);
    for (size_t i = 0; i < c->row_count; i++) table_row(f, c, i);
    fputs("</tbody></table></div>\n", f);
    if (c->subject_count > 1 && c->better != LAB_BETTER_NONE) {
        fputs("<p class=\"note\">The darker, the further from the best of its row: more than 1.1, "
              "1.5, 2.5, 6 times.</p>\n", f);
    }
}

static void marks(struct html_page *p, const struct cases *c, size_t row) {
    struct lab_json *j = &p->data;
    lab_json_object(j, NULL, false);
    lab_json_string(j, "name", c->rows[row].name);
    lab_json_array(j, "marks", false);
    for (size_t k = 0; k < c->subject_count; k++) {
        const struct lab_result *r = at(c, row, k);
        if (!r) continue;
        char *value = html_value(r->median, r->unit);
        lab_json_object(j, NULL, true);
        html_chart_subject(p, c->subjects[k]);
        html_chart_number(j, "median", r->median);
        html_chart_number(j, "low", r->ci_low);
        html_chart_number(j, "high", r->ci_high);
        lab_json_string(j, "label", value);
        lab_json_end_object(j);
        free(value);
    }
    lab_json_end_array(j);
    lab_json_end_object(j);
}

static void figure(struct html_page *p, const struct cases *c, const char *title) {
    struct lab_json *j = &p->data;
    char *command = html_command(c->all);
    html_figure_begin(p, title, "", c->better);
    html_figure_end(p, command);
    free(command);
    lab_json_object(j, NULL, false);
    lab_json_string(j, "chart", "cases");
    lab_json_string(j, "unit", c->unit);
    lab_json_array(j, "rows", false);
    for (size_t i = 0; i < c->row_count; i++) marks(p, c, i);
    lab_json_end_array(j);
    lab_json_end_object(j);
}

/* The chart, unless lines show the same already, and the table. */
static void show(struct html_page *p, const struct cases *c, const char *title, bool swept) {
    if (!swept && c->better != LAB_BETTER_NONE) figure(p, c, title);
    if (swept) html_printf(p->f, "<details><summary>%s in numbers</summary>\n", title);
    table(p->f, c);
    if (swept) fputs("</details>\n", p->f);
}

static void release(struct cases *c) {
    for (size_t i = 0; i < c->row_count; i++) free(c->rows[i].name);
    free(c->rows);
    free(c->subjects);
}

/* A metric in all variants that have it. */
static size_t over_variants(struct html_page *p, const struct html_span *all,
                            const struct lab_result *m) {
    struct cases c = {.all = all};
    for (size_t i = all->begin; i < all->end;) {
        struct html_span s = html_span_at(all->run, i);
        for (size_t k = s.begin; k < s.end; k++) {
            const struct lab_result *r = &all->run->results[k];
            if (strcmp(r->metric, m->metric) != 0 || html_is_bare(r)) continue;
            char *title = html_variant_title(&s);
            add_row(&c, s, r, *title ? title : "by default");
            free(title);
            break;
        }
        i = s.end;
    }
    size_t shown = c.row_count > 1;
    if (shown) show(p, &c, html_metric_label(all, m->metric), html_is_swept(all, m->metric));
    release(&c);
    return shown;
}

/* Whether the metrics of a variant in the unit of m make cases of one thing: several of them answer
 * the question, or there are many. */
static bool are_cases(const struct html_span *s, const struct lab_result *m) {
    const struct lab_result *r;
    size_t count = 0, primary = 0;
    for (size_t n = 0; (r = html_metric(s, n)); n++) {
        if (strcmp(r->unit, m->unit) != 0 || r->better != m->better) continue;
        count++;
        primary += r->primary;
    }
    return count >= MANY_METRICS || (count >= LEAST_METRICS && primary > 1);
}

/* The metrics in the unit of m, if m is the first of them. */
static size_t over_metrics(struct html_page *p, const struct html_span *s,
                           const struct lab_result *m) {
    struct cases c = {.all = s};
    const struct lab_result *r;
    for (size_t n = 0; (r = html_metric(s, n)); n++) {
        if (strcmp(r->unit, m->unit) != 0 || r->better != m->better) continue;
        if (c.row_count == 0 && r != m) return 0;
        add_row(&c, *s, r, html_metric_label(s, r->metric));
    }
    size_t shown = c.row_count;
    show(p, &c, "all cases", false);
    release(&c);
    return shown;
}

size_t html_cases(struct html_page *p, const struct html_span *all, bool primary) {
    const struct lab_result *m;
    struct html_span first = html_span_at(all->run, all->begin);
    size_t shown = 0;
    for (size_t n = 0; first.end != all->end && (m = html_metric(all, n)); n++) {
        if (m->primary != primary) continue;
        if (primary || html_is_swept(all, m->metric)) shown += over_variants(p, all, m);
    }
    return shown;
}

size_t html_metric_cases(struct html_page *p, const struct html_span *s) {
    const struct lab_result *m;
    size_t shown = 0;
    for (size_t n = 0; !html_has_phases(s) && (m = html_metric(s, n)); n++) {
        if (html_has_chart(m) && are_cases(s, m)) shown += over_metrics(p, s, m);
    }
    return shown;
}
