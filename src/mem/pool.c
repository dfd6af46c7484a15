/* SPDX-License-Identifier: MIT */
/* Taking and giving objects: the fast path's callers, and the way through caches and depots. The
 * idea is in pool.h.
 *
 * The program's functions (init, fini) are called outside of the gate, so what leaves a slab or
 * returns to one is on nobody's list meanwhile. */
#include "mem/pool.h"

#include "base/check.h"
#include "mem/pool_fast.h"
#include "os/mem.h"
#include "sched/monitor.h"

/* ---- Depots ---- */

static struct hd__mag *pop(struct hd__mag **list) {
    struct hd__mag *m = *list;
    if (m != NULL) *list = m->next;
    return m;
}

struct hd__mag *hd__depot_take_full(struct hd__depot *d) {
    hd__spin_lock(&d->lock);
    struct hd__mag *m = pop(&d->full);
    if (m == NULL) {
        m = d->loose;
        d->loose = NULL;
    }
    hd__spin_unlock(&d->lock);
    return m;
}

struct hd__mag *hd__depot_take_empty(hd_pool *pool, struct hd__depot *d) {
    hd__spin_lock(&d->lock);
    struct hd__mag *m = pop(&d->empty);
    hd__spin_unlock(&d->lock);
    if (m == NULL) {
        m = hd__os_alloc(sizeof *m + pool->rounds * sizeof m->slots[0]);
        if (m == NULL) return NULL;
        hd__store_relaxed(&m->count, 0);
        m->room = pool->nodes == 1 ? pool->rounds : 0;
    }
    m->next = NULL;
    return m;
}

void hd__depot_give(struct hd__depot *d, struct hd__mag *m) {
    struct hd__mag **list = hd__mag_count(m) != 0 ? &d->full : &d->empty;
    hd__spin_lock(&d->lock);
    m->next = *list;
    *list = m;
    hd__spin_unlock(&d->lock);
}

/* ---- Caches ---- */

/* The cache of a foreign kernel thread: they share some, in turn. */
static struct hd__pool_cache *foreign_cache(hd_pool *pool) {
    static _Atomic unsigned foreigners;
    static __thread unsigned number_plus_1; /* 0: none yet */
    if (number_plus_1 == 0) {
        unsigned n = atomic_fetch_add_explicit(&foreigners, 1, memory_order_relaxed);
        number_plus_1 = n % HD__POOL_STRIPES + 1;
    }
    return &pool->stripes[number_plus_1 - 1];
}

/* Locks the cache of the caller, who is inside. */
static struct hd__pool_cache *lock_own(hd_pool *pool, struct hd__worker *w) {
    struct hd__pool_cache *c = w != NULL ? &pool->caches[w->index] : foreign_cache(pool);
    unsigned most = hd__load_relaxed(&pool->workers);
    while (w != NULL && HD__UNLIKELY(most <= w->index) &&
           !atomic_compare_exchange_weak(&pool->workers, &most, w->index + 1)) {
    }
    hd__spin_lock(&c->lock);
    while (HD__UNLIKELY(hd__load_relaxed(&pool->gathering))) {
        hd__spin_unlock(&c->lock);
        hd__pool_wait_gathered(pool);
        hd__spin_lock(&c->lock);
    }
    return c;
}

/* c->lock is held from here on. */

/* The fast path may use what a worker has loaded, if others can take it away all the same. */
static void load(struct hd__pool_cache *c, struct hd__worker *w, struct hd__mag *m) {
    bool fast = w != NULL && hd__load_relaxed(&hd__monitor.can_retake);
    c->loaded = m;
    hd__store_relaxed(&c->mag, fast ? m : NULL);
}

static bool has(const struct hd__mag *m) {
    return m != NULL && hd__mag_count(m) != 0;
}

static bool has_room(const hd_pool *pool, const struct hd__mag *m) {
    return m != NULL && hd__mag_count(m) < pool->rounds;
}

static void swap(struct hd__pool_cache *c, struct hd__worker *w) {
    struct hd__mag *m = c->prev;
    c->prev = c->loaded;
    load(c, w, m);
}

static void *take(hd_pool *pool, struct hd__pool_cache *c, struct hd__worker *w) {
    if (!has(c->loaded)) {
        if (!has(c->prev)) {
            c->node = hd__pool_node(pool);
            struct hd__depot *d = &pool->depots[c->node];
            struct hd__mag *m = hd__depot_take_full(d);
            if (m == NULL) return NULL;
            if (c->prev != NULL) hd__depot_give(d, c->prev);
            c->prev = m;
            c->refills++;
        }
        swap(c, w);
    }
    return hd__mag_pop(c->loaded);
}

/* False: no memory for a magazine. */
static bool put(hd_pool *pool, struct hd__pool_cache *c, struct hd__worker *w, void *object) {
    if (!has_room(pool, c->loaded)) {
        if (!has_room(pool, c->prev)) {
            c->node = hd__pool_node(pool);
            struct hd__depot *d = &pool->depots[c->node];
            struct hd__mag *m = hd__depot_take_empty(pool, d);
            if (m == NULL) return false;
            if (c->prev != NULL) {
                hd__depot_give(d, c->prev);
                c->returns++;
            }
            c->prev = m;
        }
        swap(c, w);
    }
    hd__mag_push(c->loaded, object);
    return true;
}

/* ---- Objects of other nodes ---- */

/* Sends the objects of one node that are in m to its depot; m keeps the rest. */
static void send(hd_pool *pool, struct hd__mag *m, unsigned node) {
    struct hd__depot *d = &pool->depots[node];
    uint32_t n = hd__mag_count(m), kept = 0;
    struct hd__mag *fresh = hd__depot_take_empty(pool, d), *spare = NULL;
    hd__spin_lock(&d->lock);
    for (uint32_t i = 0; i < n; i++) {
        void *object = m->slots[i];
        bool here = hd__slab_of(pool, object)->node == node;
        if (here && d->loose == NULL) {
            d->loose = fresh;
            fresh = NULL;
        }
        if (!here || d->loose == NULL) {
            m->slots[kept++] = object;
            continue;
        }
        hd__mag_push(d->loose, object);
        if (hd__mag_count(d->loose) == pool->rounds) {
            d->loose->next = d->full;
            d->full = d->loose;
            d->loose = NULL;
            if (fresh == NULL) fresh = pop(&d->empty);
        }
    }
    spare = fresh;
    hd__spin_unlock(&d->lock);
    hd__store_relaxed(&m->count, kept);
    if (spare != NULL) hd__depot_give(d, spare);
}

/* False: no memory for a magazine. */
static bool put_away(hd_pool *pool, struct hd__pool_cache *c, void *object) {
    if (c->away == NULL) c->away = hd__depot_take_empty(pool, &pool->depots[c->node]);
    if (c->away == NULL) return false;
    if (hd__mag_count(c->away) == pool->rounds) {
        for (unsigned node = 0; node < pool->nodes; node++) send(pool, c->away, node);
        c->returns++;
    }
    if (hd__mag_count(c->away) == pool->rounds) return false;
    hd__mag_push(c->away, object);
    c->remote++;
    return true;
}

static bool put_by_node(hd_pool *pool, struct hd__pool_cache *c, struct hd__worker *w,
                        void *object) {
    if (HD__LIKELY(pool->nodes == 1)) return put(pool, c, w, object);
    if (c->loaded == NULL) c->node = hd__pool_node(pool);
    bool near = hd__slab_of(pool, object)->node == c->node;
    return near ? put(pool, c, w, object) : put_away(pool, c, object);
}

/* ---- The slow paths; outside ---- */

static void *take_cached(hd_pool *pool) {
    struct hd__worker *w = hd__sched_enter();
    struct hd__pool_cache *c = lock_own(pool, w);
    void *object = take(pool, c, w);
    hd__spin_unlock(&c->lock);
    hd__sched_leave();
    return object;
}

/* Gives a free object to the slabs. */
static void give_to_slab(hd_pool *pool, void *object) {
    if (pool->fini != NULL) {
        hd__annotate_object_take(object, pool->object_size, true);
        pool->fini(object, pool->arg);
        hd__annotate_object_give(object, pool->object_size);
    }
    hd__sched_enter();
    hd__slab_give(pool, object);
    hd__sched_leave();
}

/* Gives a free object to the caller's cache, if there is memory for that. */
static bool give_to_cache(hd_pool *pool, void *object) {
    struct hd__worker *w = hd__sched_enter();
    struct hd__pool_cache *c = lock_own(pool, w);
    bool done = put_by_node(pool, c, w, object);
    hd__spin_unlock(&c->lock);
    hd__sched_leave();
    return done;
}

/* False: init failed, and the object is in its slab again. */
static bool make(hd_pool *pool, void *object) {
    if (pool->init == NULL) return true;
    hd__annotate_object_take(object, pool->object_size, false);
    int err = pool->init(object, pool->arg);
    hd__annotate_object_give(object, pool->object_size);
    if (err == 0) return true;
    hd__sched_enter();
    hd__slab_give(pool, object);
    hd__sched_leave();
    return false;
}

/* Takes objects out of the slabs, one for the caller and some ahead: few, if each has to be made,
 * which takes an unknown time; none, if the pool has a capacity: see pool.h, Gathering. */
static void *grow(hd_pool *pool) {
    enum { AHEAD_MADE = 8 };
    void *objects[HD__POOL_GROW_MAX], *first = NULL;
    unsigned n = pool->rounds < HD__POOL_GROW_MAX ? pool->rounds : HD__POOL_GROW_MAX;
    if (pool->init != NULL && n > AHEAD_MADE) n = AHEAD_MADE;
    if (pool->capacity != SIZE_MAX) n = 1;
    hd__sched_enter();
    n = hd__slab_take(pool, hd__pool_node(pool), objects, n);
    hd__sched_leave();
    for (unsigned i = n; i-- > 0;) { /* so that those with low addresses are taken next */
        if (!make(pool, objects[i])) continue;
        if (first != NULL && !give_to_cache(pool, first)) give_to_slab(pool, first);
        first = objects[i];
    }
    return first;
}

static void *collect(hd_pool *pool) {
    hd__sched_enter();
    void *object = hd__pool_gather(pool, true);
    hd__sched_leave();
    return object != NULL ? object : grow(pool); /* somebody may have trimmed the pool */
}

HD__NOINLINE void *hd__pool_alloc_slow(hd_pool *pool) {
    HD__CHECK(pool != NULL, "hd_pool_alloc: pool is NULL; hd_pool_create() makes one");
    void *object = take_cached(pool);
    if (object == NULL) object = grow(pool);
    if (object == NULL) object = collect(pool);
    if (object == NULL) atomic_fetch_add_explicit(&pool->failed, 1, memory_order_relaxed);
    return object;
}

HD__NOINLINE void hd__pool_free_slow(hd_pool *pool, void *object) {
    HD__CHECK(pool != NULL, "hd_pool_free: pool is NULL; pass the one that the object is of");
    if (!give_to_cache(pool, object)) give_to_slab(pool, object);
}

/* ---- The interface ---- */

static HD__NOINLINE void *alloc_slow(hd_pool *pool, const void *site) {
    if (pool != NULL && pool->debug) return hd__pool_debug_alloc(pool, site);
    void *object = hd__pool_alloc_slow(pool);
    if (object != NULL) hd__annotate_object_take(object, pool->object_size, pool->keeps);
    return object;
}

static HD__NOINLINE void free_slow(hd_pool *pool, void *object, const void *site) {
    if (pool != NULL && pool->debug)
        hd__pool_debug_free(pool, object, site);
    else
        hd__pool_free_slow(pool, object);
}

HD__COLD void *hd__pool_give_way(void *object) {
    hd__sched_leave_due();
    return object;
}

void *hd_pool_alloc(hd_pool *pool) {
    void *object = NULL;
    enum hd__pool_way way = HD__POOL_SLOW;
    if (HD__LIKELY(pool != NULL)) way = hd__pool_alloc_fast(pool, &object);
    if (HD__UNLIKELY(way == HD__POOL_SLOW))
        return alloc_slow(pool, __builtin_return_address(0));
    hd__annotate_object_take(object, pool->object_size, pool->keeps);
    return HD__LIKELY(way == HD__POOL_DONE) ? object : hd__pool_give_way(object);
}

void hd_pool_free(hd_pool *pool, void *object) {
    enum hd__pool_way way = HD__POOL_SLOW;
    if (HD__UNLIKELY(object == NULL)) return;
    hd__pool_annotate_give(pool, object);
    if (HD__LIKELY(pool != NULL)) way = hd__pool_free_fast(pool, object);
    if (HD__UNLIKELY(way == HD__POOL_SLOW))
        free_slow(pool, object, __builtin_return_address(0));
    else if (HD__UNLIKELY(way == HD__POOL_DUE))
        hd__sched_leave_due();
}
