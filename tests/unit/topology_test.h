/* SPDX-License-Identifier: MIT */
/* Machines for the tests: a folder with the files in which the kernel would describe one, for
 * HEDDLE_TOPOLOGY or for the reader itself. */
#ifndef HEDDLE_TEST_TOPOLOGY_TEST_H
#define HEDDLE_TEST_TOPOLOGY_TEST_H

#include "test.h"

#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* So many of each in one of the next larger; L1 and L2 caches belong to one core each. */
struct machine {
    unsigned packages, nodes, l3s, cores, threads; /* `nodes`: in all */
};

static inline unsigned machine_cpus(const struct machine *m) {
    return m->nodes * m->l3s * m->cores * m->threads;
}

/* An empty folder; in memory if possible, since there will be thousands of files. */
static inline char *folder_make(void) {
    const char *where = getenv("TMPDIR");
    char *name = NULL;
    if (!where || where[0] != '/')
        where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    CHECK(asprintf(&name, "%s/heddle-test-XXXXXX", where) > 0);
    CHECK_MSG(mkdtemp(name) != NULL, "%s: error %d", name, errno);
    return name;
}

static inline int folder_forget(const char *name, const struct stat *s, int type, struct FTW *at) {
    (void)s, (void)type, (void)at;
    return remove(name);
}

/* Frees the name as well. */
static inline void folder_remove(char *name) {
    CHECK_EQ(nftw(name, folder_forget, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(name);
}

/* Writes the text and a newline to the file of that name below root, and makes its folders. */
__attribute__((format(printf, 3, 4))) static inline void
put_file(const char *root, const char *text, const char *name, ...) {
    char path[512];
    size_t n = (size_t)snprintf(path, sizeof path, "%s/", root);
    va_list args;
    va_start(args, name);
    vsnprintf(path + n, sizeof path - n, name, args);
    va_end(args);
    FILE *file = fopen(path, "w");
    char *slash = file ? NULL : strchr(path + n, '/');
    for (; slash; slash = strchr(slash, '/')) {
        *slash = '\0';
        CHECK_MSG(mkdir(path, 0700) == 0 || errno == EEXIST, "mkdir %s: error %d", path, errno);
        *slash++ = '/';
    }
    if (!file)
        file = fopen(path, "w");
    CHECK_MSG(file != NULL, "%s: error %d", path, errno);
    CHECK(fprintf(file, "%s\n", text) > 0 && fclose(file) == 0);
}

/* A set of `count` CPUs from `first`, as the kernel lists it, and as its mask of 256 CPUs. */
static inline const char *cpu_list(char *buf, unsigned first, unsigned count) {
    snprintf(buf, 32, count > 1 ? "%u-%u" : "%u", first, first + count - 1);
    return buf;
}

static inline const char *cpu_mask(char *buf, unsigned first, unsigned count) {
    char *at = buf;
    for (int word = 7; word >= 0; word--) {
        uint32_t bits = 0;
        for (unsigned bit = 0; bit < 32; bit++) {
            unsigned cpu = (unsigned)word * 32 + bit;
            bits |= (uint32_t)(cpu >= first && cpu < first + count) << bit;
        }
        at += snprintf(at, 10, "%08x%s", bits, word ? "," : "");
    }
    return buf;
}

/* Those that share a block of `count` with this CPU. */
static inline void put_set(const char *root, unsigned cpu, unsigned count, const char *folder,
                           const char *mask_name, const char *list_name) {
    char buf[128];
    unsigned first = cpu / count * count;
    put_file(root, cpu_mask(buf, first, count), "%s/%s", folder, mask_name);
    put_file(root, cpu_list(buf, first, count), "%s/%s", folder, list_name);
}

static inline void put_cache(const char *root, unsigned cpu, unsigned index, const char *level,
                             const char *type, const char *size, unsigned shared) {
    char folder[128];
    snprintf(folder, sizeof folder, "sys/devices/system/cpu/cpu%u/cache/index%u", cpu, index);
    put_file(root, level, "%s/level", folder);
    put_file(root, type, "%s/type", folder);
    put_file(root, size, "%s/size", folder);
    put_file(root, "64", "%s/coherency_line_size", folder);
    put_file(root, "64", "%s/number_of_sets", folder);
    put_set(root, cpu, shared, folder, "shared_cpu_map", "shared_cpu_list");
}

static inline void put_cpu(const char *root, const struct machine *m, unsigned cpu) {
    unsigned core = m->threads, l3 = core * m->cores, package = machine_cpus(m) / m->packages;
    char folder[128], number[16];
    snprintf(folder, sizeof folder, "sys/devices/system/cpu/cpu%u/topology", cpu);
    put_set(root, cpu, core, folder, "core_cpus", "core_cpus_list");
    put_set(root, cpu, core, folder, "thread_siblings", "thread_siblings_list");
    put_set(root, cpu, package, folder, "package_cpus", "package_cpus_list");
    put_set(root, cpu, package, folder, "core_siblings", "core_siblings_list");
    snprintf(number, sizeof number, "%u", cpu / core);
    put_file(root, number, "%s/core_id", folder);
    snprintf(number, sizeof number, "%u", cpu / package);
    put_file(root, number, "%s/physical_package_id", folder);
    put_cache(root, cpu, 0, "1", "Data", "48K", core);
    put_cache(root, cpu, 1, "1", "Instruction", "32K", core);
    put_cache(root, cpu, 2, "2", "Unified", "2048K", core);
    put_cache(root, cpu, 3, "3", "Unified", "32768K", l3);
}

/* Nodes in a ring: 10, then 16 for the neighbours, and 6 more for each step. */
static inline unsigned ring_distance(unsigned nodes, unsigned a, unsigned b) {
    unsigned steps = a > b ? a - b : b - a;
    if (steps > nodes - steps)
        steps = nodes - steps;
    return 10 + 6 * steps;
}

static inline void put_node(const char *root, const struct machine *m, unsigned node) {
    unsigned cpus = machine_cpus(m) / m->nodes;
    char folder[128], distances[512] = "";
    snprintf(folder, sizeof folder, "sys/devices/system/node/node%u", node);
    put_set(root, node * cpus, cpus, folder, "cpumap", "cpulist");
    for (unsigned b = 0, n = 0; b < m->nodes; b++)
        n += (unsigned)snprintf(distances + n, sizeof distances - n, b ? " %u" : "%u",
                                ring_distance(m->nodes, node, b));
    put_file(root, distances, "%s/distance", folder);
    put_file(root, "Node 0 MemTotal:       1000000 kB", "%s/meminfo", folder);
}

static inline void put_machine(const char *root, const struct machine *m) {
    char buf[32];
    cpu_list(buf, 0, machine_cpus(m));
    put_file(root, buf, "sys/devices/system/cpu/online");
    put_file(root, buf, "sys/devices/system/cpu/possible");
    put_file(root, buf, "sys/devices/system/cpu/present");
    put_file(root, cpu_list(buf, 0, m->nodes), "sys/devices/system/node/online");
    for (unsigned node = 0; node < m->nodes; node++)
        put_node(root, m, node);
    for (unsigned cpu = 0; cpu < machine_cpus(m); cpu++)
        put_cpu(root, m, cpu);
}

#endif
