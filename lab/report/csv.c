/* SPDX-License-Identifier: MIT */
/* A run as CSV (RFC 4180): the columns of the JSON results, one row a metric. What JSON nests is
 * joined: parameters as "threads=1000;sleep-us=1000", samples as "1.5;1.6;1.4". */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../text.h"
#include "csv.h"
#include "json.h"
#include "report.h"

void lab_csv_field(FILE *f, const char *s) {
    if (!strpbrk(s, ",\"\r\n")) {
        fputs(s, f);
        return;
    }
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"')
            fputc('"', f);
        fputc(*s, f);
    }
    fputc('"', f);
}

void lab_csv_number(FILE *f, double value) {
    char text[32] = "";
    if (isfinite(value))
        lab_shortest_number(text, value);
    fputs(text, f);
}

void lab_csv_params(FILE *f, const struct lab_result *r) {
    struct lab_text t = {0};
    lab_text_add(&t, "", 0);
    for (size_t i = 0; i < r->param_count; i++) {
        lab_text_printf(&t, "%s%s=%s", i ? ";" : "", r->params[i].key, r->params[i].value);
    }
    lab_csv_field(f, t.data);
    lab_text_free(&t);
}

static void row(FILE *f, const struct lab_result *r) {
    static const char *const better[] = {"lower", "higher", ""};
    const char *const names[] = {r->experiment, r->subject, r->metric, r->unit};
    const double values[] = {r->median, r->min, r->max, r->ci_low, r->ci_high};
    for (size_t i = 0; i < 4; i++) {
        lab_csv_field(f, names[i]);
        fputc(',', f);
    }
    lab_csv_params(f, r);
    fprintf(f, ",%zu,", r->n);
    for (size_t i = 0; i < 5; i++) {
        lab_csv_number(f, values[i]);
        fputc(',', f);
    }
    for (size_t i = 0; i < r->n; i++) {
        if (i)
            fputc(';', f);
        lab_csv_number(f, r->samples[i]);
    }
    fputc(',', f);
    lab_csv_field(f, r->variant);
    fprintf(f, ",%s,", better[r->better]);
    lab_csv_number(f, r->bare_ratio);
    fputs("\r\n", f);
}

int report_csv(const struct lab_run *run, FILE *f) {
    fputs("experiment,subject,metric,unit,params,n,median,min,max,ci95_low,ci95_high,samples,"
          "variant,better,bare_ratio\r\n",
          f);
    for (size_t i = 0; i < run->result_count; i++)
        row(f, &run->results[i]);
    return 0;
}
