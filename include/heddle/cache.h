/* SPDX-License-Identifier: MIT */
/* Cache lines: keeping what different threads write apart, fetching ahead, aligned memory.
 *
 * CPUs share memory by the line. Two words in one line that different CPUs write are as slow as one
 * word that both write, though no thread reads what another wrote (false sharing):
 *
 *     struct queue {
 *         HD_CACHE_ALIGNED _Atomic size_t head;   // written by the consumer alone
 *         HD_CACHE_ALIGNED _Atomic size_t tail;   // written by producers
 *     };                                          // as a whole a multiple of a line, and aligned
 *
 * A variable with automatic or static storage is aligned as its type says; malloc() aligns to 16
 * bytes only, hd_aligned_alloc() as asked. */
#ifndef HEDDLE_CACHE_H
#define HEDDLE_CACHE_H

#include <heddle/base.h>

/* The unit in which CPUs share memory, in bytes. The same for all CPUs that Heddle runs on, so that
 * the layout of a structure does not depend on the machine it was compiled on. */
#define HD_CACHE_LINE 64

/* Begins a line: before a member, it and what follows do not share a line with what comes before;
 * before a variable or in a type's declaration, the variable or each object of the type. The size
 * of such a type is a multiple of HD_CACHE_LINE, so the elements of an array are apart as well. */
#define HD_CACHE_ALIGNED __attribute__((aligned(HD_CACHE_LINE)))

/* The number of bytes rounded up to whole lines; a constant where n is one. */
#define HD_CACHE_ROUND_UP(n) (((n) + (HD_CACHE_LINE - 1)) & ~((n) * 0 + (HD_CACHE_LINE - 1)))

HD_BEGIN_DECLS

/* Starts to bring the line at p into the cache, to be read or to be written; a hint, which does
 * nothing where the address cannot be accessed. Worth it a few hundred instructions ahead of an
 * access that the CPU cannot guess, as in a list; not in arrays that are gone through in order. */
static inline void hd_prefetch_read(const void *p) {
    __builtin_prefetch(p, 0, 3);
}
static inline void hd_prefetch_write(const void *p) {
    __builtin_prefetch(p, 1, 3);
}
/* The same for what is read once and not needed again: it need not drive other data out. */
static inline void hd_prefetch_once(const void *p) {
    __builtin_prefetch(p, 0, 0);
}

/* Memory for `count` objects of `size` bytes, not initialised, whose address is a multiple of
 * `align`, a power of two (else it aborts), and of HD_CACHE_LINE. The block ends at such a multiple
 * as well, so no other memory shares a line with it. NULL: no memory, or the size overflows. Where
 * count or size is 0 it returns a block all the same. By any thread; not from signal handlers. May
 * wait, like malloc(). */
HD_API void *hd_aligned_alloc(size_t align, size_t count, size_t size);

/* Gives back what hd_aligned_alloc() returned, or does nothing for NULL. Any thread may. */
HD_API void hd_aligned_free(void *p);

HD_END_DECLS
#endif
