/* SPDX-License-Identifier: MIT */
/* hd_select(): the claim of a party that waits for several objects, against wakers, the deadline
 * and interruptions. sync/select.[ch], with sync/event.c and sync/chan.c beside it. */
#include "party.h"
#include "test.h"

#include "sync/chan.c"
#include "sync/select.c"
#define wait_until event_wait_until
#define queue_locked event_queue_locked
#include "sync/event.c"

static hd_event events[2];
static hd_chan chans[2];
static int chosen[MODEL_THREADS]; /* what hd_select() returned */
static int sent, received;
static uint64_t elem[MODEL_THREADS];

static void setup(void) {
    party_setup();
    for (int i = 0; i < 2; i++) {
        chans[i] = (hd_chan){.elem_size = sizeof(uint64_t)};
        model_name(&events[i], sizeof events[i], "event");
        model_name(&chans[i], sizeof chans[i], "chan");
    }
    for (int i = 0; i < MODEL_THREADS; i++) chosen[i] = INT_MIN;
}

MODEL_ABSENT(void *, hd__os_heap_alloc, size_t bytes HD__UNUSED)
void hd__os_heap_free(void *p) { (void)p; }

/* ---- What the threads do ---- */

static void select_events(void) {
    struct hd_select_case cases[] = {HD_CASE_EVENT(&events[0]), HD_CASE_EVENT(&events[1])};
    chosen[model_self()] = hd_select(cases, 2, HD_FOREVER);
}

static void set_0(void) { hd_event_set(&events[0]); }
static void set_1(void) { hd_event_set(&events[1]); }

static void receive(uint64_t deadline_ns) {
    uint64_t *into = &elem[model_self()];
    struct hd_select_case cases[] = {HD_CASE_RECV(&chans[0], into), HD_CASE_EVENT(&events[0])};
    int i = hd_select(cases, 2, deadline_ns);
    chosen[model_self()] = i;
    if (i != 0) return;
    MODEL_ASSERT(cases[0].result == 0);
    MODEL_ASSERT(*into == 7);
    received++;
}

static void receives(void) { receive(HD_FOREVER); }
static void receives_until(void) { receive(1); }

static void tries_to_send(void) {
    uint64_t seven = 7;
    if (hd_chan_trysend(&chans[0], &seven) == 0) sent++;
}

static void sends_or_rings(void) {
    int before = sent;
    tries_to_send();
    if (sent == before) hd_event_set(&events[0]);
}

static void sends(void) {
    uint64_t seven = 7;
    MODEL_ASSERT(hd_chan_send(&chans[0], &seven) == 0);
    sent++;
}

static void selects_to_send(void) {
    uint64_t seven = 7;
    struct hd_select_case cases[] = {HD_CASE_SEND(&chans[0], &seven)};
    MODEL_ASSERT(hd_select(cases, 1, HD_FOREVER) == 0);
    sent++;
}

static void closes(void) { hd_chan_close(&chans[0]); }
static void expires(void) { party_expire(0); }
static void interrupts(void) { hd__wait_interrupt(&parties[0]); }

static void receive_or_closed(void) {
    uint64_t into;
    struct hd_select_case cases[] = {HD_CASE_RECV(&chans[0], &into),
                                     HD_CASE_RECV(&chans[1], &into)};
    chosen[0] = hd_select(cases, 2, HD_FOREVER);
    MODEL_ASSERT(chosen[0] == 0 && cases[0].result == -EPIPE);
}

/* ---- What must hold then ---- */

static void count(void) {
    int c = chosen[0];
    model_outcome("%s%s", c == -ETIMEDOUT ? "timeout" : c == -EINTR ? "interrupted"
                                                    : c == 0         ? "first"
                                                                     : "second",
                  parties[0].park & HD__PARK_INTR ? "+pending" : "");
    MODEL_ASSERT(c >= 0 || c == -ETIMEDOUT || c == -EINTR);
    MODEL_ASSERT(sent == received);
    for (int i = 0; i < 2; i++) {
        MODEL_ASSERT(!chans[i].senders.head && !chans[i].receivers.head);
        MODEL_ASSERT(!event_of(&events[i])->queue.head);
    }
    MODEL_ASSERT(!(parties[0].park & HD__PARK_WAITING));
    MODEL_ASSERT(!party_worker[0].timers.count);
}

#define PROGRAM(name_, outcomes, ...)                                                     \
    static const struct model name_ = {.name = "select-" #name_, .setup = setup,          \
                                       .after = count, .steps_max = 400,                  \
                                       .threads = {__VA_ARGS__}};                         \
    TEST(select_##name_) {                                                                \
        model_must_hold(&name_);                                                          \
        CHECK_STR_EQ(model_outcomes(), outcomes);                                         \
    }

PROGRAM(of_one_event, "first", select_events, set_0)
PROGRAM(of_two_events, "first second", select_events, set_0, set_1)
PROGRAM(a_sender, "first", receives, sends)
PROGRAM(a_sender_or_an_event, "first second", receives, tries_to_send, set_0)
PROGRAM(a_sender_or_the_deadline, "first second timeout", receives_until, sends_or_rings, expires)
PROGRAM(an_event_or_an_interruption, "interrupted second+pending", receives, set_0, interrupts)
PROGRAM(a_sender_or_an_interruption, "first+pending interrupted", receives, tries_to_send,
        interrupts)
PROGRAM(another_that_selects, "first", receives, selects_to_send)
PROGRAM(the_end_of_a_channel, "first", receive_or_closed, closes)

/* ---- What must be found ---- */

static void claims_and_forgets(void) {
    hd__spin_lock(&chans[0].guard);
    (void)hd__select_claim_first(&chans[0].receivers);
    hd__spin_unlock(&chans[0].guard);
}

TEST(select_a_claim_without_delivery_is_found) {
    static const struct model m = {.name = "select-forgotten",
                                   .setup = setup,
                                   .steps_max = 400,
                                   .threads = {receives, claims_and_forgets, set_0}};
    model_must_fail(&m, "stuck");
}

static void delivers_unclaimed(void) {
    hd__spin_lock(&chans[0].guard);
    struct hd__wait *w = hd__waitq_pop_front(&chans[0].receivers);
    hd__spin_unlock(&chans[0].guard);
    if (w) hd__select_deliver(w);
}

TEST(select_a_delivery_without_a_claim_is_found) {
    static const struct model m = {.name = "select-unclaimed",
                                   .setup = setup,
                                   .after = count,
                                   .steps_max = 400,
                                   .threads = {receives, delivers_unclaimed, set_0}};
    model_must_fail(&m, "");
}
