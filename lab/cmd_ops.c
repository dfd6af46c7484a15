/* SPDX-License-Identifier: MIT */
/* heddle ops: which instructions of its bytecode a Python program runs, in which forms, and beside
 * which lines. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "message.h"
#include "opt.h"
#include "probe/ops.h"
#include "probe/session.h"
#include "probe/target.h"
#include "probe/watch.h"
#include "report/files.h"
#include "subject/interrupt.h"
#include "text.h"

enum { OPT_PID, OPT_FOR, OPT_EVERY, OPT_TOP, OPT_PYTHON, OPT_JSON, OPT_CSV, OPT_QUIET, OPT_HELP };

static const struct lab_option options[] = {
    {OPT_PID, 'p', "pid", "N", "look at a process that runs"},
    {OPT_FOR, 's', "for", "TIME", "end after so long: 10s, 500ms, 2m (default: with the target)"},
    {OPT_EVERY, 0, "every", "TIME", "between two samples (default: 1ms)"},
    {OPT_TOP, 'n', "top", "N", "show so many functions (default: 5)"},
    {OPT_PYTHON, 0, "python", "PATH",
     "ask this interpreter for the names of the instructions, not the target's own"},
    {OPT_JSON, 0, "json", "FILE", "write everything as JSON"},
    {OPT_CSV, 0, "csv", "FILE", "write a row for each instruction"},
    {OPT_QUIET, 'q', "quiet", NULL, "no progress on standard error"},
    {OPT_HELP, 'h', "help", NULL, "print this and end"},
    {0},
};

enum {
    TOP = 5,
    THREADS_MOST = 256,
    GILS_MOST = 32,
    LIST_EVERY = 20, /* samples between two looks at which threads and GILs there are */
    SEARCH_MS = 2,   /* between two looks for an interpreter */
    BEGIN_S = 2,     /* a process that is attached to may be about to become Python */
};

void cmd_ops_help(FILE *f) {
    fputs("Usage: heddle ops [OPTION...] -- COMMAND [ARGUMENT...]\n"
          "       heddle ops [OPTION...] --pid N [--for TIME]\n\n"
          "Says which instructions of Python's bytecode an unmodified program runs most,\n"
          "which of them the interpreter has specialized (3.11 and later), and which fell\n"
          "back, beside the lines of source. From samples of the frames of threads that\n"
          "have the GIL; nothing is written into the program, and it is never stopped.\n"
          "Its executable is run once more to ask for the names of the instructions.\n\n"
          "Options:\n",
          f);
    lab_opt_print(options, f);
    fputs("\nExit status: 0 done, 2 wrong usage, 3 it could not be looked at, 126 or 127 the\n"
          "command could not be run, 128 + N ended by signal N.\n",
          f);
}

struct job {
    char **command;
    pid_t pid;
    double for_s, every_s;
    int top;
    const char *interpreter;
    struct lab_files files;
    bool quiet, help;
    char *repeat, *program, *ended, *why;

    struct probe_target target;
    struct probe_python *python;
    struct probe_ops *ops;
    struct probe_op_asking *asking;
    struct probe_attempts *attempts; /* NULL: not yet */
    struct probe_op_names names;
    struct probe_python_facts facts; /* of the last interpreter, with texts of our own */
    struct probe_python_thread thread[THREADS_MOST];
    int threads;
    struct probe_gil gil[GILS_MOST];
    int gils;
    uint64_t ticks, idle;
    double begin_s, end_s, own_s;
    double cpu_s; /* that the target had taken at the last sample */
};

/* ---- options ---- */

static int take_option(struct job *job, int id, const char *name, const char *value) {
    unsigned long long number = 0;
    struct stat file;
    switch (id) {
    case OPT_PID:
        return probe_take_pid(value, &job->pid);
    case OPT_FOR:
        return probe_take_time(name, value, 1e-3, 1e7, "up to 2777h", &job->for_s);
    case OPT_EVERY:
        return probe_take_time(name, value, 1e-4, 10, "from 100us to 10s", &job->every_s);
    case OPT_TOP:
        if (!lab_parse_number(value, false, 1, 1 << 20, &number)) {
            lab_complain("--top: '%s' is not a number of functions", value);
            return LAB_EXIT_USAGE;
        }
        job->top = (int)number;
        return 0;
    case OPT_PYTHON:
        job->interpreter = value;
        if (stat(value, &file) == 0 && S_ISDIR(file.st_mode))
            errno = EISDIR;
        else if (access(value, X_OK) == 0)
            return 0;
        lab_complain("heddle ops: --python: cannot run '%s': %s", value, strerror(errno));
        return LAB_EXIT_USAGE;
    case OPT_JSON:
        return lab_files_name(&job->files, LAB_REPORT_JSON, value);
    case OPT_CSV:
        return lab_files_name(&job->files, LAB_REPORT_CSV, value);
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

static int check(const struct job *job) {
    if (job->command && job->pid)
        lab_complain("heddle ops: either a command or --pid, not both");
    else if (!job->command && !job->pid)
        lab_complain("heddle ops: what shall be looked at? Give a command after --, or --pid N");
    else
        return 0;
    return LAB_EXIT_USAGE;
}

/* ---- the interpreter ---- */

static void forget_python(struct job *job) {
    probe_python_close(job->python);
    job->python = NULL;
    job->threads = job->gils = 0;
    if (job->ops)
        probe_ops_anew(job->ops);
}

static void keep_facts(struct job *job) {
    char *file = lab_copy(probe_python_facts(job->python)->file);
    char *how = lab_copy(probe_python_facts(job->python)->how);
    free((char *)job->facts.file);
    free((char *)job->facts.how);
    job->facts = *probe_python_facts(job->python);
    job->facts.file = file;
    job->facts.how = how;
}

/* 0; -ENOENT: none yet; another -errno: there will be none. */
static int find_python(struct job *job) {
    free(job->why);
    job->why = NULL;
    int error = probe_python_open(job->target.pid, &job->python, &job->why);
    if (error)
        return error;
    /* A program that becomes another one starts anew; its samples are of another version, too. */
    bool other = job->ops && (probe_python_facts(job->python)->major != job->facts.major ||
                              probe_python_facts(job->python)->minor != job->facts.minor);
    if (other) {
        probe_ops_free(job->ops);
        job->ops = NULL;
        probe_op_names_finish(job->asking, &job->names);
        probe_op_names_free(&job->names);
        job->asking = NULL;
        probe_attempts_end(job->attempts);
        job->attempts = NULL;
    }
    keep_facts(job);
    free(job->program);
    job->program = probe_program_of(job->target.pid);
    if (!job->ops)
        job->ops = probe_ops_new(job->target.pid);
    if (!job->attempts)
        job->attempts = probe_attempts_begin(job->target.pid, &job->facts);
    if (!job->asking)
        job->asking = probe_op_names_begin(job->target.pid, &job->facts, job->interpreter);
    return 0;
}

/* ---- sampling ---- */

/* 'R': runs, or could; for threads that need no GIL to run. */
static bool is_running(pid_t pid, pid_t tid) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)pid, (int)tid);
    char *line = lab_read_line(path);
    const char *after = line ? strrchr(line, ')') : NULL;
    bool running = after && after[1] == ' ' && after[2] == 'R';
    free(line);
    return running;
}

static int list(struct job *job) {
    int threads = probe_python_threads(job->python, job->thread, THREADS_MOST);
    int gils = probe_python_gils(job->python, job->gil, GILS_MOST);
    if (threads < 0 || gils < 0)
        return threads < 0 ? threads : gils;
    job->threads = threads < THREADS_MOST ? threads : THREADS_MOST;
    job->gils = gils;
    return 0;
}

static const struct probe_python_thread *find_thread(const struct job *job, pid_t tid) {
    for (int i = 0; i < job->threads; i++) {
        if (job->thread[i].tid == tid)
            return &job->thread[i];
    }
    return NULL;
}

/* The thread that has a GIL runs Python code, or is in a call that one of its instructions makes.
 * Where there is no GIL, threads that run do. *again: a thread is new. */
static int sample_once(struct job *job, bool *again) {
    int taken = 0;
    for (int i = 0; i < job->gils; i++) {
        pid_t holder = 0;
        bool locked = false;
        uint64_t number;
        int error = probe_python_gil_read(job->python, &job->gil[i], &holder, &locked, &number);
        if (error)
            return error;
        const struct probe_python_thread *t =
            locked && holder ? find_thread(job, holder) : NULL;
        *again |= locked && holder && !t;
        taken += t && probe_ops_sample(job->ops, job->python, t);
    }
    for (int i = 0; job->gils == 0 && i < job->threads; i++) {
        const struct probe_python_thread *t = &job->thread[i];
        if (is_running(job->target.pid, t->tid))
            taken += probe_ops_sample(job->ops, job->python, t);
    }
    return taken;
}

/* Whether the process has had a CPU for a part of the time since the last sample: where it waits
 * for one, or for something else, its instruction stays the same, and is not to be counted again.
 * A sample stands for so much CPU time, whatever else the machine does. */
static bool has_run(struct job *job) {
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(job->target.pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return true; /* cannot be told */
    double now = (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
    if (now - job->cpu_s < job->every_s / 2)
        return false;
    job->cpu_s = now;
    return true;
}

static double own_cpu_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool over(struct job *job) {
    int sig = lab_interrupt_signal();
    if (sig)
        probe_target_tell(&job->target, sig);
    job->end_s = lab_now_s();
    return sig || probe_target_has_ended(&job->target) ||
           (job->for_s > 0 && job->end_s - job->begin_s >= job->for_s);
}

static void wait_until(double until_s) {
    double left = until_s - lab_now_s();
    if (left <= 0)
        return;
    struct timespec t = {(time_t)left, (long)((left - floor(left)) * 1e9)};
    nanosleep(&t, NULL);
}

/* Samples until the end. 0, or -errno: no interpreter can be read. */
static int watch(struct job *job) {
    double next = job->begin_s = lab_now_s();
    double own = own_cpu_s();
    int error = 0;
    for (uint64_t since_list = 0; !over(job); since_list++) {
        if (!job->python) {
            error = find_python(job);
            bool waits = job->ops || job->command || lab_now_s() - job->begin_s < BEGIN_S;
            if (error && ((error != -ENOENT && error != -ESRCH) || !waits))
                break;
            since_list = 0;
        }
        if (!job->python) {
            lab_progress("looking for Python in process %d", (int)job->target.pid);
            wait_until(lab_now_s() + SEARCH_MS * 1e-3);
            continue;
        }
        bool again = false;
        error = since_list % LIST_EVERY == 0 ? list(job) : 0;
        int taken = error ? error : has_run(job) ? sample_once(job, &again) : 0;
        if (taken < 0) { /* it has ended, or is another program now */
            forget_python(job);
            continue;
        }
        if (again)
            since_list = LIST_EVERY - 1;
        job->ticks++;
        probe_attempts_step(job->attempts);
        job->idle += taken == 0;
        lab_progress("%.0f s, %llu samples; Ctrl-C ends", lab_now_s() - job->begin_s,
                     (unsigned long long)(job->ticks - job->idle));
        next += job->every_s;
        if (next < lab_now_s()) /* late: not to be made up for */
            next = lab_now_s() + job->every_s / 2;
        wait_until(next);
    }
    job->own_s = own_cpu_s() - own;
    return job->ops ? 0 : error ? error : -ENOENT;
}

/* ---- reporting ---- */

static int write_file(enum lab_report which, const void *arg, FILE *f) {
    return which == LAB_REPORT_JSON ? probe_ops_json(f, arg) : probe_ops_csv(f, arg);
}

static int report(struct job *job) {
    probe_op_names_finish(job->asking, &job->names);
    job->asking = NULL;
    double seconds = job->end_s - job->begin_s;
    struct probe_ops_report r = {
        .repeat = job->repeat,
        .program = job->program,
        .pid = job->target.pid,
        .ended = job->ended,
        .python = &job->facts,
        .names = &job->names,
        .result = probe_ops_finish(job->ops, &job->facts, &job->names),
        .ops = job->ops,
        .seconds = seconds,
        .every_ms = job->every_s * 1e3,
        .ticks = job->ticks,
        .idle = job->idle,
        .own_cpu = seconds > 0 ? job->own_s / seconds : 0,
        .top = job->top,
        .attempts = job->attempts,
    };
    bool text;
    int status = lab_files_write(&job->files, write_file, &r, &text);
    if (text)
        probe_ops_text(stdout, &r);
    int written = cmd_finish(LAB_EXIT_DONE);
    return status ? status : written;
}

static int run(struct job *job) {
    int status = lab_files_open(&job->files);
    if (status)
        return status;
    lab_interrupt_install();
    lab_progress_start(job->quiet);
    int error = job->command ? probe_target_launch(&job->target, job->command)
                             : probe_target_attach(&job->target, job->pid);
    if (!error && job->command)
        error = probe_target_begin(&job->target, job->command[0]);
    if (error)
        return probe_watch_exit_status(&(struct probe_options){.command = job->command}, error);
    if (job->target.bits32) {
        lab_complain("heddle ops: process %d is a 32-bit program, whose structures are not known "
                     "here",
                     (int)job->target.pid);
        return LAB_EXIT_UNMEASURED;
    }
    error = watch(job);
    lab_progress_hide();
    bool ended = probe_target_has_ended(&job->target);
    if (!ended && probe_is_stopped(job->target.pid))
        lab_complain("process %d is stopped (by SIGSTOP, its terminal or a debugger): nothing of "
                     "it runs until 'kill -CONT %d'",
                     (int)job->target.pid, (int)job->target.pid);
    job->ended = probe_ended_words(ended, job->target.status);
    if (error) {
        lab_complain("heddle ops: no Python was looked at: %s",
                     job->why ? job->why : "it ended at once");
        status = LAB_EXIT_UNMEASURED;
    } else {
        status = report(job);
    }
    return lab_interrupt_signal() ? LAB_EXIT_SIGNAL + lab_interrupt_signal() : status;
}

static void clean_up(struct job *job) {
    if (job->target.pid)
        probe_target_leave(&job->target);
    if (job->asking)
        probe_op_names_finish(job->asking, &job->names);
    probe_op_names_free(&job->names);
    probe_attempts_end(job->attempts);
    probe_python_close(job->python);
    probe_ops_free(job->ops);
    lab_files_close(&job->files);
    free((char *)job->facts.file);
    free((char *)job->facts.how);
    free(job->repeat);
    free(job->program);
    free(job->ended);
    free(job->why);
}

int cmd_ops(char **argv) {
    struct job *job = lab_alloc(1, sizeof(*job));
    struct lab_opt o = {.argv = argv, .table = options, .command = "heddle ops"};
    int status = 0;
    job->every_s = 1e-3;
    job->top = TOP;
    job->files.command = "heddle ops";
    for (int id; !status && (id = lab_opt_next(&o)) != LAB_OPT_END;) {
        if (id == LAB_OPT_WORD) { /* the command begins; its options are its own */
            job->command = o.argv - 1;
            break;
        }
        status = id == LAB_OPT_ERROR ? LAB_EXIT_USAGE : take_option(job, id, o.name, o.value);
    }
    if (!status && job->help) {
        cmd_ops_help(stdout);
        free(job);
        return cmd_finish(LAB_EXIT_DONE);
    }
    if (!status)
        status = check(job);
    if (!status) {
        job->repeat = probe_command_line("heddle ops", argv);
        status = run(job);
    }
    clean_up(job);
    free(job);
    return status;
}
