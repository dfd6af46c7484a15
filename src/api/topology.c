/* SPDX-License-Identifier: MIT */
/* The topology: checks the arguments and looks it up. */
#include <heddle/topology.h>

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "mem/numa.h"
#include "os/cpu.h"

_Static_assert((int)HD_SHARE_CORE == (int)HD__TOPO_CORE && (int)HD_SHARE_L1 == (int)HD__TOPO_L1 &&
                   (int)HD_SHARE_L2 == (int)HD__TOPO_L2 && (int)HD_SHARE_L3 == (int)HD__TOPO_L3 &&
                   (int)HD_SHARE_PACKAGE == (int)HD__TOPO_PACKAGE &&
                   (int)HD_SHARE_NODE == (int)HD__TOPO_NODE,
               "the public levels are the internal ones");

static bool is_level(int level) {
    return level >= HD_SHARE_CORE && level <= HD_SHARE_NODE;
}

const char *hd_topology_source(void) {
    return hd__topo_get()->source;
}

unsigned hd_topology_cpu_count(void) {
    return hd__topo_get()->cpu_count;
}

void hd_topology_cpus(hd_cpuset *out) {
    HD__CHECK(out != NULL, "hd_topology_cpus: out is NULL");
    *out = hd__topo_get()->cpus;
}

unsigned hd_topology_group_count(int level) {
    return is_level(level) ? hd__topo_get()->groups[level] : 0;
}

int hd_topology_group_of(int level, unsigned cpu) {
    const struct hd__topo *t = hd__topo_get();
    if (!is_level(level)) return -EINVAL;
    if (!hd_cpuset_has(&t->cpus, cpu)) return -ENOENT;
    unsigned group = t->cpu[cpu].group[level];
    return group == HD__TOPO_NONE ? -ENOENT : (int)group;
}

int hd_topology_group_cpus(int level, unsigned group, hd_cpuset *out) {
    HD__CHECK(out != NULL, "hd_topology_group_cpus: out is NULL");
    const struct hd__topo *t = hd__topo_get();
    memset(out, 0, sizeof *out);
    if (!is_level(level) || group >= t->groups[level]) return -EINVAL;
    hd__topo_group(t, (enum hd__topo_level)level, group, out);
    return 0;
}

size_t hd_topology_cache_bytes(int level, unsigned cpu) {
    const struct hd__topo *t = hd__topo_get();
    if (level < HD_SHARE_L1 || level > HD_SHARE_L3 || cpu >= HD_CPU_MAX) return 0;
    return (size_t)t->cpu[cpu].cache_kib[level - HD_SHARE_L1] * 1024;
}

unsigned hd_topology_line_bytes(void) {
    return hd__topo_get()->line_bytes;
}

unsigned hd_topology_kind_count(void) {
    return hd__topo_get()->kinds;
}

int hd_topology_kind_of(unsigned cpu) {
    const struct hd__topo *t = hd__topo_get();
    return hd_cpuset_has(&t->cpus, cpu) ? t->cpu[cpu].kind : -ENOENT;
}

unsigned hd_numa_node_count(void) {
    return hd_topology_group_count(HD_SHARE_NODE);
}

int hd_numa_node_number(unsigned node) {
    const struct hd__topo *t = hd__topo_get();
    return node < t->groups[HD__TOPO_NODE] ? t->node_number[node] : -EINVAL;
}

int hd_numa_node_cpus(unsigned node, hd_cpuset *out) {
    HD__CHECK(out != NULL, "hd_numa_node_cpus: out is NULL");
    return hd_topology_group_cpus(HD_SHARE_NODE, node, out);
}

int hd_numa_node_of_cpu(unsigned cpu) {
    return hd_topology_group_of(HD_SHARE_NODE, cpu);
}

/* A CPU that the topology does not know came later, or is of this machine and the topology is not;
 * it has to be somewhere. */
int hd_numa_current_node(void) {
    int node = hd_numa_node_of_cpu(hd__os_cpu_current());
    return node < 0 ? 0 : node;
}

int hd_numa_distance(unsigned from, unsigned to) {
    const struct hd__topo *t = hd__topo_get();
    unsigned nodes = t->groups[HD__TOPO_NODE];
    return from < nodes && to < nodes ? (int)hd__topo_distance(t, from, to) : -EINVAL;
}

void *hd_numa_alloc(size_t size, unsigned node) {
    return hd__numa_alloc(hd__topo_get(), size, node);
}

void hd_numa_free(void *p, size_t size) {
    hd__numa_free(p, size);
}

int hd_numa_node_of(const void *address) {
    return hd__numa_node_of(hd__topo_get(), address);
}

const char *hd_numa_bind_kind(void) {
    return hd__numa_bind_kind(hd__topo_get());
}
