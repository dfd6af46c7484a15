/* SPDX-License-Identifier: MIT */
/* Options of a command: one table that both reads the command line and prints the help.
 *
 * Not getopt_long, because that takes every unambiguous beginning of a name: a script written
 * with one would break on the day when a new option shares it. */
#ifndef HEDDLE_LAB_OPT_H
#define HEDDLE_LAB_OPT_H

#include <stdbool.h>
#include <stdio.h>

struct lab_option {
    int id;               /* what lab_opt_next returns: not negative */
    char letter;          /* 0: none */
    const char *name;     /* NULL ends the table */
    const char *argument; /* its name in the help; NULL: takes none */
    const char *help;
};

enum {
    LAB_OPT_END = -1,
    LAB_OPT_WORD = -2,  /* not an option: `value` is the word */
    LAB_OPT_ERROR = -3, /* said on standard error already */
};

struct lab_opt {
    char **argv; /* what is left, ended by NULL */
    const struct lab_option *table;
    const struct lab_option *more, *shared; /* other tables, or NULL */
    const char *command; /* for messages, e.g. "heddle lab" */
    const char *name;    /* of the option just returned, without dashes */
    const char *value;   /* of the option or word just returned */
    bool only_words;     /* after "--" */
};

int lab_opt_next(struct lab_opt *o);

/* The options with their help, within 80 columns. */
void lab_opt_print(const struct lab_option *table, FILE *f);

#endif
