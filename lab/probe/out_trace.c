/* SPDX-License-Identifier: MIT */
/* A trace in Chrome's JSON format, which Perfetto reads too: a track a thread with its states, one
 * with who has the GIL, and a counter of those who wait for it. Times are in microseconds since the
 * beginning; JSON is written by hand, a line an event, since there may be a million of them. */
#include "probe/out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The tracks of GILs stand among their processes' threads, with numbers that no thread has. */
enum { GIL_TRACK = 0x7fff0000, GIL_TRACKS = 1 << 15 };

enum { FRAMES_MOST = 6 }; /* of a stack, the innermost */

struct writer {
    struct lab_json j;
    const struct probe_report *r;
    char **title; /* of each thread */
};

/* What the old viewer colours states with; Perfetto chooses by name. */
static const char *colour(enum probe_state s) {
    static const char *const names[PROBE_STATES] = {
        [PROBE_STATE_NONE] = "thread_state_unknown",
        [PROBE_STATE_HOLDS] = "thread_state_running",
        [PROBE_STATE_HOLDS_OFF] = "terrible",
        [PROBE_STATE_WAITS] = "bad",
        [PROBE_STATE_ON] = "good",
        [PROBE_STATE_RUNNABLE] = "thread_state_runnable",
        [PROBE_STATE_BLOCKED] = "thread_state_sleeping",
    };
    return names[s];
}

static pid_t process_of(const struct writer *w, size_t thread) {
    pid_t pid = w->r->timeline->thread[thread].pid;
    return pid ? pid : w->r->pid;
}

/* Exact to the nanosecond, which a double's shortest form is not after a few hours. */
static void microseconds(struct lab_json *j, const char *key, uint64_t ns) {
    char text[32];
    snprintf(text, sizeof(text), "%" PRIu64 ".%03u", ns / 1000, (unsigned)(ns % 1000));
    lab_json_literal(j, key, text);
}

static void label(struct writer *w, const char *what, pid_t pid, int64_t track, const char *key,
                  const char *name, int64_t number) {
    struct lab_json *j = &w->j;
    lab_json_object(j, NULL, true);
    lab_json_string(j, "name", what);
    lab_json_string(j, "ph", "M");
    lab_json_integer(j, "pid", pid);
    lab_json_integer(j, "tid", track);
    lab_json_object(j, "args", true);
    if (name)
        lab_json_string(j, key, name);
    else
        lab_json_integer(j, key, number);
    lab_json_end_object(j);
    lab_json_end_object(j);
}

static void labels(struct writer *w) {
    const struct probe_timeline *t = w->r->timeline;
    char *target = out_target(w->r);
    label(w, "process_name", w->r->pid, w->r->pid, "name", target, 0);
    for (size_t i = 0; i < t->thread_count; i++) {
        const struct probe_thread *x = &t->thread[i];
        if (x->pid && x->pid != w->r->pid && x->pid == x->tid) /* a process that it made */
            label(w, "process_name", x->pid, x->pid, "name", x->name ? x->name : "", 0);
        label(w, "thread_name", process_of(w, i), x->tid, "name", w->title[i], 0);
        label(w, "thread_sort_index", process_of(w, i), x->tid, "sort_index", NULL,
              (int64_t)i + GIL_TRACKS);
    }
    free(target);
}

static void begin_span(struct writer *w, const char *name, const char *category,
                       const struct probe_span *s, pid_t pid, int64_t track) {
    struct lab_json *j = &w->j;
    lab_json_object(j, NULL, true);
    lab_json_string(j, "name", name);
    lab_json_string(j, "cat", category);
    lab_json_string(j, "ph", "X");
    microseconds(j, "ts", s->begin_ns - w->r->timeline->begin_ns);
    microseconds(j, "dur", s->end_ns - s->begin_ns);
    lab_json_integer(j, "pid", pid);
    lab_json_integer(j, "tid", track);
}

static void arguments(struct writer *w, const struct probe_span *s) {
    struct lab_json *j = &w->j;
    lab_json_object(j, "args", true);
    if (s->cpu >= 0)
        lab_json_integer(j, "cpu", s->cpu);
    if (s->stack && w->r->stacks) {
        uint32_t *path;
        size_t n = out_path(w->r->stacks, s->stack, &path);
        struct lab_text all = {0};
        for (size_t i = n; i > 0 && i + FRAMES_MOST > n; i--) {
            lab_text_printf(&all, "%s", i < n ? " < " : "");
            out_frame(&all, probe_stacks_frame(w->r->stacks, path[i - 1]));
        }
        if (n > FRAMES_MOST)
            lab_text_printf(&all, " < ...");
        lab_json_string(j, "at", all.data);
        lab_text_free(&all);
        free(path);
    }
    lab_json_end_object(j);
}

static void thread_spans(struct writer *w) {
    const struct probe_timeline *t = w->r->timeline;
    for (size_t i = 0; i < t->span_count; i++) {
        const struct probe_span *s = &t->span[i];
        if (s->state == PROBE_STATE_NONE || s->end_ns <= s->begin_ns)
            continue;
        begin_span(w, probe_state_word((enum probe_state)s->state), "thread", s,
                   process_of(w, s->thread), t->thread[s->thread].tid);
        lab_json_string(&w->j, "cname", colour((enum probe_state)s->state));
        arguments(w, s);
        lab_json_end_object(&w->j);
    }
}

static bool holds(const struct probe_span *s) {
    return (s->state == PROBE_STATE_HOLDS || s->state == PROBE_STATE_HOLDS_OFF) && s->lock >= 0;
}

static pid_t process_of_lock(const struct writer *w, int lock) {
    pid_t pid = w->r->timeline->lock[lock].pid;
    return pid ? pid : w->r->pid;
}

/* Who has each GIL. What two seem to have had at once, by the errors of samples, is the first's. */
static void gil_spans(struct writer *w) {
    const struct probe_timeline *t = w->r->timeline;
    uint64_t *free_from = lab_alloc(t->lock_count + 1, sizeof(*free_from));
    for (size_t i = 0; i < t->span_count; i++) {
        struct probe_span s = t->span[i];
        if (!holds(&s) || (size_t)s.lock >= t->lock_count)
            continue;
        s.begin_ns = s.begin_ns > free_from[s.lock] ? s.begin_ns : free_from[s.lock];
        if (s.end_ns <= s.begin_ns)
            continue;
        pid_t pid = process_of_lock(w, s.lock);
        if (free_from[s.lock] == 0) {
            char *name = probe_lock_title(t, (size_t)s.lock);
            label(w, "thread_name", pid, GIL_TRACK + s.lock, "name", name, 0);
            label(w, "thread_sort_index", pid, GIL_TRACK + s.lock, "sort_index", NULL, s.lock);
            free(name);
        }
        free_from[s.lock] = s.end_ns;
        begin_span(w, w->title[s.thread], "gil", &s, pid, GIL_TRACK + s.lock);
        lab_json_object(&w->j, "args", true);
        lab_json_string(&w->j, "state", probe_state_word((enum probe_state)s.state));
        if (s.cpu >= 0)
            lab_json_integer(&w->j, "cpu", s.cpu);
        lab_json_end_object(&w->j);
        lab_json_end_object(&w->j);
    }
    free(free_from);
}

/* ---- how many wait ---- */

struct edge {
    uint64_t ns;
    int step;
};

static int by_time(const void *a, const void *b) {
    const struct edge *x = a, *y = b;
    return x->ns != y->ns ? (x->ns > y->ns) - (x->ns < y->ns) : x->step - y->step;
}

static void count_waiters(struct writer *w, int lock, struct edge *e, size_t n) {
    char *title = probe_lock_title(w->r->timeline, (size_t)lock);
    char *name = lab_format("threads that wait for the %s", title);
    int waiting = 0, told = -1;
    qsort(e, n, sizeof(*e), by_time);
    for (size_t i = 0; i < n; i++) {
        waiting += e[i].step;
        if ((i + 1 < n && e[i + 1].ns == e[i].ns) || waiting == told)
            continue;
        told = waiting;
        lab_json_object(&w->j, NULL, true);
        lab_json_string(&w->j, "name", name);
        lab_json_string(&w->j, "ph", "C");
        microseconds(&w->j, "ts", e[i].ns - w->r->timeline->begin_ns);
        lab_json_integer(&w->j, "pid", process_of_lock(w, lock));
        lab_json_object(&w->j, "args", true);
        lab_json_integer(&w->j, "threads", waiting);
        lab_json_end_object(&w->j);
        lab_json_end_object(&w->j);
    }
    free(name);
    free(title);
}

static void waiters(struct writer *w) {
    const struct probe_timeline *t = w->r->timeline;
    struct edge *e = lab_alloc(2 * t->span_count + 1, sizeof(*e));
    for (size_t lock = 0; lock < t->lock_count; lock++) {
        size_t n = 0;
        for (size_t i = 0; i < t->span_count; i++) {
            const struct probe_span *s = &t->span[i];
            if (s->state != PROBE_STATE_WAITS || s->lock != (int16_t)lock ||
                s->end_ns <= s->begin_ns)
                continue;
            e[n++] = (struct edge){s->begin_ns, 1};
            e[n++] = (struct edge){s->end_ns, -1};
        }
        count_waiters(w, (int)lock, e, n);
    }
    free(e);
}

static void about(struct writer *w) {
    const struct probe_report *r = w->r;
    struct lab_json *j = &w->j;
    char begin[32];
    out_begin(r, begin);
    lab_json_object(j, "otherData", false);
    lab_json_string(j, "made by", "heddle");
    lab_json_string(j, "repeat", r->repeat);
    if (*begin)
        lab_json_string(j, "begin", begin);
    if (r->verdict_count)
        lab_json_string(j, "verdict", r->verdict[0]);
    lab_json_integer(j, "spans dropped", (long long)r->timeline->spans_dropped);
    lab_json_integer(j, "events lost", (long long)r->timeline->lost);
    lab_json_end_object(j);
}

int probe_write_trace(FILE *f, const struct probe_report *r) {
    const struct probe_timeline *t = r->timeline;
    struct writer w = {.j = {.f = f}, .r = r};
    w.title = lab_alloc(t->thread_count + 1, sizeof(*w.title));
    for (size_t i = 0; i < t->thread_count; i++)
        w.title[i] = probe_thread_title(t, i);
    lab_json_object(&w.j, NULL, false);
    lab_json_string(&w.j, "displayTimeUnit", "ms");
    about(&w);
    lab_json_array(&w.j, "traceEvents", false);
    labels(&w);
    if (out_has_gil(r)) {
        gil_spans(&w);
        waiters(&w);
    }
    thread_spans(&w);
    lab_json_end_array(&w.j);
    lab_json_end_object(&w.j);
    fputc('\n', f);
    for (size_t i = 0; i < t->thread_count; i++)
        free(w.title[i]);
    free(w.title);
    return ferror(f) ? -EIO : 0;
}
