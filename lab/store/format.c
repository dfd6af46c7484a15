/* SPDX-License-Identifier: MIT */
/* The formats of runs in files. */
#include "format.h"

#include <stdlib.h>
#include <string.h>

#include "../report/json_run.h"
#include "../report/report.h"
#include "../text.h"

static size_t write_json(const struct lab_run *run, FILE *f) {
    report_json(run, f);
    return 0;
}

static size_t write_csv(const struct lab_run *run, FILE *f) {
    report_csv(run, f);
    return 0;
}

static size_t write_text(const struct lab_run *run, FILE *f) {
    report_plain_text(run, f, false);
    return 0;
}

static size_t write_markdown(const struct lab_run *run, FILE *f) {
    report_markdown(run, f);
    return 0;
}

const struct lab_format lab_formats[] = {
    {"json", "heddle's own, which keeps everything", lab_read_heddle, write_json,
     NULL},
    {"csv", "a row a result", NULL, write_csv, NULL},
    {"text", "the table of the command that measured it", NULL, write_text, NULL},
    {"markdown", "tables for a pull request", NULL, write_markdown, NULL},
    {"pyperf", "JSON of pyperf", lab_read_pyperf, lab_write_pyperf, "values of zero"},
    {"gbench", "JSON of Google Benchmark", lab_read_gbench, lab_write_gbench, NULL},
    {"hyperfine", "JSON of hyperfine", lab_read_hyperfine, lab_write_hyperfine, NULL},
    {"prometheus", "text for Prometheus' node exporter", NULL, lab_write_prometheus,
     NULL},
};
const size_t lab_format_count = sizeof(lab_formats) / sizeof(lab_formats[0]);

const struct lab_format *lab_format_find(const char *name) {
    for (size_t i = 0; i < lab_format_count; i++) {
        if (strcmp(lab_formats[i].name, name) == 0)
            return &lab_formats[i];
    }
    return NULL;
}

size_t lab_format_write(const struct lab_format *format, const struct lab_run *run, FILE *f) {
    if (run->source && run->source_format && strcmp(run->source_format, format->name) == 0) {
        fputs(run->source, f);
        return 0;
    }
    return format->write(run, f);
}

char *lab_format_name(const struct lab_result *r) {
    struct lab_text t = {0};
    lab_text_printf(&t, "%s/%s%s%s/%s", r->experiment, r->variant, *r->variant ? "/" : "",
                    r->subject, r->metric);
    for (size_t i = 0; i < r->param_count; i++)
        lab_text_printf(&t, " %s=%s", r->params[i].key, r->params[i].value);
    for (char *c = t.data; *c; c++) {
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    }
    return t.data;
}

static bool twins(const struct lab_result *a, const struct lab_result *b) {
    bool same = strcmp(a->subject, b->subject) == 0 && strcmp(a->metric, b->metric) == 0 &&
                strcmp(a->experiment, b->experiment) == 0 && strcmp(a->variant, b->variant) == 0 &&
                a->param_count == b->param_count;
    for (size_t i = 0; same && i < a->param_count; i++) {
        same = strcmp(a->params[i].key, b->params[i].key) == 0 &&
               strcmp(a->params[i].value, b->params[i].value) == 0;
    }
    return same;
}

size_t lab_format_twins(const struct lab_run *run, const struct lab_result *r) {
    size_t count = 0;
    for (const struct lab_result *x = run->results; x < r; x++)
        count += twins(x, r);
    return count;
}

/* One object in memory, on one line. */
static char *flat(const struct lab_run *run, const struct lab_result *r) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return lab_copy("");
    struct lab_json j = {.f = f};
    j.flat[0] = true;
    if (r) {
        lab_json_result(&j, NULL, r);
    } else {
        lab_json_object(&j, NULL, true);
        lab_json_head(&j, run);
        lab_json_integer(&j, "result_count", (long long)run->result_count);
        lab_json_end_object(&j);
    }
    fclose(f);
    return text;
}

char *lab_format_head(const struct lab_run *run) {
    return flat(run, NULL);
}

char *lab_format_result(const struct lab_result *r) {
    return flat(NULL, r);
}
