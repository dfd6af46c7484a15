/* SPDX-License-Identifier: MIT */
/* The small text files in which the kernel describes the machine and the process. */
#ifndef HD_SRC_OS_TEXTFILE_H
#define HD_SRC_OS_TEXTFILE_H

#include "base/base.h"

#include <heddle/thread.h>

/* What any list of CPUs fits into, and its terminating zero. */
#define HD__OS_TEXT_BYTES 4096

/* Reads a file that is not longer than the buffer, its terminating zero included; returns the
 * length of the text, without newlines at its end, or -errno (-EOVERFLOW: it is longer). Takes no
 * lock and no memory. */
int hd__os_text_read(const char *path, char *buf, size_t bytes);

/* A whole number, decimal; -EINVAL when the text does not begin with one. */
int hd__os_text_number(const char *text, uint64_t *out);

/* The kernel's lists of numbers, such as "0-3,8": the numbers below HD_CPU_MAX. -EINVAL for what is
 * no such list; an empty text is an empty set. */
int hd__os_text_list(const char *text, hd_cpuset *out);

#endif
