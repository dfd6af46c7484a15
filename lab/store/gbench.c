/* SPDX-License-Identifier: MIT */
/* JSON of Google Benchmark: a context, and an entry for each repetition of a benchmark, besides
 * entries that sum these up. All repetitions come from one process. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../record.h"
#include "../report/json.h"
#include "../text.h"
#include "format.h"

static const char run_key[] = "heddle_run", result_key[] = "heddle_result";

static bool is(const json_t *entry, const char *key, const char *text) {
    return strcmp(lab_read_text(entry, key), text) == 0;
}

/* What is a member of every entry, and no counter of the user's. */
static bool usual(const char *key) {
    static const char *const keys[] = {"family_index",  "per_family_instance_index",
                                       "repetitions",   "repetition_index",
                                       "threads",       "iterations",
                                       "real_time",     "cpu_time",
                                       "heddle_process"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strcmp(key, keys[i]) == 0)
            return true;
    }
    return false;
}

static const char *run_name(const json_t *entry) {
    const char *name = lab_read_text(entry, "run_name");
    return *name ? name : lab_read_text(entry, "name");
}

/* Entries of a benchmark mostly follow each other: the search begins at the end. */
static struct lab_result *find(const struct lab_run *run, const char *subject, const char *metric) {
    for (size_t i = run->result_count; i-- > 0;) {
        struct lab_result *x = &run->results[i];
        if (strcmp(x->subject, subject) == 0 && strcmp(x->metric, metric) == 0)
            return x;
    }
    return NULL;
}

static void add_sample(struct lab_reader *r, const char *subject, const char *metric,
                       const char *unit, double value) {
    struct lab_result *x = find(r->run, subject, metric);
    if (!x) {
        x = lab_read_add(r, "gbench", subject, metric, unit);
        x->better = strcmp(unit, "per_s") == 0   ? LAB_BETTER_HIGHER
                    : strcmp(unit, "count") == 0 ? LAB_BETTER_NONE
                                                 : LAB_BETTER_LOWER;
        x->primary = strcmp(metric, "real_time") == 0;
        x->per_thing = true; /* of one iteration, however many there were */
        lab_read_process(x, NULL, 0);
    }
    if (strcmp(x->unit, unit) != 0)
        lab_read_wrong(r, "'%s' has a %s in %s and in %s", subject, metric, x->unit, unit);
    struct lab_process_samples *p = &x->processes[0];
    p->values = lab_grow_one(p->values, p->count, sizeof(double));
    p->values[p->count++] = value;
}

static void read_entry(struct lab_reader *r, const json_t *entry) {
    const char *name = run_name(entry), *key;
    if (json_is_true(json_object_get(entry, "error_occurred"))) {
        lab_run_fail(r->run, "gbench", "", name, lab_read_text(entry, "error_message"));
        return;
    }
    const char *unit = lab_read_text(entry, "time_unit");
    unit = *unit ? unit : "ns";
    double real = lab_read_number(entry, "real_time"), cpu = lab_read_number(entry, "cpu_time");
    if (lab_unit_per_second(unit) <= 0 || isnan(real))
        lab_read_wrong(r, "'%s' has no real_time, or in no unit of time", name);
    add_sample(r, name, "real_time", unit, real);
    if (!isnan(cpu))
        add_sample(r, name, "cpu_time", unit, cpu);
    json_t *value;
    json_object_foreach((json_t *)entry, key, value) {
        if (json_is_number(value) && !usual(key)) {
            size_t n = strlen(key), tail = strlen("_per_second");
            bool rate = n > tail && strcmp(key + n - tail, "_per_second") == 0;
            add_sample(r, name, key, rate ? "per_s" : "count", json_number_value(value));
        }
    }
    if (*lab_read_text(entry, "label") && lab_read_number(entry, "repetition_index") <= 0)
        lab_run_note(r->run, "gbench", name, "label", lab_read_text(entry, "label"));
}

/* A file with nothing but sums (--benchmark_report_aggregates_only): the median is all there is. */
static void read_sum(struct lab_reader *r, const json_t *entry) {
    const char *name = run_name(entry);
    if (!is(entry, "aggregate_name", "median") || find(r->run, name, "real_time"))
        return;
    lab_run_note(r->run, "gbench", name, "aggregates",
                 "the file holds no repetitions, only their median");
    read_entry(r, entry);
}

static void read_context(struct lab_reader *r, const json_t *context) {
    struct lab_run *run = r->run;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)context, key, value) {
        if (strcmp(key, "date") == 0) {
            free(run->time);
            run->time = lab_copy(json_is_string(value) ? json_string_value(value) : "");
        } else if (strcmp(key, "load_avg") == 0 && json_array_size(value)) {
            lab_read_pair(&run->machine, &run->machine_count, "load_1min",
                          json_array_get(value, 0));
        } else if (strcmp(key, "executable") == 0) {
            run->command = lab_copy(json_is_string(value) ? json_string_value(value) : "");
        } else {
            lab_read_pair(&run->machine, &run->machine_count,
                          strcmp(key, "num_cpus") == 0 ? "cpus" : key, value);
        }
    }
}

/* The entries that follow one with a result of heddle's and are samples of it. */
static size_t read_own(struct lab_reader *r, const json_t *entries, size_t i) {
    const char *name = lab_read_text(json_array_get(entries, i), "name");
    const struct lab_result *own = &r->run->results[r->run->result_count - 1];
    double per_second = lab_unit_per_second(own->unit), process = NAN;
    struct lab_process_samples *found = NULL;
    char *metric = lab_copy(own->metric);
    size_t n = 0;
    for (; i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);
        bool next = n > 0 && json_object_get(entry, result_key); /* one of the same name */
        if (next || !is(entry, "name", name) || is(entry, "run_type", "aggregate"))
            break;
        double mine = lab_read_number(entry, "heddle_process");
        if (n == 0 || mine != process) {
            found = lab_grow_one(found, n, sizeof(*found));
            found[n++] = (struct lab_process_samples){0};
            process = mine;
        }
        struct lab_process_samples *p = &found[n - 1];
        double unit = lab_unit_per_second(lab_read_text(entry, "time_unit"));
        if (per_second > 0 && unit <= 0)
            lab_read_wrong(r, "'%s' has no unit of time", name);
        p->values = lab_grow_one(p->values, p->count, sizeof(double));
        /* Multiplied by 1 if the unit is the same still: the smallest numbers survive no detour. */
        p->values[p->count++] = per_second > 0
                                    ? lab_read_number(entry, "real_time") * (per_second / unit)
                                    : lab_read_number(entry, metric);
    }
    free(metric);
    lab_read_agree(r, found, n, 1);
    return i;
}

bool lab_read_gbench(struct lab_reader *r, const json_t *file) {
    const json_t *context = json_object_get(file, "context");
    const json_t *entries = json_object_get(file, "benchmarks");
    if (!json_is_object(context) || !json_is_array(entries))
        return false;
    if (!lab_read_embedded_head(r, json_object_get(context, run_key)))
        read_context(r, context);
    for (size_t i = 0; i < json_array_size(entries);) {
        const json_t *entry = json_array_get(entries, i);
        if (lab_read_embedded_result(r, json_object_get(entry, result_key))) {
            i = read_own(r, entries, i);
            continue;
        }
        if (!is(entry, "run_type", "aggregate"))
            read_entry(r, entry);
        i++;
    }
    for (size_t i = 0; i < json_array_size(entries); i++)
        read_sum(r, json_array_get(entries, i));
    for (size_t i = 0; i < r->run->result_count; i++) {
        if (strcmp(r->run->results[i].experiment, "gbench") == 0)
            lab_read_conclude(&r->run->results[i]);
    }
    return true;
}

/* One sample. What is no time is a counter, which needs times beside it: there are none. */
static void write_sample(struct lab_json *j, const struct lab_result *r, const char *name,
                         size_t process, size_t index, size_t total, double value) {
    bool time = lab_unit_per_second(r->unit) > 0;
    lab_json_object(j, NULL, false);
    lab_json_string(j, "name", name);
    lab_json_string(j, "run_name", name);
    lab_json_string(j, "run_type", "iteration");
    lab_json_integer(j, "repetitions", (long long)total);
    lab_json_integer(j, "repetition_index", (long long)index);
    lab_json_integer(j, "threads", 1);
    lab_json_integer(j, "iterations", 1);
    lab_json_number(j, "real_time", time ? value : 0);
    lab_json_number(j, "cpu_time", time ? value : 0);
    lab_json_string(j, "time_unit", time ? r->unit : "ns");
    lab_json_integer(j, "heddle_process", (long long)process);
    if (!time)
        lab_json_number(j, r->metric, value);
    if (index == 0) {
        char *own = lab_format_result(r);
        lab_json_string(j, result_key, own);
        free(own);
    }
    lab_json_end_object(j);
}

static void write_result(struct lab_json *j, const struct lab_result *r) {
    char *name = lab_format_name(r);
    size_t total = 0, index = 0;
    for (size_t i = 0; i < r->n; i++)
        total += r->processes[i].count ? r->processes[i].count : 1;
    for (size_t i = 0; i < r->n; i++) {
        const struct lab_process_samples *p = &r->processes[i];
        for (size_t k = 0; k < p->count; k++)
            write_sample(j, r, name, i, index++, total, p->values[k]);
        if (p->count == 0)
            write_sample(j, r, name, i, index++, total, r->samples[i]);
    }
    free(name);
}

size_t lab_write_gbench(const struct lab_run *run, FILE *f) {
    struct lab_json j = {.f = f};
    char *head = lab_format_head(run);
    lab_json_object(&j, NULL, false);
    lab_json_object(&j, "context", false);
    lab_json_string(&j, "date", run->time ? run->time : "");
    lab_json_string(&j, "executable", run->command ? run->command : "heddle");
    for (size_t i = 0; i < run->machine_count; i++) {
        if (strcmp(run->machine[i].key, "cpus") == 0 && run->machine[i].number)
            lab_json_literal(&j, "num_cpus", run->machine[i].value);
    }
    lab_json_string(&j, run_key, head);
    lab_json_end_object(&j);
    lab_json_array(&j, "benchmarks", false);
    for (size_t i = 0; i < run->result_count; i++)
        write_result(&j, &run->results[i]);
    lab_json_end_array(&j);
    lab_json_end_object(&j);
    fputc('\n', f);
    free(head);
    return 0;
}
