/* SPDX-License-Identifier: MIT */
/* What a kernel thread knows of itself, and the gate between a program's code and the runtime's.
 *
 * Preemption must not hit code that holds a spinlock of the runtime or has a worker half changed.
 * So every public function that touches such things runs between hd__sched_enter() and
 * hd__sched_leave(): the first sets `inside`, the second clears it. A preempting signal that finds
 * it set is tried again soon. Everything else is preemptible at any instruction.
 *
 * A thread is outside only while it runs its own code; whoever switches contexts is inside, and
 * the context that goes on was inside as well when it was left. So a flag is enough, which each
 * carrier has for itself: it needs no atomic instruction and no counting. enter() and leave() do
 * not nest: functions named hd__* are called inside.
 *
 * Why the flag is thread-local, and not in the worker: between reading the worker and writing to
 * it the thread could be preempted, and go on with another worker. A thread that is preempted does
 * keep its carrier (carrier.h), so its thread-local variables stay the same ones; the flag is set
 * before the worker is read.
 *
 * The monitor takes the worker away from a carrier that is blocked in the kernel, without a signal
 * (hd__carrier_retake()): it replaces `entry` by HD__WORKERLESS, makes every CPU of the process
 * pass a memory barrier, and then looks at `inside`. Either it sees the flag, and gives back what
 * it took; or the carrier's next enter() sees HD__WORKERLESS and asks for a worker. Only the
 * monitor's side pays for that: enter() has no fence (Dekker's algorithm, made asymmetric). leave()
 * is a release, and the look at `inside` an acquire: the monitor sees all that was done inside; and
 * enter() acquires what the monitor did before it gave something back. Code that is inside already
 * reads `worker`, which the monitor leaves alone. */
#ifndef HD__SCHED_SELF_H
#define HD__SCHED_SELF_H

#include "base/base.h"
#include "ctx/annotate.h"

#include <stdatomic.h>

struct hd__worker;
struct hd__carrier;

struct hd__self {
    struct hd__worker *_Atomic worker; /* 0: NULL on a foreign kernel thread; its own */
    _Atomic uint8_t inside;            /* 8: its own */
    struct hd__worker *_Atomic entry;  /* 16: the same, or HD__WORKERLESS; the monitor's, too */
    struct hd__carrier *carrier;       /* NULL on a foreign kernel thread */
};
_Static_assert(offsetof(struct hd__self, inside) == 8 && offsetof(struct hd__self, entry) == 16,
               "assembly below knows the offsets");

/* hd__self.entry of a carrier whose worker was taken away. */
#define HD__WORKERLESS ((struct hd__worker *)1)
/* The same, and the carrier has noticed: it waits for another one. Told apart from NULL, which a
 * carrier writes that gave its worker away by itself while the monitor was about to take it. */
#define HD__NOTICED ((struct hd__worker *)2)

extern __thread struct hd__self hd__self;

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
    __asm__ volatile("movq hd__self@gottpoff(%%rip), %0\n\tmovb $0, %%fs:8(%0)"
                     : "=&r"(at)
                     :
                     : "memory");
}
#else
struct hd__worker *hd__worker_get(void);
struct hd__worker *hd__self_enter(void);
void hd__sched_leave(void);
#endif

/* From here to hd__sched_leave() the calling thread is not preempted. Returns its worker, NULL on a
 * foreign kernel thread. May wait, when a call that blocked the kernel cost it its worker. */
static inline struct hd__worker *hd__sched_enter(void) {
    struct hd__worker *w = hd__self_enter();
    if (HD__UNLIKELY((uintptr_t)w <= (uintptr_t)HD__WORKERLESS)) w = hd__sched_enter_slow(w);
    return w;
}

/* Whether the caller is between the two; for assertions. */
bool hd__sched_inside(void);
struct hd__carrier *hd__self_carrier(void);
struct hd__self *hd__self_get(void);

#endif
