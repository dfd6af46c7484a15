/* SPDX-License-Identifier: MIT */
/* A formatter that needs nothing but its arguments, for messages from signal handlers. */
#include "base/check.h"

/* The text so far; counts on past the end of the buffer. */
struct sink {
    char *buf;
    size_t size;
    size_t length;
};

static void put(struct sink *s, char c) {
    if (s->length < s->size) {
        s->buf[s->length] = c;
    }
    s->length++;
}

/* One conversion, after its '%'. */
struct spec {
    bool left;      /* '-' */
    bool zero;      /* '0' */
    int width;      /* least number of characters */
    int precision;  /* of %s; -1: none */
    int length;     /* sizeof the argument: 4 or 8 */
    char kind;
};

static void put_padded(struct sink *s, const struct spec *spec, const char *text, size_t n,
                       const char *prefix) {
    size_t prefix_length = 0;
    while (prefix[prefix_length] != '\0') {
        prefix_length++;
    }
    size_t width = spec->width > 0 ? (size_t)spec->width : 0;
    size_t pad = width > n + prefix_length ? width - n - prefix_length : 0;
    bool zero = spec->zero && !spec->left && spec->kind != 's' && spec->kind != 'c';
    for (size_t i = 0; i < pad && !spec->left && !zero; i++) {
        put(s, ' ');
    }
    for (size_t i = 0; i < prefix_length; i++) {
        put(s, prefix[i]);
    }
    for (size_t i = 0; i < pad && zero; i++) {
        put(s, '0');
    }
    for (size_t i = 0; i < n; i++) {
        put(s, text[i]);
    }
    for (size_t i = 0; i < pad && spec->left; i++) {
        put(s, ' ');
    }
}

static void put_number(struct sink *s, const struct spec *spec, uint64_t value, unsigned base,
                       const char *prefix) {
    char digits[20]; /* 2^64 has 20 decimal digits */
    size_t at = sizeof digits;
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    put_padded(s, spec, digits + at, sizeof digits - at, prefix);
}

static void put_string(struct sink *s, const struct spec *spec, const char *text) {
    size_t n = 0;
    if (text == NULL) {
        text = "(null)";
    }
    while ((spec->precision < 0 || n < (size_t)spec->precision) && text[n] != '\0') {
        n++;
    }
    put_padded(s, spec, text, n, "");
}

static const char *parse_number(const char *fmt, int *out, va_list *args) {
    if (*fmt == '*') {
        *out = va_arg(*args, int);
        return fmt + 1;
    }
    for (; *fmt >= '0' && *fmt <= '9'; fmt++) {
        *out = *out * 10 + (*fmt - '0');
    }
    return fmt;
}

/* Parses what follows a '%' and returns where the next text begins. */
static const char *parse_spec(const char *fmt, struct spec *spec, va_list *args) {
    *spec = (struct spec){ .precision = -1, .length = sizeof(int) };
    for (; *fmt == '-' || *fmt == '0'; fmt++) {
        spec->left |= *fmt == '-';
        spec->zero |= *fmt == '0';
    }
    fmt = parse_number(fmt, &spec->width, args);
    if (*fmt == '.') {
        spec->precision = 0;
        fmt = parse_number(fmt + 1, &spec->precision, args);
    }
    for (; *fmt == 'l' || *fmt == 'z' || *fmt == 'j' || *fmt == 't' || *fmt == 'h'; fmt++) {
        spec->length = *fmt == 'h' ? (int)sizeof(int) : 8;
    }
    spec->kind = *fmt;
    return *fmt == '\0' ? fmt : fmt + 1;
}

static void put_spec(struct sink *s, const struct spec *spec, va_list *args) {
    switch (spec->kind) {
    case 's':
        put_string(s, spec, va_arg(*args, const char *));
        return;
    case 'c': {
        char c = (char)va_arg(*args, int);
        put_padded(s, spec, &c, 1, "");
        return;
    }
    case 'd':
    case 'i': {
        int64_t value = spec->length == 8 ? va_arg(*args, int64_t) : va_arg(*args, int);
        put_number(s, spec, value < 0 ? -(uint64_t)value : (uint64_t)value, 10,
                   value < 0 ? "-" : "");
        return;
    }
    case 'u':
    case 'x': {
        uint64_t value = spec->length == 8 ? va_arg(*args, uint64_t) : va_arg(*args, unsigned);
        put_number(s, spec, value, spec->kind == 'u' ? 10 : 16, "");
        return;
    }
    case 'p':
        put_number(s, spec, (uintptr_t)va_arg(*args, void *), 16, "0x");
        return;
    case '%':
        put(s, '%');
        return;
    default:
        put(s, '%');
        if (spec->kind != '\0') {
            put(s, spec->kind);
        }
        return;
    }
}

size_t hd__vformat(char *buf, size_t n, const char *fmt, va_list args) {
    struct sink s = { buf, n, 0 };
    va_list rest; /* a parameter of array type cannot be handed on by address */
    va_copy(rest, args);
    while (*fmt != '\0') {
        if (*fmt != '%') {
            put(&s, *fmt++);
            continue;
        }
        struct spec spec;
        fmt = parse_spec(fmt + 1, &spec, &rest);
        put_spec(&s, &spec, &rest);
    }
    va_end(rest);
    if (n > 0) {
        buf[s.length < n ? s.length : n - 1] = '\0';
    }
    return s.length;
}

size_t hd__format(char *buf, size_t n, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    size_t length = hd__vformat(buf, n, fmt, args);
    va_end(args);
    return length;
}
