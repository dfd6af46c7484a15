/* SPDX-License-Identifier: MIT */
#include "sched/timer.h"

#include "base/base.h"

void hd__timers_init(struct hd__timers *h) {
    *h = (struct hd__timers){.root = NULL};
    atomic_store_explicit(&h->earliest_ns, HD_FOREVER, memory_order_relaxed);
}

static void publish_earliest(struct hd__timers *h) {
    atomic_store_explicit(&h->earliest_ns, h->root ? h->root->deadline_ns : HD_FOREVER,
                          memory_order_relaxed);
}

/* Joins two heaps: the later root becomes the first child of the earlier one. */
static struct hd__timer *meld(struct hd__timer *a, struct hd__timer *b) {
    if (!a) return b;
    if (!b) return a;
    if (b->deadline_ns < a->deadline_ns) {
        struct hd__timer *swap = a;
        a = b;
        b = swap;
    }
    b->sibling = a->child;
    if (a->child) a->child->prev = b;
    b->prev = a;
    a->child = b;
    return a;
}

/* Melds a list of siblings into one heap: pairs from left to right, then the pairs from right to
 * left. The pairs are kept on a stack linked through `sibling`. */
static struct hd__timer *meld_siblings(struct hd__timer *first) {
    struct hd__timer *pairs = NULL;
    while (first) {
        struct hd__timer *a = first, *b = a->sibling;
        first = b ? b->sibling : NULL;
        a->sibling = a->prev = NULL;
        if (b) b->sibling = b->prev = NULL;
        a = meld(a, b);
        a->sibling = pairs;
        pairs = a;
    }
    struct hd__timer *root = NULL;
    while (pairs) {
        struct hd__timer *rest = pairs->sibling;
        pairs->sibling = NULL;
        root = meld(root, pairs);
        pairs = rest;
    }
    return root;
}

void hd__timers_insert(struct hd__timers *h, struct hd__timer *t) {
    t->child = t->sibling = t->prev = NULL;
    t->owner = h;
    h->root = meld(h->root, t);
    publish_earliest(h);
}

static void remove_locked(struct hd__timers *h, struct hd__timer *t) {
    if (t == h->root) {
        h->root = meld_siblings(t->child);
    } else {
        if (t->prev->child == t)
            t->prev->child = t->sibling;
        else
            t->prev->sibling = t->sibling;
        if (t->sibling) t->sibling->prev = t->prev;
        h->root = meld(h->root, meld_siblings(t->child));
    }
    t->owner = NULL;
    publish_earliest(h);
}

struct hd__timer *hd__timers_take_expired(struct hd__timers *h, uint64_t now_ns) {
    struct hd__timer *t = h->root;
    if (!t || t->deadline_ns > now_ns) return NULL;
    remove_locked(h, t);
    return t;
}

void hd__timer_cancel(struct hd__timers *h, struct hd__timer *t) {
    hd__spin_lock(&h->lock);
    if (t->owner) remove_locked(h, t);
    hd__spin_unlock(&h->lock);
}
