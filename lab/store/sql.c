/* SPDX-License-Identifier: MIT */
/* SQL with one place for errors. */
#include "sql.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../message.h"
#include "../text.h"

void lab_sql_fail(struct lab_store *store, int code) {
    if (store->error != SQLITE_OK || code == SQLITE_OK)
        return;
    store->error = code;
    store->words = lab_copy(store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(code));
}

void lab_sql_do(struct lab_store *store, const char *sql) {
    if (store->error != SQLITE_OK)
        return;
    int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    if (code != SQLITE_OK)
        lab_sql_fail(store, sqlite3_extended_errcode(store->db));
}

sqlite3_stmt *lab_sql_prepare(struct lab_store *store, const char *sql) {
    sqlite3_stmt *s = NULL;
    if (store->error != SQLITE_OK)
        return NULL;
    if (sqlite3_prepare_v2(store->db, sql, -1, &s, NULL) != SQLITE_OK)
        lab_sql_fail(store, sqlite3_extended_errcode(store->db));
    return s;
}

void lab_sql_text(sqlite3_stmt *s, int index, const char *text) {
    if (s)
        sqlite3_bind_text(s, index, text, -1, SQLITE_STATIC);
}

void lab_sql_number(sqlite3_stmt *s, int index, double value) {
    if (s && !isnan(value))
        sqlite3_bind_double(s, index, value);
    else if (s)
        sqlite3_bind_null(s, index);
}

bool lab_sql_step(struct lab_store *store, sqlite3_stmt *s) {
    if (!s || store->error != SQLITE_OK)
        return false;
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW)
        return true;
    if (code != SQLITE_DONE)
        lab_sql_fail(store, sqlite3_extended_errcode(store->db));
    sqlite3_reset(s);
    return false;
}

long long lab_sql_integer(struct lab_store *store, const char *sql, long long otherwise) {
    sqlite3_stmt *s = lab_sql_prepare(store, sql);
    long long value = otherwise;
    if (lab_sql_step(store, s) && sqlite3_column_type(s, 0) != SQLITE_NULL)
        value = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return value;
}

char *lab_sql_copy(sqlite3_stmt *s, int column) {
    const unsigned char *text = sqlite3_column_text(s, column);
    return text ? lab_copy((const char *)text) : NULL;
}

/* What a user can do about a failure, and the errno that it counts as. */
static const struct {
    int code; /* primary or extended */
    int error;
    const char *advice;
} kinds[] = {
    {SQLITE_FULL, ENOSPC, "the disk is full"},
    {SQLITE_BUSY, EBUSY, "another program holds it; try again when that has ended"},
    {SQLITE_LOCKED, EBUSY, "another program holds it; try again when that has ended"},
    {SQLITE_READONLY, EROFS, "it cannot be written to"},
    {SQLITE_PERM, EACCES, "it may not be opened"},
    {SQLITE_AUTH, EACCES, "it may not be opened"},
    {SQLITE_CANTOPEN, ENOENT, "it cannot be opened"},
    {SQLITE_NOTADB, EINVAL, "it is not a store of heddle; it is left as it is"},
    {SQLITE_CORRUPT, EUCLEAN,
     "it is damaged; it is left as it is ('sqlite3 FILE .recover' may save what is in it)"},
};

int lab_sql_finish(struct lab_store *store, const char *what) {
    if (store->error == SQLITE_OK)
        return 0;
    int error = EIO;
    const char *advice = NULL;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if ((store->error & 0xff) == kinds[i].code) {
            error = kinds[i].error;
            advice = kinds[i].advice;
        }
    }
    lab_complain("cannot %s '%s': %s%s%s%s", what, store->path, advice ? advice : store->words,
                 advice ? " (" : "", advice ? store->words : "", advice ? ")" : "");
    free(store->words);
    store->words = NULL;
    store->error = SQLITE_OK;
    return -error;
}
