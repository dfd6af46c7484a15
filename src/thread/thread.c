/* SPDX-License-Identifier: MIT */
/* Descriptors: slabs, a shared pool, and the cold parts that attributes fill. */
#include "thread/tls.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "os/mem.h"

enum { BATCH = 64 };

struct slab {
    struct slab *next;
    /* Pages of it, a bit each, whose descriptors are all free and whose memory was given back; and
     * the count of waits from which such descriptors go on, at least that of each. Guarded by the
     * pool's lock. The same for pages on their way there; the trimmer's. */
    _Atomic uint64_t blank; /* written under the lock */
    uint64_t blank_park;
    uint64_t blanking, blanking_park;
};

#if !defined(HD__ANNOTATED) && !defined(HD_VALGRIND)
_Static_assert(sizeof(hd_thread) == 128, "a descriptor is two cache lines");
#endif
_Static_assert(sizeof(struct slab) <= sizeof(hd_thread), "the slab's header fits its place");

/* The shared pool. `lock` guards all of it. */
static struct {
    hd__spin lock;
    struct slab *slabs;
    hd_thread *free;
    bool blank;    /* some slab may have blank pages */
    bool trimming; /* somebody trims, */
    struct slab *trimmed; /* these */
} pool;

const void *const hd__thread_slabs = &pool.slabs;
_Static_assert(offsetof(struct slab, next) == 0, "the first word, as thread.h says");

static hd_thread *slab_threads(struct slab *s) {
    return (hd_thread *)s + 1;
}

/* Maps a slab at a multiple of its size. */
static struct slab *map_slab(void) {
    char *wide = hd__os_map(2 * HD__SLAB_BYTES);
    if (!wide) return NULL;
    char *slab = (char *)HD__ROUND_UP((uintptr_t)wide, (uintptr_t)HD__SLAB_BYTES);
    size_t before = (size_t)(slab - wide);
    if (before) hd__os_unmap(wide, before);
    hd__os_unmap(slab + HD__SLAB_BYTES, HD__SLAB_BYTES - before);
    return (struct slab *)(void *)slab;
}

/* Maps a slab and puts its descriptors on the free list, lowest address first. Lock held. */
static bool grow_locked(void) {
    struct slab *s = map_slab();
    if (!s) return false;
    s->next = pool.slabs;
    pool.slabs = s;
    hd_thread *threads = slab_threads(s);
    for (size_t i = HD__SLAB_THREADS; i-- > 0;) {
        threads[i].next = pool.free;
        pool.free = &threads[i];
    }
    return true;
}

/* ---- trimming ---- */

enum {
    PAGE = 4096,
    PAGE_THREADS = PAGE / sizeof(hd_thread),
    SLAB_PAGES = (HD__SLAB_THREADS + 1) * sizeof(hd_thread) / PAGE, /* those full of descriptors */
};
_Static_assert(SLAB_PAGES <= 64, "a bit for each page");

/* Page 0 has the header. With pages of another size, or descriptors that straddle them, nothing is
 * given back. */
static bool can_trim(void) {
    return PAGE % sizeof(hd_thread) == 0 && hd__os_page_size() == PAGE;
}

static hd_thread *page_threads(struct slab *s, unsigned page) {
    return (hd_thread *)(void *)((char *)s + (size_t)page * PAGE);
}

static void set_flags(hd_thread *t, uint32_t flags) {
    atomic_store_explicit(&t->flags, flags, memory_order_relaxed);
}

/* A page that was given back: its descriptors are free ones again. Lock held. */
static bool unblank_locked(void) {
    for (struct slab *s = pool.blank ? pool.slabs : NULL; s; s = s->next) {
        if (!s->blank) continue;
        unsigned page = (unsigned)__builtin_ctzll(s->blank);
        hd_thread *t = page_threads(s, page);
        s->blank &= s->blank - 1;
        for (unsigned i = PAGE_THREADS; i-- > 0;) {
            set_flags(&t[i], 0);
            atomic_store_explicit(&t[i].park, s->blank_park, memory_order_relaxed);
            t[i].next = pool.free;
            pool.free = &t[i];
        }
        return true;
    }
    pool.blank = false;
    return false;
}

/* Marks the page's descriptors if all of them are in hand. */
static void choose_page(struct slab *s, unsigned page) {
    hd_thread *t = page_threads(s, page);
    for (unsigned i = 0; i < PAGE_THREADS; i++)
        if (hd__thread_flags(&t[i]) != HD__THREAD_IN_HAND) return;
    for (unsigned i = 0; i < PAGE_THREADS; i++) {
        uint64_t park = atomic_load_explicit(&t[i].park, memory_order_relaxed) & HD__PARK_COUNT;
        if (park > s->blanking_park) s->blanking_park = park;
        set_flags(&t[i], HD__THREAD_IN_HAND | HD__THREAD_BLANK);
    }
    s->blanking |= UINT64_C(1) << page;
}

/* Outside of the gate, so without the lock: of a page that becomes blank, or is no longer, at this
 * time not all descriptors are in hand. */
static void choose_pages(struct slab *s) {
    uint64_t blank = atomic_load_explicit(&s->blank, memory_order_relaxed);
    for (unsigned page = 1; page < SLAB_PAGES; page++)
        if (!(blank >> page & 1)) choose_page(s, page);
}

/* The chain without those whose pages are given back. */
static hd_thread *keep_rest(hd_thread *chain) {
    hd_thread *kept = NULL, **end = &kept;
    for (hd_thread *t = chain, *next; t; t = next) {
        next = t->next;
        if (hd__thread_flags(t) & HD__THREAD_BLANK) continue;
        set_flags(t, 0);
        *end = t;
        end = &t->next;
    }
    *end = NULL;
    return kept;
}

/* Where the kernel does not take a page it is as good as blank, too. */
static size_t discard_pages(struct slab *s) {
    size_t bytes = 0;
    for (unsigned page = 1; page < SLAB_PAGES; page++)
        if (s->blanking >> page & 1 && hd__os_discard(page_threads(s, page), PAGE) == 0)
            bytes += PAGE;
    return bytes;
}

hd_thread *hd__thread_trim_take(void) {
    hd__spin_lock(&pool.lock);
    hd_thread *chain = can_trim() && !pool.trimming ? pool.free : NULL;
    if (chain) {
        pool.free = NULL;
        pool.trimming = true;
        pool.trimmed = pool.slabs; /* none goes while the runtime lives */
    }
    hd__spin_unlock(&pool.lock);
    return chain;
}

size_t hd__thread_trim_discard(hd_thread **chain) {
    size_t bytes = 0;
    struct slab *slabs = pool.trimmed;
    for (hd_thread *t = *chain; t; t = t->next) set_flags(t, HD__THREAD_IN_HAND);
    for (struct slab *s = slabs; s; s = s->next) choose_pages(s);
    *chain = keep_rest(*chain);
    for (struct slab *s = slabs; s; s = s->next) bytes += discard_pages(s);
    return bytes;
}

void hd__thread_trim_give(hd_thread *chain) {
    hd_thread *last = chain;
    while (last && last->next) last = last->next;
    hd__spin_lock(&pool.lock);
    if (last) {
        last->next = pool.free;
        pool.free = chain;
    }
    for (struct slab *s = pool.slabs; s; s = s->next) {
        if (s->blanking_park > s->blank_park) s->blank_park = s->blanking_park;
        s->blank |= s->blanking;
        pool.blank |= s->blanking != 0;
        s->blanking = 0;
    }
    pool.trimming = false;
    hd__spin_unlock(&pool.lock);
}

hd_thread *hd__thread_take_slow(struct hd__thread_cache *cache) {
    hd__spin_lock(&pool.lock);
    if (!pool.free && !unblank_locked() && !grow_locked()) {
        hd__spin_unlock(&pool.lock);
        return NULL;
    }
    hd_thread *t = pool.free;
    pool.free = t->next;
    for (unsigned i = 0; cache && i < BATCH && pool.free; i++) {
        hd_thread *more = pool.free;
        pool.free = more->next;
        more->next = cache->head;
        cache->head = more;
        cache->count++;
    }
    hd__spin_unlock(&pool.lock);
    return t;
}

/* An overfull cache gives half of itself back: a worker that only joins feeds the one that only
 * spawns. */
void hd__thread_give_slow(struct hd__thread_cache *cache, hd_thread *t) {
    hd_thread *first = t, *last = t;
    t->next = NULL;
    for (unsigned i = 0; cache && i < HD__THREAD_CACHE_MAX / 2 && cache->head; i++) {
        hd_thread *more = cache->head;
        cache->head = more->next;
        cache->count--;
        more->next = NULL;
        last->next = more;
        last = more;
    }
    hd__spin_lock(&pool.lock);
    last->next = pool.free;
    pool.free = first;
    hd__spin_unlock(&pool.lock);
}

void hd__thread_cache_drain(struct hd__thread_cache *cache) {
    hd_thread *first = cache->head, *last = first;
    if (!first) return;
    while (last->next) last = last->next;
    cache->head = NULL;
    cache->count = 0;
    hd__spin_lock(&pool.lock);
    last->next = pool.free;
    pool.free = first;
    hd__spin_unlock(&pool.lock);
}

void hd__thread_free_ext(hd_thread *t) {
    hd__os_free(t->ext);
    t->ext = NULL;
}

void hd__thread_untune(hd_thread *t) {
    struct hd__thread_side *side = hd__thread_side(t);
    atomic_store_explicit(&side->value, 0, memory_order_relaxed);
    atomic_store_explicit(&side->slice_us, 0, memory_order_relaxed);
    HD__CHECK(!side->owned, "thread %llu has ended with a mutex locked that lends its owner the "
                            "priority of those who wait; unlock it first",
              (unsigned long long)t->id);
    hd__os_free(side->held);
    side->held = NULL;
    side->base = 0;
}

void hd__thread_each(void (*visit)(hd_thread *t, void *arg), void *arg) {
    hd__spin_lock(&pool.lock);
    struct slab *s = pool.slabs;
    hd__spin_unlock(&pool.lock);
    for (; s; s = s->next) {
        hd_thread *threads = slab_threads(s);
        for (size_t i = 0; i < HD__SLAB_THREADS; i++)
            if (hd__thread_flags(&threads[i]) & HD__THREAD_LIVE) visit(&threads[i], arg);
    }
}

static void free_cold(hd_thread *t, void *arg) {
    (void)arg;
    if (t->ext) hd__thread_free_ext(t);
    if (hd__thread_flags(t) & HD__THREAD_TUNED) hd__os_free(hd__thread_side(t)->held);
    hd__tls_discard(t);
    if (t->stack && !atomic_load(&t->ended)) {
        hd__ctx_discard(&t->ctx);
        hd__annotate_stack_idle(t->stack->low, t->stack->size);
    }
}

void hd__thread_release_all(void) {
    hd__thread_each(free_cold, NULL);
    hd__spin_lock(&pool.lock);
    struct slab *s = pool.slabs;
    pool.slabs = NULL;
    pool.free = NULL;
    pool.blank = pool.trimming = false;
    hd__spin_unlock(&pool.lock);
    while (s) {
        struct slab *next = s->next;
        hd__os_unmap(s, HD__SLAB_BYTES);
        s = next;
    }
}

#ifdef HD__TSAN
__attribute__((no_sanitize_thread))
#endif
HD__NOINLINE struct hd__thread_look hd__thread_look(const hd_thread *t) {
    const volatile struct hd_thread *v = t;
    const volatile struct hd__thread_side *side = hd__thread_side(t);
    /* Not by an atomic load, which the tool would see. */
#define LOOK(member, type) (*(const volatile type *)(const volatile void *)&member)
    return (struct hd__thread_look){
        .id = v->id,
        .rank = LOOK(side->rank, uint64_t),
        .value = LOOK(side->value, uint64_t),
        .flags = LOOK(v->flags, uint32_t),
        .slice_us = LOOK(side->slice_us, uint32_t),
        .no_preempt = v->no_preempt,
        .priority = LOOK(v->priority, uint8_t),
    };
#undef LOOK
}

void hd__thread_set_cpus(struct hd__thread_ext *ext, const hd_cpuset *cpus) {
    uint32_t only = 0, count = 0;
    for (unsigned i = 0; i < HD_CPU_MAX / 64; i++) {
        uint64_t bits = ext->cpus.bits[i] = cpus->bits[i];
        if (bits) only = i * 64 + (unsigned)__builtin_ctzll(bits) + 1;
        count += (unsigned)__builtin_popcountll(bits);
    }
    atomic_store_explicit(&ext->only, count == 1 ? only : 0, memory_order_relaxed);
}

static bool cpusets_meet(const hd_cpuset *a, const hd_cpuset *b) {
    for (size_t i = 0; i < HD_CPU_MAX / 64; i++)
        if (a->bits[i] & b->bits[i]) return true;
    return false;
}

static bool attr_in_range(const struct hd_attr *a) {
    if (a->size != sizeof *a) return false;
    if (a->stack_size && (a->stack_size < hd_stack_min() || a->stack_size > (size_t)1 << 30))
        return false;
    if (a->priority < 0 || a->priority > 20) return false;
    if (a->slice_us && (a->slice_us < 100 || a->slice_us > 1000000)) return false;
    if (a->numa_node < 0 || a->numa_node > 1024) return false;
    if (a->migration < HD_MIGRATE_DEFAULT || a->migration > HD_MIGRATE_CACHE) return false;
    if (a->preempt < HD_PREEMPT_DEFAULT || a->preempt > HD_PREEMPT_OFF) return false;
    if (a->fpu < HD_STATE_DEFAULT || a->fpu > HD_STATE_NONE) return false;
    if (a->vector < HD_STATE_DEFAULT || a->vector > HD_STATE_NONE) return false;
    return (a->flags & ~(HD_ATTR_PAINT_STACK | HD_ATTR_STACK_HUGE | HD_ATTR_STACK_HUGETLB)) == 0;
}

int hd__thread_apply_attr(hd_thread *t, const struct hd_attr *attr, const hd_cpuset *allowed,
                          size_t default_stack) {
    if (!attr_in_range(attr)) return -EINVAL;
    if (attr->cpus && !cpusets_meet(attr->cpus, allowed)) return -EINVAL;
    if (attr->name || attr->cpus) {
        struct hd__thread_ext *ext = hd__os_calloc(1, sizeof *ext);
        if (!ext) return -ENOMEM;
        if (attr->name) {
            size_t len = strnlen(attr->name, HD_NAME_MAX);
            memcpy(ext->name, attr->name, len);
        }
        if (attr->cpus) hd__thread_set_cpus(ext, attr->cpus);
        t->ext = ext;
    }
    uint32_t flags = 0;
    if (attr->cpus) flags |= HD__THREAD_PINNED;
    if (attr->flags & HD_ATTR_PAINT_STACK) flags |= HD__THREAD_PAINTED;
    if (attr->flags & (HD_ATTR_STACK_HUGE | HD_ATTR_STACK_HUGETLB)) flags |= HD__THREAD_HUGE;
    size_t size = attr->stack_size ? attr->stack_size : default_stack;
    uint8_t klass = (uint8_t)(attr->flags & (HD_ATTR_STACK_HUGE | HD_ATTR_STACK_HUGETLB)
                                  ? hd__stack_huge_class(size, attr->flags & HD_ATTR_STACK_HUGETLB)
                                  : hd__stack_class(size));
    if (klass != t->stack_class) {
        t->stack_class = klass;
        flags |= HD__THREAD_OWN_CLASS;
    }
    static const uint32_t preempt_flags[] = {0, HD__THREAD_CARRIED, HD__THREAD_LIGHT,
                                             HD__THREAD_UNPREEMPTED};
    uint8_t priority = (uint8_t)(attr->priority ? attr->priority : HD__PRIORITY_DEFAULT);
    atomic_store_explicit(&t->priority, priority, memory_order_relaxed);
    flags |= preempt_flags[attr->preempt];
    if (priority != HD__PRIORITY_DEFAULT) flags |= HD__THREAD_PRIORITY;
    if (attr->value || attr->slice_us) {
        struct hd__thread_side *side = hd__thread_side(t);
        atomic_store_explicit(&side->value, attr->value, memory_order_relaxed);
        atomic_store_explicit(&side->slice_us, (uint32_t)attr->slice_us, memory_order_relaxed);
        flags |= HD__THREAD_TUNED;
    }
    hd__ctx_state(&t->ctx, (attr->fpu == HD_STATE_NONE ? HD__ARCH_WITHOUT_FPU : 0) |
                               (attr->vector == HD_STATE_NONE ? HD__ARCH_WITHOUT_VECTOR : 0));
    atomic_fetch_or_explicit(&t->flags, flags, memory_order_relaxed);
    return 0;
}
