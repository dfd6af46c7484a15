/* SPDX-License-Identifier: MIT */
/* Short names for the four accesses that make up most atomic code, so that the order an access
 * needs is what stands out in a line. Everything else is written as in <stdatomic.h>. */
#ifndef HD_SRC_BASE_ATOMIC_H
#define HD_SRC_BASE_ATOMIC_H

#include <stdatomic.h>

#define hd__load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define hd__load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define hd__store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define hd__store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)

#endif
