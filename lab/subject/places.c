/* SPDX-License-Identifier: MIT */
/* Where the bench programs and the workloads are.
 *
 * In a build tree a file `heddle.tree` lies beside the command and names the source directory of
 * the workloads; so no path of the build ends up in what is installed. An installation is looked
 * for relative to the command first: it may have been moved as a whole. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "subject.h"

#include "../text.h"

#ifndef HEDDLE_LIBEXECDIR
#define HEDDLE_LIBEXECDIR "/usr/local/libexec/heddle"
#endif
#ifndef HEDDLE_DATADIR
#define HEDDLE_DATADIR "/usr/local/share/heddle"
#endif

/* The directory of this command, or NULL. */
static char *own_directory(void) {
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n <= 0)
        return NULL;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return NULL;
    *slash = '\0';
    return lab_copy(path);
}

static bool exists(const char *path) {
    return access(path, F_OK) == 0;
}

static void find_libexec(struct lab_places *p, const char *own, bool in_tree) {
    const char *given = getenv("HEDDLE_LIBEXEC");
    if (given && *given) {
        p->libexec[0] = lab_copy(given);
        return;
    }
    if (in_tree) {
        p->libexec[0] = lab_format("%s/../bench", own);
        p->libexec[1] = lab_format("%s/../bench/peers", own);
        return;
    }
    if (own)
        p->libexec[0] = lab_format("%s/../libexec/heddle", own);
    if (!p->libexec[0] || !exists(p->libexec[0])) {
        free(p->libexec[0]);
        p->libexec[0] = lab_copy(HEDDLE_LIBEXECDIR);
    }
}

static void find_workloads(struct lab_places *p, const char *own, char *tree) {
    const char *given = getenv("HEDDLE_DATADIR");
    if (given && *given) {
        p->workloads = lab_format("%s/workloads", given);
    } else if (tree) {
        p->workloads = lab_copy(tree);
    } else {
        if (own)
            p->workloads = lab_format("%s/../share/heddle/workloads", own);
        if (!p->workloads || !exists(p->workloads)) {
            free(p->workloads);
            p->workloads = lab_copy(HEDDLE_DATADIR "/workloads");
        }
    }
    if (!exists(p->workloads)) {
        free(p->workloads);
        p->workloads = NULL;
    }
}

void lab_places_find(struct lab_places *places) {
    *places = (struct lab_places){0};
    char *own = own_directory(), *tree = NULL;
    if (own) {
        char *mark = lab_format("%s/heddle.tree", own);
        tree = lab_read_line(mark);
        free(mark);
    }
    find_libexec(places, own, tree != NULL);
    find_workloads(places, own, tree);
    free(tree);
    free(own);
}

void lab_places_free(struct lab_places *places) {
    for (char **dir = places->libexec; *dir; dir++)
        free(*dir);
    free(places->workloads);
}
