/* SPDX-License-Identifier: MIT */
/* The signal that interrupts a carrier wherever its thread is. */
#ifndef HD_SRC_OS_INTERRUPT_H
#define HD_SRC_OS_INTERRUPT_H

#include "base/base.h"

/* What was interrupted. */
struct hd__os_interrupted {
    uintptr_t pc, sp;
    uint64_t mask; /* the signals 1 to 64 that were blocked, by bit */
    bool alarm;    /* by hd__os_alarm_set(), not by hd__os_interrupt_send() */
};

/* Whether a system call that the signal interrupts is begun again even if the kernel does not do
 * that itself; see interrupt.c. */
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
 * of ours; others of the same number go to whoever handled them before. 0, -EINVAL (no such signal,
 * or one that cannot be handled). */
int hd__os_interrupt_install(int sig, void (*fn)(const struct hd__os_interrupted *at));
void hd__os_interrupt_restore(void);

/* Sends it to a kernel thread of this process. 0 or -errno. */
int hd__os_interrupt_send(int tid);

/* A timer that interrupts one kernel thread. All zero: not made yet. */
struct hd__os_alarm {
    int id_plus_1;
    bool refused;
};

/* Has the thread interrupted at deadline_ns (CLOCK_MONOTONIC), once, in place of what was set
 * before. Makes the timer at first use. False: there is none to be had. One caller at a time. */
bool hd__os_alarm_set(struct hd__os_alarm *alarm, int tid, uint64_t deadline_ns);
void hd__os_alarm_delete(struct hd__os_alarm *alarm);

/* Lets it through to the calling kernel thread, or blocks it again if it was blocked before (what
 * the first call returned). */
bool hd__os_interrupt_unblock(void);
void hd__os_interrupt_block(void);

/* The signals that the calling kernel thread blocks, as hd__os_interrupted.mask. */
uint64_t hd__os_signal_mask(void);
void hd__os_signal_set_mask(uint64_t mask);

/* errno, for code that the compiler must not cache its address in. */
int hd__os_errno_get(void);
void hd__os_errno_set(int value);

/* Has fn() called in the child of each fork(). 0 or -ENOMEM. Cannot be undone. */
int hd__os_at_fork(void (*fn)(void));

#endif
