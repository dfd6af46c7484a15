/* SPDX-License-Identifier: MIT */
/* What a probe found out, and the forms in which it is written: JSON, CSV, collapsed stacks, a
 * trace for Perfetto and Chrome, a page with a timeline to zoom, a live view. Each form reads a
 * probe_report alone, so that heddle gil and heddle threads share them all. */
#ifndef HEDDLE_LAB_PROBE_OUTPUT_H
#define HEDDLE_LAB_PROBE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "opt.h"
#include "probe/python.h"
#include "probe/stack.h"
#include "probe/timeline.h"
#include "probe/watch.h"
#include "report/output.h"
#include "result.h"

/* What only one command knows, as a table: contended objects, groups of green threads, futexes. It
 * is in JSON under its id, and on the page under its title. */
struct probe_column {
    const char *id;    /* in JSON: "count" */
    const char *title; /* on the page: "times"; NULL: the id */
    const char *unit;  /* NULL: text. Else the cells are plain numbers in ns, s, bytes, count,
                        * percent, ratio, per_s */
};
struct probe_table {
    const char *id, *title;
    const char *about; /* a sentence, or NULL */
    const struct probe_column *column;
    size_t columns, rows;
    const char *const *cell; /* row by row; NULL: unknown */
};

/* What the kernel's books say of a thread. */
struct probe_books {
    bool known;
    uint64_t user_ns, system_ns; /* time on a CPU outside and inside the kernel */
    uint64_t delay_ns;           /* time in which it waited for a CPU */
};

/* All strings are somebody else's. What is NULL or 0 is unknown or does not apply. */
struct probe_report {
    const char *command;     /* "gil" or "threads" */
    const char *repeat;      /* the command line that does it again */
    char *const *target;     /* what was launched, ended by NULL; NULL: attached */
    const char *program;     /* the executable */
    pid_t pid;
    double stopped;          /* so much of the time (0 to 1) the process was stopped by a signal */
    const char *ended;       /* "the program ended (status 0)", "after 10 s", "interrupted" */
    const struct probe_timeline *timeline;
    const struct probe_stacks *stacks;
    const struct probe_means *means; /* PROBE_MEANS_COUNT of them */
    const struct probe_watch_facts *facts;
    const struct probe_python_facts *python; /* NULL: no interpreter */
    const struct probe_books *books;         /* one a thread of the timeline */
    char *const *verdict;                    /* sentences, the most important first */
    size_t verdict_count;
    char *const *advice; /* what to do */
    size_t advice_count;
    char *const *notes; /* what was left out, estimated, uncertain */
    size_t note_count;
    const struct probe_table *table;
    size_t table_count;
    const struct lab_pair *machine; /* as lab_machine_describe() makes them */
    size_t machine_count;
    const char *(*call_name)(long number); /* of a system call; NULL: probe_call_name() */
};

/* Each writes the whole file. 0, or -errno. */
int probe_write_json(FILE *f, const struct probe_report *r);
int probe_write_csv(FILE *f, const struct probe_report *r);
int probe_write_collapsed(FILE *f, const struct probe_report *r);
int probe_write_trace(FILE *f, const struct probe_report *r);
int probe_write_html(FILE *f, const struct probe_report *r);

/* ---- outputs.c: the files of a command, and their options ---- */

enum probe_output {
    PROBE_OUTPUT_JSON,
    PROBE_OUTPUT_CSV,
    PROBE_OUTPUT_COLLAPSED,
    PROBE_OUTPUT_TRACE,
    PROBE_OUTPUT_HTML,
    PROBE_OUTPUTS,
};

/* The second table of a command's options (struct lab_opt, `more`). Its ids begin here, one for
 * each of the enum above; and one for how many single spans are kept for them. */
enum { PROBE_OPT_OUTPUT = 1000, PROBE_OPT_SPANS = PROBE_OPT_OUTPUT + PROBE_OUTPUTS };
extern const struct lab_option probe_output_options[];

struct probe_outputs {
    const char *command; /* for messages: "heddle gil" */
    const char *names[PROBE_OUTPUTS];
    bool spans_set;
    size_t spans; /* then: how many single spans are kept */
    long bytes[PROBE_OUTPUTS]; /* of what was written; 0: not known */
    struct lab_output outputs[PROBE_OUTPUTS];
};

/* These return 0, or the exit status after a complaint. */

/* Takes what is given with an option of the table above. */
int probe_outputs_name(struct probe_outputs *o, int id, const char *name);
/* Whether any file was asked for; whether one of that name was (never one of no name, NULL). */
bool probe_outputs_any(const struct probe_outputs *o);
bool probe_outputs_have(const struct probe_outputs *o, const char *name);
/* Opens them all, before anything is launched. */
int probe_outputs_open(struct probe_outputs *o);
/* Writes those that were asked for. *text becomes whether standard output is free for the text. */
int probe_outputs_write(struct probe_outputs *o, const struct probe_report *r, bool *text);
/* How many single spans are to be kept. */
size_t probe_outputs_spans(const struct probe_outputs *o);
/* A sentence about files that became large, and by what; NULL: none did. The caller frees. */
char *probe_outputs_size(const struct probe_outputs *o, const struct probe_timeline *t);
/* Leaves no trace of those that were not written. */
void probe_outputs_close(struct probe_outputs *o);
/* Whether standard output is taken by one of them. */
bool probe_outputs_take_stdout(const struct probe_outputs *o);

/* ---- live.c: a view that is refreshed while the target runs ---- */

struct probe_live;

/* To be called before the target is launched. On a terminal it takes the whole of it, where ncurses
 * is there; else it is a table that is printed again and again. `launch`: what the command that is
 * launched writes to the terminal is kept in a file meanwhile, and shown at the end. 0 with *out,
 * or -errno after a complaint. */
int probe_live_open(bool launch, struct probe_live **out);

/* To be called in each step: shows what has changed, a few times a second, for which it settles the
 * timeline; `r` needs no more of a report than is known. False: the user wants to end. */
bool probe_live_step(struct probe_live *l, const struct probe_report *r, struct probe_timeline *t);

/* Gives the terminal back, and shows what the launched command has written. Accepts NULL. */
void probe_live_close(struct probe_live *l);

#endif
