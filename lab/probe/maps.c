/* SPDX-License-Identifier: MIT */
/* Reading /proc/PID/maps; maps.h. */
#include "probe/maps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

static void forget(struct probe_maps *m) {
    for (size_t i = 0; i < m->count; i++)
        free(m->map[i].path);
    m->count = 0;
}

void probe_maps_free(struct probe_maps *m) {
    forget(m);
    free(m->map);
    m->map = NULL;
}

static void read_one(struct probe_maps *m, char *line) {
    static const char gone[] = " (deleted)";
    unsigned long long begin, end, offset, inode;
    char rights[5];
    int path = 0;
    line[strcspn(line, "\n")] = '\0';
    if (sscanf(line, "%llx-%llx %4s %llx %*s %llu %n", &begin, &end, rights, &offset, &inode,
               &path) < 5)
        return;
    struct probe_map map = {.begin = begin, .end = end, .offset = offset, .inode = inode};
    map.executable = rights[2] == 'x';
    map.writable = rights[1] == 'w';
    map.path = lab_copy(path ? line + path : "");
    size_t length = strlen(map.path);
    if (length >= sizeof gone && strcmp(map.path + length - sizeof gone + 1, gone) == 0) {
        map.deleted = true;
        map.path[length - sizeof gone + 1] = '\0';
    }
    m->map = lab_grow_one(m->map, m->count, sizeof map);
    m->map[m->count++] = map;
}

int probe_maps_read(struct probe_maps *m, pid_t pid) {
    char path[64], *line = NULL;
    size_t size = 0;
    m->pid = pid;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return errno == ENOENT ? -ESRCH : -errno;
    forget(m);
    while (getline(&line, &size, f) > 0)
        read_one(m, line);
    int err = ferror(f) ? -errno : m->count == 0 ? -ESRCH : 0;
    free(line);
    fclose(f);
    return err;
}

const struct probe_map *probe_maps_find(const struct probe_maps *m, uint64_t address) {
    size_t low = 0, high = m->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (m->map[middle].end <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < m->count && m->map[low].begin <= address ? &m->map[low] : NULL;
}

char *probe_maps_file(const struct probe_maps *m, const struct probe_map *map) {
    char seen[4096];
    if (map->path[0] != '/')
        return NULL;
    if (!map->deleted) {
        /* By the target's own root: its file system may be another one. */
        char *path = lab_format("/proc/%d/root%s", (int)m->pid, map->path);
        if (access(path, R_OK) == 0)
            return path;
        free(path);
    }
    char *path = lab_format("/proc/%d/map_files/%llx-%llx", (int)m->pid,
                            (unsigned long long)map->begin, (unsigned long long)map->end);
    if (access(path, R_OK) == 0)
        return path;
    free(path);
    /* That takes a privilege; of the program itself there is a link for everybody. */
    path = lab_format("/proc/%d/exe", (int)m->pid);
    ssize_t n = readlink(path, seen, sizeof seen - 1);
    seen[n > 0 ? n : 0] = '\0';
    if (lab_starts_with(seen, map->path) && access(path, R_OK) == 0)
        return path;
    free(path);
    return NULL;
}

bool probe_maps_address(const struct probe_map *map, const struct probe_image *i, uint64_t address,
                        uint64_t *out) {
    return probe_image_address(i, address - map->begin + map->offset, out);
}
