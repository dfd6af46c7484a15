/* SPDX-License-Identifier: MIT */
/* What other work takes from a busy process.
 *
 * On one CPU after the other, the command reads the clock again and again: a gap between two
 * readings is time in which something else had the CPU, be it another process, an interrupt, or
 * another guest of the host (as the kernel's osnoise tracer finds it from inside, see
 * Documentation/trace/osnoise-tracer.rst; here no privilege is needed). Then it does the same small
 * work over and over: how much its time varies while nothing interrupts it is what neighbours on
 * the same core, its caches, or the clock's frequency do. A fixed quantum of work would be the
 * wrong way to find interruptions, whose times it cannot tell (Sottile and Minnich, "Analysis of
 * microbenchmarks for performance tuning of clusters", IEEE Cluster 2004); it is asked for the
 * spread of its middle alone.
 *
 * Both are facts of this moment. They cannot tell who the neighbour is. */
#include <linux/perf_event.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../message.h"
#include "../stat/stat.h"
#include "../subject/interrupt.h"
#include "../text.h"
#include "machine.h"

enum {
    GAP_NS = 5000,         /* longer than any reading of the clock takes, even as a system call */
    QUANTUM_ROUNDS = 8000, /* some 10 us */
    QUANTA_MAX = 100000,
};

struct noise {
    double seconds;             /* of gazing at the clock */
    double lost_ns, longest_ns; /* in all gaps; in one */
    double worst_percent;       /* lost on the CPU that lost most */
    double spread_percent;      /* of the work, on the CPU that varies most */
    double clock_ns;            /* what a reading takes */
    unsigned cpus;
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void look_for_gaps(struct noise *n, double seconds) {
    uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9), last = begin, lost = 0;
    uint64_t readings = 0;
    while (last < end) {
        uint64_t t = now_ns(), gap = t - last;
        if (gap > GAP_NS) {
            lost += gap;
            if ((double)gap > n->longest_ns)
                n->longest_ns = (double)gap;
        }
        last = t;
        readings++;
    }
    double took = (double)(last - begin), percent = 100 * (double)lost / took;
    double reading = (took - (double)lost) / (double)readings;
    n->seconds += took * 1e-9;
    n->lost_ns += (double)lost;
    if (percent > n->worst_percent)
        n->worst_percent = percent;
    if (n->cpus == 0 || reading < n->clock_ns)
        n->clock_ns = reading;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* From the 10th to the 90th of a hundred: interruptions are rarer, and fall out. */
static void look_at_speed(struct noise *n, double seconds) {
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9), x = end | 1;
    double *quanta = lab_alloc(QUANTA_MAX, sizeof(*quanta));
    size_t count = 0;
    for (uint64_t begin = now_ns(); begin < end && count < QUANTA_MAX;) {
        for (unsigned i = 0; i < QUANTUM_ROUNDS; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
        }
        uint64_t t = now_ns();
        quanta[count++] = (double)(t - begin) + (x == 0); /* never; but the work is needed */
        begin = t;
    }
    if (count >= 10) {
        qsort(quanta, count, sizeof(*quanta), ascending);
        double spread = 100 * (quanta[count - 1 - count / 10] / quanta[count / 10] - 1);
        if (spread > n->spread_percent)
            n->spread_percent = spread;
    }
    free(quanta);
}

/* Whether the kernel lets this process count instructions; in a word why not. */
static const char *hardware_counters(void) {
    struct perf_event_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.type = PERF_TYPE_HARDWARE;
    attr.size = sizeof(attr);
    attr.config = PERF_COUNT_HW_INSTRUCTIONS;
    attr.disabled = 1;
    attr.exclude_kernel = 1;
    attr.exclude_hv = 1;
    long fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0)
        return "no";
    close((int)fd);
    return "yes";
}

void lab_machine_noise(struct lab_run *run, double seconds_per_cpu, unsigned cpus_max) {
    cpu_set_t before;
    struct noise n = {0};
    if (sched_getaffinity(0, sizeof(before), &before) != 0)
        return; /* more CPUs than the set has bits */
    for (int cpu = 0; cpu < CPU_SETSIZE && n.cpus < cpus_max && !lab_interrupt_signal(); cpu++) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (!CPU_ISSET(cpu, &before) || sched_setaffinity(0, sizeof(one), &one) != 0)
            continue;
        lab_progress("listening on CPU %d", cpu);
        look_for_gaps(&n, seconds_per_cpu / 2);
        look_at_speed(&n, seconds_per_cpu / 2);
        n.cpus++;
    }
    sched_setaffinity(0, sizeof(before), &before);
    lab_machine_add(run, "hardware_counters", hardware_counters(), false);
    if (n.cpus == 0)
        return;
    lab_machine_add_number(run, "clock_ns", n.clock_ns);
    lab_machine_add_number(run, "noise_cpus", n.cpus);
    lab_machine_add_number(run, "noise_seconds", n.seconds);
    lab_machine_add_number(run, "noise_lost_percent", 100 * n.lost_ns / (n.seconds * 1e9));
    lab_machine_add_number(run, "noise_worst_percent", n.worst_percent);
    lab_machine_add_number(run, "noise_longest_us", n.longest_ns / 1000);
    lab_machine_add_number(run, "noise_spread_percent", n.spread_percent);
}
