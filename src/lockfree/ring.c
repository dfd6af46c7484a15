/* SPDX-License-Identifier: MIT */
/* The bounded rings: the public functions. The algorithms: spsc.h, ring.h. */
#include <heddle/ring.h>

#include <errno.h>

#include "base/check.h"
#include "lockfree/ring.h"
#include "lockfree/spsc.h"
#include "sched/self.h"

static bool sensible(size_t capacity) {
    return capacity != 0 && capacity <= HD_RING_MAX;
}

static uint64_t power_of_two(size_t capacity, unsigned least) {
    unsigned bits = hd__log2_ceil(capacity);
    return UINT64_C(1) << (bits > least ? bits : least);
}

/* ---- one producer, one consumer ---- */

int hd_spsc_create(hd_spsc **out, size_t capacity) {
    HD__CHECK(out != NULL, "hd_spsc_create: out is NULL; pass the address of a pointer");
    if (!sensible(capacity)) return -EINVAL;
    uint64_t slots = power_of_two(capacity, 0);
    hd_spsc *s = hd__lf_alloc(hd__spsc_bytes(slots));
    if (!s) return -ENOMEM;
    hd__spsc_init(s, slots);
    *out = s;
    return 0;
}

void hd_spsc_destroy(hd_spsc *s) {
    if (s) hd__lf_free(s, hd__spsc_bytes(s->mask + 1));
}

bool hd_spsc_push(hd_spsc *s, void *item) {
    return hd__spsc_push(s, &item, 1) != 0;
}

bool hd_spsc_pop(hd_spsc *s, void **item) {
    return hd__spsc_pop(s, item, 1) != 0;
}

size_t hd_spsc_push_n(hd_spsc *s, void *const *items, size_t n) {
    return n ? hd__spsc_push(s, items, n) : 0;
}

size_t hd_spsc_pop_n(hd_spsc *s, void **items, size_t n) {
    return n ? hd__spsc_pop(s, items, n) : 0;
}

size_t hd_spsc_count(const hd_spsc *s) {
    return hd__spsc_count(s);
}

size_t hd_spsc_capacity(const hd_spsc *s) {
    return (size_t)s->mask + 1;
}

/* ---- many producers, many consumers ---- */

int hd_ring_create(hd_ring **out, size_t capacity) {
    HD__CHECK(out != NULL, "hd_ring_create: out is NULL; pass the address of a pointer");
    if (!sensible(capacity)) return -EINVAL;
    /* In a ring of one cell the turns i + 1 and i + n would be the same. */
    uint64_t cells = power_of_two(capacity, 1);
    hd_ring *r = hd__lf_alloc(hd__ring_bytes(cells));
    if (!r) return -ENOMEM;
    hd__ring_init(r, cells);
    *out = r;
    return 0;
}

void hd_ring_destroy(hd_ring *r) {
    if (r) hd__lf_free(r, hd__ring_bytes(r->mask + 1));
}

/* More in one section would keep others from being scheduled. */
enum { BATCH = 64 };

static HD__ALWAYS_INLINE size_t push_some(hd_ring *r, void *const *items, size_t n) {
    for (unsigned turn = 0;; turn++) {
        (void)hd__self_enter_brief();
        size_t k = hd__ring_push(r, items, n);
        if (hd__self_leave_brief()) hd__sched_leave_due();
        if (HD__LIKELY(k != HD__RING_BUSY)) return k;
        hd__lf_wait(turn);
    }
}

static HD__ALWAYS_INLINE size_t pop_some(hd_ring *r, void **items, size_t n) {
    for (unsigned turn = 0;; turn++) {
        (void)hd__self_enter_brief();
        size_t k = hd__ring_pop(r, items, n);
        if (hd__self_leave_brief()) hd__sched_leave_due();
        if (HD__LIKELY(k != HD__RING_BUSY)) return k;
        hd__lf_wait(turn);
    }
}

bool hd_ring_push(hd_ring *r, void *item) {
    return push_some(r, &item, 1) != 0;
}

bool hd_ring_pop(hd_ring *r, void **item) {
    return pop_some(r, item, 1) != 0;
}

size_t hd_ring_push_n(hd_ring *r, void *const *items, size_t n) {
    return n ? push_some(r, items, n < BATCH ? n : BATCH) : 0;
}

size_t hd_ring_pop_n(hd_ring *r, void **items, size_t n) {
    return n ? pop_some(r, items, n < BATCH ? n : BATCH) : 0;
}

size_t hd_ring_count(const hd_ring *r) {
    return hd__ring_count(r);
}

size_t hd_ring_capacity(const hd_ring *r) {
    return (size_t)r->mask + 1;
}
