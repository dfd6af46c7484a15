/* SPDX-License-Identifier: MIT */
/* heddle lab: the command line, and the order of things. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "measure/machine.h"
#include "measure/plan.h"
#include "message.h"
#include "opt.h"
#include "record.h"
#include "report/output.h"
#include "report/report.h"
#include "subject/interrupt.h"
#include "text.h"

enum {
    OPT_SUBJECT,
    OPT_QUICK,
    OPT_FULL,
    OPT_LIST,
    OPT_CSV, /* the reports, in the order of struct job */
    OPT_JSON,
    OPT_HTML,
    OPT_REPEAT,
    OPT_TIMEOUT,
    OPT_BUDGET,
    OPT_SEED,
    OPT_QUIET,
    OPT_HELP,
    OPT_PARAMETER, /* from here on: a parameter of experiments */
};

static const struct lab_option options[] = {
    {OPT_SUBJECT, 's', "subject", "LIST",
     "whom to measure: names, patterns (python*) or interpreters' paths, with commas between; "
     "see 'heddle subjects' (default: all)"},
    {OPT_QUICK, 'q', "quick", NULL, "less of everything: ends within a minute"},
    {OPT_FULL, 0, "full", NULL, "more of everything: for figures to keep"},
    {OPT_CSV, 0, "csv", "FILE", "write the results as CSV; - is standard output"},
    {OPT_JSON, 0, "json", "FILE", "write all there is to know as JSON"},
    {OPT_HTML, 0, "html", "FILE", "write a page with charts"},
    {OPT_PARAMETER, 0, "workers", "N", "kernel threads that carry the threads"},
    {OPT_PARAMETER, 0, "threads", "N", "how many threads (switch, lifecycle, capacity, idle)"},
    {OPT_PARAMETER, 0, "stack-size", "BYTES", "of each thread (K, M, G may follow; 0: default)"},
    {OPT_PARAMETER, 0, "sleep-us", "N", "how long each thread sleeps (lifecycle)"},
    {OPT_PARAMETER, 0, "count", "N", "threads in a batch (spawn)"},
    {OPT_PARAMETER, 0, "n", "N", "of fib (forkjoin)"},
    {OPT_PARAMETER, 0, "leaves", "N", "of skynet (forkjoin)"},
    {OPT_PARAMETER, 0, "seconds", "N", "how long to watch (idle)"},
    {OPT_PARAMETER, 0, "iterations", "N", "repetitions within a sample"},
    {OPT_PARAMETER, 0, "samples", "N", "samples within a process"},
    {OPT_REPEAT, 'r', "repeat", "N", "processes of each subject (default 6; quick 3, full 10)"},
    {OPT_TIMEOUT, 0, "timeout", "S",
     "seconds until a process is killed (default 60; quick 10, full 300)"},
    {OPT_BUDGET, 0, "budget", "S",
     "seconds after which no process is started (quick 54; default 300, without limit if --repeat "
     "is given; full: without limit)"},
    {OPT_SEED, 0, "seed", "N", "of the order in which subjects take turns (default 1)"},
    {OPT_LIST, 'l', "list", NULL, "list the experiments and end"},
    {OPT_QUIET, 0, "quiet", NULL, "no progress on standard error"},
    {OPT_HELP, 'h', "help", NULL, "print this and end"},
    {0},
};

/* The bounds of parameters. What lies outside is refused here, before anybody is started. */
static const struct {
    const char *name;
    unsigned long long min, max;
} bounds[] = {
    {"workers", 1, 1024},      {"threads", 1, 100000000}, {"stack-size", 0, 1u << 30},
    {"sleep-us", 0, 60000000}, {"count", 1, 1000000},     {"n", 1, 60},
    {"leaves", 1, 100000000},  {"seconds", 1, 3600},      {"iterations", 1, 1000000000},
    {"samples", 1, 1000},
};

enum { CSV, JSON, HTML, REPORTS };

struct job {
    struct lab_request request;
    struct lab_text subjects; /* all --subject lists, joined */
    const char *files[REPORTS];
    struct lab_output outputs[REPORTS];
    bool list, quiet, help, mode_given;
    bool repeat_given, budget_given, timeout_given;
};

void cmd_lab_help(FILE *f) {
    fputs("Usage: heddle lab [EXPERIMENT...] [OPTION...]\n\n"
          "Runs experiments with threads of everybody who was found, each in processes\n"
          "of its own, and compares. Without names, all experiments are run:\n\n",
          f);
    for (size_t i = 0; i < lab_experiment_count; i++) {
        const struct lab_experiment *e = &lab_experiments[i];
        if (!e->hidden)
            fprintf(f, "  %-10s %s\n", e->name, e->question);
    }
    fputs("\nOptions:\n", f);
    lab_opt_print(options, f);
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
        const struct lab_experiment *e = &lab_experiments[i];
        struct lab_text t = {0};
        printf("%s%s: ", i ? "\n" : "", e->name);
        lab_wrap(stdout, e->question, strlen(e->name) + 2, 2);
        add_parameters(&t, e->parameters);
        fputs("  parameters: ", stdout);
        lab_wrap(stdout, t.data, 14, 14);
        list_variants(e);
        for (const struct lab_metric *m = e->metrics; m->name; m++) {
            static const char *const better[] = {"lower is better", "higher is better", ""};
            printf("  metric: %-18s %-8s %s\n", m->name, m->unit, better[m->better]);
        }
        lab_text_free(&t);
    }
}

static int set_parameter(struct job *job, const char *name, const char *value) {
    size_t i = 0;
    while (strcmp(bounds[i].name, name) != 0)
        i++;
    unsigned long long v;
    if (!lab_parse_number(value, strcmp(name, "stack-size") == 0, bounds[i].min, bounds[i].max,
                          &v)) {
        lab_complain("--%s: '%s' is not a number from %llu to %llu", name, value, bounds[i].min,
                     bounds[i].max);
        return LAB_EXIT_USAGE;
    }
    char *text = lab_format("%llu", v);
    lab_pairs_add(&job->request.overrides, &job->request.override_count, name, text, true);
    free(text);
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

static int set_report(struct job *job, int which, const char *name) {
    if (*name == '\0') {
        lab_complain("heddle lab: a report needs a file name");
        return LAB_EXIT_USAGE;
    }
    job->files[which] = name;
    return 0;
}

static int add_experiment(struct job *job, const char *name) {
    struct lab_request *q = &job->request;
    const struct lab_experiment *e = lab_experiment_find(name);
    if (!e) {
        struct lab_text t = {0};
        for (size_t i = 0; i < lab_experiment_count; i++) {
            lab_text_printf(&t, " %s", lab_experiments[i].name);
        }
        lab_complain("there is no experiment '%s'; there are:%s", name, t.data);
        lab_text_free(&t);
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
    case OPT_CSV:
    case OPT_JSON:
    case OPT_HTML:
        return set_report(job, id - OPT_CSV, value);
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
    case OPT_PARAMETER:
        return set_parameter(job, name, value);
    case OPT_LIST:
        job->list = true;
        return 0;
    case OPT_QUIET:
        job->quiet = true;
        return 0;
    case OPT_HELP:
        job->help = true;
        return 0;
    default:
        return LAB_EXIT_USAGE;
    }
}

static const unsigned rounds[LAB_MODES] = {3, 6, 10};
static const double timeout_s[LAB_MODES] = {10, 60, 300}, budget_s[LAB_MODES] = {54, 300, 0};
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
        const struct lab_experiment *e = &lab_experiments[i];
        if (!e->hidden && e->in_tour[q->mode])
            q->experiments[q->experiment_count++] = e;
    }
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
            if (strtoull(value, NULL, 10) < least) {
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

static int check_reports(const struct job *job) {
    for (int i = 0; i < REPORTS; i++) {
        for (int k = 0; k < i; k++) {
            if (job->files[i] && job->files[k] && strcmp(job->files[i], job->files[k]) == 0) {
                lab_complain("heddle lab: two reports cannot go to '%s'", job->files[i]);
                return LAB_EXIT_USAGE;
            }
        }
    }
    return 0;
}

static int open_reports(struct job *job) {
    for (int i = 0; i < REPORTS; i++) {
        if (job->files[i] && lab_output_open(&job->outputs[i], job->files[i]) != 0) {
            return LAB_EXIT_USAGE;
        }
    }
    return 0;
}

static int write_one(const struct lab_run *run, int which, FILE *f) {
    switch (which) {
    case CSV:
        return report_csv(run, f);
    case JSON:
        return report_json(run, f);
    default:
        return report_html(run, f);
    }
}

/* Writes all reports, and the table unless standard output is taken. The exit status. */
static int write_reports(struct job *job, const struct lab_run *run) {
    int status = 0;
    bool table = true;
    for (int i = 0; i < REPORTS; i++) {
        struct lab_output *o = &job->outputs[i];
        if (!o->name)
            continue;
        if (o->file == stdout)
            table = false;
        int error = write_one(run, i, o->file);
        if (error) {
            lab_complain("cannot write '%s': %s", o->name, strerror(-error));
            lab_output_abandon(o);
        }
        if (error || lab_output_commit(o) != 0)
            status = LAB_EXIT_UNMEASURED;
    }
    if (table) {
        const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
        bool colour = isatty(STDOUT_FILENO) && !(no_colour && *no_colour) && term &&
                      strcmp(term, "dumb") != 0;
        report_text(run, stdout, colour);
        status = cmd_finish(status);
    }
    return status;
}

static void describe_run(struct lab_run *run, const struct lab_request *q) {
    run->mode = lab_mode_name(q->mode);
    lab_machine_describe(run);
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

/* Everything between the checked command line and the exit status. */
static int measure(struct job *job) {
    struct lab_request *q = &job->request;
    struct lab_places places;
    struct lab_subjects all = {0};
    struct lab_run run = {0};
    size_t *chosen = NULL;
    lab_interrupt_install();
    lab_progress_start(job->quiet);
    int status = open_reports(job);
    lab_places_find(&places);
    if (!status) {
        describe_run(&run, q);
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
        status = write_reports(job, &run);
        if (run.failure_count || run.result_count == 0)
            status = LAB_EXIT_UNMEASURED;
        if (lab_interrupt_signal())
            status = LAB_EXIT_SIGNAL + lab_interrupt_signal();
    }
    for (int i = 0; i < REPORTS; i++)
        lab_output_abandon(&job->outputs[i]);
    lab_run_free(&run);
    free(chosen);
    lab_subjects_free(&all);
    lab_places_free(&places);
    return status;
}

int cmd_lab(char **argv) {
    struct job job = {.request = {.mode = LAB_MODE_DEFAULT, .seed = default_seed}};
    job.request.begin_s = lab_now_s();
    struct lab_opt o = {.argv = argv, .table = options, .command = "heddle lab"};
    int status = 0;
    for (int id; !status && (id = lab_opt_next(&o)) != LAB_OPT_END;) {
        status = take_option(&job, id, o.name, o.value);
    }
    if (!status && (job.help || job.list)) {
        if (job.help) {
            cmd_lab_help(stdout);
        } else {
            list_experiments();
        }
        status = cmd_finish(LAB_EXIT_DONE);
    } else if (!status) {
        fill_in(&job);
        status = check_parameters(&job.request);
        if (!status)
            status = check_reports(&job);
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
