/* SPDX-License-Identifier: MIT */
/* What may befall a store: writers beside each other, a kill at any moment, a full disk, a
 * directory without permission, damage, and files of others. */
#define _GNU_SOURCE
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "record.h"
#include "store/sql.h"
#include "store/store.h"
#include "store_support.h"
#include "text.h"

/* Saves the run that a seed makes, under a label from which the seed is known. */
static int save_seed(struct lab_store *store, unsigned seed) {
    struct lab_run run;
    long long id;
    char *label = lab_format("s%u", seed);
    make_run(&run, seed);
    int error = lab_store_save(store, &run, label, &id);
    lab_run_free(&run);
    free(label);
    return error;
}

static void check_seed(struct lab_store *store, long long id) {
    struct lab_run run, back;
    CHECK_OK(lab_store_load(store, id, &back));
    CHECK_EQ(back.label[0], 's');
    make_run(&run, (unsigned)strtoul(back.label + 1, NULL, 10));
    free(run.label);
    run.label = lab_copy(back.label);
    check_same_run(&run, &back);
    lab_run_free(&run);
    lab_run_free(&back);
}

/* That the file is sound and every run from `first` on is whole; how many runs there are. */
static long long check_store(const char *path, long long first) {
    struct lab_store *store;
    CHECK_OK(lab_store_open(path, true, &store));
    sqlite3_stmt *s = lab_sql_prepare(store, "PRAGMA integrity_check");
    CHECK(lab_sql_step(store, s));
    CHECK_STR_EQ((const char *)sqlite3_column_text(s, 0), "ok");
    sqlite3_finalize(s);
    s = lab_sql_prepare(store, "PRAGMA foreign_key_check");
    CHECK(!lab_sql_step(store, s));
    sqlite3_finalize(s);
    long long last = lab_sql_integer(store, "SELECT max(id) FROM run", 0);
    CHECK_EQ(lab_sql_integer(store, "SELECT count(*) FROM run", 0), last);
    for (long long id = first; id <= last; id++)
        check_seed(store, id);
    lab_store_close(store);
    return last;
}

static int wait_for(pid_t pid) {
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

enum { WRITERS = 4 };

static int open_and_save(const char *path, uint64_t first, unsigned count) {
    int error = 0;
    for (unsigned i = 0; i < count && !error; i++) {
        struct lab_store *store;
        error = lab_store_open(path, true, &store);
        if (!error) {
            error = save_seed(store, first + i);
            lab_store_close(store);
        }
    }
    return error;
}

/* All at once, each so many times. */
static void write_together(const char *path, unsigned each) {
    pid_t pids[WRITERS];
    for (unsigned w = 0; w < WRITERS; w++) {
        pids[w] = fork();
        CHECK_GE(pids[w], 0);
        if (pids[w] == 0)
            _exit(open_and_save(path, w * each, each) ? 1 : 0);
    }
    for (unsigned w = 0; w < WRITERS; w++)
        CHECK_EQ(wait_for(pids[w]), 0);
    CHECK_EQ(check_store(path, 1), WRITERS * each);
}

TEST_WITHIN(several_writers_make_and_fill_one_store, 60) {
    char *path = place_for("new/results.db");
    write_together(path, 10);
    free(path);
}

TEST_WITHIN(several_writers_make_many_stores, 60) {
    unsigned stores = (unsigned)test_iterations(20);
    char name[40];
    for (unsigned i = 0; i < stores; i++) {
        snprintf(name, sizeof(name), "new/%u.db", i);
        char *path = place_for(name);
        write_together(path, 1);
        free(path);
    }
}

TEST(a_reader_is_not_kept_waiting_by_a_writer) {
    char *path = place_for("results.db");
    struct lab_store *writer, *reader;
    CHECK_OK(lab_store_open(path, true, &writer));
    CHECK_OK(save_seed(writer, 1));
    lab_sql_do(writer, "BEGIN IMMEDIATE; UPDATE run SET label = 'half done'");
    CHECK_OK(lab_store_open(path, false, &reader));
    check_seed(reader, 1);
    lab_sql_do(writer, "ROLLBACK");
    CHECK_OK(lab_sql_finish(writer, "write"));
    lab_store_close(reader);
    lab_store_close(writer);
    free(path);
}

/* Saves run after run, and tells of each that is said to be kept. */
static _Noreturn void save_until_killed(const char *path, unsigned seed, int told) {
    struct lab_store *store;
    if (lab_store_open(path, true, &store) != 0)
        _exit(1);
    for (;; seed++) {
        if (save_seed(store, seed) != 0 || write(told, &seed, sizeof(seed)) != sizeof(seed))
            _exit(1);
    }
}

/* What was told is there; what was not is there as a whole or not at all. */
TEST_WITHIN(a_kill_at_any_moment_loses_nothing_that_was_kept, 120) {
    struct test_rng rng = test_rng(0);
    char *path = NULL;
    long long have = 0;
    unsigned long kills = test_iterations(25);
    for (unsigned long i = 0; i < kills; i++) {
        int told[2];
        unsigned seed;
        long long kept = 0;
        if (i % 5 == 0) { /* a store that is killed while it is made */
            free(path);
            char *name = lab_format("%lu.db", i);
            path = place_for(name);
            free(name);
            have = 0;
        }
        CHECK_EQ(pipe2(told, O_CLOEXEC), 0);
        pid_t pid = fork();
        CHECK_GE(pid, 0);
        if (pid == 0)
            save_until_killed(path, (unsigned)have, told[1]);
        close(told[1]);
        usleep((unsigned)test_rng_below(&rng, 60000));
        CHECK_EQ(kill(pid, SIGKILL), 0);
        CHECK_EQ(wait_for(pid), SIGKILL);
        while (read(told[0], &seed, sizeof(seed)) == sizeof(seed))
            kept++;
        close(told[0]);
        long long now = check_store(path, have + 1);
        test_note("%lld runs, %lld of them told, %lld there", have, kept, now);
        CHECK(now == have + kept || now == have + kept + 1);
        have = now;
    }
    free(path);
}

/* A child in which no file may grow beyond so many bytes. */
static int save_within(const char *path, rlim_t bytes) {
    pid_t pid = fork();
    CHECK_GE(pid, 0);
    if (pid == 0) {
        struct lab_store *store;
        struct rlimit limit = {bytes, bytes};
        signal(SIGXFSZ, SIG_IGN);
        int error = setrlimit(RLIMIT_FSIZE, &limit) != 0 ? 1 : 0;
        if (!error)
            error = lab_store_open(path, true, &store);
        if (!error) {
            error = save_seed(store, 7);
            lab_store_close(store);
        }
        _exit(error ? 1 : 0);
    }
    return wait_for(pid);
}

TEST(a_file_that_may_not_grow_keeps_what_it_has) {
    char *path = place_for("results.db");
    struct lab_store *store;
    CHECK_OK(lab_store_open(path, true, &store));
    CHECK_OK(save_seed(store, 0));
    lab_store_close(store);
    struct stat st;
    CHECK_EQ(stat(path, &st), 0);
    /* Nothing of the journal, parts of it, parts of the file itself. */
    long long have = 1, tries = 1;
    for (off_t room = 0; room < st.st_size; room += 3000, tries++) {
        if (save_within(path, (rlim_t)room) == 0)
            have++;
        CHECK_EQ(check_store(path, 1), have);
    }
    CHECK_LT(have, tries);
    CHECK_EQ(save_within(path, RLIM_INFINITY), 0);
    CHECK_EQ(check_store(path, 1), have + 1);
    free(path);
}

/* In a file system of its own, as full as can be. */
static int fill_disk(const char *directory) {
    if (unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) != 0 ||
        (geteuid() == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) ||
        mount("none", directory, "tmpfs", 0, "size=512k") != 0)
        return 77;
    struct lab_store *store;
    char *path = lab_format("%s/results.db", directory);
    CHECK_OK(lab_store_open(path, true, &store));
    int error = 0;
    unsigned saved = 0;
    for (; !error && saved < 1000; saved++)
        error = save_seed(store, saved);
    CHECK_EQ(error, -ENOSPC);
    lab_store_close(store);
    CHECK_GT(saved, 1);
    CHECK_EQ(check_store(path, 1), saved - 1);
    CHECK_EQ(mount("none", directory, NULL, MS_REMOUNT, "size=8m"), 0);
    CHECK_OK(lab_store_open(path, true, &store));
    CHECK_OK(save_seed(store, saved));
    lab_store_close(store);
    CHECK_EQ(check_store(path, 1), saved);
    free(path);
    return 0;
}

TEST(a_full_disk_keeps_what_it_has) {
    char *directory = place_for("disk");
    CHECK_EQ(mkdir(directory, 0755), 0);
    pid_t pid = fork();
    CHECK_GE(pid, 0);
    if (pid == 0)
        _exit(fill_disk(directory));
    int status = wait_for(pid);
    free(directory);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        SKIP("no file system can be mounted here");
    CHECK_EQ(status, 0);
}

/* Becomes somebody whom permissions bind. */
static void become_nobody(const char *path) {
    char *directory = lab_copy(path);
    *strrchr(directory, '/') = '\0';
    if (geteuid() == 0) {
        CHECK_EQ(chown(directory, 65534, 65534), 0);
        CHECK_EQ(chown(path, 65534, 65534), 0);
        CHECK_EQ(setresuid(65534, 65534, 65534), 0);
    }
    CHECK_EQ(chmod(path, 0444), 0);
    CHECK_EQ(chmod(directory, 0555), 0);
    free(directory);
}

TEST(a_store_that_cannot_be_written_to_is_read) {
    char *path = place_for("a b?c%20#.db"); /* which are special in SQLite's names */
    struct lab_store *store;
    CHECK_OK(lab_store_open(path, true, &store));
    CHECK_OK(save_seed(store, 3));
    lab_store_close(store);
    pid_t pid = fork();
    CHECK_GE(pid, 0);
    if (pid == 0) {
        become_nobody(path);
        CHECK_OK(lab_store_open(path, false, &store));
        check_seed(store, 1);
        CHECK_LT(lab_store_delete(store, 1), 0);
        lab_store_close(store);
        CHECK_LT(lab_store_open(path, true, &store), 0);
        _exit(0);
    }
    CHECK_EQ(wait_for(pid), 0);
    char *directory = lab_copy(path);
    *strrchr(directory, '/') = '\0';
    CHECK_EQ(chmod(directory, 0755), 0);
    CHECK_EQ(check_store(path, 1), 1);
    free(directory);
    free(path);
}

static char *contents(const char *path, size_t *size) {
    FILE *f = fopen(path, "re");
    CHECK(f != NULL);
    struct lab_text t = {0};
    char buffer[4096];
    for (size_t n; (n = fread(buffer, 1, sizeof(buffer), f)) > 0;)
        lab_text_add(&t, buffer, n);
    fclose(f);
    *size = t.length;
    return t.data;
}

static void put(const char *path, const char *bytes, size_t size) {
    FILE *f = fopen(path, "we");
    CHECK(f != NULL);
    CHECK_EQ(fwrite(bytes, 1, size, f), size);
    CHECK_EQ(fclose(f), 0);
}

/* Whatever comes out, it is no crash, and no file that changed though it was refused. */
TEST_WITHIN(a_damaged_file_does_no_harm, 60) {
    struct test_rng rng = test_rng(0);
    char *path = place_for("good.db"), *bad = place_for("bad.db");
    struct lab_store *store;
    CHECK_OK(lab_store_open(path, true, &store));
    for (unsigned seed = 0; seed < 3; seed++)
        CHECK_OK(save_seed(store, seed));
    lab_store_close(store);
    size_t size, after;
    char *good = contents(path, &size);
    unsigned long refused = 0, tries = test_iterations(60);
    for (unsigned long i = 0; i < tries; i++) {
        char *copy = lab_copy_n(good, size);
        for (unsigned k = 0; k < 40; k++)
            copy[test_rng_below(&rng, i % 2 ? size : 4096)] = (char)test_rng_next(&rng);
        put(bad, copy, i % 3 ? size : size / 2);
        char *before = contents(bad, &after);
        if (lab_store_open(bad, false, &store) == 0) {
            for (long long id = 1; id <= 3; id++) {
                struct lab_run run;
                if (lab_store_load(store, id, &run) == 0)
                    lab_run_free(&run);
            }
            lab_store_close(store);
        } else {
            refused++;
            char *now = contents(bad, &after);
            CHECK_MEM_EQ(before, now, after);
            free(now);
        }
        free(before);
        free(copy);
        unlink(bad);
    }
    CHECK_GT(refused, 0);
    free(good);
    free(path);
    free(bad);
}

/* Opening refuses, for reading and for writing, and leaves the file as it is. */
static void check_refused(const char *path, int error) {
    size_t size, after;
    char *before = contents(path, &size);
    for (int write = 0; write < 2; write++) {
        struct lab_store *store;
        CHECK_ERR(lab_store_open(path, write, &store), error);
        char *now = contents(path, &after);
        CHECK_EQ(size, after);
        CHECK_MEM_EQ(before, now, size);
        free(now);
    }
    free(before);
}

TEST(files_of_others_are_left_alone) {
    char *text = place_for("text"), *other = place_for("other.db"), *newer = place_for("newer.db");
    char *words = lab_alloc(1, 3000);
    memset(words, 'x', 3000);
    put(text, words, 3000);
    check_refused(text, -EINVAL);
    sqlite3 *db;
    CHECK_EQ(sqlite3_open(other, &db), SQLITE_OK);
    CHECK_EQ(sqlite3_exec(db, "CREATE TABLE run(id)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    check_refused(other, -EINVAL);
    struct lab_store *store;
    CHECK_OK(lab_store_open(newer, true, &store));
    CHECK_OK(save_seed(store, 1));
    lab_sql_do(store, "PRAGMA user_version = 99");
    CHECK_OK(lab_sql_finish(store, "write"));
    lab_store_close(store);
    check_refused(newer, -EPROTONOSUPPORT);
    free(words);
    free(text);
    free(other);
    free(newer);
}

TEST(an_empty_file_becomes_a_store) {
    char *path = place_for("empty.db");
    struct lab_store *store;
    put(path, "", 0);
    CHECK_OK(lab_store_open(path, true, &store));
    CHECK_OK(save_seed(store, 1));
    lab_store_close(store);
    CHECK_EQ(check_store(path, 1), 1);
    free(path);
}
