/* SPDX-License-Identifier: MIT */
/* A stack overflow ends the process with one line that names the thread and its stack; any other
 * fault goes where it would have gone without us. Each case is a process of its own. */
#include "runtime_test.h"

#include "ctx/stack.h"

#include <stdio.h>

/* Not instrumented: the tools' own frames are no part of this. */
#define UNINSTRUMENTED __attribute__((noinline, no_sanitize("address", "thread", "undefined")))

UNINSTRUMENTED static unsigned recurse(unsigned depth) {
    volatile unsigned char frame[200];
    frame[depth % 200] = (unsigned char)depth;
    if (depth == UINT32_MAX)
        return 0;
    return recurse(depth + 1) + frame[depth % 200];
}

/* One frame larger than the whole stack, used from its top down. */
UNINSTRUMENTED static unsigned big_frame(void) {
    volatile unsigned char frame[4 << 20];
    for (size_t i = sizeof frame; i > 0; i -= 512)
        frame[i - 1] = (unsigned char)i;
    return frame[0];
}

static void *recurse_thread(void *arg) {
    (void)arg;
    return (void *)(uintptr_t)recurse(0);
}

static void *big_frame_thread(void *arg) {
    (void)arg;
    return (void *)(uintptr_t)big_frame();
}

struct overflow {
    size_t stack_size; /* 0: the default */
    hd_fn fn;
    const char *name;
    unsigned workers;
};

static void *yield_often(void *arg) {
    for (;;)
        hd_yield();
    return arg;
}

static int overflow_in_thread(void *arg) {
    const struct overflow *o = arg;
    hd_thread *t;
    for (int i = 0; i < 5; i++)
        CHECK_OK(hd_spawn(NULL, HD_ATTR(.name = "innocent"), yield_often, NULL));
    hd_sleep_for(MS);
    CHECK_OK(hd_spawn(&t, HD_ATTR(.name = o->name, .stack_size = o->stack_size), o->fn, NULL));
    return hd_join(t, NULL);
}

static void run_overflow(void *arg) {
    const struct overflow *o = arg;
    hd_run(HD_CONFIG(.workers = o->workers), overflow_in_thread, arg);
}

static void start_overflow(void *arg) {
    const struct overflow *o = arg;
    CHECK_OK(hd_start(HD_CONFIG(.workers = o->workers)));
    overflow_in_thread(arg);
}

static int overflow_in_main(void *arg) {
    (void)arg;
    return (int)recurse(0);
}

static void run_main_overflow(void *arg) {
    (void)arg;
    hd_run(HD_CONFIG(.workers = 1), overflow_in_main, NULL);
}

TEST(the_line_names_thread_and_size) {
    struct overflow cases[] = {
        {0, recurse_thread, "deep", 1},
        {0, recurse_thread, "deep-2", 2},
        {0, big_frame_thread, "wide", 2},
        {1 << 20, recurse_thread, "deep-large", 2},
        {1 << 20, big_frame_thread, "wide-large", 1},
        {hd_stack_min(), recurse_thread, "deep-small", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int embedded = 0; embedded < 2; embedded++) {
            char text[64], size[64];
            struct child *c = calloc(1, sizeof *c);
            test_note("case %zu, %s", i, embedded ? "embedded" : "run");
            child_run(c, embedded ? start_overflow : run_overflow, &cases[i]);
            snprintf(text, sizeof text, "'%s' ran over the end of its stack", cases[i].name);
            child_check_fatal(c, text);
            snprintf(size, sizeof size, "stack of %zu bytes",
                     cases[i].stack_size ? cases[i].stack_size : 65536);
            if (cases[i].stack_size != hd_stack_min()) /* is rounded up */
                CHECK_STR_HAS(c->out, size);
            CHECK_STR_HAS(c->out, "stack overflow");
            CHECK_STR_HAS(c->out, ".stack_size = ");
            free(c);
        }
    }
    check_fatal("'main' ran over the end of its stack", run_main_overflow, NULL);
}

/* ---- other faults ---- */

static volatile uintptr_t low_address = 64;

UNINSTRUMENTED static void touch(uintptr_t address) {
    *(volatile int *)address = 1;
}

static void *fault(void *arg) {
    touch(low_address);
    return arg;
}

static int fault_in_thread(void *arg) {
    return hd_join(spawn(fault, arg), NULL);
}

static void run_fault(void *arg) {
    hd_run(HD_CONFIG(.workers = 2), fault_in_thread, arg);
}

/* Valgrind reports a wild access itself, and changes the exit status. */
static void needs_faults_of_its_own(void) {
    if (test_under_valgrind())
        SKIP("Valgrind has its own word on wild accesses");
}

TEST(another_fault_kills_as_ever) {
    needs_faults_of_its_own();
    struct child *c = calloc(1, sizeof *c);
    child_run(c, run_fault, NULL);
    if (TEST_ASAN || TEST_TSAN) { /* their own handler was there before */
        CHECK(!WIFEXITED(c->status) || WEXITSTATUS(c->status) != 0);
    } else {
        CHECK_STR_EQ(c->out, "");
        CHECK(WIFSIGNALED(c->status) && WTERMSIG(c->status) == SIGSEGV);
    }
    CHECK_EQ(strstr(c->out, "heddle:"), NULL);
    free(c);
}

static void own_handler(int signal, siginfo_t *info, void *context) {
    static const char line[] = "own handler\n";
    (void)context;
    if (write(2, line, sizeof line - 1) < 0 || (uintptr_t)info->si_addr != low_address)
        _exit(6);
    _exit(signal == SIGSEGV ? 5 : 6);
}

static void run_fault_with_handler(void *arg) {
    struct sigaction action = {.sa_sigaction = own_handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    run_fault(arg);
}

static void run_overflow_with_handler(void *arg) {
    struct sigaction action = {.sa_sigaction = own_handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    run_overflow(arg);
}

TEST(another_fault_reaches_the_programs_handler) {
    needs_faults_of_its_own();
    struct child *c = calloc(1, sizeof *c);
    child_run(c, run_fault_with_handler, NULL);
    CHECK_STR_EQ(c->out, "own handler\n");
    CHECK(WIFEXITED(c->status) && WEXITSTATUS(c->status) == 5);
    struct overflow o = {0, recurse_thread, "deep", 1};
    child_run(c, run_overflow_with_handler, &o); /* but an overflow is ours */
    child_check_fatal(c, "'deep' ran over the end of its stack");
    free(c);
}

static void plain_handler(int signal) {
    (void)signal;
}

static void same_handlers(bool own) {
    static const int signals[] = {SIGSEGV, SIGBUS};
    const int known = SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER | (int)SA_RESETHAND;
    struct sigaction before, after;
    for (int i = 0; i < 2; i++) {
        if (own)
            signal(signals[i], plain_handler);
        sigaction(signals[i], NULL, &before);
        CHECK_OK(hd_start(HD_CONFIG(.workers = 1)));
        CHECK_OK(hd_stop());
        sigaction(signals[i], NULL, &after);
        CHECK_EQ((void *)before.sa_handler, (void *)after.sa_handler);
        CHECK_EQ(before.sa_flags & known, after.sa_flags & known);
    }
}

TEST(handlers_are_put_back) {
    same_handlers(false);
    same_handlers(true);
}

/* A wild pointer into a guard that is not the running thread's own. */
static uintptr_t foreign_guard;

static void *say_where(void *arg) {
    struct hd__stack_hit hit;
    char here = 0;
    CHECK(hd__stack_find(&here, &hit) && !hit.in_guard);
    foreign_guard = (uintptr_t)hit.slot_low + 100;
    hd_sem_post(arg);
    hd_sleep_until(HD_FOREVER);
    return NULL;
}

static int touch_foreign_guard(void *arg) {
    hd_sem ready = HD_SEM_INIT(0);
    (void)arg;
    spawn(say_where, &ready);
    hd_sem_wait(&ready);
    touch(foreign_guard);
    return 0;
}

static void run_wild(void *arg) {
    hd_run(HD_CONFIG(.workers = 1), touch_foreign_guard, arg);
}

TEST(a_wild_pointer_is_no_overflow) {
    struct child *c = calloc(1, sizeof *c);
    child_run(c, run_wild, NULL);
    child_check_fatal(c, "guard of another thread's stack");
    CHECK_EQ(strstr(c->out, "stack overflow"), NULL);
    free(c);
}
