/* SPDX-License-Identifier: MIT */
/* Making pools, counting what is in them, giving memory back, destroying them. */
#include "mem/pool.h"

#include <errno.h>
#include <limits.h>

#include "base/check.h"
#include "ctx/annotate.h"
#include "mem/pool_class.h"
#include "os/cpu.h"
#include "os/env.h"
#include "os/mem.h"
#include "os/topology.h"

/* Bytes of objects in a full magazine, at most: what is worth keeping in a worker's own cache. */
enum { ROUNDS_BYTES = 64 * 1024, CAPACITY_SHARE = 8 };

/* Outside: the topology is made at first use. */
static unsigned node_count(void) {
    unsigned n = hd__topo_sched()->groups[HD__TOPO_NODE];
    return n == 0 ? 1 : n;
}

static unsigned node_current(void) {
    return hd__topo_any()->cpu[hd__os_cpu_current() % HD_CPU_MAX].group[HD__TOPO_NODE];
}

struct hd__pool_numa hd__pool_numa = {node_count, node_current};

static hd__spin list_lock; /* guards the list */
static struct hd__list all_pools = {{&all_pools.head, &all_pools.head}};

/* ---- Attributes ---- */

static int copy_attr(struct hd_pool_attr *own, const struct hd_pool_attr *given) {
    const size_t known = sizeof *own;
    memset(own, 0, known);
    HD__CHECK(given != NULL, "hd_pool_create: attr is NULL; HD_POOL_ATTR(.object_size = ...) is "
                             "what a pool needs at least");
    if (given->size < 2 * sizeof(size_t) || given->size > 4096) return -EINVAL;
    for (size_t i = known; i < given->size; i++)
        if (((const char *)given)[i]) return -EINVAL;
    memcpy(own, given, given->size < known ? given->size : known);
    return 0;
}

static bool power_of_two(size_t n) {
    return (n & (n - 1)) == 0;
}

static int debug_from_environment(struct hd_pool_attr *a) {
    const char *text = hd__os_env_text("HEDDLE_POOL_DEBUG");
    uint64_t on = 0;
    if (text != NULL && (hd__os_parse_u64(text, &on) != 0 || on > 1)) {
        hd__print_fd2("heddle: HEDDLE_POOL_DEBUG=%s is neither 0 nor 1\n", text);
        return -EINVAL;
    }
    a->debug = on ? HD_POOL_DEBUG_ON : HD_POOL_DEBUG_OFF;
    return 0;
}

static int check_attr(struct hd_pool_attr *a) {
    if (a->object_size == 0 || a->object_size > HD_POOL_OBJECT_MAX) return -EINVAL;
    if (a->align == 0) a->align = a->object_size <= 8 ? 8 : 16;
    if (!power_of_two(a->align) || a->align > HD_POOL_ALIGN_MAX) return -EINVAL;
    if (a->align < 8) a->align = 8;
    if (a->numa_node < 0 || (unsigned)a->numa_node > hd__pool_numa.count()) return -EINVAL;
    if (a->debug < HD_POOL_DEBUG_DEFAULT || a->debug > HD_POOL_DEBUG_OFF) return -EINVAL;
    return a->debug == HD_POOL_DEBUG_DEFAULT ? debug_from_environment(a) : 0;
}

/* ---- Life ---- */

static uint32_t choose_rounds(const hd_pool *pool) {
    size_t n = ROUNDS_BYTES / pool->stride;
    /* What lies in the caches of others has to be gathered when it is wanted: keep that rare. */
    if (n > pool->capacity / CAPACITY_SHARE) n = pool->capacity / CAPACITY_SHARE;
    if (n > HD__POOL_ROUNDS_MAX) n = HD__POOL_ROUNDS_MAX;
    return n == 0 ? 1 : (uint32_t)n;
}

static void fill(hd_pool *pool, const struct hd_pool_attr *a, bool fixed) {
    size_t red = a->debug == HD_POOL_DEBUG_ON ? HD__POOL_RED_BYTES : 0;
    pool->object_size = a->object_size;
    pool->stride = HD__ROUND_UP(a->object_size + red, a->align);
    pool->capacity = a->capacity == 0 ? SIZE_MAX : a->capacity;
    pool->debug = red != 0;
    pool->keeps = a->init != NULL;
    pool->init = a->init;
    pool->fini = a->fini;
    pool->arg = a->arg;
    pool->bound_node = a->numa_node - 1;
    pool->nodes = hd__pool_numa.count();
    if (a->name != NULL) strncpy(pool->name, a->name, HD_POOL_NAME_MAX);
    pool->rounds = choose_rounds(pool);
    hd__slab_layout(pool, fixed);
}

static size_t pool_bytes(void) {
    return HD__ROUND_UP(sizeof(hd_pool), hd__os_page_size());
}

static bool get_lists(hd_pool *pool) {
    size_t n = pool->nodes;
    pool->depots = hd__os_alloc_aligned(HD__CACHE_LINE, n * sizeof *pool->depots);
    pool->slabs = hd__os_alloc(2 * n * sizeof *pool->slabs);
    if (pool->depots == NULL || pool->slabs == NULL) return false;
    memset(pool->depots, 0, n * sizeof *pool->depots);
    pool->spent = pool->slabs + n;
    for (size_t i = 0; i < 2 * n; i++) hd__list_init(&pool->slabs[i]);
    return true;
}

static void free_pool(hd_pool *pool) {
    hd__os_free(pool->depots);
    hd__os_free(pool->slabs);
    hd__os_unmap(pool, pool_bytes());
}

/* Inside. */
static void enlist(hd_pool *pool, bool there) {
    hd__spin_lock(&list_lock);
    if (there)
        hd__list_push_back(&all_pools, &pool->link);
    else
        hd__list_remove(&pool->link);
    hd__spin_unlock(&list_lock);
}

bool hd__pools_each(bool (*fn)(hd_pool *pool, void *arg), void *arg) {
    bool found = false;
    hd__spin_lock(&list_lock);
    struct hd__link *link = hd__list_first(&all_pools);
    for (; link != NULL && !found; link = hd__list_next(&all_pools, link))
        found = fn(hd__container_of(link, hd_pool, link), arg);
    hd__spin_unlock(&list_lock);
    return found;
}

int hd__pool_create(hd_pool **out, const struct hd_pool_attr *attr, bool fixed) {
    struct hd_pool_attr own;
    int err = copy_attr(&own, attr);
    if (err == 0) err = check_attr(&own);
    if (err != 0) return err;
    hd_pool *pool = hd__os_map(pool_bytes());
    if (pool == NULL) return -ENOMEM;
    fill(pool, &own, fixed);
    hd__sched_enter();
    bool got = get_lists(pool);
    if (got) enlist(pool, true);
    hd__sched_leave();
    if (!got) {
        hd__sched_enter();
        free_pool(pool);
        hd__sched_leave();
        return -ENOMEM;
    }
    if (pool->debug) hd__pool_debug_at_exit();
    *out = pool;
    return 0;
}

int hd_pool_create(hd_pool **out, const struct hd_pool_attr *attr) {
    HD__CHECK(out != NULL, "hd_pool_create: out is NULL; pass where the pool's address goes");
    *out = NULL;
    return hd__pool_create(out, attr, false);
}

/* ---- Giving memory back ---- */

/* What is in depots goes to the slabs; outside, since it calls fini. */
static void empty_depots(hd_pool *pool) {
    for (unsigned node = 0; node < pool->nodes; node++) {
        struct hd__depot *d = &pool->depots[node];
        for (;;) {
            hd__sched_enter();
            struct hd__mag *m = hd__depot_take_full(d);
            hd__sched_leave();
            if (m == NULL) break;
            for (uint32_t i = 0; pool->fini != NULL && i < hd__mag_count(m); i++) {
                hd__annotate_object_take(m->slots[i], pool->object_size, true);
                pool->fini(m->slots[i], pool->arg);
                hd__annotate_object_give(m->slots[i], pool->object_size);
            }
            hd__sched_enter();
            while (hd__mag_count(m) != 0) hd__slab_give(pool, hd__mag_pop(m));
            hd__os_free(m);
            hd__sched_leave();
        }
    }
}

static void free_empty_magazines(hd_pool *pool) {
    for (unsigned node = 0; node < pool->nodes; node++) {
        struct hd__depot *d = &pool->depots[node];
        hd__spin_lock(&d->lock);
        struct hd__mag *m = d->empty;
        d->empty = NULL;
        hd__spin_unlock(&d->lock);
        while (m != NULL) {
            struct hd__mag *next = m->next;
            hd__os_free(m);
            m = next;
        }
    }
}

size_t hd_pool_trim(hd_pool *pool) {
    if (pool == NULL) return hd__pool_classes_trim();
    if (!pool->debug) {
        hd__sched_enter();
        (void)hd__pool_gather(pool, false);
        hd__sched_leave();
        empty_depots(pool);
    }
    hd__sched_enter();
    free_empty_magazines(pool);
    size_t bytes = hd__slab_release(pool, false);
    hd__sched_leave();
    return bytes;
}

void hd_pool_destroy(hd_pool *pool) {
    if (pool == NULL) return;
    if (pool->debug) (void)hd__pool_debug_leaks(pool);
    if (pool->fini != NULL && !pool->debug) {
        hd__sched_enter();
        (void)hd__pool_gather(pool, false);
        hd__sched_leave();
        empty_depots(pool);
    }
    hd__sched_enter();
    enlist(pool, false);
    hd__pool_free_caches(pool);
    (void)hd__slab_release(pool, true);
    free_pool(pool);
    hd__sched_leave();
}

/* ---- Counting ---- */

static uint64_t count_of(const struct hd__mag *m) {
    return m == NULL ? 0 : hd__mag_count(m);
}

static uint64_t count_list(const struct hd__mag *m) {
    uint64_t n = 0;
    for (; m != NULL; m = m->next) n += hd__mag_count(m);
    return n;
}

static uint64_t count_caches(hd_pool *pool, struct hd_pool_stats *s) {
    struct hd__pool_cache *c;
    uint64_t cached = 0;
    for (unsigned n = 0; (c = hd__pool_cache_at(pool, n)) != NULL; n++) {
        hd__spin_lock(&c->lock);
        cached += count_of(c->loaded) + count_of(c->prev) + count_of(c->away);
        s->refills += c->refills;
        s->returns += c->returns;
        s->remote += c->remote;
        hd__spin_unlock(&c->lock);
    }
    for (unsigned node = 0; node < pool->nodes; node++) {
        struct hd__depot *d = &pool->depots[node];
        hd__spin_lock(&d->lock);
        cached += count_list(d->full) + count_of(d->loose);
        hd__spin_unlock(&d->lock);
    }
    return cached;
}

/* Adds the pool's to what stands in *s; inside. */
static void add_stats(hd_pool *pool, struct hd_pool_stats *s) {
    uint64_t cached = count_caches(pool, s);
    hd__spin_lock(&pool->slab_lock);
    uint64_t outside = pool->outside;
    uint64_t made = pool->slab_count * (uint64_t)pool->per_slab;
    s->bytes += pool->slab_count * pool->slab_bytes;
    hd__spin_unlock(&pool->slab_lock);
    /* While others work, what moves may be seen twice. */
    s->in_use += outside > cached ? outside - cached : 0;
    s->free_objects += made - outside + cached;
    s->failed += hd__load_relaxed(&pool->failed);
    s->drains += hd__load_relaxed(&pool->drains);
}

void hd__pool_stats_add(hd_pool *pool, struct hd_pool_stats *s) {
    hd__sched_enter();
    add_stats(pool, s);
    hd__sched_leave();
}

int hd_pool_stats(hd_pool *pool, struct hd_pool_stats *out) {
    HD__CHECK(out != NULL, "hd_pool_stats: out is NULL; pass where the counters go");
    struct hd_pool_stats s = {.size = sizeof s};
    size_t size = out->size;
    if (size < sizeof size) return -EINVAL;
    if (pool == NULL) {
        hd__pool_classes_stats(&s);
    } else {
        hd__pool_stats_add(pool, &s);
        s.capacity = pool->capacity == SIZE_MAX ? 0 : pool->capacity;
    }
    s.size = size;
    memcpy(out, &s, size < sizeof s ? size : sizeof s);
    return 0;
}
