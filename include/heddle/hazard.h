/* SPDX-License-Identifier: MIT */
/* Hazard pointers: who uses an object that others may take away says so, and who took it away frees
 * it when nobody does.
 *
 *     struct config { hd_retired retired; char *text; };
 *     struct config *current;                       // replaced now and then
 *
 *     hd_hazard *h = hd_hazard_acquire();           // reader; once, or for each use
 *     struct config *c = hd_hazard_protect(h, &current);
 *     puts(c->text);                                // c is not freed meanwhile
 *     hd_hazard_release(h);
 *
 *     struct config *old = __atomic_exchange_n(&current, new, __ATOMIC_SEQ_CST);   // writer
 *     hd_hazard_retire(&old->retired, old, config_free);
 *
 * A hazard pointer belongs to whoever acquired it, not to a worker or a kernel thread. So a thread
 * may be preempted, wait, and go on elsewhere while it protects an object, and may hand the hazard
 * pointer to another thread. Threads and foreign kernel threads may do everything here, in any
 * number and at the same time, without a runtime as well; signal handlers may not.
 *
 * Order. What the writer did before it retired an object happens before its freeing; so does all
 * that a reader did with it before it protected another one or released the hazard pointer. The
 * writer takes the object away from where readers find it by a sequentially consistent atomic
 * write: a weaker one may be seen too late.
 *
 * Progress. Protecting is lock-free: it tries again only when the pointer changed. All else is
 * lock-free but for the memory that acquiring may need. A reader that stands still keeps the one
 * object that it protects, no other: with n hazard pointers in use, n objects and a share of those
 * that are retired at the moment wait, however long a thread is preempted. With epochs
 * (heddle/epoch.h) reading is cheaper, but a reader that stands still keeps everything.
 *
 * M. M. Michael, Hazard Pointers: Safe Memory Reclamation for Lock-Free Objects, IEEE TPDS 15(6),
 * 2004. What is different here is argued in src/lockfree/hazard.h. */
#ifndef HEDDLE_HAZARD_H
#define HEDDLE_HAZARD_H

#include <heddle/base.h>

HD_BEGIN_DECLS

typedef struct hd_hazard hd_hazard;

/* A member of an object that is to be retired. Need not be initialised; its members are private. */
typedef struct hd_retired hd_retired;
struct hd_retired {
    void *words[3];
    uint64_t stamp;
};

/* A hazard pointer that protects nothing yet. NULL: no memory. Does not block. */
HD_API hd_hazard *hd_hazard_acquire(void);

/* Gives it back; what it protected is protected no more. NULL: does nothing. */
HD_API void hd_hazard_release(hd_hazard *h);

/* Reads *source and protects the object that it points to, instead of what h protected before:
 * from now on until the next call with h it is not freed, if it is retired after it was taken away
 * from *source. `source` is the address of a pointer of any type, which is read atomically; the
 * reading is an acquire. Returns the pointer, which may be NULL. */
HD_API void *hd_hazard_protect(hd_hazard *h, const void *source);

/* Protects `object`, or nothing if it is NULL, instead of what h protected before. Only for an
 * object that the caller knows to live, say by another hazard pointer, or which it then finds to be
 * still in its place. */
HD_API void hd_hazard_set(hd_hazard *h, const void *object);

/* Calls free_object(object) when nobody protects the object any more: now or within a later call,
 * on any thread, which must not hold locks that free_object() takes. The object has been taken away
 * from where others could find it, and is retired once. `r` is a member of it, or lives as long. It
 * takes no memory and cannot fail. */
HD_API void hd_hazard_retire(hd_retired *r, void *object, void (*free_object)(void *object));

/* Frees what was retired before the call and is not protected; what others are just looking at is
 * left to them. Returns how many objects were freed. For tests, and for a program that ends. */
HD_API size_t hd_hazard_flush(void);

HD_END_DECLS
#endif
