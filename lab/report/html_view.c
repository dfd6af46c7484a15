/* SPDX-License-Identifier: MIT */
/* Looking at a run: what belongs together, and what may be compared. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"

struct html_span html_span_at(const struct lab_run *run, size_t begin) {
    const struct lab_result *first = &run->results[begin];
    struct html_span s = {run, begin, begin, lab_experiment_find(first->experiment),
                          first->experiment, first->variant};
    while (s.end < run->result_count && strcmp(run->results[s.end].experiment, s.name) == 0 &&
           strcmp(run->results[s.end].variant, s.variant) == 0) {
        s.end++;
    }
    return s;
}

struct html_span html_span_whole(const struct lab_run *run, size_t begin) {
    struct html_span s = html_span_at(run, begin);
    s.variant = "";
    while (s.end < run->result_count && strcmp(run->results[s.end].experiment, s.name) == 0) {
        s.end++;
    }
    return s;
}

bool html_is_bare(const struct lab_result *r) {
    return strcmp(r->subject, HTML_BARE) == 0;
}

const struct lab_result *html_find(const struct html_span *s, const char *metric,
                                   const char *subject) {
    for (size_t i = s->begin; i < s->end; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (strcmp(r->metric, metric) == 0 && strcmp(r->subject, subject) == 0) return r;
    }
    return NULL;
}

const struct lab_result *html_metric(const struct html_span *s, size_t n) {
    for (size_t i = s->begin; i < s->end; i++) {
        const struct lab_result *r = &s->run->results[i];
        bool seen = html_is_bare(r);
        for (size_t k = s->begin; k < i && !seen; k++) {
            seen = strcmp(s->run->results[k].metric, r->metric) == 0;
        }
        if (!seen && n-- == 0) return r;
    }
    return NULL;
}

size_t html_primary_count(const struct html_span *s) {
    const struct lab_result *m;
    size_t count = 0;
    for (size_t n = 0; (m = html_metric(s, n)); n++) count += m->primary;
    return count;
}

const char *html_metric_label(const struct html_span *s, const char *metric) {
    const struct lab_metric *m = s->experiment ? lab_metric_find(s->experiment, metric) : NULL;
    return m && m->label ? m->label : metric;
}

char *html_variant_title(const struct html_span *s) {
    size_t n = lab_variant_length(s->variant);
    bool plain = false;
    const struct lab_variant *v =
        s->experiment ? lab_variant_find(s->experiment, s->variant, &plain) : NULL;
    const char *title = v ? (plain ? v->plain_title : v->title) : NULL;
    struct lab_text t = {0};
    if (title) {
        lab_text_printf(&t, "%s", title);
    } else {
        lab_text_add(&t, s->variant, n);
    }
    /* The point of a sweep: "count threads=10,workers=2". */
    const char *at = s->variant + n + (s->variant[n] == ' ');
    for (const char *mark = t.length ? ": " : ""; *at; mark = ", ") {
        size_t length = strcspn(at, ",");
        char *one = lab_copy_n(at, length), *equals = strchr(one, '=');
        if (equals) *equals = ' ';
        lab_text_printf(&t, "%s%s", mark, one);
        free(one);
        at += length + (at[length] == ',');
    }
    return t.data ? t.data : lab_copy("");
}

bool html_comparable(const struct lab_result *a, const struct lab_result *b) {
    const struct lab_experiment *e = lab_experiment_find(a->experiment);
    return a->per_thing || (e && e->elsewhere) || lab_same_work(a, b);
}

double html_over_pthread(const struct html_span *s, const struct lab_result *r) {
    const struct lab_result *p = html_find(s, r->metric, "pthread");
    bool comparable = p && !html_is_bare(r) && p->median > 0 &&
                      html_comparable(r, p);
    return comparable ? r->median / p->median : NAN;
}

const struct lab_subject_info *html_subject(const struct lab_run *run, const char *name) {
    for (size_t i = 0; i < run->subject_count; i++) {
        if (strcmp(run->subjects[i].name, name) == 0) return &run->subjects[i];
    }
    return NULL;
}

const char *html_kind(const struct lab_run *run, const char *subject) {
    if (strcmp(subject, "heddle") == 0) return "heddle";
    if (strcmp(subject, "pthread") == 0) return "pthread";
    const struct lab_subject_info *info = html_subject(run, subject);
    if (info && strcmp(info->kind, "python") == 0) return "python";
    if (info && strcmp(info->kind, "go") == 0) return "go";
    return "native";
}
