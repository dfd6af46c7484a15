/* SPDX-License-Identifier: MIT */
/* Slabs: where objects come from. A slab is a mapping that begins at a multiple of its size, so
 * that the address of an object leads to its head. The head has a bit for each slot that is in the
 * slab; nothing is kept in the slots. The lowest free slots go first, so that a slab's pages are
 * touched one after another; in debug mode those go first that have been free for longest, about,
 * so that a use after free has time to show.
 *
 * A slab belongs to the NUMA node of whoever needed it. That its pages come from there is left to
 * the first touch, but asked for as well: the one who touches them may have moved by then. */
#include "mem/pool.h"

#include "base/check.h"
#include "ctx/annotate.h"
#include "os/mem.h"
#include "os/numa.h"
#include "os/topology.h"

enum { WORD = 64, FIT_MIN = 8 }; /* objects in a slab, at least */

static uint32_t words(const hd_pool *pool) {
    return (pool->per_slab + WORD - 1) / WORD;
}

void hd__slab_layout(hd_pool *pool, bool fixed) {
    size_t bytes = HD__POOL_SLAB_BYTES;
    while (!fixed && bytes < pool->stride * FIT_MIN) bytes *= 2;
    size_t most = bytes / pool->stride; /* without a head */
    size_t head = sizeof(struct hd__slab_head) + HD__ROUND_UP(most, (size_t)WORD) / 8;
    size_t align = pool->stride & -pool->stride; /* of every object, if the first has it */
    if (align > HD_POOL_ALIGN_MAX) align = HD_POOL_ALIGN_MAX;
    if (align < HD__CACHE_LINE) align = HD__CACHE_LINE;
    pool->slab_bytes = bytes;
    pool->first = HD__ROUND_UP(head, align);
    pool->per_slab = (uint32_t)((bytes - pool->first) / pool->stride);
}

static void fill_map(const hd_pool *pool, struct hd__slab_head *slab) {
    uint32_t n = pool->per_slab;
    for (uint32_t i = 0; i < words(pool); i++, n -= WORD)
        slab->map[i] = n >= WORD ? UINT64_MAX : ((uint64_t)1 << n) - 1;
}

static void bind(const hd_pool *pool, void *slab, unsigned node) {
    const struct hd__topo *t = hd__topo_any();
    if (pool->nodes > 1 && t->real && node < t->groups[HD__TOPO_NODE])
        (void)hd__os_numa_bind(slab, pool->slab_bytes, t->node_number[node]);
}

/* Lock held. NULL: no memory. */
static struct hd__slab_head *add_slab(hd_pool *pool, unsigned node) {
    struct hd__slab_head *slab = hd__os_map_aligned(pool->slab_bytes, pool->slab_bytes);
    if (slab == NULL) return NULL;
    bind(pool, slab, node);
    slab->magic = HD__SLAB_MAGIC;
    slab->pool = pool;
    slab->node = node;
    slab->free = pool->per_slab;
    fill_map(pool, slab);
    if (pool->debug && hd__pool_debug_slab(pool, slab) != 0) {
        (void)hd__os_unmap_part(slab, pool->slab_bytes);
        return NULL;
    }
    if (!pool->debug)
        hd__annotate_objects_new((char *)slab + pool->first, pool->slab_bytes - pool->first);
    hd__list_push_front(&pool->slabs[node], &slab->link);
    pool->slab_count++;
    return slab;
}

static struct hd__slab_head *first_slab(struct hd__list *list) {
    struct hd__link *link = hd__list_first(list);
    return link == NULL ? NULL : hd__container_of(link, struct hd__slab_head, link);
}

/* A slab with free slots: of the node; else, if it must be, a new one, or one of any node. Lock
 * held. */
static struct hd__slab_head *choose_slab(hd_pool *pool, unsigned node, bool must) {
    struct hd__slab_head *slab = first_slab(&pool->slabs[node]);
    if (slab != NULL || !must) return slab;
    slab = add_slab(pool, node);
    for (unsigned i = 0; slab == NULL && i < pool->nodes; i++) slab = first_slab(&pool->slabs[i]);
    return slab;
}

/* The next free slot at or after the cursor; there is one. */
static uint32_t next_slot(const hd_pool *pool, struct hd__slab_head *slab) {
    uint32_t word = slab->cursor;
    while (slab->map[word] == 0) word = word + 1 == words(pool) ? 0 : word + 1;
    uint32_t bit = (uint32_t)__builtin_ctzll(slab->map[word]);
    slab->map[word] &= ~((uint64_t)1 << bit);
    slab->cursor = pool->debug && slab->map[word] == 0 ? (word + 1) % words(pool) : word;
    slab->free--;
    return word * WORD + bit;
}

unsigned hd__slab_take(hd_pool *pool, unsigned node, void **objects, unsigned n) {
    unsigned taken = 0;
    hd__spin_lock(&pool->slab_lock);
    if (n > pool->capacity - pool->outside) n = (unsigned)(pool->capacity - pool->outside);
    while (taken < n) {
        struct hd__slab_head *slab = choose_slab(pool, node, taken == 0);
        if (slab == NULL) break;
        while (taken < n && slab->free != 0)
            objects[taken++] = hd__slab_object(pool, slab, next_slot(pool, slab));
        if (slab->free == 0) {
            hd__list_remove(&slab->link);
            hd__list_push_front(&pool->spent[slab->node], &slab->link);
        }
    }
    pool->outside += taken;
    hd__spin_unlock(&pool->slab_lock);
    return taken;
}

static _Noreturn void bad_object(const hd_pool *pool, const void *object, const char *what) {
    hd__fatal("hd_pool_free: %p, which was given to pool '%s', %s; HEDDLE_POOL_DEBUG=1 in the "
              "environment finds the call", object, pool->name, what);
}

void hd__slab_give(hd_pool *pool, void *object) {
    struct hd__slab_head *slab = hd__slab_of(pool, object);
    /* This reads what may not be there; debug mode looks the slab up instead. */
    if (slab->magic != HD__SLAB_MAGIC || slab->pool != pool)
        bad_object(pool, object, "is none of its objects");
    size_t at = (size_t)((char *)object - (char *)slab) - pool->first;
    uint32_t i = (uint32_t)(at / pool->stride);
    if (at % pool->stride != 0 || i >= pool->per_slab)
        bad_object(pool, object, "is not where an object begins");
    uint64_t bit = (uint64_t)1 << i % WORD;
    hd__spin_lock(&pool->slab_lock);
    if (slab->map[i / WORD] & bit) bad_object(pool, object, "was free already");
    slab->map[i / WORD] |= bit;
    if (!pool->debug && i / WORD < slab->cursor) slab->cursor = i / WORD;
    if (slab->free++ == 0) {
        hd__list_remove(&slab->link);
        hd__list_push_front(&pool->slabs[slab->node], &slab->link);
    }
    pool->outside--;
    hd__spin_unlock(&pool->slab_lock);
}

struct hd__slab_head *hd__slab_find(hd_pool *pool, const void *address, uint32_t *slot) {
    for (unsigned node = 0; node < pool->nodes; node++) {
        struct hd__list *lists[] = {&pool->slabs[node], &pool->spent[node]};
        for (unsigned k = 0; k < HD__COUNTOF(lists); k++) {
            struct hd__link *link = hd__list_first(lists[k]);
            for (; link != NULL; link = hd__list_next(lists[k], link)) {
                struct hd__slab_head *slab = hd__container_of(link, struct hd__slab_head, link);
                if (slab != hd__slab_of(pool, address)) continue;
                size_t at = (size_t)((const char *)address - (char *)slab);
                *slot = at < pool->first ? UINT32_MAX
                                         : (uint32_t)((at - pool->first) / pool->stride);
                return slab;
            }
        }
    }
    return NULL;
}

/* ---- Giving memory back ---- */

/* Takes slabs that can go off a list, as a chain through link.next. */
static void take_idle(hd_pool *pool, struct hd__list *list, bool all, struct hd__list *out) {
    struct hd__link *link = hd__list_first(list);
    while (link != NULL) {
        struct hd__link *next = hd__list_next(list, link);
        struct hd__slab_head *slab = hd__container_of(link, struct hd__slab_head, link);
        if (all || slab->free == pool->per_slab) {
            hd__list_remove(link);
            hd__list_push_back(out, link);
            pool->slab_count--;
        }
        link = next;
    }
}

/* The kernel could not: it stays. */
static void put_slab_back(hd_pool *pool, struct hd__slab_head *slab) {
    if (!pool->debug)
        hd__annotate_objects_new((char *)slab + pool->first, pool->slab_bytes - pool->first);
    hd__spin_lock(&pool->slab_lock);
    hd__list_push_back(&pool->slabs[slab->node], &slab->link);
    pool->slab_count++;
    hd__spin_unlock(&pool->slab_lock);
}

size_t hd__slab_release(hd_pool *pool, bool all) {
    struct hd__list idle;
    struct hd__link *link;
    size_t bytes = 0;
    hd__list_init(&idle);
    hd__spin_lock(&pool->slab_lock);
    for (unsigned node = 0; node < pool->nodes; node++) {
        take_idle(pool, &pool->slabs[node], all, &idle);
        if (all) take_idle(pool, &pool->spent[node], all, &idle);
    }
    hd__spin_unlock(&pool->slab_lock);
    while ((link = hd__list_pop_front(&idle)) != NULL) {
        struct hd__slab_head *slab = hd__container_of(link, struct hd__slab_head, link);
        if (!pool->debug)
            hd__annotate_objects_gone((char *)slab + pool->first, pool->slab_bytes - pool->first);
        struct hd__pool_note *notes = slab->notes;
        slab->notes = NULL;
        if (hd__os_unmap_part(slab, pool->slab_bytes)) {
            hd__pool_debug_slab_gone(pool, notes);
            bytes += pool->slab_bytes;
        } else if (all) {
            hd__pool_debug_slab_gone(pool, notes);
            (void)hd__os_discard(slab, pool->slab_bytes);
        } else {
            slab->notes = notes;
            put_slab_back(pool, slab);
        }
    }
    return bytes;
}
