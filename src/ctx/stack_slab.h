/* SPDX-License-Identifier: MIT */
/* The slab, shared by stack.c, which fills it, and stack_look.c, which searches it. */
#ifndef HD_SRC_CTX_STACK_SLAB_H
#define HD_SRC_CTX_STACK_SLAB_H

#include "ctx/stack.h"

#include <stdatomic.h>

struct hd__slab {
    char *base;                  /* its lowest slot; constant */
    struct hd__slab *next_slab;  /* link of hd__stack_slabs; constant once it is there */
    struct hd__slab *next_fresh; /* link of its pool's chain; guarded by the pool's lock */
    unsigned klass;              /* constant */
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

#endif
