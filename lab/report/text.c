/* SPDX-License-Identifier: MIT */
/* A run as a table for a terminal: within 80 columns, whatever the names and numbers. */
#include "../text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../experiment.h"
#include "../measure/machine.h"
#include "format.h"
#include "report.h"

enum {
    NAME = 15,
    SMALL = 9, /* columns of the second table, plus a blank */
    MAX_SMALL = 6,
};

struct view {
    const struct lab_run *run;
    FILE *f;
    const char *bold, *dim, *red, *plain; /* empty without colour */
};

/* The results of one variant: [begin, end) of the run's. */
struct span {
    size_t begin, end;
};

static bool same_group(const struct lab_result *a, const struct lab_result *b) {
    return strcmp(a->experiment, b->experiment) == 0 && strcmp(a->variant, b->variant) == 0;
}

static bool is_bare(const struct lab_result *r) {
    return strcmp(r->subject, "bare") == 0;
}

static void heading(const struct view *v) {
    const struct lab_run *run = v->run;
    const char *cpu = lab_machine_fact(run, "cpu"), *kernel = lab_machine_fact(run, "kernel");
    const char *version = lab_machine_fact(run, "heddle"), *cpus = lab_machine_fact(run, "cpus");
    const char *virtual = lab_machine_fact(run, "hypervisor");
    struct lab_text t = {0};
    lab_text_printf(&t, "heddle %s lab (%s): %s, %s CPU%s, %s%s", version ? version : "", run->mode,
                    cpu ? cpu : "unknown CPU", cpus ? cpus : "?",
                    cpus && strcmp(cpus, "1") == 0 ? "" : "s", kernel ? kernel : "Linux",
                    virtual && strcmp(virtual, "yes") == 0 ? ", in a virtual machine" : "");
    lab_make_printable(t.data);
    lab_wrap(v->f, t.data, 0, 2);
    lab_text_free(&t);
}

/* What the work was: the parameters that count, and how many processes. */
static void describe_work(const struct view *v, struct span s) {
    const struct lab_result *first = &v->run->results[s.begin];
    size_t least = first->n, most = first->n;
    struct lab_text t = {0};
    for (size_t i = 0; i < first->param_count; i++) {
        const struct lab_pair *p = &first->params[i];
        bool standard = strcmp(p->key, "stack-size") == 0 && strcmp(p->value, "0") == 0;
        if (standard || !lab_parameter_counts(first, p->key))
            continue;
        lab_text_printf(&t, "%s%s %s", t.length ? ", " : "", p->key, p->value);
    }
    for (size_t i = s.begin; i < s.end; i++) {
        size_t n = v->run->results[i].n;
        if (n < least)
            least = n;
        if (n > most)
            most = n;
    }
    if (t.length)
        lab_text_printf(&t, "; ");
    if (least != most) {
        lab_text_printf(&t, "%zu to %zu processes each", least, most);
    } else {
        lab_text_printf(&t, "%zu process%s each", most, most == 1 ? "" : "es");
    }
    fprintf(v->f, "%s  ", v->dim);
    lab_wrap(v->f, t.data, 2, 2);
    fputs(v->plain, v->f);
    lab_text_free(&t);
}

/* The result of a subject for the metric of the block, or NULL. */
static const struct lab_result *find(const struct view *v, struct span s, const char *metric,
                                     const char *subject) {
    for (size_t i = s.begin; i < s.end; i++) {
        const struct lab_result *r = &v->run->results[i];
        if (strcmp(r->metric, metric) == 0 && strcmp(r->subject, subject) == 0)
            return r;
    }
    return NULL;
}

/* What the others are compared with: threads of the kernel, which everybody knows; without them,
 * the product's own. */
static const struct lab_result *find_reference(const struct view *v, struct span s,
                                               const char *metric) {
    const struct lab_result *r = find(v, s, metric, "pthread");
    return r ? r : find(v, s, metric, "heddle");
}

static void name_cell(char cell[NAME + 1], const char *name) {
    size_t n = strlen(name);
    snprintf(cell, NAME + 1, "%s", name);
    if (n > NAME)
        cell[NAME - 1] = '~';
}

static void block_row(const struct view *v, const struct lab_result *r,
                      const struct lab_result *reference, bool with_bare) {
    char name[NAME + 1], median[LAB_CELL], range[2 * LAB_CELL], min[LAB_CELL], max[LAB_CELL];
    char bare[LAB_CELL], ratio[LAB_CELL];
    name_cell(name, is_bare(r) ? "bare switch" : r->subject);
    lab_human(median, r->median, r->unit);
    lab_human_range(range, r->ci_low, r->ci_high, r->unit);
    lab_human(min, r->min, r->unit);
    lab_human(max, r->max, r->unit);
    lab_human_ratio(bare, r->bare_ratio);
    bool comparable = reference && !is_bare(r) && reference->median > 0 &&
                      (r->per_thing || lab_same_work(r, reference));
    lab_human_ratio(ratio, comparable ? r->median / reference->median : NAN);
    if (is_bare(r))
        fputs(v->dim, v->f);
    fprintf(v->f, "  %-*s %8s %15s %8s %8s", NAME, name, median, range, min, max);
    if (with_bare && (bare[0] || ratio[0]))
        fprintf(v->f, " %8s", bare);
    if (ratio[0])
        fprintf(v->f, " %9s", ratio);
    fprintf(v->f, "%s\n", is_bare(r) ? v->plain : "");
}

static void block_header(const struct view *v, const char *label,
                         const struct lab_result *reference, bool with_bare) {
    char ratio[16] = "";
    if (reference)
        snprintf(ratio, sizeof(ratio), "x %s", reference->subject);
    fprintf(v->f, "  %s%-*s %8s %15s %8s %8s", v->bold, NAME, strlen(label) > NAME ? "" : label,
            "median", "95 % interval", "min", "max");
    if (with_bare)
        fprintf(v->f, " %8s", "x bare");
    if (reference)
        fprintf(v->f, " %9s", ratio);
    fprintf(v->f, "%s\n", v->plain);
}

/* One metric in full. */
static void block(const struct view *v, struct span s, const char *metric, bool show_bare) {
    const struct lab_experiment *e = lab_experiment_find(v->run->results[s.begin].experiment);
    const struct lab_metric *m = e ? lab_metric_find(e, metric) : NULL;
    const struct lab_result *reference = find_reference(v, s, metric);
    bool with_bare = false;
    for (size_t i = s.begin; i < s.end; i++) {
        const struct lab_result *r = &v->run->results[i];
        if (strcmp(r->metric, metric) == 0 && !isnan(r->bare_ratio))
            with_bare = true;
    }
    const char *label = m ? m->label : metric;
    if (strlen(label) > NAME)
        fprintf(v->f, "  %s%.76s%s\n", v->bold, label, v->plain);
    block_header(v, label, reference, with_bare);
    for (size_t i = s.begin; show_bare && i < s.end; i++) {
        if (is_bare(&v->run->results[i]))
            block_row(v, &v->run->results[i], reference, with_bare);
    }
    for (size_t i = s.begin; i < s.end; i++) {
        const struct lab_result *r = &v->run->results[i];
        if (strcmp(r->metric, metric) == 0 && !is_bare(r))
            block_row(v, r, reference, with_bare);
    }
}

/* The medians of the metrics that need not be told in full. */
static void small_table(const struct view *v, struct span s, const char *const *metrics,
                        size_t count) {
    const struct lab_experiment *e = lab_experiment_find(v->run->results[s.begin].experiment);
    fprintf(v->f, "  %s%-*s", v->bold, NAME, "medians");
    for (size_t m = 0; m < count; m++) {
        const struct lab_metric *known = e ? lab_metric_find(e, metrics[m]) : NULL;
        fprintf(v->f, " %*.*s", SMALL, SMALL, known ? known->label : metrics[m]);
    }
    fprintf(v->f, "%s\n", v->plain);
    for (size_t i = s.begin; i < s.end; i++) {
        const char *subject = v->run->results[i].subject;
        bool seen = is_bare(&v->run->results[i]), any = false;
        for (size_t k = s.begin; k < i && !seen; k++) {
            seen = strcmp(v->run->results[k].subject, subject) == 0;
        }
        for (size_t m = 0; m < count && !any; m++)
            any = find(v, s, metrics[m], subject) != NULL;
        if (seen || !any)
            continue;
        char name[NAME + 1];
        name_cell(name, subject);
        fprintf(v->f, "  %-*s", NAME, name);
        for (size_t m = 0; m < count; m++) {
            char cell[LAB_CELL] = "";
            const struct lab_result *r = find(v, s, metrics[m], subject);
            if (r)
                lab_human(cell, r->median, r->unit);
            fprintf(v->f, " %*s", SMALL, cell);
        }
        fputc('\n', v->f);
    }
}

/* Who did other work than the first, and which. */
static void other_work(const struct view *v, struct span s) {
    const struct lab_result *first = &v->run->results[s.begin];
    const char *said = "";
    for (size_t i = s.begin; i < s.end; i++) {
        const struct lab_result *r = &v->run->results[i];
        if (strcmp(r->metric, first->metric) != 0 || lab_same_work(first, r))
            continue;
        struct lab_text t = {0};
        for (size_t k = 0; k < r->param_count; k++) {
            const struct lab_pair *p = &r->params[k];
            bool same = !lab_parameter_counts(r, p->key);
            for (size_t j = 0; j < first->param_count && !same; j++) {
                same = strcmp(first->params[j].key, p->key) == 0 &&
                       strcmp(first->params[j].value, p->value) == 0;
            }
            if (!same)
                lab_text_printf(&t, "%s%s %s", t.length ? ", " : "", p->key, p->value);
        }
        if (!*said) {
            said = "said";
            fprintf(v->f, "%s  Not the same work:%s\n", v->dim, v->plain);
        }
        char name[NAME + 1];
        name_cell(name, r->subject);
        fprintf(v->f, "%s  %-*s ", v->dim, NAME, name);
        lab_wrap(v->f, t.data ? t.data : "", NAME + 3, NAME + 3);
        fputs(v->plain, v->f);
        lab_text_free(&t);
    }
}

static void failure_rows(const struct view *v, const char *experiment, const char *variant) {
    for (size_t i = 0; i < v->run->failure_count; i++) {
        const struct lab_failure *x = &v->run->failures[i];
        if (strcmp(x->experiment, experiment) != 0 || strcmp(x->variant, variant) != 0)
            continue;
        char name[NAME + 1];
        name_cell(name, x->subject);
        fprintf(v->f, "  %s%-*s ", v->red, NAME, name);
        lab_wrap(v->f, x->reason, NAME + 3, NAME + 3);
        fputs(v->plain, v->f);
    }
}

static void experiment_heading(const struct view *v, const char *name) {
    const struct lab_experiment *e = lab_experiment_find(name);
    fprintf(v->f, "\n%s%s%s: ", v->bold, name, v->plain);
    lab_wrap(v->f, e ? e->question : "", strlen(name) + 2, 2);
}

static void variant_heading(const struct view *v, const char *experiment, const char *variant) {
    const struct lab_experiment *e = lab_experiment_find(experiment);
    for (const struct lab_variant *x = e ? e->variants : NULL; x && x->name; x++) {
        bool plain = x->plain_name && strcmp(x->plain_name, variant) == 0;
        const char *title = plain ? x->plain_title : x->title;
        if (*variant && (plain || strcmp(x->name, variant) == 0)) {
            fprintf(v->f, " %s%s%s\n", v->bold, title, v->plain);
            return;
        }
    }
}

static void group(const struct view *v, struct span s) {
    const struct lab_result *first = &v->run->results[s.begin];
    const char *small[MAX_SMALL], *last = "";
    size_t small_count = 0;
    bool bare_shown = false;
    variant_heading(v, first->experiment, first->variant);
    describe_work(v, s);
    for (size_t i = s.begin; i < s.end; i++) {
        const struct lab_result *r = &v->run->results[i];
        if (is_bare(r) || strcmp(r->metric, last) == 0)
            continue;
        last = r->metric;
        if (r->primary) {
            block(v, s, r->metric, !bare_shown);
            bare_shown = true;
        } else if (small_count < MAX_SMALL) {
            small[small_count++] = r->metric;
        }
    }
    if (small_count)
        small_table(v, s, small, small_count);
    other_work(v, s);
    failure_rows(v, first->experiment, first->variant);
}

/* Failures of variants from which nothing came, under a heading of their own. */
static void orphans(const struct view *v) {
    const struct lab_run *run = v->run;
    for (size_t i = 0; i < run->failure_count; i++) {
        const struct lab_failure *x = &run->failures[i];
        bool shown = false;
        for (size_t k = 0; k < run->result_count && !shown; k++) {
            shown = strcmp(run->results[k].experiment, x->experiment) == 0 &&
                    strcmp(run->results[k].variant, x->variant) == 0;
        }
        for (size_t k = 0; k < i && !shown; k++) {
            shown = strcmp(run->failures[k].experiment, x->experiment) == 0 &&
                    strcmp(run->failures[k].variant, x->variant) == 0;
        }
        if (shown)
            continue;
        if (*x->experiment) {
            experiment_heading(v, x->experiment);
            variant_heading(v, x->experiment, x->variant);
        } else {
            fprintf(v->f, "\n%sNot usable:%s\n", v->bold, v->plain);
        }
        failure_rows(v, x->experiment, x->variant);
    }
}

static void ending(const struct view *v) {
    fputc('\n', v->f);
    if (v->run->interrupted) {
        lab_wrap(v->f, "Interrupted: this is what was measured until then.", 0, 0);
    }
    if (v->run->out_of_time) {
        lab_wrap(v->f, "The time budget ended before all rounds were run.", 0, 0);
    }
    if (v->run->result_count == 0) {
        fputs("Nothing was measured.\n", v->f);
        return;
    }
    lab_wrap(v->f,
             "Each process is one observation (the median of its samples); median, interval, "
             "minimum and maximum are over processes.",
             0, 0);
}

int report_text(const struct lab_run *run, FILE *f, bool colour) {
    struct view v = {run, f, "", "", "", ""};
    if (colour)
        v = (struct view){run, f, "\033[1m", "\033[2m", "\033[31m", "\033[0m"};
    heading(&v);
    const char *experiment = "";
    for (size_t i = 0; i < run->result_count;) {
        struct span s = {i, i};
        while (s.end < run->result_count && same_group(&run->results[i], &run->results[s.end])) {
            s.end++;
        }
        if (strcmp(run->results[i].experiment, experiment) != 0) {
            experiment = run->results[i].experiment;
            experiment_heading(&v, experiment);
        } else {
            fputc('\n', f); /* between variants */
        }
        group(&v, s);
        i = s.end;
    }
    orphans(&v);
    ending(&v);
    return 0;
}
