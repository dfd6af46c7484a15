/* SPDX-License-Identifier: MIT */
/* The unbounded queue.
 *
 * Idea. A list of segments, each an array of slots that is filled once, from slot 0 on, and emptied
 * once. A producer draws the number of a slot by fetch-and-add on `pushed`, and puts its item there
 * by a compare-and-swap from 0. A consumer draws a number from `popped` in the same way, and takes
 * what is in that slot. Fetch-and-add always succeeds, so there is no retry where many come at
 * once. If a consumer comes to its slot before the producer of that number, it marks the slot
 * TAKEN, and both draw a new number: so nobody waits for anybody. When the slots of a segment have
 * run out, a producer appends a segment that has its item in slot 0 already.
 *
 *     slot:   0 -- producer --> item            (a consumer of that number reads it)
 *             0 -- consumer --> TAKEN           (the producer of that number draws again)
 *
 * What a consumer does not write. Once it has drawn the number of a slot that is filled, the slot
 * is its own, and it need not mark it: so lines with items travel one way, from the producer to the
 * consumer, eight items at a time. And it looks at its slot before it looks at `pushed`, the line
 * that producers write all the time: it needs that only to tell an empty queue.
 *
 * What a consumer does at the heels of a producer. Each look at the next slot takes that line from
 * the producer, and each look at `pushed` the other one: a consumer that polls makes each push two
 * misses, and then just keeps up with it. So the first time that it finds nothing after it found
 * something (`flowing`), it waits for some hundred nanoseconds, with few looks at the slot, in
 * which the producer gets ahead by some items, all in one line. Only then it says "empty", and says
 * it at once from then on, until there is an item again. (Giacomoni et al., FastForward, PPoPP
 * 2008, have this slip between the two sides.)
 *
 * Linearizability. Say that a push takes effect when it draws the number under which it succeeds
 * (or appends the segment), and a pop that returns an item when both it and that item's push have
 * drawn their number. Each is within its call: a consumer that comes first waits for the producer's
 * item or spoils the slot. Numbers, by segment and slot, are drawn in order on both sides, so the
 * later of the two draws is in that order as well: items come out in the order in which they went
 * in. A pop that returns "empty" has read popped = n, then nothing in slot n, then pushed <= n: at
 * that last instant popped >= pushed, so each push that has taken effect in this segment has met
 * its pop; and none took effect in the next one, which begins when the numbers have run out. Where
 * these have run out, `next` is read after that, and the same holds for the instant of that.
 *
 * Lock-freedom. A producer and a consumer can spoil each other's slots, but each spoils one number
 * of a segment, whose numbers run out; and then the producer that appends a segment is done.
 *
 * Memory. `head` and `tail` are read under hazard pointers (hazard.h). A segment is taken out of
 * reach in two steps: `tail` leaves it before `head` does, which the consumer that moves `head`
 * makes sure of, and then retires it. Both moves are sequentially consistent (W1 there). Most calls
 * protect the segment lightly; they leave everything but the plain case to the other way.
 *
 * Orders. Item: the compare-and-swap into the slot is a release, its reading an acquire. The rest
 * need no order but that within one variable, except: popped, slot and pushed are read in this
 * order (acquire each), which the argument for "empty" uses; `next` is published by release. */
#ifndef HD_SRC_LOCKFREE_QUEUE_H
#define HD_SRC_LOCKFREE_QUEUE_H

#include "lockfree/hazard.h"
#include "lockfree/lockfree.h"
#include <heddle/queue.h>

#ifndef HD__QUEUE_SLOTS
#ifdef HD_HOSTILE
#define HD__QUEUE_SLOTS 3
#else
#define HD__QUEUE_SLOTS 992 /* with the rest, and the allocator's head: 8 KiB */
#endif
#endif

/* How often a consumer looks at a slot whose producer is on its way, before it spoils it. */
#ifndef HD__QUEUE_LOOKS
#define HD__QUEUE_LOOKS 32
#endif

struct hd__segment {
    HD__ALIGNED(HD__CACHE_LINE) _Atomic uint64_t popped; /* numbers drawn by consumers */
    _Atomic bool flowing; /* a hint: the last pop found an item; consumers' */
    HD__ALIGNED(HD__CACHE_LINE) _Atomic uint64_t pushed; /* and by producers */
    HD__ALIGNED(HD__CACHE_LINE) struct hd__segment *_Atomic next;
    struct hd__retired retired;
    HD__ALIGNED(HD__CACHE_LINE) _Atomic uintptr_t slots[HD__QUEUE_SLOTS];
};

struct hd_queue {
    HD__ALIGNED(HD__CACHE_LINE) hd__hazard_source head; /* struct hd__segment: consumers' */
    HD__ALIGNED(HD__CACHE_LINE) hd__hazard_source tail; /* producers'; never behind `head` */
};

/* What a slot holds but items: words that are addresses on none of our CPUs, and numbers that
 * nobody counts to. A NULL item is NIL there. */
#define HD__QUEUE_TAKEN ((uintptr_t)UINT64_C(0x8001000000000001))
#define HD__QUEUE_NIL ((uintptr_t)UINT64_C(0x8001000000000003))

static inline uintptr_t hd__queue_encode(void *item) {
    return item ? (uintptr_t)item : HD__QUEUE_NIL;
}

static inline void *hd__queue_decode(uintptr_t word) {
    return word == HD__QUEUE_NIL ? NULL : (void *)word;
}

static inline void hd__segment_free(void *segment) {
    hd__lf_free(segment, sizeof(struct hd__segment));
}

/* Moves `end` on from a segment that has a next one, unless somebody else did. Who retires the
 * segment may know only from a failure here that `tail` has left it: so that is sequentially
 * consistent, too, else the records could be read before (hazard.h, W1 and W2). */
static inline bool hd__queue_move(hd__hazard_source *end, struct hd__segment *from) {
    void *expected = from;
    void *next = hd__load_acquire(&from->next);
    return atomic_compare_exchange_strong_explicit(end, &expected, next, memory_order_seq_cst,
                                                   memory_order_seq_cst);
}

static inline bool hd__queue_init(struct hd_queue *q) {
    struct hd__segment *s = hd__lf_alloc(sizeof *s);
    atomic_init(&q->head, s);
    atomic_init(&q->tail, s);
    return s != NULL;
}

/* The slots of s have run out: appends a segment with the item, or helps whoever did. `spare` is
 * kept from one try to the next. 1: appended; 0: try again; -1: no memory. */
static HD__NOINLINE HD__UNUSED int hd__queue_append(struct hd_queue *q, struct hd__segment *s,
                                                    uintptr_t word, struct hd__segment **spare) {
    struct hd__segment *next = hd__load_acquire(&s->next);
    if (!next && !*spare) *spare = hd__lf_alloc(sizeof **spare);
    if (!next && !*spare) return -1;
    if (!next) {
        hd__store_relaxed(&(*spare)->slots[0], word);
        hd__store_relaxed(&(*spare)->pushed, 1);
        if (atomic_compare_exchange_strong_explicit(&s->next, &next, *spare, memory_order_release,
                                                    memory_order_relaxed)) {
            *spare = NULL;
            hd__queue_move(&q->tail, s);
            return 1;
        }
    }
    hd__queue_move(&q->tail, s);
    return 0;
}

/* Draws a number, and puts the item into its slot. False: the numbers have run out, as *over says,
 * or a consumer was there first. */
static HD__ALWAYS_INLINE bool hd__segment_push(struct hd__segment *s, uintptr_t word, bool *over) {
    uint64_t n = atomic_fetch_add_explicit(&s->pushed, 1, memory_order_relaxed);
    uintptr_t empty = 0;
    *over = n >= HD__QUEUE_SLOTS;
    return HD__LIKELY(!*over) &&
           atomic_compare_exchange_strong_explicit(&s->slots[n], &empty, word,
                                                   memory_order_release, memory_order_relaxed);
}

/* What push does when the first try came to nothing; gives the record back. */
static HD__NOINLINE HD__UNUSED bool hd__queue_push_slow(struct hd_queue *q, struct hd_hazard *h,
                                                        struct hd__segment *s, uintptr_t word,
                                                        bool over) {
    struct hd__segment *spare = NULL;
    int done = 0;
    while (done == 0) {
        if (over) {
            done = hd__queue_append(q, s, word, &spare);
            if (done == 0) s = hd__hazard_again(h, &q->tail);
        }
        if (done == 0) done = hd__segment_push(s, word, &over);
    }
    hd__hazard_give(h);
    if (spare) hd__segment_free(spare);
    return done > 0;
}

/* False: no memory. */
static HD__ALWAYS_INLINE bool hd__queue_push(struct hd_queue *q, struct hd__hazard_domain *d,
                                             unsigned hint, void *item) {
    uintptr_t word = hd__queue_encode(item);
    bool over;
    void *at;
    struct hd_hazard *h = hd__hazard_begin(d, hint, &q->tail, &at);
    if (HD__UNLIKELY(!hd__segment_push(at, word, &over)))
        return hd__queue_push_slow(q, h, at, word, over);
    hd__hazard_give(h);
    return true;
}

/* Waits a little for what a producer may be about to put into the slot, then spoils it. 0: nothing
 * came, and nothing will. */
static HD__NOINLINE HD__UNUSED uintptr_t hd__queue_spoil(_Atomic uintptr_t *slot) {
    for (unsigned turn = 0; turn < HD__QUEUE_LOOKS; turn++) {
        uintptr_t word = hd__load_acquire(slot);
        if (word != 0) return word;
        hd__lf_wait(0);
    }
    return atomic_exchange_explicit(slot, HD__QUEUE_TAKEN, memory_order_acquire);
}

/* What the slot of a number that the caller has drawn holds; 0: nothing came, and nothing will. */
static HD__ALWAYS_INLINE uintptr_t hd__segment_take(struct hd__segment *s, uint64_t n) {
    if (!hd__load_relaxed(&s->flowing)) hd__store_relaxed(&s->flowing, true);
    uintptr_t word = hd__load_acquire(&s->slots[n]);
    return HD__LIKELY(word != 0) ? word : hd__queue_spoil(&s->slots[n]);
}

/* Slot n, the next one, holds nothing. Whether that means that there is nothing. */
static HD__NOINLINE HD__UNUSED bool hd__segment_is_empty(struct hd__segment *s, uint64_t n) {
    if (hd__load_relaxed(&s->flowing)) {
        for (unsigned turn = 0; turn < HD__QUEUE_LOOKS; turn++) {
            hd__lf_wait(0);
            if (turn % 8 == 7 && hd__load_relaxed(&s->slots[n]) != 0) return false;
        }
    }
    if (hd__load_acquire(&s->pushed) > n) return false;
    if (hd__load_relaxed(&s->flowing)) hd__store_relaxed(&s->flowing, false);
    return true;
}

/* Takes one from the segment. False: there is none, now or for good; *over says which. */
static HD__ALWAYS_INLINE bool hd__segment_pop(struct hd__segment *s, uintptr_t *word, bool *over) {
    *over = false;
    for (;;) {
        uint64_t n = hd__load_acquire(&s->popped);
        if (HD__UNLIKELY(n >= HD__QUEUE_SLOTS)) break;
        if (hd__load_acquire(&s->slots[n]) == 0 && hd__segment_is_empty(s, n)) return false;
        n = atomic_fetch_add_explicit(&s->popped, 1, memory_order_acq_rel);
        if (HD__UNLIKELY(n >= HD__QUEUE_SLOTS)) break;
        if (HD__LIKELY((*word = hd__segment_take(s, n)) != 0)) return true;
    }
    *over = true;
    return false;
}

/* What pop does when the segment at the head is used up; gives the record back. */
static HD__NOINLINE HD__UNUSED bool hd__queue_pop_slow(struct hd_queue *q,
                                                       struct hd__hazard_domain *d, unsigned hint,
                                                       struct hd_hazard *h, struct hd__segment *s,
                                                       uintptr_t *word) {
    bool over = true, found = false;
    void *at;
    while (!found && over && hd__load_acquire(&s->next) != NULL) {
        if (atomic_load_explicit(&q->tail, memory_order_seq_cst) == s)
            hd__queue_move(&q->tail, s);
        /* Who moves `head` retires s, and nobody else. */
        if (hd__queue_move(&q->head, s)) {
            hd__hazard_give(h);
            hd__hazard_retire_large(d, &s->retired, s, hd__segment_free);
            h = hd__hazard_begin(d, hint, &q->head, &at);
        } else {
            at = hd__hazard_again(h, &q->head);
        }
        s = at;
        found = hd__segment_pop(s, word, &over);
    }
    hd__hazard_give(h);
    return found;
}

static HD__ALWAYS_INLINE bool hd__queue_pop(struct hd_queue *q, struct hd__hazard_domain *d,
                                            unsigned hint, void **item) {
    uintptr_t word = 0;
    bool over;
    void *at;
    struct hd_hazard *h = hd__hazard_begin(d, hint, &q->head, &at);
    bool found = hd__segment_pop(at, &word, &over);
    if (HD__UNLIKELY(over))
        found = hd__queue_pop_slow(q, d, hint, h, at, &word);
    else
        hd__hazard_give(h);
    if (found) *item = hd__queue_decode(word);
    return found;
}

/* The fast ways, for a caller that has the record h for itself (hazard_own.h). False: nothing was
 * done, take the other way. */
static HD__ALWAYS_INLINE bool hd__queue_push_light(struct hd_queue *q, struct hd_hazard *h,
                                                   void *item) {
    bool over;
    struct hd__segment *s = hd__hazard_begin_light(h, &q->tail);
    if (HD__UNLIKELY(!s)) return false;
    bool done = hd__segment_push(s, hd__queue_encode(item), &over);
    hd__hazard_end_light(h);
    return done;
}

static HD__ALWAYS_INLINE bool hd__queue_pop_light(struct hd_queue *q, struct hd_hazard *h,
                                                  void **item) {
    uintptr_t word = 0;
    struct hd__segment *s = hd__hazard_begin_light(h, &q->head);
    if (HD__UNLIKELY(!s)) return false;
    uint64_t n = hd__load_acquire(&s->popped);
    if (HD__LIKELY(n < HD__QUEUE_SLOTS) && HD__LIKELY(hd__load_acquire(&s->slots[n]) != 0)) {
        n = atomic_fetch_add_explicit(&s->popped, 1, memory_order_acq_rel);
        if (HD__LIKELY(n < HD__QUEUE_SLOTS)) word = hd__segment_take(s, n);
    }
    hd__hazard_end_light(h);
    if (HD__UNLIKELY(word == 0)) return false;
    *item = hd__queue_decode(word);
    return true;
}

static inline bool hd__queue_is_empty(struct hd_queue *q, struct hd__hazard_domain *d,
                                      unsigned hint) {
    void *at;
    struct hd_hazard *h = hd__hazard_begin(d, hint, &q->head, &at);
    const struct hd__segment *s = at;
    uint64_t n = hd__load_acquire(&s->popped);
    /* Whoever has drawn the last number of a segment may not have moved `head` yet. */
    bool empty = n < HD__QUEUE_SLOTS ? hd__load_acquire(&s->pushed) <= n
                                     : hd__load_acquire(&s->next) == NULL;
    hd__hazard_give(h);
    return empty;
}

/* At rest. */
static inline void hd__queue_finish(struct hd_queue *q) {
    struct hd__segment *s = hd__load_relaxed(&q->head), *next;
    for (; s; s = next) {
        next = hd__load_relaxed(&s->next);
        hd__segment_free(s);
    }
}

#endif
