/* SPDX-License-Identifier: MIT */
/* The sequence lock.
 *
 * Idea. A number that is odd while somebody writes. A writer adds 1, writes, adds 1; a reader reads
 * an even number, the data, and the number once more: if that is the same, nobody wrote meanwhile.
 *
 * Orders (Boehm). The data are read and written while others write, so all of it by atomic
 * accesses. What must hold is: a reader that reads a word of a write in progress, or of a later
 * one, must see another number at its end. The usual way has fences before the last reading of the
 * number and after the first addition. Here the writer's stores of the data are releases and the
 * reader's loads acquires: a load that sees a store sees, after it, the addition before that store.
 * On x86-64 all of these are plain instructions; and neither the sanitizer nor a model checker need
 * know fences. The other way round, a reader that begins after a write ended sees all of it: it
 * acquires the number that the end stores with release. The first addition is a compare-and-swap
 * with acquire, which orders the writer after the writer before.
 *
 * A writer that is preempted would have all readers wait. So between begin and end preemption is
 * disabled, by the callers of these functions (seqlock.c). */
#ifndef HD_SRC_LOCKFREE_SEQLOCK_H
#define HD_SRC_LOCKFREE_SEQLOCK_H

#include "lockfree/lockfree.h"

struct hd__seqlock {
    _Atomic uint64_t sequence; /* odd: somebody writes */
    _Atomic uint64_t writer;   /* the writer's number, for its own eyes; 0: none, or not yet */
};

static inline void hd__seqlock_write_begin(struct hd__seqlock *l) {
    for (unsigned turn = 0;; turn++) {
        uint64_t s = hd__load_relaxed(&l->sequence);
        if ((s & 1) == 0 &&
            atomic_compare_exchange_strong_explicit(&l->sequence, &s, s + 1, memory_order_acquire,
                                                    memory_order_relaxed))
            return;
        hd__lf_wait(turn);
    }
}

/* False: nobody was writing. */
static inline bool hd__seqlock_write_end(struct hd__seqlock *l) {
    uint64_t s = hd__load_relaxed(&l->sequence);
    if ((s & 1) == 0) return false;
    hd__store_release(&l->sequence, s + 1);
    return true;
}

static inline uint64_t hd__seqlock_read_begin(const struct hd__seqlock *l) {
    uint64_t s;
    for (unsigned turn = 0; (s = hd__load_acquire(&l->sequence)) & 1; turn++) hd__lf_wait(turn);
    return s;
}

/* The data were read with acquire. */
static inline bool hd__seqlock_read_retry(const struct hd__seqlock *l, uint64_t begun) {
    return hd__load_relaxed(&l->sequence) != begun;
}

#endif
