/* SPDX-License-Identifier: MIT */
/* What the workloads share: the command line, the clock, the output.
 *
 * A bench program is called PROGRAM EXPERIMENT [--NAME VALUE]... and prints one line a sample:
 *
 *     sample METRIC UNIT VALUE
 *     note KEY TEXT
 *     error TEXT              (what could not be measured; the program then ends with 3)
 *
 * Each workload is one source file that is compiled once for every subject, against subject.h, so
 * that all subjects do the same work; it is written in what C11 and C++17 have in common, since
 * some subjects are C++ libraries. */
#ifndef HEDDLE_BENCH_H
#define HEDDLE_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BENCH_OK = 0, BENCH_USAGE = 2, BENCH_CANNOT = 3 };

/* A parameter, its default, and what is allowed. */
struct bench_parameter {
    const char *name;
    uint64_t value, low, high;
    const char *words; /* "fib skynet": one of these instead of a number; value is its index */
};

enum { BENCH_PARAMETERS = 8 };

/* An experiment that a program can do. */
struct bench_experiment {
    const char *name;
    bool listed;      /* `list` names it: the program can do what others do by this name */
    int (*run)(void); /* BENCH_OK or BENCH_CANNOT */
    struct bench_parameter parameters[BENCH_PARAMETERS + 1]; /* ended by a NULL name */
};

/* Reads the command line, runs the experiment that it names, returns the exit status. */
int bench_main(int argc, char **argv, const struct bench_experiment *const *experiments);

/* The value of a parameter of the experiment that runs. */
uint64_t bench_value(const char *name);

/* CLOCK_MONOTONIC. */
uint64_t bench_now_ns(void);

void bench_sample(const char *metric, const char *unit, double value);
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void bench_note(const char *key, const char *format, ...);
/* Prints an error line, once; returns BENCH_CANNOT. */
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
int bench_error(const char *format, ...);

/* Zeroed and touched memory, aligned to a cache line; ends the program with an error line when
 * there is none. Freed by free(). */
void *bench_array(size_t count, size_t size);

/* Sorts the values and gives the one below which `part` (0 to 1) of them lie. */
double bench_quantile(double *values, size_t count, double part);

struct bench_memory {
    double resident_bytes; /* with page tables */
    double peak_bytes;     /* the most that was resident so far, with the page tables of now */
    double address_bytes;  /* address space */
};
/* The memory of this process. */
struct bench_memory bench_memory_now(void);
/* CPU time of this process, all its kernel threads, in seconds. */
double bench_cpu_s(void);
struct bench_cpu_time {
    double user_s, system_s;
};
/* The same, apart by who spent it. */
struct bench_cpu_time bench_cpu_time(void);
/* How often the kernel switched away from one of its threads. */
double bench_kernel_switches(void);

/* The n-th (from 0) of the CPUs that this process was allowed to use when it began, wrapping
 * around, and how many they are. */
unsigned bench_cpu(unsigned n);
unsigned bench_cpus(void);
/* Keeps the calling kernel thread, and those that it makes, on the first n of them (0: all). */
void bench_limit_cpus(unsigned n);

/* A window in which several threads are to work at once: from when to when each did, and whether
 * it had its CPU all the time. On a machine with other work a CPU is somebody else's now and then;
 * such windows are taken again, so often at most. */
enum { BENCH_TRIES = 20 };

struct bench_span {
    uint64_t begin_ns, end_ns;
    uint64_t cpu_ns; /* of the calling kernel thread, between two looks around the span */
};

void bench_span_begin(struct bench_span *s);
void bench_span_end(struct bench_span *s);

/* What several spans have in common; begin with all zero. */
struct bench_window {
    uint64_t last_begin_ns, first_end_ns, shortest_ns, sum_ns;
    bool disturbed;
};
void bench_window_add(struct bench_window *w, const struct bench_span *s);

/* Whether nobody was disturbed, and all worked at the same time: from the last one's begin to the
 * first one's end it was at least four fifths of the shortest's time. */
bool bench_window_good(const struct bench_window *w);

#ifdef __cplusplus
}
#endif

#define BENCH_LINE 64

/* Adds 1 to what is in memory, without an atomic instruction, but not in a register either: one
 * instruction on x86-64. */
static inline void bench_add_plain(int64_t *p) {
#if defined(__x86_64__)
    __asm__ volatile("addq $1, %0" : "+m"(*p) : : "cc");
#else
    __atomic_store_n(p, __atomic_load_n(p, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
#endif
}

#endif
