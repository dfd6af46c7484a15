/* SPDX-License-Identifier: MIT */
/* Reference counts, between the protocol (ref.c) and what it knows of threads (ref_owner.c). */
#ifndef HD__MEM_REF_H
#define HD__MEM_REF_H

#include <heddle/ref.h>

#include <stdatomic.h>

#include "base/base.h"

/* An hd_ref with the types that it has inside. Guards: see the head of ref.c. */
struct hd__ref {
    _Atomic uint64_t owner;
    _Atomic uint64_t shared;
    _Atomic int32_t local;
    _Atomic uint32_t weak;
    struct hd__ref *next; /* link: an owner's queue, or its list of dead ones */
    hd_ref_fn finish;
    hd_ref_fn free;
} __attribute__((may_alias));

/* What a thread that owns objects, or runs destructors, has for itself. `queue` is guarded by the
 * lock under which it is registered; the rest is its own. */
struct hd__refs {
    uint64_t token;
    bool registered;       /* others find it by its token: it may own objects */
    bool busy;             /* it runs destructors */
    struct hd__ref *dead;  /* whose destructors follow */
    struct hd__refs *next; /* link: the bucket in which it is registered */
    struct hd__ref *queue; /* objects that were handed to it: HELD */
};

/* Tokens. A thread's is its number. */
#define HD__REF_WATCHED (UINT64_C(1) << 63) /* in hd__ref.owner: no inline path, so it is counted */
#define HD__REF_LAST (UINT64_C(1) << 61)    /* in hd__ref.owner: nobody; the token is the last's */
#define HD__REF_TOKEN (HD__REF_LAST - 1)

/* ---- ref_owner.c. All are called outside. ---- */

/* The calling thread's; made if there is none and `make`. NULL: none, or no memory. */
struct hd__refs *hd__ref_mine(bool make);
/* The same, registered: from now on hd__self_token() is its token. NULL: no memory. */
struct hd__refs *hd__ref_owner_mine(void);

/* Hands a HELD object to the thread with this token; r may be gone when this returns. False: that
 * thread is registered no more, and all that it did happens before the return. */
bool hd__ref_owner_give(uint64_t token, struct hd__ref *r);

/* Takes an object from the queue of mine (if not NULL), or of those that threads left behind which
 * the runtime discarded: HELD, or dead. NULL: there is none. */
struct hd__ref *hd__ref_owner_take(struct hd__refs *mine);

/* How many objects are in queues; a hint. */
extern _Atomic size_t hd__ref_queued;

/* ---- ref.c ---- */

/* Merges or frees what hd__ref_owner_take() finds, `most` at most; returns how many. */
size_t hd__ref_drain(struct hd__refs *mine, size_t most);

/* A safe point. Outside. */
void hd__ref_drain_some(void);
static inline void hd__ref_safe_point(void) {
    if (HD__UNLIKELY(atomic_load_explicit(&hd__ref_queued, memory_order_relaxed) != 0))
        hd__ref_drain_some();
}

#endif
