/* SPDX-License-Identifier: MIT */
/* The bootstrap of Student's t (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993,
 * 12.5): each time both samples are drawn again, with replacement, and t is taken around what was
 * seen; the interval ends where the middle 95 % of these t do. It follows skew, which the
 * tables of t do not, and keeps the coverage of t with ten values a side, where the plain
 * percentiles are too narrow.
 *
 * Who has clusters (layouts) gives their means: clusters are what is drawn again, whole. */
#include <math.h>
#include <stdlib.h>

#include "../text.h"
#include "two.h"

enum { LEAST = 5 };

/* Two places from one number, its halves scaled to n: the bias is below n / 2^32. */
static void draw(const double *from, double *to, size_t n, uint64_t *state) {
    uint64_t r = 0;
    for (size_t i = 0; i < n; i++) {
        r = i % 2 ? r << 32 : lab_stat_random(state);
        to[i] = from[(r >> 32) * n >> 32];
    }
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct lab_interval lab_stat_bootstrap95(const double *a, size_t na, const double *b, size_t nb,
                                         unsigned draws, uint64_t seed) {
    struct lab_interval none = {NAN, NAN};
    if (na < LEAST || nb < LEAST || draws == 0)
        return none;
    struct lab_welch seen = lab_stat_welch(a, na, b, nb);
    double *x = lab_alloc(na, sizeof(*x)), *y = lab_alloc(nb, sizeof(*y));
    double *t = lab_alloc(draws, sizeof(*t));
    size_t n = 0;
    for (unsigned i = 0; i < draws; i++) {
        draw(a, x, na, &seed);
        draw(b, y, nb, &seed);
        struct lab_welch w = lab_stat_welch(x, na, y, nb);
        if (w.error > 0) /* not one value again and again */
            t[n++] = (w.difference - seen.difference) / w.error;
    }
    struct lab_interval interval = {seen.difference, seen.difference};
    if (n > 0) {
        qsort(t, n, sizeof(*t), ascending);
        size_t tail = (size_t)(0.025 * (double)(n + 1));
        tail = tail ? tail - 1 : 0;
        interval.low = seen.difference - t[n - 1 - tail] * seen.error;
        interval.high = seen.difference - t[tail] * seen.error;
    }
    free(x);
    free(y);
    free(t);
    return interval;
}
