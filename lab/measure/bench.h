/* SPDX-License-Identifier: MIT */
/* Benchmarks of commands: any number of them, taking turns. */
#ifndef HEDDLE_LAB_BENCH_H
#define HEDDLE_LAB_BENCH_H

#include <stdint.h>

#include "../result.h"

/* What the results of commands are called. */
#define LAB_BENCH_EXPERIMENT "run"
#define LAB_BENCH_METRIC "wall_s"

/* One command with one set of parameters. */
struct lab_bench_item {
    char *name; /* unique among the items */
    char **argv;
    struct lab_pair *params;
    size_t param_count;
    /* Command lines for /bin/sh around it, none of them measured; NULL: nothing. */
    char *setup, *prepare, *cleanup;
};

struct lab_bench {
    struct lab_bench_item *items;
    size_t item_count;
    char **shell_alone; /* the shell that the commands are run by, doing nothing; NULL: none */
    unsigned warmup;    /* runs of each before any counts */
    unsigned runs;      /* of each; 0: as many as the next three say */
    unsigned min_runs, max_runs; /* max_runs 0: any number */
    double seconds;              /* that each command shall have run in all */
    double timeout_s;            /* of a run, and of each command line around it; 0: none */
    bool one_by_one;             /* all runs of a command before those of the next */
    bool ignore_failure;         /* a status other than 0 is as good */
    bool failures_later;         /* they are not told at once: the report tells them */
    uint64_t seed;
    int in, out, err; /* the commands' standard streams */
};

/* Measures, and fills the run with results, failures and notes. */
void lab_bench_run(const struct lab_bench *b, struct lab_run *run);

void lab_bench_free(struct lab_bench *b);

#endif
