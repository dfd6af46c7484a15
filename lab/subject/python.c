/* SPDX-License-Identifier: MIT */
/* Every Python there is.
 *
 * Candidates are files with an interpreter's name in the usual places. An interpreter with several
 * names counts once: by the file behind them before it is asked anything, and by what it calls its
 * own executable afterwards (which sees through wrapper scripts). A pyenv shim is a script
 * that picks one of the interpreters that are found anyway, so shims are left out. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "subject.h"

#include "../text.h"
#include "interrupt.h"
#include "process.h"

enum {
    OPT_DEPTH = 4,          /* /opt/a/b/c/bin */
    OPT_DIRECTORIES = 4000, /* a bound on the walk */
    SHIM_BYTES = 512,
};
static const double probe_timeout_s = 5;

/* Runs unchanged on 2.7. The current directory is taken out of the path first: a random.py that
 * lies there is no module of the interpreter's. The last item is the executable's own idea of its
 * path, which may contain blanks. */
static const char probe[] =
    "import sys\n"
    "sys.path[:]=[p for p in sys.path if p]\n"
    "import platform\n"
    "try:\n"
    "    import sysconfig\n"
    "    free=1 if sysconfig.get_config_var('Py_GIL_DISABLED') else 0\n"
    "except Exception:\n"
    "    free=0\n"
    "print('heddle-probe %s %s %d %s' % (platform.python_implementation(),\n"
    "    platform.python_version(), free, sys.executable))\n";

/* Files that were looked at. Not their real paths: an interpreter may have several hard links. */
struct seen {
    struct seen_file {
        dev_t device;
        ino_t number;
    } * files;
    size_t count;
    size_t directories; /* walked in /opt */
};

static bool see(struct seen *seen, const struct stat *st) {
    for (size_t i = 0; i < seen->count; i++) {
        const struct seen_file *f = &seen->files[i];
        if (f->device == st->st_dev && f->number == st->st_ino)
            return false;
    }
    seen->files = lab_grow_one(seen->files, seen->count, sizeof(*seen->files));
    seen->files[seen->count++] = (struct seen_file){st->st_dev, st->st_ino};
    return true;
}

/* python, python3, python3.11, python3.13t, pypy3.10; not python3-config, python3.11-gdb.py, nor
 * python3.6m, which is always another name of python3.6. */
static bool is_interpreter_name(const char *name) {
    if (lab_starts_with(name, "python")) {
        name += strlen("python");
    } else if (lab_starts_with(name, "pypy")) {
        name += strlen("pypy");
    } else {
        return false;
    }
    name += strspn(name, "0123456789.");
    name += strspn(name, "td");
    return *name == '\0';
}

static bool is_shim(const char *path) {
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    char text[SHIM_BYTES + 1];
    size_t n = fread(text, 1, SHIM_BYTES, f);
    fclose(f);
    text[n] = '\0';
    return text[0] == '#' && text[1] == '!' && strstr(text, "pyenv");
}

static struct lab_subject *add(struct lab_subjects *found, const char *path) {
    struct lab_subject *s = lab_subjects_add(found);
    s->kind = LAB_KIND_PYTHON;
    s->pace = LAB_PACE_SCRIPT;
    s->implementation = lab_copy("");
    s->version = lab_copy("");
    s->path = lab_copy(path);
    return s;
}

/* Fills in what the probe printed; false if it did not print what it should. */
static bool take_answer(struct lab_subject *s, const char *answer, char **executable) {
    char implementation[32], version[32];
    int free_threaded, at = 0;
    const char *line = strstr(answer, "heddle-probe ");
    if (!line ||
        sscanf(line, "heddle-probe %31s %31s %d %n", implementation, version, &free_threaded,
               &at) != 3 ||
        at == 0) {
        return false;
    }
    free(s->implementation);
    free(s->version);
    s->implementation = lab_copy(implementation);
    s->version = lab_copy(version);
    lab_make_printable(s->implementation);
    lab_make_printable(s->version);
    s->free_threaded = free_threaded != 0;
    *executable = lab_copy_n(line + at, strcspn(line + at, "\n"));
    return true;
}

/* Asks the interpreter who it is. Returns its own idea of its path (to be freed) or NULL, and
 * then s->broken says why. */
static char *ask(struct lab_subject *s) {
    char *argv[] = {s->path, "-E", "-S", "-c", (char *)probe, NULL};
    struct lab_process p;
    lab_process_run(&p, argv, probe_timeout_s);
    char *executable = NULL;
    s->broken = lab_process_reason(&p, probe_timeout_s);
    if (!s->broken && !take_answer(s, p.out.data, &executable)) {
        s->broken = lab_copy("does not answer like a Python");
    }
    lab_process_free(&p);
    return executable;
}

static void look_at(struct lab_subjects *found, struct seen *seen, const char *path) {
    struct stat st, own;
    if (lab_interrupt_signal())
        return;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || access(path, X_OK) != 0)
        return;
    if (is_shim(path) || !see(seen, &st))
        return;
    struct lab_subject *s = add(found, path);
    char *executable = ask(s);
    bool wrapper = executable && stat(executable, &own) == 0 &&
                   (own.st_dev != st.st_dev || own.st_ino != st.st_ino);
    if (wrapper && !see(seen, &own))
        lab_subjects_drop_last(found);
    free(executable);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int only_interpreters(const struct dirent *e) {
    return is_interpreter_name(e->d_name);
}

/* The most particular names come last in order, and make the most telling paths. */
static void look_in(struct lab_subjects *found, struct seen *seen, const char *directory) {
    struct dirent **names;
    int n = scandir(directory, &names, only_interpreters, by_name);
    for (int i = n - 1; i >= 0; i--) {
        char *path = lab_format("%s/%s", directory, names[i]->d_name);
        look_at(found, seen, path);
        free(path);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

static void walk(struct lab_subjects *found, struct seen *seen, const char *directory, int depth) {
    struct dirent **names;
    if (seen->directories++ >= OPT_DIRECTORIES)
        return;
    int n = scandir(directory, &names, NULL, by_name);
    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        bool folder = names[i]->d_type == DT_DIR || names[i]->d_type == DT_LNK;
        if (folder && name[0] != '.') {
            char *path = lab_format("%s/%s", directory, name);
            if (strcmp(name, "bin") == 0) {
                look_in(found, seen, path);
            } else if (names[i]->d_type == DT_DIR && depth > 0) {
                walk(found, seen, path, depth - 1);
            }
            free(path);
        }
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

static void look_in_pyenv(struct lab_subjects *found, struct seen *seen) {
    const char *root = getenv("PYENV_ROOT"), *home = getenv("HOME");
    char *versions = root && *root ? lab_format("%s/versions", root)
                     : home        ? lab_format("%s/.pyenv/versions", home)
                                   : NULL;
    if (!versions)
        return;
    struct dirent **names;
    int n = scandir(versions, &names, NULL, by_name);
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.') {
            char *bin = lab_format("%s/%s/bin", versions, names[i]->d_name);
            look_in(found, seen, bin);
            free(bin);
        }
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    free(versions);
}

static void look_in_path(struct lab_subjects *found, struct seen *seen) {
    const char *path = getenv("PATH");
    if (!path)
        return;
    char *copy = lab_copy(path), *rest = copy, *directory;
    while ((directory = strsep(&rest, ":"))) {
        /* An empty or relative part is the current directory: no place to run programs from. */
        if (directory[0] == '/')
            look_in(found, seen, directory);
    }
    free(copy);
}

/* Version numbers in their order: 3.9 before 3.11. Those that do not run come last. */
static int compare(const struct lab_subject *x, const struct lab_subject *y) {
    if (!x->broken != !y->broken)
        return x->broken ? 1 : -1;
    int order = strverscmp(x->version, y->version);
    if (order == 0)
        order = (int)x->free_threaded - (int)y->free_threaded;
    return order;
}

/* By insertion, since that keeps the order of equals: who was found first gets the plain name. */
static void sort(struct lab_subject *items, size_t n) {
    for (size_t i = 1; i < n; i++) {
        struct lab_subject s = items[i];
        size_t to = i;
        for (; to > 0 && compare(&items[to - 1], &s) > 0; to--)
            items[to] = items[to - 1];
        items[to] = s;
    }
}

void lab_python_find(struct lab_subjects *found) {
    struct seen seen = {0};
    size_t first = found->count;
    /* The system's own first: it gets the plain name. */
    look_in(found, &seen, "/usr/bin");
    look_in(found, &seen, "/usr/local/bin");
    look_in_path(found, &seen);
    look_in_pyenv(found, &seen);
    walk(found, &seen, "/opt", OPT_DEPTH);
    free(seen.files);
    sort(found->items + first, found->count - first);
}

static bool same_file(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The directory that a path names its file in. */
static char *directory_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? lab_copy_n(path, (size_t)(slash - path) + 1) : lab_copy("./");
}

/* A virtual environment is known by a file beside its bin directory. Its interpreter is often a
 * link to another one, and yet behaves differently: it is the path that makes the difference. */
static bool in_environment(const char *directory) {
    char *mark = lab_format("%s../pyvenv.cfg", directory);
    bool there = access(mark, F_OK) == 0;
    free(mark);
    return there;
}

/* Whether two paths are names of one interpreter. A wrapper script is not its interpreter. */
static bool same_interpreter(const char *a, const char *b) {
    char *x = directory_of(a), *y = directory_of(b);
    bool same = same_file(a, b);
    if (same && (in_environment(x) || in_environment(y)))
        same = same_file(x, y);
    free(x);
    free(y);
    return same;
}

size_t lab_python_add(struct lab_subjects *found, const char *path) {
    struct lab_subject *s = add(found, path);
    size_t index = found->count - 1;
    free(ask(s));
    if (s->broken && is_shim(path)) {
        free(s->broken);
        s->broken = lab_copy("is a shim of pyenv: name the interpreter behind it");
    }
    for (size_t i = 0; i < index; i++) {
        if (same_interpreter(path, found->items[i].path)) {
            lab_subjects_drop_last(found);
            index = i;
        }
    }
    return index;
}

/* python3.11, python3.13t, pypy3.10; NULL for one that did not answer. */
static char *short_name(const struct lab_subject *s, int parts) {
    const char *v = s->version;
    size_t length = 0;
    for (; v[length] && parts > 0; length++) {
        if (v[length] == '.' && --parts == 0)
            break;
    }
    const char *family = strcmp(s->implementation, "PyPy") == 0 ? "pypy" : "python";
    return lab_format("%s%.*s%s", family, (int)length, v, s->free_threaded ? "t" : "");
}

static bool taken(const struct lab_subjects *found, const char *name) {
    for (size_t i = 0; i < found->count; i++) {
        if (found->items[i].name && strcmp(found->items[i].name, name) == 0)
            return true;
    }
    return false;
}

void lab_python_name(struct lab_subjects *found) {
    for (size_t i = 0; i < found->count; i++) {
        struct lab_subject *s = &found->items[i];
        if (s->kind != LAB_KIND_PYTHON || s->name)
            continue;
        const char *slash = strrchr(s->path, '/'), *file = slash ? slash + 1 : s->path;
        char *name = s->version[0] ? short_name(s, 2) : lab_copy(file);
        char *full = s->version[0] ? short_name(s, 9) : lab_copy(file);
        if (taken(found, name)) {
            free(name);
            name = lab_copy(full);
        }
        for (int number = 2; taken(found, name); number++) {
            free(name);
            name = lab_format("%s-%d", full, number);
        }
        lab_make_printable(name);
        s->name = name;
        s->alias = full;
    }
}
