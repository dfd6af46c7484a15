/* SPDX-License-Identifier: MIT */
/* Where threads were blocked, and for how long: the time of each span off a CPU goes to the call
 * (or futex) that a look saw the thread in during it, with the stack of C functions that led there.
 * So the times are the kernel's, only where they went is sampled. And how threads came and went, of
 * which there may be more than a timeline keeps one by one. */
#ifndef HEDDLE_LAB_PROBE_PLACES_H
#define HEDDLE_LAB_PROBE_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/event.h"
#include "probe/mutex.h"
#include "probe/stack.h"
#include "probe/timeline.h"

/* By what was called and how one came there: of all threads. */
struct probe_place {
    int call;         /* a system call's number; -1: it was not seen; below: other places */
    uint32_t stack;   /* innermost frame, or 0 */
    char *what;       /* "read of pipe:[12]", "futex"; NULL: unknown */
    char *object;     /* the futex's name ("queue_lock (server)"), if all have the same; or NULL */
    uint64_t futex;   /* its address, where all have the same; or 0 */
    uint64_t ns, count, max_ns;
    unsigned threads; /* how many were there */
    bool several;     /* futexes, or descriptors */
};

struct probe_births {
    struct probe_histogram first; /* from a thread's creation to when it first ran */
    struct probe_histogram life;  /* from its creation to its end */
    uint64_t born, ended;
};

/* A wait for a lock that was not over when the watching was, and far longer than any that was. */
struct probe_stuck {
    struct probe_mutex_wait wait;
    pid_t pid;
    uint64_t ns;
    char *name; /* of the lock's variable, or NULL */
};

struct probe_places;

/* `native`: with stacks, which go into `stacks`. */
struct probe_places *probe_places_new(struct probe_stacks *stacks, bool native);
void probe_places_free(struct probe_places *p);

/* Takes an event, before the timeline does, and gives it the stack that was read for it. */
void probe_places_event(struct probe_places *p, struct probe_event *e);

/* No more events. The threads of the timeline, which has been finished, get what they were blocked
 * on, with exact times. */
void probe_places_finish(struct probe_places *p, struct probe_timeline *t, uint64_t end_ns);

/* Sorted, most time first; after finish. */
const struct probe_place *probe_places_all(const struct probe_places *p, size_t *count);
const struct probe_births *probe_places_births(const struct probe_places *p);

/* Waits for locks, summed by lock, but for those that never got one. After finish. */
const struct probe_mutexes *probe_places_mutexes(const struct probe_places *p);
const struct probe_stuck *probe_places_stuck(const struct probe_places *p, size_t *count);

/* The threads of a process that wait for locks now, in a new array, with who has these as far as
 * that is known (`python` may be NULL). Returns how many. */
size_t probe_places_waits(struct probe_places *p, pid_t pid, struct probe_python *python,
                          struct probe_mutex_wait **out);

/* The name of a lock's variable, or NULL; the caller frees. */
char *probe_places_lock_name(struct probe_places *p, pid_t pid,
                             const struct probe_mutex_wait *wait);

/* Threads that wait for each other in a circle, as probe_mutex_prove() leaves them, and the names
 * of their locks (NULL: none). All zero is none. */
struct probe_circles {
    struct probe_mutex_wait *wait;
    char **name;
    size_t count;
};
/* Looks for them anew. */
void probe_circles_look(struct probe_circles *c, struct probe_places *p, pid_t pid,
                        struct probe_python *python);
void probe_circles_free(struct probe_circles *c);

/* How many stacks were read, and how many looks went without for want of time. */
struct probe_places_counts {
    uint64_t looks, stacks, reused, torn, skipped, guessed;
    uint64_t blocked_ns, unseen_ns; /* time blocked; of it, in spans that no look saw */
    bool barred;                    /* the memory may not be read */
};
struct probe_places_counts probe_places_counts(const struct probe_places *p);

#endif
