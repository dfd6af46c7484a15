/* SPDX-License-Identifier: MIT */
/* A run of commands as a table for a terminal. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../experiment.h"
#include "../measure/bench.h"
#include "../measure/machine.h"
#include "../text.h"
#include "format.h"
#include "matches.h"

struct view {
    const struct lab_run *run;
    const struct lab_matches *matches;
    FILE *f;
    bool colour;
    const char *bold, *dim, *red, *plain;
};

static const struct lab_result *find(const struct view *v, const char *metric,
                                     const char *subject) {
    for (size_t i = 0; i < v->run->result_count; i++) {
        const struct lab_result *r = &v->run->results[i];
        if (strcmp(r->metric, metric) == 0 && strcmp(r->subject, subject) == 0)
            return r;
    }
    return NULL;
}

static const struct lab_match *find_match(const struct view *v, const struct lab_result *b) {
    for (size_t i = 0; i < v->matches->count; i++) {
        if (v->matches->items[i].b == b)
            return &v->matches->items[i];
    }
    return NULL;
}

static void heading(const struct view *v) {
    const char *cpu = lab_machine_fact(v->run, "cpu"), *kernel = lab_machine_fact(v->run, "kernel");
    const char *version = lab_machine_fact(v->run, "heddle"),
               *cpus = lab_machine_fact(v->run, "cpus");
    struct lab_text t = {0};
    lab_text_printf(&t, "heddle %s run: %s, %s CPU%s, %s", version ? version : "",
                    cpu ? cpu : "unknown CPU", cpus ? cpus : "?",
                    cpus && strcmp(cpus, "1") == 0 ? "" : "s", kernel ? kernel : "Linux");
    lab_make_printable(t.data);
    lab_wrap(v->f, t.data, 0, 2);
    lab_text_free(&t);
    fputc('\n', v->f);
    for (size_t i = 0; i < v->run->subject_count; i++) {
        char *name = lab_copy(v->run->subjects[i].name);
        lab_make_printable(name);
        fprintf(v->f, "%s%4zu%s  ", v->bold, i + 1, v->plain);
        lab_wrap(v->f, name, 6, 8);
        free(name);
    }
}

/* The times in full. */
static void times(const struct view *v) {
    fprintf(v->f, "\n%s%4s %9s %15s %9s %9s %6s", v->bold, "", "time", "95 % interval", "min",
            "max", "runs");
    if (v->matches->count)
        fprintf(v->f, " %8s  %s", "ratio", "verdict");
    fprintf(v->f, "%s\n", v->plain);
    for (size_t i = 0; i < v->run->subject_count; i++) {
        const struct lab_result *r = find(v, LAB_BENCH_METRIC, v->run->subjects[i].name);
        char median[LAB_CELL], range[2 * LAB_CELL], min[LAB_CELL], max[LAB_CELL];
        if (!r)
            continue;
        lab_human(median, r->median, r->unit);
        lab_human_range(range, r->ci_low, r->ci_high, r->unit);
        lab_human(min, r->min, r->unit);
        lab_human(max, r->max, r->unit);
        fprintf(v->f, "%4zu %9s %15s %9s %9s %6zu", i + 1, median, range, min, max, r->n);
        const struct lab_match *m = find_match(v, r);
        char ratio[LAB_CELL] = "";
        if (m) {
            lab_human_ratio(ratio, m->c.ratio);
            fprintf(v->f, " %8s  %s%s%s", ratio, matches_colour(m, v->colour), matches_word(m),
                    v->plain);
        }
        fputc('\n', v->f);
    }
}

/* The medians of the rest. */
static void medians(const struct view *v) {
    const struct lab_experiment *e = lab_experiment_find(LAB_BENCH_EXPERIMENT);
    fprintf(v->f, "\n%s    ", v->bold);
    for (const struct lab_metric *m = e->metrics + 1; m->name; m++)
        fprintf(v->f, " %9s", m->label);
    fprintf(v->f, "%s\n", v->plain);
    for (size_t i = 0; i < v->run->subject_count; i++) {
        const char *name = v->run->subjects[i].name;
        if (!find(v, LAB_BENCH_METRIC, name))
            continue;
        fprintf(v->f, "%4zu", i + 1);
        for (const struct lab_metric *m = e->metrics + 1; m->name; m++) {
            const struct lab_result *r = find(v, m->name, name);
            char cell[LAB_CELL] = "";
            if (r)
                lab_human(cell, r->median, r->unit);
            fprintf(v->f, " %9s", cell);
        }
        fputc('\n', v->f);
    }
}

/* Whether there is anything to say: not where both are always zero. */
static bool worth_a_row(const struct lab_match *m) {
    return m->a->max > 0 || m->b->max > 0;
}

/* Each of the others beside the first, metric by metric. */
static void differences(const struct view *v) {
    const struct lab_experiment *e = lab_experiment_find(LAB_BENCH_EXPERIMENT);
    const char *first = v->matches->count ? v->matches->items[0].a->subject : "";
    size_t reference = 0;
    for (size_t i = 0; i < v->run->subject_count; i++) {
        if (strcmp(v->run->subjects[i].name, first) == 0)
            reference = i + 1;
    }
    for (size_t i = 0; i < v->run->subject_count && v->matches->count; i++) {
        char title[64], a[24], b[24];
        bool begun = false;
        for (const struct lab_metric *m = e->metrics; m->name; m++) {
            const struct lab_result *r = find(v, m->name, v->run->subjects[i].name);
            const struct lab_match *match = r ? find_match(v, r) : NULL;
            if (!match || !worth_a_row(match))
                continue;
            if (!begun) {
                snprintf(title, sizeof(title), "%zu beside %zu", i + 1, reference);
                snprintf(a, sizeof(a), "%zu", reference);
                snprintf(b, sizeof(b), "%zu", i + 1);
                fputc('\n', v->f);
                matches_header(v->f, title, a, b, v->colour);
            }
            begun = true;
            matches_row(v->f, m->label, match, v->colour);
        }
    }
}

static void endings(const struct view *v) {
    for (size_t i = 0; i < v->run->failure_count; i++) {
        char *line = lab_format("%s: %s", v->run->failures[i].subject, v->run->failures[i].reason);
        fprintf(v->f, "\n%s", v->red);
        lab_make_printable(line);
        lab_wrap(v->f, line, 0, 2);
        fputs(v->plain, v->f);
        free(line);
    }
    for (size_t i = 0; i < v->run->note_count; i++) {
        fputs(i ? "" : "\n", v->f);
        char *line = lab_format("%s.", v->run->notes[i].text);
        lab_make_printable(line);
        lab_wrap(v->f, line, 0, 2);
        free(line);
    }
    if (v->run->id)
        fprintf(v->f, "\nKept as run %lld.\n", v->run->id);
    if (v->run->interrupted)
        fputs("\nInterrupted: this is what was measured until then.\n", v->f);
    if (v->run->result_count == 0)
        fputs("\nNothing was measured.\n", v->f);
}

int report_run_text(const struct lab_run *run, const struct lab_matches *m, FILE *f, bool colour) {
    struct view v = {run, m, f, colour, "", "", "", ""};
    if (colour)
        v = (struct view){run, m, f, colour, "\033[1m", "\033[2m", "\033[31m", "\033[0m"};
    heading(&v);
    if (run->result_count) {
        times(&v);
        medians(&v);
        differences(&v);
        if (m->count) {
            fprintf(f, "\np adjusted over all %zu comparisons.\n", m->count);
            matches_footnote(f, m);
        }
    }
    endings(&v);
    return 0;
}
