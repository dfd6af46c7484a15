/* SPDX-License-Identifier: MIT */
/* Writing JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

static void write_string(FILE *f, const char *s);

static void begin_value(struct lab_json *j, const char *key) {
    if (j->depth > 0) {
        if (!j->first[j->depth])
            fputc(',', j->f);
        if (!j->flat[j->depth]) {
            fprintf(j->f, "\n%*s", 2 * j->depth, "");
        } else if (!j->first[j->depth]) {
            fputc(' ', j->f);
        }
        j->first[j->depth] = false;
    }
    if (key) {
        write_string(j->f, key);
        fputs(": ", j->f);
    }
}

static void open_level(struct lab_json *j, const char *key, bool flat, char bracket) {
    begin_value(j, key);
    fputc(bracket, j->f);
    if (j->depth + 1 < LAB_JSON_DEPTH)
        j->depth++;
    j->first[j->depth] = true;
    j->flat[j->depth] = flat || j->flat[j->depth - 1];
}

static void close_level(struct lab_json *j, char bracket) {
    bool empty = j->first[j->depth], flat = j->flat[j->depth];
    j->depth--;
    if (!empty && !flat)
        fprintf(j->f, "\n%*s", 2 * j->depth, "");
    fputc(bracket, j->f);
}

void lab_json_object(struct lab_json *j, const char *key, bool flat) {
    open_level(j, key, flat, '{');
}

void lab_json_array(struct lab_json *j, const char *key, bool flat) {
    open_level(j, key, flat, '[');
}

void lab_json_end_object(struct lab_json *j) {
    close_level(j, '}');
}

void lab_json_end_array(struct lab_json *j) {
    close_level(j, ']');
}

/* How many bytes the UTF-8 character at s has; 0 if it is none (overlong, surrogate, cut off). */
static size_t utf8_length(const unsigned char *s) {
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (n == 4 && s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))
        return 0;
    if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

static void write_string(FILE *f, const char *s) {
    fputc('"', f);
    for (const unsigned char *c = (const unsigned char *)s; *c;) {
        size_t n = utf8_length(c);
        if (n == 0) {
            fputs("\\ufffd", f);
            c++;
            continue;
        }
        if (*c == '"' || *c == '\\') {
            fprintf(f, "\\%c", *c);
        } else if (*c < 0x20 || *c == 0x7f) {
            fprintf(f, "\\u%04x", *c);
        } else {
            fwrite(c, 1, n, f);
        }
        c += n;
    }
    fputc('"', f);
}

void lab_shortest_number(char text[32], double value) {
    static const int digits[] = {6, 9, 12, 15, 16, 17};
    for (size_t i = 0; i < sizeof(digits) / sizeof(digits[0]); i++) {
        snprintf(text, 32, "%.*g", digits[i], value);
        if (strtod(text, NULL) == value)
            return;
    }
}

void lab_json_string(struct lab_json *j, const char *key, const char *value) {
    begin_value(j, key);
    if (value) {
        write_string(j->f, value);
    } else {
        fputs("null", j->f);
    }
}

void lab_json_number(struct lab_json *j, const char *key, double value) {
    char text[32] = "null";
    if (value == 0 && signbit(value))
        memcpy(text, "-0.0", sizeof("-0.0")); /* many readers take -0 for a whole number: 0 */
    else if (isfinite(value))
        lab_shortest_number(text, value);
    lab_json_literal(j, key, text);
}

void lab_json_integer(struct lab_json *j, const char *key, long long value) {
    begin_value(j, key);
    fprintf(j->f, "%lld", value);
}

void lab_json_bool(struct lab_json *j, const char *key, bool value) {
    lab_json_literal(j, key, value ? "true" : "false");
}

void lab_json_literal(struct lab_json *j, const char *key, const char *number) {
    begin_value(j, key);
    fputs(number, j->f);
}
