/* SPDX-License-Identifier: MIT */
/* What the tests of input and output share: each runs twice, with io_uring and with epoll. */
#ifndef HEDDLE_TEST_IO_TEST_H
#define HEDDLE_TEST_IO_TEST_H

#include "runtime_test.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/un.h>

static inline void io_test_run(int kind, unsigned workers, int (*fn)(void *)) {
    if (kind == HD_IO_URING && test_under_valgrind())
        SKIP("Valgrind does not see what the kernel writes through a ring");
    int err = hd_run(HD_CONFIG(.workers = workers, .io = kind), fn, NULL);
    if (kind == HD_IO_URING && (err == -ENOSYS || err == -EPERM || err == -EACCES))
        SKIP("io_uring is refused here (error %d)", err);
    CHECK_OK(err);
}

#define IO_TEST(name, worker_count)                                  \
    static int main_of_##name(void *arg);                            \
    TEST(name##_by_uring) {                                          \
        io_test_run(HD_IO_URING, worker_count, main_of_##name);      \
    }                                                                \
    TEST(name##_by_epoll) {                                          \
        io_test_run(HD_IO_EPOLL, worker_count, main_of_##name);      \
    }                                                                \
    static int main_of_##name(void *arg __attribute__((unused)))

/* The end that is read from, the end that is written to. */
static inline void make_pipe(int ends[2]) {
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
}

static inline void make_pair(int type, int ends[2]) {
    CHECK_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
}

static inline void close_both(int ends[2]) {
    CHECK_OK(hd_close(ends[0]));
    CHECK_OK(hd_close(ends[1]));
}

static inline void set_nonblocking(int fd) {
    CHECK_EQ(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

/* A TCP socket that listens on the loopback interface, and its address. */
static inline int make_listener(struct sockaddr_in *at, int backlog) {
    socklen_t len = sizeof *at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_EQ(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
    CHECK_EQ(listen(fd, backlog), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)at, &len), 0);
    return fd;
}

static inline int make_client(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    return fd;
}

/* Two connected TCP sockets. */
static inline void make_connection(int ends[2]) {
    struct sockaddr_in at;
    int listener = make_listener(&at, 8);
    ends[0] = make_client();
    CHECK_OK(hd_connect(ends[0], (struct sockaddr *)&at, sizeof at));
    ends[1] = hd_accept(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK_GE(ends[1], 0);
    CHECK_OK(hd_close(listener));
}

/* A file without a name. */
static inline int make_file(void) {
    char name[] = "/tmp/heddle-test-XXXXXX";
    int fd = mkostemp(name, O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(unlink(name), 0);
    return fd;
}

#endif
