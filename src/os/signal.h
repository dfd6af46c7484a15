/* SPDX-License-Identifier: MIT */
/* Faults and the stacks on which their handler runs.
 *
 * A thread that overflows its stack faults in a guard page, and the handler cannot run on that
 * stack. So each carrier has an alternate signal stack, and SIGSEGV and SIGBUS are handled on it:
 * the callback looks whether the address lies in a guard, and what is not ours goes to whatever
 * was installed before us, as if we were not there. */
#ifndef HD_SRC_OS_SIGNAL_H
#define HD_SRC_OS_SIGNAL_H

#include "base/base.h"

/* Installs the handlers of SIGSEGV and SIGBUS, remembering the present ones. on_fault is called
 * for each fault that the kernel raised, in the handler, on the alternate stack: true means that it
 * dealt with the fault and the instruction is to be tried again; false hands it on to the previous
 * handler. It must be async-signal-safe. 0; -EBUSY if they are installed; -errno. */
int hd__os_fault_handler_install(bool (*on_fault)(void *addr, void *ucontext));

/* Puts the previous handlers back, where ours is still the installed one (otherwise somebody
 * chained to ours: it stays and hands everything on). Harmless when not installed. */
void hd__os_fault_handler_restore(void);

/* The alternate stack of one kernel thread. All zero: none. */
struct hd__os_altstack {
    void *map;    /* NULL: the kernel thread had one already, which was left alone */
    size_t bytes; /* of the mapping */
};

/* Gives the calling kernel thread an alternate signal stack with a guard page below it, unless it
 * has one. 0, -ENOMEM. */
int hd__os_altstack_init(struct hd__os_altstack *a);
/* Takes it away; by the same kernel thread, not from a signal handler. */
void hd__os_altstack_finish(struct hd__os_altstack *a);

/* What a signal frame takes on a stack here, with this CPU's whole vector state. */
size_t hd__os_signal_frame_bytes(void);

#endif
