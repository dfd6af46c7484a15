/* SPDX-License-Identifier: MIT */
/* Every allocation and system call of a program that does all kinds of I/O fails once, with each
 * backend. The call in question says so or copes; tried again, it works. Nothing hangs, no byte is
 * lost, nothing is left behind. */
#include "../unit/io_test.h"

#include "os/fault.h"

#include <dirent.h>
#include <sys/stat.h>

#ifndef HD_FAULT
#error "this program is for builds with -DHD_FAULT"
#endif

static bool faulty(long r) {
    return r == -ENOMEM || r == -EAGAIN || r == -EMFILE;
}

/* A second time if it failed for a fault: of those there is one only. */
#define RETRY(call)                                                                           \
    ({                                                                                        \
        long r_ = (call);                                                                     \
        if (faulty(r_))                                                                       \
            r_ = (call);                                                                      \
        CHECK_MSG(!faulty(r_), "%s returned %ld twice, after a fault in %s", #call, r_,       \
                  hd__fault_site() ? hd__fault_site() : "(none)");                            \
        r_;                                                                                   \
    })

struct ends {
    int in, out;
};

static void *answer(void *arg) {
    const struct ends *e = arg;
    char buf[16];
    for (;;) {
        long n = RETRY(hd_read(e->in, buf, sizeof buf));
        CHECK_GE(n, 0);
        if (n == 0)
            return arg;
        CHECK_EQ(RETRY(hd_write(e->out, buf, (size_t)n)), n);
    }
}

static hd_thread *start(hd_fn fn, void *arg) {
    hd_thread *t = NULL;
    CHECK_EQ(RETRY(hd_spawn(&t, NULL, fn, arg)), 0);
    return t;
}

static void use_pipes(void) {
    int there[2], back[2];
    char buf[8];
    make_pipe(there);
    make_pipe(back);
    struct ends e = {there[0], back[1]};
    hd_thread *t = start(answer, &e);
    let_wait();
    CHECK_EQ(RETRY(hd_write(there[1], "abc", 3)), 3);
    for (long got = 0; got < 3;)
        got += RETRY(hd_read(back[0], buf + got, sizeof buf - (size_t)got));
    CHECK_MEM_EQ(buf, "abc", 3);
    long r = hd_read_until(back[0], buf, 1, hd_now_ns() + MS);
    CHECK(r == -ETIMEDOUT || faulty(r));
    hd_interrupt(hd_self());
    r = hd_read(back[0], buf, 1);
    CHECK(r == -EINTR || faulty(r));
    if (r != -EINTR)
        CHECK_ERR(hd_sleep_for(60000 * MS), -EINTR);
    CHECK_EQ(RETRY(hd_close(there[1])), 0);
    CHECK_EQ(join(t), &e);
    hd_close(there[0]);
    close_both(back);
}

static void *serve(void *arg) {
    int fd = (int)RETRY(hd_accept(*(int *)arg, NULL, NULL, SOCK_CLOEXEC));
    CHECK_GE(fd, 0);
    char buf[8];
    long n = 0;
    while (n < 4)
        n += RETRY(hd_recv(fd, buf + n, 4 - (size_t)n, 0));
    CHECK_EQ(RETRY(hd_send(fd, buf, 4, 0)), 4);
    CHECK_EQ(RETRY(hd_recv(fd, buf, 1, 0)), 0);
    hd_close(fd);
    return arg;
}

static void use_sockets(void) {
    struct sockaddr_in at;
    char buf[8];
    int l = make_listener(&at, 8), client = make_client();
    hd_thread *t = start(serve, &l);
    let_wait();
    long r = RETRY(hd_connect(client, (struct sockaddr *)&at, sizeof at));
    CHECK(r == 0 || r == -EISCONN); /* it had connected when the call after it failed */
    CHECK_EQ(RETRY(hd_send(client, "ping", 4, 0)), 4);
    struct pollfd p[2] = {{client, POLLIN, 0}, {l, POLLIN, 0}};
    CHECK_EQ(RETRY(hd_poll(p, 1, HD_FOREVER)), 1);
    CHECK_EQ(RETRY(hd_poll(p, 2, HD_FOREVER)), 1);
    for (long n = 0; n < 4;)
        n += RETRY(hd_recv(client, buf + n, 4 - (size_t)n, 0));
    hd_close(client);
    CHECK_EQ(join(t), &l);
    hd_close(l);
}

static void use_files(void) {
    char name[64], buf[8];
    snprintf(name, sizeof name, "/tmp/heddle-fault-%d", (int)getpid());
    int fd = (int)RETRY(hd_openat(AT_FDCWD, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    CHECK_GE(fd, 0);
    unlink(name);
    CHECK_EQ(RETRY(hd_write(fd, "abcdef", 6)), 6);
    CHECK_EQ(RETRY(hd_pwrite(fd, "X", 1, 2)), 1);
    CHECK_EQ(RETRY(hd_pread(fd, buf, 6, 0)), 6);
    CHECK_MEM_EQ(buf, "abXdef", 6);
    CHECK_EQ(RETRY(hd_fsync(fd)), 0);
    CHECK_OK(hd_close(fd));
}

static void use_names(void) {
    struct addrinfo *list = NULL, hints = {.ai_flags = AI_NUMERICHOST};
    int code = hd_getaddrinfo("127.0.0.1", NULL, &hints, &list, NULL);
    if (code == EAI_MEMORY)
        code = hd_getaddrinfo("127.0.0.1", NULL, &hints, &list, NULL);
    CHECK_EQ(code, 0);
    freeaddrinfo(list);
    CHECK_ERR(hd_waitpid_until(-1, NULL, 0, hd_now_ns() + MS), -ECHILD);
}

static int use_all(void *arg) {
    (void)arg;
    use_pipes();
    use_sockets();
    use_files();
    use_names();
    return 77;
}

static unsigned entries(const char *path) {
    unsigned n = 0;
    DIR *dir = opendir(path);
    CHECK(dir != NULL);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static void fail_each(int kind) {
    hd__fault_arm(0);
    int result = hd_run(HD_CONFIG(.workers = 2, .io = kind), use_all, NULL);
    if (kind == HD_IO_URING && (result == -ENOSYS || result == -EPERM))
        SKIP("io_uring is refused here");
    CHECK_EQ(result, 77);
    uint64_t calls = hd__fault_hits();
    unsigned fds = entries("/proc/self/fd");
    /* Idle workers look for I/O again and again, so the later calls are mostly the same. */
    for (uint64_t n = 1;; n += 1 + n / 100) {
        hd__fault_arm(n);
        result = hd_run(HD_CONFIG(.workers = 2, .io = kind), use_all, NULL);
        uint64_t failed = hd__fault_failed();
        const char *site = hd__fault_site();
        hd__fault_arm(0);
        test_note("%llu: %s", (unsigned long long)n, site ? site : "(none)");
        CHECK(result == 77 || result < 0);
        CHECK_EQ(entries("/proc/self/fd"), fds);
        /* How many calls there are depends on how the threads are scheduled. */
        if (failed == 0 && n > calls)
            break;
    }
    /* The kernel's own helpers end a moment later. */
    CHECK_SOON(entries("/proc/self/task") == 3, 10000);
}

TEST_WITHIN(each_call_fails_once_by_uring, 200) {
    fail_each(HD_IO_URING);
}

TEST_WITHIN(each_call_fails_once_by_epoll, 200) {
    fail_each(HD_IO_EPOLL);
}

/* A ring that cannot be had: epoll does, and says so. */
static int name_kind(void *arg) {
    int ends[2];
    char c;
    struct hd_metrics m = HD_METRICS_INIT;
    hd__fault_arm((uint64_t)(uintptr_t)arg);
    make_pipe(ends);
    (void)!hd_read_until(ends[0], &c, 1, hd_now_ns() + 1000);
    const char *site = hd__fault_site();
    bool ring = site && strcmp(site, "io_uring_setup") == 0;
    hd__fault_arm(0);
    CHECK_EQ(hd_write(ends[1], "x", 1), 1);
    CHECK_EQ(hd_read(ends[0], &c, 1), 1);
    close_both(ends);
    CHECK_OK(hd_metrics_get(&m));
    if (ring)
        CHECK_STR_EQ(m.io_kind, "epoll");
    return ring;
}

TEST(without_a_ring) {
    int err = hd_run(HD_CONFIG(.io = HD_IO_URING), name_kind, (void *)(uintptr_t)1000000);
    if (err == -ENOSYS || err == -EPERM)
        SKIP("io_uring is refused here");
    /* Until the call that fails was that one: which it is depends on what others call meanwhile. */
    for (uintptr_t n = 1; hd_run(HD_CONFIG(.workers = 1), name_kind, (void *)n) != 1;)
        n = n < 30 ? n + 1 : 1;
}
