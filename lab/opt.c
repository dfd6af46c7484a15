/* SPDX-License-Identifier: MIT */
/* Options of a command. */
#include "opt.h"

#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "text.h"

static int fail(const struct lab_opt *o, const char *problem, const char *what) {
    lab_complain("%s: %s '%s' (see '%s --help')", o->command, problem, what, o->command);
    return LAB_OPT_ERROR;
}

/* What was perhaps meant by a long option that there is not; "" if nothing is like it. */
static const char *near_to(const struct lab_opt *o, const char *typed) {
    const struct lab_option *const tables[] = {o->table, o->more, o->shared};
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        for (const struct lab_option *t = tables[i]; t && t->name; t++) {
            if (lab_is_near(typed, t->name))
                return t->name;
        }
    }
    return "";
}

static int unknown(const struct lab_opt *o, const char *word, const char *name, size_t length) {
    char *typed = lab_copy_n(name, length);
    const char *meant = near_to(o, typed);
    lab_complain("%s: unknown option '%s' (%s%s%ssee '%s --help')", o->command, word,
                 *meant ? "is --" : "", meant, *meant ? " meant? " : "", o->command);
    free(typed);
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

static const struct lab_option *find_name(const struct lab_option *table, const char *name,
                                          size_t length) {
    for (const struct lab_option *t = table; t && t->name; t++) {
        if (strlen(t->name) == length && strncmp(t->name, name, length) == 0)
            return t;
    }
    return NULL;
}

static const struct lab_option *find_letter(const struct lab_option *table, char letter) {
    for (const struct lab_option *t = table; t && t->name; t++) {
        if (t->letter && t->letter == letter)
            return t;
    }
    return NULL;
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
        const struct lab_option *t = find_letter(o->table, word[1]);
        if (!t)
            t = find_letter(o->shared, word[1]);
        return t ? take_value(o, t, word[2] ? word + 2 : NULL, word)
                 : fail(o, "unknown option", word);
    }
    if (word[2] == '\0') {
        o->only_words = true;
        return lab_opt_next(o);
    }
    const char *name = word + 2;
    size_t length = strcspn(name, "=");
    const char *given = name[length] ? name + length + 1 : NULL;
    const struct lab_option *t = find_name(o->table, name, length);
    if (!t)
        t = find_name(o->more, name, length);
    if (!t)
        t = find_name(o->shared, name, length);
    return t ? take_value(o, t, given, word) : unknown(o, word, name, length);
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
