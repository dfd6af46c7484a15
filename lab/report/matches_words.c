/* SPDX-License-Identifier: MIT */
/* Comparisons in sentences, for every report that has room for them. */
#include <stdlib.h>
#include <string.h>

#include "../experiment.h"
#include "../measure/machine.h"
#include "../text.h"
#include "matches.h"

const char *matches_label(const struct lab_result *r) {
    const struct lab_experiment *e = lab_experiment_find(r->experiment);
    const struct lab_metric *m = e ? lab_metric_find(e, r->metric) : NULL;
    return m ? m->label : r->metric;
}

/* How many processes would decide what answers a question, and which of it takes fewest and most.
 */
static void say_how_many(struct lab_text *t, const struct lab_matches *m) {
    const struct lab_match *least = NULL, *most = NULL;
    for (size_t i = 0; i < m->count; i++) {
        const struct lab_match *x = &m->items[i];
        if (x->c.verdict != LAB_VERDICT_UNDECIDED || !x->a->primary || !x->c.more)
            continue;
        if (!least || x->c.more < least->c.more)
            least = x;
        if (!most || x->c.more > most->c.more)
            most = x;
    }
    if (!most)
        return;
    const char *first = matches_label(least->a), *last = matches_label(most->a);
    if (most->c.more >= LAB_MORE_MAX) {
        lab_text_printf(t, " For %s, it would take more than %d processes a side.", last,
                        LAB_MORE_MAX);
    } else if (least->c.more == most->c.more) {
        lab_text_printf(t, " For %s, about %zu processes a side would tell.", last, most->c.more);
    } else if (strcmp(first, last) == 0) {
        lab_text_printf(t, " For %s, about %zu to %zu processes a side would tell.", last,
                        least->c.more, most->c.more);
    } else {
        lab_text_printf(t, " About %zu (%s) to %zu (%s) processes a side would tell.",
                        least->c.more, first, most->c.more, last);
    }
}

char *matches_undecided(const struct lab_matches *m) {
    size_t undecided = 0, bounds = 0, few = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct lab_match *x = &m->items[i];
        if (x->c.verdict != LAB_VERDICT_UNDECIDED)
            continue;
        undecided++;
        bounds += x->bound;
        few += x->a->n < LAB_COMPARE_MIN || x->b->n < LAB_COMPARE_MIN;
    }
    if (!undecided)
        return NULL;
    struct lab_text t = {0};
    lab_text_printf(&t, "Undecided: neither a difference nor its absence was shown.");
    if (few)
        lab_text_printf(&t, " It takes %d processes a side to say anything.", LAB_COMPARE_MIN);
    say_how_many(&t, m);
    if (bounds)
        lab_text_printf(&t, " Of a max RSS that is known as an upper bound, nothing can be shown "
                            "but that another is more.");
    return t.data;
}

/* A commit within a line: twelve digits, and whether files differed from it. */
static void add_commit(struct lab_text *t, const char *word, const char *commit) {
    enum { DIGITS = 12 };
    static const char dirty[] = "-dirty";
    size_t n = strcspn(commit, "-");
    bool whole = n <= DIGITS || strspn(commit, "0123456789abcdef") != n;
    lab_text_printf(t, ", %s %.*s%s", word, whole ? (int)strlen(commit) : DIGITS, commit,
                    !whole && strcmp(commit + n, dirty) == 0 ? dirty : "");
}

char *matches_whose(char letter, const char *name, const struct lab_run *run) {
    static const char *const facts[] = {"cpu", "kernel"};
    struct lab_text t = {0};
    const char *date = lab_machine_fact(run, "date"), *heddle = lab_machine_fact(run, "commit");
    char *number = lab_format("%lld", run->id);
    lab_text_printf(&t, "%c: ", letter);
    if (!run->id)
        lab_text_printf(&t, "%s", name);
    else if (strcmp(name, number) == 0)
        lab_text_printf(&t, "run %s", number);
    else
        lab_text_printf(&t, "%s, which is run %s", name, number);
    free(number);
    if (run->label && strcmp(run->label, name) != 0)
        lab_text_printf(&t, ", label %s", run->label);
    if (run->commit)
        add_commit(&t, "commit", run->commit);
    if (date || run->time)
        lab_text_printf(&t, ", %s", date ? date : run->time);
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        const char *value = lab_machine_fact(run, facts[i]);
        if (value)
            lab_text_printf(&t, ", %s", value);
    }
    if (heddle && (!run->commit || strcmp(heddle, run->commit) != 0))
        add_commit(&t, "by heddle", heddle);
    return t.data;
}

char *matches_machines(const struct report_pair *p) {
    static const char *const facts[] = {"cpu",      "cpus", "kernel",
                                        "governor", "arch", "memory_bytes"};
    struct lab_text t = {0};
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        const char *x = lab_machine_fact(p->a, facts[i]), *y = lab_machine_fact(p->b, facts[i]);
        if (x && y && strcmp(x, y) != 0)
            lab_text_printf(&t, "%s%s", t.length ? ", " : "", facts[i]);
    }
    char *line = t.length ? lab_format("Not the same machine: these differ: %s.", t.data) : NULL;
    lab_text_free(&t);
    return line;
}

char *matches_title(const struct lab_result *r) {
    return lab_format("%s%s%s: %s", r->experiment, *r->variant ? " " : "", r->variant,
                      matches_label(r));
}

char *matches_lonely(char letter, const struct lab_result *const *list, size_t count) {
    enum { SHOWN = 6 };
    struct lab_text t = {0};
    if (count == 0)
        return NULL;
    lab_text_printf(&t, "Only in %c: ", letter);
    for (size_t i = 0; i < count && i < SHOWN; i++) {
        lab_text_printf(&t, "%s%s %s %s", i ? ", " : "", list[i]->experiment, list[i]->subject,
                        list[i]->metric);
    }
    if (count > SHOWN)
        lab_text_printf(&t, ", and %zu more", count - SHOWN);
    return t.data;
}

char *matches_counts(const struct lab_matches *m, double margin) {
    size_t seen[LAB_VERDICT_UNDECIDED + 1] = {0};
    for (size_t i = 0; i < m->count; i++)
        seen[m->items[i].c.verdict]++;
    return lab_format("%zu compared: %zu better, %zu worse, %zu the same (within %.3g %%), "
                      "%zu undecided; p adjusted over all.",
                      m->count, seen[LAB_VERDICT_FASTER], seen[LAB_VERDICT_SLOWER],
                      seen[LAB_VERDICT_SAME], margin * 100, seen[LAB_VERDICT_UNDECIDED]);
}

char *matches_trust(const struct report_pair *p) {
    const struct lab_trust *t = p->trust;
    bool settled = !t || t->state == LAB_TRUST_PASSED || t->state == LAB_TRUST_UNKNOWN;
    return settled || !t->words ? NULL : lab_copy(t->words);
}

bool matches_same_run(const struct report_pair *p) {
    const char *const pairs[][2] = {{p->a->uid, p->b->uid}, {p->a->source, p->b->source}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (pairs[i][0] && pairs[i][1] && strcmp(pairs[i][0], pairs[i][1]) == 0)
            return true;
    }
    return false;
}
