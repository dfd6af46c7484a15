/* SPDX-License-Identifier: MIT */
/* Pools from the inside.
 *
 * The idea. A *magazine* is an array of pointers to free objects. Each worker has a cache for each
 * pool, which holds two: the loaded one, which alloc and free use from its end, and the previous
 * one, either full or empty. When the loaded one does not do, the two are swapped; when neither
 * does, one is exchanged at the *depot*, a list of full magazines and one of empty ones under a
 * lock. So there is a lock at most every pool->rounds calls, and a program that frees elsewhere
 * than it allocates moves whole magazines from worker to worker. Nothing is written into a free
 * object: it stays as its user left it (constructed, if the pool has init), and freeing brings no
 * line of it into the cache. Below lie *slabs* (pool_slab.c), from which objects come at first and
 * to which they return when memory is to be given back (pool_drain.c).
 *
 * After Bonwick and Adams, Magazines and Vmem: Extending the Slab Allocator to Many CPUs and
 * Arbitrary Resources (USENIX 2001). Different here: a cache belongs to a worker, not to a CPU; it
 * has no lock on its fast path; others can empty it all the same; the size of magazines is fixed.
 *
 *                     alloc, free                   every so many calls
 *     thread on w  <-------------->  caches[w]  <------------------------->  depots[node]
 *     foreign      <-- its lock -->  stripes[i] <------------------------->
 *                                        |                                       |  trim, destroy
 *                                        |  drain: when the capacity is reached  v
 *                                        +-------------------------------->    slabs
 *
 * The fast path (pool_fast.h) is a brief section (sched/self.h): it reads cache->mag, takes or puts
 * one pointer, and changes mag->count. Who may touch what:
 *
 *   cache->mag       what the fast path uses: the loaded magazine, or NULL. Written under
 *                    cache->lock. Read without, by the carrier that runs the worker.
 *   a magazine       belongs to the cache, list or function that holds it. The one in cache->mag
 *                    belongs to the carrier that runs the worker, which touches it in a brief
 *                    section, or inside with cache->lock. Others read its count, as a hint.
 *   loaded, prev, away     cache->lock.
 *
 * Gathering (pool_drain.c): when the capacity is reached, whoever needs an object brings what all
 * caches hold to the depots. It stores NULL into each cache->mag, under the lock, and then waits
 * until no brief section is under way that began before (hd__carriers_pass()). After this barrier
 * on all CPUs, a section either is seen under way, and waited for, or reads NULL. The wait acquires
 * the release that ends a section, so what the section did to the magazine is seen. Where the
 * kernel has no membarrier(), cache->mag is always NULL, and every call takes cache->lock.
 *
 * So that no free object escapes by moving from a cache that was not looked at yet to one that was,
 * `gathering` is set before the first look. Who locks a cache after it was looked at sees that (the
 * lock orders it), and waits for the end; who locked it before is done when it is looked at. All
 * objects are then in use, in depots, in slabs, or in the hands of calls under way that count as
 * users: such a call holds one object, that which it is about. (So a pool with a capacity takes
 * objects out of slabs one by one; and hd_pool_trim(), which holds more, is told of in its page.)
 *
 * The caches of workers outlive the runtime: the next one's workers find them. Between runtimes
 * there are no carriers, and gathering needs no barrier.
 *
 * Locks, outermost first: gather_lock, a cache's lock, a depot's lock; the slabs' lock and that of
 * the list of pools are taken alone.
 *
 * NUMA. With more than one node, or for pools bound to a node on such machines, a depot is kept for
 * each node; magazines have no room for the fast path of free, whose slow path looks where the
 * object comes from: one of another node goes into cache->away, which is sorted into the depots of
 * its objects' nodes when it is full. */
#ifndef HD_SRC_MEM_POOL_H
#define HD_SRC_MEM_POOL_H

#include "base/atomic.h"
#include "base/list.h"
#include "base/spin.h"
#include "sched/worker.h"
#include <heddle/pool.h>

enum {
#ifdef HD_HOSTILE
    HD__POOL_ROUNDS_MAX = 2,
#else
    HD__POOL_ROUNDS_MAX = 120,  /* with its head just under 1 KiB, as os/alloc.c cuts it */
#endif
    HD__POOL_GROW_MAX = 32,     /* objects that leave a slab at a time */
    HD__POOL_STRIPES = 8,       /* caches for foreign kernel threads */
    HD__POOL_SLAB_BYTES = 256 * 1024,
};

struct hd__mag {
    _Atomic uint32_t count; /* objects in it */
    uint32_t room;          /* up to what count the fast path of free may fill it */
    struct hd__mag *next;   /* link of the list that it is in */
    void *slots[];
};

static inline uint32_t hd__mag_count(const struct hd__mag *m) {
    return hd__load_relaxed(&((struct hd__mag *)(uintptr_t)m)->count);
}

static inline void *hd__mag_pop(struct hd__mag *m) {
    uint32_t n = hd__mag_count(m) - 1;
    hd__store_relaxed(&m->count, n);
    return m->slots[n];
}

static inline void hd__mag_push(struct hd__mag *m, void *object) {
    uint32_t n = hd__mag_count(m);
    m->slots[n] = object;
    hd__store_relaxed(&m->count, n + 1);
}

/* All zero is empty. */
struct hd__pool_cache {
    struct hd__mag *_Atomic mag; /* see above */
    hd__spin lock;               /* guards the members below, and the writes of mag */
    unsigned node;               /* of the depot that it uses */
    struct hd__mag *loaded, *prev, *away; /* NULL: none */
    uint64_t refills, returns, remote;
} HD__ALIGNED(HD__CACHE_LINE);
_Static_assert(sizeof(struct hd__pool_cache) == HD__CACHE_LINE, "one line for each worker");

struct hd__depot {
    hd__spin lock;          /* guards the members below */
    struct hd__mag *full;   /* with objects in them */
    struct hd__mag *empty;
    struct hd__mag *loose;  /* is being filled with objects that others sent here; or NULL */
} HD__ALIGNED(HD__CACHE_LINE);

/* At the lowest address of a slab, which is a multiple of pool->slab_bytes. hd_free() reads magic
 * and pool each time: they lie at the end of the line, since many objects begin at the same place
 * of another page, and a read that follows a write to such an address waits for it in vain. */
struct hd__slab_head {
    struct hd__link link;     /* in slabs[node] or spent[node] */
    unsigned node;
    uint32_t free;            /* slots that are in the slab */
    struct hd__pool_note *notes; /* debug mode: one for each slot */
    uint32_t cursor;          /* the word of `map` where the next look begins */
    uint32_t unused[3];
    uint64_t magic;
    hd_pool *pool;
    uint64_t map[];           /* a bit for each slot: it is in the slab */
};
_Static_assert(offsetof(struct hd__slab_head, map) == HD__CACHE_LINE, "one line");

/* What pools that check themselves know of a slot (pool_debug.c). */
struct hd__pool_note;

struct hd_pool {
    /* Constant. */
    size_t object_size, stride;
    size_t slab_bytes, first; /* where the first object of a slab lies */
    uint32_t per_slab;
    uint32_t rounds;          /* objects in a full magazine */
    size_t capacity;          /* SIZE_MAX: none */
    bool debug;
    bool keeps;               /* free objects hold something: it has init */
    unsigned nodes;           /* depots; 1: where memory comes from is of no matter */
    int bound_node;           /* -1: not bound */
    int (*init)(void *object, void *arg);
    void (*fini)(void *object, void *arg);
    void *arg;
    char name[HD_POOL_NAME_MAX + 1];
    struct hd__link link;     /* of the list of all pools; its lock */
    struct hd__depot *depots; /* one for each node */

    HD__ALIGNED(HD__CACHE_LINE) hd__spin slab_lock; /* guards what follows */
    struct hd__list *slabs;   /* by node: some of their slots are free */
    struct hd__list *spent;   /* by node: the others */
    size_t slab_count;
    size_t outside;           /* objects that are not in slabs */
    _Atomic uint64_t failed, drains;
    hd__spin gather_lock;     /* guards gathering */
    _Atomic bool gathering;   /* see above */
    _Atomic unsigned workers; /* so many of `caches` were ever used */

    struct hd__pool_cache stripes[HD__POOL_STRIPES];
    /* By the worker's index; pages are touched as far as there are workers. */
    struct hd__pool_cache caches[HD__WORKERS_MAX];
};

/* ---- pool.c: the slow halves of alloc and free ---- */

void *hd__pool_alloc_slow(hd_pool *pool);
void hd__pool_free_slow(hd_pool *pool, void *object);

/* The depot of a node; all inside. */
struct hd__mag *hd__depot_take_full(struct hd__depot *d); /* NULL: there is none */
struct hd__mag *hd__depot_take_empty(hd_pool *pool, struct hd__depot *d); /* NULL: no memory */
void hd__depot_give(struct hd__depot *d, struct hd__mag *m); /* with objects or without */

/* ---- pool_life.c ---- */

/* As hd_pool_create(). fixed: its slabs have HD__POOL_SLAB_BYTES, whatever the size. */
int hd__pool_create(hd_pool **out, const struct hd_pool_attr *attr, bool fixed);
/* Calls fn for each pool, under the lock of the list, until it returns true. */
bool hd__pools_each(bool (*fn)(hd_pool *pool, void *arg), void *arg);

/* How many NUMA nodes there are, and on which one the caller runs; tests replace it. */
struct hd__pool_numa {
    unsigned (*count)(void);
    unsigned (*current)(void);
};
extern struct hd__pool_numa hd__pool_numa;

/* The node that the caller's memory should come from. */
static inline unsigned hd__pool_node(const hd_pool *pool) {
    if (HD__LIKELY(pool->nodes == 1)) return 0;
    if (pool->bound_node >= 0) return (unsigned)pool->bound_node;
    unsigned node = hd__pool_numa.current();
    return node < pool->nodes ? node : 0;
}

/* ---- pool_slab.c; inside ---- */

/* Up to n objects out of slabs, if possible of this node; returns how many. */
unsigned hd__slab_take(hd_pool *pool, unsigned node, void **objects, unsigned n);
/* Puts one back. Aborts when it is none of the pool's or is there already. */
void hd__slab_give(hd_pool *pool, void *object);
/* The slab of an object of this pool. */
static inline struct hd__slab_head *hd__slab_of(const hd_pool *pool, const void *object) {
    return (struct hd__slab_head *)((uintptr_t)object & ~(uintptr_t)(pool->slab_bytes - 1));
}
/* Unmaps slabs: those of which nothing is in use, or all. Returns the bytes. */
size_t hd__slab_release(hd_pool *pool, bool all);
/* The sizes of slabs, in a pool whose objects' sizes are known. */
void hd__slab_layout(hd_pool *pool, bool fixed);
/* The slab, and the slot's number, that an address lies in, without trusting it; slab_lock held.
 * NULL: in none. *slot may be past the last one, or UINT32_MAX for the head. */
struct hd__slab_head *hd__slab_find(hd_pool *pool, const void *address, uint32_t *slot);

static inline void *hd__slab_object(const hd_pool *pool, struct hd__slab_head *slab, uint32_t i) {
    return (char *)slab + pool->first + i * pool->stride;
}

#define HD__SLAB_MAGIC 0x68642d706f6f6c31u
#define HD__LARGE_MAGIC 0x68642d6c61726765u

/* ---- pool_drain.c; inside ---- */

/* Brings the free objects of all caches to the depots; then takes one of them, if asked. NULL: all
 * are in use, or in slabs. */
void *hd__pool_gather(hd_pool *pool, bool take);
/* Waits until nobody gathers. */
void hd__pool_wait_gathered(hd_pool *pool);
/* Frees all magazines and caches, with what they hold; nobody uses the pool. */
void hd__pool_free_caches(hd_pool *pool);

/* The n-th cache, those of foreign kernel threads first; NULL: that was all. */
static inline struct hd__pool_cache *hd__pool_cache_at(hd_pool *pool, unsigned n) {
    if (n < HD__POOL_STRIPES) return &pool->stripes[n];
    n -= HD__POOL_STRIPES;
    return n < atomic_load(&pool->workers) ? &pool->caches[n] : NULL;
}

/* ---- pool_debug.c; outside ---- */

enum { HD__POOL_RED_BYTES = 16 }; /* behind each object, at least */

void *hd__pool_debug_alloc(hd_pool *pool, const void *site);
void hd__pool_debug_free(hd_pool *pool, void *object, const void *site);
/* What is still in use, on standard error; returns how many. */
size_t hd__pool_debug_leaks(hd_pool *pool);
/* Has the same done for all pools that are left when the process ends. */
void hd__pool_debug_at_exit(void);
/* A slab was made; 0 or -ENOMEM. And has gone; notes may be NULL. */
int hd__pool_debug_slab(hd_pool *pool, struct hd__slab_head *slab);
void hd__pool_debug_slab_gone(hd_pool *pool, struct hd__pool_note *notes);

#endif
