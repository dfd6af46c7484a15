/* SPDX-License-Identifier: MIT */
/* What the figures of a GIL mean, in words: the verdict, what to do, and what is to be known about
 * how it was found. */
#ifndef HEDDLE_LAB_PROBE_VERDICT_H
#define HEDDLE_LAB_PROBE_VERDICT_H

#include <stddef.h>
#include <stdio.h>

#include "probe/output.h"
#include "text.h"

struct probe_sentences {
    char **text;
    size_t count;
};

struct probe_words {
    struct probe_sentences verdict, advice, notes;
};

/* Takes all of the report but the words themselves. The timeline is finished. */
void probe_words_gil(const struct probe_report *r, struct probe_words *out);
void probe_words_free(struct probe_words *w);

void probe_say(struct probe_sentences *s, const char *fmt, ...) LAB_PRINTF(2, 3);

/* Threads that the program did not name (they bear the process's name) are named after the
 * function that they began with, as samples of their stacks show it. May be called again and again;
 * the first thread of a process becomes "main" by the other call, after the last of these. */
void probe_name_threads(struct probe_timeline *t, const struct probe_stacks *stacks);
void probe_name_main(struct probe_timeline *t);

/* ---- gil_text.c ---- */

/* The report as text: words, figures, what to do, how it was measured. */
void probe_gil_text(FILE *f, const struct probe_report *r);

#endif
