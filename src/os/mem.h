/* SPDX-License-Identifier: MIT */
/* Memory from the kernel and from the C library. Every call that can fail passes the fault seam
 * (os/fault.h). Sizes and addresses of mappings are multiples of the page size. */
#ifndef HD_SRC_OS_MEM_H
#define HD_SRC_OS_MEM_H

#include "base/base.h"

/* The size of a page; cheap after the first call. */
size_t hd__os_page_size(void);

/* Maps `bytes` of zeroed private memory without reserving swap for it. NULL: no memory, no address
 * space, or no mapping left. */
void *hd__os_map(size_t bytes);
/* The same, at a multiple of `align`, a power of two of at least a page. */
void *hd__os_map_aligned(size_t align, size_t bytes);
void hd__os_unmap(void *addr, size_t bytes);
/* The same for a part of what may be one mapping to the kernel. False: it would have to split that,
 * and the process has as many mappings as it may. Nothing has changed then. */
bool hd__os_unmap_part(void *addr, size_t bytes);

/* Makes accesses to the range fault, without a mapping of its own (Linux 6.13 and later). 0, or
 * -EINVAL where the kernel cannot, or says it did and did not; -ENOMEM. Not undone by
 * hd__os_discard(). */
int hd__os_guard(void *addr, size_t bytes);
/* The same for n ranges that are `stride` bytes apart, the first at `first`; `batched`: with as few
 * system calls as the kernel allows. Ranges already guarded may be guarded again. */
int hd__os_guard_many(void *first, size_t bytes, size_t stride, size_t n, bool batched);
/* The same with page protection, at the cost of a mapping or two. 0 or -ENOMEM. */
int hd__os_protect_none(void *addr, size_t bytes);

/* Gives the pages of the range back; they read as zero afterwards. 0 or -errno. */
int hd__os_discard(void *addr, size_t bytes);
/* Keeps huge pages away from the range, so that touching one page costs one page. 0 or -errno;
 * -EINVAL where the kernel has no huge pages, which is as good. */
int hd__os_nohuge(void *addr, size_t bytes);

/* Asks for huge pages in the range where it is touched first. 0 or -errno; -EINVAL where the kernel
 * has none. */
int hd__os_huge(void *addr, size_t bytes);
/* Address space without access. NULL: none left. */
void *hd__os_map_none(size_t bytes);
/* Maps huge pages of that size, of those that the administrator set aside, over the range, which
 * was mapped by hd__os_map_none(), and makes sure of them. 0 or -ENOMEM, and then the range is as
 * before. */
int hd__os_map_set_aside(void *addr, size_t bytes, size_t huge_bytes);

/* How many bytes of the range are in memory; 0 where the kernel does not say. */
size_t hd__os_resident_bytes(void *addr, size_t bytes);
/* How many bytes at the upper end of the range begin with the lowest page that is in memory; 0 if
 * none is, or if the kernel does not say. */
size_t hd__os_resident_from(void *addr, size_t bytes);

/* Memory for the runtime's own records. Not the C library's: a thread may be preempted while it
 * holds a lock of malloc(), and whoever waits for that lock within the runtime, where nobody is
 * preempted, could keep the worker that would let the holder go on. NULL: no memory. free(NULL) is
 * harmless. Never blocks. */
void *hd__os_alloc(size_t bytes);
void *hd__os_calloc(size_t n, size_t bytes);
/* `align` is a power of two and a multiple of sizeof(void *). Not zeroed. Freed by hd__os_free. */
void *hd__os_alloc_aligned(size_t align, size_t bytes);
void hd__os_free(void *p);

/* malloc() and free(), behind the seam: outside of the runtime's gate only (sched/self.h). */
void *hd__os_heap_alloc(size_t bytes);
/* `align` is a power of two and a multiple of sizeof(void *). */
void *hd__os_heap_alloc_aligned(size_t align, size_t bytes);
void hd__os_heap_free(void *p);

#endif
