/* SPDX-License-Identifier: MIT */
/* A target, launched or attached to, and the stream of its events.
 *
 * Which ways of seeing are used depends on what the machine allows; each is in the list of means
 * with a word on why it is or is not in use, and reports show that list. Whatever happens to us,
 * the target goes on as before: watchpoints and records are the kernel's and end with our file
 * descriptors; nothing is written into the target, and it is never stopped after its start. */
#ifndef HEDDLE_LAB_PROBE_WATCH_H
#define HEDDLE_LAB_PROBE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/event.h"
#include "probe/python.h"
#include "probe/stack.h"

enum probe_means_id {
    PROBE_MEANS_WATCHPOINT, /* hand-overs, by a hardware watchpoint on the switch number */
    PROBE_MEANS_SWITCHES,   /* on and off CPU, by the kernel's context-switch records */
    PROBE_MEANS_TASKS,      /* threads begin and end, by the kernel's records */
    PROBE_MEANS_LOOKS,      /* samples of /proc/PID/task/TID/syscall and of the GIL */
    PROBE_MEANS_STACKS,     /* Python stacks, read from the target's memory */
    PROBE_MEANS_NATIVE,     /* stacks of C functions */
    PROBE_MEANS_PRELOAD,    /* the target writes down its own waits (launch only) */
    PROBE_MEANS_TRACEFS,    /* uprobes and tracepoints, for root */
    PROBE_MEANS_COUNT
};

struct probe_means {
    const char *name; /* "watchpoint" */
    bool used;
    char *why; /* what it is used for, or what stands in the way and what to do */
};

struct probe_options {
    char **command; /* to launch, ended by NULL; or NULL: attach to pid */
    pid_t pid;
    double for_s;          /* ends after so many seconds; 0: when the target ends */
    double every_ms;       /* between samples; 0: the default, 1 ms */
    bool python;           /* look for an interpreter, and watch its GIL */
    bool lines;            /* without that, only read the stacks of an interpreter, if any */
    bool follow;           /* children too, not this process alone */
    bool native;           /* stacks of C functions of those who wait */
    bool preload;          /* launch with the library that writes down waits */
    bool no_perf, no_root; /* leave these means out (for tests, and where they disturb) */
    size_t buffer_pages;   /* of each ring, a power of two; 0: the default */
};

struct probe_watch;

/* Attaches or launches (the command is held before its exec until everything is in place). 0 with
 * *out, or -errno after a complaint on standard error that says what to do. */
int probe_watch_open(const struct probe_options *o, struct probe_watch **out);

/* The exit status for a failure of probe_watch_open: of a command that cannot be run it is the
 * shell's, 127 or 126. */
int probe_watch_exit_status(const struct probe_options *o, int error);

/* Hands over what has happened since the last call, in order, waiting up to wait_ms for more.
 * 1: goes on; 0: over (target ended, time over, or interrupted); -errno. */
int probe_watch_step(struct probe_watch *w, int wait_ms, probe_sink *sink, void *arg);

/* Detaches. The target goes on, unless it was launched by us and has ended. *status, if not NULL:
 * a launched command's wait status. */
void probe_watch_close(struct probe_watch *w, int *status);

const struct probe_means *probe_watch_means(const struct probe_watch *w);
/* The target's own interpreter or, where it has none, that of a child; one that has ended if there
 * is no other. NULL: none (yet). Valid until the next step. */
struct probe_python *probe_watch_python(const struct probe_watch *w);

/* That of a process; NULL: none. */
struct probe_python *probe_watch_python_of(const struct probe_watch *w, pid_t pid);

int probe_watch_gils(const struct probe_watch *w, const struct probe_gil **out);
struct probe_stacks *probe_watch_stacks(const struct probe_watch *w);
pid_t probe_watch_pid(const struct probe_watch *w);

struct probe_watch_facts {
    uint64_t begin_ns, end_ns;   /* CLOCK_MONOTONIC */
    uint64_t begin_real_ns;      /* CLOCK_REALTIME of begin_ns */
    uint64_t number_first, number_last; /* of the main GIL's switch number, read at both ends */
    uint64_t takes;              /* PROBE_TAKE events of the main GIL between them */
    uint64_t lost;               /* events that the kernel dropped */
    uint64_t looks, looks_torn;  /* samples, and stacks that made no sense */
    uint64_t watchpoint_ns;      /* what a hand-over costs the target by being seen; 0: none */
    uint64_t children;           /* that the target has or made, and that are not watched */
    bool ended;                  /* the target has */
    int status;                  /* then: its wait status; -1: not known */
    double attach_s;             /* how long it took to be in place */
};
void probe_watch_facts(const struct probe_watch *w, struct probe_watch_facts *out);

#endif
