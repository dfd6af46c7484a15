/* SPDX-License-Identifier: MIT */
/* What a mutex or a reader-writer lock can have beyond its use: a name, a rank, counts, priority
 * inheritance, counts of readers for each worker.
 *
 *     hd_mutex accounts;
 *     hd_mutex_init(&accounts, HD_LOCK_ATTR(.name = "accounts", .rank = 20,
 *                                           .flags = HD_LOCK_COUNT));
 *     ...
 *     hd_lock_report(2, 10);       // the ten locks of which threads waited longest
 *     hd_mutex_finish(&accounts);
 *
 * A lock that is initialised by zeros, or here with no attributes, has none of it and is the
 * fastest. */
#ifndef HEDDLE_LOCK_H
#define HEDDLE_LOCK_H

#include <heddle/sync.h>

HD_BEGIN_DECLS

/* hd_lock_attr.flags */
#define HD_LOCK_COUNT 1u        /* count, see hd_lock_counts; costs about as much as the lock */
#define HD_LOCK_INHERIT 2u      /* mutex: the owner has at least the priority of who waits for it */
#define HD_LOCK_READ_MOSTLY 4u  /* rwlock: readers on different workers do not disturb each other;
                                 * takes a cache line for each worker, and a writer looks at all */

/* How a lock is made. Fill it through HD_LOCK_ATTR(); zero means the default. */
struct hd_lock_attr {
    size_t size;      /* sizeof(struct hd_lock_attr): HD_LOCK_ATTR() fills it */
    const char *name; /* copied, cut at HD_LOCK_NAME_MAX bytes; NULL: none */
    unsigned rank;    /* 1 to 65535: a thread that holds a lock of this rank may take such as have a
                       * higher one only; else it aborts with a message. Checked in debug builds of
                       * the library, and where HEDDLE_LOCK_CHECK is 1. 0: none */
    unsigned flags;   /* HD_LOCK_* */
};
#define HD_LOCK_NAME_MAX 31

#ifndef __cplusplus
/* A pointer to attributes with the named members set. */
#define HD_LOCK_ATTR(...)                                                                          \
    (&(struct hd_lock_attr){.size = sizeof(struct hd_lock_attr), __VA_ARGS__})
#endif

/* Makes a free mutex or lock in the caller's memory; attr may be NULL. It must be finished, unless
 * attr is NULL. 0; -EINVAL (an attribute that does not apply or is out of range), -ENOMEM. From
 * anywhere but signal handlers; does not block. */
HD_API int hd_mutex_init(hd_mutex *m, const struct hd_lock_attr *attr);
HD_API int hd_rwlock_init(hd_rwlock *l, const struct hd_lock_attr *attr);

/* Gives back what init took, and makes it a free one without attributes. Nobody else may use it any
 * more; others may be on their way back from an unlock still. NULL is accepted; one that is locked
 * aborts with a message. Does not block. */
HD_API void hd_mutex_finish(hd_mutex *m);
HD_API void hd_rwlock_finish(hd_rwlock *l);

/* What was counted of a lock since it was made, by HD_LOCK_COUNT. Times are in nanoseconds. */
struct hd_lock_counts {
    size_t size;       /* sizeof(struct hd_lock_counts), as the caller knows it */
    char name[HD_LOCK_NAME_MAX + 1];
    const void *lock;
    uint64_t fast;       /* taken at once */
    uint64_t slow;       /* taken after waiting in some way */
    uint64_t spun;       /* of those: by spinning alone */
    uint64_t parked;     /* how often a thread was parked */
    uint64_t failed;     /* not taken: a try, a deadline, an interruption */
    uint64_t waited_ns;  /* by all */
    uint64_t longest_ns; /* the longest single wait */
};

/* Writes the counts of the locks that are counted into the array, those first of which threads
 * waited longest; out[0].size is set by the caller and holds for all. Returns how many there are,
 * which may be more than n. Counts go on meanwhile. -EINVAL: the size is none; -ENOMEM. */
HD_API int hd_lock_counts_get(struct hd_lock_counts *out, size_t n);

/* The same as a table for people, of the first n locks, to the descriptor fd. 0 or -errno. Blocks
 * the kernel thread as write() does. */
HD_API int hd_lock_report(int fd, size_t n);

HD_END_DECLS
#endif
