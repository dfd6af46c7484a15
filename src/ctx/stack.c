/* SPDX-License-Identifier: MIT */
/* Pools and reservations of stacks; see stack.h for the idea. Mapping is in stack_map.c, giving
 * memory back in stack_trim.c, looking into stacks (find, paint, high water) in stack_look.c.
 *
 * Locks, outermost first: grow_lock (one slab is mapped at a time, so that two spawners do not both
 * map one), then an account's or a pool's lock (tens of nanoseconds; never both). Guards are
 * installed and memory is given back outside of them. */
#include "ctx/stack.h"

#include "arch/arch.h"
#include "base/atomic.h"
#include "base/check.h"
#include "base/spin.h"
#include "ctx/stack_slab.h"
#include "os/mem.h"
#include "os/signal.h"

#include <errno.h>
#include <string.h>

/* A slab is 4 MiB of address space at first and 256 MiB at most, within these numbers of slots: few
 * mappings for many stacks, and little for few. */
#define SLAB_BYTES_FIRST ((size_t)4 << 20)
#define SLAB_BYTES_MAX ((size_t)256 << 20)
#define SLAB_SLOTS_FIRST 64u
#define SLAB_SLOTS_MAX 4096u

/* Fresh slots are handed out in growing batches, so that a program with three threads pays for
 * three guards, and one with a million makes few trips here. */
#define FRESH_BATCH_FIRST 2u

/* What stack.h's invariant speaks of, for all nodes together. */
struct account {
    hd__spin lock; /* guards the members below */
    uint64_t capacity, reserved;
} HD__ALIGNED(HD__CACHE_LINE);

/* The idle stacks of one class and node. */
struct pool {
    hd__spin lock;            /* guards the members below */
    unsigned fresh_batch;     /* slots in the next batch of fresh ones */
    struct hd__stack *idle;   /* stacks that were used before: link `next` */
    struct hd__stack *clean;  /* those of them that have no memory */
    uint64_t idle_count, clean_count;
    uint64_t handed_out;      /* slots that left their slab */
    struct hd__slab *fresh;   /* the slab that fresh slots come from; then its next_fresh */
    struct hd__slab *newest;  /* end of that chain */
} HD__ALIGNED(HD__CACHE_LINE);

static struct account accounts[HD__STACK_CLASSES];
static struct pool first_pools[HD__STACK_CLASSES];
/* By node. Constant once `nodes` says that they are there. The number is the kernel's; -1: it is
 * not to be told. */
static struct pool *pools[HD__STACK_NODES] = { first_pools };
static int node_number[HD__STACK_NODES] = { -1 };
static _Atomic unsigned nodes = 1;
static hd__spin grow_lock; /* guards: mapping a slab, next_slots */
static unsigned next_slots[HD__STACK_CLASSES]; /* slots of the next slab; 0: the first */
static _Atomic unsigned workers;
static _Atomic uint64_t idle_bytes;      /* address space of all that is in `idle` lists */
static _Atomic uint64_t idle_unlimited;  /* hd__stack_set_idle_max(), as its distance to no limit */

unsigned hd__stack_class(size_t bytes) {
    /* Below the guard page there must be something to use, also where pages are 64 KiB. */
    size_t least = 2 * hd__os_page_size();
    unsigned shift = hd__log2_ceil(bytes < least ? least : bytes);
    HD__ASSERT(shift <= HD__STACK_SHIFT_MAX);
    return shift <= HD__STACK_SHIFT_MIN ? 0 : shift - HD__STACK_SHIFT_MIN;
}

unsigned hd__stack_huge_class(size_t bytes, bool set_aside) {
    if (hd__os_page_size() != 4096) {
        return hd__stack_class(bytes);
    }
    unsigned size = hd__stack_class(bytes < HD__STACK_HUGE_BYTES ? HD__STACK_HUGE_BYTES : bytes);
    return size | (set_aside ? HD__STACK_HUGETLB : HD__STACK_HUGE);
}

size_t hd__stack_size_min(void) {
    size_t page = hd__os_page_size();
    size_t need = page + 1024 + hd__os_signal_frame_bytes() + 4096; /* 1024: the colour */
    size_t least = (size_t)1 << HD__STACK_SHIFT_MIN;
    return HD__ROUND_UP(need < least ? least : need, page);
}

void hd__stack_set_workers(unsigned n) {
    hd__store_relaxed(&workers, n);
}

void hd__stack_set_idle_max(uint64_t bytes) {
    hd__store_relaxed(&idle_unlimited, UINT64_MAX - bytes);
}

/* ---- nodes ---- */

static void free_nodes(void) {
    hd__store_relaxed(&nodes, 1);
    node_number[0] = -1;
    for (unsigned i = 1; i < HD__STACK_NODES; i++) {
        hd__os_free(pools[i]);
        pools[i] = NULL;
    }
}

int hd__stack_set_nodes(unsigned n, const uint16_t *numbers) {
    n = n > HD__STACK_NODES ? HD__STACK_NODES : n;
    for (unsigned i = 0; i < n; i++) {
        node_number[i] = numbers == NULL ? -1 : numbers[i];
        if (i == 0) {
            continue;
        }
        pools[i] = hd__os_alloc_aligned(HD__CACHE_LINE, sizeof first_pools);
        if (pools[i] == NULL) {
            free_nodes();
            return -ENOMEM;
        }
        memset(pools[i], 0, sizeof first_pools);
    }
    hd__store_release(&nodes, n == 0 ? 1 : n);
    return 0;
}

unsigned hd__stack_nodes(void) {
    return hd__load_acquire(&nodes);
}

static struct pool *pool_of(unsigned node, unsigned klass) {
    return &pools[node < hd__stack_nodes() ? node : 0][klass];
}

/* ---- slabs ---- */

/* Of the pages that were set aside no more is taken than is needed. */
static unsigned first_slots(unsigned klass, size_t slot) {
    size_t fit = SLAB_BYTES_FIRST / slot;
    if (klass >= HD__STACK_HUGETLB || fit == 0) {
        return 1;
    }
    return fit < SLAB_SLOTS_FIRST ? (unsigned)fit : SLAB_SLOTS_FIRST;
}

/* Maps one more slab for the pool: the usual number of slots or, if the address space is short,
 * fewer. 0 or -ENOMEM. Under grow_lock. */
static int grow(unsigned wanted, unsigned klass) {
    unsigned node = wanted < hd__stack_nodes() ? wanted : 0;
    size_t slot = hd__stack_class_bytes(klass);
    unsigned slots = next_slots[klass] == 0 ? first_slots(klass, slot) : next_slots[klass];
    int number = hd__stack_nodes() == 1 ? -1 : node_number[node];
    struct hd__slab *slab = hd__slab_create(klass, slots, node, number);
    while (slab == NULL && slots > 1) {
        slots /= 2;
        slab = hd__slab_create(klass, slots, node, number);
    }
    if (slab == NULL) {
        return -ENOMEM;
    }
    bool more = klass < HD__STACK_HUGETLB && slots < SLAB_SLOTS_MAX &&
                slot * slots * 2 <= SLAB_BYTES_MAX;
    next_slots[klass] = more ? slots * 2 : slots;
    /* Release: pairs with the acquire in hd__stack_find(), which may run in a signal handler of
     * another kernel thread at any time. */
    slab->next_slab = hd__load_relaxed(&hd__stack_slabs);
    hd__store_release(&hd__stack_slabs, slab);

    struct pool *pool = pool_of(node, klass);
    hd__spin_lock(&pool->lock);
    if (pool->newest == NULL) {
        pool->fresh = slab;
    } else {
        pool->newest->next_fresh = slab;
    }
    pool->newest = slab;
    hd__spin_unlock(&pool->lock);
    /* Not before: whoever has a reservation finds what it stands for. */
    hd__spin_lock(&accounts[klass].lock);
    accounts[klass].capacity += slots;
    hd__spin_unlock(&accounts[klass].lock);
    return 0;
}

/* ---- reservations ---- */

static bool try_reserve(unsigned klass, unsigned n) {
    struct account *account = &accounts[klass];
    uint64_t slack = HD__STACK_IS_HUGE(klass)
                         ? 0
                         : (uint64_t)hd__load_relaxed(&workers) * hd__stack_cache_max(klass);
    hd__spin_lock(&account->lock);
    bool ok = account->capacity >= account->reserved + n + slack;
    if (ok) {
        account->reserved += n;
    }
    hd__spin_unlock(&account->lock);
    return ok;
}

int hd__stack_reserve_at(unsigned node, unsigned klass, unsigned n) {
    if (HD__LIKELY(try_reserve(klass, n))) {
        return 0;
    }
    int err = 0;
    hd__spin_lock(&grow_lock);
    while (err == 0 && !try_reserve(klass, n)) {
        err = grow(node, klass);
    }
    hd__spin_unlock(&grow_lock);
    return err;
}

int hd__stack_reserve(unsigned klass, unsigned n) {
    return hd__stack_reserve_at(0, klass, n);
}

void hd__stack_unreserve(unsigned klass, unsigned n) {
    struct account *account = &accounts[klass];
    hd__spin_lock(&account->lock);
    HD__ASSERT(account->reserved >= n);
    account->reserved -= n;
    hd__spin_unlock(&account->lock);
}

/* ---- handing out ---- */

/* Up to *n stacks off one of a pool's lists, as a chain. Under its lock. */
static struct hd__stack *take_from(struct hd__stack **list, uint64_t *count, unsigned *n) {
    struct hd__stack *first = *list, *last = first;
    unsigned taken = 1;
    if (first == NULL) {
        return NULL;
    }
    for (; taken < *n && last->next != NULL; taken++) {
        last = last->next;
    }
    *list = last->next;
    last->next = NULL;
    *count -= taken;
    *n = taken;
    return first;
}

static struct hd__stack *take_idle(struct pool *pool, unsigned klass, unsigned *n) {
    struct hd__stack *first = take_from(&pool->idle, &pool->idle_count, n);
    if (first != NULL) {
        atomic_fetch_sub_explicit(&idle_bytes, *n * hd__stack_class_bytes(klass),
                                  memory_order_relaxed);
    }
    return first;
}

/* Up to n slots that nobody has used; the caller makes stacks of them. Under the lock. */
static struct hd__slab *take_fresh(struct pool *pool, unsigned *n, unsigned *from) {
    struct hd__slab *slab = pool->fresh;
    if (slab == NULL) {
        return NULL;
    }
    unsigned left = slab->slots - slab->used;
    unsigned batch = pool->fresh_batch < FRESH_BATCH_FIRST ? FRESH_BATCH_FIRST : pool->fresh_batch;
    pool->fresh_batch = batch < HD__STACK_CACHE_MAX ? batch * 2 : batch;
    *n = *n < batch ? *n : batch;
    *n = *n < left ? *n : left;
    *from = slab->used;
    slab->used += *n;
    pool->handed_out += *n;
    if (slab->used == slab->slots) {
        pool->fresh = slab->next_fresh;
        if (pool->fresh == NULL) {
            pool->newest = NULL;
        }
    }
    return slab;
}

/* Up to *n stacks of the pool, as a chain; NULL: it has none. Those with memory first, fresh ones
 * last, whose guards are still to be installed. */
static struct hd__stack *take_any(struct pool *pool, unsigned klass, unsigned *n) {
    unsigned from = 0;
    struct hd__slab *slab = NULL;
    hd__spin_lock(&pool->lock);
    struct hd__stack *first = take_idle(pool, klass, n);
    if (first == NULL) {
        first = take_from(&pool->clean, &pool->clean_count, n);
    }
    if (first == NULL) {
        slab = take_fresh(pool, n, &from);
    }
    hd__spin_unlock(&pool->lock);
    return slab == NULL ? first : hd__slab_make_stacks(slab, from, *n);
}

/* The node has none: one more slab for it, or else a stack of another node. The caller's
 * reservation is good for one, but that may move from a node that was not looked at yet to one that
 * was. */
static HD__COLD struct hd__stack *take_elsewhere(unsigned node, unsigned klass) {
    unsigned n = 1;
    struct hd__stack *s = NULL;
    hd__spin_lock(&grow_lock);
    int err = grow(node, klass);
    hd__spin_unlock(&grow_lock);
    if (err == 0) {
        s = take_any(pool_of(node, klass), klass, &n);
    }
    for (unsigned i = node; s == NULL; i++) {
        s = take_any(pool_of(i % hd__stack_nodes(), klass), klass, &n);
        hd__cpu_relax();
    }
    return s;
}

static struct hd__stack *get(struct hd__stack_cache *cache, unsigned node, unsigned klass) {
    unsigned room = cache == NULL ? 0 : hd__stack_cache_max(klass);
    unsigned n = room / 2 + 1; /* one to return, half of what the cache holds */
    struct hd__stack *first = take_any(pool_of(node, klass), klass, &n);
    if (first == NULL) {
        HD__CHECK(hd__stack_nodes() != 1,
                  "internal error: a stack was taken that nobody had reserved");
        first = take_elsewhere(node, klass);
        n = 1;
    }
    if (n > 1) {
        cache->head = first->next;
        cache->count = n - 1;
    }
    if (first->pages == HD__PAGES_UNKNOWN) {
        hd__slab_touch(first);
    }
    first->owner = NULL;
    return first;
}

struct hd__stack *hd__stack_get_slow(struct hd__stack_cache *cache, unsigned klass) {
    return get(cache, cache == NULL ? 0 : cache->key >> 8, klass);
}

struct hd__stack *hd__stack_get_at(unsigned node, unsigned klass) {
    return get(NULL, node, klass);
}

/* ---- taking back ---- */

/* Hands the chain from first to last, n long, to one of the pool's lists. */
static void give(struct hd__stack *first, struct hd__stack *last, unsigned n, bool clean) {
    struct pool *pool = pool_of(first->node, first->klass);
    if (!clean) {
        atomic_fetch_add_explicit(&idle_bytes, n * hd__stack_class_bytes(first->klass),
                                  memory_order_relaxed);
    }
    hd__spin_lock(&pool->lock);
    struct hd__stack **list = clean ? &pool->clean : &pool->idle;
    last->next = *list;
    *list = first;
    *(clean ? &pool->clean_count : &pool->idle_count) += n;
    hd__spin_unlock(&pool->lock);
}

static struct hd__stack *last_of(struct hd__stack *s) {
    while (s->next != NULL) {
        s = s->next;
    }
    return s;
}

static bool over_limit(size_t bytes) {
    uint64_t max = UINT64_MAX - hd__load_relaxed(&idle_unlimited);
    return max != UINT64_MAX && hd__load_relaxed(&idle_bytes) + bytes > max;
}

/* What would be too much goes without its memory. */
static void give_idle(struct hd__stack *first, struct hd__stack *last, unsigned n) {
    bool clean = over_limit(n * hd__stack_class_bytes(first->klass)) &&
                 first->pages != HD__PAGES_EXPLICIT;
    if (clean) {
        hd__stack_trim_discard(&first);
        last = last_of(first);
    }
    give(first, last, n, clean);
}

void hd__stack_put_slow(struct hd__stack_cache *cache, struct hd__stack *s) {
    if (cache == NULL || cache->count == 0) {
        s->next = NULL;
        give_idle(s, s, 1);
        return;
    }
    /* The half that was used last stays, since its memory is warm; the other half goes. */
    unsigned keep = cache->count / 2, gone = cache->count - keep;
    struct hd__stack *kept = s;
    s->next = cache->head;
    for (unsigned i = 0; i < keep; i++) {
        kept = kept->next;
    }
    struct hd__stack *first = kept->next;
    kept->next = NULL;
    cache->head = s;
    cache->count = keep + 1;
    give_idle(first, last_of(first), gone);
}

void hd__stack_cache_drain(struct hd__stack_cache *cache, unsigned klass) {
    (void)klass;
    if (cache->head != NULL) {
        give(cache->head, last_of(cache->head), cache->count, false);
    }
    cache->head = NULL;
    cache->count = 0;
}

/* ---- trimming ---- */

/* So many at a time: walked under a lock. */
enum { TRIM_BATCH = 128 };

struct hd__stack *hd__stack_trim_take(unsigned node, unsigned klass) {
    unsigned reserved = TRIM_BATCH, n;
    struct pool *pool = pool_of(node, klass);
    if (node >= hd__stack_nodes() || hd__load_relaxed(&idle_bytes) == 0) {
        return NULL;
    }
    while (reserved != 0 && !try_reserve(klass, reserved)) {
        reserved /= 2;
    }
    if (reserved == 0) {
        return NULL;
    }
    n = reserved;
    hd__spin_lock(&pool->lock);
    struct hd__stack *first = take_idle(pool, klass, &n);
    hd__spin_unlock(&pool->lock);
    n = first == NULL ? 0 : n;
    if (n != reserved) {
        hd__stack_unreserve(klass, reserved - n);
    }
    return first;
}

void hd__stack_trim_give(struct hd__stack *chain) {
    struct hd__stack *last = chain;
    unsigned n = 1, klass = chain->klass;
    for (; last->next != NULL; n++) {
        last = last->next;
    }
    give(chain, last, n, true);
    hd__stack_unreserve(klass, n);
}

/* ---- the whole ---- */

static void add_pool(struct hd__stack_stats *out, struct pool *pool, unsigned klass) {
    hd__spin_lock(&pool->lock);
    out->handed_out += pool->handed_out;
    out->idle += pool->idle_count;
    out->clean += pool->clean_count;
    out->idle_bytes += pool->idle_count * hd__stack_class_bytes(klass);
    hd__spin_unlock(&pool->lock);
}

void hd__stack_stats(struct hd__stack_stats *out) {
    *out = (struct hd__stack_stats){ .capacity = 0 };
    for (unsigned klass = 0; klass < HD__STACK_CLASSES; klass++) {
        hd__spin_lock(&accounts[klass].lock);
        uint64_t capacity = accounts[klass].capacity;
        out->reserved += accounts[klass].reserved;
        hd__spin_unlock(&accounts[klass].lock);
        out->capacity += capacity;
        for (unsigned node = 0; node < hd__stack_nodes() && capacity != 0; node++) {
            add_pool(out, pool_of(node, klass), klass);
        }
    }
    hd__slab_stats(out);
    hd__stack_trim_stats(out);
}

void hd__stack_release_all(void) {
    struct hd__slab *slab = atomic_exchange(&hd__stack_slabs, NULL);
    while (slab != NULL) {
        struct hd__slab *next = slab->next_slab;
        hd__slab_destroy(slab);
        slab = next;
    }
    free_nodes();
    for (unsigned klass = 0; klass < HD__STACK_CLASSES; klass++) {
        HD__ASSERT(!hd__spin_is_locked(&first_pools[klass].lock));
        first_pools[klass] = (struct pool){ .fresh_batch = 0 };
        accounts[klass] = (struct account){ .capacity = 0 };
        next_slots[klass] = 0;
    }
    hd__store_relaxed(&idle_bytes, 0);
    hd__store_relaxed(&idle_unlimited, 0);
    hd__slab_reset();
    hd__stack_trim_reset();
}
