/* SPDX-License-Identifier: MIT */
/* Self-checks, kept with the machine that they were made on. */
#include <stdlib.h>

#include "../text.h"
#include "sql.h"
#include "store.h"

int lab_store_check_save(struct lab_store *store, const struct lab_store_check *c) {
    lab_sql_do(store, "BEGIN IMMEDIATE");
    sqlite3_stmt *s = lab_sql_prepare(
        store, "INSERT INTO self_check (time, machine, kernel, heddle, passed, comparisons, alarms,"
               " planted, found, report) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
    const char *const texts[] = {c->time, c->machine, c->kernel, c->heddle};
    const size_t numbers[] = {c->passed, c->comparisons, c->alarms, c->planted, c->found};
    for (int i = 0; i < 4; i++)
        lab_sql_text(s, 1 + i, texts[i]);
    for (int i = 0; s && i < 5; i++)
        sqlite3_bind_int64(s, 5 + i, (sqlite3_int64)numbers[i]);
    lab_sql_text(s, 10, c->report);
    lab_sql_step(store, s);
    sqlite3_finalize(s);
    lab_sql_do(store, "COMMIT");
    if (store->error != SQLITE_OK)
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    return lab_sql_finish(store, "write");
}

int lab_store_check_last(struct lab_store *store, const char *machine,
                         struct lab_store_check *out) {
    *out = (struct lab_store_check){0};
    sqlite3_stmt *s =
        lab_sql_prepare(store, "SELECT time, machine, kernel, heddle, passed, comparisons, alarms,"
                               " planted, found, report FROM self_check WHERE machine = ?1"
                               " ORDER BY time DESC, id DESC LIMIT 1");
    lab_sql_text(s, 1, machine);
    if (lab_sql_step(store, s)) {
        char **const texts[] = {&out->time, &out->machine, &out->kernel, &out->heddle};
        size_t *const numbers[] = {&out->comparisons, &out->alarms, &out->planted, &out->found};
        for (int i = 0; i < 4; i++)
            *texts[i] = lab_sql_copy(s, i);
        out->passed = sqlite3_column_int64(s, 4) != 0;
        for (int i = 0; i < 4; i++)
            *numbers[i] = (size_t)sqlite3_column_int64(s, 5 + i);
        out->report = lab_sql_copy(s, 9);
    }
    sqlite3_finalize(s);
    return lab_sql_finish(store, "read");
}

void lab_store_check_free(struct lab_store_check *c) {
    char *const texts[] = {c->time, c->machine, c->kernel, c->heddle, c->report};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        free(texts[i]);
    *c = (struct lab_store_check){0};
}
