/* SPDX-License-Identifier: MIT */
/* A watch sees what a process does whose every step is known: a child of the test's, which has a
 * "GIL" of its own at an address that the test shares. */
#include "watch_support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the target ---- */

static struct {
    volatile uint64_t holder, locked, number;
} gil;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static unsigned turn, turns_max, takers;

static void *take_turns(void *arg) {
    unsigned me = (unsigned)(uintptr_t)arg;
    pthread_mutex_lock(&mutex);
    for (;;) {
        while (turn < turns_max && turn % takers != me)
            pthread_cond_wait(&cond, &mutex);
        if (turn >= turns_max)
            break;
        gil.holder = (uint64_t)syscall(SYS_gettid);
        gil.number++;
        turn++;
        pthread_cond_broadcast(&cond);
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static void *sleep_for_ever(void *arg) {
    for (;;)
        pause();
    return arg;
}

static void *end_at_once(void *arg) {
    return arg;
}

static void spawn(pthread_t *t, void *(*fn)(void *), void *arg) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 << 10);
    if (pthread_create(t, &attr, fn, arg) != 0)
        _exit(9);
}

static int read_number(void *arg, const struct probe_gil *g, pid_t *holder, bool *locked,
                       uint64_t *number) {
    uint64_t word[3];
    (void)g;
    if (probe_read(*(pid_t *)arg, (uint64_t)(uintptr_t)&gil, word, sizeof(word)) < 0)
        return -ESRCH;
    *holder = (pid_t)word[0];
    *locked = true;
    *number = word[2];
    return 0;
}

static uint64_t number_of(struct child *c) {
    pid_t holder;
    bool locked;
    uint64_t number = 0;
    CHECK_OK(read_number(&c->pid, NULL, &holder, &locked, &number));
    return number;
}

/* ---- attaching ---- */

static void be_takers(int in, int out) {
    pthread_t t[4];
    takers = 3;
    turns_max = 3000;
    for (unsigned i = 0; i < takers; i++) /* each has its turn even where it comes late */
        spawn(&t[i], sleep_for_ever, NULL);
    expect_byte(in);
    for (unsigned i = 0; i < takers; i++)
        spawn(&t[i], take_turns, (void *)(uintptr_t)i);
    for (unsigned i = 0; i < takers; i++)
        pthread_join(t[i], NULL);
    done(out);
    expect_byte(in);
}

TEST(each_hand_over_is_counted) {
    struct child c = start_child(be_takers);
    struct probe_options o = {.pid = c.pid};
    struct probe_watch *w = watch(&o);
    struct probe_watch_facts f;
    struct seen s = {0};
    struct probe_gil g = {.address = (uint64_t)(uintptr_t)&cond, .size = sizeof(cond),
                          .number_address = (uint64_t)(uintptr_t)&gil.number};
    w->reader = read_number;
    w->reader_arg = &c.pid;
    need(w, PROBE_MEANS_SWITCHES);
    probe_add_gil(w, c.pid, &g);
    need(w, PROBE_MEANS_WATCHPOINT);
    run_for(w, &s, 2);
    go(&c);
    while (number_of(&c) < 3000)
        CHECK_EQ(probe_watch_step(w, 5, see, &s), 1);
    wait_done(&c);
    run_for(w, &s, 2);
    kill(c.pid, SIGKILL);
    to_the_end(w, &s);
    probe_watch_facts(w, &f);
    CHECK_EQ(f.number_first, 0u);
    CHECK_EQ(f.number_last, 3000u);
    CHECK_EQ(f.takes + (f.lost ? 3000 - f.takes : 0), 3000u);
    CHECK_EQ(s.count[PROBE_TAKE], f.takes);
    CHECK_EQ(s.lost, f.lost);
    CHECK_EQ(s.count[PROBE_EXIT], s.count[PROBE_THREAD]);
    CHECK_EQ(s.count[PROBE_THREAD], 7u);
    CHECK_GT(s.count[PROBE_HOLDER], 0u);
    if (f.lost == 0)
        CHECK_EQ(s.repeated, 0u);
    probe_watch_close(w, NULL);
    end_child(&c);
}

static void *compute(void *arg) {
    for (volatile unsigned long n = 0;; n++)
        continue;
    return arg;
}

static void be_busy(int in, int out) {
    pthread_t t;
    for (int i = 0; i < 12; i++)
        spawn(&t, compute, NULL);
    done(out);
    expect_byte(in);
}

/* Tells how many threads have a CPU at the first moment. */
static void see_first(void *arg, const struct probe_event *e) {
    struct {
        uint64_t ns;
        int on;
    } *first = arg;
    if (first->ns == 0)
        first->ns = e->ns;
    first->on += e->kind == PROBE_ON && e->ns == first->ns;
}

TEST(no_more_threads_than_cpus_run_at_first) {
    struct child c = start_child(be_busy);
    struct {
        uint64_t ns;
        int on;
    } first = {0};
    wait_done(&c);
    struct probe_options o = {.pid = c.pid, .for_s = 0.05};
    struct probe_watch *w = watch(&o);
    need(w, PROBE_MEANS_SWITCHES);
    while (probe_watch_step(w, 20, see_first, &first) > 0)
        continue;
    CHECK_GT(first.ns, 0u);
    CHECK_MSG(first.on <= w->cpu_count, "%d threads on %d CPUs", first.on, w->cpu_count);
    probe_watch_close(w, NULL);
    end_child(&c);
}

/* Nobody has turn 0, so that half of them wait on the futex of `cond`. */
static void be_many(int in, int out) {
    pthread_t t;
    takers = 2;
    turns_max = 10;
    for (int i = 0; i < 200; i++)
        spawn(&t, i % 2 ? sleep_for_ever : take_turns, (void *)1);
    done(out);
    expect_byte(in);
}

TEST(many_threads_are_found) {
    struct child c = start_child(be_many);
    wait_done(&c);
    struct probe_options o = {.pid = c.pid};
    struct probe_watch *w = watch(&o);
    struct seen s = {0};
    struct probe_gil g = {.address = (uint64_t)(uintptr_t)&cond, .size = sizeof(cond)};
    probe_add_gil(w, c.pid, &g);
    run_until(w, &s, &s.count[PROBE_LOOK], 201);
    run_until(w, &s, &s.lock_looks, 100);
    test_note("attached in %.1f ms", w->facts.attach_s * 1e3);
    CHECK_EQ(s.count[PROBE_THREAD], 201u);
    CHECK_EQ(s.count[PROBE_NAME], 201u);
    CHECK_EQ(s.lock_looks, s.futex_looks);
    kill(c.pid, SIGKILL);
    to_the_end(w, &s);
    probe_watch_close(w, NULL);
    end_child(&c);
}

static void be_busy_parent(int in, int out) {
    (void)in;
    (void)out;
    for (;;) {
        pthread_t t[8];
        for (int i = 0; i < 8; i++)
            spawn(&t[i], end_at_once, NULL);
        for (int i = 0; i < 8; i++)
            pthread_join(t[i], NULL);
    }
}

TEST(threads_that_begin_meanwhile_are_seen_once) {
    struct child c = start_child(be_busy_parent);
    for (int round = 0; round < 5; round++) {
        struct probe_options o = {.pid = c.pid};
        struct probe_watch *w = watch(&o);
        struct seen s = {0};
        need(w, PROBE_MEANS_SWITCHES);
        run_until(w, &s, &s.count[PROBE_THREAD], 50);
        w->until_ns = 1; /* time over */
        to_the_end(w, &s);
        if (s.lost == 0) {
            CHECK_EQ(s.repeated, 0u);
            CHECK_LE(s.count[PROBE_EXIT], s.count[PROBE_THREAD]);
        }
        CHECK_LT(w->tasks.count, 64u); /* those that ended are forgotten */
        probe_watch_close(w, NULL);
    }
    end_child(&c);
}

TEST_WITHIN(what_does_not_fit_is_counted, 60) {
    struct child c = start_child(be_busy_parent);
    struct probe_options o = {.pid = c.pid, .buffer_pages = 1};
    struct probe_watch *w = watch(&o);
    struct probe_watch_facts f;
    struct seen s = {0};
    need(w, PROBE_MEANS_SWITCHES);
    for (int i = 0; i < 20 && s.lost == 0; i++) {
        /* A page holds some hundred records; longer on a machine that is busy. */
        nanosleep(&(struct timespec){.tv_sec = i / 5, .tv_nsec = 50 * 1000000}, NULL);
        CHECK_EQ(probe_watch_step(w, 10, see, &s), 1);
    }
    CHECK_GT(s.lost, 0u);
    probe_watch_facts(w, &f);
    CHECK_EQ(f.lost, s.lost);
    probe_watch_close(w, NULL);
    end_child(&c);
}

TEST(without_perf_threads_are_sampled) {
    struct child c = start_child(be_many);
    wait_done(&c);
    struct probe_options o = {.pid = c.pid, .no_perf = true};
    struct probe_watch *w = watch(&o);
    struct seen s = {0};
    const struct probe_means *m = probe_watch_means(w);
    CHECK(!m[PROBE_MEANS_SWITCHES].used && m[PROBE_MEANS_LOOKS].used);
    run_until(w, &s, &s.futex_looks, 100);
    run_until(w, &s, &s.count[PROBE_OFF], 200);
    CHECK_EQ(s.count[PROBE_THREAD], 201u);
    kill(c.pid, SIGKILL);
    to_the_end(w, &s);
    CHECK_EQ(s.count[PROBE_EXIT], 201u);
    probe_watch_close(w, NULL);
    end_child(&c);
}

/* ---- whatever happens, the target goes on ---- */

static void be_counter(int in, int out) {
    (void)in;
    (void)out;
    for (;;) {
        gil.number++;
        gil.holder++;
    }
}

TEST(a_watch_that_is_killed_leaves_nothing) {
    struct child c = start_child(be_counter);
    struct child watcher = {0};
    int ready[2];
    CHECK_EQ(pipe(ready), 0);
    watcher.pid = fork();
    if (watcher.pid == 0) {
        struct probe_options o = {.pid = c.pid};
        struct probe_gil g = {.number_address = (uint64_t)(uintptr_t)&gil.holder};
        struct probe_watch *w = watch(&o);
        struct seen s = {0};
        probe_add_gil(w, c.pid, &g);
        run_for(w, &s, 1);
        done(ready[1]);
        run_for(w, &s, 10000);
        _exit(0);
    }
    expect_byte(ready[0]);
    kill(watcher.pid, SIGKILL);
    CHECK_EQ(waitpid(watcher.pid, NULL, 0), watcher.pid);
    uint64_t before = number_of(&c);
    for (int i = 0; i < 500 && number_of(&c) <= before; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000000}, NULL);
    CHECK_GT(number_of(&c), before);
    /* The watchpoints are free again: all four can be had. */
    struct probe_options o = {.pid = c.pid};
    struct probe_watch *w = watch(&o);
    struct probe_gil g = {.number_address = (uint64_t)(uintptr_t)&gil.locked};
    probe_add_gil(w, c.pid, &g);
    CHECK(!w->records || w->watched[0].kind != 0 || !w->means[PROBE_MEANS_WATCHPOINT].used);
    probe_watch_close(w, NULL);
    end_child(&c);
}

TEST(a_target_that_is_killed_ends_the_watch) {
    struct child c = start_child(be_many);
    wait_done(&c);
    struct probe_options o = {.pid = c.pid};
    struct probe_watch *w = watch(&o);
    struct seen s = {0};
    run_for(w, &s, 3);
    end_child(&c);
    to_the_end(w, &s);
    probe_watch_close(w, NULL);
}

TEST(what_cannot_be_watched_is_refused) {
    struct probe_watch *w;
    struct child zombie = start_child(be_many);
    kill(zombie.pid, SIGKILL);
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, (id_t)zombie.pid, &info, WEXITED | WNOWAIT), 0);
    CHECK_ERR(probe_watch_open(&(struct probe_options){.pid = zombie.pid}, &w), -ESRCH);
    end_child(&zombie);
    CHECK_ERR(probe_watch_open(&(struct probe_options){.pid = zombie.pid}, &w), -ESRCH);
    CHECK_ERR(probe_watch_open(&(struct probe_options){.pid = getpid()}, &w), -EINVAL);
    CHECK_ERR(probe_watch_open(&(struct probe_options){.pid = -1}, &w), -ESRCH);
    struct child c = start_child(be_many);
    wait_done(&c);
    pid_t *list;
    CHECK_EQ(probe_tasks_scan(c.pid, &list), 201);
    pid_t other = list[0] == c.pid ? list[1] : list[0];
    CHECK_ERR(probe_watch_open(&(struct probe_options){.pid = other}, &w), -EINVAL);
    free(list);
    /* Another user's. */
    if (getuid() == 0) {
        pid_t stranger = fork();
        if (stranger == 0) {
            if (setgid(65534) != 0 || setuid(65534) != 0)
                _exit(2);
            _exit(probe_watch_open(&(struct probe_options){.pid = c.pid}, &w) == -EPERM ? 0 : 1);
        }
        int status;
        CHECK_EQ(waitpid(stranger, &status, 0), stranger);
        CHECK_EQ(status, 0);
    }
    end_child(&c);
}

/* ---- children ---- */

/* A process that makes another one, with three threads that take turns. */
static void be_parent_of_takers(int in, int out) {
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        be_takers(in, out);
        _exit(0);
    }
    for (;;)
        pause();
}

TEST(children_that_are_there_are_followed) {
    struct child c = start_child(be_parent_of_takers);
    pid_t *list = NULL;
    for (int i = 0; i < 500 && probe_tasks_children(c.pid, &list) == 0; i++) {
        free(list);
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000000}, NULL);
    }
    if (!list)
        SKIP("the kernel does not list the children of a process");
    pid_t *threads = NULL;
    while (probe_tasks_scan(list[0], &threads) < 4)
        free(threads);
    free(threads);
    free(list);
    struct probe_options o = {.pid = c.pid, .follow = true};
    struct probe_watch *w = watch(&o);
    struct seen s = {0};
    go(&c);
    wait_done(&c);
    run_until(w, &s, &s.count[PROBE_THREAD], w->records ? 8 : 5);
    CHECK_EQ(w->process_count, 2u);
    kill(c.pid, SIGKILL);
    to_the_end(w, &s);
    probe_watch_close(w, NULL);
    end_child(&c);
}

/* ---- becoming something else ---- */

static void *exec_now(void *arg) {
    execlp("sh", "sh", "-c", "sleep 0.01; sleep 0.01", NULL);
    return arg;
}

static void be_execer(int in, int out) {
    pthread_t t;
    spawn(&t, sleep_for_ever, NULL);
    expect_byte(in);
    done(out);
    spawn(&t, exec_now, NULL);
    pthread_join(t, NULL);
}

TEST(a_thread_may_exec) {
    struct child c = start_child(be_execer);
    struct probe_options o = {.pid = c.pid};
    struct probe_watch *w = watch(&o);
    struct seen s = {0};
    need(w, PROBE_MEANS_SWITCHES);
    go(&c);
    wait_done(&c);
    to_the_end(w, &s);
    CHECK_EQ(s.count[PROBE_EXEC], 1u);
    CHECK(s.shell_named);
    CHECK_GT(s.after_exec, 0u);
    CHECK_EQ(s.count[PROBE_EXIT], s.count[PROBE_THREAD]);
    CHECK_EQ(s.count[PROBE_FORK], 2u);
    probe_watch_close(w, NULL);
    end_child(&c);
}
