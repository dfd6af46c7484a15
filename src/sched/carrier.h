/* SPDX-License-Identifier: MIT */
/* Carriers: the kernel threads that run workers.
 *
 * A worker is a place in the schedule; a carrier lends it a kernel thread. A worker changes its
 * carrier when what runs on the present one must stay there:
 *
 *   preempted   The thread was interrupted in arbitrary code, which may hold locks of the C
 *               library or addresses of thread-local variables. It keeps its carrier, which waits
 *               in the signal's handler (preempt.c).
 *   blocked     The thread is in a system call that does not return (hd__carrier_retake()).
 *
 * Such a thread is BOUND: it goes on on stack->owner, its carrier, only. When its turn comes, the
 * worker that would run it is granted to that carrier, and the carrier that had it becomes a spare.
 * A spare carrier waits for a worker and, perhaps, a thread to run on it.
 *
 *                       grant (w, t)
 *        SPARE  ----------------------------->  RUNNING  <--- grant (w, t) ---  HELD by t
 *   (waits in its     <--- hands w over ---     (has w)   --- t preempted -->   (waits in t's
 *    own main loop)                                      --- w retaken --->    handler or enter())
 *
 * `granted` is the carrier's mailbox: a grant fills in grant_worker and grant_thread, and stores
 * HD__GRANT with release; the carrier that sees it (acquire) owns the worker from then on. There is
 * one grant at a time: a spare is taken off the list by one granter, and a bound thread is taken
 * from a queue by one dispatcher. A held carrier may be granted before it waits; the mailbox keeps
 * it.
 *
 * Light threads (HD_PREEMPT_LIGHT) are switched away from within the handler, and their carrier
 * goes on running others. They are bound to it all the same, since compilers keep addresses of
 * thread-local variables in registers. They wait in a queue of their worker (hd__worker.light) that
 * nobody steals from, so a carrier with such threads belongs to one worker. So that nobody who
 * blocks can keep them from it, it runs light threads only: for any other, the worker goes to a
 * spare carrier, if there is one; and it is not held.
 *
 * Who makes them: a kernel thread of its own, the maker, when the monitor asks for it, ahead of
 * need and up to a bound. Never a handler, and not the monitor itself: making and ending kernel
 * threads takes locks of the C library, which a preempted thread may hold; the maker can wait for
 * that, the monitor cannot, since it must let that thread go on. For the same reason nothing in the
 * runtime uses malloc() (os/mem.h). The maker also ends those that are not needed for a while. */
#ifndef HD__SCHED_CARRIER_H
#define HD__SCHED_CARRIER_H

#include "os/interrupt.h"
#include "os/kthread.h"
#include "os/signal.h"
#include "os/task.h"
#include "sched/worker.h"

enum hd__grant {
    HD__GRANT_NONE,
    HD__GRANT,      /* a worker */
    HD__GRANT_FREE, /* no worker: the runtime stops. A held thread runs on to its next call */
};

struct hd__carrier {
    struct hd__carrier *next;   /* the list of spares; its lock */
    struct hd__carrier *all;    /* the list of all; its lock */
    struct hd__context loop;    /* where hd__sched_loop() left for a thread */
    struct hd__cxx *cxx;        /* its C++ exceptions */
    struct hd__self *_Atomic self; /* its thread-local words; NULL before it has begun */
    hd_cpuset affinity;         /* its CPU set; */
    uint32_t only;              /* one more than its CPU, if there is one in it; 0: look at it */
    uint32_t cpus_changes;      /* as it was at this count of hd__rt: the kernel may have changed it
                                 * with the process's since */
    _Atomic unsigned cpu;       /* where it began to wait */
    hd_thread *_Atomic held;    /* whose worker was taken away; NULL while c has one */
    _Atomic unsigned lights;    /* light threads that are bound to it and do not run */
    _Atomic int tid;
    _Atomic bool signalled;     /* a preempting signal is on its way */
    struct hd__os_task task;    /* the monitor's view of it */
    struct hd__os_alarm alarm;  /* the monitor's */
    uint64_t alarm_ns;          /* when it was set for */
    struct hd__os_alarm slice;  /* its own: alarm.h */
    uint64_t slice_ns;          /* when that comes; HD_FOREVER: it is not set */
    uint64_t rest_ns;           /* it is not to come again before */
    bool caller;                /* hd_run()'s caller: not ours to end */
    bool begins_spare;          /* it puts itself on the list of spares */
    bool signal_was_blocked;    /* the preempting one, before it became a carrier */
    bool signal_blocked;        /* it still is, by a handler that switched away (switch_light()) */
    bool mask_left;             /* it has the mask of a thread that was switched away from */
    uint64_t mask;              /* the signals that it blocks, but for what its thread does */
    _Atomic bool gone;          /* it has ended, or is about to; join it */
    uint64_t spare_since_ns;
    struct hd__os_kthread kthread;
    uint64_t passed;            /* see hd__carriers_pass(); the lock of the lists */

    HD__ALIGNED(HD__CACHE_LINE) _Atomic uint32_t granted; /* enum hd__grant */
    struct hd__worker *grant_worker;
    hd_thread *grant_thread;    /* NULL: whatever the loop finds */
    uint64_t grant_ns;          /* when the preemption that led to it began; 0: there was none */
};

struct hd__carriers {
    hd__spin lock;              /* guards both lists; and the writes of their counts */
    struct hd__carrier *spares; /* last used first */
    struct hd__carrier *all;
    struct hd__carrier *caller; /* hd_run()'s */
    _Atomic unsigned spare_count, count;
    _Atomic unsigned starting;  /* those that will be spare as soon as they run */
    uint64_t passes;            /* the last ticket of hd__carriers_pass(); the lock */
    unsigned most, max;
    _Atomic uint32_t held;      /* threads without a worker, outside of any queue */
    struct hd__os_kthread maker;
    bool maker_runs;
    _Atomic bool maker_ends;
    _Atomic unsigned target;    /* of spares; written by the monitor */
    HD__ALIGNED(HD__CACHE_LINE) _Atomic uint32_t asked; /* a futex: the maker has something to do */
};

extern struct hd__carriers hd__carriers;

/* Life. The first carriers, one a worker; `caller`: hd_run()'s kernel thread carries worker 0. */
int hd__carriers_start(unsigned max, bool caller);
void hd__carriers_run_caller(void);
/* The runtime stops: whoever runs a worker leaves its loop by itself; those that wait are told to
 * end. Whether there are some but the caller's left. */
bool hd__carriers_release(void);
void hd__carriers_stop(void); /* ends all but the caller's, and waits for them */

/* A new one, for a worker that has none; NULL: there are too many, or it could not be had. By the
 * maker. */
struct hd__carrier *hd__carrier_make(void);

/* Wakes the maker. */
void hd__carriers_ask(void);

/* Has the maker see to it that there are `target` spares, or not many more; by the monitor. */
void hd__carriers_want(unsigned target);

/* The calling carrier is about to give its worker away. */
void hd__carrier_lose_worker(struct hd__carrier *c);

/* Something was hidden from brief sections (self.h): waits until none can be at it any more that
 * began before it was hidden. Of the carriers, that is: what other kernel threads use is guarded
 * otherwise. Holding no lock, inside; gives the CPU away while it waits. Only if can_pass() said
 * before that it is possible: it takes membarrier(). */
bool hd__carriers_can_pass(void);
void hd__carriers_pass(void);

/* A spare one, if possible one that waits on this CPU; or NULL. */
struct hd__carrier *hd__carrier_take_spare(void);
void hd__carrier_put_spare(struct hd__carrier *c);

/* Gives w, which the caller owns and leaves alone from then on, to c. since_ns: see grant_ns. */
void hd__carrier_grant(struct hd__carrier *c, struct hd__worker *w, hd_thread *t,
                       uint64_t since_ns);

/* As grant, by a carrier that is about to wait itself: c is to run on the CPU that becomes free by
 * that. Left to itself, the kernel often queues it where it ran last, behind another that computes,
 * and takes it away from there a tick or more later. */
void hd__carrier_grant_here(struct hd__carrier *c, struct hd__worker *w, hd_thread *t,
                            uint64_t since_ns);

/* On a carrier that is held: waits for a worker, and makes it run t, which is what holds it. */
/* NULL: the runtime stops. hog: see hd__worker.hog_tick. */
struct hd__worker *hd__carrier_wait_held(struct hd__carrier *c, hd_thread *t, bool hog);

/* Whether c is blocked in the kernel; *nr: in which system call, or -1. By the monitor alone. */
static inline bool hd__carrier_is_blocked_in(struct hd__carrier *c, int64_t *nr) {
    return hd__os_task_blocked(&c->task, atomic_load_explicit(&c->tid, memory_order_relaxed), nr);
}

static inline bool hd__carrier_is_blocked(struct hd__carrier *c) {
    int64_t nr;
    return hd__carrier_is_blocked_in(c, &nr);
}

/* Takes the worker of a carrier that is blocked in the kernel away: w is then the caller's, and the
 * thread that was on it has none. False if the carrier turned out to be in the runtime, or, unless
 * `sections`, its thread not to be blocked after all or to be in a section in which it is not
 * preempted: nothing has happened. By the monitor; so is the opposite, which fails if the thread
 * has missed its worker meanwhile, and waits for one. */
bool hd__carrier_retake(struct hd__worker *w, bool sections);
bool hd__carrier_give_back(struct hd__worker *w);

static inline struct hd__carrier *hd__carrier_of(const hd_thread *t) {
    return t->stack->owner;
}

static inline void hd__carrier_bind(struct hd__carrier *c, hd_thread *t) {
    t->stack->owner = c;
    atomic_fetch_or_explicit(&t->flags, HD__THREAD_BOUND, memory_order_relaxed);
}

static inline void hd__carrier_unbind(hd_thread *t) {
    atomic_fetch_and_explicit(&t->flags, ~(uint32_t)HD__THREAD_BOUND, memory_order_relaxed);
    t->stack->owner = NULL;
}

/* The runtime stops: a thread that was preempted goes on without a worker up to its next call. */
void hd__carrier_run_free(struct hd__carrier *c, hd_thread *t);
/* A thread that runs without a worker is made to wait for one; in the signal's handler. */
void hd__carrier_queue_up(struct hd__carrier *c);

/* Recomputes w->special. */
void hd__carrier_note_special(struct hd__worker *w, bool affine);

#endif
