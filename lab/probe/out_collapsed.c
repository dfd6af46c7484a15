/* SPDX-License-Identifier: MIT */
/* Collapsed stacks: "thread;state;outermost;...;innermost microseconds", a line a stack, as flame
 * graphs are made from. How long a thread was in a state is known; how that divides among stacks is
 * estimated from samples. What no sample saw is a line without a stack, so that sums are right. */
#include "probe/out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A part of the line: what separates parts, and lines, cannot be in it. */
static void part(struct lab_text *to, const char *s) {
    for (; *s; s++) {
        char c = *s == ';' ? ',' : (unsigned char)*s < 0x20 || *s == 0x7f ? ' ' : *s;
        lab_text_add(to, &c, 1);
    }
}

struct row {
    char *stack;
    double ns;
};

static int by_stack(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    return strcmp(x->stack, y->stack);
}

static void line(FILE *f, const char *before, const char *rest, double ns) {
    uint64_t us = (uint64_t)(ns / 1000 + 0.5);
    if (us)
        fprintf(f, "%s%s %" PRIu64 "\n", before, rest, us);
}

/* ";outermost;...;innermost;[call]". The caller frees. */
static char *stack_of(const struct probe_report *r, const struct probe_tally *y) {
    struct lab_text rest = {0};
    uint32_t *path;
    size_t n = out_path(r->stacks, y->stack, &path);
    for (size_t i = 0; i < n; i++) {
        struct lab_text frame = {0};
        out_frame(&frame, probe_stacks_frame(r->stacks, path[i]));
        lab_text_add(&rest, ";", 1);
        part(&rest, frame.data);
        lab_text_free(&frame);
    }
    char call[64];
    out_tally_call(r, y, call);
    if (*call)
        lab_text_printf(&rest, ";[%s]", call);
    free(path);
    return rest.data ? rest.data : lab_copy("");
}

/* One state of one thread: `total` ns, of which samples tell something. What differs in more than
 * a line shows (the address of a futex) is one line all the same. */
static void state(FILE *f, const struct probe_report *r, const char *thread, const char *word,
                  uint64_t total, const struct probe_tally *y, size_t count) {
    struct lab_text before = {0};
    struct row *row = lab_alloc(count + 1, sizeof *row);
    part(&before, thread);
    lab_text_printf(&before, ";%s", word);
    double sum = 0, told = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)y[i].ns;
    /* What the samples add up to may exceed what is known; it is the division that they tell. */
    double scale = sum > (double)total ? (double)total / sum : 1;
    for (size_t i = 0; i < count; i++) {
        row[i] = (struct row){stack_of(r, &y[i]), (double)y[i].ns * scale};
        told += row[i].ns;
    }
    row[count++] = (struct row){lab_copy(""), (double)total > told ? (double)total - told : 0};
    qsort(row, count, sizeof *row, by_stack);
    for (size_t i = 0; i < count; i++) {
        bool more = i + 1 < count && strcmp(row[i].stack, row[i + 1].stack) == 0;
        if (more)
            row[i + 1].ns += row[i].ns;
        else
            line(f, before.data, row[i].stack, row[i].ns);
    }
    for (size_t i = 0; i < count; i++)
        free(row[i].stack);
    free(row);
    lab_text_free(&before);
}

int probe_write_collapsed(FILE *f, const struct probe_report *r) {
    const struct probe_timeline *t = r->timeline;
    bool gil = out_has_gil(r);
    for (size_t i = 0; i < t->thread_count; i++) {
        const struct probe_thread *x = &t->thread[i];
        uint64_t holds = x->state_ns[PROBE_STATE_HOLDS] + x->state_ns[PROBE_STATE_HOLDS_OFF];
        uint64_t on = x->state_ns[PROBE_STATE_ON];
        char *title = probe_thread_title(t, i);
        if (gil)
            state(f, r, title, "holding", holds, x->held, x->held_count);
        state(f, r, title, "running", on, x->held, gil ? 0 : x->held_count);
        state(f, r, title, "waiting", x->state_ns[PROBE_STATE_WAITS], x->waited, x->waited_count);
        state(f, r, title, "runnable", x->state_ns[PROBE_STATE_RUNNABLE], NULL, 0);
        state(f, r, title, "blocked", x->state_ns[PROBE_STATE_BLOCKED], x->blocked_on,
              x->blocked_on_count);
        free(title);
    }
    return ferror(f) ? -EIO : 0;
}
