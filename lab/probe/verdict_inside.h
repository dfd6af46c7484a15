/* SPDX-License-Identifier: MIT */
/* What the files of the verdict share. */
#ifndef HEDDLE_LAB_PROBE_VERDICT_INSIDE_H
#define HEDDLE_LAB_PROBE_VERDICT_INSIDE_H

#include "probe/verdict.h"

/* What is looked at: the GILs of one process, and its threads. */
struct probe_verdict {
    const struct probe_report *r;
    const struct probe_timeline *t;
    struct probe_words *w;
    pid_t pid;             /* 0: there is no GIL, and all threads are meant */
    char *prefix;          /* of each sentence, where several processes have a GIL; or "" */
    double elapsed_ns;
    double gil_ns;         /* for how long there was a GIL to look at: of all of them */
    double least_held, most_held; /* of its GILs, in percent of the time */
    size_t locks;          /* so many has this process */
    struct probe_lock all; /* sums over them */
    bool *named;           /* threads that a sentence has dealt with */
    size_t *turns;         /* those that compute and take turns */
    size_t turn_count;
    size_t said;  /* sentences that name a loss */
    bool sampled; /* nobody told of single hand-overs: what is said of waits is an estimate */
};

/* verdict.c */
/* A sentence of the verdict, after the prefix. */
void probe_verdict_say(struct probe_verdict *k, const char *fmt, ...) LAB_PRINTF(2, 3);
/* Whether the thread is of the process that is looked at. */
bool probe_verdict_has(const struct probe_verdict *k, size_t thread);
/* The line at which most of what a list counts was, "worker.py:12 (crunch)", or NULL. The caller
 * frees. */
char *probe_main_line(const struct probe_report *r, const struct probe_tally *list, size_t count);

/* verdict_locks.c: a lock of the program's own, behind which several threads wait. */
void probe_words_other_lock(struct probe_verdict *k);

/* verdict_notes.c: how good the figures are; and what is said of free-threaded builds. */
/* True if there is nothing else to be said: that threads wait meanwhile is no wonder. */
bool probe_words_stopped(struct probe_verdict *k);
void probe_words_notes(struct probe_verdict *k);
/* Of a free-threaded build; `gil`: its GIL is on. */
void probe_words_free_threaded(struct probe_verdict *k, bool gil);

#endif
