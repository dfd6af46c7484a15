/* SPDX-License-Identifier: MIT */
/* What will be run: every chosen experiment, its variants, and who can do them. */
#ifndef HEDDLE_LAB_PLAN_H
#define HEDDLE_LAB_PLAN_H

#include <stdint.h>

#include "../experiment.h"
#include "../result.h"
#include "../subject/subject.h"

/* What the user asked for. */
struct lab_request {
    enum lab_mode mode;
    const struct lab_experiment **experiments; /* in the order they were named */
    size_t experiment_count;
    bool experiments_named; /* by the user: then nothing is left out of them silently */
    struct lab_subjects *subjects;
    const size_t *chosen; /* indices of subjects */
    size_t chosen_count;
    bool subjects_named;
    struct lab_pair *overrides; /* parameters set by the user */
    size_t override_count;
    unsigned rounds;  /* processes per subject */
    double timeout_s; /* per process */
    double begin_s;   /* when the command began: the budget counts from then */
    double budget_s;  /* 0: none */
    uint64_t seed;
};

/* All processes' samples of one metric. */
struct lab_collected {
    char *metric, *unit;
    struct lab_process_samples *processes;
    unsigned *rounds; /* in which round each process ran */
    size_t count;
};

/* One subject in one variant. */
struct lab_item {
    struct lab_subject *subject;
    bool bare; /* the reference: runs the experiment "bare" of the subject's program */
    struct lab_pair *params;
    size_t param_count;
    char **argv; /* ended by NULL */
    unsigned done;
    bool dropped; /* failed: not tried again */
    double last_s;
    struct lab_collected *collected;
    size_t collected_count;
};

/* One variant of an experiment, or one point of its sweep: its items take turns. */
struct lab_group {
    const struct lab_experiment *experiment;
    char *variant; /* with the point, as lab_variant_length() reads it */
    struct lab_item *items;
    size_t item_count;
    size_t *order; /* of the items in this round */
};

struct lab_plan {
    struct lab_group *groups;
    size_t group_count;
};

/* How a result or a row of the table calls the reference. */
#define LAB_BARE "bare"

/* How many CPUs this process may use. */
unsigned lab_cpu_count(void);

/* Prepares the chosen subjects and makes the plan. Subjects that cannot be used and experiments
 * that nobody can do become failures of the run. */
void lab_plan_make(struct lab_plan *plan, struct lab_request *request,
                   const struct lab_places *places, struct lab_run *run);
void lab_plan_free(struct lab_plan *plan);

/* Runs it: `rounds` times each item, in an order that is reversed every other round. Returns when
 * done, out of time, or interrupted. */
void lab_plan_run(struct lab_plan *plan, const struct lab_request *request, struct lab_run *run);

/* Turns what was collected into results. */
void lab_plan_conclude(const struct lab_plan *plan, struct lab_run *run);

#endif
