/* SPDX-License-Identifier: MIT */
/* heddle's own JSON (heddle-lab(1)), and the parts of it that stand in files of other formats. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../record.h"
#include "../text.h"
#include "read.h"

enum { SCHEMA = 1 };

static void read_pairs(const json_t *object, struct lab_pair **pairs, size_t *count) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
        lab_read_pair(pairs, count, key, value);
    }
}

static void read_subjects(struct lab_reader *r, const json_t *subjects) {
    struct lab_run *run = r->run;
    size_t i;
    json_t *x;
    json_array_foreach(subjects, i, x) {
        run->subjects = lab_grow_one(run->subjects, run->subject_count, sizeof(*run->subjects));
        run->subjects[run->subject_count++] = (struct lab_subject_info){
            .name = lab_copy(lab_read_text(x, "name")),
            .kind = lab_copy(lab_read_text(x, "kind")),
            .version = lab_copy(lab_read_text(x, "version")),
            .path = lab_copy(lab_read_text(x, "path")),
            .free_threaded = json_is_true(json_object_get(x, "free_threaded"))};
    }
}

void lab_read_heddle_head(struct lab_reader *r, const json_t *o) {
    struct lab_run *run = r->run;
    size_t i;
    json_t *x;
    run->mode = lab_run_mode(lab_read_text(o, "mode"));
    char **const texts[] = {&run->uid,     &run->time,   &run->label,
                            &run->command, &run->commit, &run->flags};
    static const char *const keys[] = {"uid", "time", "label", "command", "commit", "flags"};
    for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
        free(*texts[k]);
        *texts[k] = lab_read_copy(o, keys[k]);
    }
    run->interrupted = json_is_true(json_object_get(o, "interrupted"));
    run->out_of_time = json_is_true(json_object_get(o, "out_of_time"));
    read_pairs(json_object_get(o, "machine"), &run->machine, &run->machine_count);
    read_pairs(json_object_get(o, "options"), &run->options, &run->option_count);
    if (!run->time) { /* files of before there was a store have it here */
        run->time = lab_read_copy(json_object_get(o, "machine"), "date");
    }
    read_subjects(r, json_object_get(o, "subjects"));
    json_array_foreach(json_object_get(o, "failures"), i, x) {
        lab_run_fail(run, lab_read_text(x, "experiment"), lab_read_text(x, "variant"),
                     lab_read_text(x, "subject"), lab_read_text(x, "reason"));
    }
    json_array_foreach(json_object_get(o, "notes"), i, x) {
        lab_run_note(run, lab_read_text(x, "experiment"), lab_read_text(x, "subject"),
                     lab_read_text(x, "key"), lab_read_text(x, "text"));
    }
}

/* The samples of each process; and the process's one value, which need not be their median. */
static void read_samples(struct lab_reader *r, const json_t *o, struct lab_result *result) {
    size_t i, count;
    json_t *process;
    json_array_foreach(json_object_get(o, "processes"), i, process) {
        double *values = lab_read_numbers(r, process, "a process of a result", &count);
        lab_read_process(result, values, count);
    }
    result->samples = lab_read_numbers(r, json_object_get(o, "samples"), "samples", &count);
    if (count == result->n && count > 0)
        return;
    if (count != result->n)
        lab_read_wrong(r, "a result of '%s' has %zu processes and %zu samples", result->subject,
                       result->n, count);
    free(result->samples);
    result->samples = lab_alloc(result->n, sizeof(double));
}

void lab_read_heddle_result(struct lab_reader *r, const json_t *o) {
    struct lab_result *result =
        lab_read_add(r, lab_read_text(o, "experiment"), lab_read_text(o, "subject"),
                     lab_read_text(o, "metric"), lab_read_text(o, "unit"));
    const char *better = lab_read_text(o, "better");
    const json_t *interval = json_object_get(o, "ci95");
    free(result->variant);
    result->variant = lab_copy(lab_read_text(o, "variant"));
    result->better = strcmp(better, "lower") == 0    ? LAB_BETTER_LOWER
                     : strcmp(better, "higher") == 0 ? LAB_BETTER_HIGHER
                                                     : LAB_BETTER_NONE;
    result->primary = json_is_true(json_object_get(o, "primary"));
    result->per_thing = json_is_true(json_object_get(o, "per_thing"));
    read_pairs(json_object_get(o, "params"), &result->params, &result->param_count);
    result->median = lab_read_number(o, "median");
    result->min = lab_read_number(o, "min");
    result->max = lab_read_number(o, "max");
    result->bare_ratio = lab_read_number(o, "bare_ratio");
    if (json_is_number(json_array_get(interval, 0)) &&
        json_is_number(json_array_get(interval, 1))) {
        result->ci_low = json_number_value(json_array_get(interval, 0));
        result->ci_high = json_number_value(json_array_get(interval, 1));
    }
    read_samples(r, o, result);
}

/* The object of which a text is the JSON; NULL if it is none. */
static json_t *embedded(const json_t *text) {
    const char *s = json_string_value(text);
    json_t *o = s ? json_loads(s, 0, NULL) : NULL;
    if (json_is_object(o))
        return o;
    json_decref(o);
    return NULL;
}

bool lab_read_embedded_head(struct lab_reader *r, const json_t *text) {
    json_t *o = embedded(text);
    if (!o)
        return false;
    lab_read_heddle_head(r, o);
    r->own = true;
    r->expected = (size_t)json_integer_value(json_object_get(o, "result_count"));
    json_decref(o);
    return true;
}

bool lab_read_embedded_result(struct lab_reader *r, const json_t *text) {
    json_t *o = embedded(text);
    if (!o)
        return false;
    bool foreign = r->foreign; /* which adding a result says otherwise */
    lab_read_heddle_result(r, o);
    r->foreign = foreign;
    json_decref(o);
    return true;
}

bool lab_read_heddle(struct lab_reader *r, const json_t *file) {
    const json_t *schema = json_object_get(file, "schema");
    const json_t *results = json_object_get(file, "results");
    if (!json_is_integer(schema) || !json_is_array(results))
        return false;
    if (json_integer_value(schema) != SCHEMA) {
        lab_read_wrong(r, "its schema is %" JSON_INTEGER_FORMAT ", and this heddle knows %d",
                       json_integer_value(schema), SCHEMA);
        return true;
    }
    size_t i;
    json_t *x;
    lab_read_heddle_head(r, file);
    json_array_foreach(results, i, x) {
        lab_read_heddle_result(r, x);
    }
    r->run->source_format = lab_read_copy(file, "source_format");
    r->run->source = lab_read_copy(file, "source");
    return true;
}
