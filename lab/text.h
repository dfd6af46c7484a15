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

_Noreturn void lab_out_of_memory(void);

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

/* Replaces what could play tricks on a terminal (control characters, those that turn the direction
 * of what follows) by '?', and what is not ASCII by a '?' a character unless the locale is one of
 * UTF-8; in place. For text that comes from a subject or a user. */
void lab_make_printable(char *s);

/* The same for a file, which is UTF-8 whatever the locale. */
void lab_make_plain(char *s);

/* Whether a text is UTF-8 without anything that could play tricks, whatever the locale. */
bool lab_is_printable(const char *s);

/* How many columns a printable text takes on a terminal; how many bytes of it fit into so many
 * columns, and (unless `used` is NULL) how many columns these take. */
size_t lab_columns(const char *s);
size_t lab_fit(const char *s, size_t columns, size_t *used);

/* Writes as much of a text as fits, and blanks up to so many columns. */
void lab_cell(FILE *f, const char *s, size_t columns);

/* The same of a text that may be anything, printable or not; '~' ends what was cut. On the right:
 * with the blanks before it. */
void lab_cell_name(FILE *f, const char *s, size_t columns);
void lab_cell_right(FILE *f, const char *s, size_t columns);

/* The same for a title, of which what tells it from others, "(1234)" at its end, say, is kept; '~'
 * stands for what is left out. */
void lab_title_cell(FILE *f, const char *s, size_t columns);

/* Writes words within LAB_WIDTH columns: the line is at `column`, continuation lines begin at
 * `indent`; a word that fits no line is cut. Ends the line. */
enum { LAB_WIDTH = 79 }; /* a line of 80 wraps on some terminals */
void lab_wrap(FILE *f, const char *text, size_t column, size_t indent);

/* Whether one is likely to be meant by the other: a letter or two differ, or what stands before a
 * dash ("export-json", "json"). */
bool lab_is_near(const char *typed, const char *known);

/* Reads a whole number, with an optional K, M or G (times 1024) if `scaled`. False if it is
 * anything else or out of range. */
bool lab_parse_number(const char *s, bool scaled, unsigned long long min, unsigned long long max,
                      unsigned long long *out);

/* The first line of a file without its end, at most a few hundred bytes; NULL if unreadable. */
char *lab_read_line(const char *path);

#endif
