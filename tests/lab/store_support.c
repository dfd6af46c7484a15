/* SPDX-License-Identifier: MIT */
#include "store_support.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record.h"
#include "test.h"
#include "text.h"

static const double awkward[] = {0.1,  1.0 / 3, 5e-324, 1.7976931348623157e308, 19.1720851,
                                 -0.0, 1e16,    123456, 2.2250738585072014e-308};
enum { AWKWARD = sizeof(awkward) / sizeof(awkward[0]) };

void make_result(struct lab_run *run, unsigned seed, size_t processes, size_t samples) {
    struct lab_result *r = lab_run_add(run);
    r->experiment = lab_format("switch%u", seed);
    r->subject = lab_copy("heddle \"quoted\", \\ \xc3\xa9");
    r->metric = lab_format("yield_ns%zu", run->result_count);
    r->unit = lab_copy("ns");
    r->variant = lab_copy(seed % 2 ? "" : "one;two");
    r->better = (enum lab_better)(seed % 3);
    r->primary = seed % 2;
    r->per_thing = seed % 3 == 0;
    lab_pairs_add(&r->params, &r->param_count, "threads", "1000", true);
    lab_pairs_add(&r->params, &r->param_count, "mode", "a, b;c=d", false);
    r->n = processes;
    r->samples = lab_alloc(processes, sizeof(double));
    r->processes = lab_alloc(processes, sizeof(*r->processes));
    for (size_t i = 0; i < processes; i++) {
        /* Not all alike, and one without any, whose value came from somewhere else. */
        size_t count = processes > 2 && i == 1 ? 0 : samples + (processes < 10 ? i : 0);
        r->processes[i].count = count;
        r->processes[i].values = lab_alloc(count, sizeof(double));
        for (size_t k = 0; k < count; k++)
            r->processes[i].values[k] = awkward[(seed + i + k) % AWKWARD];
        r->samples[i] = awkward[(seed + i) % AWKWARD];
    }
    r->median = awkward[seed % AWKWARD];
    r->min = 0;
    r->max = 1e300;
    r->ci_low = seed % 2 ? NAN : 1.5;
    r->ci_high = seed % 2 ? NAN : 2.5;
    r->bare_ratio = seed % 2 ? 7.25 : NAN;
}

static void describe(struct lab_run *run, unsigned seed) {
    run->time = lab_format("2026-11-22T01:02:%02uZ", seed % 60);
    if (seed % 2)
        return;
    run->label = lab_format("label %u", seed);
    run->command = lab_copy("heddle lab switch --json '-'");
    run->commit = lab_format("%08x0123456789", seed * 2654435761u);
    run->flags = lab_copy("-O2 -g");
    run->source_format = lab_copy("pyperf");
    run->source = lab_copy("{\"version\": \"1.0\",\n \"caf\xc3\xa9\": [1, 2]}\n");
    run->interrupted = true;
    run->out_of_time = seed % 4 == 0;
}

void make_run(struct lab_run *run, unsigned seed) {
    *run = (struct lab_run){.mode = lab_run_mode(seed % 3 ? "quick" : "one of its own")};
    describe(run, seed);
    lab_pairs_add(&run->machine, &run->machine_count, "cpu", "A \"fast\" one", false);
    lab_pairs_add(&run->machine, &run->machine_count, "cpus", "2", true);
    lab_pairs_add(&run->options, &run->option_count, "seed", "7", true);
    run->subjects = lab_alloc(2, sizeof(*run->subjects));
    for (; run->subject_count < 2; run->subject_count++) {
        run->subjects[run->subject_count] =
            (struct lab_subject_info){.name = lab_format("subject%zu", run->subject_count),
                                      .kind = lab_copy("python"),
                                      .version = lab_copy(""),
                                      .path = lab_copy("/usr/bin/a b"),
                                      .free_threaded = run->subject_count == 1};
    }
    for (unsigned i = 0; i < 4; i++)
        make_result(run, seed + i, i + 1, 5);
    lab_run_fail(run, "spawn", "many", "go1.19", "killed by signal 9");
    lab_run_fail(run, "", "", "python2.7", "not\nfound");
    lab_run_note(run, "switch", "heddle", "switches", "100.0 % of them");
}

static void check_text(const char *a, const char *b, const char *what) {
    CHECK_MSG((!a && !b) || (a && b && strcmp(a, b) == 0), "%s: '%s' and '%s'", what,
              a ? a : "(null)", b ? b : "(null)");
}

static void check_number(double a, double b, const char *what) {
    CHECK_MSG((isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof(a)) == 0, "%s: %.17g and %.17g", what,
              a, b);
}

/* Of the estimates, which are columns: SQLite knows no negative zero. */
static void check_estimate(double a, double b, const char *what) {
    CHECK_MSG((isnan(a) && isnan(b)) || a == b, "%s: %.17g and %.17g", what, a, b);
}

static void check_pairs(const struct lab_pair *a, size_t n, const struct lab_pair *b, size_t m) {
    CHECK_EQ(n, m);
    for (size_t i = 0; i < n; i++) {
        check_text(a[i].key, b[i].key, "key");
        check_text(a[i].value, b[i].value, a[i].key);
        CHECK_EQ(a[i].number, b[i].number);
    }
}

static void check_result(const struct lab_result *a, const struct lab_result *b) {
    check_text(a->experiment, b->experiment, "experiment");
    check_text(a->subject, b->subject, "subject");
    check_text(a->metric, b->metric, "metric");
    check_text(a->unit, b->unit, "unit");
    check_text(a->variant, b->variant, "variant");
    CHECK_EQ(a->better, b->better);
    CHECK_EQ(a->primary, b->primary);
    CHECK_EQ(a->per_thing, b->per_thing);
    check_pairs(a->params, a->param_count, b->params, b->param_count);
    CHECK_EQ(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        const struct lab_process_samples *p = &a->processes[i], *q = &b->processes[i];
        check_number(a->samples[i], b->samples[i], "process");
        CHECK_EQ(p->count, q->count);
        for (size_t k = 0; k < p->count; k++)
            check_number(p->values[k], q->values[k], "sample");
    }
    check_estimate(a->median, b->median, "median");
    check_estimate(a->min, b->min, "min");
    check_estimate(a->max, b->max, "max");
    check_estimate(a->ci_low, b->ci_low, "ci_low");
    check_estimate(a->ci_high, b->ci_high, "ci_high");
    check_estimate(a->bare_ratio, b->bare_ratio, "bare_ratio");
}

static void check_words(const struct lab_run *a, const struct lab_run *b) {
    CHECK_EQ(a->failure_count, b->failure_count);
    for (size_t i = 0; i < a->failure_count; i++) {
        const struct lab_failure *x = &a->failures[i], *y = &b->failures[i];
        check_text(x->experiment, y->experiment, "failure");
        check_text(x->subject, y->subject, "failure");
        check_text(x->variant, y->variant, "failure");
        check_text(x->reason, y->reason, "failure");
    }
    CHECK_EQ(a->note_count, b->note_count);
    for (size_t i = 0; i < a->note_count; i++) {
        const struct lab_note *x = &a->notes[i], *y = &b->notes[i];
        check_text(x->experiment, y->experiment, "note");
        check_text(x->subject, y->subject, "note");
        check_text(x->key, y->key, "note");
        check_text(x->text, y->text, "note");
    }
}

void check_same_run(const struct lab_run *a, const struct lab_run *b) {
    check_text(a->time, b->time, "time");
    check_text(a->label, b->label, "label");
    check_text(a->command, b->command, "command");
    check_text(a->commit, b->commit, "commit");
    check_text(a->flags, b->flags, "flags");
    check_text(a->source_format, b->source_format, "source_format");
    check_text(a->source, b->source, "source");
    check_text(a->mode, b->mode, "mode");
    CHECK_EQ(a->interrupted, b->interrupted);
    CHECK_EQ(a->out_of_time, b->out_of_time);
    check_pairs(a->machine, a->machine_count, b->machine, b->machine_count);
    check_pairs(a->options, a->option_count, b->options, b->option_count);
    CHECK_EQ(a->subject_count, b->subject_count);
    for (size_t i = 0; i < a->subject_count; i++) {
        check_text(a->subjects[i].name, b->subjects[i].name, "subject");
        check_text(a->subjects[i].kind, b->subjects[i].kind, "kind");
        check_text(a->subjects[i].version, b->subjects[i].version, "version");
        check_text(a->subjects[i].path, b->subjects[i].path, "path");
        CHECK_EQ(a->subjects[i].free_threaded, b->subjects[i].free_threaded);
    }
    CHECK_EQ(a->result_count, b->result_count);
    for (size_t i = 0; i < a->result_count; i++)
        check_result(&a->results[i], &b->results[i]);
    check_words(a, b);
}

static char place[] = "/tmp/heddle-store-XXXXXX";
static pid_t place_owner;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static void remove_place(void) {
    if (getpid() == place_owner) /* not a process that a test forked */
        nftw(place, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

char *place_for(const char *name) {
    if (!place_owner) {
        CHECK(mkdtemp(place) != NULL);
        place_owner = getpid();
        atexit(remove_place);
    }
    return lab_format("%s/%s", place, name);
}
