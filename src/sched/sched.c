/* SPDX-License-Identifier: MIT */
/* Queues, yielding, timers, and the scheduler's own loop; the idea is in dispatch.h. */
#include "sched/dispatch.h"

enum { LIFO_TURN_NS = 1000 * 1000 };

struct hd__runtime hd__rt;
__thread struct hd__worker *hd__worker_self __attribute__((tls_model("initial-exec")));

#if !defined(__x86_64__) || defined(__ILP32__)
HD__NOINLINE struct hd__worker *hd__worker_get(void) {
    __asm__ volatile("");
    return hd__worker_self;
}
#endif

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

void hd__sched_ready(hd_thread *t) {
    struct hd__worker *w = hd__worker_get();
    if (HD__UNLIKELY(hd__thread_flags(t) & HD__THREAD_PINNED)) {
        hd__sched_place(t);
        return;
    }
    if (HD__LIKELY(w != NULL))
        ready_woken(w, t);
    else
        hd__fifo_put(&hd__rt.injected, t, t, 1);
    hd__idle_wake_if_needed();
}

void hd__sched_ready_back(struct hd__worker *w, hd_thread *t) {
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
        if (w->current) hd__idle_wake_if_needed(); /* the loop looks after it has chosen */
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
    hd_thread *t = w->current;
    hd_thread *next = next_direct(w);
    if (!next && w->tick % HD__POLL_TICK != 0 && hd__fifo_count(&w->inbox) == 0 &&
        hd__fifo_count(&hd__rt.injected) == 0)
        return;
    switch_to(w, t, next, HD__POST_YIELD, t);
}

/* Makes the waits of a worker's expired timers end; returns how many threads became runnable,
 * which go to the back of by's queue in the order of their deadlines. */
unsigned hd__sched_expire(struct hd__worker *by, struct hd__timers *h, uint64_t now_ns) {
    unsigned n = 0;
    while (hd__timers_earliest(h) <= now_ns) {
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
        hd__sched_ready_back(by, t);
        n++;
    }
    return n;
}

hd_thread *hd__sched_take_next(struct hd__worker *w) {
    return take_next(w);
}

hd_thread *hd__sched_take_inbox(struct hd__worker *w) {
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
    if (hd__timers_earliest(&w->timers) != HD_FOREVER)
        hd__sched_expire(w, &w->timers, hd__os_now_ns());
    if (hd__fifo_count(&w->inbox) != 0) t = hd__sched_take_inbox(w);
    if (!t && w->tick - w->served >= HD__FAIR_TICK) {
        w->served = w->tick;
        if (atomic_load_explicit(&hd__rt.draining, memory_order_relaxed))
            hd__runtime_check_drain();
        t = poll_lifo(w); /* first: there may be injected threads all the time */
        if (!t) t = hd__sched_take_injected(w, HD__POLL_TICK);
    }
    if (!t) t = take_oldest(w, &w->runq.fifo);
    return t;
}

/* The scheduler's own loop of one worker; returns when the runtime stops. */
void hd__sched_loop(struct hd__worker *w) {
    while (!atomic_load_explicit(&hd__rt.stopping, memory_order_acquire)) {
        hd_thread *t = NULL;
        /* By distance: whoever leaves for the loop for another reason than the tick does not hit a
         * multiple of it. */
        if (w->tick - w->polled >= HD__POLL_TICK || hd__fifo_count(&w->inbox) != 0) {
            w->polled = w->tick;
            t = poll(w);
        }
        if (!t) t = take_next(w);
        if (!t) t = hd__sched_take_injected(w, HD__RING_SIZE / 2);
        /* What was in no queue while it was moved may have been missed by one that parked. */
        if (t && hd__runq_count(&w->runq) != 0) hd__idle_wake_if_needed();
        if (!t) t = hd__idle_find(w);
        if (!t) break;
        uint64_t earliest_ns = hd__timers_earliest(&w->timers);
        if (HD__UNLIKELY(earliest_ns != HD_FOREVER) && hd__idle_timer_uncovered(earliest_ns))
            hd__idle_wake_one();
        prepare(w, t);
        struct hd__worker *same = hd__ctx_switch(&w->loop, &t->ctx, w);
        HD__ASSERT(same == w);
        (void)same;
        enum hd__post kind = w->post_kind;
        w->post_kind = HD__POST_NONE;
        hd__sched_settle(w, kind); /* and no wake: the loop looks first what it runs itself */
    }
}
