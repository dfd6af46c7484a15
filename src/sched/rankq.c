/* SPDX-License-Identifier: MIT */
#include "sched/rankq.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "os/mem.h"

enum { CHILDREN = 4 };

static size_t memory_size(uint32_t capacity) {
    return HD__ROUND_UP(capacity * sizeof(struct hd__rankq_entry), hd__os_page_size());
}

/* Moves the heap into an array of this capacity. 0 or -ENOMEM. */
static int reserve(struct hd__rankq *q, uint32_t capacity) {
    size_t bytes = memory_size(capacity);
    void *memory = hd__os_map(bytes);
    if (!memory) return -ENOMEM;
    (void)hd__os_nohuge(memory, bytes); /* clearing a huge page would take long under the lock */
    if (q->memory) {
        memcpy(memory, q->heap, hd__rankq_count(q) * sizeof *q->heap);
        hd__os_unmap(q->memory, memory_size(q->capacity));
    }
    q->memory = q->heap = memory;
    q->capacity = capacity;
    return 0;
}

int hd__rankq_init(struct hd__rankq *q, uint32_t capacity, uint32_t mark) {
    memset(q, 0, sizeof *q);
    atomic_store_explicit(&q->best, UINT64_MAX, memory_order_relaxed);
    q->mark = mark;
    return reserve(q, capacity);
}

void hd__rankq_finish(struct hd__rankq *q) {
    if (q->memory) hd__os_unmap(q->memory, memory_size(q->capacity));
    q->memory = NULL;
    q->capacity = 0;
}

enum { FIRST_CAPACITY = 1024 };

static HD__COLD void grow(struct hd__rankq *q) {
    uint32_t capacity = q->capacity ? 2 * q->capacity : FIRST_CAPACITY;
    if (capacity >= HD__PLACE_OWN / 2 || reserve(q, capacity) != 0)
        hd__fatal("no address space for a queue of %u runnable threads: use policy \"steal\", or "
                  "fewer threads", capacity);
}

static inline bool before(const struct hd__rankq_entry *a, const struct hd__rankq_entry *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->seq < b->seq;
}

static inline void put(struct hd__rankq *q, uint32_t i, struct hd__rankq_entry e) {
    q->heap[i] = e;
    atomic_store_explicit(&hd__thread_side(e.thread)->place, (i + 1) | q->mark,
                          memory_order_relaxed);
}

static void publish(struct hd__rankq *q, uint32_t count) {
    atomic_store_explicit(&q->count, count, memory_order_relaxed);
    atomic_store_explicit(&q->best, count ? q->heap[0].rank : UINT64_MAX, memory_order_relaxed);
}

/* Puts e at i or at an ancestor of i, whichever is right; i's own entry is overwritten. */
static void put_upwards(struct hd__rankq *q, uint32_t i, struct hd__rankq_entry e) {
    while (i > 0) {
        uint32_t parent = (i - 1) / CHILDREN;
        if (!before(&e, &q->heap[parent])) break;
        put(q, i, q->heap[parent]);
        i = parent;
    }
    put(q, i, e);
}

/* The same with i's descendants, of `count` entries. */
static void put_downwards(struct hd__rankq *q, uint32_t i, uint32_t count,
                          struct hd__rankq_entry e) {
    for (;;) {
        uint32_t first = CHILDREN * i + 1;
        if (first >= count) break;
        uint32_t end = count - first < CHILDREN ? count : first + CHILDREN;
        uint32_t least = first;
        for (uint32_t c = first + 1; c < end; c++)
            if (before(&q->heap[c], &q->heap[least])) least = c;
        if (!before(&q->heap[least], &e)) break;
        put(q, i, q->heap[least]);
        i = least;
    }
    put(q, i, e);
}

void hd__rankq_put(struct hd__rankq *q, hd_thread *t, uint64_t rank, uint64_t seq) {
    uint32_t count = hd__rankq_count(q);
    if (HD__UNLIKELY(count == q->capacity)) grow(q);
    hd__thread_side(t)->seq = seq;
    put_upwards(q, count, (struct hd__rankq_entry){rank, seq, t});
    publish(q, count + 1);
}

/* The last entry takes the place that is left. */
static void remove_at(struct hd__rankq *q, uint32_t i) {
    uint32_t count = hd__rankq_count(q) - 1;
    struct hd__rankq_entry last = q->heap[count];
    atomic_store_explicit(&hd__thread_side(q->heap[i].thread)->place, 0, memory_order_relaxed);
    if (i < count) {
        if (i > 0 && before(&last, &q->heap[(i - 1) / CHILDREN]))
            put_upwards(q, i, last);
        else
            put_downwards(q, i, count, last);
    }
    publish(q, count);
}

hd_thread *hd__rankq_take(struct hd__rankq *q) {
    hd_thread *t = q->heap[0].thread;
    remove_at(q, 0);
    return t;
}

void hd__rankq_remove(struct hd__rankq *q, hd_thread *t) {
    uint32_t place = atomic_load_explicit(&hd__thread_side(t)->place, memory_order_relaxed);
    remove_at(q, (place & ~HD__PLACE_OWN) - 1);
}
