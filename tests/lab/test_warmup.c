/* SPDX-License-Identifier: MIT */
/* Warm-up is seen where it is, and not where it is not. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "measure/warmup.h"
#include "stat/stat.h"

enum { PROCESSES_MAX = 20, SAMPLES_MAX = 200 };

static double values[PROCESSES_MAX][SAMPLES_MAX];
static struct lab_process_samples processes[PROCESSES_MAX];

static double noise(uint64_t *state) {
    double sum = -6; /* near enough to normal */
    for (int i = 0; i < 12; i++)
        sum += (double)(lab_stat_random(state) >> 11) * 0x1p-53;
    return sum;
}

/* n processes of `samples` samples around 100, the first `cold` of which take `factor` times as
 * long. */
static struct lab_warmup simulate(size_t n, size_t samples, size_t cold, double factor, double sd,
                                  uint64_t *state) {
    for (size_t k = 0; k < n; k++) {
        double level = 100 * exp(sd * noise(state));
        for (size_t i = 0; i < samples; i++)
            values[k][i] = level * exp(sd * noise(state)) * (i < cold ? factor : 1);
        processes[k] = (struct lab_process_samples){values[k], samples};
    }
    return lab_warmup_find(processes, n);
}

TEST(cold_samples_are_left_out) {
    uint64_t state = 1;
    static const size_t sizes[][3] = {
        {6, 5, 1}, {6, 5, 2}, {3, 5, 1}, {10, 8, 3}, {6, 50, 11}, {1, 200, 4}, {20, 4, 1}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (int faster = 0; faster < 2; faster++) {
            size_t n = sizes[i][0], samples = sizes[i][1], cold = sizes[i][2];
            struct lab_warmup w =
                simulate(n, samples, cold, faster ? 0.5 : 1.5, 0.005, &state);
            CHECK_MSG(w.samples >= cold, "%zu processes of %zu: %zu of %zu", n, samples, w.samples,
                      cold);
            CHECK_LE(w.samples, cold + 1); /* chance, now and then */
            CHECK_EQ(w.unsettled, w.samples == samples / 2);
        }
    }
}

TEST(what_never_settles_is_said) {
    for (size_t k = 0; k < 6; k++) {
        for (size_t i = 0; i < 10; i++)
            values[k][i] = 100 - 5 * (double)i;
        processes[k] = (struct lab_process_samples){values[k], 10};
    }
    struct lab_warmup w = lab_warmup_find(processes, 6);
    CHECK_EQ(w.samples, 5u);
    CHECK(w.unsettled);
}

TEST(warm_samples_are_kept) {
    /* By chance at most one time in twenty, whatever the sizes. */
    static const size_t sizes[][2] = {{1, 5}, {2, 5}, {3, 5}, {6, 5}, {10, 5}, {6, 21}, {20, 8}};
    uint64_t state = 2;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        enum { TIMES = 1000 };
        unsigned dropped = 0;
        for (unsigned t = 0; t < TIMES; t++)
            dropped += simulate(sizes[i][0], sizes[i][1], 0, 1, 0.1, &state).samples > 0;
        CHECK_MSG(dropped <= TIMES * 0.075, "%zu processes of %zu: %u", sizes[i][0], sizes[i][1],
                  dropped);
    }
}

TEST(too_small_to_matter_is_kept) {
    for (size_t k = 0; k < 10; k++) {
        for (size_t i = 0; i < 6; i++)
            values[k][i] = i == 0 ? 100.9 : 100;
        processes[k] = (struct lab_process_samples){values[k], 6};
    }
    CHECK_EQ(lab_warmup_find(processes, 10).samples, 0u);
    for (size_t k = 0; k < 10; k++)
        values[k][0] = 101.5;
    CHECK_EQ(lab_warmup_find(processes, 10).samples, 1u);
}

TEST(few_or_odd_samples_are_kept) {
    uint64_t state = 3;
    for (size_t samples = 0; samples < 2; samples++)
        CHECK_EQ(simulate(6, samples, 1, 9, 0.001, &state).samples, 0u);
    CHECK_EQ(lab_warmup_find(processes, 0).samples, 0u);
    CHECK_EQ(simulate(2, 5, 1, 9, 0.001, &state).samples, 0u); /* 1 in 16 */
    CHECK_EQ(simulate(6, 5, 1, 0, 0.001, &state).samples, 0u); /* zeros have no logarithm */
    simulate(6, 9, 1, 2, 0.001, &state); /* processes of different lengths: the shortest rules */
    processes[3].count = 3;
    CHECK_EQ(lab_warmup_find(processes, 6).samples, 1u);
}

TEST(warmup_is_of_times_and_rates) {
    CHECK(lab_warmup_applies("ns") && lab_warmup_applies("s") && lab_warmup_applies("per_s"));
    CHECK(!lab_warmup_applies("bytes") && !lab_warmup_applies("count"));
    CHECK(!lab_warmup_applies("ratio") && !lab_warmup_applies("percent"));
}
