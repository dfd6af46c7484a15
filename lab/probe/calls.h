/* SPDX-License-Identifier: MIT */
/* What a thread does in the kernel, as /proc/PID/task/TID/syscall tells without disturbing it:
 * which system call, its arguments, and where the thread's stack is. Reading it takes the right to
 * ptrace the process. Numbers and names are those of this machine's 64-bit programs. */
#ifndef HEDDLE_LAB_PROBE_CALLS_H
#define HEDDLE_LAB_PROBE_CALLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Made at build time from the headers: by number, NULL where there is a gap. */
extern const char *const probe_call_names[];
extern const long probe_call_names_end;

/* The name ("epoll_wait"), or NULL. */
const char *probe_call_name(long number);

struct probe_call {
    bool runs;      /* on a CPU, or could be: the rest is not set */
    long number;    /* -1: blocked outside of a system call (a page fault, say) */
    uint64_t arg[6];
    uint64_t sp, pc;
};

/* 0; -ESRCH: the thread is gone; -EACCES or -EPERM: it may not be read; -EIO: it could not be
 * understood. `pid` may be that of the process or of any of its threads. */
int probe_call_read(pid_t pid, pid_t tid, struct probe_call *out);

/* The same from the text of that file. */
int probe_call_parse(const char *text, struct probe_call *out);

/* The address that a thread in such a call waits on; 0 if it is none that waits on a futex. */
uint64_t probe_call_futex(const struct probe_call *c);

/* The call for people: "read of pipe:[4711]", "futex", "epoll_wait", "poll of 3 descriptors". The
 * caller frees. What stands behind a descriptor is looked up in /proc/PID/fd. */
char *probe_call_text(pid_t pid, const struct probe_call *c);

#endif
