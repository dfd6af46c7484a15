/* SPDX-License-Identifier: MIT */
/* What a kernel thread knows of itself, and the gate between a program's code and the runtime's.
 *
 * Preemption must not hit code that holds a spinlock of the runtime or has a worker half
 * changed. So every public function that touches such things runs between hd__sched_enter() and
 * hd__sched_leave(): the first sets `inside`, the second clears it. A preempting signal that
 * finds it set is noted in `due`; leave() looks there once it has cleared `inside`, so that a
 * signal is either noted before that look or not held up at all. Everything else is preemptible
 * at any instruction.
 *
 * A thread is outside only while it runs its own code; whoever switches contexts is inside, and
 * the context that goes on was inside as well when it was left. So a flag is enough, which each
 * carrier has for itself: it needs no atomic instruction and no counting. enter() and leave() do
 * not nest: functions named hd__* are called inside.
 *
 * Why the flag is thread-local, and not in the worker: between reading the worker and writing to
 * it the thread could be preempted, and go on with another worker. A thread that is preempted
 * does keep its carrier (carrier.h), so its thread-local variables stay the same ones; the flag
 * is set before the worker is read.
 *
 * The monitor takes the worker away from a carrier that is blocked in the kernel, without a
 * signal (hd__carrier_retake()): it replaces `entry` by HD__WORKERLESS, makes every CPU of the
 * process pass a memory barrier, and then looks at `inside`. Either it sees the flag, and gives
 * back what it took; or the carrier's next enter() sees HD__WORKERLESS, waits for the decision
 * (notice() in carrier.c), and asks for a worker if it has none any more.
 * Only the monitor's side pays for that: enter() has no fence (Dekker's algorithm, made
 * asymmetric). leave() is a release, and the look at `inside` an acquire: the monitor sees all
 * that was done inside; and enter() acquires what the monitor did before it gave something back.
 * Code that is inside already reads `worker`, which the monitor leaves alone.
 *
 * A *brief* section is one of a few instructions, without a call, a lock or a wait: what works on
 * something of the present worker and has no time for a lock. `inside` is then HD__INSIDE_BRIEF, so
 * that another kernel thread that has hidden the thing can wait until nobody is at it any more
 * (hd__carriers_pass(), carrier.h). */
#ifndef HD__SCHED_SELF_H
#define HD__SCHED_SELF_H

#include "base/base.h"
#include "ctx/annotate.h"
#include <heddle/local.h>

#include <stdatomic.h>

struct hd__worker;
struct hd__carrier;

struct hd__self {
    struct hd__worker *_Atomic worker; /* 0: NULL on a foreign kernel thread; its own */
    _Atomic uint8_t inside;            /* 8: its own: 0, 1 or HD__INSIDE_BRIEF */
    _Atomic uint8_t due;               /* 9: its own: a preemption that came while it was inside */
    _Atomic uint32_t due_tick;         /* the worker's at that time */
    struct hd__worker *_Atomic entry;  /* 16: the same, or HD__WORKERLESS; the monitor's, too */
    struct hd__carrier *carrier;       /* NULL on a foreign kernel thread */
};
_Static_assert(offsetof(struct hd__self, inside) == 8 && offsetof(struct hd__self, due) == 9 &&
                   offsetof(struct hd__self, entry) == 16,
               "assembly below knows the offsets");

/* hd__self.entry of a carrier whose worker was taken away. */
#define HD__WORKERLESS ((struct hd__worker *)1)
/* The same, and the carrier has noticed: it waits for another one. Told apart from NULL, which a
 * carrier writes that gave its worker away by itself while the monitor was about to take it. */
#define HD__NOTICED ((struct hd__worker *)2)

extern __thread struct hd__self hd__self;

/* hd__self.due */
enum {
    HD__DUE_SLICE = 1, /* a signal that was sent */
    HD__DUE_ALARM = 2, /* for a deadline */
    HD__DUE_END = 4,   /* for the end of a slice, perhaps */
};
void hd__sched_leave_due(void); /* preempt.c */

/* hd__self.inside */
enum { HD__INSIDE_BRIEF = 2 };

/* The worker of this kernel thread, after hd__sched_enter(); NULL on a foreign one.
 *
 * Reads it anew each time. A thread can continue on another kernel thread after any switch, and
 * compilers keep addresses of thread-local variables in registers: so no such address may be
 * computed in code that a switch can interrupt. x86-64 uses the segment register in one
 * indivisible statement; elsewhere an opaque call does. */
struct hd__worker *hd__sched_enter_slow(struct hd__worker *w);

#if defined(__x86_64__) && !defined(__ILP32__) && !defined(HD__TSAN)
#define HD__SELF_INLINE 1
static inline struct hd__worker *hd__worker_get(void) {
    struct hd__worker *w;
    __asm__ volatile("movq hd__self@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0"
                     : "=&r"(w)
                     :
                     : "memory");
    return w;
}

static inline struct hd__worker *hd__self_enter(void) {
    struct hd__worker *w;
    __asm__ volatile("movq hd__self@gottpoff(%%rip), %0\n\t"
                     "movb $1, %%fs:8(%0)\n\t"
                     "movq %%fs:16(%0), %0"
                     : "=&r"(w)
                     :
                     : "memory");
    return w;
}

static inline void hd__sched_leave(void) {
    uintptr_t at;
    bool due;
    __asm__ volatile("movq hd__self@gottpoff(%%rip), %0\n\t"
                     "movb $0, %%fs:8(%0)\n\t"
                     "cmpb $0, %%fs:9(%0)"
                     : "=&r"(at), "=@ccne"(due)
                     :
                     : "memory");
    if (HD__UNLIKELY(due)) hd__sched_leave_due();
}

/* Notes which thread this kernel thread runs from now on (heddle/local.h): a foreign one by itself,
 * or the scheduler, inside. */
static inline void hd__self_set_token(uint64_t token) {
    uintptr_t at;
    __asm__ volatile("movq hd__thread_token@gottpoff(%%rip), %0\n\tmovq %1, %%fs:(%0)"
                     : "=&r"(at)
                     : "r"(token)
                     : "memory");
}
#else
struct hd__worker *hd__worker_get(void);
struct hd__worker *hd__self_enter(void);
void hd__sched_leave(void);
void hd__self_set_token(uint64_t token);
#endif
uint64_t hd__self_token(void);

/* From here to hd__sched_leave() the calling thread is not preempted. Returns its worker, NULL on a
 * foreign kernel thread. May wait, when a call that blocked the kernel cost it its worker. */
static inline struct hd__worker *hd__sched_enter(void) {
    struct hd__worker *w = hd__self_enter();
    if (HD__UNLIKELY((uintptr_t)w <= (uintptr_t)HD__WORKERLESS)) w = hd__sched_enter_slow(w);
    return w;
}

/* Begins a brief section. Returns the worker, or a value of at most HD__WORKERLESS: there is none,
 * and the caller ends the section and does without. By functions that do not switch: they may keep
 * the address of a thread-local variable. */
static HD__ALWAYS_INLINE struct hd__worker *hd__self_enter_brief(void) {
    atomic_store_explicit(&hd__self.inside, HD__INSIDE_BRIEF, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    return atomic_load_explicit(&hd__self.entry, memory_order_acquire);
}

/* Ends it. True: a preemption came meanwhile, and the caller calls hd__sched_leave_due() at its
 * end, or enters and leaves the gate in some other way. */
static HD__ALWAYS_INLINE bool hd__self_leave_brief(void) {
    bool due;
#ifdef HD__SELF_INLINE
    __asm__ volatile("movb $0, %1\n\tcmpb $0, %2"
                     : "=@ccne"(due), "=m"(*(uint8_t *)&hd__self.inside)
                     : "m"(*(uint8_t *)&hd__self.due)
                     : "memory");
#else
    atomic_store_explicit(&hd__self.inside, 0, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
    due = atomic_load_explicit(&hd__self.due, memory_order_relaxed) != 0;
#endif
    return HD__UNLIKELY(due);
}

/* Whether the caller is between the two; for assertions. */
bool hd__sched_inside(void);
struct hd__carrier *hd__self_carrier(void);
struct hd__self *hd__self_get(void);

#endif
