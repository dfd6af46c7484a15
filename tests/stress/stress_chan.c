/* SPDX-License-Identifier: MIT */
/* Races on channels: senders, receivers, closers, deadlines and interruptions against each other.
 * What was sent is received once, in order, and nothing else is. */
#include "crew.h"

#include <string.h>

enum { TESTS = 4 };

/* ---- many to many: every success of a send is one success of a receive ---- */

enum { SENDERS_MAX = 16 };

struct message {
    unsigned sender;
    unsigned long number; /* 1, 2, ... of each sender */
    unsigned char filling[];
};

struct traffic {
    hd_chan *chan;
    size_t elem_size;
    unsigned senders; /* members 0 to senders - 1 send, the others receive */
    _Atomic unsigned sending;
    _Atomic unsigned long sent, received;
    _Atomic uint64_t sent_sum, received_sum;
};

static unsigned char filling_of(const struct message *msg) {
    return (unsigned char)(msg->sender * 37 + msg->number);
}

static void send_all(struct crew_member *m, struct traffic *t) {
    struct message *msg = calloc(1, t->elem_size);
    msg->sender = m->index;
    unsigned long sent = 0;
    uint64_t sum = 0;
    while (crew_goes_on(m)) {
        int err;
        msg->number = sent + 1;
        memset(msg->filling, filling_of(msg), t->elem_size - sizeof *msg);
        switch (test_rng_below(&m->rng, 3)) {
        case 0:
            err = hd_chan_trysend(t->chan, msg);
            CHECK(err == 0 || err == -EAGAIN);
            break;
        case 1:
            err = hd_chan_send_until(t->chan, msg, crew_deadline(m));
            CHECK(err == 0 || err == -ETIMEDOUT || err == -EINTR);
            break;
        default:
            err = hd_chan_send(t->chan, msg);
            CHECK(err == 0 || err == -EINTR);
        }
        if (err == 0) {
            sent++;
            sum += msg->number * (m->index + 1);
        }
        if (err == -EAGAIN || crew_chance(m, 8))
            crew_pause(m);
    }
    free(msg);
    atomic_fetch_add(&t->sent, sent);
    atomic_fetch_add(&t->sent_sum, sum);
    if (atomic_fetch_sub(&t->sending, 1) == 1)
        hd_chan_close(t->chan);
}

static void recv_all(struct crew_member *m, struct traffic *t) {
    struct message *msg = calloc(1, t->elem_size);
    unsigned long last[SENDERS_MAX] = {0}, received = 0;
    uint64_t sum = 0;
    for (;;) {
        int err;
        switch (test_rng_below(&m->rng, 3)) {
        case 0:
            err = hd_chan_tryrecv(t->chan, msg);
            break;
        case 1:
            err = hd_chan_recv_until(t->chan, msg, crew_deadline(m));
            break;
        default:
            err = hd_chan_recv(t->chan, msg);
        }
        if (err == -EPIPE)
            break;
        if (err != 0) {
            CHECK(err == -EAGAIN || err == -ETIMEDOUT || err == -EINTR);
            crew_pause(m);
            continue;
        }
        CHECK_LT(msg->sender, t->senders);
        CHECK_GT(msg->number, last[msg->sender]);
        last[msg->sender] = msg->number;
        for (size_t i = 0; i < t->elem_size - sizeof *msg; i++)
            CHECK_EQ(msg->filling[i], filling_of(msg));
        received++;
        sum += msg->number * (msg->sender + 1);
        if (crew_chance(m, 8))
            crew_pause(m);
    }
    free(msg);
    atomic_fetch_add(&t->received, received);
    atomic_fetch_add(&t->received_sum, sum);
}

static void send_or_recv(struct crew_member *m) {
    struct traffic *t = m->shared;
    if (m->index < t->senders)
        send_all(m, t);
    else
        recv_all(m, t);
}

/* Foreign threads have the last indices, so they receive in one half of the cases. */
static void carry(size_t capacity, size_t filling, unsigned senders, unsigned receivers) {
    size_t elem_size = sizeof(struct message) + filling;
    struct traffic t = {.chan = hd_chan_create(elem_size, capacity),
                        .elem_size = elem_size,
                        .senders = senders,
                        .sending = senders};
    CHECK(t.chan != NULL);
    unsigned members = senders + receivers, foreign = members > 2 ? 2 : receivers;
    crew_run(send_or_recv, &t, members - foreign, foreign, crew_time_ns(TESTS) / 8, true);
    test_note("capacity %zu, %zu bytes, %u to %u: %lu", capacity, elem_size, senders, receivers,
              atomic_load(&t.sent));
    CHECK_EQ(atomic_load(&t.sent), atomic_load(&t.received));
    CHECK_EQ(atomic_load(&t.sent_sum), atomic_load(&t.received_sum));
    hd_chan_destroy(t.chan);
}

STRESS_TEST(chan_carries_each_message_once) {
    carry(0, 0, 6, 6);
    carry(1, 0, 6, 6);
    carry(2, 100, 6, 2);
    carry(7, 0, 2, 6);
    carry(64, 0, 6, 6);
    carry(0, 3000, 6, 1);
    carry(0, 0, 1, 1);
    carry(1, 8, 1, 1);
    return 0;
}

/* ---- close at any moment: what was sent before is still received ---- */

struct closing {
    hd_chan *chan; /* a fresh one each round, made by member 0 while the others wait for `go` */
    _Atomic long sent, received;
    hd_waitgroup turn; /* members that have not come back from this round */
    hd_sem go[CREW_THREADS_MAX];
    bool stop;
};

static void one_round(struct crew_member *m, struct closing *c) {
    hd_chan *chan = c->chan;
    int err = 0;
    long value = 1;
    if (m->index == 0) {
        crew_pause(m);
        crew_pause(m);
        hd_chan_close(chan);
    }
    while (err != -EPIPE) {
        if (m->index % 2 == 0) {
            err = hd_chan_send_until(chan, &value, crew_deadline(m));
            if (err == 0)
                atomic_fetch_add(&c->sent, 1);
        } else {
            err = hd_chan_recv_until(chan, &value, crew_deadline(m));
            if (err == 0)
                atomic_fetch_add(&c->received, 1);
        }
        CHECK(err == 0 || err == -EPIPE || err == -EINTR || err == -ETIMEDOUT);
    }
}

static void start_others(struct crew_member *m, struct closing *c) {
    unsigned members = m->crew->threads + m->crew->foreign;
    hd_waitgroup_add(&c->turn, members - 1);
    for (unsigned i = 1; i < members; i++)
        hd_sem_post(&c->go[i]);
}

static void close_rounds(struct crew_member *m) {
    struct closing *c = m->shared;
    while (m->index != 0) {
        while (hd_sem_wait(&c->go[m->index]) != 0) {
        }
        if (c->stop)
            return;
        one_round(m, c);
        hd_waitgroup_done(&c->turn);
    }
    while (crew_goes_on(m)) {
        c->chan = hd_chan_create(sizeof(long), test_rng_below(&m->rng, 4));
        CHECK(c->chan != NULL);
        start_others(m, c);
        one_round(m, c);
        while (hd_waitgroup_wait(&c->turn) != 0) {
        }
        CHECK_EQ(atomic_load(&c->sent), atomic_load(&c->received));
        hd_chan_destroy(c->chan);
    }
    c->stop = true;
    start_others(m, c);
}

STRESS_TEST(chan_close_loses_nothing) {
    struct closing c = {.stop = false};
    crew_run(close_rounds, &c, 6, 2, crew_time_ns(TESTS), true);
    return 0;
}

/* ---- a channel that the receiver destroys as soon as it has what it waits for ---- */

static void reply_once(struct crew_member *m) {
    hd_chan *requests = m->shared, *reply;
    int err;
    if (m->index % 2 != 0) {
        for (;;) {
            while ((err = hd_chan_recv(requests, &reply)) != 0)
                CHECK_EQ(err, -EINTR);
            if (reply == NULL)
                return;
            uint64_t value = (uint64_t)(uintptr_t)reply;
            while ((err = hd_chan_send(reply, &value)) != 0)
                CHECK_EQ(err, -EINTR);
        }
    }
    while (crew_goes_on(m)) {
        uint64_t value = 0;
        reply = hd_chan_create(sizeof value, test_rng_below(&m->rng, 2));
        CHECK(reply != NULL);
        while (hd_chan_send(requests, &reply) != 0) {
        }
        if (crew_chance(m, 3))
            crew_pause(m);
        while (hd_chan_recv_until(reply, &value, crew_deadline(m)) != 0) {
        }
        CHECK_EQ(value, (uint64_t)(uintptr_t)reply);
        hd_chan_destroy(reply);
    }
    for (reply = NULL; hd_chan_send(requests, &reply) != 0;) {
    }
}

STRESS_TEST(chan_is_destroyed_by_its_receiver) {
    hd_chan *requests = hd_chan_create(sizeof(hd_chan *), 2);
    CHECK(requests != NULL);
    crew_run(reply_once, requests, 10, 2, crew_time_ns(TESTS), true);
    hd_chan_destroy(requests);
    return 0;
}

/* ---- a ring of threads that passes tokens on ---- */

enum { STATIONS = 8, TOKENS = 5 };

struct ring {
    hd_chan *chans[STATIONS];
    _Atomic unsigned long passed;
};

static void pass_on(struct crew_member *m) {
    struct ring *ring = m->shared;
    hd_chan *from = ring->chans[m->index], *to = ring->chans[(m->index + 1) % STATIONS];
    unsigned long token = m->index + 1;
    int err = 0;
    if (m->index < TOKENS) {
        do
            err = hd_chan_send_until(to, &token, crew_deadline(m));
        while (err == -EINTR || err == -ETIMEDOUT);
    }
    while (err != -EPIPE && crew_goes_on(m)) {
        err = hd_chan_recv_until(from, &token, crew_deadline(m));
        if (err == -EPIPE)
            break;
        if (err != 0)
            continue;
        CHECK(token >= 1 && token <= TOKENS);
        atomic_fetch_add_explicit(&ring->passed, 1, memory_order_relaxed);
        do
            err = hd_chan_send_until(to, &token, crew_deadline(m));
        while (err == -EINTR || err == -ETIMEDOUT);
        if (err == -EPIPE)
            break;
    }
    /* Ends the two beside it, whichever way they wait, and so on around the ring. */
    hd_chan_close(from);
    hd_chan_close(to);
}

STRESS_TEST(chan_tokens_go_round) {
    struct ring ring = {.passed = 0};
    for (int i = 0; i < STATIONS; i++)
        CHECK((ring.chans[i] = hd_chan_create(sizeof(unsigned long), i % 3)) != NULL);
    crew_run(pass_on, &ring, STATIONS - 2, 2, crew_time_ns(TESTS), true);
    test_note("%lu passed", atomic_load(&ring.passed));
    for (int i = 0; i < STATIONS; i++)
        hd_chan_destroy(ring.chans[i]);
    return 0;
}
