/* SPDX-License-Identifier: MIT */
/* The page: a head with the essentials, a section an experiment, the machine, what failed.
 *
 * All words and numbers are written here, into plain HTML; the script draws charts from the data
 * at the end of the page, and nothing is lost but those where scripts do not run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"
#include "report.h"

/* With more results than this a page that shows everything twice would not fit into a megabyte. */
enum { LARGE = 900 };

static const char *fact(const struct lab_run *run, const char *key) {
    for (size_t i = 0; i < run->machine_count; i++) {
        if (strcmp(run->machine[i].key, key) == 0) return run->machine[i].value;
    }
    return NULL;
}

/* What was measured: threads by heddle lab, commands by heddle run, or by whom it is known. */
static const char *what_of(const struct lab_run *run) {
    bool commands = false;
    for (size_t i = 0; i < run->result_count; i++) {
        const struct lab_experiment *e = lab_experiment_find(run->results[i].experiment);
        if (e && !e->elsewhere) return "Threads";
        commands = commands || e;
    }
    return commands ? "Commands" : run->result_count > 0 ? "Benchmarks" : "Threads";
}

static void title(FILE *f, const struct lab_run *run) {
    static const char *const keys[] = {"cpu", "kernel", "date"};
    html_printf(f, "<header>\n<h1>%s, measured</h1>\n<p class=\"facts\">", what_of(run));
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
    const char *mode = run->mode ? run->mode : "default";
    bool own = strcmp(mode, "run") == 0 || strcmp(mode, "import") == 0; /* words of their own */
    html_printf(f, "<span>%s%s</span></p>\n", mode, own ? "" : " run");
    if (run->interrupted) {
        fputs("<p class=\"warning\">The run was interrupted: this is what was measured until "
              "then.</p>\n", f);
    }
    if (run->out_of_time) {
        fputs("<p class=\"warning\">The time budget ended before all rounds were run.</p>\n", f);
    }
    html_disturbed(f, run);
    fputs("</header>\n", f);
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
        const char *comma = *x->experiment && *x->subject ? ", " : "";
        html_printf(f, "<p class=\"failed\"><b>%s%s%s</b>: %s</p>\n", x->subject, comma,
                    x->experiment, x->reason);
    }
    if (any) fputs("</section>\n", f);
    if (run->result_count == 0) fputs("<p class=\"warning\">Nothing was measured.</p>\n", f);
}

static void reading(FILE *f, const struct html_page *page) {
    fputs("<section id=\"reading\">\n<h2>How to read it</h2>\n"
          "<p>Every subject does the same work in processes of its own, and the subjects take "
          "turns, so that what disturbs the machine for a while disturbs all of them. A process "
          "is one observation: the median of its samples. Small dots are processes, the large "
          "one is their median, and the bar is the 95&nbsp;% interval of that median. Scales on "
          "which the values lie more than eightfold apart are logarithmic, and say so.</p>\n"
          "<p>A verdict compares with the subject named beside it: <b>faster</b> and <b>slower</b> "
          "(of amounts, <b>less</b> and <b>more</b>) where the difference is shown and exceeds 1 "
          "%, <b>same</b> where it is shown to be less than that, <b>undecided</b> where the "
          "processes are too few to tell, with how many would. It is Welch's test on logarithms of "
          "the processes' values, and p is adjusted for all comparisons of the page (Benjamini and "
          "Hochberg). Subjects that are fast for other reasons than their threads are fast "
          "here, too: a verdict says what, not why.</p>\n", f);
    if (strcmp(what_of(page->run), "Threads") == 0) {
        fputs("<p>The bare switch saves and loads the registers that a call must preserve, and "
              "jumps; no thread can be switched for less. A name with a star did another amount of "
              "work than the first; no ratio is formed where that matters. Native subjects use "
              "stacks of 64&nbsp;KiB unless told otherwise, kernel threads among them: with the C "
              "library's default of 8&nbsp;MiB they would do worse.</p>\n", f);
    }
    if (page->large) {
        fputs("<p>This run is large: where an overview shows a metric, its distributions, verdicts "
              "and processes are left out. The page of one experiment, <code>heddle lab EXPERIMENT "
              "--html FILE</code>, has them.</p>\n", f);
    }
    fputs("</section>\n", f);
}

int report_html(const struct lab_run *run, FILE *f) {
    struct html_page page;
    char *name = lab_format("Heddle lab: %s, measured", what_of(run));
    html_page_begin(&page, f, name);
    free(name);
    html_verdicts_find(&page.verdicts, run);
    page.run = run;
    page.large = run->result_count > LARGE;
    title(f, run);
    contents(f, run);
    fputs("<main>\n", f);
    html_glance(f, run);
    html_sections(&page, run);
    lost(f, run);
    reading(f, &page);
    html_machine(f, run);
    fputs("</main>\n", f);
    html_verdicts_free(&page.verdicts);
    return html_page_end(&page);
}
