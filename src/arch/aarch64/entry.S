/* SPDX-License-Identifier: MIT */
/* Where a fresh context begins (aarch64). Arrives with x0 = pass and x2 = its context, still on the
 * stack of the context that it follows. Its own stack holds entry and arg. */

    .text
    .globl hd__arch_entry
    .hidden hd__arch_entry
    .type hd__arch_entry, %function
    .p2align 4
hd__arch_entry:
    .cfi_startproc
    /* The outermost frame: an undefined return address ends every unwinder's walk. */
    .cfi_undefined x30
    .cfi_undefined x29
    .cfi_def_cfa sp, 0
    hint #36 /* bti j */
    ldr x3, [x2]
    mov sp, x3
    mov x29, xzr
    ldp x9, x1, [sp], #16
    /* A call, not a jump, so that entry()'s return address is covered by the unwind information
     * above. */
    blr x9
    brk #1
    .cfi_endproc
    .size hd__arch_entry, . - hd__arch_entry

    /* See arch/arch.h: there so that it can be called, and never is. */
    .globl hd__arch_unknown
    .hidden hd__arch_unknown
    .type hd__arch_unknown, %function
hd__arch_unknown:
    .cfi_startproc
    hint #34 /* bti c */
    brk #1
    .cfi_endproc
    .size hd__arch_unknown, . - hd__arch_unknown

    /* Round to nearest, no traps, no flush to zero. */
    .bss
    .globl hd__arch_fresh_fc
    .hidden hd__arch_fresh_fc
    .type hd__arch_fresh_fc, %object
    .p2align 3
hd__arch_fresh_fc:
    .zero 8
    .size hd__arch_fresh_fc, 8

    .section .note.GNU-stack, "", %progbits

#if defined(__ARM_FEATURE_BTI_DEFAULT) && __ARM_FEATURE_BTI_DEFAULT
    /* Safe for BTI. */
    .section .note.gnu.property, "a", %note
    .p2align 3
    .long 4, 16, 5
    .asciz "GNU"
    .long 0xc0000000, 4, 1, 0
#endif
