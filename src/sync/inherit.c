/* SPDX-License-Identifier: MIT */
/* Priority inheritance: while a thread waits for a mutex, its owner has at least the waiter's
 * priority, and if the owner waits for another such mutex, so has that one's owner, and so on (Sha,
 * Rajkumar, Lehoczky, Priority Inheritance Protocols, 1990). Without it a thread of low priority
 * that has the mutex can be kept from running by those of middle priority, and with it the thread
 * of high priority that waits.
 *
 * Such a mutex is slower and simpler than others: everything happens under its guard, there is no
 * barging, and an unlock hands it to the waiter of the highest priority, the first among equals.
 *
 * What is known, all under one lock for the whole process (`lock`), since a chain may lead through
 * any mutexes and threads:
 *
 *   hd__watch.owner, next_owned      who has the mutex, in the list of what it has
 *   hd__watch.top                    the highest priority in its queue
 *   hd__thread_side.owned            the list of the mutexes that a thread has
 *   hd__thread_side.blocked_on       the mutex that it waits for
 *   hd__thread_side.base             its own priority while it has a higher one; 0: it has its own
 *
 *   hd__watch.waiting, foreign       the threads that wait for it; how many others do
 *   hd__thread_side.next_waiting     link: those that wait for the same mutex
 *
 * A thread's priority is the highest of its own and of `top` of all mutexes that it has. Whatever
 * changes one of these calls settle_chain(), which goes along the chain, up or down, until nothing
 * changes any more: so a chain that is a circle, a deadlock, ends as well, since all that changes
 * in one call changes in the same direction.
 *
 * Foreign kernel threads have no priority: as owners they inherit nothing, as waiters they count as
 * having the default.
 *
 * Lock order: the mutex's guard, `lock`, the queues of the scheduler. Every change of the state
 * word is made under the guard and followed by its release as the last access to the mutex; who
 * takes the mutex next has taken the guard since, so it may free it. */
#include "sync/inherit.h"

#include "base/atomic.h"
#include "base/check.h"
#include "sched/dispatch.h"

static hd__spin lock;

/* ---- Priorities; `lock` is held ---- */

static inline int priority_of(const hd_thread *t) {
    if (hd__thread_flags(t) & HD__THREAD_FOREIGN) return HD__PRIORITY_DEFAULT;
    return atomic_load_explicit(&((hd_thread *)(uintptr_t)t)->priority, memory_order_relaxed);
}

static void assume(hd_thread *t, int priority) {
    struct hd__thread_side *side = hd__thread_side(t);
    int former = priority_of(t);
    if (!side->base) side->base = (uint8_t)former;
    if (side->base == priority) side->base = 0;
    atomic_fetch_or_explicit(&t->flags, HD__THREAD_TUNED, memory_order_relaxed);
    atomic_store_explicit(&t->priority, (uint8_t)priority, memory_order_relaxed);
    atomic_fetch_or_explicit(&hd__rt.idle, HD__IDLE_PRIORITIES, memory_order_relaxed);
    if (hd__rt.ranked && atomic_load_explicit(&hd__rt.state, memory_order_seq_cst) != HD__RT_OFF)
        hd__ranked_changed(t, former);
}

/* The highest priority among those that wait. */
static uint8_t top_of(const struct hd__watch *w) {
    int top = w->foreign ? HD__PRIORITY_DEFAULT : 0;
    for (const hd_thread *t = w->waiting; t; t = hd__thread_side(t)->next_waiting)
        if (priority_of(t) > top) top = priority_of(t);
    return (uint8_t)top;
}

/* Gives t, and along the chain, the priorities that follow from what is known. */
static void settle_chain(hd_thread *t) {
    while (t) {
        struct hd__thread_side *side = hd__thread_side(t);
        int priority = side->base ? side->base : priority_of(t);
        for (struct hd__watch *w = side->owned; w; w = w->next_owned)
            if (w->top > priority) priority = w->top;
        if (priority == priority_of(t)) return;
        assume(t, priority);
        struct hd__watch *next = side->blocked_on;
        if (!next) return;
        uint8_t top = top_of(next);
        if (top == next->top) return;
        next->top = top;
        t = next->owner;
    }
}

/* Somebody has come or gone, or has another priority. */
static void waiters_changed(struct hd__watch *w) {
    w->top = top_of(w);
    settle_chain(w->owner);
}

/* A foreign kernel thread that changes priorities keeps the runtime from being torn down. */
static void begin(void) {
    if (!hd__worker_get()) hd__runtime_enter();
    hd__spin_lock(&lock);
}

static void end(void) {
    hd__spin_unlock(&lock);
    if (!hd__worker_get()) hd__runtime_leave();
}

void hd__inherit_set_priority(hd_thread *t, int priority) {
    begin();
    struct hd__thread_side *side = hd__thread_side(t);
    int former = priority_of(t);
    if (side->base) {
        side->base = (uint8_t)priority;
    } else if (priority != former) {
        atomic_store_explicit(&t->priority, (uint8_t)priority, memory_order_relaxed);
        if (hd__rt.ranked &&
            atomic_load_explicit(&hd__rt.state, memory_order_seq_cst) != HD__RT_OFF)
            hd__ranked_changed(t, former);
    }
    if (side->base || side->owned) settle_chain(t);
    struct hd__watch *on = side->blocked_on;
    if (on) waiters_changed(on);
    end();
}

/* ---- The mutex; its guard is held ---- */

static void own(struct hd__watch *w, hd_thread *t) {
    w->owner = NULL;
    if (!t || (hd__thread_flags(t) & HD__THREAD_FOREIGN)) return;
    struct hd__thread_side *side = hd__thread_side(t);
    atomic_fetch_or_explicit(&t->flags, HD__THREAD_TUNED, memory_order_relaxed);
    w->owner = t;
    w->next_owned = side->owned;
    side->owned = w;
}

static void disown(struct hd__watch *w) {
    if (!w->owner) return;
    struct hd__watch **link = (struct hd__watch **)&hd__thread_side(w->owner)->owned;
    while (*link != w) link = &(*link)->next_owned;
    *link = w->next_owned;
    w->owner = NULL;
}

static void block_on(hd_thread *t, struct hd__watch *w) {
    if (hd__thread_flags(t) & HD__THREAD_FOREIGN) {
        w->foreign++;
        return;
    }
    struct hd__thread_side *side = hd__thread_side(t);
    atomic_fetch_or_explicit(&t->flags, HD__THREAD_TUNED, memory_order_relaxed);
    side->blocked_on = w;
    side->next_waiting = w->waiting;
    w->waiting = t;
}

static void unblock(hd_thread *t, struct hd__watch *w) {
    if (hd__thread_flags(t) & HD__THREAD_FOREIGN) {
        w->foreign--;
        return;
    }
    hd_thread **link = &w->waiting;
    while (*link != t) link = &hd__thread_side(*link)->next_waiting;
    struct hd__thread_side *side = hd__thread_side(t);
    *link = side->next_waiting;
    side->next_waiting = NULL;
    side->blocked_on = NULL;
}

/* The first of the waiters with the highest priority. */
static struct hd__wait *best_of(struct hd__mutex *m) {
    struct hd__wait *best = NULL;
    for (struct hd__wait *w = m->queue.head; w; w = w->next)
        if (!best || priority_of(w->party) > priority_of(best->party)) best = w;
    return best;
}

static void set_state(struct hd__mutex *m, uint64_t owner) {
    /* Nobody else changes it. */
    hd__store_release(&m->state, WATCHED | (owner ? owner | LOCKED : 0) |
                                     (m->queue.head ? WAITERS : 0));
}

static void take(struct hd__mutex *m, uint64_t me, hd_thread *t) {
    set_state(m, me);
    begin();
    own(m->watch, t);
    end();
}

bool hd__inherit_trylock(struct hd__mutex *m, uint64_t me) {
    hd__spin_lock(&m->guard);
    bool free = !(hd__load_acquire(&m->state) & LOCKED);
    if (free) take(m, me, hd__wait_self());
    hd__spin_unlock(&m->guard);
    return free;
}

static uint64_t owner_in_state(struct hd__mutex *m) {
    uint64_t s = hd__load_relaxed(&m->state);
    return s & LOCKED ? s & ~(uint64_t)FLAGS : 0;
}

static void join_queue(struct hd__mutex *m, struct hd__wait *w) {
    hd__waitq_push_back(&m->queue, w);
    set_state(m, owner_in_state(m));
    begin();
    block_on(w->party, m->watch);
    waiters_changed(m->watch);
    end();
}

int hd__inherit_lock(struct hd__mutex *m, uint64_t me, uint64_t deadline_ns, unsigned flags,
                     const void *site, struct hd__watch_wait *wait) {
    struct hd__wait w;
    hd__wait_init(&w, "mutex", m, site);
    w.tag = me;
    hd__spin_lock(&m->guard);
    if (!(hd__load_acquire(&m->state) & LOCKED)) {
        take(m, me, w.party);
        hd__spin_unlock(&m->guard);
        return 0;
    }
    if (owner_in_state(m) == me) hd__mutex_die_recursive(m, me);
    join_queue(m, &w);
    if (wait) wait->parked++;
    int err = hd__wait_park(&w, &m->guard, deadline_ns, flags);
    if (err == 0) return 0; /* handed over: hd__inherit_give() has done all */
    hd__spin_lock(&m->guard);
    hd__waitq_remove(&m->queue, &w);
    set_state(m, owner_in_state(m));
    begin();
    unblock(w.party, m->watch);
    waiters_changed(m->watch);
    end();
    hd__spin_unlock(&m->guard);
    return err;
}

/* Hands the mutex, which the caller has or which is free, to the best waiter, if there is one: it
 * is returned, and the caller wakes it when it has released the guard. */
static struct hd__wait *pass_on(struct hd__mutex *m) {
    struct hd__wait *w;
    while ((w = best_of(m)) != NULL) {
        hd__waitq_remove(&m->queue, w);
        if ((w->tag & CLAIMED) || hd__wait_claim(w)) break;
    }
    begin();
    hd_thread *former = m->watch->owner;
    disown(m->watch);
    if (w) {
        w->tag |= HANDED;
        unblock(w->party, m->watch);
        own(m->watch, w->party);
    }
    waiters_changed(m->watch);
    settle_chain(former);
    end();
    set_state(m, w ? w->tag & ~(uint64_t)FLAGS : 0);
    return w;
}

void hd__inherit_give(struct hd__mutex *m) {
    hd__spin_lock(&m->guard);
    struct hd__wait *w = pass_on(m);
    hd__spin_unlock(&m->guard);
    if (w) hd__wait_wake(w);
}

void hd__inherit_requeue(struct hd__mutex *m, struct hd__waitq *claimed) {
    struct hd__wait *w;
    hd__spin_lock(&m->guard);
    while ((w = hd__waitq_pop_front(claimed)) != NULL) {
        w->tag |= CLAIMED;
        w->what = "mutex";
        w->object = m;
        join_queue(m, w);
    }
    w = hd__load_relaxed(&m->state) & LOCKED ? NULL : pass_on(m);
    hd__spin_unlock(&m->guard);
    if (w) hd__wait_wake(w);
}
