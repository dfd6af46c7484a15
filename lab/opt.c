/* SPDX-License-Identifier: MIT */
/* Options of a command. */
#include "opt.h"

#include <string.h>

#include "message.h"

static int fail(const struct lab_opt *o, const char *problem, const char *what) {
    lab_complain("%s: %s '%s' (see '%s --help')", o->command, problem, what, o->command);
    return LAB_OPT_ERROR;
}

static int take_value(struct lab_opt *o, const struct lab_option *found, const char *given,
                      const char *word) {
    o->name = found->name;
    o->value = NULL;
    if (!found->argument) {
        if (given)
            return fail(o, "no value may follow", word);
        return found->id;
    }
    if (!given) {
        given = *o->argv;
        if (!given)
            return fail(o, "a value must follow", word);
        o->argv++;
    }
    o->value = given;
    return found->id;
}

int lab_opt_next(struct lab_opt *o) {
    const char *word = *o->argv;
    if (!word)
        return LAB_OPT_END;
    o->argv++;
    if (o->only_words || word[0] != '-' || word[1] == '\0') {
        o->value = word;
        return LAB_OPT_WORD;
    }
    if (word[1] != '-') {
        for (const struct lab_option *t = o->table; t->name; t++) {
            if (t->letter && word[1] == t->letter) {
                return take_value(o, t, word[2] ? word + 2 : NULL, word);
            }
        }
        return fail(o, "unknown option", word);
    }
    if (word[2] == '\0') {
        o->only_words = true;
        return lab_opt_next(o);
    }
    const char *name = word + 2;
    size_t length = strcspn(name, "=");
    const char *given = name[length] ? name + length + 1 : NULL;
    for (const struct lab_option *t = o->table; t->name; t++) {
        if (strlen(t->name) == length && strncmp(t->name, name, length) == 0) {
            return take_value(o, t, given, word);
        }
    }
    return fail(o, "unknown option", word);
}

void lab_opt_print(const struct lab_option *table, FILE *f) {
    enum { HELP_COLUMN = 24 };
    for (const struct lab_option *t = table; t->name; t++) {
        char left[64], letter[8] = "";
        if (t->letter)
            snprintf(letter, sizeof(letter), "-%c, ", t->letter);
        int n = snprintf(left, sizeof(left), "  %s--%s%s%s", letter, t->name,
                         t->argument ? " " : "", t->argument ? t->argument : "");
        if (n >= HELP_COLUMN) {
            fprintf(f, "%s\n%*s", left, HELP_COLUMN, "");
        } else {
            fprintf(f, "%-*s", HELP_COLUMN, left);
        }
        lab_wrap(f, t->help, HELP_COLUMN, HELP_COLUMN);
    }
}
