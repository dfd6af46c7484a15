/* SPDX-License-Identifier: MIT */
/* A queue of threads by rank: the smallest first, equal ones in the order of their sequence
 * numbers.
 *
 * A heap of four children a node in an array, as for timers (timer.h), and for the same reasons:
 * an entry holds what is compared, so that the descriptors of waiting threads are only written
 * to, and the array is address space that was reserved before, so that a push cannot fail. A
 * thread knows its place, so that its rank can be changed while it waits.
 *
 * Rejected: a list for each of 20 priorities, which is faster for that policy alone; one queue a
 * worker with stealing, which is faster with many workers and is no longer strict: a worker
 * would run what is best of its own, not what is best. Programs that need neither order have
 * `steal`. */
#ifndef HD__SCHED_RANKQ_H
#define HD__SCHED_RANKQ_H

#include "base/spin.h"
#include "thread/thread.h"

struct hd__rankq_entry {
    uint64_t rank, seq;
    hd_thread *thread;
};

struct hd__rankq {
    hd__spin lock;            /* guards all below, and `place` of the threads in it */
    uint32_t mark;            /* 0, or HD__PLACE_OWN: which kind of queue it is */
    _Atomic uint32_t count;   /* a hint without the lock */
    uint32_t capacity;
    _Atomic uint64_t best;    /* the smallest rank; a hint without the lock, UINT64_MAX if empty */
    struct hd__rankq_entry *heap;
    void *memory;
};

/* hd__thread_side.place: 0 in no queue by rank; else one more than the index, and this bit in
 * the queue of a single worker. */
#define HD__PLACE_OWN 0x80000000u

/* 0 or -ENOMEM; then the first push tries again. finish() forgets what is still in it. */
int hd__rankq_init(struct hd__rankq *q, uint32_t capacity, uint32_t mark);
void hd__rankq_finish(struct hd__rankq *q);

/* All with the lock held; t is in no queue, or the queue is not empty, or t is in this one. */
void hd__rankq_put(struct hd__rankq *q, hd_thread *t, uint64_t rank, uint64_t seq);
hd_thread *hd__rankq_take(struct hd__rankq *q);
void hd__rankq_remove(struct hd__rankq *q, hd_thread *t);

static inline uint32_t hd__rankq_count(struct hd__rankq *q) {
    return atomic_load_explicit(&q->count, memory_order_relaxed);
}

static inline uint64_t hd__rankq_best(struct hd__rankq *q) {
    return atomic_load_explicit(&q->best, memory_order_relaxed);
}

/* Whether t is in q. Lock held. */
static inline bool hd__rankq_has(const struct hd__rankq *q, const hd_thread *t) {
    uint32_t place = atomic_load_explicit(&hd__thread_side(t)->place, memory_order_relaxed);
    uint32_t i = (place & ~HD__PLACE_OWN) - 1;
    return place != 0 && (place & HD__PLACE_OWN) == q->mark &&
           i < hd__rankq_count((struct hd__rankq *)(uintptr_t)q) && q->heap[i].thread == t;
}

#endif
