/* SPDX-License-Identifier: MIT */
/* What a process has mapped where (/proc/PID/maps), and the files behind it. */
#ifndef HEDDLE_LAB_PROBE_MAPS_H
#define HEDDLE_LAB_PROBE_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/image.h"

struct probe_map {
    uint64_t begin, end, offset, inode;
    bool executable, writable, deleted;
    char *path; /* as the target sees it, "" or "[stack]" */
};

struct probe_maps {
    pid_t pid;
    struct probe_map *map; /* sorted */
    size_t count;
};

/* 0 or -errno; an empty list is -ESRCH. `m` is zero at first, and may be read again. */
int probe_maps_read(struct probe_maps *m, pid_t pid);
void probe_maps_free(struct probe_maps *m);

/* The mapping that an address lies in, or NULL. */
const struct probe_map *probe_maps_find(const struct probe_maps *m, uint64_t address);

/* A path by which the mapped file can be opened here, of a target in a container as well, and when
 * it was removed since; NULL: there is none, or it may not be opened. The caller frees. */
char *probe_maps_file(const struct probe_maps *m, const struct probe_map *map);

/* The file's address of an address of the target. */
bool probe_maps_address(const struct probe_map *map, const struct probe_image *i, uint64_t address,
                        uint64_t *out);

#endif
