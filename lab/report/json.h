/* SPDX-License-Identifier: MIT */
/* Writing JSON (RFC 8259).
 *
 * Not Jansson, which reads it (lab/store/): what is written is a stream, not a tree in memory; a
 * hundred lines do that, and print numbers so short that people can read them and so long that they
 * read back exactly. */
#ifndef HEDDLE_LAB_JSON_H
#define HEDDLE_LAB_JSON_H

#include <stdbool.h>
#include <stdio.h>

enum { LAB_JSON_DEPTH = 16 };

struct lab_json {
    FILE *f;
    int depth;
    bool first[LAB_JSON_DEPTH]; /* nothing written yet at this depth */
    bool flat[LAB_JSON_DEPTH];  /* on one line */
};

/* `key` is NULL inside an array and for the whole. */
void lab_json_object(struct lab_json *j, const char *key, bool flat);
void lab_json_array(struct lab_json *j, const char *key, bool flat);
void lab_json_end_object(struct lab_json *j);
void lab_json_end_array(struct lab_json *j);
/* A NULL string is null. Bytes that are not UTF-8 become U+FFFD. */
void lab_json_string(struct lab_json *j, const char *key, const char *value);
/* NAN and infinities, which JSON has no words for, are null. */
void lab_json_number(struct lab_json *j, const char *key, double value);
void lab_json_integer(struct lab_json *j, const char *key, long long value);
void lab_json_bool(struct lab_json *j, const char *key, bool value);
/* Text that is a JSON number already. */
void lab_json_literal(struct lab_json *j, const char *key, const char *number);

/* The shortest of the usual precisions that reads back as the same double. */
void lab_shortest_number(char text[32], double value);

#endif
