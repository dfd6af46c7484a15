/* SPDX-License-Identifier: MIT */
/* Finding work when there is none at hand, and sleeping without missing any.
 *
 * A worker without work searches for a while (injected threads, its inbox, expired timers of any
 * worker, theft), then parks on a futex of its own. hd__rt.idle counts both kinds. Whoever makes a
 * thread runnable wakes one parked worker, but only if nobody searches already: the searcher will
 * find it, and the last searcher that finds something wakes the next if there is more. So work
 * spreads in a chain instead of a herd (as in Go's scheduler, and in Cilk's).
 *
 * No lost wake-up. Pusher: locks a queue, pushes, unlocks, then looks at hd__rt.idle. Parker: adds
 * itself to hd__rt.idle, then looks into every queue under its lock. The two critical sections on
 * that queue's lock are ordered. If the parker's came first, its addition happened before the
 * pusher's look, which sees it. If the pusher's came first, the parker sees the thread. No fence
 * is needed in the push; this is why the queues have locks (runq.h).
 *
 * Timers. One parked worker, the keeper, sleeps until the earliest deadline of all workers' heaps;
 * the others sleep without one. Who arms a timer that the keeper does not cover, and goes on
 * running threads, wakes somebody to become the keeper. Both sides change hd__rt.idle between
 * their store and their look, the armer by adding nothing: whichever change comes second sees
 * what the other side stored before its own.
 *
 * The last worker to park with no timer left looks for a deadlock, rarely (deadlock.c). */
#include <errno.h>

#include "base/check.h"
#include "os/clock.h"
#include "os/futex.h"
#include "sched/alarm.h"
#include "sched/follow.h"
#include "sched/monitor.h"
#include "sched/place.h"
#include "sched/ranked.h"

struct hd__poller hd__poller;

enum { DEADLOCK_FIRST_LOOK_NS = 20 * 1000 * 1000, DEADLOCK_LAST_LOOK_NS = 1000 * 1000 * 1000 };

static uint32_t idle_add(int32_t delta) {
    uint32_t add = (uint32_t)delta;
    return atomic_fetch_add_explicit(&hd__rt.idle, add, memory_order_seq_cst) + add;
}

/* ---- Stealing ---- */

/* Moves the older half of a ring, a batch at most, into taken[]. Lock held. */
static uint32_t take_half(struct hd__ring *r, bool oldest_at_front, hd_thread **taken) {
    uint32_t n = (hd__ring_count(r) + 1) / 2;
    if (n > hd__rt.steal_batch) n = hd__rt.steal_batch;
    for (uint32_t i = 0; i < n; i++)
        taken[i] = oldest_at_front ? hd__ring_take_front(r) : hd__ring_take_back(r);
    return n;
}

/* Takes from v: the oldest to run now, the others into w's queue. The two locks are never held
 * together. */
static hd_thread *steal_from(struct hd__worker *w, struct hd__worker *v) {
    hd_thread *taken[HD__STEAL_MAX];
    if (hd__runq_count(&v->runq) == 0 || !hd__spin_trylock(&v->runq.lock)) return NULL;
    uint32_t n = take_half(&v->runq.fifo, true, taken);
    if (n == 0) n = take_half(&v->runq.lifo, false, taken);
    hd__spin_unlock(&v->runq.lock);
    for (uint32_t i = 1; i < n; i++) hd__sched_ready_back(w, taken[i]);
    return n ? taken[0] : NULL;
}

static hd_thread *steal_in_order(struct hd__worker *w, struct hd__order *o, unsigned start) {
    unsigned v;
    for (unsigned g = 0; g < hd__order_groups(o, w->index); g++) {
        for (unsigned i = 0;
             (v = hd__order_victim(o, w->index, g, i, start)) != HD__TOPO_NONE; i++) {
            hd_thread *t = steal_from(w, &hd__rt.workers[v]);
            if (t) return t;
        }
    }
    return NULL;
}

static hd_thread *steal(struct hd__worker *w) {
    unsigned n = hd__rt.worker_count;
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    unsigned start = (unsigned)(w->random >> 33);
    struct hd__order *o = atomic_load_explicit(&hd__rt.order, memory_order_acquire);
    if (o) return steal_in_order(w, o, start);
    start %= n;
    for (unsigned i = 0; i < n; i++) {
        struct hd__worker *v = &hd__rt.workers[(start + i) % n];
        if (v == w) continue;
        hd_thread *t = steal_from(w, v);
        if (t) return t;
    }
    return NULL;
}

hd_thread *hd__idle_steal(struct hd__worker *w) {
    return steal(w);
}

/* ---- Timers ---- */

uint64_t hd__idle_earliest_deadline(void) {
    uint64_t earliest = HD_FOREVER;
    for (unsigned i = 0; i < hd__rt.worker_count; i++) {
        uint64_t d = hd__timers_earliest(&hd__rt.workers[i].timers);
        if (d < earliest) earliest = d;
    }
    return earliest;
}

static void expire_all(struct hd__worker *w, uint64_t now_ns) {
    for (unsigned i = 0; i < hd__rt.worker_count; i++) {
        struct hd__timers *h = &hd__rt.workers[i].timers;
        if (hd__timers_earliest(h) <= now_ns) hd__sched_expire(w, h, now_ns, HD__PRIORITY_HIGHEST);
    }
}

void hd__idle_cover_timer(uint64_t deadline_ns) {
    uint32_t word = idle_add(0);
    if (HD__IDLE_SEARCHING(word) != 0) return;
    if (HD__IDLE_PARKED(word) == 0) {
        struct hd__worker *w = hd__worker_get();
        bool minds = w && hd__alarm_cover(w, deadline_ns);
        hd__monitor_cover(hd__alarm_after(deadline_ns, minds ? HD__ALARM_TRUST_NS : 0));
    } else if (deadline_ns <
             atomic_load_explicit(&hd__rt.keeper_deadline_ns, memory_order_relaxed)) {
        hd__idle_wake_one();
    }
}

/* ---- I/O ---- */

static bool io_in_flight(void) {
    return atomic_load_explicit(&hd__poller.in_flight, memory_order_seq_cst) != 0;
}

static bool io_uncovered(void) {
    return io_in_flight() && !atomic_load_explicit(&hd__rt.io_keeper, memory_order_relaxed);
}

/* ---- The list of parked workers; idle_lock held ---- */

static void list_add(struct hd__worker *w) {
    w->idle_prev = NULL;
    w->idle_next = hd__rt.idle_list;
    if (w->idle_next) w->idle_next->idle_prev = w;
    hd__rt.idle_list = w;
    w->listed = true;
}

static void list_remove(struct hd__worker *w) {
    if (w->idle_prev)
        w->idle_prev->idle_next = w->idle_next;
    else
        hd__rt.idle_list = w->idle_next;
    if (w->idle_next) w->idle_next->idle_prev = w->idle_prev;
    w->listed = false;
    if (hd__rt.keeper == w) {
        hd__rt.keeper = NULL;
        atomic_store_explicit(&hd__rt.keeper_deadline_ns, HD_FOREVER, memory_order_relaxed);
    }
    if (atomic_load_explicit(&hd__rt.io_keeper, memory_order_relaxed) == w)
        atomic_store_explicit(&hd__rt.io_keeper, NULL, memory_order_relaxed);
    idle_add(HD__IDLE_ONE_SEARCHING - HD__IDLE_ONE_PARKED);
}

/* ---- Waking ---- */

/* Takes w off the list and lets it go; it counts as searching from now on. idle_lock is held and
 * released here. */
static void release_and_wake(struct hd__worker *w) {
    bool in_poller = atomic_load_explicit(&hd__rt.io_keeper, memory_order_relaxed) == w;
    list_remove(w);
    atomic_store_explicit(&w->notified, 1, memory_order_release);
    hd__spin_unlock(&hd__rt.idle_lock);
    if (in_poller)
        hd__poller.kick();
    else
        hd__os_futex_wake(&w->notified, 1);
}

void hd__idle_wake_one(void) {
    hd__spin_lock(&hd__rt.idle_lock);
    uint32_t word = atomic_load_explicit(&hd__rt.idle, memory_order_relaxed);
    if (hd__rt.idle_list && HD__IDLE_SEARCHING(word) == 0) {
        release_and_wake(hd__rt.idle_list);
        return;
    }
    bool tell = !hd__rt.idle_list && (word & HD__IDLE_LISTENS);
    if (tell)
        atomic_fetch_and_explicit(&hd__rt.idle, ~(uint32_t)HD__IDLE_LISTENS, memory_order_relaxed);
    hd__spin_unlock(&hd__rt.idle_lock);
    if (tell) hd__monitor_poke();
}

bool hd__idle_wake_worker(struct hd__worker *w) {
    hd__spin_lock(&hd__rt.idle_lock);
    bool was_parked = w->listed, retired = w->retired;
    if (retired) atomic_store_explicit(&w->notified, 1, memory_order_release);
    if (was_parked)
        release_and_wake(w);
    else
        hd__spin_unlock(&hd__rt.idle_lock);
    if (retired) hd__os_futex_wake(&w->notified, 1); /* it passes on what it was given */
    return was_parked;
}

void hd__idle_wake_all(void) {
    for (unsigned i = 0; i < hd__rt.worker_count; i++) hd__idle_wake_worker(&hd__rt.workers[i]);
}

/* ---- Searching ---- */

static hd_thread *look_once(struct hd__worker *w, uint64_t now_ns) {
    if (io_uncovered()) hd__poller.poll(w); /* else somebody is woken by it */
    expire_all(w, now_ns);
    hd_thread *t = NULL;
    if (hd__rt.ranked) return (t = hd__ranked_take(w)) ? t : hd__place_take(w);
    if (hd__fifo_count(&w->inbox) != 0) t = hd__sched_take_inbox(w);
    /* Own queue: timers may have filled it. */
    if (!t) t = hd__sched_take_next(w);
    if (!t) t = hd__sched_take_injected(w, w->runq.limit / 2);
    if (!t && hd__fifo_count(&w->light) != 0) t = hd__fifo_take(&w->light, 1);
    if (!t) t = steal(w);
    if (!t) t = hd__place_take(w);
    return t;
}

/* Whether any queue holds a thread; under the locks, so that what was pushed before is seen. */
static bool holds_some(struct hd__fifo *f) {
    hd__spin_lock(&f->lock);
    bool some = f->head != NULL;
    hd__spin_unlock(&f->lock);
    return some;
}

bool hd__idle_own_work(struct hd__worker *w) {
    if (hd__rt.ranked) return hd__ranked_any_own(w);
    return holds_some(&w->inbox);
}

bool hd__idle_work_anywhere(const struct hd__worker *w) {
    if (w && hd__place_any(w)) return true;
    if (hd__rt.ranked) return hd__ranked_any(w);
    if (holds_some(&hd__rt.injected)) return true;
    for (unsigned i = 0; i < hd__rt.worker_count; i++) {
        struct hd__runq *q = &hd__rt.workers[i].runq;
        struct hd__worker *v = &hd__rt.workers[i];
        if ((!w || w == v) && (holds_some(&v->inbox) || holds_some(&v->light))) return true;
        hd__spin_lock(&q->lock);
        bool some = hd__runq_count(q) != 0;
        hd__spin_unlock(&q->lock);
        if (some) return true;
    }
    return false;
}

bool hd__idle_work_hint(void) {
    if (hd__fifo_count(&hd__rt.injected) != 0 || hd__rankq_count(&hd__rt.shared) != 0) return true;
    for (unsigned i = 0; i < hd__rt.worker_count; i++) {
        struct hd__worker *v = &hd__rt.workers[i];
        if (hd__runq_count(&v->runq) != 0 || hd__fifo_count(&v->inbox) != 0 ||
            hd__fifo_count(&v->light) != 0 || hd__rankq_count(&v->own) != 0)
            return true;
    }
    return false;
}

/* w found work. The last searcher to leave hands the search on if there is more to find, since
 * pushers relied on it. */
static void leave_search(struct hd__worker *w) {
    uint32_t word = idle_add(-HD__IDLE_ONE_SEARCHING);
    if (HD__IDLE_SEARCHING(word) != 0) return;
    if (HD__IDLE_PARKED(word) == 0) {
        /* Nobody is left but the monitor. */
        hd__monitor_cover(hd__idle_earliest_deadline());
        if ((word & HD__IDLE_LISTENS) && (io_in_flight() || hd__idle_work_anywhere(w)))
            hd__idle_wake_one();
    } else if (hd__idle_work_anywhere(w) || io_uncovered()) {
        hd__idle_wake_one();
    } else {
        hd__idle_cover_timer(hd__idle_earliest_deadline());
    }
}

static hd_thread *search(struct hd__worker *w) {
    uint64_t now = hd__os_now_ns();
    hd__follow_tick(now);
    /* Who will sleep in the poller does so at once: operations take longer than one spins, and
     * looking for them is no mere look at memory. */
    uint64_t until = io_uncovered() ? now : now + hd__rt.spin_ns;
    for (;;) {
        hd_thread *t = look_once(w, now);
        if (t) {
            leave_search(w);
            return t;
        }
        if (atomic_load_explicit(&hd__rt.stopping, memory_order_acquire) || now >= until)
            return NULL;
        for (int i = 0; i < 8; i++) hd__cpu_relax();
        now = hd__os_now_ns();
    }
}

/* ---- Parking ---- */

/* Counts w as parked instead of searching and returns until when it may sleep; *poller: in the
 * poller, since operations are in flight and nobody else sleeps there. */
static uint64_t announce_parked(struct hd__worker *w, bool *poller) {
    uint64_t until = HD_FOREVER;
    hd__spin_lock(&hd__rt.idle_lock);
    list_add(w);
    idle_add(HD__IDLE_ONE_PARKED - HD__IDLE_ONE_SEARCHING); /* see hd__idle_cover_timer() */
    uint64_t earliest = hd__idle_earliest_deadline();
    if (earliest < atomic_load_explicit(&hd__rt.keeper_deadline_ns, memory_order_relaxed)) {
        hd__rt.keeper = w;
        atomic_store_explicit(&hd__rt.keeper_deadline_ns, earliest, memory_order_relaxed);
        until = earliest;
    }
    *poller = io_uncovered();
    if (*poller) atomic_store_explicit(&hd__rt.io_keeper, w, memory_order_seq_cst);
    hd__spin_unlock(&hd__rt.idle_lock);
    if (*poller && atomic_load_explicit(&hd__monitor.in_poller, memory_order_seq_cst))
        hd__monitor_poke();
    return until;
}

/* Back from parked to searching by w's own decision; if a waker was faster, its notice is taken. */
static void unpark_self(struct hd__worker *w) {
    hd__spin_lock(&hd__rt.idle_lock);
    if (w->listed) list_remove(w);
    hd__spin_unlock(&hd__rt.idle_lock);
    atomic_store_explicit(&w->notified, 0, memory_order_relaxed);
}

bool hd__idle_all_parked(void) {
    return HD__IDLE_PARKED(atomic_load_explicit(&hd__rt.idle, memory_order_seq_cst)) +
                   atomic_load_explicit(&hd__rt.retired, memory_order_seq_cst) ==
               hd__rt.worker_count &&
           hd__idle_earliest_deadline() == HD_FOREVER && !io_in_flight();
}

/* Sleeps until notified or until the deadline. */
static void sleep_parked(struct hd__worker *w, uint64_t until) {
    uint64_t look_ns = DEADLOCK_FIRST_LOOK_NS;
    while (!atomic_load_explicit(&w->notified, memory_order_acquire)) {
        bool watch = until == HD_FOREVER && hd__idle_all_parked();
        uint64_t wake = watch ? hd__os_now_ns() + look_ns : until;
        if (hd__os_futex_wait(&w->notified, 0, wake) != -ETIMEDOUT) continue;
        if (!watch) return;
        if (hd__idle_all_parked()) hd__deadlock_check();
        look_ns *= 2;
        if (look_ns > DEADLOCK_LAST_LOOK_NS) look_ns = DEADLOCK_LAST_LOOK_NS;
    }
}

hd_thread *hd__idle_find(struct hd__worker *w) {
    if (io_in_flight()) hd__poller.offer(w); /* before anybody relies on its search */
    idle_add(HD__IDLE_ONE_SEARCHING);
    /* A try to preempt somebody that came to nothing: whoever it was for is found. */
    atomic_store_explicit(&w->urgent, false, memory_order_relaxed);
    for (;;) {
        bool poller;
        while (HD__UNLIKELY(hd__follow_must_retire(w)) &&
               !atomic_load_explicit(&hd__rt.stopping, memory_order_acquire)) {
            hd__follow_hand_over(w);
            leave_search(w);
            hd__follow_sleep(w);
            idle_add(HD__IDLE_ONE_SEARCHING);
        }
        if (io_in_flight()) hd__poller.flush(w);
        hd_thread *t = search(w);
        if (t) return t;
        if (atomic_load_explicit(&hd__rt.stopping, memory_order_acquire)) break;
        uint64_t until = announce_parked(w, &poller);
        if (atomic_load_explicit(&hd__rt.draining, memory_order_relaxed))
            hd__runtime_check_drain();
        /* Who dismisses workers wakes the listed ones: one that was still searching then looks. */
        if (!hd__idle_work_anywhere(w) && !hd__follow_must_retire(w) &&
            !atomic_load_explicit(&hd__rt.stopping, memory_order_seq_cst)) {
            if (poller)
                hd__poller.sleep(until); /* a kick that came before is not lost */
            else
                sleep_parked(w, until);
        }
        unpark_self(w);
    }
    idle_add(-HD__IDLE_ONE_SEARCHING);
    return NULL;
}
