/* SPDX-License-Identifier: MIT */
/* A program in which nothing can run any more is reported, with every thread's name and what it
 * waits for; one that somebody could still help is not. Each case is a process of its own. */
#include "runtime_test.h"

#include <stdio.h>
#include <sys/time.h>
#include <time.h>

static hd_mutex mutex;
static hd_cond cond;
static hd_sem sem;
static hd_event event;
static hd_waitgroup group;
static hd_once once;
static hd_chan *empty, *full, *unbuffered;
static hd_thread *sleeper;

static void *wait_mutex(void *arg) {
    hd_mutex_lock(&mutex); /* which the first thread has, and has ended */
    return arg;
}
static void *wait_cond(void *arg) {
    hd_mutex m = HD_MUTEX_INIT;
    hd_mutex_lock(&m);
    hd_cond_wait(&cond, &m);
    return arg;
}
static void *wait_sem(void *arg) {
    hd_sem_wait(&sem);
    return arg;
}
static void *wait_event(void *arg) {
    hd_event_wait(&event);
    return arg;
}
static void *wait_group(void *arg) {
    hd_waitgroup_wait(&group);
    return arg;
}
static void *wait_recv(void *arg) {
    int i;
    hd_chan_recv(empty, &i);
    return arg;
}
static void *wait_send(void *arg) {
    int i = 1;
    hd_chan_send(full, &i);
    return arg;
}
static void *wait_rendezvous(void *arg) {
    int i = 1;
    hd_chan_send(unbuffered, &i);
    return arg;
}
static void *wait_join(void *arg) {
    hd_join(sleeper, NULL);
    return arg;
}
static void *wait_for_ever(void *arg) {
    hd_sleep_until(HD_FOREVER);
    return arg;
}
static void never_ends(void *arg) {
    (void)arg;
    hd_sem_wait(&sem);
}
static void *wait_once(void *arg) {
    hd_once_call(&once, never_ends, NULL);
    return arg;
}

static const struct kind {
    const char *name, *what;
    hd_fn fn;
} kinds[] = {
    {"sleeper", "sleep", wait_for_ever}, /* first: it is joined */
    {"a-mutex", "mutex", wait_mutex},    {"a-cond", "cond", wait_cond},
    {"a-sem", "sem", wait_sem},          {"an-event", "event", wait_event},
    {"a-waitgroup", "waitgroup", wait_group},
    {"a-recv", "chan", wait_recv},       {"a-send", "chan", wait_send},
    {"a-rendezvous", "chan", wait_rendezvous},
    {"a-join", "join", wait_join},       {"once-runs", "sem", wait_once},
    {"once-waits", "once", wait_once},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void set_up(void) {
    int i = 1;
    empty = hd_chan_create(sizeof(int), 1);
    full = hd_chan_create(sizeof(int), 1);
    unbuffered = hd_chan_create(sizeof(int), 0);
    CHECK_OK(hd_chan_trysend(full, &i));
    hd_waitgroup_add(&group, 1);
}

static int spawn_kinds(void *arg) {
    set_up();
    hd_mutex_lock(&mutex);
    for (int i = 0; i < KINDS; i++) {
        hd_thread *t;
        CHECK_OK(hd_spawn(&t, HD_ATTR(.name = kinds[i].name), kinds[i].fn, NULL));
        if (i == 0)
            sleeper = t;
        hd_sleep_for(MS / 2); /* in this order */
    }
    return arg != NULL;
}

/* The line of the report that begins with this thread. */
static void check_reported(const char *out, const char *name, const char *what) {
    char begin[100];
    snprintf(begin, sizeof begin, "'%s' waits for ", name);
    const char *at = strstr(out, begin);
    CHECK_MSG(at != NULL, "no line for %s in:\n%s", name, out);
    char line[300];
    snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
    CHECK_STR_HAS(line + strlen(begin), what);
}

static void check_report(const struct child *c, unsigned waiting) {
    char count[60];
    CHECK_STR_HAS(c->out, "heddle: deadlock: ");
    snprintf(count, sizeof count, "heddle: %u threads wait", waiting);
    CHECK_STR_HAS(c->out, count);
    CHECK_EQ(strstr(strstr(c->out, "heddle: deadlock: ") + 1, "heddle: deadlock: "), NULL);
}

static bool aborted(const struct child *c) {
    return WIFSIGNALED(c->status) && WTERMSIG(c->status) == SIGABRT;
}

static struct child child;

/* ThreadSanitizer has a kernel thread of its own, and one more in a process that was forked; the
 * detection counts them, and rather says nothing than something wrong. */
static void needs_a_known_number_of_kernel_threads(void) {
    if (test_under_qemu())
        SKIP("the emulator has kernel threads of its own, which the detection counts");
    if (TEST_TSAN)
        SKIP("ThreadSanitizer's own kernel threads could still act, as far as can be told");
}

static void run_kinds(void *arg) {
    hd_run(HD_CONFIG(.workers = (unsigned)(uintptr_t)arg), spawn_kinds, NULL);
}

TEST(every_kind_of_wait_is_named) {
    needs_a_known_number_of_kernel_threads();
    for (uintptr_t workers = 1; workers <= 4; workers *= 2) {
        child_run(&child, run_kinds, (void *)workers);
        check_report(&child, KINDS + 1);
        for (int i = 0; i < KINDS; i++)
            check_reported(child.out, kinds[i].name, kinds[i].what);
        check_reported(child.out, "main", "the end of all joinable threads");
        CHECK(aborted(&child));
    }
}

/* ---- locks have names and owners ---- */

static hd_mutex named[2];
static hd_rwlock named_rw;

static void *lock_the_other(void *arg) {
    int other = arg == &named[0];
    hd_mutex_lock(arg);
    hd_sleep_for(20 * MS);
    hd_mutex_lock(&named[other]);
    return NULL;
}

static void *read_for_ever(void *arg) {
    hd_rwlock_rdlock(&named_rw);
    return arg;
}

static void *lock_as_janitor(void *arg) {
    CHECK_EQ(pthread_setname_np(pthread_self(), "janitor"), 0);
    hd_mutex_lock(arg);
    return NULL;
}

static int cross(void *arg) {
    static const char *const names[] = {"accounts", "journal"};
    hd_thread *t[4];
    (void)arg;
    foreign_join(foreign(lock_as_janitor, &mutex));
    for (int i = 0; i < 2; i++)
        CHECK_OK(hd_mutex_init(&named[i],
                               HD_LOCK_ATTR(.name = names[i], .flags = HD_LOCK_COUNT)));
    CHECK_OK(hd_rwlock_init(&named_rw, HD_LOCK_ATTR(.name = "table", .flags = HD_LOCK_COUNT)));
    hd_rwlock_wrlock(&named_rw);
    for (int i = 0; i < 2; i++)
        CHECK_OK(hd_spawn(&t[i], HD_ATTR(.name = names[i]), lock_the_other, &named[i]));
    CHECK_OK(hd_spawn(&t[2], HD_ATTR(.name = "reader"), read_for_ever, NULL));
    CHECK_OK(hd_spawn(&t[3], HD_ATTR(.name = "tenant"), wait_mutex, NULL));
    return 0;
}

static void run_cross(void *arg) {
    hd_run(HD_CONFIG(.workers = 2), cross, arg);
}

TEST(locks_are_told_with_names_and_owners) {
    needs_a_known_number_of_kernel_threads();
    child_run(&child, run_cross, NULL);
    check_reported(child.out, "accounts", "'journal', which thread 3 has");
    check_reported(child.out, "tenant", ", which foreign kernel thread 0 'janitor' has");
    check_reported(child.out, "journal", "'accounts', which thread 2 has");
    check_reported(child.out, "reader", "'table'");
    CHECK(aborted(&child));
}

/* ---- in a host program ---- */

static void wait_in_stop(void *arg) {
    hd_thread *t;
    CHECK_OK(hd_start(HD_CONFIG(.workers = 2)));
    CHECK_OK(hd_spawn(&t, HD_ATTR(.name = "stuck"), wait_sem, arg));
    hd_stop();
}

static void wait_in_join(void *arg) {
    hd_thread *t;
    CHECK_OK(hd_start(HD_CONFIG(.workers = 1)));
    CHECK_OK(hd_spawn(&t, HD_ATTR(.name = "stuck"), wait_sem, arg));
    hd_join(t, NULL);
}

TEST(hosts_that_wait_as_well) {
    needs_a_known_number_of_kernel_threads();
    void (*const cases[])(void *) = {wait_in_stop, wait_in_join};
    for (int i = 0; i < 2; i++) {
        child_run(&child, cases[i], NULL);
        check_report(&child, 1);
        check_reported(child.out, "stuck", "sem");
        CHECK_STR_HAS(child.out, "and 1 kernel threads of the host program");
        CHECK(aborted(&child));
    }
}

/* ---- report once, or not at all ---- */

static void leave(int signal) {
    (void)signal;
    _exit(7);
}

static void leave_after_ms(unsigned ms) {
    struct itimerval when = {.it_value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};
    signal(SIGALRM, leave);
    CHECK_EQ(setitimer(ITIMER_REAL, &when, NULL), 0);
}

static int wait_sem_main(void *arg) {
    hd_sem_wait(&sem);
    return arg != NULL;
}

static void run_with(void *arg) {
    int what = (int)(intptr_t)arg;
    leave_after_ms(what == HD_DEADLOCK_REPORT ? 1500 : 400); /* finding it takes a while */
    hd_run(HD_CONFIG(.workers = 2, .deadlock = what), wait_sem_main, NULL);
}

TEST(it_is_reported_once) {
    needs_a_known_number_of_kernel_threads();
    child_run(&child, run_with, (void *)(intptr_t)HD_DEADLOCK_REPORT);
    check_report(&child, 1);
    check_reported(child.out, "main", "sem");
    CHECK(WIFEXITED(child.status) && WEXITSTATUS(child.status) == 7);
}

TEST(it_is_ignored) {
    child_run(&child, run_with, (void *)(intptr_t)HD_DEADLOCK_IGNORE);
    CHECK_STR_EQ(child.out, "");
    CHECK(WIFEXITED(child.status) && WEXITSTATUS(child.status) == 7);
}

/* ---- no deadlock ---- */

static void *post_later(void *arg) {
    struct timespec wait = {.tv_nsec = 250 * 1000 * 1000};
    nanosleep(&wait, NULL);
    hd_sem_post(&sem);
    return arg;
}

static int wait_for_foreign(void *arg) {
    pthread_t p = foreign(post_later, NULL);
    hd_thread *t = spawn(wait_sem, arg);
    join(t);
    foreign_join(p);
    return 0;
}

static void run_beside_foreign(void *arg) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), wait_for_foreign, arg));
}

static void *post_after_timed_wait(void *arg) {
    hd_sem never = HD_SEM_INIT(0);
    CHECK_ERR(hd_sem_wait_until(&never, hd_now_ns() + 250 * MS), -ETIMEDOUT);
    hd_sem_post(&sem);
    return arg;
}

static void run_beside_waiting_foreign(void *arg) {
    CHECK_OK(hd_start(HD_CONFIG(.workers = 2)));
    pthread_t p = foreign(post_after_timed_wait, NULL);
    join(spawn(wait_sem, arg));
    foreign_join(p);
    CHECK_OK(hd_stop());
}

static int wait_for_timer(void *arg) {
    spawn(wait_sem, arg);
    CHECK_OK(hd_sleep_for(250 * MS));
    hd_sem_post(&sem);
    return 0;
}

static void run_with_timer(void *arg) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), wait_for_timer, arg));
}

static void *busy_then_post(void *arg) {
    uint64_t until = hd_now_ns() + 150 * MS;
    while (hd_now_ns() < until) {
    }
    hd_sem_post(&sem);
    return arg;
}

static int wait_for_busy(void *arg) {
    hd_thread *t = spawn(busy_then_post, arg);
    join(spawn(wait_sem, arg));
    join(t);
    return 0;
}

static void run_with_busy(void *arg) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), wait_for_busy, arg));
}

static void idle_host(void *arg) {
    (void)arg;
    CHECK_OK(hd_start(HD_CONFIG(.workers = 2)));
    struct timespec wait = {.tv_nsec = 150 * 1000 * 1000};
    nanosleep(&wait, NULL); /* nothing runs, but the host may still ask for something */
    CHECK_OK(hd_stop());
}

/* A foreign thread that was woken can act, even if the kernel does not run it for long: a signal
 * handler holds it up here. */
static hd_sem back;

static void stall(int signal) {
    struct timespec wait = {.tv_nsec = 250 * 1000 * 1000};
    (void)signal;
    nanosleep(&wait, NULL);
}

static void *wait_and_answer(void *arg) {
    CHECK_OK(hd_sem_wait(&sem));
    hd_sem_post(&back);
    return arg;
}

static void *wake_while_stalled(void *arg) {
    hd_sleep_for(20 * MS); /* it waits by now */
    CHECK_EQ(pthread_kill(*(pthread_t *)arg, SIGUSR1), 0);
    hd_sleep_for(20 * MS);
    hd_sem_post(&sem);
    CHECK_OK(hd_sem_wait(&back));
    return NULL;
}

static void run_beside_stalled_foreign(void *arg) {
    (void)arg;
    signal(SIGUSR1, stall);
    CHECK_OK(hd_start(HD_CONFIG(.workers = 2)));
    pthread_t p = foreign(wait_and_answer, NULL);
    join(spawn(wake_while_stalled, &p));
    foreign_join(p);
    CHECK_OK(hd_stop());
}

TEST(who_could_be_helped_is_not_reported) {
    void (*const cases[])(void *) = {run_beside_foreign, run_beside_waiting_foreign,
                                     run_with_timer, run_with_busy, idle_host,
                                     run_beside_stalled_foreign};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        child_run(&child, cases[i], NULL);
        CHECK_STR_EQ(child.out, "");
        CHECK_MSG(WIFEXITED(child.status) && WEXITSTATUS(child.status) == 0, "case %zu: %d", i,
                  child.status);
    }
}
