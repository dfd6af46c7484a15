/* SPDX-License-Identifier: MIT */
/* What the machine is made of: which CPUs share a core, a cache, a package, a NUMA node.
 *
 * Three readers fill the same record: hwloc, the kernel's files, and, when neither says anything, a
 * flat machine of the CPUs that the process may use. Public functions answer from hwloc where it is
 * there, the scheduler from the kernel's files: doc/decisions/topology.md has the figures. Both
 * know the whole machine, whatever the process may use of it.
 *
 * HEDDLE_TOPOLOGY replaces the machine, for both:
 *
 *   hwloc, sysfs           this machine, through that reader
 *   /a/folder              the files below it, as sys/devices/system/... below /
 *   /a/file                an XML file that hwloc wrote (lstopo machine.xml)
 *   node:2 l3:1 core:4 ... any other text: hwloc's synthetic description
 *
 * A record is made once in the process and stays. Making it is for kernel threads that are not
 * carriers, or for a thread outside of the gate, which waits for such a kernel thread: hwloc takes
 * locks of the C library and much stack. Looking is for everybody. */
#ifndef HD_SRC_OS_TOPOLOGY_H
#define HD_SRC_OS_TOPOLOGY_H

#include "base/base.h"

#include <heddle/thread.h>
#include <stdatomic.h>

/* In the order of how close CPUs are that share one. */
enum hd__topo_level {
    HD__TOPO_CORE,
    HD__TOPO_L1, /* data */
    HD__TOPO_L2,
    HD__TOPO_L3,
    HD__TOPO_PACKAGE,
    HD__TOPO_NODE,
    HD__TOPO_LEVELS
};

#define HD__TOPO_NONE UINT16_MAX /* the CPU has no such thing, or nobody knows */

enum { HD__TOPO_NODES_MAX = 1024, HD__TOPO_LOCAL = 10, HD__TOPO_REMOTE = 20 };

struct hd__topo_cpu {
    uint16_t group[HD__TOPO_LEVELS]; /* its core, its caches, ...; numbered from 0 */
    uint16_t kind;                   /* of core: 0 is the slowest */
    uint32_t cache_kib[3];           /* L1 data, L2, L3; 0: none or not known */
};

struct hd__topo {
    const char *source;     /* "hwloc", "sysfs", "flat", "hwloc xml", "hwloc synthetic" */
    bool real;              /* it is this machine */
    hd_cpuset cpus;         /* those online */
    unsigned cpu_count;
    unsigned groups[HD__TOPO_LEVELS];
    unsigned kinds;
    unsigned line_bytes;
    /* Nodes by increasing number of the kernel's; some have memory alone. */
    uint16_t node_number[HD__TOPO_NODES_MAX];
    uint8_t *distance;      /* groups[NODE] rows and columns, as the kernel gives them: 10 is local;
                             * NULL: 10 and 20 */
    struct hd__topo_cpu cpu[HD_CPU_MAX];
};

/* The public functions' and the scheduler's; made at first use. Never NULL. */
const struct hd__topo *hd__topo_get(void);
const struct hd__topo *hd__topo_sched(void);
/* The scheduler's, if it has been made; else NULL, or that of a flat machine. From anywhere. */
const struct hd__topo *hd__topo_peek(void);
const struct hd__topo *hd__topo_any(void);
/* Makes the scheduler's on the calling kernel thread, which is no carrier; gives up with NULL when
 * *stop becomes true. */
const struct hd__topo *hd__topo_make(const _Atomic bool *stop);

/* The CPUs of one group; an empty set if there is no such group. */
void hd__topo_group(const struct hd__topo *t, enum hd__topo_level level, unsigned index,
                    hd_cpuset *out);
unsigned hd__topo_distance(const struct hd__topo *t, unsigned a, unsigned b);

/* For the readers and the tests: a new record, or NULL. */
struct hd__topo *hd__topo_read_sysfs(const char *root, const _Atomic bool *stop);
enum hd__topo_hwloc { HD__TOPO_HWLOC_MACHINE, HD__TOPO_HWLOC_XML, HD__TOPO_HWLOC_SYNTHETIC };
bool hd__topo_has_hwloc(void); /* whether hwloc can be asked */
struct hd__topo *hd__topo_read_hwloc(enum hd__topo_hwloc what, const char *text);
void hd__topo_free(struct hd__topo *t);

/* ---- Between the readers ---- */

/* An empty record: no CPU, no group. */
struct hd__topo *hd__topo_new(const char *source);
/* Notes that these CPUs share one `level`; those already known stay where they are. CPUs that are
 * not in t->cpus are left out. */
void hd__topo_add_group(struct hd__topo *t, enum hd__topo_level level, const hd_cpuset *cpus,
                        uint64_t cache_bytes);
/* Notes a node by the kernel's number; in increasing order. False: there are too many. */
bool hd__topo_add_node(struct hd__topo *t, unsigned number, const hd_cpuset *cpus);
/* Numbers the groups and completes what was not said. False: there is no CPU, or no memory. */
bool hd__topo_finish(struct hd__topo *t);

#endif
