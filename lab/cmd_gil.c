/* SPDX-License-Identifier: MIT */
/* heddle gil: who holds the interpreter's lock of an unmodified Python program, who waits for it,
 * where, and what to do about it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "measure/machine.h"
#include "message.h"
#include "opt.h"
#include "probe/free.h"
#include "probe/output.h"
#include "probe/session.h"
#include "probe/verdict.h"
#include "probe/watch.h"
#include "record.h"
#include "report/output.h"
#include "subject/interrupt.h"
#include "text.h"

enum { OPT_PRELOAD };

static const struct lab_option options[] = {
    {OPT_PRELOAD, 0, "preload", NULL,
     "let the command write down its waits itself (LD_PRELOAD); by itself where needed"},
    {0},
};

enum { THREADS_MAX = 4096, STEP_MS = 100 };
enum { FREE_NS = 10 * 1000 * 1000 };

void cmd_gil_help(FILE *f) {
    fputs("Usage: heddle gil [OPTION...] -- COMMAND [ARGUMENT...]\n"
          "       heddle gil [OPTION...] --pid N [--for TIME]\n\n"
          "Says of an unmodified Python program who held the GIL (the interpreter's lock),\n"
          "who waited for it and for how long, in which lines, and what to do about it.\n"
          "Nothing is written into the program (but with --preload), and it is never\n"
          "stopped; the report says what watching costs it.\n\nOptions:\n",
          f);
    lab_opt_print(options, f);
    lab_opt_print(probe_session_options, f);
    fputs("\nWhat is written besides the text:\n", f);
    lab_opt_print(probe_output_options, f);
    fputs("\nExit status: 0 done, 2 wrong usage, 3 it could not be watched, 128 + N ended\n"
          "by signal N.\n",
          f);
}

struct job {
    struct probe_options watch;
    struct probe_outputs outputs;
    struct lab_output text;
    const char *text_name;
    bool live, quiet, help;
    char **argv; /* all that was typed, for the line that repeats it */
    char *repeat;

    struct probe_watch *w;
    struct probe_live *view; /* NULL: none */
    struct probe_timeline *timeline;
    struct probe_words words;
    struct lab_run machine;
    struct probe_means means[PROBE_MEANS_COUNT]; /* the watch's, and ours */
    const struct probe_table *table;
    size_t tables;
    struct probe_free *free; /* samples of a free-threaded interpreter; NULL: none */
    char *program, *ended;
    double stopped_s, watched_s; /* of that time the process was stopped */
    uint64_t interval_us;
    uint64_t free_ns; /* when its samples were last taken */
    bool interval_told, free_tried;
};

/* ---- options ---- */

static struct probe_asked asked(struct job *job) {
    return (struct probe_asked){.command = "heddle gil",
                                .watch = &job->watch,
                                .outputs = &job->outputs,
                                .text_name = &job->text_name,
                                .live = &job->live,
                                .quiet = &job->quiet,
                                .help = &job->help};
}

static int take_option(struct job *job, int id, const char *name, const char *value) {
    struct probe_asked shared = asked(job);
    switch (id) {
    case OPT_PRELOAD:
        job->watch.preload = true;
        return 0;
    default:
        return probe_take_option(&shared, id, name, value);
    }
}

static int check(struct job *job) {
    struct probe_asked shared = asked(job);
    if (job->watch.command || !job->watch.preload || !job->watch.pid)
        return probe_check_options(&shared);
    lab_complain("heddle gil: --preload is for a command; a process that runs is not changed");
    return LAB_EXIT_USAGE;
}

/* ---- watching ---- */

/* Python 2 says nothing of its lock but to a library that is loaded into it. The name is all that
 * is known before it runs. */
static bool is_python2(const char *command) {
    const char *base = strrchr(command, '/');
    char *name = lab_copy(base ? base + 1 : command);
    if (base) {
        char *real = realpath(command, NULL);
        if (real) {
            free(name);
            base = strrchr(real, '/');
            name = lab_copy(base ? base + 1 : real);
            free(real);
        }
    }
    bool found = lab_starts_with(name, "python2");
    free(name);
    return found;
}

static const struct probe_python_facts *python_of(const struct job *job) {
    struct probe_python *p = job->w ? probe_watch_python(job->w) : NULL;
    return p ? probe_python_facts(p) : NULL;
}

static void tell_interval(struct job *job) {
    const struct probe_python_facts *p = python_of(job);
    uint64_t us = p && p->major >= 3 ? p->switch_interval_us : 0;
    if (!p || (job->interval_told && us == job->interval_us))
        return;
    job->interval_told = true;
    job->interval_us = us; /* the program may change it */
    probe_timeline_interval(job->timeline, us);
}

/* Of a free-threaded build: what its threads share, besides. */
static void sample_free(struct job *job) {
    struct probe_python *python = probe_watch_python(job->w);
    char *why = NULL;
    if (job->free) {
        probe_free_step(job->free, python, probe_timeline_event, job->timeline);
    } else if (python && !job->free_tried && probe_python_facts(python)->free_threaded) {
        job->free_tried = true;
        if (!job->watch.no_perf)
            probe_free_open(probe_watch_pid(job->w), python, !job->watch.no_root, &job->free, &why);
        if (!job->free)
            probe_say(&job->words.notes, "Contended objects are not known: %s.",
                      why ? why : "that takes perf events, which were left out as asked");
        free(why);
    }
}

/* Tells the timeline of the interval before the first event that depends on it. */
static void sink(void *arg, const struct probe_event *e) {
    struct job *job = arg;
    if (!job->interval_told && (e->kind == PROBE_TAKE || e->kind == PROBE_HOLDER))
        tell_interval(job);
    if (e->ns > job->free_ns + FREE_NS) {
        job->free_ns = e->ns;
        sample_free(job);
    }
    probe_timeline_event(job->timeline, e);
}

static void fill_report(struct job *job, struct probe_report *r, struct probe_watch_facts *facts) {
    probe_watch_facts(job->w, facts);
    memcpy(job->means, probe_watch_means(job->w), sizeof(job->means));
    if (job->free)
        job->means[PROBE_MEANS_TRACEFS] = probe_free_traces(job->free);
    *r = (struct probe_report){
        .command = "gil",
        .repeat = job->repeat,
        .target = job->watch.command,
        .program = job->program,
        .pid = probe_watch_pid(job->w),
        .stopped = job->watched_s > 0 ? job->stopped_s / job->watched_s : 0,
        .ended = job->ended,
        .timeline = job->timeline,
        .stacks = probe_watch_stacks(job->w),
        .means = job->means,
        .facts = facts,
        .python = python_of(job),
        .verdict = job->words.verdict.text,
        .verdict_count = job->words.verdict.count,
        .advice = job->words.advice.text,
        .advice_count = job->words.advice.count,
        .notes = job->words.notes.text,
        .note_count = job->words.notes.count,
        .table = job->table,
        .table_count = job->tables,
        .machine = job->machine.machine,
        .machine_count = job->machine.machine_count,
    };
}

static void show_progress(const struct job *job, double since_s) {
    const struct probe_timeline *t = job->timeline;
    uint64_t takes = 0;
    for (size_t i = 0; i < t->lock_count; i++)
        takes += t->lock[i].takes;
    lab_progress("%.0f s watched; %zu threads, %llu hand-overs; Ctrl-C ends", lab_now_s() - since_s,
                 t->thread_count, (unsigned long long)takes);
}

/* 0, or -errno. */
static int watch(struct job *job) {
    struct probe_report r;
    struct probe_watch_facts facts;
    double since_s = lab_now_s(), named_s = since_s;
    double before_s = since_s;
    int more;
    while ((more = probe_watch_step(job->w, STEP_MS, sink, job)) > 0) {
        job->watched_s = lab_now_s() - since_s;
        if (probe_is_stopped(probe_watch_pid(job->w)))
            job->stopped_s += since_s + job->watched_s - before_s;
        before_s = since_s + job->watched_s;
        tell_interval(job);
        sample_free(job);
        if (!job->program)
            job->program = probe_program_of(probe_watch_pid(job->w));
        if (!job->view) {
            show_progress(job, since_s);
            continue;
        }
        if (lab_now_s() > named_s + 1) {
            named_s = lab_now_s();
            probe_name_threads(job->timeline, probe_watch_stacks(job->w));
        }
        fill_report(job, &r, &facts);
        if (!probe_live_step(job->view, &r, job->timeline))
            break;
    }
    sample_free(job); /* what has come since */
    return more < 0 ? more : 0;
}

/* ---- reporting ---- */

static int write_text(struct job *job, const struct probe_report *r, bool stdout_free) {
    if (!job->text_name) {
        if (stdout_free)
            probe_gil_text(stdout, r);
        return cmd_finish(LAB_EXIT_DONE);
    }
    probe_gil_text(job->text.file, r);
    return lab_output_commit(&job->text) == 0 ? LAB_EXIT_DONE : LAB_EXIT_UNMEASURED;
}

static int no_python(const struct job *job, const char *why) {
    const char *hint = job->watch.follow ? "give the number of the Python itself (--pid)"
                                         : "a Python that it starts is seen with --follow";
    const char *where = job->program ? job->program : "the process";
    if (!job->program && job->watch.command)
        where = job->watch.command[0];
    lab_complain("no Python was found in %s%s%s; %s. 'heddle threads' shows any program's threads",
                 where, why ? ": " : "", why ? why : "", hint);
    return LAB_EXIT_UNMEASURED;
}

/* Watching is not free where the GIL changes hands all the time. */
static void say_cost(struct job *job, const struct probe_watch_facts *facts) {
    double whole = (double)(facts->end_ns - facts->begin_ns);
    uint64_t takes = 0;
    for (size_t i = 0; i < job->timeline->lock_count; i++)
        takes += job->timeline->lock[i].takes;
    double part = whole > 0 ? (double)facts->watchpoint_ns * (double)takes / whole : 0;
    if (part > 0.02)
        probe_say(&job->words.notes,
                  "The program was slowed down by being watched: each of its %.0f hand-overs a "
                  "second cost it about %.1f us more, %.0f %% of the time or more. With --no-perf "
                  "it is not, and figures are estimates.",
                  (double)takes / whole * 1e9, (double)facts->watchpoint_ns * 1e-3, part * 100);
}

static void say_children(struct job *job, const struct probe_watch_facts *facts) {
    if (facts->children == 1)
        probe_say(&job->words.verdict, "This is of the process itself: the one that it started was "
                                       "not watched; --follow watches both.");
    else if (facts->children > 1)
        probe_say(&job->words.verdict,
                  "This is of the process itself: the %llu that it started were not watched; "
                  "--follow watches all.",
                  (unsigned long long)facts->children);
}

static int report(struct job *job) {
    struct probe_report r;
    struct probe_watch_facts facts;
    probe_watch_facts(job->w, &facts);
    probe_timeline_finish(job->timeline, facts.end_ns);
    if (!python_of(job)) {
        const struct probe_means *m = probe_watch_means(job->w);
        return no_python(job, m ? m[PROBE_MEANS_STACKS].why : NULL);
    }
    probe_name_threads(job->timeline, probe_watch_stacks(job->w));
    probe_name_main(job->timeline);
    if (probe_outputs_any(&job->outputs))
        lab_machine_describe(&job->machine);
    fill_report(job, &r, &facts);
    probe_words_gil(&r, &job->words);
    say_children(job, &facts);
    say_cost(job, &facts);
    if (job->free) {
        job->table = probe_free_tables(job->free, &job->tables);
        probe_free_words(job->free, &job->words.verdict, &job->words.advice, &job->words.notes);
    }
    fill_report(job, &r, &facts);
    bool stdout_free;
    int status = probe_outputs_write(&job->outputs, &r, &stdout_free);
    char *size = probe_outputs_size(&job->outputs, job->timeline);
    if (size)
        probe_say(&job->words.notes, "%s", size);
    free(size);
    fill_report(job, &r, &facts);
    int text = write_text(job, &r, stdout_free);
    return status ? status : text;
}

static int open_all(struct job *job) {
    int status = probe_outputs_open(&job->outputs);
    if (!status && job->text_name && lab_output_open(&job->text, job->text_name) != 0)
        status = LAB_EXIT_USAGE;
    if (!status && job->live && probe_live_open(job->watch.command != NULL, &job->view) != 0)
        status = LAB_EXIT_UNMEASURED;
    return status;
}

/* The exit status. */
static int run(struct job *job) {
    int status = open_all(job);
    if (status)
        return status;
    lab_interrupt_install();
    lab_progress_start(job->quiet || job->view);
    job->timeline = probe_timeline_new(THREADS_MAX, probe_outputs_spans(&job->outputs));
    job->watch.python = true;
    bool asked = job->watch.preload;
    if (job->watch.command && is_python2(job->watch.command[0]))
        job->watch.preload = true;
    int error = probe_watch_open(&job->watch, &job->w);
    if (error)
        return probe_watch_exit_status(&job->watch, error);
    const struct probe_means *preload = &probe_watch_means(job->w)[PROBE_MEANS_PRELOAD];
    if (asked && !preload->used)
        lab_complain("heddle gil: --preload is without effect: %s", preload->why);
    error = watch(job);
    lab_progress_hide();
    probe_live_close(job->view);
    job->view = NULL;
    if (error) {
        lab_complain("heddle gil: the watching ended: %s", strerror(-error));
        status = LAB_EXIT_UNMEASURED;
    }
    job->ended = probe_how_it_ended(job->w);
    int reported = report(job);
    if (lab_interrupt_signal())
        return LAB_EXIT_SIGNAL + lab_interrupt_signal();
    return status ? status : reported;
}

static void clean_up(struct job *job) {
    probe_live_close(job->view);
    probe_free_close(job->free);
    if (job->w)
        probe_watch_close(job->w, NULL);
    probe_outputs_close(&job->outputs);
    if (job->text.name)
        lab_output_abandon(&job->text);
    probe_timeline_free(job->timeline);
    probe_words_free(&job->words);
    lab_run_free(&job->machine);
    free(job->repeat);
    free(job->program);
    free(job->ended);
}

int cmd_gil(char **argv) {
    struct job job = {.argv = argv, .outputs.command = "heddle gil"};
    struct lab_opt o = {.argv = argv,
                        .table = options,
                        .more = probe_output_options,
                        .shared = probe_session_options,
                        .command = "heddle gil"};
    int status = 0;
    for (int id; !status && (id = lab_opt_next(&o)) != LAB_OPT_END;) {
        if (id == LAB_OPT_WORD) { /* the command begins; its options are its own */
            job.watch.command = o.argv - 1;
            break;
        }
        status = id == LAB_OPT_ERROR ? LAB_EXIT_USAGE : take_option(&job, id, o.name, o.value);
    }
    if (!status && job.help) {
        cmd_gil_help(stdout);
        return cmd_finish(LAB_EXIT_DONE);
    }
    if (!status)
        status = check(&job);
    if (!status) {
        job.repeat = probe_command_line("heddle gil", argv);
        status = run(&job);
    }
    clean_up(&job);
    return status;
}
