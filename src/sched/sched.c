/* SPDX-License-Identifier: MIT */
/* Queues, yielding, timers, and the scheduler's own loop; the idea is in dispatch.h. */
#include "sched/carrier.h"
#include "sched/dispatch.h"
#include "sched/follow.h"
#include "sched/monitor.h"
#include "sched/place.h"
#include "sched/preempt.h"

enum {
    LIFO_TURN_NS = 1000 * 1000,
    EXPIRE_MAX = 1024, /* timers at a time: nobody is preempted meanwhile */
};

struct hd__runtime hd__rt = {.id_blocks = 1};

/* ---- Lists with a lock of their own ---- */

void hd__fifo_put(struct hd__fifo *f, hd_thread *first, hd_thread *last, uint32_t n) {
    last->next = NULL;
    hd__spin_lock(&f->lock);
    if (f->tail)
        f->tail->next = first;
    else
        f->head = first;
    f->tail = last;
    atomic_store_explicit(&f->count, hd__fifo_count(f) + n, memory_order_relaxed);
    hd__spin_unlock(&f->lock);
}

hd_thread *hd__fifo_take(struct hd__fifo *f, uint32_t max) {
    hd__spin_lock(&f->lock);
    hd_thread *first = f->head, *last = NULL;
    uint32_t taken = 0;
    for (hd_thread *t = first; t && taken < max; t = t->next) {
        last = t;
        taken++;
    }
    if (last) {
        f->head = last->next;
        if (!f->head) f->tail = NULL;
        last->next = NULL;
        atomic_store_explicit(&f->count, hd__fifo_count(f) - taken, memory_order_relaxed);
    }
    hd__spin_unlock(&f->lock);
    return first;
}

/* ---- Queueing ---- */

/* A full ring sends its older half to the injection queue, where every worker finds it. The run
 * queue's lock is held, and released here. */
void hd__sched_spill(struct hd__worker *w, struct hd__ring *r) {
    hd_thread *first = NULL, *last = NULL;
    uint32_t n = w->runq.limit / 2;
    for (uint32_t i = 0; i < n; i++) {
        hd_thread *t = r == &w->runq.lifo ? hd__ring_take_back(r) : hd__ring_take_front(r);
        if (last)
            last->next = t;
        else
            first = t;
        last = t;
    }
    hd__spin_unlock(&w->runq.lock);
    hd__fifo_put(&hd__rt.injected, first, last, n);
}

/* The woken thread goes first, since what it waits for is warm; one that was woken before and has
 * not run yet goes behind those that wait. So two threads that wake each other cannot hold up a
 * third for longer than a few dispatches. */
static void ready_woken(struct hd__worker *w, hd_thread *t) {
    struct hd__ring *lifo = &w->runq.lifo, *fifo = &w->runq.fifo;
    lock_with_room(w, lifo);
    if (hd__ring_count(lifo) != 0 && !hd__ring_full(&w->runq, fifo)) {
        hd_thread *front = hd__ring_take_front(lifo);
        if (front->stack)
            hd__ring_put_back(fifo, front);
        else
            hd__ring_put_front(lifo, front);
    }
    hd__ring_put_front(lifo, t);
    hd__spin_unlock(&w->runq.lock);
}

/* Another thread has to give way, perhaps: a hog, or one of lower priority. */
static bool ready_urgent(struct hd__worker *w, hd_thread *t) {
    uint32_t flags = hd__thread_flags(t);
    if (flags & HD__THREAD_PINNED) {
        hd__sched_place(t);
        return true;
    }
    if (!w) hd__runtime_enter();
    bool done = hd__preempt_for(w, t);
    if (!w) hd__runtime_leave();
    return done;
}

void hd__sched_ready(hd_thread *t) {
    struct hd__worker *w = hd__worker_get();
    if (hd__ranked()) {
        hd__ranked_ready(t, t->stack ? HD_WHY_WOKEN : HD_WHY_SPAWNED);
        return;
    }
    if (HD__UNLIKELY((hd__thread_flags(t) & HD__THREAD_PINNED) ||
                     (atomic_load_explicit(&hd__rt.idle, memory_order_relaxed) &
                      (HD__IDLE_HOGS | HD__IDLE_PRIORITIES))) &&
        ready_urgent(w, t))
        return;
    if (HD__LIKELY(w != NULL))
        ready_woken(w, t);
    else
        hd__fifo_put(&hd__rt.injected, t, t, 1);
    hd__idle_wake_if_needed();
}

void hd__sched_ready_back(struct hd__worker *w, hd_thread *t) {
    if (hd__ranked())
        hd__ranked_ready(t, HD_WHY_WOKEN);
    else
        ready_back(w, t);
}

void hd__sched_ready_front(struct hd__worker *w, hd_thread *t) {
    if (hd__ranked()) {
        hd__ranked_return(w, t);
        return;
    }
    if (hd__thread_flags(t) & HD__THREAD_PINNED) {
        hd__sched_place(t);
        return;
    }
    lock_with_room(w, &w->runq.lifo);
    hd__ring_put_front(&w->runq.lifo, t);
    hd__spin_unlock(&w->runq.lock);
}

/* Undoes a take, if not in the same place. */
static void put_again(struct hd__worker *w, hd_thread *t) {
    if (hd__ranked())
        hd__ranked_return(w, t);
    else
        ready_back(w, t);
}

/* The one that waits longest: of those in fifo, or of those in lifo. */
static hd_thread *take_oldest(struct hd__worker *w, struct hd__ring *r) {
    hd_thread *t = NULL;
    if (hd__ring_count(r) == 0) return NULL;
    hd__spin_lock(&w->runq.lock);
    if (hd__ring_count(r) != 0)
        t = r == &w->runq.lifo ? hd__ring_take_back(r) : hd__ring_take_front(r);
    hd__spin_unlock(&w->runq.lock);
    return t;
}

/* Takes a fair share of the injected threads, `max` at most: the first to run now, the rest into
 * fifo. They are not pinned: pinned threads are never injected. */
hd_thread *hd__sched_take_injected(struct hd__worker *w, uint32_t max) {
    struct hd__fifo *f = &hd__rt.injected;
    struct hd__ring *fifo = &w->runq.fifo;
    uint32_t workers = atomic_load_explicit(&hd__rt.active, memory_order_relaxed);
    uint32_t share = (hd__fifo_count(f) + workers - 1) / workers;
    if (share == 0) return NULL;
    if (share > max) share = max;
    /* The owner alone puts, so there will be at least this much room, and one runs at once. */
    uint32_t room = w->runq.limit - hd__ring_count(fifo) + 1;
    if (share > room) share = room;
    hd_thread *first = hd__fifo_take(f, share);
    if (!first || !first->next) return first;
    hd__spin_lock(&w->runq.lock);
    for (hd_thread *t = first->next; t; t = t->next) hd__ring_put_back(fifo, t);
    hd__spin_unlock(&w->runq.lock);
    return first;
}

void hd__sched_note_slice(unsigned slice_us) {
    uint64_t least_ns = atomic_load_explicit(&hd__rt.least_slice_ns, memory_order_relaxed);
    while (slice_us * 1000ull < least_ns &&
           !atomic_compare_exchange_weak_explicit(&hd__rt.least_slice_ns, &least_ns,
                                                  slice_us * 1000ull, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

/* ---- Switching ---- */

struct hd__worker *hd__sched_switch_in_handler(struct hd__worker *w, hd_thread *t,
                                               struct hd__context *to) {
    struct hd__cxx own = *w->cxx;
    *w->cxx = (struct hd__cxx){.caught = NULL};
    w = hd__ctx_switch(&t->ctx, to, w);
    *w->cxx = own;
    return w;
}

/* Signals of a carrier that a light thread has left: what it blocks from now on.
 *
 * No handler of what a thread blocks itself may run on its stack. So its mask is put away when
 * another context runs, here; and before a switch to it all is blocked (prepare_special()), until
 * it has its own again, on its own stack: by the return of the handler in which it was preempted,
 * or at the end of switch_light(). The preempting signal stays blocked for one that is in such a
 * handler as well. */
static void settle_mask(struct hd__carrier *c, hd_thread *now) {
    uint32_t flags = now ? hd__thread_flags(now) : 0;
    if (c->signal_blocked && !(flags & HD__THREAD_BOUND)) {
        c->signal_blocked = false;
        if (!c->mask_left) hd__os_interrupt_unblock();
    }
    if (c->mask_left && !(flags & HD__THREAD_MASKED))
        hd__os_signal_set_mask(c->mask | (c->signal_blocked ? hd__os_interrupt_bit() : 0));
    c->mask_left = false;
}

/* t left from within a signal's handler, or from a call that would have been interrupted by it. */
static void settle_light(struct hd__worker *w, hd_thread *t) {
    hd_thread *now = current_of(w);
    struct hd__carrier *c = atomic_load_explicit(&w->carrier, memory_order_relaxed);
    if (hd__ranked())
        hd__ranked_requeue_light(w, t);
    else
        hd__fifo_put(&w->light, t, t, 1);
    settle_mask(c, now);
    if (now) hd__idle_wake_if_needed(); /* the monitor, at most: nobody steals it */
}

void hd__sched_settle(struct hd__worker *w, enum hd__post kind) {
    switch (kind) {
    case HD__POST_NONE:
        break;
    case HD__POST_YIELD:
        ready_back(w, w->post);
        if (current_of(w)) hd__idle_wake_if_needed(); /* the loop looks after it has chosen */
        break;
    case HD__POST_RANK:
        hd__ranked_requeue(w, w->post, HD_WHY_YIELDED, NULL);
        if (current_of(w)) hd__idle_wake_if_needed(); /* the loop looks after it has chosen */
        break;
    case HD__POST_LIGHT:
        settle_light(w, w->post);
        break;
    case HD__POST_PARK:
        commit(w, w->post);
        break;
    case HD__POST_WAIT:
        commit_bare(w->post);
        break;
    case HD__POST_STACK:
        hd__sched_leave_stack(w, w->post);
        break;
    }
}

/* To one that is not after the caller in the policy's order. */
static void yield_ranked(struct hd__worker *w, hd_thread *t) {
    hd_thread *next = NULL;
    bool poll = next_tick(w) % HD__POLL_TICK == 0;
    if (!poll) next = hd__ranked_take_before(w, t, HD_WHY_YIELDED);
    bool move = hd__thread_flags(t) & HD__THREAD_MOVE;
    if (next || poll || move) switch_to(w, t, next, HD__POST_RANK, t);
}

void hd__sched_yield(void) {
    struct hd__worker *w = hd__worker_get();
    HD__CHECK(w != NULL, "hd_yield: called from a foreign kernel thread; only heddle threads can "
                         "yield, use sched_yield() here");
    hd_thread *t = current_of(w);
    if (hd__ranked()) {
        yield_ranked(w, t);
        return;
    }
    hd_thread *next = NULL;
    if (HD__LIKELY(next_tick(w) % HD__POLL_TICK != 0) &&
        HD__LIKELY(hd__fifo_count(&w->inbox) == 0))
        next = take_local(w);
    if (!next && w->tick % HD__POLL_TICK != 0 && hd__fifo_count(&w->inbox) == 0 &&
        hd__fifo_count(&w->light) == 0 && hd__fifo_count(&hd__rt.injected) == 0 &&
        !(hd__thread_flags(t) & HD__THREAD_MOVE))
        return;
    switch_to(w, t, next, HD__POST_YIELD, t);
}

/* Makes the waits of a worker's expired timers end. The threads go to the back of by's queue in the
 * order of their deadlines; those of a priority above `above`, if by runs something, are what it is
 * to run next, in that order, and their number is returned. by NULL: the monitor. */
unsigned hd__sched_expire(struct hd__worker *by, struct hd__timers *h, uint64_t now_ns,
                          unsigned above) {
    unsigned n = 0, urgent = 0;
    while (hd__timers_earliest(h) <= now_ns && (n++ < EXPIRE_MAX || !by)) {
        hd_thread *t;
        if (!hd__wait_expire(h, now_ns, &t)) break;
        if (!t) continue;
        bool next = by && atomic_load_explicit(&t->priority, memory_order_relaxed) > above;
        urgent += next;
        if (next && !hd__ranked())
            hd__fifo_put(&by->inbox, t, t, 1);
        else if (by)
            hd__sched_ready_back(by, t);
        else
            hd__sched_ready(t);
    }
    return urgent;
}

hd_thread *hd__sched_take_next(struct hd__worker *w) {
    return take_next(w);
}

hd_thread *hd__sched_take_inbox(struct hd__worker *w) {
    atomic_store_explicit(&w->urgent, false, memory_order_relaxed);
    hd_thread *t = hd__fifo_take(&w->inbox, 1);
    if (t) hd__place_unshare(t);
    w->inbox_last = true;
    return t;
}

/* Once a millisecond, the oldest thread of lifo. */
static hd_thread *poll_lifo(struct hd__worker *w) {
    if (hd__ring_count(&w->runq.lifo) == 0) return NULL;
    uint64_t now = hd__os_now_ns();
    if (now - w->lifo_served_ns < LIFO_TURN_NS) return NULL;
    w->lifo_served_ns = now;
    return take_oldest(w, &w->runq.lifo);
}

/* There may be some of each all the time. */
static hd_thread *poll_in_turns(struct hd__worker *w) {
    hd_thread *t = NULL;
    for (int i = 0; !t && i < 3; i++) {
        switch (w->fair_turn++ % 3) {
        case 0:
            t = poll_lifo(w);
            break;
        case 1:
            t = hd__sched_take_injected(w, HD__POLL_TICK);
            break;
        case 2:
            t = take_oldest(w, &w->runq.fifo);
            break;
        }
    }
    return t;
}

/* What take_next() would pass over for long. */
static hd_thread *poll(struct hd__worker *w) {
    hd_thread *t = NULL;
    if (atomic_load_explicit(&hd__poller.in_flight, memory_order_relaxed) != 0) {
        hd__poller.flush(w);
        hd__poller.poll(w);
    }
    if (hd__timers_earliest(&w->timers) != HD_FOREVER)
        hd__sched_expire(w, &w->timers, hd__os_now_ns(), HD__PRIORITY_HIGHEST);
    if (hd__ranked()) {
        if (atomic_load_explicit(&hd__rt.draining, memory_order_relaxed))
            hd__runtime_check_drain();
        return hd__ranked_take(w);
    }
    /* Before the inbox: a thread that must run here and yields is there all the time. */
    if (w->tick - w->served >= HD__FAIR_TICK) {
        w->served = w->tick;
        if (atomic_load_explicit(&hd__rt.draining, memory_order_relaxed))
            hd__runtime_check_drain();
        t = poll_in_turns(w);
    }
    if (!t && hd__fifo_count(&w->inbox) != 0) t = hd__sched_take_inbox(w);
    /* Light threads before what is in the run queue: direct switches serve only that. */
    if (!t && hd__fifo_count(&w->light) != 0) t = hd__fifo_take(&w->light, 1);
    if (!t) t = take_oldest(w, &w->runq.fifo);
    return t;
}

/* ---- The loop ---- */

/* `next` may be bound to another carrier; or this one has light threads bound to it, and `next`
 * could block it; or the CPUs must be changed. */
struct hd__context *hd__sched_prepare_special(struct hd__worker *w, hd_thread *next) {
    struct hd__carrier *c = atomic_load_explicit(&w->carrier, memory_order_relaxed), *to = NULL;
    if (hd__thread_flags(next) & HD__THREAD_BOUND) {
        to = hd__carrier_of(next) != c ? hd__carrier_of(next) : NULL;
    } else if (c->lights != 0 && hd__preempt_kind(next) != HD_PREEMPT_LIGHT) {
        to = hd__carrier_take_spare();
        if (!to) {
            /* Not here: it could keep the light threads from going on. So one of them, until there
             * is a spare. If there is none now, it is the one that is left by this switch. */
            hd__monitor_poke();
            put_again(w, next);
            next = hd__ranked() ? hd__ranked_take_bound(w, c) : hd__fifo_take(&w->light, 1);
            if (!next) {
                set_current(w, NULL);
                return w->loop;
            }
            /* w may have some on several carriers: this one may not go on here. */
            to = hd__carrier_of(next) != c ? hd__carrier_of(next) : NULL;
        }
    }
    if (to) {
        w->handoff = next;
        w->handoff_to = to;
        set_current(w, NULL);
        return w->loop;
    }
    set_current(w, next);
    if (!next->stack) hd__sched_bind_stack(w, next);
    hd__sched_set_affinity(w, next);
    if (hd__thread_flags(next) & HD__THREAD_MASKED) {
        hd__os_signal_block_all(); /* settle_mask() */
        c->signal_blocked = true;
    }
    return &next->ctx;
}

/* c gives its worker to the carrier that prepare() chose, and is a spare from then on, unless light
 * threads will come back to it. */
static void hand_off(struct hd__carrier *c, struct hd__worker *w) {
    struct hd__carrier *to = w->handoff_to;
    hd_thread *t = w->handoff;
    w->handoff_to = NULL;
    w->handoff = NULL;
    hd__carrier_lose_worker(c);
    hd__carrier_grant_here(to, w, t, 0);
    if (c->lights == 0) hd__carrier_put_spare(c);
}

/* What the worker runs next; NULL: the runtime stops. */
static hd_thread *find_next(struct hd__worker *w) {
    hd_thread *t = NULL;
    /* By distance: whoever leaves for the loop for another reason than the tick does not hit a
     * multiple of it. */
    uint32_t tick = atomic_load_explicit(&w->tick, memory_order_relaxed);
    hd__follow_notice(w);
    if (HD__UNLIKELY(hd__follow_must_retire(w))) return hd__idle_find(w);
    /* The inbox and the others take turns: a restricted thread that yields is there again. */
    bool inbox = hd__fifo_count(&w->inbox) != 0 && !w->inbox_last;
    w->inbox_last = false;
    if (tick - w->polled >= HD__POLL_TICK || inbox) {
        w->polled = tick;
        t = poll(w);
    }
    if (!t && HD__UNLIKELY(hd__fifo_count(&w->light) != 0)) t = hd__fifo_take(&w->light, 1);
    if (!t) t = take_next(w);
    if (!t) t = hd__sched_take_injected(w, w->runq.limit / 2);
    /* What was in no queue while it was moved may have been missed by one that parked. */
    if (t && (hd__runq_count(&w->runq) != 0 || hd__rankq_count(&hd__rt.shared) != 0))
        hd__idle_wake_if_needed();
    return t ? t : hd__idle_find(w);
}

static void cover_timers(struct hd__worker *w) {
    uint64_t earliest_ns = hd__timers_earliest(&w->timers);
    if (HD__UNLIKELY(earliest_ns != HD_FOREVER)) hd__idle_cover_timer(earliest_ns);
}

struct hd__worker *hd__sched_loop(struct hd__carrier *c, struct hd__worker *w, hd_thread *first) {
    hd_thread *t = first;
    while (!atomic_load_explicit(&hd__rt.stopping, memory_order_acquire)) {
        if (!t) t = find_next(w);
        if (!t) break;
        /* Else whoever goes on does it: hd__preempt_begin(). */
        if (!(hd__thread_flags(t) & HD__THREAD_BOUND)) cover_timers(w);
        struct hd__context *to = prepare(w, t);
        t = NULL;
        if (HD__LIKELY(to != w->loop)) {
            /* The worker may be another one when the loop goes on: a thread was preempted, and
             * continued on this carrier with a worker that was granted to it. */
            w = hd__ctx_switch(w->loop, to, w);
            if (!w) return NULL; /* a thread was abandoned */
            enum hd__post kind = w->post_kind;
            w->post_kind = HD__POST_NONE;
            hd__sched_settle(w, kind); /* and no wake: the loop looks first what it runs itself */
        }
        if (HD__UNLIKELY(w->handoff_to != NULL)) {
            /* What the one that left has made runnable. */
            if (hd__runq_count(&w->runq) != 0 || hd__fifo_count(&w->light) != 0 ||
                hd__rankq_count(&hd__rt.shared) != 0)
                hd__idle_wake_if_needed();
            hand_off(c, w);
            return NULL;
        }
    }
    return w;
}
