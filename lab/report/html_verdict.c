/* SPDX-License-Identifier: MIT */
/* Each result that answers a question, compared with one that everybody knows: with pthread's; else
 * with heddle's; else with the first subject's. The chance of a false alarm is held down over all
 * comparisons of the page. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"

const struct lab_result *html_base(const struct html_span *s, const char *metric) {
    static const char *const known[] = {"pthread", "heddle"};
    for (size_t i = 0; i < 2; i++) {
        const struct lab_result *r = html_find(s, metric, known[i]);
        if (r) return r;
    }
    for (size_t i = s->begin; i < s->end; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (strcmp(r->metric, metric) == 0 && !html_is_bare(r)) return r;
    }
    return NULL;
}

double html_over_base(const struct html_span *s, const struct lab_result *r) {
    const struct lab_result *b = html_base(s, r->metric);
    bool comparable = b && !html_is_bare(r) && b->median > 0 &&
                      html_comparable(r, b);
    return comparable ? r->median / b->median : NAN;
}

static bool compare(const struct html_span *s, const struct lab_result *r,
                    struct lab_comparison *out) {
    const struct lab_result *b = html_base(s, r->metric);
    if (!b || b == r || !r->primary || r->better == LAB_BETTER_NONE || r->n < 2 || b->n < 2) {
        return false;
    }
    if (!isfinite(html_over_base(s, r))) return false;
    const struct lab_side from = {b->samples, b->n, NULL}, to = {r->samples, r->n, NULL};
    lab_compare_verdict(&from, &to, r->better == LAB_BETTER_HIGHER, LAB_MARGIN_DEFAULT, out);
    return true;
}

void html_verdicts_find(struct html_verdicts *v, const struct lab_run *run) {
    *v = (struct html_verdicts){.run = run};
    v->place = lab_alloc(run->result_count, sizeof(*v->place));
    v->all = lab_alloc(run->result_count, sizeof(*v->all));
    for (size_t i = 0; i < run->result_count;) {
        struct html_span s = html_span_at(run, i);
        for (; i < s.end; i++) {
            if (compare(&s, &run->results[i], &v->all[v->count])) v->place[i] = ++v->count;
        }
    }
    if (v->count) lab_compare_adjust(v->all, v->count, LAB_MARGIN_DEFAULT);
}

void html_verdicts_free(struct html_verdicts *v) {
    free(v->place);
    free(v->all);
}

const struct lab_comparison *html_verdict(const struct html_verdicts *v,
                                          const struct lab_result *r) {
    size_t place = v->run ? v->place[r - v->run->results] : 0;
    return place ? &v->all[place - 1] : NULL;
}

/* Only what takes time is fast or slow. */
const char *html_verdict_word(const struct lab_comparison *c, const char *unit) {
    static const char *const timed[] = {"ns", "us", "ms", "s", "per_s"};
    if (c->verdict == LAB_VERDICT_SAME || c->verdict == LAB_VERDICT_UNDECIDED) {
        return lab_verdict_word(c->verdict);
    }
    for (size_t i = 0; i < sizeof(timed) / sizeof(timed[0]); i++) {
        if (strcmp(unit, timed[i]) == 0) return lab_verdict_word(c->verdict);
    }
    return (c->verdict == LAB_VERDICT_FASTER) != c->higher_is_better ? "less" : "more";
}

/* "0.012", "<0.001". The caller frees. */
char *html_p(double p) {
    if (isnan(p)) return lab_copy("\xe2\x80\x93");
    return p < 0.001 ? lab_copy("<0.001") : lab_format("%.3f", p);
}

void html_verdict_cell(FILE *f, const struct lab_comparison *c, const char *unit) {
    static const char *const classes[] = {
        [LAB_VERDICT_FASTER] = "good",
        [LAB_VERDICT_SLOWER] = "bad",
        [LAB_VERDICT_SAME] = "same",
        [LAB_VERDICT_UNDECIDED] = "undecided",
    };
    if (!c) {
        fputs("<td></td>", f);
        return;
    }
    char *p = html_p(c->p_adjusted);
    html_printf(f, "<td title=\"adjusted p %s\"><span class=\"verdict %s\">%s</span>", p,
                classes[c->verdict], html_verdict_word(c, unit));
    free(p);
    if (c->verdict == LAB_VERDICT_UNDECIDED && c->more > 0) {
        fprintf(f, "<small>%s%zu processes would tell</small>",
                c->more >= LAB_MORE_MAX ? "more than " : "~", c->more);
    }
    fputs("</td>", f);
}
