/* SPDX-License-Identifier: MIT */
/* Waiting for descriptors that the kernel goes on watching: no event is lost that the kernel
 * reports once. And when a worker without work offers its CPU. */
#include "io_ready_test.h"

#include "io/io.h"

/* ---- without calls into the kernel ---- */

static void *answer(void *arg) {
    int fd = *(int *)arg;
    char buf[8];
    ssize_t n;
    while ((n = hd_recv(fd, buf, sizeof buf, 0)) > 0)
        CHECK_EQ(hd_send(fd, buf, (size_t)n, 0), n);
    CHECK_EQ(n, 0);
    return NULL;
}

IO_TEST(conversations_cost_no_watching, 2) {
    enum { ROUNDS = 300 };
    int ends[2];
    char buf[8];
    switch_passes_off();
    make_settled(ends);
    hd_thread *t = spawn(answer, &ends[1]);
    for (int i = 0; i < 3; i++) {
        uint64_t before = metrics().io_watches;
        for (int k = 0; k < ROUNDS; k++) {
            CHECK_EQ(hd_send(ends[0], "hi", 2, 0), 2);
            CHECK_EQ(hd_recv(ends[0], buf, sizeof buf, 0), 2);
        }
        /* Each of them waits once a round, or finds what it wants to wait for. If that is so for
         * long, the kernel is told not to tell. */
        CHECK(i == 0 || metrics().io_watches - before < 2 * ROUNDS / 6);
    }
    CHECK_OK(hd_close(ends[0]));
    join(t);
    CHECK_OK(hd_close(ends[1]));
    CHECK_EQ(metrics().io_reused, 0);
    return 0;
}

/* A pass asks the kernel, and finds it right. */
IO_TEST(long_waits_are_checked, 2) {
    int ends[2];
    char c[2];
    pass_often();
    make_settled(ends);
    uint64_t before = metrics().io_watches;
    CHECK_ERR(hd_recv_until(ends[0], c, 2, 0, hd_now_ns() + 1000 * MS), -ETIMEDOUT);
    uint64_t watches = metrics().io_watches - before;
    CHECK_GE(watches, 1);
    CHECK_GE(3, watches); /* not again and again */
    CHECK_EQ(metrics().io_reused, 0);
    close_both(ends);
    return 0;
}

static void *receive_with_patience(void *arg) {
    char c[2];
    CHECK_EQ(hd_recv(*(int *)arg, c, 2, 0), 1);
    return NULL;
}

/* And when there is no doubt left, nobody is awake any more. */
IO_TEST(no_passes_without_doubt, 2) {
    int ends[2];
    pass_often();
    make_settled(ends);
    hd_thread *t = spawn(receive_with_patience, &ends[0]);
    CHECK_OK(hd_sleep_for(100 * MS));
    uint64_t before = metrics().monitor_wakeups;
    CHECK_OK(hd_sleep_for(400 * MS));
    CHECK_GE(100, metrics().monitor_wakeups - before);
    CHECK_EQ(hd_send(ends[1], "x", 1, 0), 1);
    join(t);
    close_both(ends);
    return 0;
}

/* ---- what one event stands for ---- */

static hd_sem arrived;

static void *receive_one(void *arg) {
    char c;
    hd_sem_post(&arrived);
    CHECK_EQ(hd_recv(*(int *)arg, &c, 1, 0), 1);
    return NULL;
}

static void *receive_some(void *arg) {
    char buf[16];
    hd_sem_post(&arrived);
    return (void *)(intptr_t)hd_recv(*(int *)arg, buf, 3, 0);
}

IO_TEST(many_wait_for_one_socket, 2) {
    enum { THREADS = 8, ROUNDS = 30 };
    int ends[2];
    hd_thread *t[THREADS];
    switch_passes_off();
    for (int kind = 0; kind < 2; kind++) {
        make_kind(kind, ends);
        if (kind == 0) settle(ends[0], ends[1]);
        for (int i = 0; i < ROUNDS; i++) {
            for (int k = 0; k < THREADS; k++)
                t[k] = spawn(receive_one, &ends[0]);
            for (int k = 0; k < THREADS; k++)
                CHECK_OK(hd_sem_wait(&arrived));
            if (i % 2) let_wait();
            CHECK_EQ(hd_send(ends[1], "12345678", THREADS, 0), THREADS);
            for (int k = 0; k < THREADS; k++)
                join(t[k]);
        }
        /* Short reads: some get more than others. */
        for (int i = 0; i < ROUNDS; i++) {
            int sum = 0;
            for (int k = 0; k < 2; k++)
                t[k] = spawn(receive_some, &ends[0]);
            for (int k = 0; k < 2; k++)
                CHECK_OK(hd_sem_wait(&arrived));
            if (i % 2) let_wait();
            CHECK_EQ(hd_send(ends[1], "1234", 4, 0), 4);
            for (int k = 0; k < 2; k++)
                sum += (int)(intptr_t)join(t[k]);
            CHECK_EQ(sum, 4);
        }
        close_both(ends);
    }
    return 0;
}

static void *write_much(void *arg) {
    static char much[1 << 20];
    for (size_t n = 0; n < sizeof much;) {
        ssize_t r = hd_send(*(int *)arg, much, sizeof much - n, 0);
        CHECK_GT(r, 0);
        n += (size_t)r;
    }
    return NULL;
}

/* Both directions of one socket at once. */
IO_TEST(one_reads_while_one_writes, 2) {
    int ends[2];
    char buf[4096];
    switch_passes_off();
    make_settled(ends);
    for (int i = 0; i < 5; i++) {
        hd_thread *reader = spawn(receive_one, &ends[0]);
        CHECK_OK(hd_sem_wait(&arrived));
        hd_thread *writer = spawn(write_much, &ends[0]);
        let_wait();
        if (i % 2) CHECK_EQ(hd_send(ends[1], "x", 1, 0), 1);
        for (size_t n = 0; n < 1 << 20;) {
            ssize_t r = hd_recv(ends[1], buf, sizeof buf, 0);
            CHECK_GT(r, 0);
            n += (size_t)r;
        }
        join(writer);
        if (i % 2 == 0) CHECK_EQ(hd_send(ends[1], "x", 1, 0), 1);
        join(reader);
    }
    close_both(ends);
    return 0;
}

/* What one thread leaves is there for the next call, whatever was waited for in between. */
IO_TEST(what_is_left_is_there, 2) {
    int ends[2];
    char buf[8];
    switch_passes_off();
    make_settled(ends);
    for (int i = 0; i < 50; i++) {
        struct pollfd p = {ends[0], POLLIN, 0};
        struct later l = {ends[1], "abcd"};
        test_note("round %d", i);
        hd_thread *t = spawn(send_later, &l);
        if (i % 5 == 0) join(t);
        switch (i % 4) {
        case 0: /* poll takes the event, not what it is about */
            CHECK_EQ(hd_poll(&p, 1, HD_FOREVER), 1);
            break;
        case 1: /* a look */
            CHECK_EQ(hd_recv(ends[0], buf, sizeof buf, MSG_PEEK), 4);
            break;
        case 2: /* calls that are not ours */
            while (recv(ends[0], buf, 1, MSG_DONTWAIT) != 1)
                hd_yield();
            CHECK_EQ(hd_recv(ends[0], buf, 2, 0), 2);
            break;
        case 3: /* a deadline before it comes, perhaps */
            (void)hd_recv_until(ends[0], buf, 1, 0, hd_now_ns() + MS);
            break;
        }
        if (i % 5 != 0) join(t);
        CHECK_GT(hd_recv(ends[0], buf, sizeof buf, 0), 0);
        settle(ends[0], ends[1]);
    }
    close_both(ends);
    return 0;
}

/* Events that nobody waits for: the kernel is told not to report them, and told again to. */
IO_TEST(nobody_listens_for_long, 2) {
    enum { MESSAGES = 200 };
    int ends[2];
    char buf[2 * MESSAGES];
    switch_passes_off();
    for (int i = 0; i < 3; i++) {
        make_settled(ends);
        uint64_t before = metrics().io_watches;
        for (int k = 0; k < MESSAGES; k++) {
            CHECK_EQ(hd_send(ends[1], "m", 1, 0), 1);
            hd_sleep_for(MS / 20);
        }
        CHECK_GE(5, metrics().io_watches - before);
        for (ssize_t n = 0; n < MESSAGES;) {
            ssize_t r = hd_recv(ends[0], buf, i == 0 ? MESSAGES / 2 : sizeof buf, 0);
            CHECK_GT(r, 0);
            n += r;
        }
        settle(ends[0], ends[1]);
        close_both(ends);
    }
    return 0;
}

/* ---- the end of a connection comes with its last data ---- */

IO_TEST(the_end_behind_the_data, 2) {
    int ends[2];
    char buf[8];
    switch_passes_off();
    for (int i = 0; i < 60; i++) {
        make_settled(ends);
        hd_thread *t = i % 3 ? spawn(receive_some, &ends[0]) : NULL;
        if (t) CHECK_OK(hd_sem_wait(&arrived));
        if (i % 3 == 2) let_wait();
        CHECK_EQ(send(ends[1], "e", 1, 0), 1);
        if (i % 2)
            CHECK_EQ(shutdown(ends[1], SHUT_WR), 0);
        else
            CHECK_OK(hd_close(ends[1]));
        if (t)
            CHECK_EQ((intptr_t)join(t), 1);
        else
            CHECK_EQ(hd_recv(ends[0], buf, sizeof buf, 0), 1);
        CHECK_EQ(hd_recv(ends[0], buf, sizeof buf, 0), 0);
        CHECK_EQ(hd_recv(ends[0], buf, sizeof buf, 0), 0);
        CHECK_OK(hd_close(ends[0]));
        if (i % 2) CHECK_OK(hd_close(ends[1]));
    }
    return 0;
}

IO_TEST(a_reset_behind_the_data, 2) {
    int ends[2];
    char buf[8];
    struct linger cut = {1, 0};
    switch_passes_off();
    for (int i = 0; i < 40; i++) {
        make_settled(ends);
        hd_thread *t = i % 2 ? spawn(receive_some, &ends[0]) : NULL;
        if (t) CHECK_OK(hd_sem_wait(&arrived));
        CHECK_EQ(send(ends[1], "e", 1, 0), 1);
        if (i % 4 < 2) let_wait();
        CHECK_EQ(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &cut, sizeof cut), 0);
        CHECK_OK(hd_close(ends[1]));
        ssize_t r = t ? (intptr_t)join(t) : hd_recv(ends[0], buf, sizeof buf, 0);
        CHECK(r == 1 || r == -ECONNRESET);
        r = hd_recv(ends[0], buf, sizeof buf, 0);
        CHECK(r == 0 || r == -ECONNRESET);
        CHECK_OK(hd_close(ends[0]));
    }
    return 0;
}

/* A read stops before urgent data, and so may be short though more is there. */
IO_TEST(data_behind_urgent_data, 2) {
    int ends[2];
    char buf[8];
    switch_passes_off();
    for (int i = 0; i < 20; i++) {
        make_settled(ends);
        CHECK_EQ(send(ends[1], "ab", 2, 0), 2);
        CHECK_EQ(send(ends[1], "c", 1, MSG_OOB), 1);
        CHECK_EQ(send(ends[1], "de", 2, 0), 2);
        if (i % 2) let_wait();
        for (ssize_t n = 0; n < 4;) {
            ssize_t r = hd_recv(ends[0], buf, sizeof buf, 0);
            CHECK_GT(r, 0);
            n += r;
        }
        close_both(ends);
    }
    return 0;
}

/* ---- datagrams: a short one says nothing of the next ---- */

IO_TEST(datagrams_that_come_at_once, 2) {
    int ends[2];
    char buf[64];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    switch_passes_off();
    for (int kind = 0; kind < 2; kind++) {
        if (kind == 0) {
            make_pair(SOCK_DGRAM, ends);
        } else {
            for (int i = 0; i < 2; i++)
                CHECK_GE(ends[i] = socket(AF_INET, SOCK_DGRAM, 0), 0);
            CHECK_EQ(bind(ends[0], (struct sockaddr *)&at, sizeof at), 0);
            CHECK_EQ(getsockname(ends[0], (struct sockaddr *)&at, &len), 0);
            CHECK_OK(hd_connect(ends[1], (struct sockaddr *)&at, sizeof at));
        }
        for (int i = 0; i < 20; i++) {
            struct later l = {ends[1], "late"};
            for (int k = 0; k < 5; k++)
                CHECK_EQ(hd_send(ends[1], "early", 5, 0), 5);
            hd_thread *t = spawn(send_later, &l);
            for (int k = 0; k < 5; k++)
                CHECK_EQ(hd_recv(ends[0], buf, sizeof buf, 0), 5);
            CHECK_EQ(hd_recv(ends[0], buf, sizeof buf, 0), 4);
            join(t);
        }
        close_both(ends);
    }
    return 0;
}

/* ---- offers (src/io/sleep.c) ---- */

static int32_t credit_after(int32_t credit, uint64_t made_ns, uint32_t events, bool more) {
    struct hd__io_offers o = {credit, atomic_load(&hd__io.events) - events, made_ns};
    hd__io_judge_offer(&o, more);
    CHECK_EQ(o.made_ns, 0);
    return o.credit;
}

TEST(offers_are_made_while_they_pay) {
    int32_t most = credit_after(0, 1, 1, false);
    CHECK_GT(most, 1);
    CHECK_EQ(credit_after(3, MS, 100, false), most);
    CHECK_EQ(credit_after(3, MS, 0, true), most);
    /* One that led to nothing, short or long. */
    CHECK_EQ(credit_after(3, 1000, 0, false), 2);
    int32_t pause = credit_after(0, 1000, 0, false), longer = credit_after(most, MS, 10, false);
    CHECK_GT(-10, pause);
    CHECK_GT(pause, longer);
}

static void *serve_for_long(void *arg) {
    char buf[8];
    ssize_t n;
    int fd = *(int *)arg;
    while ((n = hd_recv(fd, buf, sizeof buf, 0)) > 0)
        CHECK_EQ(hd_send(fd, buf, (size_t)n, 0), n);
    return NULL;
}

/* A timer that is due soon comes first. */
IO_TEST(no_offers_before_a_timer, 1) {
    int ends[2];
    make_connection(ends);
    hd_thread *t = spawn(serve_for_long, &ends[1]);
    let_wait();
    struct hd__io_offers *o = &hd__io.counts[0].offers;
    for (int i = 0; i < 20; i++) { /* while it waits for input, we sleep for a moment */
        o->credit = 1000000;
        o->made_ns = 0;
        CHECK_OK(hd_sleep_for(MS));
        CHECK_EQ(o->credit, 1000000);
        CHECK_EQ(o->made_ns, 0);
    }
    CHECK_OK(hd_sleep_for(50 * MS));
    CHECK(o->credit != 1000000 || o->made_ns != 0);
    CHECK_OK(hd_close(ends[0]));
    join(t);
    CHECK_OK(hd_close(ends[1]));
    return 0;
}
