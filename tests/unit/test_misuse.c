/* SPDX-License-Identifier: MIT */
/* A caller's bug ends the process with one line that says what was wrong. Each case runs in a
 * process of its own. */
#include <pthread.h>
#include "runtime_test.h"

static void *echo(void *arg) {
    return arg;
}

static hd_event gate;

static void *wait_at_gate(void *arg) {
    hd_event_wait(&gate);
    return arg;
}

static int return_zero(void *arg) {
    (void)arg;
    return 0;
}

/* ---- cases inside a runtime ---- */

static void join_nothing(void) {
    hd_join(NULL, NULL);
}
static void join_until_nothing(void) {
    hd_join_until(NULL, NULL, 0);
}
static void join_twice(void) {
    hd_thread *t = spawn(echo, NULL);
    hd_join(t, NULL);
    hd_join(t, NULL);
}
static void join_self(void) {
    hd_join(hd_self(), NULL);
}
static void *join_me(void *arg) {
    hd_thread *const *me = arg;
    hd_join(*me, NULL);
    return NULL;
}
static void join_joinable_self(void) {
    hd_thread *t;
    CHECK_OK(hd_spawn(&t, HD_ATTR(.name = "ouroboros"), join_me, &t));
    hd_sleep_for(60000 * MS);
}
static void join_detached(void) {
    hd_thread *t = spawn(wait_at_gate, NULL);
    hd_detach(t);
    hd_join(t, NULL);
}
static void *join_it(void *t) {
    hd_join(t, NULL);
    return NULL;
}
static void join_from_two(void) {
    hd_thread *t;
    CHECK_OK(hd_spawn(&t, HD_ATTR(.name = "popular"), wait_at_gate, NULL));
    spawn(join_it, t);
    let_wait();
    hd_join(t, NULL);
}
static void detach_nothing(void) {
    hd_detach(NULL);
}
static void detach_twice(void) {
    hd_thread *t = spawn(wait_at_gate, NULL);
    hd_detach(t);
    hd_detach(t);
}
static void detach_joined(void) {
    hd_thread *t = spawn(echo, NULL);
    hd_join(t, NULL);
    hd_detach(t);
}
static void detach_while_joined(void) {
    hd_thread *t = spawn(wait_at_gate, NULL);
    spawn(join_it, t);
    let_wait();
    hd_detach(t);
}
static void detach_main(void) {
    hd_detach(hd_self());
}
static void interrupt_nothing(void) {
    hd_interrupt(NULL);
}
static void spawn_nothing(void) {
    hd_spawn(NULL, NULL, NULL, NULL);
}
static void run_inside(void) {
    hd_run(NULL, return_zero, NULL);
}
static void start_inside(void) {
    hd_start(NULL);
}
static void get_no_key(void) {
    hd_get((hd_key){0});
}
static void get_unmade_key(void) {
    hd_get((hd_key){HD_KEY_MAX});
}
static void set_unmade_key(void) {
    hd_set((hd_key){77}, &gate);
}

struct misuse {
    const char *text;
    void (*body)(void);
};

static int run_body(void *arg) {
    const struct misuse *m = arg;
    m->body();
    return 0;
}

static void run_case(void *arg) {
    hd_run(HD_CONFIG(.workers = 2), run_body, arg);
}

TEST(inside_a_runtime) {
    static struct misuse cases[] = {
        {"hd_join: t is NULL", join_nothing},
        {"hd_join_until: t is NULL", join_until_nothing},
        {"hd_join: not a joinable thread", join_twice},
        {"hd_join:", join_self},
        {"hd_join: a thread cannot join itself", join_joinable_self},
        {"hd_join: not a joinable thread", join_detached},
        {"'popular' is being joined already", join_from_two},
        {"hd_detach: t is NULL", detach_nothing},
        {"hd_detach: not a joinable thread", detach_twice},
        {"hd_detach: not a joinable thread", detach_joined},
        {"is being joined", detach_while_joined},
        {"hd_detach: not a joinable thread", detach_main},
        {"hd_interrupt: t is NULL", interrupt_nothing},
        {"hd_spawn: fn is NULL", spawn_nothing},
        {"hd_run: called from a heddle thread", run_inside},
        {"hd_start: called from a heddle thread", start_inside},
        {"hd_get: key 0 was not made", get_no_key},
        {"hd_get: key 256 was not made", get_unmade_key},
        {"hd_set: key 77 was not made", set_unmade_key},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_note("case %zu: %s", i, cases[i].text);
        check_fatal(cases[i].text, run_case, &cases[i]);
    }
}

/* ---- outside ---- */

static void yield_outside(void) {
    hd_yield();
}
static void yield_beside(void) {
    CHECK_OK(hd_start(HD_CONFIG(.workers = 1)));
    hd_yield();
}
static void run_nothing(void) {
    hd_run(NULL, NULL, NULL);
}
static void add_cpu(void) {
    hd_cpuset set = {{0}};
    hd_cpuset_add(&set, HD_CPU_MAX);
}
static void add_no_cpu(void) {
    hd_cpuset set = {{0}};
    hd_cpuset_add(&set, UINT32_MAX);
}
static void *end_the_kernel_thread(void *arg) {
    (void)arg;
    pthread_exit(NULL);
}
static int spawn_an_ender(void *arg) {
    hd_thread *t;
    if (arg) end_the_kernel_thread(NULL);
    return hd_spawn(&t, HD_ATTR(.name = "ender"), end_the_kernel_thread, NULL) ||
           hd_join(t, NULL);
}
static void exit_in_thread(void) {
    hd_run(HD_CONFIG(.workers = 1), spawn_an_ender, NULL);
}
static void exit_in_thread_of_two_workers(void) {
    hd_run(HD_CONFIG(.workers = 2), spawn_an_ender, NULL);
}
static void exit_in_main(void) {
    hd_run(HD_CONFIG(.workers = 2), spawn_an_ender, (void *)1);
}
static void create_no_key(void) {
    hd_key_create(NULL, NULL);
}
static void join_twice_outside(void) {
    CHECK_OK(hd_start(HD_CONFIG(.workers = 1)));
    join_twice();
}

static void run_outside(void *arg) {
    const struct misuse *m = arg;
    m->body();
}

TEST(outside_a_runtime) {
    static struct misuse cases[] = {
        {"hd_yield: called from a foreign kernel thread", yield_outside},
        {"hd_yield: called from a foreign kernel thread", yield_beside},
        {"hd_run: fn is NULL", run_nothing},
        {"hd_cpuset_add: CPU 1024", add_cpu},
        {"hd_cpuset_add: CPU 4294967295", add_no_cpu},
        {"hd_key_create: key is NULL", create_no_key},
        {"hd_get: key 0 was not made", get_no_key},
        {"hd_spawn: fn is NULL", spawn_nothing},
        {"hd_join: not a joinable thread", join_twice_outside},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_note("case %zu: %s", i, cases[i].text);
        check_fatal(cases[i].text, run_outside, &cases[i]);
    }
}

TEST(pthread_exit_on_a_thread) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    SKIP("the sanitizers fail first: to them a kernel thread ends on a foreign stack");
#endif
    static struct misuse cases[] = {
        {"pthread_exit: called from thread 2 'ender'", exit_in_thread},
        {"pthread_exit: called from thread", exit_in_thread_of_two_workers},
        {"pthread_exit: called from thread 1 'main'", exit_in_main},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_fatal(cases[i].text, run_outside, &cases[i]);
}
