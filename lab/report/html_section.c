/* SPDX-License-Identifier: MIT */
/* A section an experiment: what is seen, its charts, its numbers, what was said, and what could
 * not be measured. Where an experiment has many variants, an overview of all comes first, and each
 * of them is there to be unfolded. */
#include <stdlib.h>
#include <string.h>

#include "html.h"

enum { FOLD_FROM = 3 }; /* variants */

/* A process of each subject. */
static void processes(FILE *f, const struct html_span *s) {
    const struct lab_result *m = html_metric(s, 0);
    fputs("<details><summary>What each process was</summary>\n<pre><code>", f);
    for (size_t i = s->begin; i < s->end; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (html_is_bare(r) || !m || strcmp(r->metric, m->metric) != 0) continue;
        char *process = html_process(s->run, r);
        html_printf(f, "%s\n", process);
        free(process);
    }
    fputs("</code></pre></details>\n", f);
}

/* Sentences on what answers the question; without such, on the first. */
static void seen(FILE *f, const struct html_span *s) {
    const struct lab_result *m;
    bool any = false;
    for (size_t n = 0; (m = html_metric(s, n)); n++) any = any || m->primary;
    for (size_t n = 0; (m = html_metric(s, n)); n++) {
        if (!m->primary && (any || n > 0)) continue;
        fputs("<p class=\"seen\">", f);
        html_say(f, s, m->metric);
        fputs("</p>\n", f);
    }
}

static void variant(struct html_page *p, const struct html_span *s, bool folded) {
    char *title = html_variant_title(s);
    if (folded) {
        html_printf(p->f, "<details class=\"variant\"><summary>%s</summary>\n",
                    *title ? title : "each by itself");
    } else if (*title) {
        html_printf(p->f, "<h3>%s</h3>\n", title);
    }
    free(title);
    size_t grouped = p->large && folded ? 0 : html_metric_cases(p, s);
    if (p->large && (folded || grouped > 0)) {
        html_medians(p, s);
    } else {
        if (grouped > 0) {
            fputs("<details class=\"variant\"><summary>Each metric by itself</summary>\n", p->f);
        } else {
            seen(p->f, s);
        }
        html_charts(p, s);
        html_tables(p, s);
        processes(p->f, s);
        if (grouped > 0) fputs("</details>\n", p->f);
    }
    if (folded) fputs("</details>\n", p->f);
}

/* What an experiment's other metrics are over its parameters. */
static void other_sweeps(struct html_page *p, const struct html_span *all) {
    const struct lab_result *m;
    bool any = false;
    for (size_t n = 0; (m = html_metric(all, n)) && !any; n++) {
        any = !m->primary && html_has_chart(m) && html_is_swept(all, m->metric);
    }
    if (!any) return;
    fputs("<details class=\"variant\"><summary>The other metrics over the same</summary>\n", p->f);
    html_sweeps(p, all, false);
    html_cases(p, all, false);
    fputs("</details>\n", p->f);
}

/* What the experiment is without further ado stands first and open; then what all variants have in
 * common, then each of them. */
static void experiment(struct html_page *p, const struct html_span *all) {
    struct html_span s = html_span_at(all->run, all->begin);
    size_t variants = 0, begin = all->begin;
    for (size_t i = begin; i < all->end; i = html_span_at(all->run, i).end) variants++;
    if (!*s.variant) {
        variant(p, &s, false);
        begin = s.end;
        variants--;
    }
    size_t overviews = html_sweeps(p, all, true);
    overviews += html_cases(p, all, true);
    other_sweeps(p, all);
    bool folded = overviews > 0 && variants >= FOLD_FROM;
    if (folded) {
        fprintf(p->f, "<details><summary>Each of the %zu variants by itself</summary>\n", variants);
    }
    for (size_t i = begin; i < all->end; i = s.end) {
        s = html_span_at(all->run, i);
        variant(p, &s, folded);
    }
    if (folded) fputs("</details>\n", p->f);
}

void html_sections(struct html_page *p, const struct lab_run *run) {
    for (size_t i = 0; i < run->result_count;) {
        struct html_span all = html_span_whole(run, i);
        fputs("<section id=\"", p->f);
        html_id(p->f, all.name);
        html_printf(p->f, "\">\n<h2>%s</h2>\n",
                    all.experiment ? all.experiment->question : all.name);
        html_printf(p->f, "<p class=\"experiment\">experiment <code>%s</code></p>\n", all.name);
        experiment(p, &all);
        html_claims(p->f, run, all.name);
        html_notes(p->f, run, all.name);
        html_failures(p->f, run, all.name);
        fputs("</section>\n", p->f);
        i = all.end;
    }
}
