/* SPDX-License-Identifier: MIT */
/* Memory on NUMA nodes. Nodes are named by the kernel's numbers here. */
#ifndef HD_SRC_OS_NUMA_H
#define HD_SRC_OS_NUMA_H

#include "base/base.h"

/* Has the kernel take the pages of the range, which nobody has touched yet, from this node while
 * that has some. 0; -EINVAL: no such node, or it has no memory; -EPERM, -ENOSYS: not allowed. */
int hd__os_numa_bind(void *addr, size_t bytes, unsigned number);

/* The node on which the page at this address lies. -ENOENT: there is no page yet; -EFAULT: there is
 * no memory; -EPERM, -ENOSYS: the kernel does not tell. */
int hd__os_numa_node_of(const void *addr);

/* Whether the page is in memory: 0; -ENOENT: not yet; -EFAULT: there is no memory. */
int hd__os_page_state(const void *addr);

#endif
