/* SPDX-License-Identifier: MIT */
/* Histograms of a probe's page: drawn here, as SVG, so that they need no script. */
#include "probe/out_html.h"

#include <math.h>
#include <stdlib.h>

#include "report/html.h"

enum { WIDTH = 460, HEIGHT = 150, LEFT = 8, RIGHT = 8, TOP = 18, BOTTOM = 24, BY_THREAD_MOST = 8 };

struct view {
    int low, high; /* buckets that are shown: [low, high) */
};

/* From the first bucket with anything in it to the last, and never fewer than a few. */
static struct view view_of(const struct probe_histogram *h) {
    struct view v = {PROBE_BUCKETS, 0};
    for (int i = 0; i < PROBE_BUCKETS; i++) {
        if (!h->bucket[i])
            continue;
        v.low = i < v.low ? i : v.low;
        v.high = i + 1;
    }
    while (v.high - v.low < 6) {
        v.low -= v.low > 0;
        v.high += v.high < PROBE_BUCKETS;
    }
    return v;
}

static double x_of(const struct view *v, double bucket) {
    return LEFT + (WIDTH - LEFT - RIGHT) * (bucket - v->low) / (v->high - v->low);
}

static void mark(FILE *f, const struct view *v, uint64_t ns, const char *word) {
    double at = ns > 1 ? log2((double)ns) : 0;
    double x = x_of(v, at < v->low ? v->low : at > v->high ? v->high : at);
    bool left = x > WIDTH * 0.72;
    fprintf(f, "<line class=\"at\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"></line>", x, x,
            TOP - 6, HEIGHT - BOTTOM);
    fprintf(f, "<text class=\"note\" x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%s</text>",
            left ? x - 3 : x + 3, TOP - 8, left ? "end" : "start", word);
}

static void bars(FILE *f, const struct view *v, const struct probe_histogram *h) {
    uint64_t most = 1;
    for (int i = v->low; i < v->high; i++)
        most = h->bucket[i] > most ? h->bucket[i] : most;
    for (int i = v->low; i < v->high; i++) {
        if (!h->bucket[i])
            continue;
        double x = x_of(v, i), w = x_of(v, i + 1) - x;
        double tall = (HEIGHT - TOP - BOTTOM) * (double)h->bucket[i] / (double)most;
        tall = tall < 1.5 ? 1.5 : tall;
        char *from = out_html_ns(UINT64_C(1) << i), *to = out_html_ns(UINT64_C(2) << i);
        fprintf(f, "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\">"
                   "<title>%llu of %s to %s</title></rect>", x + 0.5, HEIGHT - BOTTOM - tall,
                w - 1, tall, (unsigned long long)h->bucket[i], from, to);
        free(from);
        free(to);
    }
}

/* Ticks at powers of ten, as many as there is room for. */
static void axis(FILE *f, const struct view *v) {
    fprintf(f, "<line class=\"base\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"></line>", LEFT,
            WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM);
    double step = v->high - v->low > 20 ? 2 : 1;
    for (double decade = ceil(v->low * log10(2)); decade / log10(2) <= v->high; decade += step) {
        double x = x_of(v, decade / log10(2));
        char *text = html_value(pow(10, decade), "ns");
        const char *anchor = x < 30 ? "start" : x > WIDTH - 30 ? "end" : "middle";
        fprintf(f, "<g class=\"tick\"><line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"></line>"
                   "<text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%.*s</text></g>", x, x,
                HEIGHT - BOTTOM, HEIGHT - BOTTOM + 4, x, HEIGHT - 6, anchor, 24, text);
        free(text);
    }
}

static void figure(FILE *f, const struct probe_histogram *h, enum probe_state state,
                   const char *title, const struct probe_timeline *t, size_t thread) {
    struct view v = view_of(h);
    uint64_t half = out_quantile(h, 0.5), most = out_quantile(h, 0.99);
    char *median = out_html_ns(half), *high = out_html_ns(most), *max = out_html_ns(h->max_ns);
    char *count = out_html_count(h->count);
    fprintf(f, "<figure class=\"spread %s\"><figcaption><b>", out_html_state_class(state));
    if (t)
        out_html_thread(f, t, thread);
    else
        html_text(f, title);
    fprintf(f, "</b> <span>%s</span><span>median %s</span><span>99&nbsp;%% %s</span><span>longest "
               "%s</span></figcaption>\n", count, median, high, max);
    fprintf(f, "<svg role=\"img\" viewBox=\"0 0 %d %d\"><title>", WIDTH, HEIGHT);
    html_printf(f, "%s: half of them within %s, 99 %% within %s</title>", title, median, high);
    axis(f, &v);
    bars(f, &v, h);
    mark(f, &v, half, "median");
    if (most > half * 3)
        mark(f, &v, most, "99 %");
    fputs("</svg></figure>\n", f);
    free(median);
    free(high);
    free(max);
    free(count);
}

static const struct probe_histogram *of_thread(const struct probe_thread *x,
                                               enum probe_state state) {
    return state == PROBE_STATE_HOLDS      ? &x->hold
           : state == PROBE_STATE_WAITS    ? &x->wait
           : state == PROBE_STATE_RUNNABLE ? &x->runnable
                                           : &x->blocked;
}

/* Those of the threads that have most of them. */
static void by_thread(FILE *f, const struct probe_timeline *t, enum probe_state state,
                      const char *title) {
    size_t shown[BY_THREAD_MOST], n = 0;
    for (; n < BY_THREAD_MOST; n++) {
        size_t best = t->thread_count;
        for (size_t i = 0; i < t->thread_count; i++) {
            bool taken = of_thread(&t->thread[i], state)->count == 0;
            for (size_t k = 0; k < n; k++)
                taken = taken || shown[k] == i;
            if (!taken && (best == t->thread_count ||
                           of_thread(&t->thread[i], state)->count >
                               of_thread(&t->thread[best], state)->count))
                best = i;
        }
        if (best == t->thread_count)
            break;
        shown[n] = best;
    }
    if (n < 2)
        return;
    html_printf(f, "<details><summary>%s, by thread</summary>\n<div class=\"grid\">\n", title);
    for (size_t i = 0; i < n; i++)
        figure(f, of_thread(&t->thread[shown[i]], state), state, title, t, shown[i]);
    fputs("</div></details>\n", f);
}

void out_html_spreads(FILE *f, const struct probe_report *r) {
    static const struct {
        enum probe_state state;
        const char *title;
    } kinds[] = {{PROBE_STATE_HOLDS, "Holding the GIL"},
                 {PROBE_STATE_WAITS, "Waiting for the GIL"},
                 {PROBE_STATE_RUNNABLE, "Waiting for a CPU"},
                 {PROBE_STATE_BLOCKED, "Blocked"}};
    enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };
    struct probe_histogram sum[KINDS] = {0};
    uint64_t any = 0;
    for (size_t k = 0; k < KINDS; k++) {
        for (size_t i = 0; i < r->timeline->thread_count; i++)
            out_merge(&sum[k], of_thread(&r->timeline->thread[i], kinds[k].state));
        any += sum[k].count;
    }
    if (!any)
        return;
    fputs("<section id=\"spreads\">\n<h2>How long at a time</h2>\n<p class=\"note\">How many spans "
          "were how long; each bar is twice as long a time as the one before it.</p>\n"
          "<div class=\"grid\">\n", f);
    for (size_t k = 0; k < KINDS; k++) {
        if (sum[k].count)
            figure(f, &sum[k], kinds[k].state, kinds[k].title, NULL, 0);
    }
    fputs("</div>\n", f);
    for (size_t k = 0; k < KINDS; k++)
        by_thread(f, r->timeline, kinds[k].state, kinds[k].title);
    fputs("</section>\n", f);
}
