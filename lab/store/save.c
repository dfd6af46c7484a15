/* SPDX-License-Identifier: MIT */
/* Writing a run: one transaction. */
#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "../text.h"
#include "sql.h"
#include "store.h"

/* A statement that is run once a row. */
static void put(struct lab_store *store, sqlite3_stmt *s) {
    while (lab_sql_step(store, s))
        continue;
}

static void bind_integer(sqlite3_stmt *s, int index, long long value) {
    if (s)
        sqlite3_bind_int64(s, index, value);
}

static char *now(void) {
    char text[32];
    time_t t = time(NULL);
    struct tm utc;
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &utc));
    return lab_copy(text);
}

char *lab_store_uid(void) {
    uint64_t words[2];
    if (getrandom(words, sizeof(words), 0) != sizeof(words)) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        words[0] = (uint64_t)t.tv_sec;
        words[1] = (uint64_t)t.tv_nsec;
    }
    return lab_format("%016llx%016llx", (unsigned long long)words[0], (unsigned long long)words[1]);
}

static long long put_run(struct lab_store *store, const struct lab_run *run, const char *label) {
    sqlite3_stmt *s = lab_sql_prepare(
        store, "INSERT INTO run(uid, time, label, command, commit_id, flags, mode, interrupted,"
               " out_of_time, source_format, source) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)");
    char *uid = run->uid ? lab_copy(run->uid) : lab_store_uid();
    char *time = run->time ? lab_copy(run->time) : now();
    const char *const texts[] = {uid,         time,       label ? label : run->label, run->command,
                                 run->commit, run->flags, run->mode ? run->mode : ""};
    for (int i = 0; i < 7; i++)
        lab_sql_text(s, i + 1, texts[i]);
    bind_integer(s, 8, run->interrupted);
    bind_integer(s, 9, run->out_of_time);
    lab_sql_text(s, 10, run->source_format);
    lab_sql_text(s, 11, run->source);
    put(store, s);
    sqlite3_finalize(s);
    free(uid);
    free(time);
    return sqlite3_last_insert_rowid(store->db);
}

static void put_facts(struct lab_store *store, long long run, const char *kind,
                      const struct lab_pair *pairs, size_t count) {
    sqlite3_stmt *s = lab_sql_prepare(store, "INSERT INTO fact(run, kind, place, key, value,"
                                             " number) VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
    for (size_t i = 0; i < count; i++) {
        bind_integer(s, 1, run);
        lab_sql_text(s, 2, kind);
        bind_integer(s, 3, (long long)i);
        lab_sql_text(s, 4, pairs[i].key);
        lab_sql_text(s, 5, pairs[i].value);
        bind_integer(s, 6, pairs[i].number);
        put(store, s);
    }
    sqlite3_finalize(s);
}

/* A row of texts after (run, place). */
static void put_texts(struct lab_store *store, sqlite3_stmt *s, long long run, size_t place,
                      const char *const *texts, int count) {
    bind_integer(s, 1, run);
    bind_integer(s, 2, (long long)place);
    for (int i = 0; i < count; i++)
        lab_sql_text(s, i + 3, texts[i]);
    put(store, s);
}

static void put_subjects(struct lab_store *store, long long id, const struct lab_run *run) {
    sqlite3_stmt *s =
        lab_sql_prepare(store, "INSERT INTO subject(run, place, name, kind, version, path,"
                               " free_threaded) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    for (size_t i = 0; i < run->subject_count; i++) {
        const struct lab_subject_info *x = &run->subjects[i];
        bind_integer(s, 7, x->free_threaded);
        put_texts(store, s, id, i, (const char *[]){x->name, x->kind, x->version, x->path}, 4);
    }
    sqlite3_finalize(s);
}

static void put_words(struct lab_store *store, long long id, const struct lab_run *run) {
    sqlite3_stmt *s = lab_sql_prepare(store, "INSERT INTO failure(run, place, experiment, subject,"
                                             " variant, reason) VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
    for (size_t i = 0; i < run->failure_count; i++) {
        const struct lab_failure *x = &run->failures[i];
        put_texts(store, s, id, i,
                  (const char *[]){x->experiment, x->subject, x->variant, x->reason}, 4);
    }
    sqlite3_finalize(s);
    s = lab_sql_prepare(store, "INSERT INTO note(run, place, experiment, subject, key, text)"
                               " VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
    for (size_t i = 0; i < run->note_count; i++) {
        const struct lab_note *x = &run->notes[i];
        put_texts(store, s, id, i, (const char *[]){x->experiment, x->subject, x->key, x->text}, 4);
    }
    sqlite3_finalize(s);
}

/* Doubles as they are in the file. `at` has room. */
static void pack(uint64_t *at, const double *values, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        at[i] = htole64(bits);
    }
}

static void bind_blob(struct lab_store *store, sqlite3_stmt *s, int index, void *bytes,
                      size_t size) {
    int code = s ? sqlite3_bind_blob64(s, index, bytes, size, free) : SQLITE_OK;
    if (!s)
        free(bytes);
    lab_sql_fail(store, code);
}

static void bind_samples(struct lab_store *store, sqlite3_stmt *s, int index,
                         const struct lab_result *r) {
    size_t total = 0;
    for (size_t i = 0; i < r->n; i++)
        total += r->processes[i].count;
    uint64_t *medians = lab_alloc(r->n, sizeof(*medians));
    uint32_t *counts = lab_alloc(r->n, sizeof(*counts));
    uint64_t *samples = lab_alloc(total, sizeof(*samples));
    pack(medians, r->samples, r->n);
    size_t at = 0;
    for (size_t i = 0; i < r->n; i++) {
        counts[i] = htole32((uint32_t)r->processes[i].count);
        pack(samples + at, r->processes[i].values, r->processes[i].count);
        at += r->processes[i].count;
    }
    bind_blob(store, s, index, medians, r->n * sizeof(*medians));
    bind_blob(store, s, index + 1, counts, r->n * sizeof(*counts));
    bind_blob(store, s, index + 2, samples, total * sizeof(*samples));
}

static void put_result(struct lab_store *store, sqlite3_stmt *s, long long run, size_t place,
                       const struct lab_result *r) {
    static const int better[] = {
        [LAB_BETTER_LOWER] = -1, [LAB_BETTER_HIGHER] = 1, [LAB_BETTER_NONE] = 0};
    const double numbers[] = {r->median, r->min, r->max, r->ci_low, r->ci_high, r->bare_ratio};
    bind_integer(s, 8, better[r->better]);
    bind_integer(s, 9, r->primary);
    bind_integer(s, 10, r->per_thing);
    bind_integer(s, 11, (long long)r->n);
    for (int i = 0; i < 6; i++)
        lab_sql_number(s, 12 + i, numbers[i]);
    bind_samples(store, s, 18, r);
    const char *const texts[] = {r->experiment, r->variant, r->subject, r->metric, r->unit};
    put_texts(store, s, run, place, texts, 5);
}

static void put_results(struct lab_store *store, long long id, const struct lab_run *run) {
    sqlite3_stmt *s = lab_sql_prepare(
        store, "INSERT INTO result(run, place, experiment, variant, subject, metric, unit, better,"
               " is_primary, per_thing, n, median, min, max, ci_low, ci_high, bare_ratio, medians,"
               " counts, samples) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,"
               " ?14, ?15, ?16, ?17, ?18, ?19, ?20)");
    sqlite3_stmt *p = lab_sql_prepare(store, "INSERT INTO parameter(result, place, key, value,"
                                             " number) VALUES(?1, ?2, ?3, ?4, ?5)");
    for (size_t i = 0; i < run->result_count && store->error == SQLITE_OK; i++) {
        const struct lab_result *r = &run->results[i];
        put_result(store, s, id, i, r);
        long long result = sqlite3_last_insert_rowid(store->db);
        for (size_t k = 0; k < r->param_count; k++) {
            bind_integer(p, 5, r->params[k].number);
            put_texts(store, p, result, k, (const char *[]){r->params[k].key, r->params[k].value},
                      2);
        }
    }
    sqlite3_finalize(s);
    sqlite3_finalize(p);
}

int lab_store_save(struct lab_store *store, const struct lab_run *run, const char *label,
                   long long *id) {
    lab_sql_do(store, "BEGIN IMMEDIATE");
    long long number = 0;
    if (store->error == SQLITE_OK) {
        number = put_run(store, run, label);
        put_facts(store, number, "machine", run->machine, run->machine_count);
        put_facts(store, number, "option", run->options, run->option_count);
        put_subjects(store, number, run);
        put_results(store, number, run);
        put_words(store, number, run);
        lab_sql_do(store, "COMMIT");
        if (store->error != SQLITE_OK)
            sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    }
    int error = lab_sql_finish(store, "write");
    if (!error)
        *id = number;
    return error;
}
