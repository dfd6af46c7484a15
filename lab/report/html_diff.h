/* SPDX-License-Identifier: MIT */
/* The page of two runs. Who compares them fills this in. */
#ifndef HEDDLE_LAB_HTML_DIFF_H
#define HEDDLE_LAB_HTML_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "../result.h"
#include "../stat/compare.h"

/* Two results of the same work, and what B's differs by from A's. */
struct lab_difference {
    const struct lab_result *a, *b;
    struct lab_comparison c;
};

struct lab_differences {
    const char *name_a, *name_b;        /* what the user called the runs */
    const struct lab_difference *items; /* grouped by experiment, variant, metric */
    size_t count;
    const struct lab_result *const *only_a, *const *only_b; /* without a partner */
    size_t only_a_count, only_b_count;
    bool renamed; /* subjects of different names were taken for the same */
    double margin;
    const char *trust; /* what verdicts are worth, where that is not settled; or NULL */
};

/* One self-contained page. 0, or -errno. */
int lab_write_html_diff(FILE *f, const struct lab_run *a, const struct lab_run *b,
                        const struct lab_differences *d);

#endif
