/* SPDX-License-Identifier: MIT */
/* heddle compare: two runs beside each other. */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "measure/match.h"
#include "message.h"
#include "options.h"
#include "pick.h"
#include "record.h"
#include "report/matches.h"
#include "text.h"

enum {
    OPT_METRIC,
    OPT_PRIMARY,
    OPT_MARGIN,
};

static const struct lab_option options[] = {
    {OPT_METRIC, 'm', "metric", "NAME", "compare this metric alone; may be repeated"},
    {OPT_PRIMARY, 0, "primary", NULL, "compare what answers the experiments' questions alone"},
    {OPT_MARGIN, 0, "margin", "PERCENT", "what differs by less is the same (default 1%)"},
    {0},
};

struct job {
    const char *what[2];
    size_t count;
    struct lab_match_choice choice;
    const char **metrics;
    struct lab_options shared;
    double margin;
};

void cmd_compare_help(FILE *f) {
    fputs("Usage: heddle compare A B [OPTION...]\n\n"
          "Compares run B with run A, metric by metric: the ratio of B to A with its 95 %\n"
          "interval, the shift, p adjusted over all, and a verdict. A run is a number or\n"
          "label of 'heddle history', 'last', 'last-1', 'baseline:NAME', a commit, a\n"
          "revision of git (HEAD~1, rev:main), or a file (heddle's JSON, hyperfine's,\n"
          "pyperf's, Google Benchmark's; a file without a slash must exist).\n\nOptions:\n",
          f);
    lab_opt_print(options, f);
    lab_opt_print(lab_options_pair, f);
    fputs("\nExit status: 0 done, 2 wrong usage or no such run, 3 nothing is comparable.\n", f);
}

static int add_metric(struct job *job, const char *name) {
    size_t n = job->choice.metric_count;
    job->metrics = lab_grow_one(job->metrics, n, sizeof(*job->metrics));
    job->metrics[n] = name;
    job->choice.metric_count = n + 1;
    job->choice.metrics = job->metrics;
    return 0;
}

static int take_option(struct job *job, int id, const char *name, const char *value) {
    switch (id) {
    case LAB_OPT_WORD:
        if (job->count == 2) {
            lab_complain("heddle compare: unexpected '%s': two runs are compared", value);
            return LAB_EXIT_USAGE;
        }
        job->what[job->count++] = value;
        return 0;
    case OPT_METRIC:
        return add_metric(job, value);
    case OPT_PRIMARY:
        job->choice.primary = true;
        return 0;
    case OPT_MARGIN:
        return cmd_percent(name, value, &job->margin);
    default:
        return lab_options_take(&job->shared, id, value);
    }
}

static bool has_metric(const struct lab_run *run, const char *name) {
    for (size_t i = 0; i < run->result_count; i++) {
        if (strcmp(run->results[i].metric, name) == 0)
            return true;
    }
    return false;
}

/* Why nothing was compared: a metric that neither run has, or runs of different things. */
static void complain_of_nothing(const struct job *job, const struct lab_run *a,
                                const struct lab_run *b) {
    bool any = job->choice.metric_count == 0;
    for (size_t i = 0; i < job->choice.metric_count; i++) {
        const char *name = job->choice.metrics[i];
        if (has_metric(a, name) || has_metric(b, name))
            any = true;
        else
            lab_complain("no result of '%s' or '%s' has the metric '%s'", job->what[0],
                         job->what[1], name);
    }
    if (any)
        lab_complain("'%s' and '%s' have no result in common", job->what[0], job->what[1]);
}

/* What the store knows of verdicts on the machine of a run that it holds; NULL for another. */
static const struct lab_trust *find_trust(const struct job *job, const struct lab_run *run,
                                          struct lab_trust *trust) {
    struct lab_store *store;
    if (!run->id || lab_store_open(job->shared.keep.file, false, &store) != 0)
        return NULL;
    int error = lab_trust_find(store, run, trust);
    lab_store_close(store);
    return error ? NULL : trust;
}

static int compare(struct job *job) {
    struct lab_run a = {0}, b = {0};
    struct lab_matches matches = {0};
    struct lab_trust trust = {0};
    int status = lab_files_open(&job->shared.files);
    if (!status && (lab_pick_run(job->what[0], job->shared.keep.file, &a) != 0 ||
                    lab_pick_run(job->what[1], job->shared.keep.file, &b) != 0))
        status = LAB_EXIT_USAGE;
    if (!status) {
        bool table;
        lab_match_runs(&a, &b, &job->choice, job->margin, &matches);
        const struct report_pair pair = {&a,       &b,          job->what[0],
                                         job->what[1], &matches, job->margin,
                                         find_trust(job, &b, &trust)};
        status = lab_files_write(&job->shared.files, lab_files_pair, &pair, &table);
        if (table) {
            report_matches_text(&pair, stdout, lab_files_colour());
            status = cmd_finish(status);
        }
        if (!status && matches.count == 0) {
            complain_of_nothing(job, &a, &b);
            status = LAB_EXIT_UNMEASURED;
        }
    }
    lab_files_close(&job->shared.files);
    lab_matches_free(&matches);
    lab_trust_free(&trust);
    lab_run_free(&a);
    lab_run_free(&b);
    return status;
}

int cmd_compare(char **argv) {
    struct job job = {.margin = LAB_MARGIN_DEFAULT, .shared.files.command = "heddle compare"};
    struct lab_opt o = {.argv = argv,
                        .table = options,
                        .shared = lab_options_pair,
                        .command = "heddle compare"};
    int status = 0;
    for (int id; !status && (id = lab_opt_next(&o)) != LAB_OPT_END;)
        status = take_option(&job, id, o.name, o.value);
    if (!status && job.shared.help) {
        cmd_compare_help(stdout);
        status = cmd_finish(LAB_EXIT_DONE);
    } else if (!status && job.count < 2) {
        lab_complain("heddle compare: which two runs? ('heddle compare last-1 last': the last two; "
                     "see 'heddle history')");
        status = LAB_EXIT_USAGE;
    } else if (!status && strcmp(job.what[0], "-") == 0 && strcmp(job.what[1], "-") == 0) {
        lab_complain("heddle compare: standard input (-) can be given once");
        status = LAB_EXIT_USAGE;
    } else if (!status) {
        status = compare(&job);
    }
    free(job.metrics);
    return status;
}
