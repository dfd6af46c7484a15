/* SPDX-License-Identifier: MIT */
/* From what a user calls a run to its number; baselines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../message.h"
#include "../text.h"
#include "sql.h"
#include "store.h"

enum { COMMIT_LEAST = 4 }; /* characters of a commit that are taken for one */

#define COMMITS                                                                                    \
    " FROM (SELECT id, commit_id, replace(commit_id, '-dirty', '') AS c FROM run"                  \
    " WHERE commit_id IS NOT NULL) WHERE substr(c, 1, length(?1)) = ?1"                            \
    " OR (length(c) >= 7 AND substr(?1, 1, length(c)) = c)"

/* The number that a statement with one parameter selects; 0 if there is no row. */
static long long look_up(struct lab_store *store, const char *sql, const char *text) {
    sqlite3_stmt *s = lab_sql_prepare(store, sql);
    lab_sql_text(s, 1, text);
    long long found = lab_sql_step(store, s) ? sqlite3_column_int64(s, 0) : 0;
    sqlite3_finalize(s);
    return found;
}

/* "last" and "last-N". */
static bool find_last(struct lab_store *store, const char *what, long long *id) {
    unsigned long long back = 0;
    if (!lab_starts_with(what, "last"))
        return false;
    if (what[4] && (what[4] != '-' || !lab_parse_number(what + 5, false, 0, 1u << 30, &back)))
        return false;
    char *sql = lab_format("SELECT id FROM run ORDER BY id DESC LIMIT 1 OFFSET %llu", back);
    *id = lab_sql_integer(store, sql, 0);
    free(sql);
    return true;
}

/* The latest run of the commit that begins so, or whose abbreviation (of seven digits or more)
 * `what` begins with; runs of files that differed from the commit ("-dirty") come after all others.
 * -ENOTUNIQ after a complaint if there are several such commits. */
static int find_commit(struct lab_store *store, const char *what, long long *id) {
    size_t n = strlen(what);
    if (n < COMMIT_LEAST || strspn(what, "0123456789abcdef") != n)
        return 0;
    /* One commit may stand there with all digits and with twelve. */
    static const char count[] = "SELECT count(DISTINCT substr(c, 1, 12))" COMMITS,
                      latest[] = "SELECT id" COMMITS " ORDER BY c <> commit_id, id DESC LIMIT 1";
    long long commits = look_up(store, count, what);
    *id = look_up(store, latest, what);
    if (commits <= 1)
        return 0;
    lab_complain("'%s' is the beginning of %lld commits in '%s': give more of it", what, commits,
                 store->path);
    return -ENOTUNIQ;
}

int lab_store_find(struct lab_store *store, const char *what, long long *id) {
    static const char baseline[] = "baseline:";
    if (lab_starts_with(what, baseline))
        return lab_store_baseline_get(store, what + strlen(baseline), id);
    unsigned long long number;
    *id = 0;
    int error = 0;
    if (lab_parse_number(what, false, 1, ~0ULL >> 1, &number))
        *id = look_up(store, "SELECT id FROM run WHERE id = CAST(?1 AS INTEGER)", what);
    if (!*id)
        *id = look_up(store, "SELECT id FROM run WHERE label = ?1 ORDER BY id DESC LIMIT 1", what);
    if (!*id && !find_last(store, what, id))
        error = find_commit(store, what, id);
    int broken = lab_sql_finish(store, "read");
    if (broken || error)
        return broken ? broken : error;
    if (*id)
        return 0;
    lab_complain("there is no run '%s' in '%s' ('heddle history' lists them)", what, store->path);
    return -ENOENT;
}

int lab_store_known(struct lab_store *store, const struct lab_run *run, long long *id) {
    *id = 0;
    if (run->uid)
        *id = look_up(store, "SELECT id FROM run WHERE uid = ?1", run->uid);
    if (!*id && run->source)
        *id = look_up(store, "SELECT id FROM run WHERE source = ?1", run->source);
    return lab_sql_finish(store, "read");
}

/* Runs a statement whose parameters are a run and a text, and that changes that run's row. */
static int change(struct lab_store *store, const char *sql, long long id, const char *text) {
    sqlite3_stmt *s = lab_sql_prepare(store, sql);
    if (s)
        sqlite3_bind_int64(s, 1, id);
    if (s && text)
        lab_sql_text(s, 2, text);
    lab_sql_step(store, s);
    sqlite3_finalize(s);
    int error = lab_sql_finish(store, "write");
    if (error || sqlite3_changes(store->db) > 0)
        return error;
    lab_complain("there is no run %lld in '%s'", id, store->path);
    return -ENOENT;
}

int lab_store_label(struct lab_store *store, long long id, const char *label) {
    return change(store, "UPDATE run SET label = ?2 WHERE id = ?1", id, label);
}

int lab_store_delete(struct lab_store *store, long long id) {
    return change(store, "DELETE FROM run WHERE id = ?1", id, NULL);
}

int lab_store_baseline_set(struct lab_store *store, const char *name, long long id) {
    sqlite3_stmt *s = lab_sql_prepare(
        store, "INSERT INTO baseline(name, run, time) VALUES(?1, ?2, strftime('%Y-%m-%dT%H:%M:%SZ',"
               " 'now')) ON CONFLICT(name) DO UPDATE SET run = excluded.run, time = excluded.time");
    lab_sql_text(s, 1, name);
    if (s)
        sqlite3_bind_int64(s, 2, id);
    lab_sql_step(store, s);
    sqlite3_finalize(s);
    return lab_sql_finish(store, "write");
}

int lab_store_baseline_get(struct lab_store *store, const char *name, long long *id) {
    *id = look_up(store, "SELECT run FROM baseline WHERE name = ?1", name);
    int error = lab_sql_finish(store, "read");
    if (error || *id)
        return error;
    lab_complain("there is no baseline '%s' in '%s'", name, store->path);
    return -ENOENT;
}
