/* SPDX-License-Identifier: MIT */
#include "sched/timer.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "os/mem.h"

#ifdef HD_HOSTILE
enum { FIRST_CAPACITY = 64 };
#else
enum { FIRST_CAPACITY = 1 << 20 };
#endif

/* The array begins so far into its memory that the children of a node share a cache line. */
enum { CHILDREN = 4, LEAD_IN = CHILDREN - 1 };
_Static_assert(CHILDREN * sizeof(struct hd__timers_entry) == HD__CACHE_LINE,
               "four children are a cache line");

static size_t memory_size(uint32_t capacity) {
    size_t bytes = ((size_t)capacity + LEAD_IN) * sizeof(struct hd__timers_entry);
    return HD__ROUND_UP(bytes, hd__os_page_size());
}

/* Moves the heap into an array of this capacity. 0 or -ENOMEM. */
static int reserve(struct hd__timers *h, uint32_t capacity) {
    size_t bytes = memory_size(capacity);
    void *memory = hd__os_map(bytes);
    if (!memory) return -ENOMEM;
    /* Clearing a huge page would take long under the lock. */
    (void)hd__os_nohuge(memory, bytes);
    struct hd__timers_entry *heap = (struct hd__timers_entry *)memory + LEAD_IN;
    if (h->memory) {
        memcpy(heap, h->heap, h->count * sizeof *heap);
        hd__os_unmap(h->memory, memory_size(h->capacity));
    }
    h->memory = memory;
    h->heap = heap;
    h->capacity = capacity;
    return 0;
}

int hd__timers_init(struct hd__timers *h) {
    *h = (struct hd__timers){.count = 0};
    atomic_store_explicit(&h->earliest_ns, HD_FOREVER, memory_order_relaxed);
    return reserve(h, FIRST_CAPACITY);
}

void hd__timers_finish(struct hd__timers *h) {
    if (h->memory) hd__os_unmap(h->memory, memory_size(h->capacity));
    h->memory = NULL;
    h->capacity = 0;
}

/* So much at a time: nobody arms a timer meanwhile. */
enum { TRIM_BYTES = 256 * 1024 };

/* A piece of the memory behind the last timer, from *offset on; false: there is no more. */
static bool trim_piece(struct hd__timers *h, size_t *offset, size_t *bytes) {
    size_t end = h->memory ? memory_size(h->capacity) : 0;
    size_t used = memory_size(h->count) > *offset ? memory_size(h->count) : *offset;
    if (used >= end) return false;
    size_t piece = end - used < TRIM_BYTES ? end - used : TRIM_BYTES;
    char *at = (char *)h->memory + used;
    size_t had = hd__os_resident_bytes(at, piece);
    if (had && hd__os_discard(at, piece) == 0) *bytes += had;
    *offset = used + piece;
    return true;
}

size_t hd__timers_trim(struct hd__timers *h) {
    size_t offset = 0, bytes = 0;
    bool more = true;
    while (more) {
        hd__spin_lock(&h->lock);
        more = trim_piece(h, &offset, &bytes);
        hd__spin_unlock(&h->lock);
    }
    return bytes;
}

static HD__COLD void grow(struct hd__timers *h) {
    uint32_t capacity = h->capacity ? 2 * h->capacity : FIRST_CAPACITY;
    if (capacity < h->capacity || reserve(h, capacity) != 0)
        hd__fatal("no address space for %u timers on one worker: use more workers, or fewer "
                  "threads that sleep or wait with deadlines", capacity);
}

static void publish_earliest(struct hd__timers *h) {
    atomic_store_explicit(&h->earliest_ns, h->count ? h->heap[0].deadline_ns : HD_FOREVER,
                          memory_order_relaxed);
}

static inline void put(struct hd__timers *h, uint32_t i, struct hd__timers_entry e) {
    h->heap[i] = e;
    e.timer->place = i;
}

/* Puts e at i or at an ancestor of i, whichever is right; i's own entry is overwritten. */
static void put_upwards(struct hd__timers *h, uint32_t i, struct hd__timers_entry e) {
    while (i > 0) {
        uint32_t parent = (i - 1) / CHILDREN;
        if (h->heap[parent].deadline_ns <= e.deadline_ns) break;
        put(h, i, h->heap[parent]);
        i = parent;
    }
    put(h, i, e);
}

/* The same with i's descendants. */
static void put_downwards(struct hd__timers *h, uint32_t i, struct hd__timers_entry e) {
    for (;;) {
        size_t first = (size_t)CHILDREN * i + 1;
        if (first >= h->count) break;
        uint32_t end = h->count - first < CHILDREN ? h->count : (uint32_t)first + CHILDREN;
        uint32_t least = (uint32_t)first;
        for (uint32_t c = least + 1; c < end; c++)
            if (h->heap[c].deadline_ns < h->heap[least].deadline_ns) least = c;
        if (h->heap[least].deadline_ns >= e.deadline_ns) break;
        put(h, i, h->heap[least]);
        i = least;
    }
    put(h, i, e);
}

void hd__timers_insert(struct hd__timers *h, struct hd__timer *t) {
    if (HD__UNLIKELY(h->count == h->capacity)) grow(h);
    t->owner = h;
    put_upwards(h, h->count++, (struct hd__timers_entry){t->deadline_ns, t});
    publish_earliest(h);
}

/* The last entry takes the place that is left. */
static void remove_locked(struct hd__timers *h, struct hd__timer *t) {
    uint32_t i = t->place;
    struct hd__timers_entry last = h->heap[--h->count];
    t->owner = NULL;
    if (i < h->count) {
        if (i > 0 && last.deadline_ns < h->heap[(i - 1) / CHILDREN].deadline_ns)
            put_upwards(h, i, last);
        else
            put_downwards(h, i, last);
    }
    publish_earliest(h);
}

struct hd__timer *hd__timers_take_expired(struct hd__timers *h, uint64_t now_ns) {
    if (h->count == 0 || h->heap[0].deadline_ns > now_ns) return NULL;
    struct hd__timer *t = h->heap[0].timer;
    remove_locked(h, t);
    return t;
}

void hd__timer_cancel(struct hd__timers *h, struct hd__timer *t) {
    hd__spin_lock(&h->lock);
    if (t->owner) remove_locked(h, t);
    hd__spin_unlock(&h->lock);
}
