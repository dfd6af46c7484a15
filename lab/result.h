/* SPDX-License-Identifier: MIT */
/* What a run of the lab found out, in memory: the one thing that the measuring side fills and
 * that every report (text, CSV, JSON, HTML) reads.
 *
 * The unit of inference is the process. Each process of a subject prints some samples; their
 * median, without those that are warm-up, is the process's one value, and median, minimum, maximum
 * and interval are taken over these values. Raw samples are kept for the record, and never
 * pooled. */
#ifndef HEDDLE_LAB_RESULT_H
#define HEDDLE_LAB_RESULT_H

#include <stdbool.h>
#include <stddef.h>

enum lab_better {
    LAB_BETTER_LOWER,
    LAB_BETTER_HIGHER,
    LAB_BETTER_NONE, /* a reference or a fact: neither direction is good */
};

/* A name and its value. */
struct lab_pair {
    char *key;
    char *value;
    bool number; /* the value is a number: JSON writes it bare */
};

/* What one process printed for one metric, in the order of time. */
struct lab_process_samples {
    double *values;
    size_t count;
};

/* One metric of one subject with one set of parameters. */
struct lab_result {
    char *experiment;
    char *subject;
    char *metric;
    char *unit;    /* as the subject gave it: ns us ms s bytes count ratio percent per_s */
    char *variant; /* which part of the experiment: "" if it has one part only */
    enum lab_better better;
    bool primary;   /* the metric that answers the experiment's question */
    bool per_thing; /* comparable even where the amount of work differed (a time per switch) */
    struct lab_pair *params; /* what the subject was told, in the order of its command line */
    size_t param_count;
    struct lab_process_samples *processes; /* raw samples, one element a process */
    size_t n;                              /* how many processes */
    double *samples;                       /* n values: the median of each process */
    double median, min, max;               /* over samples[0..n) */
    double ci_low, ci_high;                /* 95 % interval of the median; NAN when n < 3 */
    double bare_ratio; /* to the bare switch measured beside it; NAN: no meaning or not measured */
};

/* What could not be measured, and why. */
struct lab_failure {
    char *experiment; /* "" when the subject could not be used at all */
    char *subject;
    char *variant;
    char *reason;
};

/* What a subject said beside its samples. */
struct lab_note {
    char *experiment;
    char *subject;
    char *key;
    char *text;
};

/* Who was measured. */
struct lab_subject_info {
    char *name;
    char *kind; /* native, python, go */
    char *version;
    char *path;
    bool free_threaded; /* a Python without the global lock */
};

/* A run, and where it comes from. What is unknown is NULL. */
struct lab_run {
    long long id;        /* in the store; 0: not stored */
    char *uid;           /* the same in every store and file that holds the run */
    char *time;          /* when it began, UTC: 2026-11-22T01:02:03Z */
    char *label;         /* a name that the user gave it */
    char *command;       /* the command line that repeats it */
    char *commit;        /* of what was measured */
    char *flags;         /* with which that was built */
    char *source_format; /* an imported run: what it was (pyperf, gbench, hyperfine) */
    char *source;        /* and the file itself, so that nothing of it is lost */
    const char *mode;    /* quick, default, full; run; import. Not freed: see lab_run_mode() */
    bool interrupted; /* ended by a signal: what is here was measured until then */
    bool out_of_time; /* the time budget ended before every round was run */
    struct lab_pair *machine;
    size_t machine_count;
    struct lab_pair *options; /* of the run as a whole, where they are not the mode's own */
    size_t option_count;
    struct lab_subject_info *subjects; /* in the order of the table */
    size_t subject_count;
    struct lab_result *results; /* grouped by experiment, variant, metric, then subject */
    size_t result_count;
    struct lab_failure *failures;
    size_t failure_count;
    struct lab_note *notes;
    size_t note_count;
};

#endif
