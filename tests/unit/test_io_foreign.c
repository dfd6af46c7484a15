/* SPDX-License-Identifier: MIT */
/* Input and output on foreign kernel threads, with and without a runtime, and between them and
 * threads. */
#include "io_test.h"

#include <sys/syscall.h>

static void *use_calls(void *arg) {
    bool nonblocking = arg != NULL;
    char buf[8];
    int ends[2], status;
    make_pipe(ends);
    if (nonblocking)
        set_nonblocking(ends[0]);
    uint64_t deadline = hd_now_ns() + MS;
    CHECK_ERR(hd_read_until(ends[0], buf, 1, deadline), -ETIMEDOUT);
    CHECK_GE(hd_now_ns(), deadline);
    CHECK_ERR(hd_read_until(ends[0], buf, 1, 0), -ETIMEDOUT);
    CHECK_EQ(hd_write_until(ends[1], "abc", 3, 0), 3);
    CHECK_EQ(hd_read(ends[0], buf, 1), 1);
    CHECK_EQ(hd_read_until(ends[0], buf, sizeof buf, 0), 2);
    close_both(ends);
    make_pair(SOCK_STREAM, ends);
    CHECK_ERR(hd_recv_until(ends[0], buf, 1, 0, hd_now_ns() + MS), -ETIMEDOUT);
    CHECK_EQ(hd_send(ends[1], "xyz", 3, 0), 3);
    CHECK_EQ(hd_recv_until(ends[0], buf, 3, MSG_WAITALL, HD_FOREVER), 3);
    struct pollfd p = {ends[0], POLLIN | POLLOUT, 0};
    CHECK_EQ(hd_poll(&p, 1, HD_FOREVER), 1);
    CHECK_EQ(p.revents, POLLOUT);
    close_both(ends);
    struct sockaddr_in at;
    int l = make_listener(&at, 8), client = make_client();
    if (nonblocking)
        set_nonblocking(l);
    CHECK_ERR(hd_accept_until(l, NULL, NULL, 0, hd_now_ns() + MS), -ETIMEDOUT);
    CHECK_OK(hd_connect_until(client, (struct sockaddr *)&at, sizeof at, HD_FOREVER));
    int server = hd_accept(l, NULL, NULL, 0);
    CHECK_GE(server, 0);
    CHECK_OK(hd_close(server));
    CHECK_EQ(hd_recv(client, buf, 1, 0), 0);
    CHECK_OK(hd_close(client));
    CHECK_OK(hd_close(l));
    int fd = make_file();
    CHECK_EQ(hd_pwrite(fd, "12345", 5, 0), 5);
    CHECK_EQ(hd_pread_until(fd, buf, 5, 0, hd_now_ns() + 60000 * MS), 5);
    CHECK_EQ(hd_read_until(fd, buf, 5, hd_now_ns() + 60000 * MS), 5);
    CHECK_OK(hd_fsync(fd));
    CHECK_OK(hd_close(fd));
    fd = hd_openat(AT_FDCWD, "/dev/null", O_WRONLY, 0);
    CHECK_GE(fd, 0);
    CHECK_OK(hd_close(fd));
    struct addrinfo *list = NULL, hints = {.ai_flags = AI_NUMERICHOST};
    CHECK_EQ(hd_getaddrinfo("127.0.0.1", NULL, &hints, &list, NULL), 0);
    freeaddrinfo(list);
    CHECK_ERR(hd_waitpid_until(getpid(), &status, 0, hd_now_ns() + MS), -ECHILD);
    return arg;
}

TEST(without_a_runtime) {
    use_calls(NULL);
    use_calls(&errno);
}

IO_TEST(beside_threads, 2) {
    static int mark;
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        t[i] = foreign(use_calls, i % 2 ? &mark : NULL);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(foreign_join(t[i]), i % 2 ? &mark : NULL);
    return 0;
}

/* A foreign thread on one end, a thread on the other. */
static void *echo(void *arg) {
    char buf[64];
    ssize_t n;
    int fd = *(int *)arg;
    while ((n = hd_recv(fd, buf, sizeof buf, 0)) > 0)
        CHECK_EQ(hd_send(fd, buf, (size_t)n, 0), n);
    CHECK_EQ(n, 0);
    return NULL;
}

static void *ask(void *arg) {
    char buf[64];
    int fd = *(int *)arg;
    for (unsigned long i = 0; i < test_iterations(200); i++) {
        memset(buf, (int)i, sizeof buf);
        CHECK_EQ(hd_send(fd, buf, sizeof buf, 0), sizeof buf);
        memset(buf, 0, sizeof buf);
        CHECK_EQ(hd_recv(fd, buf, sizeof buf, MSG_WAITALL), sizeof buf);
        for (size_t k = 0; k < sizeof buf; k++)
            CHECK_EQ(buf[k], (char)i);
    }
    CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    return NULL;
}

IO_TEST(threads_and_foreign_threads_talk, 2) {
    int ends[2];
    for (int i = 0; i < 2; i++) {
        make_pair(SOCK_STREAM, ends);
        hd_thread *t = spawn(i ? ask : echo, &ends[0]);
        pthread_t p = foreign(i ? echo : ask, &ends[1]);
        join(t);
        foreign_join(p);
        close_both(ends);
    }
    return 0;
}

/* ---- who else takes what poll() has promised ---- */

/* Takes the connection away that the runtime has just been told of, in its call. */
static _Atomic int steal_from = -1;

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
    struct timespec copy = timeout ? *timeout : (struct timespec){0, 0};
    int n = (int)syscall(SYS_ppoll, fds, count, timeout ? &copy : NULL, mask, 8);
    if (n > 0 && count == 1 && fds[0].fd >= 0 && fds[0].fd == atomic_load(&steal_from)) {
        int fd = accept(fds[0].fd, NULL, NULL);
        CHECK(fd >= 0);
        close(fd);
        atomic_store(&steal_from, -1);
    }
    return n;
}

static void *accept_one(void *arg) {
    int fd = hd_accept(*(int *)arg, NULL, NULL, 0);
    CHECK_GE(fd, 0);
    CHECK_OK(hd_close(fd));
    return arg;
}

/* A thread that is made to wait in the kernel does not keep the only worker from the others. */
IO_TEST(what_others_take_stops_nobody_else, 1) {
    struct sockaddr_in at;
    int l = make_listener(&at, 8);
    for (int i = 0; i < 5; i++) {
        int first, second;
        hd_thread *t = spawn(accept_one, &l);
        let_wait();
        atomic_store(&steal_from, l);
        CHECK_EQ(connect(first = make_client(), (struct sockaddr *)&at, sizeof at), 0);
        /* A ring accepts without being told. */
        struct hd_metrics m = HD_METRICS_INIT;
        CHECK_OK(hd_metrics_get(&m));
        if (strcmp(m.io_kind, "epoll") == 0)
            CHECK_SOON(atomic_load(&steal_from) == -1, 10000);
        atomic_store(&steal_from, -1);
        for (int k = 0; k < 10; k++)
            CHECK_OK(hd_sleep_for(MS));
        CHECK_EQ(connect(second = make_client(), (struct sockaddr *)&at, sizeof at), 0);
        CHECK_EQ(join(t), &l);
        close(first);
        close(second);
        int rest; /* what the ring did not need */
        while ((rest = hd_accept_until(l, NULL, NULL, 0, 0)) >= 0)
            CHECK_OK(hd_close(rest));
    }
    CHECK_OK(hd_close(l));
    return 0;
}

/* The runtime beside a host program: again and again, with I/O each time. */
static void *one_read(void *arg) {
    char c;
    CHECK_EQ(hd_read(*(int *)arg, &c, 1), 1);
    return NULL;
}

TEST(start_and_stop_with_io) {
    for (int i = 0; i < 10; i++) {
        int ends[2];
        hd_thread *t;
        make_pipe(ends);
        CHECK_OK(hd_start(HD_CONFIG(.workers = 2, .io = i % 2 ? HD_IO_EPOLL : HD_IO_AUTO)));
        CHECK_OK(hd_spawn(&t, NULL, one_read, &ends[0]));
        CHECK_EQ(hd_write(ends[1], "x", 1), 1);
        CHECK_OK(hd_join(t, NULL));
        CHECK_OK(hd_stop());
        close_both(ends);
    }
}
