/* SPDX-License-Identifier: MIT */
/* The fast halves of alloc and free; see pool.h. A brief section each: no call, no lock, no wait.
 *
 * Why no atomic instruction is needed. The cache is the worker's, and between enter and leave the
 * kernel thread that runs the worker is not preempted by us: the preempting signal's handler looks
 * at `inside`. The kernel may deschedule it anywhere; the worker is not taken away meanwhile, for
 * the same flag. So of all threads on this worker one at a time is here. Who drains the cache from
 * outside waits for the end of the section.
 *
 * Figures and what was rejected: doc/decisions/pools.md. */
#ifndef HD_SRC_MEM_POOL_FAST_H
#define HD_SRC_MEM_POOL_FAST_H

#include "ctx/annotate.h"
#include "mem/pool.h"

/* What came of it. */
enum hd__pool_way {
    HD__POOL_DONE,
    HD__POOL_DUE,  /* done, and a preemption is due */
    HD__POOL_SLOW, /* go the slow way, which looks for that by itself */
};

/* The worker's magazine; NULL: none. */
static HD__ALWAYS_INLINE struct hd__mag *hd__pool_loaded(hd_pool *pool, struct hd__worker *w) {
    struct hd__pool_cache *c = (struct hd__pool_cache *)((char *)pool->caches + w->lines);
    return hd__load_relaxed(&c->mag);
}

static HD__ALWAYS_INLINE enum hd__pool_way hd__pool_alloc_fast(hd_pool *pool, void **object) {
    struct hd__worker *w = hd__self_enter_brief();
    if (HD__LIKELY((uintptr_t)w > (uintptr_t)HD__WORKERLESS)) {
        struct hd__mag *m = hd__pool_loaded(pool, w);
        uint32_t n;
        if (HD__LIKELY(m != NULL && (n = hd__mag_count(m)) != 0)) {
            hd__store_relaxed(&m->count, n - 1);
            *object = m->slots[n - 1];
            return hd__self_leave_brief() ? HD__POOL_DUE : HD__POOL_DONE;
        }
    }
    (void)hd__self_leave_brief();
    return HD__POOL_SLOW;
}

static HD__ALWAYS_INLINE enum hd__pool_way hd__pool_free_fast(hd_pool *pool, void *object) {
    struct hd__worker *w = hd__self_enter_brief();
    if (HD__LIKELY((uintptr_t)w > (uintptr_t)HD__WORKERLESS)) {
        struct hd__mag *m = hd__pool_loaded(pool, w);
        uint32_t n;
        if (HD__LIKELY(m != NULL && (n = hd__mag_count(m)) < m->room)) {
            m->slots[n] = object;
            hd__store_relaxed(&m->count, n + 1);
            return hd__self_leave_brief() ? HD__POOL_DUE : HD__POOL_DONE;
        }
    }
    (void)hd__self_leave_brief();
    return HD__POOL_SLOW;
}

/* Gives way, and passes the object on: so that nothing is kept over a call on the fast path. */
void *hd__pool_give_way(void *object);

/* Nothing, but in builds for tools. */
static HD__ALWAYS_INLINE void hd__pool_annotate_give(hd_pool *pool, void *object) {
#if defined(HD__ASAN) || defined(HD__VALGRIND)
    if (pool != NULL && !pool->debug) hd__annotate_object_give(object, pool->object_size);
#endif
    (void)pool, (void)object;
}

#endif
