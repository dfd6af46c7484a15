/* SPDX-License-Identifier: MIT */
/* The writing half of base/check.h. */
#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static void write_all(const char *text, size_t n) {
    while (n > 0) {
        ssize_t done = write(2, text, n);
        if (done < 0 && errno != EINTR) {
            return; /* nobody listens, and there is nobody to tell */
        }
        if (done > 0) {
            text += done;
            n -= (size_t)done;
        }
    }
}

void hd__print_fd2(const char *fmt, ...) {
    char text[HD__MESSAGE_BYTES];
    int saved_errno = errno;
    va_list args;
    va_start(args, fmt);
    size_t n = hd__vformat(text, sizeof text, fmt, args);
    va_end(args);
    write_all(text, n < sizeof text ? n : sizeof text - 1);
    errno = saved_errno;
}

void hd__fatal(const char *fmt, ...) {
    char text[HD__MESSAGE_BYTES];
    va_list args;
    size_t start = hd__format(text, sizeof text, "heddle: ");
    va_start(args, fmt);
    size_t n = start + hd__vformat(text + start, sizeof text - start, fmt, args);
    va_end(args);
    if (n > sizeof text - 2) {
        n = sizeof text - 2;
    }
    for (size_t i = 0; i < n; i++) {
        text[i] = text[i] == '\n' ? ' ' : text[i];
    }
    text[n] = '\n';
    write_all(text, n + 1);
    abort();
}
