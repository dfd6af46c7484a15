/* SPDX-License-Identifier: MIT */
/* Running any command, and what it cost.
 *
 * A helper process, forked once, starts the commands and waits for them. What the kernel counts as
 * a process's largest memory includes that of the process which it was before exec; started by
 * the command itself, `true` would be charged with the store and the reports of heddle. The helper
 * has touched next to nothing. It starts by vfork, whose cost does not grow with anybody's
 * memory, and reads the clock in the child, right before exec: the time of a command is its own,
 * from the exec to the moment when the helper, which waits for nothing else, knows of its end. */
#ifndef HEDDLE_LAB_COMMAND_H
#define HEDDLE_LAB_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "process.h"

/* A command to be started. Everything is owned by whoever made it, and must be there, unchanged,
 * from lab_launcher_start on. */
struct lab_launch {
    char *const *argv;
    int in, out, err;   /* its standard streams */
    double timeout_s;   /* 0: none */
    bool leave_remains; /* what it leaves behind in its process group is not killed */
    bool steady;        /* the first Ctrl-C does not end it, whether it came before or comes now */
};

/* What a process did. */
struct lab_usage {
    enum lab_process_end end;
    int code; /* as in struct lab_process */
    double wall_s, user_s, sys_s;
    double max_rss_bytes;
    double floor_rss_bytes; /* of the helper: no less is ever counted for a process */
    double minor_faults, major_faults;
    double voluntary_switches, involuntary_switches;
};

struct lab_launcher {
    pid_t pid;
    int socket;
    const struct lab_launch *launches;
    void (*tick)(void *arg); /* called every second while a launch runs, if not NULL */
    void *arg;
};

/* Forks the helper, which knows these launches. 0, or the errno. */
int lab_launcher_start(struct lab_launcher *l, const struct lab_launch *launches, size_t count);

/* Runs a launch, and waits for its end, its time limit, or a signal to the command. */
void lab_launcher_run(struct lab_launcher *l, size_t index, struct lab_usage *usage);

void lab_launcher_stop(struct lab_launcher *l);

/* Why it counts as failed; see lab_process_reason. */
char *lab_usage_reason(const struct lab_usage *usage, double timeout_s);

#endif
