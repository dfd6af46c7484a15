/* SPDX-License-Identifier: MIT */
/* Where the caller's registers are, by a file's unwind information (.eh_frame; DWARF 5, 6.4, and
 * the Linux Standard Base). Registers have DWARF's numbers of this machine. */
#ifndef HEDDLE_LAB_PROBE_UNWIND_H
#define HEDDLE_LAB_PROBE_UNWIND_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/image.h"

enum {
    PROBE_REGISTERS = 34,
#if defined(__x86_64__)
    PROBE_SP = 7,
    PROBE_FP = 6,
#elif defined(__aarch64__)
    PROBE_SP = 31,
    PROBE_FP = 29,
#else /* RISC-V */
    PROBE_SP = 2,
    PROBE_FP = 8,
#endif
};

struct probe_registers {
    uint64_t pc, value[PROBE_REGISTERS], known; /* `known`: a bit a register */
};

enum probe_rule_kind {
    PROBE_RULE_SAME,
    PROBE_RULE_UNDEFINED,
    PROBE_RULE_AT,         /* stored at the frame's address + value */
    PROBE_RULE_IS,         /* is that address */
    PROBE_RULE_REGISTER,   /* is in register `value` */
    PROBE_RULE_AT_EXPRESSION,
    PROBE_RULE_IS_EXPRESSION,
};

struct probe_rule {
    uint8_t kind; /* enum probe_rule_kind */
    int64_t value;
    const uint8_t *expression;
    uint32_t length;
};

/* A line of the table. The frame's address (CFA) is register `base` + value, or an expression. */
struct probe_row {
    struct probe_rule cfa; /* PROBE_RULE_REGISTER with `base`, or PROBE_RULE_IS_EXPRESSION */
    unsigned base;
    struct probe_rule rule[PROBE_REGISTERS];
    unsigned return_register;
    uint64_t begin; /* of the function */
    bool signal; /* of a signal's frame: the return address is an instruction, not behind a call */
};

/* The row for an address of the file; false: nothing is known of it. */
bool probe_unwind_row(const struct probe_image *i, uint64_t address, struct probe_row *out);

/* Reads 8 bytes of the target. */
typedef bool probe_word_reader(void *arg, uint64_t address, uint64_t *out);

enum probe_step { PROBE_STEP_DONE, PROBE_STEP_OUTERMOST, PROBE_STEP_UNKNOWN };

/* From a function's registers to its caller's. *frame becomes the frame's address. UNKNOWN: the row
 * needs a register or memory that is not there. */
enum probe_step probe_unwind_step(const struct probe_row *row, struct probe_registers *r,
                                  probe_word_reader *read, void *arg);

#endif
