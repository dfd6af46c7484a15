/* SPDX-License-Identifier: MIT */
/* Writes a page of a made-up run, for tests that look at it: html-sample KIND FILE. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "report/html_diff.h"
#include "report/report.h"
#include "synthetic.h"
#include "text.h"

/* Run B against run A: the same results in the same order, but for the last one. */
static int write_diff(const struct lab_run *a, const struct lab_run *b, FILE *f) {
    struct lab_difference *items = lab_alloc(a->result_count, sizeof(*items));
    struct lab_comparison *all = lab_alloc(a->result_count, sizeof(*all));
    size_t count = a->result_count - 1;
    for (size_t i = 0; i < count; i++) {
        const struct lab_result *x = &a->results[i], *y = &b->results[i];
        const struct lab_side from = {x->samples, x->n, NULL}, to = {y->samples, y->n, NULL};
        lab_compare_sides(&from, &to, false, LAB_MARGIN_DEFAULT, &all[i]);
    }
    lab_compare_adjust(all, count, LAB_MARGIN_DEFAULT);
    for (size_t i = 0; i < count; i++) {
        items[i] = (struct lab_difference){&a->results[i], &b->results[i], all[i]};
    }
    const struct lab_result *last = &a->results[count];
    const struct lab_differences d = {.name_a = "baseline:main",
                                      .name_b = "last",
                                      .items = items,
                                      .count = count,
                                      .only_a = &last,
                                      .only_a_count = 1,
                                      .margin = LAB_MARGIN_DEFAULT};
    int error = lab_write_html_diff(f, a, b, &d);
    free(items);
    free(all);
    return error;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fputs("usage: html-sample report|diff FILE\n", stderr);
        return 2;
    }
    FILE *f = fopen(argv[2], "w");
    if (!f) {
        perror(argv[2]);
        return 1;
    }
    struct lab_run a = synthetic_run(1), b = synthetic_run(1.08);
    int error = strcmp(argv[1], "diff") == 0 ? write_diff(&a, &b, f) : report_html(&a, f);
    lab_run_free(&a);
    lab_run_free(&b);
    return fclose(f) != 0 || error != 0;
}
