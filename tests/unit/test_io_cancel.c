/* SPDX-License-Identifier: MIT */
/* Calls that are given up: by interruption and by deadline. The kernel must be done with them. */
#include "io_test.h"

#include <sys/resource.h>

/* ---- every call that can wait, at something that never comes ---- */

static int quiet_pipe[2], full_pipe[2], quiet_pair[2], full_pair[2], listener, deaf_listener;
static struct sockaddr_in deaf_at;
static hd_sem ready;
static pid_t child;

static char buffer[1 << 16];
static struct iovec iov = {buffer, sizeof buffer};

static ssize_t wait_read(uint64_t d) {
    return hd_read_until(quiet_pipe[0], buffer, 1, d);
}
static ssize_t wait_readv(uint64_t d) {
    return hd_readv_until(quiet_pipe[0], &iov, 1, d);
}
static ssize_t wait_write(uint64_t d) {
    return hd_write_until(full_pipe[1], buffer, sizeof buffer, d);
}
static ssize_t wait_writev(uint64_t d) {
    return hd_writev_until(full_pair[1], &iov, 1, d);
}
static ssize_t wait_recv(uint64_t d) {
    return hd_recv_until(quiet_pair[0], buffer, 1, 0, d);
}
static ssize_t wait_recv_all(uint64_t d) {
    return hd_recv_until(quiet_pair[0], buffer, 10, MSG_WAITALL, d);
}
static ssize_t wait_read_socket(uint64_t d) {
    return hd_read_until(quiet_pair[0], buffer, 1, d);
}
static ssize_t wait_recvmsg(uint64_t d) {
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    return hd_recvmsg_until(quiet_pair[0], &msg, 0, d);
}
static ssize_t wait_send(uint64_t d) {
    return hd_send_until(full_pair[1], buffer, sizeof buffer, 0, d);
}
static ssize_t wait_sendmsg(uint64_t d) {
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    return hd_sendmsg_until(full_pair[1], &msg, 0, d);
}
static ssize_t wait_accept(uint64_t d) {
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    return hd_accept_until(listener, (struct sockaddr *)&at, &len, 0, d);
}
static ssize_t wait_connect(uint64_t d) {
    int fd = make_client();
    ssize_t r = hd_connect_until(fd, (struct sockaddr *)&deaf_at, sizeof deaf_at, d);
    CHECK_OK(hd_close(fd));
    return r;
}
static ssize_t wait_poll_one(uint64_t d) {
    struct pollfd p = {quiet_pipe[0], POLLIN, 0};
    return hd_poll(&p, 1, d);
}
static ssize_t wait_poll_two(uint64_t d) {
    struct pollfd p[2] = {{quiet_pipe[0], POLLIN, 0}, {full_pipe[1], POLLOUT, 0}};
    return hd_poll(p, 2, d);
}
static ssize_t wait_poll_none(uint64_t d) {
    return hd_poll(NULL, 0, d);
}
static ssize_t wait_child(uint64_t d) {
    int status;
    return hd_waitpid_until(child, &status, 0, d);
}
static ssize_t wait_any_child(uint64_t d) {
    int status;
    return hd_waitpid_until(-1, &status, 0, d);
}

static const struct {
    const char *name;
    ssize_t (*wait)(uint64_t deadline_ns);
    ssize_t at_deadline;
} waits[] = {
    {"read", wait_read, -ETIMEDOUT},         {"readv", wait_readv, -ETIMEDOUT},
    {"write", wait_write, -ETIMEDOUT},       {"writev", wait_writev, -ETIMEDOUT},
    {"recv", wait_recv, -ETIMEDOUT},         {"recv all", wait_recv_all, -ETIMEDOUT},
    {"read socket", wait_read_socket, -ETIMEDOUT},
    {"recvmsg", wait_recvmsg, -ETIMEDOUT},   {"send", wait_send, -ETIMEDOUT},
    {"sendmsg", wait_sendmsg, -ETIMEDOUT},   {"accept", wait_accept, -ETIMEDOUT},
    {"connect", wait_connect, -ETIMEDOUT},   {"poll of one", wait_poll_one, 0},
    {"poll of two", wait_poll_two, 0},       {"poll of none", wait_poll_none, 0},
    {"waitpid", wait_child, -ETIMEDOUT},     {"waitpid of any", wait_any_child, -ETIMEDOUT},
};
enum { WAITS = sizeof waits / sizeof waits[0] };

static void fill(int fd) {
    set_nonblocking(fd);
    while (write(fd, buffer, sizeof buffer) > 0 || write(fd, buffer, 1) > 0) {
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
}

static int deaf_clients[2];

static void set_up(void) {
    struct sockaddr_in at;
    make_pipe(quiet_pipe);
    make_pipe(full_pipe);
    make_pair(SOCK_STREAM, quiet_pair);
    make_pair(SOCK_STREAM, full_pair);
    fill(full_pipe[1]);
    fill(full_pair[1]);
    listener = make_listener(&at, 8);
    /* Whose queue is full, so that the kernel ignores whoever wants to connect. */
    deaf_listener = make_listener(&deaf_at, 0);
    for (int i = 0; i < 2; i++) {
        deaf_clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(deaf_clients[i], (struct sockaddr *)&deaf_at, sizeof deaf_at);
    }
}

static void tear_down(void) {
    close_both(quiet_pipe);
    close_both(full_pipe);
    close_both(quiet_pair);
    close_both(full_pair);
    close_both(deaf_clients);
    CHECK_OK(hd_close(listener));
    CHECK_OK(hd_close(deaf_listener));
}

/* Forked before there are threads. */
static void run_with_child(int kind, int (*fn)(void *)) {
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    io_test_run(kind, 2, fn);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

#define CANCEL_TEST(name)                                      \
    static int main_of_##name(void *arg);                      \
    TEST_WITHIN(name##_by_uring, 60) {                         \
        run_with_child(HD_IO_URING, main_of_##name);           \
    }                                                          \
    TEST_WITHIN(name##_by_epoll, 60) {                         \
        run_with_child(HD_IO_EPOLL, main_of_##name);           \
    }                                                          \
    static int main_of_##name(void *arg __attribute__((unused)))

struct one_wait {
    unsigned index;
    bool pending;
    uint64_t deadline_ns;
};

static void *wait_and_say(void *arg) {
    const struct one_wait *one = arg;
    if (one->pending)
        hd_interrupt(hd_self());
    hd_sem_post(&ready);
    ssize_t r = waits[one->index].wait(one->deadline_ns);
    CHECK_OK(hd_sleep_for(MS / 10)); /* interrupted once only */
    return (void *)(intptr_t)r;
}

CANCEL_TEST(interruption_ends_the_present_wait) {
    set_up();
    for (unsigned i = 0; i < 2 * WAITS; i++) {
        struct one_wait one = {i / 2, false, i % 2 ? HD_FOREVER : hd_now_ns() + 60000 * MS};
        test_note("%s", waits[one.index].name);
        hd_thread *t = spawn(wait_and_say, &one);
        CHECK_OK(hd_sem_wait(&ready));
        let_wait();
        CHECK_OK(hd_interrupt(t));
        CHECK_EQ((intptr_t)join(t), -EINTR);
    }
    tear_down();
    return 0;
}

CANCEL_TEST(interruption_ends_the_next_wait) {
    set_up();
    for (unsigned i = 0; i < 2 * WAITS; i++) {
        struct one_wait one = {i / 2, true, i % 2 ? HD_FOREVER : hd_now_ns() + 60000 * MS};
        test_note("%s", waits[one.index].name);
        CHECK_EQ((intptr_t)join(spawn(wait_and_say, &one)), -EINTR);
        CHECK_OK(hd_sem_wait(&ready));
    }
    tear_down();
    return 0;
}

CANCEL_TEST(deadlines) {
    set_up();
    for (unsigned i = 0; i < 3 * WAITS; i++) {
        unsigned w = i / 3;
        uint64_t deadline_ns = i % 3 == 0 ? 0 : i % 3 == 1 ? 1 : hd_now_ns() + 2 * MS;
        test_note("%s", waits[w].name);
        CHECK_EQ(waits[w].wait(deadline_ns), waits[w].at_deadline);
        CHECK_GE(hd_now_ns(), deadline_ns);
    }
    tear_down();
    return 0;
}

/* ---- what has to be done does not wait, and minds neither ---- */

IO_TEST(what_need_not_wait_is_done, 2) {
    struct sockaddr_in at;
    char c = 0;
    int pipes[2], pair[2], server, client = make_client();
    int l = make_listener(&at, 8);
    make_pipe(pipes);
    make_pair(SOCK_STREAM, pair);
    for (int i = 0; i < 3; i++) {
        test_note("round %d", i);
        uint64_t d = i == 1 ? 0 : i == 2 ? 1 : HD_FOREVER;
        if (i == 0)
            hd_interrupt(hd_self());
        CHECK_EQ(hd_write_until(pipes[1], "a", 1, d), 1);
        CHECK_EQ(hd_read_until(pipes[0], &c, 1, d), 1);
        CHECK_EQ(hd_send_until(pair[1], "bc", 2, 0, d), 2);
        CHECK_EQ(hd_recv_until(pair[0], &c, 1, 0, d), 1);
        CHECK_EQ(hd_read_until(pair[0], &c, 1, d), 1);
        struct pollfd p[2] = {{pair[1], POLLIN | POLLOUT, 0}, {pair[0], POLLIN, 0}};
        CHECK_EQ(hd_poll(p, 2, d), 1);
        CHECK_EQ(hd_poll(p, 1, d), 1);
        CHECK_EQ(p[0].revents, POLLOUT);
        CHECK_OK(hd_close(client));
        client = make_client();
        if (i == 0)
            CHECK_ERR(hd_sleep_for(60000 * MS), -EINTR); /* it is still pending */
        CHECK_OK(hd_connect(client, (struct sockaddr *)&at, sizeof at));
        hd_sleep_for(MS);
        if (i == 0)
            hd_interrupt(hd_self());
        server = hd_accept_until(l, NULL, NULL, 0, d);
        CHECK_GE(server, 0);
        if (i == 0)
            CHECK_ERR(hd_sleep_for(60000 * MS), -EINTR);
        CHECK_OK(hd_close(server));
    }
    close_both(pipes);
    close_both(pair);
    CHECK_OK(hd_close(client));
    CHECK_OK(hd_close(l));
    return 0;
}

/* ---- a deadline that is past: the same by all ways ---- */

struct outcome {
    const char *call;
    ssize_t result;
};

struct outcomes {
    unsigned count;
    struct outcome of[64];
};

#define NOTE(o, expr) ((o)->of[(o)->count++] = (struct outcome){#expr, expr})

static void past_at_files(struct outcomes *o, uint64_t d) {
    char buf[8], name[64];
    struct iovec v = {buf, sizeof buf};
    int fd = make_file();
    CHECK_EQ(write(fd, "abcdef", 6), 6);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    NOTE(o, hd_read_until(fd, buf, 2, d));
    NOTE(o, hd_readv_until(fd, &v, 1, d));
    NOTE(o, hd_read_until(fd, buf, 2, d));
    NOTE(o, hd_pread_until(fd, buf, 3, 1, d));
    NOTE(o, hd_pwrite_until(fd, "xy", 2, 0, d));
    NOTE(o, hd_write_until(fd, "xyz", 3, d));
    NOTE(o, hd_writev_until(fd, &(struct iovec){(char *)"z", 1}, 1, d));
    NOTE(o, hd_fsync_until(fd, d));
    snprintf(name, sizeof name, "/tmp/heddle-test-none-%d", (int)getpid());
    CHECK_ERR(hd_openat_until(AT_FDCWD, name, O_RDWR | O_CREAT, 0600, d), -ETIMEDOUT);
    CHECK_EQ(access(name, F_OK), -1); /* it was not begun */
    CHECK_OK(hd_close(fd));
}

/* What is there is taken, though nobody has looked yet. */
static void past_at_sockets(struct outcomes *o, uint64_t d) {
    char buf[8];
    int ends[2];
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    socklen_t len = sizeof un;
    for (int tcp = 0; tcp < 2; tcp++) {
        if (tcp)
            make_connection(ends);
        else
            make_pair(SOCK_STREAM, ends);
        for (int i = 0; i < 10; i++) {
            CHECK_ERR(hd_recv_until(ends[0], buf, sizeof buf, 0, d), -ETIMEDOUT);
            CHECK_EQ(send(ends[1], "abc", 3, 0), 3);
            if (i % 2) let_wait();
            if (i == 5) hd_interrupt(hd_self());
            if (i % 3)
                CHECK_EQ(hd_recv_until(ends[0], buf, sizeof buf, 0, d), 3);
            else
                CHECK_EQ(hd_recv(ends[0], buf, sizeof buf, 0), 3);
            if (i == 5) CHECK_ERR(hd_recv_until(ends[0], buf, 1, 0, d), -EINTR);
        }
        NOTE(o, hd_send_until(ends[0], "abc", 3, 0, d));
        NOTE(o, hd_recv_until(ends[1], buf, 4, MSG_WAITALL, d));
        close_both(ends);
    }
    int fd = make_client(), l = socket(AF_UNIX, SOCK_STREAM, 0);
    NOTE(o, hd_connect_until(fd, (struct sockaddr *)&deaf_at, sizeof deaf_at, d));
    CHECK_OK(hd_close(fd));
    CHECK_EQ(bind(l, (struct sockaddr *)&un, sizeof un.sun_family), 0);
    CHECK_EQ(listen(l, 8), 0);
    CHECK_EQ(getsockname(l, (struct sockaddr *)&un, &len), 0);
    NOTE(o, hd_accept_until(l, NULL, NULL, 0, d));
    CHECK_GE(fd = socket(AF_UNIX, SOCK_STREAM, 0), 0);
    NOTE(o, hd_connect_until(fd, (struct sockaddr *)&un, len, d));
    int server = hd_accept_until(l, NULL, NULL, 0, d);
    CHECK_GE(server, 0);
    CHECK_OK(hd_close(server));
    CHECK_OK(hd_close(fd));
    CHECK_OK(hd_close(l));
}

static int note_outcomes(void *arg) {
    struct outcomes *o = arg;
    set_up();
    for (int i = 0; i < 3; i++) {
        uint64_t d = i == 0 ? 0 : i == 1 ? 1 : hd_now_ns() - 1;
        o->count = 0;
        past_at_files(o, d);
        past_at_sockets(o, d);
    }
    tear_down();
    return 0;
}

static void *note_foreign(void *arg) {
    past_at_files(arg, 0);
    return NULL;
}

TEST(past_deadlines_are_the_same_by_all_ways) {
    static struct outcomes by_epoll, by_ring, foreign_ones;
    int err = hd_run(HD_CONFIG(.workers = 2, .io = HD_IO_EPOLL), note_outcomes, &by_epoll);
    CHECK_OK(err);
    foreign_join(foreign(note_foreign, &foreign_ones));
    for (unsigned i = 0; i < foreign_ones.count; i++) {
        test_note("%s", by_epoll.of[i].call);
        CHECK_EQ(by_epoll.of[i].result, foreign_ones.of[i].result);
    }
    err = hd_run(HD_CONFIG(.workers = 2, .io = HD_IO_URING), note_outcomes, &by_ring);
    if (err == -ENOSYS || err == -EPERM || test_under_valgrind())
        SKIP("no io_uring here (error %d)", err);
    CHECK_EQ(by_epoll.count, by_ring.count);
    for (unsigned i = 0; i < by_ring.count; i++) {
        test_note("%s: %zd", by_epoll.of[i].call, by_epoll.of[i].result);
        CHECK_EQ(by_epoll.of[i].result, by_ring.of[i].result);
    }
}

/* ---- the buffer is the caller's again ---- */

struct given_up {
    ssize_t (*receive)(int fd, void *buf, size_t n, uint64_t deadline_ns);
    int fd;
};

static ssize_t by_read(int fd, void *buf, size_t n, uint64_t d) {
    return hd_read_until(fd, buf, n, d);
}
static ssize_t by_readv(int fd, void *buf, size_t n, uint64_t d) {
    struct iovec v = {buf, n};
    return hd_readv_until(fd, &v, 1, d);
}
static ssize_t by_recv(int fd, void *buf, size_t n, uint64_t d) {
    return hd_recv_until(fd, buf, n, 0, d);
}

static void *give_up(void *arg) {
    const struct given_up *g = arg;
    unsigned char buf[64];
    memset(buf, 0xaa, sizeof buf);
    hd_sem_post(&ready);
    ssize_t r = g->receive(g->fd, buf, sizeof buf, HD_FOREVER);
    CHECK_EQ(r, -EINTR);
    hd_sem_post(&ready);
    for (int i = 0; i < 10; i++) {
        hd_sleep_for(MS / 5);
        for (size_t k = 0; k < sizeof buf; k++)
            CHECK_EQ(buf[k], 0xaa);
    }
    return NULL;
}

IO_TEST(buffers_are_left_alone, 2) {
    static ssize_t (*const ways[])(int, void *, size_t, uint64_t) = {by_read, by_readv, by_recv};
    char buf[64];
    for (unsigned i = 0; i < 5; i++) {
        int ends[2];
        if (i < 2)
            make_pipe(ends);
        else
            make_pair(SOCK_STREAM, ends);
        struct given_up g = {ways[i < 2 ? i : i - 2], ends[0]};
        hd_thread *t = spawn(give_up, &g);
        CHECK_OK(hd_sem_wait(&ready));
        let_wait();
        hd_interrupt(t);
        CHECK_OK(hd_sem_wait(&ready));
        CHECK_EQ(hd_write(ends[1], "here", 4), 4);
        join(t);
        CHECK_EQ(hd_read(ends[0], buf, sizeof buf), 4); /* nothing is lost */
        close_both(ends);
    }
    return 0;
}

/* ---- interruption at the moment of completion ---- */

struct race {
    int fd;
    struct test_rng rng;
};

static void *receive_in_race(void *arg) {
    struct race *r = arg;
    bool interrupted = false, got = false;
    hd_sem_post(&ready);
    while (!interrupted || !got) {
        char c[2] = {0, 'x'};
        uint64_t d = hd_now_ns() + test_rng_below(&r->rng, MS / 20);
        ssize_t n = test_rng_below(&r->rng, 2) ? hd_read_until(r->fd, c, 1, d)
                                               : hd_recv_until(r->fd, c, 1, 0, d);
        CHECK_EQ(c[1], 'x');
        if (n == 1) {
            CHECK(!got && c[0] == '!');
            got = true;
        } else if (n == -EINTR) {
            CHECK(!interrupted);
            interrupted = true;
        } else {
            CHECK_EQ(n, -ETIMEDOUT);
            CHECK_EQ(c[0], 0);
            if (got) /* nothing else to come: the interruption is there, or will be */
                hd_yield();
        }
    }
    return NULL;
}

IO_TEST(one_of_three_wins, 2) {
    for (unsigned long i = 0; i < test_iterations(300); i++) {
        int ends[2];
        make_pair(SOCK_STREAM, ends);
        struct race r = {ends[0], test_rng(i)};
        struct test_rng rng = test_rng(i + 1000000);
        hd_thread *t = spawn(receive_in_race, &r);
        CHECK_OK(hd_sem_wait(&ready));
        bool first = test_rng_below(&rng, 2);
        for (volatile uint64_t n = test_rng_below(&rng, 5000); n > 0; n--) {
        }
        if (first)
            hd_interrupt(t);
        CHECK_EQ(hd_write(ends[1], "!", 1), 1);
        if (!first)
            hd_interrupt(t);
        join(t);
        close_both(ends);
    }
    return 0;
}

/* A connection that was accepted is returned, interruption or not. */
static void *accept_in_race(void *arg) {
    const struct race *r = arg;
    bool interrupted = false;
    int fd = -1;
    hd_sem_post(&ready);
    while (!interrupted || fd < 0) {
        int got = interrupted && fd >= 0 ? -1 : hd_accept_until(r->fd, NULL, NULL, 0,
                                                                fd < 0 ? HD_FOREVER
                                                                       : hd_now_ns() + MS);
        if (got >= 0) {
            CHECK_EQ(fd, -1);
            fd = got;
        } else if (got == -EINTR) {
            interrupted = true;
        }
    }
    CHECK_OK(hd_close(fd));
    return NULL;
}

IO_TEST(no_connection_is_lost, 2) {
    struct sockaddr_in at;
    int l = make_listener(&at, 64);
    for (unsigned long i = 0; i < test_iterations(200); i++) {
        struct race r = {.fd = l};
        struct test_rng rng = test_rng(i + 2000000);
        hd_thread *t = spawn(accept_in_race, &r);
        int client = make_client();
        CHECK_OK(hd_sem_wait(&ready));
        bool first = test_rng_below(&rng, 2);
        if (first)
            hd_interrupt(t);
        CHECK_OK(hd_connect(client, (struct sockaddr *)&at, sizeof at));
        if (!first)
            hd_interrupt(t);
        join(t);
        CHECK_OK(hd_close(client));
    }
    CHECK_OK(hd_close(l));
    return 0;
}

/* ---- threads that wait for ever when the runtime stops ---- */

static void *wait_for_ever(void *arg) {
    char buf[64];
    (void)!hd_read(*(int *)arg, buf, sizeof buf);
    FAIL("it was not to return");
    return NULL;
}

static int left_ends[2];

static int leave_them(void *arg) {
    (void)arg;
    for (int i = 0; i < 20; i++)
        CHECK_OK(hd_spawn(NULL, NULL, wait_for_ever, &left_ends[0]));
    let_wait();
    return 0;
}

TEST(detached_threads_are_discarded) {
    static const int kinds[] = {HD_IO_EPOLL, HD_IO_AUTO};
    char c = 0;
    for (int i = 0; i < 2; i++) {
        make_pipe(left_ends);
        CHECK_OK(hd_run(HD_CONFIG(.workers = 2, .io = kinds[i]), leave_them, NULL));
        /* Nobody reads any more. */
        CHECK_EQ(write(left_ends[1], "x", 1), 1);
        CHECK_EQ(read(left_ends[0], &c, 1), 1);
        close(left_ends[0]);
        close(left_ends[1]);
    }
}
