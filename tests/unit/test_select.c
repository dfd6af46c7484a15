/* SPDX-License-Identifier: MIT */
/* The choice between channels and events: what hd_select() promises. Races are stress_select's
 * part. */
#include "runtime_test.h"

static hd_chan *create(size_t capacity) {
    hd_chan *c = hd_chan_create(sizeof(int), capacity);
    CHECK(c != NULL);
    return c;
}

TEST(select_takes_what_can_go_on) {
    hd_chan *a = create(1), *b = create(1);
    hd_event e = HD_EVENT_INIT;
    int in = 7, out = 0;
    struct hd_select_case cases[] = {HD_CASE_RECV(a, &out), HD_CASE_RECV(b, &out),
                                     HD_CASE_EVENT(&e), {.op = HD_SELECT_NONE}};
    CHECK_EQ(hd_select(cases, 4, 0), -ETIMEDOUT);
    CHECK_EQ(hd_select(cases, 4, hd_now_ns() + MS), -ETIMEDOUT);
    CHECK_OK(hd_chan_send(b, &in));
    CHECK_EQ(hd_select(cases, 4, HD_FOREVER), 1);
    CHECK_OK(cases[1].result);
    CHECK_EQ(out, 7);
    hd_event_set(&e);
    CHECK_EQ(hd_select(cases, 4, 0), 2);
    CHECK_EQ(hd_select(cases, 4, HD_FOREVER), 2); /* it stays set */
    CHECK(hd_event_is_set(&e));
    hd_event_reset(&e);
    struct hd_select_case send[] = {HD_CASE_SEND(a, &in)};
    CHECK_EQ(hd_select(send, 1, HD_FOREVER), 0);
    CHECK_EQ(hd_select(send, 1, 0), -ETIMEDOUT);
    CHECK_OK(hd_chan_tryrecv(a, &out));
    hd_chan_destroy(a);
    hd_chan_destroy(b);
}

TEST(select_tells_of_closed_channels) {
    hd_chan *a = create(1);
    int value = 3;
    struct hd_select_case send[] = {HD_CASE_SEND(a, &value)}, recv[] = {HD_CASE_RECV(a, &value)};
    CHECK_EQ(hd_select(send, 1, 0), 0);
    hd_chan_close(a);
    CHECK_EQ(hd_select(send, 1, HD_FOREVER), 0);
    CHECK_ERR(send[0].result, -EPIPE);
    CHECK_EQ(hd_select(recv, 1, HD_FOREVER), 0);
    CHECK_OK(recv[0].result); /* what was left */
    CHECK_EQ(hd_select(recv, 1, HD_FOREVER), 0);
    CHECK_ERR(recv[0].result, -EPIPE);
    hd_chan_destroy(a);
}

RUNTIME_TEST(select_of_nothing_sleeps, 1) {
    uint64_t until = hd_now_ns() + 2 * MS;
    CHECK_EQ(hd_select(NULL, 0, until), -ETIMEDOUT);
    CHECK_GE(hd_now_ns(), until);
    hd_interrupt(hd_self());
    CHECK_EQ(hd_select(NULL, 0, HD_FOREVER), -EINTR);
    hd_interrupt(hd_self());
    CHECK_EQ(hd_select(NULL, 0, 0), -EINTR);
    return 0;
}

struct waiting {
    struct hd_select_case cases[16];
    size_t n;
    int out[16];
    uint64_t deadline_ns;
};

static void *select_them(void *arg) {
    struct waiting *w = arg;
    return (void *)(intptr_t)hd_select(w->cases, w->n, w->deadline_ns);
}

static void check_wake(bool from_outside, int how) {
    hd_chan *a = create(0), *b = create(1), *full = create(1);
    hd_event e = HD_EVENT_INIT;
    int value = 20 + how, got = 0;
    CHECK_OK(hd_chan_send(full, &(int){1}));
    struct waiting w = {{HD_CASE_RECV(a, &w.out[0]), HD_CASE_RECV(b, &w.out[1]),
                         HD_CASE_SEND(full, &w.out[2]), HD_CASE_EVENT(&e)},
                        4, {0, 0, 33}, HD_FOREVER};
    pthread_t outside = 0;
    hd_thread *t = NULL;
    if (from_outside)
        outside = foreign(select_them, &w);
    else
        t = spawn(select_them, &w);
    let_wait();
    switch (how) {
    case 0: CHECK_OK(hd_chan_send(a, &value)); break;
    case 1: CHECK_OK(hd_chan_send(b, &value)); break;
    case 2: CHECK_OK(hd_chan_recv(full, &got)); break;
    case 3: hd_event_set(&e); break;
    case 4: hd_chan_close(a); break;
    default: hd_chan_close(full);
    }
    int index = (int)(intptr_t)(from_outside ? foreign_join(outside) : join(t));
    CHECK_EQ(index, how < 4 ? how : how == 4 ? 0 : 2);
    CHECK_EQ(w.cases[index].result, how < 4 ? 0 : -EPIPE);
    if (how < 2) CHECK_EQ(w.out[how], value);
    if (how == 2) {
        CHECK_OK(hd_chan_tryrecv(full, &got));
        CHECK_EQ(got, 33);
    }
    CHECK_ERR(hd_chan_trysend(a, &value), how == 4 ? -EPIPE : -EAGAIN); /* nobody waits there */
    CHECK_EQ(hd_chan_count(b), 0);
    hd_chan_destroy(a);
    hd_chan_destroy(b);
    hd_chan_destroy(full);
}

RUNTIME_TEST(select_waits_for_all_of_them, 2) {
    for (int how = 0; how < 6; how++) {
        check_wake(false, how);
        check_wake(true, how);
    }
    return 0;
}

RUNTIME_TEST(select_of_many_cases, 2) {
    hd_chan *c[16];
    struct waiting w = {.n = 16, .deadline_ns = HD_FOREVER};
    for (int i = 0; i < 16; i++) {
        c[i] = create(0);
        w.cases[i] = (struct hd_select_case)HD_CASE_RECV(c[i], &w.out[i]);
    }
    for (int i = 0; i < 16; i++) {
        hd_thread *t = spawn(select_them, &w);
        if (i % 2) let_wait();
        CHECK_OK(hd_chan_send(c[i], &i));
        CHECK_EQ((intptr_t)join(t), i);
        CHECK_EQ(w.out[i], i);
    }
    for (int i = 0; i < 16; i++) hd_chan_destroy(c[i]);
    return 0;
}

RUNTIME_TEST(select_meets_select, 2) {
    hd_chan *a = create(0), *b = create(0);
    int got = 0;
    for (int i = 0; i < 200; i++) {
        struct waiting w = {{HD_CASE_SEND(a, &w.out[0]), HD_CASE_SEND(b, &w.out[0])},
                            2, {i}, HD_FOREVER};
        struct hd_select_case mine[] = {HD_CASE_RECV(b, &got), HD_CASE_RECV(a, &got)};
        hd_thread *t = spawn(select_them, &w);
        if (i % 4 == 0) hd_yield();
        int index = hd_select(mine, 2, HD_FOREVER);
        CHECK_EQ(got, i);
        CHECK_EQ((intptr_t)join(t), 1 - index);
    }
    hd_chan_destroy(a);
    hd_chan_destroy(b);
    return 0;
}

RUNTIME_TEST(select_does_not_meet_itself, 1) {
    hd_chan *a = create(0);
    int in = 1, out = 2;
    struct hd_select_case cases[] = {HD_CASE_SEND(a, &in), HD_CASE_RECV(a, &out),
                                     HD_CASE_RECV(a, &out)};
    CHECK_EQ(hd_select(cases, 3, hd_now_ns() + 2 * MS), -ETIMEDOUT);
    CHECK_EQ(out, 2);
    hd_chan_destroy(a);
    return 0;
}

RUNTIME_TEST(select_is_interrupted_once, 2) {
    hd_chan *a = create(0);
    struct waiting w = {{HD_CASE_RECV(a, &w.out[0])}, 1, {0}, HD_FOREVER};
    hd_thread *t = spawn(select_them, &w);
    let_wait();
    hd_interrupt(t);
    CHECK_EQ((intptr_t)join(t), -EINTR);
    hd_interrupt(hd_self());
    CHECK_EQ(hd_select(w.cases, 1, 0), -EINTR);
    CHECK_EQ(hd_select(w.cases, 1, 0), -ETIMEDOUT);
    hd_chan_destroy(a);
    return 0;
}

/* Each of 16,000 choices falls on one of 4 with a chance of 1/4: 4000, with a deviation of 55. */
TEST(select_is_fair) {
    enum { CASES = 5, TURNS = 16000 };
    hd_chan *c[CASES];
    struct hd_select_case cases[CASES];
    unsigned chosen[CASES] = {0};
    int value = 0;
    for (int i = 0; i < CASES; i++) {
        c[i] = create(1);
        cases[i] = (struct hd_select_case)HD_CASE_RECV(c[i], &value);
        if (i != 2) CHECK_OK(hd_chan_send(c[i], &i)); /* four of five can go on */
    }
    for (int turn = 0; turn < TURNS; turn++) {
        int i = hd_select(cases, CASES, HD_FOREVER);
        CHECK_EQ(value, i);
        CHECK_OK(hd_chan_send(c[i], &i));
        chosen[i]++;
    }
    for (int i = 0; i < CASES; i++) {
        if (i == 2) {
            CHECK_EQ(chosen[i], 0);
        } else {
            CHECK_GT(chosen[i], 3600);
            CHECK_LT(chosen[i], 4400);
        }
        hd_chan_destroy(c[i]);
    }
}

TEST(select_works_with_unbounded_channels) {
    hd_chan *c = create(HD_CHAN_UNBOUNDED);
    int out;
    for (int i = 0; i < 5000; i++) {
        struct hd_select_case send[] = {HD_CASE_SEND(c, &i)};
        CHECK_EQ(hd_select(send, 1, HD_FOREVER), 0);
        CHECK_OK(send[0].result);
    }
    struct hd_select_case recv[] = {HD_CASE_RECV(c, &out)};
    for (int i = 0; i < 5000; i++) {
        CHECK_EQ(hd_select(recv, 1, HD_FOREVER), 0);
        CHECK_EQ(out, i);
    }
    CHECK_EQ(hd_select(recv, 1, 0), -ETIMEDOUT);
    hd_chan_destroy(c);
}

TEST(select_misuse_dies) {
    struct hd_select_case bad = {.op = (enum hd_select_op)9}, none = {.op = HD_SELECT_SEND},
                          no_event = {.op = HD_SELECT_EVENT};
    CHECK_DEATH("case 0 has op 9", hd_select(&bad, 1, 0));
    CHECK_DEATH("case 0 names no channel", hd_select(&none, 1, 0));
    CHECK_DEATH("case 0 names no event", hd_select(&no_event, 1, 0));
    CHECK_DEATH("the cases' address is NULL", hd_select(NULL, 1, 0));
}
