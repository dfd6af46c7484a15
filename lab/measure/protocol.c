/* SPDX-License-Identifier: MIT */
/* Reading what subjects say. */
#include "protocol.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../record.h"

enum {
    NAME_MAX_BYTES = 48,
    SHOWN_BYTES = 40, /* of a line that is not understood */
};

static bool is_unit(const char *s) {
    static const char *const units[] = {"ns",    "us",    "ms",      "s",    "bytes",
                                        "count", "ratio", "percent", "per_s"};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(units[i], s) == 0)
            return true;
    }
    return false;
}

static bool is_name(const char *s) {
    size_t n = strlen(s);
    return n > 0 && n <= NAME_MAX_BYTES && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

static struct lab_series *series_for(struct lab_answer *a, const char *metric, const char *unit) {
    for (size_t i = 0; i < a->series_count; i++) {
        struct lab_series *s = &a->series[i];
        if (strcmp(s->metric, metric) != 0)
            continue;
        return strcmp(s->unit, unit) == 0 ? s : NULL;
    }
    a->series = lab_grow_one(a->series, a->series_count, sizeof(*a->series));
    struct lab_series *s = &a->series[a->series_count++];
    *s = (struct lab_series){.metric = lab_copy(metric), .unit = lab_copy(unit)};
    return s;
}

/* "METRIC UNIT VALUE"; NULL or what is wrong. All metrics are amounts: none can be negative. */
static const char *take_sample(struct lab_answer *a, char *rest) {
    const char *metric = strsep(&rest, " "), *unit = strsep(&rest, " ");
    if (!rest || !is_name(metric))
        return "a sample needs METRIC UNIT VALUE";
    if (!is_unit(unit))
        return "unknown unit";
    char *end;
    double value = strtod(rest, &end);
    if (end == rest || *end || !isfinite(value) || value < 0)
        return "not a value";
    struct lab_series *s = series_for(a, metric, unit);
    if (!s)
        return "a metric has one unit";
    s->values = lab_grow_one(s->values, s->count, sizeof(*s->values));
    s->values[s->count++] = value;
    return NULL;
}

static const char *take_note(struct lab_answer *a, char *rest) {
    const char *key = strsep(&rest, " ");
    if (!is_name(key) || !rest)
        return "a note needs KEY TEXT";
    lab_make_printable(rest);
    lab_pairs_add(&a->notes, &a->note_count, key, rest, false);
    return NULL;
}

static const char *take_line(struct lab_answer *a, char *line) {
    if (lab_starts_with(line, "sample "))
        return take_sample(a, line + strlen("sample "));
    if (lab_starts_with(line, "note "))
        return take_note(a, line + strlen("note "));
    if (!lab_starts_with(line, "error "))
        return "not a line of the protocol";
    free(a->error);
    a->error = lab_copy(line + strlen("error "));
    lab_make_printable(a->error);
    return NULL;
}

void lab_answer_parse(struct lab_answer *a, const struct lab_text *out) {
    *a = (struct lab_answer){0};
    if (strlen(out->data) != out->length) {
        a->garbage = lab_copy("garbage in its output: a zero byte");
        return;
    }
    char *copy = lab_copy(out->data), *rest = copy, *line;
    size_t number = 0;
    while ((line = strsep(&rest, "\n"))) {
        number++;
        if (!*line)
            continue;
        char *shown = lab_copy_n(line, strnlen(line, SHOWN_BYTES));
        const char *wrong = take_line(a, line);
        if (wrong) {
            lab_make_printable(shown);
            a->garbage =
                lab_format("garbage in its output: line %zu: %s: '%s'", number, wrong, shown);
        }
        free(shown);
        if (wrong)
            break;
    }
    free(copy);
}

void lab_answer_free(struct lab_answer *a) {
    for (size_t i = 0; i < a->series_count; i++) {
        free(a->series[i].metric);
        free(a->series[i].unit);
        free(a->series[i].values);
    }
    free(a->series);
    for (size_t i = 0; i < a->note_count; i++) {
        free(a->notes[i].key);
        free(a->notes[i].value);
    }
    free(a->notes);
    free(a->error);
    free(a->garbage);
    *a = (struct lab_answer){0};
}
