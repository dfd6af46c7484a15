/* SPDX-License-Identifier: MIT */
/* From what a user typed to the commands that are measured: parameters filled in, command lines
 * taken apart, names made unique. */
#ifndef HEDDLE_LAB_EXPAND_H
#define HEDDLE_LAB_EXPAND_H

#include "bench.h"

/* One command as it was given: a line, or words of its own. */
struct lab_source {
    const char *line; /* NULL: words */
    char **words;     /* ended by NULL; the texts are the user's */
};

/* {name} stands for each of the values in turn. */
struct lab_list {
    char *name;
    char **values;
    size_t count;
};

/* A text for all commands, or one for each. */
struct lab_each {
    const char **texts;
    size_t count;
};

struct lab_sources {
    struct lab_source *items;
    size_t count;
    struct lab_list *lists;
    size_t list_count;
    struct lab_each names, setups, prepares, cleanups;
    const char *shell; /* NULL: none */
};

/* Reads "name=a,b,c" or "name=1..9,20..100..10" (a comma or a dot behind a backslash is part of a
 * value). 0, or the exit
 * status after a complaint. */
int lab_sources_list(struct lab_sources *s, const char *text);

/* Makes the items, in the order of the commands and then of the values, the last list's changing
 * fastest. 0, or the exit status after a complaint. */
int lab_sources_expand(const struct lab_sources *s, struct lab_bench *b);

void lab_sources_free(struct lab_sources *s);

#endif
