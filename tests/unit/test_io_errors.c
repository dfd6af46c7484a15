/* SPDX-License-Identifier: MIT */
/* Input and output that fails as the system calls do; and what is counted. */
#include "io_test.h"

static void *close_later(void *arg) {
    let_wait();
    CHECK_OK(hd_close(*(int *)arg));
    return NULL;
}

IO_TEST(bad_descriptors, 2) {
    static const int bad[] = {-1, 1000000};
    char c = 0;
    struct iovec iov = {&c, 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct sockaddr_in at = {.sin_family = AF_INET};
    for (int i = 0; i < 2; i++) {
        int fd = bad[i];
        CHECK_ERR(hd_read(fd, &c, 1), -EBADF);
        CHECK_ERR(hd_write(fd, &c, 1), -EBADF);
        CHECK_ERR(hd_readv(fd, &iov, 1), -EBADF);
        CHECK_ERR(hd_writev(fd, &iov, 1), -EBADF);
        CHECK_ERR(hd_pread(fd, &c, 1, 0), -EBADF);
        CHECK_ERR(hd_pwrite(fd, &c, 1, 0), -EBADF);
        CHECK_ERR(hd_recv(fd, &c, 1, 0), -EBADF);
        CHECK_ERR(hd_send(fd, &c, 1, 0), -EBADF);
        CHECK_ERR(hd_recvmsg(fd, &msg, 0), -EBADF);
        CHECK_ERR(hd_sendmsg(fd, &msg, 0), -EBADF);
        CHECK_ERR(hd_accept(fd, NULL, NULL, 0), -EBADF);
        CHECK_ERR(hd_connect(fd, (struct sockaddr *)&at, sizeof at), -EBADF);
        CHECK_ERR(hd_openat(fd, "x", O_RDONLY, 0), -EBADF);
        CHECK_ERR(hd_fsync(fd), -EBADF);
        CHECK_ERR(hd_close(fd), -EBADF);
    }
    int ends[2];
    make_pipe(ends);
    CHECK_ERR(hd_read(ends[1], &c, 1), -EBADF); /* the wrong end */
    CHECK_ERR(hd_write(ends[0], &c, 1), -EBADF);
    CHECK_ERR(hd_recv(ends[0], &c, 1, 0), -ENOTSOCK);
    CHECK_ERR(hd_send(ends[1], &c, 1, 0), -ENOTSOCK);
    CHECK_ERR(hd_accept(ends[0], NULL, NULL, 0), -ENOTSOCK);
    CHECK_ERR(hd_fsync(ends[0]), -EINVAL);
    close_both(ends);
    int client = make_client();
    CHECK_ERR(hd_recv(client, &c, 1, 0), -ENOTCONN);
    CHECK_ERR(hd_accept(client, NULL, NULL, 0), -EINVAL);
    CHECK_OK(hd_close(client));
    return 0;
}

IO_TEST(closed_peers, 2) {
    char c = 0;
    int ends[2];
    signal(SIGPIPE, SIG_IGN);
    make_pipe(ends);
    CHECK_OK(hd_close(ends[0]));
    CHECK_ERR(hd_write(ends[1], &c, 1), -EPIPE);
    CHECK_OK(hd_close(ends[1]));
    make_pair(SOCK_STREAM, ends);
    CHECK_OK(hd_close(ends[0]));
    CHECK_ERR(hd_write(ends[1], &c, 1), -EPIPE);
    CHECK_ERR(hd_send(ends[1], &c, 1, 0), -EPIPE);
    CHECK_EQ(hd_recv(ends[1], &c, 1, 0), 0);
    CHECK_OK(hd_close(ends[1]));
    /* A reset. */
    make_connection(ends);
    struct linger abort_it = {1, 0};
    CHECK_EQ(setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &abort_it, sizeof abort_it), 0);
    hd_thread *t = spawn(close_later, &ends[0]);
    CHECK_ERR(hd_recv(ends[1], &c, 1, 0), -ECONNRESET);
    join(t);
    CHECK_EQ(hd_recv(ends[1], &c, 1, 0), 0);
    CHECK_OK(hd_close(ends[1]));
    return 0;
}

static _Atomic int signals;
static void count_signal(int sig) {
    (void)sig;
    atomic_fetch_add(&signals, 1);
}

/* As the system call: a signal unless it was asked for none. */
IO_TEST(sigpipe, 2) {
    char c = 0;
    int ends[2], pipe_ends[2];
    struct iovec iov = {&c, 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    signal(SIGPIPE, count_signal);
    make_pair(SOCK_STREAM, ends);
    make_pipe(pipe_ends);
    CHECK_OK(hd_close(ends[0]));
    CHECK_OK(hd_close(pipe_ends[0]));
    atomic_store(&signals, 0);
    CHECK_ERR(hd_send(ends[1], &c, 1, MSG_NOSIGNAL), -EPIPE);
    CHECK_EQ(atomic_load(&signals), 0);
    CHECK_ERR(hd_send(ends[1], &c, 1, 0), -EPIPE);
    CHECK_EQ(atomic_load(&signals), 1);
    CHECK_ERR(hd_sendmsg(ends[1], &msg, 0), -EPIPE);
    CHECK_EQ(atomic_load(&signals), 2);
    CHECK_ERR(hd_write(pipe_ends[1], &c, 1), -EPIPE);
    CHECK_EQ(atomic_load(&signals), 3);
    CHECK_ERR(hd_writev(pipe_ends[1], &iov, 1), -EPIPE);
    CHECK_EQ(atomic_load(&signals), 4);
    CHECK_OK(hd_close(ends[1]));
    CHECK_OK(hd_close(pipe_ends[1]));
    return 0;
}

IO_TEST(errno_stays, 2) {
    char c;
    errno = 77;
    CHECK_ERR(hd_read(-1, &c, 1), -EBADF);
    CHECK_ERR(hd_openat(AT_FDCWD, "/no/such/file", O_RDONLY, 0), -ENOENT);
    int ends[2];
    make_pipe(ends);
    CHECK_ERR(hd_read_until(ends[0], &c, 1, hd_now_ns() + 50 * MS), -ETIMEDOUT);
    close_both(ends);
    return 0;
}

/* A socket is connected once. */
IO_TEST(connected_before, 2) {
    struct sockaddr_in at;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int l = make_listener(&at, 8), ul = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof un;
    CHECK(ul >= 0);
    CHECK_EQ(bind(ul, (struct sockaddr *)&un, sizeof un.sun_family), 0);
    CHECK_EQ(listen(ul, 8), 0);
    CHECK_EQ(getsockname(ul, (struct sockaddr *)&un, &len), 0);
    for (int i = 0; i < 6; i++) {
        const struct sockaddr *to = i < 4 ? (struct sockaddr *)&at : (struct sockaddr *)&un;
        socklen_t size = i < 4 ? sizeof at : len;
        int fd = socket(to->sa_family, SOCK_STREAM | (i % 2 ? SOCK_NONBLOCK : 0), 0);
        CHECK(fd >= 0);
        if (i == 3) { /* begun by the program itself */
            int r = connect(fd, to, size);
            CHECK(r == 0 || errno == EINPROGRESS);
        }
        int r = hd_connect(fd, to, size);
        CHECK(r == 0 || (i == 3 && r == -EISCONN));
        CHECK_ERR(hd_connect(fd, to, size), -EISCONN);
        CHECK_ERR(hd_connect_until(fd, to, size, 0), -EISCONN);
        CHECK_OK(hd_close(fd));
    }
    /* Nobody listens there any more. */
    CHECK_OK(hd_close(l));
    for (int i = 0; i < 2; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | (i ? SOCK_NONBLOCK : 0), 0);
        CHECK_ERR(hd_connect(fd, (struct sockaddr *)&at, sizeof at), -ECONNREFUSED);
        CHECK_OK(hd_close(fd));
    }
    CHECK_OK(hd_close(ul));
    return 0;
}

/* ---- metrics ---- */

static struct hd_metrics metrics(void) {
    struct hd_metrics m = HD_METRICS_INIT;
    CHECK_OK(hd_metrics_get(&m));
    return m;
}

static int count_operations(void *arg) {
    const char *kind = arg;
    char c;
    int ends[2];
    struct hd_metrics before = metrics();
    CHECK_STR_EQ(before.io_kind, kind);
    make_pipe(ends);
    CHECK_ERR(hd_read_until(ends[0], &c, 1, hd_now_ns() + 50 * MS), -ETIMEDOUT);
    CHECK_EQ(hd_write(ends[1], "x", 1), 1);
    close_both(ends);
    struct addrinfo *list = NULL;
    if (hd_getaddrinfo("127.0.0.1", NULL, NULL, &list, NULL) == 0)
        freeaddrinfo(list);
    struct hd_metrics after = metrics();
    CHECK_EQ(after.io_submitted - before.io_submitted, 5);
    CHECK_EQ(after.io_cancelled - before.io_cancelled, 1);
    CHECK_EQ(after.io_helped - before.io_helped, 1);
    return 0;
}

TEST(operations_are_counted) {
    int err = test_under_valgrind()
                  ? -ENOSYS
                  : hd_run(HD_CONFIG(.io = HD_IO_URING), count_operations, (void *)"io_uring");
    CHECK(err == 0 || err == -ENOSYS || err == -EPERM);
    CHECK_OK(hd_run(HD_CONFIG(.io = HD_IO_EPOLL), count_operations, (void *)"epoll"));
}
