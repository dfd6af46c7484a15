/* SPDX-License-Identifier: MIT */
/* Stacks: slabs of equal slots in one mapping, guarded at their low ends, reused last-in first-out.
 *
 * The idea. A slab is one mapping of many slots of one power-of-two size, its *class*. The lowest
 * page of a slot is its guard. A guard made of page protection costs two of the 65,530 mappings
 * that a process may have, so a million stacks need the kernel's guard markers, which live in the
 * page table (Linux 6.13). What we know about a stack is in a dense array beside the slab, 32 bytes
 * each; kept in the stack itself it would cost a page of memory for each idle stack.
 *
 * Reservation. A thread gets its stack when it is first dispatched, where there is nobody to return
 * an error to. So the one who spawns it *reserves*: hd__stack_reserve() may fail, hd__stack_get()
 * after it cannot. Invariant, for each class:
 *     capacity >= reserved + workers * hd__stack_cache_max(class)
 * where a reservation lasts from reserve to unreserve, through get and put, and the second term is
 * what may lie idle in the caches of other workers, out of reach.
 *
 * Colour. Stacks of 64 KiB would all begin in the same cache sets; slot i begins (i mod 16) lines
 * lower than the slot ends.
 *
 * Rejected: one mmap() per stack (mappings, 20 us each); the record at the stack's top (a page for
 * each stack that is mapped ahead, and the record shares its fate in an overflow from above);
 * growing stacks by signal handler (the kernel grows them by the page on its own: what is not
 * touched costs nothing). */
#ifndef HD_SRC_CTX_STACK_H
#define HD_SRC_CTX_STACK_H

#include "base/base.h"
#include "ctx/annotate.h"

/* Classes are slots of 16 KiB << klass, up to 1 GiB. */
#define HD__STACK_SHIFT_MIN 14
#define HD__STACK_SHIFT_MAX 30
#define HD__STACK_CLASSES (HD__STACK_SHIFT_MAX - HD__STACK_SHIFT_MIN + 1)

/* The most that one worker's cache holds of any class. */
#define HD__STACK_CACHE_MAX 64u

/* What one slot is. Everything but the first member is constant once the stack was handed out. */
struct hd__stack {
    union {
        struct hd__stack *next; /* while idle: the link of the cache or pool that it is in */
        void *owner;            /* while handed out: the user's, e.g. the thread; begins as NULL */
    };
    void *top;      /* where it begins, growing down; a multiple of 64 */
    void *low;      /* the lowest usable byte, above the guard */
    uint32_t size;  /* usable bytes: top - low */
    uint16_t klass;
    bool guarded;
#ifdef HD__VALGRIND
    unsigned valgrind_id;
#endif
};

/* One worker's idle stacks of one class. All zero is empty. Owner-only: no atomics, no lock. */
struct hd__stack_cache {
    struct hd__stack *head;
    unsigned count;
};

/* The class whose slots hold `bytes` of address space, guard included; bytes is at most 1 GiB. */
unsigned hd__stack_class(size_t bytes);
/* The address space of a slot of the class. What a thread can use of it is a page (the guard) and
 * up to 960 bytes (the colour) less. */
static inline size_t hd__stack_class_bytes(unsigned klass) {
    return (size_t)1 << (HD__STACK_SHIFT_MIN + klass);
}

/* The least size that makes sense here: guard, colour, a signal frame with this CPU's whole vector
 * state, and a few functions. At least 16 KiB, a multiple of the page size. */
size_t hd__stack_size_min(void);

/* How many idle stacks of the class a worker's cache holds at most: HD__STACK_CACHE_MAX, fewer
 * where that would be more than 4 MiB of address space, none above 4 MiB a stack. */
static inline unsigned hd__stack_cache_max(unsigned klass) {
    size_t fit = ((size_t)4 << 20) >> (HD__STACK_SHIFT_MIN + klass);
    return fit < HD__STACK_CACHE_MAX ? (unsigned)fit : HD__STACK_CACHE_MAX;
}

/* Says for how many workers' caches there must be slack. Before the first reservation, or with none
 * outstanding. */
void hd__stack_set_workers(unsigned n);

/* Makes sure that n more stacks of the class can be had. 0 or -ENOMEM (nothing is reserved then).
 * Thread-safe; a spin lock and an addition, now and then a mapping. */
int hd__stack_reserve(unsigned klass, unsigned n);
/* Gives n reservations back; their stacks were put back or never taken. */
void hd__stack_unreserve(unsigned klass, unsigned n);

/* The slow halves of get and put: the cache is empty or full, or there is none. */
struct hd__stack *hd__stack_get_slow(struct hd__stack_cache *cache, unsigned klass);
void hd__stack_put_slow(struct hd__stack_cache *cache, struct hd__stack *s);

/* A stack of the class, the last one that was put into the cache if possible. The caller has a
 * reservation. cache NULL: a kernel thread without caches. Never fails. */
static inline struct hd__stack *hd__stack_get(struct hd__stack_cache *cache, unsigned klass) {
    struct hd__stack *s;
    if (HD__UNLIKELY(cache == NULL || cache->head == NULL)) {
        return hd__stack_get_slow(cache, klass);
    }
    s = cache->head;
    cache->head = s->next;
    cache->count--;
    s->owner = NULL;
    return s;
}

/* Gives a stack back that nobody stands on any more; cache is the caller's for its class, or NULL.
 * The reservation stays. */
static inline void hd__stack_put(struct hd__stack_cache *cache, struct hd__stack *s) {
    hd__annotate_stack_idle(s->low, s->size);
    if (HD__UNLIKELY(cache == NULL || cache->count >= hd__stack_cache_max(s->klass))) {
        hd__stack_put_slow(cache, s);
        return;
    }
    s->next = cache->head;
    cache->head = s;
    cache->count++;
}

/* Gives all of a cache to the pool, e.g. when its worker ends. */
void hd__stack_cache_drain(struct hd__stack_cache *cache, unsigned klass);

/* What an address has to do with our stacks. */
struct hd__stack_hit {
    struct hd__stack *stack; /* NULL: the slot was never handed out */
    void *slot_low;          /* the lowest address of the slot: the guard's */
    size_t slot_bytes;
    bool in_guard; /* the address lies in the guard page */
};
/* Whether addr lies in a slot; fills *hit if it does. Async-signal-safe, takes no lock, linear in
 * the number of slabs. */
bool hd__stack_find(const void *addr, struct hd__stack_hit *hit);

/* Fills the whole stack with a pattern; nobody may stand on it. Touches all of its pages. */
void hd__stack_paint(struct hd__stack *s);
/* The most bytes that were in use since it was painted (*exact: true), else since its pages were
 * touched first, by whole pages (*exact: false). May be asked by the thread that stands on it. */
size_t hd__stack_high_water(const struct hd__stack *s, bool painted, bool *exact);

/* How the next stack will be guarded: "madv-guard", "mprotect", or "none". */
const char *hd__stack_guard_kind(void);
enum hd__stack_guard { HD__GUARD_MADVISE = 0, HD__GUARD_MPROTECT = 1, HD__GUARD_NONE = 2 };
/* Begins with this kind instead of the best one, for tests and HEDDLE_* settings. Before the first
 * stack is handed out, or after hd__stack_release_all(). */
void hd__stack_guard_force(enum hd__stack_guard kind);

struct hd__stack_stats {
    uint64_t capacity;     /* slots that are mapped */
    uint64_t reserved;     /* reservations outstanding */
    uint64_t handed_out;   /* slots that were ever used */
    uint64_t unguarded;    /* of these, slots without a guard */
    uint64_t slabs;
    uint64_t mapped_bytes; /* address space */
};
/* Sums over all classes. */
void hd__stack_stats(struct hd__stack_stats *out);

/* Unmaps everything and begins anew. No stack may be in use; caches must be zeroed by their
 * owners. */
void hd__stack_release_all(void);

#endif
