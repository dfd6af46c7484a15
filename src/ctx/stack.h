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
 * what may lie idle in the caches of other workers, out of reach. It is left out for huge pages,
 * whose stacks nobody caches.
 *
 * Nodes. On a machine with several memory nodes each has pools of its own, of slabs whose memory is
 * preferably the node's; a stack goes back to the pool that it came from. Reservations are counted
 * for all nodes together: a node whose pool is empty maps a slab or takes from another one. With
 * one node nobody asks.
 *
 * Idle stacks keep their memory, since whoever needs one soon would otherwise pay for its pages
 * again. hd__stack_trim_*() gives it back, and so does a put while more lies idle than is allowed;
 * such stacks are told apart as *clean*, and taken last.
 *
 * Huge pages. A class says also what pages its stacks are to have. Those of huge classes lie on
 * multiples of 2 MiB, with their guards outside: 2 MiB of address space below each, so that a guard
 * does not split a huge page. Transparent huge pages come with the first touch or not at all; those
 * that the administrator set aside are mapped one stack at a time, when it is reserved, and where
 * there is none left the stack is one of transparent ones. What came of it stands in `pages`.
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

/* Classes are sizes of 16 KiB << n, up to 1 GiB, with what pages they are to have in the upper
 * bits: ordinary ones, transparent huge ones, or huge ones that were set aside. */
#define HD__STACK_SHIFT_MIN 14
#define HD__STACK_SHIFT_MAX 30
#define HD__STACK_SIZES (HD__STACK_SHIFT_MAX - HD__STACK_SHIFT_MIN + 1)
#define HD__STACK_HUGE 0x20u
#define HD__STACK_HUGETLB 0x40u
#define HD__STACK_CLASSES (HD__STACK_HUGETLB + HD__STACK_SIZES)
#define HD__STACK_SIZE_OF(klass) ((klass) & 0x1fu)
#define HD__STACK_IS_HUGE(klass) ((klass) >= HD__STACK_HUGE)

/* Memory nodes that are told apart. */
#define HD__STACK_NODES 64u

/* The most that one worker's cache holds of any class. */
#define HD__STACK_CACHE_MAX 64u

/* What pages a stack has. */
enum hd__stack_pages {
    HD__PAGES_ORDINARY,
    HD__PAGES_UNKNOWN,     /* of a huge class, and not touched so far */
    HD__PAGES_TRANSPARENT, /* a huge one came with the first touch */
    HD__PAGES_MISSED,      /* of a huge class, and yet ordinary */
    HD__PAGES_EXPLICIT,    /* of those that were set aside */
};

/* What one slot is. Everything but the first member is constant once the stack was handed out. */
struct hd__stack {
    union {
        struct hd__stack *next; /* while idle: the link of the cache or pool that it is in */
        void *owner;            /* while handed out: the user's, e.g. the thread; begins as NULL */
    };
    void *top;      /* where it begins, growing down; a multiple of 64 */
    void *low;      /* the lowest usable byte, above the guard */
    uint32_t size;  /* usable bytes: top - low */
    union {
        struct {
            uint8_t klass, node;
        };
        uint16_t key; /* both at once */
    };
    bool guarded;
    uint8_t pages; /* enum hd__stack_pages */
#ifdef HD__VALGRIND
    unsigned valgrind_id;
#endif
};

/* One worker's idle stacks of one class and node. All zero is empty. Owner-only: no atomics, no
 * lock. */
struct hd__stack_cache {
    struct hd__stack *head;
    unsigned count;
    uint16_t key; /* what its stacks have as theirs */
};

static inline uint16_t hd__stack_key(unsigned klass, unsigned node) {
    return (uint16_t)(klass | node << 8);
}

/* The class whose slots hold `bytes` of address space, guard included; bytes is at most 1 GiB. */
unsigned hd__stack_class(size_t bytes);
/* The same with huge pages; `set_aside`: of those that the administrator did. At least 2 MiB. Where
 * huge pages have another size than 2 MiB, the class with ordinary ones. */
unsigned hd__stack_huge_class(size_t bytes, bool set_aside);
/* The address space of a stack of the class. What a thread can use of it is a page (the guard, but
 * with huge pages) and up to 960 bytes (the colour) less. */
static inline size_t hd__stack_class_bytes(unsigned klass) {
    return (size_t)1 << (HD__STACK_SHIFT_MIN + HD__STACK_SIZE_OF(klass));
}

/* The least size that makes sense here: guard, colour, a signal frame with this CPU's whole vector
 * state, and a few functions. At least 16 KiB, a multiple of the page size. */
size_t hd__stack_size_min(void);

/* How many idle stacks of the class a worker's cache holds at most: HD__STACK_CACHE_MAX, fewer
 * where that would be more than 4 MiB of address space, none above 4 MiB a stack. */
static inline unsigned hd__stack_cache_max(unsigned klass) {
    size_t fit = ((size_t)4 << 20) >> (HD__STACK_SHIFT_MIN + HD__STACK_SIZE_OF(klass));
    return fit < HD__STACK_CACHE_MAX ? (unsigned)fit : HD__STACK_CACHE_MAX;
}

/* Says for how many workers' caches there must be slack. Before the first reservation, or with none
 * outstanding. */
void hd__stack_set_workers(unsigned n);

/* On how many memory nodes stacks are to lie, at most HD__STACK_NODES, and what these are called in
 * the kernel (NULL: it is not told); there is one at first. 0 or -ENOMEM. Once, until
 * hd__stack_release_all(); stacks that there are by then are of node 0. */
int hd__stack_set_nodes(unsigned n, const uint16_t *numbers);
unsigned hd__stack_nodes(void);

/* How much may lie idle in the pools with its memory, in bytes of address space; UINT64_MAX, as at
 * first: without limit. */
void hd__stack_set_idle_max(uint64_t bytes);

/* Makes sure that n more stacks of the class can be had. 0 or -ENOMEM (nothing is reserved then).
 * Thread-safe; a spin lock and an addition, now and then a mapping. */
int hd__stack_reserve(unsigned klass, unsigned n);
/* The same; what must be mapped for it is mapped for this node. */
int hd__stack_reserve_at(unsigned node, unsigned klass, unsigned n);
/* Gives n reservations back; their stacks were put back or never taken. */
void hd__stack_unreserve(unsigned klass, unsigned n);

/* The slow halves of get and put: the cache is empty or full, or there is none. */
struct hd__stack *hd__stack_get_slow(struct hd__stack_cache *cache, unsigned klass);
/* Without a cache: a stack of the node if possible. */
struct hd__stack *hd__stack_get_at(unsigned node, unsigned klass);
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

/* Gives a stack back that nobody stands on any more; cache is the caller's for its class and node,
 * or NULL. The reservation stays. */
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

/* Trimming, by whoever has the time; a worker's cache is out of reach. Takes some idle stacks of
 * the class and node, which are then out of everybody's reach, and reserved meanwhile; NULL: none,
 * or none that can be spared. Gives their memory back: how many bytes that was. Puts them back. */
struct hd__stack *hd__stack_trim_take(unsigned node, unsigned klass);
size_t hd__stack_trim_discard(struct hd__stack **chain);
void hd__stack_trim_give(struct hd__stack *chain);

/* What an address has to do with our stacks. */
struct hd__stack_hit {
    struct hd__stack *stack; /* NULL: the slot was never handed out */
    void *slot_low;          /* the lowest address of the slot: the guard's */
    size_t slot_bytes; /* of the class */
    bool in_guard; /* the address lies in the guard */
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
    uint64_t idle;         /* of these, those in the pools with their memory */
    uint64_t clean;        /* and those whose memory was given back */
    uint64_t unguarded;    /* of those ever used, slots without a guard */
    uint64_t slabs;
    uint64_t mapped_bytes; /* address space */
    uint64_t idle_bytes;   /* of the idle ones, address space */
    uint64_t trimmed_bytes; /* memory given back since the start */
    uint64_t transparent, explicit, missed; /* stacks of huge classes by what they got */
};
/* Sums over all classes. */
void hd__stack_stats(struct hd__stack_stats *out);

/* Unmaps everything and begins anew. No stack may be in use; caches must be zeroed by their
 * owners. */
void hd__stack_release_all(void);

#endif
