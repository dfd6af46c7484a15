/* SPDX-License-Identifier: MIT */
/* The page of two runs: what differs, by how much, and how sure that is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../measure/machine.h"
#include "html.h"
#include "html_diff.h"

enum {
    ALL_SHOWN = 40,   /* comparisons that the overview shows all of */
    LONELY_SHOWN = 40 /* results without a partner that are named */
};

struct diff {
    const struct lab_run *a, *b;
    const struct lab_differences *d;
};

/* ---- names and numbers ---- */

static char *metric_name(const struct lab_result *r) {
    const struct lab_experiment *e = lab_experiment_find(r->experiment);
    const struct lab_metric *m = e ? lab_metric_find(e, r->metric) : NULL;
    return lab_copy(m && m->label ? m->label : r->metric);
}

static char *subject_name(const struct lab_differences *all, const struct lab_difference *m) {
    return all->renamed ? lab_format("%s | %s", m->a->subject, m->b->subject)
                        : lab_copy(m->a->subject);
}

/* "switch, heddle: switch" */
static char *whole_name(const struct lab_differences *all, const struct lab_difference *m) {
    char *metric = metric_name(m->a), *subject = subject_name(all, m);
    char *name = lab_format("%s%s%s, %s: %s", m->a->experiment, *m->a->variant ? " " : "",
                            m->a->variant, subject, metric);
    free(metric);
    free(subject);
    return name;
}

static char *ratio_text(double ratio) {
    if (!isfinite(ratio)) return lab_copy("\xe2\x80\x93");
    if (ratio >= 1000 || ratio < 0.001) return html_value(ratio, "ratio");
    return lab_format("%.*f\xc3\x97", ratio < 9.995 ? 3 : ratio < 99.95 ? 1 : 0, ratio);
}

static char *shift_text(double shift, const char *unit) {
    if (!isfinite(shift)) return lab_copy("\xe2\x80\x93");
    char *amount = html_value(fabs(shift), unit);
    char *text = lab_format("%s%s", shift > 0 ? "+" : shift < 0 ? "\xe2\x88\x92" : "", amount);
    free(amount);
    return text;
}

/* ---- the head ---- */

static void run_facts(FILE *f, char letter, const char *name, const struct lab_run *run) {
    static const char *const keys[] = {"date", "commit", "cpu", "kernel"};
    fprintf(f, "<p class=\"facts\"><b class=\"side-%c\">%c</b> ", letter | 0x20, letter);
    html_printf(f, "<span>%s</span> ", name);
    if (run->id) fprintf(f, "<span>run %lld</span> ", run->id);
    if (run->label && strcmp(run->label, name) != 0) html_printf(f, "<span>%s</span> ", run->label);
    if (run->commit) html_printf(f, "<span>%s</span> ", run->commit);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *value = lab_machine_fact(run, keys[i]);
        bool told = value && run->commit && strcmp(value, run->commit) == 0;
        bool own = strcmp(keys[i], "commit") == 0;
        if (value && !told) html_printf(f, "<span>%s%s</span> ", own ? "heddle " : "", value);
    }
    if (run->mode) html_printf(f, "<span>%s</span>", run->mode);
    fputs("</p>\n", f);
}

/* Whether a fact may well be the cause of a difference. */
static bool matters(const char *key) {
    static const char *const facts[] = {"cpu",  "cpus",         "kernel", "governor", "glibc",
                                        "arch", "memory_bytes", "compiler"};
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        if (strcmp(facts[i], key) == 0) return true;
    }
    return false;
}

static bool differs(const struct lab_run *other, const struct lab_pair *p) {
    const char *value = lab_machine_fact(other, p->key);
    return value && strcmp(value, p->value) != 0;
}

static void warn_of_machines(FILE *f, const struct diff *p) {
    const char *comma = "";
    for (size_t i = 0; i < p->a->machine_count; i++) {
        const struct lab_pair *fact = &p->a->machine[i];
        if (!matters(fact->key) || !differs(p->b, fact)) continue;
        if (!*comma) fputs("<p class=\"warning\">Not the same machine or system: ", f);
        html_printf(f, "%s%s", comma, fact->key);
        comma = ", ";
    }
    if (*comma) fputs(" differ. What is seen below may come from that.</p>\n", f);
    bool cut = p->a->interrupted || p->b->interrupted || p->a->out_of_time || p->b->out_of_time;
    if (cut) fputs("<p class=\"warning\">Not both runs are complete.</p>\n", f);
}

static void counts(FILE *f, const struct diff *p) {
    static const struct {
        const char *word, *class;
    } words[] = {
        [LAB_VERDICT_FASTER] = {"better", "good"},
        [LAB_VERDICT_SLOWER] = {"worse", "bad"},
        [LAB_VERDICT_SAME] = {"the same", "same"},
        [LAB_VERDICT_UNDECIDED] = {"undecided", "undecided"},
    };
    size_t seen[LAB_VERDICT_UNDECIDED + 1] = {0};
    for (size_t i = 0; i < p->d->count; i++) seen[p->d->items[i].c.verdict]++;
    fputs("<ul class=\"cards counts\">\n", f);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        fprintf(f, "<li><div><strong class=\"verdict %s\">%zu</strong>", words[i].class, seen[i]);
        fprintf(f, "<span class=\"what\">%s</span></div></li>\n", words[i].word);
    }
    fprintf(f, "</ul>\n<p class=\"note\">Of %zu comparisons of B with A. The same: shown to differ "
               "by less than %.3g&nbsp;%%. Undecided: neither a difference nor its absence was "
               "shown. p is adjusted over all comparisons (Benjamini and Hochberg).</p>\n",
            p->d->count, p->d->margin * 100);
    if (p->d->trust) {
        fputs("<p class=\"note\">", f);
        html_text(f, p->d->trust);
        fputs("</p>\n", f);
    }
}

/* ---- all ratios at one glance ---- */

/* How far from 1, for the choice of what is shown. */
static double distance(const struct lab_difference *m) {
    return isfinite(m->c.ratio) && m->c.ratio > 0 ? fabs(log(m->c.ratio)) : 0;
}

static int by_distance(const void *a, const void *b) {
    double x = distance(*(const struct lab_difference *const *)a);
    double y = distance(*(const struct lab_difference *const *)b);
    return (x < y) - (x > y);
}

/* Those whose difference is shown, the largest first; all that there are, if they are few. */
static const struct lab_difference **choose(const struct lab_differences *all, size_t *count) {
    const struct lab_difference **chosen = lab_alloc(all->count, sizeof(*chosen));
    *count = 0;
    for (size_t i = 0; i < all->count; i++) {
        const struct lab_difference *m = &all->items[i];
        bool decided = m->c.verdict == LAB_VERDICT_FASTER || m->c.verdict == LAB_VERDICT_SLOWER;
        bool drawn = isfinite(m->c.ratio) && m->c.ratio > 0;
        if (drawn && (decided || all->count <= ALL_SHOWN)) chosen[(*count)++] = m;
    }
    if (all->count > ALL_SHOWN) {
        qsort(chosen, *count, sizeof(*chosen), by_distance);
        if (*count > ALL_SHOWN) *count = ALL_SHOWN;
    }
    return chosen;
}

static const char *tone(const struct lab_difference *m) {
    return m->c.verdict == LAB_VERDICT_FASTER   ? "good"
           : m->c.verdict == LAB_VERDICT_SLOWER ? "bad"
                                                : "open";
}

static void ratio_row(struct lab_json *j, const struct lab_differences *all,
                      const struct lab_difference *m) {
    char *name = whole_name(all, m), *label = ratio_text(m->c.ratio);
    lab_json_object(j, NULL, true);
    lab_json_string(j, "name", name);
    lab_json_string(j, "tone", tone(m));
    lab_json_string(j, "word", html_verdict_word(&m->c, m->a->unit));
    html_chart_number(j, "ratio", m->c.ratio);
    html_chart_number(j, "low", m->c.ratio_low);
    html_chart_number(j, "high", m->c.ratio_high);
    lab_json_string(j, "label", label);
    lab_json_end_object(j);
    free(name);
    free(label);
}

static char *command_of(const struct diff *p) {
    struct lab_text t = {0};
    const char *const words[] = {"heddle", "compare", p->d->name_a, p->d->name_b};
    for (size_t i = 0; i < 4; i++) html_shell_word(&t, words[i]);
    if (fabs(p->d->margin - LAB_MARGIN_DEFAULT) > 1e-12) {
        lab_text_printf(&t, " --margin %.10g%%", p->d->margin * 100);
    }
    lab_text_printf(&t, " --html diff.html");
    return t.data;
}

static void overview(struct html_page *page, const struct diff *p) {
    struct lab_json *j = &page->data;
    size_t count;
    const struct lab_difference **chosen = choose(p->d, &count);
    if (count > 0) {
        char *command = command_of(p);
        bool all = p->d->count <= ALL_SHOWN;
        html_figure_begin(page, "B over A", all ? "all comparisons" : "the largest of those shown "
                          "to differ", LAB_BETTER_NONE);
        html_figure_end(page, command);
        free(command);
        lab_json_object(j, NULL, false);
        lab_json_string(j, "chart", "ratios");
        html_chart_number(j, "margin", p->d->margin);
        lab_json_array(j, "rows", false);
        for (size_t i = 0; i < count; i++) ratio_row(j, p->d, chosen[i]);
        lab_json_end_array(j);
        lab_json_end_object(j);
    }
    free(chosen);
}

/* ---- an experiment ---- */

static bool same_block(const struct lab_difference *a, const struct lab_difference *b, bool whole) {
    return strcmp(a->a->experiment, b->a->experiment) == 0 &&
           (whole || (strcmp(a->a->variant, b->a->variant) == 0 &&
                      strcmp(a->a->metric, b->a->metric) == 0));
}

static void number_cell(FILE *f, char *text, char *small) {
    html_printf(f, "<td>%s", text);
    if (small && *small) html_printf(f, "<small>%s</small>", small);
    fputs("</td>", f);
    free(text);
    free(small);
}

static void match_row(FILE *f, const struct lab_differences *all, const struct lab_difference *m) {
    const char *unit = m->a->unit;
    char *subject = subject_name(all, m);
    html_printf(f, "<tr><th scope=\"row\">%s</th>", subject);
    free(subject);
    const struct lab_result *const sides[] = {m->a, m->b};
    for (size_t i = 0; i < 2; i++) {
        number_cell(f, html_value(sides[i]->median, unit),
                    lab_format("%zu process%s", sides[i]->n, sides[i]->n == 1 ? "" : "es"));
    }
    char *low = ratio_text(m->c.ratio_low), *high = ratio_text(m->c.ratio_high);
    bool ranged = isfinite(m->c.ratio_high) && m->c.ratio_high <= LAB_COMPARE_WIDE * m->c.ratio_low;
    number_cell(f, ratio_text(m->c.ratio),
                ranged ? lab_format("%s \xe2\x80\x93 %s", low, high) : NULL);
    free(low);
    free(high);
    low = shift_text(m->c.shift_low, unit);
    high = shift_text(m->c.shift_high, unit);
    ranged = isfinite(m->c.shift_low) && isfinite(m->c.shift_high);
    number_cell(f, shift_text(m->c.shift, unit),
                ranged ? lab_format("%s to %s", low, high) : NULL);
    free(low);
    free(high);
    number_cell(f, html_p(m->c.p_adjusted), NULL);
    html_verdict_cell(f, &m->c, unit);
    fputs("</tr>\n", f);
}

static void side_row(struct lab_json *j, const struct lab_result *r, const char *subject,
                     char letter) {
    char *median = html_value(r->median, r->unit), *name = lab_format("%s %c", subject, letter);
    char *range = html_range(r->ci_low, r->ci_high, r->unit);
    lab_json_object(j, NULL, true);
    lab_json_string(j, "name", name);
    lab_json_string(j, "kind", letter == 'A' ? "side-a" : "side-b");
    lab_json_integer(j, "place", 0);
    html_chart_samples(j, r);
    lab_json_string(j, "label", median);
    lab_json_string(j, "range", range);
    lab_json_end_object(j);
    free(median);
    free(range);
    free(name);
}

/* The distributions behind a block of rows. */
static void pairs(struct html_page *page, const struct diff *p, size_t begin, size_t end) {
    const struct lab_difference *first = &p->d->items[begin];
    struct lab_json *j = &page->data;
    char *name = metric_name(first->a), *command = command_of(p);
    fputs("<details><summary>the processes of both</summary>\n", page->f);
    html_figure_begin(page, name, "", first->a->better);
    html_figure_end(page, command);
    fputs("</details>\n", page->f);
    lab_json_object(j, NULL, false);
    lab_json_string(j, "chart", "dots");
    lab_json_string(j, "unit", first->a->unit);
    lab_json_array(j, "rows", false);
    for (size_t i = begin; i < end; i++) {
        const struct lab_difference *m = &p->d->items[i];
        side_row(j, m->a, m->a->subject, 'A');
        side_row(j, m->b, m->b->subject, 'B');
    }
    lab_json_end_array(j);
    lab_json_end_object(j);
    free(name);
    free(command);
}

static void block(struct html_page *page, const struct diff *p, size_t begin, size_t end) {
    const struct lab_result *r = p->d->items[begin].a;
    FILE *f = page->f;
    char *name = metric_name(r);
    fputs("<div class=\"scroll\"><table class=\"matches\">\n<thead><tr>", f);
    html_printf(f, "<th scope=\"col\">%s%s%s</th>", r->variant, *r->variant ? ": " : "", name);
    free(name);
    fputs("<th scope=\"col\">A</th><th scope=\"col\">B</th><th scope=\"col\">B / A</th>"
          "<th scope=\"col\">shift</th><th scope=\"col\">p</th><th scope=\"col\">verdict</th>"
          "</tr></thead>\n<tbody>\n", f);
    for (size_t i = begin; i < end; i++) match_row(f, p->d, &p->d->items[i]);
    fputs("</tbody></table></div>\n", f);
    pairs(page, p, begin, end);
}

static void experiments(struct html_page *page, const struct diff *p) {
    const struct lab_difference *items = p->d->items;
    for (size_t i = 0; i < p->d->count;) {
        const struct lab_experiment *e = lab_experiment_find(items[i].a->experiment);
        size_t first = i;
        fputs("<section id=\"", page->f);
        html_id(page->f, items[i].a->experiment);
        html_printf(page->f, "\">\n<h2>%s</h2>\n", e ? e->question : items[i].a->experiment);
        html_printf(page->f, "<p class=\"experiment\">experiment <code>%s</code></p>\n",
                    items[i].a->experiment);
        while (i < p->d->count && same_block(&items[first], &items[i], true)) {
            size_t end = i;
            while (end < p->d->count && same_block(&items[i], &items[end], false)) end++;
            block(page, p, i, end);
            i = end;
        }
        fputs("</section>\n", page->f);
    }
}

/* ---- what stands around it ---- */

static void contents(FILE *f, const struct lab_differences *m) {
    fputs("<nav aria-label=\"Contents\"><ul>\n<li><a href=\"#overview\">overview</a></li>\n", f);
    for (size_t i = 0; i < m->count; i++) {
        const char *name = m->items[i].a->experiment;
        if (i > 0 && strcmp(m->items[i - 1].a->experiment, name) == 0) continue;
        fputs("<li><a href=\"#", f);
        html_id(f, name);
        html_printf(f, "\">%s</a></li>\n", name);
    }
    fputs("<li><a href=\"#runs\">the two runs</a></li>\n</ul></nav>\n", f);
}

static void lonely(FILE *f, char letter, const struct lab_result *const *list, size_t count) {
    if (count == 0) return;
    fprintf(f, "<details><summary>%zu result%s only in %c</summary>\n<p class=\"note\">", count,
            count == 1 ? " is" : "s are", letter);
    for (size_t i = 0; i < count && i < LONELY_SHOWN; i++) {
        html_printf(f, "%s%s%s%s, %s: %s", i ? "; " : "", list[i]->experiment,
                    *list[i]->variant ? " " : "", list[i]->variant, list[i]->subject,
                    list[i]->metric);
    }
    if (count > LONELY_SHOWN) fprintf(f, "; and %zu more", count - LONELY_SHOWN);
    fputs("</p></details>\n", f);
}

static void fact_row(FILE *f, const char *key, const char *a, const char *b) {
    bool differ = !a || !b || strcmp(a, b) != 0;
    html_printf(f, "<tr%s><th scope=\"row\">%s</th><td>%s</td><td>%s</td></tr>\n",
                differ ? " class=\"own\"" : "", key, a ? a : "\xe2\x80\x93",
                b ? b : "\xe2\x80\x93");
}

static void runs(FILE *f, const struct diff *p) {
    fputs("<section id=\"runs\">\n<h2>The two runs</h2>\n", f);
    lonely(f, 'A', p->d->only_a, p->d->only_a_count);
    lonely(f, 'B', p->d->only_b, p->d->only_b_count);
    fputs("<div class=\"scroll\"><table class=\"plain\"><thead><tr><th scope=\"col\"></th>"
          "<th scope=\"col\">A</th><th scope=\"col\">B</th></tr></thead>\n<tbody>\n", f);
    for (size_t i = 0; i < p->a->machine_count; i++) {
        const char *key = p->a->machine[i].key;
        fact_row(f, key, p->a->machine[i].value, lab_machine_fact(p->b, key));
    }
    for (size_t i = 0; i < p->b->machine_count; i++) {
        const char *key = p->b->machine[i].key;
        if (!lab_machine_fact(p->a, key)) fact_row(f, key, NULL, p->b->machine[i].value);
    }
    fputs("</tbody></table></div>\n<p class=\"note\">Marked: what differs.</p>\n</section>\n", f);
}

int lab_write_html_diff(FILE *f, const struct lab_run *a, const struct lab_run *b,
                        const struct lab_differences *d) {
    const struct diff whole = {a, b, d}, *p = &whole;
    struct html_page page;
    char *title = lab_format("%s and %s compared", d->name_a, d->name_b);
    html_page_begin(&page, f, title);
    html_printf(f, "<header>\n<h1>%s</h1>\n", title);
    free(title);
    run_facts(f, 'A', p->d->name_a, p->a);
    run_facts(f, 'B', p->d->name_b, p->b);
    warn_of_machines(f, p);
    fputs("</header>\n", f);
    contents(f, p->d);
    fputs("<main>\n<section id=\"overview\">\n<h2>What differs</h2>\n", f);
    if (p->d->count == 0) {
        fputs("<p class=\"warning\">Nothing in A and B is comparable.</p>\n", f);
    } else {
        counts(f, p);
        overview(&page, p);
    }
    fputs("</section>\n", f);
    experiments(&page, p);
    runs(f, p);
    fputs("</main>\n", f);
    return html_page_end(&page);
}
