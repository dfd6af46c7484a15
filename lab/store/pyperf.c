/* SPDX-License-Identifier: MIT */
/* JSON of pyperf (version 1.0 of its format): a suite of benchmarks, each with runs, which are
 * processes. It knows values above zero in three units: second, byte, integer. What a result has
 * besides stands in the metadata, from which it is read back. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../record.h"
#include "../report/json.h"
#include "../text.h"
#include "format.h"

static const char run_key[] = "heddle_run", result_key[] = "heddle_result";

/* A benchmark's own metadata, or what all of the suite have in common. */
static const json_t *metadata(const json_t *file, const json_t *bench, const char *key) {
    const json_t *own = json_object_get(json_object_get(bench, "metadata"), key);
    return own ? own : json_object_get(json_object_get(file, "metadata"), key);
}

static const char *metadata_text(const json_t *file, const json_t *bench, const char *key) {
    const char *text = json_string_value(metadata(file, bench, key));
    return text ? text : "";
}

/* What is known of the machine, by heddle's names where it has them. */
static void read_machine(struct lab_reader *r, const json_t *file) {
    static const char *const names[][2] = {{"cpu_model_name", "cpu"}, {"cpu_count", "cpus"}};
    static const char *const others[] = {"name", "unit", "loops", "inner_loops", "timer"};
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(file, "metadata"), key, value) {
        bool other = lab_starts_with(key, "heddle_") || lab_starts_with(key, "timeit_");
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
            other = other || strcmp(key, others[i]) == 0;
        const char *name = key;
        for (size_t i = 0; i < 2; i++)
            name = strcmp(key, names[i][0]) == 0 ? names[i][1] : name;
        if (!other)
            lab_read_pair(&r->run->machine, &r->run->machine_count, name, value);
    }
}

static void read_notes(struct lab_reader *r, const json_t *bench, const char *name) {
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(bench, "metadata"), key, value) {
        struct lab_pair *pairs = NULL;
        size_t count = 0;
        if (strcmp(key, "name") == 0 || strcmp(key, "unit") == 0)
            continue;
        lab_read_pair(&pairs, &count, key, value);
        lab_run_note(r->run, "pyperf", name, key, pairs[0].value);
        free(pairs[0].key);
        free(pairs[0].value);
        free(pairs);
    }
}

/* The earliest moment at which a process began: "2026-11-22 01:02:03.123456", of some zone. */
static void read_time(struct lab_reader *r, const json_t *file, const json_t *bench) {
    const char *first = NULL;
    size_t i;
    json_t *x;
    json_array_foreach(json_object_get(bench, "runs"), i, x) {
        const char *date =
            json_string_value(json_object_get(json_object_get(x, "metadata"), "date"));
        if (date && (!first || strcmp(date, first) < 0))
            first = date;
    }
    if (!first)
        first = json_string_value(metadata(file, bench, "date"));
    if (!first || r->run->time)
        return;
    r->run->time = lab_copy_n(first, strcspn(first, "."));
    char *blank = strchr(r->run->time, ' ');
    if (blank)
        *blank = 'T';
}

/* Runs without values only calibrated the loops. */
static struct lab_process_samples *read_runs(struct lab_reader *r, const json_t *bench, size_t *n) {
    struct lab_process_samples *found = NULL;
    size_t i;
    json_t *x;
    *n = 0;
    json_array_foreach(json_object_get(bench, "runs"), i, x) {
        const json_t *values = json_object_get(x, "values");
        if (json_object_get(x, "samples"))
            lab_read_wrong(r, "it was written by a pyperf before 0.9.6");
        if (json_array_size(values) == 0)
            continue;
        found = lab_grow_one(found, *n, sizeof(*found));
        found[*n].values = lab_read_numbers(r, values, "values", &found[*n].count);
        (*n)++;
    }
    return found;
}

static void read_benchmark(struct lab_reader *r, const json_t *file, const json_t *bench) {
    const char *name = metadata_text(file, bench, "name");
    const char *unit = metadata_text(file, bench, "unit");
    size_t n;
    struct lab_process_samples *found = read_runs(r, bench, &n);
    if (lab_read_embedded_result(r, metadata(file, bench, result_key))) {
        double per_second = lab_unit_per_second(r->run->results[r->run->result_count - 1].unit);
        lab_read_agree(r, found, n, per_second > 0 ? per_second : 1);
        return;
    }
    bool bytes = strcmp(unit, "byte") == 0, integer = strcmp(unit, "integer") == 0;
    struct lab_result *result = lab_read_add(r, "pyperf", name, bytes || integer ? "value" : "time",
                                             bytes     ? "bytes"
                                             : integer ? "count"
                                                       : "s");
    result->primary = true;
    result->per_thing = true; /* a time of one loop, however many there were */
    result->processes = found;
    result->n = n;
    if (!lab_read_conclude(result)) {
        lab_read_drop(r);
        lab_run_fail(r->run, "pyperf", "", name, "the file holds no values of it");
    }
    read_notes(r, bench, name);
    read_time(r, file, bench);
    r->run->subjects =
        lab_grow_one(r->run->subjects, r->run->subject_count, sizeof(*r->run->subjects));
    r->run->subjects[r->run->subject_count++] = (struct lab_subject_info){
        .name = lab_copy(name),
        .kind = lab_copy("python"),
        .version = lab_copy(metadata_text(file, bench, "python_version")),
        .path = lab_copy(metadata_text(file, bench, "python_executable"))};
}

bool lab_read_pyperf(struct lab_reader *r, const json_t *file) {
    const json_t *benchmarks = json_object_get(file, "benchmarks");
    if (!json_is_array(benchmarks) || !json_is_string(json_object_get(file, "version")))
        return false;
    size_t i;
    json_t *x;
    if (!lab_read_embedded_head(r, metadata(file, NULL, run_key)))
        read_machine(r, file);
    json_array_foreach(benchmarks, i, x) {
        read_benchmark(r, file, x);
    }
    return true;
}

/* Whether pyperf takes all values of a result. */
static bool positive(const struct lab_result *r) {
    double per_second = lab_unit_per_second(r->unit), unit = per_second > 0 ? per_second : 1;
    for (size_t i = 0; i < r->n; i++) {
        const struct lab_process_samples *p = &r->processes[i];
        if (p->count == 0 && !(r->samples[i] / unit > 0 && isfinite(r->samples[i])))
            return false;
        for (size_t k = 0; k < p->count; k++) {
            if (!(p->values[k] / unit > 0 && isfinite(p->values[k])))
                return false;
        }
    }
    return r->n > 0;
}

static void write_runs(struct lab_json *j, const struct lab_result *r, double per_second) {
    lab_json_array(j, "runs", false);
    for (size_t i = 0; i < r->n; i++) {
        const struct lab_process_samples *p = &r->processes[i];
        const double *values = p->count ? p->values : &r->samples[i];
        size_t count = p->count ? p->count : 1;
        lab_json_object(j, NULL, true);
        lab_json_array(j, "values", true);
        for (size_t k = 0; k < count; k++)
            lab_json_number(j, NULL, values[k] / per_second);
        lab_json_end_array(j);
        lab_json_end_object(j);
    }
    lab_json_end_array(j);
}

static void write_benchmark(struct lab_json *j, const struct lab_run *run,
                            const struct lab_result *r) {
    double per_second = lab_unit_per_second(r->unit);
    char *name = lab_format_name(r), *own = lab_format_result(r);
    size_t before = lab_format_twins(run, r);
    if (before) { /* pyperf refuses a suite with two of a name */
        char *unique = lab_format("%s (%zu)", name, before + 1);
        free(name);
        name = unique;
    }
    lab_json_object(j, NULL, false);
    lab_json_object(j, "metadata", false);
    lab_json_string(j, "name", name);
    lab_json_string(j, "unit",
                    per_second > 0                  ? "second"
                    : strcmp(r->unit, "bytes") == 0 ? "byte"
                                                    : "integer");
    lab_json_string(j, result_key, own);
    lab_json_end_object(j);
    write_runs(j, r, per_second > 0 ? per_second : 1);
    lab_json_end_object(j);
    free(name);
    free(own);
}

/* pyperf refuses texts that are empty or of several lines. */
static void write_fact(struct lab_json *j, const struct lab_run *run, const char *key,
                       const char *name) {
    for (size_t i = 0; i < run->machine_count; i++) {
        const struct lab_pair *p = &run->machine[i];
        if (strcmp(p->key, key) != 0 || !*p->value || strpbrk(p->value, "\r\n"))
            continue;
        if (p->number)
            lab_json_literal(j, name, p->value);
        else
            lab_json_string(j, name, p->value);
        return;
    }
}

size_t lab_write_pyperf(const struct lab_run *run, FILE *f) {
    struct lab_json j = {.f = f};
    size_t left_out = 0;
    lab_json_object(&j, NULL, false);
    lab_json_array(&j, "benchmarks", false);
    for (size_t i = 0; i < run->result_count; i++) {
        bool good = positive(&run->results[i]);
        left_out += !good;
        if (good)
            write_benchmark(&j, run, &run->results[i]);
    }
    lab_json_end_array(&j);
    char *head = lab_format_head(run);
    lab_json_object(&j, "metadata", false);
    write_fact(&j, run, "cpu", "cpu_model_name");
    write_fact(&j, run, "cpus", "cpu_count");
    write_fact(&j, run, "kernel", "platform");
    lab_json_string(&j, run_key, head);
    lab_json_end_object(&j);
    lab_json_string(&j, "version", "1.0");
    lab_json_end_object(&j);
    fputc('\n', f);
    free(head);
    return left_out;
}
