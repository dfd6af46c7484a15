/* SPDX-License-Identifier: MIT */
/* Stacks of a target's threads, each kept once: a tree whose nodes are frames, so that a stack is
 * a number and two that share their outer part share its nodes. Bounded: what does not fit becomes
 * one frame "[more stacks]", and is counted. */
#ifndef HEDDLE_LAB_PROBE_STACK_H
#define HEDDLE_LAB_PROBE_STACK_H

#include <stddef.h>
#include <stdint.h>

struct probe_frame {
    const char *function; /* qualified where the interpreter knows it */
    const char *file;     /* as the target has it; of native code the library; NULL: unknown */
    int line;             /* 0: unknown */
    int op;               /* offset of the instruction in the code object, in bytes; -1: native */
};

struct probe_stacks;

struct probe_stacks *probe_stacks_new(size_t nodes_max);
void probe_stacks_free(struct probe_stacks *s);

/* The node of a frame called by node `outer` (0: the outermost). The strings are copied. */
uint32_t probe_stacks_push(struct probe_stacks *s, uint32_t outer, const struct probe_frame *f);

/* Of a node that is not 0. */
const struct probe_frame *probe_stacks_frame(const struct probe_stacks *s, uint32_t node);
uint32_t probe_stacks_outer(const struct probe_stacks *s, uint32_t node);

/* How many frames did not fit. */
uint64_t probe_stacks_lost(const struct probe_stacks *s);

#endif
