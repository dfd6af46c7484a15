/* SPDX-License-Identifier: MIT */
/* The report of heddle gil as text: the words first, then the figures, then what to do, then how
 * all of it was found. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "probe/verdict.h"
#include "report/format.h"

enum {
    THREADS_SHOWN = 20,
    PAIRS_SHOWN = 6,
    LINES_SHOWN = 8,
    PLACES_SHOWN = 8,
    TITLE = 20,
    BAR = 40,
    INDENT = 11, /* of lines of Python */
    COMMAND = 120
};

static double percent(double part, double whole) {
    return whole > 0 ? part / whole * 100 : 0;
}

static void sentences(FILE *f, char *const *text, size_t count) {
    for (size_t i = 0; i < count; i++)
        lab_wrap(f, text[i], 0, 0);
}

/* A list, each entry with a mark. */
static void bullets(FILE *f, const char *title, char *const *text, size_t count) {
    if (count == 0)
        return;
    fprintf(f, "\n%s\n", title);
    for (size_t i = 0; i < count; i++) {
        fputs("  - ", f);
        lab_wrap(f, text[i], 4, 4);
    }
}

/* ---- who was watched ---- */

static void heading(FILE *f, const struct probe_report *r) {
    const struct probe_python_facts *p = r->python;
    struct lab_text line = {0};
    char cell[LAB_CELL];
    for (size_t i = 0; r->target && r->target[i]; i++)
        lab_text_printf(&line, "%s%s", i ? " " : "", r->target[i]);
    if (!r->target)
        lab_text_printf(&line, "process %d", (int)r->pid);
    lab_make_printable(line.data);
    if (lab_columns(line.data) > COMMAND) {
        line.length = lab_fit(line.data, COMMAND - 4, NULL);
        lab_text_printf(&line, " ...");
    }
    if (p) {
        lab_text_printf(&line, "; Python %d.%d", p->major, p->minor);
        if (p->micro >= 0)
            lab_text_printf(&line, ".%d", p->micro);
        if (p->free_threaded)
            lab_text_printf(&line, " (free-threaded)");
    }
    lab_human(cell, (double)(r->timeline->end_ns - r->timeline->begin_ns), "ns");
    lab_text_printf(&line, "; %s%s%s", cell, r->ended ? ", " : "", r->ended ? r->ended : "");
    lab_wrap(f, line.data, 0, 0);
    fputc('\n', f);
    lab_text_free(&line);
}

/* ---- the lock ---- */

static void lock_row(FILE *f, const struct probe_report *r, size_t i) {
    const struct probe_lock *l = &r->timeline->lock[i];
    double elapsed = (double)(l->held_ns + l->free_ns), seconds = elapsed / 1e9;
    char rate[LAB_CELL], hold[LAB_CELL];
    lab_human(rate, seconds > 0 ? (double)l->takes / seconds : 0, "per_s");
    lab_human(hold, l->takes ? (double)l->held_ns / (double)l->takes : 0, "ns");
    char *title = probe_lock_title(r->timeline, i);
    fprintf(f, "\nThe %s\n", title);
    free(title);
    fprintf(f, "  held               %5.1f %% of the time%s\n",
            percent((double)l->held_ns, (double)(l->held_ns + l->free_ns)),
            l->by_samples ? ", by samples" : "");
    bool counted = !r->python || r->python->has_gil_number || l->exact;
    fprintf(f, "  hand-overs         %s%" PRIu64 " (%s)", counted ? "" : "at least ", l->takes,
            rate);
    if (l->takes && l->forced_known)
        fprintf(f, ", of which %.0f %% forced", percent((double)l->forced, (double)l->takes));
    fputc('\n', f);
    if (l->takes && counted)
        fprintf(f, "  between two        %s of holding, on average\n", hold);
    fprintf(f, "  waiting for it     %.2f threads, on average\n",
            elapsed > 0 ? (double)l->waiters_ns / elapsed : 0);
    if (l->looks)
        fprintf(f, "  samples            %" PRIu64 ", taken in %.1f %% of them\n", l->looks,
                percent((double)l->looks_locked, (double)l->looks));
    if (l->interval_us) {
        lab_human(hold, (double)l->interval_us, "us");
        fprintf(f, "  switch interval    %s", hold);
        if (l->interval_least_us < l->interval_most_us) {
            lab_human(hold, (double)l->interval_least_us, "us");
            fprintf(f, " at last; it was from %s", hold);
            lab_human(hold, (double)l->interval_most_us, "us");
            fprintf(f, " to %s", hold);
        }
        fputc('\n', f);
    }
}

/* ---- threads ---- */

/* Threads of one name, where there are many; else each is a row of its own. */
struct row {
    char *title;
    size_t count, first;
    double state_ns[PROBE_STATES], gil_ns;
    struct probe_histogram hold, wait;
};

static int by_gil(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    if (x->gil_ns != y->gil_ns)
        return x->gil_ns < y->gil_ns ? 1 : -1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static void merge(struct probe_histogram *into, const struct probe_histogram *h) {
    into->count += h->count;
    into->sum_ns += h->sum_ns;
    for (int i = 0; i < PROBE_BUCKETS; i++)
        into->bucket[i] += h->bucket[i];
    if (h->max_ns > into->max_ns)
        into->max_ns = h->max_ns;
}

static void add_thread(struct row *row, const struct probe_thread *th) {
    row->count++;
    for (int s = PROBE_STATE_NONE + 1; s < PROBE_STATES; s++)
        row->state_ns[s] += (double)th->state_ns[s];
    row->gil_ns += (double)th->state_ns[PROBE_STATE_HOLDS] +
                   (double)th->state_ns[PROBE_STATE_HOLDS_OFF] +
                   (double)th->state_ns[PROBE_STATE_WAITS];
    merge(&row->hold, &th->hold);
    merge(&row->wait, &th->wait);
}

static bool same(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* The rows, sorted; the caller frees them and their titles. */
static struct row *make_rows(const struct probe_timeline *t, size_t *count) {
    bool grouped = t->thread_count > THREADS_SHOWN;
    struct row *rows = NULL;
    *count = 0;
    for (size_t i = 0; i < t->thread_count; i++) {
        size_t k = grouped ? 0 : *count;
        while (k < *count && !same(t->thread[rows[k].first].name, t->thread[i].name))
            k++;
        if (k == *count) {
            rows = lab_grow_one(rows, *count, sizeof(*rows));
            rows[(*count)++] = (struct row){.first = i};
        }
        add_thread(&rows[k], &t->thread[i]);
    }
    for (size_t k = 0; k < *count; k++) {
        const char *name = t->thread[rows[k].first].name;
        rows[k].title = rows[k].count > 1 ? lab_format("%zu %s", rows[k].count, name ? name : "")
                                          : probe_thread_title(t, rows[k].first);
    }
    if (*count)
        qsort(rows, *count, sizeof(*rows), by_gil);
    return rows;
}

/* The states that are shown; without a GIL there are three. */
static const struct column {
    enum probe_state state;
    const char *title;
    bool of_gil;
} columns[] = {
    {PROBE_STATE_HOLDS, "holds", true},     {PROBE_STATE_HOLDS_OFF, "h.off", true},
    {PROBE_STATE_WAITS, "waits", true},     {PROBE_STATE_ON, "runs", false},
    {PROBE_STATE_RUNNABLE, "ready", false}, {PROBE_STATE_BLOCKED, "block", false},
};
enum { SHOWN = sizeof(columns) / sizeof(columns[0]) };

static void median(char cell[LAB_CELL], const struct row *row, const struct probe_histogram *h,
                   uint64_t of_one) {
    snprintf(cell, LAB_CELL, "-");
    if (h->count)
        lab_human(cell, (double)(row->count == 1 ? of_one : probe_histogram_quantile(h, 0.5)),
                  "ns");
}

static void thread_row(FILE *f, const struct probe_timeline *t, const struct row *row, bool gil) {
    char hold[LAB_CELL], wait[LAB_CELL];
    double life = 0;
    for (int s = 0; s < PROBE_STATES; s++)
        life += row->state_ns[s];
    fputs("  ", f);
    lab_title_cell(f, row->title, TITLE);
    for (size_t s = 0; s < SHOWN; s++) {
        if (gil || !columns[s].of_gil)
            fprintf(f, " %5.1f", percent(row->state_ns[columns[s].state], life));
    }
    median(hold, row, &row->hold, probe_thread_median_hold(t, row->first));
    median(wait, row, &row->wait, probe_thread_median_wait(t, row->first));
    if (gil)
        fprintf(f, " %9s%9s", hold, wait);
    fputc('\n', f);
}

/* A free-threaded build has one only where something switches it on. */
static bool used_gil(const struct probe_timeline *t) {
    for (size_t i = 0; i < t->lock_count; i++) {
        if (t->lock[i].held_ns || t->lock[i].takes)
            return true;
    }
    return false;
}

static void threads(FILE *f, const struct probe_report *r) {
    size_t count;
    bool gil = !r->python || !r->python->free_threaded || used_gil(r->timeline);
    struct row *rows = make_rows(r->timeline, &count);
    fprintf(f, "\nThreads, %% of each one's time\n  %-*s", TITLE, "");
    for (size_t s = 0; s < SHOWN; s++) {
        if (gil || !columns[s].of_gil)
            fprintf(f, " %5s", columns[s].title);
    }
    if (gil)
        fprintf(f, " %9s%9s", "hold", "wait");
    fputc('\n', f);
    for (size_t i = 0; i < count && i < THREADS_SHOWN; i++)
        thread_row(f, r->timeline, &rows[i], gil);
    if (count > THREADS_SHOWN)
        fprintf(f, "  and %zu more (--json, --csv and --html have them all)\n",
                count - THREADS_SHOWN);
    if (count < r->timeline->thread_count)
        fputs("  Those of one name are counted together here; the files have each of them.\n", f);
    if (gil)
        fputs("  h.off: holds it while off its CPU. runs: without the GIL. ready: has no CPU.\n"
              "  hold, wait: medians of one time.\n",
              f);
    for (size_t i = 0; i < count; i++)
        free(rows[i].title);
    free(rows);
}

/* Where there are many threads those of one name are one, as in the table of threads: their waits
 * are spread over too many pairs to be seen one by one. */
struct wait {
    struct probe_pair sum;
    size_t pairs;
};

static int by_wait(const void *a, const void *b) {
    const struct wait *x = a, *y = b;
    return x->sum.ns == y->sum.ns ? 0 : x->sum.ns < y->sum.ns ? 1 : -1;
}

/* The caller frees. */
static struct wait *make_waits(const struct probe_timeline *t, size_t *count) {
    enum { MOST = 512 };
    bool grouped = t->thread_count > THREADS_SHOWN;
    struct wait *list = NULL;
    *count = 0;
    for (size_t i = 0; i < t->pair_count; i++) {
        const struct probe_pair *p = &t->pair[i];
        size_t k = grouped ? 0 : *count;
        while (k < *count &&
               !(same(t->thread[list[k].sum.waiter].name, t->thread[p->waiter].name) &&
                 same(t->thread[list[k].sum.holder].name, t->thread[p->holder].name)))
            k++;
        if (k == MOST)
            continue;
        if (k == *count) {
            list = lab_grow_one(list, *count, sizeof(*list));
            list[(*count)++] = (struct wait){.sum = {.waiter = p->waiter, .holder = p->holder}};
        }
        list[k].sum.ns += p->ns;
        list[k].sum.count += p->count;
        list[k].pairs++;
    }
    if (*count)
        qsort(list, *count, sizeof(*list), by_wait);
    return list;
}

static char *title_of(const struct probe_timeline *t, size_t index, bool several) {
    const char *name = t->thread[index].name;
    return several && name ? lab_copy(name) : probe_thread_title(t, index);
}

static void waits(FILE *f, const struct probe_report *r) {
    const struct probe_timeline *t = r->timeline;
    size_t count;
    struct wait *list = make_waits(t, &count);
    for (size_t i = 0; i < count && i < PAIRS_SHOWN; i++) {
        const struct probe_pair *p = &list[i].sum;
        if ((double)p->ns < (double)(t->end_ns - t->begin_ns) * 0.005)
            break;
        char cell[LAB_CELL];
        bool several = list[i].pairs > 1;
        char *waiter = title_of(t, p->waiter, several), *holder = title_of(t, p->holder, several);
        struct lab_text line = {0};
        lab_human(cell, (double)p->ns, "ns");
        lab_text_printf(&line, "`%s` behind `%s`", waiter, holder);
        if (several)
            lab_text_printf(&line, ", all of these names together");
        if (p->count)
            lab_text_printf(&line, ", %" PRIu64 " %s", p->count, p->count == 1 ? "time" : "times");
        if (i == 0)
            fputs("\nWho waited for whom\n", f);
        fprintf(f, "  %9s  ", cell);
        lab_wrap(f, line.data, 13, 13);
        lab_text_free(&line);
        free(waiter);
        free(holder);
    }
    free(list);
}

/* ---- lines ---- */

struct line {
    const struct probe_frame *frame;
    double ns;
};

struct lines {
    struct line *line;
    size_t count;
    double all_ns, unseen_ns; /* with a stack, and without */
};

static void add_line(struct lines *l, const struct probe_frame *f, double ns) {
    if (!f) {
        l->unseen_ns += ns;
        return;
    }
    l->all_ns += ns;
    for (size_t i = 0; i < l->count; i++) {
        const struct probe_frame *g = l->line[i].frame;
        if (g == f || (g && f && g->line == f->line && same(g->file, f->file) &&
                       same(g->function, f->function))) {
            l->line[i].ns += ns;
            return;
        }
    }
    l->line = lab_grow_one(l->line, l->count, sizeof(*l->line));
    l->line[l->count++] = (struct line){.frame = f, .ns = ns};
}

static int by_line_ns(const void *a, const void *b) {
    const struct line *x = a, *y = b;
    return x->ns == y->ns ? 0 : x->ns < y->ns ? 1 : -1;
}

/* The line that most of a thread's samples name, with its part of them. False if none does. */
static bool most_frequent(const struct probe_report *r, const struct probe_tally *list,
                          size_t count, char *out, size_t room) {
    struct lines l = {0};
    for (size_t i = 0; i < count; i++)
        add_line(&l,
                 list[i].stack && r->stacks ? probe_stacks_frame(r->stacks, list[i].stack) : NULL,
                 (double)list[i].ns);
    const struct line *most = l.line;
    for (size_t i = 1; i < l.count; i++)
        most = l.line[i].ns > most->ns ? &l.line[i] : most;
    bool found = most && most->ns > 0;
    if (found) {
        const char *base = most->frame->file ? strrchr(most->frame->file, '/') : NULL;
        snprintf(out, room, "%s (%s:%d) %.0f %%",
                 most->frame->function ? most->frame->function : "?",
                 base                ? base + 1
                 : most->frame->file ? most->frame->file
                                     : "?",
                 most->frame->line, percent(most->ns, l.all_ns));
        lab_make_printable(out);
    }
    free(l.line);
    return found;
}

/* Of the threads that used the GIL most: where. */
static void places(FILE *f, const struct probe_report *r) {
    const struct probe_timeline *t = r->timeline;
    size_t count, shown = 0;
    struct row *rows = make_rows(t, &count);
    for (size_t i = 0; i < count; i++) {
        const struct probe_thread *th = &t->thread[rows[i].first];
        char held[200] = "-", waited[200] = "-";
        bool any = most_frequent(r, th->held, th->held_count, held, sizeof(held));
        any |= most_frequent(r, th->waited, th->waited_count, waited, sizeof(waited));
        if (any && rows[i].count == 1 && shown < PLACES_SHOWN) {
            if (shown++ == 0)
                fputs("\nWhere each thread held it most, and waited for it most\n", f);
            char *text = lab_format("held %s; waited %s", held, waited);
            fputs("  ", f);
            lab_title_cell(f, rows[i].title, TITLE);
            fputs("  ", f);
            lab_wrap(f, text, TITLE + 4, TITLE + 4);
            free(text);
        }
        free(rows[i].title);
    }
    free(rows);
}

static void print_lines(FILE *f, const char *title, struct lines *l) {
    double unseen = percent(l->unseen_ns, l->all_ns + l->unseen_ns);
    if (l->all_ns <= 0)
        return;
    qsort(l->line, l->count, sizeof(*l->line), by_line_ns);
    if (unseen >= 50)
        fprintf(f, "\n%s (a guess, from the few samples with a stack)\n", title);
    else
        fprintf(f, "\n%s (estimated from samples)\n", title);
    for (size_t i = 0; i < l->count && i < LINES_SHOWN; i++) {
        const struct probe_frame *g = l->line[i].frame;
        if (percent(l->line[i].ns, l->all_ns) < 0.5)
            break;
        char *function = lab_copy(g->function ? g->function : "?");
        char *file = lab_format("(%s:%d)", g->file ? g->file : "?", g->line);
        lab_make_printable(function);
        lab_make_printable(file);
        fprintf(f, "  %5.1f %%  ", percent(l->line[i].ns, l->all_ns));
        bool fits = lab_columns(function) + lab_columns(file) + 1 + INDENT <= LAB_WIDTH;
        /* A name of a file is whole, however long it is: it is to be copied. */
        fprintf(f, "%s%s%*s%s\n", function, fits ? " " : "\n", fits ? 0 : INDENT, "", file);
        free(function);
        free(file);
    }
    if (unseen >= 0.5)
        fprintf(f, "  (%.0f %% of the samples came without a stack, and are not counted here)\n",
                unseen);
}

static void lines(FILE *f, const struct probe_report *r) {
    struct lines held = {0}, waited = {0};
    for (size_t i = 0; i < r->timeline->thread_count; i++) {
        const struct probe_thread *th = &r->timeline->thread[i];
        for (size_t k = 0; k < th->held_count + th->waited_count; k++) {
            bool holds = k < th->held_count;
            const struct probe_tally *y = holds ? &th->held[k] : &th->waited[k - th->held_count];
            const struct probe_frame *frame =
                y->stack && r->stacks ? probe_stacks_frame(r->stacks, y->stack) : NULL;
            add_line(holds ? &held : &waited, frame, (double)y->ns);
        }
    }
    print_lines(f, "Lines that held the GIL", &held);
    print_lines(f, "Lines that waited for it", &waited);
    free(held.line);
    free(waited.line);
}

/* ---- distributions ---- */

static void histogram(FILE *f, const char *title, const struct probe_histogram *h) {
    if (h->count == 0)
        return;
    char p50[LAB_CELL], p99[LAB_CELL], max[LAB_CELL];
    lab_human(p50, (double)probe_histogram_quantile(h, 0.5), "ns");
    lab_human(p99, (double)probe_histogram_quantile(h, 0.99), "ns");
    lab_human(max, (double)h->max_ns, "ns");
    fprintf(f, "\n%s: %" PRIu64 " %s, half below %s, 99 %% below %s, at most %s\n", title, h->count,
            h->count == 1 ? "time" : "times", p50, p99, max);
    int first = 0, last = PROBE_BUCKETS - 1;
    while (h->bucket[first] == 0)
        first++;
    while (h->bucket[last] == 0)
        last--;
    uint64_t most = 1;
    for (int i = first; i <= last; i++)
        most = h->bucket[i] > most ? h->bucket[i] : most;
    for (int i = first; i <= last; i++) {
        char from[LAB_CELL];
        lab_human(from, i ? (double)(UINT64_C(1) << i) : 0, "ns");
        int length = (int)((double)h->bucket[i] / (double)most * BAR + 0.5);
        fprintf(f, "  %9s .. %9" PRIu64 " %.*s\n", from, h->bucket[i],
                length ? length : h->bucket[i] > 0, "########################################");
    }
}

static void histograms(FILE *f, const struct probe_report *r) {
    struct probe_histogram hold = {0}, wait = {0};
    for (size_t i = 0; i < r->timeline->thread_count; i++) {
        merge(&hold, &r->timeline->thread[i].hold);
        merge(&wait, &r->timeline->thread[i].wait);
    }
    histogram(f, "Holds", &hold);
    histogram(f, "Waits", &wait);
}

/* ---- tables that one kind of interpreter alone has ---- */

static void table(FILE *f, const struct probe_table *t) {
    if (t->rows == 0)
        return;
    fprintf(f, "\n%s\n", t->title);
    if (t->about)
        lab_wrap(f, t->about, 0, 0);
    size_t width = 0, rest = t->columns ? (LAB_WIDTH - 2) / t->columns : 1;
    width = rest > 4 ? rest : 4;
    for (size_t row = 0; row <= t->rows; row++) {
        fputs("  ", f);
        for (size_t c = 0; c < t->columns; c++) {
            const struct probe_column *column = &t->column[c];
            const char *cell = row             ? t->cell[(row - 1) * t->columns + c]
                               : column->title ? column->title
                                               : column->id;
            char human[LAB_CELL];
            if (row && cell && column->unit) {
                lab_human(human, strtod(cell, NULL), column->unit);
                cell = human;
            }
            lab_cell(f, cell ? cell : "-", width - 1);
            fputc(' ', f);
        }
        fputc('\n', f);
    }
}

static void means(FILE *f, const struct probe_report *r) {
    if (!r->means)
        return;
    fputs("\nHow it was measured\n", f);
    for (int i = 0; i < PROBE_MEANS_COUNT; i++) {
        const struct probe_means *m = &r->means[i];
        if (!m->name)
            continue;
        char *text = lab_format("%s%s%s", m->used ? "" : "not used", m->used || !m->why ? "" : ": ",
                                m->why ? m->why : "");
        fprintf(f, "  %-16s ", m->name);
        lab_wrap(f, text, 19, 19);
        free(text);
    }
    for (size_t i = 0; i < r->note_count; i++) {
        fputs("  - ", f);
        lab_wrap(f, r->notes[i], 4, 4);
    }
}

void probe_gil_text(FILE *f, const struct probe_report *r) {
    heading(f, r);
    sentences(f, r->verdict, r->verdict_count);
    for (size_t i = 0; i < r->timeline->lock_count; i++) {
        if (r->timeline->lock[i].looks || r->timeline->lock[i].takes)
            lock_row(f, r, i);
    }
    threads(f, r);
    waits(f, r);
    lines(f, r);
    places(f, r);
    histograms(f, r);
    for (size_t i = 0; i < r->table_count; i++)
        table(f, &r->table[i]);
    bullets(f, "What to do", r->advice, r->advice_count);
    means(f, r);
}
