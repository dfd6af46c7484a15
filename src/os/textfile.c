/* SPDX-License-Identifier: MIT */
#include "os/textfile.h"

#include "os/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* In one go: what fits into a page or less the kernel gives as a whole. */
static ssize_t read_whole(int fd, char *buf, size_t bytes) {
    for (;;) {
        ssize_t n = HD__FAULT("read") ? -1 : read(fd, buf, bytes);
        if (n >= 0) {
            return (size_t)n < bytes ? n : -EOVERFLOW;
        }
        if (errno != EINTR) {
            return errno ? -errno : -EIO;
        }
    }
}

int hd__os_text_read(const char *path, char *buf, size_t bytes) {
    if (HD__FAULT("open")) {
        return -EMFILE;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    errno = 0;
    ssize_t n = read_whole(fd, buf, bytes);
    close(fd);
    while (n > 0 && buf[n - 1] == '\n') {
        n--;
    }
    buf[n > 0 ? n : 0] = '\0';
    return (int)n;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Advances *at past the number; false if there is none, or one that 64 bits do not hold. */
static bool take_number(const char **at, uint64_t *out) {
    if (!is_digit(**at)) {
        return false;
    }
    for (*out = 0; is_digit(**at); ++*at) {
        if (__builtin_mul_overflow(*out, UINT64_C(10), out) ||
            __builtin_add_overflow(*out, (uint64_t)(**at - '0'), out)) {
            return false;
        }
    }
    return true;
}

int hd__os_text_number(const char *text, uint64_t *out) {
    uint64_t value;
    if (!take_number(&text, &value)) {
        return -EINVAL;
    }
    *out = value;
    return 0;
}

int hd__os_text_list(const char *text, hd_cpuset *out) {
    memset(out, 0, sizeof *out);
    while (*text != '\0') {
        uint64_t first, last;
        if (!take_number(&text, &first)) {
            return -EINVAL;
        }
        last = first;
        if (*text == '-') {
            text++;
            if (!take_number(&text, &last) || last < first) {
                return -EINVAL;
            }
        }
        for (uint64_t n = first; n <= last && n < HD_CPU_MAX; n++) {
            out->bits[n / 64] |= UINT64_C(1) << (n % 64);
        }
        if (*text == ',') {
            text++;
        } else if (*text != '\0') {
            return -EINVAL;
        }
    }
    return 0;
}
