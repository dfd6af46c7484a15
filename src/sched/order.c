/* SPDX-License-Identifier: MIT */
/* The order of victims; see order.h. */
#include "sched/order.h"

#include <string.h>

#include "os/mem.h"

struct hd__order *hd__order_new(unsigned workers) {
    size_t rows = workers * sizeof(struct hd__order_row);
    size_t victims = (size_t)workers * (workers - 1) * sizeof(uint16_t);
    struct hd__order *o = hd__os_calloc(1, sizeof *o + rows + victims);
    if (!o) return NULL;
    o->workers = workers;
    o->victim = (_Atomic uint16_t *)(void *)&o->row[workers];
    return o;
}

void hd__order_free(struct hd__order *o) {
    hd__os_free(o);
}

static bool share(const struct hd__topo *t, enum hd__topo_level level, unsigned a, unsigned b) {
    unsigned group = t->cpu[a].group[level];
    return group != HD__TOPO_NONE && group == t->cpu[b].group[level];
}

/* A measure that grows with what lies between two CPUs. */
static unsigned distance(const struct hd__topo *t, unsigned a, unsigned b) {
    static const enum hd__topo_level near[] = {HD__TOPO_CORE, HD__TOPO_L2, HD__TOPO_L3};
    if (a == b) return 0;
    if (a >= HD_CPU_MAX || b >= HD_CPU_MAX) return UINT16_MAX;
    for (unsigned i = 0; i < HD__COUNTOF(near); i++)
        if (share(t, near[i], a, b)) return i;
    unsigned m = t->cpu[a].group[HD__TOPO_NODE], n = t->cpu[b].group[HD__TOPO_NODE];
    if (m == HD__TOPO_NONE || n == HD__TOPO_NONE) return UINT16_MAX;
    if (m == n) return HD__COUNTOF(near);
    return HD__COUNTOF(near) + 1 + hd__topo_distance(t, m, n);
}

/* Group after group: each takes those at the least distance that is left. */
static void build_row(struct hd__order *o, unsigned w, const struct hd__topo *t,
                      const unsigned *cpu) {
    struct hd__order_row *row = &o->row[w];
    unsigned used = 0, groups = 0, done = 0; /* victims nearer than `done` are in */
    while (used < o->workers - 1) {
        unsigned least = UINT32_MAX;
        bool last = groups == HD__ORDER_GROUPS - 1;
        for (unsigned v = 0; v < o->workers; v++) {
            unsigned d = distance(t, cpu[w], cpu[v]);
            if (v != w && d >= done && d < least) least = d;
        }
        for (unsigned v = 0; v < o->workers; v++) {
            unsigned d = distance(t, cpu[w], cpu[v]);
            if (v == w || d < done || (d != least && !last)) continue;
            atomic_store_explicit(&o->victim[w * (o->workers - 1) + used++], (uint16_t)v,
                                  memory_order_relaxed);
        }
        atomic_store_explicit(&row->end[groups++], (uint16_t)used, memory_order_relaxed);
        done = least + 1;
    }
    atomic_store_explicit(&row->groups, (uint16_t)groups, memory_order_relaxed);
}

void hd__order_build(struct hd__order *o, const struct hd__topo *t, const unsigned *cpu) {
    for (unsigned w = 0; w < o->workers; w++) build_row(o, w, t, cpu);
}
