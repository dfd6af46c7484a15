/* SPDX-License-Identifier: MIT */
/* The thread descriptor: what it holds, who may touch what, and when.
 *
 * A descriptor is 128 bytes and lives apart from the stack. A stack is bound when the thread is
 * first dispatched and given back when it ends, so a thousand threads that run to their end one
 * after another use one warm stack. Descriptors come from slabs that are never given back while
 * the runtime lives: a stale pointer reads a descriptor, if an old one, and tools can walk them.
 *
 * A thread's life:
 *
 *      spawn                 dispatch                         fn returns
 *   FREE ------> FRESH (queued, stack NULL) --> RUNNING ------------------> ENDED --> FREE
 *                                             |   ^    |                 (joined or detached)
 *                                       yield |   |    | hd__wait_park
 *                                             v   |    v
 *                                        QUEUED --+<-- WAITING
 *                                            (claimed, woken)
 *
 * FRESH, QUEUED and RUNNING are told apart by where the pointer is (a run queue, a worker's
 * `current`), not by a field: nobody has to write it. Three words carry what is shared:
 *
 *   park   Whether the party waits, and how the last wait ended. Everybody changes it by
 *          compare-and-swap. Exactly one claimer wins a wait.
 *
 *             bits: INTR     an interruption that no wait has consumed yet
 *                   WAITING  registers are saved; whoever clears this bit owns the wake-up
 *                   DEAF     the wait does not end by interruption
 *                   WOKEN    foreign parties only: the waker is done with the party
 *                   reason   NOTIFIED, TIMEOUT or INTERRUPTED, written by the claimer
 *                   count    the upper half: how many waits the party has begun. So a waker that
 *                            knows the whole word of one wait can claim that wait and no other,
 *                            without a lock, even if the descriptor is another thread's by then
 *
 *             (any) --park()--> WAITING [|DEAF], count + 1 --claim(reason)--> reason
 *             INTR may be set in any state by hd_interrupt(); it is cleared by the wait that
 *             returns -EINTR for it.
 *
 *   lock   Guards `joiner`, `ended` and `detached`. Its release by the ending thread is the last
 *          access to the descriptor: a joiner that finds `ended` waits for the lock to be free
 *          before it frees the descriptor.
 *   flags  Written by the spawner before the thread is published, read-only afterwards; but BOUND
 *          and SHARED, which come and go while the thread is in no queue and does not run
 *          elsewhere, and PINNED and MOVE, which may change at any time (sched/place.c).
 */
#ifndef HD__THREAD_THREAD_H
#define HD__THREAD_THREAD_H

#include <stdatomic.h>
#include <string.h>

#include "base/base.h"
#include "base/spin.h"
#include "ctx/context.h"
#include "ctx/stack.h"
#include <heddle/thread.h>

struct hd__wait;
struct hd__tls;

enum {
    HD__PARK_INTR = 1u << 0,
    HD__PARK_WAITING = 1u << 1,
    HD__PARK_DEAF = 1u << 2,
    HD__PARK_WOKEN = 1u << 3,
    HD__PARK_NOTIFIED = 1u << 8,
    HD__PARK_TIMEOUT = 2u << 8,
    HD__PARK_INTERRUPTED = 3u << 8,
    HD__PARK_REASON = 3u << 8,
};
#define HD__PARK_ONE_WAIT ((uint64_t)1 << 32)
#define HD__PARK_COUNT (~(HD__PARK_ONE_WAIT - 1))

enum {
    HD__THREAD_LIVE = 1u << 0,     /* spawned and not yet freed; for walkers */
    HD__THREAD_JOINABLE = 1u << 1, /* spawned with a handle */
    HD__THREAD_PINNED = 1u << 2,   /* ext->cpus restricts it */
    HD__THREAD_FOREIGN = 1u << 3,  /* stands for a kernel thread that is not a carrier */
    HD__THREAD_PAINTED = 1u << 4,  /* its stack is painted before it runs */
    HD__THREAD_OWN_CLASS = 1u << 5, /* its stack is not of the runtime's default class */
    HD__THREAD_PRIORITY = 1u << 6, /* its priority is not the default */
    HD__THREAD_LIGHT = 1u << 7,    /* HD_PREEMPT_LIGHT */
    HD__THREAD_UNPREEMPTED = 1u << 8, /* HD_PREEMPT_OFF */
    HD__THREAD_CARRIED = 1u << 9,  /* HD_PREEMPT_CARRIER */
    HD__THREAD_TUNED = 1u << 11,   /* it has a value or a time slice of its own */
    HD__THREAD_MOVE = 1u << 13,    /* its CPUs have changed since its last dispatch */
    HD__THREAD_SHARED = 1u << 12,  /* it waits for one worker and suits several: sched/place.c */
    HD__THREAD_HUGE = 1u << 14,    /* it asked for a stack of huge pages */
    HD__THREAD_IN_HAND = 1u << 15, /* of a free one: whoever trims has it */
    HD__THREAD_BLANK = 1u << 16,   /* and gives its memory back */
    HD__THREAD_MASKED = 1u << 17,  /* BOUND, and blocks other signals than its carrier does:
                                    * settle_mask() in sched.c */
    HD__THREAD_BOUND = 1u << 10    /* it goes on on stack->carrier only: it was preempted, or its
                                    * worker was taken away */
};

/* What few threads have, allocated when a name or a CPU set is given. */
struct hd__thread_ext {
    char name[HD_NAME_MAX + 1];
    hd__spin cpus_lock; /* guards cpus; nothing is taken under it */
    hd_cpuset cpus;
    _Atomic uint32_t only; /* one more than its CPU, if `cpus` holds a single one; written with it,
                            * and read without the lock: whoever needs one CPU needs no set */
};

struct hd_thread {
    /* First what a switch, a spawn and a join touch. */
    struct hd__context ctx;   /* written by the switch that parks it, read by the one to it */
    struct hd_thread *next;   /* link: free list of descriptors, injection queue, inbox */
    hd_fn fn;                 /* written by the spawner */
    void *arg;                /* the argument; the result once `ended` */
    struct hd__stack *stack;  /* NULL until first dispatch */
    struct hd__wait *_Atomic joiner; /* who waits in hd_join(); a second one looks, and is told */
    _Atomic uint64_t park;    /* see above */
    hd__spin lock;            /* guards `joiner`, `ended` and `detached` */
    _Atomic uint32_t flags;   /* HD__THREAD_* */
    _Atomic uint8_t ended;    /* written under lock, read by the joiner's fast path */
    _Atomic bool detached;    /* its end concerns nobody: the descriptor frees itself */
    uint8_t stack_class;
    _Atomic uint8_t priority; /* a hint: it may change at any time */
    uint16_t home;            /* pinned threads: the worker whose inbox they were in last; foreign
                               * parties: whether hd__rt.foreign_parked counts the wait */
    uint16_t no_preempt;      /* depth of hd_preempt_disable(), and HD__PREEMPT_DUE; its own */
    /* Then what waiting, tools and attributes touch. */
    struct hd__wait *wait;    /* the present wait, from parking until it runs again; else NULL */
    struct hd__thread_ext *_Atomic ext; /* comes at the spawn, or with a set of CPUs */
    struct hd__tls *tls;      /* thread-local values; the thread's own */
    uint64_t id;
} HD__ALIGNED(HD__CACHE_LINE);

/* What policies with ranks (sched/ranked.h) and few threads use. It lies beside the descriptors, at
 * the other end of their slab, so that it costs nothing where it is not used. */
struct hd__thread_side {
    _Atomic uint64_t rank;     /* given last; written under the queue's lock */
    uint64_t seq;              /* its number among equal ranks; of its queue, or its own */
    _Atomic uint64_t value;    /* the program's */
    _Atomic uint32_t place;    /* where it is in a queue by rank, see rankq.h; that queue's lock */
    _Atomic uint32_t slice_us; /* its own time slice; 0: the runtime's */
    /* Locks: what it holds (sync/watch.c; its own), and priority inheritance (sync/inherit.c, whose
     * lock guards them). */
    void *held;
    void *owned, *blocked_on;
    hd_thread *next_waiting;
    uint8_t base;
};

enum {
    HD__SLAB_BYTES = 256 * 1024, /* and so aligned */
    /* The header takes the place of the first descriptor. */
    HD__SLAB_THREADS =
        HD__SLAB_BYTES / (sizeof(hd_thread) + sizeof(struct hd__thread_side)) - 1,
};

/* Not of a foreign party. */
static inline struct hd__thread_side *hd__thread_side(const hd_thread *t) {
    uintptr_t offset = (uintptr_t)t & (HD__SLAB_BYTES - 1);
    char *end = (char *)((uintptr_t)t - offset) + HD__SLAB_BYTES;
    return (struct hd__thread_side *)(void *)end - offset / sizeof(hd_thread);
}

#define HD__PRIORITY_DEFAULT 10
#define HD__PRIORITY_HIGHEST 20
#define HD__PREEMPT_DUE 0x8000u /* a preemption fell due while no_preempt was not 0 */

/* Brings a descriptor from the free list to life. What few threads have is NULL in a free one. */
static inline void hd__thread_init(hd_thread *t, uint32_t flags, uint8_t stack_class) {
    struct {
        uint32_t flags;
        uint8_t ended, detached, stack_class, priority;
    } init = {flags | HD__THREAD_LIVE, 0, 0, stack_class, HD__PRIORITY_DEFAULT};
    _Static_assert(offsetof(struct hd_thread, priority) - offsetof(struct hd_thread, flags) + 1 ==
                       sizeof init, "the members stand side by side, in this order");
    memcpy((char *)t + offsetof(struct hd_thread, flags), &init, sizeof init);
    /* The count of waits goes on from the last thread that had the descriptor. */
    uint64_t park = atomic_load_explicit(&t->park, memory_order_relaxed);
    atomic_store_explicit(&t->park, park & HD__PARK_COUNT, memory_order_relaxed);
    hd__ctx_state(&t->ctx, 0);
    t->stack = NULL;
}

/* What another thread may know of one that runs, or ran a moment ago: the descriptor may be given
 * to another meanwhile, so all of it is a hint. ThreadSanitizer is not told of these looks. */
struct hd__thread_look {
    uint64_t id;
    uint64_t rank, value;
    uint32_t flags, slice_us;
    uint16_t no_preempt;
    uint8_t priority;
};
struct hd__thread_look hd__thread_look(const hd_thread *t);

static inline uint32_t hd__thread_flags(const hd_thread *t) {
    return atomic_load_explicit(&((hd_thread *)(uintptr_t)t)->flags, memory_order_relaxed);
}

/* A list of free descriptors that one worker keeps for itself. */
struct hd__thread_cache {
    hd_thread *head;
    unsigned count;
};

/* Takes a descriptor: from the cache, refilled in batches from the shared pool; cache may be NULL
 * (foreign threads). NULL when memory is short. The caller sets every field it relies on. */
hd_thread *hd__thread_take_slow(struct hd__thread_cache *cache);
static inline hd_thread *hd__thread_take(struct hd__thread_cache *cache) {
    hd_thread *t = cache ? cache->head : NULL;
    if (HD__UNLIKELY(!t)) return hd__thread_take_slow(cache);
    cache->head = t->next;
    cache->count--;
    return t;
}

/* Gives a descriptor back, with what hangs on it. */
enum { HD__THREAD_CACHE_MAX = 1024 };
void hd__thread_give_slow(struct hd__thread_cache *cache, hd_thread *t);
void hd__thread_free_ext(hd_thread *t);
void hd__thread_untune(hd_thread *t);
static inline void hd__thread_give(struct hd__thread_cache *cache, hd_thread *t) {
    if (HD__UNLIKELY(t->ext)) hd__thread_free_ext(t);
    if (HD__UNLIKELY(hd__thread_flags(t) & HD__THREAD_TUNED)) hd__thread_untune(t);
    atomic_store_explicit(&t->flags, 0, memory_order_relaxed);
    if (HD__UNLIKELY(!cache || cache->count >= HD__THREAD_CACHE_MAX)) {
        hd__thread_give_slow(cache, t);
        return;
    }
    t->next = cache->head;
    cache->head = t;
    cache->count++;
}

/* Gives all of a cache to the shared pool. */
void hd__thread_cache_drain(struct hd__thread_cache *cache);

/* Trimming: takes what is free in the shared pool, unless somebody else does so already (NULL);
 * gives the memory of whole pages back and leaves the rest in the chain: how many bytes that was;
 * puts the rest back. */
hd_thread *hd__thread_trim_take(void);
size_t hd__thread_trim_discard(hd_thread **chain);
void hd__thread_trim_give(hd_thread *chain);

/* Calls visit for every live descriptor. Consistent only while no thread runs. */
void hd__thread_each(void (*visit)(hd_thread *t, void *arg), void *arg);

/* For tools (api/debug.h): where the first slab's address is; its first word leads to the next. */
extern const void *const hd__thread_slabs;

/* Unmaps all descriptors; no thread may exist. */
void hd__thread_release_all(void);

/* The lock of the set is held, or nobody knows the thread yet. */
void hd__thread_set_cpus(struct hd__thread_ext *ext, const hd_cpuset *cpus);

/* Validates attributes and fills the descriptor's cold parts from them. 0, -EINVAL, -ENOMEM.
 * `allowed` are the CPUs that the process may use. */
int hd__thread_apply_attr(hd_thread *t, const struct hd_attr *attr, const hd_cpuset *allowed,
                          size_t default_stack);


#endif
