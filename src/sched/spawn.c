/* SPDX-License-Identifier: MIT */
/* Spawning, ending, joining; the idea is in dispatch.h. */
#include "base/atomic.h"
#include "sched/dispatch.h"
#include "sched/place.h"
#include "sched/rcu.h"
#include "thread/tls.h"

static void thread_entry(void *pass, void *arg);

/* Gives a fresh thread its stack; one is reserved for it, so this cannot fail. */
/* The common case, inline: the default class, a stack at hand. */
static inline void bind_stack(struct hd__worker *w, hd_thread *t) {
    struct hd__stack *s = w->stacks.head;
    if (HD__UNLIKELY(!s || (hd__thread_flags(t) & (HD__THREAD_OWN_CLASS | HD__THREAD_PAINTED)))) {
        hd__sched_bind_stack(w, t);
        return;
    }
    w->stacks.head = s->next;
    w->stacks.count--;
    t->stack = s;
    hd__ctx_place(&t->ctx, s, thread_entry, t);
}

/* What is found out about memory nodes after the start counts when the cache is used up. */
static void follow_node(struct hd__worker *w) {
    unsigned node = atomic_load_explicit(&w->node, memory_order_relaxed);
    if (HD__LIKELY(w->stacks.key >> 8 == node)) return;
    hd__stack_cache_drain(&w->stacks, hd__rt.stack_class);
    w->stacks.key = hd__stack_key(hd__rt.stack_class, node);
}

void hd__sched_bind_stack(struct hd__worker *w, hd_thread *t) {
    uint32_t flags = hd__thread_flags(t);
    follow_node(w);
    struct hd__stack *s = flags & HD__THREAD_OWN_CLASS
                              ? hd__stack_get_at(w->stacks.key >> 8, t->stack_class)
                              : hd__stack_get(&w->stacks, t->stack_class);
    if (HD__UNLIKELY(flags & HD__THREAD_PAINTED)) hd__stack_paint(s);
    t->stack = s;
    hd__ctx_place(&t->ctx, s, thread_entry, t);
}

/* Nobody stands on s any more. Its reservation is given back now, if it is not of the class that is
 * cached: those have no stacks to spare that could stand in for one that is not left yet. */
void hd__sched_leave_stack(struct hd__worker *w, struct hd__stack *s) {
    unsigned klass = s->klass;
    hd__stack_put(s->key == w->stacks.key ? &w->stacks : NULL, s);
    if (klass != hd__rt.stack_class) hd__stack_unreserve(klass, 1);
}

/* ---- Spawning ---- */

static int take_credit(struct hd__worker *w, uint8_t klass) {
    if (HD__LIKELY(w && klass == hd__rt.stack_class)) {
        if (HD__LIKELY(w->credits != 0)) {
            w->credits--;
            return 0;
        }
        if (hd__stack_reserve_at(w->stacks.key >> 8, klass, HD__CREDIT_BATCH) == 0) {
            w->credits = HD__CREDIT_BATCH - 1;
            return 0;
        }
    }
    return hd__stack_reserve_at(w ? w->stacks.key >> 8 : 0, klass, 1);
}

/* Of the default class. */
static inline void give_credit(struct hd__worker *w) {
    if (HD__LIKELY(++w->credits < 4 * HD__CREDIT_BATCH)) return;
    w->credits -= 2 * HD__CREDIT_BATCH;
    hd__stack_unreserve(hd__rt.stack_class, 2 * HD__CREDIT_BATCH);
}

enum { ID_BLOCK = 4096 };

static HD__NOINLINE void next_ids(struct hd__worker *w) {
    w->next_id = atomic_fetch_add_explicit(&hd__rt.id_blocks, ID_BLOCK, memory_order_relaxed);
    w->last_id = w->next_id + ID_BLOCK;
}

static inline void count_one(_Atomic uint64_t *counter) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* The parts of a spawn that can fail or that few threads need; on failure nothing is left. */
static HD__NOINLINE int outfit(struct hd__worker *w, hd_thread *t, const struct hd_attr *attr) {
    int err = 0;
    struct hd_attr placed;
    hd_cpuset allowed, set;
    if (attr && hd__place_wanted(attr)) {
        placed = *attr;
        err = hd__place_resolve(&placed, &set);
        attr = &placed;
    }
    if (attr && attr->cpus) hd__place_allowed(&allowed);
    if (attr && !err) err = hd__thread_apply_attr(t, attr, &allowed, hd__rt.stack_size);
    if (!err && attr && attr->slice_us) hd__sched_note_slice(attr->slice_us);
    if (!err && (hd__thread_flags(t) & HD__THREAD_PRIORITY))
        atomic_fetch_or_explicit(&hd__rt.idle, HD__IDLE_PRIORITIES, memory_order_relaxed);
    if (err == 0) err = take_credit(w, t->stack_class);
    if (err) hd__thread_give(w ? &w->threads : NULL, t);
    return err;
}

static int spawn_visiting(hd_thread **out, const struct hd_attr *attr, hd_fn fn, void *arg) {
    if (atomic_load_explicit(&hd__rt.state, memory_order_seq_cst) != HD__RT_ON) return -EAGAIN;
    hd_thread *t = hd__thread_take(NULL);
    if (!t) return -ENOMEM;
    hd__thread_init(t, out ? HD__THREAD_JOINABLE : 0, hd__rt.stack_class);
    int err = outfit(NULL, t, attr);
    if (err) return err;
    t->fn = fn;
    t->arg = arg;
    t->id = atomic_fetch_add_explicit(&hd__rt.id_blocks, 1, memory_order_relaxed);
    if (out) {
        atomic_fetch_add_explicit(&hd__rt.foreign_spawned, 1, memory_order_relaxed);
        *out = t;
    }
    hd__sched_ready(t);
    return 0;
}

static HD__NOINLINE int spawn_foreign(hd_thread **out, const struct hd_attr *attr, hd_fn fn,
                                      void *arg) {
    hd__runtime_enter();
    int err = spawn_visiting(out, attr, fn, arg);
    hd__runtime_leave();
    return err;
}

/* A fresh thread of a higher priority than the spawner's is treated like one that is woken. */
static HD__NOINLINE void ready_special(struct hd__worker *w, hd_thread *t) {
    if (hd__ranked())
        hd__ranked_ready(t, HD_WHY_SPAWNED);
    else if (hd__thread_flags(t) & HD__THREAD_PINNED)
        hd__sched_place(t);
    else if (t->priority > current_of(w)->priority)
        hd__sched_ready(t);
    else
        ready_spawned(w, t);
}

int hd__sched_spawn(hd_thread **out, const struct hd_attr *attr, hd_fn fn, void *arg) {
    struct hd__worker *w = hd__worker_get();
    if (HD__UNLIKELY(!w)) return spawn_foreign(out, attr, fn, arg);
    hd_thread *t = hd__thread_take(&w->threads);
    if (HD__UNLIKELY(!t)) return -ENOMEM;
    hd__thread_init(t, out ? HD__THREAD_JOINABLE : 0, hd__rt.stack_class);
    if (HD__LIKELY(!attr && w->credits)) {
        w->credits--;
    } else {
        int err = outfit(w, t, attr);
        if (err) return err;
    }
    t->fn = fn;
    t->arg = arg;
    if (HD__UNLIKELY(w->next_id == w->last_id)) next_ids(w);
    t->id = w->next_id++;
    if (out) {
        count_one(&w->spawned);
        *out = t;
    }
    if (HD__UNLIKELY(hd__thread_flags(t) & (HD__THREAD_PINNED | HD__THREAD_PRIORITY)))
        ready_special(w, t);
    else
        ready_spawned(w, t);
    hd__sched_hostile_point();
    return 0;
}

/* ---- Ending ---- */

static inline void count_ended(struct hd__worker *w) {
    if (HD__LIKELY(w != NULL))
        count_one(&w->ended);
    else
        atomic_fetch_add_explicit(&hd__rt.foreign_ended, 1, memory_order_relaxed);
    if (HD__UNLIKELY(atomic_load_explicit(&hd__rt.draining, memory_order_relaxed)))
        hd__runtime_check_drain();
}

/* Publishes t's end under its lock; returns the party that waited for it, already claimed, or NULL.
 * The lock's release is the last access to t. */
static HD__NOINLINE hd_thread *publish_locked(struct hd__worker *w, hd_thread *t) {
    hd__spin_lock(&t->lock);
    if (atomic_load_explicit(&t->detached, memory_order_relaxed)) {
        /* hd_detach() has counted it. */
        hd__spin_unlock(&t->lock);
        hd__thread_give(&w->threads, t);
        return NULL;
    }
    hd_thread *woken = NULL;
    struct hd__wait *joiner = hd__load_relaxed(&t->joiner);
    if (joiner) {
        hd_thread *party = joiner->party;
        joiner->queued = false;
        hd__store_relaxed(&t->joiner, NULL);
        if (hd__wait_claim_as(party, HD__PARK_NOTIFIED)) woken = party;
    }
    atomic_store_explicit(&t->ended, 1, memory_order_release);
    hd__spin_unlock(&t->lock);
    count_ended(w);
    return woken;
}

/* The end of a thread whose joiner waits through join_newest(), in the wait whose park word is
 * `waiting`: claims exactly that wait. Having won, this thread alone knows t, since its joiner
 * holds the only handle and is not woken yet. Having lost, to an interruption, the joiner is about
 * to withdraw under the lock, or has. */
static inline hd_thread *publish_direct(struct hd__worker *w, hd_thread *t, hd_thread *party,
                                        uint64_t waiting) {
    uint64_t notified = (waiting & HD__PARK_COUNT) | HD__PARK_NOTIFIED;
    if (HD__UNLIKELY(!atomic_compare_exchange_strong_explicit(
            &party->park, &waiting, notified, memory_order_acq_rel, memory_order_relaxed)))
        return publish_locked(w, t);
    hd__store_relaxed(&t->joiner, NULL);
    atomic_store_explicit(&t->ended, 1, memory_order_release);
    count_ended(w);
    return party;
}

/* Publishes t's end and returns the party that waited for it, already claimed, or NULL. t may be
 * gone afterwards. `direct`: its joiner if that came through join_newest(), else NULL. */
static inline hd_thread *publish_end(struct hd__worker *w, hd_thread *t, hd_thread *direct,
                                     uint64_t waiting) {
    if (HD__LIKELY(direct != NULL)) return publish_direct(w, t, direct, waiting);
    if (hd__thread_flags(t) & HD__THREAD_JOINABLE) return publish_locked(w, t);
    hd__thread_give(&w->threads, t);
    return NULL;
}

/* Whether `next` can run on the stack that an ended thread leaves. */
static inline bool can_adopt(const hd_thread *next, const struct hd__stack *s) {
#ifdef HD__ANNOTATED
    return false; /* the tools tell contexts apart: each thread gets one of its own */
#endif
    return !next->stack && next->stack_class == s->klass &&
           !(hd__thread_flags(next) & (HD__THREAD_PINNED | HD__THREAD_PAINTED | HD__THREAD_MOVE));
}

static HD__NOINLINE void ended_unpreempted(hd_thread *t) {
    if (t->no_preempt != HD__PREEMPT_DUE)
        hd__fatal("hd_preempt_disable: thread %llu '%s' ends with preemption disabled; call "
                  "hd_preempt_enable() as often before", (unsigned long long)t->id,
                  hd_thread_name(t));
    t->no_preempt = 0;
}

HD__NOINLINE void hd__sched_end_values(void *party) {
    hd__tls_finish(party);
    hd__sched_enter();
    hd__tls_free(party);
    hd__sched_leave();
}

/* Runs threads one after another on this stack, as long as fresh ones follow ended ones; returns
 * the worker to leave from, with *next_out the thread to leave to (NULL: the loop). `direct` waits
 * for the first one. */
static struct hd__worker *run_threads(struct hd__worker *w, struct hd__stack *stack,
                                      hd_thread *direct, uint64_t waiting,
                                      struct hd__context *dying, hd_thread **next_out) {
    for (;; direct = NULL) {
        hd_thread *t = current_of(w);
        note_fp(t);
        hd__sched_leave();
        t->arg = t->fn(t->arg);
        if (HD__UNLIKELY(t->tls != NULL)) hd__sched_end_values(t);
        hd__sched_enter();
        check_fp(t);
        if (HD__UNLIKELY(hd__rcu_marked())) hd__rcu_die("ends");
        hd__sched_hostile_point();
        w = hd__worker_get();
        if (HD__UNLIKELY(t->no_preempt != 0)) ended_unpreempted(t);
#ifdef HD__ANNOTATED
        *dying = t->ctx; /* the descriptor may be gone when this context ends */
#else
        (void)dying;
#endif
        hd_thread *next = publish_end(w, t, direct, waiting);
        if (HD__UNLIKELY(next && (hd__rt.ranked || (hd__thread_flags(next) &
                                                    (HD__THREAD_PINNED | HD__THREAD_FOREIGN))))) {
            hd__wait_wake_party(next);
            next = NULL;
        }
        if (!next) {
            next = next_direct(w);
        } else if (HD__UNLIKELY(next_tick(w) % HD__POLL_TICK == 0)) {
            hd__sched_ready(next);
            next = NULL;
        }
        bool own_class = stack->klass != hd__rt.stack_class;
        if (HD__LIKELY(!own_class)) give_credit(w);
        if (!next || w->special || !can_adopt(next, stack)) {
            *next_out = next;
            return w;
        }
        if (HD__UNLIKELY(own_class)) hd__stack_unreserve(stack->klass, 1);
        next->stack = stack;
        set_current(w, next);
        hd__ctx_enter(&next->ctx);
    }
}

/* The first function on every thread's stack. */
static void thread_entry(void *pass, void *arg) {
    struct hd__worker *w = pass;
    hd_thread *first = arg, *next;
    struct hd__stack *stack = first->stack;
    struct hd__context dying;
    uint64_t waiting = 0;
    hd_thread *direct = settle_start(w, &waiting);
    w = run_threads(w, stack, direct, waiting, &dying, &next);
    w->post_kind = HD__POST_STACK;
    w->post = stack;
    struct hd__context *to = w->loop;
    if (next)
        to = prepare(w, next);
    else
        set_current(w, NULL);
    hd__ctx_jump(&dying, to, w);
}

/* ---- Joining ---- */

/* For the checks of callers' bugs: a freed descriptor has no flags. */
static inline bool is_joinable(hd_thread *t) {
    const uint32_t need = HD__THREAD_LIVE | HD__THREAD_JOINABLE;
    return (hd__thread_flags(t) & need) == need &&
           !atomic_load_explicit(&t->detached, memory_order_relaxed);
}

/* t has ended: takes its result and frees it. The ending thread's last access is the release of
 * its lock. */
static inline void reap(hd_thread *t, void **result) {
    while (HD__UNLIKELY(atomic_load_explicit(&t->lock.word, memory_order_acquire) != 0))
        hd__cpu_relax();
    if (result) *result = t->arg;
    struct hd__worker *w = hd__worker_get();
    hd__thread_give(w ? &w->threads : NULL, t);
}

/* If t is the newest thread here and has not begun, as in fork-join programs, takes it out of the
 * run queue. Only the owner touches lifo's front, so the look at the slot needs no lock and t is
 * still there under the lock unless thieves have emptied the ring. */
static inline bool take_newest(struct hd__worker *w, hd_thread *t) {
    struct hd__ring *lifo = &w->runq.lifo;
    if (hd__ring_count(lifo) == 0 || hd__ring_front(lifo) != t || w->special) return false;
    if ((w->tick + 1) % HD__POLL_TICK == 0) return false;
    hd__spin_lock(&w->runq.lock);
    /* A second joiner goes the slow way, where it is told that it is one too many. */
    bool there = hd__ring_count(lifo) != 0 && !t->stack && !hd__load_relaxed(&t->joiner);
    if (HD__LIKELY(there)) hd__ring_take_front(lifo);
    hd__spin_unlock(&w->runq.lock);
    if (there) next_tick(w);
    return there;
}

/* Joins a thread that take_newest() took, by switching to it. It is nobody else's until it runs,
 * so the joiner is noted without its lock. Returns whether the join was not interrupted. */
static inline bool join_newest(struct hd__worker *w, hd_thread *t, const void *site) {
    struct hd__wait wait;
    hd_thread *self = current_of(w);
    wait.party = self;
    wait.slot = NULL;
    wait.what = "join";
    wait.object = t;
    wait.site = site;
    wait.queued = true;
    self->wait = &wait;
    hd__store_relaxed(&t->joiner, &wait);
    w->post_kind = HD__POST_WAIT;
    w->post = self;
    set_current(w, t);
    bind_stack(w, t);
    settle(switch_from(w, self, &t->ctx));
    self->wait = NULL;
    if (HD__LIKELY(result_of(self) == 0)) return true;
    hd__spin_lock(&t->lock);
    if (wait.queued) hd__store_relaxed(&t->joiner, NULL);
    hd__spin_unlock(&t->lock);
    return false;
}

static HD__NOINLINE int join_slow(hd_thread *t, void **result, uint64_t deadline_ns,
                                  const void *site) {
    struct hd__wait wait;
    hd__wait_init(&wait, "join", t, site);
    HD__CHECK(wait.party != t, "hd_join: a thread cannot join itself; end it by returning");
    hd__spin_lock(&t->lock);
    HD__CHECK(!hd__load_relaxed(&t->joiner),
              "hd_join: thread %llu '%s' is being joined already; join a thread once",
              (unsigned long long)t->id, hd_thread_name(t));
    if (!atomic_load_explicit(&t->ended, memory_order_relaxed)) {
        hd__store_relaxed(&t->joiner, &wait);
        wait.queued = true;
        struct hd__worker *w = hd__worker_get();
        int err = HD__LIKELY(w && deadline_ns == HD_FOREVER)
                      ? park_untimed(w, &wait, &t->lock, 0)
                      : hd__wait_park(&wait, &t->lock, deadline_ns, 0);
        if (HD__UNLIKELY(err != 0)) {
            hd__spin_lock(&t->lock);
            bool ended = atomic_load_explicit(&t->ended, memory_order_relaxed);
            if (wait.queued) hd__store_relaxed(&t->joiner, NULL);
            hd__spin_unlock(&t->lock);
            /* A thread that ended meanwhile is joined all the same, unless that would swallow an
             * interruption. */
            if (!ended || err == -EINTR) return err;
        }
    } else {
        hd__spin_unlock(&t->lock);
    }
    reap(t, result);
    return 0;
}

static HD__ALWAYS_INLINE int join_from(struct hd__worker *w, hd_thread *t, void **result,
                                       uint64_t deadline_ns, const void *site) {
    HD__CHECK(is_joinable(t),
              "hd_join: not a joinable thread; it was joined or detached before");
    if (atomic_load_explicit(&t->ended, memory_order_acquire)) {
        reap(t, result);
        return 0;
    }
    if (w && deadline_ns == HD_FOREVER && take_newest(w, t)) {
        if (HD__UNLIKELY(!join_newest(w, t, site))) return -EINTR;
        reap(t, result);
        return 0;
    }
    return join_slow(t, result, deadline_ns, site);
}

static HD__NOINLINE int join_foreign(hd_thread *t, void **result, uint64_t deadline_ns,
                                     const void *site) {
    hd__runtime_enter();
    int err = join_from(NULL, t, result, deadline_ns, site);
    hd__runtime_leave();
    return err;
}

int hd__sched_join(hd_thread *t, void **result, uint64_t deadline_ns, const void *site) {
    struct hd__worker *w = hd__worker_get();
    if (HD__UNLIKELY(!w)) return join_foreign(t, result, deadline_ns, site);
    return join_from(w, t, result, deadline_ns, site);
}

void hd__sched_detach(hd_thread *t) {
    HD__CHECK(is_joinable(t),
              "hd_detach: not a joinable thread; it was joined or detached before");
    hd__spin_lock(&t->lock);
    HD__CHECK(!hd__load_relaxed(&t->joiner), "hd_detach: thread %llu '%s' is being joined",
              (unsigned long long)t->id, hd_thread_name(t));
    bool ended = atomic_load_explicit(&t->ended, memory_order_relaxed);
    if (!ended) atomic_store_explicit(&t->detached, true, memory_order_relaxed);
    struct hd__worker *w = hd__worker_get();
    if (!w) hd__runtime_enter(); /* t may be the last that the runtime waits for */
    hd__spin_unlock(&t->lock);
    if (ended)
        reap(t, NULL);
    else
        count_ended(w);
    if (!w) hd__runtime_leave();
}
