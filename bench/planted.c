/* SPDX-License-Identifier: MIT */
/* planted: a fixed piece of work, and a known part more of it. What a comparison says of two
 * programs of which one does 2 % more is known beforehand: `heddle lab --self-check` asks. */
#include "workloads.h"

/* As the compiler cannot know how much work there is, each round is done. */
static uint64_t work(uint64_t rounds, uint64_t seed) {
    uint64_t x = seed | 1;
    for (uint64_t i = 0; i < rounds; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}

static int planted_run(void) {
    uint64_t rounds = bench_value("iterations");
    rounds += rounds * bench_value("extra-permille") / 1000;
    uint64_t kept = bench_now_ns();
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        uint64_t begin = bench_now_ns();
        kept = work(rounds, kept);
        bench_sample("work_us", "us", (double)(bench_now_ns() - begin) / 1000);
    }
    if (kept == 0) { /* never: only zero becomes zero */
        return bench_error("the work went wrong");
    }
    return BENCH_OK;
}

const struct bench_experiment bench_planted = {
    "planted",
    false,
    planted_run,
    {{"iterations", 400000, 1000, 10000000000u, NULL},
     {"extra-permille", 0, 0, 100000, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
