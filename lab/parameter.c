/* SPDX-License-Identifier: MIT */
/* The options that set parameters, their bounds, and lists of values. */
#include "parameter.h"

#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "text.h"

#define PARAMETER(name, argument, help) {LAB_OPT_PARAMETER, 0, name, argument, help}

const struct lab_option lab_parameter_options[] = {
    PARAMETER("workers", "N", "kernel threads that carry the threads"),
    PARAMETER("threads", "N", "how many threads (switch, lifecycle, capacity, idle)"),
    PARAMETER("stack-size", "BYTES", "of each thread (K, M, G may follow; 0: default)"),
    PARAMETER("sleep-us", "N", "how long each thread sleeps (lifecycle, gil)"),
    PARAMETER("count", "N", "threads in a batch (spawn), objects (refcount), waits (gil)"),
    PARAMETER("n", "N", "of fib (forkjoin)"),
    PARAMETER("leaves", "N", "of skynet (forkjoin)"),
    PARAMETER("seconds", "N", "how long to watch (idle)"),
    PARAMETER("iterations", "N", "repetitions within a sample"),
    PARAMETER("samples", "N", "samples within a process"),
    PARAMETER("pool", "N", "threads that take the work of fresh ones (lifecycle)"),
    PARAMETER("priority", "WORD", "of the threads: default, low, high (lifecycle)"),
    PARAMETER("affinity", "WORD", "of the threads: free, pinned (lifecycle)"),
    PARAMETER("padding", "BYTES", "between two counters (falsesharing)"),
    PARAMETER("owner", "PERCENT", "of the touches, by the thread that made them (affinity)"),
    PARAMETER("kib", "N", "memory that is read in random order (memory)"),
    PARAMETER("mib", "N", "memory that is moved; 0: four times the caches (memory)"),
    PARAMETER("size", "BYTES", "of an object (pool)"),
    PARAMETER("batch", "N", "objects that are taken before they are given back (pool)"),
    PARAMETER("remote", "PERCENT", "of the objects, given back by another thread (pool)"),
    {0},
};

/* The bounds. What lies outside is refused here, before anybody is started. */
static const struct bounds {
    const char *name;
    unsigned long long min, max;
    bool scaled;       /* K, M, G may follow */
    const char *words; /* one of these, with blanks between, instead of a number */
} bounds[] = {
    {"workers", 1, 1024, false, NULL},
    {"threads", 1, 100000000, false, NULL},
    {"stack-size", 0, 1u << 30, true, NULL},
    {"sleep-us", 0, 60000000, false, NULL},
    {"count", 1, 1000000, false, NULL},
    {"n", 1, 60, false, NULL},
    {"leaves", 1, 100000000, false, NULL},
    {"seconds", 1, 3600, false, NULL},
    {"iterations", 1, 1000000000, false, NULL},
    {"samples", 1, 1000, false, NULL},
    {"pool", 1, 100000, false, NULL},
    {"priority", 0, 0, false, "default low high"},
    {"affinity", 0, 0, false, "free pinned"},
    {"padding", 0, 4096, false, NULL},
    {"owner", 0, 100, false, NULL},
    {"kib", 4, 1u << 24, false, NULL},
    {"mib", 0, 1u << 20, false, NULL},
    {"size", 8, 32768, false, NULL},
    {"batch", 1, 1000000, false, NULL},
    {"remote", 0, 100, false, NULL},
};

enum { MOST_VALUES = 64 };

/* The end of the value that begins at `list`. */
static size_t value_length(const char *list) {
    return strcspn(list, ",");
}

char *lab_list_at(const char *list, size_t n) {
    for (; n > 0; n--) {
        size_t length = value_length(list);
        if (!list[length])
            return NULL;
        list += length + 1;
    }
    return lab_copy_n(list, value_length(list));
}

bool lab_list_has(const char *list, const char *value) {
    size_t length = strlen(value);
    for (;; list++) {
        size_t n = value_length(list);
        if (n == length && strncmp(list, value, n) == 0)
            return true;
        list += n;
        if (!*list)
            return false;
    }
}

static bool has_word(const char *words, const char *word) {
    size_t length = strlen(word);
    for (const char *w = words; *w; w += strspn(w, " ")) {
        size_t n = strcspn(w, " ");
        if (n == length && strncmp(w, word, n) == 0)
            return true;
        w += n;
    }
    return false;
}

/* One value in the form in which subjects get it; NULL after a complaint. */
static char *read_value(const struct bounds *b, const char *text) {
    unsigned long long v;
    if (b->words) {
        if (has_word(b->words, text))
            return lab_copy(text);
        lab_complain("--%s: '%s' is not one of: %s", b->name, text, b->words);
        return NULL;
    }
    if (lab_parse_number(text, b->scaled, b->min, b->max, &v))
        return lab_format("%llu", v);
    lab_complain("--%s: '%s' is not a number from %llu to %llu", b->name, text, b->min, b->max);
    return NULL;
}

char *lab_parameter_read(const char *name, const char *text) {
    const struct bounds *b = bounds;
    while (strcmp(b->name, name) != 0)
        b++;
    struct lab_text list = {0};
    for (size_t i = 0;; i++) {
        char *one = lab_list_at(text, i);
        if (!one)
            return list.data;
        char *value = read_value(b, one);
        if (value && !(list.data && lab_list_has(list.data, value)))
            lab_text_printf(&list, "%s%s", list.data ? "," : "", value);
        free(one);
        if (value && i >= MOST_VALUES)
            lab_complain("--%s: more than %d values", name, MOST_VALUES);
        bool good = value && i < MOST_VALUES;
        free(value);
        if (!good) {
            lab_text_free(&list);
            return NULL;
        }
    }
}
