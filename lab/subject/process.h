/* SPDX-License-Identifier: MIT */
/* Running a child in a process group of its own, with a time limit and bounded output. */
#ifndef HEDDLE_LAB_PROCESS_H
#define HEDDLE_LAB_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "../text.h"

enum lab_process_end {
    LAB_PROCESS_EXITED,      /* code: exit status */
    LAB_PROCESS_SIGNALLED,   /* code: signal */
    LAB_PROCESS_TIMED_OUT,   /* its group was killed */
    LAB_PROCESS_TALKATIVE,   /* more output than allowed; its group was killed */
    LAB_PROCESS_INTERRUPTED, /* the command got a signal; its group was killed */
    LAB_PROCESS_NOT_STARTED, /* code: errno */
};

struct lab_process {
    enum lab_process_end end;
    int code;
    struct lab_text out; /* what it wrote on standard output, up to the bound */
    struct lab_text err; /* the first part of what it wrote on standard error */
    double seconds;
};

/* Runs argv[0] (a path; it is not searched) with nothing on its standard input, until it ends, or
 * for timeout_s. When it ends, what is left of its process group is killed: no measurement runs
 * beside the remains of another. */
void lab_process_run(struct lab_process *p, char *const *argv, double timeout_s);
void lab_process_free(struct lab_process *p);

/* Why it counts as failed, as one line without a newline; the caller frees it. `timeout_s` as it
 * was given. NULL when it exited with status 0. */
char *lab_process_reason(const struct lab_process *p, double timeout_s);

#endif
