/* SPDX-License-Identifier: MIT */
/* Read-copy-update as programs see it, and functions that are called after a grace period.
 *
 * Idea. What is to be called is pushed onto one list, newest first. Whoever is the runner takes the
 * whole list, waits for a grace period, and calls it in order; so all that comes during one grace
 * period shares the next. There is a runner only while there is something to do: a thread that is
 * spawned by the call that finds none, and ends when the list is empty. It is joinable, so that
 * hd_run() and hd_stop() wait for it, and detaches itself at its end.
 *
 * Where no thread can be had (no runtime runs, or no memory) the list stays as it is: the next call
 * tries again, and hd_rcu_barrier() becomes the runner itself.
 *
 * No call is forgotten. Pusher: pushes, then looks whether somebody runs. Runner at its end:
 * resigns, then looks at the list. All four are sequentially consistent, so one of the two sees
 * the other. The barrier, which waits, does not rely on a spawn by somebody else to succeed: it
 * looks again.
 *
 * Rejected: a kernel thread for it, as others have. It would be one that outlives the runtime, and
 * what it calls would not be a thread's code. Calling functions in the pusher, when there are many:
 * it may hold locks that they take. Lists for each worker: a push is one compare-and-swap, and
 * whoever pushes has allocated an object before. */
#include <heddle/rcu.h>

#include <errno.h>
#include <stdatomic.h>

#include "base/check.h"
#include "os/kthread.h"
#include "os/mem.h"
#include "sched/rcu.h"
#include "sched/worker.h"
#include <heddle/sync.h>
#include <heddle/thread.h>
#include <heddle/time.h>

enum { RETRY_NS = 10 * 1000 * 1000 };

static hd_rcu_head *_Atomic calls; /* link: hd_rcu_head.next, newest first */
static _Atomic(const void *) caller; /* which party, while it calls functions */

void hd_rcu_synchronize(void) {
    HD__CHECK(!hd__rcu_reading(), "hd_rcu_synchronize: called within a read section, for whose end "
                                  "it would wait; end it with hd_rcu_read_unlock() first");
    hd__sched_hostile_point();
    hd__sched_enter();
    hd__rcu_synchronize(__builtin_return_address(0));
    hd__sched_leave();
}

bool hd_rcu_reading(void) {
    return hd__rcu_reading();
}

/* ---- Foreign kernel threads ---- */

static struct hd__os_exit_hook at_exit;

static void ended(void *arg) {
    (void)arg;
    hd__sched_enter();
    if (hd__rcu_reading()) hd__rcu_die("ends");
    hd__rcu_part();
    hd__sched_leave();
}

int hd_rcu_register(void) {
    if (hd__sched_enter() != NULL) {
        hd__sched_leave();
        return 0;
    }
    int err = 0;
    if (hd__rcu_join()) {
        err = hd__os_kthread_at_exit(&at_exit, ended, &at_exit);
        if (err) hd__rcu_part();
    }
    hd__sched_leave();
    return err;
}

void hd_rcu_unregister(void) {
    HD__CHECK(!hd__rcu_reading(), "hd_rcu_unregister: called within a read section; end it with "
                                  "hd_rcu_read_unlock() first");
    if (hd__sched_enter() == NULL) {
        if (!hd__rcu_join()) (void)hd__os_kthread_at_exit(&at_exit, ended, NULL);
        hd__rcu_part();
    }
    hd__sched_leave();
}

/* ---- Functions that are called later ---- */

static void push(hd_rcu_head *head) {
    hd_rcu_head *newest = atomic_load_explicit(&calls, memory_order_relaxed);
    do {
        head->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&calls, &newest, head, memory_order_seq_cst,
                                                    memory_order_relaxed));
}

static const void *party(void) {
    hd__sched_enter();
    const void *p = hd__wait_self();
    hd__sched_leave();
    return p;
}

/* Oldest first. */
static hd_rcu_head *reversed(hd_rcu_head *list) {
    hd_rcu_head *result = NULL;
    while (list != NULL) {
        hd_rcu_head *next = list->next;
        list->next = result;
        result = list;
        list = next;
    }
    return result;
}

/* The runner's: what it is to call, oldest first. One that is discarded in its wait leaves it to
 * the next. */
static hd_rcu_head *taken;

static void call_all(void) {
    hd_rcu_head *head;
    while ((head = taken) != NULL) {
        taken = head->next;
        head->fn(head);
    }
}

/* Whether the caller is the runner from now on. */
static bool become(enum hd__rcu_runner kind) {
    int nobody = HD__RCU_NOBODY;
    return atomic_compare_exchange_strong_explicit(&hd__rcu_running, &nobody, kind,
                                                   memory_order_seq_cst, memory_order_seq_cst);
}

static void resign(void) {
    atomic_store_explicit(&hd__rcu_running, HD__RCU_NOBODY, memory_order_seq_cst);
}

static bool nobody_runs(void) {
    return atomic_load_explicit(&hd__rcu_running, memory_order_seq_cst) == HD__RCU_NOBODY;
}

/* By the runner, until nothing is left to do and it is no longer the runner. */
static void run(enum hd__rcu_runner kind) {
    do {
        for (;;) {
            if (taken == NULL)
                taken = reversed(atomic_exchange_explicit(&calls, NULL, memory_order_acquire));
            if (taken == NULL) break;
            hd_rcu_synchronize();
            atomic_store_explicit(&caller, party(), memory_order_relaxed);
            call_all();
            atomic_store_explicit(&caller, NULL, memory_order_relaxed);
        }
        resign();
    } while (atomic_load_explicit(&calls, memory_order_seq_cst) != NULL && become(kind));
}

static void *runner_main(void *arg) {
    (void)arg;
    run(HD__RCU_THREAD);
    hd_detach(hd_self());
    return NULL;
}

static HD__COLD void find_runner(void) {
    hd_thread *t;
    if (atomic_load_explicit(&hd__rt.state, memory_order_acquire) == HD__RT_OFF) return;
    if (become(HD__RCU_THREAD) && hd_spawn(&t, HD_ATTR(.name = "rcu"), runner_main, NULL) != 0)
        resign();
}

void hd_rcu_call(hd_rcu_head *head, void (*fn)(hd_rcu_head *)) {
    HD__CHECK(head != NULL && fn != NULL, "hd_rcu_call: head or fn is NULL");
    head->fn = fn;
    push(head);
    if (nobody_runs()) find_runner();
}

static const uint64_t FOREIGN = UINT64_MAX;

/* Of a thread it is on the heap, and frees itself if that thread was discarded meanwhile, with the
 * runtime that it belonged to. */
struct barrier {
    hd_rcu_head head;
    hd_event reached;
    uint64_t runtime; /* hd__rcu_runtimes, or FOREIGN */
};

static void reach(hd_rcu_head *head) {
    struct barrier *b = hd__container_of(head, struct barrier, head);
    uint64_t now = atomic_load_explicit(&hd__rcu_runtimes, memory_order_relaxed);
    if (b->runtime == now || b->runtime == FOREIGN)
        hd_event_set(&b->reached);
    else {
        hd__sched_enter();
        hd__os_free(b);
        hd__sched_leave();
    }
}

void hd_rcu_barrier(void) {
    struct barrier own = {.reached = HD_EVENT_INIT, .runtime = FOREIGN}, *b = &own;
    bool interrupted = false;
    HD__CHECK(!hd__rcu_reading(), "hd_rcu_barrier: called within a read section, for whose end it "
                                  "would wait; end it with hd_rcu_read_unlock() first");
    const void *self = party();
    HD__CHECK(atomic_load_explicit(&caller, memory_order_relaxed) != self,
              "hd_rcu_barrier: called by a function that was given to hd_rcu_call(), for whose end "
              "it would wait");
    enum hd__rcu_runner kind = hd_self() ? HD__RCU_THREAD : HD__RCU_FOREIGN;
    while (hd_self() && b == &own) {
        hd__sched_enter();
        struct barrier *made = hd__os_calloc(1, sizeof *made);
        hd__sched_leave();
        if (!made) {
            hd_sleep_for(RETRY_NS); /* there is no way to fail */
            continue;
        }
        b = made;
        b->runtime = atomic_load_explicit(&hd__rcu_runtimes, memory_order_relaxed);
    }
    hd_rcu_call(&b->head, reach);
    while (!hd_event_is_set(&b->reached)) {
        if (become(kind)) run(kind);
        /* It may be a call whose spawn fails that says it runs. */
        if (hd_event_wait_until(&b->reached, hd_now_ns() + RETRY_NS) == -EINTR) interrupted = true;
    }
    if (b != &own) {
        hd__sched_enter();
        hd__os_free(b);
        hd__sched_leave();
    }
    if (interrupted) hd_interrupt(hd_self());
}
