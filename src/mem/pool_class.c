/* SPDX-License-Identifier: MIT */
/* hd_alloc() and hd_free(): a pool for each size class, and mappings for what is larger.
 *
 * Classes go by 16 bytes up to 128, then four to a doubling up to 32 KiB, so that at most a fifth
 * of an object is lost beyond 128 bytes. Their slabs all have one size, so that the head of the
 * slab, which says which pool it is, is found from any object's address. */
#include "mem/pool_class.h"

#include "base/check.h"
#include "mem/pool_fast.h"
#include "os/mem.h"

enum {
    STEP = 16,
    SMALL = 128,               /* up to here by steps */
    SMALL_CLASSES = SMALL / STEP,
    SMALL_SHIFT = 7,
    LARGEST_SHIFT = 15,
    LARGEST = 1 << LARGEST_SHIFT,
    CLASSES = SMALL_CLASSES + 4 * (LARGEST_SHIFT - SMALL_SHIFT),
};

static hd_pool *_Atomic pools[CLASSES];
/* The same, by the size in steps, so that the fast path need not know of classes: it would have to
 * wait for the arithmetic before each load that follows. 16 KiB, of which programs touch the lines
 * of the sizes that they use. */
static hd_pool *_Atomic by_size[LARGEST / STEP + 1];
static _Atomic bool checked; /* some of the pools are in debug mode */

/* Large blocks, newest first; guarded by large_lock. */
struct large {
    struct hd__link link;
    size_t bytes; /* mapped */
    uint64_t unused[3];
    uint64_t magic; /* where a slab has its own, so that the two can be told apart */
    hd_pool *pool;  /* NULL */
};
_Static_assert(offsetof(struct large, pool) == offsetof(struct hd__slab_head, pool) &&
                   offsetof(struct large, magic) == offsetof(struct hd__slab_head, magic),
               "hd_free() looks before it knows which of the two it has");
_Static_assert(sizeof(struct large) == HD__CACHE_LINE, "the block begins behind it");
static hd__spin large_lock;
static struct hd__list larges = {{&larges.head, &larges.head}};
static uint64_t large_count, large_bytes;

/* ---- Classes ---- */

static inline size_t steps(size_t size) {
    return (size + STEP - 1) / STEP;
}

static unsigned class_of(size_t size) {
    if (size <= SMALL) return size == 0 ? 0 : (unsigned)(size - 1) / STEP;
    unsigned shift = 63u - (unsigned)__builtin_clzll(size - 1); /* of the doubling below */
    unsigned quarter = (unsigned)((size - 1) >> (shift - 2)) & 3;
    return SMALL_CLASSES + 4 * (shift - SMALL_SHIFT) + quarter;
}

static size_t class_bytes(unsigned klass) {
    if (klass < SMALL_CLASSES) return (klass + 1) * (size_t)STEP;
    unsigned shift = SMALL_SHIFT + (klass - SMALL_CLASSES) / 4;
    return ((size_t)1 << shift) + ((klass - SMALL_CLASSES) % 4 + 1) * ((size_t)1 << (shift - 2));
}

static HD__NOINLINE hd_pool *make_pool(unsigned klass) {
    char name[HD_POOL_NAME_MAX + 1];
    hd_pool *pool = NULL, *other = NULL;
    hd__format(name, sizeof name, "hd_alloc-%zu", class_bytes(klass));
    if (hd__pool_create(&pool, HD_POOL_ATTR(.object_size = class_bytes(klass), .name = name),
                        true) != 0)
        return NULL;
    if (pool->debug) hd__store_relaxed(&checked, true);
    if (!atomic_compare_exchange_strong_explicit(&pools[klass], &other, pool, memory_order_acq_rel,
                                                 memory_order_acquire)) {
        hd_pool_destroy(pool); /* another thread was faster */
        return other;
    }
    for (size_t n = steps(class_bytes(klass)); class_of(n * STEP) == klass; n--) {
        hd__store_release(&by_size[n], pool);
        if (n == 0) break;
    }
    return pool;
}

/* ---- Large blocks: outside ---- */

static struct large *head_of(const void *p) {
    return (struct large *)((uintptr_t)p & ~(uintptr_t)(HD__POOL_SLAB_BYTES - 1));
}

static void *large_alloc(size_t size) {
    size_t page = hd__os_page_size(), bytes;
    if (__builtin_add_overflow(size, HD__CACHE_LINE + page, &bytes)) return NULL;
    bytes = HD__ROUND_DOWN(bytes, page);
    if (bytes > SIZE_MAX / 2) return NULL;
    struct large *l = hd__os_map_aligned(HD__POOL_SLAB_BYTES, bytes);
    if (l == NULL) return NULL;
    l->magic = HD__LARGE_MAGIC;
    l->bytes = bytes;
    hd__sched_enter(); /* the tools have locks, too, which others want inside */
    hd__annotate_objects_new((char *)l + HD__CACHE_LINE, bytes - HD__CACHE_LINE);
    hd__annotate_object_take((char *)l + HD__CACHE_LINE, size, true);
    hd__spin_lock(&large_lock);
    hd__list_push_front(&larges, &l->link);
    large_count++;
    large_bytes += bytes;
    hd__spin_unlock(&large_lock);
    hd__sched_leave();
    return (char *)l + HD__CACHE_LINE;
}

static void large_free(struct large *l) {
    size_t bytes = l->bytes;
    hd__sched_enter();
    hd__spin_lock(&large_lock);
    hd__list_remove(&l->link);
    large_count--;
    large_bytes -= bytes;
    hd__spin_unlock(&large_lock);
    hd__annotate_objects_gone((char *)l + HD__CACHE_LINE, bytes - HD__CACHE_LINE);
    l->magic = 0;
    if (!hd__os_unmap_part(l, bytes)) (void)hd__os_discard(l, bytes);
    hd__sched_leave();
}

/* ---- Debug mode: without trusting the address ---- */

static bool is_large(const void *p) {
    bool found = false;
    hd__sched_enter();
    hd__spin_lock(&large_lock);
    struct hd__link *link = hd__list_first(&larges);
    for (; link != NULL && !found; link = hd__list_next(&larges, link)) {
        char *l = (char *)hd__container_of(link, struct large, link);
        found = l + HD__CACHE_LINE == (const char *)p;
    }
    hd__spin_unlock(&large_lock);
    hd__sched_leave();
    return found;
}

static HD__NOINLINE void free_checked(void *p, const void *site) {
    hd_pool *last = NULL;
    if (is_large(p)) {
        large_free(head_of(p));
        return;
    }
    for (unsigned klass = 0; klass < CLASSES; klass++) {
        hd_pool *pool = hd__load_acquire(&pools[klass]);
        uint32_t slot;
        if (pool == NULL) continue;
        last = pool;
        hd__sched_enter();
        hd__spin_lock(&pool->slab_lock);
        bool found = hd__slab_find(pool, p, &slot) != NULL;
        hd__spin_unlock(&pool->slab_lock);
        hd__sched_leave();
        if (found) break;
    }
    /* The last one complains if it is in none. */
    hd__pool_debug_free(last, p, site);
}

/* ---- The interface ---- */

static HD__NOINLINE void *alloc_slow(size_t size, const void *site) {
    if (size > LARGEST) return large_alloc(size);
    unsigned klass = class_of(size);
    hd_pool *pool = hd__load_acquire(&pools[klass]);
    if (pool == NULL) pool = make_pool(klass);
    if (pool == NULL) return NULL;
    if (pool->debug) return hd__pool_debug_alloc(pool, site);
    void *object = hd__pool_alloc_slow(pool);
    if (object != NULL) hd__annotate_object_take(object, pool->object_size, false);
    return object;
}

void *hd_alloc(size_t size) {
    hd_pool *pool = NULL;
    void *object = NULL;
    enum hd__pool_way way = HD__POOL_SLOW;
    if (HD__LIKELY(size <= LARGEST)) pool = hd__load_acquire(&by_size[steps(size)]);
    if (HD__LIKELY(pool != NULL)) way = hd__pool_alloc_fast(pool, &object);
    if (HD__UNLIKELY(way == HD__POOL_SLOW)) return alloc_slow(size, __builtin_return_address(0));
    hd__annotate_object_take(object, pool->object_size, false);
    return HD__LIKELY(way == HD__POOL_DONE) ? object : hd__pool_give_way(object);
}

static HD__NOINLINE void free_slow(void *p, const void *site) {
    if (hd__load_relaxed(&checked)) {
        free_checked(p, site);
        return;
    }
    struct large *l = head_of(p);
    bool mine = l->magic == HD__LARGE_MAGIC ? (char *)l + HD__CACHE_LINE == (char *)p
                                            : l->magic == HD__SLAB_MAGIC;
    HD__CHECK(mine, "hd_free: hd_alloc() did not return %p", p);
    if (l->magic == HD__LARGE_MAGIC)
        large_free(l);
    else
        hd__pool_free_slow(l->pool, p);
}

void hd_free(void *p) {
    enum hd__pool_way way = HD__POOL_SLOW;
    if (HD__UNLIKELY(p == NULL)) return;
    if (HD__LIKELY(!hd__load_relaxed(&checked))) {
        struct hd__slab_head *slab = (struct hd__slab_head *)head_of(p);
        if (HD__LIKELY(slab->magic == HD__SLAB_MAGIC)) {
            hd__pool_annotate_give(slab->pool, p);
            way = hd__pool_free_fast(slab->pool, p);
        }
    }
    if (HD__UNLIKELY(way == HD__POOL_SLOW))
        free_slow(p, __builtin_return_address(0));
    else if (HD__UNLIKELY(way == HD__POOL_DUE))
        hd__sched_leave_due();
}

size_t hd__pool_classes_trim(void) {
    size_t bytes = 0;
    for (unsigned klass = 0; klass < CLASSES; klass++) {
        hd_pool *pool = hd__load_acquire(&pools[klass]);
        if (pool != NULL) bytes += hd_pool_trim(pool);
    }
    return bytes;
}

void hd__pool_classes_stats(struct hd_pool_stats *s) {
    for (unsigned klass = 0; klass < CLASSES; klass++) {
        hd_pool *pool = hd__load_acquire(&pools[klass]);
        if (pool != NULL) hd__pool_stats_add(pool, s);
    }
    hd__sched_enter();
    hd__spin_lock(&large_lock);
    s->in_use += large_count;
    s->bytes += large_bytes;
    hd__spin_unlock(&large_lock);
    hd__sched_leave();
}
