/* SPDX-License-Identifier: MIT */
/* From events to where each thread's time went. Memory is bounded whatever the target does: totals
 * and histograms are exact to the end; the log of spans, for pictures, keeps the newest, and says
 * how many it dropped.
 *
 * At each moment a thread is in one state. Without a GIL (heddle threads, free-threaded builds)
 * only ON, RUNNABLE and BLOCKED occur. */
#ifndef HEDDLE_LAB_PROBE_TIMELINE_H
#define HEDDLE_LAB_PROBE_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/event.h"
#include "probe/stack.h"

enum probe_state {
    PROBE_STATE_NONE,      /* not born yet, or ended */
    PROBE_STATE_HOLDS,     /* has the GIL and runs */
    PROBE_STATE_HOLDS_OFF, /* has the GIL, and is off its CPU: everybody waits for nothing */
    PROBE_STATE_WAITS,     /* waits for the GIL */
    PROBE_STATE_ON,        /* runs without the GIL, or where there is none */
    PROBE_STATE_RUNNABLE,  /* without the GIL; could run, and has no CPU */
    PROBE_STATE_BLOCKED,   /* waits for something else: a call, a lock, a timer */
    PROBE_STATES
};
const char *probe_state_word(enum probe_state s); /* "holds", "holds, off CPU", "waits", ... */

/* Durations in ns, in buckets of powers of two: bucket i counts those in [2^i, 2^(i+1)). */
enum { PROBE_BUCKETS = 40 };
struct probe_histogram {
    uint64_t count, sum_ns, max_ns;
    uint64_t bucket[PROBE_BUCKETS];
};
/* By linear interpolation within the bucket; 0 if it is empty. */
uint64_t probe_histogram_quantile(const struct probe_histogram *h, double q);

/* Who did something often or long: a line of Python (or a call, or a futex) with its total. */
struct probe_tally {
    uint32_t stack; /* a node of the stacks, or 0 */
    int call;       /* a system call's number, or -1 */
    uint64_t futex; /* an address, or 0; of Python's lock object where `mutex` is set */
    uint8_t mutex;  /* enum probe_mutex_kind: it waits for that */
    uint64_t ns;    /* estimated from samples */
    uint64_t count; /* samples */
};

struct probe_thread {
    pid_t tid, pid, parent;
    char *name;
    uint64_t born_ns, first_ns, end_ns; /* 0: was there before; first came on a CPU; still there */
    uint64_t state_ns[PROBE_STATES];
    uint64_t held_preempted_ns; /* of PROBE_STATE_HOLDS_OFF: it could have run, but had no CPU */
    uint64_t voluntary, preempted, migrations; /* context switches; changes of CPU */
    uint64_t takes;                            /* hand-overs to it */
    uint64_t forced_from;              /* of its holds ended because somebody asked for it */
    uint64_t forced_by;                /* it asked so often */
    struct probe_histogram hold, wait; /* spans of holding (from taking to the loss), of waiting */
    struct probe_histogram runnable, blocked;
    uint64_t worst_wait_ns, worst_wait_at_ns;
    pid_t worst_wait_holder;                        /* who had it during most of that wait */
    struct probe_tally *held, *waited, *blocked_on; /* sorted, most first (after finish) */
    size_t held_count, waited_count, blocked_on_count;
};

/* Who waited for whom, in total. */
struct probe_pair {
    size_t waiter, holder; /* indices of threads */
    uint64_t ns, count;
};

/* A short waiter behind a long holder, again and again: `waiter` needs the GIL for median
 * need_ns at a time, and waits median wait_ns for it, mostly behind `holder`. */
struct probe_convoy {
    size_t waiter, holder;
    uint64_t times, need_ns, wait_ns;
};

struct probe_span {
    uint64_t begin_ns, end_ns;
    uint32_t thread; /* index */
    uint8_t state;   /* enum probe_state */
    int16_t cpu;     /* or -1 */
    uint32_t stack;  /* the sample nearest to its middle, or 0 */
    int16_t lock;    /* the GIL that it has or waits for, in these states; -1: not known */
};

struct probe_lock {
    uint64_t takes, forced;
    uint64_t interval_us; /* at last; it has been from least to most */
    uint64_t interval_least_us, interval_most_us;
    uint64_t held_ns, free_ns;    /* sampled or exact */
    uint64_t looks, looks_locked; /* samples of it, and those that saw it taken */
    uint64_t waiters_ns;          /* sum over threads of waiting */
    bool exact;                   /* by the target's own record, not from samples */
    bool by_samples;   /* held_ns is what samples say: it was let go more often than was seen */
    bool forced_known; /* whether `forced` could be seen */
    pid_t pid;         /* the process that it is in */
};

struct probe_timeline {
    uint64_t begin_ns, end_ns;
    struct probe_thread *thread; /* in the order in which they were seen */
    size_t thread_count;
    uint64_t threads_dropped; /* more threads than are kept one by one: in the last entry */
    struct probe_lock *lock;
    size_t lock_count;
    struct probe_pair *pair; /* sorted, most first (after finish) */
    size_t pair_count;
    struct probe_convoy *convoy; /* sorted, worst first (after finish) */
    size_t convoy_count;
    /* The newest spans, sorted by begin (after finish); HOLDS spans make the GIL's own track. */
    struct probe_span *span;
    size_t span_count;
    uint64_t spans_dropped;
    uint64_t pauses, pause_ns;
    uint64_t lost; /* events that were lost on the way */
    struct probe_timeline_inside *inside;
};

struct probe_timeline *probe_timeline_new(size_t threads_max, size_t spans_max);
void probe_timeline_free(struct probe_timeline *t);

/* The interpreter's switch interval, if it has one (0: it has not): a thread that waited so long in
 * vain asks the holder to let go. To be told before the first event, and when it has changed. */
void probe_timeline_interval(struct probe_timeline *t, uint64_t us);

/* A probe_sink: arg is the timeline. */
void probe_timeline_event(void *arg, const struct probe_event *e);

/* Brings all totals up to a moment, without an end (for live views). */
void probe_timeline_settle(struct probe_timeline *t, uint64_t now_ns);

/* No more events: sorts, finds the convoys. */
void probe_timeline_finish(struct probe_timeline *t, uint64_t end_ns);

/* The median of a thread's holds, or of its waits, finer than its histogram tells it. */
uint64_t probe_thread_median_hold(const struct probe_timeline *t, size_t index);
uint64_t probe_thread_median_wait(const struct probe_timeline *t, size_t index);

/* How a GIL is called: there is one in each process, and in each interpreter that has its own.
 * "GIL", "GIL of process 42", "GIL number 1 of process 42". Caller frees. */
char *probe_lock_title(const struct probe_timeline *t, size_t index);

/* How a thread is called in text: its name if no other has it, else "name (tid)". Caller frees. */
char *probe_thread_title(const struct probe_timeline *t, size_t index);

#endif
