/* SPDX-License-Identifier: MIT */
/* Lists of runs. */
#include <stdlib.h>
#include <string.h>

#include "../text.h"
#include "sql.h"
#include "store.h"

static const char select_rows[] =
    "SELECT run.id, time, label, command, commit_id, mode, source_format,"
    " (SELECT group_concat(name) FROM baseline WHERE baseline.run = run.id),"
    " interrupted,"
    " (SELECT count(*) FROM result WHERE result.run = run.id),"
    " (SELECT count(*) FROM failure WHERE failure.run = run.id),"
    " (SELECT group_concat(name, ' | ') FROM"
    "  (SELECT name FROM subject WHERE subject.run = run.id ORDER BY place))"
    " FROM run WHERE (?1 IS NULL OR label = ?1)"
    " AND (?2 IS NULL OR substr(commit_id, 1, length(?2)) = ?2)"
    " AND (?3 IS NULL OR time >= replace(?3, ' ', 'T'))"
    " AND ((?4 IS NULL AND ?5 IS NULL AND ?6 IS NULL) OR EXISTS (SELECT 1 FROM result"
    "  WHERE result.run = run.id AND (?4 IS NULL OR experiment = ?4)"
    "  AND (?5 IS NULL OR subject = ?5) AND (?6 IS NULL OR metric = ?6)))"
    " ORDER BY run.id DESC LIMIT ?7";

static const char *column(sqlite3_stmt *s, int i) {
    const char *text = (const char *)sqlite3_column_text(s, i);
    return text ? text : "";
}

int lab_store_list(struct lab_store *store, const struct lab_store_filter *filter,
                   bool (*row)(const struct lab_store_row *row, void *data), void *data) {
    sqlite3_stmt *s = lab_sql_prepare(store, select_rows);
    const char *const texts[] = {filter->label,      filter->commit,  filter->since,
                                 filter->experiment, filter->subject, filter->metric};
    for (int i = 0; i < 6; i++) {
        if (texts[i])
            lab_sql_text(s, i + 1, texts[i]);
    }
    if (s)
        sqlite3_bind_int64(s, 7, filter->limit ? (sqlite3_int64)filter->limit : -1);
    bool more = true;
    while (more && lab_sql_step(store, s)) {
        more = row(&(struct lab_store_row){.id = sqlite3_column_int64(s, 0),
                                           .time = column(s, 1),
                                           .label = column(s, 2),
                                           .command = column(s, 3),
                                           .commit = column(s, 4),
                                           .mode = column(s, 5),
                                           .source_format = column(s, 6),
                                           .baselines = column(s, 7),
                                           .interrupted = sqlite3_column_int(s, 8) != 0,
                                           .results = sqlite3_column_int64(s, 9),
                                           .failures = sqlite3_column_int64(s, 10),
                                           .subjects = column(s, 11)},
                   data);
    }
    sqlite3_finalize(s);
    return lab_sql_finish(store, "read");
}
