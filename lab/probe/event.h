/* SPDX-License-Identifier: MIT */
/* What a probe sees of a target: events in the order of their time, each about one thread.
 *
 * Who makes them (watch.c from the kernel's records and from samples, preload.c from what the
 * target itself writes) hands them to a sink; who uses them (timeline.c) need not know which way
 * they came. Times are CLOCK_MONOTONIC, in nanoseconds. */
#ifndef HEDDLE_LAB_PROBE_EVENT_H
#define HEDDLE_LAB_PROBE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

enum probe_kind {
    PROBE_THREAD, /* is there; value: the thread that made it, or 0: it was there before us */
    PROBE_NAME,   /* is called `text` from now on */
    PROBE_EXIT,   /* has ended */
    PROBE_ON,     /* runs on `cpu` from now on */
    PROBE_OFF,    /* left its CPU; `preempted`: it could have gone on, else it waits */
    PROBE_TAKE,   /* took `lock`, which another thread had last: a hand-over; value: the lock's own
                   * number of it, or 0 */
    PROBE_WANT,   /* began to wait for `lock` (only where `exact`) */
    PROBE_GOT,    /* has `lock`, waited for or not (only where `exact`) */
    PROBE_DROP,   /* let go of `lock` (only where `exact`) */
    PROBE_FORCE,  /* waited the switch interval for `lock` in vain, and asks who has it to let go */
    PROBE_LOOK,   /* a sample of a thread: what it does, see below */
    PROBE_HOLDER, /* a sample of `lock`: tid is who has it, 0 nobody; value: its switch number */
    PROBE_PAUSE,  /* the whole interpreter stood still (free-threaded: stop the world); value: ns */
    PROBE_EXEC,   /* the process became another program, `text` */
    PROBE_FORK,   /* made a process; value: its number */
    PROBE_LOST,   /* value: so many events were lost before this one, of whatever threads */
};

enum probe_doing {
    PROBE_RUNS,      /* on a CPU, or could be */
    PROBE_IN_CALL,   /* in system call `value` (its number), not on a futex */
    PROBE_ON_FUTEX,  /* waits on the futex at `value`; `lock` is set where that is a GIL's */
    PROBE_NOT_KNOWN, /* could not be seen */
};

enum { PROBE_NO_LOCK = -1 };

/* A lock of the program's own that a thread waits for because another one has it: no queue, no
 * condition, no thread's end. */
enum probe_mutex_kind {
    PROBE_MUTEX_NONE,
    PROBE_MUTEX_C,      /* a pthread_mutex_t */
    PROBE_MUTEX_RW,     /* a pthread_rwlock_t */
    PROBE_MUTEX_OTHER,  /* of another library of C's */
    PROBE_MUTEX_PYTHON, /* a threading.Lock */
    PROBE_MUTEX_RLOCK,  /* a threading.RLock */
    PROBE_MUTEX_KINDS
};

struct probe_event {
    uint64_t ns;
    int32_t tid;
    int32_t pid;
    uint8_t kind;  /* enum probe_kind */
    uint8_t doing; /* enum probe_doing, of PROBE_LOOK */
    bool preempted;
    uint8_t mutex; /* enum probe_mutex_kind, of PROBE_LOOK on a futex: then `object` is that one */
    int16_t lock;      /* index into the target's locks (GILs), or PROBE_NO_LOCK */
    int32_t cpu;       /* or -1 */
    uint32_t stack;    /* of probe/stack.h; 0: none */
    uint32_t native;   /* likewise, the stack of C functions; 0: none */
    uint64_t value;
    uint64_t object;  /* the address of Python's lock object */
    const char *text; /* valid during the call only */
};

/* Takes one event. Events of one thread come in order; of different threads to within what their
 * buffers were late, which whoever makes them sorts out before. */
typedef void probe_sink(void *arg, const struct probe_event *e);

#endif
