/* SPDX-License-Identifier: MIT */
/* What the machine is made of, and memory on its NUMA nodes. */
#ifndef HEDDLE_TOPOLOGY_H
#define HEDDLE_TOPOLOGY_H

#include <heddle/thread.h>

HD_BEGIN_DECLS

/* The topology is that of the whole machine, whatever the process may use of it. It is read at the
 * first call of any function below, which may block for some milliseconds then, and stays as it
 * was: a CPU that comes or goes later is not seen. All of them may be called by threads and foreign
 * kernel threads, with or without a runtime, but not by signal handlers.
 *
 * CPUs bear the kernel's numbers. Everything else is numbered from 0: nodes in the order of the
 * kernel's numbers, cores, caches and packages in the order of their first CPUs. */

/* What CPUs may share, the nearest first. */
enum {
    HD_SHARE_CORE = 0,    /* a core: they are its hardware threads (SMT) */
    HD_SHARE_L1 = 1,      /* an L1 data cache */
    HD_SHARE_L2 = 2,      /* an L2 cache */
    HD_SHARE_L3 = 3,      /* an L3 cache */
    HD_SHARE_PACKAGE = 4, /* a package: what is put into one socket */
    HD_SHARE_NODE = 5     /* a NUMA node */
};

/* Who said it: "hwloc"; "sysfs", the kernel's files; "flat" when neither could be read: one node
 * and nothing else; or, by the environment variable HEDDLE_TOPOLOGY, "hwloc xml" or "hwloc
 * synthetic": then it is not this machine. */
HD_API const char *hd_topology_source(void);

/* The CPUs that are online, and how many. */
HD_API unsigned hd_topology_cpu_count(void);
HD_API void hd_topology_cpus(hd_cpuset *out);

/* How many cores, L2 caches, ... there are; 0 for a level that nobody knows, or that is none. */
HD_API unsigned hd_topology_group_count(int level);

/* Which of them the CPU belongs to; -ENOENT: to none, or the CPU is not online; -EINVAL: there is
 * no such level. */
HD_API int hd_topology_group_of(int level, unsigned cpu);

/* The CPUs of one of them. 0; -EINVAL: there is no such group (*out is then empty). */
HD_API int hd_topology_group_cpus(int level, unsigned group, hd_cpuset *out);

/* The size in bytes of the CPU's L1 data, L2 or L3 cache (HD_SHARE_L1 to HD_SHARE_L3); 0: it has
 * none, or nobody knows. */
HD_API size_t hd_topology_cache_bytes(int level, unsigned cpu);

/* The unit in which CPUs share memory, in bytes. */
HD_API unsigned hd_topology_line_bytes(void);

/* How many kinds of cores there are (1 where all are alike), and the kind of a CPU's core: 0 is the
 * slowest. -ENOENT: it is not online. The scheduler treats all alike; hd_attr.cpus keeps a thread
 * on one kind. */
HD_API unsigned hd_topology_kind_count(void);
HD_API int hd_topology_kind_of(unsigned cpu);

/* How many NUMA nodes there are; at least 1. Some may have memory and no CPUs. */
HD_API unsigned hd_numa_node_count(void);

/* The kernel's number of a node, as in /sys/devices/system/node; -EINVAL: there is no such node. */
HD_API int hd_numa_node_number(unsigned node);

/* The CPUs of a node. 0; -EINVAL: there is no such node (*out is then empty). */
HD_API int hd_numa_node_cpus(unsigned node, hd_cpuset *out);

/* The node of a CPU; -ENOENT: it is not online. */
HD_API int hd_numa_node_of_cpu(unsigned cpu);

/* The node of the CPU that the caller runs on; stale at once, unless the caller is kept there by
 * hd_attr.numa_node, cpus or migration. */
HD_API int hd_numa_current_node(void);

/* How far apart two nodes are: 10 from a node to itself, 20 where memory takes twice as long.
 * -EINVAL: there is no such node. */
HD_API int hd_numa_distance(unsigned from, unsigned to);

/* Zeroed memory whose pages the kernel takes from that node when they are touched first, or from
 * another one if the node is full. Whole pages: for large arrays, not for small objects. NULL: no
 * memory, size is 0, or there is no such node. Where the kernel refuses to bind memory
 * (hd_numa_bind_kind()), pages lie where they are touched first, as all memory does. Does not
 * block. */
HD_API void *hd_numa_alloc(size_t size, unsigned node);

/* Gives memory of hd_numa_alloc() back; size as it was asked for. p may be NULL. */
HD_API void hd_numa_free(void *p, size_t size);

/* The node on which the page at this address lies; asks the kernel. -ENOENT: on none yet, it has
 * not been written to; -EFAULT: there is no memory at this address; -EPERM or -ENOSYS: the kernel
 * does not tell, as in some containers (on a machine with one node it is not asked that). */
HD_API int hd_numa_node_of(const void *address);

/* What hd_numa_alloc() does: "mbind"; "one node": nothing, there is no choice; "first touch": the
 * kernel refuses mbind(), as in some containers; "other machine": nothing, the topology is not this
 * machine's. */
HD_API const char *hd_numa_bind_kind(void);

HD_END_DECLS
#endif
