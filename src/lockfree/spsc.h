/* SPDX-License-Identifier: MIT */
/* The ring for one producer and one consumer.
 *
 * Idea (Lamport). `tail` counts the items that were pushed, `head` those that were popped; the
 * producer alone writes the one, the consumer the other, so neither needs an atomic
 * read-modify-write. Item number i is in slot i mod capacity.
 *
 * Each side keeps what it saw last of the other's index (Lee et al.), and reads the other's line
 * anew only when that says full or empty. So in a ring that is neither, the lines with the indices
 * stay where they are, and what travels is the items, eight to a line.
 *
 * Orders. Storing `tail` is a release, which the consumer's reading of it acquires: the item is in
 * its slot. Storing `head` is a release, which the producer's reading of it acquires: the consumer
 * has read the slot that the producer overwrites. `head_seen` and `tail_seen` belong to one side.
 *
 * A push takes effect with the store to `tail`, a pop with that to `head`. "Full" is true at the
 * reading of `head`: `tail` does not change then. "Empty" likewise. */
#ifndef HD_SRC_LOCKFREE_SPSC_H
#define HD_SRC_LOCKFREE_SPSC_H

#include "lockfree/lockfree.h"
#include <heddle/ring.h>

struct hd_spsc {
    HD__ALIGNED(HD__CACHE_LINE) _Atomic uint64_t tail; /* the producer's */
    uint64_t head_seen;
    HD__ALIGNED(HD__CACHE_LINE) _Atomic uint64_t head; /* the consumer's */
    uint64_t tail_seen;
    HD__ALIGNED(HD__CACHE_LINE) uint64_t mask; /* capacity - 1; constant */
    HD__ALIGNED(HD__CACHE_LINE) void *_Atomic slots[];
};

static inline size_t hd__spsc_bytes(uint64_t capacity) {
    return sizeof(struct hd_spsc) + (size_t)capacity * sizeof(void *);
}

/* The memory is zeroed. */
static inline void hd__spsc_init(struct hd_spsc *s, uint64_t capacity) {
    s->mask = capacity - 1;
}

/* Pushes up to n items, of which the first is at items[0]. */
static HD__ALWAYS_INLINE size_t hd__spsc_push(struct hd_spsc *s, void *const *items, size_t n) {
    uint64_t tail = hd__load_relaxed(&s->tail);
    uint64_t room = s->mask + 1 - (tail - s->head_seen);
    if (HD__UNLIKELY(room < n)) {
        s->head_seen = hd__load_acquire(&s->head);
        room = s->mask + 1 - (tail - s->head_seen);
        if (room < n) n = (size_t)room;
        if (n == 0) return 0;
    }
    for (size_t i = 0; i < n; i++) hd__store_relaxed(&s->slots[(tail + i) & s->mask], items[i]);
    hd__store_release(&s->tail, tail + n);
    return n;
}

static HD__ALWAYS_INLINE size_t hd__spsc_pop(struct hd_spsc *s, void **items, size_t n) {
    uint64_t head = hd__load_relaxed(&s->head);
    uint64_t there = s->tail_seen - head;
    if (HD__UNLIKELY(there < n)) {
        s->tail_seen = hd__load_acquire(&s->tail);
        there = s->tail_seen - head;
        if (there < n) n = (size_t)there;
        if (n == 0) return 0;
    }
    for (size_t i = 0; i < n; i++) items[i] = hd__load_relaxed(&s->slots[(head + i) & s->mask]);
    hd__store_release(&s->head, head + n);
    return n;
}

static inline size_t hd__spsc_count(const struct hd_spsc *s) {
    /* In this order the difference is never negative. */
    uint64_t head = hd__load_acquire(&s->head);
    uint64_t count = hd__load_acquire(&s->tail) - head;
    return (size_t)(count <= s->mask + 1 ? count : s->mask + 1);
}

#endif
