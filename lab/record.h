/* SPDX-License-Identifier: MIT */
/* Filling a lab_run. Strings are copied. (Reports need result.h alone.) */
#ifndef HEDDLE_LAB_RECORD_H
#define HEDDLE_LAB_RECORD_H

#include "result.h"

void lab_pairs_add(struct lab_pair **pairs, size_t *count, const char *key, const char *value,
                   bool number);

void lab_run_fail(struct lab_run *run, const char *experiment, const char *variant,
                  const char *subject, const char *reason);

/* The key of a note that says that the max RSS of a subject is an upper bound only. */
#define LAB_NOTE_FLOOR "max-rss"

void lab_run_note(struct lab_run *run, const char *experiment, const char *subject, const char *key,
                  const char *text);

/* A new empty result at the end; valid until the next call. */
struct lab_result *lab_run_add(struct lab_run *run);

/* The text of a mode that outlives every run. */
const char *lab_run_mode(const char *mode);

void lab_run_free(struct lab_run *run);

#endif
