/* SPDX-License-Identifier: MIT */
/* Heddle's own threads as text. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "probe/threads.h"
#include "text.h"

enum { GROUPS_SHOWN = 12, THREADS_SHOWN = 24, FRAMES_SHOWN = 6, STACKS_SHOWN = 4 };

static double mean(const struct probe_green_view *v, uint64_t sum) {
    return v->looks ? (double)sum / (double)v->looks : 0;
}

/* Counts are whole where they are large, and have a digit behind the point where not. */
static void print_count(FILE *f, double value) {
    fprintf(f, value >= 100 || value == (double)(uint64_t)value ? "%9.0f" : "%9.1f", value);
}

static void summary(FILE *f, const struct probe_green_view *v) {
    struct lab_text line = {0};
    lab_text_printf(&line, "Heddle's own threads, on %zu worker%s and %zu kernel thread%s for "
                    "them: %" PRIu64 " at the last of %" PRIu64 " look%s",
                    v->workers, v->workers == 1 ? "" : "s", v->carriers,
                    v->carriers == 1 ? "" : "s", v->count_last, v->looks,
                    v->looks == 1 ? "" : "s");
    if (v->count_most != v->count_last)
        lab_text_printf(&line, ", %" PRIu64 " at most", v->count_most);
    lab_text_printf(&line, ". On the average");
    const char *comma = "";
    for (int s = 0; s < PROBE_HEDDLE_STATES; s++) {
        if (!v->state[s])
            continue;
        double m = mean(v, v->state[s]);
        lab_text_printf(&line, m >= 100 ? "%s %.0f %s" : "%s %.1f %s", comma, m,
                        probe_heddle_word((enum probe_heddle_state)s));
        comma = ",";
    }
    lab_text_printf(&line, ".");
    if (v->dropped)
        lab_text_printf(&line, " %" PRIu64 " were too many to be looked at.", v->dropped);
    fputc('\n', f);
    lab_wrap(f, line.data, 0, 0);
    lab_text_free(&line);
}

static char *what_group(const struct probe_green_group *g) {
    struct lab_text text = {0};
    lab_text_printf(&text, "%s", probe_heddle_word((enum probe_heddle_state)g->state));
    if (g->what)
        lab_text_printf(&text, " for %s", g->what);
    if (g->object)
        lab_text_printf(&text, " %s", g->object);
    if (g->site)
        lab_text_printf(&text, ", in %s", g->site);
    if (g->fn)
        lab_text_printf(&text, "; began with %s", g->fn);
    lab_make_printable(text.data);
    return text.data;
}

static void groups(FILE *f, const struct probe_green_view *v, const struct probe_stacks *stacks) {
    size_t shown = v->groups < GROUPS_SHOWN ? v->groups : GROUPS_SHOWN;
    fprintf(f, "\n%9s %9s\n", "mean", "last");
    for (size_t i = 0; i < shown; i++) {
        const struct probe_green_group *g = &v->group[i];
        char *line = what_group(g);
        print_count(f, mean(v, g->sum));
        fprintf(f, " %9" PRIu64 "  ", g->last);
        lab_wrap(f, line, 21, 23);
        free(line);
        char *stack = i < STACKS_SHOWN ? probe_stack_words(stacks, g->stack, FRAMES_SHOWN) : NULL;
        if (stack && *stack) {
            fprintf(f, "%23s", "");
            lab_wrap(f, stack, 23, 25);
        }
        free(stack);
    }
    if (v->groups > shown)
        fprintf(f, "%9s %9s  and %zu other groups\n", "", "", v->groups - shown);
}

static double share(const struct probe_green_thread *t, enum probe_heddle_state s) {
    return t->looks ? 100.0 * (double)t->state[s] / (double)t->looks : 0;
}

static void one_by_one(FILE *f, const struct probe_green_view *v) {
    if (!v->all || v->threads > THREADS_SHOWN)
        return;
    fprintf(f, "\n%-22s %6s %6s %6s  %s\n", "Thread", "runs", "ready", "waits",
            "at the last look");
    for (size_t i = 0; i < v->threads; i++) {
        const struct probe_green_thread *t = &v->thread[i];
        char *title = t->name ? lab_format("%" PRIu64 " '%s'", t->id, t->name)
                              : lab_format("%" PRIu64 " %s", t->id, t->fn ? t->fn : "");
        lab_make_printable(title);
        lab_title_cell(f, title, 22);
        fprintf(f, " %4.0f %% %4.0f %% %4.0f %%  ",
                share(t, PROBE_HEDDLE_RUNS) + share(t, PROBE_HEDDLE_IN_CALL),
                share(t, PROBE_HEDDLE_READY) + share(t, PROBE_HEDDLE_PREEMPTED) +
                    share(t, PROBE_HEDDLE_BEGINS),
                share(t, PROBE_HEDDLE_WAITS));
        char *last = lab_copy(t->there ? t->last : "gone");
        lab_make_printable(last);
        lab_wrap(f, last, 46, 48);
        free(last);
        free(title);
    }
}

void probe_green_text(FILE *f, const struct probe_green_view *v,
                      const struct probe_stacks *stacks) {
    if (v->looks == 0) {
        if (v->why) {
            fputs("\nHeddle's own threads: ", f);
            lab_wrap(f, v->why, 22, 2);
        }
        return;
    }
    if (v->count_most == 0) {
        fputs("\nHeddle's own threads: there was none when it was looked.\n", f);
        return;
    }
    summary(f, v);
    groups(f, v, stacks);
    one_by_one(f, v);
}
