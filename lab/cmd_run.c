/* SPDX-License-Identifier: MIT */
/* heddle run: the command line, and the order of things. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd.h"
#include "measure/bench.h"
#include "measure/expand.h"
#include "measure/machine.h"
#include "measure/match.h"
#include "message.h"
#include "options.h"
#include "record.h"
#include "report/matches.h"
#include "report/report.h"
#include "subject/interrupt.h"
#include "text.h"

enum {
    OPT_VS,
    OPT_PARAMETER,
    OPT_NAME,
    OPT_WARMUP,
    OPT_RUNS,
    OPT_MIN_RUNS,
    OPT_MAX_RUNS,
    OPT_SECONDS,
    OPT_SETUP,
    OPT_PREPARE,
    OPT_CLEANUP,
    OPT_SHELL,
    OPT_NO_SHELL,
    OPT_IGNORE_FAILURE,
    OPT_INPUT,
    OPT_OUTPUT,
    OPT_SHOW_OUTPUT,
    OPT_ONE_BY_ONE,
    OPT_TIMEOUT,
    OPT_MARGIN,
    OPT_SEED,
    OPT_SAMPLES,
};

static const struct lab_option options[] = {
    {OPT_VS, 0, "vs", "COMMAND", "another command line to measure beside"},
    {OPT_PARAMETER, 'L', "parameter", "NAME=A,B", "put A, B (1..4: 1 to 4) where {NAME} stands"},
    {OPT_NAME, 'n', "name", "NAME", "call the command so; once for each command"},
    {OPT_WARMUP, 'w', "warmup", "N", "runs of each before any counts (default 1)"},
    {OPT_RUNS, 'r', "runs", "N", "runs of each, exactly"},
    {OPT_MIN_RUNS, 'm', "min-runs", "N", "no fewer runs of each (default 10)"},
    {OPT_MAX_RUNS, 'M', "max-runs", "N", "no more runs of each"},
    {OPT_SECONDS, 0, "seconds", "S", "how long each command shall run in all (default 3)"},
    {OPT_SETUP, 's', "setup", "COMMAND", "for the shell, once before the first run"},
    {OPT_PREPARE, 'p', "prepare", "COMMAND", "for the shell, before each run"},
    {OPT_CLEANUP, 'c', "cleanup", "COMMAND", "for the shell, once after the last run"},
    {OPT_SHELL, 'S', "shell", "SHELL", "run the commands by a shell ('default': /bin/sh)"},
    {OPT_NO_SHELL, 'N', "no-shell", NULL, "run the commands without a shell (the default)"},
    {OPT_IGNORE_FAILURE, 'i', "ignore-failure", NULL, "take any exit status"},
    {OPT_INPUT, 0, "input", "FILE", "standard input of the commands (default: null)"},
    {OPT_OUTPUT, 0, "output", "WHERE",
     "where their output goes: null (the default), pipe, inherit, or a file"},
    {OPT_SHOW_OUTPUT, 0, "show-output", NULL, "the same as --output inherit"},
    {OPT_ONE_BY_ONE, 0, "one-by-one", NULL,
     "all runs of one command before those of the next (default: they take turns)"},
    {OPT_TIMEOUT, 0, "timeout", "S", "seconds after which a run, or what is around it, is killed"},
    {OPT_MARGIN, 0, "margin", "PERCENT", "what differs by less is the same (default 1%)"},
    {OPT_SEED, 0, "seed", "N", "of the order in which commands take turns (default 1)"},
    {OPT_SAMPLES, 0, "samples", "FILE", "write every run as CSV, a row each metric"},
    {0},
};

struct job {
    struct lab_sources sources;
    struct lab_bench bench;
    struct lab_options shared;
    char *const *argv;
    const char *input, *output;
    double margin;
    pid_t drain; /* who reads what the commands write into a pipe; 0: nobody */
    bool own_words, min_given;
};

void cmd_run_help(FILE *f) {
    fputs("Usage: heddle run [OPTION...] -- COMMAND [ARGUMENT...] [--vs COMMAND...]...\n"
          "       heddle run [OPTION...] COMMAND-LINE...\n\n"
          "Measures commands: time, user and system time, memory, page faults, waits and\n"
          "preemptions of each run. Several take turns, and are compared with the first.\n"
          "A command line is one argument, in quotes if it has blanks.\n\nOptions:\n",
          f);
    lab_opt_print(options, f);
    lab_opt_print(lab_options_run, f);
    fputs("\nExit status: 0 done, 2 wrong usage, 3 something could not be measured,\n"
          "130 interrupted (what was measured is reported).\n",
          f);
}

/* ---- the command line ---- */

static int set_count(const char *name, const char *value, unsigned long long min, unsigned *out) {
    unsigned long long number;
    if (!lab_parse_number(value, false, min, 1000000000, &number)) {
        lab_complain("--%s: '%s' is not a number from %llu to 1000000000", name, value, min);
        return LAB_EXIT_USAGE;
    }
    *out = (unsigned)number;
    return 0;
}

static int set_seconds(const char *name, const char *value, double *out) {
    char *end;
    double s = strtod(value, &end);
    if (end == value || *end || !isfinite(s) || s <= 0 || s > 1e9) {
        lab_complain("--%s: '%s' is not a number of seconds", name, value);
        return LAB_EXIT_USAGE;
    }
    *out = s;
    return 0;
}

int cmd_percent(const char *name, const char *value, double *out) {
    char *end;
    double percent = strtod(value, &end);
    if (*end == '%')
        end++;
    if (end == value || *end || !isfinite(percent) || percent < 0 || percent > 1000) {
        lab_complain("--%s: '%s' is not a percentage from 0 to 1000", name, value);
        return LAB_EXIT_USAGE;
    }
    *out = percent / 100;
    return 0;
}

static int set_seed(const char *value, uint64_t *out) {
    unsigned long long number;
    if (!lab_parse_number(value, false, 0, ~0ULL, &number)) {
        lab_complain("--seed: '%s' is not a number", value);
        return LAB_EXIT_USAGE;
    }
    *out = number;
    return 0;
}

static int add_text(struct lab_each *e, const char *text) {
    e->texts = lab_grow_one(e->texts, e->count, sizeof(*e->texts));
    e->texts[e->count++] = text;
    return 0;
}

static struct lab_source *add_source(struct job *job) {
    struct lab_sources *s = &job->sources;
    s->items = lab_grow_one(s->items, s->count, sizeof(*s->items));
    s->items[s->count] = (struct lab_source){0};
    return &s->items[s->count++];
}

static int add_line(struct job *job, const char *line) {
    add_source(job)->line = line;
    return 0;
}

/* A word behind "--": of the command that is being told, or "--vs", which begins another one. */
static int add_word(struct job *job, char *word) {
    bool next = strcmp(word, "--vs") == 0;
    struct lab_sources *s = &job->sources;
    struct lab_source *x = job->own_words ? &s->items[s->count - 1] : NULL;
    size_t n = 0;
    while (x && x->words[n])
        n++;
    if (next && n == 0) {
        lab_complain("heddle run: there is no command before '--vs'");
        return LAB_EXIT_USAGE;
    }
    if (next || !x) {
        x = add_source(job);
        x->words = lab_alloc(1, sizeof(*x->words));
        job->own_words = true;
        n = 0;
    }
    if (!next) {
        x->words = lab_grow(x->words, n + 2, sizeof(*x->words));
        x->words[n] = word;
        x->words[n + 1] = NULL;
    }
    return 0;
}

static int set_shell(struct job *job, const char *shell) {
    job->sources.shell = shell && strcmp(shell, "none") != 0 ? shell : NULL;
    return 0;
}

static int take_flag(struct job *job, int id) {
    switch (id) {
    case OPT_NO_SHELL:
        return set_shell(job, NULL);
    case OPT_IGNORE_FAILURE:
        job->bench.ignore_failure = true;
        return 0;
    case OPT_SHOW_OUTPUT:
        job->output = "inherit";
        return 0;
    case OPT_ONE_BY_ONE:
        job->bench.one_by_one = true;
        return 0;
    default:
        return LAB_EXIT_USAGE;
    }
}

static int take_option(struct job *job, int id, const char *name, const char *value) {
    struct lab_bench *b = &job->bench;
    struct lab_sources *s = &job->sources;
    switch (id) {
    case OPT_VS:
        return add_line(job, value);
    case OPT_PARAMETER:
        return lab_sources_list(s, value);
    case OPT_NAME:
        return add_text(&s->names, value);
    case OPT_WARMUP:
        return set_count(name, value, 0, &b->warmup);
    case OPT_RUNS:
        return set_count(name, value, 1, &b->runs);
    case OPT_MIN_RUNS:
        job->min_given = true;
        return set_count(name, value, 1, &b->min_runs);
    case OPT_MAX_RUNS:
        return set_count(name, value, 1, &b->max_runs);
    case OPT_SECONDS:
        return set_seconds(name, value, &b->seconds);
    case OPT_SETUP:
        return add_text(&s->setups, value);
    case OPT_PREPARE:
        return add_text(&s->prepares, value);
    case OPT_CLEANUP:
        return add_text(&s->cleanups, value);
    case OPT_SHELL:
        return set_shell(job, value);
    case OPT_INPUT:
        job->input = value;
        return 0;
    case OPT_OUTPUT:
        job->output = value;
        return 0;
    case OPT_TIMEOUT:
        return set_seconds(name, value, &b->timeout_s);
    case OPT_MARGIN:
        return cmd_percent(name, value, &job->margin);
    case OPT_SEED:
        return set_seed(value, &b->seed);
    case OPT_SAMPLES:
        return lab_files_name(&job->shared.files, LAB_REPORT_SAMPLES, value);
    case OPT_NO_SHELL:
    case OPT_IGNORE_FAILURE:
    case OPT_SHOW_OUTPUT:
    case OPT_ONE_BY_ONE:
        return take_flag(job, id);
    default:
        return lab_options_take(&job->shared, id, value);
    }
}

static int check(const struct job *job) {
    const struct lab_bench *b = &job->bench;
    const struct lab_sources *s = &job->sources;
    if (s->count == 0 || (!s->items[s->count - 1].line && !s->items[s->count - 1].words[0])) {
        lab_complain(s->count ? "heddle run: there is no command after '--vs'"
                              : "heddle run: which command? (see 'heddle run --help')");
        return LAB_EXIT_USAGE;
    }
    if (b->runs && (job->min_given || b->max_runs)) {
        lab_complain("heddle run: --runs says exactly how many: it goes without --min-runs and "
                     "--max-runs");
        return LAB_EXIT_USAGE;
    }
    if (b->max_runs && b->max_runs < b->min_runs && !b->runs) {
        lab_complain("heddle run: --max-runs %u is less than --min-runs %u", b->max_runs,
                     b->min_runs);
        return LAB_EXIT_USAGE;
    }
    return 0;
}

/* ---- the commands' standard streams ---- */

static int open_stream(const char *name, int flags) {
    int fd = open(name, flags | O_CLOEXEC, 0666);
    if (fd < 0)
        lab_complain("cannot open '%s': %s", name, strerror(errno));
    return fd;
}

/* Some programs do less when they see that nobody listens. A process that reads everything and
 * does nothing with it lives as long as the measurement. */
static int open_drain(struct job *job) {
    int ends[2];
    char bytes[65536];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        lab_complain("no pipe can be made: %s", strerror(errno));
        return -1;
    }
    job->drain = fork();
    if (job->drain == 0) {
        signal(SIGINT, SIG_IGN); /* or what runs would get a SIGPIPE before its SIGKILL */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[1]);
        while (read(ends[0], bytes, sizeof(bytes)) > 0)
            continue;
        _exit(0);
    }
    close(ends[0]);
    if (job->drain < 0) {
        lab_complain("no process can be started: %s", strerror(errno));
        close(ends[1]);
        return -1;
    }
    return ends[1];
}

static int open_streams(struct job *job) {
    struct lab_bench *b = &job->bench;
    const char *in = job->input, *out = job->output;
    b->in = open_stream(in && strcmp(in, "null") != 0 ? in : "/dev/null", O_RDONLY);
    if (!out || strcmp(out, "null") == 0) {
        b->out = b->err = open_stream("/dev/null", O_WRONLY);
    } else if (strcmp(out, "pipe") == 0) {
        b->out = b->err = open_drain(job);
    } else if (strcmp(out, "inherit") == 0) {
        b->out = STDOUT_FILENO;
        b->err = STDERR_FILENO;
    } else {
        b->out = open_stream(out, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
        b->err = STDERR_FILENO;
    }
    return b->in < 0 || b->out < 0 || b->err < 0 ? LAB_EXIT_USAGE : 0;
}

static void close_streams(struct job *job) {
    const int fds[] = {job->bench.in, job->bench.out};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] > STDERR_FILENO)
            close(fds[i]);
    }
    if (job->drain > 0) { /* somebody who hides from us may still hold the pipe */
        kill(job->drain, SIGKILL);
        waitpid(job->drain, NULL, 0);
    }
}

/* ---- the work ---- */

static void add_option(struct lab_run *run, const char *key, bool given, const char *format,
                       double value) {
    char text[32];
    if (!given)
        return;
    snprintf(text, sizeof(text), format, value);
    lab_pairs_add(&run->options, &run->option_count, key, text, true);
}

static void describe(struct lab_run *run, const struct job *job) {
    const struct lab_bench *b = &job->bench;
    run->mode = "run";
    lab_machine_describe(run);
    lab_keep_describe(run, "run", job->argv);
    run->commit = lab_keep_commit();
    add_option(run, "warmup", true, "%.0f", b->warmup);
    add_option(run, "runs", b->runs > 0, "%.0f", b->runs);
    add_option(run, "min-runs", !b->runs, "%.0f", b->min_runs);
    add_option(run, "max-runs", b->max_runs > 0, "%.0f", b->max_runs);
    add_option(run, "seconds", !b->runs, "%.10g", b->seconds);
    add_option(run, "timeout", b->timeout_s > 0, "%.10g", b->timeout_s);
    add_option(run, "one-by-one", b->one_by_one, "%.0f", 1);
    add_option(run, "ignore-failure", b->ignore_failure, "%.0f", 1);
    char *seed = lab_format("%llu", (unsigned long long)b->seed);
    lab_pairs_add(&run->options, &run->option_count, "seed", seed, true);
    free(seed);
    const char *const texts[][2] = {
        {"shell", job->sources.shell}, {"input", job->input}, {"output", job->output}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i][1])
            lab_pairs_add(&run->options, &run->option_count, texts[i][0], texts[i][1], false);
    }
    run->subjects = lab_alloc(b->item_count, sizeof(*run->subjects));
    for (size_t i = 0; i < b->item_count; i++) {
        run->subjects[run->subject_count++] =
            (struct lab_subject_info){.name = lab_copy(b->items[i].name),
                                      .kind = lab_copy("command"),
                                      .version = lab_copy(""),
                                      .path = lab_copy(b->items[i].argv[0])};
    }
}

/* Whether messages and the table end on one terminal, which is to tell a failure once. */
static bool table_is_beside(const struct lab_files *files) {
    for (int i = 0; i < LAB_REPORTS; i++) {
        if (files->outputs[i].file == stdout)
            return false;
    }
    return isatty(STDOUT_FILENO) && isatty(STDERR_FILENO);
}

static int report(struct job *job, const struct lab_run *run) {
    struct lab_matches matches;
    bool table;
    int status = lab_files_write(&job->shared.files, lab_files_run, run, &table);
    if (table) {
        lab_match_subjects(run, job->margin, &matches);
        report_run_text(run, &matches, stdout, lab_files_colour());
        lab_matches_free(&matches);
        status = cmd_finish(status);
    }
    return status;
}

static int measure(struct job *job) {
    struct lab_run run = {0};
    lab_interrupt_install();
    lab_progress_start(job->shared.quiet);
    int status = lab_files_open(&job->shared.files);
    if (!status)
        status = lab_keep_check(&job->shared.keep);
    if (!status)
        status = open_streams(job);
    if (!status) {
        describe(&run, job);
        job->bench.failures_later = table_is_beside(&job->shared.files);
        lab_bench_run(&job->bench, &run);
        int kept = run.result_count ? lab_keep_run(&job->shared.keep, &run) : 0;
        status = report(job, &run);
        if (kept || run.failure_count || run.result_count == 0)
            status = LAB_EXIT_UNMEASURED;
        if (lab_interrupt_signal())
            status = LAB_EXIT_SIGNAL + lab_interrupt_signal();
    }
    close_streams(job);
    lab_files_close(&job->shared.files);
    lab_run_free(&run);
    return status;
}

int cmd_run(char **argv) {
    struct job job = {.argv = argv, .margin = LAB_MARGIN_DEFAULT};
    job.shared.files.command = "heddle run";
    job.bench = (struct lab_bench){.warmup = 1, .min_runs = 10, .seconds = 3, .seed = 1};
    struct lab_opt o = {.argv = argv,
                        .table = options,
                        .shared = lab_options_run,
                        .command = "heddle run"};
    int status = 0;
    for (int id; !status && (id = lab_opt_next(&o)) != LAB_OPT_END;) {
        if (id != LAB_OPT_WORD) {
            status = take_option(&job, id, o.name, o.value);
        } else {
            status = o.only_words ? add_word(&job, o.argv[-1]) : add_line(&job, o.value);
        }
    }
    if (!status && job.shared.help) {
        cmd_run_help(stdout);
        status = cmd_finish(LAB_EXIT_DONE);
    } else if (!status) {
        status = check(&job);
        if (!status)
            status = lab_sources_expand(&job.sources, &job.bench);
        if (!status)
            status = measure(&job);
    }
    lab_bench_free(&job.bench);
    lab_sources_free(&job.sources);
    return status;
}
