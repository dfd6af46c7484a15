/* SPDX-License-Identifier: MIT */
/* The distributions agree with the GNU Scientific Library's, and what is computed from fixed data
 * with what its functions give, to nine digits. GSL is in the tests alone: it is under the GPL. */
#include "test.h"

#ifndef WITH_GSL

TEST(statistics_agree_with_gsl) {
    SKIP("built without GSL (libgsl-dev)");
}

#else

#include <math.h>

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_sf_gamma.h>
#include <gsl/gsl_statistics.h>

#include "stat/compare.h"
#include "stat/distribution.h"
#include "stat/two.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define CHECK_CLOSE(a, b)                                                                          \
    do {                                                                                           \
        double is_ = (a), wanted_ = (b);                                                           \
        CHECK_MSG(fabs(is_ - wanted_) <= 1e-9 * fabs(wanted_), #a " is %.15g, not %.15g", is_,     \
                  wanted_);                                                                        \
    } while (0)

static const double old[] = {10.21, 10.48, 9.97, 10.15, 10.33, 10.02, 10.71, 10.19, 10.26, 10.08};
static const double new[] = {10.46, 10.52, 10.31, 10.87, 10.25, 10.60, 10.44, 10.39, 10.55};

/* gsl_cdf_tdist_Q() is an expansion with more than 30 degrees of freedom, good to seven digits of
 * small tails; GSL's own incomplete beta function has no such gap. */
static double student_above(double t, double df) {
    if (df <= 30 || df > 10000) return gsl_cdf_tdist_Q(t, df);
    double tail = 0.5 * gsl_cdf_beta_P(df / (df + t * t), df / 2, 0.5);
    return t > 0 ? tail : 1 - tail;
}

TEST(student_agrees) {
    static const double df[] = {1, 1.3, 2, 4.75, 10, 17.2, 33, 120, 999.5, 1e4, 1e5, 1e6, 1e9};
    for (size_t i = 0; i < COUNT(df); i++) {
        for (double t = -30; t <= 30; t += 0.37) {
            double ours = lab_stat_student_above(t, df[i]);
            CHECK_CLOSE(ours, student_above(t, df[i]));
            CHECK_LE(fabs(ours - gsl_cdf_tdist_Q(t, df[i])), 1e-9);
        }
        for (double p = 0.001; p < 0.5; p += 0.013) {
            CHECK_CLOSE(lab_stat_student_point(p, df[i]), gsl_cdf_tdist_Qinv(p, df[i]));
        }
    }
}

TEST(normal_agrees) {
    for (double z = -8; z <= 20; z += 0.13)
        CHECK_CLOSE(lab_stat_normal_above(z), gsl_cdf_ugaussian_Q(z));
    for (double p = 1e-9; p < 0.5; p *= 1.7)
        CHECK_CLOSE(lab_stat_normal_point(p), gsl_cdf_ugaussian_Qinv(p));
}

TEST(beta_and_binomial_agree) {
    static const double args[][2] = {{0.5, 0.5}, {3, 0.7}, {12, 30}, {200, 150}, {0.5, 5000}};
    for (size_t i = 0; i < COUNT(args); i++) {
        for (double x = 0.01; x < 1; x += 0.03) {
            double a = args[i][0], b = args[i][1];
            CHECK_CLOSE(lab_stat_beta(a, b, x), gsl_cdf_beta_P(x, a, b));
        }
    }
    for (unsigned k = 0; k < 60; k++) {
        CHECK_CLOSE(lab_stat_binomial(k, 60, 0.05, false), gsl_cdf_binomial_P(k, 0.05, 60));
        if (k > 0)
            CHECK_CLOSE(lab_stat_binomial(k, 60, 0.05, true), gsl_cdf_binomial_Q(k - 1, 0.05, 60));
    }
}

TEST(welch_agrees) {
    size_t n = COUNT(old), m = COUNT(new);
    double x[16], y[16];
    for (size_t i = 0; i < n; i++)
        x[i] = log(old[i]);
    for (size_t i = 0; i < m; i++)
        y[i] = log(new[i]);
    double u = gsl_stats_variance(x, 1, n) / (double)n, v = gsl_stats_variance(y, 1, m) / (double)m;
    double d = gsl_stats_mean(y, 1, m) - gsl_stats_mean(x, 1, n), e = sqrt(u + v);
    double df = (u + v) * (u + v) / (u * u / (double)(n - 1) + v * v / (double)(m - 1));
    struct lab_comparison c;
    lab_compare_sides(&(struct lab_side){old, n, NULL}, &(struct lab_side){new, m, NULL}, false,
                      0.01, &c);
    double t = gsl_cdf_tdist_Qinv(0.025, df), margin = log(1.01);
    CHECK_CLOSE(c.ratio, exp(d));
    CHECK_CLOSE(c.ratio_low, exp(d - t * e));
    CHECK_CLOSE(c.ratio_high, exp(d + t * e));
    CHECK_CLOSE(c.p_welch, 2 * gsl_cdf_tdist_Q(fabs(d) / e, df));
    double above = gsl_cdf_tdist_Q((d + margin) / e, df);
    double below = gsl_cdf_tdist_P((d - margin) / e, df);
    CHECK_CLOSE(c.p_same, above > below ? above : below);
}

/* Of ranks GSL has nothing but the coefficients to count them with: without ties the largest U
 * comes from one choice among all. */
TEST(extreme_ranks_agree) {
    double a[25], b[25];
    for (unsigned n = 2; n <= 25; n++) {
        for (unsigned i = 0; i < n; i++) {
            a[i] = i;
            b[i] = 100 + i;
        }
        CHECK_CLOSE(lab_stat_mann_whitney(a, n, b, n), 2 / gsl_sf_choose(2 * n, n));
    }
}

#endif
