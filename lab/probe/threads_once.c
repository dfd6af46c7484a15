/* SPDX-License-Identifier: MIT */
/* heddle threads --once: what every thread of a process does at this moment. Threads that are in
 * the same call with the same stack are told together. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "probe/mutex.h"
#include "probe/native.h"
#include "probe/threads.h"
#include "report/format.h"
#include "text.h"

enum { STACK_NODES = 1 << 18, NAMES_SHOWN = 6 };

struct one {
    struct probe_book book;
    struct probe_call call;
    bool seen;     /* `call` was read */
    uint32_t stack, python; /* of C functions, and of Python */
    char *text;    /* what it does */
    char name[64]; /* by Python; empty: it has none there */
    struct probe_mutex_wait wait;
};

struct once {
    pid_t pid;
    struct one *thread;
    size_t count;
    struct probe_native *native; /* NULL: no stacks */
    struct probe_python *python; /* NULL: none */
    struct probe_python_thread *state; /* the threads that it knows */
    int states;
    struct probe_stacks *stacks;
    size_t torn;
    int barred; /* an errno: calls may not be read */
};

static char *text_of(struct once *o, const struct one *t) {
    if (t->book.state == 'Z' || t->book.state == 'X')
        return lab_copy("has ended (a zombie: nobody has asked for its status)");
    if (!t->seen)
        return lab_format("state %c", t->book.state);
    char *call = probe_call_text(o->pid, &t->call);
    uint64_t futex = probe_call_futex(&t->call);
    if (t->wait.kind >= PROBE_MUTEX_PYTHON) {
        char *lock = probe_mutex_text((enum probe_mutex_kind)t->wait.kind, t->wait.address, NULL);
        char *text = lab_format("waits for %s", lock);
        free(call);
        free(lock);
        return text;
    }
    if (!futex || !o->native)
        return call;
    char *name = probe_native_name(o->native, futex, true);
    char *text = lab_format("%s %s", call, name);
    free(call);
    free(name);
    return text;
}

/* What Python knows of it. */
static void ask_python(struct once *o, struct one *t) {
    const struct probe_python_thread *state = NULL;
    struct probe_python_lock lock;
    bool torn = false;
    uint64_t futex = t->seen ? probe_call_futex(&t->call) : 0;
    for (int i = 0; i < o->states && !state; i++)
        state = o->state[i].tid == t->book.tid ? &o->state[i] : NULL;
    if (!state)
        return;
    t->python = probe_python_stack(o->python, state, o->stacks, &torn);
    if (probe_python_thread_name(o->python, state, t->name, sizeof t->name) != 0)
        t->name[0] = '\0';
    if (futex && t->python && probe_python_lock_find(o->python, futex, t->call.sp, &lock) == 0) {
        t->wait.kind = (uint8_t)probe_mutex_of_python(o->stacks, t->python, &lock);
        t->wait.address = lock.object;
    }
}

static void look_at(struct once *o, pid_t tid) {
    struct one t = {0};
    bool torn = false;
    if (probe_book_read(o->pid, tid, &t.book) != 0)
        return;
    int err = probe_call_read(o->pid, tid, &t.call);
    t.seen = err == 0;
    if (err && err != -ESRCH)
        o->barred = -err;
    if (t.seen && !t.call.runs && o->native)
        t.stack = probe_native_stack(o->native, tid, &t.call, o->stacks, &torn);
    o->torn += torn;
    uint64_t futex = t.seen ? probe_call_futex(&t.call) : 0;
    t.wait = (struct probe_mutex_wait){.tid = tid, .futex = futex, .address = futex};
    if (futex)
        t.wait.kind = (uint8_t)probe_mutex_of_functions(o->stacks, t.stack);
    ask_python(o, &t);
    t.wait.native = t.stack;
    t.wait.python = t.python;
    t.text = text_of(o, &t);
    o->thread = lab_grow_one(o->thread, o->count, sizeof t);
    o->thread[o->count++] = t;
}

static int by_kind(const void *a, const void *b) {
    const struct one *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    if (order)
        return order;
    if (x->stack != y->stack)
        return x->stack < y->stack ? -1 : 1;
    if (x->python != y->python)
        return x->python < y->python ? -1 : 1;
    return (x->book.tid > y->book.tid) - (x->book.tid < y->book.tid);
}

static bool same(const struct one *a, const struct one *b) {
    return a->stack == b->stack && a->python == b->python && strcmp(a->text, b->text) == 0;
}

/* ---- threads that wait for each other ---- */

static char *name_of(void *arg, pid_t tid) {
    const struct once *o = arg;
    for (size_t i = 0; i < o->count; i++) {
        const struct one *t = &o->thread[i];
        if (t->book.tid == tid) {
            char *name = lab_format("`%s` (%d)", t->name[0] ? t->name : t->book.name, (int)tid);
            lab_make_printable(name);
            return name;
        }
    }
    return lab_format("%d", (int)tid);
}

static char *lock_of(void *arg, const struct probe_mutex_wait *wait) {
    const struct once *o = arg;
    char *name = o->native && wait->kind < PROBE_MUTEX_PYTHON
                     ? probe_native_name(o->native, wait->address, true) : NULL;
    /* What lies in the heap has no name. */
    bool has_name = name && name[0] != '[' && !lab_starts_with(name, "anonymous");
    char *text = probe_mutex_text((enum probe_mutex_kind)wait->kind, wait->address,
                                  has_name ? name : NULL);
    free(name);
    return text;
}

static void print_owner(FILE *f, struct once *o, const struct probe_mutex_wait *wait) {
    pid_t owner = probe_mutex_owner(o->pid, o->python, (enum probe_mutex_kind)wait->kind,
                                    wait->address);
    if (!owner)
        return;
    char *name = name_of(o, owner);
    fprintf(f, "    which %s has\n", name);
    free(name);
}

static void print_circles(FILE *f, struct once *o) {
    struct probe_mutex_wait *wait = lab_alloc(o->count + 1, sizeof *wait);
    size_t count = 0;
    for (size_t i = 0; i < o->count; i++) {
        if (o->thread[i].wait.kind)
            wait[count++] = o->thread[i].wait;
    }
    count = count ? probe_mutex_prove(o->pid, o->python, wait, count) : 0;
    if (count) {
        char *text = probe_mutex_circle_text(wait, count, o->stacks, name_of, lock_of, o);
        fputc('\n', f);
        lab_wrap(f, text, 0, 0);
        free(text);
    }
    free(wait);
}

/* The names of threads that are told together, and how much each has computed. */
static void print_names(FILE *f, const struct one *t, size_t count) {
    struct lab_text line = {0};
    if (count > 1)
        lab_text_printf(&line, "%zu threads: ", count);
    for (size_t i = 0; i < count; i++) {
        char *name = lab_copy(t[i].name[0] ? t[i].name : t[i].book.name);
        lab_make_printable(name);
        if (i == NAMES_SHOWN) {
            lab_text_printf(&line, " and %zu more", count - i);
            free(name);
            break;
        }
        lab_text_printf(&line, "%s%s (%d", i ? ", " : "", name, (int)t[i].book.tid);
        if (count <= 2) {
            char user[LAB_CELL], system[LAB_CELL];
            lab_human(user, (double)t[i].book.user_ns, "ns");
            lab_human(system, (double)t[i].book.system_ns, "ns");
            lab_text_printf(&line, "; CPU %d; ran %s, and %s in the kernel", t[i].book.cpu, user,
                            system);
            if (t[i].book.exact) {
                lab_human(user, (double)t[i].book.delay_ns, "ns");
                lab_text_printf(&line, "; waited %s for a CPU", user);
            }
        }
        lab_text_printf(&line, ")");
        free(name);
    }
    lab_wrap(f, line.data, 0, 4);
    lab_text_free(&line);
}

static void print_stack(FILE *f, const struct probe_stacks *stacks, uint32_t node) {
    for (; node; node = probe_stacks_outer(stacks, node)) {
        const struct probe_frame *frame = probe_stacks_frame(stacks, node);
        char *line = frame->line > 0 ? lab_format("%s (%s:%d)", frame->function, frame->file,
                                                  frame->line)
                     : frame->file   ? lab_format("%s (%s)", frame->function, frame->file)
                                     : lab_copy(frame->function);
        lab_make_printable(line);
        fprintf(f, "        %s\n", line);
        free(line);
    }
}

static int read_threads(struct once *o) {
    char path[64];
    struct dirent *e;
    snprintf(path, sizeof path, "/proc/%d/task", (int)o->pid);
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    while ((e = readdir(dir))) {
        pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);
        if (tid > 0)
            look_at(o, tid);
    }
    closedir(dir);
    return o->count ? 0 : -ESRCH;
}

static void print(FILE *f, struct once *o) {
    qsort(o->thread, o->count, sizeof *o->thread, by_kind);
    fprintf(f, "process %d, %zu thread%s\n", (int)o->pid, o->count, o->count == 1 ? "" : "s");
    print_circles(f, o);
    for (size_t i = 0, n; i < o->count; i += n) {
        for (n = 1; i + n < o->count && same(&o->thread[i], &o->thread[i + n]); n++)
            ;
        char *text = lab_copy(o->thread[i].text);
        lab_make_printable(text);
        fputc('\n', f);
        print_names(f, &o->thread[i], n);
        fputs("    ", f);
        lab_wrap(f, text, 4, 4);
        print_owner(f, o, &o->thread[i].wait);
        if (o->thread[i].python)
            fputs("      Python\n", f);
        print_stack(f, o->stacks, o->thread[i].python);
        if (o->thread[i].python && o->thread[i].stack)
            fputs("      C functions\n", f);
        print_stack(f, o->stacks, o->thread[i].stack);
        free(text);
    }
    if (o->torn)
        fprintf(f, "\n%zu thread%s went on while being looked at, and %s no stack here.\n", o->torn,
                o->torn == 1 ? "" : "s", o->torn == 1 ? "has" : "have");
}

static void open_python(struct once *o) {
    enum { STATES_MAX = 4096 };
    char *why = NULL;
    if (probe_python_open(o->pid, &o->python, &why) != 0) {
        o->python = NULL;
    } else {
        o->state = lab_alloc(STATES_MAX, sizeof *o->state);
        o->states = probe_python_threads(o->python, o->state, STATES_MAX);
        o->states = o->states < STATES_MAX ? o->states : STATES_MAX;
    }
    free(why);
}

int probe_threads_once(FILE *f, pid_t pid) {
    struct once o = {.pid = pid, .stacks = probe_stacks_new(STACK_NODES)};
    if (probe_native_open(pid, &o.native) != 0)
        o.native = NULL;
    open_python(&o);
    int err = read_threads(&o);
    if (err) {
        lab_complain("process %d: %s", (int)pid,
                     err == -ENOENT || err == -ESRCH ? "there is none" : strerror(-err));
    } else {
        struct probe_green *g = probe_green_new(pid, o.stacks);
        probe_green_look(g, 1);
        print(f, &o);
        probe_green_text(f, probe_green_view(g), o.stacks);
        probe_green_free(g);
    }
    for (size_t i = 0; i < o.count; i++)
        free(o.thread[i].text);
    free(o.thread);
    free(o.state);
    probe_python_close(o.python);
    probe_native_close(o.native);
    probe_stacks_free(o.stacks);
    if (o.barred)
        lab_complain("what the threads of process %d wait for may not be read (%s): be its user, "
                     "or root", (int)pid, strerror(o.barred));
    return err || o.barred ? LAB_EXIT_UNMEASURED : LAB_EXIT_DONE;
}
