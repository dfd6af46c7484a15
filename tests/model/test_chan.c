/* SPDX-License-Identifier: MIT */
/* Channels: sync/chan.c and sync/chan_many.c over the real parking. What is sent is received once
 * and in order, through a ring, from hand to hand, or through blocks; closing ends all waits, and a
 * sender that is told of it has sent nothing; nobody waits for ever; and the receiver of the last
 * element may destroy the channel while the send still returns. */
#include "party.h"
#include "test.h"

#include "sync/chan.c"
#include "sync/select.c"
#define result_of batch_result_of
#include "sync/chan_many.c"

MODEL_ABSENT(bool, hd_event_is_set, const hd_event *e HD__UNUSED)
MODEL_ABSENT(bool, hd__event_queue, hd_event *e HD__UNUSED, struct hd__wait *w HD__UNUSED)
MODEL_ABSENT(void, hd__event_unqueue, hd_event *e HD__UNUSED, struct hd__wait *w HD__UNUSED)

void *hd__os_heap_alloc(size_t bytes) { return model_alloc(bytes); }
void hd__os_heap_free(void *p) { if (p) model_free(p); }

static hd_chan *chan;
static _Atomic int sent, lost, received; /* bits: of which elements */

static void setup_of(size_t capacity) {
    party_setup();
    chan = hd_chan_create(sizeof(uint64_t), capacity);
    model_name(&chan->guard, 4, "guard");
    model_name(chan, sizeof *chan, "chan");
}

static void setup_unbuffered(void) { setup_of(0); }
static void setup_one_place(void) { setup_of(1); }

/* With an element a block, so that each one comes and goes. */
static void setup_unbounded(void) {
    setup_of(HD_CHAN_UNBOUNDED);
    chan->per_block = 1;
}

/* ---- What the threads do ---- */

static void note(_Atomic int *where, uint64_t elem) {
    atomic_fetch_or_explicit(where, 1 << elem, memory_order_relaxed);
}

static void note_sent(int err, uint64_t elem) {
    MODEL_ASSERT(err == 0 || err == -EPIPE || err == -ETIMEDOUT || err == -EINTR || err == -EAGAIN);
    note(err == 0 ? &sent : &lost, elem);
}

static void send(uint64_t elem, uint64_t deadline_ns) {
    note_sent(hd_chan_send_until(chan, &elem, deadline_ns), elem);
}

/* The element, or 0 once it is closed, or the wait has ended otherwise. */
static uint64_t receive(uint64_t deadline_ns) {
    uint64_t elem = 0;
    int err = hd_chan_recv_until(chan, &elem, deadline_ns);
    MODEL_ASSERT(err == 0 || err == -EPIPE || err == -ETIMEDOUT || err == -EINTR);
    MODEL_ASSERT((err == 0) == (elem != 0));
    if (elem) note(&received, elem);
    return elem;
}

static void sends_1(void) { send(1, HD_FOREVER); }
static void sends_2(void) { send(2, HD_FOREVER); }

/* Who gives up ends it for the others, too. */
static void sends_until(void) {
    send(1, 1);
    if (lost) hd_chan_close(chan);
}

static void sends_both(void) {
    sends_1();
    sends_2();
}

static void tries_to_send(void) {
    uint64_t two = 2;
    note_sent(hd_chan_trysend(chan, &two), 2);
}

static void receives(void) { (void)receive(HD_FOREVER); }

static void receives_until(void) {
    if (!receive(1)) hd_chan_close(chan);
}

static void receives_both(void) {
    uint64_t first = receive(HD_FOREVER), second = receive(HD_FOREVER);
    MODEL_ASSERT(first + second == 3);
}

static void receives_in_order(void) {
    MODEL_ASSERT(receive(HD_FOREVER) == 1);
    MODEL_ASSERT(receive(HD_FOREVER) == 2);
}

static void receives_all(void) {
    while (receive(HD_FOREVER)) {
    }
}

static void tries_to_receive(void) {
    uint64_t elem = 0;
    if (hd_chan_tryrecv(chan, &elem) == 0) note(&received, elem);
}

static void sends_many(void) {
    uint64_t elems[] = {1, 2};
    ssize_t n = hd_chan_send_many(chan, elems, 2);
    MODEL_ASSERT(n == 2 || n == 1 || n == -EPIPE);
    note_sent(n >= 1 ? 0 : -EPIPE, 1);
    note_sent(n == 2 ? 0 : -EPIPE, 2);
}

static void receives_many(void) {
    uint64_t elems[2];
    for (uint64_t got = 0; got < 2;) {
        ssize_t n = hd_chan_recv_many(chan, elems, 2 - got);
        MODEL_ASSERT(n >= 1);
        for (ssize_t i = 0; i < n; i++) {
            MODEL_ASSERT(elems[i] == ++got);
            note(&received, got);
        }
    }
}

static void closes(void) { hd_chan_close(chan); }
static void expires(void) { party_expire(0); }
static void interrupts(void) { hd__wait_interrupt(&parties[0]); }

static void sends_and_closes(void) {
    sends_1();
    closes();
}

/* It is the last one, if it receives what is sent last: so it may destroy the channel. */
static void receives_and_destroys(void) {
    MODEL_ASSERT(receive(HD_FOREVER) == 1);
    hd_chan_destroy(chan);
}

static void receives_the_end_and_destroys(void) {
    receives_all();
    hd_chan_destroy(chan);
}

/* ---- What must hold then ---- */

static void nobody_waits(void) {
    MODEL_ASSERT(!chan->senders.head && !chan->receivers.head);
    MODEL_ASSERT(!party_worker[0].timers.count);
}

/* Each that was sent is received, or is in the channel still; and none that was not. */
static void nothing_is_lost(void) {
    nobody_waits();
    int left = 0;
    for (uint64_t elem; chan->count != 0;) {
        MODEL_ASSERT(hd_chan_tryrecv(chan, &elem) == 0);
        left |= 1 << elem;
    }
    MODEL_ASSERT(!(received & left) && (received | left) == sent && !(sent & lost));
    model_outcome("%d:%d", received, left);
}

static void all_arrived(void) {
    nothing_is_lost();
    MODEL_ASSERT(sent == received && !lost);
}

/* ---- The programs ---- */

#define PROGRAM(name_, setup_, after_, outcomes, ...)                                    \
    static const struct model name_ = {.name = #name_, .setup = setup_, .after = after_, \
                                       .steps_max = 400, .threads = {__VA_ARGS__}};      \
    TEST(name_) {                                                                        \
        model_must_hold(&name_);                                                         \
        CHECK_STR_EQ(model_outcomes(), outcomes);                                        \
    }

PROGRAM(chan_unbuffered, setup_unbuffered, all_arrived, "6:0", sends_both, receives_in_order)
PROGRAM(chan_ring, setup_one_place, all_arrived, "6:0", sends_both, receives_in_order)
PROGRAM(chan_unbounded, setup_unbounded, all_arrived, "6:0", sends_both, receives_in_order)
PROGRAM(chan_two_senders, setup_unbuffered, all_arrived, "6:0", receives_both, sends_1, sends_2)
PROGRAM(chan_two_receivers, setup_one_place, all_arrived, "6:0", receives, receives, sends_both)
PROGRAM(chan_batch_unbuffered, setup_unbuffered, all_arrived, "6:0", sends_many, receives_many)
PROGRAM(chan_batch, setup_one_place, all_arrived, "6:0", sends_many, receives_many)
PROGRAM(chan_batch_unbounded, setup_unbounded, all_arrived, "6:0", sends_many, receives_many)
PROGRAM(chan_tries, setup_unbuffered, nothing_is_lost, "2:0 6:0", receives_all,
        sends_and_closes, tries_to_send)
PROGRAM(chan_closed_for_sender, setup_unbuffered, nothing_is_lost, "0:0", sends_1, closes)
PROGRAM(chan_closed_for_receiver, setup_one_place, nothing_is_lost, "2:0", receives_all,
        sends_and_closes)
PROGRAM(chan_closed_for_batch, setup_one_place, nothing_is_lost, "0:0 0:2 2:0 2:4", sends_many,
        closes, tries_to_receive)
PROGRAM(chan_closed_while_growing, setup_unbounded, nothing_is_lost, "0:0 0:2 0:6", sends_both,
        closes)
PROGRAM(chan_grown_by_two, setup_unbounded, nothing_is_lost, "0:6", sends_1, sends_2)
PROGRAM(chan_receiver_gives_up, setup_unbuffered, nothing_is_lost, "0:0 4:0", receives_until,
        sends_2, expires)
PROGRAM(chan_sender_gives_up, setup_unbuffered, nothing_is_lost, "0:0 2:0", sends_until, receives,
        expires)
PROGRAM(chan_receiver_interrupted, setup_unbuffered, nothing_is_lost, "0:0 4:0", receives,
        tries_to_send, interrupts)
PROGRAM(chan_destroyed, setup_unbuffered, NULL, "", receives_and_destroys, sends_1)
PROGRAM(chan_destroyed_with_ring, setup_one_place, NULL, "", receives_and_destroys, sends_1)
PROGRAM(chan_destroyed_with_blocks, setup_unbounded, NULL, "", receives_and_destroys, sends_1)
PROGRAM(chan_destroyed_at_its_end, setup_one_place, NULL, "", receives_the_end_and_destroys,
        sends_and_closes)

/* The channel's own words are plain: what orders them is its guard, and that of a wait. */
TEST(chan_mutants) {
    static const struct model *const programs[] = {
        &chan_unbuffered, &chan_ring, &chan_unbounded, &chan_batch, &chan_destroyed, NULL};
    model_mutants_must_fail(programs, "src/base/*", NULL);
}

/* ---- What must be found ---- */

static void sends_and_looks_again(void) {
    sends_1();
    (void)hd_chan_is_closed(chan);
}

TEST(chan_a_look_after_the_hand_over_is_found) {
    static const struct model m = {.name = "chan-looks", .setup = setup_unbuffered,
                                   .steps_max = 400,
                                   .threads = {receives_and_destroys, sends_and_looks_again}};
    model_must_fail(&m, "use after free");
}

/* As a send that wakes the receiver before it has copied. */
static void sends_too_late(void) {
    hd__spin_lock(&chan->guard);
    struct hd__wait *w = hd__select_claim_first(&chan->receivers);
    hd__spin_unlock(&chan->guard);
    if (!w) model_give_up();
    uint64_t *slot = w->slot;
    w->tag = HD__CHAN_PASSED;
    hd__select_wake(w);
    *slot = 1;
}

TEST(chan_a_late_copy_is_found) {
    static const struct model m = {.name = "chan-late", .setup = setup_unbuffered,
                                   .steps_max = 400, .threads = {receives, sends_too_late}};
    model_must_fail(&m, "");
}
