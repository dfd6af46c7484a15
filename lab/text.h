/* SPDX-License-Identifier: MIT */
/* Memory and strings for the lab. The command has nothing better to do without memory than to
 * say so and end (status 3), so these never return NULL. */
#ifndef HEDDLE_LAB_TEXT_H
#define HEDDLE_LAB_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define LAB_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Zeroed memory for n things of size bytes. */
void *lab_alloc(size_t n, size_t size);

/* Makes room for n things; new memory is not zeroed. */
void *lab_grow(void *p, size_t n, size_t size);

/* Makes room for one more in an array of `count` things, whose capacity is the next power of two
 * (so none needs to be kept). */
void *lab_grow_one(void *p, size_t count, size_t size);

char *lab_copy(const char *s);
char *lab_copy_n(const char *s, size_t n);
char *lab_format(const char *fmt, ...) LAB_PRINTF(1, 2);

bool lab_starts_with(const char *s, const char *prefix);

/* A growing string; all zero is empty. `data` is NULL or ends in a zero byte. */
struct lab_text {
    char *data;
    size_t length, capacity;
};

void lab_text_add(struct lab_text *t, const char *bytes, size_t n);
void lab_text_printf(struct lab_text *t, const char *fmt, ...) LAB_PRINTF(2, 3);
void lab_text_free(struct lab_text *t);

/* Replaces what could play tricks on a terminal (control characters, bytes that are not ASCII) by
 * '?', in place. For text that comes from a subject. */
void lab_make_printable(char *s);

/* Writes words within LAB_WIDTH columns: the line is at `column`, continuation lines begin at
 * `indent`; a word that fits no line is cut. Ends the line. */
enum { LAB_WIDTH = 79 }; /* a line of 80 wraps on some terminals */
void lab_wrap(FILE *f, const char *text, size_t column, size_t indent);

/* Reads a whole number, with an optional K, M or G (times 1024) if `scaled`. False if it is
 * anything else or out of range. */
bool lab_parse_number(const char *s, bool scaled, unsigned long long min, unsigned long long max,
                      unsigned long long *out);

/* The first line of a file without its end, at most a few hundred bytes; NULL if unreadable. */
char *lab_read_line(const char *path);

#endif
