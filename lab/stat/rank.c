/* SPDX-License-Identifier: MIT */
/* By ranks: the test of Mann and Whitney ("On a test of whether one of two random variables is
 * stochastically larger than the other", Annals of Mathematical Statistics 18, 1947) and the shift
 * of Hodges and Lehmann ("Estimates of location based on rank tests", Annals of Mathematical
 * Statistics 34, 1963).
 *
 * The exact test counts, among all ways to pick one sample's ranks out of the pool, those with a
 * given sum, by adding one rank at a time (the shift algorithm of Streitberg and Roehmel,
 * "Exact distributions for permutation and rank tests", Statistical Software Newsletter 12, 1986).
 * It takes mean ranks as they are, so ties need no other formula; ranks are doubled to be whole.
 * With at most 50 values the counts are below 2^47, and exact in a double.
 *
 * The shift is an order statistic of all na * nb differences, which are never written down: in the
 * sorted samples the number of differences up to a bound is counted in one sweep, and bounds close
 * in from both sides until few enough are left between them to be sorted. A million values take
 * some ten sweeps. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../text.h"
#include "distribution.h"
#include "two.h"

enum { EXACT_MAX = 50 };

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double *sorted(const double *values, size_t n) {
    double *copy = lab_alloc(n, sizeof(*copy));
    memcpy(copy, values, n * sizeof(*copy));
    for (size_t i = 1; i < n; i++) {
        if (copy[i] < copy[i - 1]) {
            qsort(copy, n, sizeof(*copy), ascending);
            break;
        }
    }
    return copy;
}

/* How many ways there are to pick k of the n doubled ranks so that they sum to s, for each s up
 * to n * (n + 1): row k of the table, which the caller frees. */
static double *ways_to_pick(const size_t *ranks, size_t n, size_t k) {
    size_t width = n * (n + 1) + 1;
    double *ways = lab_alloc((k + 1) * width, sizeof(*ways));
    ways[0] = 1;
    for (size_t i = 0; i < n; i++) {
        /* Downwards, so that each rank is picked once. */
        for (size_t j = (i + 1 < k ? i + 1 : k); j > 0; j--) {
            for (size_t s = ranks[i]; s < width; s++)
                ways[j * width + s] += ways[(j - 1) * width + s - ranks[i]];
        }
    }
    memmove(ways, ways + k * width, width * sizeof(*ways));
    return ways;
}

struct pool {
    double rank_sum; /* of a, doubled */
    double ties;     /* sum of t^3 - t over groups of t equal values */
    size_t *ranks;   /* doubled mean ranks of all, where exact; else NULL */
};

/* Merges two sorted samples. */
static struct pool rank(const double *a, size_t na, const double *b, size_t nb) {
    struct pool p = {0};
    size_t n = na + nb, i = 0, j = 0;
    if (n <= EXACT_MAX)
        p.ranks = lab_alloc(n, sizeof(*p.ranks));
    while (i < na || j < nb) {
        size_t before = i + j, from_a = i;
        double value = i < na && (j == nb || a[i] <= b[j]) ? a[i] : b[j];
        while (i < na && a[i] <= value)
            i++;
        while (j < nb && b[j] <= value)
            j++;
        size_t doubled = before + 1 + i + j; /* first rank + last rank */
        double t = (double)(i + j - before);
        p.rank_sum += (double)(i - from_a) * (double)doubled;
        p.ties += t * t * t - t;
        for (size_t k = before; p.ranks && k < i + j; k++)
            p.ranks[k] = doubled;
    }
    return p;
}

static double exact_p(const struct pool *p, size_t na, size_t n) {
    double *ways = ways_to_pick(p->ranks, n, na);
    size_t seen = (size_t)p->rank_sum;
    double below = 0, above = 0, all = 0;
    for (size_t s = 0; s <= n * (n + 1); s++) {
        all += ways[s];
        below += s <= seen ? ways[s] : 0;
        above += s >= seen ? ways[s] : 0;
    }
    free(ways);
    return 2 * (below < above ? below : above) / all;
}

double lab_stat_mann_whitney(const double *a, size_t na, const double *b, size_t nb) {
    double *x = sorted(a, na), *y = sorted(b, nb), p;
    size_t n = na + nb;
    struct pool pool = rank(x, na, y, nb);
    free(x);
    free(y);
    if (pool.ranks) {
        p = exact_p(&pool, na, n);
        free(pool.ranks);
    } else {
        double nd = (double)n, product = (double)na * (double)nb;
        double mean = (double)na * (nd + 1) / 2;
        double variance = product / 12 * (nd + 1 - pool.ties / (nd * (nd - 1)));
        double away = fabs(pool.rank_sum / 2 - mean) - 0.5;
        p = variance > 0 && away > 0 ? 2 * lab_stat_normal_above(away / sqrt(variance)) : 1;
    }
    return p < 1 ? p : 1;
}

/* The largest k for which the k-th smallest difference is above the true shift in at most 2.5 % of
 * cases: that happens when U < k. 0 if there is none. */
static size_t shift_rank(size_t na, size_t nb) {
    size_t n = na + nb, k = 0;
    if (n > EXACT_MAX) {
        double nd = (double)n, product = (double)na * (double)nb;
        double bound =
            product / 2 + 0.5 - lab_stat_normal_point(0.025) * sqrt(product * (nd + 1) / 12);
        return bound >= 1 ? (size_t)bound : 0;
    }
    size_t ranks[EXACT_MAX] = {0}, least = na * (na + 1);
    for (size_t i = 0; i < n; i++)
        ranks[i] = 2 * (i + 1);
    double *ways = ways_to_pick(ranks, n, na), all = 0, below = 0;
    for (size_t s = 0; s <= n * (n + 1); s++)
        all += ways[s];
    while (k < na * nb) {
        below += ways[least + 2 * k];
        if (below > 0.025 * all)
            break;
        k++;
    }
    free(ways);
    return k;
}

/* ---- the k-th smallest of all differences y[j] - x[i] of sorted samples ---- */

struct pairs {
    const double *x, *y;
    size_t nx, ny;
};

/* How many differences are at most `bound`. Subtraction is monotone, rounded or not. */
static uint64_t count_up_to(const struct pairs *p, double bound) {
    uint64_t count = 0;
    size_t j = 0;
    for (size_t i = 0; i < p->nx; i++) {
        while (j < p->ny && p->y[j] - p->x[i] <= bound)
            j++;
        count += j;
    }
    return count;
}

struct neighbours {
    double kth, next; /* next: NAN where it was not among those that were sorted */
};

/* The k-th (from 1) of the differences in (low, high], of which there are `count`. */
static struct neighbours among(const struct pairs *p, double low, double high, uint64_t count,
                               uint64_t k) {
    double *list = lab_alloc(count, sizeof(*list));
    size_t n = 0, from = 0;
    for (size_t i = 0; i < p->nx; i++) {
        while (from < p->ny && p->y[from] - p->x[i] <= low)
            from++;
        for (size_t j = from; j < p->ny && p->y[j] - p->x[i] <= high; j++)
            list[n++] = p->y[j] - p->x[i];
    }
    qsort(list, n, sizeof(*list), ascending);
    struct neighbours found = {list[k - 1], k < n ? list[k] : NAN};
    free(list);
    return found;
}

/* Halfway by the order of the doubles: at most 64 steps lead from anywhere to anywhere. */
static double halfway(double low, double high) {
    int64_t bits[2];
    const double ends[2] = {low, high};
    memcpy(bits, ends, sizeof(bits));
    for (int i = 0; i < 2; i++)
        bits[i] = bits[i] < 0 ? INT64_MIN - bits[i] : bits[i];
    int64_t middle = (bits[0] & bits[1]) + ((bits[0] ^ bits[1]) >> 1);
    middle = middle < 0 ? INT64_MIN - middle : middle;
    double m;
    memcpy(&m, &middle, sizeof(m));
    return m;
}

/* Where to cut (low, high], of which a part `share` is below what is sought. At first by share, a
 * little to the one side and to the other in turn, so that both ends come near; now and then in
 * the middle; and where that gains little, as with outliers, halfway. */
static double cut(double low, double high, double share, unsigned step) {
    enum { BY_VALUE = 48 };
    double at = step % 2 ? share - 0.02 : share + 0.02;
    if (step >= BY_VALUE)
        return halfway(low, high);
    if (step % 4 == 3 || at <= 0 || at >= 1)
        at = 0.5;
    return low + (high - low) * at;
}

static struct neighbours kth_difference(const struct pairs *p, uint64_t k) {
    double high = p->y[p->ny - 1] - p->x[0];
    double low = nextafter(p->y[0] - p->x[p->nx - 1], -INFINITY);
    uint64_t below = 0, up_to = (uint64_t)p->nx * p->ny, few = 4096 + (p->nx + p->ny) / 8;
    for (unsigned step = 0; up_to - below > few; step++) {
        double share = (double)(k - below) / (double)(up_to - below);
        double middle = cut(low, high, share, step);
        if (!(middle > low && middle < high)) {
            if (nextafter(low, INFINITY) >= high) /* equal differences */
                return (struct neighbours){high, k < up_to ? high : NAN};
            continue;
        }
        uint64_t count = count_up_to(p, middle);
        if (count >= k) {
            high = middle;
            up_to = count;
        } else {
            low = middle;
            below = count;
        }
    }
    return among(p, low, high, up_to - below, k - below);
}

/* The middle one of `all` differences, or halfway between the middle two. */
static double median_difference(const struct pairs *p, uint64_t all) {
    struct neighbours n = kth_difference(p, (all + 1) / 2);
    if (all % 2)
        return n.kth;
    if (isnan(n.next))
        n.next = kth_difference(p, all / 2 + 1).kth;
    return n.kth / 2 + n.next / 2;
}

struct lab_shift lab_stat_hodges_lehmann(const double *a, size_t na, const double *b, size_t nb) {
    double *x = sorted(a, na), *y = sorted(b, nb);
    struct pairs p = {x, y, na, nb};
    uint64_t all = (uint64_t)na * nb;
    struct lab_shift shift = {.low = NAN, .high = NAN};
    shift.estimate = median_difference(&p, all);
    size_t k = shift_rank(na, nb);
    if (k > 0) {
        shift.low = kth_difference(&p, k).kth;
        shift.high = kth_difference(&p, all + 1 - k).kth;
    }
    free(x);
    free(y);
    return shift;
}
