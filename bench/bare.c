/* SPDX-License-Identifier: MIT */
/* bare: the floor under every switch. Two stacks hand over to each other with nothing but the
 * integer registers that a call preserves, by push and pop, and a jump through a register; no
 * queue, no state, no runtime. See bare_<arch>.S. */
#include "workloads.h"

#include <stdint.h>

enum { STACK_BYTES = 65536 };

/* Puts the current stack pointer into *save and goes on with that of `to`. */
void bench_bare_switch(void **save, void *to);
/* The stack pointer for a first switch into entry(), which must not return. */
void *bench_bare_make(void *top, void (*entry)(void));

static void *main_sp, *other_sp;
static uint64_t other_ran;

static void bounce(void) {
    for (;;) {
        other_ran++;
        bench_bare_switch(&other_sp, main_sp);
    }
}

static int bare_run(void) {
    char *stack = bench_array(STACK_BYTES, 1);
    uint64_t rounds = bench_value("iterations") / 2 + 1;
    other_sp = bench_bare_make(stack + STACK_BYTES, bounce);
    for (uint64_t i = 0; i < bench_value("samples") + 1; i++) {
        uint64_t begin = bench_now_ns();
        other_ran = 0;
        for (uint64_t n = 0; n < rounds; n++) {
            bench_bare_switch(&main_sp, other_sp);
        }
        double ns = (double)(bench_now_ns() - begin) / (double)(2 * rounds);
        if (other_ran != rounds) {
            return bench_error("the other side ran %llu times instead of %llu",
                               (unsigned long long)other_ran, (unsigned long long)rounds);
        }
        if (i > 0) { /* the first round warms up */
            bench_sample("bare_switch_ns", "ns", ns);
        }
    }
    free(stack);
    return BENCH_OK;
}

const struct bench_experiment bench_bare = {
    "bare",
    true,
    bare_run,
    {{"iterations", 10000000, 1, 10000000000u, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
