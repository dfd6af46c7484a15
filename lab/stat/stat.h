/* SPDX-License-Identifier: MIT */
/* The arithmetic of the lab: pure functions, no clock, no files, no threads. */
#ifndef HEDDLE_LAB_STAT_H
#define HEDDLE_LAB_STAT_H

#include <stddef.h>
#include <stdint.h>

/* All take n >= 1 finite values and leave them as they are. */
double lab_stat_median(const double *values, size_t n);
double lab_stat_min(const double *values, size_t n);
double lab_stat_max(const double *values, size_t n);

struct lab_interval {
    double low, high;
};

/* A 95 % confidence interval of the median of what the values are drawn from (here: process
 * medians, the unit of inference). {NAN, NAN} for fewer than three. See interval.c. */
struct lab_interval lab_stat_interval95(const double *values, size_t n);

/* The largest k >= 1 for which the k-th smallest and the k-th largest of n values hold the median
 * between them with a probability of at least 95 %; 0 if there is none (n < 6). */
size_t lab_stat_order_rank95(size_t n);

/* A reproducible source of numbers: splitmix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom
 * Number Generators", OOPSLA 2014). */
uint64_t lab_stat_random(uint64_t *state);

/* Puts 0..n-1 into `order`, shuffled (Fisher and Yates). */
void lab_stat_permutation(size_t *order, size_t n, uint64_t *state);

#endif
