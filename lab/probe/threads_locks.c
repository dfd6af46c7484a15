/* SPDX-License-Identifier: MIT */
/* What heddle threads says of locks: those that threads waited for, those that nobody let go of,
 * and circles of threads that wait for each other. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "probe/threads.h"
#include "report/format.h"
#include "text.h"

enum { SHOWN = 5, NAMES = 4 };

static char *duration(uint64_t ns) {
    char cell[LAB_CELL];
    lab_human(cell, (double)ns, "ns");
    return lab_copy(cell);
}

static char *title_of(const struct probe_timeline *t, pid_t tid) {
    for (size_t i = t->thread_count; i-- > 0;) { /* the newest of that number */
        if (t->thread[i].tid == tid) {
            char *title = probe_thread_title(t, i), *text = lab_format("`%s`", title);
            free(title);
            return text;
        }
    }
    return lab_format("thread %d", (int)tid);
}

/* ---- circles ---- */

void probe_circles_free(struct probe_circles *c) {
    for (size_t i = 0; i < c->count; i++)
        free(c->name[i]);
    free(c->wait);
    free(c->name);
    *c = (struct probe_circles){0};
}

void probe_circles_look(struct probe_circles *c, struct probe_places *p, pid_t pid,
                        struct probe_python *python) {
    probe_circles_free(c);
    size_t count = probe_places_waits(p, pid, python, &c->wait);
    c->count = count ? probe_mutex_prove(pid, python, c->wait, count) : 0;
    c->name = lab_alloc(c->count + 1, sizeof *c->name);
    for (size_t i = 0; i < c->count; i++)
        c->name[i] = probe_places_lock_name(p, pid, &c->wait[i]);
}

struct circle_names {
    const struct probe_timeline *t;
    const struct probe_circles *c;
};

static char *name_in(void *arg, pid_t tid) {
    const struct circle_names *n = arg;
    return title_of(n->t, tid);
}

static char *lock_in(void *arg, const struct probe_mutex_wait *wait) {
    const struct circle_names *n = arg;
    return probe_mutex_text((enum probe_mutex_kind)wait->kind, wait->address,
                            n->c->name[wait - n->c->wait]);
}

/* ---- locks that nobody let go of ---- */

static bool in_circle(const struct probe_circles *c, pid_t tid) {
    for (size_t i = 0; i < c->count; i++) {
        if (c->wait[i].tid == tid)
            return true;
    }
    return false;
}

static bool same_lock(const struct probe_stuck *a, const struct probe_stuck *b) {
    return a->pid == b->pid && a->wait.kind == b->wait.kind &&
           a->wait.address == b->wait.address;
}

/* Those that wait for the lock of the i-th, unless one before it does. */
static void say_stuck(const struct probe_report *r, const struct probe_stuck *s, size_t count,
                      size_t i, struct probe_words *w) {
    struct lab_text names = {0};
    size_t threads = 0;
    uint64_t least = s[i].ns;
    for (size_t k = 0; k < count; k++) {
        if (!same_lock(&s[i], &s[k]))
            continue;
        if (k < i)
            return;
        threads++;
        least = s[k].ns < least ? s[k].ns : least;
        if (threads > NAMES)
            continue;
        char *name = title_of(r->timeline, s[k].wait.tid);
        lab_text_printf(&names, "%s%s", threads > 1 ? ", " : "", name);
        free(name);
    }
    if (threads > NAMES)
        lab_text_printf(&names, " and %zu more", threads - NAMES);
    char *lock = probe_mutex_text((enum probe_mutex_kind)s[i].wait.kind, s[i].wait.address,
                                  s[i].name);
    char *line = probe_mutex_line(r->stacks, s[i].wait.python, s[i].wait.native);
    char *since = duration(least);
    char *owner = s[i].wait.owner ? title_of(r->timeline, s[i].wait.owner) : NULL;
    probe_say(&w->verdict, "Nobody let go of %s in the last %s that were watched: %s waited for it "
              "in vain (%s).%s%s%s", lock, since, names.data, *line ? line : "no stack",
              owner ? " " : "", owner ? owner : "", owner ? " has it." : "");
    lab_text_free(&names);
    free(lock);
    free(line);
    free(since);
    free(owner);
}

void probe_words_stuck(const struct probe_report *r, const struct probe_threads *x,
                       struct probe_words *w) {
    const struct probe_circles *c = x->circles;
    struct circle_names names = {r->timeline, c};
    size_t count, said = 0;
    if (c->count) {
        char *text = probe_mutex_circle_text(c->wait, c->count, r->stacks, name_in, lock_in,
                                             &names);
        probe_say(&w->verdict, "%s", text);
        probe_say(&w->advice, "Take those locks in the same order everywhere: then no circle can "
                  "close.");
        free(text);
    }
    const struct probe_stuck *s = probe_places_stuck(x->places, &count);
    for (size_t i = 0; i < count && said < SHOWN; i++) {
        if (in_circle(c, s[i].wait.tid))
            continue;
        size_t before = w->verdict.count;
        say_stuck(r, s, count, i, w);
        said += w->verdict.count > before;
    }
    if (said)
        probe_say(&w->advice, "See with 'heddle threads --once --pid %d', while it hangs, what all "
                  "threads do: one of them has the lock, or it ended with it.", (int)r->pid);
}

/* ---- locks that were waited for ---- */

void probe_words_locks(const struct probe_report *r, const struct probe_threads *x,
                       double active_ns, struct probe_words *w) {
    const struct probe_mutexes *m = probe_places_mutexes(x->places);
    double locks = 0;
    for (size_t i = 0; i < m->count; i++)
        locks += (double)m->list[i].ns;
    active_ns += locks;
    if (m->count == 0 || locks < active_ns * 0.05)
        return;
    const struct probe_mutex *worst = &m->list[0]; /* sorted */
    const struct probe_mutex_way *way = probe_mutex_main_way(worst);
    char *lock = probe_mutex_text((enum probe_mutex_kind)worst->kind, worst->address, worst->name);
    char *line = probe_mutex_line(r->stacks, way->python, way->native);
    char *all = duration((uint64_t)locks);
    probe_say(&w->verdict, "Threads waited %s for locks, %.0f %% of the time in which they had "
              "something to do; most of it, %.0f %%, for %s, which %zu thread%s waited for (%s).",
              all, locks / active_ns * 100, (double)worst->ns / locks * 100, lock, worst->threads,
              worst->threads == 1 ? "" : "s", *line ? line : "no stack");
    probe_say(&w->advice, "Hold %s for a shorter time, or split it: what it guards is done by one "
              "thread at a time.", lock);
    free(lock);
    free(line);
    free(all);
}

void probe_text_locks(FILE *f, const struct probe_report *r, const struct probe_threads *x) {
    const struct probe_mutexes *m = probe_places_mutexes(x->places);
    for (size_t i = 0; i < m->count && i < SHOWN; i++) {
        const struct probe_mutex *one = &m->list[i];
        const struct probe_mutex_way *way = probe_mutex_main_way(one);
        char *lock = probe_mutex_text((enum probe_mutex_kind)one->kind, one->address, one->name);
        char *line = probe_mutex_line(r->stacks, way->python, way->native);
        char *all = duration(one->ns), *most = duration(one->max_ns);
        char *text = lab_format("%s: %" PRIu64 " wait%s of %zu thread%s, at most %s", lock,
                                one->count, one->count == 1 ? "" : "s", one->threads,
                                one->threads == 1 ? "" : "s", most);
        if (i == 0)
            fputs("\nLocks that threads waited for\n", f);
        fprintf(f, "%9s  ", all);
        lab_make_printable(text);
        lab_wrap(f, text, 11, 13);
        if (*line) {
            fprintf(f, "%11s", "");
            lab_wrap(f, line, 11, 13);
        }
        free(text);
        free(lock);
        free(line);
        free(all);
        free(most);
    }
    if (m->count > SHOWN)
        fprintf(f, "%9s  and %zu more\n", "", m->count - SHOWN);
}
