/* SPDX-License-Identifier: MIT */
/* The table of threads of a probe's page, and who waited for whom. */
#include "probe/out_html.h"

#include <stdlib.h>

#include "report/html.h"

enum { ROWS_MOST = 200, MATRIX_MOST = 12, PAIRS_MOST = 20 };

static void column(FILE *f, const char *name, const char *about) {
    html_printf(f, "<th scope=\"col\" title=\"%s\">%s</th>", about, name);
}

static void columns(FILE *f, const struct probe_report *r, bool gil) {
    fputs("<thead><tr><th scope=\"col\">thread</th>", f);
    column(f, "states", "How its time divides among its states");
    if (gil) {
        column(f, "holds", "It has the GIL, on a CPU or off it");
        column(f, "waits", "It waits for the GIL");
    }
    if (!gil || out_total(r->timeline, PROBE_STATE_ON))
        column(f, gil ? "runs without" : "on CPU", gil ? "On a CPU without the GIL" : "On a CPU");
    if (!gil || out_total(r->timeline, PROBE_STATE_RUNNABLE))
        column(f, "runnable", "It could run, and has no CPU");
    column(f, "blocked", "It waits for something else: a call, a lock, a timer");
    if (gil) {
        column(f, "hand-overs", "How often it took the GIL from another thread");
        column(f, "forced", "How many of its holds ended because another thread asked for it");
        column(f, "wait, median", "Half of its waits for the GIL were shorter");
        column(f, "99 %", "One wait in a hundred was longer");
        column(f, "longest", "Its longest wait for the GIL");
    } else {
        column(f, "runnable, median", "Half of its waits for a CPU were shorter");
        column(f, "99 %", "One wait for a CPU in a hundred was longer");
        column(f, "first run", "From its creation to its first moment on a CPU");
    }
    column(f, "switches", "How often it left its CPU by itself, and how often it was preempted");
    column(f, "CPU moves", "How often it came back on another CPU");
    if (r->books)
        column(f, "in kernel", "CPU time that it spent inside the kernel, by the kernel's books");
    fputs("</tr></thead>\n", f);
}

static void wait_cells(FILE *f, const struct probe_thread *x) {
    const struct probe_histogram *h = &x->wait;
    out_html_cell(f, h->count ? out_html_ns(out_quantile(h, 0.5)) : lab_copy(""));
    out_html_cell(f, h->count ? out_html_ns(out_quantile(h, 0.99)) : lab_copy(""));
    if (!x->worst_wait_ns) {
        fputs("<td></td>", f);
        return;
    }
    char *worst = out_html_ns(x->worst_wait_ns);
    fprintf(f, "<td><button type=\"button\" class=\"show\" data-worst=\"%d\" "
               "title=\"show it in the timeline\">%s</button></td>", (int)x->tid, worst);
    free(worst);
}

static void run_cells(FILE *f, const struct probe_thread *x) {
    const struct probe_histogram *h = &x->runnable;
    bool seen = x->born_ns && x->first_ns >= x->born_ns;
    out_html_cell(f, h->count ? out_html_ns(out_quantile(h, 0.5)) : lab_copy(""));
    out_html_cell(f, h->count ? out_html_ns(out_quantile(h, 0.99)) : lab_copy(""));
    out_html_cell(f, seen ? out_html_ns(x->first_ns - x->born_ns) : lab_copy(""));
}

static void row(FILE *f, const struct probe_report *r, size_t index, bool gil) {
    const struct probe_timeline *t = r->timeline;
    const struct probe_thread *x = &t->thread[index];
    uint64_t life = out_lifetime_ns(t, x), whole = 0;
    for (int s = PROBE_STATE_HOLDS; s < PROBE_STATES; s++)
        whole += x->state_ns[s];
    fputs("<tr><th scope=\"row\">", f);
    out_html_thread(f, t, index);
    char *lived = out_html_ns(life);
    fprintf(f, "<small>%d \xc2\xb7 %s%s</small></th><td class=\"wide\">", (int)x->tid, lived,
            x->end_ns ? ", ended" : "");
    free(lived);
    out_html_bar(f, x->state_ns, whole);
    fputs("</td>", f);
    if (gil) {
        uint64_t holds = x->state_ns[PROBE_STATE_HOLDS] + x->state_ns[PROBE_STATE_HOLDS_OFF];
        out_html_cell(f, out_html_share(holds, whole));
        out_html_cell(f, out_html_share(x->state_ns[PROBE_STATE_WAITS], whole));
    }
    if (!gil || out_total(t, PROBE_STATE_ON))
        out_html_cell(f, out_html_share(x->state_ns[PROBE_STATE_ON], whole));
    if (!gil || out_total(t, PROBE_STATE_RUNNABLE))
        out_html_cell(f, out_html_share(x->state_ns[PROBE_STATE_RUNNABLE], whole));
    out_html_cell(f, out_html_share(x->state_ns[PROBE_STATE_BLOCKED], whole));
    if (gil) {
        out_html_cell(f, out_html_count(x->takes));
        out_html_cell(f, out_html_count(x->forced_from));
        wait_cells(f, x);
    } else {
        run_cells(f, x);
    }
    char *by_itself = out_html_count(x->voluntary), *preempted = out_html_count(x->preempted);
    fprintf(f, "<td>%s<small>%s preempted</small></td>", by_itself, preempted);
    free(by_itself);
    free(preempted);
    out_html_cell(f, out_html_count(x->migrations));
    if (r->books) {
        const struct probe_books *b = &r->books[index];
        out_html_cell(f, b->known ? out_html_ns(b->system_ns) : lab_copy(""));
    }
    fputs("</tr>\n", f);
}

void out_html_threads(FILE *f, const struct probe_report *r) {
    const struct probe_timeline *t = r->timeline;
    bool gil = out_has_gil(r);
    fputs("<section id=\"threads\">\n<h2>Threads</h2>\n", f);
    if (t->thread_count == 0) {
        fputs("<p class=\"warning\">No thread was seen.</p>\n</section>\n", f);
        return;
    }
    fputs("<p class=\"note\">Shares are of the time in which the thread was watched.</p>\n"
          "<div class=\"scroll\"><table class=\"threads\">\n", f);
    columns(f, r, gil);
    fputs("<tbody>\n", f);
    for (size_t i = 0; i < t->thread_count && i < ROWS_MOST; i++)
        row(f, r, i, gil);
    fputs("</tbody></table></div>\n", f);
    if (t->thread_count > ROWS_MOST)
        fprintf(f, "<p class=\"note\">And %zu more, which <code>--csv</code> and "
                   "<code>--json</code> have.</p>\n", t->thread_count - ROWS_MOST);
    if (t->threads_dropped)
        fprintf(f, "<p class=\"note\">%llu threads more are not told apart: the last row is all of "
                   "them.</p>\n", (unsigned long long)t->threads_dropped);
    fputs("</section>\n", f);
}

/* ---- who waited for whom ---- */

static void convoys(FILE *f, const struct probe_timeline *t) {
    if (t->convoy_count == 0)
        return;
    fputs("<h3>Convoys: short waiters behind long holders</h3>\n<div class=\"scroll\">"
          "<table><thead><tr><th scope=\"col\">thread</th><th scope=\"col\">behind</th>"
          "<th scope=\"col\">times</th><th scope=\"col\">needs the GIL for</th>"
          "<th scope=\"col\">waits for it</th><th scope=\"col\">ratio</th></tr></thead><tbody>\n",
          f);
    for (size_t i = 0; i < t->convoy_count; i++) {
        const struct probe_convoy *c = &t->convoy[i];
        fputs("<tr><th scope=\"row\">", f);
        out_html_thread(f, t, c->waiter);
        fputs("</th><td>", f);
        out_html_thread(f, t, c->holder);
        fputs("</td>", f);
        out_html_cell(f, out_html_count(c->times));
        out_html_cell(f, out_html_ns(c->need_ns));
        out_html_cell(f, out_html_ns(c->wait_ns));
        double ratio = c->need_ns ? (double)c->wait_ns / (double)c->need_ns : 0;
        out_html_cell(f, c->need_ns ? html_ratio(ratio) : lab_copy(""));
        fputs("</tr>\n", f);
    }
    fputs("</tbody></table></div>\n<p class=\"note\">Medians.</p>\n", f);
}

/* The threads of the first pairs, each once; 0 where they are too many for a matrix. */
static size_t involved(const struct probe_timeline *t, size_t out[MATRIX_MOST]) {
    size_t n = 0;
    for (size_t i = 0; i < t->pair_count; i++) {
        const size_t both[] = {t->pair[i].waiter, t->pair[i].holder};
        for (size_t k = 0; k < 2; k++) {
            size_t at = 0;
            while (at < n && out[at] != both[k])
                at++;
            if (at == n && n == MATRIX_MOST)
                return 0;
            if (at == n)
                out[n++] = both[k];
        }
    }
    return n;
}

static const struct probe_pair *pair_of(const struct probe_timeline *t, size_t waiter,
                                        size_t holder) {
    for (size_t i = 0; i < t->pair_count; i++) {
        if (t->pair[i].waiter == waiter && t->pair[i].holder == holder)
            return &t->pair[i];
    }
    return NULL;
}

static void matrix(FILE *f, const struct probe_timeline *t, const size_t *who, size_t n) {
    fputs("<div class=\"scroll\"><table class=\"matrix\"><thead><tr><th scope=\"col\">waits \\ has "
          "it</th>", f);
    for (size_t k = 0; k < n; k++) {
        fputs("<th scope=\"col\">", f);
        out_html_thread(f, t, who[k]);
        fputs("</th>", f);
    }
    fputs("</tr></thead><tbody>\n", f);
    for (size_t i = 0; i < n; i++) {
        fputs("<tr><th scope=\"row\">", f);
        out_html_thread(f, t, who[i]);
        fputs("</th>", f);
        for (size_t k = 0; k < n; k++) {
            const struct probe_pair *p = pair_of(t, who[i], who[k]);
            if (!p) {
                fputs("<td class=\"none\">\xc2\xb7</td>", f);
                continue;
            }
            double share = (double)p->ns / (double)(t->pair[0].ns ? t->pair[0].ns : 1);
            char *ns = out_html_ns(p->ns), *times = out_html_count(p->count);
            fprintf(f, "<td class=\"heat-%d\">%s<small>%s%s</small></td>",
                    share > 0.6 ? 4 : share > 0.3 ? 3 : share > 0.1 ? 2 : 1, ns,
                    p->count ? times : "in part", p->count ? "\xc3\x97" : "");
            free(ns);
            free(times);
        }
        fputs("</tr>\n", f);
    }
    fputs("</tbody></table></div>\n", f);
}

static void list(FILE *f, const struct probe_timeline *t) {
    fputs("<div class=\"scroll\"><table><thead><tr><th scope=\"col\">thread</th><th scope=\"col\">"
          "waited for</th><th scope=\"col\">in all</th><th scope=\"col\">times</th></tr></thead>"
          "<tbody>\n", f);
    for (size_t i = 0; i < t->pair_count && i < PAIRS_MOST; i++) {
        fputs("<tr><th scope=\"row\">", f);
        out_html_thread(f, t, t->pair[i].waiter);
        fputs("</th><td>", f);
        out_html_thread(f, t, t->pair[i].holder);
        fputs("</td>", f);
        out_html_cell(f, out_html_ns(t->pair[i].ns));
        out_html_cell(f, out_html_count(t->pair[i].count));
        fputs("</tr>\n", f);
    }
    fputs("</tbody></table></div>\n", f);
    if (t->pair_count > PAIRS_MOST)
        fprintf(f, "<p class=\"note\">The first %d of %zu pairs.</p>\n", PAIRS_MOST,
                t->pair_count);
}

void out_html_waits(FILE *f, const struct probe_report *r) {
    const struct probe_timeline *t = r->timeline;
    size_t who[MATRIX_MOST];
    if (t->pair_count == 0 && t->convoy_count == 0)
        return;
    fputs("<section id=\"waits\">\n<h2>Who waited for whom</h2>\n", f);
    size_t n = involved(t, who);
    if (n)
        matrix(f, t, who, n);
    else if (t->pair_count)
        list(f, t);
    convoys(f, t);
    fputs("</section>\n", f);
}
