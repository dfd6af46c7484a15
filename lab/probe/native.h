/* SPDX-License-Identifier: MIT */
/* Stacks of C functions of a target's threads, read from outside while they wait: nothing is
 * stopped. The kernel tells where a waiting thread's stack is (calls.h); its memory and the unwind
 * information of the files that it has mapped tell the rest. A thread that went on meanwhile is
 * noticed, and its stack given up.
 *
 * Of a waiting thread the kernel tells the stack pointer alone. Where a function is based on its
 * frame pointer, and none of those that it called has saved that, its frame is looked for in the
 * stack: the nearest place behind which there is the return address of a call to this function. */
#ifndef HEDDLE_LAB_PROBE_NATIVE_H
#define HEDDLE_LAB_PROBE_NATIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/calls.h"
#include "probe/stack.h"

struct probe_native;

/* 0, or -errno: the process is gone or may not be read. */
int probe_native_open(pid_t pid, struct probe_native **out);
void probe_native_close(struct probe_native *n);

/* The stack of a thread that `call` was just read of: the number of its innermost frame in
 * `stacks`; 0: it runs or has gone on (*torn), or could not be read. */
uint32_t probe_native_stack(struct probe_native *n, pid_t tid, const struct probe_call *call,
                            struct probe_stacks *stacks, bool *torn);

/* The stack of something that does not run, from its stack pointer, the place where it goes on and
 * its frame pointer. */
uint32_t probe_native_parked(struct probe_native *n, uint64_t sp, uint64_t pc, uint64_t fp,
                             struct probe_stacks *stacks);

/* What lies at an address, for people: "queue_lock (server)", "work (server)" for a function,
 * "[heap]", "libc.so.6+0x1d2260"; the caller frees. */
char *probe_native_name(struct probe_native *n, uint64_t address, bool data);

/* How many stacks were asked for, and how many were given up because the thread went on. */
struct probe_native_counts {
    uint64_t asked, torn, guessed;
};
struct probe_native_counts probe_native_counts(const struct probe_native *n);

#endif
