/* SPDX-License-Identifier: MIT */
/* Source lines of a file's addresses, by its debug information. By elfutils' libdw; in a command
 * built without it, none is known. */
#ifndef HEDDLE_LAB_PROBE_LINES_H
#define HEDDLE_LAB_PROBE_LINES_H

#include <stdint.h>

struct probe_lines;

/* NULL: none can be known. What is read is read when the first line is asked for. */
struct probe_lines *probe_lines_open(const char *path);
void probe_lines_close(struct probe_lines *l);

/* The line, with *source for the caller to free; or 0. */
int probe_lines_find(struct probe_lines *l, uint64_t address, char **source);

#endif
