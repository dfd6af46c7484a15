/* SPDX-License-Identifier: MIT */
/* What the tests of the runtime share: a test that runs inside a runtime, and children whose end
 * and last words are looked at. */
#ifndef HEDDLE_TEST_RUNTIME_TEST_H
#define HEDDLE_TEST_RUNTIME_TEST_H

#include "test.h"

#include "sched/worker.h"
#include <heddle/heddle.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* A test whose body is the first thread of a runtime with so many workers. */
#define RUNTIME_TEST(name, worker_count)                                             \
    static int main_of_##name(void *arg);                                            \
    TEST(name) {                                                                     \
        CHECK_OK(hd_run(HD_CONFIG(.workers = worker_count), main_of_##name, NULL));  \
    }                                                                                \
    static int main_of_##name(void *arg __attribute__((unused)))

#define MS UINT64_C(1000000)

static inline bool others_run(void) {
    const hd_thread *self = hd_self(), *t;
    for (unsigned i = 0; i < hd_worker_count(); i++) {
        t = atomic_load_explicit(&hd__rt.workers[i].current, memory_order_relaxed);
        if (t && t != self)
            return true;
    }
    return hd__idle_work_hint();
}

/* Until the threads that were just started have arrived in their waits: nobody else runs or could.
 * Those that never wait are given some tenth of a second. */
static inline void let_wait(void) {
    int looks = 0;
    do
        hd_sleep_for(3 * MS);
    while (others_run() && ++looks < 40);
}

static inline hd_thread *spawn(hd_fn fn, void *arg) {
    hd_thread *t = NULL;
    CHECK_OK(hd_spawn(&t, NULL, fn, arg));
    CHECK(t != NULL);
    return t;
}

static inline void *join(hd_thread *t) {
    void *result = NULL;
    CHECK_OK(hd_join(t, &result));
    return result;
}

static inline pthread_t foreign(void *(*fn)(void *), void *arg) {
    pthread_t t;
    CHECK_EQ(pthread_create(&t, NULL, fn, arg), 0);
    return t;
}

static inline void *foreign_join(pthread_t t) {
    void *result = NULL;
    CHECK_EQ(pthread_join(t, &result), 0);
    return result;
}

/* A process that runs fn(arg) and how it ended. Fork before the test starts threads. */
struct child {
    int status;
    size_t used;
    char out[16384]; /* what it wrote to standard output and error */
};

static inline void child_body(int out, void (*fn)(void *), void *arg) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    alarm(30);
    fn(arg);
    _exit(0);
}

/* An emulator that sees its program die says so, in a line of its own; of children, too. */
static inline void child_drop_emulator(struct child *c) {
    char *line, *end;
    while (test_under_qemu() && (line = strstr(c->out, "qemu: uncaught target signal")) != NULL &&
           (end = strchr(line, '\n')) != NULL)
        memmove(line, end + 1, strlen(end + 1) + 1);
    c->used = strlen(c->out);
}

static inline void child_run(struct child *c, void (*fn)(void *), void *arg) {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        child_body(ends[1], fn, arg);
    }
    close(ends[1]);
    c->used = 0;
    for (;;) {
        ssize_t n = read(ends[0], c->out + c->used, sizeof c->out - 1 - c->used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        c->used += (size_t)n;
    }
    c->out[c->used] = '\0';
    close(ends[0]);
    child_drop_emulator(c);
    while (waitpid(pid, &c->status, 0) < 0)
        CHECK_EQ(errno, EINTR);
}

static inline unsigned child_lines(const struct child *c) {
    unsigned n = 0;
    for (const char *p = c->out; (p = strchr(p, '\n')) != NULL; p++)
        n++;
    return n;
}

/* The child must have aborted, after exactly one line of ours that holds `text`. */
static inline void child_check_fatal(const struct child *c, const char *text) {
    CHECK_STR_HAS(c->out, text);
    CHECK_MSG(strncmp(c->out, "heddle: ", 8) == 0, "it wrote \"%s\"", c->out);
    CHECK_MSG(child_lines(c) == 1 && c->out[c->used - 1] == '\n', "it wrote \"%s\"", c->out);
    CHECK_MSG(WIFSIGNALED(c->status) && WTERMSIG(c->status) == SIGABRT, "its status is %d",
              c->status);
}

/* That fn(arg), run in a process of its own, dies so. */
static inline void check_fatal(const char *text, void (*fn)(void *), void *arg) {
    struct child *c = calloc(1, sizeof *c);
    CHECK(c != NULL);
    child_run(c, fn, arg);
    child_check_fatal(c, text);
    free(c);
}

#endif
