/* SPDX-License-Identifier: MIT */
/* Names of threads that bear none: before 3.14 the kernel does not learn what Python calls them,
 * and those that the program has not named itself are called like the process. */
#include <stdlib.h>
#include <string.h>

#include "probe/verdict.h"

static bool is_plumbing(const struct probe_frame *f) {
    const char *base = f->file ? strrchr(f->file, '/') : NULL;
    return base && strcmp(base, "/threading.py") == 0;
}

/* The outermost frame that is the program's own; NULL if none is known. `whole`: the stack goes
 * down to where the thread began, and was not cut. */
static const char *first_function(const struct probe_stacks *stacks, uint32_t node, bool *whole) {
    const char *name = NULL;
    *whole = false;
    for (; node; node = probe_stacks_outer(stacks, node)) {
        const struct probe_frame *f = probe_stacks_frame(stacks, node);
        bool plumbing = is_plumbing(f);
        if (f->op >= 0 && f->function) {
            *whole = plumbing;
            name = plumbing ? name : f->function;
        }
    }
    return name;
}

/* Of the samples of a thread, those that are most frequent decide; whole stacks before others. */
static const char *find_name(const struct probe_stacks *stacks, const struct probe_thread *th) {
    const struct probe_tally *lists[] = {th->held, th->waited, th->blocked_on};
    const size_t counts[] = {th->held_count, th->waited_count, th->blocked_on_count};
    const char *name = NULL;
    uint64_t most = 0;
    bool whole = false, best_whole = false;
    for (int k = 0; k < 3; k++) {
        for (size_t i = 0; i < counts[k]; i++) {
            if (lists[k][i].stack == 0)
                continue;
            const char *found = first_function(stacks, lists[k][i].stack, &whole);
            if (!found || whole < best_whole || (whole == best_whole && lists[k][i].count <= most))
                continue;
            name = found;
            best_whole = whole;
            most = lists[k][i].count;
        }
    }
    return name;
}

static const char *process_name(const struct probe_timeline *t, pid_t pid) {
    for (size_t i = 0; i < t->thread_count; i++) {
        if (t->thread[i].tid == pid)
            return t->thread[i].name;
    }
    return NULL;
}

void probe_name_threads(struct probe_timeline *t, const struct probe_stacks *stacks) {
    const char *process = NULL;
    pid_t of = 0;
    for (size_t i = 0; i < t->thread_count; i++) {
        struct probe_thread *th = &t->thread[i];
        if (th->tid == 0 || th->tid == th->pid)
            continue;
        if (th->pid != of) {
            process = process_name(t, th->pid);
            of = th->pid;
        }
        if (th->name && (!process || strcmp(th->name, process) != 0))
            continue;
        const char *name = stacks ? find_name(stacks, th) : NULL;
        if (!name)
            continue;
        free(th->name);
        th->name = lab_copy(name);
        lab_make_printable(th->name);
    }
}

void probe_name_main(struct probe_timeline *t) {
    for (size_t i = 0; i < t->thread_count; i++) {
        struct probe_thread *th = &t->thread[i];
        if (th->tid && th->tid == th->pid) {
            free(th->name);
            th->name = lab_copy("main");
        }
    }
}
