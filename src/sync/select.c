/* SPDX-License-Identifier: MIT */
/* The choice between several objects; select.h has the protocol of a claim.
 *
 * 1. Look at all cases in a random order, with no record in any queue: the first that can go on is
 *    done, like a call that does not wait.
 * 2. Else put a record into the queue of each object. One that can go on by now ends this: shut,
 *    take the records out, and back to 1. Not done on the spot: the other side may be selecting,
 *    too, and two that claim each other would each have to be taken and to take.
 * 3. Park, until a claimer delivers, the deadline or an interruption. In the latter cases: shut. If
 *    that fails the claimer was faster, and is waited for; an interruption is then kept for later.
 * 4. Take the records out, and return.
 *
 * No wake-up is lost: each object is looked at under its guard by the same step that queues the
 * record there, and from then on whoever makes the object ready finds the record, or finds that it
 * is TAKEN or SHUT. TAKEN by another case: this one need not go on. SHUT: back to 1, or given up.
 *
 * Two that select send and receive with each other, and queue in opposite orders, may both see the
 * other in 2, and both shut. The order is drawn anew each time: of two with two cases each, one
 * begins where the other does every other time, and then the second sees the first one's record
 * with none of its own in a queue.
 *
 * Fair in the long run: the order in 1 is a random permutation, so of the cases that can go on each
 * is as likely. The queues are first in, first out.
 *
 * Rejected: locking all objects at once, in the order of their addresses, as Go does. It makes
 * claims simple, but holds as many spinlocks as there are cases, and wait.h releases one. */
#include "sync/select.h"

#include <errno.h>
#include <limits.h>

#include "base/atomic.h"
#include "base/check.h"
#include "os/clock.h"
#include "os/mem.h"
#include "sched/worker.h"

enum { FEW = 8 }; /* cases that need no memory but the stack */

struct choice {
    struct hd_select_case *cases;
    unsigned n;
    unsigned *order;                /* a permutation */
    struct hd__select_wait *record; /* one a case */
    struct hd__select s;
};

/* ---- Random orders ---- */

static HD__NOINLINE uint64_t *foreign_random(void) {
    static __thread uint64_t random __attribute__((tls_model("initial-exec")));
    if (random == 0) random = (uintptr_t)&random ^ hd__os_now_ns();
    return &random;
}

/* Inside: nothing switches here. */
static void shuffle(struct choice *ch) {
    struct hd__worker *w = hd__worker_get();
    uint64_t *random = w ? &w->random : foreign_random(), r = *random;
    for (unsigned i = 0; i < ch->n; i++) {
        r = r * 6364136223846793005u + 1442695040888963407u;
        unsigned j = (unsigned)(((r >> 32) * (i + 1)) >> 32);
        ch->order[i] = ch->order[j];
        ch->order[j] = i;
    }
    *random = r;
}

/* ---- Claims ---- */

void hd__select_deliver(struct hd__wait *w) {
    struct hd__select *s = hd__select_of(w);
    hd__spin_lock(&s->lock);
    s->fired = w;
    s->done = true;
    bool won = s->parked && hd__wait_claim(&s->wait);
    hd__spin_unlock(&s->lock);
    if (won) hd__wait_wake(&s->wait);
}

/* Whether nobody has claimed it, and nobody will. */
static bool shut(struct hd__select *s) {
    uint32_t open = HD__SELECT_OPEN;
    return atomic_compare_exchange_strong_explicit(&s->state, &open, HD__SELECT_SHUT,
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* 0 once delivered, -ETIMEDOUT or -EINTR. */
static int wait_delivery(struct hd__select *s, uint64_t deadline_ns, unsigned flags) {
    hd__spin_lock(&s->lock);
    if (s->done) {
        hd__spin_unlock(&s->lock);
        return 0;
    }
    s->parked = true;
    int err = hd__wait_park(&s->wait, &s->lock, deadline_ns, flags);
    if (err != 0) {
        hd__spin_lock(&s->lock);
        s->parked = false;
        if (s->done) err = err == -EINTR ? err : 0;
        hd__spin_unlock(&s->lock);
    }
    return err;
}

/* ---- Cases ---- */

static bool try_case(struct hd_select_case *c) {
    switch (c->op) {
    case HD_SELECT_SEND:
        c->result = hd__chan_trysend(c->chan, c->send);
        return c->result != -EAGAIN;
    case HD_SELECT_RECV:
        c->result = hd__chan_tryrecv(c->chan, c->recv);
        return c->result != -EAGAIN;
    case HD_SELECT_EVENT:
        c->result = 0;
        return hd_event_is_set(c->event);
    case HD_SELECT_NONE:
        break;
    }
    return false;
}

/* False: it can go on at once. */
static bool queue_case(struct choice *ch, unsigned i) {
    struct hd_select_case *c = &ch->cases[i];
    struct hd__select_wait *r = &ch->record[i];
    r->of = &ch->s;
    r->wait.party = NULL;
    r->wait.queued = false;
    r->wait.tag = HD__CHAN_PASSED;
    switch (c->op) {
    case HD_SELECT_SEND:
        r->wait.slot = (void *)(uintptr_t)c->send; /* which is only read */
        return hd__chan_queue(c->chan, true, &r->wait);
    case HD_SELECT_RECV:
        r->wait.slot = c->recv;
        return hd__chan_queue(c->chan, false, &r->wait);
    case HD_SELECT_EVENT:
        return hd__event_queue(c->event, &r->wait);
    case HD_SELECT_NONE:
        break;
    }
    return true;
}

static void unqueue_case(struct choice *ch, unsigned i) {
    struct hd_select_case *c = &ch->cases[i];
    struct hd__wait *w = &ch->record[i].wait;
    if (c->op == HD_SELECT_EVENT)
        hd__event_unqueue(c->event, w);
    else if (c->op != HD_SELECT_NONE)
        hd__chan_unqueue(c->chan, c->op == HD_SELECT_SEND, w);
}

/* Puts records into queues until one need not wait; returns how many. */
static unsigned queue_all(struct choice *ch, bool *ready) {
    unsigned i = 0;
    *ready = false;
    for (; i < ch->n && hd__load_relaxed(&ch->s.state) == HD__SELECT_OPEN; i++) {
        if (queue_case(ch, ch->order[i])) continue;
        *ready = true;
        break;
    }
    return i;
}

/* Steps 2 to 4. An index, -ETIMEDOUT, -EINTR, or -EAGAIN: back to 1. */
static int wait_for_one(struct choice *ch, uint64_t deadline_ns) {
    bool ready;
    int err;
    hd__store_relaxed(&ch->s.state, HD__SELECT_OPEN);
    ch->s.done = ch->s.parked = false;
    shuffle(ch);
    unsigned queued = queue_all(ch, &ready);
    err = ready ? -EAGAIN : wait_delivery(&ch->s, deadline_ns, 0);
    bool fired = err == 0 || !shut(&ch->s);
    if (fired && err != 0) {
        (void)wait_delivery(&ch->s, HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE);
        if (err == -EINTR) hd__wait_interrupt(ch->s.wait.party);
    }
    while (queued > 0) unqueue_case(ch, ch->order[--queued]);
    if (!fired) return err;
    struct hd__select_wait *r = hd__container_of(ch->s.fired, struct hd__select_wait, wait);
    unsigned i = (unsigned)(r - ch->record);
    ch->cases[i].result = ch->s.fired->tag == HD__CHAN_CLOSED ? -EPIPE : 0;
    return (int)i;
}

static int choose(struct choice *ch, uint64_t deadline_ns, const void *site) {
    int result;
    hd__wait_init(&ch->s.wait, "select", ch->cases, site);
    ch->s.lock = (hd__spin)HD__SPIN_INIT;
    do {
        shuffle(ch);
        for (unsigned i = 0; i < ch->n; i++)
            if (try_case(&ch->cases[ch->order[i]])) return (int)ch->order[i];
        /* A look need not queue: the wait returns at once, and tells of an interruption. */
        result = deadline_ns == 0 ? hd__wait_park(&ch->s.wait, NULL, deadline_ns, 0)
                                  : wait_for_one(ch, deadline_ns);
    } while (result == -EAGAIN);
    return result;
}

static void check(const struct hd_select_case *cases, size_t n) {
    HD__CHECK(cases != NULL || n == 0, "hd_select: the cases' address is NULL");
    HD__CHECK(n < INT_MAX, "hd_select: %zu cases; their index must be an int", n);
    for (size_t i = 0; i < n; i++) {
        const struct hd_select_case *c = &cases[i];
        bool event = c->op == HD_SELECT_EVENT, none = c->op == HD_SELECT_NONE;
        HD__CHECK(event || none || c->op == HD_SELECT_SEND || c->op == HD_SELECT_RECV,
                  "hd_select: case %zu has op %d, which is none of HD_SELECT_*", i, (int)c->op);
        HD__CHECK(none || (event ? (const void *)c->event : (const void *)c->chan) != NULL,
                  "hd_select: case %zu names no %s", i, event ? "event" : "channel");
    }
}

int hd_select(struct hd_select_case *cases, size_t n, uint64_t deadline_ns) {
    struct hd__select_wait few_records[FEW];
    unsigned few_order[FEW];
    struct choice ch = {cases, (unsigned)n, few_order, few_records, {.fired = NULL}};
    check(cases, n);
    void *memory = NULL;
    if (n > FEW) {
        size_t bytes = n * (sizeof *ch.record + sizeof *ch.order);
        if (bytes / (sizeof *ch.record + sizeof *ch.order) != n) return -ENOMEM;
        ch.record = memory = hd__os_heap_alloc(bytes);
        if (memory == NULL) return -ENOMEM;
        ch.order = (unsigned *)(void *)(ch.record + n);
    }
    hd__sched_hostile_point();
    hd__sched_enter();
    int result = choose(&ch, deadline_ns, __builtin_return_address(0));
    hd__sched_leave();
    hd__sched_hostile_point();
    hd__os_heap_free(memory);
    return result;
}
