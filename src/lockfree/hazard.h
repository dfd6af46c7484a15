/* SPDX-License-Identifier: MIT */
/* Hazard pointers.
 *
 * Idea. A record is one word in a cache line of its own: 0 when it is free, else the address that
 * is protected (or IDLE). Records are never given back to the system, and lie in chunks that are
 * linked for good, so anybody can walk over all of them at any time. Whoever frees objects first
 * takes them out of reach, then reads all records, and frees what is in none.
 *
 * Whose is a record? Michael gives each thread some for its life. Here there may be 100,000
 * threads, and a worker's would be shared by a thread that was preempted with it and the next one.
 * So a record belongs to one operation, or to the public hazard pointer of one caller: it is taken
 * by the same compare-and-swap that publishes the first address (0 -> address), and given back by
 * storing 0. Taking starts at the record that the hint says, which is as a rule free and in the
 * caller's cache; a thread that is preempted with it makes the others on that worker take the next
 * one. Nothing has to be noted about threads, and nothing is left when they end.
 *
 * Why it is safe (Dekker). Reader: R1 writes the record, R2 reads the source again and finds the
 * same address. Freeing: W1 changed the source, W2 reads the record. All four are sequentially
 * consistent, so there is one order of them: if R2 came before W1 in it, R1 came before W2, and the
 * record is seen. If W1 came first, R2 sees another address, or the same one that was put there
 * again, which then is protected before it is retired the next time. W1 and W2 may be on different
 * threads: W1, the push to the list of the retired, its taking and W2 happen one after the other.
 * A reader that gives the record back stores with release, which pairs with W2's acquire: what it
 * did with the object happens before its freeing.
 *
 * Light protection. Taking a record costs an atomic instruction, which is the fence between R1 and
 * R2 at the same time. A caller that has a record for itself (hazard_own.h) needs neither: it
 * stores the address, passes a light barrier (lockfree.h) and reads the source again, and whoever
 * frees such objects passes a heavy one between W1 and W2. The heavy one interrupts all CPUs; so
 * only the segments of queues are protected lightly, thousands of whose items pay for one of them.
 *
 * Progress. Taking a record passes over those in use; when all are, it adds a chunk. Without memory
 * for it the operations of this library wait for a record (hd__lf_wait), which is why they have
 * the first chunk to themselves: who has one there gives it back within a few instructions of its
 * own. The public function reports -ENOMEM. All else never waits for anybody. */
#ifndef HD_SRC_LOCKFREE_HAZARD_H
#define HD_SRC_LOCKFREE_HAZARD_H

#include "lockfree/lockfree.h"
#include "lockfree/retired.h"

#ifdef HD_HOSTILE
enum { HD__HAZARD_RECORDS = 4, HD__HAZARD_LISTS = 2, HD__HAZARD_TABLE = 4 };
#else
enum { HD__HAZARD_RECORDS = 128, HD__HAZARD_LISTS = 16, HD__HAZARD_TABLE = 128 };
#endif

struct hd_hazard {
    _Atomic uintptr_t word; /* 0: free; HD__HAZARD_IDLE; else the address that is protected */
} HD__ALIGNED(HD__CACHE_LINE);

#define HD__HAZARD_IDLE ((uintptr_t)1)

struct hd__hazard_chunk {
    struct hd__hazard_chunk *_Atomic next;
    struct hd_hazard records[HD__HAZARD_RECORDS];
} HD__ALIGNED(HD__CACHE_LINE);

/* All zero: ready. */
struct hd__hazard_domain {
    struct hd__hazard_chunk first; /* the library's own */
    struct hd__retired_list lists[HD__HAZARD_LISTS];
    struct hd__retired_list large; /* segments of queues, which are few */
};

/* ---- records ---- */

/* Takes the record, with `word` in it, if it is free. */
static HD__ALWAYS_INLINE bool hd__hazard_try(struct hd_hazard *h, uintptr_t word) {
    uintptr_t empty = 0;
    return hd__load_relaxed(&h->word) == 0 &&
           atomic_compare_exchange_strong_explicit(&h->word, &empty, word, memory_order_seq_cst,
                                                   memory_order_relaxed);
}

static HD__ALWAYS_INLINE struct hd_hazard *hd__hazard_record(struct hd__hazard_chunk *c,
                                                             unsigned i) {
    return &c->records[i % HD__HAZARD_RECORDS];
}

/* The chunk after c, made if there is none. NULL: no memory. Sequentially consistent, so that who
 * walks over the chunks after a W1 finds the record of an R1 before it. */
static inline struct hd__hazard_chunk *hd__hazard_more(struct hd__hazard_chunk *c) {
    struct hd__hazard_chunk *next = atomic_load_explicit(&c->next, memory_order_seq_cst);
    if (next) return next;
    struct hd__hazard_chunk *made = hd__lf_alloc(sizeof *made);
    if (!made) return atomic_load_explicit(&c->next, memory_order_seq_cst);
    if (atomic_compare_exchange_strong_explicit(&c->next, &next, made, memory_order_seq_cst,
                                                memory_order_seq_cst))
        return made;
    hd__lf_free(made, sizeof *made);
    return next;
}

/* A record from chunk c or a later one. NULL: no memory. */
static HD__NOINLINE HD__UNUSED struct hd_hazard *hd__hazard_take(struct hd__hazard_chunk *c,
                                                                 unsigned hint, uintptr_t word) {
    for (; c; c = hd__hazard_more(c))
        for (unsigned i = 0; i < HD__HAZARD_RECORDS; i++)
            if (hd__hazard_try(hd__hazard_record(c, hint * 4 + i), word))
                return hd__hazard_record(c, hint * 4 + i);
    return NULL;
}

static inline void hd__hazard_give(struct hd_hazard *h) {
    hd__store_release(&h->word, 0);
}

/* ---- protecting ---- */

typedef void *_Atomic hd__hazard_source;

/* What *source points to, protected by h, which protected `seen`, what was read there before. */
static HD__ALWAYS_INLINE void *hd__hazard_confirm(struct hd_hazard *h,
                                                  const hd__hazard_source *source, void *seen) {
    for (;;) {
        void *now = atomic_load_explicit(source, memory_order_seq_cst);
        if (HD__LIKELY(now == seen)) return now;
        seen = now;
        atomic_store_explicit(&h->word, now ? (uintptr_t)now : HD__HAZARD_IDLE,
                              memory_order_seq_cst);
    }
}

/* For one operation of the library: takes a record and protects what *source points to. The
 * caller gives the record back. */
static HD__ALWAYS_INLINE struct hd_hazard *hd__hazard_begin(struct hd__hazard_domain *d,
                                                            unsigned hint,
                                                            const hd__hazard_source *source,
                                                            void **object) {
    struct hd_hazard *h = hd__hazard_record(&d->first, hint * 4);
    void *seen = hd__load_acquire(source);
    uintptr_t word = seen ? (uintptr_t)seen : HD__HAZARD_IDLE;
    if (HD__UNLIKELY(!hd__hazard_try(h, word)))
        for (unsigned turn = 0; !(h = hd__hazard_take(&d->first, hint, word)); turn++)
            hd__lf_wait(turn);
    *object = hd__hazard_confirm(h, source, seen);
    return h;
}

/* The same once more, with the record that it has. */
static inline void *hd__hazard_again(struct hd_hazard *h, const hd__hazard_source *source) {
    return hd__hazard_confirm(h, source, (void *)hd__load_relaxed(&h->word));
}

/* The same by a caller that has the record h for itself, idle. NULL: the source changed, and
 * nothing is protected; try again in the other way. The source is not NULL. */
static HD__ALWAYS_INLINE void *hd__hazard_begin_light(struct hd_hazard *h,
                                                      const hd__hazard_source *source) {
    void *seen = hd__load_acquire(source);
    hd__store_release(&h->word, (uintptr_t)seen); /* R1 */
    HD__LF_LIGHT_BARRIER();
    if (HD__LIKELY(hd__load_acquire(source) == seen)) return seen; /* R2 */
    hd__store_release(&h->word, HD__HAZARD_IDLE);
    return NULL;
}

static HD__ALWAYS_INLINE void hd__hazard_end_light(struct hd_hazard *h) {
    hd__store_release(&h->word, HD__HAZARD_IDLE);
}

/* ---- freeing ---- */

/* What the records hold: a table with open addressing, which at least half is empty. */
struct hd__hazard_seen {
    struct hd__hazard_domain *domain;
    size_t size; /* a power of two; 0: there is no table, look at the records themselves */
    uintptr_t *words;
};

static inline size_t hd__hazard_place(const struct hd__hazard_seen *s, uintptr_t word) {
    size_t i = (size_t)((word >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (s->size - 1);
    while (s->words[i] != 0 && s->words[i] != word) i = (i + 1) & (s->size - 1);
    return i;
}

/* W2: reads all records into the table. False: it is too small. */
static inline bool hd__hazard_collect(struct hd__hazard_seen *s) {
    size_t count = 0;
    struct hd__hazard_chunk *c = &s->domain->first;
    for (; c; c = atomic_load_explicit(&c->next, memory_order_seq_cst)) {
        for (unsigned i = 0; i < HD__HAZARD_RECORDS; i++) {
            uintptr_t word = atomic_load_explicit(&c->records[i].word, memory_order_seq_cst);
            if (word == 0 || word == HD__HAZARD_IDLE) continue;
            if (++count > s->size / 2) return false;
            s->words[hd__hazard_place(s, word)] = word;
        }
    }
    return true;
}

static inline bool hd__hazard_unprotected(void *arg, struct hd__retired *r) {
    struct hd__hazard_seen *s = arg;
    uintptr_t word = (uintptr_t)r->object;
    if (s->size != 0) return s->words[hd__hazard_place(s, word)] == 0;
    struct hd__hazard_chunk *c = &s->domain->first;
    for (; c; c = atomic_load_explicit(&c->next, memory_order_seq_cst)) {
        for (unsigned i = 0; i < HD__HAZARD_RECORDS; i++)
            if (atomic_load_explicit(&c->records[i].word, memory_order_seq_cst) == word)
                return false;
    }
    return true;
}

/* Frees what can be freed of one list. The records are read after the objects were taken out of
 * the list, hence after all of them were taken out of reach. */
static inline size_t hd__hazard_clean(struct hd__hazard_domain *d, struct hd__retired_list *list) {
    uintptr_t small[HD__HAZARD_TABLE] = {0};
    struct hd__hazard_seen seen = {d, HD__HAZARD_TABLE, small};
    struct hd__retired *all = hd__retired_take(list);
    if (!all) return 0;
    if (list == &d->large) hd__lf_barrier();
    uintptr_t *large = NULL;
    while (!hd__hazard_collect(&seen)) {
        if (large) hd__lf_free(large, seen.size * sizeof *large);
        seen.size *= 4;
        seen.words = large = hd__lf_alloc(seen.size * sizeof *large);
        if (!large) seen.size = 0;
        if (!large) break;
    }
    size_t freed = hd__retired_sort(list, all, hd__hazard_unprotected, &seen);
    if (large) hd__lf_free(large, seen.size * sizeof *large);
    return freed;
}

static HD__NOINLINE HD__UNUSED void hd__hazard_retire(struct hd__hazard_domain *d, unsigned hint,
                                                      struct hd__retired *r, void *object,
                                                      void (*fn)(void *)) {
    struct hd__retired_list *list = &d->lists[hint % HD__HAZARD_LISTS];
    r->object = object;
    r->free = fn;
    if (hd__retired_push(list, r, r, 1, HD__RETIRED_LEAST)) hd__hazard_clean(d, list);
}

/* The same for objects of some pages. */
static HD__NOINLINE HD__UNUSED void hd__hazard_retire_large(struct hd__hazard_domain *d,
                                                            struct hd__retired *r, void *object,
                                                            void (*fn)(void *)) {
    r->object = object;
    r->free = fn;
    if (hd__retired_push(&d->large, r, r, 1, HD__RETIRED_LEAST_LARGE))
        hd__hazard_clean(d, &d->large);
}

/* The process's only domain (hazard.c). */
extern struct hd__hazard_domain hd__hazard;

#endif
