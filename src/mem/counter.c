/* SPDX-License-Identifier: MIT */
/* Counters with a slot for each kernel thread.
 *
 * Idea. One word that all CPUs add to travels between their caches, 10 to 100 ns a time. So a
 * counter is an array of slots, a cache line each, and a kernel thread adds to the one whose number
 * it has: the same number in all counters. The sum of the slots is the count.
 *
 *   hd__counter_slot     thread-local; says which
 *     >= 0               the offset of a slot that this kernel thread alone writes
 *     UNASSIGNED         it has not asked yet
 *     other, < 0         ~offset of a slot that it shares with others, since there are more kernel
 *                        threads than slots
 *
 * Why a kernel thread's and not a worker's: a thread can be preempted between the look at its slot
 * and the addition, and goes on on the same kernel thread (sched/carrier.h), if with another
 * worker. So the slot stays its own, without preemption being disabled around the addition.
 *
 * Exactness. A slot is written by its kernel thread alone, so nothing is lost between CPUs, and the
 * addition needs no locked instruction. What remains are the threads that one kernel thread runs:
 * a light thread can be preempted at any instruction of the program's text, and another add to the
 * same slot before it goes on. x86-64 adds to memory in one instruction, which a signal comes
 * before or after, never into. Elsewhere reading, adding and writing are several, so they are an
 * atomic read-modify-write, on a line that nobody else wants. Shared slots are written atomically
 * by everybody who has one.
 *
 * When a kernel thread ends, its slots keep their values, and a later one that is given the number
 * adds to them: the lock orders one before the other. The sum needs all slots at all times; "at
 * rest" means that the additions happened before the call, which their adders' joining or any lock
 * brings about, since a slot is written in one piece.
 *
 * A counter begins without slots: additions go to `base` by compare-and-swap, and the array is made
 * when one of them meets another, or when a kernel thread has come that way often. Without memory
 * they stay there.
 *
 * The split counter is folklore; see McKenney, Is Parallel Programming Hard, chapter 5 (statistical
 * counters), and java.util.concurrent's LongAdder for the base. Rejected, with figures in
 * doc/decisions/counters.md: slots of CPUs by restartable sequences, of workers with preemption
 * disabled, locked additions to slots, areas for each kernel thread with many counters in a
 * line. */
#include <heddle/counter.h>

#include <stdatomic.h>
#include <string.h>

#include "base/check.h"
#include "base/spin.h"
#include "os/cpu.h"
#include "os/kthread.h"
#include "os/mem.h"
#include "sched/self.h"

#define UNASSIGNED INT64_MIN

enum {
    OWN_MAX = 1024,    /* slots that one kernel thread has for itself, at most; */
    OWN_PER_CPU = 2,   /* so many for each CPU, since carriers wait and others run meanwhile, */
    OWN_MORE = 16,     /* and for foreign ones */
    SHARED = 8,
    HEAD = 2,          /* lines that the allocator needs: a power of two in all */
    ADDS_WITHOUT = 32, /* a kernel thread's additions to counters without slots between two looks */
};

__thread int64_t hd__counter_slot __attribute__((tls_model("initial-exec"))) = UNASSIGNED;
static __thread unsigned without __attribute__((tls_model("initial-exec")));

struct counter {
    char *_Atomic slots;
    _Atomic int64_t base;
} __attribute__((may_alias));
_Static_assert(sizeof(struct counter) == sizeof(hd_counter), "the public type");

typedef _Atomic int64_t slot __attribute__((may_alias));

/* Which numbers are taken; the lock guards it. */
static struct {
    hd__spin lock;
    _Atomic unsigned own; /* how many there are; 0: not yet known */
    unsigned shared;      /* the next shared one */
    uint64_t taken[OWN_MAX / 64];
} numbers;

/* ---- Which slot is whose ---- */

/* How many slots of either kind a counter has. Decided once, when the first counter needs it. */
static unsigned slot_count(void) {
    unsigned own = atomic_load_explicit(&numbers.own, memory_order_relaxed);
    if (HD__LIKELY(own != 0)) return own + SHARED;
    hd_cpuset allowed;
    int cpus = hd__os_cpus_allowed(&allowed);
    unsigned need = OWN_PER_CPU * (unsigned)(cpus > 0 ? cpus : 64) + OWN_MORE + SHARED + HEAD;
    unsigned whole = 1u << hd__log2_ceil(need);
    unsigned decided = whole - HEAD - SHARED < OWN_MAX ? whole - HEAD - SHARED : OWN_MAX;
    atomic_compare_exchange_strong_explicit(&numbers.own, &own, decided, memory_order_relaxed,
                                            memory_order_relaxed);
    return (own ? own : decided) + SHARED;
}

static int64_t take_number(bool may_own) {
    unsigned own = slot_count() - SHARED;
    int64_t found = -1;
    hd__spin_lock(&numbers.lock);
    for (unsigned i = 0; may_own && i < (own + 63) / 64 && found < 0; i++) {
        uint64_t open = ~numbers.taken[i];
        unsigned bit = open ? (unsigned)__builtin_ctzll(open) : 64;
        if (bit == 64 || i * 64 + bit >= own) continue;
        numbers.taken[i] |= (uint64_t)1 << bit;
        found = (int64_t)(i * 64 + bit) * HD__CACHE_LINE;
    }
    if (found < 0) found = ~((int64_t)(own + numbers.shared++ % SHARED) * HD__CACHE_LINE);
    hd__spin_unlock(&numbers.lock);
    return found;
}

/* The kernel thread ends. If it adds once more, in a destructor that comes later, it asks anew. */
static HD__NOINLINE void give_number(void *hooked) {
    int64_t mine = hd__counter_slot;
    (void)hooked;
    hd__counter_slot = UNASSIGNED;
    if (mine < 0) return;
    unsigned number = (unsigned)(mine / HD__CACHE_LINE);
    hd__spin_lock(&numbers.lock);
    numbers.taken[number / 64] &= ~((uint64_t)1 << number % 64);
    hd__spin_unlock(&numbers.lock);
}

/* Outside. A thread that is preempted here goes on on the same kernel thread, but a light one may
 * find that another has asked for it meanwhile. */
static HD__NOINLINE int64_t assign(void) {
    static struct hd__os_exit_hook hook;
    bool hooked = hd__os_kthread_at_exit(&hook, give_number, &hook) == 0;
    hd__sched_enter();
    if (hd__counter_slot == UNASSIGNED) hd__counter_slot = take_number(hooked);
    int64_t mine = hd__counter_slot;
    hd__sched_leave();
    return mine;
}

static HD__NOINLINE int64_t my_slot(void) {
    return hd__counter_slot;
}

/* ---- Adding ---- */

static void add_alone(char *at, int64_t n) {
#if defined(__x86_64__)
    __asm__ volatile("addq %1, (%0)" : : "r"(at), "er"(n) : "memory", "cc");
#else
    atomic_fetch_add_explicit((slot *)(void *)at, n, memory_order_relaxed);
#endif
}

static void add_shared(char *at, int64_t n) {
    atomic_fetch_add_explicit((slot *)(void *)at, n, memory_order_relaxed);
}

/* Gives the counter its slots, unless somebody else does. NULL: no memory. */
static HD__COLD char *grow(struct counter *c) {
    size_t bytes = (size_t)slot_count() * HD__CACHE_LINE;
    hd__sched_enter();
    char *slots = hd__os_alloc_aligned(HD__CACHE_LINE, bytes), *now = NULL;
    if (slots) {
        memset(slots, 0, bytes);
        if (atomic_compare_exchange_strong_explicit(&c->slots, &now, slots, memory_order_acq_rel,
                                                    memory_order_acquire))
            now = slots;
        else
            hd__os_free(slots);
    }
    hd__sched_leave();
    return now;
}

static HD__NOINLINE bool comes_often(void) {
    return ++without % ADDS_WITHOUT == 0;
}

/* To a counter without slots. False: it has some now. */
static bool add_to_base(struct counter *c, int64_t n) {
    int64_t seen = atomic_load_explicit(&c->base, memory_order_relaxed);
    int64_t sum = (int64_t)((uint64_t)seen + (uint64_t)n);
    if (!comes_often() &&
        atomic_compare_exchange_strong_explicit(&c->base, &seen, sum, memory_order_relaxed,
                                                memory_order_relaxed))
        return true;
    if (grow(c)) return false;
    atomic_fetch_add_explicit(&c->base, n, memory_order_relaxed);
    return true;
}

void hd__counter_add(hd_counter *counter, int64_t n) {
    struct counter *c = (struct counter *)counter;
    char *slots = atomic_load_explicit(&c->slots, memory_order_acquire);
    if (!slots) {
        if (add_to_base(c, n)) return;
        slots = atomic_load_explicit(&c->slots, memory_order_acquire);
    }
    int64_t mine = my_slot();
    if (HD__UNLIKELY(mine == UNASSIGNED)) mine = assign();
    if (HD__LIKELY(mine >= 0))
        add_alone(slots + mine, n);
    else
        add_shared(slots + ~mine, n);
}

/* ---- Reading ---- */

int64_t hd_counter_sum(const hd_counter *counter) {
    HD__CHECK(counter != NULL, "hd_counter_sum: c is NULL");
    const struct counter *c = (const struct counter *)counter;
    uint64_t sum = (uint64_t)atomic_load_explicit(&c->base, memory_order_relaxed);
    const char *slots = atomic_load_explicit(&c->slots, memory_order_acquire);
    for (unsigned i = 0, n = slots ? slot_count() : 0; i < n; i++) {
        const slot *s = (const slot *)(const void *)(slots + (size_t)i * HD__CACHE_LINE);
        sum += (uint64_t)atomic_load_explicit(s, memory_order_relaxed);
    }
    return (int64_t)sum;
}

void hd_counter_finish(hd_counter *counter) {
    struct counter *c = (struct counter *)counter;
    if (!c) return;
    hd__sched_enter();
    hd__os_free(atomic_load_explicit(&c->slots, memory_order_relaxed));
    hd__sched_leave();
    atomic_store_explicit(&c->slots, NULL, memory_order_relaxed);
    atomic_store_explicit(&c->base, 0, memory_order_relaxed);
}
