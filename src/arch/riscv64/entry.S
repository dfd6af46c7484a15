/* SPDX-License-Identifier: MIT */
/* Where a fresh context begins (riscv64). Arrives with a0 = pass and a2 = its context, still on the
 * stack of the context that it follows. Its own stack holds entry and arg. */

    .text
    .globl hd__arch_entry
    .hidden hd__arch_entry
    .type hd__arch_entry, @function
    .p2align 2
hd__arch_entry:
    .cfi_startproc
    /* The outermost frame: an undefined return address ends every unwinder's walk. */
    .cfi_undefined ra
    .cfi_undefined s0
    .cfi_def_cfa sp, 0
    ld sp, 0(a2)
    li s0, 0
    ld t1, 0(sp)
    ld a1, 8(sp)
    addi sp, sp, 16
    /* A call, not a jump, so that entry()'s return address is covered by the unwind information
     * above. */
    jalr t1
    ebreak
    .cfi_endproc
    .size hd__arch_entry, . - hd__arch_entry

    /* See arch/arch.h: there so that it can be called, and never is. */
    .globl hd__arch_unknown
    .hidden hd__arch_unknown
    .type hd__arch_unknown, @function
hd__arch_unknown:
    .cfi_startproc
    ebreak
    .cfi_endproc
    .size hd__arch_unknown, . - hd__arch_unknown

    /* Round to nearest, no exceptions raised. */
    .bss
    .globl hd__arch_fresh_fc
    .hidden hd__arch_fresh_fc
    .type hd__arch_fresh_fc, @object
    .p2align 3
hd__arch_fresh_fc:
    .zero 8
    .size hd__arch_fresh_fc, 8

    .section .note.GNU-stack, "", @progbits
