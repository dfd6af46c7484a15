/* SPDX-License-Identifier: MIT */
/* Epochs: who reads shared objects says when it begins and ends, not which; who takes an object
 * away frees it when all have ended that had begun by then.
 *
 *     hd_epoch *e;
 *     hd_epoch_create(&e);
 *
 *     hd_epoch_section s = hd_epoch_enter(e);              // reader
 *     for (struct node *n = load(&list); n; n = load(&n->next)) look_at(n);
 *     hd_epoch_exit(e, s);
 *
 *     unlink(&list, n);                                    // writer: no new reader finds n
 *     hd_epoch_retire(e, &n->retired, n, node_free);
 *
 * Who may call what: any thread or foreign kernel thread everything, at the same time, but for
 * hd_epoch_destroy(), which nobody may call beside anything else. Sections may nest, and those of
 * one thread overlap in any way; a thread may be preempted in one, wait, and end it on another
 * worker. Not from signal handlers.
 *
 * Order. What a writer did before it retired an object happens before its freeing; so does all that
 * a reader did in a section that had begun when it was retired. A reader whose section began later
 * does not find the object.
 *
 * Progress. Entering is lock-free (it tries again only when the epoch has just changed), leaving is
 * wait-free, retiring is lock-free. Freeing waits for readers: one that stands still in a section,
 * preempted or waiting, keeps all that is retired from then on, without limit. Where readers may
 * stand still for long, hazard pointers (heddle/hazard.h) keep one object each. Two atomic
 * instructions a section, on a line that mostly stays with the CPU.
 *
 * Source: K. Fraser, Practical Lock-Freedom, Cambridge UCAM-CL-TR-579, 2004. That sections are
 * counted where his threads have records is from the sleepable RCU of Linux (P. McKenney, 2006).
 * The argument is in src/lockfree/epoch.h. */
#ifndef HEDDLE_EPOCH_H
#define HEDDLE_EPOCH_H

#include <heddle/hazard.h> /* hd_retired */

HD_BEGIN_DECLS

typedef struct hd_epoch hd_epoch;

/* What hd_epoch_exit() must be told. */
typedef struct {
    uint32_t cell;
} hd_epoch_section;

/* Makes a domain: its sections keep what is retired there, nothing else. 0 or -ENOMEM. */
HD_API int hd_epoch_create(hd_epoch **out);

/* Frees what was retired and the domain. Nobody is in a section. NULL: does nothing. */
HD_API void hd_epoch_destroy(hd_epoch *e);

/* Begins a section. Does not block. */
HD_API hd_epoch_section hd_epoch_enter(hd_epoch *e);

/* Ends it, once. Does not block. */
HD_API void hd_epoch_exit(hd_epoch *e, hd_epoch_section s);

/* Calls free_object(object) when all sections have ended that had begun before: within a later call
 * of this function or the next two, on any thread, which must not hold locks that free_object()
 * takes. `r` is a member of the object, or lives as long. Takes no memory and cannot fail. */
HD_API void hd_epoch_retire(hd_epoch *e, hd_retired *r, void *object,
                            void (*free_object)(void *object));

/* Frees what can be freed now, and returns how many objects that were. Does not block. */
HD_API size_t hd_epoch_flush(hd_epoch *e);

/* Waits until all sections have ended that had begun before the call. Not from within one. 0,
 * -ETIMEDOUT, -EINTR (hd_interrupt()). */
HD_API int hd_epoch_synchronize(hd_epoch *e);
HD_API int hd_epoch_synchronize_until(hd_epoch *e, uint64_t deadline_ns);

HD_END_DECLS
#endif
