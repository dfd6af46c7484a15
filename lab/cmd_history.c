/* SPDX-License-Identifier: MIT */
/* heddle history: what the store holds. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd.h"
#include "message.h"
#include "opt.h"
#include "pick.h"
#include "record.h"
#include "report/format.h"
#include "report/json.h"
#include "store/keep.h"
#include "store/store.h"
#include "text.h"

enum {
    OPT_EXPERIMENT,
    OPT_SUBJECT,
    OPT_METRIC,
    OPT_LABEL,
    OPT_COMMIT,
    OPT_SINCE,
    OPT_LIMIT,
    OPT_JSON,
    OPT_SET_LABEL,
    OPT_SET_BASELINE,
    OPT_DELETE,
    OPT_DB,
    OPT_HELP,
};

static const struct lab_option options[] = {
    {OPT_EXPERIMENT, 0, "experiment", "NAME", "only runs with results of it"},
    {OPT_SUBJECT, 0, "subject", "NAME", "only runs with results of it"},
    {OPT_METRIC, 'm', "metric", "NAME", "show the results of this metric, a line each"},
    {OPT_LABEL, 0, "label", "NAME", "only runs with this label"},
    {OPT_COMMIT, 0, "commit", "PREFIX", "only runs of commits that begin so"},
    {OPT_SINCE, 0, "since", "DATE", "only runs from then on: 2026-11, 2026-11-22T18:00"},
    {OPT_LIMIT, 'n', "limit", "N", "the latest N alone (default: 20; 0: all)"},
    {OPT_JSON, 0, "json", NULL, "print JSON"},
    {OPT_SET_LABEL, 0, "set-label", "NAME", "give the named RUN this label"},
    {OPT_SET_BASELINE, 0, "set-baseline", "NAME",
     "make the named RUN the baseline NAME, for 'heddle gate' and 'heddle compare'"},
    {OPT_DELETE, 0, "delete", NULL, "take the named RUN away, for good"},
    {OPT_DB, 0, "db", "FILE", "the store"},
    {OPT_HELP, 'h', "help", NULL, "print this and end"},
    {0},
};

void cmd_history_help(FILE *f) {
    fputs("Usage: heddle history [OPTION...]\n"
          "       heddle history RUN --set-label NAME | --set-baseline NAME | --delete\n\n"
          "Lists the runs that were kept, the latest first; with --metric, what became of\n"
          "it in each. RUN is a number, a label, a commit, last, last-N or baseline:NAME.\n\n",
          f);
    lab_opt_print(options, f);
}

struct job {
    struct lab_store_filter filter;
    const char *run, *db;
    const char *set_label, *set_baseline;
    bool delete, json, help;
    /* while listing */
    struct lab_store *store;
    struct lab_json j;
    size_t shown;
    int error;
};

/* Columns of a line: $COLUMNS or the terminal's, but at least LAB_WIDTH. */
static size_t line_width(void) {
    const char *told = getenv("COLUMNS");
    unsigned long long columns = 0;
    struct winsize size;
    if ((!told || !lab_parse_number(told, false, 1, 10000, &columns)) &&
        ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        columns = size.ws_col;
    return columns > LAB_WIDTH ? (size_t)columns - 1 : LAB_WIDTH;
}

/* What was measured: of heddle run the commands, before its options; or what was imported. */
static void print_what(const struct lab_store_row *row, size_t column) {
    const char *command = row->command;
    command += lab_starts_with(command, "heddle ") ? strlen("heddle ") : 0;
    char *text = *row->source_format ? lab_format("import of %s", row->source_format)
                 : strcmp(row->mode, "run") == 0 && *row->subjects
                     ? lab_format("%s (%s)", row->subjects, command)
                     : lab_copy(command);
    lab_make_printable(text);
    printf(" %.*s\n", (int)lab_fit(text, line_width() - column, NULL), text);
    free(text);
}

/* A commit's first digits, with -dirty if files differed from it. */
static char *short_commit(const char *commit) {
    enum { DIGITS = 7 };
    static const char dirty[] = "-dirty";
    size_t n = *commit ? strcspn(commit, "-") : 1;
    bool differed = *commit && strcmp(commit + n, dirty) == 0;
    char *text = lab_format("%.*s%s", n < DIGITS ? (int)n : DIGITS, *commit ? commit : "-",
                            differed ? dirty : "");
    lab_make_printable(text);
    return text;
}

static void print_row(const struct job *job, const struct lab_store_row *row) {
    if (job->shown == 0)
        printf("%5s %-16s %-12s %-13s %4s %3s %s\n", "RUN", "TIME (UTC)", "LABEL", "COMMIT", "RES",
               "BAD", "WHAT");
    char *time = lab_copy_n(row->time, strnlen(row->time, 16));
    char *label = *row->baselines
                      ? lab_format("%s%s=%s", row->label, *row->label ? " " : "", row->baselines)
                      : lab_copy(row->label);
    char *commit = short_commit(row->commit);
    char *letter = strchr(time, 'T');
    if (letter)
        *letter = ' ';
    lab_make_printable(label);
    printf("%5lld %-16s ", row->id, time);
    lab_cell(stdout, *label ? label : "-", 12);
    printf(" %-13.13s %4lld %3lld", commit, row->results, row->failures);
    print_what(row, 59);
    free(commit);
    free(time);
    free(label);
}

static void json_row(struct job *job, const struct lab_store_row *row) {
    lab_json_integer(&job->j, "id", row->id);
    const char *const texts[][2] = {
        {"time", row->time},          {"label", row->label},
        {"commit", row->commit},      {"mode", row->mode},
        {"command", row->command},    {"source_format", row->source_format},
        {"baselines", row->baselines}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        lab_json_string(&job->j, texts[i][0], *texts[i][1] ? texts[i][1] : NULL);
    lab_json_bool(&job->j, "interrupted", row->interrupted);
    lab_json_integer(&job->j, "results", row->results);
    lab_json_integer(&job->j, "failures", row->failures);
}

static bool wanted(const char *pattern, const char *text) {
    return !pattern || strcmp(pattern, text) == 0;
}

/* One result of a run, with the run's name before it. */
static void print_result(struct job *job, const struct lab_store_row *row,
                         const struct lab_result *r) {
    char median[LAB_CELL], range[2 * LAB_CELL];
    if (job->json) {
        lab_json_object(&job->j, NULL, true);
        lab_json_integer(&job->j, "id", row->id);
        lab_json_string(&job->j, "time", row->time);
        lab_json_string(&job->j, "commit", *row->commit ? row->commit : NULL);
        lab_json_string(&job->j, "experiment", r->experiment);
        lab_json_string(&job->j, "variant", r->variant);
        lab_json_string(&job->j, "subject", r->subject);
        lab_json_string(&job->j, "metric", r->metric);
        lab_json_string(&job->j, "unit", r->unit);
        lab_json_integer(&job->j, "n", (long long)r->n);
        lab_json_number(&job->j, "median", r->median);
        lab_json_end_object(&job->j);
        return;
    }
    int width = (int)(line_width() - LAB_WIDTH) + 17;
    if (job->shown == 0)
        printf("%5s %-10s %-13s %-*s %9s %15s %4s\n", "RUN", "DATE", "COMMIT", width, "WHAT",
               "MEDIAN", "95 % INTERVAL", "N");
    char *what =
        lab_format("%s%s%s %s", r->experiment, *r->variant ? " " : "", r->variant, r->subject);
    lab_make_printable(what);
    lab_human(median, r->median, r->unit);
    lab_human_range(range, r->ci_low, r->ci_high, r->unit);
    char *commit = short_commit(row->commit);
    printf("%5lld %-10.10s %-13.13s ", row->id, row->time, commit);
    lab_cell(stdout, what, (size_t)width);
    free(commit);
    printf(" %9s %15s %4zu\n", median, range, r->n);
    free(what);
}

static bool list_results(struct job *job, const struct lab_store_row *row) {
    struct lab_run run;
    job->error = lab_store_load(job->store, row->id, &run);
    for (size_t i = 0; !job->error && i < run.result_count; i++) {
        const struct lab_result *r = &run.results[i];
        if (!wanted(job->filter.metric, r->metric) || !wanted(job->filter.subject, r->subject) ||
            !wanted(job->filter.experiment, r->experiment))
            continue;
        print_result(job, row, r);
        job->shown++;
    }
    if (!job->error)
        lab_run_free(&run);
    return !job->error;
}

struct ids {
    struct lab_store_row *rows;
    size_t count;
};

/* Rows are copied, so that nothing is read within the list's own statement. */
static bool collect(const struct lab_store_row *row, void *data) {
    struct ids *all = data;
    all->rows = lab_grow_one(all->rows, all->count, sizeof(*all->rows));
    struct lab_store_row *copy = &all->rows[all->count++];
    *copy = *row;
    const char **const texts[] = {&copy->time,          &copy->label,     &copy->command,
                                  &copy->commit,        &copy->mode,      &copy->source_format,
                                  &copy->baselines,     &copy->subjects};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        *texts[i] = lab_copy(*texts[i]);
    return true;
}

static void free_rows(struct ids *all) {
    for (size_t i = 0; i < all->count; i++) {
        const struct lab_store_row *x = &all->rows[i];
        const char *const texts[] = {x->time, x->label,         x->command,   x->commit,
                                     x->mode, x->source_format, x->baselines, x->subjects};
        for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++)
            free((char *)texts[k]);
    }
    free(all->rows);
}

static int list(struct job *job) {
    struct ids all = {0};
    job->error = lab_store_list(job->store, &job->filter, collect, &all);
    job->j = (struct lab_json){.f = stdout};
    if (job->json) {
        lab_json_object(&job->j, NULL, false);
        lab_json_integer(&job->j, "schema", 1);
        lab_json_array(&job->j, job->filter.metric ? "results" : "runs", false);
    }
    for (size_t i = 0; !job->error && i < all.count; i++) {
        if (job->filter.metric) {
            list_results(job, &all.rows[i]);
        } else if (job->json) {
            lab_json_object(&job->j, NULL, true);
            json_row(job, &all.rows[i]);
            lab_json_end_object(&job->j);
        } else {
            print_row(job, &all.rows[i]);
            job->shown++;
        }
    }
    if (job->json) {
        lab_json_end_array(&job->j);
        lab_json_end_object(&job->j);
        putchar('\n');
    } else if (!job->error && job->shown == 0) {
        puts("There is no such run.");
    }
    free_rows(&all);
    return job->error ? LAB_EXIT_UNMEASURED : LAB_EXIT_DONE;
}

static bool changes(const struct job *job) {
    return job->set_label || job->set_baseline || job->delete;
}

struct named {
    long long id;
    char *baselines; /* "" if there are none */
};

static bool take_baselines(const struct lab_store_row *row, void *data) {
    struct named *run = data;
    if (row->id == run->id)
        run->baselines = lab_copy(row->baselines);
    return row->id > run->id;
}

/* A baseline goes with its run, which is said. */
static int delete_run(struct job *job, long long id) {
    struct named run = {.id = id};
    int error = lab_store_list(job->store, &(struct lab_store_filter){0}, take_baselines, &run);
    if (!error)
        error = lab_store_delete(job->store, id);
    if (!error && run.baselines && *run.baselines) {
        lab_make_printable(run.baselines);
        printf("Run %lld: deleted, and with it the baseline%s '%s'.\n", id,
               strchr(run.baselines, ',') ? "s" : "", run.baselines);
    } else if (!error) {
        printf("Run %lld: deleted.\n", id);
    }
    free(run.baselines);
    return error ? LAB_EXIT_UNMEASURED : LAB_EXIT_DONE;
}

/* What is to be done with the named run. */
static int change(struct job *job) {
    long long id;
    if (lab_pick_find(job->store, job->run, &id) != 0)
        return LAB_EXIT_USAGE;
    if (!changes(job)) {
        lab_complain("heddle history: '%s' is run %lld, but what shall become of it? (--set-label, "
                     "--set-baseline, --delete; 'heddle export %s -f text' prints it, and --label "
                     "lists the runs with a label)",
                     job->run, id, job->run);
        return LAB_EXIT_USAGE;
    }
    if (job->delete)
        return delete_run(job, id);
    int error = 0;
    if (job->set_label)
        error = lab_store_label(job->store, id, *job->set_label ? job->set_label : NULL);
    if (!error && job->set_baseline)
        error = lab_store_baseline_set(job->store, job->set_baseline, id);
    if (error)
        return LAB_EXIT_UNMEASURED;
    printf("Run %lld: %s.\n", id, job->set_label ? "labelled" : "a baseline");
    return LAB_EXIT_DONE;
}

static int take_option(struct job *job, int id, const char *value) {
    const char **const texts[] = {[OPT_EXPERIMENT] = &job->filter.experiment,
                                  [OPT_SUBJECT] = &job->filter.subject,
                                  [OPT_METRIC] = &job->filter.metric,
                                  [OPT_LABEL] = &job->filter.label,
                                  [OPT_COMMIT] = &job->filter.commit,
                                  [OPT_SINCE] = &job->filter.since,
                                  [OPT_SET_LABEL] = &job->set_label,
                                  [OPT_SET_BASELINE] = &job->set_baseline,
                                  [OPT_DB] = &job->db,
                                  [OPT_HELP] = NULL};
    switch (id) {
    case OPT_LIMIT:
        if (lab_parse_number(value, false, 0, 1u << 30, &job->filter.limit))
            return 0;
        lab_complain("--limit: '%s' is not a number", value);
        return LAB_EXIT_USAGE;
    case OPT_JSON:
        job->json = true;
        return 0;
    case OPT_DELETE:
        job->delete = true;
        return 0;
    case OPT_HELP:
        job->help = true;
        return 0;
    case LAB_OPT_WORD:
        if (job->run)
            lab_complain("heddle history: one run at a time");
        else
            job->run = value;
        return job->run == value ? 0 : LAB_EXIT_USAGE;
    default:
        if (id < 0 || !texts[id])
            return LAB_EXIT_USAGE;
        *texts[id] = value;
        return 0;
    }
}

/* Whether it is how a time of the store may begin: 2026, 2026-11, ... 2026-11-22T18:00:59Z, with
 * numbers that a calendar has. A blank may stand for the T. */
static bool is_date(const char *s) {
    static const char shape[] = "dddd-dd-ddTdd:dd:ddZ";
    static const int least[] = {0, 1, 1, 0, 0, 0}, most[] = {9999, 12, 31, 23, 59, 60};
    int fields[6] = {0, 1, 1, 0, 0, 0}, field = 0;
    size_t n = strlen(s), i = 0;
    if (n > strlen(shape) || n < 4 || (n < strlen(shape) && n % 3 != 1))
        return false;
    for (; i < n && s[i] != 'Z'; i++) {
        bool digit = s[i] >= '0' && s[i] <= '9', blank = shape[i] == 'T' && s[i] == ' ';
        if (shape[i] == 'd' ? !digit : s[i] != shape[i] && !blank)
            return false;
        if (!digit)
            fields[++field] = 0;
        else
            fields[field] = fields[field] * 10 + (s[i] - '0');
    }
    if (i < n && shape[i] != 'Z')
        return false; /* a Z elsewhere */
    for (int k = 0; k < 6; k++) {
        if (fields[k] < least[k] || fields[k] > most[k])
            return false;
    }
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return fields[2] <= days[fields[1] - 1];
}

static int check(const struct job *job) {
    if (changes(job) && !job->run)
        lab_complain("heddle history: of which run? (its number, label or commit, or 'last')");
    else if (job->delete &&(job->set_label || job->set_baseline))
        lab_complain("heddle history: a run that is deleted can be nothing else");
    else if (job->set_label && *job->set_label && !lab_keep_label(job->set_label))
        return LAB_EXIT_USAGE;
    else if (job->filter.since && !is_date(job->filter.since))
        lab_complain("--since: '%s' is no date: 2026-11, 2026-11-22, 2026-11-22T18:00 (UTC)",
                     job->filter.since);
    else if (job->set_baseline && !lab_keep_baseline(job->set_baseline))
        return LAB_EXIT_USAGE;
    else
        return 0;
    return LAB_EXIT_USAGE;
}

int cmd_history(char **argv) {
    struct lab_opt o = {.argv = argv, .table = options, .command = "heddle history"};
    struct job job = {.filter = {.limit = 20}};
    for (int id; (id = lab_opt_next(&o)) != LAB_OPT_END;) {
        int status = take_option(&job, id, o.value);
        if (status)
            return status;
    }
    if (job.help) {
        cmd_history_help(stdout);
        return cmd_finish(LAB_EXIT_DONE);
    }
    int status = check(&job);
    if (status)
        return status;
    if (lab_store_open(job.db, false, &job.store) != 0)
        return LAB_EXIT_USAGE;
    status = job.run ? change(&job) : list(&job);
    lab_store_close(job.store);
    return cmd_finish(status);
}
