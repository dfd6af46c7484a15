/* SPDX-License-Identifier: MIT */
/* A sweep in the table for a terminal: one line a point, with the medians. One subject has a column
 * for each of its metrics; several have a column each, in a table for each primary metric. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../experiment.h"
#include "../text.h"
#include "format.h"
#include "text_view.h"

enum { ROOM = 76, POINTS = 512, METRICS = 24, SUBJECTS = 64 };

struct sweep {
    const struct text_view *v;
    struct text_span all;
    struct text_span points[POINTS];
    size_t point_count;
    const char *subjects[SUBJECTS];
    size_t subject_count;
    const struct lab_result *metrics[METRICS]; /* the first result of each */
    size_t metric_count;
    size_t width;   /* of the names of points */
    size_t columns; /* for which there is room beside them */
};

static bool same_variant(const struct lab_result *a, const struct lab_result *b) {
    return strcmp(a->variant, b->variant) == 0;
}

static void add_name(const char **names, size_t *count, size_t most, const char *name) {
    for (size_t i = 0; i < *count; i++) {
        if (strcmp(names[i], name) == 0)
            return;
    }
    if (*count < most)
        names[(*count)++] = name;
}

static void add_metric(struct sweep *w, const struct lab_result *r) {
    for (size_t i = 0; i < w->metric_count; i++) {
        if (strcmp(w->metrics[i]->metric, r->metric) == 0)
            return;
    }
    if (w->metric_count < METRICS)
        w->metrics[w->metric_count++] = r;
}

/* Everything that follows from the results. False if it is no sweep of several points. */
static bool look(struct sweep *w, const struct text_view *v, struct text_span first) {
    const struct lab_run *run = v->run;
    *w = (struct sweep){.v = v, .all = {first.begin, first.begin}};
    const struct lab_result *begin = &run->results[first.begin];
    for (size_t i = first.begin; i < run->result_count; i++) {
        const struct lab_result *r = &run->results[i];
        if (!lab_same_sweep(begin, r))
            break;
        if (i == first.begin || !same_variant(r, &run->results[i - 1])) {
            if (w->point_count == POINTS)
                break;
            w->points[w->point_count++] = (struct text_span){i, i};
        }
        w->points[w->point_count - 1].end = w->all.end = i + 1;
        if (strcmp(r->subject, "bare") == 0)
            continue;
        add_name(w->subjects, &w->subject_count, SUBJECTS, r->subject);
        add_metric(w, r);
    }
    return w->point_count > 1 && w->subject_count > 0;
}

static const char *point_name(const struct sweep *w, size_t point) {
    const char *variant = w->v->run->results[w->points[point].begin].variant;
    variant += lab_variant_length(variant);
    return variant + (*variant == ' ');
}

static const char *label_of(const struct lab_result *metric) {
    const struct lab_experiment *e = lab_experiment_find(metric->experiment);
    const struct lab_metric *m = e ? lab_metric_find(e, metric->metric) : NULL;
    return m ? m->label : metric->metric;
}

/* What a table shows: metrics of one subject, or one metric of subjects. */
struct page {
    const char *title;
    const char *const *subjects;
    size_t metric; /* the first */
    size_t columns;
    bool by_metric;
};

static const struct lab_result *at(const struct sweep *w, struct page p, size_t point, size_t c) {
    return text_find(w->v, w->points[point], w->metrics[p.metric + (p.by_metric ? c : 0)]->metric,
                     p.subjects[p.by_metric ? 0 : c]);
}

/* A subject's name in a narrow column: "py3.10" where "python3.10" would end before the 10. */
static void subject_cell(FILE *f, const char *subject) {
    static const char python[] = "python";
    bool cut = strlen(subject) > TEXT_SMALL && lab_starts_with(subject, python);
    char *name = lab_format("%s%s", cut ? "py" : "", cut ? subject + strlen(python) : subject);
    lab_cell_right(f, name, TEXT_SMALL);
    free(name);
}

/* Points down, metrics or subjects across. */
static void table(const struct sweep *w, struct page p) {
    const struct text_view *v = w->v;
    fprintf(v->f, "  %s", v->bold);
    lab_cell_name(v->f, p.title, w->width);
    for (size_t c = 0; c < p.columns; c++) {
        fputc(' ', v->f);
        if (p.by_metric) {
            lab_cell_right(v->f, label_of(w->metrics[p.metric + c]), TEXT_SMALL);
        } else {
            subject_cell(v->f, p.subjects[c]);
        }
    }
    fprintf(v->f, "%s\n", v->plain);
    for (size_t i = 0; i < w->point_count; i++) {
        bool any = false;
        for (size_t c = 0; c < p.columns && !any; c++)
            any = at(w, p, i, c) != NULL;
        if (!any)
            continue;
        fputs("  ", v->f);
        lab_cell_name(v->f, point_name(w, i), w->width);
        for (size_t c = 0; c < p.columns; c++) {
            char cell[LAB_CELL] = "";
            const struct lab_result *r = at(w, p, i, c);
            if (r)
                lab_human(cell, r->median, r->unit);
            fprintf(v->f, " %*s", TEXT_SMALL, cell);
        }
        fputc('\n', v->f);
    }
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Those who have the metric at some point. */
static size_t who_has(const struct sweep *w, size_t metric, const char **subjects) {
    size_t count = 0;
    for (size_t s = 0; s < w->subject_count; s++) {
        if (text_find(w->v, w->all, w->metrics[metric]->metric, w->subjects[s]))
            subjects[count++] = w->subjects[s];
    }
    return count;
}

/* The tables. Returns how many metrics they leave out. */
static size_t tables(const struct sweep *w) {
    size_t left_out = 0;
    for (size_t m = 0; w->subject_count == 1 && m < w->metric_count; m += w->columns) {
        size_t columns = least(w->columns, w->metric_count - m);
        table(w, (struct page){w->subjects[0], w->subjects, m, columns, true});
    }
    for (size_t m = 0; w->subject_count > 1 && m < w->metric_count; m++) {
        const char *subjects[SUBJECTS];
        size_t count = who_has(w, m, subjects);
        left_out += !w->metrics[m]->primary;
        for (size_t s = 0; w->metrics[m]->primary && s < count; s += w->columns) {
            size_t columns = least(w->columns, count - s);
            table(w, (struct page){label_of(w->metrics[m]), subjects + s, m, columns, false});
        }
    }
    return left_out;
}

/* The names of points get the room that they need, within reason. */
static void lay_out(struct sweep *w) {
    w->width = TEXT_NAME;
    for (size_t p = 0; p < w->point_count; p++) {
        size_t n = lab_columns(point_name(w, p));
        w->width = n > w->width ? n : w->width;
    }
    w->width = w->width > ROOM / 2 ? ROOM / 2 : w->width;
    w->columns = (ROOM - w->width) / (TEXT_SMALL + 1);
}

struct text_span text_sweep(const struct text_view *v, struct text_span first) {
    struct sweep w;
    if (!look(&w, v, first))
        return (struct text_span){first.begin, first.begin};
    const struct lab_result *r = &v->run->results[first.begin];
    text_heading(v, r->experiment, r->variant, false);
    lay_out(&w);
    size_t left_out = tables(&w);
    if (left_out)
        fprintf(v->f, "%s  (medians; %zu more metrics in --json, --csv and --html)%s\n", v->dim,
                left_out, v->plain);
    for (size_t p = 0; p < w.point_count; p++)
        text_failures(v, r->experiment, v->run->results[w.points[p].begin].variant);
    return w.all;
}
