/* SPDX-License-Identifier: MIT */
/* Targets for the tests of a watch, and what was seen of them. */
#include "watch_support.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void expect_byte(int fd) {
    char byte;
    if (read(fd, &byte, 1) != 1)
        _exit(0);
}

struct child start_child(void (*body)(int in, int out)) {
    int in[2], out[2];
    CHECK_EQ(pipe(in), 0);
    CHECK_EQ(pipe(out), 0);
    struct child c = {.to = in[1], .from = out[0]};
    pid_t parent = getpid();
    c.pid = fork();
    CHECK(c.pid >= 0);
    if (c.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(0); /* the test has failed meanwhile */
        close(in[1]);
        close(out[0]);
        body(in[0], out[1]);
        _exit(0);
    }
    close(in[0]);
    close(out[1]);
    return c;
}

void go(struct child *c) {
    CHECK_EQ(write(c->to, "", 1), 1);
}

void wait_done(struct child *c) {
    char byte;
    CHECK_EQ(read(c->from, &byte, 1), 1);
}

void end_child(struct child *c) {
    kill(c->pid, SIGKILL);
    waitpid(c->pid, NULL, 0);
    close(c->to);
    close(c->from);
}

void done(int out) {
    if (write(out, "", 1) != 1)
        _exit(1);
}

static size_t thread_of(struct seen *s, pid_t tid) {
    for (size_t i = s->threads; i-- > 0;) {
        if (s->thread[i].tid == tid)
            return i;
    }
    return SEEN_THREADS;
}

void see(void *arg, const struct probe_event *e) {
    struct seen *s = arg;
    CHECK(e->kind <= PROBE_LOST);
    s->count[e->kind]++;
    s->backwards += e->ns < s->last_ns;
    s->last_ns = e->ns;
    if (e->kind == PROBE_THREAD && s->threads < SEEN_THREADS)
        s->thread[s->threads++].tid = e->tid;
    size_t i = thread_of(s, e->tid);
    bool of_thread = e->kind != PROBE_LOST && e->kind != PROBE_HOLDER;
    s->strangers += of_thread && i == SEEN_THREADS && s->threads < SEEN_THREADS;
    if (i < SEEN_THREADS && (e->kind == PROBE_ON || e->kind == PROBE_OFF)) {
        s->repeated += s->thread[i].last == e->kind;
        s->thread[i].last = e->kind;
    }
    s->after_exec += e->kind == PROBE_ON && s->count[PROBE_EXEC] > 0;
    if (e->kind == PROBE_LOST)
        s->lost += e->value;
    if (e->kind == PROBE_NAME || e->kind == PROBE_EXEC)
        CHECK(e->text != NULL);
    if (e->kind == PROBE_NAME)
        s->shell_named = s->shell_named || strcmp(e->text, "sh") == 0;
    if (e->kind == PROBE_EXEC)
        s->exec_named = s->exec_named || strcmp(e->text, "sleep") == 0;
    if (e->kind == PROBE_LOOK && e->doing == PROBE_ON_FUTEX) {
        s->futex_looks++;
        s->lock_looks += e->lock == 0;
    }
    if (e->kind == PROBE_LOOK && e->doing == PROBE_IN_CALL)
        s->call = e->value;
}

struct probe_watch *watch(const struct probe_options *o) {
    struct probe_watch *w;
    CHECK_OK(probe_watch_open(o, &w));
    return w;
}

void need(struct probe_watch *w, enum probe_means_id id) {
    const struct probe_means *m = &probe_watch_means(w)[id];
    if (!m->used)
        SKIP("%s: %s", m->name, m->why);
}

void to_the_end(struct probe_watch *w, struct seen *s) {
    int going;
    while ((going = probe_watch_step(w, 20, see, s)) > 0)
        continue;
    CHECK_EQ(going, 0);
    CHECK_EQ(probe_watch_step(w, 20, see, s), 0);
    CHECK_EQ(s->backwards, 0u);
    CHECK_EQ(s->strangers, 0u);
}

void run_for(struct probe_watch *w, struct seen *s, int steps) {
    for (int i = 0; i < steps; i++)
        CHECK_EQ(probe_watch_step(w, 10, see, s), 1);
}

void run_until(struct probe_watch *w, struct seen *s, const uint64_t *counter, uint64_t value) {
    for (int i = 0; i < 2000 && *counter < value; i++)
        CHECK_EQ(probe_watch_step(w, 10, see, s), 1);
    CHECK_GE(*counter, value);
}
