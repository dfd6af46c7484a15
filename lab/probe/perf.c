/* SPDX-License-Identifier: MIT */
/* Events of other threads.
 *
 * An event that its children inherit can have a ring only if it is bound to a CPU, so there is one
 * for each thread and CPU, and one ring a CPU that all of them write into. An event that nothing
 * ever counts (PERF_COUNT_SW_DUMMY) brings the records of context switches and of threads that
 * begin and end; this, and a watchpoint on user memory, is what anybody may have at
 * perf_event_paranoid 2. Records of any two events of ours in a ring differ only in their type:
 * all end in the same fields. */
#include "probe/perf.h"

#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

static int perf_open(struct perf_event_attr *a, pid_t tid, int cpu) {
    int fd = (int)syscall(SYS_perf_event_open, a, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static void fill(struct perf_event_attr *a, enum probe_reach reach) {
    memset(a, 0, sizeof(*a));
    a->size = sizeof(*a);
    a->sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CPU;
    a->sample_id_all = 1;
    a->inherit = 1;
    a->inherit_thread = reach == PROBE_REACH_THREADS;
    a->exclude_kernel = 1;
    a->exclude_hv = 1;
    a->use_clockid = 1;
    a->clockid = CLOCK_MONOTONIC;
    /* Nobody waits for records: they are fetched. */
    a->watermark = 1;
    a->wakeup_watermark = UINT32_MAX;
}

int probe_perf_records(pid_t tid, int cpu, enum probe_reach reach) {
    struct perf_event_attr a;
    fill(&a, reach);
    a.type = PERF_TYPE_SOFTWARE;
    a.config = PERF_COUNT_SW_DUMMY;
    a.context_switch = 1;
    a.task = 1;
    a.comm = 1;
    a.comm_exec = 1;
    int fd = perf_open(&a, tid, cpu);
    if (fd == -EINVAL && a.inherit_thread) {
        /* Before Linux 5.13. Whose records they are is looked at anyway. */
        a.inherit_thread = 0;
        fd = perf_open(&a, tid, cpu);
    }
    return fd;
}

int probe_perf_watchpoint(pid_t tid, int cpu, uint64_t address, enum probe_reach reach) {
    struct perf_event_attr a;
    fill(&a, reach);
    a.type = PERF_TYPE_BREAKPOINT;
    a.sample_type |= PERF_SAMPLE_ADDR;
    a.sample_period = 1;
    a.bp_type = HW_BREAKPOINT_W;
    a.bp_addr = address;
    a.bp_len = HW_BREAKPOINT_LEN_8;
    a.remove_on_exec = 1; /* the address means nothing in another program */
    int fd = perf_open(&a, tid, cpu);
    if (fd == -EINVAL) {
        a.remove_on_exec = 0;
        a.inherit_thread = 0;
        fd = perf_open(&a, tid, cpu);
    }
    return fd;
}

uint64_t probe_perf_watchpoint_cost(void) {
    enum { TRIES = 5, WRITES = 20 };
    static volatile uint64_t place;
    uint64_t best = UINT64_MAX;
    int fd = probe_perf_watchpoint(0, -1, (uint64_t)(uintptr_t)&place, PROBE_REACH_THREADS);
    if (fd < 0)
        return 0;
    for (int i = 0; i < TRIES; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (int k = 0; k < WRITES; k++)
            place++;
        clock_gettime(CLOCK_MONOTONIC, &b);
        uint64_t ns = (uint64_t)(b.tv_sec - a.tv_sec) * 1000000000u + (uint64_t)b.tv_nsec -
                      (uint64_t)a.tv_nsec;
        best = ns < best ? ns : best;
    }
    close(fd);
    return best / WRITES;
}

static int paranoid(void) {
    char *line = lab_read_line("/proc/sys/kernel/perf_event_paranoid");
    int level = line ? atoi(line) : -2;
    free(line);
    return level;
}

char *probe_perf_why(int error, bool watchpoint) {
    switch (-error) {
    case EACCES:
    case EPERM:
        if (paranoid() > 2 && geteuid() != 0)
            return lab_format("perf_event_paranoid is %d, which keeps it from all but root: as "
                              "root, `sysctl kernel.perf_event_paranoid=2`",
                              paranoid());
        return lab_format("perf_event_open was refused (%s): a container's seccomp filter, or a "
                          "target that may not be traced; CAP_PERFMON helps",
                          strerror(-error));
    case ENOSYS:
        return lab_copy("the kernel was built without perf events");
    case ENOSPC:
        return lab_copy("all hardware watchpoints of the CPU are in use, by a debugger or another "
                        "probe of the same program");
    case EMFILE:
    case ENFILE:
        return lab_copy("it takes a file for each thread and CPU, and the limit is too low: raise "
                        "`ulimit -n`");
    case ENOENT:
    case EOPNOTSUPP:
    case ENODEV:
    case EINVAL:
        return watchpoint ? lab_copy("the machine (or its hypervisor) has no hardware watchpoints")
                          : lab_copy("the kernel has no context-switch records; Linux 4.3 does");
    default:
        return lab_format("perf_event_open: %s", strerror(-error));
    }
}

int probe_cpus(int **out) {
    char *line = lab_read_line("/sys/devices/system/cpu/online");
    int count = 0;
    *out = NULL;
    for (const char *s = line; s && *s;) {
        char *end;
        long first = strtol(s, &end, 10), last = first;
        if (end == s)
            break;
        if (*end == '-')
            last = strtol(end + 1, &end, 10);
        for (long cpu = first; cpu <= last; cpu++) {
            *out = lab_grow_one(*out, (size_t)count, sizeof(**out));
            (*out)[count++] = (int)cpu;
        }
        s = *end == ',' ? end + 1 : end;
        if (*end != ',')
            break;
    }
    free(line);
    if (count == 0) { /* no /sys: the configured ones, of which those off line are refused */
        long n = sysconf(_SC_NPROCESSORS_CONF);
        count = n < 1 ? 1 : (int)n;
        *out = lab_alloc((size_t)count, sizeof(**out));
        for (int i = 0; i < count; i++)
            (*out)[i] = i;
    }
    return count;
}
