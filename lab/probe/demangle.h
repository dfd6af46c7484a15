/* SPDX-License-Identifier: MIT */
/* Names of C++ (and older Rust) functions as people write them. */
#ifndef HEDDLE_LAB_PROBE_DEMANGLE_H
#define HEDDLE_LAB_PROBE_DEMANGLE_H

/* The name in the program's language, without the types of the arguments, or a copy of what is
 * none of these. By the C++ library, which is loaded when the first such name comes; where it is
 * not installed, names stay as they are. The caller frees. */
char *probe_demangle(const char *name);

#endif
