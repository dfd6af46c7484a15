/* SPDX-License-Identifier: MIT */
/* The public calls of the mutex: what is short, and what comes before and after the protocol, which
 * is in mutex.c.
 *
 * A mutex that is watched has a bit in its state word, so that the compare-and-swap of the short
 * paths, which expects the word of one that is not, fails; the others look for the bit. */
#include "arch/arch.h"
#include "base/atomic.h"
#include "base/check.h"
#include "os/clock.h"
#include "sched/rcu.h"
#include "sync/inherit.h"

#include <errno.h>
#include <string.h>

static inline struct hd__mutex *mutex_of(hd_mutex *m) {
    return (struct hd__mutex *)m;
}

/* The caller's number as in the state word, without the gate; at least HD__MUTEX_NOBODY if it has
 * none. */
static inline uint64_t me_unasked(void) {
#ifdef HD__TOKEN_READ
    uint64_t token;
    HD__TOKEN_READ(token);
    return token << 8;
#else
    return hd__self_token() << 8;
#endif
}

/* How many unlocks while a woken waiter does not arrive are enough: then the unlocker yields. Some
 * hundred microseconds for the shortest sections. */
enum { BARGED_MAX = 16384 };

static HD__ALWAYS_INLINE bool take_from(struct hd__mutex *m, uint64_t *s, uint64_t me) {
    return atomic_compare_exchange_strong_explicit(&m->state, s, *s | me | LOCKED,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* Inside: the whole of a call, if the mutex is watched. */
static int lock_watched(struct hd__mutex *m, bool wait, uint64_t deadline_ns, unsigned flags,
                        const char *call, const void *site) {
    struct hd__watch_wait record = {0, 0};
    uint64_t me = hd__mutex_me();
    int err = 0;
    if (wait) hd__watch_check(m->watch, call);
    if (!hd__mutex_try(m, me)) {
        if (wait) record.since_ns = hd__os_now_ns();
        err = wait ? hd__mutex_contend(m, me, deadline_ns, flags, site, &record) : -EBUSY;
    }
    if (err)
        hd__watch_failed(m->watch, &record);
    else
        hd__watch_taken(m->watch, &record);
    return err;
}

static inline bool is_watched(struct hd__mutex *m) {
    return HD__UNLIKELY(hd__load_relaxed(&m->state) & WATCHED);
}

static HD__NOINLINE bool try_slow(struct hd__mutex *m) {
    hd__sched_enter();
    bool got = is_watched(m) ? lock_watched(m, false, 0, 0, NULL, NULL) == 0
                             : hd__mutex_try(m, hd__mutex_me());
    hd__sched_leave();
    return got;
}

bool hd_mutex_trylock(hd_mutex *public) {
    struct hd__mutex *m = mutex_of(public);
    uint64_t me = me_unasked();
    if (HD__UNLIKELY(me >= HD__MUTEX_NOBODY || is_watched(m)) ? !try_slow(m)
                                                              : !hd__mutex_try(m, me)) {
        return false;
    }
    hd__sched_hostile_point();
    return true;
}

static HD__NOINLINE int lock_slow(struct hd__mutex *m, uint64_t deadline_ns, unsigned flags,
                                  const char *call, const void *site) {
    hd__sched_enter();
    int err = is_watched(m)
                  ? lock_watched(m, true, deadline_ns, flags, call, site)
                  : hd__mutex_contend(m, hd__mutex_me(), deadline_ns, flags, site, NULL);
    hd__sched_leave();
    return err;
}

int hd_mutex_lock_until(hd_mutex *public, uint64_t deadline_ns) {
    struct hd__mutex *m = mutex_of(public);
    uint64_t me = me_unasked();
    int err = 0;
    if (me >= HD__MUTEX_NOBODY || is_watched(m) || !hd__mutex_try(m, me)) {
        err = lock_slow(m, deadline_ns, 0, "hd_mutex_lock_until", __builtin_return_address(0));
    }
    hd__sched_hostile_point();
    return err;
}

void hd_mutex_lock(hd_mutex *public) {
    struct hd__mutex *m = mutex_of(public);
    uint64_t me = me_unasked(), s = 0;
    bool got = HD__LIKELY(me < HD__MUTEX_NOBODY) &&
               (HD__LIKELY(take_from(m, &s, me)) ||
                /* Free, perhaps, though others wait. */
                (!(s & (LOCKED | WATCHED)) && take_from(m, &s, me)));
    if (HD__UNLIKELY(!got)) {
        (void)lock_slow(m, HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE, "hd_mutex_lock",
                        __builtin_return_address(0));
    }
    hd__sched_hostile_point();
}

static HD__NOINLINE void unlock_slow(struct hd__mutex *m, uint64_t me) {
    if (is_watched(m) || !hd__mutex_give_quietly(m, me, "hd_mutex_unlock")) {
        hd__sched_enter();
        hd__mutex_give(m, me, "hd_mutex_unlock");
        hd__sched_leave();
    }
}

/* The woken waiter does not arrive: it is in the queue of a worker, most likely the caller's.
 * Unless the caller is not to be preempted, or is in a read section, in which it must not yield. */
static HD__COLD void give_way(void) {
    struct hd__worker *w = hd__sched_enter();
    hd_thread *t = w ? hd__wait_self() : NULL;
    if (t && (t->no_preempt & (HD__PREEMPT_DUE - 1)) == 0 &&
        !(hd__thread_flags(t) & HD__THREAD_UNPREEMPTED) && !hd__rcu_reading())
        hd__sched_yield();
    hd__sched_leave();
}

void hd_mutex_unlock(hd_mutex *public) {
    struct hd__mutex *m = mutex_of(public);
    hd__sched_hostile_point();
    uint64_t me = me_unasked(), s = me | LOCKED;
    if (HD__LIKELY(atomic_compare_exchange_strong_explicit(&m->state, &s, 0, memory_order_release,
                                                           memory_order_relaxed))) {
        return;
    }
    /* A waiter is on its way, perhaps, and nobody is to be woken. */
    if ((s & ~(uint64_t)WAITERS) != (me | LOCKED | WOKEN)) {
        unlock_slow(m, me);
        return;
    }
    bool enough = ++m->barged % BARGED_MAX == 0;
    if (!atomic_compare_exchange_strong_explicit(&m->state, &s, s & (WAITERS | WOKEN),
                                                 memory_order_release, memory_order_relaxed)) {
        unlock_slow(m, me);
    }
    if (HD__UNLIKELY(enough)) give_way();
}

/* ---- Life ---- */

int hd__mutex_init(hd_mutex *public, const struct hd_lock_attr *attr) {
    struct hd__mutex *m = mutex_of(public);
    memset(public, 0, sizeof *public);
    int err = attr ? hd__watch_make(&m->watch, attr, HD_LOCK_COUNT | HD_LOCK_INHERIT, "mutex", m)
                   : 0;
    if (m->watch) hd__store_relaxed(&m->state, WATCHED);
    return err;
}

void hd_mutex_finish(hd_mutex *public) {
    struct hd__mutex *m = mutex_of(public);
    if (!m) return;
    hd__sched_enter();
    /* What the last one that had it did happens before. */
    uint64_t s = hd__load_acquire(&m->state);
    char lock[HD__WATCH_TEXT], caller[HD__LOOK_TEXT], owner[HD__LOOK_TEXT];
    HD__CHECK(!(s & (LOCKED | WAITERS | WOKEN)),
              "hd_mutex_finish: %s is locked by %s, and %s ends it; unlock it first",
              hd__watch_text(lock, "mutex", m, m->watch), hd__look_text(owner, s >> 8),
              hd__look_text(caller, hd__look_token()));
    hd__sched_leave();
    hd__watch_free(m->watch);
    memset(public, 0, sizeof *public);
}
