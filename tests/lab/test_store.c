/* SPDX-License-Identifier: MIT */
/* The store: what is written is read back, names find runs, and bad files are refused. */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "store/sql.h"
#include "store/store.h"
#include "store_support.h"
#include "text.h"

static struct lab_store *open_store(const char *path) {
    struct lab_store *store;
    CHECK_OK(lab_store_open(path, true, &store));
    return store;
}

TEST(a_run_is_read_back_as_it_was) {
    char *path = place_for("some/where/results.db");
    struct lab_store *store = open_store(path);
    for (unsigned seed = 0; seed < 12; seed++) {
        struct lab_run run, back;
        long long id;
        make_run(&run, seed);
        CHECK_OK(lab_store_save(store, &run, NULL, &id));
        CHECK_EQ(id, seed + 1);
        CHECK_OK(lab_store_load(store, id, &back));
        CHECK_EQ(back.id, id);
        CHECK_EQ(strlen(back.uid), 32);
        check_same_run(&run, &back);
        lab_run_free(&run);
        lab_run_free(&back);
    }
    lab_store_close(store);
    free(path);
}

TEST(an_empty_run_gets_a_time) {
    char *path = place_for("results.db");
    struct lab_store *store = open_store(path);
    struct lab_run run = {0}, back;
    long long id;
    CHECK_OK(lab_store_save(store, &run, "empty", &id));
    CHECK_OK(lab_store_load(store, id, &back));
    CHECK_EQ(strlen(back.time), strlen("2026-11-22T01:02:03Z"));
    CHECK_STR_EQ(back.label, "empty");
    CHECK_STR_EQ(back.mode, "");
    lab_run_free(&back);
    lab_store_close(store);
    free(path);
}

static void save_commit(struct lab_store *store, const char *commit, long long expected) {
    struct lab_run run = {.commit = lab_copy(commit)};
    long long id;
    CHECK_OK(lab_store_save(store, &run, NULL, &id));
    CHECK_EQ(id, expected);
    lab_run_free(&run);
}

TEST(a_commit_is_found_in_full_abbreviated_and_changed) {
    static const char full[] = "0123456789abcdef0123456789abcdef01234567";
    char *path = place_for("results.db");
    struct lab_store *store = open_store(path);
    long long id;
    save_commit(store, "0123456789ab", 1);
    save_commit(store, "fedcba9876543210fedcba9876543210fedcba98", 2);
    save_commit(store, "0123456789ab-dirty", 3);
    CHECK_OK(lab_store_find(store, full, &id));
    CHECK_EQ(id, 1);
    save_commit(store, full, 4);
    CHECK_OK(lab_store_find(store, "0123", &id));
    CHECK_EQ(id, 4);
    save_commit(store, "aaaabbbbcccc-dirty", 5);
    CHECK_OK(lab_store_find(store, "aaaabbbbcccc0000", &id));
    CHECK_EQ(id, 5);
    CHECK_ERR(lab_store_find(store, "aaaabbbbcc0", &id), -ENOENT);
    lab_store_close(store);
    free(path);
}

TEST(runs_are_found_by_what_users_call_them) {
    char *path = place_for("results.db");
    struct lab_store *store = open_store(path);
    long long id;
    CHECK_ERR(lab_store_find(store, "last", &id), -ENOENT);
    static const char *const commits[] = {"abcd1234", "abcd1234", "abce5678", NULL, "12345678"};
    for (int i = 0; i < 5; i++) {
        struct lab_run run = {.commit = commits[i] ? lab_copy(commits[i]) : NULL};
        CHECK_OK(lab_store_save(store, &run, i % 2 ? "odd" : NULL, &id));
        lab_run_free(&run);
    }
    CHECK_OK(lab_store_baseline_set(store, "main", 2));
    static const struct {
        const char *what;
        long long id;
    } found[] = {{"3", 3},    {"last", 5},     {"last-0", 5},        {"last-4", 1},
                 {"odd", 4},  {"abcd", 2},     {"abcd1234", 2},      {"abce", 3},
                 {"1234", 5}, {"12345678", 5}, {"baseline:main", 2}, {"5", 5}};
    for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
        test_note("%s", found[i].what);
        CHECK_OK(lab_store_find(store, found[i].what, &id));
        CHECK_EQ(id, found[i].id);
    }
    static const char *const missing[] = {"6",
                                          "0",
                                          "-1",
                                          "last-5",
                                          "last-x",
                                          "last-",
                                          "lastly",
                                          "even",
                                          "ABC",
                                          "abf",
                                          "abcz",
                                          "",
                                          "baseline:",
                                          "baseline:other",
                                          "99999999999999999999",
                                          "abcd12355"};
    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
        test_note("%s", missing[i]);
        CHECK_ERR(lab_store_find(store, missing[i], &id), -ENOENT);
    }
    CHECK_OK(lab_store_baseline_set(store, "main", 4));
    CHECK_OK(lab_store_baseline_get(store, "main", &id));
    CHECK_EQ(id, 4);
    save_commit(store, "abcd9999", 6);
    CHECK_ERR(lab_store_find(store, "abcd", &id), -ENOTUNIQ);
    lab_store_close(store);
    free(path);
}

static long long integer(struct lab_store *store, const char *sql) {
    return lab_sql_integer(store, sql, -1);
}

/* A store as a heddle of schema 1 left it, with one run. */
static void make_old(const char *path, const struct lab_run *run) {
    struct lab_store old = {.path = (char *)path};
    long long id;
    CHECK_EQ(sqlite3_open(path, &old.db), SQLITE_OK);
    lab_schema_migrate(&old, 1);
    CHECK_OK(lab_sql_finish(&old, "make"));
    CHECK_EQ(integer(&old, "PRAGMA user_version"), 1);
    CHECK_OK(lab_store_save(&old, run, NULL, &id));
    sqlite3_close(old.db);
}

TEST(an_old_store_is_brought_up_to_date_with_all_that_is_in_it) {
    for (int write = 0; write < 2; write++) {
        char *path = place_for(write ? "written.db" : "read.db");
        struct lab_run run, back;
        struct lab_store *store;
        make_run(&run, 6);
        make_old(path, &run);
        CHECK_OK(lab_store_open(path, write, &store));
        CHECK_EQ(integer(store, "PRAGMA user_version"), LAB_STORE_SCHEMA);
        CHECK_EQ(integer(store, "SELECT count(*) FROM measured"), 4);
        CHECK_OK(lab_store_load(store, 1, &back));
        check_same_run(&run, &back);
        lab_run_free(&back);
        lab_run_free(&run);
        lab_store_close(store);
        free(path);
    }
}

TEST(a_migration_that_fails_changes_nothing) {
    char *path = place_for("results.db");
    struct lab_run run;
    struct lab_store *store;
    sqlite3 *db;
    make_run(&run, 2);
    make_old(path, &run);
    CHECK_EQ(sqlite3_open(path, &db), SQLITE_OK);
    CHECK_EQ(sqlite3_exec(db, "CREATE TABLE measured(x)", NULL, NULL, NULL), SQLITE_OK);
    CHECK_LT(lab_store_open(path, true, &store), 0);
    struct lab_store same = {.db = db, .path = path};
    CHECK_EQ(integer(&same, "PRAGMA user_version"), 1);
    CHECK_EQ(integer(&same, "SELECT count(*) FROM run"), 1);
    CHECK_EQ(integer(&same, "SELECT count(*) FROM sqlite_master WHERE name = 'result_metric'"), 0);
    CHECK_EQ(sqlite3_exec(db, "DROP TABLE measured", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    CHECK_OK(lab_store_open(path, true, &store));
    lab_store_close(store);
    lab_run_free(&run);
    free(path);
}

TEST(a_run_can_be_labelled_and_deleted) {
    char *path = place_for("results.db");
    struct lab_store *store = open_store(path);
    struct lab_run run;
    long long id, other;
    make_run(&run, 4);
    CHECK_OK(lab_store_save(store, &run, NULL, &id));
    CHECK_OK(lab_store_save(store, &run, NULL, &other));
    CHECK_OK(lab_store_baseline_set(store, "main", id));
    CHECK_LT(lab_store_baseline_set(store, "none", 99), 0);
    CHECK_OK(lab_store_label(store, id, "new name"));
    CHECK_OK(lab_store_find(store, "new name", &other));
    CHECK_EQ(other, id);
    CHECK_ERR(lab_store_label(store, 99, "x"), -ENOENT);
    CHECK_OK(lab_store_delete(store, id));
    CHECK_ERR(lab_store_delete(store, id), -ENOENT);
    CHECK_ERR(lab_store_baseline_get(store, "main", &other), -ENOENT);
    CHECK_EQ(integer(store, "SELECT count(*) FROM result WHERE run = 1"), 0);
    CHECK_EQ(integer(store, "SELECT count(DISTINCT result) FROM parameter"), 4);
    CHECK_OK(lab_store_delete(store, 2));
    CHECK_OK(lab_store_save(store, &run, NULL, &id));
    CHECK_EQ(id, 3); /* a number is not given twice */
    lab_run_free(&run);
    lab_store_close(store);
    free(path);
}

static bool count_rows(const struct lab_store_row *row, void *data) {
    long long *ids = data;
    ids[0]++;
    ids[1] = ids[1] * 10 + row->id;
    return true;
}

TEST(lists_hold_what_the_filter_lets_through) {
    char *path = place_for("results.db");
    struct lab_store *store = open_store(path);
    for (unsigned seed = 0; seed < 6; seed++) {
        struct lab_run run;
        long long id;
        make_run(&run, seed);
        CHECK_OK(lab_store_save(store, &run, NULL, &id));
        lab_run_free(&run);
    }
    static const struct {
        struct lab_store_filter filter;
        long long ids;
    } lists[] = {{{0}, 654321},
                 {{.limit = 2}, 65},
                 {{.label = "label 2"}, 3},
                 {{.commit = "00000000"}, 1},
                 {{.since = "2026-11-22T01:02:03"}, 654},
                 {{.experiment = "switch3"}, 4321},
                 {{.experiment = "switch0", .metric = "yield_ns1"}, 1},
                 {{.experiment = "switch0", .metric = "yield_ns2"}, 0}};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        long long ids[2] = {0};
        CHECK_OK(lab_store_list(store, &lists[i].filter, count_rows, ids));
        CHECK_EQ(ids[1], lists[i].ids);
    }
    lab_store_close(store);
    free(path);
}

/* The bar is a second for reading and comparing; what is checked here is that nothing in it grows
 * faster than the samples do, with room for a slow machine. */
TEST(a_million_samples_are_read_back) {
    static const size_t shapes[][2] = {{1000000, 1}, {1, 1000000}, {1000, 1000}};
    char *path = place_for("results.db");
    struct lab_store *store = open_store(path);
    for (size_t i = 0; i < 3; i++) {
        size_t few = test_under_valgrind() || TEST_ASAN ? 10 : 1;
        struct lab_run run = {.mode = "quick", .time = lab_copy("2026")}, back;
        long long id;
        make_result(&run, 0, shapes[i][0] / (i ? 1 : few), shapes[i][1]);
        CHECK_OK(lab_store_save(store, &run, NULL, &id));
        uint64_t begin = test_now_ns();
        CHECK_OK(lab_store_load(store, id, &back));
        test_note("%zu x %zu: %.3f s", shapes[i][0], shapes[i][1],
                  (double)(test_now_ns() - begin) * 1e-9);
        check_same_run(&run, &back);
        lab_run_free(&run);
        lab_run_free(&back);
    }
    lab_store_close(store);
    free(path);
}
