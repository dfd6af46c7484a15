/* SPDX-License-Identifier: MIT */
/* What the preloaded library (library.c, in the target) and its reader (../preload.c, in the
 * command) have in common: memory of the reader's, which the target's processes map.
 *
 * Each thread of the target that uses a GIL has a ring of its own, which it alone writes and the
 * reader alone empties. A record is 16 bytes: when, and what happened to which lock.
 *
 * A release is not written down at once. Most are taken back within a microsecond by the same
 * thread, a million times a second where a program makes many short calls; so the thread notes the
 * moment in its ring's `drop` fields, and when it takes the lock again, shortly after and with
 * nobody in between, counts that as a short release. Else the release becomes a record, with its
 * true time. The reader hands over what is older than PRELOAD_LATE_NS, and takes a release from
 * `drop` itself if it has stood there so long: it marks it as PRELOAD_CLAIMED first, by which the
 * thread knows that it is no short one any more. A release that the reader has from one of the two
 * places it knows in the other by its number.
 *
 * Who takes a lock writes that after who let go has noted that: so a reader that sees a taking can
 * see the release before it, however long either of them was kept from writing. */
#ifndef HEDDLE_LAB_PROBE_PRELOAD_SHARED_H
#define HEDDLE_LAB_PROBE_PRELOAD_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define PRELOAD_LIBRARY "heddle-preload.so"
#define PRELOAD_ENVIRONMENT "HEDDLE_PRELOAD" /* COOKIE (hexadecimal), a colon, the memory's path */

enum {
    PRELOAD_VERSION = 1,
    PRELOAD_RINGS = 1024,   /* threads at one time */
    PRELOAD_RECORDS = 8192, /* of each; a power of two */
    PRELOAD_LOCKS = 64,     /* of all processes together */
    PRELOAD_SHORT_TICKS = 20000,
    PRELOAD_LATE_NS = 200000,
};

#define PRELOAD_CLAIMED ((uint64_t)1) /* in `drop_ticks`, whose lowest bit is 0 otherwise */

enum preload_kind {
    PRELOAD_WANT, /* value: the wait began so many ns before */
    PRELOAD_GOT,
    PRELOAD_DROP,  /* value: the number of this release, of this thread (48 bits) */
    PRELOAD_FORCE,
    PRELOAD_BORN, /* value: the thread that made it */
    PRELOAD_ENDED,
};

struct preload_record {
    uint64_t ns;   /* CLOCK_MONOTONIC */
    uint64_t what; /* the kind in 8 bits, the lock in 8, the value in 48 */
};

static inline uint64_t preload_pack(enum preload_kind kind, unsigned lock, uint64_t value) {
    return (uint64_t)kind << 56 | (uint64_t)(lock & 255) << 48 | (value & 0xffffffffffff);
}

enum preload_use { PRELOAD_FREE, PRELOAD_USED, PRELOAD_LEFT };

struct preload_ring {
    /* Who may write: the thread, when FREE (it makes it USED) and while USED (in the end LEFT). The
     * reader makes it FREE after it has read the rest. */
    _Alignas(64) _Atomic uint32_t use;
    _Atomic int32_t tid, pid;
    _Atomic uint64_t head;     /* records written; the thread's, read after an acquire */
    _Atomic uint64_t full;     /* records lost because the ring was full */
    _Atomic uint64_t drop_ticks; /* when it let go, not written down; 0: not so */
    _Atomic uint64_t drop_number; /* counts releases */
    _Atomic uint32_t drop_lock;
    uint64_t base_ns, base_ticks; /* the thread's own: one moment of its past by both clocks */
    _Atomic uint64_t gots;     /* how often it took a lock, short releases included */
    _Atomic uint64_t shorts;   /* of those, after a short release */
    _Atomic uint64_t short_ticks; /* how long those lasted together */
    _Alignas(64) _Atomic uint64_t tail; /* records read; the reader's */
    struct preload_record record[PRELOAD_RECORDS];
};

struct preload_lock {
    _Atomic int32_t pid;      /* 0: none yet */
    _Atomic uint64_t address; /* of the condition variable of those who wait, or of the semaphore */
    _Atomic uint64_t other;   /* of the one of forced switches; 0: none */
};

struct preload_shared {
    uint32_t version;
    uint32_t bytes;  /* of this structure */
    uint64_t cookie;
    bool follow;     /* children are recorded, too */
    bool tsc;        /* ticks are those of the CPU's time stamp counter, else nanoseconds */
    _Atomic int32_t launched;  /* the process that is recorded in any case */
    _Atomic uint32_t processes; /* that have loaded the library and record */
    _Atomic uint32_t rings;    /* so many of the rings, from the first one, have ever been used */
    _Atomic uint64_t ringless; /* events of threads that found no ring */
    _Atomic uint64_t lockless; /* locks that found no place */
    _Atomic uint32_t locks;
    struct preload_lock lock[PRELOAD_LOCKS];
    struct preload_ring ring[PRELOAD_RINGS];
};

static inline uint64_t preload_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t preload_ticks(bool tsc) {
#ifdef __x86_64__
    if (tsc)
        return __builtin_ia32_rdtsc();
#else
    (void)tsc;
#endif
    return preload_now_ns();
}

/* One moment by both clocks; again, if the thread lost its CPU in between. */
static inline void preload_both(bool tsc, uint64_t *ticks, uint64_t *ns) {
    for (int i = 0; i < 4; i++) {
        uint64_t begin = preload_ticks(tsc);
        *ns = preload_now_ns();
        uint64_t took = preload_ticks(tsc) - begin;
        *ticks = begin + took / 2;
        if (took < 1000)
            break;
    }
}

/* The moment of `ticks` in ns, between a base (one moment by both clocks) and now. */
static inline uint64_t preload_moment(uint64_t ticks, uint64_t base_ticks, uint64_t base_ns,
                                      uint64_t now_ticks, uint64_t now_ns) {
    if (ticks >= now_ticks || now_ns <= base_ns)
        return now_ns;
    if (ticks <= base_ticks)
        return base_ns;
    double part = (double)(ticks - base_ticks) / (double)(now_ticks - base_ticks);
    return base_ns + (uint64_t)(part * (double)(now_ns - base_ns));
}

#endif
