/* SPDX-License-Identifier: MIT */
/* Calls are seen by uprobes, and nothing of them is left afterwards, whatever happened. */
#include "test.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe/traces.h"

static const char *const functions[] = {"rare_call", "there_is_no_such_function"};

struct target {
    pid_t pid;
    FILE *in, *out;
    char file[PATH_MAX];
};

static void expect(struct target *t, const char *word) {
    char line[64] = "";
    CHECK(fgets(line, sizeof(line), t->out) != NULL);
    CHECK_STR_HAS(line, word);
}

static struct target begin(const char *calls) {
    struct target t = {0};
    int in[2], out[2];
    CHECK_OK(pipe(in));
    CHECK_OK(pipe(out));
    CHECK(realpath(TARGET, t.file) != NULL);
    t.pid = fork();
    if (t.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        execl(TARGET, TARGET, "calls", calls, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    t.in = fdopen(in[1], "w");
    t.out = fdopen(out[0], "r");
    expect(&t, "ready");
    return t;
}

static void go(struct target *t) {
    fputc('\n', t->in);
    fflush(t->in);
    expect(t, "done");
}

static void check_ends(struct target *t) {
    int status;
    fclose(t->in);
    CHECK_EQ(waitpid(t->pid, &status, 0), t->pid);
    CHECK_EQ(status, 0);
}

/* Whether the kernel has probes of ours. */
static bool left(pid_t owner) {
    static const char *const roots[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
    char name[64], path[200], line[600];
    bool found = false;
    snprintf(name, sizeof(name), "heddle_%d", (int)owner);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/instances/%s", roots[i], name);
        found = found || access(path, F_OK) == 0;
        snprintf(path, sizeof(path), "%s/uprobe_events", roots[i]);
        FILE *f = fopen(path, "r");
        while (f && fgets(line, sizeof(line), f))
            found = found || strstr(line, name) != NULL;
        if (f)
            fclose(f);
    }
    return found;
}

static struct probe_traces *open_or_skip(const struct target *t) {
    struct probe_traces *traces;
    char *why = NULL;
    if (probe_traces_open(t->pid, t->file, functions, 2, &traces, &why) != 0) {
        kill(t->pid, SIGKILL);
        SKIP("%s", why);
    }
    return traces;
}

struct seen {
    unsigned long calls;
    pid_t tid;
    uint64_t last_ns;
    bool backwards;
};

static void see(void *arg, int function, pid_t tid, uint64_t ns) {
    struct seen *s = arg;
    s->calls += function == 0;
    s->tid = tid;
    s->backwards = s->backwards || ns < s->last_ns;
    s->last_ns = ns;
}

TEST(calls_are_counted) {
    struct target t = begin("500");
    struct seen s = {0};
    enum probe_traced how;
    struct probe_traces *traces = open_or_skip(&t);
    uint64_t before_ns = test_now_ns();
    go(&t);
    probe_traces_step(traces, see, &s);
    CHECK_EQ(s.calls, 500);
    CHECK_EQ(s.tid, t.pid);
    CHECK(!s.backwards);
    CHECK_GE(s.last_ns + 1000, before_ns);
    CHECK_LE(s.last_ns, test_now_ns());
    CHECK_EQ(probe_traces_count(traces, 0, &how), 500);
    CHECK_EQ(how, PROBE_TRACED);
    probe_traces_count(traces, 1, &how);
    CHECK_EQ(how, PROBE_TRACED_NOT);
    CHECK(left(getpid()));
    probe_traces_close(traces);
    CHECK(!left(getpid()));
    check_ends(&t);
}

TEST(what_is_called_often_is_left_alone) {
    struct target t = begin("400000");
    enum probe_traced how = PROBE_TRACED;
    struct probe_traces *traces = open_or_skip(&t);
    fputc('\n', t.in);
    fflush(t.in);
    uint64_t end = test_now_ns() + 20000000000;
    while (how == PROBE_TRACED && test_now_ns() < end) {
        probe_traces_step(traces, NULL, NULL);
        probe_traces_count(traces, 0, &how);
    }
    CHECK_EQ(how, PROBE_TRACED_SOME);
    expect(&t, "done");
    probe_traces_close(traces);
    CHECK(!left(getpid()));
    check_ends(&t);
}

TEST(nothing_is_left_of_one_that_was_killed) {
    struct target t = begin("1000");
    int ready[2];
    char byte = 0;
    CHECK_OK(pipe(ready));
    pid_t watcher = fork();
    if (watcher == 0) {
        struct probe_traces *traces;
        char *why = NULL;
        int error = probe_traces_open(t.pid, t.file, functions, 2, &traces, &why);
        byte = error ? 'n' : 'y';
        if (write(ready[1], &byte, 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    if (byte == 'y')
        CHECK(left(watcher));
    kill(watcher, SIGKILL);
    waitpid(watcher, NULL, 0);
    if (byte != 'y') {
        kill(t.pid, SIGKILL);
        SKIP("uprobes take root, and tracefs");
    }
    CHECK_SOON(!left(watcher), 10000);
    go(&t);
    check_ends(&t);
}
