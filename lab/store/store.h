/* SPDX-License-Identifier: MIT */
/* Where runs are kept: one SQLite file, with every raw sample (doc/decisions/store.md).
 *
 * A run is written in one transaction: it is there as a whole or not at all, whatever ends the
 * command. Several commands may read and write at once; a writer waits for another one for up to
 * LAB_STORE_WAIT_S. Functions that return int return 0, or -errno after a complaint that says what
 * happened to which file. */
#ifndef HEDDLE_LAB_STORE_H
#define HEDDLE_LAB_STORE_H

#include <stdbool.h>

#include "../result.h"

struct lab_store;

enum { LAB_STORE_WAIT_S = 20 };

/* Where the store is: `given` (from --db) if that is not NULL, $HEDDLE_DB,
 * $XDG_DATA_HOME/heddle/results.db, ~/.local/share/heddle/results.db. The caller frees it. NULL
 * when there is no home either. */
char *lab_store_path(const char *given);

/* Opens the store that `given` leads to, and brings one of an older heddle up to date. With
 * `write` it is made if need be, directories and all. Without, one that cannot be written to is
 * opened too. -ENOENT if there is none. */
int lab_store_open(const char *given, bool write, struct lab_store **out);
void lab_store_close(struct lab_store *store);
const char *lab_store_file(const struct lab_store *store);

/* A new one for a run: 32 hexadecimal digits. The caller frees it. */
char *lab_store_uid(void);

/* Writes a run; *id becomes its number. Sets nothing in the run. A run without a time gets the
 * present one. `label` may be NULL: then it is the run's own, if it has one. */
int lab_store_save(struct lab_store *store, const struct lab_run *run, const char *label,
                   long long *id);

/* Fills *out, all of it; lab_run_free() frees it. -ENOENT if there is no such run. On failure
 * *out is empty. */
int lab_store_load(struct lab_store *store, long long id, struct lab_run *out);

/* The run that a user means by "12", "last", "last-1" (the one before the last), a label or the
 * beginning of a commit (of several the latest), "baseline:NAME". */
int lab_store_find(struct lab_store *store, const char *what, long long *id);

/* A run that is there already under the same uid, or that came from the same file of another
 * program; *id is 0 if there is none. */
int lab_store_known(struct lab_store *store, const struct lab_run *run, long long *id);

/* Gives a run another label (NULL: none); takes a run away with all that belongs to it. -ENOENT if
 * there is no such run. */
int lab_store_label(struct lab_store *store, long long id, const char *label);
int lab_store_delete(struct lab_store *store, long long id);

/* A name for a run to compare others with. Setting it again moves it. */
int lab_store_baseline_set(struct lab_store *store, const char *name, long long id);
int lab_store_baseline_get(struct lab_store *store, const char *name, long long *id);

/* One run in a list. The texts belong to the list, and are "" where they are unknown. */
struct lab_store_row {
    long long id;
    const char *time, *label, *command, *commit, *mode, *source_format;
    const char *baselines; /* names, separated by commas */
    const char *subjects;  /* names, separated by " | " */
    bool interrupted;
    long long results, failures;
};

/* What a list holds. NULL and 0 mean all. */
struct lab_store_filter {
    const char *label, *commit;                /* the commit's beginning */
    const char *experiment, *subject, *metric; /* with a result of these */
    const char *since;                         /* the beginning of a time: "2026-11" and later */
    unsigned long long limit;                  /* the latest so many */
};

/* Calls `row` for each run, the latest first, until it returns false. */
int lab_store_list(struct lab_store *store, const struct lab_store_filter *filter,
                   bool (*row)(const struct lab_store_row *row, void *data), void *data);

/* A self-check, with what it measured. */
struct lab_store_check {
    char *time, *machine; /* when and where */
    char *kernel, *heddle;
    bool passed;
    size_t comparisons, alarms; /* of equals, and those that were called different */
    size_t planted, found;      /* differences */
    char *report;               /* all of it, as JSON */
};
int lab_store_check_save(struct lab_store *store, const struct lab_store_check *c);

/* The last one on a machine; without a time if there is none. lab_store_check_free() frees it. */
int lab_store_check_last(struct lab_store *store, const char *machine,
                         struct lab_store_check *out);
void lab_store_check_free(struct lab_store_check *c);

/* Reads a run from a file: JSON of heddle, pyperf, Google Benchmark or hyperfine, which it tells
 * apart (out->source_format; NULL for heddle's own). "-" is standard input. -EINVAL if it is none
 * of these, -errno otherwise, after a complaint; then *out is empty. */
int lab_load_file(const char *path, struct lab_run *out);

#endif
