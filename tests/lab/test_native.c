/* SPDX-License-Identifier: MIT */
/* Calls, stacks and heddle's threads of another process, read from outside. The other process is a
 * child of the test's, made for each case; it ends with the test. */
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <heddle/heddle.h>

#include "probe/calls.h"
#include "probe/heddle.h"
#include "probe/native.h"
#include "probe/unwind.h"

/* ---- the child ---- */

/* Starts one that calls fn, which does not return. */
static pid_t start(void (*fn)(void)) {
    pid_t parent = getpid(), pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            fn();
        _exit(1);
    }
    return pid;
}

static void stop(pid_t pid) {
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static void need_right_to_read(pid_t pid) {
    uint64_t here = 0;
    struct iovec to = {&here, sizeof here}, from = {(void *)&errno, sizeof here};
    if (process_vm_readv(pid, &to, 1, &from, 1, 0) < 0 && (errno == EPERM || errno == ENOSYS)) {
        stop(pid);
        SKIP("the memory of another process may not be read here");
    }
}

/* Waits until the thread is in this call. */
static struct probe_call wait_for_call(pid_t pid, long number) {
    struct probe_call call;
    for (int tries = 0; tries < 20000; tries++) {
        int err = probe_call_read(pid, pid, &call);
        if (err == -EPERM || err == -EACCES || err == -ENOSYS) {
            stop(pid);
            SKIP("/proc/PID/syscall may not be read here");
        }
        CHECK_OK(err);
        if (!call.runs && call.number == number)
            return call;
        usleep(1000);
    }
    FAIL("the child has not come to call %ld", number);
    return call;
}

/* ---- calls ---- */

TEST(calls_have_the_names_of_the_headers) {
    CHECK(strcmp(probe_call_name(SYS_read), "read") == 0);
    CHECK(strcmp(probe_call_name(SYS_futex), "futex") == 0);
    CHECK(strcmp(probe_call_name(SYS_epoll_pwait), "epoll_pwait") == 0);
    CHECK(strcmp(probe_call_name(SYS_clock_nanosleep), "clock_nanosleep") == 0);
    CHECK(probe_call_name(-1) == NULL);
    CHECK(probe_call_name(100000) == NULL);
}

TEST(what_the_kernel_says_is_understood) {
    struct probe_call c;
    CHECK_OK(probe_call_parse("running\n", &c));
    CHECK(c.runs);
    CHECK_OK(probe_call_parse("7 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffd0010 0x7f0020\n", &c));
    CHECK_EQ(c.number, 7);
    CHECK_EQ(c.arg[0], 1u);
    CHECK_EQ(c.arg[5], 6u);
    CHECK_EQ(c.sp, 0x7ffd0010u);
    CHECK_EQ(c.pc, 0x7f0020u);
    CHECK_OK(probe_call_parse("-1 0x7ffd0010 0x7f0020\n", &c));
    CHECK_EQ(c.number, -1);
    CHECK_EQ(c.sp, 0x7ffd0010u);
    CHECK_ERR(probe_call_parse("", &c), -EIO);
    CHECK_ERR(probe_call_parse("7 0x1 0x2\n", &c), -EIO);
    CHECK_ERR(probe_call_parse("nonsense\n", &c), -EIO);
}

static void check_text(const char *line, const char *wanted) {
    struct probe_call c;
    CHECK_OK(probe_call_parse(line, &c));
    char *text = probe_call_text(getpid(), &c);
    CHECK_MSG(strcmp(text, wanted) == 0, "'%s', not '%s'", text, wanted);
    free(text);
}

TEST(calls_are_told_in_words) {
    char line[200];
    int pipes[2];
    char link[64], target[64], wanted[100];
    CHECK_OK(pipe(pipes));
    snprintf(link, sizeof link, "/proc/self/fd/%d", pipes[0]);
    ssize_t n = readlink(link, target, sizeof target - 1);
    CHECK_GT(n, 0);
    target[n] = '\0';
    snprintf(wanted, sizeof wanted, "read of %s", target);
    snprintf(line, sizeof line, "%ld 0x%x 0x0 0x1 0x0 0x0 0x0 0x10 0x10", (long)SYS_read, pipes[0]);
    check_text(line, wanted);
    snprintf(line, sizeof line, "%ld 0x0 0x2 0x1 0x0 0x0 0x0 0x10 0x10", (long)SYS_ppoll);
    check_text(line, "ppoll of 2 descriptors");
    check_text("99999 0x0 0x2 0x1 0x0 0x0 0x0 0x10 0x10", "system call 99999");
    check_text("running", "runs");
}

static void ends(void) {
    _exit(0);
}

TEST(who_is_gone_is_told_as_gone) {
    struct probe_native *n = NULL;
    struct probe_heddle *h = NULL;
    struct probe_call c;
    char *why = NULL;
    pid_t pid = start(ends);
    stop(pid);
    CHECK_ERR(probe_call_read(pid, pid, &c), -ESRCH);
    CHECK_ERR(probe_native_open(pid, &n), -ESRCH);
    CHECK_ERR(probe_heddle_open(pid, &h, &why), -ESRCH);
    CHECK(why != NULL);
    free(why);
}

/* ---- stacks ---- */

static int never[2]; /* nothing is ever written into it */

/* What comes after a call keeps it from being the function's last act. */
#define NOT_LAST __asm__ volatile("" : : : "memory")

__attribute__((noinline)) static void innermost_reads(void) {
    char byte;
    if (read(never[0], &byte, 1) < 0)
        _exit(1);
    NOT_LAST;
}

__attribute__((noinline)) static void middle_function(volatile char *room) {
    room[0] = 1;
    innermost_reads();
    NOT_LAST;
}

__attribute__((noinline)) static void outer_function(void) {
    volatile char room[500];
    middle_function(room);
    NOT_LAST;
}

/* Its frame is found by its frame pointer alone. */
__attribute__((noinline)) static void with_room(size_t bytes) {
    volatile char *room = __builtin_alloca(bytes);
    middle_function(room);
    NOT_LAST;
}

static volatile size_t room_bytes = 3000;

__attribute__((noinline)) static void outer_with_room(void) {
    with_room(room_bytes);
    NOT_LAST;
}

static void handler(int signal) {
    (void)signal;
    innermost_reads();
    NOT_LAST;
}

__attribute__((noinline)) static void raises(void) {
    struct sigaction act = {.sa_handler = handler};
    sigaction(SIGUSR1, &act, NULL);
    raise(SIGUSR1);
    NOT_LAST;
}

/* The functions of the stack, innermost first, as one text: "read < innermost_reads < ...". */
static void stack_text(const struct probe_stacks *stacks, uint32_t node, char *out, size_t size) {
    out[0] = '\0';
    for (; node; node = probe_stacks_outer(stacks, node)) {
        size_t length = strlen(out);
        snprintf(out + length, size - length, "%s%s", length ? " < " : "",
                 probe_stacks_frame(stacks, node)->function);
    }
}

/* The names stand in the text, in this order. */
static void check_order(const char *text, const char *const *names) {
    const char *at = text;
    for (; *names; names++) {
        const char *found = strstr(at, *names);
        CHECK_MSG(found, "%s is not where it should be in: %s", *names, text);
        at = found + strlen(*names);
    }
}

static void check_stack(void (*child)(void), const char *const *names) {
#if !defined(__x86_64__)
    SKIP("where a waiting thread returns to is in a register that the kernel does not tell");
#endif
    if (TEST_ASAN)
        SKIP("between read() and its caller there is a function whose frame has to be guessed");
    struct probe_native *n = NULL;
    char text[4000];
    bool torn;
    CHECK_OK(pipe(never));
    pid_t pid = start(child);
    struct probe_call call = wait_for_call(pid, SYS_read);
    need_right_to_read(pid);
    CHECK_OK(probe_native_open(pid, &n));
    struct probe_stacks *stacks = probe_stacks_new(1000);
    uint32_t node = probe_native_stack(n, pid, &call, stacks, &torn);
    CHECK(!torn);
    CHECK_NE(node, 0u);
    stack_text(stacks, node, text, sizeof text);
    check_order(text, names);
    /* Once more: the same stack is the same number. */
    CHECK_EQ(probe_native_stack(n, pid, &call, stacks, &torn), node);
    probe_stacks_free(stacks);
    probe_native_close(n);
    stop(pid);
}

TEST(stack_of_a_thread_that_reads) {
    static const char *const names[] = {"innermost_reads", "middle_function", "outer_function",
                                        "start", NULL};
    check_stack(outer_function, names);
}

TEST(stack_through_a_frame_of_unknown_size) {
    static const char *const names[] = {"innermost_reads", "middle_function", "with_room",
                                        "outer_with_room", "start", NULL};
    check_stack(outer_with_room, names);
}

TEST(stack_through_a_signal) {
    static const char *const names[] = {"innermost_reads", "handler", "[signal handler]", "raises",
                                        "start", NULL};
    check_stack(raises, names);
}

static void computes(void) {
    for (volatile unsigned long i = 0;; i++)
        ;
}

TEST(a_thread_that_runs_has_no_stack) {
    struct probe_native *n = NULL;
    struct probe_call call;
    bool torn;
    CHECK_OK(pipe(never));
    pid_t pid = start(outer_function);
    call = wait_for_call(pid, SYS_read);
    need_right_to_read(pid);
    stop(pid);
    pid = start(computes);
    CHECK_OK(probe_native_open(pid, &n));
    struct probe_stacks *stacks = probe_stacks_new(1000);
    /* What was read of it is true no more. */
    CHECK_EQ(probe_native_stack(n, pid, &call, stacks, &torn), 0u);
    CHECK(torn);
    CHECK_EQ(probe_native_counts(n).torn, 1u);
    call.runs = true;
    CHECK_EQ(probe_native_stack(n, pid, &call, stacks, &torn), 0u);
    CHECK(!torn);
    probe_stacks_free(stacks);
    probe_native_close(n);
    stop(pid);
}

static pthread_mutex_t a_named_lock = PTHREAD_MUTEX_INITIALIZER;
static int a_counter;

TEST(addresses_have_names) {
    struct probe_native *n = NULL;
    CHECK_OK(pipe(never));
    pid_t pid = start(outer_function);
    wait_for_call(pid, SYS_read);
    need_right_to_read(pid);
    CHECK_OK(probe_native_open(pid, &n));
    char *lock = probe_native_name(n, (uint64_t)(uintptr_t)&a_named_lock, true);
    char *counter = probe_native_name(n, (uint64_t)(uintptr_t)&a_counter, true);
    char *code = probe_native_name(n, (uint64_t)(uintptr_t)outer_function, false);
    char *nothing = probe_native_name(n, 16, true);
    CHECK_MSG(strncmp(lock, "a_named_lock (", 14) == 0, "%s", lock);
    CHECK_MSG(strncmp(counter, "a_counter (", 11) == 0, "%s", counter);
    CHECK_MSG(strncmp(code, "outer_function (", 16) == 0, "%s", code);
    CHECK_MSG(strcmp(nothing, "0x10") == 0, "%s", nothing);
    free(lock);
    free(counter);
    free(code);
    free(nothing);
    probe_native_close(n);
    stop(pid);
}

/* ---- the unwinder by itself ---- */

static bool no_memory(void *arg, uint64_t address, uint64_t *out) {
    (void)arg, (void)address, (void)out;
    return false;
}

TEST(broken_unwind_information_is_given_up) {
    uint8_t bytes[64] = {0};
    struct probe_image image = {.frame = {0x1000, bytes, sizeof bytes}};
    struct test_rng rng = test_rng(1);
    struct probe_row row;
    for (unsigned long i = 0; i < test_iterations(200000); i++) {
        for (size_t k = 0; k < sizeof bytes; k++)
            bytes[k] = (uint8_t)test_rng_next(&rng);
        bytes[0] = (uint8_t)(16 + i % 24); /* a length that fits, or nearly */
        bytes[1] = bytes[2] = bytes[3] = 0;
        if (probe_unwind_row(&image, 0x1000 + i % 4096, &row)) {
            struct probe_registers r = {.pc = 1, .known = ~UINT64_C(0)};
            (void)probe_unwind_step(&row, &r, no_memory, NULL);
        }
    }
    CHECK_EQ(image.frame.size, sizeof bytes);
}

/* ---- heddle's threads ---- */

static hd_mutex orders;
static hd_sem gate = HD_SEM_INIT(0);

static void *wants_orders(void *arg) {
    (void)arg;
    hd_mutex_lock(&orders);
    hd_mutex_unlock(&orders);
    return NULL;
}

static void *waits_at_gate(void *arg) {
    (void)arg;
    hd_sem_wait(&gate);
    return NULL;
}

enum { AT_GATE = 3000 };

static int program(void *arg) {
    hd_thread *t;
    (void)arg;
    hd_mutex_init(&orders, HD_LOCK_ATTR(.name = "orders", .flags = HD_LOCK_COUNT));
    hd_mutex_lock(&orders);
    if (hd_spawn(&t, HD_ATTR(.name = "clerk"), wants_orders, NULL) != 0)
        return 1;
    for (int i = 0; i < AT_GATE; i++) {
        if (hd_spawn(&t, NULL, waits_at_gate, NULL) != 0)
            return 1;
    }
    for (;;)
        hd_sleep_for(UINT64_C(3600000000000));
    return 0;
}

static void heddle_child(void) {
    _exit(hd_run(HD_CONFIG(.workers = 2), program, NULL));
}

static void look_at_threads(pid_t pid) {
    struct probe_heddle *h = NULL;
    char *why = NULL;
    int err = -ENOENT;
    struct probe_heddle_view v = {0};
    for (int tries = 0; tries < 2000 && v.state[PROBE_HEDDLE_WAITS] != AT_GATE + 2; tries++) {
        usleep(10000);
        if (!h)
            err = probe_heddle_open(pid, &h, &why);
        if (err == -EPERM)
            SKIP("the memory of another process may not be read here");
        CHECK_MSG(!err, "%s", why ? why : "");
        probe_heddle_view_free(&v);
        (void)probe_heddle_look(h, &v);
    }
    CHECK_EQ(v.state[PROBE_HEDDLE_WAITS], (size_t)AT_GATE + 2);
    CHECK_EQ(v.count, (size_t)AT_GATE + 2);
    CHECK_EQ(v.worker_count, 2u);

    size_t groups, gate_seen = 0, clerk_seen = 0, main_seen = 0;
    struct probe_heddle_group *g = probe_heddle_groups(&v, &groups);
    CHECK_EQ(groups, 3u);
    CHECK_EQ(g[0].count, (size_t)AT_GATE);
    CHECK(strcmp(g[0].what, "sem") == 0);
    CHECK_EQ(g[0].fn, (uint64_t)(uintptr_t)waits_at_gate);
    free(g);
    for (size_t i = 0; i < v.count; i++) {
        const struct probe_heddle_thread *t = &v.thread[i];
        if (t->object == (uint64_t)(uintptr_t)&gate) {
            gate_seen++;
        } else if (t->name && strcmp(t->name, "clerk") == 0) {
            clerk_seen++;
            CHECK(strcmp(t->what, "mutex") == 0);
            CHECK_EQ(t->object, (uint64_t)(uintptr_t)&orders);
            CHECK(t->object_name && strcmp(t->object_name, "orders") == 0);
            CHECK_NE(t->owner, t->id);
            CHECK_NE(t->owner, 0u);
        } else if (t->name && strcmp(t->name, "main") == 0) {
            main_seen++;
            CHECK(strcmp(t->what, "a sleep to end") == 0);
        }
    }
    CHECK_EQ(gate_seen, (size_t)AT_GATE);
    CHECK_EQ(clerk_seen, 1u);
    CHECK_EQ(main_seen, 1u);

    struct probe_native *n = NULL;
    struct probe_stacks *stacks = probe_stacks_new(1000);
    char text[4000];
    CHECK_OK(probe_native_open(pid, &n));
    for (size_t i = 0; i < v.count; i++) {
        const struct probe_heddle_thread *t = &v.thread[i];
        if (!t->name || strcmp(t->name, "clerk") != 0)
            continue;
        static const char *const names[] = {"hd__", "wants_orders", NULL};
        stack_text(stacks, probe_native_parked(n, t->sp, t->pc, t->fp, stacks), text, sizeof text);
        check_order(text, names);
    }
    probe_stacks_free(stacks);
    probe_native_close(n);
    probe_heddle_view_free(&v);
    probe_heddle_close(h);
}

TEST(threads_of_heddle_are_seen) {
    pid_t pid = start(heddle_child);
    look_at_threads(pid);
    stop(pid);
}

TEST(a_program_without_heddle_has_none) {
    struct probe_heddle *h = NULL;
    char *why = NULL;
    char *const argv[] = {"sleep", "100", NULL};
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp("sleep", argv);
        _exit(127);
    }
    wait_for_call(pid, SYS_clock_nanosleep);
    CHECK_ERR(probe_heddle_open(pid, &h, &why), -ENOENT);
    CHECK(h == NULL);
    free(why);
    stop(pid);
}
