/* SPDX-License-Identifier: MIT */
/* Numbers of descriptors that become other files', behind the runtime's back or not: no thread
 * waits for ever for what the kernel was not asked for (src/io/ready.c). */
#include "io_ready_test.h"

enum way { BY_DUP2, BY_CLOSE, WAYS };

/* What `number` stood for is closed, behind the runtime's back, and it stands for `file`. */
static void give_number(int number, int file, enum way way) {
    if (way == BY_DUP2) {
        CHECK_EQ(dup2(file, number), number);
    } else {
        CHECK_EQ(close(number), 0);
        CHECK_EQ(fcntl(file, F_DUPFD, number), number);
    }
    CHECK_EQ(close(file), 0);
}

static void check_reused(int kind, enum way way, int early, int call) {
    int old[2], ends[2];
    char buf[8];
    make_settled(old);
    make_kind(kind, ends);
    int fd = old[0];
    struct later l = {ends[1], "new"};
    give_number(fd, ends[0], way);
    hd_thread *t = spawn(write_later, &l);
    if (early) join(t);
    struct pollfd p = {fd, POLLIN, 0};
    if (call == 0)
        CHECK_EQ(kind == 3 ? hd_read(fd, buf, sizeof buf) : hd_recv(fd, buf, sizeof buf, 0), 3);
    else if (call == 1)
        CHECK_EQ(hd_read(fd, buf, sizeof buf), 3);
    else
        CHECK_EQ(hd_poll(&p, 1, HD_FOREVER), 1);
    if (!early) join(t);
    CHECK_OK(hd_close(fd));
    CHECK_OK(hd_close(ends[1]));
    CHECK_OK(hd_close(old[1]));
}

IO_TEST(reused_numbers, 2) {
    pass_often();
    for (int kind = 0; kind < 4; kind++)
        for (int way = 0; way < WAYS; way++)
            for (int rest = 0; rest < 6; rest++) {
                test_note("%d %d %d", kind, way, rest);
                check_reused(kind, way, rest % 2, rest / 2);
            }
    return 0;
}

/* What a pass finds out is counted, and makes the next waits plain ones. */
IO_TEST(one_surprise_makes_careful, 2) {
    int ends[2];
    char buf[8];
    pass_often();
    CHECK_EQ(metrics().io_reused, 0);
    check_reused(0, BY_DUP2, 1, 0);
    CHECK_EQ(metrics().io_reused, 1);
    switch_passes_off();
    make_settled(ends);
    for (int i = 0; i < 20; i++) {
        settle(ends[0], ends[1]);
        uint64_t before = metrics().io_watches;
        struct later l = {ends[1], "x"};
        hd_thread *t = spawn(send_later, &l);
        CHECK_EQ(hd_recv(ends[0], buf, sizeof buf, 0), 1);
        join(t);
        CHECK_GE(metrics().io_watches - before, 1);
    }
    for (int i = 0; i < 10; i++)
        check_reused(i % 3, BY_CLOSE, 0, 0);
    CHECK_EQ(metrics().io_reused, 1);
    close_both(ends);
    return 0;
}

/* What hd_close() closes is forgotten, and what the runtime makes is known to be new. */
IO_TEST(numbers_of_our_own_are_no_surprise, 2) {
    struct sockaddr_in at;
    int old[2], ends[2], server, listener = make_listener(&at, 8);
    char buf[8];
    switch_passes_off();
    for (int i = 0; i < 20; i++) {
        make_settled(old);
        make_kind(i % 4, ends);
        int fd = old[0];
        CHECK_OK(hd_close(fd));
        CHECK_EQ(fcntl(ends[0], F_DUPFD, fd), fd);
        struct later l = {ends[1], "new"};
        hd_thread *t = spawn(write_later, &l);
        CHECK_EQ(i % 4 == 3 ? hd_read(fd, buf, 8) : hd_recv(fd, buf, 8, 0), 3);
        join(t);
        close_both(ends);
        CHECK_OK(hd_close(fd));
        CHECK_OK(hd_close(old[1]));
    }
    for (int i = 0; i < 20; i++) {
        make_settled(old);
        int client = make_client();
        give_number(old[0], client, BY_DUP2);
        client = old[0];
        CHECK_OK(hd_connect(client, (struct sockaddr *)&at, sizeof at));
        make_settled(ends);
        CHECK_EQ(close(ends[0]), 0);
        server = hd_accept(listener, NULL, NULL, 0);
        CHECK_GE(server, 0);
        struct later l[2] = {{client, "to the server"}, {server, "to"}};
        hd_thread *t = spawn(send_later, &l[0]);
        CHECK_EQ(hd_recv(server, buf, 8, 0), 8);
        join(t);
        t = spawn(send_later, &l[1]);
        CHECK_EQ(hd_recv(client, buf, 8, 0), 2);
        join(t);
        CHECK_OK(hd_close(client));
        CHECK_OK(hd_close(server));
        CHECK_OK(hd_close(old[1]));
        CHECK_OK(hd_close(ends[1]));
    }
    CHECK_EQ(metrics().io_reused, 0);
    CHECK_OK(hd_close(listener));
    return 0;
}

/* A file that lives on goes on to be watched under the number that it had. */
IO_TEST(files_that_outlive_their_number, 2) {
    int old[2], ends[2];
    char buf[64];
    pass_often();
    for (int i = 0; i < 4; i++) {
        make_settled(old);
        make_kind(i, ends);
        int copy = dup(old[0]), fd = old[0];
        CHECK(copy >= 0);
        give_number(fd, ends[0], i % 2);
        struct later l = {ends[1], "new"};
        for (int k = 0; k < 50; k++) {
            hd_thread *t = k % 10 == 0 ? spawn(write_later, &l) : NULL;
            for (int n = 0; n < 3; n++) {
                CHECK_EQ(hd_send(old[1], "old", 3, 0), 3);
                hd_sleep_for(MS / 10);
                CHECK_EQ(recv(copy, buf, sizeof buf, 0) % 3, 0);
            }
            if (t) CHECK_EQ(i == 3 ? hd_read(fd, buf, 8) : hd_recv(fd, buf, 8, 0), 3);
            if (t) CHECK_MEM_EQ(buf, "new", 3);
            if (t) join(t);
        }
        CHECK_EQ(close(copy), 0);
        CHECK_OK(hd_close(fd));
        CHECK_OK(hd_close(ends[1]));
        CHECK_OK(hd_close(old[1]));
    }
    return 0;
}

IO_TEST(files_that_a_child_has_open, 2) {
    int old[2], ends[2];
    char buf[8];
    pass_often();
    make_settled(old);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    make_connection(ends);
    int fd = old[0];
    give_number(fd, ends[0], BY_CLOSE);
    CHECK_EQ(hd_send(old[1], "for the child", 13, 0), 13);
    struct later l = {ends[1], "new"};
    hd_thread *t = spawn(send_later, &l);
    CHECK_EQ(hd_recv(fd, buf, sizeof buf, 0), 3);
    join(t);
    settle(fd, ends[1]);
    CHECK_OK(hd_close(fd)); /* the child's go on */
    CHECK_OK(hd_close(ends[1]));
    CHECK_OK(hd_close(old[1]));
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(hd_waitpid(pid, NULL, 0), pid);
    return 0;
}

/* A number of a socket that is a file now is read as a file. */
IO_TEST(a_socket_becomes_a_file, 2) {
    int old[2], fd;
    char buf[8];
    pass_often();
    for (int kind = 0; kind < 2; kind++) {
        make_kind(kind, old);
        for (int i = 0; i < 3; i++) {
            struct later l = {old[1], "s"};
            hd_thread *t = spawn(send_later, &l);
            CHECK_EQ(hd_recv(old[0], buf, sizeof buf, 0), 1);
            join(t);
        }
        int file = make_file();
        CHECK_EQ(write(file, "abc", 3), 3);
        CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
        give_number(fd = old[0], file, BY_DUP2);
        CHECK_EQ(hd_read(fd, buf, sizeof buf), 3);
        CHECK_EQ(hd_read(fd, buf, sizeof buf), 0);
        close_both(old);
    }
    return 0;
}
