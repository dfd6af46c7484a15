/* SPDX-License-Identifier: MIT */
/* What samples of instructions mean, and what to do. */
#include <stdlib.h>
#include <string.h>

#include "probe/ops.h"
#include "text.h"

enum { FEW = 50, WORST = 3 };
static const double worth_telling = 0.02;

static void say(struct probe_ops_words *w, char *text) {
    w->text = lab_grow_one(w->text, w->count, sizeof(char *));
    w->text[w->count++] = text;
}

void probe_ops_words_free(struct probe_ops_words *w) {
    for (size_t i = 0; i < w->count; i++)
        free(w->text[i]);
    free(w->text);
    *w = (struct probe_ops_words){0};
}

static double share(const struct probe_ops_report *r, uint64_t samples) {
    return r->result->samples ? (double)samples / (double)r->result->samples : 0;
}

static const char *base_name(const char *file) {
    const char *slash = strrchr(file, '/');
    return slash && slash[1] ? slash + 1 : file;
}

static bool is_call(const struct probe_ops_report *r, const struct probe_op_place *x) {
    const char *name = r->names->op[x->op].name;
    return name && (lab_starts_with(name, "CALL") || lab_starts_with(name, "PRECALL"));
}

/* Samples in calls that are not specialized: of these, an unknown part is the C functions'. */
static uint64_t count_calls(const struct probe_ops_report *r) {
    uint64_t sum = 0;
    for (size_t i = 0; i < r->result->code_count; i++) {
        const struct probe_op_code *c = &r->result->code[i];
        for (size_t k = 0; k < c->place_count; k++) {
            const struct probe_op_place *x = &c->place[k];
            bool special = x->state == PROBE_OP_IS_PLAIN || x->state == PROBE_OP_IS_SPECIAL ||
                           x->state == PROBE_OP_IS_OTHER;
            sum += !special && is_call(r, x) ? x->samples : 0;
        }
    }
    return sum;
}

static void tell_calls(const struct probe_ops_report *r, struct probe_ops_words *w) {
    double calls = share(r, count_calls(r));
    if (calls >= worth_telling)
        say(w, lab_format("%.0f %% are in calls that are not specialized. What a C function does "
                          "counts for its call: as far as the time is the function's, "
                          "specializing would not shorten it.",
                          100 * calls));
}

static void tell_share(const struct probe_ops_report *r, struct probe_ops_words *w) {
    const uint64_t *s = r->result->state;
    const struct probe_python_facts *p = r->python;
    double special = 100 * share(r, s[PROBE_OP_IS_SPECIAL]);
    uint64_t not_special = s[PROBE_OP_IS_UNSTABLE] + s[PROBE_OP_IS_FAILED] + s[PROBE_OP_IS_GENERAL];
    if (p->major == 2 || p->minor < 11) {
        say(w, lab_format("CPython %d.%d does not specialize its instructions (3.11 and later do).",
                          p->major, p->minor));
    } else if (!r->names->known) {
        say(w, lab_copy("The names of the instructions are not known, so which are specialized is "
                        "not either."));
    } else if (p->free_threaded && !s[PROBE_OP_IS_SPECIAL] && !s[PROBE_OP_IS_UNSTABLE]) {
        say(w, lab_format("No instruction was met in a specialized form: the free-threaded build "
                          "of %d.%d %s.",
                          p->major, p->minor,
                          p->minor == 13 ? "does not specialize" : "has not specialized them"));
    } else {
        say(w, lab_format("%.0f %% of the samples are in specialized instructions, %.0f %% in "
                          "instructions that could be specialized and are not, or fell back, "
                          "%.0f %% in others.",
                          special, 100 * share(r, not_special),
                          100 * share(r, s[PROBE_OP_IS_PLAIN] + s[PROBE_OP_IS_OTHER])));
        tell_calls(r, w);
    }
}

/* The line with the most samples. */
static void tell_line(const struct probe_ops_report *r, struct probe_ops_words *w) {
    const struct probe_op_code *best = NULL;
    uint64_t most = 0;
    int line = 0;
    for (size_t i = 0; i < r->result->code_count; i++) {
        const struct probe_op_code *c = &r->result->code[i];
        if (c->samples <= most)
            break; /* they are sorted */
        for (size_t k = 0; k < c->place_count; k++) {
            uint64_t sum = 0; /* of a line that comes several times: where it begins */
            for (size_t n = 0; n < c->place_count && c->place_count < 4096; n++)
                sum += c->place[n].line == c->place[k].line ? c->place[n].samples : 0;
            if (sum > most) {
                most = sum;
                line = c->place[k].line;
                best = c;
            }
        }
    }
    if (!best)
        return;
    const char *source = probe_ops_source(r->ops, best->file, line);
    while (source && (*source == ' ' || *source == '\t'))
        source++;
    char *text = source ? lab_copy(source) : NULL;
    if (text)
        lab_make_printable(text);
    say(w, lab_format("The hottest line is %s:%d in %s, with %.0f %%%s%s%s", base_name(best->file),
                      line, best->function, 100 * share(r, most), text ? ": `" : ".",
                      text ? text : "", text ? "`." : ""));
    free(text);
}

struct bad {
    const struct probe_op_code *code;
    const struct probe_op_place *place;
};

/* The instructions that fare worst, most samples first. */
static int find_bad(const struct probe_ops_report *r, struct bad *out, int most) {
    int count = 0;
    for (size_t i = 0; i < r->result->code_count; i++) {
        const struct probe_op_code *c = &r->result->code[i];
        for (size_t k = 0; k < c->place_count; k++) {
            const struct probe_op_place *x = &c->place[k];
            if ((x->state != PROBE_OP_IS_UNSTABLE && x->state != PROBE_OP_IS_FAILED) ||
                share(r, x->samples) < worth_telling)
                continue;
            int at = count < most ? count++ : most - 1;
            if (at == most - 1 && count == most && out[at].place &&
                out[at].place->samples >= x->samples)
                continue;
            for (; at > 0 && out[at - 1].place->samples < x->samples; at--)
                out[at] = out[at - 1];
            out[at] = (struct bad){c, x};
        }
    }
    return count;
}

static void tell_bad(const struct probe_ops_report *r, const struct bad *b,
                     struct probe_ops_words *w) {
    const struct probe_op_place *x = b->place;
    struct lab_text t = {0};
    lab_text_printf(&t, "%s%s%s%s at %s:%d in %s, with %.1f %% of the samples, ",
                    r->names->op[x->op].name, x->means ? " (" : "", x->means ? x->means : "",
                    x->means ? ")" : "", base_name(b->code->file), x->line, b->code->function,
                    100 * share(r, x->samples));
    if (x->state == PROBE_OP_IS_FAILED) {
        lab_text_printf(&t, "finds no special form (%d or more attempts since it had one).",
                        x->failures);
    } else {
        uint64_t all = 0;
        for (int i = 0; i < x->forms; i++)
            all += x->form[i].samples;
        lab_text_printf(&t, "changes its form:");
        for (int i = 0; i < x->forms; i++)
            lab_text_printf(&t, "%s %s %.0f %%", i ? "," : "", r->names->op[x->form[i].op].name,
                            100.0 * x->form[i].samples / (double)all);
        lab_text_printf(&t, ".");
    }
    say(w, t.data);
}

/* What makes an instruction of each kind fast, by the name of its general form. */
static const struct {
    const char *name, *advice;
} remedies[] = {
    {"BINARY_OP", "A line of arithmetic is fast where its operands are of one type at every "
                  "pass: both int, both float, or both str; keep types apart, or convert once "
                  "before the loop."},
    {"BINARY_SUBSCR", "An index is fast on a list, tuple, str or dict that is always of the same "
                      "type, and a list's with small non-negative ints."},
    {"STORE_SUBSCR", "Storing by index is fast into a list with small ints, or into a dict; into "
                     "one of them, not both by turns."},
    {"COMPARE_OP", "A comparison is fast between two ints, two floats or two str, not between "
                   "types mixed."},
    {"LOAD_ATTR", "An attribute is found fast where the objects are of one class at that line, "
                  "have their attributes set in the same order in __init__, and the class is not "
                  "changed while it runs; several classes by turns want a line each."},
    {"LOAD_METHOD", "A method is found fast where the objects are of one class at that line, and "
                    "the class is not changed while it runs."},
    {"STORE_ATTR", "Setting an attribute is fast where the objects are of one class at that line "
                   "(or have __slots__), and have their attributes set in the same order."},
    {"LOAD_GLOBAL", "A global is found fast as long as nobody adds or deletes globals; take one "
                    "that changes into a local variable before the loop."},
    {"CALL", "A call is fast where one kind of thing is called at that line: a Python function "
             "with plain arguments, a built-in, or a class; not several by turns. What a C "
             "function does counts for its call, too, and is not made shorter by this."},
    {"PRECALL", "A call is fast where one kind of thing is called at that line, not several by "
                "turns. What a C function does counts for its call, too, and is not made "
                "shorter by this."},
    {"FOR_ITER", "A loop is fast over a list, tuple, range or generator, always the same at that "
                 "line; over anything else it calls __next__ each time."},
    {"UNPACK_SEQUENCE", "Unpacking is fast from a tuple or list of the very length."},
    {"TO_BOOL", "A truth test is fast on bool, int, list, str or None, always the same; `x is "
                "None` or `len(x) > 0` say which is meant."},
    {"CONTAINS_OP", "`in` is fast on a set or dict."},
};

static void advise(const struct probe_ops_report *r, const struct bad *bad, int count,
                   struct probe_ops_words *w) {
    for (int i = 0; i < count; i++) {
        const char *name = r->names->op[bad[i].place->op].name;
        bool said = false;
        for (int k = 0; k < i; k++)
            said |= bad[k].place->op == bad[i].place->op;
        for (size_t k = 0; !said && k < sizeof(remedies) / sizeof(remedies[0]); k++) {
            if (strcmp(remedies[k].name, name) == 0)
                say(w, lab_copy(remedies[k].advice));
        }
    }
}

static void tell_instrumented(const struct probe_ops_report *r, struct probe_ops_words *verdict,
                              struct probe_ops_words *advice) {
    uint64_t sum = 0;
    for (size_t i = 0; i < r->result->totals; i++) {
        const struct probe_op_total *t = &r->result->total[i];
        sum += r->names->op[t->op].kind == PROBE_OP_INSTRUMENTED ? t->samples : 0;
    }
    if (share(r, sum) < worth_telling)
        return;
    say(verdict, lab_format("%.0f %% of the samples are in instructions that a debugger, profiler "
                            "or coverage tool has put in place of others.",
                            100 * share(r, sum)));
    say(advice, lab_copy("Measure without the tool that instruments the code (sys.settrace, "
                         "sys.setprofile, sys.monitoring): instrumented code is slow."));
}

void probe_ops_verdict(const struct probe_ops_report *r, struct probe_ops_words *verdict,
                       struct probe_ops_words *advice) {
    struct bad bad[WORST] = {{NULL, NULL}};
    *verdict = *advice = (struct probe_ops_words){0};
    if (!r->result->samples) {
        say(verdict, lab_copy("No Python code was seen running."));
        return;
    }
    tell_share(r, verdict);
    tell_line(r, verdict);
    int count = find_bad(r, bad, WORST);
    for (int i = 0; i < count; i++)
        tell_bad(r, &bad[i], verdict);
    tell_instrumented(r, verdict, advice);
    advise(r, bad, count, advice);
    double idle = r->ticks ? (double)r->idle / (double)r->ticks : 0;
    if (idle > 0.5)
        say(verdict, lab_format("Python code ran in %.0f %% of the time only: in the rest it "
                                "waited, for a CPU or something else (heddle gil says for what).",
                                100 * (1 - idle)));
    if (r->result->samples < FEW)
        say(advice, lab_format("%llu samples say little: let it run longer.",
                               (unsigned long long)r->result->samples));
}
