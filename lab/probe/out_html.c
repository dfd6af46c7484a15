/* SPDX-License-Identifier: MIT */
/* A probe's page: the verdict in words, the essentials, the timeline, then all figures, and at the
 * end how it was seen. */
#include "probe/out_html.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/html.h"

static const char *fact(const struct probe_report *r, const char *key) {
    for (size_t i = 0; i < r->machine_count; i++) {
        if (strcmp(r->machine[i].key, key) == 0)
            return r->machine[i].value;
    }
    return NULL;
}

static void header(FILE *f, const struct probe_report *r) {
    const struct probe_timeline *t = r->timeline;
    char *target = out_target(r), *lasted = out_html_ns(t->end_ns - t->begin_ns);
    char begin[32];
    out_begin(r, begin);
    if (strlen(begin) > 16) /* 2026-11-22T01:02:03Z, for people */
        snprintf(begin + 16, sizeof(begin) - 16, " UTC");
    html_printf(f, "<header>\n<p class=\"experiment\">heddle %s</p>\n<h1 class=\"target\">%s</h1>\n"
                   "<p class=\"facts\">", r->command, target);
    if (r->python) {
        char *version = out_python_version(r->python);
        html_printf(f, "<span>Python %s</span> ", version);
        free(version);
    }
    fprintf(f, "<span>process %d</span> <span>%zu thread%s</span> <span>watched for %s",
            (int)r->pid, t->thread_count, t->thread_count == 1 ? "" : "s", lasted);
    html_printf(f, r->ended ? ", %s</span> " : "</span> ", r->ended);
    if (*begin)
        fprintf(f, "<span>%.10s %s</span> ", begin, begin + 11);
    if (fact(r, "cpu"))
        html_printf(f, "<span>%s</span> ", fact(r, "cpu"));
    if (fact(r, "cpus"))
        html_printf(f, "<span>%s CPUs</span> ", fact(r, "cpus"));
    if (fact(r, "kernel"))
        html_printf(f, "<span>%s</span> ", fact(r, "kernel"));
    fputs("</p>\n", f);
    if (t->lost) {
        char *lost = out_html_count(t->lost);
        html_printf(f, "<p class=\"warning\">%s events were lost on the way: figures are less sure "
                       "than they look.</p>\n", lost);
        free(lost);
    }
    const struct lab_run machine = {.machine = (struct lab_pair *)r->machine,
                                    .machine_count = r->machine_count};
    html_disturbed(f, &machine);
    fputs("</header>\n", f);
    free(target);
    free(lasted);
}

/* Which sections there will be. */
static void look(const struct probe_timeline *t, bool *places, bool *spreads) {
    *places = *spreads = false;
    for (size_t i = 0; i < t->thread_count; i++) {
        const struct probe_thread *x = &t->thread[i];
        *places = *places || x->held_count || x->waited_count || x->blocked_on_count;
        *spreads = *spreads || x->hold.count || x->wait.count || x->runnable.count ||
                   x->blocked.count;
    }
}

static void contents(FILE *f, const struct probe_report *r) {
    const struct probe_timeline *t = r->timeline;
    bool places, spreads;
    look(t, &places, &spreads);
    fputs("<nav aria-label=\"Contents\"><ul>\n<li><a href=\"#timeline\">timeline</a></li>\n"
          "<li><a href=\"#threads\">threads</a></li>\n", f);
    if (t->pair_count || t->convoy_count)
        fputs("<li><a href=\"#waits\">who waited for whom</a></li>\n", f);
    if (places)
        fputs("<li><a href=\"#places\">places</a></li>\n", f);
    if (spreads)
        fputs("<li><a href=\"#spreads\">how long at a time</a></li>\n", f);
    for (size_t i = 0; i < r->table_count; i++) {
        const char *title = r->table[i].title, *end = strstr(title, " (");
        if (r->table[i].rows == 0)
            continue;
        char *brief = end ? lab_copy_n(title, (size_t)(end - title)) : lab_copy(title);
        fputs("<li><a href=\"#table-", f);
        html_id(f, r->table[i].id);
        html_printf(f, "\">%s</a></li>\n", brief);
        free(brief);
    }
    fputs("<li><a href=\"#seen\">how it was seen</a></li>\n", f);
    fputs(r->machine_count ? "<li><a href=\"#machine\">machine</a></li>\n</ul></nav>\n"
                           : "</ul></nav>\n", f);
}

static void verdict(FILE *f, const struct probe_report *r) {
    if (r->verdict_count + r->advice_count == 0)
        return;
    fputs("<section id=\"verdict\" class=\"judged\">\n", f);
    for (size_t i = 0; i < r->verdict_count; i++) {
        fputs(i ? "<p>" : "<p class=\"first\">", f);
        out_html_words(f, r->verdict[i]);
        fputs("</p>\n", f);
    }
    if (r->advice_count) {
        fputs("<h2>What to do</h2>\n<ul>\n", f);
        for (size_t i = 0; i < r->advice_count; i++) {
            fputs("<li>", f);
            out_html_words(f, r->advice[i]);
            fputs("</li>\n", f);
        }
        fputs("</ul>\n", f);
    }
    fputs("</section>\n", f);
}

/* ---- the essentials ---- */

static void card(FILE *f, char *large, const char *what, char *value) {
    html_printf(f, "<li><div><strong>%s</strong>", large);
    html_printf(f, "<span class=\"what\">%s</span><span class=\"value\">%s</span></div></li>\n",
                what, value);
    free(large);
    free(value);
}

static char *percent(uint64_t part, uint64_t whole) {
    return lab_format("%.1f %%", whole ? 100.0 * (double)part / (double)whole : 0);
}

/* So many in all, as so many a second. */
static char *rate(uint64_t n, double s) {
    return html_value(s > 0 ? (double)n / s : 0, "per_s");
}

static void gil_cards(FILE *f, const struct probe_report *r, double s) {
    const struct probe_timeline *t = r->timeline;
    struct probe_lock k;
    out_total_lock(t, &k);
    size_t worst = 0;
    uint64_t held = k.held_ns + k.free_ns;
    for (size_t i = 0; i < t->thread_count; i++) {
        if (t->thread[i].worst_wait_ns > t->thread[worst].worst_wait_ns)
            worst = i;
    }
    if (held) {
        char *free_for = out_html_ns(k.free_ns);
        card(f, percent(k.held_ns, held), "of the time the GIL was taken",
             lab_format("free for %s%s", free_for, k.exact ? "" : ", by samples"));
        free(free_for);
    }
    card(f, rate(k.takes, s), "hand-overs from thread to thread",
         lab_format("%llu in all", (unsigned long long)k.takes));
    if (k.forced_known)
        card(f, percent(k.forced, k.takes), "of the hand-overs were forced",
             k.interval_us ? lab_format("asked for after %.3g ms", (double)k.interval_us / 1e3)
                           : lab_copy(""));
    uint64_t waited = out_total(t, PROBE_STATE_WAITS);
    char *in_all = out_html_ns(waited);
    card(f, lab_format("%.2f", s > 0 ? (double)waited / 1e9 / s : 0),
         "threads waited for it, on average", lab_format("%s of waiting in all", in_all));
    free(in_all);
    if (t->thread_count && t->thread[worst].worst_wait_ns) {
        char *title = probe_thread_title(t, worst);
        card(f, out_html_ns(t->thread[worst].worst_wait_ns), "was the longest wait",
             lab_format("of %s", title));
        free(title);
    }
    uint64_t off = out_total(t, PROBE_STATE_HOLDS_OFF);
    if (off && held)
        card(f, percent(off, held), "of the time its holder had no CPU",
             lab_copy("all wait for nothing"));
}

static void thread_cards(FILE *f, const struct probe_report *r, double s) {
    const struct probe_timeline *t = r->timeline;
    uint64_t on = out_total(t, PROBE_STATE_ON), runnable = out_total(t, PROBE_STATE_RUNNABLE);
    uint64_t voluntary = 0, preempted = 0, moves = 0;
    struct probe_histogram wait = {0};
    for (size_t i = 0; i < t->thread_count; i++) {
        voluntary += t->thread[i].voluntary;
        preempted += t->thread[i].preempted;
        moves += t->thread[i].migrations;
        out_merge(&wait, &t->thread[i].runnable);
    }
    char *on_all = out_html_ns(on), *runnable_all = out_html_ns(runnable);
    card(f, lab_format("%.2f", s > 0 ? (double)on / 1e9 / s : 0), "CPUs were busy with it",
         lab_format("%s in all", on_all));
    card(f, lab_format("%.2f", s > 0 ? (double)runnable / 1e9 / s : 0),
         "threads had no CPU, on average", lab_format("%s in all", runnable_all));
    if (wait.count) {
        char *median = out_html_ns(out_quantile(&wait, 0.5));
        card(f, out_html_ns(wait.max_ns), "was the longest wait for a CPU",
             lab_format("median %s", median));
        free(median);
    }
    card(f, rate(voluntary + preempted, s), "switches",
         lab_format("%.0f %% of them preemptions",
                    voluntary + preempted
                        ? 100.0 * (double)preempted / (double)(voluntary + preempted) : 0));
    card(f, rate(moves, s), "moves to another CPU",
         lab_format("%llu in all", (unsigned long long)moves));
    free(on_all);
    free(runnable_all);
}

static void cards(FILE *f, const struct probe_report *r) {
    double s = (double)(r->timeline->end_ns - r->timeline->begin_ns) / 1e9;
    fputs("<ul class=\"cards probe\">\n", f);
    if (out_has_gil(r))
        gil_cards(f, r, s);
    else
        thread_cards(f, r, s);
    fputs("</ul>\n", f);
}

/* ---- how it was seen ---- */

static void agreement(FILE *f, const struct probe_report *r) {
    const struct probe_watch_facts *x = r->facts;
    if (!x)
        return;
    uint64_t rose = x->number_last - x->number_first;
    if (x->number_last > x->number_first)
        fprintf(f, "<p>The interpreter's own switch number rose by %llu meanwhile; %llu hand-overs "
                   "were seen (%.2f&nbsp;%%).</p>\n", (unsigned long long)rose,
                (unsigned long long)x->takes, 100.0 * (double)x->takes / (double)rose);
    if (x->looks)
        fprintf(f, "<p>%llu samples, of which %llu found a stack that was being changed and were "
                   "given up.</p>\n", (unsigned long long)x->looks,
                (unsigned long long)x->looks_torn);
    if (x->attach_s > 0)
        fprintf(f, "<p>Everything was in place after %.1f ms.</p>\n", x->attach_s * 1e3);
}

static void seen(FILE *f, const struct probe_report *r) {
    fputs("<section id=\"seen\">\n<h2>How it was seen</h2>\n", f);
    if (r->python)
        html_printf(f, "<p>The interpreter is <code>%s</code>, read by its %s.</p>\n",
                    r->python->file ? r->python->file : "?", r->python->how ? r->python->how : "");
    agreement(f, r);
    for (size_t i = 0; i < r->note_count; i++) {
        fputs("<p>", f);
        out_html_words(f, r->notes[i]);
        fputs("</p>\n", f);
    }
    if (r->means)
        fputs("<div class=\"scroll\"><table class=\"plain means\"><thead><tr><th scope=\"col\">"
              "means</th><th scope=\"col\">used</th><th scope=\"col\">for what, or why not</th>"
              "</tr></thead><tbody>\n", f);
    for (size_t i = 0; r->means && i < PROBE_MEANS_COUNT; i++) {
        const struct probe_means *m = &r->means[i];
        if (m->name)
            html_printf(f, m->used ? "<tr><th scope=\"row\">%s</th><td>yes</td><td>%s</td></tr>\n"
                                   : "<tr class=\"unused\"><th scope=\"row\">%s</th><td>no</td>"
                                     "<td>%s</td></tr>\n", m->name, m->why ? m->why : "");
    }
    if (r->means)
        fputs("</tbody></table></div>\n", f);
    if (r->repeat)
        html_repeat(f, r->repeat);
    fputs("</section>\n", f);
}

static void machine(FILE *f, const struct probe_report *r) {
    const struct lab_run run = {.machine = (struct lab_pair *)r->machine,
                                .machine_count = r->machine_count};
    if (r->machine_count == 0)
        return;
    fputs("<section id=\"machine\">\n<h2>The machine</h2>\n", f);
    html_machine_facts(f, &run);
    fputs("</section>\n", f);
}

int probe_write_html(FILE *f, const struct probe_report *r) {
    char *target = out_target(r);
    char *title = lab_format("heddle %s: %s", r->command, target);
    html_head(f, title, html_probe_css, html_probe_css_bytes);
    free(title);
    free(target);
    header(f, r);
    contents(f, r);
    fputs("<main>\n", f);
    verdict(f, r);
    cards(f, r);
    out_html_timeline(f, r);
    out_html_threads(f, r);
    out_html_waits(f, r);
    out_html_places(f, r);
    out_html_tables(f, r);
    out_html_spreads(f, r);
    seen(f, r);
    machine(f, r);
    fputs("</main>\n<script type=\"application/json\" id=\"data\">", f);
    out_html_data(f, r);
    fputs("</script>\n<script>\n", f);
    fwrite(html_probe_js, 1, html_probe_js_bytes, f);
    fputs("</script>\n</body>\n</html>\n", f);
    return ferror(f) ? -EIO : 0;
}
