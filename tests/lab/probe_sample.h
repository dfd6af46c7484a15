/* SPDX-License-Identifier: MIT */
/* Reports of programs that never ran, for tests of what is written from them. */
#ifndef HEDDLE_TEST_PROBE_SAMPLE_H
#define HEDDLE_TEST_PROBE_SAMPLE_H

#include "probe/output.h"

enum sample_kind {
    SAMPLE_GIL,     /* two CPU-bound threads by turns, a third behind them */
    SAMPLE_MANY,    /* 40 threads, and more spans than a page has room for */
    SAMPLE_THREADS, /* no GIL: on CPU, runnable, blocked */
    SAMPLE_EVIL,    /* names that try to break out of every format */
    SAMPLE_EMPTY,   /* nothing was seen */
    SAMPLE_KINDS
};

struct sample;

/* Always the same for the same kind. */
struct sample *sample_make(enum sample_kind kind);
void sample_free(struct sample *s);
const struct probe_report *sample_report(const struct sample *s);
struct probe_timeline *sample_timeline(struct sample *s);

/* A timeline that goes on: adds a slice of time in which the threads went on as before. */
void sample_go_on(struct sample *s, uint64_t ns);

/* What the names of SAMPLE_EVIL are made of. */
extern const char sample_evil[];

#endif
