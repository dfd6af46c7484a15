/* SPDX-License-Identifier: MIT */
/* Comparisons as Markdown: what answers questions in a table, the rest folded away. */
#include <stdlib.h>
#include <string.h>

#include "../text.h"
#include "markdown.h"

static const char *mark(const struct lab_match *m) {
    return m->c.verdict == LAB_VERDICT_FASTER || m->c.verdict == LAB_VERDICT_SLOWER ? "**" : "";
}

static void row(FILE *f, const struct report_pair *p, const struct lab_match *m) {
    struct matches_cells x;
    char *title = matches_title(m->a);
    matches_cells(m, &x);
    fputs("| ", f);
    markdown_text(f, title);
    fputs(" | ", f);
    markdown_code(f, m->a->subject, true);
    if (p->matches->renamed) {
        fputs(", ", f);
        markdown_code(f, m->b->subject, true);
    }
    fprintf(f, " | %s | %s | %s | %s | %s | ", x.a, x.b, x.ratio, x.range, x.shift);
    markdown_text(f, x.p);
    fprintf(f, " | %s%s%s |\n", mark(m), matches_word(m), mark(m));
    free(title);
}

static size_t count_of(const struct report_pair *p, bool primary) {
    size_t n = 0;
    for (size_t i = 0; i < p->matches->count; i++)
        n += p->matches->items[i].a->primary == primary;
    return n;
}

static void table(FILE *f, const struct report_pair *p, bool primary) {
    static const char *const titles[] = {"What",  "Subject",       "A",     "B", "Ratio",
                                         "95 % interval", "Shift", "p", "Verdict"};
    markdown_header(f, titles, "llrrrrrrl");
    for (size_t i = 0; i < p->matches->count; i++) {
        if (p->matches->items[i].a->primary == primary)
            row(f, p, &p->matches->items[i]);
    }
}

int report_matches_markdown(const struct report_pair *p, FILE *f) {
    const struct lab_matches *m = p->matches;
    size_t primary = count_of(p, true), rest = count_of(p, false);
    char *title = lab_format("%s compared with %s", p->name_b, p->name_a);
    markdown_title(f, title);
    free(title);
    markdown_line(f, m->count ? matches_counts(m, p->margin)
                              : lab_copy("Nothing in A and B is comparable."));
    if (primary)
        table(f, p, true);
    if (primary && rest)
        markdown_fold(f, "The other metrics");
    if (rest)
        table(f, p, false);
    if (primary && rest)
        markdown_unfold(f);
    if (matches_same_run(p))
        markdown_line(f, lab_copy("A and B are the same run: nothing can differ."));
    else
        markdown_line(f, matches_undecided(m));
    markdown_line(f, m->count ? matches_trust(p) : NULL);
    markdown_line(f, matches_lonely('A', m->only_a, m->only_a_count));
    markdown_line(f, matches_lonely('B', m->only_b, m->only_b_count));
    markdown_line(f, matches_whose('A', p->name_a, p->a));
    markdown_line(f, matches_whose('B', p->name_b, p->b));
    markdown_line(f, matches_machines(p));
    return 0;
}
