/* SPDX-License-Identifier: MIT */
/* What the preloaded library writes down of a program with locks like a GIL, and of Python. */
#include "test.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe/preload.h"

enum { THREADS = 4096 };

/* What the events said, and that they make sense: one holder at a time, which is who lets go. */
struct seen {
    uint64_t last_ns;
    unsigned long count[PROBE_LOST + 1];
    unsigned long shorts_between; /* events that a lost one explains */
    int32_t holder;               /* 0: nobody */
    int32_t wanting[THREADS], alive[THREADS];
    unsigned long lost, waited_before;
    unsigned long wrong;
    char first_wrong[200];
};

static void wrong(struct seen *s, const struct probe_event *e, const char *what) {
    if (s->wrong++ == 0)
        snprintf(s->first_wrong, sizeof(s->first_wrong), "event %lu, kind %d of thread %d: %s",
                 s->count[e->kind], e->kind, e->tid, what);
}

static bool among(int32_t *set, int32_t tid, bool put, bool take) {
    for (int i = 0; i < THREADS; i++) {
        if (set[i] == tid) {
            if (take)
                set[i] = -1;
            return true;
        }
        if (set[i] == 0) {
            if (put)
                set[i] = tid;
            return false;
        }
    }
    return false;
}

static void see(void *arg, const struct probe_event *e) {
    struct seen *s = arg;
    s->count[e->kind]++;
    if (e->ns < s->last_ns)
        wrong(s, e, "earlier than the one before");
    s->last_ns = e->ns;
    if (e->kind == PROBE_LOST)
        s->lost += e->value;
    if (s->lost)
        return;
    switch (e->kind) {
    case PROBE_THREAD:
        if (among(s->alive, e->tid, true, false))
            wrong(s, e, "was there");
        break;
    case PROBE_EXIT:
        if (!among(s->alive, e->tid, false, true))
            wrong(s, e, "was not there");
        break;
    case PROBE_WANT:
        if (among(s->wanting, e->tid, true, false))
            wrong(s, e, "wants it already");
        s->waited_before += e->value != 0;
        break;
    case PROBE_GOT:
        if (s->holder && s->holder != e->tid)
            wrong(s, e, "another one had it");
        among(s->wanting, e->tid, false, true);
        s->holder = e->tid;
        break;
    case PROBE_DROP:
        if (s->holder != e->tid)
            wrong(s, e, "did not have it");
        s->holder = 0;
        break;
    default:
        break;
    }
}

struct result {
    struct seen seen;
    struct probe_preload_facts facts;
    int status;
    char output[4096];
};

struct launch {
    struct probe_preload *p;
    pid_t pid;
    int output;
};

static struct launch begin(bool follow, char **command) {
    struct launch l = {0};
    char *why = NULL;
    setenv("HEDDLE_LIBEXEC", PRELOAD_AT, 1);
    CHECK_MSG(probe_preload_open(follow, &l.p, &why) == 0, "%s", why);
    int output[2], go[2];
    CHECK_OK(pipe(output));
    CHECK_OK(pipe(go));
    probe_preload_setenv(l.p);
    l.pid = fork();
    CHECK_GE(l.pid, 0);
    if (l.pid == 0) {
        char byte;
        dup2(output[1], 1);
        close(output[0]);
        close(output[1]);
        close(go[1]);
        if (read(go[0], &byte, 1) == 1)
            execvp(command[0], command);
        _exit(127);
    }
    probe_preload_restore(l.p);
    probe_preload_launched(l.p, l.pid);
    CHECK_EQ(write(go[1], "", 1), 1);
    close(go[0]);
    close(go[1]);
    close(output[1]);
    l.output = output[0];
    return l;
}

/* Runs a command to its end; reads its events each millisecond, or (`late`) only then. The result
 * holds until the next one. */
static struct result *run(bool follow, bool late, char **command) {
    static struct result result, *r = &result;
    memset(r, 0, sizeof(*r));
    struct launch l = begin(follow, command);
    while (waitpid(l.pid, &r->status, WNOHANG) == 0) {
        if (!late)
            probe_preload_step(l.p, true, true, see, &r->seen);
        usleep(1000);
    }
    probe_preload_finish(l.p, true, true, see, &r->seen);
    probe_preload_facts(l.p, &r->facts);
    ssize_t n = read(l.output, r->output, sizeof(r->output) - 1);
    r->output[n > 0 ? n : 0] = '\0';
    close(l.output);
    probe_preload_close(l.p);
    return r;
}

static void check_target(const struct result *r, unsigned threads, unsigned long takes) {
    unsigned long gots, number, forced;
    CHECK_EQ(r->status, 0);
    CHECK_EQ(sscanf(r->output, "%lu %lu %lu", &gots, &number, &forced), 3);
    CHECK_EQ(gots, threads * takes);
    CHECK_MSG(r->seen.wrong == 0, "%lu wrong: %s", r->seen.wrong, r->seen.first_wrong);
    CHECK_EQ(r->facts.processes, 1);
    CHECK_EQ(r->facts.locks, 1);
    CHECK_EQ(r->facts.lost, 0);
    CHECK_EQ(r->facts.gots, gots);
    CHECK_EQ(r->facts.gots - r->facts.shorts, r->seen.count[PROBE_GOT]);
    CHECK_EQ(r->seen.count[PROBE_GOT], r->seen.count[PROBE_DROP]);
    CHECK_EQ(r->seen.count[PROBE_TAKE], number);
    CHECK_EQ(r->seen.count[PROBE_THREAD], threads);
    CHECK_EQ(r->seen.count[PROBE_EXIT], threads);
    /* It tells the first time that somebody asks the same holder, not each. */
    CHECK_LE(r->seen.count[PROBE_FORCE], forced);
    CHECK_EQ(r->seen.count[PROBE_FORCE] > 0, forced > 0);
}

TEST(a_structure_with_two_conditions) {
    unsigned long waited_before = 0;
    for (int i = 0; i < 20 && waited_before == 0; i++) {
        struct result *r = run(false, false, (char *[]){TARGET, "structure", "3", "1000", NULL});
        check_target(r, 3, 1000);
        CHECK_GT(r->seen.count[PROBE_WANT], 0);
        CHECK_GT(r->seen.count[PROBE_FORCE], 0);
        waited_before = r->seen.waited_before;
    }
    /* A wait that began with one for a forced switch; on a busy machine that is seen less often. */
    CHECK_GT(waited_before, 0);
}

TEST(conditions_apart) {
    struct result *r = run(false, false, (char *[]){TARGET, "apart", "2", "2000", NULL});
    check_target(r, 2, 2000);
    CHECK_GT(r->seen.count[PROBE_FORCE], 0);
}

TEST(one_thread_alone) {
    struct result *r = run(false, false, (char *[]){TARGET, "structure", "1", "20000", NULL});
    check_target(r, 1, 20000);
    CHECK_EQ(r->seen.count[PROBE_WANT], 0);
    CHECK_GT(r->facts.shorts, 0);
}

/* It is known after a few turns, and what came before is in no count. */
TEST(a_semaphore) {
    struct result *r = run(false, false, (char *[]){TARGET, "semaphore", "2", "20000", NULL});
    unsigned long gots, number, forced;
    CHECK_EQ(r->status, 0);
    CHECK_EQ(sscanf(r->output, "%lu %lu %lu", &gots, &number, &forced), 3);
    CHECK_MSG(r->seen.wrong == 0, "%lu wrong: %s", r->seen.wrong, r->seen.first_wrong);
    CHECK_EQ(r->facts.locks, 1);
    CHECK_LE(r->facts.gots, gots);
    CHECK_GT(r->facts.gots, gots - 100);
    CHECK_LE(r->seen.count[PROBE_TAKE], number);
}

/* A thousand rings serve any number of threads that come after each other. */
TEST(threads_come_and_go) {
    struct result *r = run(false, false, (char *[]){TARGET, "structure", "1900", "3", NULL});
    check_target(r, 1900, 3);
}

TEST(what_does_not_fit_is_counted) {
    struct result *r = run(false, true, (char *[]){TARGET, "structure", "4", "30000", NULL});
    unsigned long gots, number, forced;
    CHECK_EQ(r->status, 0);
    CHECK_EQ(sscanf(r->output, "%lu %lu %lu", &gots, &number, &forced), 3);
    CHECK_EQ(r->facts.gots, gots);
    CHECK_EQ(r->seen.lost, r->facts.lost);
    CHECK_EQ(r->seen.count[PROBE_LOST] != 0, r->facts.lost != 0);
    CHECK_LE(r->seen.count[PROBE_GOT], 4 * 8192);
}

TEST(a_child_is_left_alone) {
    struct result *r = run(false, false, (char *[]){TARGET, "fork", "2", "500", NULL});
    check_target(r, 2, 500);
}

TEST(a_child_is_followed) {
    struct result *r = run(true, false, (char *[]){TARGET, "fork", "2", "500", NULL});
    CHECK_EQ(r->status, 0);
    CHECK_EQ(r->facts.processes, 2);
    CHECK_EQ(r->facts.locks, 2);
    CHECK_EQ(r->facts.gots, 1500);
    CHECK_MSG(r->seen.wrong == 0, "%lu wrong: %s", r->seen.wrong, r->seen.first_wrong);
}

TEST(a_program_that_becomes_another) {
    struct result *r = run(false, false, (char *[]){TARGET, "exec", "2", "500", NULL});
    CHECK_EQ(r->status, 0);
    CHECK_EQ(r->facts.processes, 2);
    CHECK_EQ(r->facts.gots, 2000);
}

/* A program that was started by the target sees nothing of the library. */
TEST(children_drop_it) {
    struct result *r =
        run(false, false, (char *[]){"/bin/sh", "-c", TARGET " spawn 2 100", NULL});
    CHECK_EQ(r->status, 0);
}

/* The target fills its rings, and goes on. */
TEST(the_reader_may_die) {
    struct launch l = begin(false, (char *[]){TARGET, "structure", "4", "20000", NULL});
    static struct seen seen, *s = &seen;
    probe_preload_step(l.p, true, true, see, s);
    probe_preload_close(l.p);
    int status;
    CHECK_EQ(waitpid(l.pid, &status, 0), l.pid);
    CHECK_EQ(status, 0);
}

TEST(a_target_that_is_killed) {
    struct launch l = begin(false, (char *[]){TARGET, "structure", "4", "100000000", NULL});
    static struct seen seen, *s = &seen;
    uint64_t end = test_now_ns() + 20000000000;
    while (s->count[PROBE_TAKE] < 10 && test_now_ns() < end)
        probe_preload_step(l.p, true, true, see, s);
    CHECK_GE(s->count[PROBE_TAKE], 10);
    kill(l.pid, SIGKILL);
    waitpid(l.pid, NULL, 0);
    probe_preload_finish(l.p, true, true, see, s);
    CHECK_MSG(s->wrong == 0, "%lu wrong: %s", s->wrong, s->first_wrong);
    probe_preload_close(l.p);
}

/* ---- interpreters ---- */

/* Two threads that count down, and one that sleeps and wakes. */
static const char countdown[] =
    "import threading, time\n"
    "def count():\n"
    "    n = 1500000\n"
    "    while n: n -= 1\n"
    "def nap():\n"
    "    for i in range(20): time.sleep(0.001)\n"
    "all = [threading.Thread(target=f) for f in (count, count, nap)]\n"
    "for t in all: t.start()\n"
    "for t in all: t.join()\n";

static void check_python(const char *python, bool forces) {
    if (access(python, X_OK) != 0)
        SKIP("there is no %s", python);
    struct result *r =
        run(false, false, (char *[]){(char *)python, "-S", "-c", (char *)countdown, NULL});
    CHECK_EQ(r->status, 0);
    CHECK_EQ(r->facts.locks, 1);
    CHECK_MSG(r->seen.wrong == 0, "%lu wrong: %s", r->seen.wrong, r->seen.first_wrong);
    CHECK_GE(r->seen.count[PROBE_TAKE], 4);
    CHECK_GE(r->seen.count[PROBE_THREAD], 4);
    CHECK_GE(r->seen.count[PROBE_WANT], 2);
    CHECK_EQ(r->seen.count[PROBE_FORCE] > 0, forces);
    CHECK_GE(r->seen.count[PROBE_GOT], r->seen.count[PROBE_DROP]);
    CHECK_LE(r->seen.count[PROBE_GOT], r->seen.count[PROBE_DROP] + 1);
}

static void check_version(const char *version, const char *name, bool forces) {
    char path[400];
    snprintf(path, sizeof(path), "%s/.pyenv/versions/%s/bin/python%s",
             getenv("HOME") ? getenv("HOME") : "", version, name);
    check_python(path, forces);
}

/* Debian's, static and stripped. */
TEST(python_of_the_system) { check_python("/usr/bin/python3", true); }
TEST(python_2_7) { check_version("2.7.18", "2.7", false); }
TEST(python_3_6) { check_version("3.6.15", "3.6", true); }
TEST(python_3_8) { check_version("3.8.18", "3.8", true); }
TEST(python_3_12) { check_version("3.12.1", "3.12", true); }
TEST(python_3_13) { check_version("3.13.0", "3.13", true); }
