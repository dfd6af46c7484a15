/* SPDX-License-Identifier: MIT */
/* The process that is watched: one that is there, or one of our own, held before it begins. */
#ifndef HEDDLE_LAB_PROBE_TARGET_H
#define HEDDLE_LAB_PROBE_TARGET_H

#include <stdbool.h>
#include <sys/types.h>

struct probe_target {
    pid_t pid;
    int pidfd; /* or -1 */
    bool launched, ended, told;
    bool bits32;
    int status; /* of one that has ended: its wait status; -1: not known */
    int go, failed; /* while it is held: where it is told to begin, and tells that it cannot */
};

/* Looks whether a process can be watched. 0, or -errno after a complaint that says why not. */
int probe_target_attach(struct probe_target *t, pid_t pid);

/* Makes the process of a command, and holds it. 0, or -errno after a complaint. */
int probe_target_launch(struct probe_target *t, char **command);

/* Lets it begin. Where the command cannot be run: -errno after a complaint. */
int probe_target_begin(struct probe_target *t, const char *name);

/* Whether it has ended, all of it. */
bool probe_target_has_ended(struct probe_target *t);

/* A signal came to us: passes it on to a launched target, once, unless the terminal has told it. */
void probe_target_tell(struct probe_target *t, int sig);

/* Leaves it alone. Of a launched one that has ended, its wait status; else -1. */
int probe_target_leave(struct probe_target *t);

#endif
