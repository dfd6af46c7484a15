/* SPDX-License-Identifier: MIT */
/* The text format of Prometheus, for its node exporter's directory of text files: gauges, a family
 * for each estimate. Times are in seconds, as its conventions want them. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "../report/json.h"
#include "../text.h"
#include "format.h"

static void label(FILE *f, const char *name, const char *value) {
    fprintf(f, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            fputc('\\', f);
        if (*value == '\n')
            fputs("\\n", f);
        else
            fputc(*value, f);
    }
    fputc('"', f);
}

/* "stack-size" becomes param_stack_size. */
static void parameter(FILE *f, const struct lab_pair *p) {
    struct lab_text t = {0};
    lab_text_printf(&t, "param_%s", p->key);
    for (char *c = t.data; *c; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
        if (!letter && !(*c >= '0' && *c <= '9'))
            *c = '_';
    }
    fputc(',', f);
    label(f, t.data, p->value);
    lab_text_free(&t);
}

static void sample(FILE *f, const char *family, const struct lab_run *run,
                   const struct lab_result *r, double value) {
    static const char *const names[] = {"experiment", "variant", "subject", "metric", "unit"};
    double per_second = lab_unit_per_second(r->unit);
    const char *unit = per_second > 0 ? "s" : r->unit;
    const char *const values[] = {r->experiment, r->variant, r->subject, r->metric, unit};
    char text[32] = "NaN";
    if (isfinite(value))
        lab_shortest_number(text, value);
    fprintf(f, "%s{", family);
    for (size_t i = 0; i < 5; i++) {
        fputs(i ? "," : "", f);
        label(f, names[i], values[i]);
    }
    for (size_t i = 0; i < r->param_count; i++)
        parameter(f, &r->params[i]);
    size_t before = lab_format_twins(run, r);
    if (before)
        fprintf(f, ",twin=\"%zu\"", before + 1);
    fprintf(f, "} %s\n", text);
}

static void run_info(const struct lab_run *run, FILE *f) {
    fputs("# HELP heddle_run_info The run that the other figures come from.\n"
          "# TYPE heddle_run_info gauge\nheddle_run_info{",
          f);
    const char *const pairs[][2] = {{"uid", run->uid},
                                    {"time", run->time},
                                    {"label", run->label},
                                    {"commit", run->commit},
                                    {"mode", run->mode}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        fputs(i ? "," : "", f);
        label(f, pairs[i][0], pairs[i][1] ? pairs[i][1] : "");
    }
    fputs("} 1\n", f);
}

size_t lab_write_prometheus(const struct lab_run *run, FILE *f) {
    static const struct {
        const char *name, *help;
        size_t offset;
    } families[] = {
        {"heddle_median", "Median over processes.", offsetof(struct lab_result, median)},
        {"heddle_min", "Smallest process.", offsetof(struct lab_result, min)},
        {"heddle_max", "Largest process.", offsetof(struct lab_result, max)},
        {"heddle_ci95_low", "Lower end of the median's 95 % interval.",
         offsetof(struct lab_result, ci_low)},
        {"heddle_ci95_high", "Upper end of the median's 95 % interval.",
         offsetof(struct lab_result, ci_high)},
    };
    run_info(run, f);
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        fprintf(f, "# HELP %s %s\n# TYPE %s gauge\n", families[i].name, families[i].help,
                families[i].name);
        for (size_t k = 0; k < run->result_count; k++) {
            const struct lab_result *r = &run->results[k];
            double value, per_second = lab_unit_per_second(r->unit);
            memcpy(&value, (const char *)r + families[i].offset, sizeof(value));
            sample(f, families[i].name, run, r, per_second > 0 ? value / per_second : value);
        }
    }
    fputs("# HELP heddle_processes How many processes were measured.\n"
          "# TYPE heddle_processes gauge\n",
          f);
    for (size_t k = 0; k < run->result_count; k++)
        sample(f, "heddle_processes", run, &run->results[k], (double)run->results[k].n);
    return 0;
}
