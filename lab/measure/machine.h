/* SPDX-License-Identifier: MIT */
/* What is worth knowing of the machine when numbers from two of them are compared. */
#ifndef HEDDLE_LAB_MACHINE_H
#define HEDDLE_LAB_MACHINE_H

#include "../result.h"

/* Adds the facts to the run. What cannot be read is left out. */
void lab_machine_describe(struct lab_run *run);

/* The value of a fact, or NULL. */
const char *lab_machine_fact(const struct lab_run *run, const char *key);

#endif
