/* SPDX-License-Identifier: MIT */
#include <heddle/base.h>

#include <errno.h>

#include "os/symbol.h"

#define STRINGIFY(x) #x
#define VERSION(a, b, c) STRINGIFY(a) "." STRINGIFY(b) "." STRINGIFY(c)

/* Own words for what this library means by an error; the C library's for all others. */
const char *hd_strerror(int err) {
    unsigned number = err < 0 ? 0u - (unsigned)err : (unsigned)err;
    switch (number) {
    case 0: return "success";
    case EINVAL: return "an argument or option is out of range";
    case ENOMEM: return "out of memory or address space";
    case EAGAIN: return "not now: it would have to wait, or no runtime runs";
    case EBUSY: return "a runtime runs already in this process";
    case EDEADLK: return "would wait for itself";
    case EINTR: return "interrupted by hd_interrupt()";
    case ETIMEDOUT: return "the deadline passed";
    case EPIPE: return "the channel is closed, or nobody reads at the other end";
    case EPERM: return "not permitted";
    case ENOSYS: return "the kernel does not offer this";
    default: return hd__os_error_text(number < 4096 ? (int)number : -1);
    }
}

const char *hd_version(void) {
    return VERSION(HD_VERSION_MAJOR, HD_VERSION_MINOR, HD_VERSION_PATCH);
}
