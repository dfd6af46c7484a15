/* SPDX-License-Identifier: MIT */
/* Data for each worker.
 *
 * Idea. Instances lie in blocks, aligned to cache lines: the first block has as many as there are
 * workers, or CPUs where no runtime runs, when the data is made; each further block has as many as
 * all before it, and is made when a worker beyond them asks. So an address never changes, and a
 * program with a fixed number of workers has one block.
 *
 * Who may touch an instance: the thread that runs on its worker, with preemption disabled. Such a
 * thread leaves the worker only by waiting or yielding, which the interface forbids: preemption
 * includes the taking away of workers whose carrier is blocked (sched/monitor.c, enforce()). So
 * making an instance needs no lock either: it is done on its own worker. `made` is what
 * hd_percpu_each() looks at, and its release is what makes the instance visible to it.
 *
 * A foreign kernel thread has no worker. All of them share one instance under a lock, which they
 * hold while they use it; as do threads whose block cannot be had, so that no call has to fail. */
#include <heddle/percpu.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/check.h"
#include "os/cpu.h"
#include "os/mem.h"
#include "sched/preempt.h"

enum { BLOCKS = 12 }; /* the first one may hold a single instance: 2^11 > HD__WORKERS_MAX */
_Static_assert(1u << (BLOCKS - 1) > HD__WORKERS_MAX, "blocks for all workers");

/* The instances follow, `stride` bytes each, and one _Atomic bool for each: whether it was made. */
struct hd_percpu {
    size_t stride;
    hd_percpu_fn init;
    void *arg;
    unsigned first;               /* instances in the first block */
    char *_Atomic blocks[BLOCKS]; /* NULL: not made yet */
    char *common;                 /* without a worker */
    _Atomic bool common_made;     /* written under common_lock, which guards the instance */
    hd__spin common_lock;
};

/* ---- Where instances are ---- */

/* The block that instance i is in, and the first one of it: 0 .. first, .. 2 first, .. 4 first. */
static unsigned block_of(const struct hd_percpu *p, unsigned i, unsigned *begin, unsigned *count) {
    unsigned b = 0;
    *begin = 0;
    *count = p->first;
    while (i >= *begin + *count) {
        *begin += *count;
        if (b++ != 0) *count *= 2;
    }
    return b;
}

static _Atomic bool *made_flags(const struct hd_percpu *p, char *block, unsigned count) {
    return (_Atomic bool *)(void *)(block + count * p->stride);
}

/* Inside. NULL: no memory. */
static char *make_block(struct hd_percpu *p, unsigned b, unsigned count) {
    size_t bytes;
    if (__builtin_mul_overflow((size_t)count, p->stride + sizeof(_Atomic bool), &bytes))
        return NULL;
    char *block = hd__os_alloc_aligned(HD__CACHE_LINE, bytes), *now = NULL;
    if (!block) return NULL;
    memset(block, 0, bytes);
    if (atomic_compare_exchange_strong_explicit(&p->blocks[b], &now, block, memory_order_acq_rel,
                                                memory_order_acquire))
        return block;
    hd__os_free(block);
    return now;
}

/* Inside. The instance and its flag; NULL: no memory. */
static void *find(struct hd_percpu *p, unsigned i, _Atomic bool **made) {
    unsigned begin, count, b = block_of(p, i, &begin, &count);
    char *block = atomic_load_explicit(&p->blocks[b], memory_order_acquire);
    if (HD__UNLIKELY(!block)) block = make_block(p, b, count);
    if (HD__UNLIKELY(!block)) return NULL;
    *made = &made_flags(p, block, count)[i - begin];
    return block + (i - begin) * p->stride;
}

/* ---- Using them ---- */

static void *enter_common(struct hd_percpu *p) {
    hd__spin_lock(&p->common_lock);
    if (!atomic_load_explicit(&p->common_made, memory_order_relaxed)) {
        if (p->init) p->init(p->common, p->arg);
        atomic_store_explicit(&p->common_made, true, memory_order_release);
    }
    return p->common;
}

void *hd_percpu_enter(hd_percpu *p) {
    _Atomic bool *made = NULL;
    void *mine = NULL;
    HD__CHECK(p != NULL, "hd_percpu_enter: p is NULL");
    struct hd__worker *w = hd__sched_enter();
    if (HD__LIKELY(w != NULL)) {
        hd__preempt_disable();
        mine = find(p, w->index, &made);
    }
    hd__sched_leave();
    if (HD__UNLIKELY(!mine)) return enter_common(p);
    if (HD__UNLIKELY(!atomic_load_explicit(made, memory_order_relaxed))) {
        if (p->init) p->init(mine, p->arg);
        atomic_store_explicit(made, true, memory_order_release);
    }
    return mine;
}

void hd_percpu_leave(hd_percpu *p, void *instance) {
    HD__CHECK(p != NULL && instance != NULL,
              "hd_percpu_leave: give it what was given to and returned by hd_percpu_enter()");
    if (HD__UNLIKELY(instance == p->common)) hd__spin_unlock(&p->common_lock);
    hd__sched_enter();
    hd__preempt_enable(); /* on a foreign kernel thread, nothing */
    hd__sched_leave();
}

void *hd_percpu_get(hd_percpu *p) {
    HD__CHECK(p != NULL, "hd_percpu_get: p is NULL");
    struct hd__worker *w = hd__sched_enter();
    hd__sched_leave();
    /* A foreign kernel thread may be between enter() and leave(). */
    if (!w && atomic_load_explicit(&p->common_made, memory_order_acquire)) return p->common;
    void *instance = hd_percpu_enter(p);
    hd_percpu_leave(p, instance);
    return instance;
}

void hd_percpu_each(hd_percpu *p, hd_percpu_fn fn, void *arg) {
    HD__CHECK(p != NULL && fn != NULL, "hd_percpu_each: p or fn is NULL");
    unsigned begin = 0, count = p->first;
    for (unsigned b = 0; b < BLOCKS; b++) {
        char *block = atomic_load_explicit(&p->blocks[b], memory_order_acquire);
        for (unsigned i = 0; block && i < count; i++)
            if (atomic_load_explicit(&made_flags(p, block, count)[i], memory_order_acquire))
                fn(block + i * p->stride, arg);
        begin += count;
        count = begin;
    }
    if (atomic_load_explicit(&p->common_made, memory_order_acquire)) fn(p->common, arg);
}

/* ---- Life ---- */

/* Inside. How many workers there are, or will be. */
static unsigned expected(void) {
    hd_cpuset allowed;
    unsigned workers = 0;
    hd__runtime_enter();
    if (atomic_load_explicit(&hd__rt.state, memory_order_seq_cst) == HD__RT_ON)
        workers = hd__rt.worker_count;
    hd__runtime_leave();
    if (workers) return workers;
    int cpus = hd__os_cpus_allowed(&allowed);
    return cpus > 0 ? (unsigned)cpus : 1;
}

static struct hd_percpu *make(size_t size) {
    size_t stride, whole;
    if (__builtin_add_overflow(size, HD__CACHE_LINE - 1, &stride)) return NULL;
    stride = HD__ROUND_DOWN(stride, HD__CACHE_LINE);
    size_t head = HD__ROUND_UP(sizeof(struct hd_percpu), HD__CACHE_LINE);
    if (__builtin_add_overflow(stride, head, &whole) || whole > PTRDIFF_MAX / 2) return NULL;
    struct hd_percpu *p = hd__os_alloc_aligned(HD__CACHE_LINE, whole);
    if (!p) return NULL;
    memset(p, 0, whole);
    p->stride = stride;
    p->first = expected();
    p->common = (char *)p + head;
    if (make_block(p, 0, p->first)) return p;
    hd__os_free(p);
    return NULL;
}

int hd_percpu_create(hd_percpu **out, size_t size, hd_percpu_fn init, void *arg) {
    HD__CHECK(out != NULL, "hd_percpu_create: out is NULL");
    if (size == 0) return -EINVAL;
    hd__sched_enter();
    struct hd_percpu *p = make(size);
    hd__sched_leave();
    if (!p) return -ENOMEM;
    p->init = init;
    p->arg = arg;
    *out = p;
    return 0;
}

void hd_percpu_destroy(hd_percpu *p) {
    if (!p) return;
    HD__CHECK(!hd__spin_is_locked(&p->common_lock),
              "hd_percpu_destroy: somebody is between hd_percpu_enter() and hd_percpu_leave()");
    hd__sched_enter();
    for (unsigned b = 0; b < BLOCKS; b++)
        hd__os_free(atomic_load_explicit(&p->blocks[b], memory_order_relaxed));
    hd__os_free(p);
    hd__sched_leave();
}
