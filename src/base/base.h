/* SPDX-License-Identifier: MIT */
/* What every internal file needs: branch hints, alignment, rounding, container_of.
 * Knows no operating system and no threads. */
#ifndef HD_SRC_BASE_BASE_H
#define HD_SRC_BASE_BASE_H

#include <heddle/base.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HD__LIKELY(x) __builtin_expect(!!(x), 1)
#define HD__UNLIKELY(x) __builtin_expect(!!(x), 0)
#define HD__NOINLINE __attribute__((noinline))
#define HD__ALWAYS_INLINE inline __attribute__((always_inline))
#define HD__COLD __attribute__((noinline, cold))
#define HD__UNUSED __attribute__((unused))
#define HD__ALIGNED(n) __attribute__((aligned(n)))

/* The unit in which CPUs share memory. Adjacent lines may be fetched in pairs, but what keeps
 * writers apart is one line. */
#define HD__CACHE_LINE 64

#define hd__container_of(ptr, type, member) \
    ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* n must be a power of two. */
#define HD__ROUND_UP(x, n) (((x) + ((n) - 1)) & ~((n) - 1))
#define HD__ROUND_DOWN(x, n) ((x) & ~((n) - 1))

#define HD__COUNTOF(a) (sizeof(a) / sizeof((a)[0]))

/* The least k with 2^k >= n; 0 for n <= 1. */
static inline unsigned hd__log2_ceil(uint64_t n) {
    return n <= 1 ? 0 : 64u - (unsigned)__builtin_clzll(n - 1);
}

#endif
