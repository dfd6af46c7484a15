/* SPDX-License-Identifier: MIT */
/* The self-check.
 *
 * The measured part runs the workload `planted` (bench/planted.c), which does the same work in each
 * process, or a known part more of it. Both sides take turns as in every comparison of the lab (A
 * B, B A), and each comparison has processes of its own. The samples are short and many: on a busy
 * machine most of a process's samples are then undisturbed, and so is their median. */
#include "selfcheck.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../message.h"
#include "../stat/distribution.h"
#include "../subject/interrupt.h"
#include "../subject/process.h"
#include "../text.h"
#include "protocol.h"

enum {
    SIMULATIONS = 200,
    PROCESSES = 20,     /* a side, of a measured comparison */
    PLANTED = 20,       /* permille */
    ITERATIONS = 50000, /* some 80 us */
    SAMPLES = 41,
};
static const double timeout_s = 30;
static const double planted_log = 0.019802627296179712; /* log(1.02) */

static struct lab_truth_check *add(struct lab_self_check *s, enum lab_check_kind kind,
                                   bool measured, char *what) {
    s->checks = lab_grow_one(s->checks, s->count, sizeof(*s->checks));
    struct lab_truth_check *c = &s->checks[s->count++];
    *c = (struct lab_truth_check){.what = what, .kind = kind, .measured = measured};
    return c;
}

static void simulate(struct lab_self_check *s) {
    struct lab_simulation alone = {
        .processes = 10, .samples = 5, .process_sd = 0.005, .sample_sd = 0.01};
    struct lab_simulation layouts = {.layouts = 12,
                                     .processes = 3,
                                     .samples = 5,
                                     .layout_sd = 0.02,
                                     .process_sd = 0.005,
                                     .sample_sd = 0.01};
    struct lab_simulation disturbed = alone;
    disturbed.processes = 20;
    disturbed.outliers = 0.1;
    struct lab_truth_check *c =
        add(s, LAB_CHECK_SAME, false, lab_copy("nothing differs, 10 processes a side"));
    lab_simulate(&alone, SIMULATIONS, LAB_MARGIN_DEFAULT, false, s->seed, &c->tally);
    c = add(s, LAB_CHECK_SAME, false, lab_copy("nothing differs, 12 layouts of 3 processes"));
    lab_simulate(&layouts, SIMULATIONS, LAB_MARGIN_DEFAULT, false, s->seed, &c->tally);
    c = add(s, LAB_CHECK_SAME, false, lab_copy("nothing differs, 20 processes, disturbed"));
    lab_simulate(&disturbed, SIMULATIONS, LAB_MARGIN_DEFAULT, false, s->seed, &c->tally);
    c = add(s, LAB_CHECK_SAME, false, lab_copy("12 layouts of 3 processes, wrongly pooled"));
    c->shown = true;
    lab_simulate(&layouts, SIMULATIONS, LAB_MARGIN_DEFAULT, true, s->seed, &c->tally);
    c = add(s, LAB_CHECK_SLOWER, false, lab_copy("B takes 2 % longer, 10 processes a side"));
    alone.effect = disturbed.effect = planted_log;
    lab_simulate(&alone, SIMULATIONS, LAB_MARGIN_DEFAULT, false, s->seed, &c->tally);
    c = add(s, LAB_CHECK_SLOWER, false, lab_copy("B takes 2 % longer, 20 processes, disturbed"));
    lab_simulate(&disturbed, SIMULATIONS, LAB_MARGIN_DEFAULT, false, s->seed, &c->tally);
}

/* The median of a process's samples; NAN after *missing was set, or when interrupted. */
static double run_process(char *const *program, bool more, char **missing) {
    char extra[16], iterations[16], samples[16];
    char *argv[16];
    size_t n = 0;
    for (; program[n] && n < 8; n++)
        argv[n] = program[n];
    snprintf(iterations, sizeof(iterations), "%d", ITERATIONS);
    snprintf(extra, sizeof(extra), "%d", more ? PLANTED : 0);
    snprintf(samples, sizeof(samples), "%d", SAMPLES);
    char *rest[] = {(char *)"planted",
                    (char *)"--iterations",
                    iterations,
                    (char *)"--extra-permille",
                    extra,
                    (char *)"--samples",
                    samples,
                    NULL};
    memcpy(argv + n, rest, sizeof(rest));

    struct lab_process p;
    struct lab_answer a = {0};
    double value = NAN;
    lab_process_run(&p, argv, timeout_s);
    if (p.end != LAB_PROCESS_INTERRUPTED) {
        *missing = lab_process_reason(&p, timeout_s);
        lab_answer_parse(&a, &p.out);
        if (!*missing && (a.garbage || a.error))
            *missing = lab_copy(a.garbage ? a.garbage : a.error);
        if (!*missing && a.series_count != 1)
            *missing = lab_copy("it printed no sample");
        if (!*missing)
            value = lab_stat_median(a.series[0].values, a.series[0].count);
        lab_answer_free(&a);
    }
    lab_process_free(&p);
    return value;
}

static bool compare_once(struct lab_truth_check *c, char *const *program) {
    double sides[2][PROCESSES];
    for (unsigned i = 0; i < 2 * PROCESSES; i++) {
        unsigned pair = i / 2, side = (i + pair) % 2; /* A B, B A, ... */
        sides[side][pair] =
            run_process(program, side == 1 && c->kind == LAB_CHECK_SLOWER, &c->missing);
        if (isnan(sides[side][pair]))
            return false;
    }
    struct lab_side a = {sides[0], PROCESSES, NULL}, b = {sides[1], PROCESSES, NULL};
    struct lab_comparison result;
    lab_compare_verdict(&a, &b, false, LAB_MARGIN_DEFAULT, &result);
    lab_tally_add(&c->tally, &result);
    return true;
}

static void measure(struct lab_self_check *s, enum lab_check_kind kind, size_t comparisons,
                    char *what) {
    struct lab_truth_check *c = add(s, kind, true, what);
    if (!s->program) {
        c->missing = lab_copy("there is no bench program to run");
        return;
    }
    for (size_t i = 0; i < comparisons && !lab_interrupt_signal(); i++) {
        lab_progress("self-check, %s: comparison %zu of %zu", what, i + 1, comparisons);
        if (!compare_once(c, s->program))
            break;
    }
}

void lab_self_check_run(struct lab_self_check *s) {
    simulate(s);
    measure(s, LAB_CHECK_SAME, s->comparisons,
            lab_format("nothing differs, %d processes a side", PROCESSES));
    measure(s, LAB_CHECK_SLOWER, s->planted,
            lab_format("B does 2 %% more work, %d processes a side", PROCESSES));
    lab_progress_hide();
}

void lab_self_check_free(struct lab_self_check *s) {
    for (size_t i = 0; i < s->count; i++) {
        free(s->checks[i].what);
        free(s->checks[i].missing);
    }
    free(s->checks);
    s->checks = NULL;
    s->count = 0;
}

bool lab_check_passed(const struct lab_truth_check *c) {
    const struct lab_tally *t = &c->tally;
    if (t->comparisons == 0)
        return false;
    if (c->kind == LAB_CHECK_SLOWER)
        return t->words[LAB_VERDICT_SLOWER] * 20 >= t->comparisons * 19;
    return lab_stat_proportion95(t->alarms, t->comparisons).low <= 0.05;
}
