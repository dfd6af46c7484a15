/* SPDX-License-Identifier: MIT */
/* What processes inherit that threads start: from a thread of each kind, and from one that has lost
 * its worker. Compared with what a child of the program has that has no runtime. */
#include "preempt_test.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>

extern char **environ;

/* ---- what a child says of itself ---- */

struct inherited {
    unsigned long long blocked, ignored, caught, pending;
    int files;
};

/* Signals that the C library keeps for itself: posix_spawn() has them ignored. */
static const unsigned long long internal = 3ull << 31;

/* Without a shell, which may let all signals through first. */
static char *const look[] = {(char *)"grep", (char *)"^Sig", (char *)"/proc/self/status", NULL};
static char *const list[] = {(char *)"ls", (char *)"/proc/self/fd", NULL};

static void read_signals(FILE *from, struct inherited *c) {
    char line[200];
    int seen = 0;
    while (fgets(line, sizeof line, from)) {
        seen += sscanf(line, "SigBlk: %llx", &c->blocked) == 1;
        seen += sscanf(line, "SigIgn: %llx", &c->ignored) == 1;
        seen += sscanf(line, "SigCgt: %llx", &c->caught) == 1;
        seen += sscanf(line, "SigPnd: %llx", &c->pending) == 1;
    }
    CHECK_EQ(seen, 4);
    c->ignored &= ~internal;
}

static void count_lines(FILE *from, struct inherited *c) {
    char line[200];
    for (c->files = 0; fgets(line, sizeof line, from);)
        c->files++;
}

/* Without a call that parks: the kernel thread would keep the mask that the thread has set. */
static void check_end(pid_t pid) {
    int status = 0;
    pid_t got;
    while ((got = waitpid(pid, &status, 0)) < 0)
        CHECK_EQ(errno, EINTR);
    CHECK_EQ(got, pid);
    CHECK_EQ(status, 0);
}

static void popen_one(const char *command, void (*read_it)(FILE *, struct inherited *),
                      struct inherited *c) {
    FILE *from = popen(command, "re");
    CHECK(from != NULL);
    read_it(from, c);
    CHECK_EQ(pclose(from), 0);
}

static void by_popen(struct inherited *c) {
    popen_one("grep ^Sig /proc/self/status", read_signals, c);
    popen_one("ls /proc/self/fd", count_lines, c);
}

static void system_one(const char *what, void (*read_it)(FILE *, struct inherited *),
                       struct inherited *c) {
    char name[] = "/tmp/heddle-test-XXXXXX", command[128];
    int fd = mkostemp(name, O_CLOEXEC);
    CHECK(fd >= 0);
    snprintf(command, sizeof command, "%s > %s", what, name);
    CHECK_EQ(system(command), 0);
    FILE *from = fdopen(fd, "r");
    read_it(from, c);
    fclose(from);
    unlink(name);
}

static void by_system(struct inherited *c) {
    system_one("grep ^Sig /proc/self/status", read_signals, c);
    system_one("ls /proc/self/fd", count_lines, c);
}

static pid_t posix_spawn_to(int out, char *const argv[], const posix_spawnattr_t *attr) {
    posix_spawn_file_actions_t actions;
    pid_t pid;
    CHECK_EQ(posix_spawn_file_actions_init(&actions), 0);
    CHECK_EQ(posix_spawn_file_actions_adddup2(&actions, out, 1), 0);
    CHECK_EQ(posix_spawnp(&pid, argv[0], &actions, attr, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static pid_t fork_to(int out, char *const argv[], const posix_spawnattr_t *attr) {
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out, 1);
        execvp(argv[0], argv);
        _exit(126);
    }
    CHECK(pid > 0);
    (void)attr;
    return pid;
}

typedef pid_t starter(int out, char *const argv[], const posix_spawnattr_t *attr);

static void start_one(starter *start, char *const argv[], const posix_spawnattr_t *attr,
                      void (*read_it)(FILE *, struct inherited *), struct inherited *c) {
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = start(ends[1], argv, attr);
    close(ends[1]);
    FILE *from = fdopen(ends[0], "r");
    read_it(from, c);
    fclose(from);
    check_end(pid);
}

static void by(starter *start, struct inherited *c, const posix_spawnattr_t *attr) {
    start_one(start, look, attr, read_signals, c);
    start_one(start, list, attr, count_lines, c);
}

/* ---- what it is to be ---- */

static struct inherited plain; /* of a program without a runtime */

static void check_like(const struct inherited *c, const char *how) {
    CHECK_MSG(c->blocked == plain.blocked, "%s: it blocks %llx, not %llx", how, c->blocked,
              plain.blocked);
    CHECK_MSG(c->ignored == plain.ignored, "%s: it ignores %llx, not %llx", how, c->ignored,
              plain.ignored);
    CHECK_MSG(c->caught == plain.caught, "%s: it handles %llx, not %llx", how, c->caught,
              plain.caught);
    CHECK_EQ(c->pending, 0);
    CHECK_MSG(c->files == plain.files, "%s: %d files, not %d", how, c->files, plain.files);
}

/* With the mask that the program had at first: what hd_run(3) asks of those who start processes by
 * other means than fork(). */
static void start_all(void) {
    struct inherited c;
    sigset_t programs, before;
    posix_spawnattr_t attr;
    by(fork_to, &c, NULL);
    check_like(&c, "fork");
    sigemptyset(&programs);
    CHECK_EQ(posix_spawnattr_init(&attr), 0);
    CHECK_EQ(posix_spawnattr_setsigmask(&attr, &programs), 0);
    CHECK_EQ(posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK), 0);
    by(posix_spawn_to, &c, &attr);
    check_like(&c, "posix_spawn with a mask");
    posix_spawnattr_destroy(&attr);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &programs, &before), 0);
    by(posix_spawn_to, &c, NULL);
    check_like(&c, "posix_spawn");
    by_system(&c);
    check_like(&c, "system");
    by_popen(&c);
    check_like(&c, "popen");
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

/* ---- from whom ---- */

static void *from_a_thread(void *arg) {
    start_all();
    return arg;
}

/* Others wait, so its worker goes to them. */
static void *from_a_held_thread(void *arg) {
    CHECK_OK(hd_blocking(from_a_thread, arg, NULL));
    return NULL;
}

static void *busy(void *stop) {
    spin_until(stop, 1);
    return NULL;
}

static int start_from_each_kind(void *arg) {
    struct ticker ticker = {.thread = NULL};
    counter stop = 0;
    hd_thread *busy_ones[2];
    (void)arg;
    start_all();
    ticker_start(&ticker, NULL);
    for (int i = 0; i < 2; i++)
        busy_ones[i] = spawn_kind(i ? HD_PREEMPT_LIGHT : HD_PREEMPT_CARRIER, busy, &stop);
    join(spawn_kind(HD_PREEMPT_CARRIER, from_a_thread, NULL));
    join(spawn_kind(HD_PREEMPT_LIGHT, from_a_thread, NULL));
    join(spawn_kind(HD_PREEMPT_OFF, from_a_thread, NULL));
    join(spawn_kind(HD_PREEMPT_CARRIER, from_a_held_thread, NULL));
    count_up(&stop);
    for (int i = 0; i < 2; i++)
        join(busy_ones[i]);
    ticker_stop(&ticker);
    return 0;
}

static void look_at_plain(void) {
    sigset_t none;
    sigemptyset(&none);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &none, NULL), 0);
    by(fork_to, &plain, NULL);
    CHECK_EQ(plain.blocked, 0);
}

TEST_WITHIN(children_are_as_without_a_runtime, 60) {
    if (TEST_TSAN)
        SKIP("fork() takes ThreadSanitizer's own locks, which a preempted thread may hold");
    look_at_plain();
    for (unsigned workers = 1; workers <= 2; workers++)
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers, .slice_us = 1000), start_from_each_kind,
                        NULL));
}

/* On a kernel thread of the library, most signals are blocked; and so in a child. */
static void *blocks_signals(void *arg) {
    struct inherited c;
    sigset_t now;
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &now), 0);
    CHECK_EQ(sigismember(&now, SIGTERM), 1);
    by(posix_spawn_to, &c, NULL);
    CHECK(c.blocked & 1u << (SIGTERM - 1));
    start_all();
    return arg;
}

TEST_WITHIN(what_the_library_blocks_is_the_programs_to_let_through, 60) {
    if (TEST_TSAN)
        SKIP("fork() takes ThreadSanitizer's own locks, which a preempted thread may hold");
    look_at_plain();
    CHECK_OK(hd_start(HD_CONFIG(.workers = 1)));
    join(spawn(blocks_signals, NULL));
    CHECK_OK(hd_stop());
}
