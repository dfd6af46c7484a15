/* SPDX-License-Identifier: MIT */
/* The files that a command writes its reports to. */
#ifndef HEDDLE_LAB_FILES_H
#define HEDDLE_LAB_FILES_H

#include <stdbool.h>
#include <stdio.h>

#include "output.h"

enum lab_report {
    LAB_REPORT_CSV,
    LAB_REPORT_JSON,
    LAB_REPORT_HTML,
    LAB_REPORT_MARKDOWN,
    LAB_REPORT_SAMPLES, /* every sample, as rows; heddle lab alone has it */
    LAB_REPORTS,
};

struct lab_files {
    const char *command;            /* for messages, e.g. "heddle run" */
    const char *names[LAB_REPORTS]; /* NULL: not asked for */
    struct lab_output outputs[LAB_REPORTS];
};

/* These return 0, or the exit status after a complaint. */

/* Takes the name that the user gave. */
int lab_files_name(struct lab_files *files, enum lab_report which, const char *name);

/* Opens them all, before anything is measured. */
int lab_files_open(struct lab_files *files);

/* Writes those that were asked for: `write` is given what `arg` is, and returns 0 or -errno. The
 * status of a failure is LAB_EXIT_UNMEASURED. *table becomes whether standard output is free. */
int lab_files_write(struct lab_files *files,
                    int (*write)(enum lab_report which, const void *arg, FILE *f), const void *arg,
                    bool *table);

/* For `write`: a run, of which `arg` is a struct lab_run, or two, of which it is a struct
 * report_pair. */
int lab_files_run(enum lab_report which, const void *arg, FILE *f);
int lab_files_pair(enum lab_report which, const void *arg, FILE *f);

/* Leaves no trace of those that were not written. */
void lab_files_close(struct lab_files *files);

/* Whether what goes to standard output may have colour. */
bool lab_files_colour(void);

#endif
