/* SPDX-License-Identifier: MIT */
/* Kernel threads: the carriers of workers. */
#ifndef HD_SRC_OS_KTHREAD_H
#define HD_SRC_OS_KTHREAD_H

#include "base/base.h"

#include <pthread.h>
#include <stdatomic.h>

/* Lives in the caller's memory, in the same place, from create until join returns. */
struct hd__os_kthread {
    pthread_t handle;
    void (*fn)(void *arg);
    void *arg;
    char name[16];
};

/* Starts a kernel thread that runs fn(arg). All signals are blocked in it but those that a fault
 * or a call of its own raises (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGPIPE,
 * SIGABRT), so the host program's handlers of other signals run on the host's threads. `name`, cut
 * to 15 bytes, is what ps and gdb show. 0, -EAGAIN or -ENOMEM. */
int hd__os_kthread_create(const char *name, void (*fn)(void *arg), void *arg,
                          struct hd__os_kthread *out);

/* Waits until it has ended. */
void hd__os_kthread_join(struct hd__os_kthread *k);

/* A place where kernel threads leave word of what to do at their end. All zero is ready. */
struct hd__os_exit_hook {
    _Atomic uint64_t key; /* a pthread_key_t and 1; 0: there is none yet */
};

/* Has fn(arg) called when the calling kernel thread ends, by returning or by pthread_exit(). One
 * arg a hook and kernel thread: a later call replaces it, and NULL takes it back. All calls on a
 * hook name the same fn. 0 or -ENOMEM. */
int hd__os_kthread_at_exit(struct hd__os_exit_hook *hook, void (*fn)(void *arg), void *arg);

/* The bounds of the calling kernel thread's own stack: low and one past the highest address. 0 or
 * -errno. Slow (it may read /proc/self/maps on the main thread). */
int hd__os_kthread_stack(void **low, void **top);

/* The name of the calling kernel thread, at most 15 bytes; "" if it cannot be had. */
void hd__os_kthread_name(char *buf, size_t n);

/* Gives the rest of the time slice away. */
void hd__os_yield(void);

#endif
