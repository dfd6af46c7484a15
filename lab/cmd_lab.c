/* SPDX-License-Identifier: MIT */
/* heddle lab: the command line, and the order of things. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "cmd_self_check.h"
#include "measure/machine.h"
#include "measure/plan.h"
#include "message.h"
#include "options.h"
#include "parameter.h"
#include "record.h"
#include "report/report.h"
#include "subject/interrupt.h"
#include "text.h"

enum {
    OPT_SUBJECT,
    OPT_QUICK,
    OPT_FULL,
    OPT_LIST,
    OPT_SELF_CHECK,
    OPT_RUNS,
    OPT_REPEAT,
    OPT_TIMEOUT,
    OPT_BUDGET,
    OPT_SEED,
};

static const struct lab_option options[] = {
    {OPT_SUBJECT, 's', "subject", "LIST",
     "whom to measure: names, patterns (python*) or interpreters' paths, with commas between; "
     "see 'heddle subjects' (default: all)"},
    {OPT_QUICK, 'q', "quick", NULL, "less of everything: ends within 90 seconds"},
    {OPT_FULL, 0, "full", NULL, "more of everything: for figures to keep"},
    {OPT_REPEAT, 'r', "repeat", "N", "processes of each subject (default 6; quick 3, full 10)"},
    {OPT_TIMEOUT, 0, "timeout", "S",
     "seconds until a process is killed (default 60; quick 10, full 300)"},
    {OPT_BUDGET, 0, "budget", "S",
     "seconds after which no process is started (quick 80; default 300, without limit if --repeat "
     "is given; full: without limit)"},
    {OPT_SEED, 0, "seed", "N", "of the order in which subjects take turns (default 1)"},
    {OPT_SELF_CHECK, 0, "self-check", NULL,
     "compare what is known to be equal, or not: how often are the verdicts wrong?"},
    {OPT_RUNS, 0, "runs", "FILE", "write every sample as CSV, a row each"},
    {OPT_LIST, 'l', "list", NULL, "list the experiments and end"},
    {0},
};

struct job {
    struct lab_request request;
    struct lab_text subjects; /* all --subject lists, joined */
    struct lab_options shared;
    bool list, self_check, mode_given;
    char *const *argv;
    bool repeat_given, budget_given, timeout_given;
};

void cmd_lab_help(FILE *f) {
    enum { HELP_COLUMN = 15 };
    fputs("Usage: heddle lab [EXPERIMENT...] [OPTION...]\n\n"
          "Runs experiments with threads of everybody who was found, each in processes\n"
          "of its own, and compares. Without names, all experiments are run:\n\n",
          f);
    for (size_t i = 0; i < lab_experiment_count; i++) {
        const struct lab_experiment *e = lab_experiments[i];
        if (e->hidden)
            continue;
        fprintf(f, "  %-12s ", e->name);
        lab_wrap(f, e->question, HELP_COLUMN, HELP_COLUMN);
    }
    fputs("\nOptions:\n", f);
    lab_opt_print(options, f);
    lab_opt_print(lab_options_run, f);
    fputs("\nParameters; of several values (--threads 10,100) each is measured:\n",
          f);
    lab_opt_print(lab_parameter_options, f);
    fputs("\nExit status: 0 done, 2 wrong usage, 3 something could not be measured,\n"
          "130 interrupted (what was measured is reported).\n",
          f);
}

static void add_parameters(struct lab_text *t, const struct lab_parameter *p) {
    for (; p->name; p++) {
        const char *value = lab_parameter_value(p, LAB_MODE_DEFAULT, LAB_PACE_USER);
        lab_text_printf(t, " %s=%s", p->name, strcmp(value, LAB_ALL_CPUS) == 0 ? "all" : value);
    }
}

/* What each part of an experiment adds to the parameters, or sets to something else. */
static void list_variants(const struct lab_experiment *e) {
    for (const struct lab_variant *v = e->variants; v->name; v++) {
        if (!*v->name)
            continue;
        struct lab_text t = {0};
        add_parameters(&t, v->set);
        printf(t.data ? "  variant: %-18s" : "  variant: %s\n", v->name);
        if (t.data)
            lab_wrap(stdout, t.data, 29, 29);
        lab_text_free(&t);
    }
}

static void list_experiments(void) {
    for (size_t i = 0; i < lab_experiment_count; i++) {
        const struct lab_experiment *e = lab_experiments[i];
        struct lab_text t = {0};
        printf("%s%s: ", i ? "\n" : "", e->name);
        lab_wrap(stdout, e->question, strlen(e->name) + 2, 2);
        add_parameters(&t, e->parameters);
        if (t.data) {
            fputs("  parameters: ", stdout);
            lab_wrap(stdout, t.data, 14, 14);
        }
        list_variants(e);
        for (const struct lab_metric *m = e->metrics; m->name; m++) {
            static const char *const better[] = {"lower is better", "higher is better", ""};
            printf("  metric: %-18s %-8s %s\n", m->name, m->unit, better[m->better]);
        }
        lab_text_free(&t);
    }
}

static int set_parameter(struct job *job, const char *name, const char *text) {
    char *value = lab_parameter_read(name, text);
    if (!value)
        return LAB_EXIT_USAGE;
    lab_pairs_add(&job->request.overrides, &job->request.override_count, name, value, true);
    free(value);
    return 0;
}

static int set_number(const char *name, const char *value, unsigned long long min,
                      unsigned long long max, unsigned long long *out) {
    if (lab_parse_number(value, false, min, max, out))
        return 0;
    lab_complain("--%s: '%s' is not a number from %llu to %llu", name, value, min, max);
    return LAB_EXIT_USAGE;
}

static int set_seconds(const char *name, const char *value, double *out) {
    char *end;
    double v = strtod(value, &end);
    if (end == value || *end || !(v > 0) || v > 1e6) {
        lab_complain("--%s: '%s' is not a number of seconds", name, value);
        return LAB_EXIT_USAGE;
    }
    *out = v;
    return 0;
}

static int set_mode(struct job *job, enum lab_mode mode) {
    if (job->mode_given && job->request.mode != mode) {
        lab_complain("heddle lab: --quick and --full exclude each other");
        return LAB_EXIT_USAGE;
    }
    job->request.mode = mode;
    job->mode_given = true;
    return 0;
}

static int add_experiment(struct job *job, const char *name) {
    struct lab_request *q = &job->request;
    const struct lab_experiment *e = lab_experiment_find(name);
    if (!e) {
        struct lab_text t = {0};
        for (size_t i = 0; i < lab_experiment_count; i++) {
            lab_text_printf(&t, " %s", lab_experiments[i]->name);
        }
        lab_complain("there is no experiment '%s'; there are:%s", name, t.data);
        lab_text_free(&t);
        return LAB_EXIT_USAGE;
    }
    if (e->elsewhere) {
        lab_complain("'%s' is measured by '%s'", name, e->elsewhere);
        return LAB_EXIT_USAGE;
    }
    for (size_t i = 0; i < q->experiment_count; i++) {
        if (q->experiments[i] == e)
            return 0;
    }
    q->experiments = lab_grow_one(q->experiments, q->experiment_count, sizeof(*q->experiments));
    q->experiments[q->experiment_count++] = e;
    q->experiments_named = true;
    return 0;
}

static int take_option(struct job *job, int id, const char *name, const char *value) {
    unsigned long long number = 0;
    int status = 0;
    switch (id) {
    case LAB_OPT_WORD:
        return add_experiment(job, value);
    case OPT_SUBJECT:
        lab_text_printf(&job->subjects, "%s%s", job->subjects.data ? "," : "", value);
        job->request.subjects_named = true;
        return 0;
    case OPT_QUICK:
        return set_mode(job, LAB_MODE_QUICK);
    case OPT_FULL:
        return set_mode(job, LAB_MODE_FULL);
    case OPT_RUNS:
        return lab_files_name(&job->shared.files, LAB_REPORT_SAMPLES, value);
    case OPT_REPEAT:
        status = set_number(name, value, 1, 10000, &number);
        job->request.rounds = (unsigned)number;
        job->repeat_given = true;
        return status;
    case OPT_SEED:
        status = set_number(name, value, 0, ~0ULL, &number);
        job->request.seed = number;
        return status;
    case OPT_TIMEOUT:
        job->timeout_given = true;
        return set_seconds(name, value, &job->request.timeout_s);
    case OPT_BUDGET:
        job->budget_given = true;
        return set_seconds(name, value, &job->request.budget_s);
    case LAB_OPT_PARAMETER:
        return set_parameter(job, name, value);
    case OPT_SELF_CHECK:
        job->self_check = true;
        return 0;
    case OPT_LIST:
        job->list = true;
        return 0;
    default:
        return lab_options_take(&job->shared, id, value);
    }
}

static const unsigned rounds[LAB_MODES] = {3, 6, 10};
static const double timeout_s[LAB_MODES] = {10, 60, 300}, budget_s[LAB_MODES] = {80, 300, 0};
static const uint64_t default_seed = 1;

/* What was not given follows from the mode. */
static void fill_in(struct job *job) {
    struct lab_request *q = &job->request;
    if (!job->repeat_given)
        q->rounds = rounds[q->mode];
    if (!job->timeout_given)
        q->timeout_s = timeout_s[q->mode];
    if (!job->budget_given) {
        bool open = q->mode == LAB_MODE_DEFAULT && job->repeat_given;
        q->budget_s = open ? 0 : budget_s[q->mode];
    }
    if (q->experiments_named)
        return;
    q->experiments = lab_alloc(lab_experiment_count, sizeof(*q->experiments));
    for (size_t i = 0; i < lab_experiment_count; i++) {
        const struct lab_experiment *e = lab_experiments[i];
        if (!e->hidden && e->in_tour[q->mode])
            q->experiments[q->experiment_count++] = e;
    }
}

static unsigned long long least_of(const char *list) {
    unsigned long long least = ~0ULL;
    char *value;
    for (size_t i = 0; (value = lab_list_at(list, i)); i++) {
        unsigned long long v = strtoull(value, NULL, 10);
        least = v < least ? v : least;
        free(value);
    }
    return least;
}

/* An option that nothing would read is a mistake of its user's, and so is a value that makes no
 * sense in an experiment that reads it. */
static int check_parameters(const struct lab_request *q) {
    for (size_t i = 0; i < q->override_count; i++) {
        const char *name = q->overrides[i].key, *value = q->overrides[i].value;
        bool used = false;
        for (size_t k = 0; k < q->experiment_count; k++) {
            const struct lab_experiment *e = q->experiments[k];
            unsigned long long least = lab_experiment_least(e, name);
            used = used || lab_experiment_takes(e, name);
            if (least_of(value) < least) {
                lab_complain("--%s: %s needs at least %llu", name, e->name, least);
                return LAB_EXIT_USAGE;
            }
        }
        if (!used) {
            lab_complain("--%s: none of the chosen experiments has it", name);
            return LAB_EXIT_USAGE;
        }
    }
    return 0;
}

/* Writes all reports, and the table unless standard output is taken. The exit status. */
static int write_reports(struct job *job, const struct lab_run *run) {
    bool table;
    int status = lab_files_write(&job->shared.files, lab_files_run, run, &table);
    if (table) {
        report_text(run, stdout, lab_files_colour());
        status = cmd_finish(status);
    }
    return status;
}

static void describe_run(struct lab_run *run, const struct lab_request *q) {
    run->mode = lab_mode_name(q->mode);
    lab_machine_describe(run);
    const char *commit = lab_machine_fact(run, "commit"), *flags = lab_machine_fact(run, "flags");
    run->commit = commit ? lab_copy(commit) : NULL;
    run->flags = flags ? lab_copy(flags) : NULL;
    char *seed = lab_format("%llu", (unsigned long long)q->seed);
    lab_pairs_add(&run->machine, &run->machine_count, "seed", seed, true);
    if (q->rounds != rounds[q->mode]) {
        char *repeat = lab_format("%u", q->rounds);
        lab_pairs_add(&run->options, &run->option_count, "repeat", repeat, true);
        free(repeat);
    }
    if (q->seed != default_seed)
        lab_pairs_add(&run->options, &run->option_count, "seed", seed, true);
    if (fabs(q->timeout_s - timeout_s[q->mode]) > 0) {
        char *timeout = lab_format("%.10g", q->timeout_s);
        lab_pairs_add(&run->options, &run->option_count, "timeout", timeout, true);
        free(timeout);
    }
    free(seed);
}

static void describe_subjects(struct lab_run *run, const struct lab_request *q) {
    run->subjects = lab_alloc(q->chosen_count, sizeof(*run->subjects));
    for (size_t i = 0; i < q->chosen_count; i++) {
        const struct lab_subject *s = &q->subjects->items[q->chosen[i]];
        run->subjects[run->subject_count++] =
            (struct lab_subject_info){.name = lab_copy(s->name),
                                      .kind = lab_copy(lab_kind_name(s->kind)),
                                      .version = lab_copy(s->version),
                                      .path = lab_copy(s->path),
                                      .free_threaded = s->free_threaded};
    }
}

/* Finds everybody, and picks those whom the user named. 0 or the exit status. */
static int find_subjects(struct job *job, struct lab_subjects *all, const struct lab_places *places,
                         size_t **chosen) {
    struct lab_request *q = &job->request;
    lab_progress("looking for subjects");
    lab_subjects_find(all, places);
    if (lab_interrupt_signal())
        return 0;
    bool native = false;
    for (size_t i = 0; i < all->count; i++)
        native = native || all->items[i].kind == LAB_KIND_NATIVE;
    if (!native)
        lab_complain("there are no bench programs in %s", places->libexec[0]);
    const char *list = q->subjects_named ? job->subjects.data : "*";
    return lab_subjects_choose(all, list, chosen, &q->chosen_count) ? 0 : LAB_EXIT_USAGE;
}

static int self_check(const struct job *job) {
    const struct lab_request *q = &job->request;
    const char *const *named = job->shared.files.names;
    if (q->experiments_named || q->subjects_named || q->override_count || named[LAB_REPORT_CSV] ||
        named[LAB_REPORT_HTML] || named[LAB_REPORT_SAMPLES] ||
        named[LAB_REPORT_MARKDOWN] || job->shared.keep.label || job->budget_given ||
        job->timeout_given) {
        lab_complain("--self-check goes with --quick, --full, --repeat, --seed, --json, --db, "
                     "--no-store and --quiet alone");
        return LAB_EXIT_USAGE;
    }
    size_t comparisons = job->repeat_given ? q->rounds : 0;
    return cmd_lab_self_check(q->mode, comparisons, q->seed, &job->shared);
}

/* Everything between the checked command line and the exit status. */
static int measure(struct job *job) {
    struct lab_request *q = &job->request;
    struct lab_places places;
    struct lab_subjects all = {0};
    struct lab_run run = {0};
    size_t *chosen = NULL;
    lab_interrupt_install();
    lab_progress_start(job->shared.quiet);
    int status = lab_files_open(&job->shared.files);
    if (!status)
        status = lab_keep_check(&job->shared.keep);
    lab_places_find(&places);
    if (!status) {
        describe_run(&run, q);
        lab_keep_describe(&run, "lab", job->argv);
        status = find_subjects(job, &all, &places, &chosen);
    }
    if (!status) {
        struct lab_plan plan;
        q->subjects = &all;
        q->chosen = chosen;
        lab_plan_make(&plan, q, &places, &run);
        describe_subjects(&run, q);
        lab_plan_run(&plan, q, &run);
        lab_plan_conclude(&plan, &run);
        lab_plan_free(&plan);
        int kept = run.result_count ? lab_keep_run(&job->shared.keep, &run) : 0;
        status = write_reports(job, &run);
        if (kept || run.failure_count || run.result_count == 0)
            status = LAB_EXIT_UNMEASURED;
        if (lab_interrupt_signal())
            status = LAB_EXIT_SIGNAL + lab_interrupt_signal();
    }
    lab_files_close(&job->shared.files);
    lab_run_free(&run);
    free(chosen);
    lab_subjects_free(&all);
    lab_places_free(&places);
    return status;
}

int cmd_lab(char **argv) {
    struct job job = {.request = {.mode = LAB_MODE_DEFAULT, .seed = default_seed}, .argv = argv};
    job.request.begin_s = lab_now_s();
    job.shared.files.command = "heddle lab";
    struct lab_opt o = {.argv = argv,
                        .table = options,
                        .more = lab_parameter_options,
                        .shared = lab_options_run,
                        .command = "heddle lab"};
    int status = 0;
    for (int id; !status && (id = lab_opt_next(&o)) != LAB_OPT_END;) {
        status = take_option(&job, id, o.name, o.value);
    }
    if (!status && (job.shared.help || job.list)) {
        if (job.shared.help) {
            cmd_lab_help(stdout);
        } else {
            list_experiments();
        }
        status = cmd_finish(LAB_EXIT_DONE);
    } else if (!status && job.self_check) {
        status = self_check(&job);
    } else if (!status) {
        fill_in(&job);
        status = check_parameters(&job.request);
        if (!status)
            status = measure(&job);
    }
    for (size_t i = 0; i < job.request.override_count; i++) {
        free(job.request.overrides[i].key);
        free(job.request.overrides[i].value);
    }
    free(job.request.overrides);
    free(job.request.experiments);
    lab_text_free(&job.subjects);
    return status;
}
