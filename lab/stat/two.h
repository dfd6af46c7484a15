/* SPDX-License-Identifier: MIT */
/* Tests of two samples. Each takes finite values and leaves them as they are. */
#ifndef HEDDLE_LAB_TWO_H
#define HEDDLE_LAB_TWO_H

#include <stddef.h>
#include <stdint.h>

#include "stat.h"

/* The difference of two means with the standard error and the degrees of freedom that Welch gives
 * it. Both samples have at least two values, else the error is NAN. */
struct lab_welch {
    double difference; /* mean of b less mean of a */
    double error;
    double df;
};
struct lab_welch lab_stat_welch(const double *a, size_t na, const double *b, size_t nb);
/* Two-sided p against a difference of 0; NAN where there is one and neither sample varies. */
double lab_stat_welch_p(const struct lab_welch *w);
/* p of the two one-sided tests against |difference| >= margin: small when they are equivalent. */
double lab_stat_welch_same_p(const struct lab_welch *w, double margin);

/* Two-sided p of the test of Mann and Whitney: exact for up to 50 values in all, ties or not;
 * beyond that by the normal approximation with the corrections for ties and continuity. */
double lab_stat_mann_whitney(const double *a, size_t na, const double *b, size_t nb);

struct lab_shift {
    double estimate, low, high; /* of b less a, with its 95 % interval */
};
struct lab_shift lab_stat_hodges_lehmann(const double *a, size_t na, const double *b, size_t nb);

/* The 95 % interval of the difference of means (b less a) by the bootstrap of Student's t: both
 * samples are drawn again `draws` times. {NAN, NAN} for fewer than five values in either. */
struct lab_interval lab_stat_bootstrap95(const double *a, size_t na, const double *b, size_t nb,
                                         unsigned draws, uint64_t seed);

/* adjusted[i]: the least false discovery rate at which p[i] is still found (Benjamini and
 * Hochberg). NAN stays NAN, and does not count. */
void lab_stat_adjust(const double *p, double *adjusted, size_t n);

#endif
