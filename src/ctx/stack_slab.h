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
    unsigned used;               /* slots handed out so far, from 0 up; guarded by the pool's lock */
    struct hd__stack records[];  /* one for each slot; zero until its slot is handed out */
};

/* All slabs, newest first. Only ever pushed to, until all are released together, so that a signal
 * handler can walk it without a lock. */
extern _Atomic(struct hd__slab *) hd__stack_slabs;

#endif
