/* SPDX-License-Identifier: MIT */
/* Go, if its command is on PATH. The workload is built once and kept in the user's cache, under a
 * name made of the compiler's version and the source's hash, so that neither goes stale. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "subject.h"

#include "../message.h"
#include "../text.h"
#include "process.h"

enum { MAX_SOURCES = 32 };
static const double version_timeout_s = 10, build_timeout_s = 120;

static char *find_on_path(const char *program) {
    const char *path = getenv("PATH");
    char *copy = lab_copy(path ? path : ""), *rest = copy, *directory, *found = NULL;
    while (!found && (directory = strsep(&rest, ":"))) {
        if (directory[0] != '/')
            continue;
        char *file = lab_format("%s/%s", directory, program);
        if (access(file, X_OK) == 0) {
            found = file;
        } else {
            free(file);
        }
    }
    free(copy);
    return found;
}

void lab_go_find(struct lab_subjects *found) {
    char *path = find_on_path("go");
    if (!path)
        return;
    struct lab_subject *s = lab_subjects_add(found);
    s->kind = LAB_KIND_GO;
    s->pace = LAB_PACE_USER;
    s->path = path;
    s->implementation = lab_copy("Go");
    char *argv[] = {path, "version", NULL};
    struct lab_process p;
    char version[32] = "";
    lab_process_run(&p, argv, version_timeout_s);
    s->broken = lab_process_reason(&p, version_timeout_s);
    if (!s->broken && sscanf(p.out.data, "go version go%31[0-9a-z.]", version) != 1) {
        s->broken = lab_copy("does not answer like Go");
    }
    lab_process_free(&p);
    s->version = lab_copy(version);
    size_t length = strcspn(version, ".");
    if (version[length])
        length += 1 + strcspn(version + length + 1, ".");
    s->name = lab_format("go%.*s", (int)length, version);
    s->alias = lab_format("go%s", version);
}

/* FNV-1a, 64 bits. */
static uint64_t hash(uint64_t h, const void *bytes, size_t n) {
    const unsigned char *b = bytes;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3u;
    return h;
}

static uint64_t hash_file(uint64_t h, const char *path) {
    FILE *f = fopen(path, "re");
    if (!f)
        return h;
    char bytes[4096];
    size_t n;
    while ((n = fread(bytes, 1, sizeof(bytes), f)) > 0)
        h = hash(h, bytes, n);
    fclose(f);
    return h;
}

static int is_source(const struct dirent *e) {
    size_t n = strlen(e->d_name);
    return n > 3 && strcmp(e->d_name + n - 3, ".go") == 0;
}

/* The sources' paths, ended by NULL; empty if there are none. */
static void list_sources(const char *directory, char *sources[MAX_SOURCES + 1]) {
    struct dirent **names;
    int n = scandir(directory, &names, is_source, alphasort), kept = 0;
    for (int i = 0; i < n; i++) {
        if (kept < MAX_SOURCES)
            sources[kept++] = lab_format("%s/%s", directory, names[i]->d_name);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    sources[kept] = NULL;
}

static bool make_directories(const char *path) {
    char *copy = lab_copy(path);
    bool made = true;
    for (char *at = copy + 1; made && at;) {
        at = strchr(at, '/');
        if (at)
            *at = '\0';
        made = mkdir(copy, 0777) == 0 || errno == EEXIST;
        if (at)
            *at++ = '/';
    }
    free(copy);
    return made;
}

static char *cache_directory(void) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    if (cache && cache[0] == '/') {
        path = lab_format("%s/heddle", cache);
    } else if (home && home[0] == '/') {
        path = lab_format("%s/.cache/heddle", home);
    }
    if (path && !make_directories(path)) {
        free(path);
        path = NULL;
    }
    return path;
}

/* Builds `target` from the sources; NULL or the reason why not. The linker writes beside the
 * target, which appears whole or not at all: two commands may build at once. */
static char *build(const struct lab_subject *s, const char *cache, const char *target,
                   char *const *sources) {
    char *temporary = lab_format("%s.%d", target, (int)getpid());
    char *gocache = lab_format("GOCACHE=%s/go-build", cache);
    char *argv[MAX_SOURCES + 12] = {"/usr/bin/env",
                                    "GO111MODULE=off",
                                    "GOTOOLCHAIN=local",
                                    "GOFLAGS=",
                                    gocache,
                                    s->path,
                                    "build",
                                    "-o",
                                    temporary};
    size_t n = 9;
    for (size_t i = 0; sources[i]; i++)
        argv[n++] = sources[i];
    argv[n] = NULL;
    struct lab_process p;
    lab_progress("building the Go workload (once)");
    lab_process_run(&p, argv, build_timeout_s);
    char *why = lab_process_reason(&p, build_timeout_s), *reason = NULL;
    if (!why && rename(temporary, target) != 0)
        why = lab_copy(strerror(errno));
    if (why) {
        unlink(temporary);
        reason = lab_format("its workload cannot be built: %s", why);
    }
    free(why);
    lab_process_free(&p);
    free(gocache);
    free(temporary);
    return reason;
}

void lab_go_prepare(struct lab_subject *s, const struct lab_places *places) {
    char *sources[MAX_SOURCES + 1] = {NULL};
    char *directory = lab_format("%s/go", places->workloads ? places->workloads : "");
    if (places->workloads)
        list_sources(directory, sources);
    char *cache = cache_directory();
    if (!sources[0]) {
        s->broken = lab_copy("its workload was not found");
    } else if (!cache) {
        s->broken = lab_copy("no place to build its workload: set HOME or XDG_CACHE_HOME");
    } else {
        uint64_t h = hash(0xcbf29ce484222325u, s->version, strlen(s->version));
        for (size_t i = 0; sources[i]; i++)
            h = hash_file(h, sources[i]);
        char *target = lab_format("%s/go-%016" PRIx64, cache, h);
        if (access(target, X_OK) != 0)
            s->broken = build(s, cache, target, sources);
        s->command = lab_alloc(2, sizeof(char *));
        s->command[0] = target;
    }
    for (size_t i = 0; sources[i]; i++)
        free(sources[i]);
    free(cache);
    free(directory);
}
