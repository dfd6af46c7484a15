/* SPDX-License-Identifier: MIT */
/* Made-up measurements, of which the truth is known: what a verdict is worth is seen by how often
 * it is wrong about them. */
#ifndef HEDDLE_LAB_SIMULATE_H
#define HEDDLE_LAB_SIMULATE_H

#include "compare.h"
#include "stat.h"

/* log time = effect (of B) + layout + process + sample, each but the first normal around 0. What
 * a process gives is the median of its samples; every twentieth of these is disturbed, and takes
 * up to 10 % more. */
struct lab_simulation {
    unsigned layouts;   /* a side; 0: every process is a unit */
    unsigned processes; /* of each layout, or a side */
    unsigned samples;
    double layout_sd, process_sd, sample_sd;
    double effect;   /* log of the true ratio of B to A */
    double outliers; /* part of the processes that a neighbour slows by a tenth */
};

/* How many comparisons ended in which way. */
struct lab_tally {
    size_t comparisons;
    size_t alarms;      /* p_welch at most 5 % */
    size_t rank_alarms; /* p_mann_whitney at most 5 % */
    size_t both_alarms; /* p_both at most 5 % */
    size_t words[LAB_VERDICT_UNDECIDED + 1];
};
void lab_tally_add(struct lab_tally *t, const struct lab_comparison *c);

/* One side; layouts * processes values (or processes, where layouts is 0), and as many numbers of
 * layouts. */
void lab_simulate_side(const struct lab_simulation *s, bool is_b, uint64_t *state, double *values,
                       unsigned *layout);

/* Compares simulated pairs. `pooled`: as one must not, each process as if it had a layout of its
 * own. */
void lab_simulate(const struct lab_simulation *s, size_t comparisons, double margin, bool pooled,
                  uint64_t seed, struct lab_tally *tally);

#endif
