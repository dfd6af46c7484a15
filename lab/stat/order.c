/* SPDX-License-Identifier: MIT */
/* Median, extremes, and random order. */
#include <stdlib.h>
#include <string.h>

#include "../text.h"
#include "stat.h"

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double lab_stat_median(const double *values, size_t n) {
    double *sorted = lab_alloc(n, sizeof(*sorted));
    memcpy(sorted, values, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), compare);
    /* Halves before the sum: two large values must not overflow. */
    double m = n % 2 ? sorted[n / 2] : sorted[n / 2 - 1] / 2 + sorted[n / 2] / 2;
    free(sorted);
    return m;
}

double lab_stat_min(const double *values, size_t n) {
    double least = values[0];
    for (size_t i = 1; i < n; i++)
        least = values[i] < least ? values[i] : least;
    return least;
}

double lab_stat_max(const double *values, size_t n) {
    double most = values[0];
    for (size_t i = 1; i < n; i++)
        most = values[i] > most ? values[i] : most;
    return most;
}

uint64_t lab_stat_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void lab_stat_permutation(size_t *order, size_t n, uint64_t *state) {
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t i = n; i > 1; i--) {
        /* The bias of the remainder is below 2^-50 for any n that occurs. */
        size_t j = (size_t)(lab_stat_random(state) % i), keep = order[i - 1];
        order[i - 1] = order[j];
        order[j] = keep;
    }
}
