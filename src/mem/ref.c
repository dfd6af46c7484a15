/* SPDX-License-Identifier: MIT */
/* Biased reference counts.
 *
 * Idea. Most objects are counted by one thread most of the time, and an atomic instruction is what
 * a count costs. So an object has an owner, which counts in a word of its own (`local`) by plain
 * loads and stores, and all others count in a second one (`shared`) atomically. The number of
 * references is the sum, and either part may be negative: references are given back by other
 * threads than took them. Nobody sees the sum until the owner *merges*: it adds its part to the
 * other one, and from then on everybody counts there, as in an ordinary atomic count.
 *
 *   owner    the token of the owner, or LAST|token: nobody; this one was the last. The owner only
 *            compares equal to it, and what makes that so or ends it is done by that thread, or
 *            when it has ended. So the inline test of hd_ref_get() is never stale.
 *   local    the owner's part; its own
 *   shared   the upper half: the others' part, signed; the lower half:
 *
 *     MERGED     `local` is 0 and means nothing; the count is the object's
 *     HELD       one party, the holder, has the object in hand, and it alone merges or frees it
 *     FIXED      MERGED for good: nobody becomes the owner any more
 *     WATCHED    operations are counted (hd_ref_stats_enable())
 *     UNREST     how often the ownership has moved, or the count was fought over
 *     SCORE, CANDIDATE    the vote; see below
 *
 *   owned --> owned, HELD     a put that makes the others' part negative, or with which its thread
 *                             has won the vote; hd_ref_share(); the owner's part has become 0, and
 *                             the others' is not. Whoever does this is the holder
 *   owned, HELD --> MERGED    the holder merges: the owner, or another if the owner has ended
 *   owned --> MERGED, 0       the owner's part is 0, and so is the others': the object is dead
 *   MERGED --> owned          a claim: by a thread in a put, which has the most votes
 *   MERGED --> FIXED          UNREST has reached its limit
 *   MERGED, 1 --> MERGED, 0   the last put: dead
 *
 * Why no reference is lost. Each operation of a non-owner is one atomic read-modify-write of
 * `shared`. The owner's are on a word that nobody else writes: not while it is preempted, in
 * whatever way, since no other thread has its token; nor after it moved to another kernel thread,
 * since the scheduler orders what it did. Merging adds `local` in the same instruction that sets
 * MERGED, and is done by the owner itself or after its end: who finds it registered no more has
 * taken the lock under which it ended. A claim sets `owner` and `local` first, which
 * nobody looks at while MERGED is set, then takes as much from the count as it put into `local` and
 * clears MERGED in one instruction (release); who then sets HELD (acquire) sees both.
 *
 * Why it is freed once, and not touched later. The sum of an object that somebody refers to is at
 * least 1. Four find it dead: the put that makes a count 0 that is MERGED and not HELD; the owner
 * that finds both parts 0 and not HELD; the holder that merges to 0. These exclude each other:
 * while HELD is set only the holder may, a MERGED count reaches 0 from 1 once, and the owner's is
 * before any merge. A put touches the object after its instruction only if that made it the holder
 * (nobody else frees it then), or made it dead. That is why a put of an object that is not FIXED is
 * a compare-and-swap: by a subtraction that turns the others' part negative the caller would give
 * up its reference first, and become the holder second, and in between all could be over. A FIXED
 * object cannot become owned, so there a subtraction does.
 *
 * If an object may have weak references, the owner must not find `shared` 0 by a look, since
 * hd_ref_tryget() may add 1 after it: it sets MERGED by compare-and-swap. Whether it may is said
 * when it is initialised (`weak` is then not 0). A look at `weak` would not do: who still has a
 * reference may make a weak one of it in between.
 *
 * Who owns is a thread, not a worker or a carrier: a light thread may be preempted at any
 * instruction, and others run on its worker and its carrier meanwhile. Tokens are thread numbers,
 * which no later thread gets; the scheduler keeps that of the running thread in a thread-local
 * word, so that the test is a load and a comparison.
 *
 * The owner's end. It frees what is queued for it, then unregisters, under a lock that is taken to
 * hand something over. Its objects are not searched for: they stay owned by nobody that lives, are
 * counted by the others in `shared`, and whoever turns that negative or asks for the ownership
 * finds no such thread, and merges. A thread that the runtime discards is unregistered by the
 * runtime; what was queued for it waits for the next safe point of any thread.
 *
 * The vote: who becomes the owner. Each put by a non-owner votes for its thread (by 8 bits of a
 * hash of its token), after Boyer and Moore: a vote for the candidate adds to its score, another
 * one takes from it, and at 0 replaces it. So a thread whose score is n had at least n votes more
 * than all others together since its candidacy began. At limit = 32 << UNREST it takes the
 * ownership of a MERGED object at once, with half of the references. If there is an owner, that one
 * is asked to merge, at its next safe point, and a new vote begins in which it takes part like
 * everybody else: an owner does not vote while it counts in `local`, so that it uses the object
 * more can only be seen then. Each claim adds 1 to UNREST, as does a put of a MERGED object whose
 * compare-and-swap fails again and again. So n puts move the ownership log2(n / 32) times at most;
 * at the limit of UNREST an owner keeps it, and a MERGED object is FIXED, and as fast as any atomic
 * count.
 *
 * Papers. Choi, Shull, Torrellas: Biased Reference Counting (PACT 2018) has the two counts, the
 * queue and the merge. Here a bit of its own says who has the object in hand, so that an owner
 * whose part becomes 0 while the object is on its way need not find out who frees it; the ownership
 * moves, where theirs ends with the merge; and weak references are new. CPython's PEP 703 (Gross)
 * is built like theirs, and finds by a table of threads, as here, whether the owner still lives.
 * Its owners are told by an address that a later thread may have, too, its queues need memory, and
 * it empties them at safe points of the interpreter. Here tokens are never used again, queues are
 * linked through the objects, and there is no interpreter: some calls of ours are the safe points.
 * doc/decisions/refs.md has the figures, and what was rejected. */
#include "mem/ref.h"

#include "base/check.h"
#include "sched/wait.h"
#include <heddle/counter.h>

#include <errno.h>
#include <string.h>

_Static_assert(sizeof(struct hd__ref) == sizeof(hd_ref), "the public type");
_Static_assert(_Alignof(struct hd__ref) <= _Alignof(hd_ref), "aligned as the public type");
_Static_assert(offsetof(struct hd__ref, owner) == offsetof(hd_ref, owner) &&
                   offsetof(struct hd__ref, local) == offsetof(hd_ref, local),
               "what inline functions touch");

#define MERGED (UINT64_C(1) << 0)
#define HELD (UINT64_C(1) << 1)
#define FIXED (UINT64_C(1) << 2)
#define WATCHED (UINT64_C(1) << 3)
#define UNREST_ONE (UINT64_C(1) << 4)
#define UNREST (UINT64_C(0xf) << 4)
#define SCORE_ONE (UINT64_C(1) << 8)
#define SCORE (UINT64_C(0xffff) << 8)
#define CANDIDATE_ONE (UINT64_C(1) << 24)
#define CANDIDATE (UINT64_C(0xff) << 24)
#define ONE (UINT64_C(1) << 32)

enum {
    LEAD = 32,       /* votes by which a thread must lead, at first; doubled by each UNREST */
    UNREST_MAX = 11, /* then nothing moves any more; LEAD << (UNREST_MAX - 1) fits into SCORE */
    SOME = 64,       /* objects that one safe point merges, if it was not asked for */
    FOUGHT = 2,      /* failures of one compare-and-swap that add to UNREST */
};
_Static_assert(MERGED == 1, "as a number: the least count of a MERGED object that lives");
_Static_assert(LEAD << (UNREST_MAX - 1) <= 0xffff && UNREST_MAX <= 0xf, "fits");

enum { OWNER_OPS, SHARED_OPS, MERGES, SWITCHES, MIGRATIONS, QUEUED, ORPHANED, STATS };
static hd_counter stats[STATS];
static _Atomic bool counting;

static inline struct hd__ref *ref_of(hd_ref *r) {
    return (struct hd__ref *)r;
}

static inline int32_t count_of(uint64_t s) {
    return (int32_t)(s >> 32);
}

static inline unsigned unrest_of(uint64_t s) {
    return (unsigned)((s & UNREST) / UNREST_ONE);
}

static inline bool is_dead(uint64_t s) {
    return (s & (MERGED | HELD)) == MERGED && count_of(s) <= 0;
}

static inline uint64_t my_token(void) {
#ifdef HD__TOKEN_READ
    uint64_t token;
    HD__TOKEN_READ(token);
    return token;
#else
    return hd__self_token();
#endif
}

static inline bool owns(struct hd__ref *r, uint64_t token) {
    return (atomic_load_explicit(&r->owner, memory_order_relaxed) & ~HD__REF_WATCHED) == token;
}

static inline void count_if(uint64_t s, int what) {
    if (HD__UNLIKELY(s & WATCHED)) hd_counter_add(&stats[what], 1);
}

static HD__COLD void not_alive(const char *call, const struct hd__ref *r) {
    hd__fatal("%s: object %p has no references any more; each hd_ref_put() needs an hd_ref_get(), "
              "or the reference of hd_ref_init()", call, (const void *)r);
}

/* ---- The end of an object ---- */

static void end_one(struct hd__ref *r) {
    hd_ref *ref = (hd_ref *)r;
    if (r->finish) r->finish(ref);
    if (atomic_load_explicit(&r->weak, memory_order_acquire) > 1) {
        if (atomic_fetch_sub_explicit(&r->weak, 1, memory_order_acq_rel) != 1) return;
    } else {
        /* There is no weak reference, and nobody who could make one. */
        atomic_store_explicit(&r->weak, 0, memory_order_relaxed);
    }
    r->free(ref);
}

/* Destructors run one after the other, however deep they are nested. Without memory they nest. */
static HD__NOINLINE void die(struct hd__ref *r) {
    struct hd__refs *mine = hd__ref_mine(true);
    if (HD__UNLIKELY(!mine)) {
        end_one(r);
        return;
    }
    if (mine->busy) {
        r->next = mine->dead;
        mine->dead = r;
        return;
    }
    mine->busy = true;
    end_one(r);
    while ((r = mine->dead)) {
        mine->dead = r->next;
        end_one(r);
    }
    mine->busy = false;
}

/* ---- Merging ---- */

/* By the holder of an object that is owned: by the owner, or when the owner has ended. */
static void merge(struct hd__ref *r) {
    int32_t local = atomic_load_explicit(&r->local, memory_order_relaxed);
    uint64_t owner = atomic_load_explicit(&r->owner, memory_order_relaxed);
    uint64_t s = atomic_load_explicit(&r->shared, memory_order_relaxed), next;
    HD__ASSERT(!(owner & HD__REF_LAST) && (s & (MERGED | HELD)) == HELD);
    atomic_store_explicit(&r->local, 0, memory_order_relaxed);
    /* Release: for a claim, which takes it from here. */
    atomic_store_explicit(&r->owner, owner | HD__REF_LAST, memory_order_release);
    hd__sched_hostile_point();
    do {
        next = ((s + (uint64_t)(int64_t)local * ONE) & ~(HELD | SCORE)) | MERGED;
        if (unrest_of(s) >= UNREST_MAX) next |= FIXED;
        if (HD__UNLIKELY(count_of(next) < 0)) not_alive("hd_ref_put", r);
    } while (!atomic_compare_exchange_weak_explicit(&r->shared, &s, next, memory_order_acq_rel,
                                                    memory_order_acquire));
    count_if(s, MERGES);
    if (count_of(next) == 0) die(r);
}

/* By the holder, which is not the owner. */
static HD__NOINLINE void hand_over(struct hd__ref *r, uint64_t s) {
    uint64_t owner = atomic_load_explicit(&r->owner, memory_order_relaxed) & ~HD__REF_WATCHED;
    hd__sched_hostile_point();
    if (hd__ref_owner_give(owner, r)) {
        count_if(s, QUEUED);
        return;
    }
    count_if(s, ORPHANED);
    merge(r);
}

size_t hd__ref_drain(struct hd__refs *mine, size_t most) {
    struct hd__ref *r;
    size_t n = 0;
    for (; n < most && (r = hd__ref_owner_take(mine)) != NULL; n++) {
        if (atomic_load_explicit(&r->shared, memory_order_relaxed) & HELD)
            merge(r);
        else
            die(r);
    }
    return n;
}

HD__NOINLINE void hd__ref_drain_some(void) {
    hd__ref_drain(hd__ref_mine(false), SOME);
}

/* The owner's part has become 0. Returns without a word if somebody holds the object: it stays
 * ours, and comes back through the queue. */
static void emptied(struct hd__ref *r) {
    bool weak = atomic_load_explicit(&r->weak, memory_order_relaxed) != 0;
    uint64_t s = atomic_load_explicit(&r->shared, memory_order_acquire), next;
    uint64_t owner = atomic_load_explicit(&r->owner, memory_order_relaxed);
    do {
        if (s & HELD) return;
        if (HD__UNLIKELY(count_of(s) < 0)) not_alive("hd_ref_put", r);
        next = s | (count_of(s) == 0 ? MERGED : HELD);
        if ((next & MERGED) && !weak) break; /* nobody else is left */
    } while (!atomic_compare_exchange_weak_explicit(&r->shared, &s, next, memory_order_acq_rel,
                                                    memory_order_acquire));
    if (next & HELD) {
        merge(r);
        return;
    }
    atomic_store_explicit(&r->owner, owner | HD__REF_LAST, memory_order_relaxed);
    if (!weak) atomic_store_explicit(&r->shared, next, memory_order_relaxed);
    die(r);
}

HD__NOINLINE void hd__ref_emptied(hd_ref *ref) {
    emptied(ref_of(ref));
    hd__ref_safe_point();
}

/* ---- The vote ---- */

/* s with the caller's vote. */
static uint64_t vote(uint64_t s, uint64_t token) {
    uint64_t candidate = (token * UINT64_C(0x9e3779b97f4a7c15)) >> 56 << 24;
    if (unrest_of(s) >= UNREST_MAX) return s;
    if ((s & CANDIDATE) == candidate) return (s & SCORE) == SCORE ? s : s + SCORE_ONE;
    if (s & SCORE) return s - SCORE_ONE;
    return (s & ~CANDIDATE) | candidate | SCORE_ONE;
}

/* Whether the candidate, who votes right now, leads by enough. */
static inline bool has_won(uint64_t s, uint64_t before) {
    unsigned unrest = unrest_of(s);
    return HD__UNLIKELY((s & SCORE) >= (LEAD * SCORE_ONE) << unrest) && unrest < UNREST_MAX &&
           (s & SCORE) > (before & SCORE);
}

/* Makes the caller, who is in a put, the owner, with half of the references that are left, and
 * gives back the one that it puts. False: it is not to be, and nothing has happened. *s is what
 * `shared` was last. */
static HD__COLD bool claim(struct hd__ref *r, uint64_t *s) {
    struct hd__refs *mine = hd__ref_owner_mine();
    uint64_t owner = atomic_load_explicit(&r->owner, memory_order_relaxed);
    uint64_t watched = *s & WATCHED ? HD__REF_WATCHED : 0;
    if (!mine || !(owner & HD__REF_LAST)) return false;
    /* Acquire: what the last owner, or another's claim, has left in `local` is from before. */
    if (!atomic_compare_exchange_strong_explicit(&r->owner, &owner, mine->token | watched,
                                                 memory_order_acquire, memory_order_relaxed))
        return false;
    hd__sched_hostile_point();
    while ((*s & (MERGED | HELD | FIXED)) == MERGED && count_of(*s) >= 2) {
        uint64_t left = (uint64_t)count_of(*s) - 1, own = (left + 1) / 2;
        uint64_t next = (*s - (own + 1) * ONE + UNREST_ONE) & ~(MERGED | SCORE);
        atomic_store_explicit(&r->local, (int32_t)own, memory_order_relaxed);
        if (!atomic_compare_exchange_weak_explicit(&r->shared, s, next, memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        count_if(next, SWITCHES);
        if ((owner & HD__REF_TOKEN) != mine->token) count_if(next, MIGRATIONS);
        return true;
    }
    atomic_store_explicit(&r->local, 0, memory_order_relaxed);
    atomic_store_explicit(&r->owner, owner, memory_order_release);
    return false;
}

/* ---- Getting and putting ---- */

static void init(struct hd__ref *r, hd_ref_fn finish, hd_ref_fn free_object, uint32_t weak) {
    struct hd__refs *mine = hd__ref_owner_mine();
    bool watch = atomic_load_explicit(&counting, memory_order_relaxed);
    uint64_t state = watch ? WATCHED : 0;
    uint64_t owner = (mine ? mine->token : HD__REF_LAST) | (watch ? HD__REF_WATCHED : 0);
    atomic_init(&r->owner, owner);
    atomic_init(&r->shared, mine ? state : state | MERGED | ONE);
    atomic_init(&r->local, mine ? 1 : 0);
    atomic_init(&r->weak, weak);
    r->next = NULL;
    r->finish = finish;
    r->free = free_object;
    hd__ref_safe_point();
}

void hd_ref_init(hd_ref *ref, hd_ref_fn free_object) {
    HD__CHECK(ref != NULL && free_object != NULL, "hd_ref_init: r or free_object is NULL");
    init(ref_of(ref), NULL, free_object, 0);
}

void hd_ref_init_weak(hd_ref *ref, hd_ref_fn finish, hd_ref_fn free_object) {
    HD__CHECK(ref != NULL && free_object != NULL, "hd_ref_init_weak: r or free_object is NULL");
    init(ref_of(ref), finish, free_object, 1);
}

/* The owner's own, of objects that are watched, and where there is no inline way. */
static int32_t count_own(struct hd__ref *r, int n) {
    int32_t local = atomic_load_explicit(&r->local, memory_order_relaxed) + n;
    atomic_store_explicit(&r->local, local, memory_order_relaxed);
    if (atomic_load_explicit(&r->owner, memory_order_relaxed) & HD__REF_WATCHED)
        hd_counter_add(&stats[OWNER_OPS], 1);
    return local;
}

void hd__ref_get(hd_ref *ref) {
    struct hd__ref *r = ref_of(ref);
    if (HD__UNLIKELY(owns(r, my_token()))) {
        count_own(r, 1);
        return;
    }
    uint64_t s = atomic_fetch_add_explicit(&r->shared, ONE, memory_order_relaxed);
    if (HD__UNLIKELY(is_dead(s))) not_alive("hd_ref_get", r);
    count_if(s, SHARED_OPS);
}

/* Of an object that will not be owned any more. */
static void put_fixed(struct hd__ref *r) {
    uint64_t s = atomic_fetch_sub_explicit(&r->shared, ONE, memory_order_acq_rel);
    count_if(s, SHARED_OPS);
    if (HD__LIKELY(count_of(s) > 1)) return;
    if (HD__UNLIKELY(count_of(s) <= 0)) not_alive("hd_ref_put", r);
    die(r);
}

/* A put that leaves the object as it is, but for the count and the vote; if nobody interferes. The
 * others are put_special()'s. */
static inline bool put_plainly(struct hd__ref *r, uint64_t s, uint64_t token) {
    uint64_t next = s - ONE;
    if (!(s & HELD)) {
        next = vote(next, token);
        if (count_of(next) < (int32_t)(s & MERGED) || has_won(next, s)) return false;
    }
    if (HD__UNLIKELY(!atomic_compare_exchange_strong_explicit(
            &r->shared, &s, next, memory_order_release, memory_order_relaxed)))
        return false;
    count_if(s, SHARED_OPS);
    return true;
}

static HD__NOINLINE void put_special(struct hd__ref *r, uint64_t token) {
    uint64_t s = atomic_load_explicit(&r->shared, memory_order_acquire), next;
    bool claims = true;
    for (unsigned tries = 0;; tries++) {
        if (s & FIXED) {
            put_fixed(r);
            return;
        }
        if (HD__UNLIKELY(is_dead(s))) not_alive("hd_ref_put", r);
        next = vote(s - ONE, token);
        bool won = HD__UNLIKELY(has_won(next, s)) && !(s & HELD);
        if ((s & (MERGED | HELD)) == MERGED) {
            if (won && claims && count_of(next) > 0) {
                claims = false;
                uint64_t watched = s;
                if (claim(r, &s)) {
                    count_if(watched, SHARED_OPS);
                    return;
                }
                continue;
            }
            if (tries == FOUGHT) next += UNREST_ONE;
            if (unrest_of(next) >= UNREST_MAX) next |= FIXED;
        } else if (!(s & HELD) && (count_of(next) < 0 || won)) {
            next |= HELD;
        }
        if (atomic_compare_exchange_weak_explicit(&r->shared, &s, next, memory_order_acq_rel,
                                                  memory_order_acquire))
            break;
    }
    count_if(s, SHARED_OPS);
    if (is_dead(next))
        die(r);
    else if (HD__UNLIKELY((next & ~s) & HELD))
        hand_over(r, s);
}

static HD__NOINLINE void put_own(hd_ref *ref) {
    if (count_own(ref_of(ref), -1) == 0) hd__ref_emptied(ref);
}

void hd__ref_put(hd_ref *ref) {
    struct hd__ref *r = ref_of(ref);
    uint64_t token = my_token();
    if (HD__UNLIKELY(owns(r, token))) {
        put_own(ref);
        return;
    }
    uint64_t s = atomic_load_explicit(&r->shared, memory_order_relaxed);
    if (s & FIXED)
        put_fixed(r);
    else if (HD__UNLIKELY(!put_plainly(r, s, token)))
        put_special(r, token);
}

void hd_ref_share(hd_ref *ref) {
    HD__CHECK(ref != NULL, "hd_ref_share: r is NULL");
    struct hd__ref *r = ref_of(ref);
    uint64_t s = atomic_load_explicit(&r->shared, memory_order_relaxed), next;
    do {
        if (HD__UNLIKELY(is_dead(s))) not_alive("hd_ref_share", r);
        next = s | UNREST; /* the most, and so as good as UNREST_MAX */
        if (!(s & HELD)) next |= s & MERGED ? FIXED : HELD;
    } while (!atomic_compare_exchange_weak_explicit(&r->shared, &s, next, memory_order_acq_rel,
                                                    memory_order_acquire));
    if (!((next & ~s) & HELD)) return;
    if (owns(r, my_token()))
        merge(r);
    else
        hand_over(r, s);
}

/* ---- Weak references ---- */

void hd_ref_weak_get(hd_ref *ref) {
    HD__CHECK(ref != NULL, "hd_ref_weak_get: r is NULL");
    uint32_t before = atomic_fetch_add_explicit(&ref_of(ref)->weak, 1, memory_order_relaxed);
    HD__CHECK(before != 0, "hd_ref_weak_get: object %p is gone, or it may have no weak references: "
              "initialise it by hd_ref_init_weak()", (void *)ref);
}

void hd_ref_weak_put(hd_ref *ref) {
    HD__CHECK(ref != NULL, "hd_ref_weak_put: r is NULL");
    uint32_t before = atomic_fetch_sub_explicit(&ref_of(ref)->weak, 1, memory_order_acq_rel);
    HD__CHECK(before != 0, "hd_ref_weak_put: object %p has no weak references; each "
              "hd_ref_weak_put() needs an hd_ref_weak_get()", (void *)ref);
    if (before == 1) ref->free(ref);
}

bool hd_ref_tryget(hd_ref *ref) {
    HD__CHECK(ref != NULL, "hd_ref_tryget: r is NULL");
    struct hd__ref *r = ref_of(ref);
    if (owns(r, my_token())) {
        count_own(r, 1);
        return true;
    }
    uint64_t s = atomic_load_explicit(&r->shared, memory_order_acquire);
    do {
        if (is_dead(s)) return false;
    } while (!atomic_compare_exchange_weak_explicit(&r->shared, &s, s + ONE, memory_order_acquire,
                                                    memory_order_acquire));
    count_if(s, SHARED_OPS);
    return true;
}

/* ---- Looking ---- */

int64_t hd_ref_count(const hd_ref *ref) {
    HD__CHECK(ref != NULL, "hd_ref_count: r is NULL");
    struct hd__ref *r = (struct hd__ref *)(uintptr_t)ref;
    uint64_t s = atomic_load_explicit(&r->shared, memory_order_acquire);
    int32_t local = atomic_load_explicit(&r->local, memory_order_relaxed);
    return (int64_t)count_of(s) + (s & MERGED ? 0 : local);
}

size_t hd_ref_drain(void) {
    if (atomic_load_explicit(&hd__ref_queued, memory_order_relaxed) == 0) return 0;
    return hd__ref_drain(hd__ref_mine(false), SIZE_MAX);
}

void hd_ref_stats_enable(bool on) {
    atomic_store_explicit(&counting, on, memory_order_relaxed);
}

int hd_ref_stats_get(struct hd_ref_stats *out) {
    HD__CHECK(out != NULL, "hd_ref_stats_get: out is NULL");
    size_t size = out->size;
    if (size < sizeof size) return -EINVAL;
    uint64_t v[STATS];
    for (int i = 0; i < STATS; i++) v[i] = (uint64_t)hd_counter_sum(&stats[i]);
    struct hd_ref_stats all = {size,        v[OWNER_OPS],  v[SHARED_OPS], v[MERGES],
                               v[SWITCHES], v[MIGRATIONS], v[QUEUED],     v[ORPHANED]};
    memcpy(out, &all, size < sizeof all ? size : sizeof all);
    return 0;
}
