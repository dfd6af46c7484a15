/* SPDX-License-Identifier: MIT */
/* A file that a report goes to. It is opened before anything is measured, so that a name that
 * cannot be written costs nobody minutes; it is written beside its place and renamed when whole,
 * so that a reader never sees half of it, and an old one stays until then. */
#ifndef HEDDLE_LAB_OUTPUT_H
#define HEDDLE_LAB_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

struct lab_output {
    const char *name; /* as the user gave it; NULL: not in use */
    FILE *file;
    char *target;    /* what it is renamed to; NULL: written in place */
    char *temporary; /* where it is written; NULL like target */
};

/* "-" is standard output. 0, or -errno after a complaint. */
int lab_output_open(struct lab_output *o, const char *name);

/* Ends the writing. 0, or -errno after a complaint. */
int lab_output_commit(struct lab_output *o);

/* Leaves no trace. */
void lab_output_abandon(struct lab_output *o);

#endif
