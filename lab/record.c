/* SPDX-License-Identifier: MIT */
/* Filling and freeing a lab_run. */
#include "record.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

void lab_pairs_add(struct lab_pair **pairs, size_t *count, const char *key, const char *value,
                   bool number) {
    *pairs = lab_grow_one(*pairs, *count, sizeof(**pairs));
    (*pairs)[(*count)++] =
        (struct lab_pair){.key = lab_copy(key), .value = lab_copy(value), .number = number};
}

void lab_run_fail(struct lab_run *run, const char *experiment, const char *variant,
                  const char *subject, const char *reason) {
    run->failures = lab_grow_one(run->failures, run->failure_count, sizeof(*run->failures));
    run->failures[run->failure_count++] = (struct lab_failure){.experiment = lab_copy(experiment),
                                                               .subject = lab_copy(subject),
                                                               .variant = lab_copy(variant),
                                                               .reason = lab_copy(reason)};
}

void lab_run_note(struct lab_run *run, const char *experiment, const char *subject, const char *key,
                  const char *text) {
    run->notes = lab_grow_one(run->notes, run->note_count, sizeof(*run->notes));
    run->notes[run->note_count++] = (struct lab_note){.experiment = lab_copy(experiment),
                                                      .subject = lab_copy(subject),
                                                      .key = lab_copy(key),
                                                      .text = lab_copy(text)};
}

struct lab_result *lab_run_add(struct lab_run *run) {
    run->results = lab_grow_one(run->results, run->result_count, sizeof(*run->results));
    struct lab_result *r = &run->results[run->result_count++];
    *r = (struct lab_result){0};
    return r;
}

const char *lab_run_mode(const char *mode) {
    static const char *const known[] = {"quick", "default", "full", "run", "import"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(mode, known[i]) == 0)
            return known[i];
    }
    static struct other {
        struct other *next;
        char mode[];
    } *others;
    for (const struct other *o = others; o; o = o->next) {
        if (strcmp(mode, o->mode) == 0)
            return o->mode;
    }
    struct other *o = lab_alloc(1, sizeof(*o) + strlen(mode) + 1);
    memcpy(o->mode, mode, strlen(mode) + 1);
    o->next = others;
    others = o;
    return o->mode;
}

static void free_pairs(struct lab_pair *pairs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(pairs[i].key);
        free(pairs[i].value);
    }
    free(pairs);
}

static void free_result(struct lab_result *r) {
    free(r->experiment);
    free(r->subject);
    free(r->metric);
    free(r->unit);
    free(r->variant);
    free_pairs(r->params, r->param_count);
    for (size_t i = 0; i < r->n; i++)
        free(r->processes[i].values);
    free(r->processes);
    free(r->samples);
}

void lab_run_free(struct lab_run *run) {
    char *const texts[] = {run->uid,    run->time,  run->label,         run->command,
                           run->commit, run->flags, run->source_format, run->source};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        free(texts[i]);
    free_pairs(run->machine, run->machine_count);
    free_pairs(run->options, run->option_count);
    for (size_t i = 0; i < run->subject_count; i++) {
        free(run->subjects[i].name);
        free(run->subjects[i].kind);
        free(run->subjects[i].version);
        free(run->subjects[i].path);
    }
    free(run->subjects);
    for (size_t i = 0; i < run->result_count; i++)
        free_result(&run->results[i]);
    free(run->results);
    for (size_t i = 0; i < run->failure_count; i++) {
        free(run->failures[i].experiment);
        free(run->failures[i].subject);
        free(run->failures[i].variant);
        free(run->failures[i].reason);
    }
    free(run->failures);
    for (size_t i = 0; i < run->note_count; i++) {
        free(run->notes[i].experiment);
        free(run->notes[i].subject);
        free(run->notes[i].key);
        free(run->notes[i].text);
    }
    free(run->notes);
    *run = (struct lab_run){0};
}
