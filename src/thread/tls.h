/* SPDX-License-Identifier: MIT */
/* Thread-local values by key. The value table belongs to one party and only it touches it, so
 * there is no lock; the table of destructors only grows. */
#ifndef HD__THREAD_TLS_H
#define HD__THREAD_TLS_H

#include "thread/thread.h"
#include <heddle/key.h>

int hd__tls_key_create(hd_key *key, void (*destructor)(void *));
void *hd__tls_get(const hd_thread *t, hd_key key);
int hd__tls_set(hd_thread *t, hd_key key, void *value);

/* Calls the destructors of t's values, on t itself, and frees the table. */
void hd__tls_finish(hd_thread *t);

#endif
