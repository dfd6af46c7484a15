/* SPDX-License-Identifier: MIT */
/* Memory on the nodes of the topology; nodes are named as there, not by the kernel's numbers. */
#ifndef HD__MEM_NUMA_H
#define HD__MEM_NUMA_H

#include "os/topology.h"

/* As the public functions of these names, on this topology. None takes a lock. */
void *hd__numa_alloc(const struct hd__topo *t, size_t size, unsigned node);
void hd__numa_free(void *p, size_t size);
int hd__numa_node_of(const struct hd__topo *t, const void *address);
const char *hd__numa_bind_kind(const struct hd__topo *t);

#endif
