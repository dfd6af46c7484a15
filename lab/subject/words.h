/* SPDX-License-Identifier: MIT */
/* Command lines: taking them apart and putting them together as a shell would. */
#ifndef HEDDLE_LAB_WORDS_H
#define HEDDLE_LAB_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "../result.h"

/* The words of a command line, ended by NULL: quotes and backslashes mean what they mean to a
 * shell, and nothing else means anything. What would need a shell is refused, as is a quote that
 * does not end: then NULL, and *why (to be freed) says what is wrong. */
char **lab_words_split(const char *line, char **why);

/* The words as a command line that a shell takes apart into the same. */
char *lab_words_join(char *const *words);

void lab_words_free(char **words);

/* The text with each {name} of the parameters replaced by its value; values are not looked into
 * again, and other braces stay. */
char *lab_words_fill(const char *text, const struct lab_pair *params, size_t count);

/* Whether {name} occurs in the text. */
bool lab_words_mention(const char *text, const char *name);

#endif
