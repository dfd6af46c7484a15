/* SPDX-License-Identifier: MIT */
/* Writing HTML: escaping, and numbers for people. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "html.h"

/* How many bytes the UTF-8 character at s has; 0 if it is none. */
static size_t utf8_length(const unsigned char *s) {
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (s[0] > 0xf4) return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
    }
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool beyond = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
    return overlong || beyond ? 0 : n;
}

void html_text(FILE *f, const char *s) {
    for (const unsigned char *c = (const unsigned char *)s; *c;) {
        size_t n = utf8_length(c);
        bool control = *c < 0x20 && *c != '\n' && *c != '\t';
        if (n == 0 || control || *c == 0x7f) {
            fputs("\xef\xbf\xbd", f); /* the replacement character */
            c++;
            continue;
        }
        switch (*c) {
        case '&': fputs("&amp;", f); break;
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '"': fputs("&quot;", f); break;
        case '\'': fputs("&#39;", f); break;
        default: fwrite(c, 1, n, f);
        }
        c += n;
    }
}

void html_printf(FILE *f, const char *format, ...) {
    va_list args;
    va_start(args, format);
    for (const char *at = format; *at;) {
        size_t n = strcspn(at, "%");
        fwrite(at, 1, n, f);
        at += n;
        if (at[0] == '%' && at[1] == 's') {
            html_text(f, va_arg(args, const char *));
            at += 2;
        } else if (*at) { /* %% */
            fputc('%', f);
            at += at[1] == '%' ? 2 : 1;
        }
    }
    va_end(args);
}

void html_id(FILE *f, const char *s) {
    for (; *s; s++) {
        bool plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                     (*s >= '0' && *s <= '9');
        fputc(plain ? *s : '-', f);
    }
}

void html_json_in_script(FILE *f, const char *json) {
    for (; *json; json++) {
        if (*json == '<') {
            fputs("\\u003c", f); /* only strings can hold one */
        } else {
            fputc(*json, f);
        }
    }
}

void html_shell_word(struct lab_text *t, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789-_./,:=@+%";
    if (t->length) lab_text_add(t, " ", 1);
    if (*word && strspn(word, plain) == strlen(word)) {
        lab_text_add(t, word, strlen(word));
        return;
    }
    lab_text_add(t, "'", 1);
    for (; *word; word++) {
        if (*word == '\'') {
            lab_text_add(t, "'\\''", 4);
        } else {
            lab_text_add(t, word, 1);
        }
    }
    lab_text_add(t, "'", 1);
}

/* The terminal's "us" and "x" as a page writes them. */
static char *polish(const char *cell) {
    size_t n = strlen(cell);
    if (n > 3 && strcmp(cell + n - 3, " us") == 0) {
        return lab_format("%.*s \xc2\xb5s", (int)(n - 3), cell);
    }
    if (n > 1 && cell[n - 1] == 'x') return lab_format("%.*s\xc3\x97", (int)(n - 1), cell);
    return lab_copy(cell);
}

char *html_ratio(double ratio) {
    if (!isfinite(ratio)) return lab_copy("");
    if (ratio > 0 && ratio < 0.1) return lab_format("1/%.0f", 1 / ratio);
    return html_value(ratio, "ratio");
}

char *html_value(double value, const char *unit) {
    char cell[LAB_CELL];
    if (!isfinite(value)) return lab_copy("");
    if (strcmp(unit, "percent") == 0) { /* small ones are common, and no place is short here */
        return lab_format("%.*f\xc2\xa0%%", value < 0.1 ? 4 : value < 10 ? 2 : 1, value);
    }
    lab_human(cell, value, unit);
    return polish(cell);
}

char *html_range(double low, double high, const char *unit) {
    if (!isfinite(low) || !isfinite(high)) return lab_copy("");
    char *a = html_value(low, unit), *b = html_value(high, unit);
    char *unit_a = strrchr(a, ' '), *unit_b = strrchr(b, ' ');
    if (unit_a && unit_b && strcmp(unit_a, unit_b) == 0) *unit_a = '\0';
    char *range = lab_format("%s \xe2\x80\x93 %s", a, b); /* an en dash */
    free(a);
    free(b);
    return range;
}
