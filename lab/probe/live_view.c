/* SPDX-License-Identifier: MIT */
/* What the live view shows: the lock, a row a thread, where most time goes. */
#include "probe/live_view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "probe/out.h"
#include "report/format.h"

enum { NAME = 18, BAR = 20 };

/* A letter a state, so that colours are not needed. */
static const char letters[PROBE_STATES + 1] = " HOwRr.";

/* ---- lines ---- */

static struct live_line *new_line(struct live_view *v) {
    v->line = lab_grow_one(v->line, v->lines, sizeof(*v->line));
    v->line[v->lines] = (struct live_line){0};
    return &v->line[v->lines++];
}

static void put(struct live_line *l, int look, const char *text) {
    char c = (char)look;
    lab_text_add(&l->text, text, strlen(text));
    for (size_t i = strlen(text); i > 0; i--)
        lab_text_add(&l->look, &c, 1);
}

/* Text that comes from elsewhere: what fits into so many columns, and blanks up to them. */
static void put_cell(struct live_line *l, int look, const char *text, size_t columns) {
    char *s = lab_copy(text);
    size_t used;
    lab_make_printable(s);
    s[lab_fit(s, columns, &used)] = '\0';
    put(l, look, s);
    for (; used < columns; used++)
        put(l, look, " ");
    free(s);
}

static void put_number(struct live_line *l, int look, double value, const char *unit) {
    char cell[LAB_CELL];
    lab_human(cell, value, unit);
    char *text = lab_format("%9s", cell);
    put(l, look, text);
    free(text);
}

static void put_share(struct live_line *l, double share) {
    char *text = share < 0.0005 ? lab_format("%8s", ".") : lab_format("%7.1f%%", 100 * share);
    put(l, LIVE_PLAIN, text);
    free(text);
}

/* ---- what has happened since ---- */

/* What it was at `past` may have been a guess about what was not over, and a little too much. */
static double state_ns(const struct live_view *v, const struct probe_timeline *t, size_t i, int s) {
    uint64_t is = t->thread[i].state_ns[s];
    uint64_t was = v->total || i >= v->past.threads ? 0 : v->past.state_ns[i][s];
    return is > was ? (double)(is - was) : 0;
}

static double all_ns(const struct live_view *v, const struct probe_timeline *t, int s) {
    double sum = 0;
    for (size_t i = 0; i < t->thread_count; i++)
        sum += state_ns(v, t, i, s);
    return sum;
}

/* The shares of the time that has passed, of which a new thread was not always there. */
static double shares(const struct live_view *v, const struct probe_timeline *t, size_t i,
                     double share[PROBE_STATES]) {
    double sum = 0;
    for (int s = PROBE_STATE_HOLDS; s < PROBE_STATES; s++) {
        share[s] = state_ns(v, t, i, s);
        sum += share[s];
    }
    for (int s = PROBE_STATE_HOLDS; s < PROBE_STATES && sum > 0; s++)
        share[s] /= sum;
    return sum;
}

static double seconds(const struct live_view *v, const struct probe_timeline *t, uint64_t now_ns) {
    uint64_t from = v->total || !v->past.ns ? t->begin_ns : v->past.ns;
    return now_ns > from ? (double)(now_ns - from) / 1e9 : 1e-9;
}

void live_view_mark(struct live_view *v, const struct probe_timeline *t, uint64_t now_ns) {
    struct probe_lock k;
    struct live_past *p = &v->next, before = v->past;
    v->past = v->next;
    v->next = before;
    out_total_lock(t, &k);
    p->ns = now_ns;
    p->takes = k.takes;
    p->forced = k.forced;
    p->state_ns = lab_grow(p->state_ns, t->thread_count + 1, sizeof(*p->state_ns));
    p->thread_takes = lab_grow(p->thread_takes, t->thread_count + 1, sizeof(*p->thread_takes));
    for (size_t i = 0; i < t->thread_count; i++) {
        memcpy(p->state_ns[i], t->thread[i].state_ns, sizeof(p->state_ns[i]));
        p->thread_takes[i] = t->thread[i].takes;
    }
    p->threads = t->thread_count;
}

/* ---- the head ---- */

static void head(struct live_view *v, const struct probe_report *r, uint64_t now_ns,
                 size_t columns) {
    const struct probe_timeline *t = r->timeline;
    struct live_line *l = new_line(v);
    char *target = out_target(r), *version = r->python ? out_python_version(r->python) : NULL;
    char *rest = lab_format("  %s%s%sprocess %d, %zu thread%s, %.0f s%s", version ? "Python " : "",
                            version ? version : "", version ? ", " : "", (int)r->pid,
                            t->thread_count, t->thread_count == 1 ? "" : "s",
                            t->begin_ns ? (double)(now_ns - t->begin_ns) / 1e9 : 0,
                            v->paused ? ", PAUSED" : "");
    char *first = lab_format("heddle %s: ", r->command);
    size_t taken = strlen(first) + strlen(rest), room = columns > taken + 8 ? columns - taken : 8;
    size_t wide = lab_columns(target);
    put(l, LIVE_BOLD, first);
    put_cell(l, LIVE_BOLD, target, wide < room ? wide : room);
    put(l, LIVE_PLAIN, rest);
    free(first);
    free(target);
    free(version);
    free(rest);
}

static void put_rate(struct live_line *l, const char *before, uint64_t n, double s,
                     const char *after) {
    char cell[LAB_CELL];
    lab_human(cell, (double)n / s, "per_s");
    put(l, LIVE_PLAIN, before);
    put(l, LIVE_BOLD, cell);
    put(l, LIVE_PLAIN, after);
}

static void lock_line(struct live_view *v, const struct probe_timeline *t, double s) {
    struct live_line *l = new_line(v);
    struct probe_lock k;
    out_total_lock(t, &k);
    double held = all_ns(v, t, PROBE_STATE_HOLDS) + all_ns(v, t, PROBE_STATE_HOLDS_OFF);
    char *text = lab_format("%.1f %%", held / s / 1e7);
    put(l, LIVE_PLAIN, "GIL: taken ");
    put(l, LIVE_BOLD, text);
    free(text);
    put_rate(l, ", ", k.takes - (v->total ? 0 : v->past.takes), s, " hand-overs");
    put_rate(l, ", ", k.forced - (v->total ? 0 : v->past.forced), s, " forced");
    text = lab_format("%.2f", all_ns(v, t, PROBE_STATE_WAITS) / s / 1e9);
    put(l, LIVE_PLAIN, ", ");
    put(l, LIVE_BOLD, text);
    put(l, LIVE_PLAIN, " threads wait for it");
    free(text);
}

static void cpu_line(struct live_view *v, const struct probe_timeline *t, double s) {
    struct live_line *l = new_line(v);
    char *a = lab_format("%.2f", all_ns(v, t, PROBE_STATE_ON) / s / 1e9);
    char *b = lab_format("%.2f", all_ns(v, t, PROBE_STATE_RUNNABLE) / s / 1e9);
    put(l, LIVE_BOLD, a);
    put(l, LIVE_PLAIN, " CPUs busy with it, ");
    put(l, LIVE_BOLD, b);
    put(l, LIVE_PLAIN, " threads have none");
    free(a);
    free(b);
}

static void legend(struct live_view *v, const struct probe_timeline *t) {
    struct live_line *l = new_line(v);
    for (int s = PROBE_STATE_HOLDS; s < PROBE_STATES; s++) {
        if (!out_total(t, (enum probe_state)s))
            continue;
        char letter[2] = {letters[s], '\0'};
        put(l, LIVE_PLAIN, l->text.length ? "   " : "");
        put(l, LIVE_STATE + s, letter);
        put(l, LIVE_PLAIN, " ");
        put(l, LIVE_PLAIN, probe_state_word((enum probe_state)s));
    }
}

/* ---- threads ---- */

struct place {
    const struct probe_thread *thread;
    double key;
    size_t index;
};

static int by_key(const void *a, const void *b) {
    const struct place *x = a, *y = b;
    if (x->key < y->key || x->key > y->key)
        return x->key < y->key ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

static int by_name(const void *a, const void *b) {
    const struct place *x = a, *y = b;
    int order = strcmp(x->thread->name ? x->thread->name : "",
                       y->thread->name ? y->thread->name : "");
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static bool is_over(const struct live_view *v, const struct probe_timeline *t, size_t i) {
    double share[PROBE_STATES];
    return t->thread[i].end_ns && shares(v, t, i, share) <= 0;
}

/* The threads that are there, in the chosen order; the caller frees. */
static struct place *in_order(const struct live_view *v, const struct probe_timeline *t,
                              size_t *count) {
    struct place *all = lab_alloc(t->thread_count + 1, sizeof(*all));
    *count = 0;
    for (size_t i = 0; i < t->thread_count; i++) {
        double share[PROBE_STATES] = {0};
        if (is_over(v, t, i))
            continue;
        shares(v, t, i, share);
        double runs = share[PROBE_STATE_HOLDS] + share[PROBE_STATE_HOLDS_OFF] +
                      share[PROBE_STATE_ON];
        double waits = share[PROBE_STATE_WAITS] + share[PROBE_STATE_RUNNABLE];
        /* In steps of a tenth: threads that are much alike keep their places. */
        double key = v->order == LIVE_BY_HOLDS   ? floor(runs * 10) + floor(waits * 10) / 100
                     : v->order == LIVE_BY_WAITS ? floor(waits * 10)
                                                 : 0;
        all[(*count)++] = (struct place){&t->thread[i], key, i};
    }
    qsort(all, *count, sizeof(*all), v->order == LIVE_BY_NAME ? by_name : by_key);
    return all;
}

static void bar(struct live_line *l, const double share[PROBE_STATES]) {
    double sum = 0;
    int done = 0;
    for (int s = PROBE_STATE_HOLDS; s < PROBE_STATES; s++) {
        char letter[2] = {letters[s], '\0'};
        sum += share[s];
        for (; done < BAR && done + 0.5 < sum * BAR; done++)
            put(l, LIVE_STATE + s, letter);
    }
    for (; done < BAR; done++)
        put(l, LIVE_PLAIN, " ");
}

static void row(struct live_view *v, const struct probe_report *r, size_t i, double s) {
    const struct probe_timeline *t = r->timeline;
    const struct probe_thread *x = &t->thread[i];
    struct live_line *l = new_line(v);
    double share[PROBE_STATES] = {0};
    bool gil = out_has_gil(r);
    shares(v, t, i, share);
    char *title = lab_copy(x->name ? x->name : "?"), *tid = lab_format("%8d ", (int)x->tid);
    put_cell(l, LIVE_BOLD, title, NAME);
    put(l, LIVE_DIM, tid);
    free(title);
    free(tid);
    bar(l, share);
    if (gil) {
        put_share(l, share[PROBE_STATE_HOLDS] + share[PROBE_STATE_HOLDS_OFF]);
        put_share(l, share[PROBE_STATE_WAITS]);
        bool since = !v->total && i < v->past.threads;
        uint64_t takes = x->takes - (since ? v->past.thread_takes[i] : 0);
        put_number(l, LIVE_PLAIN, (double)takes / s, "per_s");
        put_number(l, LIVE_PLAIN, (double)x->worst_wait_ns, "ns");
    } else {
        put_share(l, share[PROBE_STATE_ON]);
        put_share(l, share[PROBE_STATE_RUNNABLE]);
        put_number(l, LIVE_PLAIN, (double)x->runnable.max_ns, "ns");
    }
}

static void threads(struct live_view *v, const struct probe_report *r, double s, size_t most) {
    size_t count;
    struct place *all = in_order(v, r->timeline, &count);
    struct live_line *l = new_line(v);
    char *title = lab_format("%-*s%8s %-*s%s", NAME, "THREAD", "TID", BAR, "STATES",
                             out_has_gil(r) ? "   HOLDS   WAITS    TAKES LONGEST WAIT"
                                            : "  ON CPU RUNNABLE  LONGEST");
    put(l, LIVE_DIM, title);
    free(title);
    if (v->first + 1 > count)
        v->first = count ? count - 1 : 0;
    size_t end = v->first + most < count ? v->first + most : count;
    for (size_t k = v->first; k < end; k++)
        row(v, r, all[k].index, s);
    if (count > end - v->first) {
        char *more = lab_format("%zu to %zu of %zu threads; up and down show others", v->first + 1,
                                end, count);
        put(new_line(v), LIVE_DIM, more);
        free(more);
    }
    free(all);
}

/* ---- where ---- */

/* The place of a state in which most time went, of all threads, since the beginning. */
static void place(struct live_view *v, const struct probe_report *r, const char *word,
                  enum probe_state state) {
    const struct probe_timeline *t = r->timeline;
    const struct probe_tally *best = NULL;
    size_t whose = 0;
    for (size_t i = 0; i < t->thread_count; i++) {
        const struct probe_thread *x = &t->thread[i];
        bool waits = state == PROBE_STATE_WAITS;
        const struct probe_tally *y = waits ? x->waited : x->held;
        for (size_t k = 0; k < (waits ? x->waited_count : x->held_count); k++) {
            if (y[k].stack && (!best || y[k].ns > best->ns)) {
                best = &y[k];
                whose = i;
            }
        }
    }
    if (!best || !r->stacks)
        return;
    struct live_line *l = new_line(v);
    struct lab_text text = {0};
    char *title = probe_thread_title(t, whose);
    out_frame(&text, probe_stacks_frame(r->stacks, best->stack));
    lab_text_printf(&text, ", by %s", title);
    free(title);
    put(l, LIVE_STATE + (int)state, word);
    lab_make_printable(text.data);
    put(l, LIVE_PLAIN, text.data);
    lab_text_free(&text);
}

static void foot(struct live_view *v) {
    static const char *const orders[LIVE_ORDERS] = {"running", "waiting", "name", "age"};
    char *text = lab_format("q end   space %s   t %s   s order: %s", v->paused ? "go on" : "pause",
                            v->total ? "shown: since the beginning" : "shown: the last moment",
                            orders[v->order]);
    put(new_line(v), LIVE_DIM, text);
    free(text);
}

static void clear(struct live_view *v) {
    for (size_t i = 0; i < v->lines; i++) {
        lab_text_free(&v->line[i].text);
        lab_text_free(&v->line[i].look);
    }
    free(v->line);
    v->line = NULL;
    v->lines = 0;
}

void live_view_make(struct live_view *v, const struct probe_report *r, uint64_t now_ns,
                    size_t columns, size_t rows) {
    double s = seconds(v, r->timeline, now_ns);
    clear(v);
    head(v, r, now_ns, columns);
    if (out_has_gil(r))
        lock_line(v, r->timeline, s);
    else
        cpu_line(v, r->timeline, s);
    legend(v, r->timeline);
    new_line(v);
    threads(v, r, s, rows > 12 ? rows - 11 : 1);
    new_line(v);
    place(v, r, "most time at: ", out_has_gil(r) ? PROBE_STATE_HOLDS : PROBE_STATE_ON);
    place(v, r, "waited most at: ", PROBE_STATE_WAITS);
    foot(v);
}

bool live_view_key(struct live_view *v, int key) {
    switch (key) {
    case 'q':
    case 'Q':
        return false;
    case ' ':
    case 'p':
        v->paused = !v->paused;
        break;
    case 't':
        v->total = !v->total;
        break;
    case 's':
        v->order = (v->order + 1) % LIVE_ORDERS;
        break;
    case LIVE_KEY_UP:
        v->first -= v->first > 0;
        break;
    case LIVE_KEY_DOWN:
        v->first++;
        break;
    default:
        break;
    }
    return true;
}

void live_view_free(struct live_view *v) {
    clear(v);
    free(v->past.state_ns);
    free(v->past.thread_takes);
    free(v->next.state_ns);
    free(v->next.thread_takes);
    *v = (struct live_view){0};
}
