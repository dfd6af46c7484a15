/* SPDX-License-Identifier: MIT */
/* What costs threads of a free-threaded interpreter (3.13t and later), which has no GIL: objects
 * whose reference counts several threads change, and the functions by which the interpreter keeps
 * them apart. By samples of the CPU clock with the user's registers, which need no privilege at
 * perf_event_paranoid 2: in the function that drops a reference of another thread's object, the
 * object is the first argument. All figures are estimates. */
#ifndef HEDDLE_LAB_PROBE_FREE_H
#define HEDDLE_LAB_PROBE_FREE_H

#include <sys/types.h>

#include "probe/output.h"
#include "probe/python.h"
#include "probe/verdict.h"

struct probe_free;

/* Begins to sample all threads of a process, and those that they make; with `root`, tries to see
 * rare calls as well (probe/traces.h). 0, or -errno with *why in words, which the caller frees. */
int probe_free_open(pid_t pid, struct probe_python *python, bool root, struct probe_free **out,
                    char **why);
void probe_free_close(struct probe_free *f);

/* Takes the samples since the last call, at best each few milliseconds: an object is asked for its
 * type while it is there. `python` is the interpreter as it is now: once that is another one, or
 * none (the program has become another), nothing is read any more. Where pauses of the whole
 * interpreter are seen, hands over PROBE_PAUSE of each. */
void probe_free_step(struct probe_free *f, struct probe_python *python, probe_sink *sink,
                     void *arg);

/* Whether calls are seen, and why (not). */
struct probe_means probe_free_traces(const struct probe_free *f);

/* After the last step. The tables of a report: contended objects, and functions. They live as long
 * as `f`. */
const struct probe_table *probe_free_tables(struct probe_free *f, size_t *count);

/* What it means, in words, and what to do. */
void probe_free_words(const struct probe_free *f, struct probe_sentences *verdict,
                      struct probe_sentences *advice, struct probe_sentences *notes);

#endif
