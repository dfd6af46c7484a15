/* SPDX-License-Identifier: MIT */
/* The table of experiments. An experiment is a row in lab/experiment.c: nothing else in the lab
 * knows one by name. */
#ifndef HEDDLE_LAB_EXPERIMENT_H
#define HEDDLE_LAB_EXPERIMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "result.h"

enum lab_mode {
    LAB_MODE_QUICK,
    LAB_MODE_DEFAULT,
    LAB_MODE_FULL,
    LAB_MODES,
};

/* How long one operation of a subject takes, by magnitude. The amount of repetition follows it,
 * so that a process of every subject runs for a similar time: a switch costs tens of nanoseconds
 * in user space, a microsecond in the kernel, and tens of them in an interpreter. */
enum lab_pace {
    LAB_PACE_USER,
    LAB_PACE_KERNEL,
    LAB_PACE_SCRIPT,
    LAB_PACES,
};

/* A parameter of an experiment: its value by mode and pace. */
struct lab_parameter {
    const char *name; /* as on the command lines, without dashes */
    bool repetition;  /* only how often the same work is done: results stay comparable */
    const char *value[LAB_MODES][LAB_PACES];
    unsigned long long min; /* with less the experiment makes no sense; 0: the option's bound */
};

struct lab_metric {
    const char *name;
    const char *label; /* short, for the table's columns */
    const char *unit;
    enum lab_better better;
    bool primary;
    bool per_thing;
    bool over_bare; /* the ratio to the bare switch means something */
};

/* A part of an experiment that runs in processes of its own; it changes or adds parameters. */
struct lab_variant {
    const char *name;  /* "" when there is only one */
    const char *title; /* for the table */
    /* The parameter that tells variants apart, where a user may set it: then the variant takes
     * the plain name and title, or falls out if it has none. NULL: never happens. */
    const char *depends;
    const char *plain_name, *plain_title;
    struct lab_parameter set[4]; /* added to or instead of the experiment's; NULL name ends */
};

/* A parameter's value that stands for the number of CPUs that this process may use. A variant
 * that sets a parameter to it is left out where that number is 1. */
#define LAB_ALL_CPUS "@cpus"

enum {
    LAB_MAX_PARAMETERS = 8,
    LAB_MAX_METRICS = 8,
    LAB_MAX_VARIANTS = 4,
};

struct lab_experiment {
    const char *name;
    const char *question;
    bool needs_bare;         /* the bare switch is measured beside it */
    bool hidden;             /* a reference: only runs beside others, or when named */
    bool in_tour[LAB_MODES]; /* part of a run that names no experiment */
    bool scripts[LAB_MODES]; /* whether interpreters take part in a tour */
    struct lab_parameter parameters[LAB_MAX_PARAMETERS + 1]; /* ended by a NULL name */
    struct lab_variant variants[LAB_MAX_VARIANTS + 1];       /* ended by a NULL name */
    struct lab_metric metrics[LAB_MAX_METRICS + 1];          /* ended by a NULL name */
};

extern const struct lab_experiment lab_experiments[];
extern const size_t lab_experiment_count;

/* The experiment of that name, or NULL. */
const struct lab_experiment *lab_experiment_find(const char *name);

/* Whether an experiment, or a variant of it, has a parameter of that name. */
bool lab_experiment_takes(const struct lab_experiment *e, const char *parameter);

/* The least value of a parameter that makes sense in an experiment; 0 if all do. */
unsigned long long lab_experiment_least(const struct lab_experiment *e, const char *parameter);

/* The description of a metric, or NULL for one that the table does not know. */
const struct lab_metric *lab_metric_find(const struct lab_experiment *e, const char *metric);

/* Whether two results of an experiment come from the same work: their parameters are equal but
 * for repetition. Only then, or where a metric is per thing, may a ratio be formed. */
bool lab_same_work(const struct lab_result *a, const struct lab_result *b);

/* Whether the parameter says what the work is, not only how often it is repeated. */
bool lab_parameter_counts(const struct lab_result *r, const char *name);

/* The value of a parameter for a mode and a pace, before the user's options. */
const char *lab_parameter_value(const struct lab_parameter *p, enum lab_mode mode,
                                enum lab_pace pace);

const char *lab_mode_name(enum lab_mode mode);

#endif
