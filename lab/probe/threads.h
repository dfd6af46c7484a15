/* SPDX-License-Identifier: MIT */
/* What heddle threads reports beyond a timeline, and how it is told: in words, as text, and as
 * tables for the other forms. */
#ifndef HEDDLE_LAB_PROBE_THREADS_H
#define HEDDLE_LAB_PROBE_THREADS_H

#include <stdio.h>

#include "probe/books.h"
#include "probe/green.h"
#include "probe/output.h"
#include "probe/places.h"
#include "probe/verdict.h"

struct probe_threads {
    const struct probe_places *places;
    const struct probe_circles *circles;
    const struct probe_green_view *green;
    uint64_t user_ns, system_ns; /* CPU time of the process while it was watched; 0: unknown */
    int cpus;                    /* that it may use */
    bool records;                /* times are from records of context switches, not from samples */
    bool births;                 /* threads' beginnings and ends are from records */
};

/* Sentences: what happened, what to do, what is to be known of how it was found. */
void probe_words_threads(const struct probe_report *r, const struct probe_threads *x,
                         struct probe_words *out);

/* The whole report as text. */
void probe_threads_text(FILE *f, const struct probe_report *r, const struct probe_threads *x);

/* ---- threads_locks.c ---- */
/* Circles, and locks that nobody let go of; locks that threads waited for, who otherwise had
 * something to do for active_ns. */
void probe_words_stuck(const struct probe_report *r, const struct probe_threads *x,
                       struct probe_words *w);
void probe_words_locks(const struct probe_report *r, const struct probe_threads *x,
                       double active_ns, struct probe_words *w);
void probe_text_locks(FILE *f, const struct probe_report *r, const struct probe_threads *x);

/* The part about heddle's own threads; nothing if there are none. */
void probe_green_text(FILE *f, const struct probe_green_view *v,
                      const struct probe_stacks *stacks);

/* "read < fill (server.c:12) < main (server.c:40)": innermost first, without what every thread
 * begins with, at most `most` frames. The caller frees; "" if the node is 0. */
char *probe_stack_words(const struct probe_stacks *stacks, uint32_t node, unsigned most);

/* Whether it is a function that every thread begins with, "start_thread". */
bool probe_stack_is_plumbing(const char *function);

/* Gives names to threads that have none. The timeline is finished, and knows what its threads were
 * blocked on (probe_places_finish()). */
void probe_threads_name(struct probe_timeline *t, const struct probe_stacks *stacks);

/* Where threads waited and what heddle's did, as tables; freed by the other function. */
struct probe_table *probe_threads_tables(const struct probe_report *r,
                                         const struct probe_threads *x, size_t *count);
void probe_threads_tables_free(struct probe_table *tables, size_t count);

/* A look at one moment, of a process that runs: every thread, what it does, with its stack. An exit
 * status, after a complaint where it is not 0. */
int probe_threads_once(FILE *f, pid_t pid);

#endif
