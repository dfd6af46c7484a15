/* SPDX-License-Identifier: MIT */
/* The table of experiments. An experiment is a row in lab/experiments/, listed in
 * lab/experiment.c: nothing else in the lab knows one by name. */
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

/* A parameter of an experiment: its value by mode and pace. A value may be a list with commas
 * between ("1,10,100"): each is measured then, as a point of a sweep. A pace that cannot do all of
 * them has a shorter list; what its list lacks, it leaves out. */
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

/* Who takes part in a variant: several may be or'ed. */
enum lab_who {
    LAB_WHO_ALL = 0,
    LAB_WHO_NATIVE = 1,
    LAB_WHO_PYTHON = 2,
    LAB_WHO_GO = 4,
};

/* A part of an experiment that runs in processes of its own; it changes or adds parameters. */
struct lab_variant {
    const char *name;     /* "" when there is only one */
    const char *title;    /* for the table */
    const char *workload; /* what subjects call it; NULL: as the experiment */
    unsigned who;         /* enum lab_who */
    /* It is there for a run without options: where a user sets a parameter, the experiment's first
     * variant is what was meant, unless the parameter is this one's alone. */
    bool extra;
    bool left_out[LAB_MODES]; /* of a run that does not name the experiment */
    /* The parameter that tells variants apart, where a user may set it: then the variant takes
     * the plain name and title, or falls out if it has none. NULL: never happens. */
    const char *depends;
    const char *plain_name, *plain_title;
    struct lab_parameter set[6]; /* added to or instead of the experiment's; NULL name ends */
};

/* A parameter's value that stands for the number of CPUs that this process may use. A variant
 * that sets a parameter to it is left out where that number is 1. */
#define LAB_ALL_CPUS "@cpus"

enum {
    LAB_MAX_PARAMETERS = 10,
    LAB_MAX_METRICS = 32,
    LAB_MAX_VARIANTS = 12,
};

struct lab_experiment {
    const char *name;
    const char *question;
    const char *remark;      /* the key of a note that is a part of the answer; NULL: none */
    bool needs_bare;         /* the bare switch is measured beside it */
    bool hidden;             /* a reference: only runs beside others, or when named */
    const char *elsewhere;   /* the command that measures it, not heddle lab; NULL for most */
    bool in_tour[LAB_MODES]; /* part of a run that names no experiment */
    bool scripts[LAB_MODES]; /* whether interpreters take part in a tour */
    struct lab_parameter parameters[LAB_MAX_PARAMETERS + 1]; /* ended by a NULL name */
    struct lab_variant variants[LAB_MAX_VARIANTS + 1];       /* ended by a NULL name */
    struct lab_metric metrics[LAB_MAX_METRICS + 1];          /* ended by a NULL name */
};

extern const struct lab_experiment *const lab_experiments[];
extern const size_t lab_experiment_count;

/* What an earlier source says of a metric, to stand beside what was measured. Its figure is of
 * `metric` of `subject`, or that divided by `than_metric` of `than_subject`. */
struct lab_reference {
    const char *experiment;
    const char *what;         /* of what, in a few words */
    const char *metric;       /* as in lab_result */
    const char *subject;      /* a pattern, as of fnmatch(3): each one that fits is checked */
    const char *than_metric;  /* NULL: the same metric, or no ratio if than_subject is NULL, too */
    const char *than_subject; /* NULL: the subject itself */
    const char *variant;      /* a pattern; NULL: any */
    const char *than_variant; /* NULL: the same; needs a than_metric */
    double low, high;         /* what it says: one figure twice, or bounds (INFINITY: no bound) */
    const char *says;         /* the same in words, such as "1.2 times" */
    const char *source;
    const char *because; /* what to know where this run disagrees; NULL: nothing */
};

extern const struct lab_reference lab_references[];
extern const size_t lab_reference_count;

enum lab_agreement {
    LAB_UNMEASURED, /* one of the two metrics or subjects was not measured in this run */
    LAB_AGREES,
    LAB_DISAGREES,
    LAB_UNDECIDED, /* the interval is on both sides of a bound */
};

/* A reference beside what a run measured. */
struct lab_check {
    const struct lab_reference *reference;
    const struct lab_result *result, *than; /* NULL: not measured; `than` also where no ratio is */
    enum lab_agreement agreement;
    double measured, low, high; /* the value or ratio, and the range that its intervals allow */
};

/* Checks all references of experiments of which the run has results: an element for each reference
 * and subject, those without a subject unmeasured. The caller frees *checks. */
size_t lab_references_check(const struct lab_run *run, struct lab_check **checks);

/* The experiment of that name, or NULL. */
const struct lab_experiment *lab_experiment_find(const char *name);

/* Whether an experiment, or a variant of it, has a parameter of that name. */
bool lab_experiment_takes(const struct lab_experiment *e, const char *parameter);

/* Whether the parameter only says how often the work is repeated. */
bool lab_experiment_repeats(const struct lab_experiment *e, const char *parameter);

/* The least value of a parameter that makes sense in an experiment; 0 if all do. */
unsigned long long lab_experiment_least(const struct lab_experiment *e, const char *parameter);

/* The description of a metric, or NULL for one that the table does not know. */
const struct lab_metric *lab_metric_find(const struct lab_experiment *e, const char *metric);

/* How much of a result's variant is the name of the variant: in a sweep, the point follows, as in
 * "busy threads=10" or "threads=10,workers=2". */
size_t lab_variant_length(const char *variant);

/* The row of a result's variant, whatever point of a sweep it is, or NULL. *plain: under its plain
 * name. */
const struct lab_variant *lab_variant_find(const struct lab_experiment *e, const char *variant,
                                           bool *plain);

/* Whether two results are points of one sweep, or the same point. */
bool lab_same_sweep(const struct lab_result *a, const struct lab_result *b);

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
