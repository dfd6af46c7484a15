/* SPDX-License-Identifier: MIT */
/* Sentences about results, and the commands that repeat them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"

static const struct {
    const char *experiment, *metric, *phrase;
} phrases[] = {
    {"switch", "yield_ns", "A switch from one thread to another takes"},
    {"spawn", "single_ns", "To start a thread and join it takes"},
    {"spawn", "batch_ns", "A thread started and joined in a batch takes"},
    {"lifecycle", "total_ms", "From the first thread's creation to the last one's join, it takes"},
    {"wake", "spin_p50_ns", "A thread that has just begun to wait runs again after"},
    {"wake", "parked_p50_ns", "A thread that has waited for long runs again after"},
    {"capacity", "total_ms", "To start, release and join all threads takes"},
    {"capacity", "bytes_per_thread", "A blocked thread occupies"},
    {"forkjoin", "fib_ms", "The work takes"},
    {"forkjoin", "skynet_ms", "The tree takes"},
    {"idle", "idle_cpu_percent", "While all threads wait, the program uses"},
};

const char *html_phrase(const char *experiment, const char *metric) {
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        if (strcmp(phrases[i].experiment, experiment) == 0 &&
            strcmp(phrases[i].metric, metric) == 0) {
            return phrases[i].phrase;
        }
    }
    return NULL;
}

/* Whether a does better than b. */
static bool is_better(const struct lab_result *a, const struct lab_result *b) {
    return a->better == LAB_BETTER_HIGHER ? a->median > b->median : a->median < b->median;
}

/* Whether the intervals leave no doubt which of the two is better; without intervals they do. */
static bool is_apart(const struct lab_result *a, const struct lab_result *b) {
    if (isnan(a->ci_low) || isnan(b->ci_low)) return false;
    return a->ci_high < b->ci_low || b->ci_high < a->ci_low;
}

/* The best of the metric's results that can be compared with `with`, without `with` itself. */
static const struct lab_result *best_other(const struct html_span *s,
                                           const struct lab_result *with) {
    const struct lab_result *best = NULL;
    for (size_t i = s->begin; i < s->end; i++) {
        const struct lab_result *r = &s->run->results[i];
        if (r == with || strcmp(r->metric, with->metric) != 0 || html_is_bare(r)) continue;
        if (html_comparable(r, with) && (!best || is_better(r, best))) best = r;
    }
    return best;
}

/* "1/345 of the 3.28 us with pthread", "2.1 times the 3.28 us with pthread". */
static char *compare(const struct lab_result *r, const struct lab_result *with) {
    char *value = html_value(with->median, with->unit), *said;
    double ratio = with->median > 0 ? r->median / with->median : NAN;
    if (!(ratio > 0)) {
        said = lab_format("against %s with %s", value, with->subject);
    } else if (fabs(ratio - 1) < 0.03) {
        said = lab_format("about as much as with %s (%s)", with->subject, value);
    } else if (ratio < 0.1) {
        said = lab_format("1/%.0f of the %s with %s", 1 / ratio, value, with->subject);
    } else if (ratio < 1) {
        said = lab_format("%.0f %% of the %s with %s", 100 * ratio, value, with->subject);
    } else {
        said = lab_format("%.*f times the %s with %s", ratio < 10 ? 1 : 0, ratio, value,
                          with->subject);
    }
    free(value);
    return said;
}

/* The place of r among those that can be compared with it. */
static void say_place(FILE *f, const struct html_span *s, const struct lab_result *r) {
    const struct lab_result *other = best_other(s, r);
    if (!other) return;
    /* The comparison with pthread stands already; nobody else came nearer. */
    if (strcmp(other->subject, "pthread") == 0 && is_apart(r, other) && is_better(r, other)) return;
    char *value = html_value(other->median, other->unit);
    if (!is_apart(r, other)) {
        html_printf(f, " It and %s (%s) are not clearly apart in this run.", other->subject, value);
    } else if (is_better(r, other)) {
        html_printf(f, " Nobody else measured does better; the nearest is %s with %s.",
                    other->subject, value);
    } else {
        html_printf(f, " The best of those who did the same work is %s with %s.", other->subject,
                    value);
    }
    free(value);
}

void html_say(FILE *f, const struct html_span *s, const char *metric) {
    const struct lab_result *r = html_find(s, metric, "heddle");
    const struct lab_result *pthread = html_find(s, metric, "pthread");
    if (!r) { /* then about the best one */
        for (size_t i = s->begin; i < s->end; i++) {
            const struct lab_result *c = &s->run->results[i];
            if (strcmp(c->metric, metric) != 0 || html_is_bare(c)) continue;
            if (!r || is_better(c, r)) r = c;
        }
    }
    if (!r) return;
    char *value = html_value(r->median, r->unit);
    const char *phrase = html_phrase(s->name, metric);
    if (phrase) {
        html_printf(f, "%s", phrase);
    } else {
        html_printf(f, "%s:", html_metric_label(s, metric));
    }
    html_printf(f, " <strong>%s</strong> with %s", value, r->subject);
    free(value);
    if (pthread && pthread != r && html_comparable(r, pthread)) {
        char *said = compare(r, pthread);
        html_printf(f, ", %s", said);
        free(said);
    }
    if (isfinite(r->bare_ratio)) {
        fprintf(f, ", and %.*f times a bare switch", r->bare_ratio < 10 ? 1 : 0, r->bare_ratio);
    }
    fputc('.', f);
    say_place(f, s, r);
}

/* Whether the table gives the parameter this value by itself, for anybody, in this mode. */
static bool is_default(const struct html_span *s, const struct lab_pair *p) {
    const struct lab_experiment *e = s->experiment;
    for (int mode = 0; mode < LAB_MODES; mode++) {
        if (strcmp(lab_mode_name(mode), s->run->mode) != 0) continue;
        for (int pace = 0; pace < LAB_PACES; pace++) {
            const struct lab_parameter *q = e->parameters;
            for (; q->name; q++) {
                const char *value = lab_parameter_value(q, mode, pace);
                bool all = strcmp(value, LAB_ALL_CPUS) == 0;
                if (strcmp(q->name, p->key) == 0 && (all || strcmp(value, p->value) == 0)) {
                    return true;
                }
            }
            for (const struct lab_variant *v = e->variants; v->name; v++) {
                for (q = v->set; q->name; q++) {
                    const char *value = lab_parameter_value(q, mode, pace);
                    bool all = strcmp(value, LAB_ALL_CPUS) == 0;
                    if (strcmp(q->name, p->key) == 0 && (all || strcmp(value, p->value) == 0)) {
                        return true;
                    }
                }
            }
        }
    }
    return false;
}

/* Adds the options that differ from what the mode gives by itself. */
static void add_options(struct lab_text *t, const struct html_span *s) {
    const struct lab_result *r = &s->run->results[s->begin];
    for (size_t i = s->begin; i < s->end && html_is_bare(r); i++) r = &s->run->results[i];
    for (size_t i = 0; i < r->param_count && s->experiment; i++) {
        if (!lab_experiment_takes(s->experiment, r->params[i].key)) continue;
        if (is_default(s, &r->params[i])) continue;
        char *option = lab_format("--%s", r->params[i].key);
        html_shell_word(t, option);
        html_shell_word(t, r->params[i].value);
        free(option);
    }
}

char *html_command(const struct html_span *s) {
    struct lab_text t = {0}, names = {0};
    bool elsewhere = !s->experiment || s->experiment->elsewhere;
    if (elsewhere) return s->run->command ? lab_copy(s->run->command) : NULL;
    html_shell_word(&t, "heddle");
    html_shell_word(&t, "lab");
    html_shell_word(&t, s->name);
    if (strcmp(s->run->mode, "default") != 0) {
        char *mode = lab_format("--%s", s->run->mode);
        html_shell_word(&t, mode);
        free(mode);
    }
    for (size_t i = s->begin; i < s->end; i++) {
        const struct lab_result *r = &s->run->results[i];
        bool seen = html_is_bare(r);
        for (size_t k = s->begin; k < i && !seen; k++) {
            seen = strcmp(s->run->results[k].subject, r->subject) == 0;
        }
        if (!seen) lab_text_printf(&names, "%s%s", names.length ? "," : "", r->subject);
    }
    if (names.length) {
        html_shell_word(&t, "--subject");
        html_shell_word(&t, names.data);
    }
    add_options(&t, s);
    for (size_t i = 0; i < s->run->option_count; i++) {
        char *option = lab_format("--%s", s->run->options[i].key);
        html_shell_word(&t, option);
        html_shell_word(&t, s->run->options[i].value);
        free(option);
    }
    lab_text_free(&names);
    return t.data;
}

char *html_process(const struct lab_run *run, const struct lab_result *r) {
    struct lab_text t = {0};
    const struct lab_subject_info *info = html_subject(run, r->subject);
    if (info && strcmp(info->kind, "python") == 0) {
        static const char *const words[] = {"-E", "-B", "threads.py"};
        html_shell_word(&t, info->path);
        for (size_t i = 0; i < 3; i++) html_shell_word(&t, words[i]);
    } else if (info && strcmp(info->kind, "native") == 0) {
        html_shell_word(&t, info->path);
    } else { /* Go's workload is a program that the lab builds */
        html_shell_word(&t, r->subject);
    }
    html_shell_word(&t, r->experiment);
    for (size_t i = 0; i < r->param_count; i++) {
        char *option = lab_format("--%s", r->params[i].key);
        html_shell_word(&t, option);
        html_shell_word(&t, r->params[i].value);
        free(option);
    }
    return t.data;
}
