/* SPDX-License-Identifier: MIT */
/* Checks, and the way to die: one line on standard error, then abort().
 *
 * Everything here may be called from a signal handler and on a stack of a few KiB: no stdio, no
 * memory, no locks. hd__format() is base/format.c; what writes is os/fatal.c, since only the os
 * layer may make system calls. */
#ifndef HD_SRC_BASE_CHECK_H
#define HD_SRC_BASE_CHECK_H

#include "base/base.h"

#include <stdarg.h>

/* The longest message, with its terminating zero; longer ones are cut. */
#define HD__MESSAGE_BYTES 1024

/* Formats into buf, always terminated if n > 0, and returns the length that the whole text has
 * or would have. Understands %s %c %d %i %u %x %p %% with the lengths hh h l ll z j t, a width and
 * the flags 0 and -, and %.*s with its precision. Anything else is copied as it stands. */
size_t hd__format(char *buf, size_t n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
size_t hd__vformat(char *buf, size_t n, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));

/* Writes the text to file descriptor 2 as it is, in one write() where the kernel takes it whole.
 * Leaves errno alone. */
void hd__print_fd2(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Writes "heddle: ", the text and a newline to file descriptor 2, then aborts. The text has no
 * newline of its own; any that come in through arguments are written as spaces. */
_Noreturn void hd__fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2), cold));

/* For a caller's bug: always on. The message says which call, what was wrong, what to do. */
#define HD__CHECK(cond, ...)         \
    do {                             \
        if (HD__UNLIKELY(!(cond))) { \
            hd__fatal(__VA_ARGS__);  \
        }                            \
    } while (0)

/* For our own invariants: in debug builds only. The condition is still compiled in the others,
 * so that what it names cannot rot, but never evaluated. */
#ifdef HD_DEBUG
#define HD__ASSERT(cond) \
    HD__CHECK(cond, "assertion failed: %s (%s:%d)", #cond, __FILE__, __LINE__)
#else
#define HD__ASSERT(cond)   \
    do {                   \
        if (0 && (cond)) { \
        }                  \
    } while (0)
#endif

#endif
