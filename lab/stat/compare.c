/* SPDX-License-Identifier: MIT */
/* From two sides to one word.
 *
 * Welch's test on logarithms is the main one. It asks for no equal variances, and on logarithms
 * effects add that multiply in truth. But a few processes that a neighbour slowed by a tenth make
 * its interval too wide for anything, while the ranks of all others tell the difference plainly.
 * So both are asked, and the 5 % are divided among them: 4 % for Welch, 1 % for Mann and Whitney,
 * which together alarm falsely in at most 5 % (Bonferroni's inequality, with weights).
 *
 * "Faster" and "slower" need two things: a p of at most 5 %, after the adjustment for all that was
 * compared, and an effect beyond the margin, of the test that found it; for with enough processes
 * a difference of nothing that matters becomes certain. "Same" is a claim, too, and needs as much:
 * two one-sided tests at 5 % each, which is the 90 % interval inside the margin. What is left is
 * undecided, and is never called "no difference". doc/decisions/verdicts.md tells what was
 * rejected. */
#include "compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../text.h"
#include "distribution.h"
#include "two.h"

static const double alpha = 0.05, power = 0.8;
static const double welch_share = 0.8; /* of alpha; the ranks have the rest */
enum { BOOTSTRAP_DRAWS = 2000, BOOTSTRAP_SEED = 1, START_WITH = 10 };

/* What the tests see: one value a unit. */
struct units {
    double *values; /* logarithms, if `logs` */
    double *plain;
    size_t n;
    double processes_each; /* of a unit, on average */
};

struct member {
    unsigned layout;
    double value;
};

static int by_layout(const void *a, const void *b) {
    const struct member *x = a, *y = b;
    return (x->layout > y->layout) - (x->layout < y->layout);
}

static double scaled(double value, bool logs) {
    return logs ? log(value) : value;
}

/* Means of the processes of each layout, less the first value as everywhere. */
static void average_layouts(struct units *u, const struct lab_side *s, bool logs) {
    struct member *all = lab_alloc(s->n, sizeof(*all));
    for (size_t i = 0; i < s->n; i++)
        all[i] = (struct member){s->layout[i], scaled(s->values[i], logs)};
    qsort(all, s->n, sizeof(*all), by_layout);
    for (size_t i = 0, end; i < s->n; i = end) {
        double sum = 0;
        for (end = i; end < s->n && all[end].layout == all[i].layout; end++)
            sum += all[end].value - all[i].value;
        u->values[u->n++] = all[i].value + sum / (double)(end - i);
    }
    free(all);
}

static void make_units(struct units *u, const struct lab_side *s, bool logs) {
    *u = (struct units){.values = lab_alloc(s->n, sizeof(*u->values)),
                        .plain = lab_alloc(s->n, sizeof(*u->plain))};
    if (s->layout) {
        average_layouts(u, s, logs);
    } else {
        for (size_t i = 0; i < s->n; i++)
            u->values[u->n++] = scaled(s->values[i], logs);
    }
    for (size_t i = 0; i < u->n; i++) {
        u->plain[i] = !s->layout ? s->values[i] : logs ? exp(u->values[i]) : u->values[i];
    }
    u->processes_each = (double)s->n / (double)u->n;
}

static void free_units(struct units *u) {
    free(u->values);
    free(u->plain);
}

static bool all_positive(const struct lab_side *s) {
    for (size_t i = 0; i < s->n; i++) {
        if (!(s->values[i] > 0))
            return false;
    }
    return true;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double plain_ratio(const struct units *a, const struct units *b) {
    double mean_a = 0, mean_b = 0;
    for (size_t i = 0; i < a->n; i++)
        mean_a += a->plain[i] / (double)a->n;
    for (size_t i = 0; i < b->n; i++)
        mean_b += b->plain[i] / (double)b->n;
    if (mean_a > 0)
        return mean_b / mean_a;
    return fabs(mean_b - mean_a) > 0 ? NAN : 1;
}

/* Whether n units a side, each as spread as seen, would decide with the wanted power. `error` is
 * the standard error that one unit a side would have. */
static bool would_decide(double effect, double margin, double error, double n) {
    double e = error / sqrt(n), df = 2 * n - 2, reserve = lab_stat_student_point(1 - power, df);
    if (effect > margin)
        return effect >= (lab_stat_student_point(alpha * welch_share / 2, df) + reserve) * e;
    /* Both of the one-sided tests have to succeed; with no effect each fails as often. */
    double point = lab_stat_student_point(alpha, df);
    double fails = lab_stat_student_above((margin - effect) / e - point, df) +
                   lab_stat_student_above((margin + effect) / e - point, df);
    return fails <= 1 - power;
}

/* See lab_comparison.more. */
static size_t how_many(const struct lab_welch *w, const struct units *a, const struct units *b,
                       double margin) {
    double each = a->processes_each > b->processes_each ? a->processes_each : b->processes_each;
    size_t now = a->n < b->n ? a->n : b->n;
    if (isnan(w->error))
        return (size_t)ceil(START_WITH * each);
    /* One unit a side: as if both sides had as many as the smaller one. */
    double error = w->error * sqrt((double)now), effect = fabs(w->difference);
    size_t low = now, high = LAB_MORE_MAX;
    if (now >= high || !would_decide(effect, margin, error, (double)high))
        return LAB_MORE_MAX;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (would_decide(effect, margin, error, (double)middle)) {
            high = middle;
        } else {
            low = middle;
        }
    }
    double more = ceil((double)high * each);
    return more < LAB_MORE_MAX ? (size_t)more : LAB_MORE_MAX;
}

/* Where no side varies, as counts often do, there is no error to hold the difference against: the
 * ranks decide alone. */
static double both(double p_welch, double p_ranks) {
    if (isnan(p_welch))
        return p_ranks;
    return fmin(fmin(p_welch / welch_share, p_ranks / (1 - welch_share)), 1);
}

/* The log of the ratio as the test saw it that says more; INFINITY from nothing to something. */
static double effect_found(const struct lab_comparison *c) {
    bool by_welch = c->p_welch / welch_share <= c->p_mann_whitney / (1 - welch_share);
    double effect = by_welch ? log(c->ratio) : c->effect_ranks;
    return isnan(effect) ? copysign(INFINITY, c->shift) : effect;
}

static enum lab_verdict judge(const struct lab_comparison *c, double margin) {
    double effect = effect_found(c);
    if (c->p_adjusted <= alpha && fabs(effect) > log1p(margin))
        return (effect > 0) == c->higher_is_better ? LAB_VERDICT_FASTER : LAB_VERDICT_SLOWER;
    return margin > 0 && c->p_same <= alpha ? LAB_VERDICT_SAME : LAB_VERDICT_UNDECIDED;
}

static void conclude(struct lab_comparison *c, double margin) {
    c->verdict = judge(c, margin);
    c->more = c->verdict == LAB_VERDICT_UNDECIDED ? c->more_if : 0;
}

static void compare_logs(const struct units *a, const struct units *b, const struct lab_welch *w,
                         double margin, bool bootstrap, struct lab_comparison *out) {
    double half = NAN;
    if (w->error > 0) {
        half = w->error * lab_stat_student_point(alpha / 2, w->df);
    } else if (w->error <= 0 && !(fabs(w->difference) > 0)) {
        half = 0; /* all alike */
    }
    out->ratio = exp(w->difference);
    out->ratio_low = exp(w->difference - half);
    out->ratio_high = exp(w->difference + half);
    out->p_same = lab_stat_welch_same_p(w, log1p(margin));
    out->more_if = how_many(w, a, b, log1p(margin));
    if (bootstrap && a->n <= LAB_BOOTSTRAP_MAX && b->n <= LAB_BOOTSTRAP_MAX) {
        struct lab_interval boot =
            lab_stat_bootstrap95(a->values, a->n, b->values, b->n, BOOTSTRAP_DRAWS, BOOTSTRAP_SEED);
        out->boot_low = exp(boot.low);
        out->boot_high = exp(boot.high);
    }
}

/* Amounts of which some are zero: the difference relative to A's mean stands for the logarithm,
 * to which it is close where it matters, near the margin. */
static void compare_plain(const struct units *a, const struct units *b, struct lab_welch *w,
                          double margin, struct lab_comparison *out) {
    double mean = 0;
    for (size_t i = 0; i < a->n; i++)
        mean += a->plain[i] / (double)a->n;
    out->ratio = plain_ratio(a, b);
    if (mean > 0) {
        out->p_same = lab_stat_welch_same_p(w, margin * mean);
        w->difference /= mean;
        w->error /= mean;
        out->more_if = how_many(w, a, b, margin);
    } else if (!isnan(w->error)) {
        out->p_same = w->error > 0 || fabs(w->difference) > 0 ? 1 : 0; /* all zero: the same */
        out->more_if = w->error > 0 ? LAB_MORE_MAX : START_WITH;
    }
}

static void compare(const struct lab_side *a, const struct lab_side *b, bool higher_is_better,
                    double margin, bool bootstrap, struct lab_comparison *out) {
    struct units x, y;
    bool logs = all_positive(a) && all_positive(b);
    *out = (struct lab_comparison){.ratio_low = NAN,
                                   .ratio_high = NAN,
                                   .boot_low = NAN,
                                   .boot_high = NAN,
                                   .p_same = NAN,
                                   .more_if = START_WITH,
                                   .higher_is_better = higher_is_better};
    make_units(&x, a, logs);
    make_units(&y, b, logs);
    struct lab_welch w = lab_stat_welch(x.values, x.n, y.values, y.n);
    out->p_welch = lab_stat_welch_p(&w);
    qsort(x.plain, x.n, sizeof(double), ascending); /* once, for both that follow */
    qsort(y.plain, y.n, sizeof(double), ascending);
    out->p_mann_whitney = lab_stat_mann_whitney(x.plain, x.n, y.plain, y.n);
    struct lab_shift shift = lab_stat_hodges_lehmann(x.plain, x.n, y.plain, y.n);
    out->shift = shift.estimate;
    out->shift_low = shift.low;
    out->shift_high = shift.high;
    /* Relative to the middle of A, which is sorted. */
    double middle = x.plain[(x.n - 1) / 2] / 2 + x.plain[x.n / 2] / 2;
    out->effect_ranks = middle > 0 ? log1p(shift.estimate / middle) : NAN;
    out->p_both = out->p_adjusted = both(out->p_welch, out->p_mann_whitney);
    if (logs) {
        compare_logs(&x, &y, &w, margin, bootstrap, out);
    } else {
        compare_plain(&x, &y, &w, margin, out);
    }
    if (x.n < LAB_COMPARE_MIN || y.n < LAB_COMPARE_MIN) {
        out->p_both = out->p_adjusted = out->p_same = NAN;
        out->more_if = 0;
    }
    conclude(out, margin);
    free_units(&x);
    free_units(&y);
}

void lab_compare_sides(const struct lab_side *a, const struct lab_side *b, bool higher_is_better,
                       double margin, struct lab_comparison *out) {
    compare(a, b, higher_is_better, margin, true, out);
}

void lab_compare_verdict(const struct lab_side *a, const struct lab_side *b, bool higher_is_better,
                         double margin, struct lab_comparison *out) {
    compare(a, b, higher_is_better, margin, false, out);
}

void lab_compare_adjust(struct lab_comparison *all, size_t n, double margin) {
    double *p = lab_alloc(n, sizeof(*p)), *adjusted = lab_alloc(n, sizeof(*adjusted));
    for (size_t i = 0; i < n; i++)
        p[i] = all[i].p_both;
    lab_stat_adjust(p, adjusted, n);
    for (size_t i = 0; i < n; i++) {
        all[i].p_adjusted = adjusted[i];
        conclude(&all[i], margin);
    }
    free(p);
    free(adjusted);
}

const char *lab_verdict_word(enum lab_verdict v) {
    static const char *const words[] = {"faster", "slower", "same", "undecided"};
    return words[v];
}
