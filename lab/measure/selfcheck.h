/* SPDX-License-Identifier: MIT */
/* How often the verdicts are wrong where the truth is known: simulated, and with a program of which
 * one side is told to do more work. */
#ifndef HEDDLE_LAB_SELFCHECK_H
#define HEDDLE_LAB_SELFCHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "../stat/simulate.h"

enum lab_check_kind {
    LAB_CHECK_SAME,   /* nothing differs: alarms are false ones */
    LAB_CHECK_SLOWER, /* B is slower: what is not found is missed */
};

struct lab_truth_check {
    char *what; /* for a person */
    enum lab_check_kind kind;
    bool measured; /* with a program, else simulated */
    bool shown;    /* only to be looked at: as the lab does not do it */
    struct lab_tally tally;
    char *missing; /* why it could not be measured; NULL if it could */
};

struct lab_self_check {
    size_t comparisons, planted; /* how many of each kind are measured */
    uint64_t seed;
    char **program; /* the command that the measured checks run, ended by NULL; NULL: none */
    struct lab_truth_check *checks;
    size_t count;
};

/* Runs all of them; returns early if interrupted. */
void lab_self_check_run(struct lab_self_check *s);
void lab_self_check_free(struct lab_self_check *s);

/* Whether a check came out as it should: no more false alarms than 5 % can explain, or at least
 * 19 of 20 found. */
bool lab_check_passed(const struct lab_truth_check *c);

#endif
