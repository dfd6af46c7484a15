/* SPDX-License-Identifier: MIT */
/* How often an interpreter tried to specialize instructions: calls of its _Py_Specialize_*, seen by
 * uprobes (probe/traces.h), so for root and where the interpreter's file has its symbols. */
#ifndef HEDDLE_LAB_PROBE_OPS_ATTEMPTS_H
#define HEDDLE_LAB_PROBE_OPS_ATTEMPTS_H

#include <stdio.h>
#include <sys/types.h>

#include "probe/python.h"
#include "report/json.h"

struct probe_attempts;

/* Never NULL: where they cannot be seen it knows why. */
struct probe_attempts *probe_attempts_begin(pid_t pid, const struct probe_python_facts *facts);
void probe_attempts_end(struct probe_attempts *a);
void probe_attempts_step(struct probe_attempts *a);

/* As a part of a report; NULL: nothing is written. */
void probe_attempts_text(FILE *f, struct probe_attempts *a);
void probe_attempts_json(struct lab_json *j, struct probe_attempts *a);

#endif
