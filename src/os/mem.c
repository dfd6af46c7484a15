/* SPDX-License-Identifier: MIT */
/* Memory from the kernel and from the C library; see mem.h. */
#include "os/mem.h"

#include "base/atomic.h"
#include "base/check.h"
#include "os/fault.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/* Pages looked at in one mincore(): 4 MiB of stack, and a buffer that fits on any stack of ours. */
#define RESIDENT_BATCH 1024u
/* Ranges handed to the kernel in one process_madvise(): UIO_MAXIOV is 1024, but the array lies on
 * the caller's stack, which may be one of ours. */
#define GUARD_BATCH 64u

static _Atomic size_t page_size;

size_t hd__os_page_size(void) {
    size_t bytes = hd__load_relaxed(&page_size);
    if (HD__UNLIKELY(bytes == 0)) {
        bytes = (size_t)sysconf(_SC_PAGESIZE);
        hd__store_relaxed(&page_size, bytes);
    }
    return bytes;
}

void *hd__os_map(size_t bytes) {
    if (HD__FAULT("mmap")) {
        return NULL;
    }
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void *hd__os_map_aligned(size_t align, size_t bytes) {
    char *p = hd__os_map(bytes + align);
    if (p == NULL) {
        return NULL;
    }
    size_t before = HD__ROUND_UP((uintptr_t)p, align) - (uintptr_t)p;
    /* What cannot be unmapped was never touched, and costs address space alone. */
    if (before != 0) {
        (void)munmap(p, before);
    }
    (void)munmap(p + before + bytes, align - before);
    return p + before;
}

bool hd__os_unmap_part(void *addr, size_t bytes) {
    return !HD__FAULT("munmap") && munmap(addr, bytes) == 0;
}

void hd__os_unmap(void *addr, size_t bytes) {
    /* It can fail only on a bad range, or when splitting a mapping takes one too many; ours are
     * unmapped as they were mapped. */
    if (munmap(addr, bytes) != 0) {
        hd__fatal("munmap(%p, %zu) failed with error %d: is the range corrupted?", addr, bytes,
                  errno);
    }
}

/* What the first guard told: 0 none yet; then GUARDS_HOLD or GUARDS_ARE_IGNORED. */
static _Atomic int guards;
enum { GUARDS_HOLD = 1, GUARDS_ARE_IGNORED = 2 };

/* Whether a guard that the kernel says it installed is one. Emulators (qemu-user before 8) accept
 * any advice and do nothing; a stack would then grow into its neighbour in silence. Reading the
 * page in on the kernel's side tells without a fault of our own. */
static bool guard_holds(void *addr, size_t bytes) {
    int known = hd__load_relaxed(&guards);
    if (HD__UNLIKELY(known == 0)) {
        bool holds = madvise(addr, bytes, MADV_POPULATE_READ) != 0 && errno == EFAULT;
        known = holds ? GUARDS_HOLD : GUARDS_ARE_IGNORED;
        hd__store_relaxed(&guards, known);
    }
    return known == GUARDS_HOLD;
}

int hd__os_guard(void *addr, size_t bytes) {
    if (HD__FAULT("madvise-guard")) {
        return -ENOMEM;
    }
    for (;;) {
        if (madvise(addr, bytes, MADV_GUARD_INSTALL) == 0) {
            return guard_holds(addr, bytes) ? 0 : -EINVAL;
        }
        /* The kernel restarts by itself, but gives up with EINTR or EAGAIN when it races with
         * faults in the same page table for too long. */
        if (errno != EINTR && errno != EAGAIN) {
            return -errno;
        }
    }
}

/* Whether process_madvise() takes guards here is found out by trying; set once it does not. */
static _Atomic bool no_vector_guards;

/* Guards up to GUARD_BATCH ranges in one call and returns how many were done for sure. One by one
 * costs twice as much. */
static size_t guard_vector(char *first, size_t bytes, size_t stride, size_t n) {
#ifdef SYS_process_madvise
    /* PIDFD_SELF_THREAD spares a descriptor (Linux 6.14). */
    const int self = -10000;
    struct iovec ranges[GUARD_BATCH];
    if (n < 2 || hd__load_relaxed(&no_vector_guards) ||
        hd__load_relaxed(&guards) != GUARDS_HOLD || HD__FAULT("process_madvise")) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        ranges[i].iov_base = first + i * stride;
        ranges[i].iov_len = bytes;
    }
    long done = syscall(SYS_process_madvise, self, ranges, n, MADV_GUARD_INSTALL, 0u);
    if (done >= 0) {
        return (size_t)done / bytes;
    }
    if (errno != ENOMEM && errno != EINTR && errno != EAGAIN) {
        hd__store_relaxed(&no_vector_guards, true);
    }
#endif
    (void)first, (void)bytes, (void)stride, (void)n;
    return 0;
}

int hd__os_guard_many(void *first, size_t bytes, size_t stride, size_t n, bool batched) {
    char *at = first;
    while (n > 0) {
        size_t batch = n < GUARD_BATCH ? n : GUARD_BATCH;
        size_t done = batched ? guard_vector(at, bytes, stride, batch) : 0;
        for (; done < batch; done++) {
            int err = hd__os_guard(at + done * stride, bytes);
            if (err != 0) {
                return err;
            }
        }
        at += batch * stride;
        n -= batch;
    }
    return 0;
}

int hd__os_protect_none(void *addr, size_t bytes) {
    if (HD__FAULT("mprotect")) {
        return -ENOMEM;
    }
    return mprotect(addr, bytes, PROT_NONE) == 0 ? 0 : -errno;
}

int hd__os_discard(void *addr, size_t bytes) {
    if (HD__FAULT("madvise-discard")) {
        return -ENOMEM;
    }
    return madvise(addr, bytes, MADV_DONTNEED) == 0 ? 0 : -errno;
}

int hd__os_nohuge(void *addr, size_t bytes) {
    if (HD__FAULT("madvise-nohuge")) {
        return -ENOMEM;
    }
    return madvise(addr, bytes, MADV_NOHUGEPAGE) == 0 ? 0 : -errno;
}

int hd__os_huge(void *addr, size_t bytes) {
    if (HD__FAULT("madvise-huge")) {
        return -EINVAL;
    }
    return madvise(addr, bytes, MADV_HUGEPAGE) == 0 ? 0 : -errno;
}

void *hd__os_map_none(size_t bytes) {
    if (HD__FAULT("mmap-none")) {
        return NULL;
    }
    void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

int hd__os_map_set_aside(void *addr, size_t bytes, size_t huge_bytes) {
    if (HD__FAULT("mmap-huge")) {
        return -ENOMEM;
    }
    /* The size stands in the flags as its logarithm. Without MAP_NORESERVE the pages are ours from
     * now on, and a touch cannot fail. */
    int size = (int)(hd__log2_ceil(huge_bytes) << MAP_HUGE_SHIFT);
    void *p = mmap(addr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_HUGETLB | size, -1, 0);
    return p == MAP_FAILED ? -ENOMEM : 0;
}

size_t hd__os_resident_bytes(void *addr, size_t bytes) {
    unsigned char in_memory[RESIDENT_BATCH];
    size_t page = hd__os_page_size(), pages = bytes / page, found = 0;
    for (size_t at = 0; at < pages; at += RESIDENT_BATCH) {
        size_t n = pages - at < RESIDENT_BATCH ? pages - at : RESIDENT_BATCH;
        if (mincore((char *)addr + at * page, n * page, in_memory) != 0) {
            return 0;
        }
        for (size_t i = 0; i < n; i++) {
            found += in_memory[i] & 1;
        }
    }
    return found * page;
}

size_t hd__os_resident_from(void *addr, size_t bytes) {
    unsigned char in_memory[RESIDENT_BATCH];
    size_t page = hd__os_page_size();
    size_t pages = bytes / page;
    for (size_t at = 0; at < pages; at += RESIDENT_BATCH) {
        size_t n = pages - at < RESIDENT_BATCH ? pages - at : RESIDENT_BATCH;
        if (mincore((char *)addr + at * page, n * page, in_memory) != 0) {
            return 0;
        }
        for (size_t i = 0; i < n; i++) {
            if (in_memory[i] & 1) {
                return bytes - (at + i) * page;
            }
        }
    }
    return 0;
}
