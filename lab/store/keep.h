/* SPDX-License-Identifier: MIT */
/* What a command that measures does about the store: looks at it before anything is measured,
 * describes the run, and keeps it. */
#ifndef HEDDLE_LAB_KEEP_H
#define HEDDLE_LAB_KEEP_H

#include <stdbool.h>

#include "../result.h"

struct lab_keep {
    bool off;          /* --no-store */
    const char *file;  /* --db */
    const char *label; /* --label */
};

/* Whether a text can be a label, by which runs are found; complains if not. */
bool lab_keep_label(const char *label);

/* Whether a text can be the name of a baseline; complains if not. */
bool lab_keep_baseline(const char *name);

/* Makes or opens the store, so that one that cannot be used costs nobody minutes. 0 or the exit
 * status. One that the user named must work; the usual one may be missing, which is said, and
 * nothing is kept. */
int lab_keep_check(struct lab_keep *keep);

/* The present time, and the command line, as a shell would read it: "heddle NAME ARGUMENT...". */
void lab_keep_describe(struct lab_run *run, const char *name, char *const *argv);

/* The commit that is checked out in the present directory, "-dirty" at its end if files differ
 * from it. NULL if there is none. The caller frees it. */
char *lab_keep_commit(void);

/* Keeps the run and sets its number, uid and label. If it cannot be written, it goes into a file
 * of its own from which heddle import takes it, and the exit status says so. 0 or that. */
int lab_keep_run(const struct lab_keep *keep, struct lab_run *run);

#endif
