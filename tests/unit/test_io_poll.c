/* SPDX-License-Identifier: MIT */
/* Waiting for descriptors, children and names. */
#include "io_test.h"

static hd_sem ready;

struct later {
    int fd;
};

static void *write_later(void *arg) {
    let_wait();
    CHECK_EQ(hd_write(*(int *)arg, "x", 1), 1);
    return NULL;
}

/* ---- poll ---- */

IO_TEST(nothing_to_poll, 2) {
    uint64_t deadline = hd_now_ns() + MS;
    CHECK_EQ(hd_poll(NULL, 0, 0), 0);
    CHECK_EQ(hd_poll(NULL, 0, deadline), 0);
    CHECK_GE(hd_now_ns(), deadline);
    struct pollfd p[2] = {{-1, POLLIN, 77}, {-5, POLLOUT, 77}};
    deadline = hd_now_ns() + MS;
    CHECK_EQ(hd_poll(p, 2, deadline), 0);
    CHECK_GE(hd_now_ns(), deadline);
    CHECK_EQ(p[0].revents, 0);
    return 0;
}

IO_TEST(poll_of_one, 2) {
    int ends[2];
    make_pipe(ends);
    struct pollfd p = {ends[0], POLLIN, 77};
    CHECK_EQ(hd_poll(&p, 1, 0), 0);
    CHECK_EQ(p.revents, 0);
    hd_thread *t = spawn(write_later, &ends[1]);
    CHECK_EQ(hd_poll(&p, 1, HD_FOREVER), 1);
    CHECK_EQ(p.revents, POLLIN);
    join(t);
    CHECK_EQ(hd_poll(&p, 1, HD_FOREVER), 1);
    p.events = 0; /* only errors */
    CHECK_EQ(hd_poll(&p, 1, hd_now_ns() + MS), 0);
    close(ends[1]);
    CHECK_EQ(hd_poll(&p, 1, HD_FOREVER), 1);
    CHECK(p.revents & POLLHUP);
    close(ends[0]);
    CHECK_EQ(hd_poll(&p, 1, HD_FOREVER), 1);
    CHECK_EQ(p.revents, POLLNVAL);
    return 0;
}

IO_TEST(poll_of_many, 2) {
    enum { PIPES = 100 };
    int ends[PIPES][2];
    struct pollfd p[PIPES + 1];
    for (int i = 0; i < PIPES; i++) {
        make_pipe(ends[i]);
        p[i] = (struct pollfd){i % 10 == 9 ? -ends[i][0] : ends[i][0], POLLIN, 77};
    }
    p[PIPES] = (struct pollfd){ends[50][0], POLLIN | POLLPRI, 0}; /* once more */
    CHECK_EQ(hd_poll(p, PIPES + 1, hd_now_ns() + MS), 0);
    for (int i = 0; i < PIPES; i += 25) {
        hd_thread *t = spawn(write_later, &ends[i][1]);
        int ready_ones = 0;
        int n = hd_poll(p, PIPES + 1, HD_FOREVER);
        for (int k = 0; k <= PIPES; k++)
            ready_ones += p[k].revents != 0;
        CHECK_EQ(ready_ones, n);
        CHECK_EQ(n, i == 50 ? 2 : 1);
        CHECK_EQ(p[i].revents, POLLIN);
        join(t);
        char c;
        CHECK_EQ(hd_read(ends[i][0], &c, 1), 1);
    }
    p[3].fd = 1000000;
    CHECK_EQ(hd_poll(p, PIPES + 1, HD_FOREVER), 1);
    CHECK_EQ(p[3].revents, POLLNVAL);
    for (int i = 0; i < PIPES; i++)
        close_both(ends[i]);
    return 0;
}

IO_TEST(poll_of_files_and_pipes, 2) {
    int ends[2], fd = make_file();
    make_pipe(ends);
    struct pollfd p[2] = {{fd, POLLIN | POLLOUT, 0}, {ends[0], POLLIN, 0}};
    CHECK_EQ(hd_poll(p, 2, HD_FOREVER), 1);
    CHECK_EQ(p[0].revents, POLLIN | POLLOUT);
    p[0].events = 0;
    hd_thread *t = spawn(write_later, &ends[1]);
    CHECK_EQ(hd_poll(p, 2, HD_FOREVER), 1);
    CHECK_EQ(p[1].revents, POLLIN);
    join(t);
    CHECK_EQ(hd_poll(p, 1, hd_now_ns() + MS), 0);
    close_both(ends);
    CHECK_OK(hd_close(fd));
    return 0;
}

/* Without a descriptor to be had it looks now and then. */
IO_TEST(poll_without_descriptors_to_spare, 2) {
    int ends[2][2], extra[64], n = 0;
    struct rlimit limit, low;
    make_pipe(ends[0]);
    make_pipe(ends[1]);
    struct pollfd p[2] = {{ends[0][0], POLLIN, 0}, {ends[1][0], POLLIN, 0}};
    CHECK_EQ(hd_poll(p, 2, hd_now_ns() + MS), 0);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = (rlim_t)ends[1][1] + 20;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (n < 64 && (extra[n] = dup(0)) >= 0)
        n++;
    hd_thread *t = spawn(write_later, &ends[1][1]);
    CHECK_EQ(hd_poll(p, 2, HD_FOREVER), 1);
    join(t);
    while (n > 0)
        close(extra[--n]);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    close_both(ends[0]);
    close_both(ends[1]);
    return 0;
}

/* Several threads wait for the same descriptor, and each gets one byte of it. */
static void *read_one(void *arg) {
    char c;
    hd_sem_post(&ready);
    CHECK_EQ(hd_read(*(int *)arg, &c, 1), 1);
    return NULL;
}

static void *poll_one(void *arg) {
    struct pollfd p = {*(int *)arg, POLLIN, 0};
    hd_sem_post(&ready);
    CHECK_EQ(hd_poll(&p, 1, HD_FOREVER), 1);
    return NULL;
}

IO_TEST(many_wait_for_one, 2) {
    enum { WAITERS = 10 };
    for (int kind = 0; kind < 3; kind++) {
        hd_thread *t[WAITERS];
        int ends[2];
        if (kind == 0)
            make_pipe(ends);
        else
            make_pair(SOCK_STREAM, ends);
        for (int i = 0; i < WAITERS; i++)
            t[i] = spawn(kind == 2 ? poll_one : read_one, &ends[0]);
        for (int i = 0; i < WAITERS; i++)
            CHECK_OK(hd_sem_wait(&ready));
        let_wait();
        for (int i = 0; i < WAITERS; i += 2) {
            CHECK_EQ(hd_write(ends[1], "ab", 2), 2);
            if (i % 4)
                hd_yield();
        }
        for (int i = 0; i < WAITERS; i++)
            join(t[i]);
        close_both(ends);
    }
    return 0;
}

/* A number whose descriptor was closed without our knowledge is another file's. */
IO_TEST(numbers_are_used_again, 2) {
    for (int i = 0; i < 50; i++) {
        int ends[2];
        char c;
        if (i % 3 == 0)
            make_pipe(ends);
        else
            make_pair(SOCK_STREAM, ends);
        CHECK_ERR(hd_read_until(ends[0], &c, 1, hd_now_ns() + MS / 10), -ETIMEDOUT);
        if (i % 2) {
            hd_thread *t = spawn(write_later, &ends[1]);
            CHECK_EQ(hd_read(ends[0], &c, 1), 1);
            join(t);
        }
        close(ends[0]);
        close(ends[1]);
    }
    return 0;
}

/* ---- children ---- */

static pid_t start_child(int after_ms, int status) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        usleep((useconds_t)after_ms * 1000);
        _exit(status);
    }
    return pid;
}

static pid_t children[4];

static int wait_for_children(void *arg) {
    int status = 0;
    (void)arg;
    CHECK_EQ(hd_waitpid(children[0], &status, 0), children[0]);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 10);
    CHECK_EQ(hd_waitpid(children[3], &status, WNOHANG), 0);
    CHECK_ERR(hd_waitpid_until(children[3], &status, 0, hd_now_ns() + MS), -ETIMEDOUT);
    kill(children[3], SIGKILL);
    CHECK_EQ(hd_waitpid(children[3], &status, 0), children[3]);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    for (int i = 0; i < 2; i++) {
        pid_t pid = hd_waitpid(i ? -1 : 0, &status, 0);
        CHECK(pid == children[1] || pid == children[2]);
        CHECK_EQ(WEXITSTATUS(status), pid == children[1] ? 11 : 12);
    }
    CHECK_ERR(hd_waitpid(-1, &status, 0), -ECHILD);
    CHECK_ERR(hd_waitpid(getpid(), &status, 0), -ECHILD);
    return 0;
}

static void run_children(int kind) {
    for (int i = 0; i < 4; i++)
        children[i] = start_child(i == 3 ? 60000 : 20 * (i + 1), 10 + i);
    io_test_run(kind, 2, wait_for_children);
}

TEST(children_by_uring) {
    run_children(HD_IO_URING);
}
TEST(children_by_epoll) {
    run_children(HD_IO_EPOLL);
}

/* ---- names ---- */

static void *resolve(void *arg) {
    struct addrinfo *list = NULL, hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM,
                                           .ai_flags = AI_NUMERICHOST};
    int err = 77;
    CHECK_EQ(hd_getaddrinfo("127.0.0.1", "7", &hints, &list, &err), 0);
    CHECK_EQ(err, 0);
    const struct sockaddr_in *at = (const void *)list->ai_addr;
    CHECK_EQ(ntohl(at->sin_addr.s_addr), INADDR_LOOPBACK);
    CHECK_EQ(ntohs(at->sin_port), 7);
    freeaddrinfo(list);
    CHECK_EQ(hd_getaddrinfo("no number", "7", &hints, &list, NULL), EAI_NONAME);
    return arg;
}

IO_TEST(names, 2) {
    hd_thread *t[40];
    for (int i = 0; i < 40; i++)
        t[i] = spawn(resolve, NULL);
    for (int i = 0; i < 40; i++)
        join(t[i]);
    return 0;
}

static void *resolve_briefly(void *arg) {
    struct addrinfo *list = NULL, hints = {.ai_flags = AI_NUMERICHOST};
    int err = 77, code;
    hd_sem_post(&ready);
    code = hd_getaddrinfo_until("127.0.0.1", NULL, &hints, &list, &err,
                                arg ? hd_now_ns() + 1000 : HD_FOREVER);
    if (code == 0) {
        freeaddrinfo(list);
    } else {
        CHECK_EQ(code, EAI_SYSTEM);
        CHECK(err == -EINTR || err == -ETIMEDOUT);
    }
    return NULL;
}

IO_TEST(names_that_nobody_waits_for, 2) {
    for (unsigned long i = 0; i < test_iterations(200); i++) {
        hd_thread *t = spawn(resolve_briefly, i % 2 ? &ready : NULL);
        CHECK_OK(hd_sem_wait(&ready));
        hd_interrupt(t);
        join(t);
    }
    return 0;
}

/* ---- without either ---- */

static int insist(void *arg) {
    return arg != NULL;
}

TEST(who_insists_on_a_way_gets_it_or_an_error) {
    int err = hd_run(HD_CONFIG(.io = HD_IO_URING), insist, NULL);
    CHECK(err <= 0);
    CHECK_OK(hd_run(HD_CONFIG(.io = HD_IO_EPOLL), insist, NULL));
    CHECK_OK(hd_run(HD_CONFIG(.io = HD_IO_AUTO), insist, NULL));
    CHECK_ERR(hd_run(HD_CONFIG(.io = 3), insist, NULL), -EINVAL);
    CHECK_ERR(hd_run(HD_CONFIG(.io = -1), insist, NULL), -EINVAL);
}
