/* SPDX-License-Identifier: MIT */
/* What the tests of reference counts share: an object that is counted, and that is used after it
 * was freed by nobody unseen. */
#ifndef HEDDLE_TEST_REF_TEST_H
#define HEDDLE_TEST_REF_TEST_H

#include "runtime_test.h"

enum { ITEM_ALIVE = 0x600df00d, ITEM_DEAD = 0xdead };

struct item {
    hd_ref ref;
    struct item *also; /* put when this one is freed */
    _Atomic uint32_t state;
    _Atomic bool finished;
};

static _Atomic int64_t items_alive;

static inline int64_t items(void) {
    return atomic_load(&items_alive);
}

static inline void item_put(struct item *i) {
    CHECK_EQ(atomic_load_explicit(&i->state, memory_order_relaxed), ITEM_ALIVE);
    hd_ref_put(&i->ref);
}

static inline void item_free(hd_ref *r) {
    struct item *i = HD_REF_OBJECT(r, struct item, ref), *also = i->also;
    CHECK_EQ(atomic_exchange(&i->state, ITEM_DEAD), ITEM_ALIVE);
    atomic_fetch_sub(&items_alive, 1);
    free(i);
    if (also)
        item_put(also);
}

static inline struct item *item_make(void) {
    struct item *i = malloc(sizeof *i);
    CHECK(i != NULL);
    i->also = NULL;
    atomic_init(&i->state, ITEM_ALIVE);
    atomic_init(&i->finished, false);
    atomic_fetch_add(&items_alive, 1);
    return i;
}

static inline struct item *item_new(void) {
    struct item *i = item_make();
    hd_ref_init(&i->ref, item_free);
    return i;
}

static inline void item_finish(hd_ref *r) {
    struct item *i = HD_REF_OBJECT(r, struct item, ref);
    CHECK(!atomic_exchange(&i->finished, true));
}

static inline struct item *item_new_weak(void) {
    struct item *i = item_make();
    hd_ref_init_weak(&i->ref, item_finish, item_free);
    return i;
}

#endif
