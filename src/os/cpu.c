/* SPDX-License-Identifier: MIT */
/* CPUs and kernel threads; see cpu.h. */
#include "os/cpu.h"

#include "base/check.h"
#include "os/fault.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel refuses a mask shorter than its own, so one for more CPUs than any kernel is
 * configured for (NR_CPUS is at most 8192) is handed in, and cut. */
#define KERNEL_CPUS 8192

int hd__os_cpus_allowed(hd_cpuset *out) {
    unsigned long mask[KERNEL_CPUS / (8 * sizeof(unsigned long))];
    memset(out, 0, sizeof *out);
    if (HD__FAULT("sched_getaffinity")) {
        return -EINVAL;
    }
    memset(mask, 0, sizeof mask);
    /* The system call itself: the C library's wrapper would do, but clears what we have cleared. */
    if (syscall(SYS_sched_getaffinity, 0, sizeof mask, mask) < 0) {
        return -errno;
    }
    for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++) {
        if (mask[cpu / 64] >> (cpu % 64) & 1) {
            out->bits[cpu / 64] |= UINT64_C(1) << (cpu % 64);
        }
    }
    return (int)hd__os_cpus_count(out);
}

int hd__os_cpus_set_of(int tid, const hd_cpuset *cpus) {
    if (HD__FAULT("sched_setaffinity")) {
        return -EINVAL;
    }
    return syscall(SYS_sched_setaffinity, tid, sizeof cpus->bits, cpus->bits) == 0 ? 0 : -errno;
}

int hd__os_cpus_set(const hd_cpuset *cpus) {
    return hd__os_cpus_set_of(0, cpus);
}

unsigned hd__os_cpus_count(const hd_cpuset *cpus) {
    unsigned n = 0;
    for (size_t i = 0; i < HD__COUNTOF(cpus->bits); i++) {
        n += (unsigned)__builtin_popcountll(cpus->bits[i]);
    }
    return n;
}

unsigned hd__os_cpus_first(const hd_cpuset *cpus) {
    for (size_t i = 0; i < HD__COUNTOF(cpus->bits); i++) {
        if (cpus->bits[i] != 0) {
            return (unsigned)i * 64 + (unsigned)__builtin_ctzll(cpus->bits[i]);
        }
    }
    return HD_CPU_MAX;
}

unsigned hd__os_cpu_current(void) {
    int cpu = sched_getcpu();
    return cpu < 0 ? 0 : (unsigned)cpu;
}

int hd__os_gettid(void) {
    return (int)syscall(SYS_gettid);
}

int hd__os_kthread_count(void) {
    /* The folder has one folder for each kernel thread, so its link count is theirs plus two. */
    struct stat task;
    if (HD__FAULT("stat")) {
        return -ENOMEM;
    }
    if (stat("/proc/self/task", &task) != 0) {
        return -errno;
    }
    return task.st_nlink > 2 ? (int)task.st_nlink - 2 : -EIO;
}

int hd__os_membarrier_register(void) {
    if (HD__FAULT("membarrier")) {
        return -ENOSYS;
    }
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 ? 0
                                                                                        : -errno;
}

void hd__os_membarrier(void) {
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) {
        hd__fatal("membarrier() failed with error %d after it had been registered", errno);
    }
}
