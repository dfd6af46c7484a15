/* SPDX-License-Identifier: MIT */
/* Which instructions of Python's bytecode a process runs, from samples of its frames: how often
 * each was met, and in which form. From 3.11 on the interpreter replaces an instruction in its own
 * code by a form for what it meets there (BINARY_OP by BINARY_OP_ADD_INT), and takes that back
 * where it does not hold; the form, and the counter beside it, are read from the process's
 * memory. */
#ifndef HEDDLE_LAB_PROBE_OPS_H
#define HEDDLE_LAB_PROBE_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "probe/ops_attempts.h"
#include "probe/python.h"

/* ---- the names of the instructions ---- */

enum probe_op_kind {
    PROBE_OP_PLAIN,       /* has one form */
    PROBE_OP_GENERAL,     /* has special ones, and this is not one of them */
    PROBE_OP_SPECIAL,     /* is one of them */
    PROBE_OP_INSTRUMENTED,/* a debugger, profiler or coverage tool has put it there */
    PROBE_OP_COMPILED,    /* enters code that the interpreter's own compiler made */
};

struct probe_op {
    char *name;   /* NULL: there is none of this number */
    uint8_t base; /* the general form's number */
    uint8_t caches; /* code units after it that are no instructions */
    uint8_t kind; /* enum probe_op_kind */
};

struct probe_op_names {
    bool known;
    char *how; /* who was asked, or why nothing is known */
    struct probe_op op[256];
};

/* Asks the executable of a process for the names, by running it: `python` instead, if that is not
 * NULL. The child works while its asker goes on; finish waits for it. */
struct probe_op_asking;
struct probe_op_asking *probe_op_names_begin(pid_t pid, const struct probe_python_facts *facts,
                                             const char *python);
void probe_op_names_finish(struct probe_op_asking *a, struct probe_op_names *out);
void probe_op_names_free(struct probe_op_names *n);

/* ---- samples ---- */

struct probe_ops;

struct probe_ops *probe_ops_new(pid_t pid);
void probe_ops_free(struct probe_ops *o);

/* The interpreter was opened anew: its code objects are others. */
void probe_ops_anew(struct probe_ops *o);

/* Takes a sample of a thread. False: its frame made no sense, or it runs no Python code. */
bool probe_ops_sample(struct probe_ops *o, struct probe_python *p,
                      const struct probe_python_thread *t);

/* ---- what they come to ---- */

/* How an instruction fares that has special forms. */
enum probe_op_state {
    PROBE_OP_IS_PLAIN,     /* it has none */
    PROBE_OP_IS_SPECIAL,   /* it was met in one special form */
    PROBE_OP_IS_UNSTABLE,  /* in several forms: what it was made for does not hold */
    PROBE_OP_IS_FAILED,    /* in its general form, after attempts that failed */
    PROBE_OP_IS_GENERAL,   /* in its general form */
    PROBE_OP_IS_OTHER,     /* instrumented, or compiled */
    PROBE_OP_STATES
};
const char *probe_op_state_word(enum probe_op_state s);

enum { PROBE_OP_FORMS = 6 };

struct probe_op_form {
    uint8_t op;
    uint32_t samples;
};

struct probe_op_place {
    uint32_t offset; /* in bytes, as dis prints it */
    int line;
    uint8_t op;      /* the general form */
    uint32_t argument;
    char *means;     /* the argument in words, or NULL */
    uint64_t samples;
    uint8_t state;   /* enum probe_op_state */
    int failures;    /* attempts to find a special form that failed, at least; -1: unknown */
    struct probe_op_form form[PROBE_OP_FORMS]; /* most first */
    int forms;
};

struct probe_op_code {
    char *function, *file;
    int first_line;
    uint64_t samples;
    struct probe_op_place *place; /* all its instructions */
    size_t place_count;
};

struct probe_op_total {
    uint8_t op; /* the form */
    uint64_t samples;
};

struct probe_ops_result {
    uint64_t samples, torn, dropped; /* taken; that made no sense; of code beyond the bound */
    struct probe_op_code *code;      /* most samples first */
    size_t code_count;
    struct probe_op_total total[256]; /* likewise */
    size_t totals;
    uint64_t state[PROBE_OP_STATES]; /* samples */
};

/* Decodes and sorts. What is returned holds as long as o. */
const struct probe_ops_result *probe_ops_finish(struct probe_ops *o,
                                                const struct probe_python_facts *facts,
                                                const struct probe_op_names *names);

/* A line of the target's source, as long as o holds; NULL: it cannot be had. */
const char *probe_ops_source(struct probe_ops *o, const char *file, int line);

/* ---- a run, and its reports ---- */

struct probe_ops_report {
    const char *repeat;  /* the command line that does it again */
    const char *program; /* the executable */
    pid_t pid;
    const char *ended;
    const struct probe_python_facts *python;
    const struct probe_op_names *names;
    const struct probe_ops_result *result;
    struct probe_ops *ops; /* for lines of source */
    double seconds, every_ms;
    uint64_t ticks, idle;  /* moments that were looked at; nobody ran Python code */
    double own_cpu;        /* of one CPU, that the sampling took */
    int top;               /* how many functions the text shows */
    struct probe_attempts *attempts; /* to specialize; NULL: not looked for */
};

struct probe_ops_words {
    char **text;
    size_t count;
};
/* What it means, and what to do. */
void probe_ops_verdict(const struct probe_ops_report *r, struct probe_ops_words *verdict,
                       struct probe_ops_words *advice);
void probe_ops_words_free(struct probe_ops_words *w);

int probe_ops_text(FILE *f, const struct probe_ops_report *r);
int probe_ops_json(FILE *f, const struct probe_ops_report *r);
int probe_ops_csv(FILE *f, const struct probe_ops_report *r);

#endif
