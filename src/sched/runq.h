/* SPDX-License-Identifier: MIT */
/* The run queue of one worker, for policy "steal": two bounded rings under one lock.
 *
 *   lifo   Threads that were spawned, or just woken, here: the owner takes the newest. Fork-join
 *          programs so run depth-first, and their memory stays a few stacks a level, where
 *          first-in first-out order grows with the breadth of the tree.
 *   fifo   Threads that yielded, whose timers expired, that were injected from outside, or that
 *          were woken and then overtaken by another wake-up: the owner takes the oldest.
 *
 * The owner prefers lifo, but every HD__POLL_TICK-th dispatch serves fifo, so that whatever is
 * there waits for a bounded number of dispatches; and once a millisecond the oldest of lifo gets
 * its turn (sched.c). By count, the latter would break the depth-first order: each old thread
 * that is begun early opens another subtree. Thieves take from fifo and from lifo's old end, where
 * a fork-join program keeps its largest pieces.
 *
 * A spinlock guards the rings. Rejected: Chase and Lev's deque, which saves the owner's push an
 * atomic but needs a full fence in each take, offers one end to the owner, and cannot take a
 * batch; and a ring with a compare-and-swap head (Go), first-in first-out only. An uncontended
 * exchange costs 2 ns, as much as those fences. And the lock orders more than the rings: an idle
 * worker that looks into every queue under its lock before it sleeps cannot miss a push (idle.c),
 * so that a push needs no fence of its own.
 *
 * The positions are atomic only so that others may look without the lock; the look is a hint.
 * The owner alone puts, so its own look at an empty ring is exact. */
#ifndef HD__SCHED_RUNQ_H
#define HD__SCHED_RUNQ_H

#include "base/spin.h"
#include "thread/thread.h"

enum { HD__RING_MIN = 16, HD__RING_MAX = 1024, HD__RING_MASK = HD__RING_MAX - 1 };
_Static_assert((HD__RING_MAX & HD__RING_MASK) == 0, "the size of a ring is a power of two");

struct hd__ring {
    _Atomic uint32_t head; /* position of the front */
    _Atomic uint32_t tail; /* one behind the back */
    hd_thread *slot[HD__RING_MAX];
};

struct hd__runq {
    HD__ALIGNED(HD__CACHE_LINE) hd__spin lock;
    uint32_t limit;       /* what each ring may hold */
    struct hd__ring lifo; /* front: newest */
    struct hd__ring fifo; /* front: oldest */
};

static inline uint32_t hd__ring_head(struct hd__ring *r) {
    return atomic_load_explicit(&r->head, memory_order_relaxed);
}

static inline uint32_t hd__ring_tail(struct hd__ring *r) {
    return atomic_load_explicit(&r->tail, memory_order_relaxed);
}

/* How many threads are in it: exact under the lock, a hint otherwise. */
static inline uint32_t hd__ring_count(struct hd__ring *r) {
    return hd__ring_tail(r) - hd__ring_head(r);
}

static inline bool hd__ring_full(struct hd__runq *q, struct hd__ring *r) {
    return hd__ring_count(r) >= q->limit;
}

static inline uint32_t hd__runq_count(struct hd__runq *q) {
    return hd__ring_count(&q->lifo) + hd__ring_count(&q->fifo);
}

/* Who is at the front, if anybody is. Under the lock, or by the owner of a lifo ring. */
static inline hd_thread *hd__ring_front(struct hd__ring *r) {
    return r->slot[hd__ring_head(r) & HD__RING_MASK];
}

/* The four below: lock held; room or content is the caller's care. */
static inline void hd__ring_put_front(struct hd__ring *r, hd_thread *t) {
    uint32_t head = hd__ring_head(r) - 1;
    r->slot[head & HD__RING_MASK] = t;
    atomic_store_explicit(&r->head, head, memory_order_relaxed);
}

static inline void hd__ring_put_back(struct hd__ring *r, hd_thread *t) {
    uint32_t tail = hd__ring_tail(r);
    r->slot[tail & HD__RING_MASK] = t;
    atomic_store_explicit(&r->tail, tail + 1, memory_order_relaxed);
}

static inline hd_thread *hd__ring_take_front(struct hd__ring *r) {
    uint32_t head = hd__ring_head(r);
    atomic_store_explicit(&r->head, head + 1, memory_order_relaxed);
    return r->slot[head & HD__RING_MASK];
}

static inline hd_thread *hd__ring_take_back(struct hd__ring *r) {
    uint32_t tail = hd__ring_tail(r) - 1;
    atomic_store_explicit(&r->tail, tail, memory_order_relaxed);
    return r->slot[tail & HD__RING_MASK];
}

/* Brings into the cache what a switch to the threads next in line will touch: the descriptor of one
 * some steps ahead, and the top of the stack of one that is closer, whose descriptor is there by
 * now. A stack that is not in the cache costs more than the switch (doc/decisions/prefetch.md).
 * By the owner, under the lock or not: thieves may take these threads meanwhile, and run them; no
 * more comes of that than a line too many in the cache. */
enum { HD__PREFETCH_DESCRIPTOR = 4, HD__PREFETCH_STACK = 2, HD__PREFETCH_LEAST = 8 };
static inline void hd__ring_prefetch(struct hd__ring *r, uint32_t least) {
#ifndef HD__TSAN /* to which the look at the stack pointer is a race */
    if (hd__ring_count(r) <= least) return;
    uint32_t head = hd__ring_head(r);
    const char *far = (const char *)r->slot[(head + HD__PREFETCH_DESCRIPTOR) & HD__RING_MASK];
    const hd_thread *near = r->slot[(head + HD__PREFETCH_STACK) & HD__RING_MASK];
    const char *sp = *(void *const volatile *)&near->ctx.regs.sp;
    hd__prefetch(far);
    hd__prefetch(far + HD__CACHE_LINE);
    hd__prefetch(sp);
    hd__prefetch(sp + HD__CACHE_LINE);
#endif
    (void)r, (void)least;
}

#endif
