/* SPDX-License-Identifier: MIT */
/* An unmodified CPython interpreter (2.7, 3.6 to 3.15) in another process, read from outside: where
 * its GIL is, who has it, which threads there are and which Python code they run. Nothing is
 * stopped: what is read may be half changed, so each pointer is checked and a stack that makes no
 * sense is given up. Reading takes the right to ptrace the process (the same user; see ptrace(2)).
 *
 * 3.13 and later say themselves where things are (_Py_DebugOffsets). For earlier ones the offsets
 * by minor version are in python_offsets.c, made by tools/python-offsets from their headers. */
#ifndef HEDDLE_LAB_PROBE_PYTHON_H
#define HEDDLE_LAB_PROBE_PYTHON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/stack.h"

struct probe_python;

/* Finds the interpreter of a process. Returns 0 with *out; -ENOENT: it is no Python, or has not
 * begun to run Python yet (say, just launched: try again); another -errno otherwise; *why, which
 * the caller frees, then says what is in the way and what to do, in words. */
int probe_python_open(pid_t pid, struct probe_python **out, char **why);
void probe_python_close(struct probe_python *p);

struct probe_python_facts {
    int major, minor, micro; /* micro -1: unknown */
    bool free_threaded;
    bool stacks;          /* Python stacks can be read */
    bool has_gil_number;  /* there is a switch number to watch */
    uint64_t switch_interval_us; /* 0: unknown */
    const char *file;     /* that the interpreter's code is in */
    const char *how;      /* how it was found: "debug offsets", "symbols, offsets of 3.11", ... */
};
const struct probe_python_facts *probe_python_facts(const struct probe_python *p);

/* One GIL: the process's, or (3.12 and later) that of an interpreter with its own. */
struct probe_gil {
    uint64_t interpreter;      /* its number, 0: the main one */
    uint64_t address, size;    /* of the structure; a futex inside it means waiting for the GIL */
    uint64_t number_address;   /* of switch_number, 8 bytes; 0: none */
};

/* Looks anew which GILs there are (interpreters come and go). Returns how many (at most max), or
 * -errno: -ESRCH where the process is gone. */
int probe_python_gils(struct probe_python *p, struct probe_gil *out, int max);

/* Reads again what may change of the facts: the switch interval, of this GIL. */
void probe_python_refresh(struct probe_python *p, const struct probe_gil *g);

/* Reads one: who had it last (a native thread number, 0: nobody or gone), whether it is taken now,
 * and its switch number (0: none). 0 or -errno. About a microsecond. */
int probe_python_gil_read(struct probe_python *p, const struct probe_gil *g, pid_t *holder,
                          bool *locked, uint64_t *number);

/* The threads that the interpreter knows, with what to read their stacks from. Returns how many
 * there are, which may be more than max; or -errno. */
struct probe_python_thread {
    pid_t tid;
    uint64_t state;       /* address of its PyThreadState */
    uint64_t interpreter; /* number */
};
int probe_python_threads(struct probe_python *p, struct probe_python_thread *out, int max);

/* The stack of Python frames of one thread, outermost first in the tree: the number of its
 * innermost frame, 0 if it runs no Python code (or could not be read: *torn set). Names and lines
 * of code objects are kept from one call to the next. */
uint32_t probe_python_stack(struct probe_python *p, const struct probe_python_thread *t,
                            struct probe_stacks *stacks, bool *torn);

/* What the program calls a thread that threading.Thread began, into out. 0; -ENOENT: it is not such
 * a thread; -EAGAIN: it could not be read this time. */
int probe_python_thread_name(struct probe_python *p, const struct probe_python_thread *t, char *out,
                             size_t size);

/* The lock object (a threading.Lock or RLock) that a thread waits for on a
 * futex, its stack pointer being sp. 0; -ENOENT: it waits for something else, or it was not found.
 * It may be that of a queue or a condition, which consist of locks. */
struct probe_python_lock {
    uint64_t object; /* as id() says it */
    bool recursive;  /* an RLock, which knows who has it */
};
int probe_python_lock_find(struct probe_python *p, uint64_t futex, uint64_t sp,
                           struct probe_python_lock *out);

/* The thread that has an RLock now; 0: none, or it is none. */
pid_t probe_python_lock_owner(struct probe_python *p, const struct probe_python_lock *lock);

/* The type's name of the object at an address ("dict"), into out; 0 or -errno. */
int probe_python_type(struct probe_python *p, uint64_t object, char *out, size_t size);

/* Reads the target's memory. The number of bytes read, which is n, or -errno. */
ssize_t probe_read(pid_t pid, uint64_t address, void *out, size_t n);

#endif
