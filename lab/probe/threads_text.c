/* SPDX-License-Identifier: MIT */
/* The report of heddle threads as text: the words first, then the figures, then what to do, then
 * how all of it was found. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "probe/threads.h"
#include "report/format.h"
#include "text.h"

enum { THREADS_SHOWN = 20, PLACES_SHOWN = 10, FRAMES_SHOWN = 8, TITLE = 23 };

static double percent(double part, double whole) {
    return whole > 0 ? part / whole * 100 : 0;
}

static double life_ns(const struct probe_thread *th) {
    double sum = 0;
    for (int s = PROBE_STATE_NONE + 1; s < PROBE_STATES; s++)
        sum += (double)th->state_ns[s];
    return sum;
}

static double on_ns(const struct probe_thread *th) {
    return (double)th->state_ns[PROBE_STATE_ON] + (double)th->state_ns[PROBE_STATE_HOLDS];
}

/* ---- stacks ---- */

/* Whether the function outside of a frame is of the same file, and is shown. */
static bool goes_on(const struct probe_stacks *stacks, uint32_t node, const char *file) {
    uint32_t outer = probe_stacks_outer(stacks, node);
    const struct probe_frame *f = outer ? probe_stacks_frame(stacks, outer) : NULL;
    return f && f->file && f->line == 0 && strcmp(f->file, file) == 0 &&
           !probe_stack_is_plumbing(f->function);
}

char *probe_stack_words(const struct probe_stacks *stacks, uint32_t node, unsigned most) {
    struct lab_text text = {0};
    unsigned shown = 0;
    lab_text_add(&text, "", 0);
    for (; node; node = probe_stacks_outer(stacks, node)) {
        const struct probe_frame *f = probe_stacks_frame(stacks, node);
        const char *slash = f->file ? strrchr(f->file, '/') : NULL;
        const char *file = slash ? slash + 1 : f->file;
        if (probe_stack_is_plumbing(f->function))
            break;
        if (shown++ == most) {
            lab_text_printf(&text, " < ...");
            break;
        }
        lab_text_printf(&text, "%s%s", shown > 1 ? " < " : "", f->function);
        if (f->line > 0) {
            lab_text_printf(&text, " (%s:%d)", file, f->line);
        } else if (file && strncmp(f->function, file, strlen(file)) != 0 &&
                   (shown == most || !goes_on(stacks, node, f->file))) {
            lab_text_printf(&text, " (%s)", file);
        }
    }
    lab_make_printable(text.data);
    return text.data;
}

/* ---- who was watched ---- */

static void heading(FILE *f, const struct probe_report *r) {
    struct lab_text line = {0};
    char cell[LAB_CELL];
    for (size_t i = 0; r->target && r->target[i]; i++)
        lab_text_printf(&line, "%s%s", i ? " " : "", r->target[i]);
    if (!r->target)
        lab_text_printf(&line, "process %d%s%s", (int)r->pid, r->program ? ", " : "",
                        r->program ? r->program : "");
    lab_make_printable(line.data);
    lab_human(cell, (double)(r->timeline->end_ns - r->timeline->begin_ns), "ns");
    lab_text_printf(&line, "; %s%s%s", cell, r->ended ? ", " : "", r->ended ? r->ended : "");
    lab_wrap(f, line.data, 0, 0);
    lab_text_free(&line);
    fputc('\n', f);
    for (size_t i = 0; i < r->verdict_count; i++)
        lab_wrap(f, r->verdict[i], 0, 0);
}

static void bullets(FILE *f, const char *title, char *const *text, size_t count) {
    if (count == 0)
        return;
    fprintf(f, "\n%s\n", title);
    for (size_t i = 0; i < count; i++) {
        fputs("  - ", f);
        lab_wrap(f, text[i], 4, 4);
    }
}

/* ---- threads ---- */

/* A line of the table: a thread, or several that bear the same name but for digits, where there
 * are too many for a line each. */
struct row {
    char *title;
    size_t threads, index; /* the last one's */
    struct probe_thread sum;
    struct probe_books books;
    double on;
};

static int by_on(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    if (x->on != y->on)
        return x->on > y->on ? -1 : 1;
    return strcmp(x->title, y->title);
}

static void print_books(FILE *f, const struct probe_books *b) {
    if (!b || !b->known || b->user_ns + b->system_ns == 0) {
        fprintf(f, "%8s\n", "-");
    } else {
        fprintf(f, "%6.0f %%\n",
                percent((double)b->system_ns, (double)b->user_ns + (double)b->system_ns));
    }
}

static void print_thread(FILE *f, const char *title, const struct probe_thread *th,
                         const struct probe_books *b) {
    double life = life_ns(th), seconds = life * 1e-9;
    lab_title_cell(f, title, TITLE);
    fprintf(f, " %5.1f %% %5.1f %% %5.1f %% %8.0f %9.0f %7" PRIu64, percent(on_ns(th), life),
            percent((double)th->state_ns[PROBE_STATE_RUNNABLE], life),
            percent((double)th->state_ns[PROBE_STATE_BLOCKED], life),
            seconds > 0 ? (double)th->voluntary / seconds : 0,
            seconds > 0 ? (double)th->preempted / seconds : 0, th->migrations);
    print_books(f, b);
}

static void sum_up(struct probe_thread *sum, const struct probe_thread *th) {
    for (int s = 0; s < PROBE_STATES; s++)
        sum->state_ns[s] += th->state_ns[s];
    sum->voluntary += th->voluntary;
    sum->preempted += th->preempted;
    sum->migrations += th->migrations;
}

static void add_books(struct probe_books *sum, const struct probe_books *b) {
    if (!b || !b->known)
        return;
    sum->known = true;
    sum->user_ns += b->user_ns;
    sum->system_ns += b->system_ns;
}

/* "worker-12" and "worker-3" are both "worker-N". The caller frees. */
static char *stem(const char *name) {
    struct lab_text text = {0};
    lab_text_add(&text, "", 0);
    for (const char *c = name; *c;) {
        size_t digits = strspn(c, "0123456789");
        if (digits) {
            lab_text_add(&text, "N", 1);
            c += digits;
        } else {
            lab_text_add(&text, c++, 1);
        }
    }
    return text.data;
}

static void add_row(struct row *row, size_t *rows, const struct probe_report *r, size_t index,
                    bool together) {
    const struct probe_timeline *t = r->timeline;
    const struct probe_thread *th = &t->thread[index];
    char *title = together ? stem(th->name ? th->name : "") : probe_thread_title(t, index);
    struct row *one = NULL;
    for (size_t i = 0; together && i < *rows && !one; i++) {
        if (strcmp(row[i].title, title) == 0)
            one = &row[i];
    }
    if (!one) {
        one = &row[(*rows)++];
        one->title = lab_copy(title);
    }
    free(title);
    one->threads += th->tid || !t->threads_dropped ? 1 : t->threads_dropped;
    one->index = index;
    one->on += on_ns(th);
    sum_up(&one->sum, th);
    add_books(&one->books, r->books ? &r->books[index] : NULL);
}

static void print_row(FILE *f, const struct probe_timeline *t, const struct row *row) {
    char *title = row->threads > 1 ? lab_format("%s, %zu threads", row->title, row->threads)
                                   : probe_thread_title(t, row->index);
    print_thread(f, title, &row->sum, &row->books);
    free(title);
}

/* Shares of a short life say little about the whole. */
static void short_lives(FILE *f, const struct probe_timeline *t) {
    enum { NAMED = 3 };
    double whole = (double)(t->end_ns - t->begin_ns);
    struct lab_text line = {0};
    size_t brief = 0;
    for (size_t i = 0; i < t->thread_count; i++) {
        double life = life_ns(&t->thread[i]);
        char cell[LAB_CELL];
        if (!t->thread[i].tid || life <= 0 || life > whole / 10 || ++brief > NAMED)
            continue;
        char *title = probe_thread_title(t, i);
        lab_human(cell, life, "ns");
        lab_text_printf(&line, "%s%s %s", brief > 1 ? ", " : "lived a tenth of the time or less: ",
                        title, cell);
        free(title);
    }
    if (brief > NAMED)
        lab_text_printf(&line, " and %zu more", brief - NAMED);
    if (line.data) {
        fputs("  ", f);
        lab_make_printable(line.data);
        lab_wrap(f, line.data, 2, 4);
    }
    lab_text_free(&line);
}

static void thread_table(FILE *f, const struct probe_report *r) {
    const struct probe_timeline *t = r->timeline;
    struct row *row = lab_alloc(t->thread_count + 1, sizeof *row), rest = {.title = NULL};
    size_t rows = 0;
    for (size_t i = 0; i < t->thread_count; i++)
        add_row(row, &rows, r, i, t->thread_count > THREADS_SHOWN);
    qsort(row, rows, sizeof *row, by_on);
    fprintf(f, "\nThreads, %% of each one's own time\n");
    fprintf(f, "%-*s %7s %7s %7s %8s %9s %7s %7s\n", TITLE, "", "on", "without", "", "waits",
            "preempted", "CPU", "of CPU");
    fprintf(f, "%-*s %7s %7s %7s %8s %9s %7s %7s\n", TITLE, "", "a CPU", "one", "blocked",
            "a second", "a second", "moves", "kernel");
    for (size_t i = 0; i < rows; i++) {
        if (i < THREADS_SHOWN) {
            print_row(f, t, &row[i]);
        } else {
            rest.threads += row[i].threads;
            rest.index = row[i].index;
            sum_up(&rest.sum, &row[i].sum);
            add_books(&rest.books, &row[i].books);
        }
    }
    rest.title = lab_copy("others");
    if (rest.threads)
        print_row(f, t, &rest);
    free(rest.title);
    short_lives(f, t);
    for (size_t i = 0; i < rows; i++)
        free(row[i].title);
    free(row);
}

/* ---- coming and going ---- */

static void print_spread(FILE *f, const char *title, const struct probe_histogram *h) {
    char median[LAB_CELL], high[LAB_CELL], most[LAB_CELL];
    if (h->count == 0)
        return;
    lab_human(median, (double)probe_histogram_quantile(h, 0.5), "ns");
    lab_human(high, (double)probe_histogram_quantile(h, 0.99), "ns");
    lab_human(most, (double)h->max_ns, "ns");
    fprintf(f, "  %-24s %10s median %10s 99th %10s most %8" PRIu64 "\n", title, median, high, most,
            h->count);
}

static void births(FILE *f, const struct probe_report *r, const struct probe_threads *x) {
    const struct probe_births *b = probe_places_births(x->places);
    double seconds = (double)(r->timeline->end_ns - r->timeline->begin_ns) * 1e-9;
    struct probe_histogram runnable = {0};
    for (size_t i = 0; i < r->timeline->thread_count; i++) {
        const struct probe_histogram *h = &r->timeline->thread[i].runnable;
        runnable.count += h->count;
        runnable.sum_ns += h->sum_ns;
        runnable.max_ns = h->max_ns > runnable.max_ns ? h->max_ns : runnable.max_ns;
        for (int k = 0; k < PROBE_BUCKETS; k++)
            runnable.bucket[k] += h->bucket[k];
    }
    if ((b->born == 0 || !x->births) && (runnable.count == 0 || !x->records))
        return;
    fputc('\n', f);
    if (b->born && x->births)
        fprintf(f, "%" PRIu64 " thread%s made (%.1f a second), %" PRIu64 " ended\n", b->born,
                b->born == 1 ? " was" : "s were",
                seconds > 0 ? (double)b->born / seconds : 0, b->ended);
    if (x->births) {
        print_spread(f, "creation to first run", &b->first);
        print_spread(f, "lifetime", &b->life);
    }
    if (x->records)
        print_spread(f, "preempted, until it ran", &runnable);
}

/* ---- where threads waited ---- */

static void print_place(FILE *f, const struct probe_report *r, const struct probe_place *p,
                        double all_ns) {
    struct lab_text line = {0};
    char total[LAB_CELL], most[LAB_CELL];
    lab_human(total, (double)p->ns, "ns");
    lab_human(most, (double)p->max_ns, "ns");
    fprintf(f, "%6.1f %% ", percent((double)p->ns, all_ns));
    if (p->what || p->call >= 0) {
        const char *name = p->what ? p->what : r->call_name ? r->call_name(p->call) : NULL;
        lab_text_printf(&line, "%s", name ? name : "a system call");
        if (p->object)
            lab_text_printf(&line, " %s", p->object);
        if (p->several && p->futex == 0 && strncmp(line.data, "futex", 5) == 0)
            lab_text_printf(&line, "es, several");
    } else {
        lab_text_printf(&line, "in the kernel, in no call");
    }
    lab_text_printf(&line, ": %s in %" PRIu64 " wait%s of %u thread%s, at most %s", total,
                    p->count, p->count == 1 ? "" : "s", p->threads, p->threads == 1 ? "" : "s",
                    most);
    lab_make_printable(line.data);
    lab_wrap(f, line.data, 9, 11);
    lab_text_free(&line);
    char *stack = probe_stack_words(r->stacks, p->stack, FRAMES_SHOWN);
    if (*stack) {
        fprintf(f, "%11s", "");
        lab_wrap(f, stack, 11, 13);
    }
    free(stack);
}

/* The waits that no look saw share an entry without a call. */
static bool is_unseen(const struct probe_place *p) {
    return p->call < 0 && !p->what && !p->stack;
}

static void places(FILE *f, const struct probe_report *r, const struct probe_threads *x) {
    size_t count, shown = 0;
    const struct probe_place *p = probe_places_all(x->places, &count);
    const struct probe_place *unseen = NULL;
    double all = 0, rest = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_unseen(&p[i])) {
            unseen = &p[i];
        } else {
            all += (double)p[i].ns;
        }
    }
    if (all <= 0)
        return;
    fprintf(f, "\nWhere threads were blocked, of the waits that were looked at\n");
    for (size_t i = 0; i < count; i++) {
        if (&p[i] == unseen)
            continue;
        if (shown < PLACES_SHOWN && (double)p[i].ns >= all * 0.001) {
            print_place(f, r, &p[i], all);
            shown++;
        } else {
            rest += (double)p[i].ns;
        }
    }
    size_t others = count - shown - (unseen != NULL);
    if (others)
        fprintf(f, "%6.1f %% at %zu other place%s\n", percent(rest, all), others,
                others == 1 ? "" : "s");
    if (unseen && unseen->ns) {
        char total[LAB_CELL], most[LAB_CELL];
        lab_human(total, (double)unseen->ns, "ns");
        lab_human(most, (double)unseen->max_ns, "ns");
        char *line = lab_format("besides, %s in %" PRIu64 " waits that nobody looked at, at most "
                                "%s", total, unseen->count, most);
        fprintf(f, "%9s", "");
        lab_wrap(f, line, 9, 11);
        free(line);
    }
}

/* ---- the whole ---- */

static void means(FILE *f, const struct probe_report *r) {
    fprintf(f, "\nHow it was measured\n");
    for (int i = 0; r->means && i < PROBE_MEANS_COUNT; i++) {
        const struct probe_means *m = &r->means[i];
        if (!m->used && (!m->why || strcmp(m->why, "not asked for") == 0))
            continue;
        char *line = lab_format("%s: %s%s", m->name, m->used ? "" : "not used: ",
                                m->why ? m->why : "used");
        fputs("  - ", f);
        lab_wrap(f, line, 4, 4);
        free(line);
    }
}

void probe_threads_text(FILE *f, const struct probe_report *r, const struct probe_threads *x) {
    heading(f, r);
    thread_table(f, r);
    births(f, r, x);
    places(f, r, x);
    probe_text_locks(f, r, x);
    if (x->green)
        probe_green_text(f, x->green, r->stacks);
    bullets(f, "What to do", r->advice, r->advice_count);
    means(f, r);
    bullets(f, "To be known", r->notes, r->note_count);
}
