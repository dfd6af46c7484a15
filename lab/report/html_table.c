/* SPDX-License-Identifier: MIT */
/* The tables of an experiment's variant: its primary metrics in full, the others by their
 * medians. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"

static void cell(FILE *f, char *text) {
    html_printf(f, "<td>%s</td>", *text ? text : "\xe2\x80\x93");
    free(text);
}

static void ratio_cell(FILE *f, double ratio) {
    if (isfinite(ratio)) {
        cell(f, html_ratio(ratio));
    } else {
        fputs("<td></td>", f);
    }
}

static void name_cell(FILE *f, const struct html_span *s, const struct lab_result *r, bool other) {
    if (html_is_bare(r)) {
        fputs("<th scope=\"row\"><span class=\"key bare\"></span>bare switch</th>", f);
        return;
    }
    html_printf(f, "<th scope=\"row\"><span class=\"key %s\"></span>%s%s</th>",
                html_kind(s->run, r->subject), r->subject, other ? " *" : "");
}

static bool has_bare_ratio(const struct html_span *s, const char *metric) {
    for (size_t i = s->begin; i < s->end; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (strcmp(r->metric, metric) == 0 && isfinite(r->bare_ratio)) return true;
    }
    return false;
}

/* The columns of a full table. */
struct columns {
    const struct lab_result *first, *base;
    bool bare;
};

static void full_row(struct html_page *p, const struct html_span *s, const struct lab_result *r,
                     const struct columns *c) {
    FILE *f = p->f;
    fprintf(f, "<tr%s>", strcmp(r->subject, "heddle") == 0 ? " class=\"own\"" : "");
    name_cell(f, s, r, !html_is_bare(r) && !html_comparable(r, c->first));
    cell(f, html_value(r->median, r->unit));
    cell(f, html_range(r->ci_low, r->ci_high, r->unit));
    cell(f, html_value(r->min, r->unit));
    cell(f, html_value(r->max, r->unit));
    if (c->bare) ratio_cell(f, r->bare_ratio);
    if (c->base) {
        ratio_cell(f, html_over_base(s, r));
        html_verdict_cell(f, html_verdict(&p->verdicts, r), r->unit);
    }
    fprintf(f, "<td>%zu</td></tr>\n", r->n);
}

/* Whether there is somebody to compare with the base. */
static bool has_others(const struct html_span *s, const struct lab_result *base) {
    for (size_t i = s->begin; i < s->end; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (strcmp(r->metric, base->metric) == 0 && r != base && !html_is_bare(r)) return true;
    }
    return false;
}

static void full(struct html_page *p, const struct html_span *s, const struct lab_result *first) {
    FILE *f = p->f;
    struct columns c = {first, html_base(s, first->metric), has_bare_ratio(s, first->metric)};
    if (c.base && !has_others(s, c.base)) c.base = NULL;
    fputs("<div class=\"scroll\"><table>\n<thead><tr>", f);
    html_printf(f, "<th scope=\"col\">%s</th><th scope=\"col\">median</th>",
                html_metric_label(s, first->metric));
    fputs("<th scope=\"col\">95 % interval</th><th scope=\"col\">min</th>"
          "<th scope=\"col\">max</th>", f);
    if (c.bare) fputs("<th scope=\"col\">vs bare</th>", f);
    if (c.base) {
        html_printf(f, "<th scope=\"col\">vs %s</th><th scope=\"col\">verdict</th>",
                    c.base->subject);
    }
    fputs("<th scope=\"col\">processes</th></tr></thead>\n<tbody>\n", f);
    for (size_t i = s->begin; i < s->end && c.bare; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (html_is_bare(r)) full_row(p, s, r, &c);
    }
    for (size_t i = s->begin; i < s->end; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (strcmp(r->metric, first->metric) == 0 && !html_is_bare(r)) full_row(p, s, r, &c);
    }
    fputs("</tbody></table></div>\n", f);
}

/* A median, its interval in small, and how it compares with pthread's. */
static void small_cell(FILE *f, const struct html_span *s, const struct lab_result *r) {
    if (!r) {
        fputs("<td></td>", f);
        return;
    }
    char *median = html_value(r->median, r->unit);
    char *range = html_range(r->ci_low, r->ci_high, r->unit);
    double ratio = html_over_pthread(s, r);
    html_printf(f, "<td>%s", median);
    if (*range && r->ci_low < r->ci_high) html_printf(f, "<small>%s</small>", range);
    if (isfinite(ratio) && strcmp(r->unit, "count") != 0 && strcmp(r->subject, "pthread") != 0) {
        char *over = html_ratio(ratio);
        html_printf(f, "<small>%s of pthread</small>", over);
        free(over);
    }
    fputs("</td>", f);
    free(range);
    free(median);
}

/* A median; its interval is told to a pointer. */
static void median_cell(FILE *f, const struct lab_result *r) {
    if (!r) {
        fputs("<td></td>", f);
        return;
    }
    char *median = html_value(r->median, r->unit);
    char *range = html_range(r->ci_low, r->ci_high, r->unit);
    if (*range) {
        html_printf(f, "<td title=\"%s\">%s</td>", range, median);
    } else {
        html_printf(f, "<td>%s</td>", median);
    }
    free(range);
    free(median);
}

/* A row a subject, a column a metric: those that are not primary, or all of them in brief. */
static void others(FILE *f, const struct html_span *s, bool brief) {
    const struct lab_result *m;
    fputs("<div class=\"scroll\"><table class=\"small\">\n"
          "<thead><tr><th scope=\"col\">", f);
    fputs(brief ? "medians</th>" : "also measured</th>", f);
    for (size_t n = 0; (m = html_metric(s, n)); n++) {
        if (brief || !m->primary) {
            html_printf(f, "<th scope=\"col\">%s</th>", html_metric_label(s, m->metric));
        }
    }
    fputs("</tr></thead>\n<tbody>\n", f);
    for (size_t i = s->begin; i < s->end; i++) {
        const struct lab_result *r = &s->run->results[i];
        bool seen = html_is_bare(r);
        for (size_t k = s->begin; k < i && !seen; k++) {
            seen = strcmp(s->run->results[k].subject, r->subject) == 0;
        }
        if (seen) continue;
        fprintf(f, "<tr%s>", strcmp(r->subject, "heddle") == 0 ? " class=\"own\"" : "");
        name_cell(f, s, r, false);
        for (size_t n = 0; (m = html_metric(s, n)); n++) {
            const struct lab_result *x = html_find(s, m->metric, r->subject);
            if (brief) {
                median_cell(f, x);
            } else if (!m->primary) {
                small_cell(f, s, x);
            }
        }
        fputs("</tr>\n", f);
    }
    fputs("</tbody></table></div>\n", f);
}

/* What the starred did otherwise. */
static void other_work(FILE *f, const struct html_span *s, const struct lab_result *first) {
    for (size_t i = s->begin; i < s->end; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (strcmp(r->metric, first->metric) != 0 || html_is_bare(r)) continue;
        if (html_comparable(r, first)) continue;
        html_printf(f, "<p class=\"note\">* %s did other work:", r->subject);
        for (size_t k = 0; k < r->param_count; k++) {
            const struct lab_pair *p = &r->params[k];
            bool same = !lab_parameter_counts(r, p->key);
            for (size_t j = 0; j < first->param_count && !same; j++) {
                same = strcmp(first->params[j].key, p->key) == 0 &&
                       strcmp(first->params[j].value, p->value) == 0;
            }
            if (!same) html_printf(f, " %s %s", p->key, p->value);
        }
        fputs(".</p>\n", f);
    }
}

void html_tables(struct html_page *p, const struct html_span *s) {
    const struct lab_result *m, *first = html_metric(s, 0);
    size_t others_count = 0;
    for (size_t n = 0; (m = html_metric(s, n)); n++) others_count += !m->primary;
    for (size_t n = 0; (m = html_metric(s, n)); n++) {
        if (m->primary || others_count == 1) full(p, s, m);
    }
    if (others_count > 1) others(p->f, s, false);
    if (first) other_work(p->f, s, first);
}

void html_medians(struct html_page *p, const struct html_span *s) {
    others(p->f, s, true);
}
