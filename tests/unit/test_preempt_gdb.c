/* SPDX-License-Identifier: MIT */
/* A debugger attaches to a program whose threads are being preempted, looks around, lets it go, and
 * the program goes on; and it runs one from the start. */
#include "preempt_test.h"

#include <stdio.h>

/* The program: two busy threads a worker until somebody writes to its standard input. */
static counter stop;

static __attribute__((noinline)) void *busy_under_gdb(void *arg) {
    spin_until(&stop, 1);
    return arg;
}

static void *wait_for_word(void *arg) {
    char c;
    if (read(STDIN_FILENO, &c, 1) >= 0)
        count_up(&stop);
    return arg;
}

static int debuggee(void *arg) {
    struct ticker ticker = {.thread = NULL};
    hd_thread *t[4];
    ticker_start(&ticker, NULL);
    for (int i = 0; i < 4; i++)
        t[i] = spawn_kind(1 + i % 2, busy_under_gdb, NULL);
    pthread_t p = foreign(wait_for_word, NULL);
    for (int i = 0; i < 4; i++)
        join(t[i]);
    /* It can still be preempted. */
    spin_until(&ticker.turns, count_of(&ticker.turns) + 3);
    foreign_join(p);
    ticker_stop(&ticker);
    return arg == NULL ? 0 : 1;
}

static pid_t start_debuggee(int *to) {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
        dup2(ends[0], STDIN_FILENO);
        close(ends[1]);
        _exit(hd_run(QUICK(.workers = 2), debuggee, NULL) == 0 ? 7 : 1);
    }
    close(ends[0]);
    *to = ends[1];
    return pid;
}

static char output[1 << 16];

/* Runs a command; what it wrote is in `output`. */
static int run(const char *command) {
    FILE *f = popen(command, "r");
    CHECK(f != NULL);
    size_t n = fread(output, 1, sizeof output - 1, f);
    output[n] = '\0';
    while (fgetc(f) != EOF) {
    }
    return pclose(f);
}

static void skip_without_gdb(void) {
    if (test_under_qemu() || test_under_valgrind())
        SKIP("gdb would see the emulator");
    if (TEST_ASAN || TEST_TSAN)
        SKIP("the tool's leak check and its slowness do not go with gdb");
    if (run("gdb --version 2>&1") != 0)
        SKIP("there is no gdb");
}

TEST_WITHIN(gdb_attaches_and_leaves, 120) {
    char command[300];
    int to, status = 0;
    skip_without_gdb();
    pid_t pid = start_debuggee(&to);
    usleep(100000);
    for (int i = 0; i < 2; i++) {
        snprintf(command, sizeof command,
                 "gdb -nx -batch -p %d -ex 'thread apply all bt 20' -ex detach 2>&1 </dev/null",
                 (int)pid);
        int result = run(command);
        if (strstr(output, "ptrace: Operation not permitted")) {
            kill(pid, SIGKILL);
            SKIP("gdb may not attach here");
        }
        CHECK_MSG(result == 0, "gdb ended with %d: %s", result, output);
        CHECK_STR_HAS(output, "busy_under_gdb");
        usleep(50000);
    }
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
    CHECK_EQ(write(to, "x", 1), 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %d", status);
    close(to);
}

/* Run by gdb from the start, in the test below. */
TEST_WITHIN(the_program_by_itself, 60) {
    int to[2];
    CHECK_EQ(pipe(to), 0);
    CHECK_EQ(dup2(to[0], STDIN_FILENO), STDIN_FILENO);
    CHECK_EQ(write(to[1], "x", 1), 1);
    CHECK_OK(hd_run(QUICK(.workers = 2), debuggee, NULL));
}

TEST_WITHIN(gdb_runs_it, 120) {
    char command[600], self[300];
    skip_without_gdb();
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    CHECK(n > 0);
    self[n] = '\0';
    snprintf(command, sizeof command,
             "gdb -nx -batch -ex 'set startup-with-shell off' -ex run -ex 'bt 5' --args '%s' "
             "--no-fork the_program_by_itself 2>&1 </dev/null",
             self);
    (void)run(command);
    if (strstr(output, "not permitted"))
        SKIP("gdb may not trace here");
    CHECK_STR_HAS(output, "exited normally");
}
