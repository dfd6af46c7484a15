/* SPDX-License-Identifier: MIT */
/* Names of threads that the program gave none: those that are called like their process are named
 * after the function that they began with, as the stacks show it. */
#include <stdlib.h>
#include <string.h>

#include "probe/threads.h"
#include "text.h"

bool probe_stack_is_plumbing(const char *function) {
    static const char *const list[] = {"start_thread", "clone", "clone3", "_start",
                                       "__libc_start_main", "__libc_start_call_main",
                                       "hd__arch_entry", "thread_entry"};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (strcmp(function, list[i]) == 0)
            return true;
    }
    return false;
}

/* The outermost function of a stack that is not what every thread begins with; NULL: the stack was
 * not followed to its end. */
static const char *first_function(const struct probe_stacks *stacks, uint32_t node) {
    const char *name = NULL;
    bool complete = false;
    for (; node; node = probe_stacks_outer(stacks, node)) {
        const struct probe_frame *f = probe_stacks_frame(stacks, node);
        complete = probe_stack_is_plumbing(f->function);
        if (!complete)
            name = f->function;
    }
    return complete && name && !strchr(name, '+') ? name : NULL;
}

static const char *process_name(const struct probe_timeline *t, pid_t pid) {
    for (size_t i = 0; i < t->thread_count; i++) {
        if (t->thread[i].tid == pid)
            return t->thread[i].name;
    }
    return NULL;
}

void probe_threads_name(struct probe_timeline *t, const struct probe_stacks *stacks) {
    for (size_t i = 0; i < t->thread_count; i++) {
        struct probe_thread *th = &t->thread[i];
        const char *process = process_name(t, th->pid), *name = NULL;
        if (th->tid == 0 || th->tid == th->pid ||
            (th->name && process && strcmp(th->name, process) != 0))
            continue;
        for (size_t k = 0; k < th->blocked_on_count && !name; k++)
            name = first_function(stacks, th->blocked_on[k].stack);
        if (!name)
            continue;
        free(th->name);
        th->name = lab_copy(name);
        lab_make_printable(th->name);
    }
}
