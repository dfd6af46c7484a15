/* SPDX-License-Identifier: MIT */
/* The runner inside every test program: forks a process per test, waits for it with a time limit,
 * and prints TAP. The checks themselves are in check.c. */
#include "test_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What a skipped test leaves with. */
#define EXIT_SKIP 77

/* What the test's process leaves for the runner; on a page that both map. */
struct shared_note {
    char skip_reason[512];
};

static struct test_case *first_case;
static struct test_case **last_link = &first_case;
static struct shared_note *shared;
static bool fork_tests = true;
static uint64_t seed;

void test_register(struct test_case *c) {
    *last_link = c;
    last_link = &c->next;
}

uint64_t test_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool environment_says(const char *name) {
    const char *value = getenv(name);
    return value != NULL && *value != '\0' && strcmp(value, "0") != 0;
}

bool test_under_qemu(void) {
    return environment_says("HEDDLE_TEST_QEMU");
}

bool test_under_valgrind(void) {
    return environment_says("HEDDLE_TEST_VALGRIND");
}

unsigned long test_iterations(unsigned long n) {
    const char *value = getenv("HEDDLE_TEST_SCALE");
    double scale = value != NULL ? strtod(value, NULL) : 1.0;
    if (TEST_ASAN || TEST_TSAN)
        scale *= 0.2;
    if (test_under_qemu() || test_under_valgrind())
        scale *= 0.05;
    double scaled = (double)n * scale;
    return scaled < 1.0 ? 1 : (unsigned long)scaled;
}

uint64_t test_seed(void) {
    return seed;
}

struct test_rng test_rng(uint64_t stream) {
    struct test_rng rng = {seed ^ (stream * 0xd1342543de82ef95u)};
    test_rng_next(&rng);
    return rng;
}

/* SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014. */
uint64_t test_rng_next(struct test_rng *rng) {
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t test_rng_below(struct test_rng *rng, uint64_t limit) {
    return limit == 0 ? 0 : test_rng_next(rng) % limit;
}

/* A test ends at once, on whichever thread it is: no handlers run, since the process may be in
 * any state. In the program itself a debugger gets to see the place. */
_Noreturn void test_leave_failed(void) {
    if (!fork_tests)
        abort();
    _exit(1);
}

_Noreturn void test_skip(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(shared->skip_reason, sizeof shared->skip_reason, fmt, args);
    va_end(args);
    if (!fork_tests)
        printf("# skipped: %s\n", shared->skip_reason);
    fflush(stdout);
    _exit(fork_tests ? EXIT_SKIP : 0);
}

/* Shows where every thread of a hung test stands, if there is a debugger to ask. */
static void show_backtraces(pid_t hung) {
    static const char debugger[] = "/usr/bin/gdb";
    if (access(debugger, X_OK) != 0 || test_under_qemu() || test_under_valgrind())
        return;
    pid_t pid = fork();
    if (pid == 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", (int)hung);
        int null = open("/dev/null", O_RDONLY);
        dup2(null, STDIN_FILENO);
        dup2(STDERR_FILENO, STDOUT_FILENO);
        alarm(60);
        execl(debugger, debugger, "-nx", "-batch", "-p", number, "-ex", "thread apply all bt 12",
              (char *)NULL);
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

static unsigned time_limit_s(const struct test_case *c) {
    const char *value = getenv("HEDDLE_TEST_TIMEOUT");
    if (value != NULL && atoi(value) > 0)
        return (unsigned)atoi(value);
    const char *scale = getenv("HEDDLE_TEST_SCALE");
    double limit = c->timeout_s;
    if (scale != NULL && strtod(scale, NULL) > 1)
        limit *= strtod(scale, NULL);
    if (test_under_qemu() || test_under_valgrind())
        limit *= 5;
    else if (TEST_ASAN || TEST_TSAN)
        limit *= 3;
    return (unsigned)limit;
}

/* Waits for the test's process; SIGCHLD is blocked. False when the time was up. */
static bool wait_for(pid_t pid, unsigned limit_s, int *status) {
    uint64_t deadline = test_now_ns() + (uint64_t)limit_s * 1000000000u;
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        if (waitpid(pid, status, WNOHANG) == pid)
            return true;
        uint64_t now = test_now_ns();
        if (now >= deadline)
            return false;
        uint64_t left = deadline - now;
        struct timespec wait = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
        sigtimedwait(&child, NULL, &wait);
    }
}

/* The test's own process: ends with its parent, prints to standard error alone. */
static _Noreturn void run_child(const struct test_case *c) {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigprocmask(SIG_UNBLOCK, &child, NULL);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    c->body();
    exit(0); /* through the handlers: leak checkers report there */
}

/* Runs one test; true unless it failed. */
static bool run_forked(const struct test_case *c, unsigned number) {
    unsigned limit_s = time_limit_s(c);
    int status = 0;
    shared->skip_reason[0] = '\0';
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        run_child(c);
    if (pid < 0) {
        printf("# fork: %s\nnot ok %u - %s\n", strerror(errno), number, c->name);
        return false;
    }
    if (!wait_for(pid, limit_s, &status)) {
        fprintf(stderr, "# %s: no end after %u s\n", c->name, limit_s);
        show_backtraces(pid);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    } else if (WIFSIGNALED(status)) {
        fprintf(stderr, "# %s: killed by signal %d (%s)\n", c->name, WTERMSIG(status),
                strsignal(WTERMSIG(status)));
    } else if (WEXITSTATUS(status) == 0) {
        printf("ok %u - %s\n", number, c->name);
        return true;
    } else if (WEXITSTATUS(status) == EXIT_SKIP && shared->skip_reason[0] != '\0') {
        printf("ok %u - %s # SKIP %s\n", number, c->name, shared->skip_reason);
        return true;
    } else if (WEXITSTATUS(status) != 1) {
        fprintf(stderr, "# %s: exit status %d\n", c->name, WEXITSTATUS(status));
    }
    printf("not ok %u - %s\n", number, c->name);
    return false;
}

static bool selected(const struct test_case *c, char **names, int count) {
    for (int i = 0; i < count; i++)
        if (fnmatch(names[i], c->name, 0) == 0)
            return true;
    return count == 0;
}

static void choose_seed(void) {
    const char *value = getenv("HEDDLE_TEST_SEED");
    if (value != NULL && *value != '\0')
        seed = strtoull(value, NULL, 0);
    else
        seed = (test_now_ns() ^ ((uint64_t)getpid() << 40)) & 0xffffffffffu;
}

static int run_all(const char *program, char **names, int count) {
    unsigned total = 0, number = 0, failed = 0;
    for (struct test_case *c = first_case; c != NULL; c = c->next)
        total += selected(c, names, count);
    if (total == 0) {
        fprintf(stderr, "%s: no test has such a name; --list shows them\n", program);
        return 2;
    }
    printf("1..%u\n# seed %" PRIu64 "\n", total, seed);
    for (struct test_case *c = first_case; c != NULL; c = c->next) {
        if (!selected(c, names, count))
            continue;
        number++;
        if (!fork_tests) {
            c->body();
            printf("ok %u - %s\n", number, c->name);
        } else if (!run_forked(c, number)) {
            failed++;
            printf("# repeat with: HEDDLE_TEST_SEED=%" PRIu64 " %s %s\n", seed, program, c->name);
        }
        fflush(stdout);
    }
    return failed != 0;
}

int main(int argc, char **argv) {
    int i = 1;
    sigset_t child;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--no-fork") == 0) {
            fork_tests = false;
        } else if (strcmp(argv[i], "--list") == 0) {
            for (struct test_case *c = first_case; c != NULL; c = c->next)
                puts(c->name);
            return 0;
        } else {
            fprintf(stderr, "usage: %s [--list] [--no-fork] [NAME...]\n", argv[0]);
            return 2;
        }
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    if (fork_tests) {
        sigemptyset(&child);
        sigaddset(&child, SIGCHLD);
        sigprocmask(SIG_BLOCK, &child, NULL);
    }
    choose_seed();
    return run_all(argv[0], argv + i, argc - i);
}
