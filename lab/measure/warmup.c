/* SPDX-License-Identifier: MIT */
/* Warm-up, seen and dropped by a rule.
 *
 * Every process is fresh, so what warms up does so at the same place in each of them; noise does
 * not. The last half of a process's samples is taken as warm. The first sample is warm-up if, in
 * so many processes that chance would rarely do it, it lies outside of the range of the warm ones,
 * and on the same side of it; and if it is off by at least 1 %. Then the second is looked at, and
 * so on; the first that is not warm-up ends it, and at most the first half is.
 *
 * Chance is exact here: among t + 1 values in random order the first is the largest with
 * probability 1 / (t + 1), whatever the distribution; so the number of processes in which it is,
 * is binomial, and the rule asks for 2.5 % on either side.
 *
 * All processes lose the same number of samples: a process is not to be treated by what it
 * happened to show. With fewer than three processes of five samples, or so, nothing can be seen,
 * and nothing is dropped: the median of a process bears one cold sample in five anyway.
 * doc/decisions/warmup.md tells what was rejected. */
#include "warmup.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../stat/distribution.h"
#include "../stat/stat.h"
#include "../text.h"

static const double chance = 0.025, least_effect = 0.01;

struct position {
    size_t above, below; /* processes in which it lies outside of the warm samples */
    double effect;       /* the median of how far it is off, as a logarithm */
};

static struct position look_at(const struct lab_process_samples *processes, size_t n, size_t i) {
    struct position p = {0};
    double *off = lab_alloc(n, sizeof(*off));
    for (size_t k = 0; k < n; k++) {
        const struct lab_process_samples *s = &processes[k];
        const double *warm = s->values + s->count / 2, value = s->values[i];
        size_t count = s->count - s->count / 2;
        double middle = lab_stat_median(warm, count);
        p.above += value > lab_stat_max(warm, count);
        p.below += value < lab_stat_min(warm, count);
        off[k] = value > 0 && middle > 0 ? log(value / middle) : 0;
    }
    p.effect = fabs(lab_stat_median(off, n));
    free(off);
    return p;
}

struct lab_warmup lab_warmup_find(const struct lab_process_samples *processes, size_t n) {
    struct lab_warmup w = {0};
    size_t least = n ? processes[0].count : 0;
    for (size_t k = 1; k < n; k++)
        least = processes[k].count < least ? processes[k].count : least;
    if (least < 2)
        return w;
    double alone = 1 / (double)(least - least / 2 + 1);
    while (w.samples < least / 2) {
        struct position p = look_at(processes, n, w.samples);
        size_t most = p.above > p.below ? p.above : p.below;
        if (p.effect < least_effect || lab_stat_binomial(most, n, alone, true) > chance)
            return w;
        w.samples++;
    }
    w.unsettled = true;
    return w;
}

bool lab_warmup_applies(const char *unit) {
    static const char *const units[] = {"ns", "us", "ms", "s", "per_s"};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i]) == 0)
            return true;
    }
    return false;
}
