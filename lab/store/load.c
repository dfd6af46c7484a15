/* SPDX-License-Identifier: MIT */
/* Reading a run. All of it is read in one transaction: nobody's writing or deleting comes between
 * its parts. */
#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../message.h"
#include "../record.h"
#include "../text.h"
#include "sql.h"
#include "store.h"

static sqlite3_stmt *select_of(struct lab_store *store, const char *sql, long long id) {
    sqlite3_stmt *s = lab_sql_prepare(store, sql);
    if (s)
        sqlite3_bind_int64(s, 1, id);
    return s;
}

/* A column that is never NULL in a store that heddle wrote. */
static char *copy(sqlite3_stmt *s, int column) {
    char *text = lab_sql_copy(s, column);
    return text ? text : lab_copy("");
}

static double number(sqlite3_stmt *s, int column) {
    return sqlite3_column_type(s, column) == SQLITE_NULL ? NAN : sqlite3_column_double(s, column);
}

static bool load_run(struct lab_store *store, long long id, struct lab_run *run) {
    sqlite3_stmt *s =
        select_of(store,
                  "SELECT uid, time, label, command, commit_id, flags, source_format, source, mode,"
                  " interrupted, out_of_time FROM run WHERE id = ?1",
                  id);
    bool found = lab_sql_step(store, s);
    if (found) {
        char **const texts[] = {&run->uid,    &run->time,  &run->label,         &run->command,
                                &run->commit, &run->flags, &run->source_format, &run->source};
        for (int i = 0; i < 8; i++)
            *texts[i] = lab_sql_copy(s, i);
        char *mode = copy(s, 8);
        run->id = id;
        run->mode = lab_run_mode(mode);
        free(mode);
        run->interrupted = sqlite3_column_int(s, 9) != 0;
        run->out_of_time = sqlite3_column_int(s, 10) != 0;
    }
    sqlite3_finalize(s);
    return found;
}

/* Rows of (key, value, number). */
static void add_pairs(struct lab_store *store, sqlite3_stmt *s, struct lab_pair **pairs,
                      size_t *count) {
    while (lab_sql_step(store, s)) {
        char *key = copy(s, 0), *value = copy(s, 1);
        lab_pairs_add(pairs, count, key, value, sqlite3_column_int(s, 2) != 0);
        free(key);
        free(value);
    }
}

static void load_facts(struct lab_store *store, long long id, const char *kind,
                       struct lab_pair **pairs, size_t *count) {
    sqlite3_stmt *s = select_of(
        store, "SELECT key, value, number FROM fact WHERE run = ?1 AND kind = ?2 ORDER BY place",
        id);
    lab_sql_text(s, 2, kind);
    add_pairs(store, s, pairs, count);
    sqlite3_finalize(s);
}

static void load_subjects(struct lab_store *store, long long id, struct lab_run *run) {
    sqlite3_stmt *s = select_of(store,
                                "SELECT name, kind, version, path, free_threaded FROM subject"
                                " WHERE run = ?1 ORDER BY place",
                                id);
    while (lab_sql_step(store, s)) {
        run->subjects = lab_grow_one(run->subjects, run->subject_count, sizeof(*run->subjects));
        run->subjects[run->subject_count++] =
            (struct lab_subject_info){.name = copy(s, 0),
                                      .kind = copy(s, 1),
                                      .version = copy(s, 2),
                                      .path = copy(s, 3),
                                      .free_threaded = sqlite3_column_int(s, 4) != 0};
    }
    sqlite3_finalize(s);
}

static void load_words(struct lab_store *store, long long id, struct lab_run *run) {
    sqlite3_stmt *s = select_of(store,
                                "SELECT experiment, variant, subject, reason FROM failure"
                                " WHERE run = ?1 ORDER BY place",
                                id);
    char *t[4];
    while (lab_sql_step(store, s)) {
        for (int i = 0; i < 4; i++)
            t[i] = copy(s, i);
        lab_run_fail(run, t[0], t[1], t[2], t[3]);
        for (int i = 0; i < 4; i++)
            free(t[i]);
    }
    sqlite3_finalize(s);
    s = select_of(
        store, "SELECT experiment, subject, key, text FROM note WHERE run = ?1 ORDER BY place", id);
    while (lab_sql_step(store, s)) {
        for (int i = 0; i < 4; i++)
            t[i] = copy(s, i);
        lab_run_note(run, t[0], t[1], t[2], t[3]);
        for (int i = 0; i < 4; i++)
            free(t[i]);
    }
    sqlite3_finalize(s);
}

static void unpack(double *values, const unsigned char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, bytes + i * sizeof(bits), sizeof(bits));
        bits = le64toh(bits);
        memcpy(&values[i], &bits, sizeof(bits));
    }
}

/* False if the blobs do not fit each other: then somebody else wrote them. */
static bool unpack_samples(sqlite3_stmt *s, int column, struct lab_result *r) {
    const unsigned char *medians = sqlite3_column_blob(s, column);
    const unsigned char *counts = sqlite3_column_blob(s, column + 1);
    const unsigned char *samples = sqlite3_column_blob(s, column + 2);
    size_t n = (size_t)sqlite3_column_bytes(s, column) / 8;
    size_t left = (size_t)sqlite3_column_bytes(s, column + 2) / 8;
    if ((size_t)sqlite3_column_bytes(s, column + 1) != n * 4 ||
        sqlite3_column_int64(s, 10) != (long long)n)
        return false;
    r->samples = lab_alloc(n, sizeof(double));
    r->processes = lab_alloc(n, sizeof(*r->processes));
    unpack(r->samples, medians, n);
    for (; r->n < n; r->n++) {
        uint32_t count;
        memcpy(&count, counts + r->n * 4, 4);
        count = le32toh(count);
        if (count > left)
            return false;
        struct lab_process_samples *p = &r->processes[r->n];
        p->count = count;
        p->values = lab_alloc(count, sizeof(double));
        unpack(p->values, samples, count);
        samples = samples ? samples + (size_t)count * 8 : NULL;
        left -= count;
    }
    return left == 0;
}

static void load_result(struct lab_store *store, sqlite3_stmt *s, sqlite3_stmt *params,
                        struct lab_run *run) {
    struct lab_result *r = lab_run_add(run);
    char **const texts[] = {&r->experiment, &r->variant, &r->subject, &r->metric, &r->unit};
    for (int i = 0; i < 5; i++)
        *texts[i] = copy(s, i + 1);
    int better = sqlite3_column_int(s, 6);
    r->better = better < 0 ? LAB_BETTER_LOWER : better > 0 ? LAB_BETTER_HIGHER : LAB_BETTER_NONE;
    r->primary = sqlite3_column_int(s, 7) != 0;
    r->per_thing = sqlite3_column_int(s, 8) != 0;
    double *const numbers[] = {&r->median, &r->min,     &r->max,
                               &r->ci_low, &r->ci_high, &r->bare_ratio};
    for (int i = 0; i < 6; i++)
        *numbers[i] = number(s, 14 + i);
    if (!unpack_samples(s, 11, r))
        lab_sql_fail(store, SQLITE_CORRUPT);
    if (params) {
        sqlite3_bind_int64(params, 1, sqlite3_column_int64(s, 0));
        add_pairs(store, params, &r->params, &r->param_count);
    }
}

static void load_results(struct lab_store *store, long long id, struct lab_run *run) {
    sqlite3_stmt *s = select_of(
        store,
        "SELECT id, experiment, variant, subject, metric, unit, better, is_primary, per_thing,"
        " place, n, medians, counts, samples, median, min, max, ci_low, ci_high, bare_ratio"
        " FROM result WHERE run = ?1 ORDER BY place",
        id);
    sqlite3_stmt *params = lab_sql_prepare(
        store, "SELECT key, value, number FROM parameter WHERE result = ?1 ORDER BY place");
    while (lab_sql_step(store, s))
        load_result(store, s, params, run);
    sqlite3_finalize(s);
    sqlite3_finalize(params);
}

int lab_store_load(struct lab_store *store, long long id, struct lab_run *out) {
    *out = (struct lab_run){0};
    lab_sql_do(store, "BEGIN");
    bool found = load_run(store, id, out);
    if (found) {
        load_facts(store, id, "machine", &out->machine, &out->machine_count);
        load_facts(store, id, "option", &out->options, &out->option_count);
        load_subjects(store, id, out);
        load_results(store, id, out);
        load_words(store, id, out);
    }
    sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    int error = lab_sql_finish(store, "read");
    if (!error && !found) {
        lab_complain("there is no run %lld in '%s'", id, store->path);
        error = -ENOENT;
    }
    if (error)
        lab_run_free(out);
    return error;
}
