/* SPDX-License-Identifier: MIT */
/* Input and output that parks the thread: what each call does to each kind of descriptor. */
#include "io_test.h"

/* ---- a thread that does one thing after a while, so that the other has to wait ---- */

struct later {
    int fd;
    const char *text;
    size_t n;
};

static void *write_later(void *arg) {
    const struct later *l = arg;
    let_wait();
    CHECK_EQ(hd_write(l->fd, l->text, l->n), l->n);
    return NULL;
}

static void *close_later(void *arg) {
    let_wait();
    CHECK_OK(hd_close(*(int *)arg));
    return NULL;
}

static void check_reads(int from, int to) {
    char buf[16];
    struct later l = {to, "hello", 5};
    /* What is there, and what comes. */
    CHECK_EQ(hd_write(to, "abc", 3), 3);
    CHECK_EQ(hd_read(from, buf, 2), 2);
    CHECK_EQ(hd_read(from, buf + 2, sizeof buf - 2), 1);
    CHECK_MEM_EQ(buf, "abc", 3);
    hd_thread *t = spawn(write_later, &l);
    CHECK_EQ(hd_read(from, buf, sizeof buf), 5);
    CHECK_MEM_EQ(buf, "hello", 5);
    join(t);
    t = spawn(write_later, &l);
    struct iovec iov[3] = {{buf, 1}, {NULL, 0}, {buf + 8, 4}};
    CHECK_EQ(hd_readv(from, iov, 3), 5);
    CHECK_EQ(buf[0], 'h');
    CHECK_MEM_EQ(buf + 8, "ello", 4);
    join(t);
    CHECK_EQ(hd_writev(to, (struct iovec[]){{(char *)"12", 2}, {(char *)"3", 1}}, 2), 3);
    CHECK_EQ(hd_read(from, buf, 0), 0);
    CHECK_EQ(hd_read(from, buf, sizeof buf), 3);
    CHECK_MEM_EQ(buf, "123", 3);
    CHECK_EQ(hd_readv(from, iov, 0), 0);
    CHECK_ERR(hd_readv(from, iov, -1), -EINVAL);
    CHECK_ERR(hd_writev(to, iov, 1025), -EINVAL);
    t = spawn(close_later, &to);
    CHECK_EQ(hd_read(from, buf, sizeof buf), 0);
    join(t);
    CHECK_EQ(hd_read(from, buf, sizeof buf), 0);
    CHECK_OK(hd_close(from));
}

IO_TEST(pipes, 2) {
    int ends[2];
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        make_pipe(ends);
        if (nonblocking) {
            set_nonblocking(ends[0]);
            set_nonblocking(ends[1]);
        }
        check_reads(ends[0], ends[1]);
    }
    return 0;
}

IO_TEST(socket_pairs, 2) {
    int ends[2];
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        make_pair(SOCK_STREAM, ends);
        if (nonblocking) {
            set_nonblocking(ends[0]);
            set_nonblocking(ends[1]);
        }
        check_reads(ends[0], ends[1]);
    }
    return 0;
}

IO_TEST(tcp, 2) {
    int ends[2];
    make_connection(ends);
    check_reads(ends[1], ends[0]);
    make_connection(ends);
    check_reads(ends[0], ends[1]);
    return 0;
}

IO_TEST(one_worker_does_as_well, 1) {
    int ends[2];
    make_pipe(ends);
    check_reads(ends[0], ends[1]);
    make_connection(ends);
    check_reads(ends[0], ends[1]);
    return 0;
}

/* The flags of a descriptor are its owner's. */
IO_TEST(modes_stay, 2) {
    struct sockaddr_in at;
    char c;
    int ends[2], listener = make_listener(&at, 8), client = make_client();
    make_pipe(ends);
    int before = fcntl(ends[0], F_GETFL);
    CHECK_ERR(hd_read_until(ends[0], &c, 1, 0), -ETIMEDOUT);
    CHECK_EQ(fcntl(ends[0], F_GETFL), before);
    before = fcntl(client, F_GETFL);
    CHECK_OK(hd_connect(client, (struct sockaddr *)&at, sizeof at));
    CHECK_EQ(fcntl(client, F_GETFL), before);
    before = fcntl(listener, F_GETFL);
    int server = hd_accept(listener, NULL, NULL, 0);
    CHECK_GE(server, 0);
    CHECK_EQ(fcntl(listener, F_GETFL), before);
    CHECK_EQ(fcntl(server, F_GETFL) & O_NONBLOCK, 0);
    CHECK_ERR(hd_recv_until(server, &c, 1, 0, 0), -ETIMEDOUT);
    CHECK_EQ(fcntl(server, F_GETFL) & O_NONBLOCK, 0);
    close_both(ends);
    CHECK_OK(hd_close(client));
    CHECK_OK(hd_close(server));
    CHECK_OK(hd_close(listener));
    return 0;
}

/* ---- much data ---- */

struct stream {
    int fd;
    size_t bytes;
    bool vectors;
};

static unsigned char byte_at(size_t i) {
    return (unsigned char)(i * 131 >> 3);
}

static void *send_stream(void *arg) {
    const struct stream *s = arg;
    unsigned char *data = malloc(s->bytes);
    for (size_t i = 0; i < s->bytes; i++)
        data[i] = byte_at(i);
    for (size_t at = 0; at < s->bytes;) {
        struct iovec iov[1024];
        int count = 0;
        size_t end = at;
        while (s->vectors && count < 1024 && end < s->bytes) {
            size_t n = s->bytes - end < 700 ? s->bytes - end : 700;
            iov[count++] = (struct iovec){data + end, n};
            end += n;
        }
        ssize_t n = s->vectors ? hd_writev(s->fd, iov, count)
                               : hd_write(s->fd, data + at, s->bytes - at);
        CHECK_GT(n, 0);
        at += (size_t)n;
    }
    free(data);
    return NULL;
}

static void *receive_stream(void *arg) {
    const struct stream *s = arg;
    unsigned char buf[8192];
    for (size_t at = 0; at < s->bytes;) {
        struct iovec iov[2] = {{buf, 100}, {buf + 100, sizeof buf - 100}};
        ssize_t n = s->vectors ? hd_readv(s->fd, iov, 2) : hd_read(s->fd, buf, sizeof buf);
        CHECK_GT(n, 0);
        for (ssize_t i = 0; i < n; i++)
            CHECK_EQ(buf[i], byte_at(at + (size_t)i));
        at += (size_t)n;
    }
    return NULL;
}

/* Both ends write and read at once: four threads at two descriptors. */
static void check_streams(int ends[2], bool both_ways) {
    size_t bytes = 1000 * test_iterations(1000);
    if (bytes > 1000000)
        bytes = 1000000;
    for (int vectors = 0; vectors < 2; vectors++) {
        struct stream s[2] = {{ends[0], bytes, vectors}, {ends[1], bytes, vectors}};
        hd_thread *t[4] = {spawn(receive_stream, &s[0]), spawn(send_stream, &s[1]), NULL, NULL};
        if (both_ways) {
            t[2] = spawn(receive_stream, &s[1]);
            t[3] = spawn(send_stream, &s[0]);
        }
        for (int i = 0; i < (both_ways ? 4 : 2); i++)
            join(t[i]);
    }
    close_both(ends);
}

IO_TEST(streams_arrive_whole, 2) {
    int ends[2];
    make_pipe(ends);
    check_streams(ends, false);
    make_pair(SOCK_STREAM, ends);
    check_streams(ends, true);
    make_connection(ends);
    check_streams(ends, true);
    return 0;
}

/* ---- sockets ---- */

IO_TEST(send_and_recv, 2) {
    char buf[16] = {0};
    int ends[2];
    make_pair(SOCK_STREAM, ends);
    CHECK_ERR(hd_recv(ends[0], buf, 1, MSG_DONTWAIT), -EAGAIN);
    CHECK_EQ(hd_send(ends[1], "abc", 3, 0), 3);
    CHECK_EQ(hd_recv(ends[0], buf, sizeof buf, MSG_PEEK), 3);
    CHECK_EQ(hd_recv(ends[0], buf, sizeof buf, 0), 3);
    CHECK_MEM_EQ(buf, "abc", 3);
    struct later l = {ends[1], "efg", 3};
    hd_thread *t = spawn(write_later, &l);
    CHECK_EQ(hd_send(ends[1], "d", 1, 0), 1);
    CHECK_EQ(hd_recv(ends[0], buf, 4, MSG_WAITALL), 4);
    CHECK_MEM_EQ(buf, "defg", 4);
    join(t);
    /* The rest when the peer has closed. */
    CHECK_EQ(hd_send(ends[1], "xy", 2, 0), 2);
    t = spawn(close_later, &ends[1]);
    CHECK_EQ(hd_recv(ends[0], buf, 4, MSG_WAITALL), 2);
    join(t);
    CHECK_OK(hd_close(ends[0]));
    make_pair(SOCK_DGRAM, ends);
    CHECK_EQ(hd_send(ends[1], "", 0, 0), 0);
    CHECK_EQ(hd_send(ends[1], "12345", 5, 0), 5);
    CHECK_EQ(hd_recv(ends[0], buf, sizeof buf, MSG_WAITALL), 0);
    CHECK_EQ(hd_recv(ends[0], buf, 2, MSG_TRUNC), 5);
    close_both(ends);
    return 0;
}

static void *pass_descriptor(void *arg) {
    int *ends = arg;
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec iov = {(char *)"!", 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                         .msg_controllen = sizeof control.space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &ends[1], sizeof(int));
    let_wait();
    CHECK_EQ(hd_sendmsg(ends[1], &msg, 0), 1);
    return NULL;
}

IO_TEST(messages_with_descriptors, 2) {
    int ends[2], passed = -1;
    char c = 0;
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec iov = {&c, 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                         .msg_controllen = sizeof control.space};
    make_pair(SOCK_STREAM, ends);
    hd_thread *t = spawn(pass_descriptor, ends);
    CHECK_EQ(hd_recvmsg(ends[0], &msg, MSG_CMSG_CLOEXEC), 1);
    join(t);
    CHECK_EQ(c, '!');
    CHECK(CMSG_FIRSTHDR(&msg) != NULL);
    memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof passed);
    CHECK_EQ(hd_write(passed, "x", 1), 1);
    CHECK_EQ(hd_read(ends[0], &c, 1), 1);
    CHECK_EQ(c, 'x');
    CHECK_OK(hd_close(passed));
    close_both(ends);
    return 0;
}

struct connecting {
    const struct sockaddr *at;
    socklen_t len;
    int family;
    bool nonblocking;
};

static void *connect_later(void *arg) {
    const struct connecting *c = arg;
    int fd = socket(c->family, SOCK_STREAM | (c->nonblocking ? SOCK_NONBLOCK : 0), 0);
    CHECK(fd >= 0);
    let_wait();
    CHECK_OK(hd_connect(fd, c->at, c->len));
    char buf[4];
    CHECK_EQ(hd_send(fd, "ping", 4, 0), 4);
    CHECK_EQ(hd_recv(fd, buf, 4, MSG_WAITALL), 4);
    CHECK_MEM_EQ(buf, "pong", 4);
    CHECK_OK(hd_close(fd));
    return NULL;
}

static void serve_one(int listener, bool wants_address) {
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;
    char buf[4];
    int fd = wants_address ? hd_accept(listener, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK)
                           : hd_accept(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK_GE(fd, 0);
    if (wants_address)
        CHECK_EQ(peer.sin_family, AF_INET);
    CHECK_EQ(!!(fcntl(fd, F_GETFL) & O_NONBLOCK), wants_address);
    CHECK_EQ(!!(fcntl(fd, F_GETFD) & FD_CLOEXEC), !wants_address);
    CHECK_EQ(hd_recv(fd, buf, 4, MSG_WAITALL), 4);
    CHECK_MEM_EQ(buf, "ping", 4);
    CHECK_EQ(hd_send(fd, "pong", 4, 0), 4);
    CHECK_EQ(hd_recv(fd, buf, 4, 0), 0);
    CHECK_OK(hd_close(fd));
}

IO_TEST(accept_and_connect, 2) {
    struct sockaddr_in at;
    int listener = make_listener(&at, 8);
    for (int i = 0; i < 4; i++) {
        struct connecting c = {(struct sockaddr *)&at, sizeof at, AF_INET, i & 1};
        if (i == 2)
            set_nonblocking(listener);
        hd_thread *t = spawn(connect_later, &c);
        serve_one(listener, i & 1);
        join(t);
    }
    CHECK_OK(hd_close(listener));
    int client = make_client();
    CHECK_ERR(hd_connect(client, (struct sockaddr *)&at, sizeof at), -ECONNREFUSED);
    CHECK_OK(hd_close(client));
    return 0;
}

/* A listener whose queue is full: one must wait until another was accepted. */
IO_TEST(connecting_waits_for_room, 2) {
    enum { CLIENTS = 6 };
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    hd_thread *t[CLIENTS];
    int n = snprintf(at.sun_path + 1, sizeof at.sun_path - 1, "heddle-%d", (int)getpid());
    struct connecting c[2] = {
        {(struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n),
         AF_UNIX, false}};
    c[1] = c[0];
    c[1].nonblocking = true;
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(bind(listener, c->at, c->len), 0);
    CHECK_EQ(listen(listener, 0), 0);
    for (int i = 0; i < CLIENTS; i++)
        t[i] = spawn(connect_later, &c[i % 2]);
    hd_sleep_for(10 * MS);
    for (int i = 0; i < CLIENTS; i++)
        serve_one(listener, false);
    for (int i = 0; i < CLIENTS; i++)
        join(t[i]);
    CHECK_OK(hd_close(listener));
    return 0;
}

/* ---- files ---- */

IO_TEST(files, 2) {
    char buf[32] = {0};
    int dir = open("/tmp", O_PATH | O_CLOEXEC), fd = -1;
    char name[64];
    CHECK_GE(snprintf(name, sizeof name, "heddle-io-%d", (int)getpid()), 1);
    CHECK_ERR(hd_openat(dir, name, O_RDONLY, 0), -ENOENT);
    fd = hd_openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK_GE(fd, 0);
    CHECK_EQ(unlinkat(dir, name, 0), 0);
    CHECK_EQ(hd_read(fd, buf, sizeof buf), 0);
    CHECK_EQ(hd_write(fd, "0123456789", 10), 10);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10);
    CHECK_EQ(hd_pwrite(fd, "ab", 2, 4), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10);
    CHECK_EQ(hd_pread(fd, buf, sizeof buf, 3), 7);
    CHECK_MEM_EQ(buf, "3ab6789", 7);
    CHECK_EQ(hd_pread(fd, buf, sizeof buf, 10), 0);
    CHECK_ERR(hd_pread(fd, buf, 1, -1), -EINVAL);
    CHECK_ERR(hd_pwrite(fd, buf, 1, -1), -EINVAL);
    CHECK_EQ(lseek(fd, 2, SEEK_SET), 2);
    CHECK_EQ(hd_read(fd, buf, 3), 3);
    CHECK_MEM_EQ(buf, "23a", 3);
    struct iovec iov[2] = {{buf, 1}, {buf + 4, 2}};
    CHECK_EQ(hd_readv(fd, iov, 2), 3);
    CHECK_EQ(buf[0], 'b');
    CHECK_MEM_EQ(buf + 4, "67", 2);
    CHECK_EQ(hd_writev(fd, iov, 2), 3);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 11);
    CHECK_EQ(hd_pread(fd, buf, 3, 8), 3);
    CHECK_MEM_EQ(buf, "b67", 3);
    CHECK_OK(hd_fsync(fd));
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 500); /* the runtime may be given a low one at any time */
    CHECK_OK(hd_close(fd));
    CHECK_OK(hd_close(high));
    CHECK_ERR(hd_close(high), -EBADF);
    close(dir);
    return 0;
}

IO_TEST(directories_and_devices, 2) {
    char buf[64];
    int fd = hd_openat(AT_FDCWD, "/tmp", O_RDONLY | O_DIRECTORY, 0);
    CHECK_GE(fd, 0);
    CHECK_ERR(hd_read(fd, buf, sizeof buf), -EISDIR);
    CHECK_OK(hd_close(fd));
    fd = hd_openat(AT_FDCWD, "/dev/zero", O_RDWR, 0);
    CHECK_GE(fd, 0);
    memset(buf, 1, sizeof buf);
    CHECK_EQ(hd_read(fd, buf, sizeof buf), sizeof buf);
    CHECK_EQ(buf[63], 0);
    CHECK_EQ(hd_write(fd, buf, sizeof buf), sizeof buf);
    CHECK_OK(hd_close(fd));
    int ends[2];
    make_pipe(ends);
    CHECK_ERR(hd_pread(ends[0], buf, 1, 0), -ESPIPE);
    CHECK_ERR(hd_pwrite(ends[1], buf, 1, 0), -ESPIPE);
    close_both(ends);
    return 0;
}

/* ---- others ---- */

static void *post_later(void *arg) {
    uint64_t one = 1;
    let_wait();
    CHECK_EQ(hd_write(*(int *)arg, &one, 8), 8);
    return NULL;
}

IO_TEST(eventfds, 2) {
    uint64_t value = 3;
    for (int flags = 0; flags <= EFD_NONBLOCK; flags += EFD_NONBLOCK) {
        int fd = eventfd(0, EFD_CLOEXEC | flags);
        hd_thread *t = spawn(post_later, &fd);
        CHECK_EQ(hd_read(fd, &value, 8), 8);
        CHECK_EQ(value, 1);
        join(t);
        /* With something to read: without RWF_NOWAIT (emulators) poll() comes first. */
        CHECK_EQ(hd_write(fd, &value, 8), 8);
        CHECK_ERR(hd_read(fd, &value, 4), -EINVAL);
        CHECK_OK(hd_close(fd));
    }
    return 0;
}

IO_TEST(terminals, 2) {
    char buf[16];
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        SKIP("no pseudo terminal can be had");
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        int slave = open(ptsname(master), O_RDWR | O_NOCTTY | (nonblocking ? O_NONBLOCK : 0));
        CHECK(slave >= 0);
        struct later l = {master, "hi\n", 3};
        hd_thread *t = spawn(write_later, &l);
        CHECK_EQ(hd_read(slave, buf, sizeof buf), 3);
        CHECK_MEM_EQ(buf, "hi\n", 3);
        join(t);
        /* The echo, and what the slave writes. */
        for (size_t got = 0; got < 4;)
            got += (size_t)hd_read(master, buf, sizeof buf);
        l = (struct later){slave, "ok", 2};
        t = spawn(write_later, &l);
        CHECK_EQ(hd_read(master, buf, sizeof buf), 2);
        join(t);
        CHECK_OK(hd_close(slave));
    }
    CHECK_OK(hd_close(master));
    return 0;
}
