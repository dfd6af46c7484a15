/* SPDX-License-Identifier: MIT */
/* The signal that interrupts a carrier wherever its thread is. */
#ifndef HD_SRC_OS_INTERRUPT_H
#define HD_SRC_OS_INTERRUPT_H

#include "base/base.h"

/* What was interrupted. */
struct hd__os_interrupted {
    uintptr_t pc, sp;
    uint64_t mask; /* the signals 1 to 64 that were blocked, by bit */
    uint8_t source; /* enum hd__os_source */
    void *context;
};

/* Who sent the signal. */
enum hd__os_source {
    HD__OS_SENT,  /* hd__os_interrupt_send() */
    HD__OS_ALARM, /* hd__os_alarm_set() with this, */
    HD__OS_SLICE, /* or with this */
    HD__OS_UNMARKED, /* hd__os_interrupt_send(), or nobody of ours: it does not say any more */
    HD__OS_SOURCES,
};

/* By the handler: a system call that was interrupted is begun again even if the kernel does not do
 * that itself. Returns whether there was one that blocked; see interrupt.c. */
bool hd__os_interrupt_repeat_call(const struct hd__os_interrupted *by);
#if defined(__x86_64__)
enum { HD__OS_INTERRUPT_REPEATS = 1 };
#else
enum { HD__OS_INTERRUPT_REPEATS = 0 };
#endif

/* The default signal: ignored unless handled, not used by libraries, and passed on by debuggers. */
int hd__os_interrupt_default(void);

/* Whether the signal may be used: not one that a fault, abort() or the kernel raises by itself. 0
 * stands for the default. */
bool hd__os_interrupt_usable(int sig);

/* Installs the handler. Interrupted system calls are restarted where the kernel can. The signal is
 * blocked while the handler runs: a storm of them would nest without end. fn is called for signals
 * of ours; others of the same number, and those of which it says that they are not ours, go to
 * whoever handled them before. 0, -EINVAL (no such signal, or one that cannot be handled). */
int hd__os_interrupt_install(int sig, bool (*fn)(const struct hd__os_interrupted *at));
void hd__os_interrupt_restore(void);

/* Sends it to a kernel thread of this process. 0 or -errno. */
int hd__os_interrupt_send(int tid);

/* A timer that interrupts one kernel thread. All zero: not made yet. */
struct hd__os_alarm {
    int id_plus_1;
    bool refused;
};

/* Has the thread interrupted at deadline_ns (CLOCK_MONOTONIC), once, in place of what was set
 * before. Makes the timer at first use. False: there is none to be had. One caller at a time; from
 * the signal's handler as well. */
bool hd__os_alarm_set(struct hd__os_alarm *alarm, enum hd__os_source source, int tid,
                      uint64_t deadline_ns);
void hd__os_alarm_delete(struct hd__os_alarm *alarm);

/* Lets it through to the calling kernel thread, or blocks it again if it was blocked before (what
 * the first call returned). */
bool hd__os_interrupt_unblock(void);
void hd__os_interrupt_block(void);

/* The signals that the calling kernel thread blocks, as hd__os_interrupted.mask. */
uint64_t hd__os_signal_mask(void);
void hd__os_signal_set_mask(uint64_t mask);

/* Blocks all but those that a fault raises. */
void hd__os_signal_block_all(void);

/* The bit of the preempting signal in such a mask. */
uint64_t hd__os_interrupt_bit(void);

/* errno, for code that the compiler must not cache its address in. */
int hd__os_errno_get(void);
void hd__os_errno_set(int value);

/* Has fn() called in the child of each fork(). 0 or -ENOMEM. Cannot be undone. */
int hd__os_at_fork(void (*fn)(void));

#endif
