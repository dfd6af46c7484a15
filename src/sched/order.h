/* SPDX-License-Identifier: MIT */
/* In which order a worker looks for work at the others: those on the same CPU or core first, then
 * those that share the L2 cache, the L3 cache, the node, then the other nodes by their distance.
 * Within such a group all are alike, and the thief begins anywhere.
 *
 * The order is a hint, made from the workers' home CPUs after the start of the runtime, by a kernel
 * thread that has time for it, and made anew in place when home CPUs change. So its members are
 * atomic, and who reads it meanwhile sees a mixture of two orders. */
#ifndef HD__SCHED_ORDER_H
#define HD__SCHED_ORDER_H

#include "os/topology.h"

enum { HD__ORDER_GROUPS = 12 }; /* what is farther away is in the last one */

struct hd__order_row {
    _Atomic uint16_t groups;
    _Atomic uint16_t end[HD__ORDER_GROUPS]; /* one past the last victim of each group */
};

struct hd__order {
    unsigned workers;
    _Atomic uint16_t *victim; /* `workers` - 1 for each worker */
    struct hd__order_row row[];
};

/* An order for so many workers; NULL: no memory. It has no groups until it has been built. */
struct hd__order *hd__order_new(unsigned workers);
void hd__order_free(struct hd__order *o);

/* Fills it in: cpu[i] is the home CPU of worker i. One caller at a time. */
void hd__order_build(struct hd__order *o, const struct hd__topo *t, const unsigned *cpu);

/* The i-th to be looked at by w of group g, in a walk that began with `start`; HD__TOPO_NONE past
 * the end of the group. */
static inline unsigned hd__order_victim(struct hd__order *o, unsigned w, unsigned g, unsigned i,
                                        unsigned start) {
    struct hd__order_row *row = &o->row[w];
    unsigned from = g ? atomic_load_explicit(&row->end[g - 1], memory_order_relaxed) : 0;
    unsigned end = atomic_load_explicit(&row->end[g], memory_order_relaxed);
    if (from + i >= end) return HD__TOPO_NONE;
    unsigned at = from + (start + i) % (end - from);
    return atomic_load_explicit(&o->victim[w * (o->workers - 1) + at], memory_order_relaxed);
}

static inline unsigned hd__order_groups(struct hd__order *o, unsigned w) {
    return atomic_load_explicit(&o->row[w].groups, memory_order_relaxed);
}

#endif
