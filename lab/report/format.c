/* SPDX-License-Identifier: MIT */
/* Numbers for people. */
#include "format.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct scale {
    const char *unit; /* as subjects give it */
    struct {
        double factor;
        const char *name;
    } steps[6]; /* descending, ended by a NULL name */
};

static const struct scale scales[] = {
    {"ns", {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}}},
    {"us", {{1e6, "s"}, {1e3, "ms"}, {1, "us"}, {1e-3, "ns"}}},
    {"ms", {{1e3, "s"}, {1, "ms"}, {1e-3, "us"}, {1e-6, "ns"}}},
    {"s", {{1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}}},
    {"bytes", {{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}, {1, "B"}}},
    {"per_s", {{1e9, "G/s"}, {1e6, "M/s"}, {1e3, "k/s"}, {1, "/s"}}},
    {"count", {{1, ""}}},
    {"percent", {{1, "%"}}},
    {"ratio", {{1, "x"}}},
};

enum { CELL_WIDTH = 8, RANGE_WIDTH = 15 }; /* what the table has room for */

/* `digits` (3 or less) that matter; whole numbers in full. */
static void few_digits(char *text, size_t room, double v, int digits) {
    double a = fabs(v);
    if (!isfinite(v)) {
        snprintf(text, room, "%s", isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
        return;
    }
    if (a > 1e300) { /* where the next line would overflow */
        snprintf(text, room, "%.0e", v);
        return;
    }
    /* What is rounded up to the next power of ten has a digit more: 9.996 is 10.0. */
    int magnitude = a > 0 ? (int)floor(log10(a * 1.0005)) : digits - 1;
    int decimals = digits - 1 - magnitude;
    if (decimals < 0)
        decimals = 0;
    if (decimals > 5 || a >= 1e7) {
        snprintf(text, room, "%.0e", v);
    } else {
        snprintf(text, room, "%.*f", decimals, v);
    }
}

/* Picks the largest step that leaves at least 1 before the point. */
static void pick(double value, const char *unit, double *factor, const char **name) {
    *factor = 1;
    *name = unit;
    for (size_t i = 0; i < sizeof(scales) / sizeof(scales[0]); i++) {
        if (strcmp(scales[i].unit, unit) != 0)
            continue;
        for (size_t k = 0; scales[i].steps[k].name; k++) {
            *factor = scales[i].steps[k].factor;
            *name = scales[i].steps[k].name;
            if (fabs(value) * 1.0005 >= *factor)
                break;
        }
        if (value == 0) { /* in the unit it came in */
            for (size_t k = 0; scales[i].steps[k].name; k++) {
                if (scales[i].steps[k].factor == 1)
                    *name = scales[i].steps[k].name;
            }
            *factor = 1;
        }
        return;
    }
}

/* "x" sticks to its number, other units stand apart, none stays away. */
static const char *separator(const char *name) {
    return strcmp(name, "x") == 0 || !*name ? "" : " ";
}

/* The number with its unit; `unit_too` false leaves the unit to somebody else. Amounts beyond all
 * reason still fit. */
static void human(char cell[LAB_CELL], double value, const char *unit, bool unit_too) {
    double factor;
    const char *name;
    char digits[LAB_CELL - 8];
    pick(value, unit, &factor, &name);
    value /= factor;
    bool whole = strcmp(unit, "count") == 0 && value == floor(value) && fabs(value) < 1e8;
    const char *blank = unit_too ? separator(name) : "", *tail = unit_too ? name : "";
    char text[LAB_CELL];
    int n = CELL_WIDTH + 1;
    for (int wanted = 3; wanted > 0 && n > CELL_WIDTH; wanted--) {
        if (whole) {
            snprintf(digits, sizeof(digits), "%.0f", value);
        } else {
            few_digits(digits, sizeof(digits), value, wanted);
        }
        n = snprintf(text, sizeof(text), "%s%s%.6s", digits, blank, tail);
    }
    if (n > CELL_WIDTH)
        n = snprintf(text, sizeof(text), "%.0e%.6s", value, tail);
    if (n > CELL_WIDTH)
        snprintf(text, sizeof(text), fabs(value) < 1 ? "~0" : "huge");
    memcpy(cell, text, sizeof(text));
}

void lab_human(char cell[LAB_CELL], double value, const char *unit) {
    human(cell, value, unit, true);
}

void lab_human_range(char cell[LAB_CELL * 2], double low, double high, const char *unit) {
    if (isnan(low) || isnan(high)) {
        snprintf(cell, LAB_CELL * 2, "-");
        return;
    }
    char a[LAB_CELL], b[LAB_CELL], text[LAB_CELL * 2];
    double factor;
    const char *name_low, *name_high;
    pick(low, unit, &factor, &name_low);
    pick(high, unit, &factor, &name_high);
    human(a, low, unit, strcmp(name_low, name_high) != 0);
    human(b, high, unit, true);
    bool exponents = strstr(a, "e-") || strstr(b, "e-") || strstr(a, "e+") || strstr(b, "e+");
    int n = snprintf(text, sizeof(text), "%s%s%s", a, exponents ? " to " : "-", b);
    if (n > RANGE_WIDTH)
        n = snprintf(text, sizeof(text), "%.0e to %.0e", low, high);
    if (n > RANGE_WIDTH)
        snprintf(text, sizeof(text), "wide");
    memcpy(cell, text, sizeof(text));
}

void lab_human_ratio(char cell[LAB_CELL], double ratio) {
    char digits[LAB_CELL - 8];
    if (isnan(ratio)) {
        cell[0] = '\0';
    } else if (ratio > 1e-7 && ratio < 0.0995) {
        few_digits(digits, sizeof(digits), 1 / ratio, 3);
        snprintf(cell, LAB_CELL, "1/%s", digits);
    } else {
        lab_human(cell, ratio, "ratio");
    }
}
