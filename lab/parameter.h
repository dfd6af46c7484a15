/* SPDX-License-Identifier: MIT */
/* Parameters of experiments as a user sets them: one value, or a list of them, each of which is
 * then measured (--threads 100,1000,10000). */
#ifndef HEDDLE_LAB_PARAMETER_H
#define HEDDLE_LAB_PARAMETER_H

#include <stdbool.h>
#include <stddef.h>

#include "opt.h"

enum { LAB_OPT_PARAMETER = 1000 }; /* what lab_opt_next() returns for each of them */

/* The options that set parameters. */
extern const struct lab_option lab_parameter_options[];

/* What a user wrote for the parameter, checked and in plain numbers: one value, or several with
 * commas between, each once. The caller frees it. NULL after a complaint. */
char *lab_parameter_read(const char *name, const char *text);

/* The n-th value of a list, in memory that the caller frees; NULL when there are fewer. */
char *lab_list_at(const char *list, size_t n);

bool lab_list_has(const char *list, const char *value);

#endif
