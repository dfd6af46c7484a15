/* SPDX-License-Identifier: MIT */
/* heddle subjects: who can be measured here. */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "message.h"
#include "opt.h"
#include "report/json.h"
#include "subject/interrupt.h"
#include "subject/subject.h"
#include "text.h"

enum { OPT_JSON, OPT_HELP };

static const struct lab_option options[] = {
    {OPT_JSON, 0, "json", NULL, "print JSON, with the experiments that each can do"},
    {OPT_HELP, 'h', "help", NULL, "print this and end"},
    {0},
};

void cmd_subjects_help(FILE *f) {
    fputs("Usage: heddle subjects [OPTION...]\n\n"
          "Lists who can be measured: heddle, threads of the kernel (pthread), peers\n"
          "that were built, Go, and every Python in PATH, pyenv, /usr and /opt.\n\n",
          f);
    lab_opt_print(options, f);
}

/* With ~ for the home directory: it still works in a shell, and most lines get short enough. */
static char *short_path(const char *path) {
    const char *home = getenv("HOME");
    size_t n = home ? strlen(home) : 0;
    bool inside = n > 1 && strncmp(path, home, n) == 0 && path[n] == '/';
    char *text = inside ? lab_format("~%s", path + n) : lab_copy(path);
    lab_make_printable(text);
    return text;
}

static const char *what(const struct lab_subject *s) {
    if (s->broken)
        return "unusable";
    if (s->free_threaded)
        return "CPython no GIL";
    return s->implementation[0] ? s->implementation : "bench program";
}

static void print_table(const struct lab_subjects *all) {
    printf("%-15s %-8s %-14s %s\n", "NAME", "VERSION", "WHAT", "PATH");
    for (size_t i = 0; i < all->count; i++) {
        const struct lab_subject *s = &all->items[i];
        char *path = short_path(s->path);
        char *name = lab_copy(s->name);
        lab_make_printable(name);
        size_t wide = lab_columns(name);
        char *row = lab_format("%s%*s %-8s %-14s ", name, wide < 15 ? (int)(15 - wide) : 0, "",
                               s->version[0] ? s->version : "-", what(s));
        free(name);
        if (lab_columns(row) + lab_columns(path) <= LAB_WIDTH) {
            printf("%s%s\n", row, path);
        } else {
            int length = (int)strlen(row);
            while (length > 0 && row[length - 1] == ' ')
                length--;
            printf("%.*s\n    %s\n", length, row, path);
        }
        free(row);
        if (s->broken) {
            fputs("    ", stdout);
            lab_wrap(stdout, s->broken, 4, 4);
        }
        free(path);
    }
}

static void print_json(struct lab_subjects *all, const struct lab_places *places) {
    struct lab_json j = {.f = stdout};
    lab_json_object(&j, NULL, false);
    lab_json_integer(&j, "schema", 1);
    lab_json_array(&j, "subjects", false);
    for (size_t i = 0; i < all->count; i++) {
        struct lab_subject *s = &all->items[i];
        /* Go would have to be built first. */
        if (s->kind != LAB_KIND_GO)
            lab_subject_prepare(s, places);
        lab_json_object(&j, NULL, false);
        lab_json_string(&j, "name", s->name);
        lab_json_string(&j, "kind", lab_kind_name(s->kind));
        lab_json_string(&j, "implementation", s->implementation);
        lab_json_string(&j, "version", s->version);
        lab_json_bool(&j, "free_threaded", s->free_threaded);
        lab_json_string(&j, "path", s->path);
        lab_json_bool(&j, "usable", !s->broken);
        lab_json_string(&j, "reason", s->broken);
        lab_json_array(&j, "experiments", true);
        for (char **a = s->abilities; a && *a; a++)
            lab_json_string(&j, NULL, *a);
        lab_json_end_array(&j);
        lab_json_end_object(&j);
    }
    lab_json_end_array(&j);
    lab_json_end_object(&j);
    putchar('\n');
}

int cmd_subjects(char **argv) {
    struct lab_opt o = {.argv = argv, .table = options, .command = "heddle subjects"};
    bool json = false;
    for (int id; (id = lab_opt_next(&o)) != LAB_OPT_END;) {
        switch (id) {
        case OPT_JSON:
            json = true;
            break;
        case OPT_HELP:
            cmd_subjects_help(stdout);
            return cmd_finish(LAB_EXIT_DONE);
        case LAB_OPT_WORD:
            lab_complain("heddle subjects: unexpected '%s'", o.value);
            return LAB_EXIT_USAGE;
        default:
            return LAB_EXIT_USAGE;
        }
    }
    struct lab_places places;
    struct lab_subjects all = {0};
    lab_interrupt_install();
    lab_progress_start(false);
    lab_places_find(&places);
    lab_subjects_find(&all, &places);
    lab_progress_hide();
    int sig = lab_interrupt_signal();
    if (!sig && json)
        print_json(&all, &places);
    if (!sig && !json)
        print_table(&all);
    lab_subjects_free(&all);
    lab_places_free(&places);
    return sig ? LAB_EXIT_SIGNAL + sig : cmd_finish(LAB_EXIT_DONE);
}
