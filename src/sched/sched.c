/* SPDX-License-Identifier: MIT */
/* Queues, yielding, timers, and the scheduler's own loop; the idea is in dispatch.h. */
#include "sched/carrier.h"
#include "sched/dispatch.h"
#include "sched/monitor.h"
#include "sched/preempt.h"

enum {
    LIFO_TURN_NS = 1000 * 1000,
    EXPIRE_MAX = 1024, /* timers at a time: nobody is preempted meanwhile */
};

struct hd__runtime hd__rt;

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
    uint32_t n = HD__RING_SIZE / 2;
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
    if (hd__ring_count(lifo) != 0 && hd__ring_count(fifo) < HD__RING_SIZE) {
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
    ready_back(w, t);
}

void hd__sched_ready_front(struct hd__worker *w, hd_thread *t) {
    if (hd__thread_flags(t) & HD__THREAD_PINNED) {
        hd__sched_place(t);
        return;
    }
    lock_with_room(w, &w->runq.lifo);
    hd__ring_put_front(&w->runq.lifo, t);
    hd__spin_unlock(&w->runq.lock);
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
    uint32_t share = (hd__fifo_count(f) + hd__rt.worker_count - 1) / hd__rt.worker_count;
    if (share == 0) return NULL;
    if (share > max) share = max;
    /* The owner alone puts, so there will be at least this much room, and one runs at once. */
    uint32_t room = HD__RING_SIZE - hd__ring_count(fifo) + 1;
    if (share > room) share = room;
    hd_thread *first = hd__fifo_take(f, share);
    if (!first || !first->next) return first;
    hd__spin_lock(&w->runq.lock);
    for (hd_thread *t = first->next; t; t = t->next) hd__ring_put_back(fifo, t);
    hd__spin_unlock(&w->runq.lock);
    return first;
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

void hd__sched_settle(struct hd__worker *w, enum hd__post kind) {
    switch (kind) {
    case HD__POST_NONE:
        break;
    case HD__POST_YIELD:
        ready_back(w, w->post);
        if (current_of(w)) hd__idle_wake_if_needed(); /* the loop looks after it has chosen */
        break;
    case HD__POST_LIGHT:
        hd__fifo_put(&w->light, w->post, w->post, 1);
        if (current_of(w)) hd__idle_wake_if_needed(); /* the monitor, at most: nobody steals it */
        break;
    case HD__POST_PARK:
        commit(w, w->post);
        break;
    case HD__POST_WAIT:
        commit_bare(w->post);
        break;
    case HD__POST_STACK:
        hd__stack_put(((struct hd__stack *)w->post)->klass == hd__rt.stack_class ? &w->stacks
                                                                                 : NULL,
                      w->post);
        break;
    }
}

void hd__sched_yield(void) {
    struct hd__worker *w = hd__worker_get();
    HD__CHECK(w != NULL, "hd_yield: called from a foreign kernel thread; only heddle threads can "
                         "yield, use sched_yield() here");
    hd_thread *t = current_of(w);
    hd_thread *next = next_direct(w);
    if (!next && w->tick % HD__POLL_TICK != 0 && hd__fifo_count(&w->inbox) == 0 &&
        hd__fifo_count(&w->light) == 0 && hd__fifo_count(&hd__rt.injected) == 0)
        return;
    switch_to(w, t, next, HD__POST_YIELD, t);
}

/* Makes the waits of a worker's expired timers end; returns how many threads became runnable,
 * which go to the back of by's queue in the order of their deadlines; urgent: which by runs next,
 * in that order. by NULL: the monitor. */
unsigned hd__sched_expire(struct hd__worker *by, struct hd__timers *h, uint64_t now_ns,
                          bool urgent) {
    unsigned n = 0;
    while (hd__timers_earliest(h) <= now_ns && (n < EXPIRE_MAX || !by)) {
        hd__spin_lock(&h->lock);
        struct hd__timer *timer = hd__timers_take_expired(h, now_ns);
        hd_thread *t = NULL;
        if (timer) {
            t = hd__container_of(timer, struct hd__wait, timer)->party;
            if (!hd__wait_claim_as(t, HD__PARK_TIMEOUT)) t = NULL;
        }
        hd__spin_unlock(&h->lock);
        if (!timer) break;
        if (!t) continue;
        if (by && urgent)
            hd__fifo_put(&by->inbox, t, t, 1);
        else if (by)
            hd__sched_ready_back(by, t);
        else
            hd__sched_ready(t);
        n++;
    }
    return n;
}

hd_thread *hd__sched_take_next(struct hd__worker *w) {
    return take_next(w);
}

hd_thread *hd__sched_take_inbox(struct hd__worker *w) {
    atomic_store_explicit(&w->urgent, false, memory_order_relaxed);
    return hd__fifo_take(&w->inbox, 1);
}

/* Once a millisecond, the oldest thread of lifo. */
static hd_thread *poll_lifo(struct hd__worker *w) {
    if (hd__ring_count(&w->runq.lifo) == 0) return NULL;
    uint64_t now = hd__os_now_ns();
    if (now - w->lifo_served_ns < LIFO_TURN_NS) return NULL;
    w->lifo_served_ns = now;
    return take_oldest(w, &w->runq.lifo);
}

/* What take_next() would pass over for long. */
static hd_thread *poll(struct hd__worker *w) {
    hd_thread *t = NULL;
    if (atomic_load_explicit(&hd__poller.in_flight, memory_order_relaxed) != 0) {
        hd__poller.flush(w);
        hd__poller.poll(w);
    }
    if (hd__timers_earliest(&w->timers) != HD_FOREVER)
        hd__sched_expire(w, &w->timers, hd__os_now_ns(), false);
    if (hd__fifo_count(&w->inbox) != 0) t = hd__sched_take_inbox(w);
    if (!t && w->tick - w->served >= HD__FAIR_TICK) {
        w->served = w->tick;
        if (atomic_load_explicit(&hd__rt.draining, memory_order_relaxed))
            hd__runtime_check_drain();
        t = poll_lifo(w); /* first: there may be injected threads all the time */
        if (!t) t = hd__sched_take_injected(w, HD__POLL_TICK);
    }
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
            ready_back(w, next);
            next = hd__fifo_take(&w->light, 1);
            if (!next) {
                set_current(w, NULL);
                return w->loop;
            }
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
    if (tick - w->polled >= HD__POLL_TICK || hd__fifo_count(&w->inbox) != 0) {
        w->polled = tick;
        t = poll(w);
    }
    if (!t && HD__UNLIKELY(hd__fifo_count(&w->light) != 0)) t = hd__fifo_take(&w->light, 1);
    if (!t) t = take_next(w);
    if (!t) t = hd__sched_take_injected(w, HD__RING_SIZE / 2);
    /* What was in no queue while it was moved may have been missed by one that parked. */
    if (t && hd__runq_count(&w->runq) != 0) hd__idle_wake_if_needed();
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
        cover_timers(w);
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
            /* What the one that left has armed, or made runnable. */
            cover_timers(w);
            if (hd__runq_count(&w->runq) != 0 || hd__fifo_count(&w->light) != 0)
                hd__idle_wake_if_needed();
            hand_off(c, w);
            return NULL;
        }
    }
    return w;
}
