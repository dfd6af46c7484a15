/* SPDX-License-Identifier: MIT */
/* A double-ended queue for work: its owner pushes and pops at one end, anybody steals at the other.
 *
 *     hd_deque *mine;
 *     hd_deque_create(&mine, 0);
 *     hd_deque_push(mine, task);                          // the owner
 *     if (!hd_deque_pop(mine, &task))                     // the owner: the newest
 *         found = hd_deque_steal(somebody_elses, &task);  // anybody: the oldest
 *
 * Who may call what. hd_deque_push() and hd_deque_pop(): the owner, that is one caller at a time;
 * the owner may change if what the one did happens before what the next one does (a join, a lock).
 * hd_deque_steal() and hd_deque_count(): any thread or foreign kernel thread, at the same time as
 * everything else. hd_deque_destroy(): nobody beside it. A thread may be preempted at any
 * instruction. Not from signal handlers.
 *
 * Order. Each item is popped or stolen once. The owner gets the newest item, thieves the oldest;
 * linearizable. "Empty" is true at an instant within the call. What the owner did before it pushed
 * happens before what the one that gets the item does after.
 *
 * Progress. The owner's calls are wait-free, but for the memory that a push may take; stealing is
 * lock-free: it tries again only when another got the item.
 *
 * Memory: 8 bytes an item. The array doubles when it is full; it does not shrink, and the arrays
 * before it, together as large as it, are kept until the deque is destroyed, since a thief may
 * still look at them.
 *
 * Sources: D. Chase, Y. Lev, Dynamic Circular Work-Stealing Deque, SPAA 2005; N. M. Le, A. Pop,
 * A. Cohen, F. Zappa Nardelli, Correct and Efficient Work-Stealing for Weak Memory Models, PPoPP
 * 2013. The argument is in src/lockfree/deque.h. */
#ifndef HEDDLE_DEQUE_H
#define HEDDLE_DEQUE_H

#include <heddle/base.h>

HD_BEGIN_DECLS

typedef struct hd_deque hd_deque;

/* Makes an empty deque with room for `capacity` items (0: 64) before it grows. 0, -EINVAL (capacity
 * is above 2^28), -ENOMEM. */
HD_API int hd_deque_create(hd_deque **out, size_t capacity);

/* Frees the deque, not what the items point to. NULL: does nothing. */
HD_API void hd_deque_destroy(hd_deque *d);

/* The owner: adds an item, any pointer. 0, or -ENOMEM when it had to grow, and then nothing was
 * added. Does not block. */
HD_API int hd_deque_push(hd_deque *d, void *item);

/* The owner: takes the newest item. False: there is none; *item is unchanged. */
HD_API bool hd_deque_pop(hd_deque *d, void **item);

/* Anybody: takes the oldest item. False: there was none; *item is unchanged. */
HD_API bool hd_deque_steal(hd_deque *d, void **item);

/* How many items there are, about. */
HD_API size_t hd_deque_count(const hd_deque *d);

HD_END_DECLS
#endif
