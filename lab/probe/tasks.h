/* SPDX-License-Identifier: MIT */
/* The threads of a target that a watch knows. */
#ifndef HEDDLE_LAB_PROBE_TASKS_H
#define HEDDLE_LAB_PROBE_TASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/event.h"

/* What an event can be opened for: the records, and the watchpoints of as many GILs as a CPU has
 * watchpoints. */
enum { PROBE_KINDS = 5, PROBE_RECORDS = 0, PROBE_WATCHPOINTS = 1 };

struct probe_task {
    pid_t tid, pid;
    char name[16];
    bool covered[PROBE_KINDS];
    uint64_t covered_ns[PROBE_KINDS]; /* since when: what it makes later inherits the event */
    bool twice;                       /* may have events both inherited and of its own */
    bool ended;

    /* By the newest record (or sample). */
    bool known, on, preempted;
    bool guessed; /* by what /proc said at first: the first record may say it once more */
    uint64_t changed_ns;
    int cpu;

    /* As handed on: that there is the thread; the last record, to leave out a second one
     * that says the same. */
    bool met;
    uint8_t told;
    bool told_ready; /* off, and able to run */
    uint64_t told_ns, took_ns;

    /* Samples. */
    bool queued;          /* is to be looked at */
    bool looked;          /* in the present span off its CPU; then `look` is what was seen */
    bool unfinished;      /* its stack was left out */
    struct probe_event look;
    uint64_t looked_ns, scanned_ns;
    int call_file;        /* /proc/PID/task/TID/syscall, or -1 */
    int stat_file;        /* .../stat, or -1 */
    uint64_t ran_ns;      /* by .../schedstat, where there are no records; when it grew */
    uint64_t moved_ns;
    int sched_file;

    /* Python. */
    uint64_t state;       /* address of its PyThreadState, 0: none known */
    uint64_t seek_ns, seek_pause_ns; /* then: when to look for it again */
    uint64_t interpreter;
    char called[32];      /* by the program; empty: not known */
    uint64_t name_ns, name_pause_ns; /* when to look for that again */

    struct probe_task *chain; /* of the same hash */
    size_t index;
};

struct probe_tasks {
    struct probe_task **list;
    size_t count;
    struct probe_task **bucket;
    size_t buckets; /* a power of two */
};

struct probe_task *probe_tasks_find(const struct probe_tasks *t, pid_t tid);

/* Finds it, or makes a new one. */
struct probe_task *probe_tasks_add(struct probe_tasks *t, pid_t pid, pid_t tid);

/* Makes it new, as the thread of another process or a later one of the same number. */
void probe_task_reset(struct probe_task *task, pid_t pid);

void probe_tasks_remove(struct probe_tasks *t, struct probe_task *task);
void probe_tasks_free(struct probe_tasks *t);

/* The numbers in /proc/PID/task, in a new array. How many, or -errno (-ESRCH: it is gone). */
int probe_tasks_scan(pid_t pid, pid_t **out);

/* The processes that a process has made and that are its children, in a new array. How many. Needs
 * a kernel that lists them (CONFIG_PROC_CHILDREN); else 0. */
int probe_tasks_children(pid_t pid, pid_t **out);

/* What /proc/PID/task/TID/stat says. */
struct probe_task_stat {
    char name[16];
    char state; /* R, S, D, Z, X, T, t, I */
    unsigned flags;
    int cpu;
    uint64_t user_ticks, system_ticks;
    uint64_t stack; /* where the program's own begins: an exec moves it; 0: not to be seen */
};

/* Reads it through a file of the task that stays open. 0 or -errno. */
int probe_task_stat(struct probe_task *task, struct probe_task_stat *out);

/* Of any text of such a file; changes it. False if it makes no sense. */
bool probe_task_stat_parse(char *text, struct probe_task_stat *out);

/* Reads a file of a task from its beginning, as text. It stays open in *fd (-1: not yet) while
 * there are descriptors enough. The bytes, or -errno (-ESRCH: the task is gone). */
long probe_task_read(const struct probe_task *task, const char *file, int *fd, char *text,
                     size_t size);

/* From which descriptor on none is kept open. */
void probe_tasks_keep_below(int fd);

#endif
