/* SPDX-License-Identifier: MIT */
/* The stack: the public functions. The algorithm and its argument: stack.h. */
#include "lockfree/stack.h"

#include <errno.h>

#include "base/check.h"
#include <heddle/pool.h>

int hd_stack_push(hd_stack *s, void *item) {
    HD__CHECK(s != NULL, "hd_stack_push: s is NULL; pass the address of an hd_stack");
    struct hd__node *node = hd_alloc(sizeof *node);
    if (!node) return -ENOMEM;
    node->item = item;
    hd__stack_push((struct hd__stack *)s, node);
    return 0;
}

bool hd_stack_pop(hd_stack *s, void **item) {
    HD__CHECK(s != NULL && item != NULL, "hd_stack_pop: an argument is NULL");
    return hd__stack_pop((struct hd__stack *)s, &hd__hazard, hd__lf_hint(), item, hd_free);
}

bool hd_stack_is_empty(const hd_stack *s) {
    HD__CHECK(s != NULL, "hd_stack_is_empty: s is NULL; pass the address of an hd_stack");
    return hd__load_acquire(&((const struct hd__stack *)s)->head) == NULL;
}

size_t hd_stack_drain(hd_stack *s, void (*fn)(void *item, void *arg), void *arg) {
    HD__CHECK(s != NULL, "hd_stack_drain: s is NULL; pass the address of an hd_stack");
    unsigned hint = hd__lf_hint();
    struct hd__node *node = hd__stack_take((struct hd__stack *)s), *next;
    size_t count = 0;
    for (; node; node = next, count++) {
        void *item = node->item;
        next = node->next;
        hd__hazard_retire(&hd__hazard, hint, &node->retired, node, hd_free);
        if (fn) fn(item, arg);
    }
    return count;
}

void hd_stack_finish(hd_stack *s) {
    HD__CHECK(s != NULL, "hd_stack_finish: s is NULL; pass the address of an hd_stack");
    struct hd__node *node = hd__stack_take((struct hd__stack *)s), *next;
    for (; node; node = next) {
        next = node->next;
        hd_free(node);
    }
}
