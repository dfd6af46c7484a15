/* SPDX-License-Identifier: MIT */
/* Lines over a parameter. Nothing says which experiments sweep something: it is seen from the
 * results. Where a subject was measured with several values of a parameter, all else being equal,
 * these are the points of a line. The parameter that joins most results is the chart's x; the
 * others that a subject was measured with several values of split the chart into panels. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"

struct sweep {
    const struct html_span *all;
    const char *metric;
    const char *x;              /* the parameter; NULL: there is nothing to sweep */
    const struct lab_result **points; /* the results of the metric, in the run's order */
    size_t count;
};

static const char *value_of(const struct lab_result *r, const char *key) {
    for (size_t i = 0; i < r->param_count; i++) {
        if (strcmp(r->params[i].key, key) == 0) return r->params[i].value;
    }
    return NULL;
}

/* The parameter as a number; NAN if it is none. */
static double number_of(const struct lab_result *r, const char *key) {
    const char *value = value_of(r, key);
    char *end;
    if (!value || !*value) return NAN;
    double number = strtod(value, &end);
    return *end || !isfinite(number) ? NAN : number;
}

static bool same_value(const struct lab_result *a, const struct lab_result *b, const char *key) {
    const char *x = value_of(a, key), *y = value_of(b, key);
    return x && y ? strcmp(x, y) == 0 : x == y;
}

static bool is_command(const struct lab_result *r) {
    const struct lab_experiment *e = lab_experiment_find(r->experiment);
    return e && e->elsewhere;
}

/* The subject's name; that of a command with {x} for the parameter's value, as it was given to
 * heddle run. The caller frees. */
static char *name_without(const struct lab_result *r, const char *x) {
    const char *value = value_of(r, x), *at = r->subject;
    struct lab_text t = {0};
    if (!value || !*value || !is_command(r)) return lab_copy(r->subject);
    while (*at) {
        size_t n = strlen(value);
        bool begins = at == r->subject || strchr(" =,", at[-1]);
        bool found = begins && strncmp(at, value, n) == 0 && strchr(" ,", at[n]);
        if (found) {
            lab_text_printf(&t, "{%s}", x);
        } else {
            lab_text_add(&t, at, n = 1);
        }
        at += n;
    }
    return t.data;
}

static bool same_subject(const struct lab_result *a, const struct lab_result *b, const char *x) {
    if (strcmp(a->subject, b->subject) == 0) return true;
    if (!is_command(a)) return false;
    char *p = name_without(a, x), *q = name_without(b, x);
    bool same = strcmp(p, q) == 0;
    free(p);
    free(q);
    return same;
}

/* Whether two results of a subject differ by nothing but the parameter x. */
static bool same_but(const struct lab_result *a, const struct lab_result *b, const char *x) {
    if (!same_subject(a, b, x)) return false;
    for (int turn = 0; turn < 2; turn++) {
        const struct lab_result *r = turn ? b : a;
        for (size_t i = 0; i < r->param_count; i++) {
            const char *key = r->params[i].key;
            if (strcmp(key, x) == 0 || !lab_parameter_counts(r, key)) continue;
            if (!same_value(a, b, key)) return false;
        }
    }
    return true;
}

/* How many points the line through a result has; more than a few are all the same. */
static size_t line_points(const struct sweep *w, const struct lab_result *r, const char *x) {
    double seen[3];
    size_t count = 0;
    for (size_t i = 0; i < w->count && count < 3; i++) {
        const struct lab_result *q = w->points[i];
        double number = number_of(q, x);
        bool known = isnan(number) || !same_but(r, q, x);
        for (size_t k = 0; k < count && !known; k++) known = !(fabs(seen[k] - number) > 0);
        if (!known) seen[count++] = number;
    }
    return count;
}

/* Two points make a line only where everybody asks how it grows. */
static size_t least_points(const char *x) {
    return strcmp(x, "workers") == 0 || strcmp(x, "threads") == 0 ? 2 : 3;
}

/* Whether a result is on a line over x. */
static bool is_joined(const struct sweep *w, const struct lab_result *r, const char *x) {
    return !isnan(number_of(r, x)) && line_points(w, r, x) >= least_points(x);
}

static bool joins(const struct sweep *w, const char *x) {
    for (size_t i = 0; i < w->count; i++) {
        if (is_joined(w, w->points[i], x)) return true;
    }
    return false;
}

/* The n-th parameter that joins results to lines, or NULL. */
static const char *find_x(const struct sweep *w, size_t n) {
    for (size_t i = 0; i < w->count; i++) {
        const struct lab_result *r = w->points[i];
        for (size_t k = 0; k < r->param_count; k++) {
            const char *key = r->params[k].key;
            bool seen = !lab_parameter_counts(r, key); /* or in an earlier result */
            for (size_t e = 0; e < i && !seen; e++) seen = value_of(w->points[e], key) != NULL;
            if (!seen && joins(w, key) && n-- == 0) return key;
        }
    }
    return NULL;
}

static struct sweep results_of(const struct html_span *all, const char *metric) {
    struct sweep w = {.all = all, .metric = metric};
    w.points = lab_alloc(all->end - all->begin + 1, sizeof(*w.points));
    for (size_t i = all->begin; i < all->end; i++) {
        const struct lab_result *r = &all->run->results[i];
        if (strcmp(r->metric, metric) == 0 && !html_is_bare(r)) w.points[w.count++] = r;
    }
    return w;
}

/* What is drawn over x: the lines, and what does not have the parameter at all. */
static struct sweep sweep_over(const struct sweep *w, const char *x) {
    struct sweep v = {.all = w->all, .metric = w->metric, .x = x};
    v.points = lab_alloc(w->count, sizeof(*v.points));
    for (size_t i = 0; i < w->count; i++) {
        const struct lab_result *r = w->points[i];
        if (!value_of(r, x) || is_joined(w, r, x)) v.points[v.count++] = r;
    }
    return v;
}

bool html_is_swept(const struct html_span *all, const char *metric) {
    struct sweep w = results_of(all, metric);
    bool swept = find_x(&w, 0) != NULL;
    free(w.points);
    return swept;
}

/* Whether a subject was measured with several values of a parameter. */
static bool splits(const struct sweep *w, const char *key) {
    for (size_t i = 0; i < w->count; i++) {
        for (size_t k = 0; k < i; k++) {
            bool same_subject = strcmp(w->points[i]->subject, w->points[k]->subject) == 0;
            if (same_subject && !same_value(w->points[i], w->points[k], key)) return true;
        }
    }
    return false;
}

/* "sharing false, slots 1": the other parameters that split the results; "" if none do. */
static char *part_of(const struct sweep *w, const struct lab_result *r) {
    struct lab_text t = {0};
    for (size_t i = 0; i < r->param_count; i++) {
        const struct lab_pair *p = &r->params[i];
        if (strcmp(p->key, w->x) == 0 || !lab_parameter_counts(r, p->key)) continue;
        if (splits(w, p->key)) {
            lab_text_printf(&t, "%s%s %s", t.length ? ", " : "", p->key, p->value);
        }
    }
    return t.data ? t.data : lab_copy("");
}

/* The points of a sweep in the two ways in which they are told apart. */
struct table {
    const struct sweep *w;
    char **names, **parts; /* of each point: its subject's, and what splits them */
    bool by_part; /* a line is a part and a panel a subject; else the other way round */
};

static const char *panel_of(const struct table *t, size_t i) {
    return t->by_part ? t->names[i] : t->parts[i];
}

static const char *line_of(const struct table *t, size_t i) {
    return t->by_part ? t->parts[i] : t->names[i];
}

/* Whether no earlier point is in the same panel (and, if `line`, on the same line). */
static bool is_first(const struct table *t, size_t i, bool line) {
    for (size_t k = 0; k < i; k++) {
        if (strcmp(panel_of(t, i), panel_of(t, k)) != 0) continue;
        if (!line || strcmp(line_of(t, i), line_of(t, k)) == 0) return false;
    }
    return true;
}

struct point {
    double x;
    const struct lab_result *r;
};

static int by_x(const void *a, const void *b) {
    double x = ((const struct point *)a)->x, y = ((const struct point *)b)->x;
    return (x > y) - (x < y);
}

static void points_data(struct lab_json *j, const struct table *t, size_t first) {
    const struct sweep *w = t->w;
    struct point *points = lab_alloc(w->count, sizeof(*points));
    size_t n = 0;
    for (size_t i = first; i < w->count; i++) {
        double x = number_of(w->points[i], w->x);
        if (isnan(x) || strcmp(panel_of(t, i), panel_of(t, first)) != 0) continue;
        if (strcmp(line_of(t, i), line_of(t, first)) != 0) continue;
        points[n++] = (struct point){x, w->points[i]};
    }
    qsort(points, n, sizeof(*points), by_x);
    /* Whatever the parameter. */
    if (n == 0) html_chart_number(j, "level", w->points[first]->median);
    lab_json_array(j, "points", true);
    for (size_t i = 0; i < n; i++) {
        lab_json_array(j, NULL, true);
        html_chart_number(j, NULL, points[i].x);
        html_chart_number(j, NULL, points[i].r->median);
        html_chart_number(j, NULL, points[i].r->ci_low);
        html_chart_number(j, NULL, points[i].r->ci_high);
        lab_json_end_array(j);
    }
    lab_json_end_array(j);
    free(points);
}

static void lines_data(struct html_page *p, const struct table *t, size_t first) {
    struct lab_json *j = &p->data;
    size_t place = 0;
    for (size_t i = first; i < t->w->count; i++) {
        if (strcmp(panel_of(t, i), panel_of(t, first)) != 0 || !is_first(t, i, true)) continue;
        lab_json_object(j, NULL, true);
        if (t->by_part || is_command(t->w->points[i])) {
            lab_json_string(j, "name", *line_of(t, i) ? line_of(t, i) : t->w->metric);
            lab_json_string(j, "kind", "part");
            lab_json_integer(j, "place", (long long)place++);
        } else {
            html_chart_subject(p, t->w->points[i]->subject);
        }
        points_data(j, t, i);
        lab_json_end_object(j);
    }
}

static const char *unit_of(const char *parameter) {
    size_t n = strlen(parameter);
    if (strstr(parameter, "bytes") || strstr(parameter, "size") || strstr(parameter, "pad")) {
        return "bytes";
    }
    return n > 3 && strcmp(parameter + n - 3, "-us") == 0   ? "us"
           : n > 3 && strcmp(parameter + n - 3, "-ns") == 0 ? "ns"
                                                            : "count";
}

/* Whether the work is shared among workers: -1 where a time should fall with their number, 1 where
 * a rate should rise, 0 where neither is to be expected. */
static int proportional(const struct sweep *w) {
    const struct lab_result *r = w->points[0];
    if (strcmp(w->x, "workers") != 0) return 0;
    if (strcmp(r->unit, "per_s") == 0) return 1;
    bool time = r->unit[0] && r->unit[strlen(r->unit) - 1] == 's' && strcmp(r->unit, "bytes") != 0;
    return time && r->better == LAB_BETTER_LOWER && !r->per_thing ? -1 : 0;
}

static const char dashed[] = " \xc2\xb7 dashed: as if all workers helped in full";

static void sweep_data(struct html_page *p, const struct table *t) {
    struct lab_json *j = &p->data;
    const struct sweep *w = t->w;
    lab_json_object(j, NULL, false);
    lab_json_string(j, "chart", "lines");
    lab_json_string(j, "unit", w->points[0]->unit);
    lab_json_string(j, "x", w->x);
    lab_json_string(j, "xunit", unit_of(w->x));
    lab_json_integer(j, "proportional", proportional(w));
    lab_json_array(j, "panels", false);
    for (size_t i = 0; i < w->count; i++) {
        if (!is_first(t, i, false)) continue;
        lab_json_object(j, NULL, false);
        lab_json_string(j, "title", panel_of(t, i));
        lab_json_array(j, "series", false);
        lines_data(p, t, i);
        lab_json_end_array(j);
        lab_json_end_object(j);
    }
    lab_json_end_array(j);
    lab_json_end_object(j);
}

static void sweep_figure(struct html_page *p, const struct sweep *w) {
    struct table t = {.w = w,
                      .names = lab_alloc(w->count, sizeof(char *)),
                      .parts = lab_alloc(w->count, sizeof(char *))};
    size_t subjects = 0, parts = 0;
    for (size_t i = 0; i < w->count; i++) {
        bool known = false, named = false;
        t.names[i] = name_without(w->points[i], w->x);
        t.parts[i] = part_of(w, w->points[i]);
        for (size_t k = 0; k < i; k++) {
            known = known || strcmp(t.names[i], t.names[k]) == 0;
            named = named || strcmp(t.parts[i], t.parts[k]) == 0;
        }
        subjects += !known;
        parts += !named;
    }
    t.by_part = parts > 1 && subjects <= 2;
    char *command = html_command(w->all);
    char *about = lab_format("over %s%s", w->x, proportional(w) ? dashed : "");
    html_figure_begin(p, html_metric_label(w->all, w->metric), about, w->points[0]->better);
    html_figure_end(p, command);
    sweep_data(p, &t);
    for (size_t i = 0; i < w->count; i++) {
        free(t.names[i]);
        free(t.parts[i]);
    }
    free(t.names);
    free(t.parts);
    free(command);
    free(about);
}

size_t html_sweeps(struct html_page *p, const struct html_span *all, bool primary) {
    const struct lab_result *m;
    size_t shown = 0;
    for (size_t n = 0; (m = html_metric(all, n)); n++) {
        if (m->primary != primary || !html_has_chart(m)) continue;
        struct sweep w = results_of(all, m->metric);
        const char *x;
        for (size_t k = 0; (x = find_x(&w, k)); k++) {
            struct sweep v = sweep_over(&w, x);
            sweep_figure(p, &v);
            free(v.points);
            shown++;
        }
        free(w.points);
    }
    return shown;
}
