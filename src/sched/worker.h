/* SPDX-License-Identifier: MIT */
/* Workers and the runtime: the scheduler's shared state, with the guard of each field.
 *
 * Lock order, outermost first: an object's lock or a thread's -> timers -> idle -> run queue ->
 * inbox -> injection queue (or own ranks -> shared ranks) -> the pools of stacks and
 * descriptors. All are spinlocks, held for a few dozen instructions; nobody parks under one but
 * through hd__wait_park(). */
#ifndef HD__SCHED_WORKER_H
#define HD__SCHED_WORKER_H

#include "base/base.h"
#include "base/spin.h"
#include "ctx/cxx.h"
#include "sched/order.h"
#include "sched/poller.h"
#include "sched/rankq.h"
#include "sched/runq.h"
#include "sched/timer.h"
#include "sched/wait.h"
#include "thread/thread.h"
#include <heddle/policy.h>
#include <heddle/preempt.h>
#include <heddle/runtime.h>

enum {
    HD__WORKERS_MAX = 1024,
#ifdef HD_HOSTILE
    HD__POLL_TICK = 2, /* every so many dispatches go through the scheduler's own loop, */
    HD__FAIR_TICK = 4, /* and so many look at injected threads and at lifo's oldest */
#else
    HD__POLL_TICK = 32,
    HD__FAIR_TICK = 128,
#endif
    HD__STEAL_MAX = 64,    /* threads taken by one theft, at most */
    HD__CREDIT_BATCH = 64, /* stack reservations that a worker takes at a time */
};

/* A first-in first-out list of threads with its lock; count is a hint without it. */
struct hd__fifo {
    hd__spin lock;
    _Atomic uint32_t count;
    hd_thread *head, *tail;
};

/* What the context that continues does for the one that left (sched.c, settle()). */
enum hd__post {
    HD__POST_NONE,
    HD__POST_YIELD, /* a thread: it goes behind all others */
    HD__POST_RANK,  /* the same, under a policy with ranks: it goes where it belongs */
    HD__POST_LIGHT, /* a thread that was preempted the light way: bound to its carrier */
    HD__POST_PARK,  /* a wait record: its party waits from now on */
    HD__POST_WAIT,  /* a thread that waits for the one it left to: without lock and deadline */
    HD__POST_STACK, /* a stack that nobody stands on any more */
};

struct hd__carrier;

struct hd__worker {
    /* The owner's alone: the carrier's that runs it, between hd__sched_enter() and leave(). The
     * monitor reads some of it as a hint: what is atomic. */
    hd_thread *_Atomic current; /* NULL while the scheduler's own loop runs */
    enum hd__post post_kind;
    void *post;
    struct hd__context *loop;   /* the scheduler's own loop, on the carrier's stack */
    struct hd__cxx *cxx;        /* the carrier's C++ exceptions */
    _Atomic uint32_t tick;      /* dispatches */
    uint32_t polled, served;    /* tick of the last poll, and of the last with the fairness looks */
    uint32_t index;
    uint32_t lines;             /* index cache lines in bytes: a place of its own in an array */
    unsigned credits;           /* stack reservations of the default class in hand */
    bool special;               /* the next dispatch must look at the carrier: its CPU set is a
                                 * pinned thread's, or it has light threads bound to it */
    uint8_t turn;               /* which queue the next preemption serves first */
    unsigned lights;            /* light threads that were preempted here, and must go on here */
    bool inbox_last;            /* the inbox had its turn */
    uint8_t fair_turn;          /* which of the others has the next one */
    uint8_t light_tries;        /* light preemptions in a row that were not possible */
    uint8_t searches;           /* counts those of choose_begun() that were asked for */
    hd_thread *handoff;         /* runs next, on handoff_to, when the loop has control */
    struct hd__carrier *handoff_to;
    uint64_t next_id, last_id;
    uint64_t random;
    uint64_t lifo_served_ns;    /* when lifo's oldest last had its turn */
    _Atomic uint16_t node;      /* memory node of the home CPU; 0 until it is known */
    struct hd__stack_cache stacks; /* of the default class and the worker's memory node */
    struct hd__thread_cache threads;
    _Atomic unsigned cpu;       /* home CPU; follow.c changes it */
    uint32_t cpus_changes;      /* of hd__rt, as far as this worker has noticed */
    struct hd__carrier *_Atomic carrier; /* who runs it, or is about to */
    /* Written by the owner, read by hd__runtime_drained(). */
    _Atomic uint64_t spawned, ended; /* joinable threads */

    struct hd__runq runq;

    HD__ALIGNED(HD__CACHE_LINE) struct hd__fifo inbox; /* threads that must run here */
    HD__ALIGNED(HD__CACHE_LINE) struct hd__fifo light; /* light threads that were preempted here */
    HD__ALIGNED(HD__CACHE_LINE) struct hd__rankq own; /* policies with ranks: see ranked.h */
    HD__ALIGNED(HD__CACHE_LINE) struct hd__timers timers;

    /* Parking; the idle lock guards the link. */
    HD__ALIGNED(HD__CACHE_LINE) _Atomic uint32_t notified;
    bool listed;
    bool retired;               /* sleeps in follow.c, or has never run; the idle lock guards it */
    struct hd__worker *idle_next, *idle_prev;

    /* Preemption (preempt.c, monitor.c). The first three are written by the owner when a thread
     * begins or goes on after a preemption: since when it runs, and that it is a hog: one that had
     * a whole slice, or has been preempted, and has not left by itself since. */
    HD__ALIGNED(HD__CACHE_LINE) _Atomic uint64_t started_ns;
    _Atomic uint32_t started_tick;
    _Atomic uint32_t hog_tick;      /* the present thread is a hog if this is the present tick */
    _Atomic bool urgent;            /* a signal is on its way for the sake of a wake-up */
    _Atomic bool in_call;           /* its thread was in a blocking call when its slice ended */
    _Atomic uint64_t slice_end_ns;  /* its alarm is set for the end of the slice; 0: it is not */
    _Atomic uint64_t alarm_ns;      /* when its alarm comes, HD_FOREVER: none is set (alarm.h) */
    uint32_t slice_tick;            /* whose slice that is, */
    uint64_t slice_length_ns;       /* how long it is to be, */
    uint64_t slice_begin_ns;        /* when it began, */
    uint64_t slice_cpu_ns;          /* and the carrier's CPU time then */
    _Atomic uint32_t blocking_tick; /* the present thread is in hd_blocking() if this is the tick */
    _Atomic uint64_t preempted_carrier, preempted_light, preempted_enable, deferred, no_carrier;
    _Atomic uint64_t lost_ns, blocking_calls;
    /* The monitor's alone. */
    uint32_t seen_tick;
    unsigned tries;                 /* signals for the same preemption */
    uint64_t seen_ns, retry_ns, blocking_ns;
    bool orphan;                    /* it has no carrier: none was free */
} HD__ALIGNED(HD__CACHE_LINE);

enum hd__rt_state { HD__RT_OFF, HD__RT_STARTING, HD__RT_ON, HD__RT_STOPPING };

struct hd__runtime {
    /* Read-mostly: written before the workers start. */
    struct hd__worker *workers;
    unsigned worker_count;
    uint8_t stack_class;
    bool bind_workers, embedded;
    bool ranked;            /* the policy has ranks: ranked.h instead of run queues */
    const struct hd_policy *policy;
    struct hd_config config; /* for hd_config_get() */
    int deadlock;
    size_t stack_size;
    uint32_t steal_batch;
    uint32_t prefetch_least; /* from so many queued threads on those next in line are prefetched */
    uint64_t spin_ns;
    hd_cpuset allowed;           /* what the process may use; allowed_lock */
    hd__spin allowed_lock;
    _Atomic unsigned active;     /* workers from here on are retired, or about to (follow.h) */
    _Atomic unsigned retired;    /* how many are; written under idle_lock */
    _Atomic uint64_t follow_ns;  /* when somebody is to look what the process may use */
    _Atomic uint32_t cpus_changes; /* how often home CPUs have changed */
    _Atomic uint32_t shared_pinned; /* pinned threads that several workers may take (place.c) */
    struct hd__order *_Atomic order; /* whom to steal from first; NULL: anybody */
    _Atomic int state;      /* enum hd__rt_state */
    _Atomic int stopping;   /* the workers' loops end */
    _Atomic int deadlock_reported;
    _Atomic int draining;   /* somebody waits for the joinable threads to end */
    _Atomic uint64_t slice_ns; /* HD_FOREVER: none */
    _Atomic uint64_t least_slice_ns; /* of the threads that have or had one of their own */
    uint8_t preempt;           /* HD_PREEMPT_* of threads that leave it open */
    _Atomic uint32_t kthreads; /* carriers and the monitor; each counts itself */

    /* parked | HD__IDLE_LISTENS | HD__IDLE_HOGS | searching << 16. Changed by atomic additions and
     * bit operations; `parked` only under idle_lock. */
    HD__ALIGNED(HD__CACHE_LINE) _Atomic uint32_t idle;
    HD__ALIGNED(HD__CACHE_LINE) hd__spin idle_lock; /* guards the list, the keeper, `listed` */
    struct hd__worker *idle_list;                   /* last parked first */
    struct hd__worker *keeper;                      /* the parked worker that minds the timers */
    _Atomic uint64_t keeper_deadline_ns;            /* HD_FOREVER without a keeper */
    struct hd__worker *_Atomic io_keeper;           /* the parked worker that sleeps in the poller;
                                                     * written under idle_lock */
    _Atomic uint32_t foreign_parked; /* foreign parties that wait without a deadline */

    HD__ALIGNED(HD__CACHE_LINE) struct hd__fifo injected;
    HD__ALIGNED(HD__CACHE_LINE) struct hd__rankq shared; /* policies with ranks */
    _Atomic uint64_t rank_seq;
    HD__ALIGNED(HD__CACHE_LINE) _Atomic uint32_t visitors; /* see hd__runtime_enter() */
    _Atomic uint64_t foreign_spawned, foreign_ended;
    _Atomic uint64_t id_blocks; /* the next ids; no id is given twice, by no later runtime either */

    /* Who waits for the drain; guarded by drain_lock. */
    hd__spin drain_lock;
    struct hd__waitq drain_waiters;
};

extern struct hd__runtime hd__rt;

/* The word `idle`. LISTENS: the monitor sleeps and wants to hear of whatever becomes runnable while
 * no worker is parked or searching. HOGS: some worker may run a hog, see hd__worker.hog_tick.
 * PRIORITIES: some thread has, or had, another priority than the default. */
enum {
    HD__IDLE_ONE_PARKED = 1,
    HD__IDLE_PRIORITIES = 1 << 13,
    HD__IDLE_HOGS = 1 << 14,
    HD__IDLE_LISTENS = 1 << 15,
    HD__IDLE_ONE_SEARCHING = 1 << 16
};
#define HD__IDLE_PARKED(word) ((word) & 0x1fffu)
#define HD__IDLE_SEARCHING(word) ((word) >> 16)

#include "sched/self.h"

/* fifo: sched.c. The lock is taken inside. */
void hd__fifo_put(struct hd__fifo *f, hd_thread *first, hd_thread *last, uint32_t n);
hd_thread *hd__fifo_take(struct hd__fifo *f, uint32_t max); /* a chain, oldest first */
static inline uint32_t hd__fifo_count(struct hd__fifo *f) {
    return atomic_load_explicit(&f->count, memory_order_relaxed);
}

/* sched.c */
void hd__sched_ready(hd_thread *t);      /* queues a runnable thread, newest first; any context */
void hd__sched_ready_back(struct hd__worker *w, hd_thread *t); /* behind all others; w's owner */
void hd__sched_ready_front(struct hd__worker *w, hd_thread *t); /* before all others; w's owner */
/* Runs w on c, beginning with `first` if that is not NULL; returns w when the runtime stops, NULL
 * when c has no worker any more. */
struct hd__worker *hd__sched_loop(struct hd__carrier *c, struct hd__worker *w, hd_thread *first);
void hd__sched_yield(void);
unsigned hd__sched_expire(struct hd__worker *by, struct hd__timers *h, uint64_t now_ns,
                          unsigned above);
hd_thread *hd__sched_take_injected(struct hd__worker *w, uint32_t max);
hd_thread *hd__sched_take_next(struct hd__worker *w);
hd_thread *hd__sched_take_inbox(struct hd__worker *w);
int hd__sched_spawn(hd_thread **out, const struct hd_attr *attr, hd_fn fn, void *arg);
int hd__sched_join(hd_thread *t, void **result, uint64_t deadline_ns, const void *site);
void hd__sched_detach(hd_thread *t);
void hd__sched_note_slice(unsigned slice_us); /* some thread has one of its own */
void hd__sched_set_affinity(struct hd__worker *w, hd_thread *t); /* place.h */
void hd__sched_place(hd_thread *t);

/* idle.c */
hd_thread *hd__idle_find(struct hd__worker *w); /* NULL: the runtime stops */
hd_thread *hd__idle_steal(struct hd__worker *w);
void hd__idle_wake_one(void); /* or tells the monitor */
void hd__idle_wake_all(void);
bool hd__idle_wake_worker(struct hd__worker *w); /* whether it was parked */
void hd__idle_cover_timer(uint64_t deadline_ns); /* sees to it that somebody wakes up for it */
bool hd__idle_all_parked(void); /* every worker in service is, and no timer is armed */
bool hd__idle_own_work(struct hd__worker *w); /* something waits that only w can take or pass on */
bool hd__idle_work_anywhere(const struct hd__worker *w); /* NULL: in any inbox, too */
bool hd__idle_work_hint(void); /* the same as workers come by, without a lock */
uint64_t hd__idle_earliest_deadline(void);

/* Wakes a parked worker if there is one and nobody searches, or else the monitor if it wants that.
 * After a push, whose lock orders this look behind the push; see idle.c. */
static inline void hd__idle_wake_if_needed(void) {
    uint32_t word = atomic_load_explicit(&hd__rt.idle, memory_order_relaxed);
    if (HD__UNLIKELY((word & (0x1fffu | HD__IDLE_LISTENS)) != 0 && HD__IDLE_SEARCHING(word) == 0))
        hd__idle_wake_one();
}

/* runtime.c */
bool hd__runtime_drained(void);
void hd__runtime_check_drain(void);

/* Around what a foreign kernel thread does with workers or descriptors that nothing else keeps
 * alive: the runtime is not torn down meanwhile. The addition comes before the look at `state`, and
 * the stopping side sets `state` before it looks here, so one of the two sees the other. */
static inline void hd__runtime_enter(void) {
    atomic_fetch_add_explicit(&hd__rt.visitors, 1, memory_order_seq_cst);
}

static inline void hd__runtime_leave(void) {
    atomic_fetch_sub_explicit(&hd__rt.visitors, 1, memory_order_release);
}

/* deadlock.c: called by the last worker to park, with nothing left to wait for. */
void hd__deadlock_check(void);
/* Set before the first runtime starts: what else is known of an object of that kind. */
extern void (*hd__deadlock_describe)(char *text, size_t size, const char *what,
                                     const void *object);

#endif
