/* SPDX-License-Identifier: MIT */
/* Thread-local values by key. The value table belongs to one party and only it touches it, so
 * there is no lock; the table of destructors only grows. */
#ifndef HD__THREAD_TLS_H
#define HD__THREAD_TLS_H

#include "thread/thread.h"
#include <heddle/key.h>

int hd__tls_key_create(hd_key *key, void (*destructor)(void *));
void *hd__tls_get(const hd_thread *t, hd_key key);
/* Inside, since it takes memory; after hd__tls_prepare(). */
int hd__tls_set(hd_thread *t, hd_key key, void *value);

/* What a higher layer keeps for a party, beside the values, and is told of its end: NULL at first.
 * */
void *hd__tls_own(const hd_thread *t);
/* As hd__tls_set(). 0 or -ENOMEM. */
int hd__tls_own_set(hd_thread *t, void *own);
/* Called with what is kept, if it is not NULL: on t, outside, after the destructors of its values;
 * or, discarded, by whoever stops the runtime, for a thread that will not run again. */
extern void (*_Atomic hd__tls_own_ends)(hd_thread *t, void *own, bool discarded);

/* Sees to it that foreign_ends(t), which is the same each time, is called when t ends, if t stands
 * for a foreign kernel thread. Outside, on t itself, before it gets its table. 0 or -ENOMEM. */
int hd__tls_prepare(hd_thread *t, void (*foreign_ends)(void *t));

/* Calls the destructors of t's values, on t itself: outside. hd__tls_free() follows, inside. */
void hd__tls_finish(hd_thread *t);
void hd__tls_free(hd_thread *t);

/* The thread is discarded: nothing of it is called. */
void hd__tls_discard(hd_thread *t);

#endif
