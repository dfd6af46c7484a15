/* SPDX-License-Identifier: MIT */
/* Parking and waking; the idea and the argument are in wait.h. */
#include "sched/wait.h"

#include <errno.h>

#include "os/futex.h"
#include "sched/dispatch.h"
#include "sched/rcu.h"

/* The stand-in for a foreign kernel thread. It lives in the kernel thread's own memory, so making
 * it cannot fail. A waker's last access to it is a futex wake by address only. */
static __thread hd_thread foreign_self __attribute__((tls_model("initial-exec")));

static HD__NOINLINE hd_thread *foreign_party(void) {
    atomic_store_explicit(&foreign_self.flags, HD__THREAD_FOREIGN, memory_order_relaxed);
    return &foreign_self;
}

hd_thread *hd__wait_self(void) {
    struct hd__worker *w = hd__worker_get();
    return HD__LIKELY(w != NULL) ? current_of(w) : foreign_party();
}

/* The half of the park word that holds the bits: what a foreign party sleeps on. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the lower half comes first");
static _Atomic uint32_t *park_futex(hd_thread *t) {
    return (_Atomic uint32_t *)(void *)&t->park;
}

int hd__wait_park_foreign(struct hd__wait *wait, hd__spin *held, uint64_t deadline_ns) {
    hd_thread *t = wait->party;
    if (deadline_ns != HD_FOREVER && hd__os_now_ns() >= deadline_ns) {
        if (held) hd__spin_unlock(held);
        return -ETIMEDOUT;
    }
    hd__rcu_check("waits");
    t->home = deadline_ns == HD_FOREVER; /* for the waker */
    /* Nobody interrupts a foreign party: it has no handle. */
    set_waiting(t, true);
    if (deadline_ns == HD_FOREVER)
        atomic_fetch_add_explicit(&hd__rt.foreign_parked, 1, memory_order_seq_cst);
    if (held) hd__spin_unlock(held);
    /* Until it is woken, not only claimed: the waker still reads the record and the party. */
    for (;;) {
        uint64_t word = atomic_load_explicit(&t->park, memory_order_acquire);
        if (word & HD__PARK_WOKEN) break;
        /* Once claimed there is no deadline any more: the waker may come much later. */
        uint64_t until_ns = word & HD__PARK_WAITING ? deadline_ns : HD_FOREVER;
        if (hd__os_futex_wait(park_futex(t), (uint32_t)word, until_ns) == -ETIMEDOUT &&
            hd__wait_claim_as(t, HD__PARK_TIMEOUT))
            break;
    }
    return result_of(t);
}

/* The timers' lock is held from arming the timer until WAITING is set, which keeps the expirer away
 * from a party that it could not claim yet. */
void hd__wait_commit_timed(struct hd__worker *w, struct hd__wait *wait) {
    hd_thread *t = wait->party;
    hd__spin *held = wait->held;
    uint64_t deadline_ns = wait->deadline_ns;
    bool deaf = wait->flags & HD__WAIT_UNINTERRUPTIBLE;
    wait->timers = &w->timers;
    wait->timer.deadline_ns = deadline_ns;
    hd__spin_lock(&w->timers.lock);
    hd__timers_insert(&w->timers, &wait->timer);
    bool interrupted = must_end(set_waiting(t, deaf));
    hd__spin_unlock(&w->timers.lock);
    if (interrupted) interrupted = hd__wait_claim_as(t, HD__PARK_INTERRUPTED);
    if (held) hd__spin_unlock(held);
    if (interrupted) hd__sched_ready(t);
    /* The loop looks itself; a thread that goes on running does not. */
    if (current_of(w)) hd__idle_cover_timer(deadline_ns);
}

static int park_timed(struct hd__wait *wait, hd__spin *held, uint64_t deadline_ns,
                      unsigned flags) {
    hd_thread *t = wait->party;
    /* The interruption comes first: a loop that is always late must notice it, too. */
    int err = 0;
    if (!(flags & HD__WAIT_UNINTERRUPTIBLE) && take_interruption(t))
        err = -EINTR;
    else if (hd__os_now_ns() >= deadline_ns)
        err = -ETIMEDOUT;
    if (err) {
        if (held) hd__spin_unlock(held);
        return err;
    }
    wait->held = held;
    wait->deadline_ns = deadline_ns;
    wait->flags = flags;
    t->wait = wait;
    struct hd__worker *w = hd__worker_get();
    switch_to(w, t, next_direct(w), HD__POST_PARK, wait);
    hd__timer_cancel(wait->timers, &wait->timer);
    t->wait = NULL;
    return result_of(t);
}

int hd__wait_park(struct hd__wait *wait, hd__spin *held, uint64_t deadline_ns, unsigned flags) {
    struct hd__worker *w = hd__worker_get();
    if (HD__UNLIKELY(!w)) return hd__wait_park_foreign(wait, held, deadline_ns);
    if (HD__LIKELY(deadline_ns == HD_FOREVER)) return park_untimed(w, wait, held, flags);
    return park_timed(wait, held, deadline_ns, flags);
}

/* Whether w may run t next, who was just woken, as if it had come from the front of its queue. */
static bool may_go_on_with(struct hd__worker *w, hd_thread *t) {
    const uint32_t others = HD__THREAD_FOREIGN | HD__THREAD_PINNED | HD__THREAD_BOUND |
                            HD__THREAD_MOVE | HD__THREAD_PRIORITY;
    return !hd__ranked() && !(hd__thread_flags(t) & others) && t->stack &&
           hd__fifo_count(&w->inbox) == 0;
}

int hd__wait_park_waking(struct hd__wait *wait, hd__spin *held, uint64_t deadline_ns,
                         unsigned flags, hd_thread *next) {
    struct hd__worker *w = hd__worker_get();
    hd_thread *t = wait->party;
    if (!next || !w || deadline_ns != HD_FOREVER || !may_go_on_with(w, next) ||
        (atomic_load_explicit(&t->park, memory_order_relaxed) & HD__PARK_INTR) ||
        (atomic_load_explicit(&w->tick, memory_order_relaxed) + 1) % HD__POLL_TICK == 0) {
        if (next) hd__wait_wake_party(next);
        return hd__wait_park(wait, held, deadline_ns, flags);
    }
    next_tick(w);
    wait->held = held;
    wait->deadline_ns = HD_FOREVER;
    wait->flags = flags;
    t->wait = wait;
    switch_to(w, t, next, HD__POST_PARK, wait);
    t->wait = NULL;
    return result_of(t);
}

void hd__wait_wake_party(hd_thread *party) {
    if (HD__UNLIKELY(hd__thread_flags(party) & HD__THREAD_FOREIGN)) {
        /* By the waker: once woken, it can act, even if it takes the kernel a while to run it. */
        if (party->home)
            atomic_fetch_sub_explicit(&hd__rt.foreign_parked, 1, memory_order_seq_cst);
        atomic_fetch_or_explicit(&party->park, HD__PARK_WOKEN, memory_order_release);
        hd__os_futex_wake(park_futex(party), 1);
    } else {
        hd__sched_ready(party);
    }
}

void hd__wait_interrupt(hd_thread *party) {
    uint64_t old = atomic_load_explicit(&party->park, memory_order_relaxed);
    for (;;) {
        bool claim = (old & HD__PARK_WAITING) && !(old & HD__PARK_DEAF);
        uint64_t next = claim ? (old & HD__PARK_COUNT) | HD__PARK_INTERRUPTED
                              : old | HD__PARK_INTR;
        if (!atomic_compare_exchange_weak_explicit(&party->park, &old, next, memory_order_acq_rel,
                                                   memory_order_relaxed))
            continue;
        if (claim) hd__wait_wake_party(party);
        return;
    }
}

#ifdef HD_HOSTILE
/* Called from within and from without the gate. */
void hd__sched_hostile_point(void) {
    if (hd__rcu_reading()) return;
    bool inside = hd__sched_inside();
    struct hd__worker *w = inside ? hd__worker_get() : hd__sched_enter();
    if (w && current_of(w)) {
        w->random = w->random * 6364136223846793005u + 1442695040888963407u;
        if ((w->random >> 60) < 6) hd__sched_yield();
    }
    if (!inside) hd__sched_leave();
}
#endif
