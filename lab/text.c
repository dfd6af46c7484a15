/* SPDX-License-Identifier: MIT */
/* Memory and strings for the lab. */
#include "text.h"

#include <errno.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

_Noreturn void lab_out_of_memory(void) {
    static const char message[] = "heddle: out of memory\n";
    ssize_t ignored = write(STDERR_FILENO, message, sizeof(message) - 1);
    (void)ignored;
    _exit(3);
}

void *lab_alloc(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (!p)
        lab_out_of_memory();
    return p;
}

void *lab_grow(void *p, size_t n, size_t size) {
    void *q = reallocarray(p, n ? n : 1, size);
    if (!q)
        lab_out_of_memory();
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
        lab_out_of_memory();
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
        lab_out_of_memory();
    lab_text_add(t, s, (size_t)n);
    free(s);
}

void lab_text_free(struct lab_text *t) {
    free(t->data);
    *t = (struct lab_text){0};
}

/* The character that begins here and how many bytes it has; 0 if it is no UTF-8. */
static size_t decode(const char *s, wchar_t *out) {
    const unsigned char *u = (const unsigned char *)s;
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = u[0] < 0x80 ? 1 : u[0] < 0xc2 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
    if (n == 0 || u[0] > 0xf4)
        return 0;
    unsigned c = n == 1 ? u[0] : u[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((u[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (u[i] & 0x3f);
    }
    *out = (wchar_t)c;
    return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
}

/* Control characters, and those that turn the direction of what follows or hide. */
static bool tricky(wchar_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0x61c ||
           c == 0xfeff;
}

static bool is_utf8(void) {
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

bool lab_is_printable(const char *s) {
    wchar_t c;
    for (size_t n; *s; s += n) {
        n = decode(s, &c);
        if (n == 0 || tricky(c))
            return false;
    }
    return true;
}

/* `terminal`: what it cannot show is replaced, too. */
static void make_safe(char *s, bool utf8, bool terminal) {
    char *to = s;
    for (size_t n; *s; s += n) {
        wchar_t c = 0;
        size_t got = decode(s, &c);
        n = got ? got : 1;
        if (*s == '\t') {
            *to++ = ' ';
        } else if (got && !tricky(c) && (got == 1 || (utf8 && (!terminal || wcwidth(c) >= 0)))) {
            memmove(to, s, n);
            to += n;
        } else {
            *to++ = '?';
        }
    }
    *to = '\0';
}

void lab_make_printable(char *s) {
    make_safe(s, is_utf8(), true);
}

void lab_make_plain(char *s) {
    make_safe(s, true, false);
}

size_t lab_fit(const char *s, size_t columns, size_t *used) {
    size_t taken = 0, sum = 0;
    bool utf8 = is_utf8();
    wchar_t c;
    while (s[taken]) {
        size_t n = utf8 ? decode(s + taken, &c) : 0;
        int width = n ? wcwidth(c) : 1;
        if (sum + (size_t)(width > 0 ? width : 0) > columns)
            break;
        sum += (size_t)(width > 0 ? width : 0);
        taken += n ? n : 1;
    }
    if (used)
        *used = sum;
    return taken;
}

size_t lab_columns(const char *s) {
    size_t used;
    lab_fit(s, strlen(s) * 2, &used);
    return used;
}

void lab_cell(FILE *f, const char *s, size_t columns) {
    size_t used, n = lab_fit(s, columns, &used);
    fprintf(f, "%.*s%*s", (int)n, s, (int)(columns - used), "");
}

/* What of a name fits; *blanks: how many columns are left beside it. The caller frees it. */
static char *cut_name(const char *s, size_t columns, size_t *blanks) {
    char *name = lab_copy(s);
    lab_make_printable(name);
    size_t used = 0, n = lab_fit(name, columns, &used);
    if (name[n] && columns) {
        n = lab_fit(name, columns - 1, &used);
        name[n] = '\0';
        char *cut = lab_format("%s~", name);
        free(name);
        name = cut;
        used++;
    }
    *blanks = columns - used;
    return name;
}

void lab_cell_name(FILE *f, const char *s, size_t columns) {
    size_t blanks;
    char *name = cut_name(s, columns, &blanks);
    fprintf(f, "%s%*s", name, (int)blanks, "");
    free(name);
}

void lab_cell_right(FILE *f, const char *s, size_t columns) {
    size_t blanks;
    char *name = cut_name(s, columns, &blanks);
    fprintf(f, "%*s%s", (int)blanks, "", name);
    free(name);
}

/* How many bytes the end of a title has by which it is told apart: "(1234)", ", 12 threads", or
 * else its last characters. */
static size_t title_tail(const char *s, size_t length) {
    enum { LETTERS = 6 };
    const char *open = strrchr(s, '('), *comma = strrchr(s, ',');
    if (open && s[length - 1] == ')')
        return (size_t)(s + length - open);
    if (comma && comma[1] == ' ' && comma[2] >= '0' && comma[2] <= '9')
        return (size_t)(s + length - comma);
    size_t tail = length < LETTERS ? length : LETTERS;
    while (tail > 0 && ((unsigned char)s[length - tail] & 0xc0) == 0x80)
        tail--;
    return tail;
}

void lab_title_cell(FILE *f, const char *s, size_t columns) {
    size_t length = strlen(s), tail = length ? title_tail(s, length) : 0;
    size_t wide = lab_columns(s + length - tail), used;
    if (lab_columns(s) <= columns || wide + 3 > columns) {
        lab_cell(f, s, columns);
        return;
    }
    size_t n = lab_fit(s, columns - wide - 1, &used);
    fprintf(f, "%.*s~%s%*s", (int)n, s, s + length - tail, (int)(columns - used - 1 - wide), "");
}

void lab_wrap(FILE *f, const char *text, size_t column, size_t indent) {
    bool fresh = true; /* nothing of ours stands before the next word on this line */
    text += strspn(text, " ");
    while (*text) {
        size_t bytes = strcspn(text, " "), blank = fresh ? 0 : 1;
        char *word = lab_copy_n(text, bytes);
        size_t width = lab_columns(word);
        if (column + blank + width > LAB_WIDTH && column > indent) {
            fprintf(f, "\n%*s", (int)indent, "");
            column = indent;
            blank = 0;
        }
        if (column + width > LAB_WIDTH)
            bytes = lab_fit(word, LAB_WIDTH - column, &width);
        fprintf(f, "%s%.*s", blank ? " " : "", (int)bytes, text);
        free(word);
        column += blank + width;
        text += bytes;
        fresh = *text && *text != ' '; /* a word that was cut goes on without a blank */
        text += strspn(text, " ");
    }
    fputc('\n', f);
}

/* How many letters have to be added, taken away or replaced. */
static size_t distance(const char *a, const char *b) {
    size_t n = strlen(b), row[64];
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t before = row[0]; /* of the row above, one to the left */
        row[0] = i + 1;
        for (size_t j = 1; j <= n; j++) {
            size_t above = row[j], least = above < row[j - 1] ? above : row[j - 1];
            row[j] = before + (a[i] != b[j - 1]) < least + 1 ? before + (a[i] != b[j - 1])
                                                              : least + 1;
            before = above;
        }
    }
    return row[n];
}

bool lab_is_near(const char *typed, const char *known) {
    enum { LONGEST = 63, SHORT = 4 };
    size_t n = strlen(typed), m = strlen(known);
    if (n > LONGEST || m > LONGEST)
        return false;
    if (n > m + 1 && typed[n - m - 1] == '-' && strcmp(typed + n - m, known) == 0)
        return true;
    return distance(typed, known) <= (m <= SHORT ? 1 : 2);
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
