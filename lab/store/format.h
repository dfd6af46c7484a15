/* SPDX-License-Identifier: MIT */
/* The formats of runs in files: a table. */
#ifndef HEDDLE_LAB_STORE_FORMAT_H
#define HEDDLE_LAB_STORE_FORMAT_H

#include <stdio.h>

#include "read.h"

struct lab_format {
    const char *name;
    const char *summary;
    bool (*read)(struct lab_reader *r, const json_t *file); /* NULL: is only written */
    /* Writes a run; how many of its results the format has no words for. */
    size_t (*write)(const struct lab_run *run, FILE *f);
    const char *never; /* what it never holds, so that leaving it out is no failure; or NULL */
};

extern const struct lab_format lab_formats[];
extern const size_t lab_format_count;

/* NULL if there is none of that name. */
const struct lab_format *lab_format_find(const char *name);

/* Writes a run. One that was read from a file of that very format is written as it was read, byte
 * for byte. */
size_t lab_format_write(const struct lab_format *format, const struct lab_run *run, FILE *f);

size_t lab_write_pyperf(const struct lab_run *run, FILE *f);
size_t lab_write_gbench(const struct lab_run *run, FILE *f);
size_t lab_write_hyperfine(const struct lab_run *run, FILE *f);
size_t lab_write_prometheus(const struct lab_run *run, FILE *f);

/* A name for a result: "switch/heddle/yield_ns threads=2". The caller frees it. */
char *lab_format_name(const struct lab_result *r);

/* How many of the run's results before this one have its name: a command may have been given
 * twice, and readers want names that are unique. */
size_t lab_format_twins(const struct lab_run *run, const struct lab_result *r);

/* The head of the run, or a result, as the text of a JSON object on one line. The caller frees
 * it. */
char *lab_format_head(const struct lab_run *run);
char *lab_format_result(const struct lab_result *r);

#endif
