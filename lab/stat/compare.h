/* SPDX-License-Identifier: MIT */
/* Two sides, A and B, compared: how much differs B, how sure is that, and one word for it.
 *
 * A side is one value a process (the median of its samples). Where a side was linked with several
 * layouts, the layout is the unit: processes of one layout resemble each other, and are averaged
 * to one value first. Everything below is over these units. */
#ifndef HEDDLE_LAB_COMPARE_H
#define HEDDLE_LAB_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

enum lab_verdict {
    LAB_VERDICT_FASTER,   /* B is better, by more than the margin */
    LAB_VERDICT_SLOWER,   /* B is worse, by more than the margin */
    LAB_VERDICT_SAME,     /* they differ by less than the margin, and that is shown */
    LAB_VERDICT_UNDECIDED /* neither could be shown: see `more` */
};

/* How much two things may differ and still be the same, unless somebody says otherwise. */
#define LAB_MARGIN_DEFAULT 0.01

struct lab_side {
    const double *values; /* one a process, finite; see below for those that are not positive */
    size_t n;
    const unsigned *layout; /* of each process, any numbers; NULL: each has its own */
};

/* What cannot be computed is NAN: intervals and p of a side with fewer than two units; those of
 * Welch where the sides differ and neither varies at all, which says nothing of how sure that is;
 * the interval of a shift with so few that even the extremes cover less than 95 %. */
struct lab_comparison {
    /* B over A: geometric means, with the 95 % interval of Welch's test on logarithms. If a value
     * is not positive: of arithmetic means, without an interval (then p_welch is of the plain
     * values); NAN if A's mean is zero. */
    double ratio, ratio_low, ratio_high;
    /* B less A, in the unit of the values: the median of all pairs' differences (Hodges and
     * Lehmann), with its 95 % interval. */
    double shift, shift_low, shift_high;
    /* The 95 % interval of the ratio by the bootstrap over units; NAN with fewer than 5 a side and
     * with more than LAB_BOOTSTRAP_MAX, where it is the other interval. */
    double boot_low, boot_high;
    double p_welch;        /* two-sided, against equality */
    double p_mann_whitney; /* the same by ranks */
    /* Of both tests as one, or of the ranks where Welch's says nothing: what the verdict is made
     * of. NAN with fewer than LAB_COMPARE_MIN units a side, where there is no verdict. */
    double p_both;
    double p_adjusted; /* that among all that were compared (Benjamini and Hochberg) */
    double p_same;     /* of the two one-sided tests, against a difference of the margin */
    /* Where undecided: how many processes a side it would take for an 80 % chance of a decision,
     * if the difference is what it seems to be; at most LAB_MORE_MAX. Else 0, and with fewer than
     * LAB_COMPARE_MIN units a side, from which nothing can be foretold. */
    size_t more;
    size_t more_if;      /* the same before any verdict */
    double effect_ranks; /* log of the ratio by the shift of Hodges and Lehmann; NAN if unknown */
    bool higher_is_better;
    enum lab_verdict verdict;
};

/* LAB_COMPARE_WIDE: the interval of a ratio whose ends differ by so much says nothing. */
enum {
    LAB_COMPARE_MIN = 3,
    LAB_COMPARE_WIDE = 100,
    LAB_BOOTSTRAP_MAX = 500,
    LAB_MORE_MAX = 100000
};

/* Compares B with A. `margin`: 0.01 is 1 %; with 0 there is no "same". p_adjusted is p_both and
 * the verdict is that of a single comparison. Both sides have at least one value. */
void lab_compare_sides(const struct lab_side *a, const struct lab_side *b, bool higher_is_better,
                       double margin, struct lab_comparison *out);

/* The same without the interval by the bootstrap, which takes most of the time and has no part in
 * the verdict. */
void lab_compare_verdict(const struct lab_side *a, const struct lab_side *b, bool higher_is_better,
                         double margin, struct lab_comparison *out);

/* Adjusts p over all comparisons of a report, and forms the verdicts anew. */
void lab_compare_adjust(struct lab_comparison *all, size_t n, double margin);

/* "faster", "slower", "same", "undecided". */
const char *lab_verdict_word(enum lab_verdict v);

#endif
