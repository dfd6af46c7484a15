/* SPDX-License-Identifier: MIT */
/* What is worth knowing of the machine when numbers from two of them are compared, and of its
 * settings and its noise, which change numbers on one. */
#ifndef HEDDLE_LAB_MACHINE_H
#define HEDDLE_LAB_MACHINE_H

#include "../result.h"

/* Adds the facts to the run, a short look at the noise included (some 20 ms for each of at most
 * four CPUs). What cannot be read is left out. */
void lab_machine_describe(struct lab_run *run);

/* The same with a longer look. Returns early if interrupted. */
void lab_machine_describe_for(struct lab_run *run, double seconds_per_cpu, unsigned cpus_max);

/* The value of a fact, or NULL. */
const char *lab_machine_fact(const struct lab_run *run, const char *key);

/* ---- parts ---- */

/* Adds a fact, without blanks at its end; none if the value is NULL or empty. */
void lab_machine_add(struct lab_run *run, const char *key, const char *value, bool number);
void lab_machine_add_number(struct lab_run *run, const char *key, double value);

/* What is set, as the files below `root` ("" for this machine) say. */
void lab_machine_settings(struct lab_run *run, const char *root);

/* What other work takes from a busy process: see noise.c. */
void lab_machine_noise(struct lab_run *run, double seconds_per_cpu, unsigned cpus_max);

#endif
