/* SPDX-License-Identifier: MIT */
/* What the files of the store share: SQL with one place for errors.
 *
 * The first error is kept in the store, and nothing is done afterwards until lab_sql_finish() has
 * told it: a sequence of statements needs one check, at its end. */
#ifndef HEDDLE_LAB_SQL_H
#define HEDDLE_LAB_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

struct lab_store {
    sqlite3 *db;
    char *path;
    int error;   /* the first failure, as SQLite's extended code; SQLITE_OK: none */
    char *words; /* what SQLite said of it */
};

/* Notes a failure of the connection, unless there was one before. */
void lab_sql_fail(struct lab_store *store, int code);

/* Runs statements without parameters. */
void lab_sql_do(struct lab_store *store, const char *sql);

/* NULL after an error. */
sqlite3_stmt *lab_sql_prepare(struct lab_store *store, const char *sql);

/* Bind one parameter (counted from 1). NULL texts are NULL; NAN is NULL. Blobs are not copied. */
void lab_sql_text(sqlite3_stmt *s, int index, const char *text);
void lab_sql_number(sqlite3_stmt *s, int index, double value);

/* Takes one step: true if there is a row. Otherwise the statement is reset, ready to be bound
 * again. Does nothing for a NULL statement. */
bool lab_sql_step(struct lab_store *store, sqlite3_stmt *s);

/* One whole number; `otherwise` if there is no row or it is NULL. */
long long lab_sql_integer(struct lab_store *store, const char *sql, long long otherwise);

/* A copy of a column's text; NULL for NULL. */
char *lab_sql_copy(sqlite3_stmt *s, int column);

/* Complains of what failed while doing `what` ("write", "read"), and forgets it. 0 or -errno. */
int lab_sql_finish(struct lab_store *store, const char *what);

/* The versions of the schema. A store of an older one is brought up to `upto`. */
enum { LAB_STORE_SCHEMA = 3, LAB_STORE_APPLICATION = 0x48444c42 /* HDLB */ };
void lab_schema_migrate(struct lab_store *store, int upto);

#endif
