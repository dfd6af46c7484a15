/* SPDX-License-Identifier: MIT */
/* What heddle threads knows beyond a timeline, as tables for JSON and pages. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "probe/threads.h"
#include "text.h"

enum { TABLES = 6, ROWS_MAX = 500, FRAMES = 32 };

static const struct probe_column place_columns[] = {
    {"call", "call", NULL},          {"object", "of", NULL},
    {"blocked_ns", "blocked", "ns"}, {"waits", NULL, "count"},
    {"longest_ns", "longest", "ns"}, {"threads", NULL, "count"},
    {"stack", "stack", NULL},
};
static const struct probe_column lock_columns[] = {
    {"kind", NULL, NULL},            {"object", "lock", NULL},
    {"address", NULL, NULL},         {"blocked_ns", "waited for", "ns"},
    {"waits", NULL, "count"},        {"longest_ns", "longest", "ns"},
    {"threads", NULL, "count"},      {"at", "at", NULL},
};
static const struct probe_column stuck_columns[] = {
    {"tid", "thread", NULL},  {"kind", NULL, NULL},         {"object", "lock", NULL},
    {"address", NULL, NULL},  {"waited_ns", "for", "ns"},   {"owner", "that has it", NULL},
    {"circle", NULL, NULL},   {"at", "at", NULL},
};
static const struct probe_column birth_columns[] = {
    {"what", "", NULL},      {"count", "threads", "count"}, {"median_ns", "median", "ns"},
    {"p99_ns", "99th", "ns"}, {"max_ns", "most", "ns"},
};
static const struct probe_column group_columns[] = {
    {"state", NULL, NULL},        {"waits_for", "waits for", NULL}, {"object", "of", NULL},
    {"site", "in", NULL},         {"began_with", "began with", NULL}, {"mean", NULL, "count"},
    {"last", NULL, "count"},      {"most", NULL, "count"},          {"stack", NULL, NULL},
};
static const struct probe_column own_columns[] = {
    {"id", "number", NULL},      {"name", NULL, NULL},         {"began_with", "began with", NULL},
    {"runs", NULL, "percent"},   {"ready", NULL, "percent"},   {"waits", NULL, "percent"},
    {"last", "at the last look", NULL},
};

#define COLUMNS(list) list, sizeof(list) / sizeof(list[0])

/* Cells that are made one after another. */
struct cells {
    char **cell;
    size_t count;
};

static void put(struct cells *c, char *text) {
    c->cell = lab_grow_one(c->cell, c->count, sizeof *c->cell);
    c->cell[c->count++] = text;
}

static void put_text(struct cells *c, const char *text) {
    put(c, text && *text ? lab_copy(text) : NULL);
}

static void put_number(struct cells *c, uint64_t n) {
    put(c, lab_format("%" PRIu64, n));
}

static void put_real(struct cells *c, double n) {
    put(c, lab_format("%.3f", n));
}

static void put_stack(struct cells *c, const struct probe_stacks *stacks, uint32_t node) {
    char *text = probe_stack_words(stacks, node, FRAMES);
    put_text(c, text);
    free(text);
}

static void add(struct probe_table *tables, size_t *count, const char *id, const char *title,
                const char *about, const struct probe_column *column, size_t columns,
                struct cells *c) {
    if (c->count == 0)
        return;
    tables[(*count)++] = (struct probe_table){
        id, title, about, column, columns, c->count / columns, (const char *const *)c->cell};
    *c = (struct cells){0};
}

static void add_places(struct probe_table *tables, size_t *n, const struct probe_report *r,
                       const struct probe_threads *x) {
    struct cells c = {0};
    size_t count;
    const struct probe_place *p = probe_places_all(x->places, &count);
    for (size_t i = 0; i < count && i < ROWS_MAX && p[i].ns; i++) {
        const char *name = p[i].what                        ? p[i].what
                           : r->call_name && p[i].call >= 0 ? r->call_name(p[i].call)
                                                            : NULL;
        put_text(&c, name);
        put_text(&c, p[i].object);
        put_number(&c, p[i].ns);
        put_number(&c, p[i].count);
        put_number(&c, p[i].max_ns);
        put_number(&c, p[i].threads);
        put_stack(&c, r->stacks, p[i].stack);
    }
    add(tables, n, "blocked_at", "Where threads were blocked",
        "Times are the kernel's; where they went was seen by looks.", COLUMNS(place_columns), &c);
}

static void put_lock(struct cells *c, enum probe_mutex_kind kind, const char *name,
                     uint64_t address) {
    put_text(c, probe_mutex_word(kind));
    put_text(c, name);
    put(c, lab_format("0x%" PRIx64, address));
}

static void put_line(struct cells *c, const struct probe_stacks *stacks, uint32_t python,
                     uint32_t native) {
    char *line = probe_mutex_line(stacks, python, native);
    put_text(c, line);
    free(line);
}

static void add_locks(struct probe_table *tables, size_t *n, const struct probe_report *r,
                      const struct probe_threads *x) {
    struct cells c = {0};
    const struct probe_mutexes *m = probe_places_mutexes(x->places);
    for (size_t i = 0; i < m->count && i < ROWS_MAX; i++) {
        const struct probe_mutex *one = &m->list[i];
        const struct probe_mutex_way *way = probe_mutex_main_way(one);
        put_lock(&c, (enum probe_mutex_kind)one->kind, one->name, one->address);
        put_number(&c, one->ns);
        put_number(&c, one->count);
        put_number(&c, one->max_ns);
        put_number(&c, one->threads);
        put_line(&c, r->stacks, way->python, way->native);
    }
    add(tables, n, "locks_waited", "Locks that threads waited for", NULL, COLUMNS(lock_columns),
        &c);
}

/* Threads in a circle, and those whose lock nobody let go of. */
static void add_stuck(struct probe_table *tables, size_t *n, const struct probe_report *r,
                      const struct probe_threads *x) {
    struct cells c = {0};
    size_t count;
    const struct probe_stuck *s = probe_places_stuck(x->places, &count);
    for (size_t i = 0; i < count && i < ROWS_MAX; i++) {
        const struct probe_mutex_wait *w = &s[i].wait;
        bool circle = false;
        for (size_t k = 0; k < x->circles->count; k++)
            circle |= x->circles->wait[k].tid == w->tid;
        put_number(&c, (uint64_t)w->tid);
        put_lock(&c, (enum probe_mutex_kind)w->kind, s[i].name, w->address);
        put_number(&c, s[i].ns);
        put(&c, w->owner ? lab_format("%d", (int)w->owner) : NULL);
        put_text(&c, circle ? "yes" : "no");
        put_line(&c, r->stacks, w->python, w->native);
    }
    add(tables, n, "locks_never_had", "Waits for locks that were not over at the end", NULL,
        COLUMNS(stuck_columns), &c);
}

static void put_spread(struct cells *c, const char *what, const struct probe_histogram *h) {
    if (h->count == 0)
        return;
    put_text(c, what);
    put_number(c, h->count);
    put_number(c, probe_histogram_quantile(h, 0.5));
    put_number(c, probe_histogram_quantile(h, 0.99));
    put_number(c, h->max_ns);
}

static void add_births(struct probe_table *tables, size_t *n, const struct probe_threads *x) {
    struct cells c = {0};
    const struct probe_births *b = probe_places_births(x->places);
    if (!x->births)
        return;
    put_spread(&c, "creation to first run", &b->first);
    put_spread(&c, "lifetime", &b->life);
    add(tables, n, "lives", "Threads that were made", NULL, COLUMNS(birth_columns), &c);
}

static void add_groups(struct probe_table *tables, size_t *n, const struct probe_report *r,
                       const struct probe_green_view *v) {
    struct cells c = {0};
    for (size_t i = 0; i < v->groups && i < ROWS_MAX; i++) {
        const struct probe_green_group *g = &v->group[i];
        put_text(&c, probe_heddle_word((enum probe_heddle_state)g->state));
        put_text(&c, g->what);
        put_text(&c, g->object);
        put_text(&c, g->site);
        put_text(&c, g->fn);
        put_real(&c, (double)g->sum / (double)v->looks);
        put_number(&c, g->last);
        put_number(&c, g->most);
        put_stack(&c, r->stacks, g->stack);
    }
    add(tables, n, "heddle_groups", "Heddle's own threads",
        "Those that do the same, counted: on the average of all looks, and at the last one.",
        COLUMNS(group_columns), &c);
}

static void put_share(struct cells *c, const struct probe_green_thread *t, uint64_t looks) {
    put_real(c, t->looks ? 100.0 * (double)looks / (double)t->looks : 0);
}

static void add_own(struct probe_table *tables, size_t *n, const struct probe_green_view *v) {
    struct cells c = {0};
    for (size_t i = 0; v->all && i < v->threads && i < ROWS_MAX; i++) {
        const struct probe_green_thread *t = &v->thread[i];
        put_number(&c, t->id);
        put_text(&c, t->name);
        put_text(&c, t->fn);
        put_share(&c, t, t->state[PROBE_HEDDLE_RUNS] + t->state[PROBE_HEDDLE_IN_CALL]);
        put_share(&c, t, t->state[PROBE_HEDDLE_READY] + t->state[PROBE_HEDDLE_PREEMPTED] +
                             t->state[PROBE_HEDDLE_BEGINS]);
        put_share(&c, t, t->state[PROBE_HEDDLE_WAITS]);
        put_text(&c, t->there ? t->last : "gone");
    }
    add(tables, n, "heddle_threads", "Heddle's own threads, one by one",
        "Shares of the looks in which a thread was there.", COLUMNS(own_columns), &c);
}

struct probe_table *probe_threads_tables(const struct probe_report *r,
                                         const struct probe_threads *x, size_t *count) {
    struct probe_table *tables = lab_alloc(TABLES, sizeof *tables);
    *count = 0;
    add_places(tables, count, r, x);
    add_locks(tables, count, r, x);
    add_stuck(tables, count, r, x);
    add_births(tables, count, x);
    if (x->green && x->green->looks) {
        add_groups(tables, count, r, x->green);
        add_own(tables, count, x->green);
    }
    return tables;
}

void probe_threads_tables_free(struct probe_table *tables, size_t count) {
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < tables[i].rows * tables[i].columns; k++)
            free((void *)(uintptr_t)tables[i].cell[k]);
        free((void *)(uintptr_t)tables[i].cell);
    }
    free(tables);
}
