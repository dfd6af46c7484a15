/* SPDX-License-Identifier: MIT */
/* Pools: memory for objects of one size, and hd_alloc() for small objects of any size.
 *
 * Each worker keeps some free objects of each pool for itself, so that most calls take and give one
 * without an atomic instruction; what flows from worker to worker goes in batches. An object may be
 * freed by any thread. Foreign kernel threads may do all that threads may, and pools work without
 * a runtime, before hd_start() and after hd_stop(): by way of a lock, a few nanoseconds slower.
 *
 * Memory goes back to the kernel in hd_pool_trim() and hd_pool_destroy(). After Bonwick and Adams,
 * Magazines and Vmem (USENIX 2001). */
#ifndef HEDDLE_POOL_H
#define HEDDLE_POOL_H

#include <heddle/base.h>

HD_BEGIN_DECLS

/* The largest object of a pool, the largest alignment, and how much of a name is kept. */
#define HD_POOL_OBJECT_MAX ((size_t)16 << 20)
#define HD_POOL_ALIGN_MAX ((size_t)4096)
#define HD_POOL_NAME_MAX 31

typedef struct hd_pool hd_pool;

/* hd_pool_attr.debug */
#define HD_POOL_DEBUG_DEFAULT 0 /* what the environment variable HEDDLE_POOL_DEBUG says: 0 or 1 */
#define HD_POOL_DEBUG_ON 1
#define HD_POOL_DEBUG_OFF 2

/* What a pool is like. Zero means the default. Later versions add members at the end. */
struct hd_pool_attr {
    size_t size;        /* sizeof(struct hd_pool_attr): HD_POOL_ATTR() fills it */
    size_t object_size; /* bytes; 1 to HD_POOL_OBJECT_MAX; must be given */
    size_t align;       /* a power of two up to HD_POOL_ALIGN_MAX; 0: 16, 8 for objects up to 8 */
    const char *name;   /* for messages, copied; NULL: "" */
    size_t capacity;    /* at most so many objects at a time; 0: as many as memory holds */
    int numa_node;      /* 0: that of who needs memory; n+1: node n, see hd_numa_node_count() */
    int debug;          /* HD_POOL_DEBUG_* */
    /* Brings a new object to its first state, and undoes that when its memory is given up. Free
     * objects are kept as they were freed, so users leave them in that first state. NULL: nothing
     * to do. init returns 0, or else no object is made. Both may call anything. */
    int (*init)(void *object, void *arg);
    void (*fini)(void *object, void *arg);
    void *arg;
};

#ifndef __cplusplus
/* A pointer to attributes in which the named members are set: HD_POOL_ATTR(.object_size = 64). */
#define HD_POOL_ATTR(...) \
    (&(const struct hd_pool_attr){.size = sizeof(struct hd_pool_attr), __VA_ARGS__})
#endif

/* Makes a pool. 0; -EINVAL (a size, an alignment or a node that cannot be, or HEDDLE_POOL_DEBUG is
 * neither 0 nor 1), -ENOMEM. From threads and foreign kernel threads. The first call of a process
 * may read what the machine is made of, from the kernel's files. */
HD_API int hd_pool_create(hd_pool **out, const struct hd_pool_attr *attr);

/* Gives a pool and all of its memory back, objects that were not freed included; in debug mode it
 * names these on standard error first. No other call with the pool may be under way or follow.
 * pool may be NULL. Calls fini for free objects, not for those that were not freed. */
HD_API void hd_pool_destroy(hd_pool *pool);

/* Takes an object, with whatever its memory holds, or as init and its last user left it. NULL: the
 * capacity is reached (free objects that other threads keep are fetched first), there is no memory,
 * or init failed. From threads and foreign kernel threads, not from signal handlers; does not wait
 * for objects, and calls init if there is one. */
HD_API void *hd_pool_alloc(hd_pool *pool);

/* Gives an object back. Any thread may, whoever took it; object may be NULL. In debug mode aborts
 * with a message on an object that is free already, was written to past its end, or is none of this
 * pool; else these go unnoticed, or are noticed later. Callers as above; never fails. */
HD_API void hd_pool_free(hd_pool *pool, void *object);

/* Gives all memory back to the kernel that no object in use needs, and returns how many bytes that
 * was. pool NULL: the pools of hd_alloc(). Free objects that workers keep for themselves are
 * collected as well, which interrupts nobody but costs microseconds. Callers as above. */
HD_API size_t hd_pool_trim(hd_pool *pool);

/* Later versions add members at the end. */
struct hd_pool_stats {
    size_t size;           /* sizeof(struct hd_pool_stats): HD_POOL_STATS_INIT fills it */
    uint64_t in_use;       /* objects that are taken */
    uint64_t free_objects; /* objects that wait to be taken again, wherever */
    uint64_t capacity;     /* as given; 0: none */
    uint64_t bytes;        /* address space of all objects; touched pages alone take memory */
    uint64_t failed;       /* hd_pool_alloc() that returned NULL */
    uint64_t refills;      /* batches that threads fetched */
    uint64_t returns;      /* batches that threads gave away, for others to fetch */
    uint64_t remote;       /* objects freed on another NUMA node than theirs, and sent there */
    uint64_t drains;       /* how often the free objects of all threads were collected */
};

#define HD_POOL_STATS_INIT { sizeof(struct hd_pool_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Fills in the counters, exact while nobody uses the pool. pool NULL: the pools of hd_alloc(), all
 * together. 0 or -EINVAL (out->size is 0). Callers as above. */
HD_API int hd_pool_stats(hd_pool *pool, struct hd_pool_stats *out);

/* At least `size` bytes, a multiple of 16 as address, from a pool for objects of about that size:
 * 16 to 128 by steps of 16, then four sizes for each doubling up to 32 KiB. Larger ones are
 * mappings of their own. NULL: no memory. Callers as hd_pool_alloc(). */
HD_API void *hd_alloc(size_t size);

/* Gives back what hd_alloc() returned; p may be NULL. As hd_pool_free(). */
HD_API void hd_free(void *p);

HD_END_DECLS
#endif
