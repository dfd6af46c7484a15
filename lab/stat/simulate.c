/* SPDX-License-Identifier: MIT */
/* Made-up measurements. */
#include "simulate.h"

#include <math.h>
#include <stdlib.h>

#include "../text.h"

static double uniform(uint64_t *state) {
    return (double)(lab_stat_random(state) >> 11) * 0x1p-53;
}

/* Box and Muller, "A note on the generation of random normal deviates", Annals of Mathematical
 * Statistics 29, 1958; the second deviate is thrown away. */
static double normal(uint64_t *state) {
    double radius = sqrt(-2 * log(1 - uniform(state)));
    return radius * cos(2 * M_PI * uniform(state));
}

static double process_value(const struct lab_simulation *s, double level, uint64_t *state) {
    enum { ONE_IN = 20 };
    double *samples = lab_alloc(s->samples, sizeof(*samples));
    level += s->process_sd * normal(state);
    if (uniform(state) < s->outliers)
        level += 0.1;
    for (unsigned i = 0; i < s->samples; i++) {
        double disturbed = lab_stat_random(state) % ONE_IN == 0 ? 1 + 0.1 * uniform(state) : 1;
        samples[i] = exp(level + s->sample_sd * normal(state)) * disturbed;
    }
    double value = lab_stat_median(samples, s->samples);
    free(samples);
    return value;
}

void lab_simulate_side(const struct lab_simulation *s, bool is_b, uint64_t *state, double *values,
                       unsigned *layout) {
    size_t n = 0;
    for (unsigned i = 0; i < (s->layouts ? s->layouts : 1); i++) {
        double level = is_b ? s->effect : 0;
        level += s->layouts ? s->layout_sd * normal(state) : 0;
        for (unsigned k = 0; k < s->processes; k++) {
            layout[n] = i;
            values[n++] = process_value(s, level, state);
        }
    }
}

void lab_tally_add(struct lab_tally *t, const struct lab_comparison *c) {
    t->comparisons++;
    t->alarms += c->p_welch <= 0.05;
    t->rank_alarms += c->p_mann_whitney <= 0.05;
    t->both_alarms += c->p_both <= 0.05;
    t->words[c->verdict]++;
}

void lab_simulate(const struct lab_simulation *s, size_t comparisons, double margin, bool pooled,
                  uint64_t seed, struct lab_tally *tally) {
    size_t n = (size_t)(s->layouts ? s->layouts : 1) * s->processes;
    double *values[2] = {lab_alloc(n, sizeof(double)), lab_alloc(n, sizeof(double))};
    unsigned *layouts[2] = {lab_alloc(n, sizeof(unsigned)), lab_alloc(n, sizeof(unsigned))};
    *tally = (struct lab_tally){0};
    for (size_t i = 0; i < comparisons; i++) {
        struct lab_side sides[2];
        struct lab_comparison c;
        for (int k = 0; k < 2; k++) {
            lab_simulate_side(s, k == 1, &seed, values[k], layouts[k]);
            bool clustered = s->layouts && !pooled;
            sides[k] = (struct lab_side){values[k], n, clustered ? layouts[k] : NULL};
        }
        lab_compare_verdict(&sides[0], &sides[1], false, margin, &c);
        lab_tally_add(tally, &c);
    }
    for (int k = 0; k < 2; k++) {
        free(values[k]);
        free(layouts[k]);
    }
}
