/* SPDX-License-Identifier: MIT */
/* The runs that a user names: files, runs in the store, revisions. */
#ifndef HEDDLE_LAB_PICK_H
#define HEDDLE_LAB_PICK_H

#include <stdbool.h>

#include "result.h"
#include "store/store.h"

/* Whether the name is that of a file: then it is not looked for in the store. */
bool lab_pick_is_file(const char *what);

/* The number of the run in the store that is meant: what lab_store_find knows, and revisions as
 * git names them ("HEAD~1", "rev:main"). -errno after a complaint. */
int lab_pick_find(struct lab_store *store, const char *what, long long *id);

/* Loads a run: "-" and files as files, everything else from the store that `db` leads to. -errno
 * after a complaint. */
int lab_pick_run(const char *what, const char *db, struct lab_run *out);

#endif
