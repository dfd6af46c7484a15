/* SPDX-License-Identifier: MIT */
/* The checks: comparing, and saying what was wrong with file, line, both expressions and both
 * values. A message is put together in one static buffer and written at once, so that checks work
 * on small stacks and several threads that fail together do not mix their lines. */
#include "test_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static struct {
    atomic_flag busy;
    size_t used;
    char text[8192];
} message = {.busy = ATOMIC_FLAG_INIT};

static char death_output[65536];

static void write_all(const char *text, size_t size) {
    while (size > 0) {
        ssize_t n = write(STDERR_FILENO, text, size);
        if (n < 0 && errno != EINTR)
            return;
        if (n > 0) {
            text += n;
            size -= (size_t)n;
        }
    }
}

static void message_begin(void) {
    while (atomic_flag_test_and_set_explicit(&message.busy, memory_order_acquire))
        usleep(100);
    message.used = 0;
}

static void message_add_list(const char *fmt, va_list args) {
    size_t room = sizeof message.text - message.used;
    int n = vsnprintf(message.text + message.used, room, fmt, args);
    if (n > 0)
        message.used += (size_t)n < room ? (size_t)n : room - 1;
}

__attribute__((format(printf, 1, 2))) static void message_add(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    message_add_list(fmt, args);
    va_end(args);
}

static void message_end(void) {
    write_all(message.text, message.used);
    atomic_flag_clear_explicit(&message.busy, memory_order_release);
}

void test_note(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    message_begin();
    message_add("# ");
    message_add_list(fmt, args);
    message_add("\n");
    message_end();
    va_end(args);
}

_Noreturn void test_fail(const char *file, int line, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    message_begin();
    message_add("# %s:%d: ", file, line);
    message_add_list(fmt, args);
    message_add("\n");
    message_end();
    va_end(args);
    test_leave_failed();
}

/* ---- numbers and pointers ---- */

static int three_way(bool less, bool greater) {
    return less ? -1 : greater ? 1 : 0;
}

static double as_double(const struct test_value *v) {
    return v->kind == TEST_INT ? (double)v->as.i : v->kind == TEST_UINT ? (double)v->as.u : v->as.d;
}

int test_compare(const struct test_value *a, const struct test_value *b) {
    if (a->kind == TEST_DOUBLE || b->kind == TEST_DOUBLE) {
        double x = as_double(a), y = as_double(b);
        return x != x || y != y ? 2 : three_way(x < y, x > y);
    }
    bool a_negative = a->kind == TEST_INT && a->as.i < 0;
    bool b_negative = b->kind == TEST_INT && b->as.i < 0;
    if (a_negative && b_negative)
        return three_way(a->as.i < b->as.i, a->as.i > b->as.i);
    if (a_negative || b_negative)
        return a_negative ? -1 : 1;
    uint64_t x = a->kind == TEST_POINTER ? (uintptr_t)a->as.p : a->as.u;
    uint64_t y = b->kind == TEST_POINTER ? (uintptr_t)b->as.p : b->as.u;
    return three_way(x < y, x > y);
}

static void add_value(const struct test_value *v) {
    const char *name = NULL;
    switch (v->kind) {
    case TEST_INT:
        message_add("%" PRId64, v->as.i);
        if (v->as.i < 0 && v->as.i > -4096)
            name = strerrorname_np((int)-v->as.i);
        if (name != NULL)
            message_add(" (-%s)", name);
        else if (v->as.i > 4096)
            message_add(" (0x%" PRIx64 ")", v->as.u);
        break;
    case TEST_UINT:
        message_add("%" PRIu64, v->as.u);
        if (v->as.u > 4096)
            message_add(" (0x%" PRIx64 ")", v->as.u);
        break;
    case TEST_DOUBLE:
        message_add("%.17g", v->as.d);
        break;
    case TEST_POINTER:
        message_add("%p", (const void *)v->as.p);
        break;
    }
}

static void add_operand(const char *text, const struct test_value *v, int width) {
    message_add("#   %-*s = ", width, text);
    add_value(v);
    message_add("\n");
}

_Noreturn void test_fail_values(const char *what, const char *a_text, const char *b_text,
                                const struct test_value *a, const struct test_value *b,
                                const char *file, int line) {
    size_t a_width = strlen(a_text), b_width = strlen(b_text);
    int width = (int)(a_width > b_width ? a_width : b_width);
    message_begin();
    message_add("# %s:%d: %s(%s, %s) failed\n", file, line, what, a_text, b_text);
    add_operand(a_text, a, width < 60 ? width : 60);
    add_operand(b_text, b, width < 60 ? width : 60);
    message_end();
    test_leave_failed();
}

/* ---- text and memory ---- */

void test_check_str(const char *a, const char *b, const char *a_text, const char *b_text,
                    const char *file, int line) {
    if (a == b || (a != NULL && b != NULL && strcmp(a, b) == 0))
        return;
    test_fail(file, line, "CHECK_STR_EQ(%s, %s) failed\n#   %s = \"%s\"\n#   %s = \"%s\"", a_text,
              b_text, a_text, a != NULL ? a : "(null)", b_text, b != NULL ? b : "(null)");
}

void test_check_str_has(const char *text, const char *part, const char *text_text,
                        const char *part_text, const char *file, int line) {
    if (text != NULL && strstr(text, part) != NULL)
        return;
    test_fail(file, line, "CHECK_STR_HAS(%s, %s) failed\n#   \"%s\"\n#   is not in\n#   \"%s\"",
              text_text, part_text, part, text != NULL ? text : "(null)");
}

void test_check_mem(const void *a, const void *b, size_t size, const char *a_text,
                    const char *b_text, const char *file, int line) {
    const unsigned char *x = a, *y = b;
    for (size_t i = 0; i < size; i++)
        if (x[i] != y[i])
            test_fail(file, line, "CHECK_MEM_EQ(%s, %s) failed at byte %zu of %zu: 0x%02x, 0x%02x",
                      a_text, b_text, i, size, x[i], y[i]);
}

void test_poll_pause(uint64_t start_ns, uint64_t limit_ms, const char *text, const char *file,
                     int line) {
    if (TEST_ASAN || TEST_TSAN || test_under_qemu() || test_under_valgrind())
        limit_ms *= 5;
    if (test_now_ns() - start_ns > limit_ms * 1000000u)
        test_fail(file, line, "CHECK_SOON(%s) still false after %" PRIu64 " ms", text, limit_ms);
    nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
}

/* ---- processes that must die ---- */

bool test_death_fork(struct test_death *death) {
    int ends[2];
    if (pipe(ends) != 0)
        FAIL("pipe: %s", strerror(errno));
    fflush(NULL);
    death->pid = fork();
    if (death->pid < 0)
        FAIL("fork: %s", strerror(errno));
    if (death->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        return true;
    }
    close(ends[1]);
    death->out = ends[0];
    return false;
}

_Noreturn void test_death_survived(void) {
    _exit(0);
}

const char *test_death_output(void) {
    return death_output;
}

void test_death_check(struct test_death *death, const char *text, const char *statement,
                      const char *file, int line) {
    size_t used = 0;
    int status;
    for (;;) {
        ssize_t n = read(death->out, death_output + used, sizeof death_output - 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    death_output[used] = '\0';
    close(death->out);
    while (waitpid(death->pid, &status, 0) < 0)
        if (errno != EINTR)
            FAIL("waitpid: %s", strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        test_fail(file, line, "CHECK_DEATH: it did not die: %s\n#   it printed \"%s\"", statement,
                  death_output);
    if (strstr(death_output, text) == NULL)
        test_fail(file, line,
                  "CHECK_DEATH: it died (%s %d) without saying \"%s\": %s\n#   it printed \"%s\"",
                  WIFSIGNALED(status) ? "signal" : "exit status",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), text, statement,
                  death_output);
}
