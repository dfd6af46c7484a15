/* SPDX-License-Identifier: MIT */
/* Races of hd_select(): sends, receives, events, deadlines, interruptions and closing against each
 * other, many of them selecting on both sides. Each element that was sent is received once, and
 * those of one sender on one channel in order. */
#include "crew.h"

enum { TESTS = 3, CHANS = 4, MEMBERS_MAX = CREW_THREADS_MAX + CREW_FOREIGN_MAX };

struct message {
    uint64_t number; /* 1, 2, ... of each sender on each channel */
    unsigned sender, chan;
};

struct market {
    hd_chan *chans[CHANS];
    hd_event bell;
    _Atomic unsigned sending;
    _Atomic uint64_t sent[CHANS], received[CHANS], sums_sent, sums_received, chosen, events;
};

static const size_t capacities[CHANS] = {0, 1, 5, HD_CHAN_UNBOUNDED};

struct trader {
    struct market *market;
    uint64_t sent[CHANS], last[CHANS][MEMBERS_MAX];
    uint64_t sum_sent, sum_received;
};

static void note_received(struct trader *t, const struct message *m, int chan) {
    CHECK_EQ(m->chan, (unsigned)chan);
    CHECK_LT(m->sender, (unsigned)MEMBERS_MAX);
    CHECK_GT(m->number, t->last[chan][m->sender]);
    t->last[chan][m->sender] = m->number;
    t->sum_received += m->number * (m->sender + 1);
    atomic_fetch_add_explicit(&t->market->received[chan], 1, memory_order_relaxed);
}

static void note_sent(struct trader *t, const struct message *m, int chan) {
    t->sent[chan]++;
    t->sum_sent += m->number * (m->sender + 1);
    atomic_fetch_add_explicit(&t->market->sent[chan], 1, memory_order_relaxed);
}

/* Some cases in some order, at most one of a kind for each channel. */
static unsigned fill(struct crew_member *m, struct trader *t, struct hd_select_case *cases,
                     int *chan, struct message *in, struct message *out, bool may_send) {
    unsigned n = 0;
    for (int i = 0; i < 2 * CHANS; i++) {
        int c = i % CHANS;
        if (!crew_chance(m, 2)) continue;
        chan[n] = c;
        if (i < CHANS) {
            cases[n++] = (struct hd_select_case)HD_CASE_RECV(t->market->chans[c], &in[c]);
        } else if (may_send && (c != 3 || crew_chance(m, 4))) {
            out[c] = (struct message){t->sent[c] + 1, m->index, (unsigned)c};
            cases[n++] = (struct hd_select_case)HD_CASE_SEND(t->market->chans[c], &out[c]);
        }
    }
    if (crew_chance(m, 3)) {
        chan[n] = -1;
        cases[n++] = (struct hd_select_case)HD_CASE_EVENT(&t->market->bell);
    }
    for (unsigned i = n; i > 1; i--) {
        unsigned j = (unsigned)test_rng_below(&m->rng, i);
        struct hd_select_case one = cases[i - 1];
        int c = chan[i - 1];
        cases[i - 1] = cases[j];
        chan[i - 1] = chan[j];
        cases[j] = one;
        chan[j] = c;
    }
    return n;
}

/* Selects once. False: nothing is open and full any more. */
static void trade_once(struct crew_member *m, struct trader *t) {
    struct hd_select_case cases[2 * CHANS + 1];
    struct message in[CHANS], out[CHANS];
    int chan[2 * CHANS + 1];
    unsigned n = fill(m, t, cases, chan, in, out, true);
    uint64_t deadline_ns = crew_deadline(m);
    if (m->foreign && deadline_ns == HD_FOREVER) /* nobody interrupts it, and all may receive */
        deadline_ns = hd_now_ns() + 100 * 1000;
    int i = hd_select(cases, n, deadline_ns);
    if (i < 0) {
        CHECK(i == -ETIMEDOUT || i == -EINTR);
        return;
    }
    CHECK_LT((unsigned)i, n);
    CHECK_OK(cases[i].result);
    atomic_fetch_add_explicit(&t->market->chosen, 1, memory_order_relaxed);
    if (cases[i].op == HD_SELECT_EVENT) {
        atomic_fetch_add_explicit(&t->market->events, 1, memory_order_relaxed);
        hd_event_reset(&t->market->bell);
    } else if (cases[i].op == HD_SELECT_RECV) {
        note_received(t, &in[chan[i]], chan[i]);
    } else {
        note_sent(t, &out[chan[i]], chan[i]);
    }
}

/* Plain calls among those that select. */
static void trade_plainly(struct crew_member *m, struct trader *t) {
    int c = (int)test_rng_below(&m->rng, CHANS), err;
    struct message msg = {t->sent[c] + 1, m->index, (unsigned)c};
    if (crew_chance(m, 2)) {
        err = hd_chan_send_until(t->market->chans[c], &msg, hd_now_ns() + 20 * 1000);
        if (err == 0) note_sent(t, &msg, c);
    } else {
        err = hd_chan_recv_until(t->market->chans[c], &msg, hd_now_ns() + 20 * 1000);
        if (err == 0) note_received(t, &msg, c);
    }
    CHECK(err == 0 || err == -ETIMEDOUT || err == -EINTR);
}

/* The last one to stop closes, and everybody receives what is left. */
static void receive_the_rest(struct trader *t) {
    struct message in[CHANS];
    struct hd_select_case cases[CHANS];
    unsigned open = CHANS;
    if (atomic_fetch_sub(&t->market->sending, 1) == 1)
        for (int c = 0; c < CHANS; c++) hd_chan_close(t->market->chans[c]);
    for (int c = 0; c < CHANS; c++)
        cases[c] = (struct hd_select_case)HD_CASE_RECV(t->market->chans[c], &in[c]);
    while (open > 0) {
        int c = hd_select(cases, CHANS, HD_FOREVER);
        if (c == -EINTR) continue;
        CHECK_GE(c, 0);
        if (cases[c].result == 0) {
            note_received(t, &in[c], c);
        } else {
            CHECK_ERR(cases[c].result, -EPIPE);
            cases[c].op = HD_SELECT_NONE;
            open--;
        }
    }
}

static void trade(struct crew_member *m) {
    struct trader *t = calloc(1, sizeof *t);
    t->market = m->shared;
    while (crew_goes_on(m)) {
        if (crew_chance(m, 4))
            trade_plainly(m, t);
        else
            trade_once(m, t);
        if (crew_chance(m, 16)) hd_event_set(&t->market->bell);
        if (crew_chance(m, 8)) crew_pause(m);
    }
    receive_the_rest(t);
    atomic_fetch_add(&t->market->sums_sent, t->sum_sent);
    atomic_fetch_add(&t->market->sums_received, t->sum_received);
    free(t);
}

static void play(unsigned threads, unsigned foreign) {
    struct market market = {.sending = threads + foreign};
    for (int c = 0; c < CHANS; c++)
        CHECK((market.chans[c] = hd_chan_create(sizeof(struct message), capacities[c])) != NULL);
    crew_run(trade, &market, threads, foreign, crew_time_ns(TESTS), true);
    test_note("%u threads, %u foreign: %lu choices, %lu of them events", threads, foreign,
              (unsigned long)market.chosen, (unsigned long)market.events);
    for (int c = 0; c < CHANS; c++) {
        CHECK_EQ(market.sent[c], market.received[c]);
        hd_chan_destroy(market.chans[c]);
    }
    CHECK_EQ(market.sums_sent, market.sums_received);
    CHECK_GT(market.chosen, 0);
}

static int threads_alone(void *arg) {
    (void)arg;
    play(10, 0);
    return 0;
}

static int both_kinds(void *arg) {
    (void)arg;
    play(8, 3);
    return 0;
}

TEST_WITHIN(select_of_threads_on_one_worker, 60) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .slice_us = 100), threads_alone, NULL));
}

TEST_WITHIN(select_of_threads_on_two_workers, 60) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2, .slice_us = 100), threads_alone, NULL));
}

TEST_WITHIN(select_of_threads_and_foreign_threads, 60) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), both_kinds, NULL));
}
