/* SPDX-License-Identifier: MIT */
/* What subjects said beside their samples, and what could not be measured.
 *
 * What several subjects say alike stands once, with their names. Instructions (keys dis_CASE, and
 * adaptive_CASE for those after warm-up) are one table to unfold, a group of rows a case; all else
 * is a list of keys and words, folded where it is long. */
#include <stdlib.h>
#include <string.h>

#include "html.h"

enum { OPEN = 4 }; /* rows of a list that is not folded */

static const char dis[] = "dis_", adaptive[] = "adaptive_";

/* What was said in one experiment: of each key and subject the first, since processes repeat it. */
struct said {
    const struct lab_note **notes;
    size_t count;
};

static struct said gather(const struct lab_run *run, const char *experiment) {
    struct said all = {0};
    for (size_t i = 0; i < run->note_count; i++) {
        const struct lab_note *n = &run->notes[i];
        bool known = strcmp(n->experiment, experiment) != 0;
        for (size_t k = 0; k < all.count && !known; k++) {
            known = strcmp(all.notes[k]->key, n->key) == 0 &&
                    strcmp(all.notes[k]->subject, n->subject) == 0;
        }
        if (known) continue;
        all.notes = lab_grow_one(all.notes, all.count, sizeof(*all.notes));
        all.notes[all.count++] = n;
    }
    return all;
}

static bool same_key(const struct said *all, size_t a, size_t b) {
    return strcmp(all->notes[a]->key, all->notes[b]->key) == 0;
}

static bool same_said(const struct said *all, size_t a, size_t b) {
    return same_key(all, a, b) && strcmp(all->notes[a]->text, all->notes[b]->text) == 0;
}

/* Whether nobody said it before. */
static bool is_new(const struct said *all, size_t i) {
    for (size_t k = 0; k < i; k++) {
        if (same_said(all, k, i)) return false;
    }
    return true;
}

/* Of what the instructions are; NULL for another note. */
static const char *case_of(const struct lab_note *n) {
    if (lab_starts_with(n->key, dis)) return n->key + strlen(dis);
    return lab_starts_with(n->key, adaptive) ? n->key + strlen(adaptive) : NULL;
}

/* How many subjects said anything. */
static size_t speakers(const struct said *all) {
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        bool known = false;
        for (size_t k = 0; k < i && !known; k++) {
            known = strcmp(all->notes[k]->subject, all->notes[i]->subject) == 0;
        }
        count += !known;
    }
    return count;
}

/* Writes the names of those marked, in the run's order; "all" where it is everybody. */
static void names(FILE *f, const struct lab_run *run, const struct said *all, const bool *marked) {
    size_t count = 0;
    const char *comma = "";
    for (size_t i = 0; i < all->count; i++) count += marked[i];
    if (count > 2 && count == speakers(all)) {
        fputs("all", f);
        return;
    }
    for (size_t s = 0; s <= run->subject_count; s++) { /* the last turn: those it does not list */
        for (size_t i = 0; i < all->count; i++) {
            const char *name = all->notes[i]->subject;
            bool listed = html_subject(run, name) != NULL;
            bool turn = s < run->subject_count ? strcmp(run->subjects[s].name, name) == 0 : !listed;
            if (!marked[i] || !turn) continue;
            html_printf(f, "%s%s", comma, name);
            comma = ", ";
        }
    }
}

static void list_row(FILE *f, const struct lab_run *run, const struct said *all, size_t i,
                     bool *marked) {
    for (size_t k = 0; k < all->count; k++) marked[k] = same_said(all, k, i);
    html_printf(f, "<tr><th scope=\"row\">%s</th><td>%s", all->notes[i]->key, all->notes[i]->text);
    fputs("<small>", f);
    names(f, run, all, marked);
    fputs("</small></td></tr>\n", f);
}

/* The first of each key and its others after it. */
static void list(FILE *f, const struct lab_run *run, const struct said *all, bool *marked) {
    size_t rows = 0;
    for (size_t i = 0; i < all->count; i++) rows += !case_of(all->notes[i]) && is_new(all, i);
    if (rows == 0) return;
    if (rows > OPEN) {
        fprintf(f, "<details class=\"said\"><summary>%zu things that they said</summary>\n", rows);
    }
    fputs("<div class=\"scroll\"><table class=\"plain said\"><tbody>\n", f);
    for (size_t i = 0; i < all->count; i++) {
        bool first = !case_of(all->notes[i]);
        for (size_t k = 0; k < i && first; k++) first = !same_key(all, k, i);
        for (size_t k = i; k < all->count && first; k++) {
            if (same_key(all, k, i) && is_new(all, k)) list_row(f, run, all, k, marked);
        }
    }
    fputs("</tbody></table></div>\n", f);
    if (rows > OPEN) fputs("</details>\n", f);
}

/* Instructions come with a semicolon between, since a note is one line. */
static void listing(FILE *f, const char *text) {
    fputs("<td><code>", f);
    while (text && *text) {
        size_t n = strcspn(text, ";");
        char *line = lab_copy_n(text, n);
        html_printf(f, "<span>%s</span> ", line);
        free(line);
        text += n;
        text += strspn(text, "; ");
    }
    fputs("</code></td>", f);
}

/* What a subject's instructions are for a case, "" if it told none. */
static const char *code_of(const struct said *all, const char *subject, const char *what,
                           const char *kind) {
    for (size_t i = 0; i < all->count; i++) {
        const struct lab_note *n = all->notes[i];
        if (strcmp(n->subject, subject) != 0 || !lab_starts_with(n->key, kind)) continue;
        if (strcmp(n->key + strlen(kind), what) == 0) return n->text;
    }
    return "";
}

/* Whether two notes are of the same case, from subjects with the same instructions for it. */
static bool same_code(const struct said *all, size_t a, size_t b) {
    const char *x = case_of(all->notes[a]), *y = case_of(all->notes[b]);
    if (!x || !y || strcmp(x, y) != 0) return false;
    const char *p = all->notes[a]->subject, *q = all->notes[b]->subject;
    return strcmp(code_of(all, p, x, dis), code_of(all, q, x, dis)) == 0 &&
           strcmp(code_of(all, p, x, adaptive), code_of(all, q, x, adaptive)) == 0;
}

static void code_row(FILE *f, const struct lab_run *run, const struct said *all, size_t i,
                     bool *marked) {
    const char *what = case_of(all->notes[i]), *subject = all->notes[i]->subject;
    for (size_t k = 0; k < all->count; k++) {
        marked[k] = same_code(all, k, i);
        for (size_t e = 0; e < k && marked[k]; e++) { /* a subject once, for both its notes */
            marked[k] = !marked[e] || strcmp(all->notes[e]->subject, all->notes[k]->subject) != 0;
        }
    }
    fputs("<tr><td>", f);
    names(f, run, all, marked);
    fputs("</td>", f);
    listing(f, code_of(all, subject, what, dis));
    listing(f, code_of(all, subject, what, adaptive));
    fputs("</tr>\n", f);
}

static void code_group(FILE *f, const struct lab_run *run, const struct said *all, size_t first,
                       bool *marked) {
    const char *what = case_of(all->notes[first]);
    html_printf(f, "<tbody><tr><th colspan=\"3\" scope=\"rowgroup\">%s</th></tr>\n", what);
    for (size_t i = first; i < all->count; i++) {
        const char *other = case_of(all->notes[i]);
        bool fresh = other && strcmp(other, what) == 0;
        for (size_t k = first; k < i && fresh; k++) fresh = !same_code(all, k, i);
        if (fresh) code_row(f, run, all, i, marked);
    }
    fputs("</tbody>\n", f);
}

static void codes(FILE *f, const struct lab_run *run, const struct said *all, bool *marked) {
    bool any = false;
    for (size_t i = 0; i < all->count; i++) {
        const char *what = case_of(all->notes[i]);
        bool first = what != NULL;
        for (size_t k = 0; k < i && first; k++) {
            const char *other = case_of(all->notes[k]);
            first = !other || strcmp(other, what) != 0;
        }
        if (!first) continue;
        if (!any) {
            fputs("<details class=\"said\"><summary>Instructions, as dis shows them</summary>\n"
                  "<div class=\"scroll\"><table class=\"plain codes\"><thead><tr>"
                  "<th scope=\"col\">who</th><th scope=\"col\">compiled</th>"
                  "<th scope=\"col\">after warm-up</th></tr></thead>\n", f);
        }
        any = true;
        code_group(f, run, all, i, marked);
    }
    if (any) fputs("</table></div></details>\n", f);
}

void html_notes(FILE *f, const struct lab_run *run, const char *experiment) {
    struct said all = gather(run, experiment);
    bool *marked = lab_alloc(all.count, sizeof(*marked));
    list(f, run, &all, marked);
    codes(f, run, &all, marked);
    free(marked);
    free(all.notes);
}

void html_failures(FILE *f, const struct lab_run *run, const char *experiment) {
    for (size_t i = 0; i < run->failure_count; i++) {
        const struct lab_failure *x = &run->failures[i];
        if (strcmp(x->experiment, experiment) != 0) continue;
        html_printf(f, "<p class=\"failed\"><b>%s</b>%s%s could not be measured: %s</p>\n",
                    x->subject, *x->variant ? ", " : "", x->variant, x->reason);
    }
}
