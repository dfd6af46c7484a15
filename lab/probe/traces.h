/* SPDX-License-Identifier: MIT */
/* Calls of functions of a running program, seen by the kernel's uprobes. For root (tracefs), and
 * for functions that are called rarely: each call costs the program a trap, of 1 us where the
 * function begins with an instruction that the kernel imitates (a push), else of 14 us. What turns
 * out to be called often is switched off.
 *
 * All of it is in the kernel, and has to be taken away again: a process of its own does that when
 * this one ends, in whatever way. */
#ifndef HEDDLE_LAB_PROBE_TRACES_H
#define HEDDLE_LAB_PROBE_TRACES_H

#include <stdint.h>
#include <sys/types.h>

struct probe_traces;

enum { PROBE_TRACES_MAX = 32 };

/* Begins to see calls of functions of the file `file` that the process has mapped, by all its
 * threads and those that they make. Names that the file does not have are left out. 0, or -errno
 * with *why in words, which the caller frees. */
int probe_traces_open(pid_t pid, const char *file, const char *const *functions, int count,
                      struct probe_traces **out, char **why);

/* Takes them away, and waits until that is done. */
void probe_traces_close(struct probe_traces *t);

/* A call: which function (index), by which thread, when (CLOCK_MONOTONIC). */
typedef void probe_traces_sink(void *arg, int function, pid_t tid, uint64_t ns);

/* Hands over the calls since the last time; `sink` may be NULL. */
void probe_traces_step(struct probe_traces *t, probe_traces_sink *sink, void *arg);

enum probe_traced {
    PROBE_TRACED,     /* all calls were seen */
    PROBE_TRACED_SOME, /* until there were too many, or some were lost */
    PROBE_TRACED_NOT, /* the file has no such function, or the kernel takes no probe there */
};
/* How often one was called, as far as was seen. */
uint64_t probe_traces_count(const struct probe_traces *t, int function, enum probe_traced *how);

#endif
