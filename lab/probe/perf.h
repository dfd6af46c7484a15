/* SPDX-License-Identifier: MIT */
/* The kernel's events of other threads, and the rings that it writes their records into. */
#ifndef HEDDLE_LAB_PROBE_PERF_H
#define HEDDLE_LAB_PROBE_PERF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How events are passed on to what a watched thread makes. */
enum probe_reach {
    PROBE_REACH_THREADS, /* to its threads */
    PROBE_REACH_ALL,     /* to its processes, too */
};

/* Opens the event of context switches, threads' beginnings and ends, and names, of one thread while
 * it is on one CPU. A descriptor, or -errno. */
int probe_perf_records(pid_t tid, int cpu, enum probe_reach reach);

/* Likewise: a hardware watchpoint on 8 bytes; each write is a record. It ends at an exec. */
int probe_perf_watchpoint(pid_t tid, int cpu, uint64_t address, enum probe_reach reach);

/* What one write to a watched place costs whoever writes, in ns, tried out on ourselves; 0: there
 * are no watchpoints. On virtual machines it is much. */
uint64_t probe_perf_watchpoint_cost(void);

/* What stands in the way where one of them failed, and what to do. Caller frees. */
char *probe_perf_why(int error, bool watchpoint);

/* The CPUs that are on line. Returns how many (at least 1), in a new array. */
int probe_cpus(int **out);

/* One CPU's records, in the memory that the kernel writes. */
struct probe_ring {
    void *base;
    size_t bytes; /* of records: a power of two */
    int fd;       /* the event it belongs to; others are led into it. Not closed by the ring */
    int cpu;
};

/* Makes a ring of at most `pages` pages, fewer where the limit on locked memory wants it. The
 * pages, or -errno. */
int probe_ring_open(struct probe_ring *r, int fd, int cpu, size_t pages);
void probe_ring_close(struct probe_ring *r);

/* Leads the records of another event of the same CPU into it. 0 or -errno. */
int probe_ring_add(const struct probe_ring *r, int fd);

/* What a record says. */
enum probe_record_kind {
    PROBE_RECORD_ON,
    PROBE_RECORD_OFF,
    PROBE_RECORD_WRITE, /* value: the address that was written */
    PROBE_RECORD_FORK,  /* value: the thread that made it; parent: that one's process */
    PROBE_RECORD_EXIT,
    PROBE_RECORD_NAME, /* text */
    PROBE_RECORD_EXEC, /* text */
    PROBE_RECORD_LOST, /* value */
};

struct probe_record {
    uint64_t ns;
    enum probe_record_kind kind;
    pid_t pid, tid, parent;
    int cpu;
    bool preempted;
    uint64_t value;
    char text[16];
};

typedef void probe_record_sink(void *arg, const struct probe_record *r);

/* Hands over what is in the ring, and makes room. */
void probe_ring_drain(struct probe_ring *r, probe_record_sink *sink, void *arg);

#endif
