/* SPDX-License-Identifier: MIT */
/* Heddle against kernel threads in large print: a card for each metric that answers a question, in
 * each variant; where there are many of these, one card with the range of the ratios. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"

enum { MOST_CARDS = 2 }; /* of a metric */

struct glance {
    const struct html_span *all;
    const struct lab_result *metric; /* its first result */
    double least, most;              /* ratios */
    double low, high;                /* medians */
    size_t count;
};

/* "131x less", as a part of a line. */
static char *times(double ratio) {
    double t = ratio < 1 ? 1 / ratio : ratio;
    return lab_format("%.*f\xc3\x97", t < 10 ? 1 : 0, t);
}

static const char *side(double ratio) {
    return ratio < 1 ? "less" : "more";
}

static void large_print(FILE *f, const struct glance *g) {
    bool split = g->least < 1 && g->most >= 1;
    bool worse = g->metric->better == LAB_BETTER_HIGHER ? g->most < 1 : g->least >= 1;
    double first = g->least < 1 ? g->most : g->least, last = g->least < 1 ? g->least : g->most;
    char *a = times(split ? g->least : first), *b = times(split ? g->most : last);
    fprintf(f, "<strong%s>", worse ? " class=\"worse\"" : split ? " class=\"split\"" : "");
    if (strcmp(a, b) == 0 && !split) {
        fprintf(f, "%s <em>%s</em>", a, side(g->least));
    } else if (split) {
        fprintf(f, "%s <em>less to</em> %s <em>more</em>", a, b);
    } else {
        fprintf(f, "%s \xe2\x80\x93 %s <em>%s</em>", a, b, side(g->least));
    }
    fputs("</strong>", f);
    free(a);
    free(b);
}

static void card(FILE *f, const struct glance *g, const char *variant) {
    const struct lab_result *r = g->metric;
    fputs("<li><a href=\"#", f);
    html_id(f, g->all->name);
    fputs("\">", f);
    large_print(f, g);
    html_printf(f, "<span class=\"what\">%s", g->all->name);
    if (*variant) html_printf(f, ", %s", variant);
    if (html_primary_count(g->all) > 1) {
        html_printf(f, ", %s", html_metric_label(g->all, r->metric));
    }
    fputs("</span><span class=\"value\">", f);
    char *value = g->count > 1 ? html_range(g->low, g->high, r->unit) : html_value(g->low, r->unit);
    html_text(f, value);
    if (g->count > 1) fprintf(f, " in %zu variants", g->count);
    fputs("</span></a></li>\n", f);
    free(value);
}

static void begin(FILE *f, bool *any) {
    if (!*any) {
        fputs("<section id=\"glance\">\n<h2>Heddle beside kernel threads</h2>\n"
              "<ul class=\"cards\">\n", f);
    }
    *any = true;
}

/* Adds the variant that the span is, if heddle and pthread can be compared in it. */
static bool add(struct glance *g, const struct html_span *s) {
    const struct lab_result *r = html_find(s, g->metric->metric, "heddle");
    double ratio = r ? html_over_pthread(s, r) : NAN;
    if (!isfinite(ratio) || ratio <= 0) return false;
    bool first = g->count++ == 0;
    if (first || ratio < g->least) g->least = ratio;
    if (first || ratio > g->most) g->most = ratio;
    if (first || r->median < g->low) g->low = r->median;
    if (first || r->median > g->high) g->high = r->median;
    return true;
}

static void metric(FILE *f, const struct html_span *all, const struct lab_result *m, bool *any) {
    struct glance whole = {.all = all, .metric = m};
    for (size_t i = all->begin; i < all->end;) {
        struct html_span s = html_span_at(all->run, i);
        add(&whole, &s);
        i = s.end;
    }
    if (whole.count > MOST_CARDS) {
        begin(f, any);
        card(f, &whole, "");
        return;
    }
    for (size_t i = all->begin; i < all->end;) {
        struct html_span s = html_span_at(all->run, i);
        struct glance one = {.all = all, .metric = m};
        if (add(&one, &s)) {
            begin(f, any);
            char *title = html_variant_title(&s);
            card(f, &one, title);
            free(title);
        }
        i = s.end;
    }
}

void html_glance(FILE *f, const struct lab_run *run) {
    bool any = false;
    for (size_t i = 0; i < run->result_count;) {
        struct html_span all = html_span_whole(run, i);
        const struct lab_result *m;
        for (size_t n = 0; (m = html_metric(&all, n)); n++) {
            if (m->primary) metric(f, &all, m, &any);
        }
        i = all.end;
    }
    if (any) {
        fputs("</ul>\n<p class=\"note\">What heddle takes as a multiple of what pthreads take for "
              "the same work; medians.</p>\n</section>\n", f);
    }
}
