/* SPDX-License-Identifier: MIT */
/* The options that the commands share which measure or compare runs: where reports go, where the
 * store is, and how much is said. What has another name in each stays there: every sample as CSV is
 * --samples of heddle run, and --runs of heddle lab, whose --samples is a parameter. */
#ifndef HEDDLE_LAB_OPTIONS_H
#define HEDDLE_LAB_OPTIONS_H

#include <stdbool.h>

#include "opt.h"
#include "report/files.h"
#include "store/keep.h"

/* Tables for struct lab_opt, `shared`: of those that measure, and of those that compare runs. */
extern const struct lab_option lab_options_run[], lab_options_pair[];

struct lab_options {
    struct lab_files files;
    struct lab_keep keep; /* those that compare have its file alone */
    bool quiet, help;
};

/* Takes an option of these tables. 0, or the exit status: of an unknown one, too. */
int lab_options_take(struct lab_options *o, int id, const char *value);

#endif
