/* SPDX-License-Identifier: MIT */
/* From the bytes of a code object to its instructions, and from what was seen at each to how it
 * fares. */
#include <stdlib.h>
#include <string.h>

#include "probe/ops_inside.h"
#include "text.h"

enum { OLD_HAS_ARGUMENT = 90 /* 2.7: instructions from here on have two more bytes */ };

const char *probe_op_state_word(enum probe_op_state s) {
    static const char *const words[PROBE_OP_STATES] = {
        [PROBE_OP_IS_PLAIN] = "plain",       [PROBE_OP_IS_SPECIAL] = "specialized",
        [PROBE_OP_IS_UNSTABLE] = "fell back", [PROBE_OP_IS_FAILED] = "failed",
        [PROBE_OP_IS_GENERAL] = "general",   [PROBE_OP_IS_OTHER] = "other",
    };
    return words[s];
}

/* ---- the instructions ---- */

static void add_place(struct probe_op_code *out, uint32_t offset, uint8_t op, uint32_t argument) {
    out->place = lab_grow_one(out->place, out->place_count, sizeof(*out->place));
    out->place[out->place_count++] =
        (struct probe_op_place){.offset = offset, .op = op, .argument = argument, .failures = -1};
}

static void split_old(const struct ops_code *c, struct probe_op_code *out) {
    for (uint32_t at = 0; at < c->size;) {
        uint8_t op = c->bytes[at];
        bool has = op >= OLD_HAS_ARGUMENT;
        add_place(out, at, op, has ? c->bytes[at + 1] | (uint32_t)c->bytes[at + 2] << 8 : 0);
        at += has ? 3 : 1;
    }
}

static bool is_extension(const struct probe_op_names *n, uint8_t op) {
    const char *name = n->op[op].name;
    return name && strcmp(name, "EXTENDED_ARG") == 0;
}

/* Without names, each pair of bytes counts as an instruction. */
static void split(const struct ops_code *c, const struct probe_op_names *n,
                  struct probe_op_code *out) {
    uint32_t before = 0;
    for (uint32_t at = 0; at + 1 < c->size;) {
        uint8_t op = c->bytes[at];
        uint8_t base = n->op[op].name ? n->op[op].base : op;
        uint32_t argument = before << 8 | c->bytes[at + 1];
        before = is_extension(n, base) ? argument : 0;
        add_place(out, at, base, argument);
        at += 2 + 2 * (uint32_t)n->op[base].caches;
    }
}

/* The instruction that an offset lies in, its caches included. */
static struct probe_op_place *place_of(struct probe_op_code *out, uint32_t offset) {
    size_t low = 0, high = out->place_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (out->place[middle].offset <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? &out->place[low - 1] : NULL;
}

static int line_of(const struct ops_code *c, uint32_t offset) {
    struct python_code like = {
        .lines = c->lines, .line_count = c->line_count, .first_line = c->first_line};
    return python_line_at(&like, (int)offset);
}

/* ---- what was seen ---- */

static void add_form(struct probe_op_place *x, const struct probe_op_form *f) {
    int i = 0;
    while (i < x->forms && x->form[i].op != f->op)
        i++;
    if (i == PROBE_OP_FORMS)
        i--;
    if (i == x->forms)
        x->form[x->forms++] = (struct probe_op_form){.op = f->op};
    x->form[i].samples += f->samples;
    for (; i > 0 && x->form[i].samples > x->form[i - 1].samples; i--) {
        struct probe_op_form t = x->form[i];
        x->form[i] = x->form[i - 1];
        x->form[i - 1] = t;
    }
}

static void add_unit(struct probe_op_code *out, const struct ops_unit *u,
                     const struct probe_op_names *n, const struct ops_code *c) {
    struct probe_op_place *x = place_of(out, u->offset);
    if (!x)
        return;
    x->samples += u->samples;
    if (x->offset == u->offset) {
        for (int i = 0; i < u->forms; i++)
            add_form(x, &u->form[i]);
    } else {
        /* Within its caches: up to 3.12 a thread that has just run it is seen there. */
        struct probe_op_form f = {c->bytes[x->offset], (uint32_t)u->samples};
        if (n->op[f.op].name)
            add_form(x, &f);
    }
}

/* How often the interpreter has looked for a special form in vain, since it last found one: the
 * counter waits longer after each. At least so often; the longest wait is the same for all after.
 * The first wait, 1, is that of an instruction which nobody has looked at, from 3.12 on. */
static int failures(uint16_t counter, int minor) {
    int backoff = counter & (minor >= 15 ? 7 : 15);
    return minor == 11 ? backoff : backoff - 1;
}

/* A counter that says so much is no accident of a form that was just taken back. */
enum { FAILED_BACKOFF = 1, AFTER_SUCCESS_3_11 = 5 };

/* Operators that have no special form, whatever their operands: of BINARY_OP, by its argument. */
static bool has_special(const struct probe_op_place *x, const struct probe_op_names *n, int minor) {
    static const char *const until_13[] = {"+", "-", "*", "+=", "-=", "*="};
    static const char *const since_14[] = {"+", "-", "*", "/", "&", "|", "^", "+=", "-=", "*=",
                                           "/=", "&=", "|=", "^=", "[]"};
    const char *const *list = minor >= 14 ? since_14 : until_13;
    size_t count = minor >= 14 ? sizeof(since_14) / sizeof(since_14[0])
                               : sizeof(until_13) / sizeof(until_13[0]);
    if (!n->op[x->op].name || strcmp(n->op[x->op].name, "BINARY_OP") != 0 || !x->means)
        return true;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i], x->means) == 0)
            return true;
    }
    return false;
}

static void judge(struct probe_op_place *x, const struct probe_op_names *n, uint16_t counter,
                  bool has_counter, int minor) {
    uint64_t special = 0, general = 0, other = 0;
    int kinds = 0;
    for (int i = 0; i < x->forms; i++) {
        const struct probe_op *op = &n->op[x->form[i].op];
        if (op->kind == PROBE_OP_SPECIAL) {
            special += x->form[i].samples;
            kinds++;
        } else if (op->kind == PROBE_OP_GENERAL) {
            general += x->form[i].samples;
        } else if (op->kind != PROBE_OP_PLAIN) {
            other += x->form[i].samples;
        }
    }
    bool can = special || general || n->op[x->op].kind == PROBE_OP_GENERAL;
    if (other > special + general) {
        x->state = PROBE_OP_IS_OTHER;
    } else if (!can || (!special && !has_special(x, n, minor))) {
        x->state = PROBE_OP_IS_PLAIN;
    } else if (kinds > 1 || (special && general)) {
        x->state = PROBE_OP_IS_UNSTABLE;
    } else if (special) {
        x->state = PROBE_OP_IS_SPECIAL;
    } else {
        int n_failures = has_counter && minor >= 11 ? failures(counter, minor) : -1;
        bool fresh = minor == 11 && n_failures == AFTER_SUCCESS_3_11;
        x->state = n_failures >= FAILED_BACKOFF && !fresh ? PROBE_OP_IS_FAILED
                                                          : PROBE_OP_IS_GENERAL;
        x->failures = n_failures;
    }
}

void ops_decode(const struct ops_code *c, const struct probe_python_facts *facts,
                const struct probe_op_names *names, struct probe_op_code *out) {
    out->function = c->function;
    out->file = c->file;
    out->first_line = c->first_line;
    out->samples = c->samples;
    if (facts->major == 2)
        split_old(c, out);
    else
        split(c, names, out);
    for (size_t i = 0; i < c->unit_count; i++)
        add_unit(out, &c->units[i], names, c);
    for (size_t i = 0; i < out->place_count; i++) {
        struct probe_op_place *x = &out->place[i];
        const struct ops_unit *u = c->unit_at[x->offset] ? &c->units[c->unit_at[x->offset] - 1]
                                                         : NULL;
        x->line = line_of(c, x->offset);
        if (names->op[x->op].name)
            x->means = ops_argument(c, facts, names->op[x->op].name, x->argument);
        judge(x, names, u ? u->counter : 0, u && u->has_counter, facts->minor);
    }
}
