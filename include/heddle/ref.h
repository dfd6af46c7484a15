/* SPDX-License-Identifier: MIT */
/* Reference counts that cost their owner no atomic instruction (biased reference counting).
 *
 *     struct node {
 *         hd_ref ref;
 *         char *text;
 *     };
 *     static void node_free(hd_ref *r) {
 *         struct node *n = HD_REF_OBJECT(r, struct node, ref);
 *         free(n->text);
 *         free(n);
 *     }
 *     hd_ref_init(&n->ref, node_free);       // one reference, the caller's
 *     hd_ref_get(&n->ref);                   // one more, to give away
 *     hd_ref_put(&n->ref);                   // one less; the last one frees the node
 *
 * An object has at most one owner: the thread that initialised it, and later the one that uses it
 * most. The owner counts in a word of its own; all others in a second one, by atomic instructions.
 * Threads of the runtime and foreign kernel threads may do everything here, wherever they are
 * preempted; signal handlers may not.
 *
 * When the object is freed. If the last reference is given back by the owner, or while there is no
 * owner, or after it has ended: at once. If by another thread, the object is handed to its owner,
 * who frees it at its next safe point: hd_ref_init(), an hd_ref_put() that leaves its own count 0,
 * hd_yield(), hd_sleep_for(), hd_ref_drain(), or its end. So an owner that waits for long keeps
 * what others gave back; hd_ref_share() is for objects that one thread makes and others give back.
 *
 * Destructors run on the thread whose call finds the object dead, one after the other: the put of
 * another last reference within a destructor returns at once, and that object's destructor follows.
 * So lists of any length can be freed. At a safe point a thread may run destructors of any objects
 * that it owned: they should not take locks that callers of these functions hold.
 *
 * How it works, the argument that it does, the rule by which the ownership moves, and the papers
 * are in src/mem/ref.c. */
#ifndef HEDDLE_REF_H
#define HEDDLE_REF_H

#include <heddle/local.h>

HD_BEGIN_DECLS

/* A member of the object that is counted. Its own members are private. Not to be copied. */
typedef struct hd_ref hd_ref;
typedef void (*hd_ref_fn)(hd_ref *r);

struct hd_ref {
    uint64_t owner;   /* the token of the thread that counts in `local` */
    uint64_t shared;  /* all others' count, and the state */
    int32_t local;    /* the owner's count */
    uint32_t weak;    /* weak references, and one for all others; 0: there can be none */
    struct hd_ref *next;
    hd_ref_fn finish;
    hd_ref_fn free;
};

/* The object of type `type` whose member `member` r points to. */
#define HD_REF_OBJECT(r, type, member) ((type *)(void *)((char *)(r) - offsetof(type, member)))

/* Makes *r the count of a new object with one reference, the caller's. free_object(r) is called
 * when the last one is given back. The caller becomes the owner, unless there is no memory for what
 * it must note about itself: then nobody does, and only the cost is different. A safe point. Does
 * not block. */
HD_API void hd_ref_init(hd_ref *r, hd_ref_fn free_object);

/* The same for an object that may have weak references: finish(r), if it is not NULL, is called
 * when the last reference is given back, and frees what the object has; free_object(r) when no weak
 * reference is left either, and frees the object's own memory. */
HD_API void hd_ref_init_weak(hd_ref *r, hd_ref_fn finish, hd_ref_fn free_object);

/* What the inline functions below do where they are not the owner; and for an owner that gave back
 * the last reference in its own count. */
HD_API void hd__ref_get(hd_ref *r);
HD_API void hd__ref_put(hd_ref *r);
HD_API void hd__ref_emptied(hd_ref *r);

/* Takes one more reference. The caller has one, or knows by other means (a lock on the place where
 * it found it) that somebody has one and keeps it meanwhile. An object that is dead aborts, where
 * that can be seen. At most 2^30 references. Does not block. */
static inline void hd_ref_get(hd_ref *r) {
#ifdef HD__TOKEN_READ
    /* No other thread passes this test, and nobody changes the owner of a thread that lives; so
     * nothing is lost if this one is preempted here, or goes on elsewhere. */
    uint64_t me;
    HD__TOKEN_READ(me);
    if (__builtin_expect(__atomic_load_n(&r->owner, __ATOMIC_RELAXED) == me, 1)) {
        int32_t count = __atomic_load_n(&r->local, __ATOMIC_RELAXED);
        __atomic_store_n(&r->local, count + 1, __ATOMIC_RELAXED);
        return;
    }
#endif
    hd__ref_get(r);
}

/* Gives one reference back, any one: it need not be the thread that took it. What the caller did to
 * the object before happens before its destructor. More than were taken aborts, where that can be
 * seen. Does not block, but runs destructors. */
static inline void hd_ref_put(hd_ref *r) {
#ifdef HD__TOKEN_READ
    uint64_t me;
    HD__TOKEN_READ(me);
    if (__builtin_expect(__atomic_load_n(&r->owner, __ATOMIC_RELAXED) == me, 1)) {
        int32_t count = __atomic_load_n(&r->local, __ATOMIC_RELAXED) - 1;
        __atomic_store_n(&r->local, count, __ATOMIC_RELAXED);
        if (__builtin_expect(count == 0, 0)) hd__ref_emptied(r);
        return;
    }
#endif
    hd__ref_put(r);
}

/* From now on everybody counts by atomic instructions, and the object is freed by whoever gives the
 * last reference back. For objects that are handed from thread to thread. By the owner it takes
 * effect at once, by others at the owner's next safe point. The caller has a reference. */
HD_API void hd_ref_share(hd_ref *r);

/* Weak references keep the object's memory, not the object. Taking one needs a reference of either
 * kind; giving back the last one of both kinds frees the memory. Atomic, for owners as well. */
HD_API void hd_ref_weak_get(hd_ref *r);
HD_API void hd_ref_weak_put(hd_ref *r);

/* Makes a weak reference, which the caller keeps, into a reference: false if the object is dead.
 * It may still succeed when the last reference was given back, but the owner has not noticed: the
 * object then lives on. */
HD_API bool hd_ref_tryget(hd_ref *r);

/* How many references there are; exact at rest, for tests and for debugging. */
HD_API int64_t hd_ref_count(const hd_ref *r);

/* A safe point: frees those objects of the calling thread that others gave back, and those that
 * threads left behind which the runtime discarded. Returns how many were looked at. */
HD_API size_t hd_ref_drain(void);

/* ---- counters ---- */

/* Of the objects that were initialised while counting was enabled, since the process began. Later
 * versions add members at the end. */
struct hd_ref_stats {
    size_t size;            /* sizeof(struct hd_ref_stats): HD_REF_STATS_INIT fills it */
    uint64_t owner_ops;     /* gets and puts by owners, without atomic instructions */
    uint64_t shared_ops;    /* gets and puts by others */
    uint64_t merges;        /* an owner's count was added to that of all: nobody owns the object */
    uint64_t bias_switches; /* a thread became the owner of an object that nobody owned */
    uint64_t migrations;    /* of those, by another thread than the owner before */
    uint64_t queued;        /* objects that were handed to their owner */
    uint64_t orphaned;      /* objects that were merged by another, since the owner had ended */
};
#define HD_REF_STATS_INIT { sizeof(struct hd_ref_stats), 0, 0, 0, 0, 0, 0, 0 }

/* Whether objects that are initialised from now on are counted. Off at first. The others pay
 * nothing for it; operations on objects that are counted are calls. */
HD_API void hd_ref_stats_enable(bool on);

/* Fills in the counters, each exact at rest. 0, -EINVAL (out->size is too small). */
HD_API int hd_ref_stats_get(struct hd_ref_stats *out);

HD_END_DECLS
#endif
