/* SPDX-License-Identifier: MIT */
/* A run as a table for a terminal: within 80 columns, whatever the names and numbers. */
#include "../text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../disturb.h"
#include "../experiment.h"
#include "../measure/machine.h"
#include "format.h"
#include "report.h"
#include "text_view.h"

enum { MAX_SMALL = 6 }; /* columns of a table of medians */

static bool same_group(const struct lab_result *a, const struct lab_result *b) {
    return strcmp(a->experiment, b->experiment) == 0 && strcmp(a->variant, b->variant) == 0;
}

static bool is_bare(const struct lab_result *r) {
    return strcmp(r->subject, "bare") == 0;
}

/* What spoils differences of a percent, in a line: whoever reads no further is told. */
static void disturbed(const struct text_view *v) {
    size_t count;
    struct lab_disturbance *list = lab_disturbances(v->run, &count);
    struct lab_text t = {0};
    for (size_t i = 0; i < count && list[i].level == LAB_DISTURB_MUCH; i++)
        lab_text_printf(&t, "%s%s: %s", t.length ? "; " : "Disturbed by ", list[i].fact,
                        list[i].value);
    if (t.length) {
        lab_text_printf(&t, " (see 'heddle machine')");
        lab_make_printable(t.data);
        lab_wrap(v->f, t.data, 0, 2);
    }
    lab_text_free(&t);
    lab_disturbances_free(list, count);
}

static void heading(const struct text_view *v) {
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
    disturbed(v);
}

/* What the work was: the parameters that count, and how many processes. */
static void describe_work(const struct text_view *v, struct text_span s) {
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
const struct lab_result *text_find(const struct text_view *v, struct text_span s,
                                   const char *metric, const char *subject) {
    for (size_t i = s.begin; i < s.end; i++) {
        const struct lab_result *r = &v->run->results[i];
        if (strcmp(r->metric, metric) == 0 && strcmp(r->subject, subject) == 0)
            return r;
    }
    return NULL;
}

/* What the others are compared with: threads of the kernel, which everybody knows; without them,
 * the product's own. */
static const struct lab_result *find_reference(const struct text_view *v, struct text_span s,
                                               const char *metric) {
    const struct lab_result *r = text_find(v, s, metric, "pthread");
    return r ? r : text_find(v, s, metric, "heddle");
}

static void block_row(const struct text_view *v, const struct lab_result *r,
                      const struct lab_result *reference, bool with_bare) {
    char median[LAB_CELL], range[2 * LAB_CELL], min[LAB_CELL], max[LAB_CELL];
    char bare[LAB_CELL], ratio[LAB_CELL];
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
    fputs("  ", v->f);
    lab_cell_name(v->f, is_bare(r) ? "bare switch" : r->subject, TEXT_NAME);
    fprintf(v->f, " %8s %15s %8s %8s", median, range, min, max);
    if (with_bare && (bare[0] || ratio[0]))
        fprintf(v->f, " %8s", bare);
    if (ratio[0])
        fprintf(v->f, " %9s", ratio);
    fprintf(v->f, "%s\n", is_bare(r) ? v->plain : "");
}

static void block_header(const struct text_view *v, const char *label,
                         const struct lab_result *reference, bool with_bare) {
    char ratio[16] = "";
    if (reference)
        snprintf(ratio, sizeof(ratio), "x %s", reference->subject); /* pthread or heddle */
    fprintf(v->f, "  %s", v->bold);
    lab_cell_name(v->f, lab_columns(label) > TEXT_NAME ? "" : label, TEXT_NAME);
    fprintf(v->f, " %8s %15s %8s %8s", "median", "95 % interval", "min", "max");
    if (with_bare)
        fprintf(v->f, " %8s", "x bare");
    if (reference)
        fprintf(v->f, " %9s", ratio);
    fprintf(v->f, "%s\n", v->plain);
}

/* One metric in full. */
static void block(const struct text_view *v, struct text_span s, const char *metric,
                  bool show_bare) {
    const struct lab_experiment *e = lab_experiment_find(v->run->results[s.begin].experiment);
    const struct lab_metric *m = e ? lab_metric_find(e, metric) : NULL;
    const struct lab_result *reference = find_reference(v, s, metric);
    bool with_bare = false;
    for (size_t i = s.begin; i < s.end; i++) {
        const struct lab_result *r = &v->run->results[i];
        if (strcmp(r->metric, metric) == 0 && !isnan(r->bare_ratio))
            with_bare = true;
    }
    char *label = lab_copy(m ? m->label : metric);
    lab_make_printable(label);
    if (lab_columns(label) > TEXT_NAME)
        fprintf(v->f, "  %s%.*s%s\n", v->bold, (int)lab_fit(label, 76, NULL), label, v->plain);
    block_header(v, label, reference, with_bare);
    free(label);
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
static void small_table(const struct text_view *v, struct text_span s, const char *const *metrics,
                        size_t count) {
    const struct lab_experiment *e = lab_experiment_find(v->run->results[s.begin].experiment);
    fprintf(v->f, "  %s%-*s", v->bold, TEXT_NAME, "medians");
    for (size_t m = 0; m < count; m++) {
        const struct lab_metric *known = e ? lab_metric_find(e, metrics[m]) : NULL;
        fputc(' ', v->f);
        lab_cell_right(v->f, known ? known->label : metrics[m], TEXT_SMALL);
    }
    fprintf(v->f, "%s\n", v->plain);
    for (size_t i = s.begin; i < s.end; i++) {
        const char *subject = v->run->results[i].subject;
        bool seen = is_bare(&v->run->results[i]), any = false;
        for (size_t k = s.begin; k < i && !seen; k++) {
            seen = strcmp(v->run->results[k].subject, subject) == 0;
        }
        for (size_t m = 0; m < count && !any; m++)
            any = text_find(v, s, metrics[m], subject) != NULL;
        if (seen || !any)
            continue;
        fputs("  ", v->f);
        lab_cell_name(v->f, subject, TEXT_NAME);
        for (size_t m = 0; m < count; m++) {
            char cell[LAB_CELL] = "";
            const struct lab_result *r = text_find(v, s, metrics[m], subject);
            if (r)
                lab_human(cell, r->median, r->unit);
            fprintf(v->f, " %*s", TEXT_SMALL, cell);
        }
        fputc('\n', v->f);
    }
}

/* Who did other work than the first, and which. */
static void other_work(const struct text_view *v, struct text_span s) {
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
        fprintf(v->f, "%s  ", v->dim);
        lab_cell_name(v->f, r->subject, TEXT_NAME);
        fputc(' ', v->f);
        lab_wrap(v->f, t.data ? t.data : "", TEXT_NAME + 3, TEXT_NAME + 3);
        fputs(v->plain, v->f);
        lab_text_free(&t);
    }
}

void text_failures(const struct text_view *v, const char *experiment, const char *variant) {
    for (size_t i = 0; i < v->run->failure_count; i++) {
        const struct lab_failure *x = &v->run->failures[i];
        if (strcmp(x->experiment, experiment) != 0 || strcmp(x->variant, variant) != 0)
            continue;
        fprintf(v->f, "  %s", v->red);
        lab_cell_name(v->f, x->subject, TEXT_NAME);
        fputc(' ', v->f);
        lab_wrap(v->f, x->reason, TEXT_NAME + 3, TEXT_NAME + 3);
        fputs(v->plain, v->f);
    }
}

static void experiment_heading(const struct text_view *v, const char *name) {
    const struct lab_experiment *e = lab_experiment_find(name);
    fprintf(v->f, "\n%s%s%s: ", v->bold, name, v->plain);
    lab_wrap(v->f, e ? e->question : "", strlen(name) + 2, 2);
}

void text_heading(const struct text_view *v, const char *experiment, const char *variant,
                  bool with_point) {
    const struct lab_experiment *e = lab_experiment_find(experiment);
    bool plain = false;
    const struct lab_variant *x = e ? lab_variant_find(e, variant, &plain) : NULL;
    const char *title = !x ? "" : plain ? x->plain_title : x->title;
    const char *point = variant + lab_variant_length(variant);
    point += *point == ' ';
    if (!with_point)
        point = "";
    if (*title || *point)
        fprintf(v->f, " %s%s%s%s%s\n", v->bold, title, *title && *point ? ", " : "", point,
                v->plain);
}

/* What subjects said that is a part of the answer. */
static void remarks(const struct text_view *v, const char *experiment) {
    const struct lab_experiment *e = lab_experiment_find(experiment);
    for (size_t i = 0; e && e->remark && i < v->run->note_count; i++) {
        const struct lab_note *n = &v->run->notes[i];
        if (strcmp(n->experiment, experiment) != 0 || strcmp(n->key, e->remark) != 0)
            continue;
        fputs("  ", v->f);
        lab_cell_name(v->f, n->subject, TEXT_NAME);
        fputc(' ', v->f);
        lab_wrap(v->f, n->text, TEXT_NAME + 3, TEXT_NAME + 3);
    }
}

static void group(const struct text_view *v, struct text_span s) {
    const struct lab_result *first = &v->run->results[s.begin];
    const char *small[LAB_MAX_METRICS], *last = "";
    size_t small_count = 0;
    bool bare_shown = false;
    text_heading(v, first->experiment, first->variant, true);
    describe_work(v, s);
    for (size_t i = s.begin; i < s.end; i++) {
        const struct lab_result *r = &v->run->results[i];
        if (is_bare(r) || strcmp(r->metric, last) == 0)
            continue;
        last = r->metric;
        if (r->primary) {
            block(v, s, r->metric, !bare_shown);
            bare_shown = true;
        } else if (small_count < LAB_MAX_METRICS) {
            small[small_count++] = r->metric;
        }
    }
    for (size_t i = 0; i < small_count; i += MAX_SMALL) {
        size_t rest = small_count - i;
        small_table(v, s, small + i, rest < MAX_SMALL ? rest : MAX_SMALL);
    }
    remarks(v, first->experiment);
    other_work(v, s);
    text_failures(v, first->experiment, first->variant);
}

/* Failures of variants from which nothing came, under a heading of their own. */
static void orphans(const struct text_view *v) {
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
            text_heading(v, x->experiment, x->variant, true);
        } else {
            fprintf(v->f, "\n%sNot usable:%s\n", v->bold, v->plain);
        }
        text_failures(v, x->experiment, x->variant);
    }
}

static void ending(const struct text_view *v) {
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
    if (v->run->id)
        fprintf(v->f, "Kept as run %lld.\n", v->run->id);
}

int report_text(const struct lab_run *run, FILE *f, bool colour) {
    struct text_view v = {run, f, "", "", "", ""};
    if (colour)
        v = (struct text_view){run, f, "\033[1m", "\033[2m", "\033[31m", "\033[0m"};
    heading(&v);
    const char *experiment = "";
    for (size_t i = 0; i < run->result_count;) {
        struct text_span s = {i, i};
        while (s.end < run->result_count && same_group(&run->results[i], &run->results[s.end])) {
            s.end++;
        }
        if (strcmp(run->results[i].experiment, experiment) != 0) {
            experiment = run->results[i].experiment;
            experiment_heading(&v, experiment);
        } else {
            fputc('\n', f); /* between variants */
        }
        struct text_span sweep = text_sweep(&v, s);
        if (sweep.end > s.end) {
            s = sweep;
        } else {
            group(&v, s);
        }
        i = s.end;
        if (i == run->result_count || strcmp(run->results[i].experiment, experiment) != 0)
            text_references(&v, experiment);
    }
    orphans(&v);
    ending(&v);
    return 0;
}
