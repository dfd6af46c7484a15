/* SPDX-License-Identifier: MIT */
/* Comparisons as text: rows of a table, and the table of two runs. */
#include "matches.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../text.h"
#include "format.h"

enum { NAME = 16 };

const char *matches_word(const struct lab_match *m) {
    static const char *const timed[] = {"ns", "us", "ms", "s", "per_s"};
    bool lower = m->c.verdict == LAB_VERDICT_FASTER;
    if (m->c.verdict != LAB_VERDICT_FASTER && m->c.verdict != LAB_VERDICT_SLOWER)
        return lab_verdict_word(m->c.verdict);
    for (size_t i = 0; i < sizeof(timed) / sizeof(timed[0]); i++) {
        if (strcmp(m->a->unit, timed[i]) == 0)
            return lab_verdict_word(m->c.verdict);
    }
    return lower != m->c.higher_is_better ? "less" : "more";
}

const char *matches_colour(const struct lab_match *m, bool colour) {
    if (!colour)
        return "";
    return m->c.verdict == LAB_VERDICT_FASTER   ? "\033[32m"
           : m->c.verdict == LAB_VERDICT_SLOWER ? "\033[31m"
                                                : "\033[2m";
}

void matches_header(FILE *f, const char *title, const char *a, const char *b, bool colour) {
    const char *bold = colour ? "\033[1m" : "", *plain = colour ? "\033[0m" : "";
    char *printable = lab_copy(title);
    lab_make_printable(printable);
    bool alone = lab_columns(printable) > NAME;
    if (alone)
        fprintf(f, "%s%.*s%s\n", bold, (int)lab_fit(printable, 78, NULL), printable, plain);
    fputs(bold, f);
    lab_cell_name(f, alone ? "" : printable, NAME);
    fprintf(f, " %8.8s %8.8s %6s %11s %9s %5s %s%s\n", a, b, "ratio", "95 %", "shift", "p",
            "verdict", plain);
    free(printable);
}

/* ".012", "<.001"; "-" where there is none. */
static void p_cell(char cell[LAB_CELL], double p) {
    if (isnan(p)) {
        snprintf(cell, LAB_CELL, "-");
    } else if (p < 0.001) {
        snprintf(cell, LAB_CELL, "<.001");
    } else if (p > 0.9995) {
        snprintf(cell, LAB_CELL, "1");
    } else {
        char digits[LAB_CELL];
        snprintf(digits, sizeof(digits), "%.3f", p);
        snprintf(cell, LAB_CELL, "%.*s", LAB_CELL - 1, digits + 1);
    }
}

static void ratio_number(char cell[LAB_CELL], double v) {
    if (v >= 9999.5 || (v > 0 && v < 0.001)) {
        snprintf(cell, LAB_CELL, "%.0e", v);
    } else {
        snprintf(cell, LAB_CELL, "%.*f", v < 9.995 ? 3 : v < 99.95 ? 1 : 0, v);
    }
}

static void ratio_cells(char ratio[LAB_CELL], char range[2 * LAB_CELL],
                        const struct lab_comparison *c) {
    char low[LAB_CELL], high[LAB_CELL];
    snprintf(ratio, LAB_CELL, "-");
    snprintf(range, 2 * LAB_CELL, "-");
    if (!isfinite(c->ratio))
        return;
    ratio_number(ratio, c->ratio);
    if (isnan(c->ratio_low) || isnan(c->ratio_high))
        return;
    ratio_number(low, c->ratio_low);
    ratio_number(high, c->ratio_high);
    int n = snprintf(range, 2 * LAB_CELL, "%s-%s", low, high);
    if (c->ratio_high > LAB_COMPARE_WIDE * c->ratio_low) {
        snprintf(range, 2 * LAB_CELL, "wide");
    } else if (n > 11 || strpbrk(range, "e")) {
        snprintf(range, 2 * LAB_CELL, "-"); /* no room for two exponents that can be told apart */
    }
}

static void shift_cell(char cell[LAB_CELL + 1], double shift, const char *unit) {
    char amount[LAB_CELL];
    if (isnan(shift)) {
        snprintf(cell, LAB_CELL + 1, "-");
        return;
    }
    lab_human(amount, fabs(shift), unit);
    snprintf(cell, LAB_CELL + 1, "%s%s", shift > 0 ? "+" : shift < 0 ? "-" : "", amount);
}

void matches_cells(const struct lab_match *m, struct matches_cells *out) {
    lab_human(out->a, m->a->median, m->a->unit);
    lab_human(out->b, m->b->median, m->b->unit);
    ratio_cells(out->ratio, out->range, &m->c);
    shift_cell(out->shift, m->c.shift, m->a->unit);
    p_cell(out->p, m->c.p_adjusted);
}

void matches_row(FILE *f, const char *name, const struct lab_match *m, bool colour) {
    struct matches_cells x;
    char *printable = lab_copy(name);
    lab_make_printable(printable);
    matches_cells(m, &x);
    if (lab_columns(printable) > NAME) {
        lab_wrap(f, printable, 0, 2);
        *printable = '\0';
    }
    lab_cell(f, printable, NAME);
    fprintf(f, " %8s %8s %6s %11s %9s %5s %s%s%s\n", x.a, x.b, x.ratio, x.range, x.shift, x.p,
            matches_colour(m, colour), matches_word(m), colour ? "\033[0m" : "");
    free(printable);
}

/* A sentence, or none (NULL), which is freed. */
static void say(FILE *f, char *line, size_t indent) {
    if (!line)
        return;
    lab_make_printable(line);
    lab_wrap(f, line, 0, indent);
    free(line);
}

void matches_footnote(FILE *f, const struct lab_matches *m) {
    say(f, matches_undecided(m), 0);
}

/* ---- two runs ---- */

static bool same_block(const struct lab_result *a, const struct lab_result *b) {
    return strcmp(a->experiment, b->experiment) == 0 && strcmp(a->variant, b->variant) == 0 &&
           strcmp(a->metric, b->metric) == 0;
}

int report_matches_text(const struct report_pair *p, FILE *f, bool colour) {
    const struct lab_matches *m = p->matches;
    say(f, matches_whose('A', p->name_a, p->a), 3);
    say(f, matches_whose('B', p->name_b, p->b), 3);
    say(f, matches_machines(p), 0);
    bool same_run = matches_same_run(p);
    if (same_run)
        fputs("A and B are the same run: nothing can differ.\n", f);
    for (size_t i = 0; i < m->count; i++) {
        const struct lab_result *r = m->items[i].a;
        if (i == 0 || !same_block(m->items[i - 1].a, r)) {
            char *title = matches_title(r);
            fputc('\n', f);
            matches_header(f, title, "A", "B", colour);
            free(title);
        }
        const char *other = m->items[i].b->subject;
        char *name = m->renamed ? lab_format("%s | %s", r->subject, other) : lab_copy(r->subject);
        matches_row(f, name, &m->items[i], colour);
        free(name);
    }
    fputc('\n', f);
    say(f, matches_lonely('A', m->only_a, m->only_a_count), 2);
    say(f, matches_lonely('B', m->only_b, m->only_b_count), 2);
    if (m->count == 0) {
        fputs("Nothing in A and B is comparable.\n", f);
        return 0;
    }
    say(f, matches_counts(m, p->margin), 0);
    if (!same_run)
        matches_footnote(f, m);
    say(f, matches_trust(p), 0);
    return 0;
}
