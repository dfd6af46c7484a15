/* SPDX-License-Identifier: MIT */
/* Comparisons as CSV, JSON and HTML. */
#include "matches.h"

#include <stdlib.h>

#include "../text.h"
#include "csv.h"
#include "html_diff.h"
#include "json.h"

enum { SCHEMA = 1 };

static void csv_row(const struct lab_match *m, FILE *f) {
    const struct lab_comparison *c = &m->c;
    const char *const names[] = {m->a->experiment, m->a->variant, m->a->subject, m->a->metric,
                                 m->a->unit};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        lab_csv_field(f, names[i]);
        fputc(',', f);
    }
    lab_csv_params(f, m->a);
    fprintf(f, ",%zu,%zu", m->a->n, m->b->n);
    const double values[] = {m->a->median,  m->b->median,      c->ratio,     c->ratio_low,
                             c->ratio_high, c->shift,          c->shift_low, c->shift_high,
                             c->p_welch,    c->p_mann_whitney, c->p_adjusted};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        fputc(',', f);
        lab_csv_number(f, values[i]);
    }
    fprintf(f, ",%s,%zu\r\n", lab_verdict_word(c->verdict), c->more);
}

int report_matches_csv(const struct report_pair *p, FILE *f) {
    fputs("experiment,variant,subject,metric,unit,params,n_a,n_b,median_a,median_b,ratio,"
          "ratio_low,ratio_high,shift,shift_low,shift_high,p_welch,p_mann_whitney,p_adjusted,"
          "verdict,more\r\n",
          f);
    for (size_t i = 0; i < p->matches->count; i++)
        csv_row(&p->matches->items[i], f);
    return 0;
}

static void write_run(struct lab_json *j, const char *key, const char *name,
                      const struct lab_run *run) {
    lab_json_object(j, key, false);
    lab_json_string(j, "name", name);
    if (run->id)
        lab_json_integer(j, "id", run->id);
    lab_json_string(j, "time", run->time);
    lab_json_string(j, "label", run->label);
    lab_json_string(j, "commit", run->commit);
    lab_json_object(j, "machine", false);
    for (size_t i = 0; i < run->machine_count; i++) {
        if (run->machine[i].number) {
            lab_json_literal(j, run->machine[i].key, run->machine[i].value);
        } else {
            lab_json_string(j, run->machine[i].key, run->machine[i].value);
        }
    }
    lab_json_end_object(j);
    lab_json_end_object(j);
}

static void range(struct lab_json *j, const char *key, double low, double high) {
    lab_json_array(j, key, true);
    lab_json_number(j, NULL, low);
    lab_json_number(j, NULL, high);
    lab_json_end_array(j);
}

static void names(struct lab_json *j, const struct lab_result *r) {
    lab_json_string(j, "experiment", r->experiment);
    lab_json_string(j, "variant", r->variant);
    lab_json_string(j, "subject", r->subject);
    lab_json_string(j, "metric", r->metric);
    lab_json_string(j, "unit", r->unit);
    lab_json_object(j, "params", true);
    for (size_t i = 0; i < r->param_count; i++) {
        if (r->params[i].number) {
            lab_json_literal(j, r->params[i].key, r->params[i].value);
        } else {
            lab_json_string(j, r->params[i].key, r->params[i].value);
        }
    }
    lab_json_end_object(j);
}

static void side(struct lab_json *j, const char *key, const struct lab_result *r) {
    lab_json_object(j, key, true);
    lab_json_string(j, "subject", r->subject);
    lab_json_integer(j, "n", (long long)r->n);
    lab_json_number(j, "median", r->median);
    range(j, "ci95", r->ci_low, r->ci_high);
    lab_json_end_object(j);
}

static void write_match(struct lab_json *j, const struct lab_match *m) {
    const struct lab_comparison *c = &m->c;
    lab_json_object(j, NULL, false);
    names(j, m->a);
    side(j, "a", m->a);
    side(j, "b", m->b);
    lab_json_number(j, "ratio", c->ratio);
    range(j, "ratio95", c->ratio_low, c->ratio_high);
    lab_json_number(j, "shift", c->shift);
    range(j, "shift95", c->shift_low, c->shift_high);
    range(j, "bootstrap95", c->boot_low, c->boot_high);
    lab_json_number(j, "p_welch", c->p_welch);
    lab_json_number(j, "p_mann_whitney", c->p_mann_whitney);
    lab_json_number(j, "p_both", c->p_both);
    lab_json_number(j, "p_adjusted", c->p_adjusted);
    lab_json_number(j, "p_same", c->p_same);
    lab_json_string(j, "verdict", lab_verdict_word(c->verdict));
    lab_json_integer(j, "more", (long long)c->more);
    lab_json_end_object(j);
}

static void lonely(struct lab_json *j, const char *key, const struct lab_result *const *list,
                   size_t count) {
    lab_json_array(j, key, false);
    for (size_t i = 0; i < count; i++) {
        lab_json_object(j, NULL, true);
        names(j, list[i]);
        lab_json_end_object(j);
    }
    lab_json_end_array(j);
}

int report_matches_json(const struct report_pair *p, FILE *f) {
    struct lab_json j = {.f = f};
    lab_json_object(&j, NULL, false);
    lab_json_integer(&j, "schema", SCHEMA);
    lab_json_number(&j, "margin", p->margin);
    write_run(&j, "a", p->name_a, p->a);
    write_run(&j, "b", p->name_b, p->b);
    if (p->trust) {
        lab_json_object(&j, "self_check", true);
        lab_json_string(&j, "state", lab_trust_word(p->trust->state));
        lab_json_string(&j, "time", p->trust->time);
        lab_json_end_object(&j);
    }
    lab_json_array(&j, "comparisons", false);
    for (size_t i = 0; i < p->matches->count; i++)
        write_match(&j, &p->matches->items[i]);
    lab_json_end_array(&j);
    lonely(&j, "only_a", p->matches->only_a, p->matches->only_a_count);
    lonely(&j, "only_b", p->matches->only_b, p->matches->only_b_count);
    lab_json_end_object(&j);
    fputc('\n', f);
    return 0;
}

int report_matches_html(const struct report_pair *p, FILE *f) {
    const struct lab_matches *m = p->matches;
    struct lab_difference *items = lab_alloc(m->count, sizeof(*items));
    for (size_t i = 0; i < m->count; i++)
        items[i] = (struct lab_difference){m->items[i].a, m->items[i].b, m->items[i].c};
    char *trust = matches_trust(p);
    const struct lab_differences d = {.name_a = p->name_a,
                                      .name_b = p->name_b,
                                      .items = items,
                                      .count = m->count,
                                      .only_a = m->only_a,
                                      .only_b = m->only_b,
                                      .only_a_count = m->only_a_count,
                                      .only_b_count = m->only_b_count,
                                      .renamed = m->renamed,
                                      .margin = p->margin,
                                      .trust = trust};
    int error = lab_write_html_diff(f, p->a, p->b, &d);
    free(trust);
    free(items);
    return error;
}
