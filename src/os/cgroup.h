/* SPDX-License-Identifier: MIT */
/* How much CPU time the process's control group may have. */
#ifndef HD_SRC_OS_CGROUP_H
#define HD_SRC_OS_CGROUP_H

#include "base/base.h"

/* The least quota of the process's control group and of those above it, as a number of CPUs,
 * rounded up: 2 for one and a half. 0: there is none, or it cannot be read. Reads some small files;
 * takes no lock and no memory. */
unsigned hd__os_cgroup_cpus(void);

/* How many CPUs are online; at least 1. */
unsigned hd__os_cpus_online(void);

/* For tests: both read below this folder instead of /; NULL: no longer. The string must stay. */
void hd__os_cgroup_set_root(const char *root);

#endif
