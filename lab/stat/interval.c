/* SPDX-License-Identifier: MIT */
/* The 95 % interval.
 *
 * From six values on: the interval between the k-th smallest and the k-th largest. Whatever the
 * distribution, the median lies outside with probability 2 P[B < k], B binomial(n, 1/2); k is the
 * largest for which that is at most 5 % (David and Nagaraja, "Order Statistics", 2003, 7.1). It
 * assumes nothing, an outlier moves it by one rank at most, and it is exact, not asymptotic.
 *
 * With three to five values even the extremes miss the median more often than that (6.25 % with
 * five), so something must be assumed: that logarithms of process medians are normal. Times are
 * positive and skewed, their effects multiply; the interval is Student's t around the mean of the
 * logarithms. It is wide, as it must be; with two it would span orders of magnitude, so there is
 * none. For n <= 5 it holds the sample median: that lies within one standard deviation of the mean,
 * and the half-width is t s / sqrt(n) > s.
 * Where a value is zero or negative there is no logarithm, and the plain values are used.
 *
 * Rejected: the bootstrap, which for the median of a handful of values only draws these values
 * again and covers far less than it says. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../text.h"
#include "distribution.h"
#include "stat.h"

size_t lab_stat_order_rank95(size_t n) {
    /* log2 of binomial terms: exact enough for any n, and no overflow. */
    double below = 0;
    size_t rank = 0;
    for (size_t k = 0; k < n / 2; k++) {
        double nd = (double)n, kd = (double)k;
        below += exp(lgamma(nd + 1) - lgamma(kd + 1) - lgamma(nd - kd + 1) - nd * M_LN2);
        if (2 * below > 0.05)
            break;
        rank = k + 1;
    }
    return rank;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct lab_interval by_order(const double *values, size_t n, size_t rank) {
    double *sorted = lab_alloc(n, sizeof(*sorted));
    memcpy(sorted, values, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), compare);
    struct lab_interval interval = {sorted[rank - 1], sorted[n - rank]};
    free(sorted);
    return interval;
}

static struct lab_interval by_t(const double *values, size_t n, bool logs) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += logs ? log(values[i]) : values[i];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) {
        double d = (logs ? log(values[i]) : values[i]) - mean;
        squares += d * d;
    }
    double error = sqrt(squares / (double)(n - 1) / (double)n);
    double half = lab_stat_student_point(0.025, (double)(n - 1)) * error;
    struct lab_interval interval = {mean - half, mean + half};
    if (logs) {
        interval.low = exp(interval.low);
        interval.high = exp(interval.high);
    }
    return interval;
}

struct lab_interval lab_stat_interval95(const double *values, size_t n) {
    if (n < 3)
        return (struct lab_interval){NAN, NAN};
    size_t rank = lab_stat_order_rank95(n);
    if (rank)
        return by_order(values, n, rank);
    double least = lab_stat_min(values, n);
    struct lab_interval interval = by_t(values, n, least > 0);
    if (least >= 0 && interval.low < 0)
        interval.low = 0; /* amounts: they cannot be negative */
    /* Equal values: exp(log(x)) may miss x by a rounding. */
    double median = lab_stat_median(values, n);
    if (interval.low > median)
        interval.low = median;
    if (interval.high < median)
        interval.high = median;
    return interval;
}
