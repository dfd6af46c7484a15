/* SPDX-License-Identifier: MIT */
/* Epochs.
 *
 * Idea (Fraser). A number, the epoch, grows by one when nobody is left in a section that began in
 * the epoch before. What was retired in epoch E can be freed in E + 2: who can still have it began
 * in E or before.
 *
 * Whose is a section? Fraser gives each thread a record that says in which epoch it is. Here there
 * may be 100,000 threads, preempted anywhere in a section, and the one that takes their CPU may
 * enter one too. So sections are counted instead: there is a cell for each of three epochs (the
 * present one, the one before, the next) in each of some lines, a hint chooses the line, and the
 * section remembers its cell, which exit() decrements, wherever the thread is by then. Nothing has
 * to be noted about threads, nothing is left when they end, any number can be in sections, and what
 * the advance of the epoch costs depends on the number of lines, not of threads.
 *
 * Entering: E1 read the epoch e; E2 add 1 to the cell of e mod 3; E3 read the epoch again: if it is
 * still e, the section began in e, else subtract 1 and try again. Advancing from a to a + 1: A1
 * read the epoch a; A2 read the cells of a - 1, all 0; A3 compare-and-swap a to a + 1. E2, E3, A1,
 * A2, A3 are sequentially consistent.
 *
 * Claim: while a section that began in e lasts, the epoch is at most e + 1. To leave e + 1 somebody
 * does A1 with a = e + 1. E3 read e, hence was before A3 of e to e + 1, hence before that A1 in the
 * order of all; so E2 was before that A2, which sees the cell not 0. A cell's additions that E3
 * takes back only delay. That the cells are read one after the other does no harm: none of them
 * grows for good once the epoch is past theirs.
 *
 * Retiring: the objects are put on a list (retired.h). Who looks at it first stamps them with the
 * epoch E, by a read-modify-write of the epoch that changes nothing (S). Later they are freed if
 * the epoch is E + 2 or more. Why that is right: a section that began in E or before has ended, as
 * the claim says, and the advance read its exit (release, acquire) before. A section that began in
 * a later epoch did E3 after A3 from E to E + 1, which read what S wrote, or what came after it, so
 * S and all before it (the object was taken out of reach) happen before the section: it does not
 * find the object. That is why S writes: a mere load could be done before the writes in front of it
 * were seen by others.
 *
 * Stamps are given late, and an object waits longer for it; but a retirement touches one line that
 * no reader reads. */
#ifndef HD_SRC_LOCKFREE_EPOCH_H
#define HD_SRC_LOCKFREE_EPOCH_H

#include "lockfree/lockfree.h"
#include "lockfree/retired.h"
#include <heddle/epoch.h>

#ifdef HD_HOSTILE
enum { HD__EPOCH_LINES = 2 };
#else
enum { HD__EPOCH_LINES = 32 };
#endif
enum { HD__EPOCH_PHASES = 3, HD__EPOCH_FIRST = 3 };

struct hd__epoch_line {
    _Atomic uint64_t inside[HD__EPOCH_PHASES]; /* sections, by epoch mod 3 */
} HD__ALIGNED(HD__CACHE_LINE);

struct hd_epoch {
    HD__ALIGNED(HD__CACHE_LINE) _Atomic uint64_t epoch; /* from HD__EPOCH_FIRST on */
    struct hd__epoch_line lines[HD__EPOCH_LINES];
    struct hd__retired_list lists[HD__EPOCH_LINES];
};

/* The memory is zeroed. */
static inline void hd__epoch_init(struct hd_epoch *e) {
    atomic_init(&e->epoch, HD__EPOCH_FIRST);
}

static inline _Atomic uint64_t *hd__epoch_cell(struct hd_epoch *e, uint32_t cell) {
    return &e->lines[cell / HD__EPOCH_PHASES].inside[cell % HD__EPOCH_PHASES];
}

/* Returns the number of the section's cell. */
static inline uint32_t hd__epoch_enter(struct hd_epoch *e, unsigned hint) {
    uint32_t line = hint % HD__EPOCH_LINES * HD__EPOCH_PHASES;
    for (;;) {
        uint64_t now = hd__load_relaxed(&e->epoch); /* E1 */
        uint32_t cell = line + (uint32_t)(now % HD__EPOCH_PHASES);
        atomic_fetch_add_explicit(hd__epoch_cell(e, cell), 1, memory_order_seq_cst); /* E2 */
        if (HD__LIKELY(atomic_load_explicit(&e->epoch, memory_order_seq_cst) == now)) /* E3 */
            return cell;
        atomic_fetch_sub_explicit(hd__epoch_cell(e, cell), 1, memory_order_release);
    }
}

/* Returns how many sections the cell had. */
static inline uint64_t hd__epoch_exit(struct hd_epoch *e, uint32_t cell) {
    return atomic_fetch_sub_explicit(hd__epoch_cell(e, cell), 1, memory_order_release);
}

/* Advances the epoch if that may be. False: somebody is in a section of the one before. */
static inline bool hd__epoch_advance(struct hd_epoch *e) {
    uint64_t now = atomic_load_explicit(&e->epoch, memory_order_seq_cst); /* A1 */
    unsigned before = (unsigned)((now - 1) % HD__EPOCH_PHASES);
    for (unsigned i = 0; i < HD__EPOCH_LINES; i++)
        if (atomic_load_explicit(&e->lines[i].inside[before], memory_order_seq_cst) != 0) /* A2 */
            return false;
    atomic_compare_exchange_strong_explicit(&e->epoch, &now, now + 1, memory_order_seq_cst, /* A3 */
                                            memory_order_seq_cst);
    return true;
}

/* S: the epoch, written as it is. */
static inline uint64_t hd__epoch_stamp(struct hd_epoch *e) {
    return atomic_fetch_add_explicit(&e->epoch, 0, memory_order_seq_cst);
}

static inline bool hd__epoch_is_over(void *epoch, struct hd__retired *r) {
    return r->stamp + 2 <= *(const uint64_t *)epoch;
}

/* Frees what can be freed of one list. */
static inline size_t hd__epoch_clean(struct hd_epoch *e, struct hd__retired_list *list) {
    struct hd__retired *all = hd__retired_take(list);
    if (!all) return 0;
    uint64_t now = hd__epoch_stamp(e);
    for (struct hd__retired *r = all; r; r = r->next)
        if (r->stamp == 0) r->stamp = now;
    for (int i = 0; i < 2 && hd__epoch_advance(e); i++) continue;
    now = atomic_load_explicit(&e->epoch, memory_order_seq_cst);
    return hd__retired_sort(list, all, hd__epoch_is_over, &now);
}

static inline void hd__epoch_retire(struct hd_epoch *e, unsigned hint, struct hd__retired *r,
                                    void *object, void (*fn)(void *)) {
    struct hd__retired_list *list = &e->lists[hint % HD__EPOCH_LINES];
    r->object = object;
    r->free = fn;
    r->stamp = 0;
    if (hd__retired_push(list, r, r, 1, HD__RETIRED_LEAST)) hd__epoch_clean(e, list);
}

#endif
