/* SPDX-License-Identifier: MIT */
/* Who can be measured: bench programs of this project, every Python, Go. */
#ifndef HEDDLE_LAB_SUBJECT_H
#define HEDDLE_LAB_SUBJECT_H

#include <stdbool.h>
#include <stddef.h>

#include "../experiment.h"

enum lab_kind {
    LAB_KIND_NATIVE, /* a program heddle-bench-NAME */
    LAB_KIND_PYTHON,
    LAB_KIND_GO,
};

struct lab_subject {
    char *name;  /* unique */
    char *alias; /* another name that is accepted (a Python's full version), or NULL */
    enum lab_kind kind;
    enum lab_pace pace;
    char *implementation; /* CPython, PyPy, Go, ...; "" if there is nothing to tell */
    char *version;        /* "" if unknown */
    bool free_threaded;
    char *path;       /* the program, the interpreter, or the go command */
    char **command;   /* what to run, before the experiment's name; NULL until prepared */
    char **abilities; /* experiments it can do, ended by NULL; NULL until prepared */
    char *broken;     /* why it cannot be used; NULL if it can */
    bool prepared;
};

struct lab_subjects {
    struct lab_subject *items;
    size_t count;
};

/* Where things are, from the environment, the build tree or the installation. NULL in .workloads
 * when there are none. */
struct lab_places {
    char *libexec[3]; /* directories with bench programs, ended by NULL */
    char *workloads;
};
void lab_places_find(struct lab_places *places);
void lab_places_free(struct lab_places *places);

/* Finds everybody, in the order in which they are shown, with unique names. */
void lab_subjects_find(struct lab_subjects *found, const struct lab_places *places);
void lab_subjects_free(struct lab_subjects *s);

/* Adds one at the end; valid until the next call. */
struct lab_subject *lab_subjects_add(struct lab_subjects *s);
void lab_subjects_drop_last(struct lab_subjects *s);

/* The finders, one a kind: each adds what it found, working or not. */
void lab_native_find(struct lab_subjects *found, const struct lab_places *places);
void lab_python_find(struct lab_subjects *found);
void lab_go_find(struct lab_subjects *found);

/* Looks at an interpreter that a user named by path, and returns its index: that of one found
 * before, if it is the same. The subject may turn out broken. */
size_t lab_python_add(struct lab_subjects *found, const char *path);

/* Gives every Python its name: python3.11 for the first of its version, python3.11.7 for others,
 * then with a number. */
void lab_python_name(struct lab_subjects *found);

/* Makes s->command and asks it what it can do (which also warms the page cache: the first process
 * that counts finds its files in memory, like all others). May take long for Go, whose workload is
 * built once. On failure s->broken says why. */
void lab_subject_prepare(struct lab_subject *s, const struct lab_places *places);

/* Sets the command for a Go workload, building it if need be. */
void lab_go_prepare(struct lab_subject *s, const struct lab_places *places);

bool lab_subject_can(const struct lab_subject *s, const char *experiment);

/* Picks the subjects that a list names: names, patterns with * and ?, paths of interpreters. The
 * chosen ones' indices, each once, in the order of `all`, come in *chosen (to be freed); paths are
 * added to `all`. False after a complaint if a part of the list fits nobody. */
bool lab_subjects_choose(struct lab_subjects *all, const char *list, size_t **chosen,
                         size_t *count);

const char *lab_kind_name(enum lab_kind kind);

#endif
