/* SPDX-License-Identifier: MIT */
/* Queueing by rank; the idea is in ranked.h. */
#include "sched/ranked.h"

#include <errno.h>

#include "sched/carrier.h"
#include "sched/place.h"
#include "sched/preempt.h"

#ifdef HD_HOSTILE
enum { SHARED_CAPACITY = 4, OWN_CAPACITY = 4 };
#else
enum { SHARED_CAPACITY = 1 << 20, OWN_CAPACITY = 1 << 12 };
#endif

/* ---- Ranks ---- */

static uint64_t last_rank(const hd_thread *t) {
    return atomic_load_explicit(&hd__thread_side(t)->rank, memory_order_relaxed);
}

static struct hd_policy_thread view_of(const hd_thread *t) {
    return (struct hd_policy_thread){
        .id = t->id,
        .value = atomic_load_explicit(&hd__thread_side(t)->value, memory_order_relaxed),
        .rank = last_rank(t),
        .priority = atomic_load_explicit(&t->priority, memory_order_relaxed),
        .former = atomic_load_explicit(&t->priority, memory_order_relaxed),
    };
}

/* Of one that runs elsewhere, or ran a moment ago. */
static struct hd_policy_thread view_of_look(const struct hd__thread_look *look) {
    return (struct hd_policy_thread){look->id, look->value, look->rank, look->priority,
                                     look->priority};
}

static uint64_t rank_of(const struct hd_policy_thread *view, int why) {
    return hd__rt.policy->rank ? hd__rt.policy->rank(view, why) : 0;
}

static uint64_t next_seq(void) {
    return atomic_fetch_add_explicit(&hd__rt.rank_seq, 1, memory_order_relaxed);
}

/* Lock held: gives t its rank and puts it into q. Returns what its policy was told, with the
 * rank. */
static struct hd_policy_thread put_ranked(struct hd__rankq *q, hd_thread *t, int why,
                                          const hd_thread *next) {
    struct hd_policy_thread view = view_of(t);
    if (why == HD_WHY_SPAWNED) view.rank = 0; /* the descriptor had others before */
    view.rank = rank_of(&view, why);
    atomic_store_explicit(&hd__thread_side(t)->rank, view.rank, memory_order_relaxed);
    bool keeps = next && last_rank(next) < view.rank;
    hd__rankq_put(q, t, view.rank, keeps ? hd__thread_side(t)->seq : next_seq());
    return view;
}

/* ---- Whom a runnable thread concerns ---- */

/* What a worker runs. */
struct seen {
    uint64_t rank;
    int priority;
};

/* Whether v is to stop what it runs for a thread that has just become runnable. All that is seen of
 * another worker is a hint. */
static bool may_interrupt(struct hd__worker *v, const struct hd_policy_thread *woken,
                          struct seen *seen) {
    const hd_thread *t = atomic_load_explicit(&v->current, memory_order_relaxed);
    if (!t || (v != hd__worker_get() &&
               atomic_load_explicit(&v->urgent, memory_order_relaxed)))
        return false;
    struct hd__thread_look look = hd__thread_look(t);
    if (!hd__preempt_may(look) || hd__preempt_is_blocking(v)) return false;
    struct hd_policy_thread running = view_of_look(&look);
    *seen = (struct seen){running.rank, running.priority};
    const struct hd_policy *p = hd__rt.policy;
    if (p->preempts ? p->preempts(woken, &running) : woken->rank < running.rank) return true;
    return hd__preempt_is_hog(v) &&
           atomic_load_explicit(&hd__rt.slice_ns, memory_order_relaxed) != HD_FOREVER &&
           woken->rank <= rank_of(&running, HD_WHY_PREEMPTED);
}

/* Of those workers that may be interrupted, the one that runs what is least urgent; `only`: that
 * one, if it may. Our own goes before others with the same priority: it needs no signal, which
 * takes longer to another CPU than all the rest. */
static void interrupt_for(const struct hd_policy_thread *woken, struct hd__worker *only) {
    struct hd__worker *victim = NULL, *self = hd__worker_get();
    struct seen worst = {0}, seen;
    if (only) {
        if (may_interrupt(only, woken, &seen)) victim = only;
    } else {
        for (unsigned i = 0; i < hd__rt.worker_count; i++) {
            struct hd__worker *v = &hd__rt.workers[i];
            if (!may_interrupt(v, woken, &seen)) continue;
            if (!victim || seen.priority < worst.priority ||
                (seen.priority == worst.priority && victim != self &&
                 (v == self || seen.rank > worst.rank))) {
                victim = v;
                worst = seen;
            }
        }
    }
    if (victim) hd__preempt_urgently(victim);
}

static bool nobody_idle(void) {
    uint32_t word = atomic_load_explicit(&hd__rt.idle, memory_order_relaxed);
    return HD__IDLE_PARKED(word) == 0 && HD__IDLE_SEARCHING(word) == 0;
}

/* ---- Putting ---- */

/* Restricted to CPUs: the queue of one worker that suits. */
static void ready_pinned(hd_thread *t, int why) {
    struct hd__worker *self = hd__worker_get();
    if (!self) hd__runtime_enter(); /* t may end, and be the last, before w is woken */
    hd_cpuset set;
    bool several;
    struct hd__worker *w = hd__place_choose(t, &several);
    t->home = (uint16_t)w->index;
    if (several) hd__place_share(t, &set);
    hd__spin_lock(&w->own.lock);
    struct hd_policy_thread view = put_ranked(&w->own, t, why, NULL);
    hd__spin_unlock(&w->own.lock);
    bool woken = w != self && hd__idle_wake_worker(w);
    if (several) hd__place_shared(&set, w, woken);
    interrupt_for(&view, w);
    if (!self) hd__runtime_leave();
}

void hd__ranked_ready(hd_thread *t, int why) {
    if (hd__thread_flags(t) & HD__THREAD_PINNED) {
        ready_pinned(t, why);
        return;
    }
    bool visit = !hd__worker_get();
    if (visit) hd__runtime_enter();
    hd__spin_lock(&hd__rt.shared.lock);
    struct hd_policy_thread view = put_ranked(&hd__rt.shared, t, why, NULL);
    hd__spin_unlock(&hd__rt.shared.lock);
    hd__idle_wake_if_needed();
    if (nobody_idle() && ((atomic_load_explicit(&hd__rt.idle, memory_order_relaxed) &
                           HD__IDLE_HOGS) || hd__rt.policy->rank || hd__rt.policy->preempts))
        interrupt_for(&view, NULL);
    if (visit) hd__runtime_leave();
}

void hd__ranked_requeue(struct hd__worker *w, hd_thread *t, int why, const hd_thread *next) {
    (void)w;
    if (hd__thread_flags(t) & HD__THREAD_PINNED) {
        ready_pinned(t, why);
        return;
    }
    hd__spin_lock(&hd__rt.shared.lock);
    put_ranked(&hd__rt.shared, t, why, next);
    hd__spin_unlock(&hd__rt.shared.lock);
}

void hd__ranked_requeue_light(struct hd__worker *w, hd_thread *t) {
    t->home = (uint16_t)w->index;
    hd__spin_lock(&w->own.lock);
    put_ranked(&w->own, t, HD_WHY_PREEMPTED, NULL);
    hd__spin_unlock(&w->own.lock);
}

static bool belongs_to_one(const hd_thread *t) {
    uint32_t flags = hd__thread_flags(t);
    if (flags & HD__THREAD_PINNED) return true;
    /* A light thread that is bound to its carrier without that being held was switched away
     * from. */
    return (flags & HD__THREAD_BOUND) && hd__preempt_kind_of(flags) == HD_PREEMPT_LIGHT;
}

void hd__ranked_return(struct hd__worker *w, hd_thread *t) {
    struct hd__rankq *q = belongs_to_one(t) ? &w->own : &hd__rt.shared;
    hd__spin_lock(&q->lock);
    hd__rankq_put(q, t, last_rank(t), hd__thread_side(t)->seq);
    hd__spin_unlock(&q->lock);
}

/* ---- Taking ---- */

static bool front_before(const struct hd__rankq *a, const struct hd__rankq *b) {
    const struct hd__rankq_entry *x = &a->heap[0], *y = &b->heap[0];
    return x->rank != y->rank ? x->rank < y->rank : x->seq < y->seq;
}

/* The better front of the two queues, if its rank is not larger than `limit`. */
static hd_thread *take_up_to(struct hd__worker *w, uint64_t limit) {
    struct hd__rankq *own = &w->own, *shared = &hd__rt.shared, *q = NULL;
    hd_thread *t = NULL;
    bool two = hd__rankq_count(own) != 0;
    if (!two && hd__rankq_count(shared) == 0) return NULL;
    if (two) hd__spin_lock(&own->lock);
    hd__spin_lock(&shared->lock);
    if (hd__rankq_count(shared) != 0) q = shared;
    if (two && hd__rankq_count(own) != 0 && (!q || front_before(own, shared))) q = own;
    if (q && q->heap[0].rank <= limit) t = hd__rankq_take(q);
    hd__spin_unlock(&shared->lock);
    if (two) hd__spin_unlock(&own->lock);
    if (t && q == own) hd__place_unshare(t);
    return t;
}

hd_thread *hd__ranked_take(struct hd__worker *w) {
    return take_up_to(w, UINT64_MAX);
}

hd_thread *hd__ranked_take_before(struct hd__worker *w, const hd_thread *t, int why) {
    struct hd_policy_thread view = view_of(t);
    return take_up_to(w, rank_of(&view, why));
}

static hd_thread *take_bound_from(struct hd__rankq *q, const struct hd__carrier *c,
                                  uint64_t limit) {
    hd_thread *found = NULL;
    hd__spin_lock(&q->lock);
    for (uint32_t i = 0; i < hd__rankq_count(q); i++) {
        hd_thread *t = q->heap[i].thread;
        if (!(hd__thread_flags(t) & HD__THREAD_BOUND) || (c && hd__carrier_of(t) != c) ||
            q->heap[i].rank > limit)
            continue;
        found = t;
        hd__rankq_remove(q, t);
        break;
    }
    hd__spin_unlock(&q->lock);
    if (found) hd__place_unshare(found);
    return found;
}

hd_thread *hd__ranked_take_bound(struct hd__worker *w, const struct hd__carrier *c) {
    hd_thread *t = take_bound_from(&w->own, c, UINT64_MAX);
    return t ? t : take_bound_from(&hd__rt.shared, c, UINT64_MAX);
}

hd_thread *hd__ranked_take_bound_before(struct hd__worker *w, const hd_thread *t) {
    struct hd_policy_thread view = view_of(t);
    uint64_t limit = rank_of(&view, HD_WHY_PREEMPTED);
    hd_thread *found = take_bound_from(&w->own, NULL, limit);
    return found ? found : take_bound_from(&hd__rt.shared, NULL, limit);
}

hd_thread *hd__ranked_find(struct hd__worker *v, const struct hd__worker *w, bool take,
                           uint32_t looks) {
    struct hd__rankq *q = &v->own;
    hd_thread *found = NULL;
    hd__spin_lock(&q->lock);
    for (uint32_t i = 0; !found && i < looks && i < hd__rankq_count(q); i++) {
        hd_thread *t = q->heap[i].thread;
        /* The queue also has light threads that must stay with v, whatever their sets. */
        if ((hd__thread_flags(t) & HD__THREAD_SHARED) && hd__place_suits(w, t)) found = t;
    }
    if (found && take) hd__rankq_remove(q, found);
    hd__spin_unlock(&q->lock);
    return found;
}

hd_thread *hd__ranked_take_own(struct hd__worker *w) {
    hd__spin_lock(&w->own.lock);
    hd_thread *t = hd__rankq_count(&w->own) != 0 ? hd__rankq_take(&w->own) : NULL;
    hd__spin_unlock(&w->own.lock);
    if (t) hd__place_unshare(t);
    return t;
}

/* ---- Looking ---- */

bool hd__ranked_would_switch(struct hd__worker *w, const hd_thread *t) {
    uint64_t best = hd__rankq_best(&hd__rt.shared), own = hd__rankq_best(&w->own);
    if (own < best) best = own;
    if (hd__rankq_count(&hd__rt.shared) == 0 && hd__rankq_count(&w->own) == 0) return false;
    struct hd__thread_look look = hd__thread_look(t);
    struct hd_policy_thread view = view_of_look(&look);
    return best <= rank_of(&view, HD_WHY_PREEMPTED);
}

static bool holds_some(struct hd__rankq *q) {
    hd__spin_lock(&q->lock);
    bool some = hd__rankq_count(q) != 0;
    hd__spin_unlock(&q->lock);
    return some;
}

bool hd__ranked_any_own(struct hd__worker *w) {
    return holds_some(&w->own);
}

bool hd__ranked_any(const struct hd__worker *w) {
    if (holds_some(&hd__rt.shared)) return true;
    for (unsigned i = 0; i < hd__rt.worker_count; i++) {
        struct hd__worker *v = &hd__rt.workers[i];
        if ((!w || w == v) && holds_some(&v->own)) return true;
    }
    return false;
}

/* ---- Changes ---- */

/* Whether t was in q; it has its new place there then, and *view is what the policy was told. */
static bool replace(struct hd__rankq *q, hd_thread *t, int former, struct hd_policy_thread *view) {
    hd__spin_lock(&q->lock);
    bool there = hd__rankq_has(q, t);
    if (there) {
        *view = view_of(t);
        view->former = former;
        uint64_t rank = rank_of(view, HD_WHY_CHANGED);
        if (rank != view->rank) {
            hd__rankq_remove(q, t);
            hd__rankq_put(q, t, rank, next_seq());
            atomic_store_explicit(&hd__thread_side(t)->rank, rank, memory_order_relaxed);
            view->rank = rank;
        }
    }
    hd__spin_unlock(&q->lock);
    return there;
}

void hd__ranked_changed(hd_thread *t, int former) {
    struct hd_policy_thread view;
    struct hd__worker *home = &hd__rt.workers[t->home % hd__rt.worker_count];
    if (replace(&hd__rt.shared, t, former, &view)) {
        if (nobody_idle()) interrupt_for(&view, NULL);
        return;
    }
    if (replace(&home->own, t, former, &view)) {
        interrupt_for(&view, home);
        return;
    }
    for (unsigned i = 0; i < hd__rt.worker_count; i++) {
        struct hd__worker *v = &hd__rt.workers[i];
        if (atomic_load_explicit(&v->current, memory_order_relaxed) != t) continue;
        view = view_of(t);
        view.former = former;
        atomic_store_explicit(&hd__thread_side(t)->rank, rank_of(&view, HD_WHY_CHANGED),
                              memory_order_relaxed);
        if (hd__ranked_would_switch(v, t)) hd__preempt_urgently(v);
    }
}

/* ---- Life ---- */

int hd__ranked_start(void) {
    int err = hd__rankq_init(&hd__rt.shared, SHARED_CAPACITY, 0);
    for (unsigned i = 0; i < hd__rt.worker_count && !err; i++)
        err = hd__rankq_init(&hd__rt.workers[i].own, OWN_CAPACITY, HD__PLACE_OWN);
    if (err) hd__ranked_finish();
    return err;
}

void hd__ranked_finish(void) {
    for (unsigned i = 0; i < hd__rt.worker_count; i++)
        hd__rankq_finish(&hd__rt.workers[i].own);
    hd__rankq_finish(&hd__rt.shared);
}
