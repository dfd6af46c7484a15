/* SPDX-License-Identifier: MIT */
/* Slabs, pools and reservations of stacks; see stack.h for the idea. What looks into stacks (find,
 * paint, high water) is stack_look.c.
 *
 * Locks, outermost first: grow_lock (one slab is mapped at a time, so that two spawners do not both
 * map one), then a pool's lock (tens of nanoseconds). Guards are installed outside both. */
#include "ctx/stack.h"

#include "base/atomic.h"
#include "base/check.h"
#include "base/spin.h"
#include "ctx/stack_slab.h"
#include "os/mem.h"
#include "os/signal.h"

#include <errno.h>

/* A slab is 4 MiB of address space at first and 256 MiB at most, within these numbers of slots: few
 * mappings for many stacks, and little for few. */
#define SLAB_BYTES_FIRST ((size_t)4 << 20)
#define SLAB_BYTES_MAX ((size_t)256 << 20)
#define SLAB_SLOTS_FIRST 64u
#define SLAB_SLOTS_MAX 4096u

/* Fresh slots are handed out in growing batches, so that a program with three threads pays for
 * three guards, and one with a million makes few trips here. */
#define FRESH_BATCH_FIRST 2u

/* Guards by page protection stop here: each costs two mappings of the process's 65,530, and the
 * program needs some as well. */
#define MPROTECT_GUARDS_MAX 16000u

#define COLOURS 16u
#define COLOUR_BYTES 64u

struct pool {
    hd__spin lock;           /* guards the members below */
    unsigned fresh_batch;    /* slots in the next batch of fresh ones */
    struct hd__stack *idle;  /* stacks that were used before: link `next` */
    uint64_t capacity;       /* slots of all slabs */
    uint64_t reserved;       /* see the invariant in stack.h */
    uint64_t handed_out;     /* slots that left their slab */
    struct hd__slab *fresh;  /* the slab that fresh slots come from; then its next_fresh */
    struct hd__slab *newest; /* end of that chain */
} HD__ALIGNED(HD__CACHE_LINE);

static struct pool pools[HD__STACK_CLASSES];
static hd__spin grow_lock; /* guards: mapping a slab, next_slots */
static unsigned next_slots[HD__STACK_CLASSES]; /* slots of the next slab; 0: the first */
static _Atomic unsigned workers;

_Atomic(struct hd__slab *) hd__stack_slabs;

static _Atomic int guard_kind; /* enum hd__stack_guard */
static _Atomic unsigned mprotect_guards;
static _Atomic uint64_t unguarded;

unsigned hd__stack_class(size_t bytes) {
    /* Below the guard page there must be something to use, also where pages are 64 KiB. */
    size_t least = 2 * hd__os_page_size();
    unsigned shift = hd__log2_ceil(bytes < least ? least : bytes);
    HD__ASSERT(shift <= HD__STACK_SHIFT_MAX);
    return shift <= HD__STACK_SHIFT_MIN ? 0 : shift - HD__STACK_SHIFT_MIN;
}

size_t hd__stack_size_min(void) {
    size_t page = hd__os_page_size();
    size_t need = page + COLOURS * COLOUR_BYTES + hd__os_signal_frame_bytes() + 4096;
    size_t least = (size_t)1 << HD__STACK_SHIFT_MIN;
    return HD__ROUND_UP(need < least ? least : need, page);
}

void hd__stack_set_workers(unsigned n) {
    hd__store_relaxed(&workers, n);
}

/* ---- guards ---- */

const char *hd__stack_guard_kind(void) {
    static const char *const names[] = { "madv-guard", "mprotect", "none" };
    return names[hd__load_relaxed(&guard_kind)];
}

void hd__stack_guard_force(enum hd__stack_guard kind) {
    hd__store_relaxed(&guard_kind, (int)kind);
}

static bool guard_by_protection(void *low, size_t page) {
    if (atomic_fetch_add_explicit(&mprotect_guards, 1, memory_order_relaxed) <
            MPROTECT_GUARDS_MAX &&
        hd__os_protect_none(low, page) == 0) {
        return true;
    }
    return false;
}

/* Guards n slots, the first beginning at `low`, and says in the records what came of it. */
static void guard_slots(char *low, size_t stride, struct hd__stack *records, unsigned n) {
    size_t page = hd__os_page_size();
    int kind = hd__load_relaxed(&guard_kind);
    int err = -EINVAL;
    if (kind == HD__GUARD_MADVISE) {
        err = hd__os_guard_many(low, page, stride, n, !hd__annotate_old_kernel());
    }
    if (kind == HD__GUARD_MADVISE && err != 0 && err != -ENOMEM) {
        /* Not known to this kernel, nor will it be. */
        kind = HD__GUARD_MPROTECT;
        hd__store_relaxed(&guard_kind, kind);
    }
    for (unsigned i = 0; i < n; i++) {
        records[i].guarded = err == 0;
        if (err == 0) {
            continue;
        }
        if (kind != HD__GUARD_NONE && guard_by_protection(low + i * stride, page)) {
            records[i].guarded = true;
            continue;
        }
        atomic_fetch_add_explicit(&unguarded, 1, memory_order_relaxed);
        if (kind == HD__GUARD_MPROTECT) {
            kind = HD__GUARD_NONE;
            hd__store_relaxed(&guard_kind, kind);
        }
    }
}

/* ---- slabs ---- */

static struct hd__slab *slab_create(unsigned klass, unsigned slots) {
    size_t bytes = (size_t)slots << (HD__STACK_SHIFT_MIN + klass);
    /* Large arrays come from the kernel zeroed and untouched; a record is written when its slot is
     * handed out first. */
    struct hd__slab *slab = hd__os_calloc(1, sizeof *slab + slots * sizeof slab->records[0]);
    if (slab == NULL) {
        return NULL;
    }
    slab->base = hd__os_map(bytes);
    if (slab->base == NULL) {
        hd__os_free(slab);
        return NULL;
    }
    /* Without it a stack might cost 2 MiB at its first touch. Kernels without huge pages refuse,
     * which is as good. */
    (void)hd__os_nohuge(slab->base, bytes);
    slab->klass = klass;
    slab->slots = slots;
    return slab;
}

/* Maps one more slab for the pool: the usual number of slots or, if the address space is short,
 * fewer. 0 or -ENOMEM. Under grow_lock. */
static int grow(unsigned klass) {
    size_t slot = hd__stack_class_bytes(klass);
    unsigned slots = next_slots[klass];
    if (slots == 0) {
        size_t fit = SLAB_BYTES_FIRST / slot;
        slots = fit == 0 ? 1 : fit < SLAB_SLOTS_FIRST ? (unsigned)fit : SLAB_SLOTS_FIRST;
    }
    struct hd__slab *slab = slab_create(klass, slots);
    while (slab == NULL && slots > 1) {
        slots /= 2;
        slab = slab_create(klass, slots);
    }
    if (slab == NULL) {
        return -ENOMEM;
    }
    if (slots < SLAB_SLOTS_MAX && slot * slots * 2 <= SLAB_BYTES_MAX) {
        next_slots[klass] = slots * 2;
    } else {
        next_slots[klass] = slots;
    }
    /* Release: pairs with the acquire in hd__stack_find(), which may run in a signal handler of
     * another kernel thread at any time. */
    slab->next_slab = hd__load_relaxed(&hd__stack_slabs);
    hd__store_release(&hd__stack_slabs, slab);

    struct pool *pool = &pools[klass];
    hd__spin_lock(&pool->lock);
    if (pool->newest == NULL) {
        pool->fresh = slab;
    } else {
        pool->newest->next_fresh = slab;
    }
    pool->newest = slab;
    pool->capacity += slots;
    hd__spin_unlock(&pool->lock);
    return 0;
}

/* ---- reservations ---- */

static bool try_reserve(struct pool *pool, unsigned klass, unsigned n) {
    uint64_t slack = (uint64_t)hd__load_relaxed(&workers) * hd__stack_cache_max(klass);
    hd__spin_lock(&pool->lock);
    bool ok = pool->capacity >= pool->reserved + n + slack;
    if (ok) {
        pool->reserved += n;
    }
    hd__spin_unlock(&pool->lock);
    return ok;
}

int hd__stack_reserve(unsigned klass, unsigned n) {
    struct pool *pool = &pools[klass];
    if (HD__LIKELY(try_reserve(pool, klass, n))) {
        return 0;
    }
    int err = 0;
    hd__spin_lock(&grow_lock);
    while (err == 0 && !try_reserve(pool, klass, n)) {
        err = grow(klass);
    }
    hd__spin_unlock(&grow_lock);
    return err;
}

void hd__stack_unreserve(unsigned klass, unsigned n) {
    struct pool *pool = &pools[klass];
    hd__spin_lock(&pool->lock);
    HD__ASSERT(pool->reserved >= n);
    pool->reserved -= n;
    hd__spin_unlock(&pool->lock);
}

/* ---- handing out ---- */

/* Up to n stacks off the pool's list of idle ones, as a chain. Under its lock. */
static struct hd__stack *take_idle(struct pool *pool, unsigned *n) {
    struct hd__stack *first = pool->idle, *last = first;
    unsigned taken = 1;
    if (first == NULL) {
        return NULL;
    }
    for (; taken < *n && last->next != NULL; taken++) {
        last = last->next;
    }
    pool->idle = last->next;
    last->next = NULL;
    *n = taken;
    return first;
}

/* Up to n slots that nobody has used; the caller makes stacks of them. Under the lock. */
static struct hd__slab *take_fresh(struct pool *pool, unsigned *n, unsigned *from) {
    struct hd__slab *slab = pool->fresh;
    HD__CHECK(slab != NULL, "internal error: a stack was taken that nobody had reserved");
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

static void make_record(struct hd__slab *slab, unsigned i) {
    size_t slot = hd__stack_class_bytes(slab->klass);
    char *bottom = slab->base + i * slot;
    struct hd__stack *s = &slab->records[i];
    s->low = bottom + hd__os_page_size();
    s->top = bottom + slot - i % COLOURS * COLOUR_BYTES;
    s->size = (uint32_t)((char *)s->top - (char *)s->low);
    s->klass = (uint16_t)slab->klass;
    s->next = s + 1;
#ifdef HD__VALGRIND
    s->valgrind_id = hd__annotate_stack_new(s->low, s->top);
#endif
}

static struct hd__stack *make_stacks(struct hd__slab *slab, unsigned from, unsigned n) {
    size_t slot = hd__stack_class_bytes(slab->klass);
    struct hd__stack *first = &slab->records[from];
    for (unsigned i = 0; i < n; i++) {
        make_record(slab, from + i);
    }
    first[n - 1].next = NULL;
    guard_slots(slab->base + from * slot, slot, first, n);
    return first;
}

struct hd__stack *hd__stack_get_slow(struct hd__stack_cache *cache, unsigned klass) {
    struct pool *pool = &pools[klass];
    unsigned room = cache == NULL ? 0 : hd__stack_cache_max(klass);
    unsigned n = room / 2 + 1; /* one to return, half of what the cache holds */
    unsigned from = 0;
    struct hd__slab *slab = NULL;
    hd__spin_lock(&pool->lock);
    struct hd__stack *first = take_idle(pool, &n);
    if (first == NULL) {
        slab = take_fresh(pool, &n, &from);
    }
    hd__spin_unlock(&pool->lock);
    if (slab != NULL) {
        first = make_stacks(slab, from, n);
    }
    if (n > 1) {
        cache->head = first->next;
        cache->count = n - 1;
    }
    first->owner = NULL;
    return first;
}

/* Hands the chain from first to last to the pool. */
static void give_idle(struct pool *pool, struct hd__stack *first, struct hd__stack *last) {
    hd__spin_lock(&pool->lock);
    last->next = pool->idle;
    pool->idle = first;
    hd__spin_unlock(&pool->lock);
}

void hd__stack_put_slow(struct hd__stack_cache *cache, struct hd__stack *s) {
    struct pool *pool = &pools[s->klass];
    if (cache == NULL || cache->count == 0) {
        give_idle(pool, s, s);
        return;
    }
    /* The half that was used last stays, since its memory is warm; the other half goes. */
    unsigned keep = cache->count / 2;
    struct hd__stack *kept = s, *last;
    s->next = cache->head;
    for (unsigned i = 0; i < keep; i++) {
        kept = kept->next;
    }
    last = kept->next;
    while (last->next != NULL) {
        last = last->next;
    }
    cache->head = s;
    cache->count = keep + 1;
    give_idle(pool, kept->next, last);
    kept->next = NULL;
}

void hd__stack_cache_drain(struct hd__stack_cache *cache, unsigned klass) {
    struct hd__stack *last = cache->head;
    if (last == NULL) {
        return;
    }
    while (last->next != NULL) {
        last = last->next;
    }
    give_idle(&pools[klass], cache->head, last);
    cache->head = NULL;
    cache->count = 0;
}

/* ---- the whole ---- */

void hd__stack_stats(struct hd__stack_stats *out) {
    *out = (struct hd__stack_stats){ .unguarded = hd__load_relaxed(&unguarded) };
    for (unsigned klass = 0; klass < HD__STACK_CLASSES; klass++) {
        struct pool *pool = &pools[klass];
        hd__spin_lock(&pool->lock);
        out->capacity += pool->capacity;
        out->reserved += pool->reserved;
        out->handed_out += pool->handed_out;
        hd__spin_unlock(&pool->lock);
    }
    for (struct hd__slab *s = hd__load_acquire(&hd__stack_slabs); s != NULL; s = s->next_slab) {
        out->slabs++;
        out->mapped_bytes += s->slots * hd__stack_class_bytes(s->klass);
    }
}

void hd__stack_release_all(void) {
    struct hd__slab *slab = atomic_exchange(&hd__stack_slabs, NULL);
    while (slab != NULL) {
        struct hd__slab *next = slab->next_slab;
#ifdef HD__VALGRIND
        for (unsigned i = 0; i < slab->used; i++) {
            hd__annotate_stack_gone(slab->records[i].valgrind_id);
        }
#endif
        hd__os_unmap(slab->base, slab->slots * hd__stack_class_bytes(slab->klass));
        hd__os_free(slab);
        slab = next;
    }
    for (unsigned klass = 0; klass < HD__STACK_CLASSES; klass++) {
        struct pool *pool = &pools[klass];
        HD__ASSERT(!hd__spin_is_locked(&pool->lock));
        pool->fresh_batch = 0;
        pool->idle = NULL;
        pool->capacity = pool->reserved = pool->handed_out = 0;
        pool->fresh = pool->newest = NULL;
        next_slots[klass] = 0;
    }
    hd__store_relaxed(&guard_kind, HD__GUARD_MADVISE);
    hd__store_relaxed(&mprotect_guards, 0);
    hd__store_relaxed(&unguarded, 0);
}
