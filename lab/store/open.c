/* SPDX-License-Identifier: MIT */
/* Finding, opening and closing the store. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../message.h"
#include "../text.h"
#include "sql.h"
#include "store.h"

static const char *environment(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

char *lab_store_path(const char *given) {
    const char *db = given ? given : environment("HEDDLE_DB");
    if (db)
        return lab_copy(db);
    const char *data = environment("XDG_DATA_HOME"), *home = environment("HOME");
    if (data && data[0] == '/') /* the specification has others ignored */
        return lab_format("%s/heddle/results.db", data);
    return home ? lab_format("%s/.local/share/heddle/results.db", home) : NULL;
}

/* Makes the directories that lead to a file. 0 or -errno. */
static int make_directories(const char *path) {
    char *copy = lab_copy(path);
    int error = 0;
    for (char *slash = copy; !error && (slash = strchr(slash + 1, '/')) != NULL;) {
        struct stat st;
        *slash = '\0';
        if ((stat(copy, &st) != 0 || !S_ISDIR(st.st_mode)) && mkdir(copy, 0777) != 0 &&
            errno != EEXIST)
            error = -errno;
        *slash = '/';
    }
    free(copy);
    return error;
}

/* SQLite does not wait for another connection that changes the journal's mode too, as happens when
 * two commands make the store at once. Where there is no shared memory (some network file systems)
 * it stays with a rollback journal, which is as safe but lets readers wait. */
static void use_wal(struct lab_store *store) {
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    for (int i = 0; store->error == SQLITE_OK; i++) {
        int code = sqlite3_exec(store->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
        if (code == SQLITE_OK)
            return;
        if (code != SQLITE_BUSY || i == LAB_STORE_WAIT_S * 100) {
            lab_sql_fail(store, sqlite3_extended_errcode(store->db));
            return;
        }
        nanosleep(&pause, NULL);
    }
}

/* SQLite takes some names for something else than files (":memory:", "file:..."): no path that
 * begins with a dot or a slash is one of them. */
static void connect(struct lab_store *store, const char *name, int flags) {
    bool plain = name[0] == '/' || (flags & SQLITE_OPEN_URI);
    char *path = lab_format("%s%s", plain ? "" : "./", name);
    int code = sqlite3_open_v2(path, &store->db, flags, NULL);
    free(path);
    if (code != SQLITE_OK) {
        lab_sql_fail(store, store->db ? sqlite3_extended_errcode(store->db) : code);
        return;
    }
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, LAB_STORE_WAIT_S * 1000);
    lab_sql_do(store, "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL");
}

/* A store whose directory cannot be written to: SQLite has nowhere to put what it keeps beside the
 * file. If nothing is pending there the file alone is all there is, and can be read as it is. */
static void reopen_unchanging(struct lab_store *store) {
    struct stat st;
    char *wal = lab_format("%s-wal", store->path);
    bool pending = stat(wal, &st) == 0 && st.st_size > 0;
    free(wal);
    if (pending || access(store->path, R_OK) != 0)
        return;
    sqlite3_close(store->db);
    free(store->words);
    store->db = NULL;
    store->words = NULL;
    store->error = SQLITE_OK;
    struct lab_text uri = {0};
    lab_text_printf(&uri, "file:");
    for (const char *c = store->path; *c; c++)
        lab_text_printf(&uri, strchr("%?#", *c) ? "%%%02x" : "%c", *c);
    lab_text_printf(&uri, "?immutable=1");
    connect(store, uri.data, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
    lab_text_free(&uri);
}

/* Whether the file is a store, or nothing yet, and of a version that is known: all at one moment,
 * as somebody else may be about to make a store of it. */
static int check_version(struct lab_store *store, bool *old) {
    lab_sql_do(store, "BEGIN");
    long long application = lab_sql_integer(store, "PRAGMA application_id", 0);
    long long tables = lab_sql_integer(store, "SELECT count(*) FROM sqlite_master", 0);
    long long version = lab_sql_integer(store, "PRAGMA user_version", 0);
    lab_sql_do(store, "COMMIT");
    if (store->error != SQLITE_OK)
        return lab_sql_finish(store, "open");
    if (tables && application != LAB_STORE_APPLICATION) {
        lab_complain("cannot open '%s': it is a database of another program", store->path);
        return -EINVAL;
    }
    if (version > LAB_STORE_SCHEMA) {
        lab_complain("cannot open '%s': it was written by a newer heddle (schema %lld; this one "
                     "knows %d)",
                     store->path, version, LAB_STORE_SCHEMA);
        return -EPROTONOSUPPORT;
    }
    *old = version < LAB_STORE_SCHEMA;
    return 0;
}

/* What must be so before the first read or write. */
static int settle(struct lab_store *store, bool write) {
    bool old = false;
    lab_sql_integer(store, "SELECT count(*) FROM sqlite_master", 0);
    if (!write && (store->error & 0xff) != SQLITE_OK && (store->error & 0xff) != SQLITE_NOTADB &&
        (store->error & 0xff) != SQLITE_CORRUPT && (store->error & 0xff) != SQLITE_BUSY)
        reopen_unchanging(store);
    int error = check_version(store, &old);
    if (error)
        return error;
    bool fixed = sqlite3_db_readonly(store->db, "main") == 1;
    if (fixed && (write || old)) {
        lab_complain("cannot %s '%s': it cannot be written to",
                     write ? "write" : "bring the schema up to date of", store->path);
        return -EROFS;
    }
    if (write || old)
        use_wal(store);
    if (old)
        lab_schema_migrate(store, LAB_STORE_SCHEMA);
    return lab_sql_finish(store, "open");
}

/* What can be said of the file before SQLite sees it. 0 or -errno. */
static int check_file(const char *path, bool write) {
    struct stat st;
    int error = write ? make_directories(path) : 0;
    if (error)
        return error;
    if (stat(path, &st) != 0)
        return write && errno == ENOENT ? 0 : -errno;
    return S_ISREG(st.st_mode) ? 0 : S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
}

int lab_store_open(const char *given, bool write, struct lab_store **out) {
    *out = NULL;
    char *path = lab_store_path(given);
    if (!path || !*path) {
        if (path)
            lab_complain("the store needs a file name");
        else
            lab_complain("there is no place for a store: neither HOME nor XDG_DATA_HOME is set");
        free(path);
        return -ENOENT;
    }
    int error = check_file(path, write);
    if (error == -ENOENT && !write)
        lab_complain("there is no store '%s' yet: 'heddle lab', 'heddle run' and 'heddle import' "
                     "make it",
                     path);
    else if (error)
        lab_complain("cannot open '%s': %s", path,
                     error == -EINVAL ? "it is no file" : strerror(-error));
    if (error) {
        free(path);
        return error;
    }
    struct lab_store *store = lab_alloc(1, sizeof(*store));
    store->path = path;
    connect(store, path, SQLITE_OPEN_READWRITE | (write ? SQLITE_OPEN_CREATE : 0));
    error = settle(store, write);
    if (error) {
        lab_store_close(store);
        return error;
    }
    *out = store;
    return 0;
}

void lab_store_close(struct lab_store *store) {
    if (!store)
        return;
    sqlite3_close(store->db);
    free(store->words);
    free(store->path);
    free(store);
}

const char *lab_store_file(const struct lab_store *store) {
    return store->path;
}
