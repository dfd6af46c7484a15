/* SPDX-License-Identifier: MIT */
/* Means that need not have equal variances (Welch, "The generalization of 'Student's' problem when
 * several different population variances are involved", Biometrika 34, 1947), equivalence by two
 * one-sided tests (Schuirmann, "A comparison of the two one-sided tests procedure and the power
 * approach", Journal of Pharmacokinetics and Biopharmaceutics 15, 1987), and the false discovery
 * rate (Benjamini and Hochberg, "Controlling the false discovery rate", Journal of the Royal
 * Statistical Society B 57, 1995). */
#include <math.h>
#include <stdlib.h>

#include "../text.h"
#include "distribution.h"
#include "two.h"

struct moments {
    double mean, variance;
};

/* Everything less the first value: of equal values the variance is exactly 0, and of large ones
 * that differ little no digits are lost. */
static struct moments moments(const double *values, size_t n) {
    double sum = 0, squares = 0, nd = (double)n;
    for (size_t i = 0; i < n; i++)
        sum += values[i] - values[0];
    double mean = sum / nd;
    for (size_t i = 0; i < n; i++) {
        double d = values[i] - values[0] - mean;
        squares += d * d;
    }
    return (struct moments){values[0] + mean, n > 1 ? squares / (nd - 1) : NAN};
}

struct lab_welch lab_stat_welch(const double *a, size_t na, const double *b, size_t nb) {
    struct moments x = moments(a, na), y = moments(b, nb);
    double u = x.variance / (double)na, v = y.variance / (double)nb, sum = u + v;
    double degrees = u * u / (double)(na - 1) + v * v / (double)(nb - 1);
    struct lab_welch w = {.difference = y.mean - x.mean, .error = sqrt(sum)};
    w.df = degrees > 0 ? sum * sum / degrees : (double)(na + nb) - 2;
    return w;
}

double lab_stat_welch_p(const struct lab_welch *w) {
    if (isnan(w->error))
        return NAN;
    if (!(w->error > 0))
        return fabs(w->difference) > 0 ? NAN : 1;
    double p = 2 * lab_stat_student_above(fabs(w->difference) / w->error, w->df);
    return p < 1 ? p : 1;
}

double lab_stat_welch_same_p(const struct lab_welch *w, double margin) {
    double inside = margin - fabs(w->difference);
    if (isnan(w->error))
        return NAN;
    if (!(w->error > 0))
        return inside > 0 ? 0 : 1;
    return lab_stat_student_above(inside / w->error, w->df);
}

struct ranked {
    double p;
    size_t at;
};

static int by_p(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    return (x->p > y->p) - (x->p < y->p);
}

void lab_stat_adjust(const double *p, double *adjusted, size_t n) {
    struct ranked *order = lab_alloc(n, sizeof(*order));
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        adjusted[i] = NAN;
        if (!isnan(p[i]))
            order[count++] = (struct ranked){p[i], i};
    }
    qsort(order, count, sizeof(*order), by_p);
    double least = 1;
    for (size_t i = count; i-- > 0;) {
        double q = order[i].p * (double)count / (double)(i + 1);
        least = q < least ? q : least;
        adjusted[order[i].at] = least;
    }
    free(order);
}
