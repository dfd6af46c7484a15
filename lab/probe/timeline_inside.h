/* SPDX-License-Identifier: MIT */
/* What the files of the timeline share.
 *
 * A thread that lives has a tracker, which knows its present state; what it has summed up goes to
 * its entry in the timeline. So a thread too many is still followed, and has its totals in the
 * last entry with others. */
#ifndef HEDDLE_LAB_PROBE_TIMELINE_INSIDE_H
#define HEDDLE_LAB_PROBE_TIMELINE_INSIDE_H

#include "probe/timeline.h"

enum { CPU_UNSEEN, CPU_ON, CPU_OFF };

enum {
    LOCKS_MAX = 64,
    PAIRS_MAX = 1 << 15,
    TALLIES_MAX = 512, /* of a thread and kind; what does not fit is counted together */
    RESERVOIR = 128,
    HISTORY = 1 << 14, /* holders of a lock that a wait can look back on */
};

struct probe_tracker {
    pid_t tid, pid;
    uint32_t index; /* of its entry */
    int16_t lock;   /* that it has to do with, or PROBE_NO_LOCK: not known yet */

    uint8_t cpu_state; /* CPU_ON, ... */
    bool preempted;
    int32_t cpu;
    uint64_t cpu_ns; /* when that began */

    /* The open span. While the thread is off CPU by its own will its state is a guess, and
     * decided at the span's end from what was seen meanwhile. */
    uint8_t state;
    uint64_t since;
    unsigned saw_lock, saw_other; /* looks at it: on the lock's futex, somewhere else */
    unsigned saw_taken, saw_free; /* samples of the lock, of which it is the last holder */
    bool off_as_last;             /* it was the lock's last holder when it left its CPU */
    uint64_t sample_ns[2];        /* of the stacks that may be shown for it */
    uint32_t sample[2], samples;

    /* A span off CPU that has ended and could not be decided: the next event does. */
    bool back;
    uint64_t back_begin, back_end;

    bool has, waits;
    bool wants; /* it lost the lock by force: when it next leaves its CPU it waits */
    uint64_t hold_since, hold_end, wait_since;

    bool sampled;            /* its lock was sampled during the open span */
    uint64_t provisional_ns; /* added to the entry by a settling, to be taken back */
    uint8_t provisional;
    uint64_t back_provisional_ns;
    uint64_t look_ns; /* the last look at it */
    uint64_t span;    /* number of its newest span in the log, from 1 */
};

struct probe_change {
    uint64_t ns;
    uint32_t index; /* the entry of who had the lock from then on */
};

struct probe_lock_inside {
    struct probe_tracker *last; /* who had it last; NULL: not known, or has ended */
    uint64_t begin_ns, end_ns; /* seen first; its process ended, or became another program */
    uint64_t take_ns, look_ns, number;
    bool seen, takes_seen, unsure, asked, asks_seen;
    pid_t pid;   /* the process that it is in */
    pid_t doubt; /* a sample named it instead of `last`, once */
    struct probe_change *history;
    uint64_t changes;
};

struct probe_reservoir {
    uint64_t seen;
    uint64_t value[RESERVOIR];
};

/* How often the lock was free while its last holder ran on, for want of a better sign taken to have
 * it; and the time of all such spans in which no sample came. */
struct probe_presumed {
    uint64_t samples, free, ns;
};

/* Beside each entry. */
struct probe_entry_inside {
    struct probe_reservoir *hold, *wait;
    struct probe_presumed on, preempted;
    uint64_t sampled; /* so many samples of a lock found that this thread had it */
    int16_t lock;     /* which */
};

/* A thread that has ended: samples that were taken just before may come after. */
enum { ENDED_KEPT = 64, ENDED_LATE_NS = 100 * 1000 * 1000 };
struct probe_ended {
    pid_t tid;
    uint64_t ns;
};

struct probe_timeline_inside {
    size_t threads_max, spans_max;
    uint64_t interval_ns;
    struct probe_tracker **table; /* by tid, open addressing */
    size_t table_size, table_used;
    struct probe_ended ended[ENDED_KEPT]; /* a ring */
    size_t ended_next;
    struct probe_entry_inside *entry;
    struct probe_lock_inside lock[LOCKS_MAX];
    uint32_t *pair_table; /* index + 1 into pair */
    bool switches;        /* the kernel tells who is on CPU; else looks do */
    bool settled;
    uint64_t spans_logged, random;
};

/* timeline_threads.c */
struct probe_tracker *probe_tracker_find(struct probe_timeline *t, pid_t tid);
struct probe_tracker *probe_tracker_get(struct probe_timeline *t, pid_t tid, pid_t pid,
                                        uint64_t ns);
void probe_tracker_end(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns);
/* Whether what is told of this thread is late: it has ended. */
bool probe_tracker_is_late(struct probe_timeline *t, pid_t tid, uint64_t ns);

/* timeline_account.c */
void probe_histogram_add(struct probe_histogram *h, uint64_t ns);
void probe_reservoir_add(struct probe_timeline *t, struct probe_reservoir **r, uint64_t value);
uint64_t probe_reservoir_median(const struct probe_reservoir *r);
/* So long the thread was in that state. */
void probe_account(struct probe_timeline *t, struct probe_tracker *tr, enum probe_state state,
                   uint64_t begin_ns, uint64_t end_ns);
/* Ends the open span in its present state, and begins one in the next. */
void probe_close_span(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns,
                      enum probe_state next);
/* What was presumed of a thread's holding, in each span too short for samples, corrected by what
 * all of the samples say together. */
void probe_presumed_correct(struct probe_timeline *t, size_t index);
void probe_presumed_sample(struct probe_timeline *t, struct probe_tracker *tr, bool is_free);
/* For how long it was there. */
uint64_t probe_lock_life(const struct probe_timeline *t, size_t lock);
/* Where samples say that a lock was held for much less time than the rest makes it. */
void probe_trust_samples(struct probe_timeline *t);
void probe_hold_ended(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns);
void probe_wait_ended(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns);
void probe_lock_changed(struct probe_lock_inside *l, uint64_t ns, uint32_t index);
void probe_tally_add(struct probe_tally **list, size_t *count, const struct probe_tally *what);
void probe_sampled(struct probe_tracker *tr, uint64_t ns, uint32_t stack);

/* timeline_state.c */
/* What a span off CPU is taken for if it ends now. */
enum probe_state probe_guess(const struct probe_timeline *t, const struct probe_tracker *tr,
                             uint64_t ns);
struct probe_lock_inside *probe_lock_of(struct probe_timeline *t, const struct probe_tracker *tr,
                                        int *index);
void probe_on_cpu(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns, int cpu);
void probe_off_cpu(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns, bool preempted);
void probe_took(struct probe_timeline *t, struct probe_tracker *tr, int lock, uint64_t ns,
                bool counts);
void probe_over(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns);
void probe_lock_sampled(struct probe_timeline *t, const struct probe_event *e);
void probe_looked(struct probe_timeline *t, struct probe_tracker *tr, const struct probe_event *e);
void probe_exact(struct probe_timeline *t, struct probe_tracker *tr, const struct probe_event *e);

#endif
