/* SPDX-License-Identifier: MIT */
/* Memory and strings for the lab. */
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void out_of_memory(void) {
    static const char message[] = "heddle: out of memory\n";
    ssize_t ignored = write(STDERR_FILENO, message, sizeof(message) - 1);
    (void)ignored;
    _exit(3);
}

void *lab_alloc(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (!p)
        out_of_memory();
    return p;
}

void *lab_grow(void *p, size_t n, size_t size) {
    void *q = reallocarray(p, n ? n : 1, size);
    if (!q)
        out_of_memory();
    return q;
}

void *lab_grow_one(void *p, size_t count, size_t size) {
    if (count == 0)
        return lab_grow(p, 1, size);
    if ((count & (count - 1)) != 0)
        return p; /* not full: the capacity is a power of two */
    return lab_grow(p, count * 2, size);
}

char *lab_copy(const char *s) {
    return lab_copy_n(s, strlen(s));
}

char *lab_copy_n(const char *s, size_t n) {
    char *copy = lab_alloc(n + 1, 1);
    memcpy(copy, s, n);
    return copy;
}

char *lab_format(const char *fmt, ...) {
    va_list args;
    char *s = NULL;
    va_start(args, fmt);
    int n = vasprintf(&s, fmt, args);
    va_end(args);
    if (n < 0)
        out_of_memory();
    return s;
}

bool lab_starts_with(const char *s, const char *prefix) {
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

void lab_text_add(struct lab_text *t, const char *bytes, size_t n) {
    if (t->length + n + 1 > t->capacity) {
        t->capacity = (t->length + n + 1) * 2;
        t->data = lab_grow(t->data, t->capacity, 1);
    }
    memcpy(t->data + t->length, bytes, n);
    t->length += n;
    t->data[t->length] = '\0';
}

void lab_text_printf(struct lab_text *t, const char *fmt, ...) {
    va_list args;
    char *s = NULL;
    va_start(args, fmt);
    int n = vasprintf(&s, fmt, args);
    va_end(args);
    if (n < 0)
        out_of_memory();
    lab_text_add(t, s, (size_t)n);
    free(s);
}

void lab_text_free(struct lab_text *t) {
    free(t->data);
    *t = (struct lab_text){0};
}

void lab_make_printable(char *s) {
    for (; *s; s++) {
        if (*s == '\t')
            *s = ' ';
        if (*s < 0x20 || *s == 0x7f)
            *s = '?';
    }
}

void lab_wrap(FILE *f, const char *text, size_t column, size_t indent) {
    bool fresh = true; /* nothing of ours stands before the next word on this line */
    text += strspn(text, " ");
    while (*text) {
        size_t word = strcspn(text, " "), blank = fresh ? 0 : 1;
        if (column + blank + word > LAB_WIDTH && column > indent) {
            fprintf(f, "\n%*s", (int)indent, "");
            column = indent;
            blank = 0;
        }
        if (column + word > LAB_WIDTH)
            word = LAB_WIDTH - column;
        fprintf(f, "%s%.*s", blank ? " " : "", (int)word, text);
        column += blank + word;
        text += word;
        fresh = *text && *text != ' '; /* a word that was cut goes on without a blank */
        text += strspn(text, " ");
    }
    fputc('\n', f);
}

bool lab_parse_number(const char *s, bool scaled, unsigned long long min, unsigned long long max,
                      unsigned long long *out) {
    if (*s < '0' || *s > '9')
        return false; /* strtoull would take blanks and a minus sign */
    char *end;
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    if (errno)
        return false;
    if (scaled && *end) {
        static const char units[] = "KMG";
        const char *unit = strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end);
        if (!unit)
            return false;
        unsigned shift = (unsigned)(unit - units + 1) * 10;
        if (v > (~0ULL >> shift))
            return false;
        v <<= shift;
        end++;
    }
    if (*end || v < min || v > max)
        return false;
    *out = v;
    return true;
}

char *lab_read_line(const char *path) {
    FILE *f = fopen(path, "re");
    if (!f)
        return NULL;
    char line[512];
    char *got = fgets(line, sizeof(line), f);
    fclose(f);
    if (!got)
        return NULL;
    line[strcspn(line, "\n")] = '\0';
    return lab_copy(line);
}
