/* SPDX-License-Identifier: MIT */
/* The reader-writer lock from the inside, between the protocol (rwlock.c, which explains all of it)
 * and the slots of readers (rwlock_slots.c). */
#ifndef HD__SYNC_RWLOCK_H
#define HD__SYNC_RWLOCK_H

#include "base/atomic.h"
#include "base/spin.h"
#include "sched/look.h"
#include "sync/queue.h"

#include <heddle/sync.h>

struct hd__watch;

enum { WRITER = 1, WAITERS = 2, OPEN = 4, MOVING = 8, ONE_READER = 256 };
enum { CLOSED = 1, SLOT_READER = 2 };
enum { OPEN_AFTER = 4, SLOTS_MAX = 256 };

struct slot {
    HD__ALIGNED(HD__CACHE_LINE) _Atomic uint64_t word;
};

struct slots {
    uint64_t count;
    uint64_t mask; /* of an offset in bytes */
    struct slot one[];
};

struct rwlock {
    _Atomic uint64_t state;
    struct slots *fast;      /* slots, if it is not watched: what readers look at first */
    hd__spin guard;          /* guards queue, and the state word as said above */
    _Atomic uint32_t reads;  /* that found no writer, while the slots were closed; a hint */
    struct hd__waitq queue;  /* links: hd__wait.next and .prev */
    _Atomic uint64_t writer; /* one more than its hd__look_token(); written by the writer alone */
    struct slots *slots;     /* NULL: none; written by init and finish, as the next */
    struct hd__watch *watch; /* NULL: it is not watched */
} __attribute__((may_alias));

_Static_assert(sizeof(struct rwlock) <= sizeof(hd_rwlock), "fits into the public type");
_Static_assert(_Alignof(struct rwlock) <= _Alignof(hd_rwlock), "aligned as the public type");

static inline struct rwlock *rwlock_of(hd_rwlock *l) {
    return (struct rwlock *)l;
}

static inline bool change(struct rwlock *l, uint64_t *s, uint64_t to) {
    return atomic_compare_exchange_weak_explicit(&l->state, s, to, memory_order_acq_rel,
                                                 memory_order_relaxed);
}

/* The caller may be on another worker at any moment, which costs no more than time. */
static inline struct slot *hd__rwlock_my_slot(struct slots *slots) {
    struct hd__worker *w = hd__worker_get();
    uint64_t line = HD__LIKELY(w != NULL) ? w->lines : hd__self_token() * HD__CACHE_LINE;
    return (struct slot *)(void *)((char *)slots->one + (line & slots->mask));
}

/* Counts `by` in the slot of the present worker. False: it is closed. */
static HD__ALWAYS_INLINE bool hd__rwlock_slot(struct slots *slots, uint64_t by,
                                              memory_order order) {
    struct slot *slot = hd__rwlock_my_slot(slots);
    /* Acquire: who finds it closed sees that the state word is MOVING, or what comes later. */
    uint64_t v = hd__load_acquire(&slot->word);
    while (HD__LIKELY(!(v & CLOSED))) {
        if (HD__LIKELY(atomic_compare_exchange_weak_explicit(&slot->word, &v, v + by, order,
                                                             memory_order_acquire))) {
            return true;
        }
    }
    return false;
}

/* The guard is held, and the state OPEN. */
void hd__rwlock_close(struct rwlock *l);

/* By a reader that is counted in the state word. Outside. */
void hd__rwlock_open(struct rwlock *l);

/* Until the readers are where they belong. Outside. */
void hd__rwlock_wait_moved(struct rwlock *l);

/* Slots for a new lock, all open and empty. NULL: no memory. Outside. */
struct slots *hd__rwlock_slots(void);

#endif
