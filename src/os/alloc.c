/* SPDX-License-Identifier: MIT */
/* Memory for the runtime itself, without the C library; see mem.h for why.
 *
 * Small blocks of 32 bytes to 32 KiB, by powers of two, are cut from chunks and kept in one free
 * list a size; larger ones are mappings of their own. What stands before each block says which it
 * is. Chunks are not given back: the runtime's own records are few, and are used again. */
#include "os/mem.h"

#include "base/spin.h"
#include "os/fault.h"

#include <stdlib.h>
#include <string.h>

enum { SMALLEST = 32, CLASSES = 11, CHUNK_BYTES = 256 * 1024 };

/* Right before the memory that is handed out. */
struct head {
    void *start;  /* of the block or the mapping */
    size_t bytes; /* of the mapping, or the block's class, which is less than a page */
};

struct block {
    struct block *next;
};

static hd__spin lock; /* guards what follows */
static struct block *idle[CLASSES];
static char *fresh, *fresh_end;

static size_t class_bytes(unsigned klass) {
    return (size_t)SMALLEST << klass;
}

/* Lock held; NULL: no memory. */
static void *cut(size_t bytes) {
    if ((size_t)(fresh_end - fresh) < bytes) {
        char *chunk = hd__os_map(CHUNK_BYTES); /* what is left of the last one is lost */
        if (chunk == NULL) {
            return NULL;
        }
        fresh = chunk;
        fresh_end = chunk + CHUNK_BYTES;
    }
    void *block = fresh;
    fresh += bytes;
    return block;
}

static void *take(unsigned klass) {
    hd__spin_lock(&lock);
    struct block *block = idle[klass];
    if (block != NULL) {
        idle[klass] = block->next;
    } else {
        block = cut(class_bytes(klass));
    }
    hd__spin_unlock(&lock);
    return block;
}

/* Writes the head before the first multiple of `align` that leaves room for it. */
static void *hand_out(void *start, size_t bytes, size_t align) {
    uintptr_t at = HD__ROUND_UP((uintptr_t)start + sizeof(struct head), align);
    struct head *head = (struct head *)at - 1;
    *head = (struct head){ start, bytes };
    return (void *)at;
}

static void *get(size_t bytes, size_t align) {
    size_t whole;
    if (__builtin_add_overflow(bytes, sizeof(struct head) + align, &whole)) {
        return NULL;
    }
    for (unsigned klass = 0; klass < CLASSES; klass++) {
        if (whole <= class_bytes(klass)) {
            void *block = take(klass);
            return block == NULL ? NULL : hand_out(block, klass, align);
        }
    }
    size_t mapped = HD__ROUND_UP(whole, hd__os_page_size());
    void *map = mapped < whole ? NULL : hd__os_map(mapped);
    return map == NULL ? NULL : hand_out(map, mapped, align);
}

void *hd__os_alloc(size_t bytes) {
    return HD__FAULT("alloc") ? NULL : get(bytes, sizeof(struct head));
}

void *hd__os_calloc(size_t n, size_t bytes) {
    size_t whole;
    if (HD__FAULT("calloc") || __builtin_mul_overflow(n, bytes, &whole)) {
        return NULL;
    }
    void *p = get(whole, sizeof(struct head));
    return p == NULL ? NULL : memset(p, 0, whole);
}

void *hd__os_alloc_aligned(size_t align, size_t bytes) {
    return HD__FAULT("alloc-aligned") ? NULL : get(bytes, align);
}

void hd__os_free(void *p) {
    if (p == NULL) {
        return;
    }
    struct head head = ((struct head *)p)[-1];
    if (head.bytes >= CLASSES) {
        hd__os_unmap(head.start, head.bytes);
        return;
    }
    struct block *block = head.start;
    hd__spin_lock(&lock);
    block->next = idle[head.bytes];
    idle[head.bytes] = block;
    hd__spin_unlock(&lock);
}

void *hd__os_heap_alloc(size_t bytes) {
    return HD__FAULT("malloc") ? NULL : malloc(bytes);
}

void *hd__os_heap_alloc_aligned(size_t align, size_t bytes) {
    void *p;
    if (HD__FAULT("posix_memalign")) {
        return NULL;
    }
    return posix_memalign(&p, align, bytes) == 0 ? p : NULL;
}

void hd__os_heap_free(void *p) {
    free(p);
}
