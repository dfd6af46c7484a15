/* SPDX-License-Identifier: MIT */
/* The ring for many producers and many consumers.
 *
 * Idea (Vyukov). `tail` counts the items that were pushed, `head` those that were popped. Each cell
 * has a number of its own, its turn, which says what may be done to it next:
 *
 *     cell c of a ring of n, turn =   i        (i mod n = c)   it waits for item number i
 *                                     i + 1                    it holds item number i
 *                                     i + n                    it waits for item number i + n
 *
 * A producer that finds the turn i in the cell of i = tail draws it, by a compare-and-swap of
 * `tail` to i + 1; then it puts the item in and sets the turn to i + 1. A consumer that finds i + 1
 * in the cell of i = head draws it by `head`, reads the item and sets the turn to i + n. So the two
 * sides meet in cells alone: neither reads the other's index but where the ring is full or empty.
 *
 * What this adds. In Vyukov's queue a consumer that finds another turn says "empty", though it may
 * be that items behind this one are complete and only its producer is late: then a push that ended
 * is not seen by a pop that began after it. Here it reads `tail`: the ring is empty if tail <= i at
 * that instant; else the producer has drawn i and is within the instructions up to its store of the
 * turn, and the caller waits (BUSY). Likewise "full". So the ring is linearizable, with a push and
 * a pop taking effect when they draw.
 *
 * The price is that a caller may wait for another. The functions below are called in brief sections
 * (sched/self.h), in which the runtime does not preempt; the waiting is between such sections. So a
 * thread that was preempted never holds a cell that others wait for, and what can happen is that
 * the kernel deschedules a kernel thread in these instructions, to which the one who waits gives
 * the CPU. Lock-free rings (R. Nikolaev, DISC 2019) take twice the atomic instructions: who needs
 * that takes the unbounded queue (queue.h).
 *
 * Orders. Setting the turn is a release, reading it an acquire: i + 1 says that the item is in its
 * cell, i + n that it was read. `tail` and `head` need no order: who draws has read the turn
 * already, and nobody else can change it after. What a drawer of the next lap finds in the cell is
 * ordered by the turns alone. The reading of the turn comes before that of the other side's index,
 * so that index is of a later instant. */
#ifndef HD_SRC_LOCKFREE_RING_H
#define HD_SRC_LOCKFREE_RING_H

#include "lockfree/lockfree.h"
#include <heddle/ring.h>

struct hd__cell {
    _Atomic uint64_t turn;
    void *_Atomic item; /* whoever has drawn the turn */
};

struct hd_ring {
    HD__ALIGNED(HD__CACHE_LINE) _Atomic uint64_t tail; /* producers draw from it */
    HD__ALIGNED(HD__CACHE_LINE) _Atomic uint64_t head; /* consumers */
    HD__ALIGNED(HD__CACHE_LINE) uint64_t mask;         /* capacity - 1; constant */
    HD__ALIGNED(HD__CACHE_LINE) struct hd__cell cells[];
};

/* Instead of a number of items: wait a moment, and call again. */
#define HD__RING_BUSY SIZE_MAX

static inline size_t hd__ring_bytes(uint64_t capacity) {
    return sizeof(struct hd_ring) + (size_t)capacity * sizeof(struct hd__cell);
}

/* The memory is zeroed. */
static inline void hd__ring_init(struct hd_ring *r, uint64_t capacity) {
    r->mask = capacity - 1;
    for (uint64_t i = 0; i < capacity; i++) atomic_init(&r->cells[i].turn, i);
}

/* How many of the cells from number i on, at most n, have the turn that is `ahead` of theirs. */
static HD__ALWAYS_INLINE size_t hd__ring_ready(struct hd_ring *r, uint64_t i, uint64_t ahead,
                                               size_t n) {
    size_t k = 0;
    while (k < n && hd__load_acquire(&r->cells[(i + k) & r->mask].turn) == i + k + ahead) k++;
    return k;
}

/* Draws up to n numbers from `mine` whose cells have their turn. 0: the other side's index says
 * that the ring is full or empty, `distance` away from it; or BUSY. */
static HD__ALWAYS_INLINE size_t hd__ring_draw(struct hd_ring *r, _Atomic uint64_t *mine,
                                              _Atomic uint64_t *theirs, uint64_t ahead,
                                              uint64_t distance, uint64_t *first, size_t n) {
    uint64_t i = hd__load_relaxed(mine);
    for (;;) {
        size_t k = hd__ring_ready(r, i, ahead, n);
        if (HD__LIKELY(k != 0)) {
            if (atomic_compare_exchange_weak_explicit(mine, &i, i + k, memory_order_relaxed,
                                                      memory_order_relaxed)) {
                *first = i;
                return k;
            }
            continue;
        }
        /* Not its turn. Somebody drew it meanwhile, or the other side has not left it. */
        uint64_t other = hd__load_acquire(theirs), now = hd__load_relaxed(mine);
        if (now == i) return other + distance <= i ? 0 : HD__RING_BUSY;
        i = now;
    }
}

static HD__ALWAYS_INLINE size_t hd__ring_push(struct hd_ring *r, void *const *items, size_t n) {
    uint64_t i = 0;
    size_t k = hd__ring_draw(r, &r->tail, &r->head, 0, r->mask + 1, &i, n);
    if (HD__UNLIKELY(k == 0 || k == HD__RING_BUSY)) return k;
    for (size_t j = 0; j < k; j++) {
        struct hd__cell *c = &r->cells[(i + j) & r->mask];
        hd__store_relaxed(&c->item, items[j]);
        hd__store_release(&c->turn, i + j + 1);
    }
    return k;
}

static HD__ALWAYS_INLINE size_t hd__ring_pop(struct hd_ring *r, void **items, size_t n) {
    uint64_t i = 0;
    size_t k = hd__ring_draw(r, &r->head, &r->tail, 1, 0, &i, n);
    if (HD__UNLIKELY(k == 0 || k == HD__RING_BUSY)) return k;
    for (size_t j = 0; j < k; j++) {
        struct hd__cell *c = &r->cells[(i + j) & r->mask];
        items[j] = hd__load_relaxed(&c->item);
        hd__store_release(&c->turn, i + j + r->mask + 1);
    }
    return k;
}

static inline size_t hd__ring_count(const struct hd_ring *r) {
    uint64_t head = hd__load_acquire(&r->head);
    uint64_t count = hd__load_acquire(&r->tail) - head;
    return (size_t)(count <= r->mask + 1 ? count : r->mask + 1);
}

#endif
