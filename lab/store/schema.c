/* SPDX-License-Identifier: MIT */
/* The tables, and how a store of an older heddle becomes one of this.
 *
 * A step is never changed once a version with it was released: a new one is added, and
 * LAB_STORE_SCHEMA counted up. The file's user_version says which steps it has been through; each
 * is taken in a transaction of its own, together with that number.
 *
 * All samples of a result are one blob of doubles, little-endian, process after process, and
 * `counts` (32 bits each) says how many belong to each. A row for each sample would take eight
 * times the room and, for a million of them, seconds to read. */
#include <stdlib.h>

#include "../text.h"
#include "sql.h"

static const char *const steps[LAB_STORE_SCHEMA] = {
    "CREATE TABLE run ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT," /* never given to another run */
    " uid TEXT NOT NULL UNIQUE,"
    " time TEXT NOT NULL,"
    " label TEXT, command TEXT, commit_id TEXT, flags TEXT,"
    " mode TEXT NOT NULL,"
    " interrupted INTEGER NOT NULL, out_of_time INTEGER NOT NULL,"
    " source_format TEXT, source TEXT);"
    "CREATE INDEX run_label ON run(label) WHERE label IS NOT NULL;"
    "CREATE INDEX run_commit ON run(commit_id) WHERE commit_id IS NOT NULL;"
    /* machine, option, and the parameters of results */
    "CREATE TABLE fact ("
    " run INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,"
    " kind TEXT NOT NULL, place INTEGER NOT NULL,"
    " key TEXT NOT NULL, value TEXT NOT NULL, number INTEGER NOT NULL,"
    " PRIMARY KEY (run, kind, place)) WITHOUT ROWID;"
    "CREATE TABLE subject ("
    " run INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,"
    " place INTEGER NOT NULL,"
    " name TEXT NOT NULL, kind TEXT NOT NULL, version TEXT NOT NULL, path TEXT NOT NULL,"
    " free_threaded INTEGER NOT NULL,"
    " PRIMARY KEY (run, place)) WITHOUT ROWID;"
    "CREATE TABLE result ("
    " id INTEGER PRIMARY KEY,"
    " run INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,"
    " place INTEGER NOT NULL,"
    " experiment TEXT NOT NULL, variant TEXT NOT NULL, subject TEXT NOT NULL,"
    " metric TEXT NOT NULL, unit TEXT NOT NULL,"
    " better INTEGER NOT NULL," /* -1: low, 1: high, 0: neither */
    " is_primary INTEGER NOT NULL, per_thing INTEGER NOT NULL,"
    " n INTEGER NOT NULL, median REAL, min REAL, max REAL, ci_low REAL, ci_high REAL,"
    " bare_ratio REAL,"
    " medians BLOB NOT NULL, counts BLOB NOT NULL, samples BLOB NOT NULL,"
    " UNIQUE (run, place));"
    "CREATE TABLE parameter ("
    " result INTEGER NOT NULL REFERENCES result(id) ON DELETE CASCADE,"
    " place INTEGER NOT NULL,"
    " key TEXT NOT NULL, value TEXT NOT NULL, number INTEGER NOT NULL,"
    " PRIMARY KEY (result, place)) WITHOUT ROWID;"
    "CREATE TABLE failure ("
    " run INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,"
    " place INTEGER NOT NULL,"
    " experiment TEXT NOT NULL, subject TEXT NOT NULL, variant TEXT NOT NULL,"
    " reason TEXT NOT NULL,"
    " PRIMARY KEY (run, place)) WITHOUT ROWID;"
    "CREATE TABLE note ("
    " run INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,"
    " place INTEGER NOT NULL,"
    " experiment TEXT NOT NULL, subject TEXT NOT NULL, key TEXT NOT NULL, text TEXT NOT NULL,"
    " PRIMARY KEY (run, place)) WITHOUT ROWID;"
    "CREATE TABLE baseline ("
    " name TEXT PRIMARY KEY,"
    " run INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,"
    " time TEXT NOT NULL) WITHOUT ROWID;",
    /* heddle history --metric; and for people with SQL of their own, a table without blobs */
    "CREATE INDEX result_metric ON result(metric, experiment, subject);"
    "CREATE VIEW measured AS SELECT run.id AS run, time, label, commit_id, experiment, variant,"
    " subject, metric, unit, (SELECT group_concat(key || '=' || value, ' ') FROM parameter"
    "  WHERE parameter.result = result.id) AS parameters,"
    " n, median, min, max, ci_low, ci_high FROM run JOIN result ON result.run = run.id;",
    /* heddle lab --self-check; comparisons and planted differences are those that were measured */
    "CREATE TABLE self_check ("
    " id INTEGER PRIMARY KEY,"
    " time TEXT NOT NULL, machine TEXT NOT NULL, kernel TEXT, heddle TEXT,"
    " passed INTEGER NOT NULL,"
    " comparisons INTEGER NOT NULL, alarms INTEGER NOT NULL,"
    " planted INTEGER NOT NULL, found INTEGER NOT NULL,"
    " report TEXT);"
    "CREATE INDEX self_check_machine ON self_check(machine, time);",
};

void lab_schema_migrate(struct lab_store *store, int upto) {
    while (store->error == SQLITE_OK) {
        lab_sql_do(store, "BEGIN IMMEDIATE"); /* somebody else may be at it */
        long long version = lab_sql_integer(store, "PRAGMA user_version", 0);
        if (version >= upto || store->error != SQLITE_OK) {
            lab_sql_do(store, "ROLLBACK");
            return;
        }
        lab_sql_do(store, steps[version]);
        char *sql = lab_format("PRAGMA user_version = %lld; PRAGMA application_id = %d; COMMIT",
                               version + 1, LAB_STORE_APPLICATION);
        lab_sql_do(store, sql);
        free(sql);
        if (store->error != SQLITE_OK)
            sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    }
}
