/* SPDX-License-Identifier: MIT */
/* Input and output under interruption and deadlines: no byte is lost, doubled or out of order, no
 * buffer is written after its call has returned, no connection and no descriptor is lost. */
#include "crew.h"

#include "io/ready.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TESTS = 7 };

#define IO_STRESS_TEST(name)                                                                     \
    static int main_of_##name(void *arg);                                                        \
    static void run_##name(int kind) {                                                           \
        struct test_rng rng = test_rng(0);                                                       \
        unsigned workers = 1 + (unsigned)test_rng_below(&rng, 2);                                \
        test_note("%u workers", workers);                                                        \
        int err = hd_run(HD_CONFIG(.workers = workers, .io = kind), main_of_##name, NULL);       \
        if (kind == HD_IO_URING && (err == -ENOSYS || err == -EPERM))                            \
            SKIP("io_uring is refused here (error %d)", err);                                    \
        CHECK_OK(err);                                                                           \
    }                                                                                            \
    TEST_WITHIN(name##_by_uring, 60) {                                                           \
        run_##name(HD_IO_URING);                                                                 \
    }                                                                                            \
    TEST_WITHIN(name##_by_epoll, 60) {                                                           \
        run_##name(HD_IO_EPOLL);                                                                 \
    }                                                                                            \
    static int main_of_##name(void *arg __attribute__((unused)))

/* A deadline that is often about when the data comes. */
static uint64_t deadline(struct crew_member *m) {
    switch (test_rng_below(&m->rng, 4)) {
    case 0:
        return test_rng_below(&m->rng, 2);
    case 1:
        return hd_now_ns() + test_rng_below(&m->rng, 1000000);
    default:
        return hd_now_ns() + test_rng_below(&m->rng, 50000);
    }
}

/* Two TCP sockets. */
static void connect_pair(int ends[2]) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int l = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(bind(l, (struct sockaddr *)&at, sizeof at), 0);
    CHECK_EQ(listen(l, 1), 0);
    CHECK_EQ(getsockname(l, (struct sockaddr *)&at, &len), 0);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_OK(hd_connect(ends[0], (struct sockaddr *)&at, sizeof at));
    CHECK_GE(ends[1] = hd_accept(l, NULL, NULL, 0), 0);
    close(l);
}

/* ---- streams ---- */

enum { STREAMS = 4, MOST = 3000, RETIRED = 16, POISON = 0x5a };

struct stream {
    int ends[2];
    _Atomic bool finished;
    _Atomic uint64_t sent, received;
};

static unsigned char byte_at(uint64_t i) {
    return (unsigned char)(i * 2654435761u >> 24);
}

static ssize_t send_some(struct crew_member *m, int fd, unsigned char *data, size_t n,
                         uint64_t d) {
    struct iovec iov[2] = {{data, n / 3}, {data + n / 3, n - n / 3}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    switch (test_rng_below(&m->rng, 4)) {
    case 0:
        return hd_write_until(fd, data, n, d);
    case 1:
        return hd_writev_until(fd, iov, 2, d);
    case 2:
        return hd_sendmsg_until(fd, &msg, 0, d);
    default:
        return hd_send_until(fd, data, n, 0, d);
    }
}

static void write_stream(struct crew_member *m, struct stream *s) {
    unsigned char *data = malloc(MOST);
    uint64_t at = 0;
    while (crew_goes_on(m)) {
        size_t n = 1 + test_rng_below(&m->rng, MOST);
        for (size_t i = 0; i < n; i++)
            data[i] = byte_at(at + i);
        ssize_t r = send_some(m, s->ends[1], data, n, deadline(m));
        if (r < 0)
            CHECK(r == -ETIMEDOUT || r == -EINTR);
        else
            at += (uint64_t)r;
        if (crew_chance(m, 8))
            hd_sleep_for(test_rng_below(&m->rng, 100000));
    }
    atomic_store(&s->sent, at);
    CHECK_EQ(shutdown(s->ends[1], SHUT_WR), 0);
    free(data);
}

static ssize_t receive_some(struct crew_member *m, int fd, unsigned char *data, size_t n,
                            uint64_t d) {
    struct iovec iov[2] = {{data, n / 2}, {data + n / 2, n - n / 2}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    switch (test_rng_below(&m->rng, 5)) {
    case 0:
        return hd_read_until(fd, data, n, d);
    case 1:
        return hd_readv_until(fd, iov, 2, d);
    case 2:
        return hd_recvmsg_until(fd, &msg, 0, d);
    case 3:
        return hd_recv_until(fd, data, n < 100 ? n : 100, MSG_WAITALL, d);
    default:
        return hd_recv_until(fd, data, n, 0, d);
    }
}

/* Buffers rest, poisoned, after the call that used them: a late write shows at the next use. */
static void read_stream(struct crew_member *m, struct stream *s) {
    unsigned char *buffers = malloc(RETIRED * MOST);
    memset(buffers, POISON, RETIRED * MOST);
    uint64_t at = 0;
    for (unsigned turn = 0;; turn++) {
        unsigned char *buf = buffers + turn % RETIRED * MOST;
        size_t n = 1 + test_rng_below(&m->rng, MOST);
        for (size_t i = 0; i < MOST; i++)
            CHECK_EQ(buf[i], POISON);
        ssize_t r = receive_some(m, s->ends[0], buf, n, deadline(m));
        if (r == 0)
            break;
        if (r < 0) {
            CHECK(r == -ETIMEDOUT || r == -EINTR);
            for (size_t i = 0; i < n; i++)
                CHECK_EQ(buf[i], POISON);
            continue;
        }
        for (ssize_t i = 0; i < r; i++)
            CHECK_EQ(buf[i], byte_at(at + (uint64_t)i));
        at += (uint64_t)r;
        memset(buf, POISON, (size_t)r);
    }
    atomic_store(&s->received, at);
    free(buffers);
}

static void stream_member(struct crew_member *m) {
    struct stream *s = (struct stream *)m->shared + m->index / 2;
    if (m->index % 2)
        write_stream(m, s);
    else
        read_stream(m, s);
}

static void stress_streams(bool tcp) {
    struct stream s[STREAMS];
    memset(s, 0, sizeof s);
    for (int i = 0; i < STREAMS; i++) {
        if (tcp)
            connect_pair(s[i].ends);
        else
            CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s[i].ends), 0);
    }
    crew_run(stream_member, s, 2 * STREAMS, 0, crew_time_ns(2 * TESTS), true);
    for (int i = 0; i < STREAMS; i++) {
        CHECK_EQ(atomic_load(&s[i].sent), atomic_load(&s[i].received));
        close(s[i].ends[0]);
        close(s[i].ends[1]);
    }
}

IO_STRESS_TEST(streams_through_socket_pairs) {
    stress_streams(false);
    return 0;
}

IO_STRESS_TEST(streams_through_tcp) {
    stress_streams(true);
    return 0;
}

/* ---- pipes: what many read is what many wrote ---- */

struct shared_pipe {
    int ends[2];
    _Atomic uint64_t sum_in, sum_out;
};

static void pipe_member(struct crew_member *m) {
    struct shared_pipe *p = m->shared;
    while (crew_goes_on(m)) {
        uint32_t value[2] = {(uint32_t)test_rng_next(&m->rng) | 1, POISON};
        if (m->index % 2) {
            ssize_t n = hd_write_until(p->ends[1], value, 4, deadline(m));
            CHECK(n == 4 || n == -EINTR || n == -ETIMEDOUT);
            if (n == 4)
                atomic_fetch_add(&p->sum_in, value[0]);
        } else {
            value[0] = 0;
            ssize_t n = hd_read_until(p->ends[0], value, 4, deadline(m));
            CHECK(n == 4 || n == -EINTR || n == -ETIMEDOUT);
            CHECK_EQ(value[1], POISON);
            CHECK_EQ(value[0] != 0, n == 4);
            atomic_fetch_add(&p->sum_out, value[0]);
        }
    }
}

IO_STRESS_TEST(many_at_one_pipe) {
    struct shared_pipe p = {.sum_in = 0};
    uint32_t value;
    CHECK_EQ(pipe(p.ends), 0);
    crew_run(pipe_member, &p, 10, 2, crew_time_ns(2 * TESTS), true);
    CHECK_EQ(fcntl(p.ends[0], F_SETFL, O_NONBLOCK), 0);
    while (read(p.ends[0], &value, 4) == 4)
        atomic_fetch_add(&p.sum_out, value);
    CHECK_EQ(atomic_load(&p.sum_in), atomic_load(&p.sum_out));
    close(p.ends[0]);
    close(p.ends[1]);
    return 0;
}

/* ---- connections ---- */

struct storm {
    int listener;
    struct sockaddr_in at;
    _Atomic uint64_t connected, accepted, servers;
};

static void *serve(void *arg) {
    int fd = (int)(intptr_t)arg;
    char buf[256];
    ssize_t n;
    while ((n = hd_recv(fd, buf, sizeof buf, 0)) > 0) {
        ssize_t r = hd_send(fd, buf, (size_t)n, MSG_NOSIGNAL);
        if (r < 0) {
            CHECK(r == -EPIPE || r == -ECONNRESET);
            break;
        }
    }
    CHECK(n >= 0 || n == -ECONNRESET);
    CHECK_OK(hd_close(fd));
    return NULL;
}

static void accept_storm(struct crew_member *m, struct storm *s) {
    while (crew_goes_on(m)) {
        int fd = hd_accept_until(s->listener, NULL, NULL, SOCK_CLOEXEC, deadline(m));
        if (fd < 0) {
            CHECK(fd == -EINTR || fd == -ETIMEDOUT || fd == -ECONNABORTED);
            continue;
        }
        atomic_fetch_add(&s->accepted, 1);
        hd_thread *t;
        CHECK_OK(hd_spawn(&t, NULL, serve, (void *)(intptr_t)fd));
        hd_detach(t);
    }
}

static void ask(struct crew_member *m, int fd) {
    char out[64], in[64];
    for (int i = (int)test_rng_below(&m->rng, 4); i > 0; i--) {
        memset(out, i, sizeof out);
        ssize_t r = hd_send_until(fd, out, sizeof out, MSG_NOSIGNAL, hd_now_ns() + 1000000000);
        if (r < 0 || crew_chance(m, 4))
            return;
        r = hd_recv_until(fd, in, sizeof in, MSG_WAITALL, deadline(m));
        if (r < 0)
            return;
        CHECK_MEM_EQ(in, out, (size_t)r);
        if ((size_t)r < sizeof in)
            return;
    }
}

static void connect_storm(struct crew_member *m, struct storm *s) {
    while (crew_goes_on(m)) {
        struct linger cut = {1, 0};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK_GE(fd, 0);
        int err = hd_connect_until(fd, (struct sockaddr *)&s->at, sizeof s->at,
                                   hd_now_ns() + 1000000000);
        if (err == 0) {
            atomic_fetch_add(&s->connected, 1);
            ask(m, fd);
        } else {
            CHECK(err == -EINTR || err == -ETIMEDOUT || err == -ECONNRESET ||
                  err == -EADDRNOTAVAIL || err == -ECONNREFUSED);
        }
        /* A reset, mostly: an orderly end would use up the ports. */
        if (!crew_chance(m, 8))
            CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &cut, sizeof cut), 0);
        CHECK_OK(hd_close(fd));
    }
}

static void storm_member(struct crew_member *m) {
    struct storm *s = m->shared;
    if (m->index < 2)
        accept_storm(m, s);
    else
        connect_storm(m, s);
}

static unsigned open_sockets(void) {
    struct stat st;
    unsigned n = 0;
    for (int fd = 0; fd < 4096; fd++)
        n += fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
    return n;
}

IO_STRESS_TEST(connections_with_resets) {
    if (TEST_TSAN)
        SKIP("ThreadSanitizer takes a number that the kernel gives out again for the same file");
    struct storm s = {.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    socklen_t len = sizeof s.at;
    s.at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_EQ(bind(s.listener, (struct sockaddr *)&s.at, sizeof s.at), 0);
    CHECK_EQ(listen(s.listener, 128), 0);
    CHECK_EQ(getsockname(s.listener, (struct sockaddr *)&s.at, &len), 0);
    unsigned before = open_sockets();
    crew_run(storm_member, &s, 12, 0, crew_time_ns(2 * TESTS), true);
    /* Those that nobody accepted any more. */
    int fd;
    while ((fd = hd_accept_until(s.listener, NULL, NULL, 0, hd_now_ns() + 1000000)) >= 0)
        close(fd);
    for (int i = 0; i < 2000 && open_sockets() > before; i++)
        hd_sleep_for(1000000);
    CHECK_EQ(open_sockets(), before);
    close(s.listener);
    return 0;
}

/* ---- conversations, with nothing but events to go on: no deadline, no pass (io/ready.h) ---- */

enum { PAIRS = 5, TURN_MOST = 200 };

struct conversation {
    int ends[2];
    _Atomic bool over; /* no new question */
};

static void send_all(struct crew_member *m, int fd, const unsigned char *data, size_t n) {
    while (n > 0) {
        ssize_t r = hd_send(fd, data, crew_chance(m, 4) ? 1 + n / 2 : n, 0);
        CHECK(r > 0 || r == -EINTR);
        data += r > 0 ? r : 0;
        n -= r > 0 ? (size_t)r : 0;
    }
}

/* How much of it comes at once is up to both sides. False: the other one has left. */
static bool receive_all(struct crew_member *m, int fd, unsigned char *data, size_t n) {
    for (size_t got = 0; got < n;) {
        unsigned char more[TURN_MOST + 50];
        bool exact = crew_chance(m, 3);
        ssize_t r = hd_recv(fd, more, exact ? n - got : sizeof more, 0);
        if (r == 0) return false;
        CHECK(r > 0 || r == -EINTR);
        if (r < 0) continue;
        CHECK_GE(n - got, (size_t)r);
        memcpy(data + got, more, (size_t)r);
        got += (size_t)r;
    }
    return true;
}

static void conversation_member(struct crew_member *m) {
    struct conversation *c = (struct conversation *)m->shared + m->index / 2;
    int fd = c->ends[m->index % 2];
    unsigned char out[TURN_MOST], in[TURN_MOST];
    for (uint64_t turn = 0;; turn++) {
        size_t n = 1 + turn * 2654435761u % TURN_MOST;
        memset(out, (int)turn, sizeof out);
        for (uint64_t k = crew_chance(m, 2) ? test_rng_below(&m->rng, 2000) : 0; k > 0; k--)
            __asm__ volatile("" ::: "memory");
        if (m->index % 2 == 0) {
            if (!crew_goes_on(m)) break;
            send_all(m, fd, out, n);
        }
        if (!receive_all(m, fd, in, n)) break;
        CHECK_MEM_EQ(in, out, n);
        if (m->index % 2 == 1) send_all(m, fd, out, n);
    }
    CHECK_EQ(shutdown(fd, SHUT_WR), 0);
}

IO_STRESS_TEST(conversations) {
    struct conversation c[PAIRS];
    atomic_store(&hd__io_check_every_ns, UINT64_C(3600000000000));
    for (int i = 0; i < PAIRS; i++) connect_pair(c[i].ends);
    crew_run(conversation_member, c, 2 * PAIRS, 0, crew_time_ns(2 * TESTS), true);
    for (int i = 0; i < PAIRS; i++) {
        CHECK_OK(hd_close(c[i].ends[0]));
        CHECK_OK(hd_close(c[i].ends[1]));
    }
    return 0;
}

/* ---- numbers that go from hand to hand, behind the runtime's back ---- */

struct numbers {
    _Atomic uint64_t rounds;
};

static void make_ends(struct crew_member *m, int ends[2]) {
    if (crew_chance(m, 3))
        connect_pair(ends);
    else
        CHECK_EQ(socketpair(AF_UNIX, crew_chance(m, 2) ? SOCK_STREAM : SOCK_DGRAM, 0, ends), 0);
}

static void *reply_once(void *arg) {
    int fd = (int)(intptr_t)arg;
    char c[8];
    CHECK_EQ(hd_recv(fd, c, sizeof c, 0), 1);
    CHECK_EQ(hd_send(fd, c, 1, 0), 1);
    return NULL;
}

/* Each question is the first thing that is done with a number that was another file's. */
static void number_member(struct crew_member *m) {
    struct numbers *s = m->shared;
    while (crew_goes_on(m)) {
        int ends[2];
        char c[8];
        make_ends(m, ends);
        for (int turns = (int)test_rng_below(&m->rng, 6); turns >= 0; turns--) {
            hd_thread *t;
            CHECK_OK(hd_spawn(&t, NULL, reply_once, (void *)(intptr_t)ends[1]));
            CHECK_EQ(hd_send(ends[0], "?", 1, 0), 1);
            CHECK_EQ(hd_recv(ends[0], c, sizeof c, 0), 1);
            CHECK_EQ(c[0], '?');
            CHECK_OK(hd_join(t, NULL));
        }
        for (int i = 0; i < 2; i++) {
            if (crew_chance(m, 4))
                CHECK_OK(hd_close(ends[i]));
            else
                CHECK_EQ(close(ends[i]), 0);
        }
        atomic_fetch_add(&s->rounds, 1);
    }
}

IO_STRESS_TEST(numbers_used_again) {
    if (TEST_TSAN)
        SKIP("ThreadSanitizer takes a number that the kernel gives out again for the same file");
    struct numbers s = {0};
    atomic_store(&hd__io_check_every_ns, 1000000);
    crew_run(number_member, &s, 6, 0, crew_time_ns(2 * TESTS), false);
    test_note("%llu rounds", (unsigned long long)atomic_load(&s.rounds));
    return 0;
}

/* ---- files, helpers, children of everything ---- */

struct shared_file {
    int fd;
};

static void file_member(struct crew_member *m) {
    const struct shared_file *f = m->shared;
    unsigned char *block = malloc(512);
    off_t at = (off_t)m->index * 512;
    unsigned char last = 0, next = 0;
    while (crew_goes_on(m)) {
        next++;
        memset(block, next, 512);
        ssize_t n = hd_pwrite_until(f->fd, block, 512, at, deadline(m));
        if (n == 512)
            last = next;
        else
            CHECK(n == -EINTR || n == -ETIMEDOUT);
        if (crew_chance(m, 16))
            (void)hd_fsync_until(f->fd, deadline(m));
        memset(block, POISON, 512);
        n = hd_pread_until(f->fd, block, 512, at, deadline(m));
        if (n == 512) {
            CHECK_EQ(block[0], last);
            CHECK_EQ(block[511], last);
        } else {
            CHECK(n == 0 || n == -EINTR || n == -ETIMEDOUT);
        }
    }
    free(block);
}

IO_STRESS_TEST(files_and_deadlines) {
    char name[] = "/tmp/heddle-stress-XXXXXX";
    struct shared_file f = {mkostemp(name, O_CLOEXEC)};
    CHECK_GE(f.fd, 0);
    CHECK_EQ(unlink(name), 0);
    unsigned char zero[512] = {0};
    for (int i = 0; i < 14; i++)
        CHECK_EQ(hd_pwrite(f.fd, zero, 512, i * 512), 512);
    crew_run(file_member, &f, 12, 2, crew_time_ns(2 * TESTS), true);
    close(f.fd);
    return 0;
}
