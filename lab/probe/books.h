/* SPDX-License-Identifier: MIT */
/* What the kernel's books say of each thread of a process (/proc/PID/task): read again and again,
 * so that of a thread that has ended the last entry is known; what came after is missing. */
#ifndef HEDDLE_LAB_PROBE_BOOKS_H
#define HEDDLE_LAB_PROBE_BOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct probe_book {
    pid_t tid;
    char name[16];
    char state;                  /* 'R', 'S', 'D', ... */
    int cpu;                     /* that it ran on last */
    uint64_t begin_ticks;        /* when it began: tells those apart who had the same tid */
    uint64_t user_ns, system_ns; /* in ticks of the kernel, 10 ms as a rule */
    uint64_t run_ns, delay_ns;   /* exact: on a CPU, and waiting for one */
    uint64_t slices;             /* times that it came on a CPU */
    bool exact;                  /* the two above are known (/proc/PID/task/TID/schedstat) */
};

/* Reads one. 0, or -errno: -ESRCH if it is gone. */
int probe_book_read(pid_t pid, pid_t tid, struct probe_book *out);

struct probe_books_kept;

struct probe_books_kept *probe_books_new(pid_t pid);
void probe_books_free(struct probe_books_kept *b);

/* Reads all threads, if it is time: seldom enough to take less than a hundredth of a CPU. */
void probe_books_step(struct probe_books_kept *b, uint64_t now_ns);
/* The same at once, for the first and the last time. */
void probe_books_now(struct probe_books_kept *b);

/* What came to a thread's books since the first look at it; false: it was never seen. */
bool probe_books_find(const struct probe_books_kept *b, pid_t tid, struct probe_book *out);

/* The same of the whole process, with what its ended threads had (/proc/PID/stat). */
bool probe_books_process(const struct probe_books_kept *b, uint64_t *user_ns, uint64_t *system_ns);

#endif
