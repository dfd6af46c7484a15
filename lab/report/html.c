/* SPDX-License-Identifier: MIT */
/* The page: a head with the essentials, a section an experiment, the machine, what failed.
 *
 * All words and numbers are written here, into plain HTML; the script draws charts from the data
 * at the end of the page, and nothing is lost but those where scripts do not run. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"
#include "report.h"

static const char *fact(const struct lab_run *run, const char *key) {
    for (size_t i = 0; i < run->machine_count; i++) {
        if (strcmp(run->machine[i].key, key) == 0) return run->machine[i].value;
    }
    return NULL;
}

static void head(FILE *f) {
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n"
          "<title>Heddle lab: threads, measured</title>\n<style>\n",
          f);
    fwrite(html_css, 1, html_css_bytes, f);
    fputs("</style>\n</head>\n<body>\n", f);
}

static void title(FILE *f, const struct lab_run *run) {
    static const char *const keys[] = {"cpu", "kernel", "date"};
    fputs("<header>\n<h1>Threads, measured</h1>\n<p class=\"facts\">", f);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *value = fact(run, keys[i]);
        if (value) html_printf(f, "<span>%s</span> ", value);
        if (i == 0 && fact(run, "cpus")) {
            const char *cpus = fact(run, "cpus");
            html_printf(f, "<span>%s CPU%s</span> ", cpus, strcmp(cpus, "1") == 0 ? "" : "s");
        }
    }
    const char *version = fact(run, "heddle");
    if (version) html_printf(f, "<span>heddle %s</span> ", version);
    html_printf(f, "<span>%s run</span></p>\n", run->mode ? run->mode : "default");
    if (run->interrupted) {
        fputs("<p class=\"warning\">The run was interrupted: this is what was measured until "
              "then.</p>\n", f);
    }
    if (run->out_of_time) {
        fputs("<p class=\"warning\">The time budget ended before all rounds were run.</p>\n", f);
    }
    fputs("</header>\n", f);
}

static size_t primary_count(const struct html_span *s) {
    const struct lab_result *m;
    size_t count = 0;
    for (size_t n = 0; (m = html_metric(s, n)); n++) count += m->primary;
    return count;
}

/* How many times less or more than with pthread, in large print. */
static void card(FILE *f, const struct html_span *s, const struct lab_result *r, double ratio) {
    bool less = ratio < 1;
    double times = less ? 1 / ratio : ratio;
    char *value = html_value(r->median, r->unit);
    const char *variant = html_variant_title(s);
    fputs("<li><a href=\"#", f);
    html_id(f, s->name);
    fprintf(f, "\"><strong>%.*f\xc3\x97 <em>%s</em></strong>", times < 10 ? 1 : 0, times,
            less ? "less" : "more");
    html_printf(f, "<span class=\"what\">%s", s->name);
    if (*variant) html_printf(f, ", %s", variant);
    if (primary_count(s) > 1) html_printf(f, ", %s", html_metric_label(s, r->metric));
    html_printf(f, "</span><span class=\"value\">%s</span></a></li>\n", value);
    free(value);
}

/* Heddle against kernel threads, one card a question. */
static void glance(FILE *f, const struct lab_run *run) {
    bool any = false;
    for (size_t i = 0; i < run->result_count; i++) {
        const struct lab_result *r = &run->results[i];
        struct html_span s;
        double ratio = NAN;
        if (r->primary && strcmp(r->subject, "heddle") == 0) {
            size_t begin = i; /* of the variant */
            while (begin > 0 && strcmp(run->results[begin - 1].experiment, r->experiment) == 0 &&
                   strcmp(run->results[begin - 1].variant, r->variant) == 0) {
                begin--;
            }
            s = html_span_at(run, begin);
            ratio = html_over_pthread(&s, r);
        }
        if (!isfinite(ratio) || ratio <= 0) continue;
        if (!any) {
            fputs("<section id=\"glance\">\n<h2>Heddle beside kernel threads</h2>\n"
                  "<ul class=\"cards\">\n", f);
        }
        any = true;
        card(f, &s, r, ratio);
    }
    if (any) {
        fputs("</ul>\n<p class=\"note\">What heddle takes as a multiple of what pthreads take for "
              "the same work; medians.</p>\n</section>\n", f);
    }
}

/* The charts of a span: large ones across the page, the others side by side. */
static void charts(FILE *f, const struct html_span *s, size_t *number) {
    struct html_chart chart;
    bool grid = false;
    for (size_t n = 0; html_chart_at(s, n, &chart); n++) {
        if (!chart.large && !grid) {
            fputs("<div class=\"grid\">\n", f);
            grid = true;
        }
        const char *label = chart.phases ? "where the time goes, by medians"
                                         : html_metric_label(s, chart.first->metric);
        fprintf(f, "<figure data-chart=\"%zu\">\n", (*number)++);
        html_printf(f, "<figcaption><b>%s</b>", label);
        if (!chart.phases) {
            fprintf(f, " <span>%s is better</span>",
                    chart.first->better == LAB_BETTER_HIGHER ? "more" : "less");
        }
        fputs("</figcaption>\n<div class=\"plot\"><noscript>The chart needs JavaScript; its "
              "numbers are in the table.</noscript></div>\n</figure>\n", f);
    }
    if (grid) fputs("</div>\n", f);
}

/* The commands: the experiment again, and a process of each subject. */
static void commands(FILE *f, const struct html_span *s) {
    char *command = html_command(s);
    html_printf(f, "<div class=\"again\"><p>Measure it again:</p><pre><code>%s</code></pre>\n",
                command);
    free(command);
    const struct lab_result *m = html_metric(s, 0);
    fputs("<details><summary>What each process was</summary>\n<pre><code>", f);
    for (size_t i = s->begin; i < s->end; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (html_is_bare(r) || !m || strcmp(r->metric, m->metric) != 0) continue;
        char *process = html_process(s->run, r);
        html_printf(f, "%s\n", process);
        free(process);
    }
    fputs("</code></pre></details></div>\n", f);
}

static void span(FILE *f, const struct html_span *s, size_t *number) {
    const char *variant = html_variant_title(s);
    const struct lab_result *m;
    if (*variant) html_printf(f, "<h3>%s</h3>\n", variant);
    for (size_t n = 0; (m = html_metric(s, n)); n++) {
        if (!m->primary && n > 0) continue;
        fputs("<p class=\"seen\">", f);
        html_say(f, s, m->metric);
        fputs("</p>\n", f);
    }
    charts(f, s, number);
    html_tables(f, s);
    commands(f, s);
}

/* What subjects said in the experiment, each thing once. */
static void notes(FILE *f, const struct lab_run *run, const char *experiment) {
    for (size_t i = 0; i < run->note_count; i++) {
        const struct lab_note *n = &run->notes[i];
        bool seen = strcmp(n->experiment, experiment) != 0;
        for (size_t k = 0; k < i && !seen; k++) {
            const struct lab_note *o = &run->notes[k];
            seen = strcmp(o->experiment, n->experiment) == 0 &&
                   strcmp(o->subject, n->subject) == 0 && strcmp(o->key, n->key) == 0;
        }
        if (!seen) html_printf(f, "<p class=\"note\">%s: %s</p>\n", n->subject, n->text);
    }
}

static void failures(FILE *f, const struct lab_run *run, const char *experiment) {
    for (size_t i = 0; i < run->failure_count; i++) {
        const struct lab_failure *x = &run->failures[i];
        if (strcmp(x->experiment, experiment) != 0) continue;
        html_printf(f, "<p class=\"failed\"><b>%s</b>%s%s could not be measured: %s</p>\n",
                    x->subject, *x->variant ? ", " : "", x->variant, x->reason);
    }
}

/* The sections, and for the list of contents (f_links) their names. */
static void section_head(FILE *f, const struct lab_experiment *e, const char *name) {
    fputs("<section id=\"", f);
    html_id(f, name);
    html_printf(f, "\">\n<h2>%s</h2>\n", e ? e->question : name);
    html_printf(f, "<p class=\"experiment\">experiment <code>%s</code></p>\n", name);
}

static void sections(FILE *f, const struct lab_run *run) {
    size_t number = 0;
    for (size_t i = 0; i < run->result_count;) {
        struct html_span s = html_span_at(run, i);
        const char *name = s.name;
        section_head(f, s.experiment, name);
        for (; i < run->result_count && strcmp(run->results[i].experiment, name) == 0; i = s.end) {
            s = html_span_at(run, i);
            span(f, &s, &number);
        }
        if (strcmp(name, "lifecycle") == 0 && html_claims_wanted(run)) html_claims(f, run);
        notes(f, run, name);
        failures(f, run, name);
        fputs("</section>\n", f);
    }
}

static void contents(FILE *f, const struct lab_run *run) {
    fputs("<nav aria-label=\"Contents\"><ul>\n", f);
    for (size_t i = 0; i < run->result_count; i++) {
        const char *name = run->results[i].experiment;
        if (i > 0 && strcmp(run->results[i - 1].experiment, name) == 0) continue;
        fputs("<li><a href=\"#", f);
        html_id(f, name);
        html_printf(f, "\">%s</a></li>\n", name);
    }
    fputs("<li><a href=\"#reading\">how to read it</a></li>\n"
          "<li><a href=\"#machine\">machine</a></li>\n</ul></nav>\n", f);
}

/* Failures of experiments that have no section, since nothing came of them. */
static void lost(FILE *f, const struct lab_run *run) {
    bool any = false;
    for (size_t i = 0; i < run->failure_count; i++) {
        const struct lab_failure *x = &run->failures[i];
        bool shown = false;
        for (size_t k = 0; k < run->result_count && !shown; k++) {
            shown = strcmp(run->results[k].experiment, x->experiment) == 0;
        }
        if (shown) continue;
        if (!any) fputs("<section id=\"failures\">\n<h2>What could not be measured</h2>\n", f);
        any = true;
        html_printf(f, "<p class=\"failed\"><b>%s</b>%s%s: %s</p>\n", x->subject,
                    *x->experiment ? ", " : "", x->experiment, x->reason);
    }
    if (any) fputs("</section>\n", f);
    if (run->result_count == 0) fputs("<p class=\"warning\">Nothing was measured.</p>\n", f);
}

static void reading(FILE *f) {
    fputs("<section id=\"reading\">\n<h2>How to read it</h2>\n"
          "<p>Every subject does the same work in processes of its own, and the subjects take "
          "turns, so that what disturbs the machine for a while disturbs all of them. A process "
          "is one observation: the median of its samples. Small dots are processes, the large "
          "one is their median, and the bar is the 95&nbsp;% interval of that median. Scales on "
          "which the values lie more than eightfold apart are logarithmic, and say so.</p>\n"
          "<p>The bare switch saves and loads the registers that a call must preserve, and "
          "jumps; no thread can be switched for less. A name with a star did another amount of "
          "work than the first; no ratio is formed where that matters. Native subjects use "
          "stacks of 64&nbsp;KiB unless told otherwise, kernel threads among them: with the C "
          "library's default of 8&nbsp;MiB they would do worse.</p>\n</section>\n", f);
}

static void machine(FILE *f, const struct lab_run *run) {
    fputs("<section id=\"machine\">\n<h2>The machine and the subjects</h2>\n"
          "<div class=\"scroll\"><table class=\"plain\"><tbody>\n", f);
    for (size_t i = 0; i < run->machine_count; i++) {
        html_printf(f, "<tr><th scope=\"row\">%s</th><td>%s</td></tr>\n", run->machine[i].key,
                    run->machine[i].value);
    }
    fputs("</tbody></table></div>\n<div class=\"scroll\"><table class=\"plain\">\n<thead><tr>"
          "<th scope=\"col\">subject</th><th scope=\"col\">kind</th><th scope=\"col\">version</th>"
          "<th scope=\"col\">program</th></tr></thead>\n<tbody>\n", f);
    for (size_t i = 0; i < run->subject_count; i++) {
        const struct lab_subject_info *s = &run->subjects[i];
        html_printf(f, "<tr><th scope=\"row\"><span class=\"key %s\"></span>%s</th><td>%s%s</td>",
                    html_kind(run, s->name), s->name, s->kind,
                    s->free_threaded ? ", free-threaded" : "");
        html_printf(f, "<td>%s</td><td><code>%s</code></td></tr>\n", s->version, s->path);
    }
    fputs("</tbody></table></div>\n</section>\n", f);
}

static void scripts(FILE *f, const struct lab_run *run) {
    if (html_library_bytes == 0) return; /* built without the library: no charts */
    fputs("<script type=\"application/json\" id=\"data\">", f);
    html_chart_data(run, f);
    fputs("</script>\n<!--\n", f);
    fwrite(html_library_notice, 1, html_library_notice_bytes, f);
    fputs("-->\n<script>\n", f);
    fwrite(html_library, 1, html_library_bytes, f);
    fputs("\n</script>\n<script>\n", f);
    fwrite(html_js, 1, html_js_bytes, f);
    fputs("</script>\n", f);
}

int report_html(const struct lab_run *run, FILE *f) {
    head(f);
    title(f, run);
    contents(f, run);
    fputs("<main>\n", f);
    glance(f, run);
    sections(f, run);
    lost(f, run);
    reading(f);
    machine(f, run);
    fputs("</main>\n", f);
    scripts(f, run);
    fputs("</body>\n</html>\n", f);
    return ferror(f) ? -EIO : 0;
}
