/* SPDX-License-Identifier: MIT */
/* What a lock can have beyond its use (heddle/lock.h): a record with its name, its rank, its
 * counts, and what priority inheritance knows of it. The record belongs to the lock and is in a
 * list of all, for the report. All functions are called inside, unless they say otherwise. */
#ifndef HD__SYNC_WATCH_H
#define HD__SYNC_WATCH_H

#include "base/spin.h"
#include "sched/look.h"
#include "sync/queue.h"

#include <heddle/lock.h>

#include <stdatomic.h>

struct hd__watch {
    struct hd__watch *next, *prev; /* link: all records; guarded by their lock */
    const char *kind;              /* "mutex", "rwlock" */
    const void *lock;
    char name[HD_LOCK_NAME_MAX + 1];
    unsigned flags;                /* HD_LOCK_* */
    unsigned rank;                 /* 0: none, or ranks are not checked */
    _Atomic uint64_t fast, slow, spun, parked, failed, waited_ns, longest_ns;
    /* Priority inheritance; guarded by its lock (inherit.c). */
    hd_thread *owner;              /* NULL: nobody, or a foreign kernel thread */
    struct hd__watch *next_owned;  /* link: the owner's */
    hd_thread *waiting;            /* linked by hd__thread_side.next_waiting */
    unsigned foreign;              /* so many kernel threads wait as well */
    uint8_t top;                   /* the highest priority of a waiter; 0: none waits */
};

/* What one call that took a lock, or tried to, had to do. Private to it. */
struct hd__watch_wait {
    uint64_t since_ns; /* 0: it did not wait */
    unsigned parked;
};

/* 0, -EINVAL, -ENOMEM. *out stays NULL if there is nothing to watch. Outside. */
int hd__watch_make(struct hd__watch **out, const struct hd_lock_attr *attr, unsigned allowed,
                   const char *kind, const void *lock);
void hd__watch_free(struct hd__watch *w); /* outside; NULL is accepted */

/* Before a lock is taken: aborts if its rank forbids that. */
void hd__watch_check(struct hd__watch *w, const char *call);
/* The same for one that is held, and is about to be given back and taken again. */
void hd__watch_check_again(struct hd__watch *w, const char *call);
/* After it was taken, or not; and before it is given back. */
void hd__watch_taken(struct hd__watch *w, const struct hd__watch_wait *wait);
void hd__watch_failed(struct hd__watch *w, const struct hd__watch_wait *wait);
void hd__watch_giving(struct hd__watch *w);
/* The two for a mutex that a condition gives back and takes again: nothing is counted. */
void hd__watch_retaken(struct hd__watch *w);

/* mutex_call.c, rwlock.c: as the public calls, the attributes in the library's own struct; attr may
 * be NULL. Outside. */
int hd__mutex_init(hd_mutex *m, const struct hd_lock_attr *attr);
int hd__rwlock_init(hd_rwlock *l, const struct hd_lock_attr *attr);

/* For tools (api/debug.h): where the first record's address is. */
extern const void *const hd__watch_list;

/* The name of a lock that is watched; "" of anything else. */
const char *hd__watch_name_of(const void *lock);

/* describe.c: hd__deadlock_describe. */
void hd__sync_describe(char *text, size_t size, const char *what, const void *object);

/* For messages: the kind, the address and the name. Returns text. */
enum { HD__WATCH_TEXT = 80 };
const char *hd__watch_text(char text[HD__WATCH_TEXT], const char *kind, const void *lock,
                           const struct hd__watch *w);

#endif
