/* SPDX-License-Identifier: MIT */
/* Descriptors: slabs, a shared pool, and the cold parts that attributes fill. */
#include "thread/thread.h"

#include <errno.h>
#include <string.h>

#include "os/mem.h"

enum { SLAB_BYTES = 256 * 1024, BATCH = 64 };

/* The header takes the place of the first descriptor. */
struct slab {
    struct slab *next;
};

enum { SLAB_THREADS = SLAB_BYTES / sizeof(hd_thread) - 1 };

#if !defined(HD__ANNOTATED) && !defined(HD_VALGRIND)
_Static_assert(sizeof(hd_thread) == 128, "a descriptor is two cache lines");
#endif
_Static_assert(sizeof(struct slab) <= sizeof(hd_thread), "the slab's header fits its place");

/* The shared pool. `lock` guards all of it. */
static struct {
    hd__spin lock;
    struct slab *slabs;
    hd_thread *free;
} pool;

static hd_thread *slab_threads(struct slab *s) {
    return (hd_thread *)s + 1;
}

/* Maps a slab and puts its descriptors on the free list, lowest address first. Lock held. */
static bool grow_locked(void) {
    struct slab *s = hd__os_map(SLAB_BYTES);
    if (!s) return false;
    s->next = pool.slabs;
    pool.slabs = s;
    hd_thread *threads = slab_threads(s);
    for (size_t i = SLAB_THREADS; i-- > 0;) {
        threads[i].next = pool.free;
        pool.free = &threads[i];
    }
    return true;
}

hd_thread *hd__thread_take_slow(struct hd__thread_cache *cache) {
    hd__spin_lock(&pool.lock);
    if (!pool.free && !grow_locked()) {
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

void hd__thread_free_ext(hd_thread *t) {
    hd__os_free(t->ext);
    t->ext = NULL;
}

void hd__thread_each(void (*visit)(hd_thread *t, void *arg), void *arg) {
    hd__spin_lock(&pool.lock);
    struct slab *s = pool.slabs;
    hd__spin_unlock(&pool.lock);
    for (; s; s = s->next) {
        hd_thread *threads = slab_threads(s);
        for (size_t i = 0; i < SLAB_THREADS; i++)
            if (hd__thread_flags(&threads[i]) & HD__THREAD_LIVE) visit(&threads[i], arg);
    }
}

static void free_cold(hd_thread *t, void *arg) {
    (void)arg;
    if (t->ext) hd__thread_free_ext(t);
    hd__os_free(t->tls);
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
    hd__spin_unlock(&pool.lock);
    while (s) {
        struct slab *next = s->next;
        hd__os_unmap(s, SLAB_BYTES);
        s = next;
    }
}

#ifdef HD__TSAN
__attribute__((no_sanitize_thread))
#endif
HD__NOINLINE struct hd__thread_look hd__thread_look(const hd_thread *t) {
    const volatile struct hd_thread *v = t;
    /* Not by an atomic load, which the tool would see. */
    uint32_t flags = *(const volatile uint32_t *)(const volatile void *)&v->flags;
    return (struct hd__thread_look){v->id, flags, v->no_preempt, v->priority};
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
    if (a->numa_node < 0 || a->numa_node > 1024) return false;
    if (a->migration < HD_MIGRATE_DEFAULT || a->migration > HD_MIGRATE_NEVER) return false;
    if (a->preempt < HD_PREEMPT_DEFAULT || a->preempt > HD_PREEMPT_OFF) return false;
    return (a->flags & ~HD_ATTR_PAINT_STACK) == 0;
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
        if (attr->cpus) ext->cpus = *attr->cpus;
        t->ext = ext;
    }
    uint32_t flags = 0;
    if (attr->cpus) flags |= HD__THREAD_PINNED;
    if (attr->flags & HD_ATTR_PAINT_STACK) flags |= HD__THREAD_PAINTED;
    size_t size = attr->stack_size ? attr->stack_size : default_stack;
    uint8_t klass = (uint8_t)hd__stack_class(size);
    if (klass != t->stack_class) {
        t->stack_class = klass;
        flags |= HD__THREAD_OWN_CLASS;
    }
    static const uint32_t preempt_flags[] = {0, HD__THREAD_CARRIED, HD__THREAD_LIGHT,
                                             HD__THREAD_UNPREEMPTED};
    t->priority = (uint8_t)(attr->priority ? attr->priority : HD__PRIORITY_DEFAULT);
    flags |= preempt_flags[attr->preempt];
    if (t->priority != HD__PRIORITY_DEFAULT) flags |= HD__THREAD_PRIORITY;
    atomic_fetch_or_explicit(&t->flags, flags, memory_order_relaxed);
    return 0;
}
