/* SPDX-License-Identifier: MIT */
/* A run as CSV (RFC 4180), one row a sample: for those who plot and compare for themselves. Beside
 * the value stands who gave it, and which lock an interpreter said that it has (old, new, none), so
 * that interpreters can be put in order by it. */
#include <stdlib.h>
#include <string.h>

#include "../text.h"
#include "json.h"
#include "report.h"

static void field(struct lab_text *t, const char *s) {
    const char *quote = strpbrk(s, ",\"\r\n") ? "\"" : "";
    lab_text_printf(t, "%s", quote);
    for (; *s; s++) {
        if (*s == '"')
            lab_text_add(t, s, 1);
        lab_text_add(t, s, 1);
    }
    lab_text_printf(t, "%s,", quote);
}

static const struct lab_subject_info *find_subject(const struct lab_run *run, const char *name) {
    for (size_t i = 0; i < run->subject_count; i++) {
        if (strcmp(run->subjects[i].name, name) == 0)
            return &run->subjects[i];
    }
    return NULL;
}

/* What the subject said of itself in that experiment. */
static const char *find_note(const struct lab_run *run, const struct lab_result *r,
                             const char *key) {
    for (size_t i = 0; i < run->note_count; i++) {
        const struct lab_note *n = &run->notes[i];
        if (strcmp(n->experiment, r->experiment) == 0 && strcmp(n->subject, r->subject) == 0 &&
            strcmp(n->key, key) == 0) {
            return n->text;
        }
    }
    return "";
}

/* The columns that all samples of a result share, each with a comma behind. */
static char *shared(const struct lab_run *run, const struct lab_result *r) {
    const struct lab_subject_info *info = find_subject(run, r->subject);
    struct lab_text t = {0}, params = {0};
    field(&t, r->experiment);
    field(&t, r->variant);
    field(&t, r->subject);
    field(&t, info ? info->kind : "");
    field(&t, info ? info->version : "");
    field(&t, find_note(run, r, "lock"));
    for (size_t i = 0; i < r->param_count; i++) {
        lab_text_printf(&params, "%s%s=%s", i ? ";" : "", r->params[i].key, r->params[i].value);
    }
    field(&t, params.data ? params.data : "");
    field(&t, r->metric);
    field(&t, r->unit);
    lab_text_free(&params);
    return t.data;
}

int report_runs(const struct lab_run *run, FILE *f) {
    fputs("experiment,variant,subject,kind,version,lock,params,metric,unit,process,sample,value"
          "\r\n",
          f);
    for (size_t i = 0; i < run->result_count; i++) {
        const struct lab_result *r = &run->results[i];
        char *columns = shared(run, r), value[32];
        for (size_t p = 0; p < r->n; p++) {
            for (size_t s = 0; s < r->processes[p].count; s++) {
                lab_shortest_number(value, r->processes[p].values[s]);
                fprintf(f, "%s%zu,%zu,%s\r\n", columns, p + 1, s + 1, value);
            }
        }
        free(columns);
    }
    return 0;
}
