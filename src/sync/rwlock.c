/* SPDX-License-Identifier: MIT */
/* The reader-writer lock: phases of readers and of one writer take turns.
 *
 * Idea. A free lock, and one that readers have while nobody waits, is taken and given back by one
 * compare-and-swap each. Once somebody waits, all that come queue themselves; a writer that leaves
 * lets all readers in that are in the queue, wherever they stand there, and the last reader that
 * leaves hands the lock to the first writer (Brandenburg and Anderson, Reader-Writer
 * Synchronization for Shared-Memory Multiprocessor Real-Time Systems, 2010: "phase-fair"). So a
 * writer waits for one phase of readers and one writer for each writer before it, and a reader for
 * one writer and one phase: neither starves. The lock is handed over and cannot be barged into; who
 * wants a short section exclusively most of the time is better served by a mutex.
 *
 * Read-mostly data. Readers that meet in one word pass its cache line around, though they do not
 * disturb each other otherwise. So a lock with HD_LOCK_READ_MOSTLY has a count of readers for
 * each worker, a slot, in a line of its own; a reader adds to that of the worker that it runs on,
 * and takes one from that of the worker that it runs on when it leaves. That may be another one:
 * only the sum over the slots has a meaning, and a slot may be negative. Each slot has a bit that
 * says that it is closed, so that one compare-and-swap of one word decides: no fence, and no second
 * look at the lock, which may be gone once a reader has left (queue.h, rule 2). A writer closes the
 * slots one by one, adds up what was in them, and makes that the count of readers in the state
 * word; from there on everything is as above. Who finds a slot closed goes to the state word. A
 * reader that finds no writer there, OPEN_AFTER times, opens the slots: with the lock in its hands,
 * so that it cannot vanish meanwhile.
 *
 * The state word: readers above the lowest byte, and
 *
 *   WRITER    a writer has it; no readers
 *   WAITERS   the queue is not empty. Written under the guard only.
 *   OPEN      readers are counted in the slots; no readers here, no WRITER, no WAITERS. Written
 *             under the guard only.
 *   MOVING    the readers are on their way between slots and state word; somebody has the guard,
 *             and whoever is concerned waits for it to be released
 *
 *   n <-> n + 1                        readers come and go, nobody waits (n without WRITER)
 *   0 <-> WRITER                       a writer comes and goes, nobody waits
 *   any -> any|WAITERS                 somebody queues itself (guard)
 *   WAITERS|2.. -> one less            readers go
 *   WAITERS|1 -> WRITER[|WAITERS]      the last reader hands over (guard)
 *   WRITER|WAITERS -> n[|WAITERS], WRITER[|WAITERS]   a writer hands over (guard)
 *   OPEN -> MOVING -> n                a writer closes the slots (guard)
 *   n -> MOVING -> OPEN                a reader opens them (guard)
 *
 * Why the sum is right. A slot's count and its bit are one word. What comes before the closing is
 * in the sum, each reader's +1 and, if it has left through an open slot, its -1; what comes after
 * it finds the slot closed and goes to the state word, in which the sum is by the time that the
 * guard is free. Opening is the same in reverse: the count in the state word goes to slot 0.
 *
 * Ordering. Taking is an acquire, giving back a release, of a slot or of the state word; the
 * changes of hands under the guard are both, so that a writer sees what all readers before it have
 * done. Who was parked gets it through hd__wait_wake() and the return of hd__wait_park().
 *
 * Rejected: a table of readers that all locks share, in which readers leave the lock's address
 * (Dice and Kogan, BRAVO, 2019): no memory for each lock, but a writer looks at thousands of
 * places; non-atomic counts with a barrier on all CPUs by the writer (membarrier): 5 ns less for
 * readers, 10 us and more for each writer; preferring readers or writers, which starves the others.
 * */
#include "base/check.h"
#include "os/clock.h"
#include "os/mem.h"
#include "sync/rwlock.h"
#include "sync/watch.h"

#include <errno.h>
#include <string.h>

/* hd__wait.tag */
enum { READS, WRITES };

/* A call that takes the lock. */
struct call {
    const char *name;
    uint64_t deadline_ns;
    unsigned flags; /* of hd__wait_park() */
    const void *site;
};
#define UNTIMED(name) {name, HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE, __builtin_return_address(0)}
#define TIMED(name, deadline_ns) {name, deadline_ns, 0, __builtin_return_address(0)}

/* ---- Waiting; the guard is held ---- */

/* Takes all readers out that can be claimed, then, if there were none and `writers`, the first
 * writer. What the state word must become for them; 0: nobody. */
static uint64_t claim_next(struct rwlock *l, bool readers_first, struct hd__waitq *claimed) {
    uint64_t next = 0;
    for (struct hd__wait *w = l->queue.head, *after; readers_first && w; w = after) {
        after = w->next;
        if (w->tag != READS) continue;
        hd__waitq_remove(&l->queue, w);
        if (!hd__wait_claim(w)) continue;
        hd__waitq_push_back(claimed, w);
        next += ONE_READER;
    }
    for (struct hd__wait *w = l->queue.head, *after; !next && w; w = after) {
        after = w->next;
        if (w->tag != WRITES) continue;
        hd__waitq_remove(&l->queue, w);
        if (!hd__wait_claim(w)) continue;
        hd__waitq_push_back(claimed, w);
        next = WRITER;
    }
    if (!next && !readers_first) return claim_next(l, true, claimed);
    return next;
}

static inline uint64_t waiters_bit(struct rwlock *l) {
    return l->queue.head ? WAITERS : 0;
}

/* The caller's own hold on the lock, and there is no other, goes to whoever is next. The guard is
 * released. False: all had given up; nothing has happened then but that WAITERS is clear. */
static bool hand_over(struct rwlock *l, bool readers_first) {
    struct hd__waitq claimed = {NULL, NULL};
    uint64_t next = claim_next(l, readers_first, &claimed);
    if (!next) {
        atomic_fetch_and_explicit(&l->state, ~(uint64_t)WAITERS, memory_order_relaxed);
        hd__spin_unlock(&l->guard);
        return false;
    }
    uint64_t s = hd__load_relaxed(&l->state);
    while (!change(l, &s, next | waiters_bit(l))) {
    }
    hd__spin_unlock(&l->guard);
    hd__sync_wake_all(&claimed);
    return true;
}

/* A waiter has given up. If it was a writer, those behind it may be let in: readers, beside those
 * that have the lock. */
static void leave_queue(struct rwlock *l, struct hd__wait *w) {
    struct hd__waitq claimed = {NULL, NULL};
    hd__spin_lock(&l->guard);
    hd__waitq_remove(&l->queue, w);
    bool writers = false;
    for (struct hd__wait *o = l->queue.head; o; o = o->next) writers |= o->tag == WRITES;
    uint64_t s = hd__load_relaxed(&l->state), more = 0;
    if (!writers && !(s & WRITER)) more = claim_next(l, true, &claimed);
    while (!change(l, &s, ((s & ~(uint64_t)WAITERS) + more) | waiters_bit(l))) {
    }
    hd__spin_unlock(&l->guard);
    hd__sync_wake_all(&claimed);
}

static int queue_up(struct rwlock *l, uintptr_t what, const struct call *call) {
    struct hd__wait w;
    hd__wait_init(&w, what == READS ? "rwlock (to read)" : "rwlock (to write)", l, call->site);
    w.tag = what;
    hd__waitq_push_back(&l->queue, &w);
    int err = hd__wait_park(&w, &l->guard, call->deadline_ns, call->flags);
    if (err != 0) leave_queue(l, &w);
    return err;
}

/* Before a watched lock is given back. */
static HD__NOINLINE void watch_giving(struct rwlock *l) {
    hd__sched_enter();
    hd__watch_giving(l->watch);
    hd__sched_leave();
}

/* A whole call, if the lock is watched. */
static int watched(struct rwlock *l, uintptr_t what, bool wait, const struct call *call);

/* ---- Reading ---- */

enum { GOT, BUSY, AGAIN };

/* Counts a reader in the state word, unless somebody is before it. */
static inline int read_in_state(struct rwlock *l) {
    uint64_t s = hd__load_relaxed(&l->state);
    while (!(s & (WRITER | WAITERS | OPEN | MOVING))) {
        if (HD__LIKELY(atomic_compare_exchange_weak_explicit(
                &l->state, &s, s + ONE_READER, memory_order_acquire, memory_order_relaxed))) {
            return GOT;
        }
    }
    return s & (OPEN | MOVING) ? AGAIN : BUSY;
}

static inline bool try_read(struct rwlock *l) {
    for (;;) {
        if (l->slots && hd__rwlock_slot(l->slots, SLOT_READER, memory_order_acquire)) return true;
        int result = read_in_state(l);
        if (result == BUSY) return false;
        if (result == AGAIN) {
            hd__rwlock_wait_moved(l);
            continue;
        }
        if (HD__UNLIKELY(l->slots != NULL) &&
            atomic_fetch_add_explicit(&l->reads, 1, memory_order_relaxed) >= OPEN_AFTER) {
            hd__rwlock_open(l);
        }
        return true;
    }
}

static HD__COLD _Noreturn void die_own(struct rwlock *l, const char *call) {
    char lock[HD__WATCH_TEXT], text[HD__LOOK_TEXT];
    hd__sched_enter();
    hd__fatal("%s: %s is locked for writing by %s, the caller, which would wait for itself", call,
              hd__watch_text(lock, "rwlock", l, l->watch), hd__look_text(text, hd__look_token()));
}

static inline void check_not_writer(struct rwlock *l, const char *call) {
    if (HD__UNLIKELY(hd__load_relaxed(&l->writer) == hd__self_token() + 1 &&
                    hd__self_token() != HD__TOKEN_NONE)) {
        die_own(l, call);
    }
}

static HD__NOINLINE int read_slow(struct rwlock *l, const struct call *call) {
    check_not_writer(l, call->name);
    for (;;) {
        hd__sched_enter();
        hd__spin_lock(&l->guard);
        uint64_t s = hd__load_relaxed(&l->state);
        while ((s & WRITER) && !(s & WAITERS) && !change(l, &s, s | WAITERS)) {
        }
        if (s & (WRITER | WAITERS)) {
            int err = queue_up(l, READS, call);
            hd__sched_leave();
            return err;
        }
        hd__spin_unlock(&l->guard);
        hd__sched_leave();
        if (try_read(l)) return 0;
    }
}

static inline bool read_at_once(struct rwlock *l) {
    struct slots *fast = l->fast;
    bool got = (HD__LIKELY(fast != NULL) &&
                HD__LIKELY(hd__rwlock_slot(fast, SLOT_READER, memory_order_acquire))) ||
               (HD__LIKELY(l->watch == NULL) && HD__LIKELY(try_read(l)));
    if (got) hd__sched_hostile_point();
    return got;
}

static HD__NOINLINE int read_lock(struct rwlock *l, struct call call) {
    int err = HD__UNLIKELY(l->watch != NULL) ? watched(l, READS, true, &call)
                                             : read_slow(l, &call);
    hd__sched_hostile_point();
    return err;
}

void hd_rwlock_rdlock(hd_rwlock *public) {
    struct rwlock *l = rwlock_of(public);
    if (!read_at_once(l)) (void)read_lock(l, (struct call)UNTIMED("hd_rwlock_rdlock"));
}

bool hd_rwlock_tryrdlock(hd_rwlock *public) {
    struct rwlock *l = rwlock_of(public);
    return HD__UNLIKELY(l->watch != NULL) ? watched(l, READS, false, NULL) == 0 : try_read(l);
}

int hd_rwlock_rdlock_until(hd_rwlock *public, uint64_t deadline_ns) {
    struct rwlock *l = rwlock_of(public);
    if (read_at_once(l)) return 0;
    return read_lock(l, (struct call)TIMED("hd_rwlock_rdlock_until", deadline_ns));
}

/* The last reader, while somebody waits. False: it is another's turn to see to that, or nobody's.
 * */
static HD__NOINLINE bool last_reader(struct rwlock *l) {
    bool done = false;
    hd__sched_enter();
    hd__spin_lock(&l->guard);
    uint64_t s = hd__load_relaxed(&l->state);
    if (s == (ONE_READER | WAITERS))
        done = hand_over(l, false);
    else
        hd__spin_unlock(&l->guard);
    hd__sched_leave();
    return done;
}

static HD__NOINLINE void read_unlock(struct rwlock *l) {
    if (HD__UNLIKELY(l->watch != NULL)) watch_giving(l);
    for (;;) {
        if (l->slots &&
            hd__rwlock_slot(l->slots, -(uint64_t)SLOT_READER, memory_order_release)) {
            return;
        }
        uint64_t s = hd__load_acquire(&l->state);
        if (HD__UNLIKELY(s & (OPEN | MOVING))) {
            hd__rwlock_wait_moved(l);
            continue;
        }
        HD__CHECK(s >= ONE_READER,
                  "hd_rwlock_rdunlock: rwlock %p is not locked for reading; give it back once, by "
                  "the call that belongs to the one that took it", (void *)l);
        if (HD__UNLIKELY(s == (ONE_READER | WAITERS))) {
            if (last_reader(l)) return;
        } else if (HD__LIKELY(atomic_compare_exchange_weak_explicit(
                       &l->state, &s, s - ONE_READER, memory_order_release,
                       memory_order_relaxed))) {
            return;
        }
    }
}

void hd_rwlock_rdunlock(hd_rwlock *public) {
    struct rwlock *l = rwlock_of(public);
    struct slots *fast = l->fast;
    hd__sched_hostile_point();
    if (fast && HD__LIKELY(hd__rwlock_slot(fast, -(uint64_t)SLOT_READER, memory_order_release))) {
        return;
    }
    /* Short as well: nobody waits, and there are no slots. */
    uint64_t s = hd__load_relaxed(&l->state);
    if (HD__UNLIKELY(l->watch != NULL || l->slots != NULL || s < ONE_READER ||
                     (s & (ONE_READER - 1)) != 0) ||
        !atomic_compare_exchange_strong_explicit(&l->state, &s, s - ONE_READER,
                                                 memory_order_release, memory_order_relaxed)) {
        read_unlock(l);
    }
}

/* ---- Writing ---- */

static inline bool try_write_free(struct rwlock *l) {
    uint64_t free = 0;
    return atomic_compare_exchange_strong_explicit(&l->state, &free, WRITER, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* Takes the lock, or returns with the guard held, and WAITERS set if `wait`. */
static bool take_or_mark(struct rwlock *l, bool wait) {
    hd__spin_lock(&l->guard);
    uint64_t s = hd__load_relaxed(&l->state);
    for (;;) {
        if (s & OPEN) {
            hd__rwlock_close(l);
            s = hd__load_relaxed(&l->state);
        } else if (s == 0) {
            if (change(l, &s, WRITER)) {
                hd__spin_unlock(&l->guard);
                return true;
            }
        } else if (!wait || (s & WAITERS) || change(l, &s, s | WAITERS)) {
            return false;
        }
    }
}

static inline void note_writer(struct rwlock *l) {
    hd__store_relaxed(&l->writer, hd__look_token() + 1);
}

static HD__NOINLINE int write_slow(struct rwlock *l, const struct call *call) {
    check_not_writer(l, call->name);
    hd__sched_enter();
    int err = 0;
    if (!take_or_mark(l, true)) err = queue_up(l, WRITES, call);
    if (!err) note_writer(l);
    hd__sched_leave();
    return err;
}

static inline bool try_write(struct rwlock *l) {
    if (!try_write_free(l)) return false;
    uint64_t me = hd__self_token();
    if (HD__UNLIKELY(me == HD__TOKEN_NONE)) {
        hd__sched_enter();
        me = hd__look_token();
        hd__sched_leave();
    }
    hd__store_relaxed(&l->writer, me + 1);
    return true;
}

static inline bool write_at_once(struct rwlock *l) {
    bool got = HD__LIKELY(l->watch == NULL) && HD__LIKELY(try_write(l));
    if (got) hd__sched_hostile_point();
    return got;
}

static HD__NOINLINE int write_lock(struct rwlock *l, struct call call) {
    int err = HD__UNLIKELY(l->watch != NULL) ? watched(l, WRITES, true, &call)
                                             : write_slow(l, &call);
    hd__sched_hostile_point();
    return err;
}

/* As try_write(), and closes the slots if need be. */
static bool try_write_open(struct rwlock *l) {
    if (try_write(l)) return true;
    if (!(hd__load_relaxed(&l->state) & OPEN)) return false;
    hd__sched_enter();
    bool got = take_or_mark(l, false);
    if (got)
        note_writer(l);
    else
        hd__spin_unlock(&l->guard);
    hd__sched_leave();
    return got;
}

void hd_rwlock_wrlock(hd_rwlock *public) {
    struct rwlock *l = rwlock_of(public);
    if (!write_at_once(l)) (void)write_lock(l, (struct call)UNTIMED("hd_rwlock_wrlock"));
}

bool hd_rwlock_trywrlock(hd_rwlock *public) {
    struct rwlock *l = rwlock_of(public);
    if (HD__UNLIKELY(l->watch != NULL)) return watched(l, WRITES, false, NULL) == 0;
    return try_write_open(l);
}

int hd_rwlock_wrlock_until(hd_rwlock *public, uint64_t deadline_ns) {
    struct rwlock *l = rwlock_of(public);
    if (write_at_once(l)) return 0;
    return write_lock(l, (struct call)TIMED("hd_rwlock_wrlock_until", deadline_ns));
}

static int watched(struct rwlock *l, uintptr_t what, bool wait, const struct call *call) {
    struct hd__watch_wait record = {0, 0};
    int err = 0;
    hd__sched_enter();
    if (wait) hd__watch_check(l->watch, call->name);
    hd__sched_leave();
    if (!(what == READS ? try_read(l) : try_write_open(l))) {
        record.since_ns = wait ? hd__os_now_ns() : 0;
        record.parked = wait; /* it does not spin */
        err = !wait ? -EBUSY : what == READS ? read_slow(l, call) : write_slow(l, call);
    }
    hd__sched_enter();
    if (err)
        hd__watch_failed(l->watch, &record);
    else
        hd__watch_taken(l->watch, &record);
    hd__sched_leave();
    return err;
}

static HD__COLD _Noreturn void die_not_writer(struct rwlock *l, uint64_t writer) {
    char lock[HD__WATCH_TEXT], caller[HD__LOOK_TEXT], owner[HD__LOOK_TEXT];
    hd__sched_enter();
    hd__fatal("hd_rwlock_wrunlock: %s is %s%s, and %s gives it back; only the thread that locked "
              "it may do that", hd__watch_text(lock, "rwlock", l, l->watch),
              writer ? "locked for writing by " : "not locked for writing",
              writer ? hd__look_text(owner, writer - 1) : "",
              hd__look_text(caller, hd__look_token()));
}

static HD__NOINLINE bool write_hand_over(struct rwlock *l) {
    hd__sched_enter();
    hd__spin_lock(&l->guard);
    bool done = hand_over(l, true);
    hd__sched_leave();
    return done;
}

void hd_rwlock_wrunlock(hd_rwlock *public) {
    struct rwlock *l = rwlock_of(public);
    hd__sched_hostile_point();
    uint64_t s = hd__load_relaxed(&l->state), writer = hd__load_relaxed(&l->writer);
    uint64_t me = hd__self_token();
    /* A kernel thread that has lost its number, since it ends, is believed. */
    if (HD__UNLIKELY(!(s & WRITER) || (writer != me + 1 && me != HD__TOKEN_NONE))) {
        die_not_writer(l, s & WRITER ? writer : 0);
    }
    if (HD__UNLIKELY(l->watch != NULL)) watch_giving(l);
    hd__store_relaxed(&l->writer, 0);
    for (;;) {
        s = WRITER;
        if (HD__LIKELY(atomic_compare_exchange_strong_explicit(
                &l->state, &s, 0, memory_order_release, memory_order_relaxed)) ||
            write_hand_over(l)) {
            return;
        }
    }
}

/* ---- Life ---- */

int hd__rwlock_init(hd_rwlock *public, const struct hd_lock_attr *attr) {
    struct rwlock *l = rwlock_of(public);
    memset(public, 0, sizeof *public);
    if (!attr) return 0;
    const unsigned allowed = HD_LOCK_COUNT | HD_LOCK_READ_MOSTLY;
    int err = hd__watch_make(&l->watch, attr, allowed, "rwlock", l);
    if (err || !(attr->flags & HD_LOCK_READ_MOSTLY)) return err;
    l->slots = hd__rwlock_slots();
    if (!l->slots) {
        hd__watch_free(l->watch);
        l->watch = NULL;
        return -ENOMEM;
    }
    l->fast = l->watch ? NULL : l->slots;
    hd__store_relaxed(&l->state, OPEN);
    return 0;
}

void hd_rwlock_finish(hd_rwlock *public) {
    struct rwlock *l = rwlock_of(public);
    if (!l) return;
    hd__sched_enter();
    hd__spin_lock(&l->guard);
    if (hd__load_relaxed(&l->state) & OPEN) hd__rwlock_close(l);
    uint64_t s = hd__load_relaxed(&l->state);
    char lock[HD__WATCH_TEXT], text[HD__LOOK_TEXT];
    HD__CHECK(s == 0, "hd_rwlock_finish: %s is locked for %s, and %s ends it; give it back first",
              hd__watch_text(lock, "rwlock", l, l->watch), s & WRITER ? "writing" : "reading",
              hd__look_text(text, hd__look_token()));
    hd__spin_unlock(&l->guard);
    hd__os_free(l->slots);
    hd__sched_leave();
    hd__watch_free(l->watch);
    memset(public, 0, sizeof *public);
}
