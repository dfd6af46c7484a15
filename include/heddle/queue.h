/* SPDX-License-Identifier: MIT */
/* An unbounded queue of pointers: any number of producers and consumers, lock-free.
 *
 *     hd_queue *jobs;
 *     hd_queue_create(&jobs);
 *     hd_queue_push(jobs, job);                     // 0 or -ENOMEM
 *     while (hd_queue_pop(jobs, &job)) run(job);    // false: it was empty
 *
 * It does not wait: who wants to wait for an item takes a channel (heddle/chan.h).
 *
 * Who may call what: any thread or foreign kernel thread everything, at the same time, but for
 * hd_queue_destroy(), which nobody may call beside anything else. A thread may be preempted at any
 * instruction, in the middle of a call as well. Not from signal handlers.
 *
 * Order: first in, first out, linearizable: each push and each pop takes effect at one instant
 * between its call and its return. hd_queue_pop() returns false only if the queue was empty at such
 * an instant. What a producer did before it pushed happens before what the consumer of that item
 * does after.
 *
 * Progress: lock-free. Whoever is preempted or descheduled in a call, wherever, keeps nobody from
 * pushing or popping. A push may take memory (a block for 992 items), and a pop or push may free
 * some; the allocator's lock is held with preemption off.
 *
 * Memory: 8 bytes an item, in blocks of 8 KiB, freed when all items of one are taken and no call
 * looks at it any more (hazard pointers).
 *
 * Source: P. Ramalhete, A. Correia, FAAArrayQueue, 2016 (concurrencyfreaks), after M. M. Michael,
 * M. L. Scott, Simple, Fast, and Practical Non-Blocking and Blocking Concurrent Queue Algorithms,
 * PODC 1996, and A. Morrison, Y. Afek, Fast Concurrent Queues for x86 Processors, PPoPP 2013. The
 * argument is in src/lockfree/queue.h. */
#ifndef HEDDLE_QUEUE_H
#define HEDDLE_QUEUE_H

#include <heddle/base.h>

HD_BEGIN_DECLS

typedef struct hd_queue hd_queue;

/* Makes an empty queue. 0 or -ENOMEM. */
HD_API int hd_queue_create(hd_queue **out);

/* Frees the queue, not what the items point to. Nobody uses it any more. NULL: does nothing. */
HD_API void hd_queue_destroy(hd_queue *q);

/* Appends an item, any pointer, NULL as well; or a number below 2^63 that is cast to one. 0 or
 * -ENOMEM, and then nothing was appended. Does not block. */
HD_API int hd_queue_push(hd_queue *q, void *item);

/* Takes the oldest item. False: the queue is empty; *item is unchanged. Does not block. */
HD_API bool hd_queue_pop(hd_queue *q, void **item);

/* True: the queue was empty at some instant within the call. False is a hint: an item may be on its
 * way in, or have been taken meanwhile. */
HD_API bool hd_queue_is_empty(hd_queue *q);

HD_END_DECLS
#endif
