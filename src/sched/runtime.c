/* SPDX-License-Identifier: MIT */
/* The runtime's life: OFF -> STARTING -> ON -> STOPPING -> OFF.
 *
 * Draining. hd_run() and hd_stop() wait until no joinable thread lives. Each worker counts the
 * joinable threads that it spawned and ended, alone and without atomics. Summing all `ended`
 * first and all `spawned` after: let T be the moment between. The first sum is at most what had
 * ended by T, the second at least what was spawned by T, and never have more ended than were
 * spawned; so if the sums are equal, none lived at T. The look is taken again by whoever ends a
 * thread while somebody drains, by each worker on its fairness tick and before it parks: the
 * drainer sets `draining` and then takes the idle lock, the parker takes it and then looks. */
#include "sched/runtime.h"

#include <errno.h>
#include <string.h>

#include "arch/arch.h"
#include "base/check.h"
#include "os/cgroup.h"
#include "os/cpu.h"
#include "os/mem.h"
#include "os/signal.h"
#include "os/slack.h"
#include "sched/carrier.h"
#include "sched/follow.h"
#include "sched/monitor.h"
#include "sched/overflow.h"
#include "sched/place.h"
#include "sched/preempt.h"
#include "sched/ranked.h"
#include "sched/rcu.h"

/* ---- Draining ---- */

static uint64_t sum(bool ended) {
    uint64_t total = atomic_load_explicit(ended ? &hd__rt.foreign_ended : &hd__rt.foreign_spawned,
                                          memory_order_acquire);
    for (unsigned i = 0; i < hd__rt.worker_count; i++) {
        struct hd__worker *w = &hd__rt.workers[i];
        total += atomic_load_explicit(ended ? &w->ended : &w->spawned, memory_order_acquire);
    }
    return total;
}

bool hd__runtime_drained(void) {
    uint64_t ended = sum(true); /* its loads acquire: the second sum comes after */
    return ended == sum(false);
}

void hd__runtime_check_drain(void) {
    if (!hd__runtime_drained()) return;
    hd__spin_lock(&hd__rt.drain_lock);
    struct hd__wait *w = hd__waitq_pop_front(&hd__rt.drain_waiters);
    bool won = w && hd__wait_claim(w);
    hd__spin_unlock(&hd__rt.drain_lock);
    if (won) hd__wait_wake(w);
}

static void drain(void) {
    atomic_store_explicit(&hd__rt.draining, true, memory_order_seq_cst);
    hd__spin_lock(&hd__rt.idle_lock);
    hd__spin_unlock(&hd__rt.idle_lock);
    while (!hd__runtime_drained()) {
        struct hd__wait w;
        hd__wait_init(&w, "the end of all joinable threads", NULL, NULL);
        hd__spin_lock(&hd__rt.drain_lock);
        hd__waitq_push_back(&hd__rt.drain_waiters, &w);
        if (hd__runtime_drained()) {
            hd__waitq_remove(&hd__rt.drain_waiters, &w);
            hd__spin_unlock(&hd__rt.drain_lock);
            break;
        }
        hd__wait_park(&w, &hd__rt.drain_lock, HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE);
    }
}

/* Foreign spawns fail from now on; those that began before are finished when this returns. */
static void close_doors(void) {
    atomic_store_explicit(&hd__rt.state, HD__RT_STOPPING, memory_order_seq_cst);
    while (atomic_load_explicit(&hd__rt.visitors, memory_order_seq_cst) != 0) {
        if (hd__worker_get()) hd__sched_yield(); /* a visitor may wait for a thread */
        hd__os_yield();
    }
}

/* Until no joinable thread lives or can come from outside. */
static void drain_and_close(void) {
    drain();
    close_doors();
    drain();
}

/* ---- Workers and carriers ---- */

static uint32_t queue_limit(unsigned wanted) {
#ifdef HD_HOSTILE
    return (void)wanted, 2;
#else
    return wanted;
#endif
}

static void worker_init(struct hd__worker *w, unsigned index, unsigned queue_size) {
    w->index = index;
    w->lines = index * HD__CACHE_LINE;
    w->hog_tick = w->blocking_tick = w->started_tick = UINT32_MAX;
    w->seen_tick = UINT32_MAX; /* else its first thread would look as if it ran since the boot */
    w->random = index * 0x9e3779b97f4a7c15u + 1;
    w->stacks.key = hd__stack_key(hd__rt.stack_class, 0);
    (void)hd__timers_init(&w->timers); /* what it could not have now, it tries again */
    w->runq.limit = queue_limit(queue_size);
    w->cpu = hd__follow_home(&hd__rt.allowed, index);
}

static void stop_workers(void) {
    atomic_store_explicit(&hd__rt.stopping, true, memory_order_seq_cst);
    hd__idle_wake_all();
    hd__monitor_stop();
    hd__carriers_want(0);   /* the maker looks, and tells who keeps it up for long */
    hd__carriers_release(); /* hd_run()'s own kernel thread may be one of those that wait */
}

/* ---- Start and stop ---- */

static bool claim_process(void) {
    int off = HD__RT_OFF;
    return atomic_compare_exchange_strong(&hd__rt.state, &off, HD__RT_STARTING);
}

/* Mapped by themselves, so that those that never run take no memory. */
static size_t workers_bytes(void) {
    return HD__ROUND_UP(hd__rt.worker_count * sizeof(struct hd__worker), hd__os_page_size());
}

static void free_workers(void) {
    hd__ranked_finish();
    for (unsigned i = 0; i < hd__rt.worker_count; i++)
        hd__timers_finish(&hd__rt.workers[i].timers);
    hd__order_free(atomic_exchange(&hd__rt.order, NULL));
    hd__os_unmap(hd__rt.workers, workers_bytes());
}

/* Gives everything back; the carriers are gone. */
static void tear_down(void) {
    close_doors();
    hd__rcu_discard();
    hd__thread_release_all();
    hd__stack_release_all();
    hd__overflow_finish();
    hd__preempt_finish();
    free_workers();
    hd__rt.workers = NULL;
    hd__rt.worker_count = 0;
    atomic_store(&hd__rt.state, HD__RT_OFF);
}

static void reset(const struct hd_config *cfg) {
    hd__rt.policy = hd__policy_find(cfg->policy);
    hd__rt.ranked = hd__rt.policy->order == HD_ORDER_RANK;
    hd__rt.config = *cfg;
    hd__rt.config.policy = hd__rt.policy->name; /* the program's string may go away */
    hd__policy_set_ageing(cfg->ageing_us * 1000);
    atomic_store(&hd__rt.rank_seq, 1);
    atomic_store(&hd__rt.least_slice_ns, HD_FOREVER);
    atomic_store(&hd__rt.active, cfg->workers);
    atomic_store(&hd__rt.shared_pinned, 0);
    hd__rt.stack_size = cfg->stack_size;
    hd__rt.stack_class = (uint8_t)hd__stack_class(cfg->stack_size);
    hd__rt.bind_workers = cfg->bind_workers != 0;
    hd__rt.steal_batch = cfg->steal_batch;
    hd__rt.deadlock = cfg->deadlock;
    hd__rt.prefetch_least = cfg->prefetch == HD_PREFETCH_OFF ? UINT32_MAX : HD__PREFETCH_LEAST;
    hd__rt.spin_ns = cfg->spin_us == HD_SPIN_NONE ? 0 : cfg->spin_us * 1000ull;
    hd__rt.preempt = (uint8_t)cfg->preempt;
    atomic_store(&hd__rt.slice_ns,
                 cfg->slice_us == HD_SLICE_NONE ? HD_FOREVER : cfg->slice_us * 1000);
    hd__rt.idle_list = NULL;
    atomic_store(&hd__rt.io_keeper, NULL);
    atomic_store(&hd__carriers.held, 0);
    hd__rt.keeper = NULL;
    hd__rt.drain_waiters = (struct hd__waitq){NULL, NULL};
    atomic_store(&hd__rt.stopping, false);
    atomic_store(&hd__rt.draining, false);
    atomic_store(&hd__rt.deadlock_reported, false);
    atomic_store(&hd__rt.idle, 0);
    atomic_store(&hd__rt.keeper_deadline_ns, HD_FOREVER);
    atomic_store(&hd__rt.foreign_spawned, 0);
    atomic_store(&hd__rt.foreign_ended, 0);
    hd__rt.injected.head = hd__rt.injected.tail = NULL;
    atomic_store(&hd__rt.injected.count, 0);
}

/* A program that is checked by ThreadSanitizer, with a library that does not tell it of switches,
 * is told of races that are none, or crashes in the checker. */
#ifndef HD__TSAN
extern void __tsan_init(void) __attribute__((weak));
static void check_tools(void) {
    static _Atomic int told;
    if (__tsan_init && !atomic_exchange(&told, 1))
        hd__print_fd2("heddle: the program is built with ThreadSanitizer, the library is not: its "
                      "reports will be wrong. Link the library that 'tools/build tsan' makes\n");
}
#else
static void check_tools(void) {}
#endif

/* How many workers there are ever to be: if their number follows what the process may use, one for
 * each CPU of the machine. */
static unsigned places(const struct hd_config *cfg, bool follow) {
    unsigned n = follow ? hd__os_cpus_online() : 0;
    if (n > HD__WORKERS_MAX) n = HD__WORKERS_MAX;
    if (n > cfg->carriers_max) n = cfg->carriers_max;
    return n > cfg->workers ? n : cfg->workers;
}

/* Brings everything up but the carriers. */
static int set_up(const struct hd_config *cfg, bool follow) {
    /* Where the kernel does not say, or the process lives beyond HD_CPU_MAX: any CPU. */
    if (hd__os_cpus_allowed(&hd__rt.allowed) <= 0)
        memset(&hd__rt.allowed, 0xff, sizeof hd__rt.allowed);
    reset(cfg);
    hd__rt.worker_count = places(cfg, follow);
    hd__rt.workers = hd__os_map(workers_bytes());
    if (!hd__rt.workers) return -ENOMEM;
    for (unsigned i = 0; i < hd__rt.worker_count; i++)
        worker_init(&hd__rt.workers[i], i, cfg->queue_size);
    hd__follow_start(follow);
    /* Twice: a stack that its ended thread has not left yet counts as cached. */
    hd__stack_set_workers(2 * cfg->workers);
    hd__stack_set_idle_max(cfg->stack_idle_max ? cfg->stack_idle_max : UINT64_MAX);
    /* Without the handler an overflow still ends the process, only without our line. */
    (void)hd__overflow_init();
    hd__arch_fp_capture();
    check_tools();
    int err = hd__preempt_init(cfg->preempt_signal);
    if (!err && hd__rt.ranked) {
        err = hd__ranked_start();
        if (err) hd__preempt_finish();
    }
    if (err) {
        hd__overflow_finish();
        free_workers();
    }
    return err;
}

/* `caller`: of hd_run(), which will carry a worker. */
static int bring_up(const struct hd_config *cfg, bool follow, bool caller) {
    if (!claim_process()) return -EBUSY;
    int err = set_up(cfg, follow);
    if (err) {
        atomic_store(&hd__rt.state, HD__RT_OFF);
        return err;
    }
    hd__rt.embedded = !caller;
    err = hd__poller.start(cfg->io, hd__rt.worker_count);
    if (err) {
        tear_down();
        return err;
    }
    err = hd__carriers_start(cfg->carriers_max, caller);
    if (!err) err = hd__monitor_start();
    if (err) {
        stop_workers();
        hd__carriers_stop();
        hd__poller.stop();
        tear_down();
    }
    return err;
}

struct main_call {
    int (*fn)(void *);
    void *arg;
    int result;
};

static void *main_thread(void *arg) {
    struct main_call *call = arg;
    call->result = call->fn(call->arg);
    hd__sched_enter();
    drain_and_close();
    hd__sched_leave();
    stop_workers();
    return NULL;
}

int hd__runtime_run(const struct hd_config *cfg, bool follow, int (*fn)(void *), void *arg) {
    int err = bring_up(cfg, follow, true);
    if (err) return err;
    struct main_call call = {fn, arg, 0};
    hd_cpuset before, after;
    uint64_t slack_ns = hd__os_timer_slack(1);
    atomic_store(&hd__rt.state, HD__RT_ON);
    struct hd_attr attr = {.size = sizeof attr, .name = "main"};
    err = hd__sched_spawn(NULL, &attr, main_thread, &call);
    if (err) {
        close_doors();
        stop_workers();
    } else {
        hd__carriers_run_caller();
    }
    hd__os_timer_slack(slack_ns);
    hd__place_allowed(&before);
    if (hd__os_cpus_allowed(&after) > 0 && memcmp(&after, &before, sizeof before) != 0)
        hd__os_cpus_set(&before);
    hd__carriers_stop();
    hd__poller.stop();
    tear_down();
    return err ? err : call.result;
}

int hd__runtime_start(const struct hd_config *cfg, bool follow) {
    int err = bring_up(cfg, follow, false);
    if (!err) atomic_store_explicit(&hd__rt.state, HD__RT_ON, memory_order_release);
    return err;
}

int hd__runtime_stop(void) {
    if (hd__worker_get()) return -EDEADLK;
    if (!hd__rt.embedded || atomic_load(&hd__rt.state) != HD__RT_ON) return -EINVAL;
    /* Of several that stop it at once, one does. */
    if (atomic_exchange(&hd__rt.draining, true)) return -EINVAL;
    drain_and_close();
    stop_workers();
    hd__carriers_stop();
    hd__poller.stop();
    tear_down();
    return 0;
}
