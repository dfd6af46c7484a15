/* SPDX-License-Identifier: MIT */
#include <heddle/cache.h>

#include "base/check.h"
#include "os/mem.h"

_Static_assert(HD_CACHE_LINE == HD__CACHE_LINE, "one size inside and outside");

void *hd_aligned_alloc(size_t align, size_t count, size_t size) {
    size_t bytes, whole;
    HD__CHECK(align != 0 && (align & (align - 1)) == 0,
              "hd_aligned_alloc: the alignment %zu is not a power of two", align);
    if (align < HD_CACHE_LINE) align = HD_CACHE_LINE;
    if (__builtin_mul_overflow(count, size, &bytes) ||
        __builtin_add_overflow(bytes, align - 1, &whole) || whole > PTRDIFF_MAX)
        return NULL;
    whole = bytes == 0 ? align : HD__ROUND_DOWN(whole, align);
    return hd__os_heap_alloc_aligned(align, whole);
}

void hd_aligned_free(void *p) {
    hd__os_heap_free(p);
}
