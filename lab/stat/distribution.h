/* SPDX-License-Identifier: MIT */
/* The few distributions that the tests need. Tails are computed as tails, not as what is left of
 * one, so that small probabilities keep their digits. */
#ifndef HEDDLE_LAB_DISTRIBUTION_H
#define HEDDLE_LAB_DISTRIBUTION_H

#include <stdbool.h>
#include <stddef.h>

#include "stat.h"

/* The regularized incomplete beta function I_x(a, b); a, b > 0, 0 <= x <= 1. */
double lab_stat_beta(double a, double b, double x);

/* P[T > t], T of Student's t distribution with df > 0 degrees of freedom (need not be whole). */
double lab_stat_student_above(double t, double df);
/* The t that is exceeded with probability p, 0 < p < 1. */
double lab_stat_student_point(double p, double df);

/* The same for the standard normal distribution. */
double lab_stat_normal_above(double z);
double lab_stat_normal_point(double p);

/* The 95 % interval of a probability of which `hits` in `n` trials were seen (Clopper and Pearson,
 * "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika
 * 26, 1934): it covers at least that often, whatever n. n >= 1. */
struct lab_interval lab_stat_proportion95(size_t hits, size_t n);

/* P[X <= k] (or P[X >= k] where `above`), X binomial(n, p). */
double lab_stat_binomial(size_t k, size_t n, double p, bool above);

#endif
