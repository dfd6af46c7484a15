/* SPDX-License-Identifier: MIT */
/* What the readers of all formats share. */
#include "read.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../record.h"
#include "../report/json.h"
#include "../stat/stat.h"
#include "../text.h"

void lab_read_wrong(struct lab_reader *r, const char *fmt, ...) {
    va_list args;
    if (r->wrong)
        return;
    va_start(args, fmt);
    if (vasprintf(&r->wrong, fmt, args) < 0)
        r->wrong = lab_copy(fmt);
    va_end(args);
}

const char *lab_read_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

char *lab_read_copy(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? lab_copy(text) : NULL;
}

double lab_read_number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

double *lab_read_numbers(struct lab_reader *r, const json_t *array, const char *what,
                         size_t *count) {
    *count = 0;
    if (!json_is_array(array)) {
        lab_read_wrong(r, "%s is not an array", what);
        return NULL;
    }
    size_t n = json_array_size(array);
    double *values = n ? lab_alloc(n, sizeof(*values)) : NULL;
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(array, i);
        if (!json_is_number(value))
            lab_read_wrong(r, "%s holds something that is not a number", what);
        values[i] = json_number_value(value);
    }
    *count = n;
    return values;
}

void lab_read_pair(struct lab_pair **pairs, size_t *count, const char *key, const json_t *value) {
    char number[32];
    char *dumped = NULL;
    const char *text = json_string_value(value);
    if (json_is_integer(value)) {
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        text = number;
    } else if (json_is_real(value)) {
        lab_shortest_number(number, json_real_value(value));
        text = number;
    } else if (!text) {
        dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        text = dumped ? dumped : "";
    }
    lab_pairs_add(pairs, count, key, text, json_is_number(value));
    free(dumped);
}

struct lab_result *lab_read_add(struct lab_reader *r, const char *experiment, const char *subject,
                                const char *metric, const char *unit) {
    struct lab_result *result = lab_run_add(r->run);
    result->experiment = lab_copy(experiment);
    result->subject = lab_copy(subject);
    result->metric = lab_copy(metric);
    result->unit = lab_copy(unit);
    result->variant = lab_copy("");
    result->ci_low = result->ci_high = result->bare_ratio = NAN;
    r->foreign = true;
    return result;
}

void lab_read_process(struct lab_result *result, double *values, size_t count) {
    result->processes = lab_grow_one(result->processes, result->n, sizeof(*result->processes));
    result->processes[result->n++] = (struct lab_process_samples){.values = values, .count = count};
}

bool lab_read_conclude(struct lab_result *result) {
    if (result->n == 0)
        return false;
    free(result->samples);
    result->samples = lab_alloc(result->n, sizeof(double));
    for (size_t i = 0; i < result->n; i++) {
        const struct lab_process_samples *p = &result->processes[i];
        result->samples[i] = lab_stat_median(p->values, p->count);
    }
    struct lab_interval interval = lab_stat_interval95(result->samples, result->n);
    result->median = lab_stat_median(result->samples, result->n);
    result->min = lab_stat_min(result->samples, result->n);
    result->max = lab_stat_max(result->samples, result->n);
    result->ci_low = interval.low;
    result->ci_high = interval.high;
    return true;
}

void lab_read_drop(struct lab_reader *r) {
    struct lab_run last = {.results = lab_alloc(1, sizeof(struct lab_result)), .result_count = 1};
    last.results[0] = r->run->results[--r->run->result_count];
    lab_run_free(&last);
}

double lab_unit_per_second(const char *unit) {
    static const struct {
        const char *name;
        double per_second;
    } units[] = {{"ns", 1e9}, {"us", 1e6}, {"ms", 1e3}, {"s", 1}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(units[i].name, unit) == 0)
            return units[i].per_second;
    }
    return 0;
}

/* A process of which only its one value is known stands in the file with that. */
static bool same_process(const struct lab_process_samples *own, double value,
                         const struct lab_process_samples *found, double factor) {
    const double *expected = own->count ? own->values : &value;
    size_t count = own->count ? own->count : 1;
    if (count != found->count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!(fabs(found->values[i] * factor - expected[i]) <= 1e-12 * fabs(expected[i])))
            return false;
    }
    return true;
}

void lab_read_agree(struct lab_reader *r, struct lab_process_samples *found, size_t n,
                    double factor) {
    struct lab_result *result = &r->run->results[r->run->result_count - 1];
    bool same = n == result->n;
    for (size_t i = 0; same && i < n; i++)
        same = same_process(&result->processes[i], result->samples[i], &found[i], factor);
    if (same) {
        for (size_t i = 0; i < n; i++)
            free(found[i].values);
        free(found);
        return;
    }
    r->foreign = true;
    for (size_t i = 0; i < result->n; i++)
        free(result->processes[i].values);
    free(result->processes);
    result->processes = found;
    result->n = n;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < found[i].count; k++)
            found[i].values[k] *= factor;
    }
    result->bare_ratio = NAN;
    if (!lab_read_conclude(result))
        lab_read_drop(r);
}
