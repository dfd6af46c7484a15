/* SPDX-License-Identifier: MIT */
/* Made-up runs, and a place for stores. */
#ifndef HEDDLE_TEST_STORE_SUPPORT_H
#define HEDDLE_TEST_STORE_SUPPORT_H

#include "result.h"

/* A run with something in every field; two seeds give two different ones. Odd seeds leave out
 * what may be missing. */
void make_run(struct lab_run *run, unsigned seed);

/* Adds a result with so many processes of so many samples each. */
void make_result(struct lab_run *run, unsigned seed, size_t processes, size_t samples);

/* Ends the test at the first difference; id and uid, which the store gives, are not compared. */
void check_same_run(const struct lab_run *a, const struct lab_run *b);

/* NAME in a new directory, which is removed when the test ends. */
char *place_for(const char *name);

#endif
