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
int cmd_history(char **argv);
void cmd_history_help(FILE *f);
int cmd_export(char **argv);
void cmd_export_help(FILE *f);
int cmd_import(char **argv);
void cmd_import_help(FILE *f);
int cmd_subjects(char **argv);
void cmd_subjects_help(FILE *f);
int cmd_machine(char **argv);
void cmd_machine_help(FILE *f);
int cmd_ops(char **argv);
void cmd_ops_help(FILE *f);
int cmd_run(char **argv);
void cmd_run_help(FILE *f);
int cmd_compare(char **argv);
void cmd_compare_help(FILE *f);
int cmd_gil(char **argv);
void cmd_gil_help(FILE *f);
int cmd_gate(char **argv);
void cmd_gate_help(FILE *f);
int cmd_threads(char **argv);
void cmd_threads_help(FILE *f);

/* Reads "5%" or "5" as 0.05. 0, or LAB_EXIT_USAGE after a complaint about the option. */
int cmd_percent(const char *name, const char *value, double *out);

/* Flushes standard output; `status`, or LAB_EXIT_UNMEASURED after a complaint when what was to be
 * written could not be. */
int cmd_finish(int status);

#endif
