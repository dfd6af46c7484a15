/* SPDX-License-Identifier: MIT */
/* JSON of hyperfine: an entry for each command, with the wall times of its runs, each of which is a
 * process, and means of the CPU times. heddle run's results map onto it; of other experiments the
 * primary time of each subject stands for the command's. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../record.h"
#include "../report/json.h"
#include "../text.h"
#include "format.h"

static const char run_key[] = "heddle_run", results_key[] = "heddle_results";

/* A result of one value for each run. */
static void add_each(struct lab_reader *r, const json_t *entry, const char *key, const char *metric,
                     const char *unit) {
    const json_t *array = json_object_get(entry, key);
    if (!json_is_array(array))
        return;
    size_t count;
    double *values = lab_read_numbers(r, array, key, &count);
    struct lab_result *x = lab_read_add(r, "run", lab_read_text(entry, "command"), metric, unit);
    for (size_t i = 0; i < count; i++) {
        double *one = lab_alloc(1, sizeof(*one));
        *one = values[i];
        lab_read_process(x, one, 1);
    }
    free(values);
}

/* A result of which only the mean is in the file. */
static void add_mean(struct lab_reader *r, const json_t *entry, const char *key,
                     const char *metric) {
    double *value = lab_alloc(1, sizeof(*value));
    *value = lab_read_number(entry, key);
    if (isnan(*value)) {
        free(value);
        return;
    }
    struct lab_result *x = lab_read_add(r, "run", lab_read_text(entry, "command"), metric, "s");
    lab_read_process(x, value, 1);
    char *text = lab_format("%s is one value: the file holds the mean of all runs alone", metric);
    lab_run_note(r->run, "run", x->subject, metric, text);
    free(text);
}

static void read_exit_codes(struct lab_reader *r, const json_t *entry) {
    const json_t *codes = json_object_get(entry, "exit_codes");
    size_t i, bad = 0;
    json_t *x;
    json_array_foreach(codes, i, x) {
        bad += !json_is_integer(x) || json_integer_value(x) != 0;
    }
    if (bad == 0)
        return;
    char *text =
        lab_format("%zu of %zu runs ended with a status other than 0", bad, json_array_size(codes));
    lab_run_note(r->run, "run", lab_read_text(entry, "command"), "exit_codes", text);
    free(text);
}

static void read_entry(struct lab_reader *r, const json_t *entry) {
    size_t first = r->run->result_count;
    if (json_array_size(json_object_get(entry, "times")))
        add_each(r, entry, "times", "wall_s", "s");
    else
        add_mean(r, entry, "mean", "wall_s");
    if (r->run->result_count > first)
        r->run->results[first].primary = true;
    add_mean(r, entry, "user", "user_s");
    add_mean(r, entry, "system", "sys_s");
    add_each(r, entry, "memory_usage_byte", "max_rss_bytes", "bytes");
    for (size_t i = r->run->result_count; i-- > first;) {
        struct lab_result *x = &r->run->results[i];
        const char *key;
        json_t *value;
        json_object_foreach(json_object_get(entry, "parameters"), key, value) {
            lab_read_pair(&x->params, &x->param_count, key, value);
        }
        if (!lab_read_conclude(x))
            lab_read_drop(r); /* it is the last one: nothing was added after an empty one */
    }
    read_exit_codes(r, entry);
}

/* Where the results stood in heddle's run, which an entry brings together in another order. */
struct places {
    long long *items; /* one for each result of the run; NULL if one of them has none */
    size_t count;
};

static bool same_times(const json_t *times, const struct lab_result *r) {
    double per_second = lab_unit_per_second(r->unit);
    bool same = json_array_size(times) == r->n;
    for (size_t i = 0; same && i < r->n; i++) {
        double t = json_number_value(json_array_get(times, i)) * per_second;
        same = fabs(t - r->samples[i]) <= 1e-12 * fabs(r->samples[i]);
    }
    return same;
}

/* The results that heddle put into an entry, the first of which its times are. False if there are
 * none, or if somebody has changed the times since. */
static bool read_own(struct lab_reader *r, const json_t *entry, struct places *places) {
    const json_t *own = json_object_get(entry, results_key);
    size_t i;
    json_t *x;
    json_array_foreach(own, i, x) {
        if (!lab_read_embedded_result(r, json_array_get(x, 1)))
            return false;
        const struct lab_result *last = &r->run->results[r->run->result_count - 1];
        if (i == 0 && !same_times(json_object_get(entry, "times"), last)) {
            lab_read_drop(r);
            r->foreign = true;
            return false;
        }
        places->items = lab_grow_one(places->items, places->count, sizeof(*places->items));
        places->items[places->count++] = json_integer_value(json_array_get(x, 0));
    }
    return json_array_size(own) > 0;
}

struct placed {
    struct lab_result result;
    long long place;
};

static int by_place(const void *a, const void *b) {
    long long x = ((const struct placed *)a)->place, y = ((const struct placed *)b)->place;
    return x < y ? -1 : x > y;
}

static void sort_results(struct lab_run *run, const struct places *places) {
    if (places->count != run->result_count || places->count == 0)
        return;
    struct placed *sorted = lab_alloc(places->count, sizeof(*sorted));
    for (size_t i = 0; i < places->count; i++)
        sorted[i] = (struct placed){run->results[i], places->items[i]};
    qsort(sorted, places->count, sizeof(*sorted), by_place);
    for (size_t i = 0; i < places->count; i++)
        run->results[i] = sorted[i].result;
    free(sorted);
}

bool lab_read_hyperfine(struct lab_reader *r, const json_t *file) {
    const json_t *results = json_object_get(file, "results");
    const json_t *first = json_array_get(results, 0);
    if (!json_is_string(json_object_get(first, "command")))
        return false;
    struct places places = {0};
    size_t i;
    json_t *x;
    lab_read_embedded_head(r, json_object_get(file, run_key));
    json_array_foreach(results, i, x) {
        if (!read_own(r, x, &places))
            read_entry(r, x);
    }
    sort_results(r->run, &places);
    free(places.items);
    return true;
}

static bool is_time(const struct lab_result *r) {
    return lab_unit_per_second(r->unit) > 0;
}

static bool same_parameters(const struct lab_result *a, const struct lab_result *b) {
    bool same = a->param_count == b->param_count;
    for (size_t i = 0; same && i < a->param_count; i++)
        same = strcmp(a->params[i].key, b->params[i].key) == 0 &&
               strcmp(a->params[i].value, b->params[i].value) == 0;
    return same;
}

/* Whether two results belong to one command. */
static bool together(const struct lab_result *a, const struct lab_result *b) {
    return strcmp(a->experiment, b->experiment) == 0 && strcmp(a->variant, b->variant) == 0 &&
           strcmp(a->subject, b->subject) == 0 && same_parameters(a, b);
}

static const struct lab_result *beside(const struct lab_run *run, const struct lab_result *r,
                                       const char *metric) {
    for (size_t i = 0; i < run->result_count; i++) {
        if (together(&run->results[i], r) && strcmp(run->results[i].metric, metric) == 0)
            return &run->results[i];
    }
    return NULL;
}

static double mean_of(const double *values, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    return n ? sum / (double)n : NAN;
}

static void write_mean(struct lab_json *j, const char *key, const struct lab_result *r) {
    double mean = r && is_time(r) ? mean_of(r->samples, r->n) / lab_unit_per_second(r->unit) : NAN;
    lab_json_number(j, key, mean);
}

static void write_statistics(struct lab_json *j, const struct lab_run *run,
                             const struct lab_result *r) {
    double unit = lab_unit_per_second(r->unit), mean = mean_of(r->samples, r->n), squares = 0;
    for (size_t i = 0; i < r->n; i++)
        squares += (r->samples[i] - mean) * (r->samples[i] - mean);
    lab_json_number(j, "mean", mean / unit);
    lab_json_number(j, "stddev", r->n > 1 ? sqrt(squares / (double)(r->n - 1)) / unit : NAN);
    lab_json_number(j, "median", r->median / unit);
    write_mean(j, "user", beside(run, r, "user_s"));
    write_mean(j, "system", beside(run, r, "sys_s"));
    lab_json_number(j, "min", r->min / unit);
    lab_json_number(j, "max", r->max / unit);
    lab_json_array(j, "times", true);
    for (size_t i = 0; i < r->n; i++)
        lab_json_number(j, NULL, r->samples[i] / unit);
    lab_json_end_array(j);
    lab_json_object(j, "parameters", true);
    for (size_t i = 0; i < r->param_count; i++)
        lab_json_string(j, r->params[i].key, r->params[i].value);
    lab_json_end_object(j);
}

static void write_own(struct lab_json *j, const struct lab_run *run, const struct lab_result *r) {
    char *text = lab_format_result(r);
    lab_json_array(j, NULL, true);
    lab_json_integer(j, NULL, (long long)(r - run->results));
    lab_json_string(j, NULL, text);
    lab_json_end_array(j);
    free(text);
}

static void write_entry(struct lab_json *j, const struct lab_run *run, const struct lab_result *r) {
    bool command = strcmp(r->experiment, "run") == 0;
    char *name = command ? lab_copy(r->subject)
                         : lab_format("%s%s%s %s %s", r->experiment, *r->variant ? " " : "",
                                      r->variant, r->subject, r->metric);
    lab_json_object(j, NULL, false);
    lab_json_string(j, "command", name);
    write_statistics(j, run, r);
    lab_json_array(j, results_key, false);
    write_own(j, run, r);
    for (size_t i = 0; i < run->result_count; i++) {
        if (&run->results[i] != r && together(&run->results[i], r))
            write_own(j, run, &run->results[i]);
    }
    lab_json_end_array(j);
    lab_json_end_object(j);
    free(name);
}

/* The result whose times an entry shows: the first primary time among those together. */
static const struct lab_result *leader(const struct lab_run *run, const struct lab_result *r) {
    const struct lab_result *best = NULL;
    for (size_t i = 0; i < run->result_count; i++) {
        const struct lab_result *x = &run->results[i];
        if (together(x, r) && is_time(x) && (!best || (x->primary && !best->primary)))
            best = x;
    }
    return best;
}

size_t lab_write_hyperfine(const struct lab_run *run, FILE *f) {
    struct lab_json j = {.f = f};
    size_t left_out = 0;
    lab_json_object(&j, NULL, false);
    lab_json_array(&j, "results", false);
    for (size_t i = 0; i < run->result_count; i++) {
        const struct lab_result *r = &run->results[i], *first = leader(run, r);
        left_out += !first;
        if (first == r)
            write_entry(&j, run, r);
    }
    lab_json_end_array(&j);
    char *head = lab_format_head(run);
    lab_json_string(&j, run_key, head);
    lab_json_end_object(&j);
    fputc('\n', f);
    free(head);
    return left_out;
}
