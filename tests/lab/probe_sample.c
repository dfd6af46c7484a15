/* SPDX-License-Identifier: MIT */
/* Reports of programs that never ran: a small simulation fills the timeline as watching would. */
#include "probe_sample.h"

#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "text.h"

const char sample_evil[] = "<script>alert(1)</script>&\"';\\\n,\x01\xff%s";

enum { THREADS_MOST = 64, TALLIES = 6 };

static const uint64_t ms = 1000000, us = 1000;

/* What a thread does: it needs the lock (or a CPU) for so long, then is blocked for so long. */
struct worker {
    uint64_t need_ns, block_ns; /* need 0: it never needs it; block 0: it always needs it */
    uint64_t left_ns, until_ns; /* of its need; the end of its blocking */
    uint64_t since_ns;          /* in its state */
    enum probe_state state;
    uint32_t at[3]; /* where it holds, waits, is blocked */
};

struct sample {
    struct probe_report report;
    struct probe_timeline timeline; /* no more than one has the lock, or the only CPU, at a time */
    struct probe_lock lock;
    struct probe_watch_facts facts;
    struct probe_python_facts python;
    struct probe_means means[PROBE_MEANS_COUNT];
    struct probe_stacks *stacks;
    struct probe_thread thread[THREADS_MOST];
    struct probe_books books[THREADS_MOST];
    struct worker worker[THREADS_MOST];
    struct probe_pair pair[THREADS_MOST];
    struct probe_convoy convoy[2];
    struct lab_pair *machine;
    size_t machine_count;
    struct probe_table table;
    char *words[8];
    uint64_t now;
    size_t holder; /* or THREADS_MOST */
    unsigned random;
    bool gil;
};

static const char *call_name(long number) {
    return number == 232 ? "take_a_nap" : NULL;
}

static unsigned next_random(struct sample *s) {
    s->random = s->random * 1103515245u + 12345u;
    return s->random >> 16 & 0x7fff;
}

static void count(struct probe_histogram *h, uint64_t ns) {
    int i = 0;
    while (i < PROBE_BUCKETS - 1 && ns >> (i + 1))
        i++;
    h->bucket[i]++;
    h->count++;
    h->sum_ns += ns;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

static void add_tally(struct probe_thread *x, struct worker *w, enum probe_state state,
                      uint64_t ns) {
    bool holds = state == PROBE_STATE_HOLDS || state == PROBE_STATE_ON;
    struct probe_tally **list = holds                         ? &x->held
                                : state == PROBE_STATE_WAITS ? &x->waited
                                                              : &x->blocked_on;
    size_t *n = holds                         ? &x->held_count
                : state == PROBE_STATE_WAITS ? &x->waited_count
                                              : &x->blocked_on_count;
    if (!*list)
        *list = lab_alloc(TALLIES, sizeof(**list));
    if (!*n) {
        bool blocked = state == PROBE_STATE_BLOCKED;
        (*list)[(*n)++] = (struct probe_tally){.stack = w->at[holds ? 0 : blocked ? 2 : 1],
                                               .call = blocked ? 232 : -1};
    }
    (*list)->ns += ns * 9 / 10; /* what samples see is less than all */
    (*list)->count += ns / ms;
}

static void add_span(struct sample *s, size_t i, uint64_t from, enum probe_state state) {
    struct probe_timeline *t = &s->timeline;
    struct worker *w = &s->worker[i];
    t->span = lab_grow_one(t->span, t->span_count, sizeof(*t->span));
    int place = state == PROBE_STATE_WAITS ? 1 : state == PROBE_STATE_BLOCKED ? 2 : 0;
    bool on = state == PROBE_STATE_HOLDS || state == PROBE_STATE_ON;
    t->span[t->span_count++] = (struct probe_span){from, s->now, (uint32_t)i, (uint8_t)state,
                                                   on ? (int16_t)(i % 2) : (int16_t)-1,
                                                   w->at[place], 0};
}

/* The thread enters a state: what it leaves is written down. */
static void enter(struct sample *s, size_t i, enum probe_state state) {
    struct worker *w = &s->worker[i];
    struct probe_thread *x = &s->thread[i];
    uint64_t ns = s->now - w->since_ns;
    if (w->state != PROBE_STATE_NONE && ns > 0) {
        x->state_ns[w->state] += ns;
        if (w->state == PROBE_STATE_HOLDS)
            count(&x->hold, ns);
        if (w->state == PROBE_STATE_WAITS) {
            count(&x->wait, ns);
            if (ns > x->worst_wait_ns) {
                x->worst_wait_ns = ns;
                x->worst_wait_at_ns = w->since_ns;
                x->worst_wait_holder = s->thread[i ? 0 : 1].tid;
            }
        }
        if (w->state == PROBE_STATE_BLOCKED)
            count(&x->blocked, ns);
        if (w->state == PROBE_STATE_RUNNABLE)
            count(&x->runnable, ns);
        add_tally(x, w, w->state, ns);
        add_span(s, i, w->since_ns, w->state);
        x->voluntary += state == PROBE_STATE_BLOCKED || state == PROBE_STATE_WAITS;
        x->preempted += state == PROBE_STATE_RUNNABLE;
    }
    w->since_ns = s->now;
    w->state = state;
}

/* Who has the lock lets go, and one of those that wait takes it. */
static void hand_over(struct sample *s) {
    size_t n = s->timeline.thread_count, from = s->holder, chosen = THREADS_MOST;
    uint64_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t waited = s->now - s->worker[i].since_ns + 1 + next_random(s) % us;
        bool waits = s->worker[i].state == (s->gil ? PROBE_STATE_WAITS : PROBE_STATE_RUNNABLE);
        if (waits && waited > longest) {
            longest = waited;
            chosen = i;
        }
    }
    s->holder = chosen;
    if (chosen == THREADS_MOST)
        return;
    if (from != chosen && from < THREADS_MOST) {
        s->lock.takes++;
        s->thread[chosen].takes++;
    }
    enter(s, chosen, s->gil ? PROBE_STATE_HOLDS : PROBE_STATE_ON);
}

static void step(struct sample *s, uint64_t ns) {
    enum probe_state wait = s->gil ? PROBE_STATE_WAITS : PROBE_STATE_RUNNABLE;
    s->now += ns;
    for (size_t i = 0; i < s->timeline.thread_count; i++) {
        struct worker *w = &s->worker[i];
        if (w->state == PROBE_STATE_BLOCKED && w->need_ns && s->now >= w->until_ns) {
            w->left_ns = w->need_ns;
            enter(s, i, wait);
        }
    }
    if (s->holder == THREADS_MOST) {
        hand_over(s);
        return;
    }
    struct worker *w = &s->worker[s->holder];
    bool over = w->block_ns && w->left_ns <= ns;
    w->left_ns -= over ? 0 : w->block_ns ? ns : 0;
    if (over) {
        w->until_ns = s->now + w->block_ns * (500 + next_random(s) % 1000) / 1000;
        enter(s, s->holder, PROBE_STATE_BLOCKED);
        hand_over(s);
    } else if (s->now - w->since_ns >= 5 * ms + next_random(s) % 90 * us) {
        s->lock.forced++;
        s->thread[s->holder].forced_from++;
        enter(s, s->holder, wait);
        hand_over(s);
    }
}

static uint32_t push(struct sample *s, uint32_t outer, const char *function, const char *file,
                     int line) {
    struct probe_frame f = {function, file, line, 0};
    return probe_stacks_push(s->stacks, outer, &f);
}

static void add_thread(struct sample *s, const char *name, uint64_t need, uint64_t block,
                       const char *function, int line) {
    const char *file = "/srv/shop/app.py";
    size_t i = s->timeline.thread_count++;
    struct worker *w = &s->worker[i];
    s->thread[i] = (struct probe_thread){.tid = 4242 + (int)i, .pid = 4242, .name = lab_copy(name)};
    s->books[i] = (struct probe_books){true, 900 * ms, 25 * ms, 40 * ms};
    if (i > 0) {
        s->thread[i].parent = 4242;
        s->thread[i].born_ns = s->timeline.begin_ns + i * ms;
        s->thread[i].first_ns = s->thread[i].born_ns + 60 * us;
    }
    *w = (struct worker){need, block, need, 0, s->now, PROBE_STATE_NONE, {0}};
    uint32_t outer = push(s, 0, i ? "Thread.run" : "<module>",
                          i ? "/usr/lib/python3.11/threading.py" : file, i ? 975 : 88);
    w->at[0] = w->at[1] = push(s, outer, function, file, line);
    w->at[2] = push(s, w->at[0], "socket.recv", "/usr/lib/python3.11/socket.py", 706);
    enter(s, i, PROBE_STATE_BLOCKED);
}

static void words(struct sample *s, bool evil) {
    static const char *const gil[] = {
        "Two CPU-bound threads take turns every 5.0 ms; the GIL was taken 99.8 % of the time.",
        "Thread io waited 71 % of the time, mostly behind worker-1.",
        "Put the work of price() into processes, or into an extension that releases the GIL.",
        "Shares by line are estimates from samples, one each millisecond."};
    for (size_t i = 0; i < 4; i++)
        s->words[i] = lab_copy(evil ? sample_evil : gil[i]);
    s->report.verdict = s->words;
    s->report.verdict_count = s->gil ? 2 : 0;
    s->report.advice = s->words + 2;
    s->report.advice_count = s->gil ? 1 : 0;
    s->report.notes = s->words + 3;
    s->report.note_count = 1;
}

static void sources(struct sample *s) {
    static const char *const names[PROBE_MEANS_COUNT] = {
        "watchpoint", "switches", "tasks", "looks", "stacks", "native", "preload", "tracefs"};
    for (size_t i = 0; i < PROBE_MEANS_COUNT; i++) {
        s->means[i] = (struct probe_means){names[i], i < 5, lab_copy(
            i < 5 ? "each hand-over, from the kernel" : "not asked for (--native)")};
    }
    s->facts = (struct probe_watch_facts){
        .begin_ns = s->timeline.begin_ns,
        .end_ns = s->timeline.end_ns,
        .begin_real_ns = UINT64_C(1795320000000000000),
        .number_first = 100,
        .number_last = 100 + s->lock.takes,
        .takes = s->lock.takes,
        .looks = 4000,
        .looks_torn = 3,
        .attach_s = 0.021};
    s->python = (struct probe_python_facts){3, 11, 2, false, true, true, 5000,
                                            "/usr/bin/python3.11", "symbols, offsets of 3.11"};
    lab_pairs_add(&s->machine, &s->machine_count, "cpu", "Example CPU", false);
    lab_pairs_add(&s->machine, &s->machine_count, "cpus", "2", true);
    lab_pairs_add(&s->machine, &s->machine_count, "kernel", "6.1.0", false);
    struct probe_report *r = &s->report;
    r->stacks = s->stacks;
    r->timeline = &s->timeline;
    r->means = s->means;
    r->facts = &s->facts;
    r->python = s->gil ? &s->python : NULL;
    r->books = s->books;
    r->machine = s->machine;
    r->machine_count = s->machine_count;
}

/* Who waited for whom, as finishing a timeline finds it. */
static void relations(struct sample *s) {
    struct probe_timeline *t = &s->timeline;
    for (size_t i = 0; s->gil && i + 1 < t->thread_count && i < THREADS_MOST; i++) {
        uint64_t waited = s->thread[i].state_ns[PROBE_STATE_WAITS];
        if (waited)
            s->pair[t->pair_count++] = (struct probe_pair){i, i + 1, waited, s->thread[i].takes};
    }
    t->pair = s->pair;
    if (s->gil && t->thread_count > 3) {
        s->convoy[0] = (struct probe_convoy){3, 1, 190, 80 * us, 9 * ms};
        t->convoy = s->convoy;
        t->convoy_count = 1;
    }
}

static void table(struct sample *s, const char *text) {
    static const struct probe_column columns[] = {
        {"type", "type", NULL}, {"count", "samples", "count"}, {"time", "time", "ns"}};
    static const char *cells[6];
    cells[0] = text;
    cells[1] = "416";
    cells[2] = "1500000";
    cells[3] = "list";
    cells[4] = NULL;
    cells[5] = "99";
    s->table = (struct probe_table){"contended", "Contended objects", "By samples.", columns, 3, 2,
                                    cells};
    s->report.table = &s->table;
    s->report.table_count = 1;
}

void sample_go_on(struct sample *s, uint64_t ns) {
    for (uint64_t end = s->now + ns; s->now < end;)
        step(s, s->timeline.thread_count > 10 ? 60 * us : 20 * us);
    for (size_t i = 0; i < s->timeline.thread_count; i++)
        enter(s, i, s->worker[i].state);
    s->timeline.end_ns = s->now;
}

static int by_begin(const void *a, const void *b) {
    const struct probe_span *x = a, *y = b;
    return (x->begin_ns > y->begin_ns) - (x->begin_ns < y->begin_ns);
}

static void people(struct sample *s, enum sample_kind kind) {
    if (kind == SAMPLE_MANY) {
        for (int i = 0; i < 40; i++) {
            char *name = lab_format("pool-%d", i);
            add_thread(s, name, 300 * us + 40 * us * (unsigned)i, 30 * ms, "handle", 100 + i);
            free(name);
        }
    } else if (kind == SAMPLE_EVIL) {
        for (int i = 0; i < 4; i++)
            add_thread(s, sample_evil, 2 * ms, i * ms, sample_evil, 7);
    } else if (kind != SAMPLE_EMPTY) {
        add_thread(s, "python3", 0, 1, "<module>", 91);
        add_thread(s, "worker-1", 4000 * ms, 0, "price", 17);
        add_thread(s, "worker-2", 4000 * ms, 0, "price", 21);
        add_thread(s, "io", 80 * us, 4 * ms, "echo", 40);
    }
}

struct sample *sample_make(enum sample_kind kind) {
    static char *const target[] = {"python3", "app.py", "--shop name", NULL};
    struct sample *s = lab_alloc(1, sizeof(*s));
    struct probe_timeline *t = &s->timeline;
    s->gil = kind != SAMPLE_THREADS;
    s->random = 7;
    s->holder = THREADS_MOST;
    s->stacks = probe_stacks_new(10000);
    s->now = t->begin_ns = UINT64_C(5000000000);
    t->thread = s->thread;
    t->lock = &s->lock;
    t->lock_count = s->gil && kind != SAMPLE_EMPTY;
    s->lock.interval_us = 5000;
    s->report = (struct probe_report){
        .command = s->gil ? "gil" : "threads",
        .repeat = "heddle gil -- python3 app.py '--shop name'",
        .target = target,
        .program = "/usr/bin/python3.11",
        .pid = 4242,
        .call_name = call_name,
        .ended = "the program ended (status 0)"};
    people(s, kind);
    t->end_ns = s->now;
    if (t->thread_count)
        sample_go_on(s, kind == SAMPLE_MANY ? 30000 * ms : 4000 * ms);
    if (kind == SAMPLE_MANY)
        t->spans_dropped = 123456;
    for (size_t i = 0; i < t->thread_count; i++)
        s->lock.waiters_ns += s->thread[i].state_ns[PROBE_STATE_WAITS];
    for (size_t i = 0; i < t->thread_count; i++)
        s->lock.held_ns += s->thread[i].state_ns[PROBE_STATE_HOLDS];
    s->lock.free_ns = t->end_ns - t->begin_ns - s->lock.held_ns;
    s->lock.looks = 4000;
    s->lock.looks_locked = 3990;
    if (t->span_count)
        qsort(t->span, t->span_count, sizeof(*t->span), by_begin);
    words(s, kind == SAMPLE_EVIL);
    sources(s);
    relations(s);
    if (kind == SAMPLE_EVIL)
        table(s, sample_evil);
    else if (kind == SAMPLE_GIL)
        table(s, "dict");
    return s;
}

void sample_free(struct sample *s) {
    for (size_t i = 0; i < s->timeline.thread_count; i++) {
        free(s->thread[i].name);
        free(s->thread[i].held);
        free(s->thread[i].waited);
        free(s->thread[i].blocked_on);
    }
    for (size_t i = 0; i < PROBE_MEANS_COUNT; i++)
        free(s->means[i].why);
    for (size_t i = 0; i < sizeof(s->words) / sizeof(s->words[0]); i++)
        free(s->words[i]);
    for (size_t i = 0; i < s->machine_count; i++) {
        free(s->machine[i].key);
        free(s->machine[i].value);
    }
    free(s->machine);
    free(s->timeline.span);
    probe_stacks_free(s->stacks);
    free(s);
}

const struct probe_report *sample_report(const struct sample *s) {
    return &s->report;
}

struct probe_timeline *sample_timeline(struct sample *s) {
    return &s->timeline;
}
