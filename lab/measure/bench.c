/* SPDX-License-Identifier: MIT */
/* Benchmarks of commands.
 *
 * As with the experiments, rounds come in pairs, the second in the reverse order of the first, so
 * that a machine which slows down or speeds up treats all alike. That needs all commands to be
 * ready at once: what is to happen once before a command's runs happens for every command before
 * the first round. Where that cannot be, since the commands share a place, `one_by_one` gives up
 * the turns, and each command is a campaign of its own. */
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../experiment.h"
#include "../message.h"
#include "../record.h"
#include "../report/format.h"
#include "../stat/stat.h"
#include "../subject/command.h"
#include "../subject/interrupt.h"
#include "../subject/words.h"
#include "../text.h"

/* The launches of an item, in this order. */
enum { RUN, SETUP, PREPARE, CLEANUP, LAUNCHES };

/* What is known of an item while it runs. The last one may be the shell alone. */
struct state {
    struct lab_usage *usages;
    size_t count;
    bool begun; /* its setup, if any: then there may be something to clean up */
    bool dropped;
    double spent_s; /* of its runs that count */
};

struct runner {
    const struct lab_bench *b;
    struct lab_run *run;
    struct lab_launcher launcher;
    struct lab_launch *launches; /* LAUNCHES for each state */
    struct state *states;
    size_t state_count;
    size_t *order;
    uint64_t random;
    char doing[80]; /* for the line of progress */
};

/* The line of progress; again and again while something runs for long. */
static void show(void *arg) {
    const struct runner *r = arg;
    lab_progress("%s", r->doing);
}

static void do_now(struct runner *r, const char *format, ...) LAB_PRINTF(2, 3);
static void do_now(struct runner *r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(r->doing, sizeof(r->doing), format, args);
    va_end(args);
    lab_make_printable(r->doing);
    show(r);
}

static const char *name_of(const struct runner *r, size_t i) {
    return i < r->b->item_count ? r->b->items[i].name : "the shell alone";
}

static void drop(struct runner *r, size_t i, const char *what, const char *reason) {
    char *whole = lab_format("%s%s%s", what, *what ? ": " : "", reason);
    r->states[i].dropped = true;
    if (!r->b->failures_later || i >= r->b->item_count)
        lab_complain("%s: %s", name_of(r, i), whole);
    if (i < r->b->item_count)
        lab_run_fail(r->run, LAB_BENCH_EXPERIMENT, "", name_of(r, i), whole);
    free(whole);
}

/* A command that a shell runs cannot fail to start: that is the shell. Each command says so; the
 * shell alone need not. */
static void drop_for_shell(struct runner *r, size_t i, const char *reason) {
    const char *shell = r->launches[i * LAUNCHES + RUN].argv[0];
    char *what = lab_format("the shell '%s'", shell);
    r->states[i].dropped = true;
    if (i < r->b->item_count)
        drop(r, i, what, reason);
    free(what);
}

/* Runs a launch, and drops the item if it fails; true if it is good. */
static bool launch(struct runner *r, size_t i, int which, const char *what,
                   struct lab_usage *usage) {
    const struct lab_launch *l = &r->launches[i * LAUNCHES + (size_t)which];
    lab_launcher_run(&r->launcher, i * LAUNCHES + (size_t)which, usage);
    if (usage->end == LAB_PROCESS_INTERRUPTED)
        return false;
    char *reason = lab_usage_reason(usage, l->timeout_s);
    if (reason && which == RUN && usage->end == LAB_PROCESS_EXITED) {
        if (r->b->ignore_failure) {
            free(reason);
            return true;
        }
        char *hint = lab_format("%s (--ignore-failure takes it; --output inherit shows what it "
                                "says)",
                                reason);
        free(reason);
        reason = hint;
    }
    bool shell = r->b->shell_alone && which == RUN && usage->end == LAB_PROCESS_NOT_STARTED;
    if (reason && shell)
        drop_for_shell(r, i, reason);
    else if (reason)
        drop(r, i, what, reason);
    free(reason);
    return !r->states[i].dropped;
}

/* One of the command lines around an item; false if it failed. */
static bool around(struct runner *r, size_t i, int which, const char *what) {
    struct lab_usage usage;
    if (!r->launches[i * LAUNCHES + (size_t)which].argv)
        return true;
    return launch(r, i, which, what, &usage);
}

static void keep(struct state *s, const struct lab_usage *usage) {
    s->usages = lab_grow_one(s->usages, s->count, sizeof(*s->usages));
    s->usages[s->count++] = *usage;
    s->spent_s += usage->wall_s;
}

static void run_one(struct runner *r, size_t i, bool counts) {
    struct lab_usage usage;
    if (r->states[i].dropped || !around(r, i, PREPARE, "--prepare"))
        return;
    if (launch(r, i, RUN, "", &usage) && counts)
        keep(&r->states[i], &usage);
}

/* How much of the work is done, in [0, 1]. */
static double share_done(const struct runner *r, size_t begin, size_t end, unsigned round) {
    const struct lab_bench *b = r->b;
    double spent_s = 0, going = 0;
    if (b->runs)
        return (double)round / (double)b->runs;
    for (size_t i = begin; i < end; i++) {
        spent_s += r->states[i].spent_s;
        going += r->states[i].dropped ? 0 : 1;
    }
    if (going == 0)
        return 1;
    double by_time = b->seconds > 0 ? spent_s / (going * b->seconds) : 1;
    double by_count = (double)round / (double)b->min_runs;
    double share = by_time < by_count ? by_time : by_count;
    if (b->max_runs && (double)round / (double)b->max_runs > share)
        share = (double)round / (double)b->max_runs;
    return share > 1 ? 1 : share;
}

/* Rounds over the items [begin, end), and over the shell alone, until there is enough. */
static void rounds(struct runner *r, size_t begin, size_t end) {
    size_t n = end - begin, *order = r->order;
    for (unsigned round = 0; !lab_interrupt_signal(); round++) {
        double share = share_done(r, begin, end, round);
        bool pair_done = round % 2 == 0 || r->b->runs || n == 1;
        if ((share >= 1 && pair_done) || (r->b->max_runs && round >= r->b->max_runs))
            break;
        if (round % 2 == 0)
            lab_stat_permutation(order, n, &r->random);
        for (size_t k = 0; k < n && !lab_interrupt_signal(); k++) {
            size_t i = begin + order[round % 2 == 0 ? k : n - 1 - k];
            do_now(r, "run %u, %.0f %%: %s", round + 1, share * 100, name_of(r, i));
            run_one(r, i, true);
        }
        if (r->state_count > r->b->item_count && !lab_interrupt_signal())
            run_one(r, r->b->item_count, true);
    }
}

/* Everything for the items [begin, end), from what happens once before to what happens after;
 * the latter also after Ctrl-C. */
static void campaign(struct runner *r, size_t begin, size_t end) {
    for (size_t i = begin; i < end && !lab_interrupt_signal(); i++) {
        r->states[i].begun = true;
        if (r->b->items[i].setup)
            do_now(r, "--setup: %s", r->b->items[i].setup);
        around(r, i, SETUP, "--setup");
    }
    for (unsigned w = 0; w < r->b->warmup; w++) {
        for (size_t i = begin; i < end && !lab_interrupt_signal(); i++) {
            do_now(r, "warm-up run %u of %u: %s", w + 1, r->b->warmup, name_of(r, i));
            run_one(r, i, false);
        }
    }
    rounds(r, begin, end);
    for (size_t i = begin; i < end; i++) {
        if (!r->states[i].begun)
            continue;
        if (r->b->items[i].cleanup)
            do_now(r, "--cleanup: %s", r->b->items[i].cleanup);
        around(r, i, CLEANUP, "--cleanup");
    }
}

/* ---- the launches ---- */

static char **shell_words(const char *line) {
    if (!line)
        return NULL;
    char **argv = lab_alloc(4, sizeof(*argv));
    argv[0] = lab_copy("/bin/sh");
    argv[1] = lab_copy("-c");
    argv[2] = lab_copy(line);
    return argv;
}

static void make_launches(struct runner *r) {
    const struct lab_bench *b = r->b;
    for (size_t i = 0; i < r->state_count; i++) {
        struct lab_launch *l = &r->launches[i * LAUNCHES];
        bool item = i < b->item_count;
        char *const *argv = item ? b->items[i].argv : b->shell_alone;
        l[RUN] = (struct lab_launch){argv, b->in, b->out, b->err, b->timeout_s, false, false};
        for (int k = SETUP; item && k < LAUNCHES; k++) {
            const struct lab_bench_item *it = &b->items[i];
            const char *lines[LAUNCHES] = {NULL, it->setup, it->prepare, it->cleanup};
            /* What it says stays visible: it is not measured, and a mistake in it is the user's.
             * A server that it started stays too. */
            l[k] = (struct lab_launch){.argv = shell_words(lines[k]),
                                       .in = b->in,
                                       .out = 2,
                                       .err = 2,
                                       .timeout_s = b->timeout_s,
                                       .leave_remains = true,
                                       .steady = k == CLEANUP};
        }
    }
}

static void free_launches(struct runner *r) {
    for (size_t i = 0; i < r->state_count * LAUNCHES; i++) {
        if (i % LAUNCHES != RUN)
            lab_words_free((char **)r->launches[i].argv);
    }
    free(r->launches);
}

/* ---- results ---- */

static double value_of(const struct lab_usage *u, size_t metric) {
    const double values[] = {u->wall_s,
                             u->user_s,
                             u->sys_s,
                             u->max_rss_bytes,
                             u->minor_faults,
                             u->major_faults,
                             u->voluntary_switches,
                             u->involuntary_switches};
    return values[metric];
}

static void add_result(struct runner *r, size_t i, size_t metric) {
    const struct lab_experiment *e = lab_experiment_find(LAB_BENCH_EXPERIMENT);
    const struct lab_metric *m = &e->metrics[metric];
    const struct lab_bench_item *item = &r->b->items[i];
    const struct state *s = &r->states[i];
    struct lab_result *x = lab_run_add(r->run);
    x->experiment = lab_copy(e->name);
    x->variant = lab_copy("");
    x->subject = lab_copy(item->name);
    x->metric = lab_copy(m->name);
    x->unit = lab_copy(m->unit);
    x->better = m->better;
    x->primary = m->primary;
    x->per_thing = m->per_thing;
    for (size_t k = 0; k < item->param_count; k++) {
        const struct lab_pair *p = &item->params[k];
        lab_pairs_add(&x->params, &x->param_count, p->key, p->value, p->number);
    }
    x->n = s->count;
    x->samples = lab_alloc(x->n, sizeof(*x->samples));
    x->processes = lab_alloc(x->n, sizeof(*x->processes));
    for (size_t k = 0; k < x->n; k++) {
        x->samples[k] = value_of(&s->usages[k], metric);
        x->processes[k].values = lab_alloc(1, sizeof(double));
        x->processes[k].values[0] = x->samples[k];
        x->processes[k].count = 1;
    }
    struct lab_interval interval = lab_stat_interval95(x->samples, x->n);
    x->median = lab_stat_median(x->samples, x->n);
    x->min = lab_stat_min(x->samples, x->n);
    x->max = lab_stat_max(x->samples, x->n);
    x->ci_low = interval.low;
    x->ci_high = interval.high;
    x->bare_ratio = NAN;
}

/* How long the shell takes to do nothing: part of every time, and not subtracted, since what is
 * left would be as uncertain as both. */
static void note_shell(struct runner *r) {
    const struct state *s = &r->states[r->state_count - 1];
    if (r->state_count == r->b->item_count || s->count == 0)
        return;
    double *walls = lab_alloc(s->count, sizeof(*walls));
    for (size_t k = 0; k < s->count; k++)
        walls[k] = s->usages[k].wall_s;
    char *text = lab_format("%.3g ms of each time is the shell's own: it takes that to do nothing",
                            lab_stat_median(walls, s->count) * 1e3);
    lab_run_note(r->run, LAB_BENCH_EXPERIMENT, "", "shell", text);
    free(text);
    free(walls);
}

/* Who used no more memory than can be told: what is seen is the helper's, not the command's. */
static void note_floor(struct runner *r) {
    for (size_t i = 0; i < r->b->item_count; i++) {
        const struct state *s = &r->states[i];
        size_t at_floor = 0;
        for (size_t k = 0; k < s->count; k++)
            at_floor += s->usages[k].max_rss_bytes <= s->usages[k].floor_rss_bytes;
        if (2 * at_floor <= s->count)
            continue;
        char seen[LAB_CELL];
        double *sizes = lab_alloc(s->count, sizeof(*sizes));
        for (size_t k = 0; k < s->count; k++)
            sizes[k] = s->usages[k].max_rss_bytes;
        lab_human(seen, lab_stat_median(sizes, s->count), "bytes");
        char *text = lab_format("max RSS of %s: at most the %s that heddle's own helper has, which "
                                "is the least that can be told",
                                name_of(r, i), seen);
        lab_run_note(r->run, LAB_BENCH_EXPERIMENT, name_of(r, i), LAB_NOTE_FLOOR, text);
        free(text);
        free(sizes);
    }
}

static void conclude(struct runner *r) {
    const struct lab_experiment *e = lab_experiment_find(LAB_BENCH_EXPERIMENT);
    for (size_t m = 0; e->metrics[m].name; m++) {
        for (size_t i = 0; i < r->b->item_count; i++) {
            if (r->states[i].count)
                add_result(r, i, m);
        }
    }
    note_shell(r);
    note_floor(r);
}

void lab_bench_run(const struct lab_bench *b, struct lab_run *run) {
    struct runner r = {.b = b, .run = run, .random = b->seed};
    size_t n = b->item_count;
    r.state_count = n + (b->shell_alone ? 1 : 0);
    r.states = lab_alloc(r.state_count, sizeof(*r.states));
    r.order = lab_alloc(n, sizeof(*r.order));
    r.launches = lab_alloc(r.state_count * LAUNCHES, sizeof(*r.launches));
    make_launches(&r);
    r.launcher = (struct lab_launcher){.tick = show, .arg = &r};
    int error = lab_launcher_start(&r.launcher, r.launches, r.state_count * LAUNCHES);
    if (error) {
        char *reason = lab_format("no process can be started: %s", strerror(error));
        for (size_t i = 0; i < n; i++)
            drop(&r, i, "", reason);
        free(reason);
    } else if (b->one_by_one) {
        for (size_t i = 0; i < n; i++)
            campaign(&r, i, i + 1);
    } else {
        campaign(&r, 0, n);
    }
    lab_launcher_stop(&r.launcher);
    lab_progress_hide();
    run->interrupted = lab_interrupt_signal() != 0;
    conclude(&r);
    for (size_t i = 0; i < r.state_count; i++)
        free(r.states[i].usages);
    free_launches(&r);
    free(r.states);
    free(r.order);
}

void lab_bench_free(struct lab_bench *b) {
    for (size_t i = 0; i < b->item_count; i++) {
        struct lab_bench_item *item = &b->items[i];
        free(item->name);
        lab_words_free(item->argv);
        for (size_t k = 0; k < item->param_count; k++) {
            free(item->params[k].key);
            free(item->params[k].value);
        }
        free(item->params);
        free(item->setup);
        free(item->prepare);
        free(item->cleanup);
    }
    free(b->items);
    lab_words_free(b->shell_alone);
}
