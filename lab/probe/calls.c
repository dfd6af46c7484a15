/* SPDX-License-Identifier: MIT */
/* System calls of other processes' threads; calls.h. */
#include "probe/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

const char *probe_call_name(long number) {
    return number >= 0 && number < probe_call_names_end ? probe_call_names[number] : NULL;
}

/* "running", or "NUMBER ARG0 ... ARG5 SP PC", or "-1 SP PC". */
int probe_call_parse(const char *text, struct probe_call *out) {
    char *end;
    *out = (struct probe_call){.number = -1};
    if (lab_starts_with(text, "running")) {
        out->runs = true;
        return 0;
    }
    errno = 0;
    out->number = strtol(text, &end, 10);
    if (end == text || errno)
        return -EIO;
    uint64_t word[8];
    unsigned n = 0;
    while (n < 8) {
        const char *at = end;
        word[n] = strtoull(at, &end, 16);
        if (end == at)
            break;
        n++;
    }
    if (n != (out->number < 0 ? 2u : 8u))
        return -EIO;
    if (out->number >= 0)
        memcpy(out->arg, word, sizeof out->arg);
    out->sp = word[n - 2];
    out->pc = word[n - 1];
    if (out->pc == 0) /* a thread of the kernel's own is said to be in call 0 */
        out->number = -1;
    return 0;
}

int probe_call_read(pid_t pid, pid_t tid, struct probe_call *out) {
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", (int)pid, (int)tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    ssize_t n = read(fd, text, sizeof text - 1);
    int err = n < 0 ? -errno : -ESRCH;
    close(fd);
    if (n <= 0)
        return err;
    text[n] = '\0';
    return probe_call_parse(text, out);
}

static bool is(const char *name, const char *const *list) {
    for (; *list; list++) {
        if (strcmp(name, *list) == 0)
            return true;
    }
    return false;
}

uint64_t probe_call_futex(const struct probe_call *c) {
    static const char *const waits[] = {"futex", "futex_time64", "futex_wait", "futex_wait_requeue",
                                        NULL};
    const char *name = c->runs ? NULL : probe_call_name(c->number);
    return name && is(name, waits) ? c->arg[0] : 0;
}

/* Whose first argument is a descriptor that decides how long they take. */
static const char *const of_descriptor[] = {
    "read",    "write",    "readv",    "writev",    "pread64",  "pwrite64", "preadv",  "pwritev",
    "preadv2", "pwritev2", "recvfrom", "recvmsg",   "recvmmsg", "sendto",   "sendmsg", "sendmmsg",
    "accept",  "accept4",  "connect",  "fsync",     "fdatasync", "flock",   "ioctl",   "fcntl",
    "close",   "ftruncate", "fallocate", "getdents64", "sync_file_range",   "splice",  "sendfile",
    NULL,
};

static char *behind(pid_t pid, uint64_t fd) {
    char path[64], target[256];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, (int)fd);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n <= 0)
        return lab_format("descriptor %d", (int)fd);
    target[n] = '\0';
    lab_make_printable(target);
    return lab_copy(target);
}

static char *how_many(const char *name, uint64_t n, const char *thing) {
    return lab_format("%s of %llu %s%s", name, (unsigned long long)n, thing, n == 1 ? "" : "s");
}

char *probe_call_text(pid_t pid, const struct probe_call *c) {
    if (c->runs)
        return lab_copy("runs");
    if (c->number < 0)
        return lab_copy("in the kernel, in no call");
    const char *name = probe_call_name(c->number);
    if (!name)
        return lab_format("system call %ld", c->number);
    if (is(name, of_descriptor)) {
        char *what = behind(pid, c->arg[0]);
        char *text = lab_format("%s of %s", name, what);
        free(what);
        return text;
    }
    if (strcmp(name, "poll") == 0 || strcmp(name, "ppoll") == 0)
        return how_many(name, c->arg[1], "descriptor");
    if (strcmp(name, "wait4") == 0 && (int)c->arg[0] > 0)
        return lab_format("wait4 for process %d", (int)c->arg[0]);
    return lab_copy(name);
}
