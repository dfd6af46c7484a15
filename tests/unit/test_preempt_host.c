/* SPDX-License-Identifier: MIT */
/* Preemption inside a program that has signals, processes and a debugger of its own. */
#include "preempt_test.h"

#include <netinet/in.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

extern char **environ;

/* Three busy threads on one or two workers, and a fourth that does what the test is about. */
struct scene {
    struct ticker ticker;
    counter stop;
    hd_thread *busy[3];
};

static void *busy(void *arg) {
    struct scene *s = arg;
    spin_until(&s->stop, 1);
    return NULL;
}

static void scene_begin(struct scene *s) {
    ticker_start(&s->ticker, NULL);
    for (int i = 0; i < 3; i++)
        s->busy[i] = spawn_kind(i == 2 ? HD_PREEMPT_LIGHT : HD_PREEMPT_CARRIER, busy, s);
}

static void scene_end(struct scene *s) {
    count_up(&s->stop);
    for (int i = 0; i < 3; i++)
        join(s->busy[i]);
    ticker_stop(&s->ticker);
}

/* ---- handlers of the host ---- */

static counter alarms, users, urgents;

static void on_alarm(int sig) {
    (void)sig;
    int saved = errno;
    errno = 99;
    count_up(&alarms);
    errno = saved;
}

static void on_user(int sig) {
    (void)sig;
    count_up(&users);
}

static void set_handler(int sig, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    CHECK_EQ(sigaction(sig, &action, NULL), 0);
}

static int with_host_timers(void *arg) {
    struct scene s = {.stop = 0};
    pthread_t caller = *(pthread_t *)arg;
    scene_begin(&s);
    while (count_of(&alarms) < 30 || count_of(&users) < 30) {
        CHECK_EQ(pthread_kill(caller, SIGUSR1), 0);
        spin_until(&s.ticker.turns, count_of(&s.ticker.turns) + 1);
    }
    scene_end(&s);
    return 0;
}

TEST_WITHIN(timers_of_the_host, 60) {
    struct itimerval every_ms = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    pthread_t self = pthread_self();
    if (TEST_TSAN)
        SKIP("ThreadSanitizer leaves all signals blocked where several come at once");
    set_handler(SIGALRM, on_alarm, SA_RESTART);
    set_handler(SIGUSR1, on_user, SA_RESTART);
    CHECK_EQ(setitimer(ITIMER_REAL, &every_ms, NULL), 0);
    for (unsigned workers = 1; workers <= 2; workers++) {
        alarms = users = 0;
        CHECK_OK(hd_run(QUICK(.workers = workers), with_host_timers, &self));
    }
    CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
}

/* ---- the signal that preempts, used by the host as well ---- */

static _Atomic int urgent_code;

static void on_urgent(int sig, siginfo_t *info, void *context) {
    CHECK_EQ(sig, SIGURG);
    CHECK(context != NULL);
    urgent_code = info->si_code;
    count_up(&urgents);
}

static int raise_alone(void *arg) {
    (void)arg;
    for (uint64_t i = 1; i <= 100; i++) {
        CHECK_EQ(raise(SIGURG), 0);
        CHECK_EQ(count_of(&urgents), i);
        CHECK_EQ(urgent_code, SI_TKILL);
    }
    return 0;
}

/* Two such signals at once count as one, for the kernel: some of the host's may be lost. */
static void *raise_until_seen(void *arg) {
    for (int i = 0; i < 30; i++) {
        uint64_t before = count_of(&urgents);
        while (count_of(&urgents) == before)
            CHECK_EQ(kill(getpid(), SIGURG), 0);
    }
    return arg;
}

static int raise_beside_preemption(void *arg) {
    struct scene s = {.stop = 0};
    scene_begin(&s);
    spin_until(&s.ticker.turns, 10); /* signals come by now */
    for (int i = 0; i < 3; i++)
        join(spawn_kind(1 + i, raise_until_seen, arg));
    foreign_join(foreign(raise_until_seen, NULL));
    CHECK(preemptions() > 0 || hd_worker_count() > 1);
    scene_end(&s);
    return 0;
}

static void urgent_action(struct sigaction *action) {
    *action = (struct sigaction){.sa_sigaction = on_urgent, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigemptyset(&action->sa_mask);
    sigaddset(&action->sa_mask, SIGWINCH);
}

TEST_WITHIN(the_hosts_handler_of_the_signal, 60) {
    struct sigaction action, now;
    urgent_action(&action);
    CHECK_EQ(sigaction(SIGURG, &action, NULL), 0);
    CHECK_OK(hd_run(QUICK(.workers = 1), raise_alone, NULL));
    CHECK_EQ(sigaction(SIGURG, NULL, &now), 0);
    CHECK(now.sa_sigaction == on_urgent);
    CHECK(now.sa_flags & SA_SIGINFO);
    CHECK_EQ(sigismember(&now.sa_mask, SIGWINCH), 1);
    for (unsigned workers = 1; workers <= 2; workers++)
        CHECK_OK(hd_run(QUICK(.workers = workers), raise_beside_preemption, NULL));
    uint64_t before = count_of(&urgents);
    CHECK_EQ(raise(SIGURG), 0);
    CHECK_EQ(count_of(&urgents), before + 1);
}

static void *raise_a_few(void *arg) {
    for (int i = 0; i < 30; i++)
        CHECK_EQ(raise(SIGURG), 0);
    return arg;
}

static int raise_unhandled(void *arg) {
    struct scene s = {.stop = 0};
    scene_begin(&s);
    for (int i = 0; i < 3; i++)
        join(spawn_kind(1 + i, raise_a_few, arg));
    scene_end(&s);
    return 0;
}

TEST_WITHIN(the_signal_without_a_handler_of_the_host, 60) {
    struct sigaction now;
    CHECK_OK(hd_run(QUICK(.workers = 1), raise_unhandled, NULL));
    CHECK_EQ(sigaction(SIGURG, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_DFL);
    set_handler(SIGURG, SIG_IGN, 0);
    CHECK_OK(hd_run(QUICK(.workers = 1), raise_unhandled, NULL));
    CHECK_EQ(sigaction(SIGURG, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_IGN);
}

/* What the signal is for: urgent data on a socket. */
static void connect_pair(int *server, int *client) {
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t length = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    CHECK_EQ(listen(listener, 1), 0);
    CHECK_EQ(getsockname(listener, (struct sockaddr *)&at, &length), 0);
    *client = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(connect(*client, (struct sockaddr *)&at, sizeof at), 0);
    *server = accept(listener, NULL, NULL);
    CHECK(*server >= 0);
    close(listener);
}

static int urgent_data(void *arg) {
    struct scene s = {.stop = 0};
    int server, client;
    (void)arg;
    connect_pair(&server, &client);
    CHECK_EQ(fcntl(server, F_SETOWN, getpid()), 0);
    scene_begin(&s);
    for (int i = 0; i < 10; i++) {
        uint64_t before = count_of(&urgents);
        while (count_of(&urgents) == before) {
            char c;
            CHECK_EQ(send(client, "!", 1, MSG_OOB), 1);
            spin_until(&s.ticker.turns, count_of(&s.ticker.turns) + 2);
            while (recv(server, &c, 1, MSG_OOB | MSG_DONTWAIT) == 1)
                CHECK_EQ(c, '!');
        }
    }
    scene_end(&s);
    close(server);
    close(client);
    return 0;
}

TEST_WITHIN(urgent_data_on_a_socket, 60) {
    struct sigaction action;
    urgent_action(&action);
    CHECK_EQ(sigaction(SIGURG, &action, NULL), 0);
    CHECK_OK(hd_run(QUICK(.workers = 1), urgent_data, NULL));
}

/* ---- masks of the host ---- */

static int ordinary(void *arg) {
    struct scene s = {.stop = 0};
    (void)arg;
    scene_begin(&s);
    spin_until(&s.ticker.turns, 20);
    scene_end(&s);
    return 0;
}

TEST_WITHIN(the_caller_blocks_all_signals, 60) {
    sigset_t all, now;
    sigfillset(&all);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
    for (unsigned workers = 1; workers <= 2; workers++)
        CHECK_OK(hd_run(QUICK(.workers = workers), ordinary, NULL));
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
    CHECK_EQ(sigismember(&now, SIGURG), 1);
    CHECK_EQ(sigismember(&now, SIGUSR1), 1);
    CHECK_OK(hd_start(QUICK(.workers = 1)));
    join(spawn((hd_fn)(void *)ordinary, NULL));
    CHECK_OK(hd_stop());
}

static void *foreign_with_all_blocked(void *arg) {
    sigset_t all;
    sigfillset(&all);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
    for (int i = 0; i < 10; i++)
        join(spawn((hd_fn)(void *)ordinary, arg));
    return NULL;
}

TEST_WITHIN(a_foreign_thread_blocks_all_signals, 60) {
    CHECK_OK(hd_start(QUICK(.workers = 1)));
    pthread_t p = foreign(foreign_with_all_blocked, NULL);
    join(spawn((hd_fn)(void *)ordinary, NULL));
    foreign_join(p);
    CHECK_OK(hd_stop());
}

/* ---- processes ---- */

static void *use_system(void *arg) {
    for (int i = 0; i < 3; i++) {
        int status = system("exit 3");
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 3);
    }
    return arg;
}

static void check_exit(pid_t pid, int code) {
    int status = 0;
    pid_t got;
    CHECK(pid > 0);
    while ((got = waitpid(pid, &status, 0)) < 0)
        CHECK_EQ(errno, EINTR);
    CHECK_EQ(got, pid);
    CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == code, "its status is %d", status);
}

static void *use_fork(void *arg) {
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            execl("/bin/sh", "sh", "-c", "exit 4", (char *)NULL);
            _exit(126);
        }
        check_exit(pid, 4);
        pid = fork();
        if (pid == 0) {
            for (volatile int k = 0; k < 3000000; k++) {
            }
            _exit(5);
        }
        check_exit(pid, 5);
    }
    return arg;
}

static void *use_spawn(void *arg) {
    char *const argv[] = {(char *)"sh", (char *)"-c", (char *)"exit 6", NULL};
    for (int i = 0; i < 5; i++) {
        pid_t pid;
        CHECK_EQ(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ), 0);
        check_exit(pid, 6);
    }
    return arg;
}

static int processes(void *arg) {
    hd_fn const uses[] = {use_system, use_fork, use_spawn};
    struct scene s = {.stop = 0};
    hd_thread *t[6];
    (void)arg;
    scene_begin(&s);
    for (int i = 0; i < 6; i++)
        t[i] = spawn(uses[i % 3], NULL);
    for (int i = 0; i < 6; i++)
        join(t[i]);
    scene_end(&s);
    return 0;
}

TEST_WITHIN(programs_are_started, 120) {
    if (TEST_TSAN)
        SKIP("fork() takes ThreadSanitizer's own locks, which a preempted thread may hold");
    CHECK_OK(hd_run(QUICK(.workers = 1), processes, NULL));
    CHECK_OK(hd_run(QUICK(.workers = 2), processes, NULL));
}

/* In the child of a fork() there is no runtime: that is said, at the first call. */
static void *call_in_child(void *arg) {
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        hd_yield();
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
    abort();
    return arg;
}

static int run_call_in_child(void *arg) {
    join(spawn(call_in_child, arg));
    return 0;
}

static void body_call_in_child(void *arg) {
    hd_run(QUICK(.workers = 2), run_call_in_child, arg);
}

TEST(calls_in_a_forked_child_end_it) {
    check_fatal("fork", body_call_in_child, NULL);
}

/* ---- the end ---- */

static void *raise_abort(void *arg) {
    struct scene *s = arg;
    spin_until(&s->ticker.turns, 5);
    raise(SIGABRT);
    return NULL;
}

static void *fall(void *arg) {
    struct scene *s = arg;
    spin_until(&s->ticker.turns, 5);
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
    return NULL;
}

static int run_to_death(void *fn) {
    struct scene s = {.stop = 0};
    scene_begin(&s);
    join(spawn((hd_fn)fn, &s));
    return 0;
}

static void body_to_death(void *fn) {
    hd_run(QUICK(.workers = 2), run_to_death, fn);
}

TEST(a_thread_that_dies_takes_the_process) {
    static struct child c;
    child_run(&c, body_to_death, (void *)raise_abort);
    CHECK_MSG(WIFSIGNALED(c.status) && WTERMSIG(c.status) == SIGABRT, "status %d", c.status);
    if (TEST_ASAN || TEST_TSAN)
        return; /* which report a bad access themselves */
    child_run(&c, body_to_death, (void *)fall);
    CHECK_MSG(WIFSIGNALED(c.status) && WTERMSIG(c.status) == SIGSEGV, "status %d", c.status);
}
