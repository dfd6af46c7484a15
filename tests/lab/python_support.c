/* SPDX-License-Identifier: MIT */
#include "python_support.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

static bool has_version(const char *name, const char *version) {
    size_t n = strlen(version);
    return strncmp(name, version, n) == 0 && (name[n] == '.' || name[n] == '\0');
}

static bool in_list(const char *version, char *out) {
    const char *list = getenv("HEDDLE_TEST_PYTHONS");
    for (const char *at = list, *end; at && *at; at = *end ? end + 1 : end) {
        end = strchrnul(at, ':');
        snprintf(out, PATH_MAX, "%.*s", (int)(end - at), at);
        const char *name = strrchr(out, '/');
        if (name && strncmp(name, "/python", 7) == 0 && strcmp(name + 7, version) == 0 &&
            access(out, X_OK) == 0)
            return true;
    }
    return false;
}

static bool in_pyenv(const char *version, char *out) {
    const char *home = getenv("HOME");
    char folder[PATH_MAX / 2];
    snprintf(folder, sizeof(folder), "%s/.pyenv/versions", home ? home : "");
    DIR *d = opendir(folder);
    bool found = false;
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        if (!has_version(e->d_name, version))
            continue;
        snprintf(out, PATH_MAX, "%s/%s/bin/python", folder, e->d_name);
        found = access(out, X_OK) == 0;
    }
    if (d)
        closedir(d);
    return found;
}

const char *python_path(const char *version) {
    static char path[PATH_MAX];
    if (strcmp(version, "system") == 0) {
        if (!realpath("/usr/bin/python3", path))
            SKIP("there is no /usr/bin/python3");
        return path;
    }
    if (!in_list(version, path) && !in_pyenv(version, path))
        SKIP("no python%s is here (in ~/.pyenv or HEDDLE_TEST_PYTHONS)", version);
    return path;
}

void python_start(struct python_process *p, const char *path, const char *script) {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    p->pid = fork();
    CHECK(p->pid >= 0);
    if (p->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl(path, path, "-S", "-c", script, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    p->out = ends[0];
    size_t n = 0;
    for (ssize_t got = 1; got > 0 && n + 1 < sizeof(p->line) && !memchr(p->line, '\n', n);) {
        got = read(p->out, p->line + n, sizeof(p->line) - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    }
    p->line[n] = '\0';
    CHECK(strncmp(p->line, "ready", 5) == 0);
}

void python_stop(struct python_process *p) {
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    close(p->out);
}

struct probe_python *python_open(pid_t pid) {
    struct probe_python *p = NULL;
    char *why = NULL;
    int error = probe_python_open(pid, &p, &why);
    if (error == -EPERM || error == -EACCES)
        SKIP("%s", why);
    if (error)
        fprintf(stderr, "probe_python_open: %d, %s\n", error, why);
    CHECK_EQ(error, 0);
    CHECK(!why);
    return p;
}
