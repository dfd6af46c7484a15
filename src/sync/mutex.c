/* SPDX-License-Identifier: MIT */
/* The mutex: barging, for a bounded time.
 *
 * Idea. A free mutex is taken and given back by one compare-and-swap each. A waiter that is woken
 * does not own the mutex yet: it competes with whoever comes by ("barging"). Handing the mutex to
 * each waiter would keep it locked while the waiter travels through a run queue, and everybody who
 * comes meanwhile would park as well; throughput falls to one section per context switch. Barging
 * alone lets a waiter lose for ever. So a woken waiter competes for BARGING_NS at most, and is then
 * handed the mutex by the next unlock. A waiter that lost goes back to the *front* of the queue, so
 * the order among waiters is kept, and each waits for those before it, a bounded time for each.
 *
 * Spinning. While the owner runs on a worker, its unlock is likely to come sooner than a switch
 * would: so whoever comes and finds nobody waiting looks at the mutex for SPIN_NS before it queues
 * itself. A woken waiter with nothing else to run on its worker spends its BARGING_NS in that way,
 * with long pauses: the owners meanwhile have the mutex's cache line to themselves, and pass it on
 * once in BARGING_NS and not once a section. When the time is over it queues itself as SPINNING:
 * it is handed the mutex without having to be woken. An owner that does not run, or of whom that
 * cannot be known, a foreign kernel thread, is not waited for actively.
 *
 * Few wake-ups. At most one woken waiter is on its way at a time (WOKEN): until it has arrived,
 * unlocks leave the others asleep and stay on their short path.
 *
 * Rejected: a queue lock (MCS: hands over directly, see above); waiters in a table hashed by
 * address, which makes a mutex one word but costs the slow path a shared lock; releasing before
 * taking the guard, which touches the mutex after another thread may have freed it; counting lost
 * races instead of time, since an owner that comes again and again wins thousands in a moment.
 *
 * The state word: flags in the lowest byte, above them the owner's number (hd__look_token()); no
 * owner without LOCKED. A caller that is not the owner is found out in this way at no cost.
 *
 *   LOCKED   somebody owns it. Set by compare-and-swap of whoever takes it. Cleared by the owner.
 *   WAITERS  the queue is not empty. Set under the guard; cleared under it, or by a woken waiter
 *            that spins and hides that others wait: it sets it again when it takes the mutex or
 *            queues itself. So owners stay on their shortest path while it spins.
 *   WOKEN    a waiter was woken to compete and has neither taken the mutex nor queued itself
 *            again, nor hidden the others. Set under the guard, by whoever wakes; cleared by a
 *            woken waiter.
 *   NEXT     a condition was signalled by the owner, and nobody waited: `next` is the waiter,
 *            claimed, to whom the owner hands the mutex; without the guard, since both are the
 *            owner's alone. If others have come to wait meanwhile, the waiter goes behind them
 *            first.
 *   WATCHED  there is more to do (watch.h), so that no inline path applies. Set by init alone.
 *
 *   0 <-> LOCKED                                   lock, unlock: nobody waits
 *   LOCKED -> LOCKED|WAITERS                       a waiter queues itself (guard)
 *   LOCKED|WAITERS -> WOKEN[|WAITERS]              unlock wakes the first waiter (guard)
 *   LOCKED|WAITERS -> LOCKED[|WAITERS]             unlock hands over to a starving one (guard)
 *   LOCKED -> LOCKED|NEXT -> LOCKED                signal, unlock: the next one owns it
 *   WOKEN|... <-> LOCKED|WOKEN|...                 others barge meanwhile
 *   WOKEN|... -> LOCKED|...                        the woken waiter takes it
 *   LOCKED|WOKEN|... -> LOCKED                     the woken waiter spins, and hides the others
 *   LOCKED|... -> LOCKED|WAITERS                   the woken waiter lost, and queues again (guard)
 *   0 -> WOKEN[|WAITERS]                           a condition sends it waiters (guard)
 *
 * Invariant: while the queue is not empty, either the mutex is LOCKED and WAITERS is set, or a
 * woken waiter is on its way or hides the others. So somebody who will unlock, and then see
 * WAITERS, is always there: the owner, or that waiter once it has taken the mutex. There may be
 * several of the latter, since a condition adds its own and newcomers set WAITERS beside one that
 * hides the others; that costs superfluous wake-ups and breaks nothing, since each of them sets
 * WAITERS or leaves it as it is. WOKEN and WAITERS are taken away without the guard only where the
 * result has LOCKED.
 *
 * Ordering. Taking is an acquire, in try_take(), spin_in_queue() and the fast paths; giving back a
 * release, in hd_mutex_unlock(), hd__mutex_give() and wake_next(). They pair through the state
 * word; the read-modify-writes in between, by anybody, continue the release sequence. A mutex that
 * is handed to a parked waiter is ordered by hd__wait_wake() and the return of hd__wait_park()
 * instead.
 *
 * Memory. An owner may free the mutex right after its unlock if nobody else uses it, even while the
 * unlocker before it has not returned: the last access of each unlock is the compare-and-swap that
 * clears LOCKED, or the release of the guard with a claimed waiter in hand (queue.h, rule 2). One
 * that was handed the mutex while it was spinning is not claimed; it takes the guard once before it
 * goes on, so the unlocker has released it. */
#include "sync/inherit.h"

#include "arch/arch.h"
#include "base/atomic.h"
#include "base/check.h"
#include "os/clock.h"

/* How long a woken waiter competes, in all; the time in the queue before does not count. And how
 * often it may lose, where it does not spin. */
static const uint64_t BARGING_NS = 50 * 1000;
static const uint64_t LOSING_MAX_NS = 5 * 1000 * 1000;
enum { LOSSES_MAX = 8 };

/* How long somebody new looks before it queues itself, and the longest pause between two looks of
 * either kind, in turns of hd__cpu_relax(). */
static const uint64_t SPIN_NS = 4 * 1000;
enum { PAUSE_NEW = 8, PAUSE_WOKEN = 256 };

static inline bool inherits(const struct hd__mutex *m) {
    return m->watch && (m->watch->flags & HD_LOCK_INHERIT);
}

/* Takes the mutex if it is free. A woken waiter takes WOKEN away with the same instruction: from
 * then on it is an owner like any other, and its unlock wakes the next. */
static inline bool try_take(struct hd__mutex *m, uint64_t me, enum kind kind) {
    uint64_t s = hd__load_relaxed(&m->state);
    while (!(s & LOCKED)) {
        uint64_t taken = (kind == NEW ? s : s & ~(uint64_t)WOKEN) | me | LOCKED;
        if (kind == HIDING) taken |= WAITERS;
        if (atomic_compare_exchange_weak_explicit(&m->state, &s, taken, memory_order_acquire,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

/* Takes the mutex (true), or queues w and returns with the guard held (false). The guard is taken
 * before the last look, so that the compare-and-swap that sets WAITERS, together with the queue, is
 * one step for everybody who acts under the guard.
 *
 * Not inlined: gcc cannot see that others take w out of the queue before contend() returns. */
static HD__NOINLINE bool take_or_queue(struct hd__mutex *m, struct hd__wait *w, enum kind kind) {
    uint64_t me = w->tag & ~(uint64_t)FLAGS;
    hd__spin_lock(&m->guard);
    uint64_t s = hd__load_relaxed(&m->state);
    for (;;) {
        if (!(s & LOCKED)) {
            if (try_take(m, me, kind)) {
                hd__spin_unlock(&m->guard);
                return true;
            }
            s = hd__load_relaxed(&m->state);
            continue;
        }
        /* Relaxed: an owner that sees WAITERS takes the guard before it looks at the queue. */
        uint64_t queued = (kind == NEW ? s : s & ~(uint64_t)WOKEN) | WAITERS;
        if (atomic_compare_exchange_weak_explicit(&m->state, &s, queued, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            break;
        }
    }
    if (kind != NEW) {
        hd__waitq_push_front(&m->queue, w);
    } else {
        hd__waitq_push_back(&m->queue, w);
    }
    return false;
}

/* After a wait that nobody claimed. */
static void leave_queue(struct hd__mutex *m, struct hd__wait *w) {
    hd__spin_lock(&m->guard);
    hd__waitq_remove(&m->queue, w);
    if (m->queue.head == NULL) {
        atomic_fetch_and_explicit(&m->state, ~(uint64_t)WAITERS, memory_order_relaxed);
    }
    hd__spin_unlock(&m->guard);
}

/* ---- Spinning ---- */

struct spin {
    struct hd__worker *runner; /* of the owner */
    uint64_t owner;            /* as in the state word */
    uint64_t until_ns;
    unsigned pause, longest;
    bool foreign;              /* and so is to call hd__runtime_leave() */
};

/* Whether there is an owner to spin for. If so, spin_end() must follow. */
static bool spin_begin(struct spin *spin, uint64_t for_ns, uint64_t deadline_ns,
                       unsigned longest) {
    uint64_t now_ns = hd__os_now_ns();
    spin->until_ns = deadline_ns - now_ns < for_ns ? deadline_ns : now_ns + for_ns;
    spin->owner = 0;
    spin->runner = NULL;
    spin->pause = 1;
    spin->longest = longest;
    spin->foreign = hd__worker_get() == NULL;
    if (deadline_ns <= now_ns || hd__rt.worker_count < 2) return false;
    if (spin->foreign) {
        hd__runtime_enter();
        if (atomic_load_explicit(&hd__rt.state, memory_order_seq_cst) != HD__RT_ON) {
            hd__runtime_leave();
            return false;
        }
    }
    return true;
}

static void spin_end(struct spin *spin) {
    if (spin->foreign) hd__runtime_leave();
}

/* One pause, in the state s; false: it is no use any more. */
static bool spin_once(struct spin *spin, uint64_t s) {
    if (s & LOCKED) {
        uint64_t owner = s & ~(uint64_t)FLAGS;
        if (owner != spin->owner) {
            spin->owner = owner;
            spin->runner = hd__look_runner(owner >> 8);
        }
        if (!spin->runner || !hd__look_runs(spin->runner, owner >> 8)) return false;
    }
    for (unsigned i = 0; i < spin->pause; i++) hd__cpu_relax();
    if (spin->pause < spin->longest) spin->pause *= 2;
    return hd__os_now_ns() < spin->until_ns;
}

/* Somebody new. Those who wait already come first. */
static bool spin_new(struct hd__mutex *m, uint64_t me, uint64_t deadline_ns) {
    struct spin spin;
    bool got = false;
    if (!hd__look_alone() || !spin_begin(&spin, SPIN_NS, deadline_ns, PAUSE_NEW)) return false;
    for (;;) {
        uint64_t s = hd__load_relaxed(&m->state);
        if (!(s & LOCKED) && (got = try_take(m, me, NEW))) break;
        if ((s & (WAITERS | WOKEN)) || !spin_once(&spin, s)) break;
    }
    spin_end(&spin);
    return got;
}

enum { TAKEN, LOST, STARVED };

/* Takes the flags away that keep owners from their shortest path. Who has done that sees to it that
 * WAITERS is set again when it takes the mutex or queues itself. */
static void hide_waiters(struct hd__mutex *m) {
    uint64_t s = hd__load_relaxed(&m->state);
    while ((s & LOCKED) && !atomic_compare_exchange_weak_explicit(
                               &m->state, &s, s & ~(uint64_t)(WAITERS | WOKEN),
                               memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* A woken waiter. STARVED: it has spent its time of competing. */
static int spin_woken(struct hd__mutex *m, uint64_t me, uint64_t deadline_ns, enum kind *kind) {
    struct spin spin;
    int result = LOST;
    if (!spin_begin(&spin, BARGING_NS, deadline_ns, PAUSE_WOKEN)) return LOST;
    for (;;) {
        uint64_t s = hd__load_relaxed(&m->state);
        if (!(s & LOCKED) && try_take(m, me, *kind)) {
            result = TAKEN;
            break;
        }
        if (!hd__look_alone()) break;
        if (!spin_once(&spin, s)) {
            if (hd__os_now_ns() >= spin.until_ns) result = STARVED;
            break;
        }
        if (*kind == ARRIVED) hide_waiters(m);
        *kind = HIDING;
    }
    spin_end(&spin);
    return result;
}

/* In the queue, as SPINNING; the guard is held, and will be when this returns: true if the mutex
 * was handed over, else w waits in the queue like any other. */
static bool spin_in_queue(struct hd__mutex *m, struct hd__wait *w, uint64_t deadline_ns) {
    struct spin spin;
    uint64_t me = w->tag & ~(uint64_t)FLAGS, s;
    hd__spin_unlock(&m->guard);
    if (spin_begin(&spin, BARGING_NS, deadline_ns, PAUSE_NEW)) {
        /* Acquire: see the head. */
        while (((s = hd__load_acquire(&m->state)) & ~(uint64_t)FLAGS) != me &&
               spin_once(&spin, s)) {
        }
        spin_end(&spin);
    }
    hd__spin_lock(&m->guard);
    w->tag &= ~(uintptr_t)SPINNING;
    return !w->queued;
}

/* ---- Waiting ---- */

HD__COLD _Noreturn void hd__mutex_die_recursive(struct hd__mutex *m, uint64_t me) {
    char lock[HD__WATCH_TEXT], text[HD__LOOK_TEXT];
    hd__fatal("hd_mutex_lock: %s is locked already by %s, the caller, which would wait for "
              "itself; a mutex is not recursive", hd__watch_text(lock, "mutex", m, m->watch),
              hd__look_text(text, me >> 8));
}

/* Competes for the mutex until it has it or the wait fails. ARRIVED: the caller is the waiter that
 * WOKEN speaks of. wait may be NULL. */
static int contend(struct hd__mutex *m, uint64_t me, enum kind kind, uint64_t deadline_ns,
                   unsigned flags, const void *site, struct hd__watch_wait *wait) {
    struct hd__wait w;
    unsigned losses = 0;
    uint64_t since_ns = 0;
    bool starving = false, spinning = false;
    /* Where others wait, racing with the owner for the cache line only makes both slow. */
    if (kind != NEW || !(hd__load_relaxed(&m->state) & WAITERS)) {
        if (try_take(m, me, kind) || (kind == NEW && spin_new(m, me, deadline_ns))) {
            return 0;
        }
    }
    if ((hd__load_relaxed(&m->state) & ~(uint64_t)FLAGS) == me) hd__mutex_die_recursive(m, me);
    for (;;) {
        hd__wait_init(&w, "mutex", m, site);
        w.tag = me | (starving ? STARVING : 0) | (spinning ? SPINNING : 0);
        if (take_or_queue(m, &w, kind)) {
            return 0;
        }
        if (spinning && spin_in_queue(m, &w, deadline_ns)) {
            hd__spin_unlock(&m->guard);
            return 0;
        }
        if (wait) wait->parked++;
        int err = hd__wait_park(&w, &m->guard, deadline_ns, flags);
        if (err != 0) {
            leave_queue(m, &w);
            return err;
        }
        if (w.tag & HANDED) {
            return 0;
        }
        kind = ARRIVED;
        int spun = spin_woken(m, me, deadline_ns, &kind);
        if (spun == TAKEN || try_take(m, me, kind)) {
            return 0;
        }
        uint64_t now_ns = hd__os_now_ns(); /* read by losers only */
        if (losses++ == 0) {
            since_ns = now_ns;
        }
        spinning = spun == STARVED;
        starving = spinning || losses >= LOSSES_MAX || now_ns - since_ns >= LOSING_MAX_NS;
    }
}

/* The owner's part when somebody waits and nobody is on its way: gives the mutex back and wakes
 * the first waiter, or hands it over. False when all waiters had given up: then the mutex is still
 * the caller's, WAITERS is clear, and the guard is released without effect (queue.h, rule 2). */
static bool wake_next(struct hd__mutex *m, hd_thread **wake) {
    hd__spin_lock(&m->guard);
    struct hd__wait *w;
    while ((w = hd__waitq_pop_front(&m->queue)) != NULL) {
        if ((w->tag & (CLAIMED | SPINNING)) || hd__wait_claim(w)) {
            break;
        }
    }
    if (w == NULL) {
        atomic_fetch_and_explicit(&m->state, ~(uint64_t)WAITERS, memory_order_relaxed);
        hd__spin_unlock(&m->guard);
        return false;
    }
    uint64_t clear = ~(uint64_t)FLAGS | (m->queue.head == NULL ? WAITERS : 0), set = 0;
    *wake = w->tag & SPINNING ? NULL : w->party;
    if (w->tag & STARVING) {
        w->tag |= HANDED;
        set = w->tag & ~(uint64_t)FLAGS;
    } else {
        clear |= LOCKED;
        set = WOKEN;
    }
    uint64_t s = hd__load_relaxed(&m->state);
    while (!atomic_compare_exchange_weak_explicit(&m->state, &s, (s & ~clear) | set,
                                                  memory_order_release, memory_order_relaxed)) {
    }
    hd__spin_unlock(&m->guard);
    return true;
}

/* The owner's part when it has signalled a waiter and nobody else waits: hands the mutex over. */
static bool hand_to_next(struct hd__mutex *m, hd_thread **wake) {
    struct hd__wait *w = m->next;
    uint64_t s = hd__load_relaxed(&m->state), to = w->tag & ~(uint64_t)FLAGS;
    w->tag |= HANDED;
    m->next = NULL;
    *wake = w->party;
    while (!(s & WAITERS)) {
        uint64_t handed = (s & (WOKEN | WATCHED)) | to | LOCKED;
        if (atomic_compare_exchange_weak_explicit(&m->state, &s, handed, memory_order_release,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
    *wake = NULL;
    w->tag = (w->tag & ~(uintptr_t)HANDED) | CLAIMED;
    w->what = "mutex";
    w->object = m;
    hd__spin_lock(&m->guard);
    hd__waitq_push_back(&m->queue, w);
    s = hd__load_relaxed(&m->state);
    while (!atomic_compare_exchange_weak_explicit(&m->state, &s, (s & ~(uint64_t)NEXT) | WAITERS,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    hd__spin_unlock(&m->guard);
    return false;
}

static HD__COLD _Noreturn void die_not_owner(struct hd__mutex *m, uint64_t s, uint64_t me,
                                             const char *call) {
    char lock[HD__WATCH_TEXT], caller[HD__LOOK_TEXT], owner[HD__LOOK_TEXT];
    hd__fatal("%s: %s is %s%s, and %s gives it back; only the thread that locked it may do "
              "that", call, hd__watch_text(lock, "mutex", m, m->watch),
              s & LOCKED ? "locked by " : "not locked",
              s & LOCKED ? hd__look_text(owner, s >> 8) : "",
              hd__look_text(caller, me >= HD__MUTEX_NOBODY ? HD__TOKEN_NONE : me >> 8));
}

/* A kernel thread that has lost its number, since it ends, is believed. */
static inline void check_owner(struct hd__mutex *m, uint64_t s, uint64_t me, const char *call) {
    if (HD__UNLIKELY(!(s & LOCKED) || ((s & ~(uint64_t)FLAGS) != me && me != HD__MUTEX_NOBODY))) {
        die_not_owner(m, s, me, call);
    }
}

/* Gives the mutex back if that needs nobody to be woken: nobody waits, or somebody is on the way
 * already and will see to the others. */
bool hd__mutex_give_quietly(struct hd__mutex *m, uint64_t me, const char *call) {
    uint64_t s = hd__load_relaxed(&m->state);
    do {
        check_owner(m, s, me, call);
        if ((s & NEXT) || (s & (WAITERS | WOKEN)) == WAITERS) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&m->state, &s, s & (FLAGS & ~LOCKED),
                                                    memory_order_release, memory_order_relaxed));
    return true;
}

static void give_watched(struct hd__mutex *m, uint64_t me, const char *call) {
    check_owner(m, hd__load_relaxed(&m->state), me, call);
    hd__watch_giving(m->watch);
}

HD__NOINLINE hd_thread *hd__mutex_give_parking(struct hd__mutex *m, uint64_t me,
                                               const char *call) {
    hd_thread *wake = NULL;
    if (HD__UNLIKELY(m->watch != NULL)) {
        give_watched(m, me, call);
        if (m->watch->flags & HD_LOCK_INHERIT) {
            hd__inherit_give(m);
            return NULL;
        }
    }
    while (!hd__mutex_give_quietly(m, me, call)) {
        if (hd__load_relaxed(&m->state) & NEXT ? hand_to_next(m, &wake) : wake_next(m, &wake)) {
            break;
        }
    }
    return wake;
}

void hd__mutex_give(struct hd__mutex *m, uint64_t me, const char *call) {
    hd_thread *wake = hd__mutex_give_parking(m, me, call);
    if (wake) hd__wait_wake_party(wake);
}

/* The caller has the mutex, and nobody waits for it: w is its next owner. */
static bool note_next(struct hd__mutex *m, struct hd__wait *w) {
    uint64_t s = hd__mutex_me() | LOCKED;
    if (hd__load_relaxed(&m->state) != s) return false;
    m->next = w;
    if (atomic_compare_exchange_strong_explicit(&m->state, &s, s | NEXT, memory_order_relaxed,
                                                memory_order_relaxed)) {
        return true;
    }
    m->next = NULL;
    return false;
}

void hd__mutex_requeue(struct hd__mutex *m, struct hd__waitq *claimed) {
    if (HD__UNLIKELY(inherits(m))) {
        hd__inherit_requeue(m, claimed);
        return;
    }
    if (claimed->head == claimed->tail && note_next(m, claimed->head)) {
        return;
    }
    hd__spin_lock(&m->guard);
    struct hd__wait *first = claimed->head;
    uint64_t s = hd__load_relaxed(&m->state), next;
    do {
        if (s & LOCKED) {
            next = s | WAITERS;
        } else {
            next = s | WOKEN | (first != claimed->tail ? WAITERS : 0);
        }
    } while (!atomic_compare_exchange_weak_explicit(&m->state, &s, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    if (s & LOCKED) {
        first = NULL;
    } else {
        hd__waitq_pop_front(claimed);
        first->tag |= CLAIMED;
    }
    struct hd__wait *w;
    while ((w = hd__waitq_pop_front(claimed)) != NULL) {
        w->tag |= CLAIMED;
        w->what = "mutex";
        w->object = m;
        hd__waitq_push_back(&m->queue, w);
    }
    hd__spin_unlock(&m->guard);
    if (first != NULL) {
        hd__wait_wake(first);
    }
}

void hd__mutex_retake(struct hd__mutex *m, struct hd__wait *w, bool signalled, const void *site) {
    if (!(signalled && (w->tag & HANDED))) {
        uint64_t me = w->tag & ~(uint64_t)FLAGS;
        if (HD__UNLIKELY(inherits(m)))
            (void)hd__inherit_lock(m, me, HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE, site, NULL);
        else if (!try_take(m, me, signalled ? ARRIVED : NEW))
            (void)contend(m, me, signalled ? ARRIVED : NEW, HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE,
                          site, NULL);
    }
    if (HD__UNLIKELY(m->watch != NULL)) hd__watch_retaken(m->watch);
}

bool hd__mutex_try(struct hd__mutex *m, uint64_t me) {
    return HD__UNLIKELY(inherits(m)) ? hd__inherit_trylock(m, me) : try_take(m, me, NEW);
}

int hd__mutex_contend(struct hd__mutex *m, uint64_t me, uint64_t deadline_ns, unsigned flags,
                      const void *site, struct hd__watch_wait *wait) {
    if (HD__UNLIKELY(inherits(m)))
        return hd__inherit_lock(m, me, deadline_ns, flags, site, wait);
    return contend(m, me, NEW, deadline_ns, flags, site, wait);
}
