/* SPDX-License-Identifier: MIT */
/* Interpreters to try things on, and processes of them. */
#ifndef HEDDLE_TESTS_LAB_PYTHON_SUPPORT_H
#define HEDDLE_TESTS_LAB_PYTHON_SUPPORT_H

#include <stdbool.h>
#include <sys/types.h>

#include "probe/python.h"

/* The path of an interpreter of a version ("3.11", "2.7"; "system" is Debian's python3; "3.13t" is
 * a free-threaded one), from ~/.pyenv or HEDDLE_TEST_PYTHONS (paths of executables with colons
 * between). Skips the test where there is none. Valid until the next call. */
const char *python_path(const char *version);

struct python_process {
    pid_t pid;
    int out; /* of its standard output */
    char line[512]; /* the first line that it printed */
};

/* Runs a script, given as text, and waits for its first line, "ready ...". Ends the test if it
 * does not come. `path` may be a copy of an interpreter. */
void python_start(struct python_process *p, const char *path, const char *script);
void python_stop(struct python_process *p);

/* Reads a process's interpreter from outside; skips the test where that is not allowed. */
struct probe_python *python_open(pid_t pid);

#endif
