/* SPDX-License-Identifier: MIT */
/* heddle threads: where the threads of any program spend their time: on a CPU, waiting for one, or
 * blocked, and on what; of a program that uses heddle, its own threads, too. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "measure/machine.h"
#include "message.h"
#include "opt.h"
#include "probe/calls.h"
#include "probe/output.h"
#include "probe/session.h"
#include "probe/threads.h"
#include "record.h"
#include "report/output.h"
#include "subject/interrupt.h"
#include "text.h"

enum { OPT_ONCE, OPT_NO_STACKS };

static const struct lab_option options[] = {
    {OPT_ONCE, '1', "once", NULL, "with --pid: only say what each thread does at this moment"},
    {OPT_NO_STACKS, 0, "no-stacks", NULL, "leave out the stacks of C functions"},
    {0},
};

enum { THREADS_MAX = 4096, STEP_MS = 50 };

void cmd_threads_help(FILE *f) {
    fputs("Usage: heddle threads [OPTION...] -- COMMAND [ARGUMENT...]\n"
          "       heddle threads [OPTION...] --pid N [--for TIME | --once]\n\n"
          "Says where the threads of any program spend their time: on a CPU, waiting for\n"
          "one, or blocked, and in which call, on which lock, by which functions. Of a\n"
          "program that uses heddle it shows heddle's own threads, too. Nothing is written\n"
          "into the program, and it is never stopped.\n\nOptions:\n",
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
    bool native; /* stacks of C functions */
    bool live, quiet, once, help;
    char *repeat;

    struct probe_watch *w;
    struct probe_timeline *timeline;
    struct probe_live *view; /* NULL: none */
    struct probe_places *places;
    struct probe_circles circles;
    struct probe_books_kept *kept;
    struct probe_green *green;
    struct probe_books *books; /* one a thread of the timeline */
    struct probe_means means[PROBE_MEANS_COUNT];
    struct probe_words words;
    struct probe_table *table;
    size_t tables;
    struct lab_run machine;
    char *program, *ended;
    uint64_t prove_ns; /* when circles of threads are looked for again */
    double stopped_s, watched_s; /* of that time the process was stopped */
    char *looks_why, *native_why, *barred_why;
};

/* ---- options ---- */

static struct probe_asked asked(struct job *job) {
    return (struct probe_asked){.command = "heddle threads",
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
    case OPT_ONCE:
        job->once = true;
        return 0;
    case OPT_NO_STACKS:
        job->native = false;
        return 0;
    default:
        return probe_take_option(&shared, id, name, value);
    }
}

static int check(struct job *job) {
    struct probe_asked shared = asked(job);
    bool measures = probe_outputs_any(&job->outputs) || job->live || job->watch.for_s > 0;
    int status = probe_check_options(&shared);
    if (status || !job->once || (job->watch.pid && !measures))
        return status;
    if (!job->watch.pid)
        lab_complain("heddle threads: --once is for a process that runs; give its --pid");
    else
        lab_complain("heddle threads: --once is text alone, and at once; leave it out to measure");
    return LAB_EXIT_USAGE;
}

/* ---- watching ---- */

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sink(void *arg, const struct probe_event *e) {
    struct job *job = arg;
    struct probe_event own = *e;
    if (e->kind == PROBE_EXEC && e->pid == probe_watch_pid(job->w)) {
        probe_green_forget(job->green);
        free(job->program);
        job->program = NULL;
    }
    probe_places_event(job->places, &own);
    probe_timeline_event(job->timeline, &own);
}

static int cpus(pid_t pid) {
    cpu_set_t set;
    if (sched_getaffinity(pid, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* The watch's means, with what is done here in its place. */
static void fill_means(struct job *job) {
    memcpy(job->means, probe_watch_means(job->w), sizeof job->means);
    struct probe_means *looks = &job->means[PROBE_MEANS_LOOKS];
    struct probe_means *native = &job->means[PROBE_MEANS_NATIVE];
    if (looks->used)
        looks->why = job->looks_why;
    native->used = job->native && !probe_places_counts(job->places).barred;
    native->why = native->used        ? job->native_why
                  : job->native ? job->barred_why
                                      : native->why;
}

static void fill_report(struct job *job, struct probe_report *r, struct probe_watch_facts *facts) {
    struct probe_python *python = probe_watch_python(job->w);
    probe_watch_facts(job->w, facts);
    fill_means(job);
    *r = (struct probe_report){
        .command = "threads",
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
        .python = python ? probe_python_facts(python) : NULL,
        .books = job->books,
        .call_name = probe_call_name,
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
    lab_progress("%.0f s watched; %zu threads; Ctrl-C ends", lab_now_s() - since_s,
                 job->timeline->thread_count);
}

/* Looks for threads that wait for each other; of a process that has ended what was found stays. */
static void prove(struct job *job, uint64_t now) {
    struct probe_watch_facts facts;
    pid_t pid = probe_watch_pid(job->w);
    if (now < job->prove_ns)
        return;
    uint64_t begun_ns = now_ns();
    probe_watch_facts(job->w, &facts);
    if (!facts.ended)
        probe_circles_look(&job->circles, job->places, pid, probe_watch_python_of(job->w, pid));
    uint64_t pause_ns = (now_ns() - begun_ns) * 100;
    job->prove_ns = begun_ns + (pause_ns > 200000000 ? pause_ns : 200000000);
}

/* 0, or -errno. */
static int watch(struct job *job) {
    struct probe_report r;
    struct probe_watch_facts facts;
    double since_s = lab_now_s(), before_s = since_s;
    int more;
    while ((more = probe_watch_step(job->w, STEP_MS, sink, job)) > 0) {
        job->watched_s = lab_now_s() - since_s;
        if (probe_is_stopped(probe_watch_pid(job->w)))
            job->stopped_s += since_s + job->watched_s - before_s;
        before_s = since_s + job->watched_s;
        if (!job->program)
            job->program = probe_program_of(probe_watch_pid(job->w));
        probe_books_step(job->kept, now_ns());
        probe_green_step(job->green, now_ns());
        prove(job, now_ns());
        if (!job->view) {
            show_progress(job, since_s);
            continue;
        }
        fill_report(job, &r, &facts);
        if (!probe_live_step(job->view, &r, job->timeline))
            break;
    }
    probe_books_now(job->kept);
    prove(job, UINT64_MAX);
    return more < 0 ? more : 0;
}

/* ---- reporting ---- */

/* Samples alone know less of when a thread ran than the kernel's books do. */
static void correct(struct probe_thread *th, const struct probe_book *book) {
    uint64_t life = 0;
    for (int s = PROBE_STATE_NONE + 1; s < PROBE_STATES; s++) {
        life += th->state_ns[s];
        th->state_ns[s] = 0;
    }
    th->state_ns[PROBE_STATE_ON] = book->run_ns < life ? book->run_ns : life;
    life -= th->state_ns[PROBE_STATE_ON];
    th->state_ns[PROBE_STATE_RUNNABLE] = book->delay_ns < life ? book->delay_ns : life;
    th->state_ns[PROBE_STATE_BLOCKED] = life - th->state_ns[PROBE_STATE_RUNNABLE];
}

static void fill_books(struct job *job) {
    const struct probe_timeline *t = job->timeline;
    struct probe_book one;
    job->books = lab_alloc(t->thread_count + 1, sizeof *job->books);
    for (size_t i = 0; i < t->thread_count; i++) {
        struct probe_books *b = &job->books[i];
        if (!t->thread[i].tid || !probe_books_find(job->kept, t->thread[i].tid, &one))
            continue;
        *b = (struct probe_books){true, one.user_ns, one.system_ns, one.delay_ns};
        if (!job->means[PROBE_MEANS_SWITCHES].used && one.exact)
            correct(&t->thread[i], &one);
    }
}

static int write_text(struct job *job, const struct probe_report *r,
                      const struct probe_threads *x, bool stdout_free) {
    if (!job->text_name) {
        if (stdout_free)
            probe_threads_text(stdout, r, x);
        return cmd_finish(LAB_EXIT_DONE);
    }
    probe_threads_text(job->text.file, r, x);
    return lab_output_commit(&job->text) == 0 ? LAB_EXIT_DONE : LAB_EXIT_UNMEASURED;
}

static int report(struct job *job) {
    struct probe_report r;
    struct probe_watch_facts facts;
    struct probe_threads x = {.places = job->places,
                              .circles = &job->circles,
                              .cpus = cpus(probe_watch_pid(job->w))};
    probe_watch_facts(job->w, &facts);
    probe_timeline_finish(job->timeline, facts.end_ns);
    probe_places_finish(job->places, job->timeline, facts.end_ns);
    probe_threads_name(job->timeline, probe_watch_stacks(job->w));
    x.green = probe_green_view(job->green);
    (void)probe_books_process(job->kept, &x.user_ns, &x.system_ns);
    fill_means(job);
    x.records = job->means[PROBE_MEANS_SWITCHES].used;
    x.births = job->means[PROBE_MEANS_TASKS].used;
    fill_books(job);
    if (probe_outputs_any(&job->outputs))
        lab_machine_describe(&job->machine);
    fill_report(job, &r, &facts);
    probe_words_threads(&r, &x, &job->words);
    job->table = probe_threads_tables(&r, &x, &job->tables);
    fill_report(job, &r, &facts);
    bool stdout_free;
    int status = probe_outputs_write(&job->outputs, &r, &stdout_free);
    char *size = probe_outputs_size(&job->outputs, job->timeline);
    if (size)
        probe_say(&job->words.notes, "%s", size);
    free(size);
    fill_report(job, &r, &facts);
    int text = write_text(job, &r, &x, stdout_free);
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

static int once(struct job *job) {
    if (!job->text_name) {
        int status = probe_threads_once(stdout, job->watch.pid);
        return status ? status : cmd_finish(LAB_EXIT_DONE);
    }
    if (lab_output_open(&job->text, job->text_name) != 0)
        return LAB_EXIT_USAGE;
    int status = probe_threads_once(job->text.file, job->watch.pid);
    if (status)
        return status;
    return lab_output_commit(&job->text) == 0 ? LAB_EXIT_DONE : LAB_EXIT_UNMEASURED;
}

/* The exit status. */
static int run(struct job *job) {
    int status = open_all(job);
    if (status)
        return status;
    lab_interrupt_install();
    lab_progress_start(job->quiet || job->view);
    job->timeline = probe_timeline_new(THREADS_MAX, probe_outputs_spans(&job->outputs));
    job->looks_why = lab_format("each %g ms: in which call threads are that are off their CPU",
                                job->watch.every_ms > 0 ? job->watch.every_ms : 1);
    job->native_why = lab_copy("of threads that wait, read from their memory");
    job->barred_why = lab_copy("the memory of the process may not be read: be its user, or root");
    job->watch.native = job->watch.lines = job->native;
    int error = probe_watch_open(&job->watch, &job->w);
    if (error)
        return LAB_EXIT_UNMEASURED;
    pid_t pid = probe_watch_pid(job->w);
    job->places = probe_places_new(probe_watch_stacks(job->w), job->native);
    job->green = probe_green_new(pid, probe_watch_stacks(job->w));
    job->kept = probe_books_new(pid);
    probe_books_now(job->kept);
    error = watch(job);
    lab_progress_hide();
    probe_live_close(job->view);
    job->view = NULL;
    if (error) {
        lab_complain("heddle threads: the watching ended: %s", strerror(-error));
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
    probe_circles_free(&job->circles);
    probe_places_free(job->places);
    probe_green_free(job->green);
    probe_books_free(job->kept);
    if (job->w)
        probe_watch_close(job->w, NULL);
    probe_outputs_close(&job->outputs);
    if (job->text.name)
        lab_output_abandon(&job->text);
    probe_timeline_free(job->timeline);
    probe_words_free(&job->words);
    probe_threads_tables_free(job->table, job->tables);
    lab_run_free(&job->machine);
    free(job->books);
    free(job->repeat);
    free(job->program);
    free(job->ended);
    free(job->looks_why);
    free(job->native_why);
    free(job->barred_why);
}

int cmd_threads(char **argv) {
    struct job job = {.outputs.command = "heddle threads", .native = true};
    struct lab_opt o = {.argv = argv,
                        .table = options,
                        .more = probe_output_options,
                        .shared = probe_session_options,
                        .command = "heddle threads"};
    int status = 0;
    for (int id; !status && (id = lab_opt_next(&o)) != LAB_OPT_END;) {
        if (id == LAB_OPT_WORD) { /* the command begins; its options are its own */
            job.watch.command = o.argv - 1;
            break;
        }
        status = id == LAB_OPT_ERROR ? LAB_EXIT_USAGE : take_option(&job, id, o.name, o.value);
    }
    if (!status && job.help) {
        cmd_threads_help(stdout);
        return cmd_finish(LAB_EXIT_DONE);
    }
    if (!status)
        status = check(&job);
    if (!status && job.once) {
        status = once(&job);
    } else if (!status) {
        job.repeat = probe_command_line("heddle threads", argv);
        status = run(&job);
    }
    clean_up(&job);
    return status;
}
