/* SPDX-License-Identifier: MIT */
/* The memory and the mappings of another process. Nothing here stops or changes it. */
#ifndef HEDDLE_LAB_PROBE_READ_H
#define HEDDLE_LAB_PROBE_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A place in the target's memory, and where it goes. */
struct probe_piece {
    uint64_t address;
    void *out;
    size_t size;
};

enum { PROBE_PIECES = 64 };

/* Reads several places by one system call; at most PROBE_PIECES. Returns how many were read whole,
 * from the first on, or -errno when not even the first one was. */
int probe_read_pieces(pid_t pid, const struct probe_piece *pieces, int count);

/* Reads all of it: 0 or -errno. */
int probe_read_whole(pid_t pid, uint64_t address, void *out, size_t size);
int probe_read_u64(pid_t pid, uint64_t address, uint64_t *out);

/* A zero-ended string, cut to what fits. 0 or -errno. */
int probe_read_string(pid_t pid, uint64_t address, char *out, size_t size);

/* A mapping of a file. */
struct probe_mapping {
    uint64_t begin, end, offset, inode;
    bool executable, deleted;
    char *path; /* as the target sees it */
};

/* Reads which files are mapped. Returns how many mappings, or -errno. */
int probe_mappings_read(pid_t pid, struct probe_mapping **out);
void probe_mappings_free(struct probe_mapping *m, int count);

/* Why a process cannot be read, in words, with what to do; the caller frees them. */
char *probe_read_why(pid_t pid, int error);

#endif
