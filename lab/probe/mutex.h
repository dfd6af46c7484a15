/* SPDX-License-Identifier: MIT */
/* Locks of a program's own, behind which its threads wait: mutexes of the C library's, and Python's
 * threading.Lock and RLock. Which thread has one is known of mutexes (glibc writes it down) and of
 * RLocks, so that a circle of threads that wait for each other can be proven; a plain Lock does not
 * know who has it. */
#ifndef HEDDLE_LAB_PROBE_MUTEX_H
#define HEDDLE_LAB_PROBE_MUTEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/event.h"
#include "probe/python.h"
#include "probe/stack.h"

/* "mutex", "threading.Lock", ... */
const char *probe_mutex_word(enum probe_mutex_kind kind);

/* The kind of lock that C functions show to be waited for on a futex; of Python's nothing is seen
 * there. */
enum probe_mutex_kind probe_mutex_of_functions(const struct probe_stacks *stacks, uint32_t native);

/* The kind of Python's lock object, by the Python code that waits for it: a condition, a queue and
 * a thread's end are waited for by locks, too, and are PROBE_MUTEX_NONE. */
enum probe_mutex_kind probe_mutex_of_python(const struct probe_stacks *stacks, uint32_t python,
                                            const struct probe_python_lock *lock);

/* A thread's wait for a lock. */
struct probe_mutex_wait {
    uint8_t kind;      /* enum probe_mutex_kind */
    bool limited;      /* up to some time only */
    pid_t tid;
    pid_t owner;       /* who has the lock; 0: not known */
    uint64_t futex, address; /* that it waits on; of the lock */
    uint32_t python, native; /* stacks, or 0 */
};

/* Who has a lock now; 0: nobody, or that is not known. `python` may be NULL. */
pid_t probe_mutex_owner(pid_t pid, struct probe_python *python, enum probe_mutex_kind kind,
                        uint64_t address);

/* Finds threads that wait for each other in a circle, by the owners: those of one circle get the
 * same number from 1 on in circle[], all others 0. Returns how many circles there are. */
size_t probe_mutex_circles(const struct probe_mutex_wait *wait, size_t count, size_t *circle);

/* Proves it: leaves in `wait` those that are in a circle and have not run between two looks at all
 * of them, in which their locks had the same owners, one circle after the other, each in the order
 * of who waits for whom. Returns how many of them there are. */
size_t probe_mutex_prove(pid_t pid, struct probe_python *python, struct probe_mutex_wait *wait,
                         size_t count);

/* Sums over all waits, by lock. */
enum { PROBE_MUTEX_STACKS = 8 };
struct probe_mutex {
    uint8_t kind;
    pid_t pid;
    uint64_t address, ns, count, max_ns;
    size_t threads;
    struct probe_mutex_way { /* how threads came to wait for it, not sorted */
        uint32_t python, native;
        uint64_t ns;
    } way[PROBE_MUTEX_STACKS];
    char *name; /* of the variable; NULL: none */
    pid_t *tid; /* those threads */
};
struct probe_mutexes {
    struct probe_mutex *list;
    size_t count;
};
struct probe_mutex *probe_mutexes_add(struct probe_mutexes *m, pid_t pid,
                                      const struct probe_mutex_wait *wait, uint64_t ns);
void probe_mutexes_sort(struct probe_mutexes *m); /* most time first */
void probe_mutexes_free(struct probe_mutexes *m);

/* The way that took most time. */
const struct probe_mutex_way *probe_mutex_main_way(const struct probe_mutex *m);

/* "the threading.Lock at 0x7f...", "the mutex shop_door (server)". The caller frees. */
char *probe_mutex_text(enum probe_mutex_kind kind, uint64_t address, const char *name);

/* Where it is waited for: "app.py:7 (work)", or C functions; "" if nothing is known. The caller
 * frees. */
char *probe_mutex_line(const struct probe_stacks *stacks, uint32_t python, uint32_t native);

/* Sentences about circles that were proven; `name` gives a thread's, which is freed here. The
 * caller frees. */
char *probe_mutex_circle_text(const struct probe_mutex_wait *wait, size_t count,
                              const struct probe_stacks *stacks,
                              char *(*name)(void *arg, pid_t tid),
                              char *(*what)(void *arg, const struct probe_mutex_wait *wait),
                              void *arg);

#endif
