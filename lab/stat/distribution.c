/* SPDX-License-Identifier: MIT */
/* Student's t, the binomial and the beta distribution are all the incomplete beta function, which
 * is computed by its continued fraction (NIST Digital Library of Mathematical Functions, 8.17.22)
 * from the front, as Thompson and Barnett do after Lentz ("Coulomb and Bessel functions of complex
 * arguments and order", Journal of Computational Physics 64, 1986). Left of the mean it converges
 * in some sqrt(max(a, b)) steps; right of it the other tail is computed.
 *
 * Points are found by Newton's method on the tail, which is convex and falls: from the left of the
 * point it comes nearer in every step and never passes it. */
#include "distribution.h"

#include <float.h>
#include <math.h>

/* lgamma(x) less the first terms of Stirling's series, x >= 10 (DLMF 5.11.1). */
static double stirling_rest(double x) {
    double r = 1 / (x * x);
    return (1.0 / 12 -
            r * (1.0 / 360 -
                 r * (1.0 / 1260 - r * (1.0 / 1680 - r * (1.0 / 1188 - r * (691.0 / 360360)))))) /
           x;
}

static double log_gamma(double x) {
    int sign;
    return lgamma_r(x, &sign);
}

/* log B(a, b). With large arguments the logarithms of the gamma function are large and nearly
 * cancel: what cancels is taken out beforehand. */
static double log_beta(double a, double b) {
    double p = a < b ? a : b, q = a < b ? b : a;
    if (q < 10)
        return log_gamma(p) + log_gamma(q) - log_gamma(p + q);
    double part = p / (p + q);
    if (p < 10)
        return log_gamma(p) + stirling_rest(q) - stirling_rest(p + q) + p - p * log(p + q) +
               (q - 0.5) * log1p(-part);
    return 0.5 * log(2 * M_PI / q) + stirling_rest(p) + stirling_rest(q) - stirling_rest(p + q) +
           (p - 0.5) * log(part) + q * log1p(-part);
}

static double away_from_zero(double v) {
    return fabs(v) < DBL_MIN * 1e10 ? DBL_MIN * 1e10 : v;
}

/* The fraction of 8.17.22, for x below the mean. */
static double fraction(double a, double b, double x) {
    enum { STEPS_MAX = 1000000 };
    double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), f = d;
    for (int m = 1; m < STEPS_MAX; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / away_from_zero(1 + even * d);
        c = away_from_zero(1 + even / c);
        f *= c * d;
        d = 1 / away_from_zero(1 + odd * d);
        c = away_from_zero(1 + odd / c);
        f *= c * d;
        if (fabs(c * d - 1) < 1e-16)
            break;
    }
    return f;
}

/* I_x(a, b) with x and its complement both given: each may be tiny, and neither is to be had from
 * the other then. */
static double beta(double a, double b, double x, double rest) {
    if (x <= 0)
        return 0;
    if (rest <= 0)
        return 1;
    double log_x = x < 0.5 ? log(x) : log1p(-rest);
    double log_rest = rest < 0.5 ? log(rest) : log1p(-x);
    double front = exp(a * log_x + b * log_rest - log_beta(a, b));
    if (x < (a + 1) / (a + b + 2))
        return front * fraction(a, b, x) / a;
    return 1 - front * fraction(b, a, rest) / b;
}

double lab_stat_beta(double a, double b, double x) {
    return beta(a, b, x, 1 - x);
}

double lab_stat_normal_above(double z) {
    return 0.5 * erfc(z * M_SQRT1_2);
}

/* The normal deviate that is exceeded as often as t (Hill, "Algorithm 395: Student's
 * t-distribution", Communications of the ACM 13, 1970): the terms that are left out are below
 * 1e-15 with so many degrees of freedom, where 1 - x above has lost its digits. */
static double as_normal(double t, double df) {
    double a = df - 0.5, b = 48 * a * a, y = sqrt(a * log1p(t * t / df));
    return copysign(y + (y * y + 3) * y / b, t);
}

double lab_stat_student_above(double t, double df) {
    enum { NEARLY_NORMAL = 100000 };
    double squared = t * t;
    if (!isfinite(squared))
        return t > 0 ? 0 : 1;
    if (df > NEARLY_NORMAL)
        return lab_stat_normal_above(as_normal(t, df));
    double tail = 0.5 * beta(df / 2, 0.5, df / (df + squared), squared / (df + squared));
    return t > 0 ? tail : 1 - tail;
}

/* df: infinite for the normal distribution. */
static double above(double t, double df) {
    return isinf(df) ? lab_stat_normal_above(t) : lab_stat_student_above(t, df);
}

static double density(double t, double df) {
    if (isinf(df))
        return exp(-t * t / 2) / sqrt(2 * M_PI);
    return exp(-0.5 * (df + 1) * log1p(t * t / df) - 0.5 * log(df) - log_beta(df / 2, 0.5));
}

static double point(double p, double df) {
    enum { STEPS_MAX = 2000 };
    if (p > 0.5)
        return -point(1 - p, df);
    double t = 0;
    for (int i = 0; i < STEPS_MAX; i++) {
        double step = (above(t, df) - p) / density(t, df);
        /* At the point itself, roundings decide the sign. */
        if (!(step > t * 1e-15))
            break;
        t += step;
    }
    return t;
}

double lab_stat_student_point(double p, double df) {
    return point(p, df);
}

double lab_stat_normal_point(double p) {
    return point(p, INFINITY);
}

double lab_stat_binomial(size_t k, size_t n, double p, bool above_k) {
    double kd = (double)k, nd = (double)n;
    if (above_k)
        return k == 0 ? 1 : k > n ? 0 : beta(kd, nd - kd + 1, p, 1 - p);
    return k >= n ? 1 : beta(nd - kd, kd + 1, 1 - p, p);
}

/* The p for which the tail that grows (`above_k`) or falls with p is 2.5 %. */
static double proportion(size_t k, size_t n, bool above_k) {
    double low = 0, high = 1;
    for (int i = 0; i < 60; i++) {
        double p = (low + high) / 2, tail = lab_stat_binomial(k, n, p, above_k);
        if ((tail < 0.025) == above_k) {
            low = p;
        } else {
            high = p;
        }
    }
    return (low + high) / 2;
}

struct lab_interval lab_stat_proportion95(size_t hits, size_t n) {
    return (struct lab_interval){hits == 0 ? 0 : proportion(hits, n, true),
                                 hits >= n ? 1 : proportion(hits, n, false)};
}
