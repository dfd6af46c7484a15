/* SPDX-License-Identifier: MIT */
/* Finding the interpreter of a process, and what it says of itself.
 *
 * Its file is one of those that the process has mapped: the program itself, or a library. The
 * linker's own table names _PyRuntime even in a stripped file (3.7 and later; before, there are
 * variables of single things). Then the layout of that version is put to the test on the
 * structures themselves, before anything is believed: a build with other options has others. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/python_inside.h"
#include "text.h"

/* ---- the file ---- */

/* Where the interpreter begins, from its file. */
static bool find_runtime(struct probe_python *p, const struct probe_elf *e) {
    struct probe_symbol s;
    uint64_t bias = probe_elf_bias(e);
    if (probe_elf_symbol(e, "_PyRuntime", &s) || probe_elf_section(e, ".PyRuntime", &s)) {
        p->runtime = s.address + bias;
        p->runtime_size = s.size;
    } else if (probe_elf_symbol(e, "_PyThreadState_Current", &s)) {
        p->current = s.address + bias;
    } else {
        return false;
    }
    if (probe_elf_symbol(e, "PyCode_Type", &s))
        p->code_type = s.address + bias;
    return true;
}

static uint64_t variable(const struct probe_elf *e, const char *name, const char *function) {
    struct probe_symbol s;
    uint64_t address =
        probe_elf_symbol(e, name, &s) ? s.address : function ? python_address_in(e, function) : 0;
    return address ? address + probe_elf_bias(e) : 0;
}

/* 3.6: the parts of the GIL are variables. `gil_begin` is the first of those that a thread can
 * wait on, and the offsets count from there, which may be to either side. */
static void find_gil_variables(struct probe_python *p, const struct probe_elf *e) {
    static const char *const waits[] = {"gil_mutex", "gil_cond", "switch_mutex", "switch_cond"};
    uint64_t low = UINT64_MAX, high = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t at = variable(e, waits[i], NULL);
        low = at < low ? at : low;
        high = at > high ? at : high;
    }
    uint64_t number = variable(e, "gil_switch_number", NULL);
    uint64_t holder = variable(e, "gil_last_holder", NULL);
    uint64_t locked = variable(e, "gil_locked", NULL);
    uint64_t interval = variable(e, "gil_interval", NULL);
    if (!low || !number || !holder || !locked || !interval || high - low > 4096)
        return;
    p->gil_begin = low;
    p->gil_size = high + 48 - low;
    p->layout.gil_number = (int)(int64_t)(number - low);
    p->layout.gil_holder = (int)(int64_t)(holder - low);
    p->layout.gil_locked = (int)(int64_t)(locked - low);
    p->layout.gil_interval = (int)(int64_t)(interval - low);
    p->layout.gil_size = (int)p->gil_size;
}

/* ---- the layout ---- */

static int fail(char **why, int error, char *text) {
    free(*why);
    *why = text;
    return error;
}

static int unknown_version(struct probe_python *p, int major, int minor, char **why) {
    return fail(why, -EPROTO,
                lab_format("process %d runs CPython %d.%d, whose structures are not known here "
                           "(known are 2.7 and 3.6 to 3.15)",
                           (int)p->pid, major, minor));
}

static int choose_debug(struct probe_python *p, const char *through, char **why) {
    uint64_t version = 0;
    int error = python_layout_debug(p->pid, p->runtime, &p->layout, &version);
    if (error == -EPROTO)
        return unknown_version(p, (int)(version >> 24), (int)(version >> 16 & 0xff), why);
    if (error)
        return error;
    p->facts.micro = (int)(version >> 8 & 0xff);
    p->how = lab_format("debug offsets%s", through);
    return 0;
}

static int choose_symbols(struct probe_python *p, const struct probe_elf *e, const char *path,
                          const char *through, char **why) {
    int major, minor, micro;
    python_version_find(p->pid, e, path, &major, &minor, &micro);
    const struct python_layout *found = python_layout_find(major, minor);
    if (!found && major < 0)
        return fail(why, -EPROTO,
                    lab_format("process %d runs CPython from %s, and which version that is cannot "
                               "be seen",
                               (int)p->pid, path));
    if (!found)
        return unknown_version(p, major, minor, why);
    if ((found->runtime_head >= 0) != (p->runtime != 0))
        return fail(why, -EPROTO,
                    lab_format("process %d runs CPython from %s, which seems to be %d.%d and has "
                               "not what that should have",
                               (int)p->pid, path, major, minor));
    p->layout = *found;
    p->facts.micro = micro;
    if (!p->runtime) {
        p->head = variable(e, "interp_head", "PyInterpreterState_Head");
        if (major == 2)
            p->lock = variable(e, "interpreter_lock", "PyEval_ThreadsInitialized");
        else
            find_gil_variables(p, e);
        bool hidden = major == 2 ? !p->lock : !p->gil_begin;
        if (hidden)
            through = "; where its GIL is cannot be seen, since its file is stripped";
        if (!p->head)
            return fail(why, -EPROTO,
                        lab_format("process %d runs CPython %d.%d from %s, in which its list of "
                                   "threads cannot be found: the file is stripped, or built "
                                   "unusually",
                                   (int)p->pid, major, minor, path));
    }
    p->how = lab_format("symbols, offsets of %d.%d%s", major, minor, through);
    return 0;
}

static int take_file(struct probe_python *p, const struct probe_elf *e, const char *path,
                     const char *through, char **why) {
    if (!find_runtime(p, e))
        return -ENOENT;
    int error = p->runtime ? choose_debug(p, through, why) : -ENOENT;
    if (error == -ENOENT)
        error = choose_symbols(p, e, path, through, why);
    if (error)
        return error;
    if (p->runtime)
        p->head = p->runtime + (uint64_t)p->layout.runtime_head;
    p->file = lab_copy(path);
    return 0;
}

/* ---- which of the files ---- */

/* 2: it bears the name; 1: it has code; 0: an earlier mapping was of the same file, or it is one
 * of the C library's, which every process has. */
static int rank(const struct probe_mapping *all, int at) {
    for (int i = 0; i < at; i++) {
        if (all[i].inode == all[at].inode && strcmp(all[i].path, all[at].path) == 0)
            return 0;
    }
    const char *name = strrchr(all[at].path, '/') + 1;
    if (strstr(name, "python"))
        return 2;
    static const char *const others[] = {"libc.", "libm.", "ld-", "libpthread", "libdl", "libstdc"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (lab_starts_with(name, others[i]))
            return 0;
    }
    const char *dot = strrchr(name, '.');
    return dot && (strcmp(dot, ".mo") == 0 || strcmp(dot, ".cache") == 0) ? 0 : 1;
}

static int find_file(struct probe_python *p, char **why) {
    struct probe_mapping *all;
    int count = probe_mappings_read(p->pid, &all);
    if (count < 0)
        return fail(why, count, probe_read_why(p->pid, count));
    int error = -ENOENT;
    for (int want = 2; want >= 1 && error == -ENOENT; want--) {
        for (int i = 0; i < count && error == -ENOENT; i++) {
            struct probe_elf *e;
            const char *how;
            if (rank(all, i) != want ||
                probe_elf_open_mapping(p->pid, all, count, i, &e, &how) != 0)
                continue;
            error = take_file(p, e, all[i].path, how, why);
            probe_elf_close(e);
        }
    }
    if (error == -ENOENT)
        fail(why, error, lab_format("process %d runs no Python interpreter", (int)p->pid));
    probe_mappings_free(all, count);
    return error;
}

/* ---- the proof ---- */

static int not_begun(struct probe_python *p, char **why) {
    return fail(why, -ENOENT,
                lab_format("the Python interpreter of process %d has not begun yet, or has ended",
                           (int)p->pid));
}

static int unlike(struct probe_python *p, const char *what, char **why) {
    return fail(why, -EPROTO,
                lab_format("the Python interpreter of process %d (%s) is not laid out as a release "
                           "build of CPython %d.%d is: %s; a debug build, or a changed one, cannot "
                           "be read",
                           (int)p->pid, p->file, p->layout.major, p->layout.minor, what));
}

/* Reads the first interpreter and its first thread, and looks whether each says what it must. */
static int prove(struct probe_python *p, char **why) {
    const struct python_layout *l = &p->layout;
    uint64_t interp = 0, thread = 0, back = 0;
    int error = probe_read_u64(p->pid, p->head, &interp);
    if (error)
        return fail(why, error, probe_read_why(p->pid, error));
    if (!interp)
        return not_begun(p, why);
    if (probe_read_u64(p->pid, interp + (uint64_t)l->interp_threads, &thread) != 0)
        return unlike(p, "its list of interpreters leads nowhere", why);
    if (!thread)
        return not_begun(p, why);
    if (probe_read_u64(p->pid, thread + (uint64_t)l->thread_interp, &back) != 0)
        return unlike(p, "its list of threads leads nowhere", why);
    if (!back)
        return not_begun(p, why);
    if (back != interp)
        return unlike(p, "its first thread belongs to no interpreter", why);
    return 0;
}

void probe_python_refresh(struct probe_python *p, const struct probe_gil *g) {
    uint64_t interval = 0;
    if (p->layout.major == 3 && p->layout.gil_size > 0 &&
        probe_read_u64(p->pid, g->address + (uint64_t)(int64_t)p->layout.gil_interval, &interval) ==
            0 &&
        interval > 0)
        p->facts.switch_interval_us = interval;
}

static void fill_facts(struct probe_python *p) {
    struct probe_gil gil;
    p->facts.major = p->layout.major;
    p->facts.minor = p->layout.minor;
    p->facts.free_threaded = p->layout.free_threaded;
    p->facts.stacks = true;
    p->facts.file = p->file;
    p->facts.how = p->how;
    int gils = p->layout.major == 3 && p->layout.gil_size > 0 ? probe_python_gils(p, &gil, 1) : 0;
    /* A free-threaded build has one too, which it may use. 3.6 makes it with the second thread. */
    p->facts.has_gil_number = p->layout.free_threaded ? gils > 0 : p->layout.gil_size > 0;
    if (gils > 0)
        probe_python_refresh(p, &gil);
}

int probe_python_open(pid_t pid, struct probe_python **out, char **why) {
    char *reason = NULL;
    struct probe_python *p = lab_alloc(1, sizeof(*p));
    p->pid = pid;
    p->facts.micro = -1;
    p->tid_offset = -1;
    p->gil_own = -1;
    char own[64] = "", theirs[64] = "", path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
    ssize_t a = readlink("/proc/self/ns/pid", own, sizeof(own) - 1);
    ssize_t b = readlink(path, theirs, sizeof(theirs) - 1);
    p->other_namespace = a > 0 && b > 0 && strcmp(own, theirs) != 0;

    int error = find_file(p, &reason);
    if (!error)
        error = prove(p, &reason);
    if (error) {
        probe_python_close(p);
        if (!reason)
            reason = probe_read_why(pid, error);
        if (why)
            *why = reason;
        else
            free(reason);
        return error;
    }
    free(reason);
    if (why)
        *why = NULL;
    fill_facts(p);
    *out = p;
    return 0;
}

void probe_python_close(struct probe_python *p) {
    if (!p)
        return;
    python_codes_free(&p->codes);
    free(p->window);
    free(p->tids);
    free(p->file);
    free(p->how);
    free(p);
}

const struct probe_python_facts *probe_python_facts(const struct probe_python *p) {
    return &p->facts;
}

int probe_python_type(struct probe_python *p, uint64_t object, char *out, size_t size) {
    uint64_t type, name;
    int error = probe_read_u64(p->pid, object + (uint64_t)p->layout.object_type, &type);
    if (!error)
        error = probe_read_u64(p->pid, type + (uint64_t)p->layout.type_name, &name);
    if (!error)
        error = probe_read_string(p->pid, name, out, size);
    return error;
}
