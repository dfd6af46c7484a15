/* SPDX-License-Identifier: MIT */
/* Treiber's stack.
 *
 * Idea. A list of nodes whose head is one word. A push makes its node point to the head that it
 * saw, and the head to the node, by a compare-and-swap; a pop makes the head point to the second
 * node.
 *
 * What can go wrong is the pop: between its reading of the head's `next` and its compare-and-swap
 * the head may have been popped, and freed; or popped and pushed again, with another `next` (ABA),
 * and the compare-and-swap would put a node back that somebody else has. A thread may be preempted
 * just there, for as long as you like. So the head is read under a hazard pointer (hazard.h), and
 * nodes are the stack's own, not the caller's: a node is pushed once, and is not used again before
 * it was retired and nobody protects it. While it is protected, its address in the head means that
 * it never left: the compare-and-swap is right.
 *
 * Rejected. A counter beside the head (IBM's own way): 16 bits in the unused bits of a pointer wrap
 * within a millisecond, and a thread can be preempted for longer; a full word beside it takes a
 * double-width compare-and-swap, which riscv64 lacks. Nodes in the program's objects: who pops one
 * may not push it again, nor free it, before others have let go of it, which is what programs use
 * such stacks for.
 *
 * Orders. The push's compare-and-swap is a release, and the reading of the head an acquire: the
 * node is complete. A pop's compare-and-swap changes what hazard pointers look at: sequentially
 * consistent (W1 in hazard.h). `next` and `item` do not change while the node is reachable. */
#ifndef HD_SRC_LOCKFREE_STACK_H
#define HD_SRC_LOCKFREE_STACK_H

#include "lockfree/hazard.h"
#include "lockfree/lockfree.h"
#include <heddle/stack.h>

struct hd__node {
    struct hd__node *next;
    void *item;
    struct hd__retired retired;
};

struct hd__stack {
    hd__hazard_source head; /* struct hd__node */
};
_Static_assert(sizeof(struct hd__stack) == sizeof(hd_stack), "the public type");

/* The node has its item. */
static inline void hd__stack_push(struct hd__stack *s, struct hd__node *node) {
    void *head = hd__load_relaxed(&s->head);
    do {
        node->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&s->head, &head, node, memory_order_release,
                                                    memory_order_relaxed));
}

/* free_node: gives the memory of a node back. */
static inline bool hd__stack_pop(struct hd__stack *s, struct hd__hazard_domain *d, unsigned hint,
                                 void **item, void (*free_node)(void *node)) {
    void *head;
    if (hd__load_acquire(&s->head) == NULL) return false;
    struct hd_hazard *h = hd__hazard_begin(d, hint, &s->head, &head);
    while (head) {
        struct hd__node *node = head;
        if (atomic_compare_exchange_strong_explicit(&s->head, &head, node->next,
                                                    memory_order_seq_cst, memory_order_relaxed)) {
            *item = node->item;
            hd__hazard_give(h);
            hd__hazard_retire(d, hint, &node->retired, node, free_node);
            return true;
        }
        head = hd__hazard_again(h, &s->head);
    }
    hd__hazard_give(h);
    return false;
}

/* The whole list; the caller retires its nodes. */
static inline struct hd__node *hd__stack_take(struct hd__stack *s) {
    return atomic_exchange_explicit(&s->head, NULL, memory_order_seq_cst);
}

#endif
