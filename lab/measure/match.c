/* SPDX-License-Identifier: MIT */
/* Which results are compared with which. */
#include "match.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../experiment.h"
#include "../record.h"
#include "../text.h"

/* What a result is the result of, as one string: equal for the same work. */
struct key {
    char *text;
    const struct lab_result *result;
    bool taken;
};

struct keys {
    const struct lab_run *run;
    struct key *items;
    size_t count;
};

static char *key_of(const struct lab_result *r, bool with_subject) {
    static const char separator[] = "\001";
    const char *const parts[] = {r->experiment, r->variant, with_subject ? r->subject : "",
                                 r->metric, r->unit};
    struct lab_text t = {0};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        lab_text_add(&t, parts[i], strlen(parts[i]));
        lab_text_add(&t, separator, 1);
    }
    for (size_t i = 0; i < r->param_count; i++) {
        if (lab_parameter_counts(r, r->params[i].key))
            lab_text_printf(&t, "%s=%s\001", r->params[i].key, r->params[i].value);
    }
    return t.data;
}

static bool chosen(const struct lab_result *r, const struct lab_match_choice *choice) {
    if (r->n == 0 || r->better == LAB_BETTER_NONE || (choice->primary && !r->primary))
        return false;
    for (size_t i = 0; i < choice->metric_count; i++) {
        if (strcmp(r->metric, choice->metrics[i]) == 0)
            return true;
    }
    return choice->metrics == NULL;
}

static int by_text(const void *a, const void *b) {
    const struct key *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order ? order : (x->result > y->result) - (x->result < y->result);
}

static struct keys keys_of(const struct lab_run *run, const struct lab_match_choice *choice,
                           bool with_subject) {
    struct keys k = {.run = run, .items = lab_alloc(run->result_count, sizeof(*k.items))};
    for (size_t i = 0; i < run->result_count; i++) {
        const struct lab_result *r = &run->results[i];
        if (chosen(r, choice))
            k.items[k.count++] = (struct key){.text = key_of(r, with_subject), .result = r};
    }
    return k;
}

static void free_keys(struct keys *k) {
    for (size_t i = 0; i < k->count; i++)
        free(k->items[i].text);
    free(k->items);
}

/* The first of the sorted keys with this text that nobody has taken, or NULL. */
static struct key *partner(struct keys *sorted, const char *text) {
    size_t low = 0, high = sorted->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(sorted->items[middle].text, text) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < sorted->count && strcmp(sorted->items[low].text, text) == 0; low++) {
        if (!sorted->items[low].taken)
            return &sorted->items[low];
    }
    return NULL;
}

/* Whether the result is only known to be at most so large: memory below that of the helper which
 * started the process (bench.c notes it). */
static bool is_bound(const struct lab_run *run, const struct lab_result *r) {
    if (strcmp(r->metric, "max_rss_bytes") != 0)
        return false;
    for (size_t i = 0; i < run->note_count; i++) {
        const struct lab_note *n = &run->notes[i];
        if (strcmp(n->key, LAB_NOTE_FLOOR) == 0 && strcmp(n->subject, r->subject) == 0 &&
            strcmp(n->experiment, r->experiment) == 0)
            return true;
    }
    return false;
}

/* Below a bound all is unknown: that leaves one thing to be shown, which is that a side that is
 * measured has more than one that is not. */
static void allow_for_bounds(struct lab_match *m, bool a_bound, bool b_bound) {
    m->bound = a_bound || b_bound;
    if (!m->bound)
        return;
    bool more = a_bound ? !b_bound && m->c.shift > 0 : m->c.shift < 0;
    m->c.p_same = NAN;
    m->c.more_if = 0;
    if (!more)
        m->c.p_both = NAN;
}

static void add(struct lab_matches *m, const struct lab_run *of_a, const struct lab_result *a,
                const struct lab_run *of_b, const struct lab_result *b, double margin) {
    m->items = lab_grow_one(m->items, m->count, sizeof(*m->items));
    struct lab_match *match = &m->items[m->count++];
    *match = (struct lab_match){.a = a, .b = b};
    const struct lab_side x = {.values = a->samples, .n = a->n};
    const struct lab_side y = {.values = b->samples, .n = b->n};
    lab_compare_sides(&x, &y, a->better == LAB_BETTER_HIGHER, margin, &match->c);
    allow_for_bounds(match, is_bound(of_a, a), is_bound(of_b, b));
}

static void add_lonely(const struct lab_result ***list, size_t *count, const struct lab_result *r) {
    *list = lab_grow_one(*list, *count, sizeof(**list));
    (*list)[(*count)++] = r;
}

/* p adjusted over all, and the verdicts that follow. */
static void adjust(struct lab_matches *m, double margin) {
    struct lab_comparison *all = lab_alloc(m->count, sizeof(*all));
    for (size_t i = 0; i < m->count; i++)
        all[i] = m->items[i].c;
    lab_compare_adjust(all, m->count, margin);
    for (size_t i = 0; i < m->count; i++)
        m->items[i].c = all[i];
    free(all);
}

/* Whether all results of the run that were chosen are of one subject. */
static bool one_subject(const struct keys *k) {
    for (size_t i = 1; i < k->count; i++) {
        if (strcmp(k->items[i].result->subject, k->items[0].result->subject) != 0)
            return false;
    }
    return k->count > 0;
}

static int by_place(const void *a, const void *b) {
    const struct key *x = a, *y = b;
    return (x->result > y->result) - (x->result < y->result);
}

static void match_keys(struct keys *a, struct keys *b, double margin, struct lab_matches *out) {
    qsort(b->items, b->count, sizeof(*b->items), by_text);
    for (size_t i = 0; i < a->count; i++) {
        struct key *k = partner(b, a->items[i].text);
        if (k) {
            k->taken = true;
            add(out, a->run, a->items[i].result, b->run, k->result, margin);
        } else {
            add_lonely(&out->only_a, &out->only_a_count, a->items[i].result);
        }
    }
    qsort(b->items, b->count, sizeof(*b->items), by_place);
    for (size_t i = 0; i < b->count; i++) {
        if (!b->items[i].taken)
            add_lonely(&out->only_b, &out->only_b_count, b->items[i].result);
    }
}

void lab_match_runs(const struct lab_run *a, const struct lab_run *b,
                    const struct lab_match_choice *choice, double margin, struct lab_matches *out) {
    *out = (struct lab_matches){0};
    struct keys x = keys_of(a, choice, true), y = keys_of(b, choice, true);
    match_keys(&x, &y, margin, out);
    if (out->count == 0 && one_subject(&x) && one_subject(&y)) {
        /* Two versions of a program, each measured under its own name. */
        lab_matches_free(out);
        free_keys(&x);
        free_keys(&y);
        x = keys_of(a, choice, false);
        y = keys_of(b, choice, false);
        match_keys(&x, &y, margin, out);
        out->renamed = out->count > 0;
    }
    adjust(out, margin);
    free_keys(&x);
    free_keys(&y);
}

void lab_match_subjects(const struct lab_run *run, double margin, struct lab_matches *out) {
    *out = (struct lab_matches){0};
    const struct lab_result *first = NULL;
    for (size_t i = 0; i < run->result_count; i++) {
        const struct lab_result *r = &run->results[i];
        bool same = first && strcmp(first->experiment, r->experiment) == 0 &&
                    strcmp(first->variant, r->variant) == 0 &&
                    strcmp(first->metric, r->metric) == 0;
        if (!same) {
            first = r;
        } else if (r->n && r->better != LAB_BETTER_NONE) {
            add(out, run, first, run, r, margin);
        }
    }
    adjust(out, margin);
}

void lab_matches_free(struct lab_matches *m) {
    free(m->items);
    free(m->only_a);
    free(m->only_b);
    *m = (struct lab_matches){0};
}
