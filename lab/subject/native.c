/* SPDX-License-Identifier: MIT */
/* Bench programs: every executable heddle-bench-NAME is a subject NAME, so that a peer that was
 * built is found, and nothing here must be told of it. */
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gnu/libc-version.h>

#include <heddle/base.h>

#include "subject.h"

#include "../text.h"

static const char program_prefix[] = "heddle-bench-";

static bool is_program(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode) && access(path, X_OK) == 0;
}

static bool is_name(const char *s) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789.+-_";
    return *s && strlen(s) <= 24 && strspn(s, letters) == strlen(s);
}

/* The product first, then what it is measured against, then the others by name. */
static int rank(const char *name) {
    if (strcmp(name, "heddle") == 0)
        return 0;
    return strcmp(name, "pthread") == 0 ? 1 : 2;
}

static int compare(const void *a, const void *b) {
    const struct lab_subject *x = a, *y = b;
    int by_rank = rank(x->name) - rank(y->name);
    return by_rank ? by_rank : strcmp(x->name, y->name);
}

static bool known(const struct lab_subjects *found, const char *name) {
    for (size_t i = 0; i < found->count; i++) {
        if (strcmp(found->items[i].name, name) == 0)
            return true;
    }
    return false;
}

static char *version_of(const char *name) {
    if (strcmp(name, "heddle") == 0) {
        return lab_format("%d.%d.%d", HD_VERSION_MAJOR, HD_VERSION_MINOR, HD_VERSION_PATCH);
    }
    return lab_copy(strcmp(name, "pthread") == 0 ? gnu_get_libc_version() : "");
}

static void find_in(struct lab_subjects *found, const char *directory) {
    DIR *dir = opendir(directory);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        if (!lab_starts_with(e->d_name, program_prefix))
            continue;
        const char *name = e->d_name + strlen(program_prefix);
        char *path = lab_format("%s/%s", directory, e->d_name);
        if (!is_name(name) || known(found, name) || !is_program(path)) {
            free(path);
            continue;
        }
        bool kernel = strcmp(name, "pthread") == 0;
        struct lab_subject *s = lab_subjects_add(found);
        s->name = lab_copy(name);
        s->kind = LAB_KIND_NATIVE;
        s->pace = kernel ? LAB_PACE_KERNEL : LAB_PACE_USER;
        s->implementation = lab_copy(kernel ? "glibc" : "");
        s->version = version_of(name);
        s->path = path;
    }
    closedir(dir);
}

void lab_native_find(struct lab_subjects *found, const struct lab_places *places) {
    size_t first = found->count;
    for (char *const *dir = places->libexec; *dir; dir++) {
        char real[PATH_MAX]; /* the build tree's begin with "lab/../" */
        find_in(found, realpath(*dir, real) ? real : *dir);
    }
    if (found->count > first) {
        qsort(found->items + first, found->count - first, sizeof(*found->items), compare);
    }
}
