/* SPDX-License-Identifier: MIT */
/* Gathering: the objects that lie free in the caches of others; see pool.h. */
#include "mem/pool.h"

#include "os/mem.h"
#include "sched/carrier.h"

/* To the depot of its objects' node: but for magazines on their way to others, all of a kind. */
static void give(hd_pool *pool, struct hd__mag *m) {
    if (m == NULL) return;
    unsigned node = 0;
    if (pool->nodes > 1 && hd__mag_count(m) != 0) node = hd__slab_of(pool, m->slots[0])->node;
    hd__depot_give(&pool->depots[node], m);
}

/* Takes all that the cache holds; the magazine that the fast path may be at goes to *hidden. */
static void empty_cache(hd_pool *pool, struct hd__pool_cache *c, bool hide,
                        struct hd__mag **hidden) {
    hd__spin_lock(&c->lock);
    give(pool, c->prev);
    give(pool, c->away);
    c->prev = c->away = NULL;
    if (hd__load_relaxed(&c->mag) == NULL) {
        give(pool, c->loaded);
        c->loaded = NULL;
    } else if (hide) {
        hd__store_relaxed(&c->mag, NULL);
        c->loaded->next = *hidden;
        *hidden = c->loaded;
        c->loaded = NULL;
    }
    hd__spin_unlock(&c->lock);
}

static void *take_anywhere(hd_pool *pool) {
    for (unsigned i = 0, node = hd__pool_node(pool); i < pool->nodes; i++) {
        struct hd__depot *d = &pool->depots[(node + i) % pool->nodes];
        struct hd__mag *m = hd__depot_take_full(d);
        if (m == NULL) continue;
        void *object = hd__mag_pop(m);
        hd__depot_give(d, m);
        return object;
    }
    return NULL;
}

void *hd__pool_gather(hd_pool *pool, bool take) {
    struct hd__mag *hidden = NULL;
    struct hd__pool_cache *c;
    hd__spin_lock(&pool->gather_lock);
    hd__store_relaxed(&pool->gathering, true);
    atomic_fetch_add_explicit(&pool->drains, 1, memory_order_relaxed);
    bool hide = hd__carriers_can_pass();
    for (unsigned n = 0; (c = hd__pool_cache_at(pool, n)) != NULL; n++)
        empty_cache(pool, c, hide, &hidden);
    if (hidden != NULL) hd__carriers_pass();
    while (hidden != NULL) {
        struct hd__mag *m = hidden;
        hidden = m->next;
        give(pool, m);
    }
    void *object = take ? take_anywhere(pool) : NULL;
    hd__store_relaxed(&pool->gathering, false);
    hd__spin_unlock(&pool->gather_lock);
    return object;
}

void hd__pool_wait_gathered(hd_pool *pool) {
    hd__spin_lock(&pool->gather_lock);
    hd__spin_unlock(&pool->gather_lock);
}

static void free_list(struct hd__mag *m) {
    while (m != NULL) {
        struct hd__mag *next = m->next;
        hd__os_free(m);
        m = next;
    }
}

void hd__pool_free_caches(hd_pool *pool) {
    struct hd__pool_cache *c;
    for (unsigned n = 0; (c = hd__pool_cache_at(pool, n)) != NULL; n++) {
        hd__os_free(c->loaded);
        hd__os_free(c->prev);
        hd__os_free(c->away);
    }
    for (unsigned node = 0; node < pool->nodes; node++) {
        free_list(pool->depots[node].full);
        free_list(pool->depots[node].empty);
        hd__os_free(pool->depots[node].loose);
    }
}
