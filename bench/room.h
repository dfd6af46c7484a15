/* SPDX-License-Identifier: MIT */
/* How many more threads the system has room for, and who says no: the limits that threads meet.
 * What others need as well (numbers of tasks, memory) is never used up: a part is left for them. */
#ifndef HEDDLE_BENCH_ROOM_H
#define HEDDLE_BENCH_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum bench_room_kind {
    BENCH_ROOM_CGROUP_PIDS, /* of this control group and each above it that has a limit */
    BENCH_ROOM_NPROC,
    BENCH_ROOM_PID_MAX,
    BENCH_ROOM_THREADS_MAX,
    BENCH_ROOM_CGROUP_MEMORY,
    BENCH_ROOM_MEMORY,
    BENCH_ROOM_MAPS,
    BENCH_ROOM_ADDRESSES,
};

struct bench_limit {
    enum bench_room_kind kind;
    uint64_t most, used;
    uint64_t left_alone; /* of what is left: nothing where nobody else could want it */
    uint64_t refused;    /* how often the kernel has refused for it, where it counts that */
    char folder[256];    /* of a control group */
};

enum { BENCH_ROOM_LIMITS = 24 };

struct bench_room {
    struct bench_limit limit[BENCH_ROOM_LIMITS];
    size_t count;
};

/* Finds the limits of this process. */
void bench_room_find(struct bench_room *r);

/* Looks at what is used of them now. The one of which there is no more than what is left alone;
 * NULL: there is room. */
const struct bench_limit *bench_room_short(struct bench_room *r);

/* After a thread was refused, with so much address space for its stack: which limit that was; NULL
 * if none is near. */
const struct bench_limit *bench_room_met(struct bench_room *r, uint64_t stack_bytes);

/* "cgroup pids.max", "RLIMIT_NPROC", ...; and in a few words, with its number. */
const char *bench_room_name(const struct bench_limit *l);
void bench_room_words(const struct bench_limit *l, char *text, size_t room);

#ifdef __cplusplus
}
#endif

#endif
