/* SPDX-License-Identifier: MIT */
/* The threads of a program that uses heddle, read from outside without stopping it: by the table
 * that its library has in the section `.heddle`. What is read may be half changed, so a state is
 * that of a thread at about this moment. */
#ifndef HEDDLE_LAB_PROBE_HEDDLE_H
#define HEDDLE_LAB_PROBE_HEDDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct probe_heddle;

/* 0; -ENOENT: it does not use heddle, or has not loaded it yet; another -errno otherwise, with *why
 * in words, which the caller frees. */
int probe_heddle_open(pid_t pid, struct probe_heddle **out, char **why);
void probe_heddle_close(struct probe_heddle *h);

enum probe_heddle_state {
    PROBE_HEDDLE_RUNS,      /* on a worker */
    PROBE_HEDDLE_IN_CALL,   /* in a system call that took long: its worker went on with others */
    PROBE_HEDDLE_READY,     /* could run, and waits for a worker */
    PROBE_HEDDLE_PREEMPTED, /* the same, and its kernel thread waits with it */
    PROBE_HEDDLE_BEGINS,    /* was spawned, and has not run yet */
    PROBE_HEDDLE_WAITS,
    PROBE_HEDDLE_ENDED,     /* and was not joined yet */
    PROBE_HEDDLE_STATES
};
const char *probe_heddle_word(enum probe_heddle_state s);

struct probe_heddle_thread {
    uint64_t id;
    char *name;              /* NULL: none */
    uint8_t state;           /* enum probe_heddle_state */
    int worker;              /* that it runs on, or -1 */
    pid_t tid;               /* the kernel thread that it is on, or 0 */
    const char *what;        /* it waits for ("mutex"), or NULL */
    const char *object_name; /* of a lock that has one, or NULL */
    uint64_t object, site;   /* that, and the place of the call; 0: unknown */
    uint64_t owner;          /* of a mutex that it waits for: a thread's number, or 0 */
    uint64_t fn;             /* it began with */
    uint64_t sp, pc, fp;     /* where it stopped: while it waits, or is ready */
};

struct probe_heddle_worker {
    pid_t tid;        /* of the kernel thread that runs it, or 0 */
    uint64_t current; /* the number of the thread on it, or 0 */
};

struct probe_heddle_view {
    struct probe_heddle_thread *thread;
    size_t count;
    uint64_t dropped; /* beyond the most that are read */
    size_t state[PROBE_HEDDLE_STATES];
    struct probe_heddle_worker *worker;
    size_t worker_count; /* in service */
    size_t carrier_count;
};

/* A look at all of them. 0 with *out; -EAGAIN: the runtime does not run at the moment; -ESRCH: the
 * process is gone. */
int probe_heddle_look(struct probe_heddle *h, struct probe_heddle_view *out);
void probe_heddle_view_free(struct probe_heddle_view *v);

/* Threads that do the same: in the same state, waiting for the same kind of thing at the same
 * place, begun with the same function. */
struct probe_heddle_group {
    uint8_t state;
    const char *what;
    uint64_t site, fn;
    size_t count;
    size_t example; /* the index of one of them */
};

/* All groups, the largest first; the caller frees. */
struct probe_heddle_group *probe_heddle_groups(const struct probe_heddle_view *v, size_t *count);

#endif
