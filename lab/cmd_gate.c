/* SPDX-License-Identifier: MIT */
/* heddle gate: whether a run is good enough beside a baseline, as an exit status. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "measure/match.h"
#include "message.h"
#include "options.h"
#include "pick.h"
#include "record.h"
#include "report/matches.h"
#include "store/keep.h"
#include "text.h"

enum {
    OPT_BASELINE,
    OPT_SLOWER,
    OPT_UPDATE_IF_FASTER,
    OPT_SET,
    OPT_STRICT,
    OPT_REQUIRE_SELF_CHECK,
    OPT_METRIC,
};

static const struct lab_option options[] = {
    {OPT_BASELINE, 'b', "baseline", "NAME", "what the run is compared with"},
    {OPT_SLOWER, 0, "slower", "PERCENT", "what is slower by more fails (default 5%)"},
    {OPT_UPDATE_IF_FASTER, 0, "update-if-faster", "PERCENT",
     "if nothing failed and something is faster by more, the run becomes the baseline"},
    {OPT_SET, 0, "set", NULL, "make the run the baseline, without comparing"},
    {OPT_STRICT, 0, "strict", NULL, "what is undecided fails too"},
    {OPT_REQUIRE_SELF_CHECK, 0, "require-self-check", NULL,
     "judge only where the machine's last self-check passed ('heddle lab --self-check')"},
    {OPT_METRIC, 'm', "metric", "NAME",
     "judge by this metric; may be repeated (default: those that answer the experiments' "
     "questions)"},
    {0},
};

static const double default_slower = 0.05;

struct job {
    const char *what; /* the run that is judged */
    const char *baseline;
    double slower, faster;
    const char **metrics;
    struct lab_match_choice choice;
    struct lab_options shared;
    struct lab_store *store;
    long long id; /* of the run; 0: it is a file */
    FILE *say;    /* where the judgement goes: where no report goes */
    bool set, strict, update, require;
};

void cmd_gate_help(FILE *f) {
    fputs("Usage: heddle gate --baseline NAME [RUN] [OPTION...]\n"
          "       heddle gate --baseline NAME --set [RUN]\n\n"
          "Says whether a run (default: the last) is good enough beside a baseline: it\n"
          "fails where a metric is slower by more than the bound, and that is no chance.\n\n"
          "Options:\n",
          f);
    lab_opt_print(options, f);
    lab_opt_print(lab_options_pair, f);
    fputs("\nExit status: 0 good, 1 failed, 2 wrong usage or no such run or baseline, 3 the run\n"
          "lacks something that the baseline has, nothing is comparable, or there is no\n"
          "self-check where one is required.\n",
          f);
}

static int take_option(struct job *job, int id, const char *name, const char *value) {
    size_t n = job->choice.metric_count;
    switch (id) {
    case LAB_OPT_WORD:
        if (job->what) {
            lab_complain("heddle gate: unexpected '%s': one run is judged", value);
            return LAB_EXIT_USAGE;
        }
        job->what = value;
        return 0;
    case OPT_BASELINE:
        job->baseline = value;
        return 0;
    case OPT_SLOWER:
        return cmd_percent(name, value, &job->slower);
    case OPT_UPDATE_IF_FASTER:
        job->update = true;
        return cmd_percent(name, value, &job->faster);
    case OPT_SET:
        job->set = true;
        return 0;
    case OPT_STRICT:
        job->strict = true;
        return 0;
    case OPT_REQUIRE_SELF_CHECK:
        job->require = true;
        return 0;
    case OPT_METRIC:
        job->metrics = lab_grow_one(job->metrics, n, sizeof(*job->metrics));
        job->metrics[n] = value;
        job->choice.metric_count = n + 1;
        job->choice.metrics = job->metrics;
        return 0;
    default:
        return lab_options_take(&job->shared, id, value);
    }
}

static int check(struct job *job) {
    if (!job->baseline || !*job->baseline) {
        lab_complain("heddle gate: which baseline? (see 'heddle gate --help')");
        return LAB_EXIT_USAGE;
    }
    if ((job->set || job->update) && !lab_keep_baseline(job->baseline))
        return LAB_EXIT_USAGE;
    if (!job->what)
        job->what = "last";
    if ((job->set || job->update) && lab_pick_is_file(job->what)) {
        lab_complain("heddle gate: a file cannot become a baseline: 'heddle import' it first");
        return LAB_EXIT_USAGE;
    }
    if (job->set && job->update) {
        lab_complain("heddle gate: --set and --update-if-faster exclude each other");
        return LAB_EXIT_USAGE;
    }
    return 0;
}

static int set_baseline(struct job *job) {
    if (lab_store_baseline_set(job->store, job->baseline, job->id) != 0)
        return LAB_EXIT_UNMEASURED;
    fprintf(job->say, "Baseline '%s' is run %lld.\n", job->baseline, job->id);
    return 0;
}

/* ---- the judgement ---- */

static const char *title(const struct lab_match *m, char **owned) {
    *owned = lab_format("%s%s%s %s of %s", m->a->experiment, *m->a->variant ? " " : "",
                        m->a->variant, m->a->metric, m->b->subject);
    lab_make_printable(*owned);
    return *owned;
}

/* One line a match that matters, and how many there were. */
static size_t tell(FILE *f, const struct lab_matches *m, enum lab_verdict verdict,
                   const char *format) {
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct lab_comparison *c = &m->items[i].c;
        if (c->verdict != verdict)
            continue;
        char *owned;
        struct lab_text t = {0};
        count++;
        lab_text_printf(&t, format, title(&m->items[i], &owned));
        if (c->ratio > 0)
            lab_text_printf(&t, " %+.1f %%", (c->ratio - 1) * 100);
        if (c->ratio_low > 0 && c->ratio_high <= LAB_COMPARE_WIDE * c->ratio_low)
            lab_text_printf(&t, " (95 %%: %+.1f to %+.1f %%)", (c->ratio_low - 1) * 100,
                            (c->ratio_high - 1) * 100);
        if (c->more)
            lab_text_printf(&t, "; about %zu processes a side would tell", c->more);
        lab_wrap(f, t.data, 0, 2);
        lab_text_free(&t);
        free(owned);
    }
    return count;
}

/* The run does not hold what the baseline holds: nobody can say that it is good. */
static size_t tell_missing(FILE *f, const struct lab_matches *m, const struct lab_run *run) {
    for (size_t i = 0; i < m->only_a_count; i++) {
        const struct lab_result *r = m->only_a[i];
        char *line = lab_format("missing: %s%s%s %s of %s", r->experiment, *r->variant ? " " : "",
                                r->variant, r->metric, r->subject);
        lab_make_printable(line);
        lab_wrap(f, line, 0, 2);
        free(line);
    }
    for (size_t i = 0; m->only_a_count && i < run->failure_count; i++) {
        const struct lab_failure *x = &run->failures[i];
        char *line = lab_format("  %s: %s", x->subject, x->reason);
        lab_make_printable(line);
        lab_wrap(f, line, 0, 4);
        free(line);
    }
    return m->only_a_count;
}

static bool any_faster(const struct lab_run *a, const struct lab_run *b, const struct job *job) {
    struct lab_matches m;
    bool found = false;
    lab_match_runs(a, b, &job->choice, job->faster, &m);
    for (size_t i = 0; i < m.count; i++)
        found = found || m.items[i].c.verdict == LAB_VERDICT_FASTER;
    lab_matches_free(&m);
    return found;
}

/* Says why, and returns the exit status. */
static int judge(struct job *job, const struct lab_run *a, const struct lab_run *b,
                 const struct lab_matches *m) {
    size_t slower = tell(job->say, m, LAB_VERDICT_SLOWER, "slower: %s"), strict = 0;
    size_t missing = tell_missing(job->say, m, b);
    size_t undecided = tell(job->say, m, LAB_VERDICT_UNDECIDED, "undecided: %s");
    if (job->strict)
        strict = undecided;
    tell(job->say, m, LAB_VERDICT_FASTER, "faster: %s");
    if (m->count == 0) {
        lab_complain("nothing in '%s' can be compared with the baseline '%s'", job->what,
                     job->baseline);
        return LAB_EXIT_UNMEASURED;
    }
    fprintf(job->say,
            "%s: %zu compared with baseline '%s', %zu slower by more than %.3g %%, %zu undecided",
            slower || strict ? "Failed"
            : missing        ? "Not complete"
                             : "Good",
            m->count, job->baseline, slower, job->slower * 100, undecided);
    fprintf(job->say, missing ? ", %zu missing.\n" : ".\n", missing);
    if (slower || strict)
        return LAB_EXIT_GATE;
    if (missing)
        return LAB_EXIT_UNMEASURED;
    return job->update && any_faster(a, b, job) ? set_baseline(job) : 0;
}

static int compare(struct job *job, const struct lab_run *a, const struct lab_run *b) {
    struct lab_matches m;
    bool table;
    struct lab_trust trust;
    if (lab_trust_find(job->store, b, &trust) != 0)
        return LAB_EXIT_UNMEASURED;
    if (job->require && trust.state != LAB_TRUST_PASSED) {
        lab_complain("heddle gate: nothing is judged (--require-self-check). %s", trust.words);
        lab_trust_free(&trust);
        return LAB_EXIT_UNMEASURED;
    }
    char *name = lab_format("baseline:%s", job->baseline);
    lab_match_runs(a, b, &job->choice, job->slower, &m);
    const struct report_pair pair = {a, b, name, job->what, &m, job->slower, &trust};
    int status = lab_files_write(&job->shared.files, lab_files_pair, &pair, &table);
    job->say = table ? stdout : stderr;
    if (!status)
        status = judge(job, a, b, &m);
    if (matches_same_run(&pair)) /* whoever forgot to measure would be told again and again: good */
        fputs("The run is the baseline itself: nothing can differ.\n", job->say);
    char *words = matches_trust(&pair);
    if (words) {
        lab_make_printable(words);
        lab_wrap(job->say, words, 0, 0);
    }
    free(words);
    lab_matches_free(&m);
    lab_trust_free(&trust);
    free(name);
    return status;
}

static int gate(struct job *job) {
    struct lab_run a = {0}, b = {0};
    long long base = 0;
    int status = lab_files_open(&job->shared.files);
    bool write = job->set || job->update;
    if (!status && lab_store_open(job->shared.keep.file, write, &job->store) != 0)
        return LAB_EXIT_USAGE;
    bool file = lab_pick_is_file(job->what);
    if (!status && !file && lab_pick_find(job->store, job->what, &job->id) != 0)
        status = LAB_EXIT_USAGE;
    if (!status && job->set) {
        status = set_baseline(job);
    } else if (!status) {
        if (lab_store_baseline_get(job->store, job->baseline, &base) != 0 ||
            lab_store_load(job->store, base, &a) != 0)
            status = LAB_EXIT_USAGE;
        if (!status &&
            (file ? lab_load_file(job->what, &b) : lab_store_load(job->store, job->id, &b)) != 0)
            status = LAB_EXIT_USAGE;
        if (!status)
            status = compare(job, &a, &b);
    }
    lab_store_close(job->store);
    lab_run_free(&a);
    lab_run_free(&b);
    return status;
}

int cmd_gate(char **argv) {
    struct job job = {
        .slower = default_slower, .shared.files.command = "heddle gate", .say = stdout};
    struct lab_opt o = {.argv = argv,
                        .table = options,
                        .shared = lab_options_pair,
                        .command = "heddle gate"};
    int status = 0;
    for (int id; !status && (id = lab_opt_next(&o)) != LAB_OPT_END;)
        status = take_option(&job, id, o.name, o.value);
    job.choice.primary = job.choice.metric_count == 0;
    if (!status && job.shared.help) {
        cmd_gate_help(stdout);
    } else if (!status) {
        status = check(&job);
        if (!status)
            status = gate(&job);
    }
    lab_files_close(&job.shared.files);
    free(job.metrics);
    return cmd_finish(status);
}
