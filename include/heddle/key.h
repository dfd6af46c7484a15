/* SPDX-License-Identifier: MIT */
/* Thread-local values by key, for threads and foreign kernel threads. */
#ifndef HEDDLE_KEY_H
#define HEDDLE_KEY_H

#include <heddle/base.h>

/* How many keys a process can make. Keys are not given back. */
#define HD_KEY_MAX 256

HD_BEGIN_DECLS

typedef struct hd_key {
    unsigned index_plus_1; /* 0: not a key */
} hd_key;

/* Makes a key. When a thread ends, destructor (if not NULL) is called with each value that is
 * not NULL, on that thread, in unspecified order, in up to 4 rounds while destructors set values
 * again. Errors: -EAGAIN (HD_KEY_MAX keys exist). Does not block. */
HD_API int hd_key_create(hd_key *key, void (*destructor)(void *value));

/* The caller's value for the key; NULL if it was never set. Aborts on a key that was not made. */
HD_API void *hd_get(hd_key key);

/* Sets the caller's value. 0 or -ENOMEM (the first value of a thread needs memory; setting NULL
 * never fails). */
HD_API int hd_set(hd_key key, void *value);

HD_END_DECLS
#endif
