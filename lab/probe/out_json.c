/* SPDX-License-Identifier: MIT */
/* A probe's report as JSON: everything, times in whole nanoseconds, moments since the beginning. */
#include "probe/mutex.h"
#include "probe/out.h"

#include <errno.h>
#include <stdlib.h>

#include "report/json_run.h"

enum { VERSION = 1 };

static void integer(struct lab_json *j, const char *key, uint64_t value) {
    lab_json_integer(j, key, (long long)value);
}

/* Moments before we came count as none: what is 0 stays away. */
static void moment(struct lab_json *j, const char *key, const struct probe_timeline *t,
                   uint64_t ns) {
    if (ns)
        lab_json_integer(j, key, (long long)(ns - t->begin_ns));
    else
        lab_json_literal(j, key, "null");
}

static void texts(struct lab_json *j, const char *key, char *const *text, size_t count) {
    lab_json_array(j, key, false);
    for (size_t i = 0; i < count; i++)
        lab_json_string(j, NULL, text[i]);
    lab_json_end_array(j);
}

static void head(struct lab_json *j, const struct probe_report *r) {
    const struct probe_timeline *t = r->timeline;
    char begin[32];
    out_begin(r, begin);
    lab_json_string(j, "schema", "heddle-probe");
    lab_json_integer(j, "version", VERSION);
    lab_json_string(j, "command", r->command);
    lab_json_string(j, "repeat", r->repeat);
    size_t words = 0;
    while (r->target && r->target[words])
        words++;
    texts(j, "target", r->target, words);
    lab_json_string(j, "program", r->program);
    lab_json_integer(j, "pid", r->pid);
    lab_json_string(j, "ended", r->ended);
    lab_json_string(j, "begin", *begin ? begin : NULL);
    integer(j, "duration_ns", t->end_ns - t->begin_ns);
}

static void python(struct lab_json *j, const struct probe_python_facts *p) {
    if (!p) {
        lab_json_literal(j, "python", "null");
        return;
    }
    char version[48];
    snprintf(version, sizeof(version), p->micro < 0 ? "%d.%d" : "%d.%d.%d", p->major, p->minor,
             p->micro);
    lab_json_object(j, "python", true);
    lab_json_string(j, "version", version);
    lab_json_bool(j, "free_threaded", p->free_threaded);
    lab_json_bool(j, "stacks", p->stacks);
    integer(j, "switch_interval_us", p->switch_interval_us);
    lab_json_string(j, "file", p->file);
    lab_json_string(j, "how", p->how);
    lab_json_end_object(j);
}

static void means(struct lab_json *j, const struct probe_means *m) {
    lab_json_array(j, "means", false);
    for (size_t i = 0; m && i < PROBE_MEANS_COUNT; i++) {
        if (!m[i].name)
            continue;
        lab_json_object(j, NULL, true);
        lab_json_string(j, "name", m[i].name);
        lab_json_bool(j, "used", m[i].used);
        lab_json_string(j, "why", m[i].why);
        lab_json_end_object(j);
    }
    lab_json_end_array(j);
}

static void facts(struct lab_json *j, const struct probe_report *r) {
    const struct probe_timeline *t = r->timeline;
    const struct probe_watch_facts *x = r->facts;
    lab_json_object(j, "counts", true);
    integer(j, "events_lost", t->lost);
    integer(j, "spans_dropped", t->spans_dropped);
    integer(j, "threads_dropped", t->threads_dropped);
    integer(j, "frames_dropped", r->stacks ? probe_stacks_lost(r->stacks) : 0);
    integer(j, "pauses", t->pauses);
    integer(j, "pause_ns", t->pause_ns);
    if (x) {
        integer(j, "switch_number_first", x->number_first);
        integer(j, "switch_number_last", x->number_last);
        integer(j, "takes_watched", x->takes);
        integer(j, "samples", x->looks);
        integer(j, "samples_torn", x->looks_torn);
        lab_json_number(j, "attach_s", x->attach_s);
    }
    lab_json_end_object(j);
}

static void locks(struct lab_json *j, const struct probe_timeline *t) {
    lab_json_array(j, "locks", false);
    for (size_t i = 0; i < t->lock_count; i++) {
        const struct probe_lock *k = &t->lock[i];
        lab_json_object(j, NULL, true);
        integer(j, "takes", k->takes);
        integer(j, "pid", (uint64_t)k->pid);
        if (k->forced_known)
            integer(j, "forced", k->forced);
        else
            lab_json_string(j, "forced", NULL);
        integer(j, "interval_us", k->interval_us);
        integer(j, "interval_least_us", k->interval_least_us);
        integer(j, "interval_most_us", k->interval_most_us);
        integer(j, "held_ns", k->held_ns);
        integer(j, "free_ns", k->free_ns);
        integer(j, "waiters_ns", k->waiters_ns);
        integer(j, "samples", k->looks);
        integer(j, "samples_taken", k->looks_locked);
        lab_json_bool(j, "exact", k->exact);
        lab_json_bool(j, "held_by_samples", k->by_samples);
        lab_json_end_object(j);
    }
    lab_json_end_array(j);
}

/* Buckets as pairs of their lower bound and their count; empty ones are left out. */
static void histogram(struct lab_json *j, const char *key, const struct probe_histogram *h) {
    lab_json_object(j, key, true);
    integer(j, "count", h->count);
    integer(j, "sum_ns", h->sum_ns);
    integer(j, "max_ns", h->max_ns);
    integer(j, "p50_ns", out_quantile(h, 0.5));
    integer(j, "p90_ns", out_quantile(h, 0.9));
    integer(j, "p99_ns", out_quantile(h, 0.99));
    lab_json_array(j, "buckets", true);
    for (size_t i = 0; i < PROBE_BUCKETS; i++) {
        if (!h->bucket[i])
            continue;
        lab_json_array(j, NULL, true);
        integer(j, NULL, i == 0 ? 0 : UINT64_C(1) << i);
        integer(j, NULL, h->bucket[i]);
        lab_json_end_array(j);
    }
    lab_json_end_array(j);
    lab_json_end_object(j);
}

static void tallies(struct lab_json *j, const char *key, const struct probe_report *r,
                    const struct probe_tally *y, size_t count) {
    lab_json_array(j, key, false);
    for (size_t i = 0; i < count; i++) {
        char futex[32];
        snprintf(futex, sizeof(futex), "0x%llx", (unsigned long long)y[i].futex);
        struct lab_text at = {0};
        if (y[i].stack && r->stacks)
            out_frame(&at, probe_stacks_frame(r->stacks, y[i].stack));
        lab_json_object(j, NULL, true);
        integer(j, "stack", y[i].stack);
        lab_json_string(j, "at", at.data);
        if (y[i].call >= 0) {
            lab_json_integer(j, "call", y[i].call);
            lab_json_string(j, "call_name", out_call_name(r, y[i].call));
        }
        if (y[i].futex)
            lab_json_string(j, y[i].mutex ? "lock" : "futex", futex);
        if (y[i].mutex)
            lab_json_string(j, "lock_kind",
                            probe_mutex_word((enum probe_mutex_kind)y[i].mutex));
        integer(j, "ns", y[i].ns);
        integer(j, "samples", y[i].count);
        lab_json_end_object(j);
        lab_text_free(&at);
    }
    lab_json_end_array(j);
}

static void books(struct lab_json *j, const struct probe_books *b) {
    if (!b || !b->known)
        return;
    lab_json_object(j, "kernel", true);
    integer(j, "user_ns", b->user_ns);
    integer(j, "system_ns", b->system_ns);
    integer(j, "delay_ns", b->delay_ns);
    lab_json_end_object(j);
}

static void thread(struct lab_json *j, const struct probe_report *r, size_t index) {
    const struct probe_timeline *t = r->timeline;
    const struct probe_thread *x = &t->thread[index];
    char *title = probe_thread_title(t, index);
    lab_json_object(j, NULL, false);
    lab_json_integer(j, "tid", x->tid);
    lab_json_integer(j, "pid", x->pid);
    lab_json_integer(j, "parent", x->parent);
    lab_json_string(j, "name", x->name);
    lab_json_string(j, "title", title);
    free(title);
    moment(j, "born_ns", t, x->born_ns);
    moment(j, "first_run_ns", t, x->first_ns);
    moment(j, "end_ns", t, x->end_ns);
    integer(j, "lifetime_ns", out_lifetime_ns(t, x));
    lab_json_object(j, "state_ns", true);
    for (int s = PROBE_STATE_HOLDS; s < PROBE_STATES; s++)
        integer(j, out_state_id((enum probe_state)s), x->state_ns[s]);
    lab_json_end_object(j);
    integer(j, "voluntary_switches", x->voluntary);
    integer(j, "preemptions", x->preempted);
    integer(j, "migrations", x->migrations);
    books(j, r->books ? &r->books[index] : NULL);
    integer(j, "takes", x->takes);
    integer(j, "forced_from", x->forced_from);
    integer(j, "forced_by", x->forced_by);
    histogram(j, "hold", &x->hold);
    histogram(j, "wait", &x->wait);
    histogram(j, "runnable", &x->runnable);
    histogram(j, "blocked", &x->blocked);
    if (x->worst_wait_ns) {
        lab_json_object(j, "worst_wait", true);
        integer(j, "ns", x->worst_wait_ns);
        moment(j, "at_ns", t, x->worst_wait_at_ns);
        lab_json_integer(j, "holder", x->worst_wait_holder);
        lab_json_end_object(j);
    }
    tallies(j, "held_at", r, x->held, x->held_count);
    tallies(j, "waited_at", r, x->waited, x->waited_count);
    tallies(j, "blocked_at", r, x->blocked_on, x->blocked_on_count);
    lab_json_end_object(j);
}

static void pairs(struct lab_json *j, const struct probe_timeline *t) {
    lab_json_array(j, "waits", false);
    for (size_t i = 0; i < t->pair_count; i++) {
        lab_json_object(j, NULL, true);
        lab_json_integer(j, "waiter", t->thread[t->pair[i].waiter].tid);
        lab_json_integer(j, "holder", t->thread[t->pair[i].holder].tid);
        integer(j, "ns", t->pair[i].ns);
        integer(j, "count", t->pair[i].count);
        lab_json_end_object(j);
    }
    lab_json_end_array(j);
    lab_json_array(j, "convoys", false);
    for (size_t i = 0; i < t->convoy_count; i++) {
        const struct probe_convoy *c = &t->convoy[i];
        lab_json_object(j, NULL, true);
        lab_json_integer(j, "waiter", t->thread[c->waiter].tid);
        lab_json_integer(j, "holder", t->thread[c->holder].tid);
        integer(j, "times", c->times);
        integer(j, "need_ns", c->need_ns);
        integer(j, "wait_ns", c->wait_ns);
        lab_json_end_object(j);
    }
    lab_json_end_array(j);
}

static void tables(struct lab_json *j, const struct probe_report *r) {
    lab_json_object(j, "tables", false);
    for (size_t i = 0; i < r->table_count; i++) {
        const struct probe_table *t = &r->table[i];
        lab_json_array(j, t->id, false);
        for (size_t row = 0; row < t->rows; row++) {
            lab_json_object(j, NULL, true);
            for (size_t c = 0; c < t->columns; c++) {
                const char *cell = t->cell[row * t->columns + c];
                char *end = NULL;
                double number = cell && t->column[c].unit ? strtod(cell, &end) : 0;
                if (end && end != cell && *end == '\0')
                    lab_json_number(j, t->column[c].id, number);
                else
                    lab_json_string(j, t->column[c].id, cell);
            }
            lab_json_end_object(j);
        }
        lab_json_end_array(j);
    }
    lab_json_end_object(j);
}

static void stacks(struct lab_json *j, const struct probe_report *r) {
    struct out_nodes nodes = {0};
    out_nodes_add_all(&nodes, r, 0);
    lab_json_array(j, "frames", false);
    for (size_t i = 1; i < nodes.room; i++) {
        if (!nodes.has[i])
            continue;
        const struct probe_frame *f = probe_stacks_frame(r->stacks, (uint32_t)i);
        lab_json_object(j, NULL, true);
        integer(j, "stack", i);
        integer(j, "outer", probe_stacks_outer(r->stacks, (uint32_t)i));
        lab_json_string(j, "function", f->function);
        lab_json_string(j, "file", f->file);
        lab_json_integer(j, "line", f->line);
        if (f->op >= 0)
            lab_json_integer(j, "op", f->op);
        lab_json_end_object(j);
    }
    lab_json_end_array(j);
    free(nodes.has);
}

static void spans(struct lab_json *j, const struct probe_timeline *t) {
    static const char *const fields[] = {"begin_ns", "end_ns", "tid", "state",
                                         "cpu",      "stack",  "gil"};
    lab_json_array(j, "span_fields", true);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        lab_json_string(j, NULL, fields[i]);
    lab_json_end_array(j);
    lab_json_array(j, "spans", false);
    for (size_t i = 0; i < t->span_count; i++) {
        const struct probe_span *s = &t->span[i];
        lab_json_array(j, NULL, true);
        integer(j, NULL, s->begin_ns - t->begin_ns);
        integer(j, NULL, s->end_ns - t->begin_ns);
        lab_json_integer(j, NULL, t->thread[s->thread].tid);
        lab_json_string(j, NULL, out_state_id((enum probe_state)s->state));
        lab_json_integer(j, NULL, s->cpu);
        integer(j, NULL, s->stack);
        bool has = s->state >= PROBE_STATE_HOLDS && s->state <= PROBE_STATE_WAITS;
        lab_json_integer(j, NULL, has ? s->lock : -1);
        lab_json_end_array(j);
    }
    lab_json_end_array(j);
}

int probe_write_json(FILE *f, const struct probe_report *r) {
    struct lab_json j = {.f = f};
    lab_json_object(&j, NULL, false);
    head(&j, r);
    texts(&j, "verdict", r->verdict, r->verdict_count);
    texts(&j, "advice", r->advice, r->advice_count);
    texts(&j, "notes", r->notes, r->note_count);
    python(&j, r->python);
    means(&j, r->means);
    facts(&j, r);
    locks(&j, r->timeline);
    lab_json_array(&j, "threads", false);
    for (size_t i = 0; i < r->timeline->thread_count; i++)
        thread(&j, r, i);
    lab_json_end_array(&j);
    pairs(&j, r->timeline);
    tables(&j, r);
    stacks(&j, r);
    spans(&j, r->timeline);
    lab_json_pairs(&j, "machine", r->machine, r->machine_count, false);
    lab_json_end_object(&j);
    fputc('\n', f);
    return ferror(f) ? -EIO : 0;
}
