/* SPDX-License-Identifier: MIT */
/* The commands. Each takes what follows its name and returns the exit status. */
#ifndef HEDDLE_LAB_CMD_H
#define HEDDLE_LAB_CMD_H

#include <stdio.h>

struct lab_command {
    const char *name;
    const char *summary;
    int (*run)(char **argv);
    void (*help)(FILE *f);
};

int cmd_lab(char **argv);
void cmd_lab_help(FILE *f);
int cmd_subjects(char **argv);
void cmd_subjects_help(FILE *f);

/* Flushes standard output; `status`, or LAB_EXIT_UNMEASURED after a complaint when what was to be
 * written could not be. */
int cmd_finish(int status);

#endif
