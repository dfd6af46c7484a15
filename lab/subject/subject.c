/* SPDX-License-Identifier: MIT */
/* The list of subjects: finding all of them, choosing some, making one ready. */
#include "subject.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../message.h"
#include "../text.h"
#include "process.h"

static const double list_timeout_s = 10;

struct lab_subject *lab_subjects_add(struct lab_subjects *s) {
    s->items = lab_grow_one(s->items, s->count, sizeof(*s->items));
    struct lab_subject *item = &s->items[s->count++];
    *item = (struct lab_subject){0};
    return item;
}

static void free_strings(char **strings) {
    for (char **s = strings; s && *s; s++)
        free(*s);
    free(strings);
}

void lab_subjects_drop_last(struct lab_subjects *s) {
    struct lab_subject *item = &s->items[--s->count];
    free(item->name);
    free(item->alias);
    free(item->implementation);
    free(item->version);
    free(item->path);
    free(item->broken);
    free_strings(item->command);
    free_strings(item->abilities);
}

void lab_subjects_free(struct lab_subjects *s) {
    while (s->count)
        lab_subjects_drop_last(s);
    free(s->items);
    s->items = NULL;
}

void lab_subjects_find(struct lab_subjects *found, const struct lab_places *places) {
    lab_native_find(found, places);
    lab_go_find(found);
    lab_python_find(found);
    lab_python_name(found);
}

/* The program of the subject, with its fixed arguments. */
static void make_command(struct lab_subject *s, const struct lab_places *places) {
    if (s->kind == LAB_KIND_GO) {
        lab_go_prepare(s, places);
        return;
    }
    if (s->kind == LAB_KIND_NATIVE) {
        s->command = lab_alloc(2, sizeof(char *));
        s->command[0] = lab_copy(s->path);
        return;
    }
    char *script = lab_format("%s/threads.py", places->workloads ? places->workloads : "");
    if (!places->workloads || access(script, R_OK) != 0) {
        s->broken = lab_copy("its workload threads.py was not found");
        free(script);
        return;
    }
    /* -E: what the environment says about modules is meant for other programs than this one. */
    const char *const words[] = {s->path, "-E", "-B", script};
    s->command = lab_alloc(5, sizeof(char *));
    for (size_t i = 0; i < 4; i++)
        s->command[i] = lab_copy(words[i]);
    free(script);
}

/* Lines of words that might be experiments; anything else is not a list. */
static bool take_abilities(struct lab_subject *s, const struct lab_text *out) {
    size_t n = 0;
    char *copy = lab_copy(out->data), *rest = copy, *line;
    char **names = lab_alloc(1, sizeof(char *));
    bool good = strlen(out->data) == out->length;
    while (good && (line = strsep(&rest, "\n"))) {
        if (!*line)
            continue;
        good = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789-_") == strlen(line) && n < 100;
        if (!good)
            break;
        names = lab_grow(names, n + 2, sizeof(char *));
        names[n++] = lab_copy(line);
        names[n] = NULL;
    }
    free(copy);
    s->abilities = names;
    return good && n > 0;
}

void lab_subject_prepare(struct lab_subject *s, const struct lab_places *places) {
    if (s->prepared || s->broken)
        return;
    s->prepared = true;
    make_command(s, places);
    if (s->broken)
        return;
    size_t n = 0;
    while (s->command[n])
        n++;
    char **argv = lab_alloc(n + 2, sizeof(char *));
    memcpy(argv, s->command, n * sizeof(char *));
    argv[n] = (char *)"list";
    struct lab_process p;
    lab_process_run(&p, argv, list_timeout_s);
    char *why = lab_process_reason(&p, list_timeout_s);
    if (why) {
        s->broken = lab_format("cannot tell what it can do: %s", why);
    } else if (!take_abilities(s, &p.out)) {
        s->broken = lab_copy("answers 'list' with something that is no list of experiments");
    }
    free(why);
    lab_process_free(&p);
    free(argv);
}

bool lab_subject_can(const struct lab_subject *s, const char *experiment) {
    for (char **a = s->abilities; a && *a; a++) {
        if (strcmp(*a, experiment) == 0)
            return true;
    }
    return false;
}

static void choose(size_t index, size_t **chosen, size_t *count) {
    for (size_t i = 0; i < *count; i++) {
        if ((*chosen)[i] == index)
            return;
    }
    *chosen = lab_grow_one(*chosen, *count, sizeof(**chosen));
    (*chosen)[(*count)++] = index;
}

static bool choose_path(struct lab_subjects *all, const char *path, size_t **chosen,
                        size_t *count) {
    struct stat st;
    if (access(path, X_OK) != 0 || stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        lab_complain("--subject: there is no program '%s'", path);
        return false;
    }
    choose(lab_python_add(all, path), chosen, count);
    lab_python_name(all);
    return true;
}

static bool choose_word(struct lab_subjects *all, const char *word, size_t **chosen,
                        size_t *count) {
    if (strchr(word, '/'))
        return choose_path(all, word, chosen, count);
    bool any = false;
    for (size_t i = 0; i < all->count; i++) {
        const struct lab_subject *s = &all->items[i];
        if (fnmatch(word, s->name, 0) == 0 || (s->alias && fnmatch(word, s->alias, 0) == 0)) {
            choose(i, chosen, count);
            any = true;
        }
    }
    if (any)
        return true;
    struct lab_text names = {0};
    for (size_t i = 0; i < all->count; i++)
        lab_text_printf(&names, " %s", all->items[i].name);
    lab_complain("--subject: nobody here is called '%s'; found:%s", word,
                 names.data ? names.data : " nobody");
    lab_text_free(&names);
    return false;
}

static int compare_indices(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

bool lab_subjects_choose(struct lab_subjects *all, const char *list, size_t **chosen,
                         size_t *count) {
    char *copy = lab_copy(list), *rest = copy, *word;
    bool good = true;
    while (good && (word = strsep(&rest, ","))) {
        if (*word)
            good = choose_word(all, word, chosen, count);
    }
    free(copy);
    if (good && *count == 0) {
        lab_complain("--subject: the list is empty");
        good = false;
    }
    if (good)
        qsort(*chosen, *count, sizeof(**chosen), compare_indices);
    return good;
}

const char *lab_kind_name(enum lab_kind kind) {
    static const char *const names[] = {"native", "python", "go"};
    return names[kind];
}
