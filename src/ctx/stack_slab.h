/* SPDX-License-Identifier: MIT */
/* The slab, shared by stack.c, which hands its slots out, stack_map.c, which maps them,
 * stack_trim.c, which gives their memory back, and stack_look.c, which searches them. */
#ifndef HD_SRC_CTX_STACK_SLAB_H
#define HD_SRC_CTX_STACK_SLAB_H

#include "ctx/stack.h"

#include <stdatomic.h>

struct hd__slab {
    char *base;                  /* its lowest slot; constant */
    void *map;                   /* the mapping that it lies in; constant, as the next */
    size_t map_bytes;
    size_t stride, lead;         /* from slot to slot; what lies below a slot's stack; constant */
    struct hd__slab *next_slab;  /* link of hd__stack_slabs; constant once it is there */
    struct hd__slab *next_fresh; /* link of its pool's chain; guarded by the pool's lock */
    uint8_t klass, node;         /* constant */
    bool set_aside;              /* of huge pages that were set aside; constant */
    unsigned slots;              /* constant */
    unsigned used;               /* slots handed out, from 0 up; guarded by the pool's lock */
    /* One for each slot, zero until it is handed out. Aligned so that in a large allocation, which
     * begins 16 bytes into a page, no record lies across two cache lines. */
    struct hd__stack records[] HD__ALIGNED(16);
};

#ifndef HD__VALGRIND
_Static_assert(sizeof(struct hd__stack) == 32, "a million stacks cost 32 MB of records");
#endif

/* All slabs, newest first. Only ever pushed to, until all are released together, so that a signal
 * handler can walk it without a lock. */
extern _Atomic(struct hd__slab *) hd__stack_slabs;

/* stack_map.c */
#define HD__STACK_HUGE_BYTES ((size_t)2 << 20)
/* A slab for the node, which has this number in the kernel; -1: its memory may be of any. NULL: no
 * memory. */
struct hd__slab *hd__slab_create(unsigned klass, unsigned slots, unsigned node, int number);
void hd__slab_destroy(struct hd__slab *slab);
/* Fills the records of n slots that nobody had, and guards them; returns the first, chained. */
struct hd__stack *hd__slab_make_stacks(struct hd__slab *slab, unsigned from, unsigned n);
void hd__slab_set_pages(struct hd__stack *s, enum hd__stack_pages pages);
/* For a stack of a huge class whose pages are not known: touches it, and looks. */
void hd__slab_touch(struct hd__stack *s);
void hd__slab_stats(struct hd__stack_stats *out);
void hd__slab_reset(void);

/* stack_trim.c */
void hd__stack_trim_stats(struct hd__stack_stats *out);
void hd__stack_trim_reset(void);

#endif
