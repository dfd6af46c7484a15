/* SPDX-License-Identifier: MIT */
/* Read-copy-update: who is in a read section, and waiting until those are through.
 *
 * Idea. A read section is a section in which its thread is not preempted. A thread changes its
 * kernel thread only where it waits or yields, which a section must not do, or where it is
 * preempted. So a section begins and ends on one kernel thread, and a mark in that kernel thread's
 * own memory (thread-local, heddle/rcu.h) says all that is to be known. Workers do not come into it
 * at all, and so it does not matter what happens to them:
 *
 *   switches        The scheduler switches on a carrier whose mark is clear, or not at all: the
 *                   handler of the preempting signal sees the mark and puts the preemption off;
 *                   hd_preempt_enable() within a section does the same; waits and yields are the
 *                   caller's bug, which debug builds find, and the end of a thread is one that all
 *                   do. Every switch is a quiescent state.
 *   idle workers    Their carriers are in the loop, the mark is clear.
 *   carriers that are spare, held by a preempted thread, or blocked in a call outside of sections:
 *                   the mark is clear, and nobody waits for them.
 *   retaking        The monitor may take the worker of a carrier that is blocked in the kernel
 *                   within a section, or was right before it. The mark stays where it is, with the
 *                   thread and the carrier, which runs nothing else meanwhile: the section lasts
 *                   longer, and is waited for. (So nobody can tell who blocks in a section from
 *                   who lost the worker before it: debug builds find waits, not that.)
 *   workers that retire or are enlisted: their carriers stay, or come: see below.
 *   the end         A thread that is abandoned in a section (the runtime stops, and the thread
 *                   calls into it) ends there, with its carrier, which parts: that ends the
 *                   section.
 *
 * Grace periods (rcu_mark.h has the protocol, and the argument for its fences): a heavy fence, then
 * a look at all marks. Those that were set are looked at again for some microseconds, most sections
 * being short; then these readers are asked to report, and the waiter parks until the last of them
 * has. A reader that begins and ends sections without a pause is seen by its report, not by luck.
 * The waiter also looks by itself now and then, at growing intervals: a reader that has lost its
 * worker reports only when it has another one, and (c) in rcu_mark.h.
 *
 * Readers are in a list: each carrier from its beginning to its end, foreign kernel threads from
 * hd_rcu_register(). One that joins after the look was not waited for, and need not be: it takes
 * the lock after the looker, and so sees that the old version is gone. One that parts has passed.
 *
 * One grace period at a time, run by one of those who wait for it, the leader. Who comes while one
 * runs needs the next, since that one may have looked already; all who come meanwhile share it.
 *
 * Without membarrier() readers pay a fence and two calls: HD__RCU_SPECIAL in each mark. Decided
 * once a process, before the first reader joins.
 *
 * Rejected: counting dispatches in the worker as quiescent states, and no mark. A thread that runs
 * alone is never switched, and a preemption anywhere would be a quiescent state in the middle of a
 * section. hd_preempt_disable()'s depth in the descriptor as the mark: the descriptor is found
 * through two loads, between which the thread may be preempted and go on with another worker, so
 * it takes the gate's flag, and costs twice as much. A word for the depth and another one for what
 * is due: a load and a branch more in each section, to make (c) simpler, which is rare. Signals to
 * all readers instead of membarrier(): they end system calls. */
#include "sched/rcu.h"

#include "arch/arch.h"
#include "base/check.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "sched/look.h"
#include "sched/preempt.h"
#include "sched/worker.h"

enum {
    LOOKS = 64,                /* before the readers are asked */
    PATIENCE_NS = 100 * 1000,  /* before the first further look, doubled up to: */
    PATIENCE_MAX_NS = 10 * 1000 * 1000,
};

_Static_assert(sizeof(struct hd__rcu_mark) == sizeof(uint32_t), "the same word");

__thread uint32_t hd__rcu_word __attribute__((tls_model("initial-exec"))) = HD__RCU_STRANGER;

struct reader {
    struct reader *next, *prev; /* link: rcu.readers */
    struct hd__rcu_mark *mark;
    bool joined;  /* its own */
    bool pending; /* the present grace period waits for it; the lock */
};
static __thread struct reader this_reader __attribute__((tls_model("initial-exec")));

static struct {
    hd__spin lock; /* guards all below; waiters park under it */
    bool led;      /* somebody runs a grace period: */
    bool by_thread; /* a thread, not a foreign kernel thread */
    struct reader *readers;
    uint64_t completed;      /* grace periods; with `led` the next one runs */
    unsigned pending;        /* readers that it waits for */
    struct hd__waitq leader; /* link: hd__wait.next; parked until pending is 0 */
    struct hd__waitq others; /* link: hd__wait.next; tag: the number that completed must reach */
} rcu;

_Atomic int hd__rcu_running;

enum { UNKNOWN, BY_MEMBARRIER, BY_READERS };
static _Atomic int heavy_kind;

/* ---- This kernel thread's own ---- */

/* Not inlined: no address of a thread-local variable is kept over a switch. */
static HD__NOINLINE struct hd__rcu_mark *my_mark(void) {
    return (struct hd__rcu_mark *)(void *)&hd__rcu_word;
}

static HD__NOINLINE struct reader *myself(void) {
    return &this_reader;
}

bool hd__rcu_reading(void) {
    return (hd__rcu_mark_word(my_mark()) & HD__RCU_DEPTH) != 0;
}

void hd__rcu_note_preemption(void) {
    atomic_fetch_or_explicit(&my_mark()->word, HD__RCU_PREEMPT, memory_order_relaxed);
}

HD__COLD _Noreturn void hd__rcu_die(const char *does) {
    char text[HD__LOOK_TEXT];
    hd__fatal("hd_rcu_read_lock: %s %s within a read section; end the section with "
              "hd_rcu_read_unlock() first", hd__look_text(text, hd__look_token()), does);
}

/* ---- Fences ---- */

static int find_heavy(void) {
    int kind = atomic_load_explicit(&heavy_kind, memory_order_acquire);
    if (HD__LIKELY(kind != UNKNOWN)) return kind;
    int mine = hd__os_membarrier_register() == 0 ? BY_MEMBARRIER : BY_READERS;
    return atomic_compare_exchange_strong(&heavy_kind, &kind, mine) ? mine : kind;
}

static void heavy_fence(void) {
    if (find_heavy() == BY_MEMBARRIER)
        hd__os_membarrier();
    else
        atomic_thread_fence(memory_order_seq_cst);
}

/* ---- Readers ---- */

bool hd__rcu_join(void) {
    struct reader *r = myself();
    if (r->joined) return false;
    uint32_t word = find_heavy() == BY_MEMBARRIER ? 0 : HD__RCU_SPECIAL;
    r->mark = my_mark();
    r->joined = true;
    atomic_store_explicit(&r->mark->word, word, memory_order_relaxed);
    hd__spin_lock(&rcu.lock);
    r->prev = NULL;
    r->next = rcu.readers;
    if (r->next) r->next->prev = r;
    rcu.readers = r;
    hd__spin_unlock(&rcu.lock);
    return true;
}

/* The grace period need not wait for it any more; the lock is held. Who waits is woken under the
 * lock, here and in hand_on(): a kernel thread that does that while the runtime ends comes before
 * hd__rcu_discard(), or does not find the record. */
static void pass(struct reader *r) {
    if (!r->pending) return;
    r->pending = false;
    if (--rcu.pending != 0) return;
    struct hd__wait *leader = hd__waitq_pop_front(&rcu.leader);
    if (leader && hd__wait_claim(leader)) hd__wait_wake(leader);
}

void hd__rcu_part(void) {
    struct reader *r = myself();
    hd__spin_lock(&rcu.lock);
    pass(r);
    if (r->prev)
        r->prev->next = r->next;
    else
        rcu.readers = r->next;
    if (r->next) r->next->prev = r->prev;
    hd__spin_unlock(&rcu.lock);
    r->joined = false;
    atomic_store_explicit(&r->mark->word, HD__RCU_STRANGER, memory_order_relaxed);
}

/* ---- Sections, out of line ---- */

HD__COLD void hd__rcu_locked(void) {
    HD__CHECK((hd__rcu_mark_word(my_mark()) & HD__RCU_STRANGER) != HD__RCU_STRANGER,
              "hd_rcu_read_lock: this foreign kernel thread is no reader; call hd_rcu_register() "
              "in it first");
    atomic_thread_fence(memory_order_seq_cst);
}

static void deal_with_due(void) {
    int saved = hd__os_errno_get();
    struct hd__worker *w = hd__sched_enter();
    struct reader *r = myself();
    uint32_t due = hd__rcu_mark_take_due(r->mark);
    if (due & HD__RCU_REPORT) {
        hd__spin_lock(&rcu.lock);
        pass(r);
        hd__spin_unlock(&rcu.lock);
    }
    if (w && (due & HD__RCU_PREEMPT)) hd__preempt_late();
    hd__sched_leave();
    hd__os_errno_set(saved);
}

/* The word is not 0: a section is still open, or was not; something is due; or this reader is a
 * special one, for whom nothing else need be done. */
HD__COLD void hd__rcu_unlocked(void) {
    uint32_t word = hd__rcu_mark_word(my_mark()), depth = word & HD__RCU_DEPTH;
    HD__CHECK(depth != HD__RCU_DEPTH,
              "hd_rcu_read_unlock: no read section is open here; pair it with hd_rcu_read_lock(), "
              "and do not wait or yield in between");
    if (depth == 0 && (word & HD__RCU_DUE)) deal_with_due();
}

void hd__rcu_lock(void) {
    if (hd__rcu_mark_enter(my_mark()) & HD__RCU_SPECIAL) hd__rcu_locked();
}

void hd__rcu_unlock(void) {
    if (hd__rcu_mark_leave(my_mark()) != 0) hd__rcu_unlocked();
}

/* ---- Grace periods ---- */

/* Another look at those that are waited for; the lock is held. How many are left. */
static unsigned look_again(void) {
    for (struct reader *r = rcu.readers; r && rcu.pending != 0; r = r->next) {
        if (!r->pending || !hd__rcu_mark_passed(r->mark)) continue;
        r->pending = false;
        rcu.pending--;
    }
    return rcu.pending;
}

static unsigned look_first(void) {
    hd__spin_lock(&rcu.lock);
    for (struct reader *r = rcu.readers; r; r = r->next) {
        if (hd__rcu_mark_passed(r->mark)) continue;
        r->pending = true;
        rcu.pending++;
    }
    unsigned left = rcu.pending;
    hd__spin_unlock(&rcu.lock);
    return left;
}

/* Whether somebody had to be asked who was not, or did not notice. */
static bool ask_all(void) {
    bool any = false;
    hd__spin_lock(&rcu.lock);
    look_again();
    for (struct reader *r = rcu.readers; r; r = r->next)
        if (r->pending && hd__rcu_mark_ask(r->mark)) any = true;
    hd__spin_unlock(&rcu.lock);
    return any;
}

/* As long as some passed us by; they are looked for again if that does not end. */
static void ask_until_asked(void) {
    for (unsigned times = 0; times < LOOKS && ask_all(); times++) heavy_fence();
}

static void await_reports(const void *site) {
    struct hd__wait w;
    for (uint64_t patience_ns = PATIENCE_NS;; patience_ns *= 2) {
        if (patience_ns > PATIENCE_MAX_NS) patience_ns = PATIENCE_MAX_NS;
        ask_until_asked();
        hd__wait_init(&w, "the end of read sections", NULL, site);
        hd__spin_lock(&rcu.lock);
        if (look_again() == 0) {
            hd__spin_unlock(&rcu.lock);
            return;
        }
        hd__waitq_push_back(&rcu.leader, &w);
        if (hd__wait_park(&w, &rcu.lock, hd__os_now_ns() + patience_ns,
                          HD__WAIT_UNINTERRUPTIBLE) == 0)
            return;
        hd__spin_lock(&rcu.lock);
        hd__waitq_remove(&rcu.leader, &w);
        hd__spin_unlock(&rcu.lock);
    }
}

static void run_period(const void *site) {
    heavy_fence();
    if (look_first() == 0) return;
    for (unsigned looks = 0; looks < LOOKS; looks++) {
        hd__cpu_relax();
        hd__spin_lock(&rcu.lock);
        unsigned left = look_again();
        hd__spin_unlock(&rcu.lock);
        if (left == 0) return;
    }
    await_reports(site);
}

/* A grace period is over: wakes those whose it was, and one of the others to lead the next. The
 * lock is held. */
static void hand_on(void) {
    struct hd__wait *w;
    bool leads = false;
    while (!leads && (w = hd__waitq_pop_front(&rcu.others)) != NULL) {
        leads = w->tag > rcu.completed;
        if (hd__wait_claim(w)) hd__wait_wake(w); /* nothing else ends these waits */
    }
}

void hd__rcu_synchronize(const void *site) {
    hd__spin_lock(&rcu.lock);
    uint64_t need = rcu.completed + (rcu.led ? 2 : 1);
    while (rcu.completed < need) {
        if (rcu.led) {
            struct hd__wait w;
            hd__wait_init(&w, "a grace period", NULL, site);
            w.tag = need;
            hd__waitq_push_back(&rcu.others, &w);
            (void)hd__wait_park(&w, &rcu.lock, HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE);
            hd__spin_lock(&rcu.lock);
            continue;
        }
        rcu.led = true;
        rcu.by_thread = hd__worker_get() != NULL;
        hd__spin_unlock(&rcu.lock);
        run_period(site);
        hd__spin_lock(&rcu.lock);
        rcu.led = false;
        rcu.completed++;
        hand_on();
    }
    hd__spin_unlock(&rcu.lock);
}

/* Takes the records of threads out. The lock is held. */
static void keep_foreign(struct hd__waitq *q) {
    struct hd__waitq kept = {NULL, NULL};
    struct hd__wait *w;
    while ((w = hd__waitq_pop_front(q)) != NULL)
        if (hd__thread_flags(w->party) & HD__THREAD_FOREIGN) hd__waitq_push_back(&kept, w);
    *q = kept;
}

_Atomic uint64_t hd__rcu_runtimes;

void hd__rcu_discard(void) {
    int thread = HD__RCU_THREAD;
    atomic_fetch_add_explicit(&hd__rcu_runtimes, 1, memory_order_relaxed);
    (void)atomic_compare_exchange_strong(&hd__rcu_running, &thread, HD__RCU_NOBODY);
    hd__spin_lock(&rcu.lock);
    keep_foreign(&rcu.leader);
    keep_foreign(&rcu.others);
    if (rcu.led && rcu.by_thread) {
        for (struct reader *r = rcu.readers; r; r = r->next) r->pending = false;
        rcu.pending = 0;
        rcu.led = false;
    }
    if (!rcu.led) hand_on();
    hd__spin_unlock(&rcu.lock);
}
