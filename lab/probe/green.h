/* SPDX-License-Identifier: MIT */
/* The threads of a program that uses heddle, looked at again and again while it is watched: what
 * they did on the average and at the end, by groups of those that did the same and, where there are
 * not too many, one by one. */
#ifndef HEDDLE_LAB_PROBE_GREEN_H
#define HEDDLE_LAB_PROBE_GREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "probe/heddle.h"
#include "probe/stack.h"

struct probe_green_group {
    uint8_t state;     /* enum probe_heddle_state */
    char *what;        /* it waits for, or NULL */
    char *object;      /* that, if all wait for the same and it has a name; or NULL */
    char *site, *fn;   /* where it waits, and what it began with; or NULL */
    uint64_t sum;      /* of the looks' counts */
    uint64_t last, most;
    uint32_t stack;    /* of one of them, or 0 */
    uint64_t site_address, fn_address, object_address;
};

struct probe_green_thread {
    uint64_t id;
    char *name, *fn;
    uint64_t looks, state[PROBE_HEDDLE_STATES];
    char *last; /* what it did at the last look */
    bool there; /* at the last look */
};

struct probe_green_view {
    uint64_t looks;                          /* 0: no heddle was found, or it never ran */
    uint64_t begin_ns, end_ns;               /* of the first and the last */
    uint64_t state[PROBE_HEDDLE_STATES];     /* sums over the looks */
    uint64_t last[PROBE_HEDDLE_STATES];
    uint64_t count_last, count_most, dropped;
    size_t workers, carriers;
    struct probe_green_group *group; /* most on the average first */
    size_t groups;
    struct probe_green_thread *thread; /* in the order in which they were seen */
    size_t threads;
    bool all; /* each thread that was seen is among them */
    const char *why; /* heddle is there, and cannot be read: why; or NULL */
};

struct probe_green;

struct probe_green *probe_green_new(pid_t pid, struct probe_stacks *stacks);
void probe_green_free(struct probe_green *g);

/* Looks, if it is time: takes at most some hundredths of a CPU. */
void probe_green_step(struct probe_green *g, uint64_t now_ns);
/* At once. */
void probe_green_look(struct probe_green *g, uint64_t now_ns);

/* The program was replaced by another one. */
void probe_green_forget(struct probe_green *g);

const struct probe_green_view *probe_green_view(struct probe_green *g);

/* Whether a kernel thread was one of its carriers at the last look. */
bool probe_green_is_carrier(const struct probe_green *g, pid_t tid);

#endif
