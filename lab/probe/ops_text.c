/* SPDX-License-Identifier: MIT */
/* heddle ops as text: what it means, the instructions by their forms, and the functions with most
 * samples, each line of source above its instructions. */
#include <stdlib.h>
#include <string.h>

#include "probe/ops.h"
#include "text.h"

enum { OPCODES = 16, NAME_COLUMNS = 38, SOURCE_COLUMNS = 56, ARGUMENT_COLUMNS = 26 };
static const double function_share = 0.005;

static double percent(const struct probe_ops_report *r, uint64_t samples) {
    return r->result->samples ? 100.0 * (double)samples / (double)r->result->samples : 0;
}

static const char *name_of(const struct probe_ops_report *r, uint8_t op, char room[16]) {
    if (r->names->op[op].name)
        return r->names->op[op].name;
    snprintf(room, 16, "<%d>", op);
    return room;
}

static void write_words(FILE *f, const char *title, const struct probe_ops_words *w) {
    if (!w->count)
        return;
    fprintf(f, "%s\n", title);
    for (size_t i = 0; i < w->count; i++) {
        char *text = lab_copy(w->text[i]);
        lab_make_printable(text);
        fputs("  ", f);
        lab_wrap(f, text, 2, 4);
        free(text);
    }
    fputc('\n', f);
}

static void write_head(FILE *f, const struct probe_ops_report *r) {
    const struct probe_python_facts *p = r->python;
    struct lab_text t = {0};
    lab_text_printf(&t, "%s, process %d: CPython %d.%d", r->program ? r->program : "?",
                    (int)r->pid, p->major, p->minor);
    if (p->micro >= 0)
        lab_text_printf(&t, ".%d", p->micro);
    lab_text_printf(&t, "%s (%s), watched for %.1f s, %s.",
                    p->free_threaded ? " free-threaded" : "", p->how, r->seconds, r->ended);
    lab_make_printable(t.data);
    lab_wrap(f, t.data, 0, 2);
    lab_text_free(&t);
    lab_text_printf(&t, "%llu samples of running Python code",
                    (unsigned long long)r->result->samples);
    if (r->ticks)
        lab_text_printf(&t, ", %.2g ms apart on average", r->seconds * 1e3 / (double)r->ticks);
    if (r->ticks)
        lab_text_printf(&t, "; none ran in %.0f %% of the moments",
                        100.0 * (double)r->idle / (double)r->ticks);
    lab_text_printf(&t, "; %.1f %% of them made no sense and were dropped",
                    100.0 * (double)r->result->torn /
                        (double)(r->result->samples + r->result->torn + 1));
    if (r->result->dropped)
        lab_text_printf(&t, "; %llu of code beyond the bound are counted only",
                        (unsigned long long)r->result->dropped);
    lab_text_printf(&t, ". All shares are estimates from samples. Sampling took %.1f %% of a CPU.",
                    100 * r->own_cpu);
    lab_wrap(f, t.data, 0, 2);
    lab_text_free(&t);
    char *how = lab_format("Names of instructions: %s.", r->names->how);
    lab_make_printable(how);
    lab_wrap(f, how, 0, 2);
    free(how);
    fputc('\n', f);
}

static void write_opcodes(FILE *f, const struct probe_ops_report *r) {
    static const char *const kinds[] = {"", "general", "specialized", "instrumented", "compiled"};
    char room[16];
    fputs("Instructions, in the forms in which they were met\n", f);
    size_t shown = r->result->totals < OPCODES ? r->result->totals : OPCODES;
    for (size_t i = 0; i < shown; i++) {
        const struct probe_op_total *t = &r->result->total[i];
        const char *kind = kinds[r->names->op[t->op].kind];
        fprintf(f, "  %5.1f %%  %8llu  ", percent(r, t->samples), (unsigned long long)t->samples);
        if (*kind) {
            lab_cell(f, name_of(r, t->op, room), NAME_COLUMNS);
            fprintf(f, " %s\n", kind);
        } else {
            fprintf(f, "%s\n", name_of(r, t->op, room));
        }
    }
    if (shown < r->result->totals)
        fprintf(f, "  and %zu others\n", r->result->totals - shown);
    fputc('\n', f);
}

static void write_source(FILE *f, const struct probe_ops_report *r, const struct probe_op_code *c,
                         int line, uint64_t samples) {
    const char *source = probe_ops_source(r->ops, c->file, line);
    if (line)
        fprintf(f, "  %5.1f %%  %5d  ", percent(r, samples), line);
    else
        fprintf(f, "  %5.1f %%      -  ", percent(r, samples));
    char *text = lab_copy(source ? source : "");
    for (char *tab = text; (tab = strchr(tab, '\t')) != NULL;)
        *tab = ' ';
    lab_make_printable(text);
    size_t fits = lab_fit(text, SOURCE_COLUMNS, NULL);
    fprintf(f, "%.*s%s\n", (int)fits, text, text[fits] ? "..." : "");
    free(text);
}

static void write_place(FILE *f, const struct probe_ops_report *r,
                        const struct probe_op_place *x) {
    char room[16];
    struct lab_text t = {0};
    lab_text_printf(&t, "%s", name_of(r, x->op, room));
    if (x->means)
        lab_text_printf(&t, " (%s)", x->means);
    lab_make_printable(t.data);
    fprintf(f, "    %5.1f %%      %4u  ", percent(r, x->samples), x->offset);
    bool as_is = x->forms == 0 || (x->forms == 1 && x->form[0].op == x->op);
    bool plain = x->state == PROBE_OP_IS_PLAIN || (x->state == PROBE_OP_IS_GENERAL && as_is);
    if (plain && as_is) {
        fprintf(f, "%s\n", t.data);
        lab_text_free(&t);
        return;
    }
    lab_cell(f, t.data, ARGUMENT_COLUMNS);
    lab_text_free(&t);
    fprintf(f, "  %s", plain ? "as" : probe_op_state_word(x->state));
    for (int i = 0; i < x->forms && !as_is; i++) {
        fprintf(f, "%s %s", i ? "," : plain ? "" : ":", name_of(r, x->form[i].op, room));
        if (x->forms > 1)
            fprintf(f, " %u", x->form[i].samples);
    }
    if (x->state == PROBE_OP_IS_FAILED && x->failures > 0)
        fprintf(f, ", %d times or more", x->failures);
    fputc('\n', f);
}

/* The lines in the order of the code: each with its samples, then its instructions that have any.
 * A line whose instructions lie in several places (a loop's condition) comes where it first is. */
static void write_function(FILE *f, const struct probe_ops_report *r,
                           const struct probe_op_code *c) {
    char *title = lab_format("%s, %s:%d", c->function, c->file, c->first_line);
    lab_make_printable(title);
    fprintf(f, "%5.1f %%  %s\n", percent(r, c->samples), title);
    free(title);
    bool *done = lab_alloc(c->place_count + 1, sizeof(*done));
    for (size_t i = 0; i < c->place_count; i++) {
        uint64_t sum = 0;
        if (done[i] || c->place_count > 20000)
            continue;
        for (size_t k = i; k < c->place_count; k++) {
            if (c->place[k].line == c->place[i].line)
                sum += c->place[k].samples;
        }
        if (sum)
            write_source(f, r, c, c->place[i].line, sum);
        for (size_t k = i; k < c->place_count; k++) {
            if (c->place[k].line != c->place[i].line)
                continue;
            done[k] = true;
            if (c->place[k].samples)
                write_place(f, r, &c->place[k]);
        }
    }
    free(done);
    fputc('\n', f);
}

int probe_ops_text(FILE *f, const struct probe_ops_report *r) {
    struct probe_ops_words verdict, advice;
    probe_ops_verdict(r, &verdict, &advice);
    write_words(f, "What it says", &verdict);
    write_words(f, "What to do", &advice);
    probe_ops_words_free(&verdict);
    probe_ops_words_free(&advice);
    write_head(f, r);
    if (!r->result->samples)
        return 0;
    write_opcodes(f, r);
    probe_attempts_text(f, r->attempts);
    fputs("Functions, each line of source above the instructions that were met\n\n", f);
    int shown = 0;
    for (size_t i = 0; i < r->result->code_count && shown < r->top; i++, shown++) {
        if (shown && percent(r, r->result->code[i].samples) < 100 * function_share)
            break;
        write_function(f, r, &r->result->code[i]);
    }
    if ((size_t)shown < r->result->code_count)
        fprintf(f, "%zu more functions are not shown (--top N, --json, --csv).\n",
                r->result->code_count - (size_t)shown);
    return 0;
}
