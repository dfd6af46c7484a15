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
/* How often the kernel switched away from one of its threads. */
double bench_kernel_switches(void);

/* The n-th (from 0) of the CPUs that this process was allowed to use when it began, wrapping
 * around, and how many they are. */
unsigned bench_cpu(unsigned n);
unsigned bench_cpus(void);
/* Keeps the calling kernel thread, and those that it makes, on the first n of them (0: all). */
void bench_limit_cpus(unsigned n);

#ifdef __cplusplus
}
#endif

#define BENCH_LINE 64

#endif
