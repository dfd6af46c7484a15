/* SPDX-License-Identifier: MIT */
/* hd_close() of what others wait for: their waits end, and what comes after under the same number
 * is not theirs. */
#include "io_test.h"

/* ---- each call that can wait ---- */

static char full[1 << 16];

struct waiter {
    ssize_t (*call)(int fd);
    int fd;
    hd_thread *thread;
};

static ssize_t call_read(int fd) {
    char c;
    return hd_read(fd, &c, 1);
}
static ssize_t call_readv(int fd) {
    char c;
    struct iovec iov = {&c, 1};
    return hd_readv(fd, &iov, 1);
}
static ssize_t call_recv(int fd) {
    char c[10];
    return hd_recv(fd, c, sizeof c, 0);
}
static ssize_t call_recv_late(int fd) {
    char c[10];
    return hd_recv_until(fd, c, sizeof c, 0, hd_now_ns() + 3600000 * MS);
}
static ssize_t call_recvmsg(int fd) {
    char c;
    struct iovec iov = {&c, 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    return hd_recvmsg(fd, &msg, 0);
}
static ssize_t call_write(int fd) {
    return hd_write(fd, full, sizeof full);
}
static ssize_t call_send(int fd) {
    return hd_send(fd, full, sizeof full, 0);
}
static ssize_t call_accept(int fd) {
    return hd_accept(fd, NULL, NULL, 0);
}
static ssize_t call_poll(int fd) {
    struct pollfd p[2] = {{-1, POLLIN, 0}, {fd, POLLIN, 0}};
    CHECK_EQ(hd_poll(p, 2, HD_FOREVER), 1);
    CHECK_EQ(p[0].revents, 0);
    return p[1].revents == POLLNVAL ? -EBADF : p[1].revents;
}

static void *wait_there(void *arg) {
    struct waiter *w = arg;
    return (void *)w->call(w->fd);
}

static void fill(int fd) {
    set_nonblocking(fd);
    while (write(fd, full, sizeof full) > 0 || write(fd, full, 1) > 0) {
    }
    CHECK_EQ(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
}

/* Each twice at the same descriptor. */
static void close_under(int fd, ssize_t (*const calls[])(int fd), size_t n) {
    struct waiter w[16];
    CHECK_LE(n * 2, HD__COUNTOF(w));
    for (size_t i = 0; i < 2 * n; i++) {
        w[i] = (struct waiter){calls[i % n], fd, NULL};
        w[i].thread = spawn(wait_there, &w[i]);
    }
    let_wait();
    CHECK_OK(hd_close(fd));
    for (size_t i = 0; i < 2 * n; i++)
        CHECK_EQ((intptr_t)join(w[i].thread), -EBADF);
}

#define CLOSE_UNDER(fd, ...)                                                             \
    do {                                                                                 \
        static ssize_t (*const calls[])(int) = {__VA_ARGS__};                            \
        close_under((fd), calls, HD__COUNTOF(calls));                                    \
    } while (0)

IO_TEST(waits_at_pipes_end, 2) {
    int ends[2];
    make_pipe(ends);
    CLOSE_UNDER(ends[0], call_read, call_readv, call_poll);
    CHECK_OK(hd_close(ends[1]));
    make_pipe(ends);
    fill(ends[1]);
    CLOSE_UNDER(ends[1], call_write);
    CHECK_OK(hd_close(ends[0]));
    return 0;
}

IO_TEST(waits_at_sockets_end, 2) {
    int ends[2];
    make_pair(SOCK_STREAM, ends);
    CLOSE_UNDER(ends[0], call_read, call_readv, call_recv, call_recv_late, call_recvmsg, call_poll);
    CHECK_OK(hd_close(ends[1]));
    make_pair(SOCK_STREAM, ends);
    fill(ends[1]);
    CLOSE_UNDER(ends[1], call_write, call_send);
    CHECK_OK(hd_close(ends[0]));
    return 0;
}

/* The wait for which the kernel is not told anything. */
IO_TEST(waits_at_connections_end, 2) {
    for (int i = 0; i < 3; i++) {
        int ends[2];
        char text[10];
        make_connection(ends);
        for (int k = 0; k < 3; k++) {
            hd_thread *t = spawn(wait_there, &(struct waiter){call_recv, ends[1], NULL});
            let_wait();
            CHECK_EQ(hd_send(ends[0], "abc", 3, 0), 3);
            CHECK_EQ((intptr_t)join(t), 3);
        }
        CLOSE_UNDER(ends[1], call_recv, call_read, call_recv_late);
        CHECK_EQ(hd_recv(ends[0], text, sizeof text, 0), 0); /* it is closed indeed */
        CHECK_OK(hd_close(ends[0]));
    }
    return 0;
}

IO_TEST(accepting_ends, 2) {
    struct sockaddr_in at;
    int fd = make_listener(&at, 8);
    CLOSE_UNDER(fd, call_accept, call_poll);
    /* Nobody listens any more, or not for long: the kernel lets go of it a moment after a ring. */
    for (int err = 0; err == 0;) {
        int client = make_client();
        err = hd_connect(client, (struct sockaddr *)&at, sizeof at);
        CHECK(err == 0 || err == -ECONNREFUSED || err == -ECONNRESET);
        CHECK_OK(hd_close(client));
    }
    return 0;
}

static struct sockaddr_in deaf_at;

static ssize_t call_connect(int fd) {
    return hd_connect(fd, (struct sockaddr *)&deaf_at, sizeof deaf_at);
}

IO_TEST(connecting_ends, 2) {
    int listener = make_listener(&deaf_at, 0), clients[2];
    for (int i = 0; i < 2; i++) { /* its queue is full, so the kernel ignores whoever comes */
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(clients[i], (struct sockaddr *)&deaf_at, sizeof deaf_at);
    }
    struct waiter w = {call_connect, make_client(), NULL};
    hd_thread *t = spawn(wait_there, &w);
    let_wait();
    CHECK_OK(hd_close(w.fd));
    CHECK_EQ((intptr_t)join(t), -EBADF);
    close_both(clients);
    CHECK_OK(hd_close(listener));
    return 0;
}

/* ---- by a foreign kernel thread ---- */

static void close_outside(int kind) {
    int ends[2], listener, err;
    struct sockaddr_in at;
    if (kind == HD_IO_URING && test_under_valgrind())
        SKIP("Valgrind does not see what the kernel writes through a ring");
    err = hd_start(HD_CONFIG(.workers = 2, .io = kind));
    if (kind == HD_IO_URING && (err == -ENOSYS || err == -EPERM || err == -EACCES))
        SKIP("io_uring is refused here (error %d)", err);
    CHECK_OK(err);
    make_pair(SOCK_STREAM, ends);
    CLOSE_UNDER(ends[0], call_read, call_recv, call_poll);
    CHECK_OK(hd_close(ends[1]));
    make_pipe(ends);
    CLOSE_UNDER(ends[0], call_read, call_readv);
    CHECK_OK(hd_close(ends[1]));
    listener = make_listener(&at, 8);
    CLOSE_UNDER(listener, call_accept);
    CHECK_OK(hd_stop());
    make_pipe(ends);
    close_both(ends); /* and without a runtime */
}

TEST(closing_outside_ends_waits_by_uring) {
    close_outside(HD_IO_URING);
}

TEST(closing_outside_ends_waits_by_epoll) {
    close_outside(HD_IO_EPOLL);
}

/* ---- the number's next file ---- */

/* Numbers that nobody else takes: the runtime opens files of its own at any time. */
enum { OWN_NUMBER = 600 };

static void make_ends(bool sockets, int number, int ends[2]) {
    int made[2];
    if (sockets)
        make_pair(SOCK_STREAM, made);
    else
        make_pipe(made);
    CHECK_EQ(dup3(made[0], number, O_CLOEXEC), number);
    CHECK_OK(hd_close(made[0]));
    ends[0] = number;
    ends[1] = made[1];
}

static _Atomic bool begun;

static void *begin_there(void *arg) {
    atomic_store(&begun, true);
    return wait_there(arg);
}

/* On the only worker, and without time slices: the reader has begun to wait when it lets us run.
 * What it asked for has perhaps not reached the kernel yet. */
static void reuse_at_once(ssize_t (*call)(int fd), bool sockets) {
    for (int i = 0; i < 100; i++) {
        int ends[2], next[2];
        char c;
        make_ends(sockets, OWN_NUMBER, ends);
        struct waiter w = {call, ends[0], NULL};
        atomic_store(&begun, false);
        hd_thread *t = spawn(begin_there, &w);
        while (!atomic_load(&begun))
            hd_yield();
        if (i % 2)
            hd_sleep_for(MS / 10);
        CHECK_OK(hd_close(ends[0]));
        make_ends(sockets, OWN_NUMBER, next);
        CHECK_EQ(write(next[1], "!", 1), 1);
        CHECK_EQ((intptr_t)join(t), -EBADF);
        CHECK_EQ(hd_read(next[0], &c, 1), 1);
        CHECK_EQ(c, '!');
        close_both(next);
        CHECK_OK(hd_close(ends[1]));
    }
}

IO_TEST(what_comes_next_is_not_taken, 1) {
    CHECK_OK(hd_slice_set(HD_SLICE_NONE));
    reuse_at_once(call_read, false);
    reuse_at_once(call_readv, false);
    reuse_at_once(call_read, true);
    reuse_at_once(call_recv, true);
    return 0;
}

/* ---- closing while others begin ---- */

struct race {
    int fd;
    hd_waitgroup ended;
};

static void *read_until_closed(void *arg) {
    struct race *r = arg;
    char c[4];
    ssize_t n;
    do
        n = hd_read(r->fd, c, sizeof c);
    while (n > 0);
    CHECK_EQ(n, -EBADF);
    hd_waitgroup_done(&r->ended);
    return NULL;
}

/* Of each a byte, and the bytes end with the close: no reader may be left waiting. */
static void close_among_readers(bool sockets, unsigned rounds) {
    enum { READERS = 6 };
    if (TEST_TSAN)
        SKIP("ThreadSanitizer calls it a race, which it is: the number may be another file's");
    struct test_rng rng = test_rng(7);
    for (unsigned i = 0; i < rounds; i++) {
        struct race r = {.ended = HD_WAITGROUP_INIT};
        hd_thread *t[READERS];
        int ends[2];
        make_ends(sockets, OWN_NUMBER, ends);
        r.fd = ends[0];
        hd_waitgroup_add(&r.ended, READERS);
        for (int k = 0; k < READERS; k++)
            t[k] = spawn(read_until_closed, &r);
        for (uint64_t k = test_rng_below(&rng, 6); k > 0; k--) {
            CHECK_EQ(hd_write(ends[1], "x", 1), 1);
            if (test_rng_below(&rng, 2))
                hd_yield();
        }
        CHECK_OK(hd_close(ends[0]));
        hd_waitgroup_wait(&r.ended);
        for (int k = 0; k < READERS; k++)
            join(t[k]);
        CHECK_OK(hd_close(ends[1]));
    }
}

IO_TEST(nobody_is_left_waiting_at_pipes, 2) {
    close_among_readers(false, (unsigned)test_iterations(150));
    return 0;
}

IO_TEST(nobody_is_left_waiting_at_sockets, 2) {
    close_among_readers(true, (unsigned)test_iterations(150));
    return 0;
}
