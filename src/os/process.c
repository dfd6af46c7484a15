/* SPDX-License-Identifier: MIT */
/* This process and its children; see process.h. */
#include "os/process.h"

#include "os/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

pid_t hd__os_waitpid(pid_t pid, int *status, int options) {
    int saved = errno;
    pid_t got = waitpid(pid, status, options);
    if (got < 0) {
        got = -errno;
        errno = saved;
    }
    return got;
}

int hd__os_wait_nohang(int options) {
    return options | WNOHANG;
}

bool hd__os_wait_ends_only(int options) {
    return (options & ~(WNOHANG | __WALL | __WNOTHREAD)) == 0;
}

int hd__os_pidfd_open(pid_t pid) {
    int saved = errno;
    if (HD__FAULT("pidfd_open")) {
        return -EMFILE;
    }
    int fd = (int)syscall(SYS_pidfd_open, pid, 0u); /* close-on-exec by itself */
    if (fd < 0) {
        fd = -errno;
        errno = saved;
    }
    return fd;
}

int hd__os_at_exit(void (*fn)(void)) {
    return !HD__FAULT("atexit") && atexit(fn) == 0 ? 0 : -ENOMEM;
}
