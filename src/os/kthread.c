/* SPDX-License-Identifier: MIT */
/* Kernel threads; see kthread.h. */
#include "os/kthread.h"

#include "base/check.h"
#include "os/fault.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

static void *start(void *p) {
    struct hd__os_kthread *k = p;
    /* By itself: the creator could name it only after it has run, and it may have ended by then. */
    pthread_setname_np(pthread_self(), k->name);
    k->fn(k->arg);
    return NULL;
}

int hd__os_kthread_create(const char *name, void (*fn)(void *arg), void *arg,
                          struct hd__os_kthread *out) {
    static const int synchronous[] = { SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,
                                       SIGTRAP, SIGSYS, SIGPIPE, SIGABRT };
    sigset_t blocked, before;
    out->fn = fn;
    out->arg = arg;
    memset(out->name, 0, sizeof out->name);
    strncpy(out->name, name, sizeof out->name - 1);
    if (HD__FAULT("pthread_create")) {
        return -EAGAIN;
    }
    /* A thread inherits its creator's mask; set in the new thread, it would come too late for a
     * signal that arrives at once. */
    sigfillset(&blocked);
    for (size_t i = 0; i < HD__COUNTOF(synchronous); i++) {
        sigdelset(&blocked, synchronous[i]);
    }
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int err = pthread_create(&out->handle, NULL, start, out);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -err;
}

void hd__os_kthread_join(struct hd__os_kthread *k) {
    int err = pthread_join(k->handle, NULL);
    HD__CHECK(err == 0, "joining the kernel thread \"%s\" failed with error %d", k->name, err);
}

int hd__os_kthread_stack(void **low, void **top) {
    pthread_attr_t attr;
    size_t bytes = 0;
    if (HD__FAULT("pthread_getattr")) {
        return -ENOMEM;
    }
    int err = pthread_getattr_np(pthread_self(), &attr);
    if (err != 0) {
        return -err;
    }
    err = pthread_attr_getstack(&attr, low, &bytes);
    pthread_attr_destroy(&attr);
    *top = err == 0 ? (char *)*low + bytes : NULL;
    return -err;
}

void hd__os_kthread_name(char *buf, size_t n) {
    if (pthread_getname_np(pthread_self(), buf, n) != 0) {
        buf[0] = '\0';
    }
}

void hd__os_yield(void) {
    sched_yield();
}

/* The C library calls the destructor of a key for each kernel thread whose value is not NULL. Those
 * that need it first each make one, and all but one of them are taken back: a lock could be held by
 * a thread that is preempted. If that failed it is tried again by the next. */
int hd__os_kthread_at_exit(struct hd__os_exit_hook *hook, void (*fn)(void *arg), void *arg) {
    uint64_t made = atomic_load_explicit(&hook->key, memory_order_acquire);
    pthread_key_t key;
    if (made == 0 && !HD__FAULT("pthread_key_create") && pthread_key_create(&key, fn) == 0) {
        if (atomic_compare_exchange_strong_explicit(&hook->key, &made, (uint64_t)key + 1,
                                                    memory_order_acq_rel, memory_order_acquire))
            made = (uint64_t)key + 1;
        else
            pthread_key_delete(key);
    }
    if (made == 0) {
        return -ENOMEM;
    }
    key = (pthread_key_t)(made - 1);
    if (arg == NULL) {
        pthread_setspecific(key, NULL); /* in a place that exists: cannot fail */
        return 0;
    }
    if (HD__FAULT("pthread_setspecific")) {
        return -ENOMEM;
    }
    return pthread_setspecific(key, arg) ? -ENOMEM : 0;
}
