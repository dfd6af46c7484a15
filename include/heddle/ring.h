/* SPDX-License-Identifier: MIT */
/* Bounded queues of pointers, in a ring of fixed size: for one producer and one consumer (hd_spsc),
 * and for any number of both (hd_ring).
 *
 *     hd_spsc *s;
 *     hd_spsc_create(&s, 1024);
 *     while (!hd_spsc_push(s, item)) hd_yield();    // false: it is full
 *     while (!hd_spsc_pop(s, &item)) hd_yield();    // false: it is empty
 *
 * They do not wait for room or items: who wants to takes a channel (heddle/chan.h). Items are any
 * pointers, NULL as well. Nothing is allocated after the creation.
 *
 * Who may call what. hd_spsc: one caller at a time pushes, one at a time pops; the two may come at
 * the same time. Who pushes may change, if what the one did happens before what the next one does
 * (a join, a lock). hd_ring: any thread or foreign kernel thread everything, at the same time.
 * Destroying: nobody beside it. The counts: anybody. A thread may be preempted at any instruction.
 * Not from signal handlers.
 *
 * Order. First in, first out, linearizable: "full" and "empty" are true at an instant within the
 * call. A call for n items is n calls that follow each other without another one of the same kind
 * in between. What a producer did before it pushed happens before what the consumer of that item
 * does after; and what a consumer did before it popped happens before what the producer does that
 * uses the place again.
 *
 * Progress. hd_spsc: wait-free, a call is a few instructions. hd_ring: blocking, in the strict
 * sense of the word: a caller that has drawn a place has a few instructions left until others can
 * use it, and who needs just that place waits meanwhile. Threads are not preempted there. A kernel
 * thread that the kernel deschedules there holds up those that come to its place, who give it the
 * CPU; foreign kernel threads of real-time priorities should therefore use hd_queue
 * (heddle/queue.h), which is lock-free.
 *
 * Sources: L. Lamport, Specifying Concurrent Program Modules, TOPLAS 1983, with indices kept as in
 * P. P. C. Lee, T. Bu, G. Chandranmenon, A Lock-Free, Cache-Efficient Shared Ring Buffer, ANCS 2009
 * (hd_spsc); D. Vyukov, Bounded MPMC queue, 1024cores (hd_ring). The arguments are in
 * src/lockfree/spsc.h and src/lockfree/ring.h. */
#ifndef HEDDLE_RING_H
#define HEDDLE_RING_H

#include <heddle/base.h>

HD_BEGIN_DECLS

/* The most items that a ring may be made for. */
#define HD_RING_MAX (UINT64_C(1) << 28)

/* ---- one producer, one consumer ---- */

typedef struct hd_spsc hd_spsc;

/* Makes an empty ring for at least `capacity` items: the next power of two. 0, -EINVAL (capacity is
 * 0 or above HD_RING_MAX), -ENOMEM. */
HD_API int hd_spsc_create(hd_spsc **out, size_t capacity);
/* Frees the ring, not what the items point to. NULL: does nothing. */
HD_API void hd_spsc_destroy(hd_spsc *s);

/* Appends an item. False: the ring is full. */
HD_API bool hd_spsc_push(hd_spsc *s, void *item);
/* Takes the oldest item. False: the ring is empty; *item is unchanged. */
HD_API bool hd_spsc_pop(hd_spsc *s, void **item);

/* Appends the first ones of n items, as many as there is room for, and returns how many. */
HD_API size_t hd_spsc_push_n(hd_spsc *s, void *const *items, size_t n);
/* Takes the oldest items, at most n, and returns how many. */
HD_API size_t hd_spsc_pop_n(hd_spsc *s, void **items, size_t n);

/* How many items are in the ring: for who pushes at most so many, for who pops at least. */
HD_API size_t hd_spsc_count(const hd_spsc *s);
/* How many items it has room for in all. */
HD_API size_t hd_spsc_capacity(const hd_spsc *s);

/* ---- many producers, many consumers ---- */

typedef struct hd_ring hd_ring;

/* As hd_spsc_create(); at least 2 items. */
HD_API int hd_ring_create(hd_ring **out, size_t capacity);
/* Frees the ring, not what the items point to. NULL: does nothing. */
HD_API void hd_ring_destroy(hd_ring *r);

/* Appends an item. False: the ring is full. */
HD_API bool hd_ring_push(hd_ring *r, void *item);
/* Takes the oldest item. False: the ring is empty; *item is unchanged. */
HD_API bool hd_ring_pop(hd_ring *r, void **item);

/* Appends the first ones of n items, next to each other, and returns how many; fewer than n where
 * there was no room for more, or where another's operation on a later place was under way. 0: the
 * ring was full. */
HD_API size_t hd_ring_push_n(hd_ring *r, void *const *items, size_t n);
/* Takes oldest items, at most n, and returns how many. 0: the ring was empty. */
HD_API size_t hd_ring_pop_n(hd_ring *r, void **items, size_t n);

/* How many items are in the ring, about. */
HD_API size_t hd_ring_count(const hd_ring *r);
/* How many items it has room for in all. */
HD_API size_t hd_ring_capacity(const hd_ring *r);

HD_END_DECLS
#endif
