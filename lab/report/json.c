/* SPDX-License-Identifier: MIT */
/* A run as JSON. Keys may be added to the schema; what is there keeps its name and meaning, or
 * "schema" is counted up. */
#include "json_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../experiment.h"
#include "report.h"

enum { SCHEMA = 1, LONGEST_INTEGER = 18 /* digits that every reader takes */ };

/* A seed may have 20 digits, which is a number that many readers of JSON refuse or round. */
static bool bare(const struct lab_pair *p) {
    return p->number && (strlen(p->value) <= LONGEST_INTEGER || strpbrk(p->value, ".eE"));
}

void lab_json_pairs(struct lab_json *j, const char *key, const struct lab_pair *pairs, size_t count,
                    bool flat) {
    lab_json_object(j, key, flat);
    for (size_t i = 0; i < count; i++) {
        if (bare(&pairs[i])) {
            lab_json_literal(j, pairs[i].key, pairs[i].value);
        } else {
            lab_json_string(j, pairs[i].key, pairs[i].value);
        }
    }
    lab_json_end_object(j);
}

static void write_numbers(struct lab_json *j, const char *key, const double *values, size_t n) {
    lab_json_array(j, key, true);
    for (size_t i = 0; i < n; i++)
        lab_json_number(j, NULL, values[i]);
    lab_json_end_array(j);
}

void lab_json_result(struct lab_json *j, const char *key, const struct lab_result *r) {
    static const char *const better[] = {"lower", "higher", NULL};
    lab_json_object(j, key, false);
    lab_json_string(j, "experiment", r->experiment);
    lab_json_string(j, "variant", r->variant);
    lab_json_string(j, "subject", r->subject);
    lab_json_string(j, "metric", r->metric);
    lab_json_string(j, "unit", r->unit);
    lab_json_string(j, "better", better[r->better]);
    lab_json_bool(j, "primary", r->primary);
    lab_json_bool(j, "per_thing", r->per_thing);
    lab_json_pairs(j, "params", r->params, r->param_count, true);
    lab_json_integer(j, "n", (long long)r->n);
    lab_json_number(j, "median", r->median);
    lab_json_number(j, "min", r->min);
    lab_json_number(j, "max", r->max);
    write_numbers(j, "ci95", (const double[]){r->ci_low, r->ci_high}, 2);
    lab_json_number(j, "bare_ratio", r->bare_ratio);
    write_numbers(j, "samples", r->samples, r->n);
    lab_json_array(j, "processes", true);
    for (size_t i = 0; i < r->n; i++) {
        write_numbers(j, NULL, r->processes[i].values, r->processes[i].count);
    }
    lab_json_end_array(j);
    lab_json_end_object(j);
}

static void write_subjects(struct lab_json *j, const struct lab_run *run) {
    lab_json_array(j, "subjects", false);
    for (size_t i = 0; i < run->subject_count; i++) {
        const struct lab_subject_info *s = &run->subjects[i];
        lab_json_object(j, NULL, true);
        lab_json_string(j, "name", s->name);
        lab_json_string(j, "kind", s->kind);
        lab_json_string(j, "version", s->version);
        lab_json_bool(j, "free_threaded", s->free_threaded);
        lab_json_string(j, "path", s->path);
        lab_json_end_object(j);
    }
    lab_json_end_array(j);
}

static void write_failures(struct lab_json *j, const struct lab_run *run) {
    lab_json_array(j, "failures", false);
    for (size_t i = 0; i < run->failure_count; i++) {
        const struct lab_failure *x = &run->failures[i];
        lab_json_object(j, NULL, true);
        lab_json_string(j, "experiment", x->experiment);
        lab_json_string(j, "variant", x->variant);
        lab_json_string(j, "subject", x->subject);
        lab_json_string(j, "reason", x->reason);
        lab_json_end_object(j);
    }
    lab_json_end_array(j);
}

static void write_notes(struct lab_json *j, const struct lab_run *run) {
    lab_json_array(j, "notes", false);
    for (size_t i = 0; i < run->note_count; i++) {
        const struct lab_note *x = &run->notes[i];
        lab_json_object(j, NULL, true);
        lab_json_string(j, "experiment", x->experiment);
        lab_json_string(j, "subject", x->subject);
        lab_json_string(j, "key", x->key);
        lab_json_string(j, "text", x->text);
        lab_json_end_object(j);
    }
    lab_json_end_array(j);
}

/* What is unknown is left out. */
static void write_known(struct lab_json *j, const char *key, const char *value) {
    if (value)
        lab_json_string(j, key, value);
}

void lab_json_head(struct lab_json *j, const struct lab_run *run) {
    lab_json_integer(j, "schema", SCHEMA);
    lab_json_string(j, "mode", run->mode);
    if (run->id)
        lab_json_integer(j, "id", run->id);
    write_known(j, "uid", run->uid);
    write_known(j, "time", run->time);
    write_known(j, "label", run->label);
    write_known(j, "command", run->command);
    write_known(j, "commit", run->commit);
    write_known(j, "flags", run->flags);
    lab_json_bool(j, "interrupted", run->interrupted);
    lab_json_bool(j, "out_of_time", run->out_of_time);
    lab_json_pairs(j, "machine", run->machine, run->machine_count, false);
    lab_json_pairs(j, "options", run->options, run->option_count, false);
    write_subjects(j, run);
    write_failures(j, run);
    write_notes(j, run);
}

/* What earlier sources say, beside what was measured. */
static void write_references(struct lab_json *j, const struct lab_run *run) {
    static const char *const words[] = {"unmeasured", "agrees", "disagrees", "undecided"};
    struct lab_check *checks;
    size_t count = lab_references_check(run, &checks);
    lab_json_array(j, "references", false);
    for (size_t i = 0; i < count; i++) {
        const struct lab_check *c = &checks[i];
        const struct lab_reference *r = c->reference;
        bool measured = c->agreement != LAB_UNMEASURED;
        lab_json_object(j, NULL, false);
        lab_json_string(j, "source", r->source);
        lab_json_string(j, "experiment", r->experiment);
        lab_json_string(j, "variant", c->result ? c->result->variant : NULL);
        lab_json_string(j, "subject", c->result ? c->result->subject : r->subject);
        lab_json_string(j, "metric", r->metric);
        lab_json_string(j, "what", r->what);
        lab_json_string(j, "than_subject", r->than_subject);
        lab_json_string(j, "than_metric", r->than_metric);
        lab_json_string(j, "says", r->says);
        write_numbers(j, "between", (const double[]){r->low, r->high}, 2);
        lab_json_number(j, "measured", measured ? c->measured : NAN);
        write_numbers(j, "range", (const double[]){measured ? c->low : NAN,
                                                   measured ? c->high : NAN}, 2);
        lab_json_string(j, "verdict", words[c->agreement]);
        lab_json_string(j, "because", r->because);
        lab_json_end_object(j);
    }
    lab_json_end_array(j);
    free(checks);
}

int report_json(const struct lab_run *run, FILE *f) {
    struct lab_json j = {.f = f};
    lab_json_object(&j, NULL, false);
    lab_json_head(&j, run);
    lab_json_array(&j, "results", false);
    for (size_t i = 0; i < run->result_count; i++)
        lab_json_result(&j, NULL, &run->results[i]);
    lab_json_end_array(&j);
    write_references(&j, run);
    write_known(&j, "source_format", run->source_format);
    write_known(&j, "source", run->source);
    lab_json_end_object(&j);
    fputc('\n', f);
    return 0;
}
