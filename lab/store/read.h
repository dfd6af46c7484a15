/* SPDX-License-Identifier: MIT */
/* Reading runs from JSON: what the readers of all formats share. */
#ifndef HEDDLE_LAB_READ_H
#define HEDDLE_LAB_READ_H

#include <jansson.h>

#include "../result.h"

/* The first thing that is wrong with a file; readers go on without harm after it. */
struct lab_reader {
    struct lab_run *run;
    char *wrong;     /* NULL: nothing yet */
    bool own;        /* the head is heddle's, which wrote the file in another tool's format */
    bool foreign;    /* something in it is not heddle's, or no longer */
    size_t expected; /* how many results heddle put into the file */
};

void lab_read_wrong(struct lab_reader *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A member's text; "" if it is missing or something else. Belongs to the object. */
const char *lab_read_text(const json_t *object, const char *key);

/* A copy of it; NULL if it is missing. */
char *lab_read_copy(const json_t *object, const char *key);

/* A number; NAN if it is missing or null. */
double lab_read_number(const json_t *object, const char *key);

/* An array of numbers that are finite; complains if it is anything else. `what` names it. NULL and
 * a count of 0 for an empty one. */
double *lab_read_numbers(struct lab_reader *r, const json_t *array, const char *what,
                         size_t *count);

/* One plain value as a pair; arrays and objects become their JSON text. */
void lab_read_pair(struct lab_pair **pairs, size_t *count, const char *key, const json_t *value);

/* A new result of the run, all texts set. */
struct lab_result *lab_read_add(struct lab_reader *r, const char *experiment, const char *subject,
                                const char *metric, const char *unit);

/* Gives a result one more process. Takes the values. */
void lab_read_process(struct lab_result *result, double *values, size_t count);

/* Fills in what follows from the processes. A result without any is not to be kept: false. */
bool lab_read_conclude(struct lab_result *result);

/* Takes away the last result of the run. */
void lab_read_drop(struct lab_reader *r);

/* Units of time as the formats' own: how many of them are a second; 0 for what is none. */
double lab_unit_per_second(const char *unit);

/* The formats, each with one reader: false if the text is of another format. */
bool lab_read_heddle(struct lab_reader *r, const json_t *file);
bool lab_read_pyperf(struct lab_reader *r, const json_t *file);
bool lab_read_gbench(struct lab_reader *r, const json_t *file);
bool lab_read_hyperfine(struct lab_reader *r, const json_t *file);

/* What heddle wrote into a file of another format: all but the results; one result. */
void lab_read_heddle_head(struct lab_reader *r, const json_t *object);
void lab_read_heddle_result(struct lab_reader *r, const json_t *object);

/* The same from the texts (lab_format_head(), lab_format_result()) in which they stand there: true
 * if there is one. */
bool lab_read_embedded_head(struct lab_reader *r, const json_t *text);
bool lab_read_embedded_result(struct lab_reader *r, const json_t *text);

/* After lab_read_heddle_result: whether its samples are those that the file itself holds, each
 * times `factor`. If not, another program has changed the file, and the result gets the file's.
 * Takes the processes. */
void lab_read_agree(struct lab_reader *r, struct lab_process_samples *found, size_t n,
                    double factor);

#endif
