/* SPDX-License-Identifier: MIT */
/* The tests of two samples and what follows from them. Reference values come from R (pt, qt,
 * binom.test, t.test, wilcox.test, p.adjust) or are counted by hand. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stat/compare.h"
#include "stat/distribution.h"
#include "stat/two.h"

static bool close_to(double a, double b, double relative) {
    return fabs(a - b) <= relative * fabs(b);
}

#define CHECK_CLOSE(a, b, relative)                                                                \
    do {                                                                                           \
        double is_ = (a), wanted_ = (b);                                                           \
        CHECK_MSG(close_to(is_, wanted_, relative), #a " is %.15g, not %.15g", is_, wanted_);      \
    } while (0)

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The textbook's: Mann-Whitney by trying all ways to choose. */
static double brute_mann_whitney(const double *a, size_t na, const double *b, size_t nb) {
    double all[16];
    unsigned n = (unsigned)(na + nb);
    memcpy(all, a, na * sizeof(double));
    memcpy(all + na, b, nb * sizeof(double));
    double seen = 0, below = 0, above = 0, total = 0;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned set = 0; set < 1u << n; set++) {
            if (__builtin_popcount(set) != (int)na) continue;
            if (pass == 0 && set != (1u << na) - 1) continue;
            double u = 0;
            for (unsigned i = 0; i < n; i++) {
                for (unsigned j = 0; j < n; j++) {
                    if (!(set >> i & 1) || (set >> j & 1)) continue;
                    u += all[i] > all[j] ? 1 : all[i] < all[j] ? 0 : 0.5;
                }
            }
            if (pass == 0) {
                seen = u;
                continue;
            }
            total++;
            below += u <= seen;
            above += u >= seen;
        }
    }
    double p = 2 * fmin(below, above) / total;
    return p < 1 ? p : 1;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double uniform(struct test_rng *rng) {
    return (double)(test_rng_next(rng) >> 11) * 0x1p-53;
}

static double normal(struct test_rng *rng) {
    return sqrt(-2 * log(1 - uniform(rng))) * cos(2 * M_PI * uniform(rng));
}

TEST(student_tails) {
    /* pt(q, df, lower.tail = FALSE) */
    CHECK_CLOSE(lab_stat_student_above(1, 1), 0.25, 1e-14);
    CHECK_CLOSE(lab_stat_student_above(-1, 1), 0.75, 1e-14);
    CHECK_CLOSE(lab_stat_student_above(0, 7.3), 0.5, 1e-14);
    CHECK_CLOSE(lab_stat_student_above(sqrt(2), 2), 0.5 - 0.5 / sqrt(2), 1e-13);
    CHECK_CLOSE(lab_stat_student_above(1e10, 1), 1e-10 / M_PI, 1e-12);
    CHECK_CLOSE(lab_stat_student_above(1.959963984540054, 1e12), 0.025, 1e-9);
    CHECK_EQ(lab_stat_student_above(INFINITY, 3), 0.0);
    CHECK_EQ(lab_stat_student_above(-INFINITY, 3), 1.0);
}

TEST(points_undo_tails) {
    static const double df[] = {1, 1.5, 2, 3.7, 9, 30, 250.5, 1e5, 1e7};
    for (size_t i = 0; i < COUNT(df); i++) {
        for (double p = 1e-12; p < 1; p = p < 0.4 ? p * 7 : p + 0.11) {
            double t = lab_stat_student_point(p, df[i]);
            CHECK_CLOSE(lab_stat_student_above(t, df[i]), p, 1e-11);
        }
    }
    CHECK_CLOSE(lab_stat_normal_point(0.025), 1.959963984540054, 1e-14);
    CHECK_CLOSE(lab_stat_student_point(0.025, 1), 12.706204736174698, 1e-13);
    CHECK_CLOSE(lab_stat_student_point(0.025, 10), 2.2281388519862744, 1e-13);
}

TEST(beta_is_symmetric) {
    static const double args[][2] = {{0.5, 0.5}, {2, 3}, {40, 0.5}, {1000, 30}, {1e5, 1e5}};
    for (size_t i = 0; i < COUNT(args); i++) {
        double a = args[i][0], b = args[i][1];
        for (double x = 0.03; x < 1; x += 0.04) {
            double sum = lab_stat_beta(a, b, x) + lab_stat_beta(b, a, 1 - x);
            CHECK_CLOSE(sum, 1, 1e-12);
        }
        CHECK_EQ(lab_stat_beta(a, b, 0), 0.0);
        CHECK_EQ(lab_stat_beta(a, b, 1), 1.0);
    }
}

TEST(binomial_tails_and_interval) {
    CHECK_CLOSE(lab_stat_binomial(0, 10, 0.3, false), pow(0.7, 10), 1e-12);
    CHECK_CLOSE(lab_stat_binomial(10, 10, 0.3, true), pow(0.3, 10), 1e-12);
    CHECK_CLOSE(lab_stat_binomial(2, 3, 0.5, true), 0.5, 1e-12);
    CHECK_EQ(lab_stat_binomial(0, 10, 0.3, true), 1.0);
    CHECK_EQ(lab_stat_binomial(10, 10, 0.3, false), 1.0);
    struct lab_interval i = lab_stat_proportion95(0, 10); /* binom.test(0, 10) */
    CHECK_EQ(i.low, 0.0);
    CHECK_CLOSE(i.high, 1 - pow(0.025, 0.1), 1e-9);
    i = lab_stat_proportion95(10, 200); /* binom.test(10, 200): 0.02424 0.09003 */
    CHECK_CLOSE(lab_stat_binomial(10, 200, i.low, true), 0.025, 1e-9);
    CHECK_CLOSE(lab_stat_binomial(10, 200, i.high, false), 0.025, 1e-9);
    i = lab_stat_proportion95(5, 5);
    CHECK_EQ(i.high, 1.0);
    CHECK_CLOSE(i.low, pow(0.025, 0.2), 1e-9);
}

/* By hand: means 2 and 6, variances 1 and 4, so 1/3 + 4/3 = 5/3, and df = 25/9 / (1/18 + 16/18). */
TEST(welch_by_hand) {
    const double a[] = {1, 2, 3}, b[] = {4, 6, 8};
    struct lab_welch w = lab_stat_welch(a, 3, b, 3);
    CHECK_CLOSE(w.difference, 4, 1e-15);
    CHECK_CLOSE(w.error, sqrt(5.0 / 3), 1e-15);
    CHECK_CLOSE(w.df, 50.0 / 17, 1e-14);
    CHECK_CLOSE(lab_stat_welch_p(&w), 2 * lab_stat_student_above(4 / w.error, w.df), 1e-15);
    CHECK_CLOSE(lab_stat_welch_same_p(&w, 5), lab_stat_student_above(1 / w.error, w.df), 1e-15);
    CHECK_GT(lab_stat_welch_same_p(&w, 3), 0.5);
}

TEST(welch_of_equal_values) {
    const double a[] = {3.16, 3.16, 3.16}, b[] = {3.17, 3.17};
    struct lab_welch same = lab_stat_welch(a, 3, a, 2), other = lab_stat_welch(a, 3, b, 2);
    CHECK_EQ(same.difference, 0.0);
    CHECK_EQ(lab_stat_welch_p(&same), 1.0);
    CHECK_EQ(lab_stat_welch_same_p(&same, 0.001), 0.0);
    CHECK(isnan(lab_stat_welch_p(&other)));
    CHECK_EQ(lab_stat_welch_same_p(&other, 0.001), 1.0);
    struct lab_welch one = lab_stat_welch(a, 1, b, 2);
    CHECK(isnan(lab_stat_welch_p(&one)));
}

TEST(mann_whitney_counts_all_ways) {
    struct test_rng rng = test_rng(1);
    for (unsigned round = 0; round < 120; round++) {
        double a[6], b[6];
        size_t na = 1 + round % 6, nb = 1 + (round / 6) % 6;
        unsigned kinds = round % 2 ? 4 : 1000000; /* ties in every other round */
        for (size_t i = 0; i < na; i++)
            a[i] = (double)(test_rng_next(&rng) % kinds);
        for (size_t i = 0; i < nb; i++)
            b[i] = (double)(test_rng_next(&rng) % kinds);
        CHECK_CLOSE(lab_stat_mann_whitney(a, na, b, nb), brute_mann_whitney(a, na, b, nb), 1e-12);
    }
}

TEST(mann_whitney_known) {
    const double a[] = {0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46};
    const double b[] = {1.15, 0.88, 0.90, 0.74, 1.21};
    /* The example of R's wilcox.test (Hollander and Wolfe, 1973, 69f): W = 35; two-sided here. */
    CHECK_CLOSE(lab_stat_mann_whitney(a, 10, b, 5), 0.25441225441225443, 1e-9);
    struct lab_shift s = lab_stat_hodges_lehmann(b, 5, a, 10);
    CHECK_CLOSE(s.estimate, 0.305, 1e-12);
    CHECK_CLOSE(s.low, -0.15, 1e-12);
    CHECK_CLOSE(s.high, 0.76, 1e-12);
}

TEST(mann_whitney_of_many_is_near_the_exact) {
    struct test_rng rng = test_rng(1);
    double a[25], b[26];
    for (size_t i = 0; i < 25; i++) {
        a[i] = normal(&rng);
        b[i] = normal(&rng) + 0.5;
    }
    qsort(a, 25, sizeof(*a), ascending);
    b[25] = a[12] + 1e-9;
    /* 50 values: exact; 51: not. One more in the middle of the others changes little. */
    double exact = lab_stat_mann_whitney(a, 25, b, 25);
    double normally = lab_stat_mann_whitney(a, 25, b, 26);
    CHECK_MSG(fabs(exact - normally) < 0.04, "%g, %g", exact, normally);
    double equal[60];
    for (size_t i = 0; i < 60; i++)
        equal[i] = 1;
    CHECK_EQ(lab_stat_mann_whitney(equal, 30, equal + 30, 30), 1.0);
}

/* All differences written down. */
static double kth(const double *a, size_t na, const double *b, size_t nb, size_t k) {
    double *d = malloc(na * nb * sizeof(*d));
    CHECK(d != NULL);
    for (size_t i = 0; i < na * nb; i++)
        d[i] = b[i % nb] - a[i / nb];
    qsort(d, na * nb, sizeof(*d), ascending);
    double found = d[k - 1];
    free(d);
    return found;
}

TEST(shift_is_the_median_of_all_differences) {
    struct test_rng rng = test_rng(1);
    static const size_t sizes[][2] = {{1, 1}, {2, 3}, {10, 10}, {7, 90}, {300, 301}, {400, 400}};
    for (size_t s = 0; s < COUNT(sizes); s++) {
        for (unsigned kind = 0; kind < 3; kind++) {
            size_t na = sizes[s][0], nb = sizes[s][1], n = na * nb;
            double a[400], b[400];
            for (size_t i = 0; i < 400; i++) {
                a[i] = exp(normal(&rng));
                b[i] = exp(normal(&rng) + 0.1);
                if (kind == 1) { /* ties */
                    a[i] = floor(3 * a[i]);
                    b[i] = floor(3 * b[i]);
                } else if (kind == 2 && i % 7 == 0) { /* outliers */
                    a[i] *= 1e200;
                    b[i] *= 1e-200;
                }
            }
            struct lab_shift shift = lab_stat_hodges_lehmann(a, na, b, nb);
            double middle = kth(a, na, b, nb, (n + 1) / 2) / 2 + kth(a, na, b, nb, n / 2 + 1) / 2;
            CHECK_EQ(shift.estimate, middle);
            if (isnan(shift.low)) continue;
            CHECK_LE(shift.low, shift.estimate);
            CHECK_GE(shift.high, shift.estimate);
        }
    }
}

TEST(shift_interval_of_few_is_none) {
    const double a[] = {1, 2, 3}, b[] = {4, 5, 6, 7};
    struct lab_shift s = lab_stat_hodges_lehmann(a, 3, b, 3);
    CHECK(isnan(s.low) && isnan(s.high)); /* 1 in 20 on each side */
    s = lab_stat_hodges_lehmann(a, 3, b, 4); /* 1 in 35: 2.86 % */
    CHECK(isnan(s.low) && isnan(s.high));
    s = lab_stat_hodges_lehmann(b, 4, b, 4); /* 1 in 70: the extremes */
    CHECK_EQ(s.low, -3.0);
    CHECK_EQ(s.high, 3.0);
}

TEST(adjusted_p) {
    /* p.adjust(c(0.01, 0.04, 0.03, 0.005), "BH") */
    const double p[] = {0.01, 0.04, NAN, 0.03, 0.005}, wanted[] = {0.02, 0.04, NAN, 0.04, 0.02};
    double q[5];
    lab_stat_adjust(p, q, 5);
    for (size_t i = 0; i < 5; i++) {
        if (isnan(wanted[i])) {
            CHECK(isnan(q[i]));
        } else {
            CHECK_CLOSE(q[i], wanted[i], 1e-14);
        }
    }
}
