/* SPDX-License-Identifier: MIT */
/* The memory of another process, by process_vm_readv(), and its mappings. */
#include "probe/read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "probe/python.h"
#include "text.h"

ssize_t probe_read(pid_t pid, uint64_t address, void *out, size_t n) {
    struct iovec here = {out, n}, there = {(void *)(uintptr_t)address, n};
    ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);
    if (got < 0)
        return -errno;
    return (size_t)got == n ? got : -EFAULT;
}

int probe_read_pieces(pid_t pid, const struct probe_piece *pieces, int count) {
    struct iovec here[PROBE_PIECES], there[PROBE_PIECES];
    if (count < 1 || count > PROBE_PIECES)
        return -EINVAL;
    for (int i = 0; i < count; i++) {
        here[i] = (struct iovec){pieces[i].out, pieces[i].size};
        there[i] = (struct iovec){(void *)(uintptr_t)pieces[i].address, pieces[i].size};
    }
    ssize_t got = process_vm_readv(pid, here, (unsigned long)count, there, (unsigned long)count, 0);
    if (got < 0)
        return -errno;
    int whole = 0;
    for (; whole < count && got >= (ssize_t)pieces[whole].size; whole++)
        got -= (ssize_t)pieces[whole].size;
    return whole ? whole : -EFAULT;
}

int probe_read_whole(pid_t pid, uint64_t address, void *out, size_t size) {
    ssize_t got = probe_read(pid, address, out, size);
    return got < 0 ? (int)got : 0;
}

int probe_read_u64(pid_t pid, uint64_t address, uint64_t *out) {
    return probe_read_whole(pid, address, out, sizeof(*out));
}

int probe_read_string(pid_t pid, uint64_t address, char *out, size_t size) {
    /* In steps that cross no page, so that a string at the end of a mapping is read. */
    size_t length = 0;
    while (length + 1 < size) {
        size_t step = 256 - (address + length) % 256;
        if (step > size - 1 - length)
            step = size - 1 - length;
        int error = probe_read_whole(pid, address + length, out + length, step);
        if (error)
            return error;
        if (memchr(out + length, 0, step))
            return 0;
        length += step;
    }
    out[length] = '\0';
    return 0;
}

static void parse_mapping(char *line, struct probe_mapping **all, int *count) {
    struct probe_mapping m = {0};
    char flags[8];
    int at = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %" SCNu64 " %n", &m.begin, &m.end,
               flags, &m.offset, &m.inode, &at) < 5 ||
        !at || line[at] != '/')
        return;
    char *path = line + at;
    path[strcspn(path, "\n")] = '\0';
    static const char gone[] = " (deleted)";
    size_t length = strlen(path);
    if (length > sizeof(gone) && strcmp(path + length - (sizeof(gone) - 1), gone) == 0) {
        path[length - (sizeof(gone) - 1)] = '\0';
        m.deleted = true;
    }
    m.executable = flags[2] == 'x';
    m.path = lab_copy(path);
    *all = lab_grow_one(*all, (size_t)*count, sizeof(m));
    (*all)[(*count)++] = m;
}

int probe_mappings_read(pid_t pid, struct probe_mapping **out) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return errno == ENOENT ? -ESRCH : -errno;
    *out = NULL;
    int count = 0;
    char *line = NULL;
    size_t room = 0;
    errno = 0;
    while (getline(&line, &room, f) >= 0)
        parse_mapping(line, out, &count);
    int error = ferror(f) ? -errno : 0;
    free(line);
    fclose(f);
    if (error) {
        probe_mappings_free(*out, count);
        *out = NULL;
        return error;
    }
    return count;
}

void probe_mappings_free(struct probe_mapping *m, int count) {
    for (int i = 0; i < count; i++)
        free(m[i].path);
    free(m);
}

/* kernel.yama.ptrace_scope, 0 where there is none. */
static int ptrace_scope(void) {
    char *line = lab_read_line("/proc/sys/kernel/yama/ptrace_scope");
    int scope = line ? atoi(line) : 0;
    free(line);
    return scope;
}

char *probe_read_why(pid_t pid, int error) {
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    if (error == -ESRCH || stat(path, &st) != 0)
        return lab_format("process %d has ended, or there never was one", (int)pid);
    if (error != -EPERM && error != -EACCES)
        return lab_format("the memory of process %d cannot be read: %s", (int)pid,
                          strerror(-error));
    if (geteuid() != 0 && st.st_uid != geteuid())
        return lab_format("process %d belongs to another user (number %u, or it may not be looked "
                          "into); run this as that user or as root",
                          (int)pid, (unsigned)st.st_uid);
    int scope = ptrace_scope();
    if (scope >= 3)
        return lab_format("the memory of process %d cannot be read: this kernel lets nobody do so "
                          "until it starts anew (kernel.yama.ptrace_scope is 3)",
                          (int)pid);
    if (scope >= 1 && geteuid() != 0)
        return lab_format("the memory of process %d cannot be read: kernel.yama.ptrace_scope is "
                          "%d, so only its parent or root may; start the command by this one "
                          "(-- COMMAND), run this as root, or have root set it to 0",
                          (int)pid, scope);
    return lab_format("the memory of process %d cannot be read: %s; a container or a sandbox may "
                      "bar it (it takes CAP_SYS_PTRACE, or the same user in the same namespace)",
                      (int)pid, strerror(-error));
}
