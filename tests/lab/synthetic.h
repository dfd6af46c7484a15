/* SPDX-License-Identifier: MIT */
/* Runs that nobody measured, for tests of the reports. */
#ifndef HEDDLE_TEST_SYNTHETIC_H
#define HEDDLE_TEST_SYNTHETIC_H

#include <stddef.h>

#include "result.h"

/* A result of n processes around a median, spread by a few percent; samples are always the same
 * for the same arguments. Valid until the next call. */
struct lab_result *synthetic_add(struct lab_run *run, const char *experiment, const char *variant,
                                 const char *subject, const char *metric, const char *unit,
                                 double median, size_t n);

void synthetic_subject(struct lab_run *run, const char *name, const char *kind, const char *version,
                       bool free_threaded);

/* A run with everything that a page has to show: distributions, sweeps over one and two parameters,
 * scaling, many cases, listings, failures. Figures are multiplied by `factor`. */
struct lab_run synthetic_run(double factor);

#endif
