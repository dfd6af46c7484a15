/* SPDX-License-Identifier: MIT */
/* Where threads held, waited and were blocked, by line; and the tables of one command alone. */
#include "probe/out_html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/html.h"

enum { PLACES_MOST = 12, CALLERS = 3, ROWS_MOST = 200 };

/* A place, of all threads. */
struct place {
    const struct probe_tally *tally; /* the longest there */
    size_t thread;                   /* whose that is */
    size_t threads, last;            /* how many were there, and the last of them */
    uint64_t ns, count;
};

struct places {
    struct place *all;
    size_t count;
    size_t *slot; /* a table of indices into `all`, one more each; 0: free */
    size_t slots; /* a power of two, at least twice the count */
    uint64_t ns;
};

static bool same_text(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* The same line, or the same call or futex, whoever called it. */
static bool same_place(const struct probe_report *r, const struct probe_tally *a,
                       const struct probe_tally *b) {
    if (a->call != b->call || a->futex != b->futex || !a->stack != !b->stack)
        return false;
    if (a->stack == b->stack || !r->stacks)
        return a->stack == b->stack;
    const struct probe_frame *x = probe_stacks_frame(r->stacks, a->stack);
    const struct probe_frame *y = probe_stacks_frame(r->stacks, b->stack);
    return x->line == y->line && same_text(x->function, y->function) && same_text(x->file, y->file);
}

static uint64_t mix(uint64_t hash, uint64_t value) {
    return (hash ^ value) * UINT64_C(0x100000001b3);
}

static uint64_t hash_text(uint64_t hash, const char *s) {
    while (s && *s)
        hash = mix(hash, (unsigned char)*s++);
    return hash;
}

static uint64_t hash_place(const struct probe_report *r, const struct probe_tally *y) {
    uint64_t hash = mix(mix(UINT64_C(0xcbf29ce484222325), (uint64_t)y->call), y->futex);
    if (y->stack && r->stacks) {
        const struct probe_frame *x = probe_stacks_frame(r->stacks, y->stack);
        hash = hash_text(hash_text(mix(hash, (uint64_t)x->line), x->function), x->file);
    }
    return hash ^ hash >> 32;
}

/* Where a place is in the table, or is to be. */
static size_t *slot_of(const struct places *p, const struct probe_report *r,
                       const struct probe_tally *y) {
    size_t at = hash_place(r, y) & (p->slots - 1);
    while (p->slot[at] && !same_place(r, p->all[p->slot[at] - 1].tally, y))
        at = (at + 1) & (p->slots - 1);
    return &p->slot[at];
}

static void make_room(struct places *p, const struct probe_report *r) {
    if (p->slots > 2 * p->count + 1)
        return;
    free(p->slot);
    p->slots = p->slots ? 2 * p->slots : 64;
    p->slot = lab_alloc(p->slots, sizeof(*p->slot));
    for (size_t i = 0; i < p->count; i++)
        *slot_of(p, r, p->all[i].tally) = i + 1;
}

static void gather(struct places *p, const struct probe_report *r, const struct probe_tally *y,
                   size_t count, size_t thread) {
    for (size_t i = 0; i < count; i++) {
        make_room(p, r);
        size_t *slot = slot_of(p, r, &y[i]);
        if (!*slot) {
            p->all = lab_grow_one(p->all, p->count, sizeof(*p->all));
            p->all[p->count++] = (struct place){&y[i], thread, 1, thread, 0, 0};
            *slot = p->count;
        }
        struct place *x = &p->all[*slot - 1];
        if (y[i].ns > x->tally->ns) {
            x->tally = &y[i];
            x->thread = thread;
        }
        x->threads += x->last != thread;
        x->last = thread;
        x->ns += y[i].ns;
        x->count += y[i].count;
        p->ns += y[i].ns;
    }
}

static int most_first(const void *a, const void *b) {
    const struct place *x = a, *y = b;
    return (x->ns < y->ns) - (x->ns > y->ns);
}

static void callers(FILE *f, const struct probe_report *r, uint32_t node) {
    uint32_t outer = probe_stacks_outer(r->stacks, node);
    fputs("<small>", f);
    for (int i = 0; i < CALLERS && outer; i++, outer = probe_stacks_outer(r->stacks, outer)) {
        struct lab_text t = {0};
        out_frame(&t, probe_stacks_frame(r->stacks, outer));
        html_printf(f, i ? " \xe2\x86\x90 %s" : "\xe2\x86\x90 %s", t.data);
        lab_text_free(&t);
    }
    fputs(outer ? " \xe2\x80\xa6</small>" : "</small>", f);
}

static void where(FILE *f, const struct probe_report *r, const struct probe_tally *y) {
    char call[64];
    out_tally_call(r, y, call);
    if (y->stack && r->stacks) {
        struct lab_text t = {0};
        const struct probe_frame *x = probe_stacks_frame(r->stacks, y->stack);
        out_frame(&t, x);
        html_printf(f, "<span class=\"place\" title=\"%s\">%s</span>", x->file ? x->file : "",
                    t.data);
        lab_text_free(&t);
        if (*call)
            html_printf(f, " <span class=\"call\">%s</span>", call);
        callers(f, r, y->stack);
    } else {
        html_printf(f, "<span class=\"call\">%s</span>", *call ? call : "not seen");
    }
}

static void list(FILE *f, const struct probe_report *r, struct places *p, const char *title,
                 enum probe_state state) {
    if (p->count == 0)
        return;
    qsort(p->all, p->count, sizeof(*p->all), most_first);
    html_printf(f, "<h3>%s</h3>\n<div class=\"scroll\"><table class=\"places\"><thead><tr>"
                   "<th scope=\"col\">place</th><th scope=\"col\">share</th><th scope=\"col\">"
                   "about</th><th scope=\"col\">samples</th><th scope=\"col\">thread</th></tr>"
                   "</thead><tbody>\n", title);
    for (size_t i = 0; i < p->count && i < PLACES_MOST; i++) {
        const struct place *x = &p->all[i];
        double share = p->ns ? 100.0 * (double)x->ns / (double)p->ns : 0;
        fputs("<tr><th scope=\"row\">", f);
        where(f, r, x->tally);
        fprintf(f, "</th><td class=\"share\"><i class=\"%s\" style=\"width:%.1f%%\"></i><span>"
                   "%.1f&nbsp;%%</span></td>", out_html_state_class(state), share * 0.6, share);
        out_html_cell(f, out_html_ns(x->ns));
        out_html_cell(f, out_html_count(x->count));
        fputs("<td class=\"who\">", f);
        out_html_thread(f, r->timeline, x->thread);
        if (x->threads > 1)
            fprintf(f, "<small>and %zu more</small>", x->threads - 1);
        fputs("</td></tr>\n", f);
    }
    fputs("</tbody></table></div>\n", f);
    if (p->count > PLACES_MOST)
        fprintf(f, "<p class=\"note\">The first %d of %zu places.</p>\n", PLACES_MOST, p->count);
}

void out_html_places(FILE *f, const struct probe_report *r) {
    const struct probe_timeline *t = r->timeline;
    struct places held = {0}, waited = {0}, blocked = {0};
    bool gil = out_has_gil(r);
    for (size_t i = 0; i < t->thread_count; i++) {
        const struct probe_thread *x = &t->thread[i];
        gather(&held, r, x->held, x->held_count, i);
        gather(&waited, r, x->waited, x->waited_count, i);
        gather(&blocked, r, x->blocked_on, x->blocked_on_count, i);
    }
    if (held.count + waited.count + blocked.count > 0) {
        fputs("<section id=\"places\">\n<h2>Where in the program</h2>\n<p class=\"note\">Estimates "
              "from samples. A place is the innermost line; those who called it are below it."
              "</p>\n", f);
        list(f, r, &held, gil ? "Held the GIL" : "On CPU",
             gil ? PROBE_STATE_HOLDS : PROBE_STATE_ON);
        list(f, r, &waited, gil ? "Waited for the GIL" : "Waited", PROBE_STATE_WAITS);
        list(f, r, &blocked, "Blocked", PROBE_STATE_BLOCKED);
        fputs("</section>\n", f);
    }
    free(held.all);
    free(held.slot);
    free(waited.all);
    free(waited.slot);
    free(blocked.all);
    free(blocked.slot);
}

/* ---- tables ---- */

static void cell(FILE *f, const char *text, const char *unit, bool first) {
    const char *tag = first ? "th scope=\"row\"" : unit ? "td" : "td class=\"words\"";
    char *end = NULL;
    double value = text && unit ? strtod(text, &end) : NAN;
    bool number = end && end != text && *end == '\0' && isfinite(value);
    char *shown = number ? html_value(value, unit) : lab_copy(text ? text : "");
    fprintf(f, "<%s>", tag);
    html_text(f, shown);
    fputs(first ? "</th>" : "</td>", f);
    free(shown);
}

void out_html_tables(FILE *f, const struct probe_report *r) {
    for (size_t i = 0; i < r->table_count; i++) {
        const struct probe_table *t = &r->table[i];
        if (t->rows == 0)
            continue;
        fputs("<section id=\"table-", f);
        html_id(f, t->id);
        html_printf(f, "\">\n<h2>%s</h2>\n", t->title);
        if (t->about)
            html_printf(f, "<p class=\"note\">%s</p>\n", t->about);
        fputs("<div class=\"scroll\"><table class=\"own\"><thead><tr>", f);
        for (size_t c = 0; c < t->columns; c++)
            html_printf(f, "<th scope=\"col\" class=\"%s\">%s</th>",
                        t->column[c].unit ? "" : "words",
                        t->column[c].title ? t->column[c].title : t->column[c].id);
        fputs("</tr></thead><tbody>\n", f);
        for (size_t row = 0; row < t->rows && row < ROWS_MOST; row++) {
            fputs("<tr>", f);
            for (size_t c = 0; c < t->columns; c++)
                cell(f, t->cell[row * t->columns + c], t->column[c].unit, c == 0);
            fputs("</tr>\n", f);
        }
        fputs("</tbody></table></div>\n", f);
        if (t->rows > ROWS_MOST)
            fprintf(f, "<p class=\"note\">The first %d of %zu; <code>--json</code> has them all."
                       "</p>\n", ROWS_MOST, t->rows);
        fputs("</section>\n", f);
    }
}
