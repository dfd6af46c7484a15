/* SPDX-License-Identifier: MIT */
/* The deque of Chase and Lev.
 *
 * Idea. Items number top .. bottom - 1 are in a circular array. The owner alone writes `bottom`:
 * a push puts the item there and adds 1, a pop subtracts 1 and takes it. `top` only grows; a thief
 * reads the item there and draws it by a compare-and-swap of `top`. So owner and thieves meet only
 * when one item is left, which the owner then draws by `top` as well.
 *
 * The point that must hold (Dekker): the owner's pop writes `bottom`, then reads `top`; a thief
 * reads `top`, then `bottom`. If each could miss the other, both would take the same item. The four
 * accesses are sequentially consistent. Say the owner lowers bottom to b and reads top = t < b: it
 * takes item b without a compare-and-swap. A thief takes item b only if it read top = b before it
 * read bottom. The owner read t < b, so in the order of all four that was before top became b;
 * hence the owner's write of bottom is before the thief's reading of it, which sees that there is
 * no item b. Le et al. have fences instead; on x86-64 the write becomes an exchange, which is as
 * cheap as a fence, and the reads are plain.
 *
 * A thief reads the item before it draws it, since the owner may use the place again at once after.
 * What it read counts only if it draws, which says that top has not moved, hence that the owner has
 * not come around to that place: a push reads `top` to know that there is room.
 *
 * Growing: the owner copies the items into an array twice as large, and publishes that. A thief
 * that still has the old one finds item t there too: the owner does not write to it any more. Old
 * arrays are kept until the end: they are as large as the present one in all, and to free them a
 * thief would need a hazard pointer in each steal.
 *
 * Orders. `bottom` is written with release at least, and read by thieves with acquire: the item and
 * the array with it are there. `array` likewise. The draws are sequentially consistent, so is the
 * reading of `top` and `bottom` by thieves. A push reads `top` with acquire, which pairs with the
 * draws: the thief has read its place. */
#ifndef HD_SRC_LOCKFREE_DEQUE_H
#define HD_SRC_LOCKFREE_DEQUE_H

#include "lockfree/lockfree.h"
#include <heddle/deque.h>

struct hd__deque_array {
    struct hd__deque_array *before; /* link: the one that it replaced; the owner's */
    int64_t mask;                   /* places - 1 */
    void *_Atomic places[];
};

struct hd_deque {
    HD__ALIGNED(HD__CACHE_LINE) _Atomic int64_t top;
    HD__ALIGNED(HD__CACHE_LINE) _Atomic int64_t bottom; /* the owner's */
    struct hd__deque_array *_Atomic array;              /* the owner's */
};

static inline size_t hd__deque_array_bytes(int64_t places) {
    return sizeof(struct hd__deque_array) + (size_t)places * sizeof(void *);
}

/* NULL: no memory. */
static inline struct hd__deque_array *hd__deque_array_make(int64_t places) {
    struct hd__deque_array *a = hd__lf_alloc(hd__deque_array_bytes(places));
    if (a) a->mask = places - 1;
    return a;
}

static inline void *_Atomic *hd__deque_place(struct hd__deque_array *a, int64_t i) {
    return &a->places[i & a->mask];
}

/* The memory is zeroed; `places` is a power of two. False: no memory. */
static inline bool hd__deque_init(struct hd_deque *d, int64_t places) {
    struct hd__deque_array *a = hd__deque_array_make(places);
    atomic_init(&d->array, a);
    return a != NULL;
}

static inline struct hd__deque_array *hd__deque_grow(struct hd_deque *d, struct hd__deque_array *a,
                                                     int64_t top, int64_t bottom) {
    struct hd__deque_array *larger = hd__deque_array_make(2 * (a->mask + 1));
    if (!larger) return NULL;
    for (int64_t i = top; i < bottom; i++)
        hd__store_relaxed(hd__deque_place(larger, i), hd__load_relaxed(hd__deque_place(a, i)));
    larger->before = a;
    hd__store_release(&d->array, larger);
    return larger;
}

/* False: no memory. */
static inline bool hd__deque_push(struct hd_deque *d, void *item) {
    int64_t b = hd__load_relaxed(&d->bottom);
    int64_t t = hd__load_acquire(&d->top);
    struct hd__deque_array *a = hd__load_relaxed(&d->array);
    if (HD__UNLIKELY(b - t > a->mask) && !(a = hd__deque_grow(d, a, t, b))) return false;
    hd__store_relaxed(hd__deque_place(a, b), item);
    hd__store_release(&d->bottom, b + 1);
    return true;
}

static inline bool hd__deque_pop(struct hd_deque *d, void **item) {
    int64_t b = hd__load_relaxed(&d->bottom) - 1;
    struct hd__deque_array *a = hd__load_relaxed(&d->array);
    /* An empty deque stays as it is: only its owner makes it less empty. */
    if (hd__load_relaxed(&d->top) > b) return false;
    atomic_store_explicit(&d->bottom, b, memory_order_seq_cst);
    int64_t t = atomic_load_explicit(&d->top, memory_order_seq_cst);
    bool mine = t <= b;
    void *found = mine ? hd__load_relaxed(hd__deque_place(a, b)) : NULL;
    if (t < b) {
        *item = found;
        return true;
    }
    /* The last one, or none: top == bottom in the end, whoever draws it. */
    if (mine)
        mine = atomic_compare_exchange_strong_explicit(&d->top, &t, t + 1, memory_order_seq_cst,
                                                       memory_order_relaxed);
    hd__store_release(&d->bottom, b + 1);
    if (mine) *item = found;
    return mine;
}

static inline bool hd__deque_steal(struct hd_deque *d, void **item) {
    for (;;) {
        int64_t t = atomic_load_explicit(&d->top, memory_order_seq_cst);
        int64_t b = atomic_load_explicit(&d->bottom, memory_order_seq_cst);
        if (t >= b) return false;
        struct hd__deque_array *a = hd__load_acquire(&d->array);
        void *found = hd__load_relaxed(hd__deque_place(a, t));
        if (atomic_compare_exchange_strong_explicit(&d->top, &t, t + 1, memory_order_seq_cst,
                                                    memory_order_relaxed)) {
            *item = found;
            return true;
        }
    }
}

static inline size_t hd__deque_count(const struct hd_deque *d) {
    int64_t t = hd__load_acquire(&d->top);
    int64_t count = hd__load_acquire(&d->bottom) - t;
    return count > 0 ? (size_t)count : 0;
}

/* At rest. */
static inline void hd__deque_finish(struct hd_deque *d) {
    struct hd__deque_array *a = hd__load_relaxed(&d->array), *before;
    for (; a; a = before) {
        before = a->before;
        hd__lf_free(a, hd__deque_array_bytes(a->mask + 1));
    }
}

#endif
