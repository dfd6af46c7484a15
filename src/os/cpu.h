/* SPDX-License-Identifier: MIT */
/* CPUs, and facts about kernel threads. */
#ifndef HD_SRC_OS_CPU_H
#define HD_SRC_OS_CPU_H

#include "base/base.h"

#include <heddle/thread.h>

/* Fills *out with the CPUs that the calling kernel thread may use and returns how many; CPUs from
 * HD_CPU_MAX on are left out. -errno when the kernel does not say (*out is then empty). */
int hd__os_cpus_allowed(hd_cpuset *out);

/* Lets the calling kernel thread use these CPUs only. 0; -EINVAL when none of them may be used. */
int hd__os_cpus_set(const hd_cpuset *cpus);
/* The same for another kernel thread of this process. */
int hd__os_cpus_set_of(int tid, const hd_cpuset *cpus);

/* How many CPUs are in the set, and the lowest one (HD_CPU_MAX if it is empty). */
unsigned hd__os_cpus_count(const hd_cpuset *cpus);
unsigned hd__os_cpus_first(const hd_cpuset *cpus);

/* The CPU that the caller runs on right now; a hint, stale at once. */
unsigned hd__os_cpu_current(void);

/* The kernel's number of the calling kernel thread. */
int hd__os_gettid(void);

/* How many kernel threads the process has, those of tools in it as well (TSan, qemu-user), or
 * -errno. One system call. */
int hd__os_kthread_count(void);

/* A full memory barrier on every CPU that runs a thread of this process, so that the other side of
 * a store-load pair needs a compiler barrier only. Register once, before the first use: 0 or
 * -errno where the kernel lacks it; hd__os_membarrier() may then not be called. */
int hd__os_membarrier_register(void);
void hd__os_membarrier(void);

#endif
