/* SPDX-License-Identifier: MIT */
/* Lists of objects that wait until nobody can use them any more; shared by hazard.h and epoch.h.
 *
 * A list is a stack that is pushed to by compare-and-swap and emptied as a whole by an exchange:
 * nothing is ever taken from its middle, so an object that comes back with the same address does no
 * harm (no ABA). Whoever empties it owns what was in it, looks at each object, and pushes back what
 * must go on waiting. If that caller is preempted meanwhile, others are not held up; the objects in
 * its hands wait for it.
 *
 * Domains have several lists, and a hint chooses among them, so that CPUs do not share a line. */
#ifndef HD_SRC_LOCKFREE_RETIRED_H
#define HD_SRC_LOCKFREE_RETIRED_H

#include "lockfree/lockfree.h"
#include <heddle/hazard.h>

/* An object, as its owner sees it. The public type is opaque memory of the same size. */
struct hd__retired {
    struct hd__retired *next; /* link: a list below, or whoever emptied it */
    void *object;
    void (*free)(void *object);
    uint64_t stamp; /* epoch.h: the epoch in which it was seen first; 0: not yet */
};
_Static_assert(sizeof(struct hd__retired) == sizeof(hd_retired), "the public type");

struct hd__retired_list {
    struct hd__retired *_Atomic head;
    _Atomic size_t count; /* about how many are in it */
    _Atomic size_t limit; /* from so many on, somebody shall look which ones can go */
} HD__ALIGNED(HD__CACHE_LINE);

/* With an object fewer than this in a list nobody looks: looking costs about as much as that many
 * objects, so each pays its share. Large ones are worth looking for earlier, while caches have
 * them. */
#ifndef HD__RETIRED_LEAST
#ifdef HD_HOSTILE
#define HD__RETIRED_LEAST 2
#else
#define HD__RETIRED_LEAST 64
#endif
#endif
#define HD__RETIRED_LEAST_LARGE ((HD__RETIRED_LEAST + 3) / 4)

/* Pushes a chain of n objects. Release: what was done to them before, and to what pointed at them,
 * happens before what the one does who takes them out. True: it is time to look. */
static inline bool hd__retired_push(struct hd__retired_list *list, struct hd__retired *first,
                                    struct hd__retired *last, size_t n, size_t least) {
    struct hd__retired *head = hd__load_relaxed(&list->head);
    do {
        last->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&list->head, &head, first, memory_order_release,
                                                    memory_order_relaxed));
    size_t count = atomic_fetch_add_explicit(&list->count, n, memory_order_relaxed) + n;
    size_t limit = hd__load_relaxed(&list->limit);
    return count >= (limit > least ? limit : least);
}

/* Takes all. Acquire pairs with the release in push. */
static inline struct hd__retired *hd__retired_take(struct hd__retired_list *list) {
    if (!hd__load_relaxed(&list->head)) return NULL;
    return atomic_exchange_explicit(&list->head, NULL, memory_order_acquire);
}

/* Whether an object of the list may be freed now. */
typedef bool (*hd__retired_test)(void *arg, struct hd__retired *r);

/* Frees of the objects in the caller's hands those that may be, and pushes the others back. The
 * next look comes when there are twice as many as were left, so that a list that cannot shrink
 * costs no more than a few steps an object. Returns how many were freed. */
static inline size_t hd__retired_sort(struct hd__retired_list *list, struct hd__retired *all,
                                      hd__retired_test may_free, void *arg) {
    struct hd__retired *ready = NULL, *kept = NULL, *last_kept = NULL, *next;
    size_t freed = 0, left = 0;
    for (struct hd__retired *r = all; r; r = next) {
        next = r->next;
        struct hd__retired **to = may_free(arg, r) ? &ready : &kept;
        if (to == &kept) left++;
        if (to == &kept && !kept) last_kept = r;
        r->next = *to;
        *to = r;
    }
    for (struct hd__retired *r = ready; r; r = next, freed++) next = r->next;
    atomic_fetch_sub_explicit(&list->count, freed + left, memory_order_relaxed);
    atomic_store_explicit(&list->limit, 2 * left, memory_order_relaxed);
    if (kept) (void)hd__retired_push(list, kept, last_kept, left, 1);
    /* Last, since it is the program's code, which may retire more. */
    for (struct hd__retired *r = ready; r; r = next) {
        next = r->next;
        r->free(r->object);
    }
    return freed;
}

#endif
