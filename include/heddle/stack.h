/* SPDX-License-Identifier: MIT */
/* A stack of pointers: any number of threads push and pop, lock-free.
 *
 *     static hd_stack free_buffers = HD_STACK_INIT;
 *     if (!hd_stack_pop(&free_buffers, &buffer)) buffer = make_buffer();
 *     ...
 *     hd_stack_push(&free_buffers, buffer);         // 0 or -ENOMEM
 *
 * Who may call what: any thread or foreign kernel thread everything, at the same time, but for
 * hd_stack_finish(), which nobody may call beside anything else. A thread may be preempted at any
 * instruction. Not from signal handlers. An item that was popped is the caller's: it may be freed,
 * or pushed again, at once.
 *
 * Order: last in, first out, linearizable: a push takes effect when the head of the list becomes
 * its node, a pop when it leaves it, or when it was seen empty. What a thread did before it pushed
 * happens before what the one that pops that item does after.
 *
 * Progress: lock-free: a call tries again only when another one succeeded. All write one word, so
 * there is no gain in more CPUs; hd_ring and hd_queue bear more.
 *
 * Memory: a node for each item, from the pools of hd_alloc(). Nodes that were popped are freed when
 * no call looks at them any more (hazard pointers).
 *
 * Source: R. K. Treiber, Systems Programming: Coping with Parallelism, IBM RJ 5118, 1986; with
 * M. M. Michael's hazard pointers, 2004. The argument is in src/lockfree/stack.h. */
#ifndef HEDDLE_STACK_H
#define HEDDLE_STACK_H

#include <heddle/base.h>

HD_BEGIN_DECLS

/* All zero: empty. Not to be copied. Its members are private. */
typedef struct {
    void *head;
} hd_stack;
#define HD_STACK_INIT { NULL }

/* Puts an item, any pointer, on top. 0 or -ENOMEM, and then nothing was pushed. Does not block. */
HD_API int hd_stack_push(hd_stack *s, void *item);

/* Takes the item on top. False: the stack is empty; *item is unchanged. Does not block. */
HD_API bool hd_stack_pop(hd_stack *s, void **item);

/* Whether the stack was empty at some instant within the call. */
HD_API bool hd_stack_is_empty(const hd_stack *s);

/* Takes all items, and calls fn(item, arg) for each, the top first, if fn is not NULL. One instant
 * takes them all. Returns how many they were. */
HD_API size_t hd_stack_drain(hd_stack *s, void (*fn)(void *item, void *arg), void *arg);

/* Empties the stack and frees its nodes. Nobody else uses it. It may be used again after. */
HD_API void hd_stack_finish(hd_stack *s);

HD_END_DECLS
#endif
