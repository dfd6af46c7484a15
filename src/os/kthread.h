/* SPDX-License-Identifier: MIT */
/* Kernel threads: the carriers of workers. */
#ifndef HD_SRC_OS_KTHREAD_H
#define HD_SRC_OS_KTHREAD_H

#include "base/base.h"

#include <pthread.h>

/* Lives in the caller's memory, in the same place, from create until join returns. */
struct hd__os_kthread {
    pthread_t handle;
    void (*fn)(void *arg);
    void *arg;
    char name[16];
};

/* Starts a kernel thread that runs fn(arg). All signals are blocked in it but those that a fault
 * of its own raises (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS), so the host program's
 * handlers run on the host's threads. `name`, cut to 15 bytes, is what ps and gdb show.
 * 0, -EAGAIN or -ENOMEM. */
int hd__os_kthread_create(const char *name, void (*fn)(void *arg), void *arg,
                          struct hd__os_kthread *out);

/* Waits until it has ended. */
void hd__os_kthread_join(struct hd__os_kthread *k);

/* Has fn(arg) called when the calling kernel thread ends by returning or by pthread_exit(). One
 * registration a kernel thread, a later one replaces it; all callers name the same fn. arg is not
 * NULL. 0 or -ENOMEM. */
int hd__os_kthread_at_exit(void (*fn)(void *arg), void *arg);

/* The bounds of the calling kernel thread's own stack: low and one past the highest address. 0 or
 * -errno. Slow (it may read /proc/self/maps on the main thread). */
int hd__os_kthread_stack(void **low, void **top);

/* Gives the rest of the time slice away. */
void hd__os_yield(void);

#endif
