/* SPDX-License-Identifier: MIT */
/* The way to see a GIL that needs no help of the kernel: a command is launched with a library
 * before all others (LD_PRELOAD) that writes down when its threads wait for a GIL, get it, and let
 * go (probe/preload/). Exact, but for releases of a few microseconds that nobody else used, which
 * are counted. For launches where perf is barred, and for Python 2.7, which counts no hand-overs.
 *
 * Nothing is left behind whatever happens to either side: the memory has no name, and a target that
 * goes on without us fills it and from then on only counts. */
#ifndef HEDDLE_LAB_PROBE_PRELOAD_H
#define HEDDLE_LAB_PROBE_PRELOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/event.h"
#include "probe/python.h"

struct probe_preload;

/* Before the launch. `follow`: children, too; without it they drop the library as they begin. 0, or
 * -errno with *why in words, which the caller frees. */
int probe_preload_open(bool follow, struct probe_preload **out, char **why);
void probe_preload_close(struct probe_preload *p);

/* In the child, after its fork and before its exec: changes its environment. (In a process with
 * other threads: before the fork, with probe_preload_restore() after it.) */
void probe_preload_setenv(struct probe_preload *p);
void probe_preload_restore(struct probe_preload *p);

/* Which process was launched; called before it execs. */
void probe_preload_launched(struct probe_preload *p, pid_t pid);

/* Which GILs a process has, as often as that is looked at: locks get the numbers that they have
 * there. Until the first call, and for a process without, they are numbered as they are seen. */
void probe_preload_gils(struct probe_preload *p, pid_t pid, const struct probe_gil *gil, int count);

/* Hands over, in order, what happened up to probe_preload_horizon(): PROBE_WANT, GOT, DROP, FORCE,
 * LOST; with `takes` also PROBE_TAKE (where nothing else tells them), with `threads` PROBE_THREAD
 * and EXIT of threads that used a GIL. A wait that began earlier than it could be seen, in a forced
 * switch, has in `value` of its PROBE_WANT for how many ns it had lasted. Returns how many. */
long probe_preload_step(struct probe_preload *p, bool takes, bool threads, probe_sink *sink,
                        void *arg);

/* Up to which moment a step now would hand over. */
uint64_t probe_preload_horizon(void);

/* The same to the end, once the target has ended. */
long probe_preload_finish(struct probe_preload *p, bool takes, bool threads, probe_sink *sink,
                          void *arg);

struct probe_preload_facts {
    unsigned processes; /* that loaded the library; 0: it has no effect (yet) */
    unsigned locks;     /* GILs that were seen at work */
    uint64_t gots;      /* times that one was taken, the uncontended ones included */
    uint64_t shorts;    /* of those, taken back at once: these are in no event */
    uint64_t short_ns;  /* how long those releases lasted together */
    uint64_t lost;      /* events that found no room */
};
void probe_preload_facts(const struct probe_preload *p, struct probe_preload_facts *out);

#endif
