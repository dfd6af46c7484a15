/* SPDX-License-Identifier: MIT */
/* What the command says on standard error: complaints, and how far it got. */
#ifndef HEDDLE_LAB_MESSAGE_H
#define HEDDLE_LAB_MESSAGE_H

#include <stdbool.h>

#include "text.h"

/* The exit statuses of the command. */
enum {
    LAB_EXIT_DONE = 0,
    LAB_EXIT_GATE = 1,  /* a gate or a comparison failed */
    LAB_EXIT_USAGE = 2, /* the command line asks for something that cannot be */
    LAB_EXIT_UNMEASURED = 3,
    LAB_EXIT_SIGNAL = 128, /* plus the signal's number */
};

/* "heddle: ..." and a newline, on a line of its own. */
void lab_complain(const char *fmt, ...) LAB_PRINTF(1, 2);

/* Progress: nothing during the first two seconds; then one line that is rewritten in place on a
 * terminal, and a plain line every ten seconds elsewhere. */
void lab_progress_start(bool quiet);
void lab_progress(const char *fmt, ...) LAB_PRINTF(1, 2);
/* Takes the line away; it comes back with the next call of lab_progress. */
void lab_progress_hide(void);

/* Seconds since some moment, which do not jump. */
double lab_now_s(void);

#endif
