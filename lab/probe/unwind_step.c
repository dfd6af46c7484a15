/* SPDX-License-Identifier: MIT */
/* Applies a row of unwind information to a function's registers. */
#include <string.h>

#include "probe/unwind.h"

enum { DEPTH = 32 };

/* The operators of DWARF expressions that unwind information has: the C library's frames of
 * signals, the linker's tables, and functions that align their stack. */
struct stack {
    uint64_t word[DEPTH];
    unsigned count;
    bool bad;
};

static void push(struct stack *s, uint64_t value) {
    if (s->count < DEPTH) {
        s->word[s->count++] = value;
    } else {
        s->bad = true;
    }
}

static uint64_t pop(struct stack *s) {
    if (s->count > 0)
        return s->word[--s->count];
    s->bad = true;
    return 0;
}

static uint64_t uleb(const uint8_t **at, const uint8_t *end) {
    uint64_t value = 0;
    for (unsigned shift = 0; *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            break;
    }
    return value;
}

static int64_t sleb(const uint8_t **at, const uint8_t *end) {
    const uint8_t *from = *at;
    uint64_t value = uleb(at, end);
    unsigned shift = 7 * (unsigned)(*at - from);
    if (shift < 64 && shift > 0 && ((*at)[-1] & 0x40))
        value |= ~UINT64_C(0) << shift;
    return (int64_t)value;
}

static uint64_t fixed(struct stack *s, const uint8_t **at, const uint8_t *end, unsigned n) {
    uint64_t value = 0;
    if ((size_t)(end - *at) < n) {
        s->bad = true;
        return 0;
    }
    memcpy(&value, *at, n);
    *at += n;
    return value;
}

static void calculate(struct stack *s, uint8_t op) {
    uint64_t b = pop(s), a = pop(s);
    switch (op) {
    case 0x1a: push(s, a & b); break;
    case 0x1c: push(s, a - b); break;
    case 0x1e: push(s, a * b); break;
    case 0x21: push(s, a | b); break;
    case 0x22: push(s, a + b); break;
    case 0x24: push(s, b < 64 ? a << b : 0); break;
    case 0x25: push(s, b < 64 ? a >> b : 0); break;
    case 0x27: push(s, a ^ b); break;
    case 0x29: push(s, a == b); break;
    case 0x2a: push(s, (int64_t)a >= (int64_t)b); break;
    case 0x2b: push(s, (int64_t)a > (int64_t)b); break;
    case 0x2c: push(s, (int64_t)a <= (int64_t)b); break;
    case 0x2d: push(s, (int64_t)a < (int64_t)b); break;
    case 0x2e: push(s, a != b); break;
    default: s->bad = true;
    }
}

static void push_register(struct stack *s, const struct probe_registers *r, uint64_t n,
                          int64_t offset) {
    if (n >= PROBE_REGISTERS || !(r->known >> n & 1)) {
        s->bad = true;
        return;
    }
    push(s, r->value[n] + (uint64_t)offset);
}

static void one(struct stack *s, const uint8_t **at, const uint8_t *end,
                const struct probe_registers *r, probe_word_reader *read, void *arg) {
    uint64_t word = 0, reg;
    uint8_t op = *(*at)++;
    if (op >= 0x30 && op <= 0x4f) {
        push(s, op - 0x30u);
    } else if (op >= 0x70 && op <= 0x8f) {
        push_register(s, r, op - 0x70u, sleb(at, end));
    } else {
        switch (op) {
        case 0x03: case 0x0e: case 0x0f: push(s, fixed(s, at, end, 8)); break;
        case 0x08: push(s, fixed(s, at, end, 1)); break;
        case 0x09: push(s, (uint64_t)(int8_t)fixed(s, at, end, 1)); break;
        case 0x0a: push(s, fixed(s, at, end, 2)); break;
        case 0x0b: push(s, (uint64_t)(int16_t)fixed(s, at, end, 2)); break;
        case 0x0c: push(s, fixed(s, at, end, 4)); break;
        case 0x0d: push(s, (uint64_t)(int32_t)fixed(s, at, end, 4)); break;
        case 0x10: push(s, uleb(at, end)); break;
        case 0x11: push(s, (uint64_t)sleb(at, end)); break;
        case 0x12: word = pop(s); push(s, word); push(s, word); break;
        case 0x13: (void)pop(s); break;
        case 0x06:
            if (!read(arg, pop(s), &word))
                s->bad = true;
            push(s, word);
            break;
        case 0x23: word = uleb(at, end); push(s, pop(s) + word); break;
        case 0x92: reg = uleb(at, end); push_register(s, r, reg, sleb(at, end)); break;
        case 0x96: break;
        default: calculate(s, op);
        }
    }
}

static bool evaluate(const struct probe_rule *rule, const uint64_t *first,
                     const struct probe_registers *r, probe_word_reader *read, void *arg,
                     uint64_t *out) {
    struct stack s = {.count = 0};
    const uint8_t *at = rule->expression, *end = at + rule->length;
    if (first)
        push(&s, *first);
    while (at < end && !s.bad)
        one(&s, &at, end, r, read, arg);
    *out = pop(&s);
    return !s.bad;
}

/* One register of the caller; false: it cannot be known. */
static bool recover(const struct probe_rule *rule, unsigned n, uint64_t cfa,
                    const struct probe_registers *r, probe_word_reader *read, void *arg,
                    uint64_t *out) {
    uint64_t from = (uint64_t)rule->value;
    switch (rule->kind) {
    case PROBE_RULE_SAME:
        *out = r->value[n];
        return r->known >> n & 1;
    case PROBE_RULE_AT:
        return read(arg, cfa + from, out);
    case PROBE_RULE_IS:
        *out = cfa + from;
        return true;
    case PROBE_RULE_REGISTER:
        *out = from < PROBE_REGISTERS ? r->value[from] : 0;
        return from < PROBE_REGISTERS && (r->known >> from & 1);
    case PROBE_RULE_AT_EXPRESSION:
        return evaluate(rule, &cfa, r, read, arg, &from) && read(arg, from, out);
    case PROBE_RULE_IS_EXPRESSION:
        return evaluate(rule, &cfa, r, read, arg, out);
    default:
        return false;
    }
}

enum probe_step probe_unwind_step(const struct probe_row *row, struct probe_registers *r,
                                  probe_word_reader *read, void *arg) {
    struct probe_registers caller = {.known = 0};
    const struct probe_rule *back = &row->rule[row->return_register];
    uint64_t cfa, value;
    if (back->kind == PROBE_RULE_UNDEFINED)
        return PROBE_STEP_OUTERMOST;
    if (row->cfa.kind == PROBE_RULE_REGISTER) {
        if (!(r->known >> row->base & 1))
            return PROBE_STEP_UNKNOWN;
        cfa = r->value[row->base] + (uint64_t)row->cfa.value;
    } else if (!evaluate(&row->cfa, NULL, r, read, arg, &cfa)) {
        return PROBE_STEP_UNKNOWN;
    }
    for (unsigned n = 0; n < PROBE_REGISTERS; n++) {
        if (n == PROBE_SP && row->rule[n].kind == PROBE_RULE_SAME) {
            value = cfa;
        } else if (!recover(&row->rule[n], n, cfa, r, read, arg, &value)) {
            continue;
        }
        caller.value[n] = value;
        caller.known |= UINT64_C(1) << n;
    }
    if (!(caller.known >> row->return_register & 1))
        return PROBE_STEP_UNKNOWN;
    caller.pc = caller.value[row->return_register];
#if defined(__aarch64__)
    caller.pc &= (UINT64_C(1) << 48) - 1; /* without its signature */
#endif
    /* A stack grows down: a frame that is not above the last one is none. */
    if (!row->signal && caller.value[PROBE_SP] < r->value[PROBE_SP])
        return PROBE_STEP_UNKNOWN;
    *r = caller;
    return caller.pc == 0 ? PROBE_STEP_OUTERMOST : PROBE_STEP_DONE;
}
