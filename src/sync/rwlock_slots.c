/* SPDX-License-Identifier: MIT */
/* The readers of a read-mostly lock, counted by worker: opening and closing the slots. Why this is
 * right is said in rwlock.c. */
#include "base/check.h"
#include "os/cpu.h"
#include "os/mem.h"
#include "sync/rwlock.h"

#include <string.h>

/* The guard is held, and the state OPEN. */
void hd__rwlock_close(struct rwlock *l) {
    uint64_t sum = 0;
    hd__store_relaxed(&l->state, MOVING); /* the exchange below publishes it */
    for (uint64_t i = 0; i < l->slots->count; i++) {
        sum += atomic_exchange_explicit(&l->slots->one[i].word, CLOSED, memory_order_acq_rel);
    }
    int64_t readers = (int64_t)sum / SLOT_READER;
    HD__CHECK(readers >= 0, "hd_rwlock_rdunlock: rwlock %p was given back more often than it was "
                            "taken", (void *)l);
    hd__store_relaxed(&l->reads, 0);
    hd__store_release(&l->state, (uint64_t)readers * ONE_READER);
}

/* By a reader that is counted in the state word. */
HD__NOINLINE void hd__rwlock_open(struct rwlock *l) {
    hd__sched_enter();
    hd__spin_lock(&l->guard);
    uint64_t s = hd__load_relaxed(&l->state);
    while (!(s & (WRITER | WAITERS | OPEN)) && !change(l, &s, MOVING)) {
    }
    if (!(s & (WRITER | WAITERS | OPEN))) {
        hd__store_release(&l->slots->one[0].word, s / ONE_READER * SLOT_READER);
        for (uint64_t i = 1; i < l->slots->count; i++) {
            hd__store_release(&l->slots->one[i].word, 0);
        }
        hd__store_release(&l->state, OPEN);
    }
    hd__spin_unlock(&l->guard);
    hd__sched_leave();
}

/* Until the readers are where they belong. */
HD__NOINLINE void hd__rwlock_wait_moved(struct rwlock *l) {
    hd__sched_enter();
    hd__spin_lock(&l->guard);
    hd__spin_unlock(&l->guard);
    hd__sched_leave();
}

/* As many as workers that could run: the CPUs of the process, or more if the runtime has more. */
static uint64_t slot_count(void) {
    hd_cpuset allowed;
    int cpus = hd__os_cpus_allowed(&allowed);
    uint64_t n = cpus > 0 ? (uint64_t)cpus : 16;
    if (hd__rt.worker_count > n) n = hd__rt.worker_count;
    n = UINT64_C(1) << hd__log2_ceil(n);
    return n < SLOTS_MAX ? n : SLOTS_MAX;
}

struct slots *hd__rwlock_slots(void) {
    hd__sched_enter();
    uint64_t n = slot_count();
    size_t bytes = sizeof(struct slots) + n * sizeof(struct slot);
    struct slots *slots = hd__os_alloc_aligned(HD__CACHE_LINE, bytes);
    hd__sched_leave();
    if (!slots) return NULL;
    memset(slots, 0, bytes);
    slots->count = n;
    slots->mask = (n - 1) * HD__CACHE_LINE;
    return slots;
}
