/* SPDX-License-Identifier: MIT */
/* Runs as Markdown. */
#include "markdown.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../disturb.h"
#include "../experiment.h"
#include "../measure/bench.h"
#include "../measure/machine.h"
#include "../text.h"
#include "format.h"
#include "report.h"

/* ---- marks ---- */

/* An underscore within a word is none of Markdown's. */
static bool is_mark(const char *s, const char *at) {
    if (*at == '_')
        return at == s || !isalnum((unsigned char)at[-1]) || !isalnum((unsigned char)at[1]);
    return strchr("\\`*[]<>|&~#", *at) != NULL;
}

void markdown_text(FILE *f, const char *s) {
    char *copy = lab_copy(s);
    lab_make_plain(copy);
    for (const char *c = copy; *c; c++) {
        if (is_mark(copy, c))
            fputc('\\', f);
        fputc(*c, f);
    }
    free(copy);
}

static size_t longest_fence(const char *s) {
    size_t most = 0;
    for (; *s; s++) {
        size_t n = strspn(s, "`");
        most = n > most ? n : most;
        s += n ? n - 1 : 0;
    }
    return most;
}

void markdown_code(FILE *f, const char *s, bool cell) {
    char *copy = lab_copy(s);
    lab_make_plain(copy);
    size_t fence = longest_fence(copy) + 1, n = strlen(copy);
    /* A blank on both sides is taken away again: one is needed where a backtick is next to it. */
    const char *blank = fence > 1 || (n && copy[0] == ' ' && copy[n - 1] == ' ') ? " " : "";
    for (size_t i = 0; i < fence; i++)
        fputc('`', f);
    fputs(n ? blank : " ", f);
    for (const char *c = copy; *c; c++) {
        if (*c == '|' && cell) /* would end it even there */
            fputc('\\', f);
        fputc(*c, f);
    }
    fputs(blank, f);
    for (size_t i = 0; i < fence; i++)
        fputc('`', f);
    free(copy);
}

void markdown_title(FILE *f, const char *title) {
    fputs("### ", f);
    markdown_text(f, title);
    fputc('\n', f);
}

void markdown_line(FILE *f, char *line) {
    if (!line)
        return;
    fputc('\n', f);
    markdown_text(f, line);
    fputc('\n', f);
    free(line);
}

void markdown_header(FILE *f, const char *const *titles, const char *left) {
    size_t n = strlen(left);
    fputs("\n|", f);
    for (size_t i = 0; i < n; i++)
        fprintf(f, " %s |", titles[i]);
    fputs("\n|", f);
    for (size_t i = 0; i < n; i++)
        fputs(left[i] == 'l' ? ":--|" : "--:|", f);
    fputc('\n', f);
}

void markdown_fold(FILE *f, const char *title) {
    fprintf(f, "\n<details><summary>%s</summary>\n", title);
}

void markdown_unfold(FILE *f) {
    fputs("\n</details>\n", f);
}

static void cell(FILE *f, const char *text) {
    fputc(' ', f);
    markdown_text(f, text);
    fputs(" |", f);
}

static void cell_code(FILE *f, const char *text) {
    fputc(' ', f);
    markdown_code(f, text, true);
    fputs(" |", f);
}

/* ---- where it comes from ---- */

static void disturbed(FILE *f, const struct lab_run *run) {
    size_t count;
    struct lab_disturbance *list = lab_disturbances(run, &count);
    struct lab_text t = {0};
    for (size_t i = 0; i < count && list[i].level == LAB_DISTURB_MUCH; i++)
        lab_text_printf(&t, "%s%s: %s", t.length ? "; " : "Disturbed by ", list[i].fact,
                        list[i].value);
    markdown_line(f, t.data);
    lab_disturbances_free(list, count);
}

void markdown_origin(FILE *f, const struct lab_run *run) {
    static const char *const facts[] = {"cpu", "kernel"};
    const char *version = lab_machine_fact(run, "heddle"), *cpus = lab_machine_fact(run, "cpus");
    fputc('\n', f);
    if (run->source_format) {
        fputs("From a file of ", f);
        markdown_text(f, run->source_format);
    } else {
        fprintf(f, "Measured by heddle%s", version ? " " : "");
        markdown_text(f, version ? version : "");
    }
    if (run->command && !run->source_format) {
        fputs(" (", f);
        markdown_code(f, run->command, false);
        fputc(')', f);
    }
    if (run->time) {
        fputs(", ", f);
        markdown_text(f, run->time);
    }
    if (run->commit) {
        fputs(", commit ", f);
        markdown_text(f, run->commit);
    }
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        const char *value = lab_machine_fact(run, facts[i]);
        fputs(value ? ", " : "", f);
        markdown_text(f, value ? value : "");
        if (value && i == 0 && cpus)
            fprintf(f, ", %s CPU%s", cpus, strcmp(cpus, "1") == 0 ? "" : "s");
    }
    fputs(".\n", f);
    disturbed(f, run);
    if (run->interrupted)
        fputs("\nInterrupted: this is what was measured until then.\n", f);
    if (run->out_of_time)
        fputs("\nThe time budget ended before all rounds were run.\n", f);
}

static void failures(FILE *f, const struct lab_run *run) {
    for (size_t i = 0; i < run->failure_count; i++) {
        const struct lab_failure *x = &run->failures[i];
        fputs(i ? "" : "\nNot measured:\n\n", f);
        fputs("- ", f);
        markdown_code(f, x->subject, false);
        fputs(*x->experiment || *x->variant ? " in " : "", f);
        markdown_text(f, x->experiment);
        fputs(*x->variant ? " " : "", f);
        markdown_text(f, x->variant);
        fputs(": ", f);
        markdown_text(f, x->reason);
        fputc('\n', f);
    }
}

/* ---- commands ---- */

static const struct lab_result *find(const struct lab_run *run, const struct lab_result *like,
                                     const char *metric, const char *subject) {
    for (size_t i = 0; i < run->result_count; i++) {
        const struct lab_result *r = &run->results[i];
        if (strcmp(r->metric, metric) == 0 && strcmp(r->subject, subject) == 0 &&
            (!like || (strcmp(r->experiment, like->experiment) == 0 &&
                       strcmp(r->variant, like->variant) == 0)))
            return r;
    }
    return NULL;
}

static const struct lab_match *find_match(const struct lab_matches *m,
                                          const struct lab_result *b) {
    for (size_t i = 0; i < m->count; i++) {
        if (m->items[i].b == b)
            return &m->items[i];
    }
    return NULL;
}

static void estimate_cells(FILE *f, const struct lab_result *r) {
    char median[LAB_CELL], range[2 * LAB_CELL], min[LAB_CELL], max[LAB_CELL];
    lab_human(median, r->median, r->unit);
    lab_human_range(range, r->ci_low, r->ci_high, r->unit);
    lab_human(min, r->min, r->unit);
    lab_human(max, r->max, r->unit);
    fprintf(f, " %s | %s | %s | %s | %zu |", median, range, min, max, r->n);
}

static void command_times(const struct lab_run *run, const struct lab_matches *m, FILE *f) {
    static const char *const titles[] = {"Command", "Time", "95 % interval", "Min",
                                         "Max",     "Runs", "Ratio",         "Verdict"};
    markdown_header(f, titles, m->count ? "lrrrrrrl" : "lrrrrr");
    for (size_t i = 0; i < run->subject_count; i++) {
        const char *name = run->subjects[i].name;
        const struct lab_result *r = find(run, NULL, LAB_BENCH_METRIC, name);
        if (!r)
            continue;
        const struct lab_match *match = find_match(m, r);
        char ratio[LAB_CELL] = "";
        fputc('|', f);
        cell_code(f, name);
        estimate_cells(f, r);
        if (match)
            lab_human_ratio(ratio, match->c.ratio);
        if (m->count)
            fprintf(f, " %s | %s |", ratio, match ? matches_word(match) : "");
        fputc('\n', f);
    }
}

/* The medians of everything else, folded away. */
static void command_medians(const struct lab_run *run, FILE *f) {
    const struct lab_experiment *e = lab_experiment_find(LAB_BENCH_EXPERIMENT);
    const char *titles[LAB_MAX_METRICS + 1] = {"Command"};
    char left[LAB_MAX_METRICS + 2] = "l";
    size_t n = 1;
    for (const struct lab_metric *m = e->metrics + 1; m->name && n <= LAB_MAX_METRICS; m++) {
        bool any = false;
        for (size_t i = 0; i < run->result_count && !any; i++)
            any = strcmp(run->results[i].metric, m->name) == 0;
        if (!any)
            continue;
        titles[n] = m->label;
        left[n++] = 'r';
    }
    if (n == 1)
        return;
    markdown_fold(f, "Medians of the rest");
    markdown_header(f, titles, left);
    for (size_t i = 0; i < run->subject_count; i++) {
        fputc('|', f);
        cell_code(f, run->subjects[i].name);
        for (const struct lab_metric *m = e->metrics + 1; m->name; m++) {
            const struct lab_result *r = find(run, NULL, m->name, run->subjects[i].name);
            char median[LAB_CELL] = "";
            bool shown = false;
            for (size_t k = 1; k < n && !shown; k++)
                shown = titles[k] == m->label;
            if (r)
                lab_human(median, r->median, r->unit);
            if (shown)
                fprintf(f, " %s |", median);
        }
        fputc('\n', f);
    }
    markdown_unfold(f);
}

static bool is_of_commands(const struct lab_run *run) {
    for (size_t i = 0; i < run->result_count; i++) {
        if (strcmp(run->results[i].experiment, LAB_BENCH_EXPERIMENT) != 0)
            return false;
    }
    return run->result_count > 0 && run->subject_count > 0;
}

static void commands(const struct lab_run *run, FILE *f) {
    struct lab_matches m;
    lab_match_subjects(run, LAB_MARGIN_DEFAULT, &m);
    command_times(run, &m, f);
    command_medians(run, f);
    if (m.count)
        fprintf(f, "\nThe ratio is that to the first command; p adjusted over all %zu "
                   "comparisons.\n", m.count);
    markdown_line(f, matches_undecided(&m));
    for (size_t i = 0; i < run->note_count; i++) {
        fputs(i ? "- " : "\n- ", f);
        markdown_text(f, run->notes[i].text);
        fputs(".\n", f);
    }
    lab_matches_free(&m);
}

/* ---- experiments ---- */

/* Some of the run's results: [begin, end), of one experiment. */
struct span {
    size_t begin, end;
};

static bool has_variants(const struct lab_run *run, struct span s) {
    for (size_t i = s.begin; i < s.end; i++) {
        if (*run->results[i].variant)
            return true;
    }
    return false;
}

static bool any_primary(const struct lab_run *run, struct span s) {
    for (size_t i = s.begin; i < s.end; i++) {
        if (run->results[i].primary)
            return true;
    }
    return false;
}

/* Whether it is the first result of its metric in the experiment. */
static bool is_new_metric(const struct lab_run *run, struct span s, size_t at) {
    for (size_t i = s.begin; i < at; i++) {
        if (strcmp(run->results[i].metric, run->results[at].metric) == 0)
            return false;
    }
    return true;
}

static const struct lab_result *reference_of(const struct lab_run *run,
                                             const struct lab_result *r) {
    const struct lab_result *x = find(run, r, r->metric, "pthread");
    return x ? x : find(run, r, r->metric, "heddle");
}

/* The variant, if the experiment has several, and the subject. */
static void row_begin(FILE *f, const struct lab_result *r, bool variants) {
    fputc('|', f);
    if (variants)
        cell(f, r->variant);
    cell_code(f, r->subject);
}

/* One metric: a row for each variant and subject that has it. */
static void metric_table(const struct lab_run *run, struct span s, const char *metric, FILE *f) {
    const char *label = matches_label(&run->results[s.begin]);
    const struct lab_result *reference = NULL;
    bool variants = has_variants(run, s);
    for (size_t i = s.begin; i < s.end; i++) {
        const struct lab_result *r = &run->results[i];
        if (strcmp(r->metric, metric) == 0) {
            label = matches_label(r);
            reference = reference ? reference : reference_of(run, r);
        }
    }
    char *ratio = reference ? lab_format("x %s", reference->subject) : NULL;
    const char *titles[] = {"Variant", "Subject",   label, "95 % interval",
                            "Min",     "Max", "Processes", ratio};
    const char *left = ratio ? "llrrrrrr" : "llrrrrr";
    markdown_header(f, titles + !variants, left + !variants);
    for (size_t i = s.begin; i < s.end; i++) {
        const struct lab_result *r = &run->results[i];
        if (strcmp(r->metric, metric) != 0)
            continue;
        row_begin(f, r, variants);
        estimate_cells(f, r);
        const struct lab_result *x = ratio ? reference_of(run, r) : NULL;
        bool comparable = x && x->median > 0 && (r->per_thing || lab_same_work(r, x));
        char cell[LAB_CELL];
        lab_human_ratio(cell, comparable ? r->median / x->median : NAN);
        fprintf(f, ratio ? " %s |\n" : "\n", cell);
    }
    free(ratio);
}

/* The medians of what answers no question: a row for each variant and subject. */
static void rest_table(const struct lab_run *run, struct span s, FILE *f) {
    const char *metrics[LAB_MAX_METRICS], *titles[LAB_MAX_METRICS + 2] = {"Variant", "Subject"};
    char left[LAB_MAX_METRICS + 3] = "ll";
    size_t n = 0;
    bool variants = has_variants(run, s);
    for (size_t i = s.begin; i < s.end && n < LAB_MAX_METRICS; i++) {
        const struct lab_result *r = &run->results[i];
        if (r->primary || !is_new_metric(run, s, i))
            continue;
        titles[n + 2] = matches_label(r);
        left[n + 2] = 'r';
        metrics[n++] = r->metric;
    }
    if (n == 0)
        return;
    markdown_fold(f, "Medians of the rest");
    markdown_header(f, titles + !variants, left + !variants);
    for (size_t i = s.begin; i < s.end; i++) {
        const struct lab_result *r = &run->results[i];
        bool seen = false, any = false;
        for (size_t k = s.begin; k < i && !seen; k++)
            seen = strcmp(run->results[k].subject, r->subject) == 0 &&
                   strcmp(run->results[k].variant, r->variant) == 0;
        for (size_t m = 0; m < n && !any; m++)
            any = find(run, r, metrics[m], r->subject) != NULL;
        if (seen || !any)
            continue;
        row_begin(f, r, variants);
        for (size_t m = 0; m < n; m++) {
            const struct lab_result *x = find(run, r, metrics[m], r->subject);
            char median[LAB_CELL] = "";
            if (x)
                lab_human(median, x->median, x->unit);
            fprintf(f, " %s |", median);
        }
        fputc('\n', f);
    }
    markdown_unfold(f);
}

/* The parameters that all results have in common. */
static char *work(const struct lab_run *run, struct span s) {
    const struct lab_result *first = &run->results[s.begin];
    struct lab_text t = {0};
    for (size_t i = 0; i < first->param_count; i++) {
        const struct lab_pair *p = &first->params[i];
        bool same = lab_parameter_counts(first, p->key) && strcmp(p->value, "0") != 0;
        for (size_t k = s.begin; k < s.end && same; k++) {
            const struct lab_result *r = &run->results[k];
            bool found = false;
            for (size_t j = 0; j < r->param_count && !found; j++)
                found = strcmp(r->params[j].key, p->key) == 0 &&
                        strcmp(r->params[j].value, p->value) == 0;
            same = found || strcmp(r->subject, "bare") == 0;
        }
        if (same)
            lab_text_printf(&t, "%s%s %s", t.length ? ", " : "With ", p->key, p->value);
    }
    if (t.length)
        lab_text_printf(&t, ".");
    return t.data;
}

static void experiment(const struct lab_run *run, struct span s, FILE *f) {
    const char *name = run->results[s.begin].experiment;
    const struct lab_experiment *e = lab_experiment_find(name);
    bool primary = any_primary(run, s);
    fputs("\n#### ", f);
    markdown_text(f, *name ? name : "results");
    fputc('\n', f);
    markdown_line(f, e ? lab_copy(e->question) : NULL);
    markdown_line(f, work(run, s));
    for (size_t i = s.begin; i < s.end; i++) {
        const struct lab_result *r = &run->results[i];
        if ((r->primary || !primary) && is_new_metric(run, s, i))
            metric_table(run, s, r->metric, f);
    }
    if (primary)
        rest_table(run, s, f);
    for (size_t i = 0; e && e->remark && i < run->note_count; i++) {
        const struct lab_note *n = &run->notes[i];
        if (strcmp(n->experiment, name) == 0 && strcmp(n->key, e->remark) == 0)
            markdown_line(f, lab_format("%s: %s", n->subject, n->text));
    }
}

int report_markdown(const struct lab_run *run, FILE *f) {
    markdown_title(f, run->label           ? run->label
                      : run->source_format ? run->source_format
                      : is_of_commands(run) ? "heddle run"
                                            : "heddle lab");
    if (run->result_count == 0)
        fputs("\nNothing was measured.\n", f);
    if (is_of_commands(run)) {
        commands(run, f);
    } else {
        for (struct span s = {0, 0}; s.begin < run->result_count; s.begin = s.end) {
            while (s.end < run->result_count &&
                   strcmp(run->results[s.end].experiment, run->results[s.begin].experiment) == 0)
                s.end++;
            experiment(run, s, f);
        }
    }
    failures(f, run);
    markdown_origin(f, run);
    return 0;
}

int report_plain_text(const struct lab_run *run, FILE *f, bool colour) {
    struct lab_matches m;
    if (!is_of_commands(run))
        return report_text(run, f, colour);
    lab_match_subjects(run, LAB_MARGIN_DEFAULT, &m);
    int error = report_run_text(run, &m, f, colour);
    lab_matches_free(&m);
    return error;
}
