/* SPDX-License-Identifier: MIT */
/* The bare switch on AArch64: x19 to x28, the frame pointer and the link register, and a jump
 * through x16: like any register but x30, it is no hint to the predictor of returns. */
    .text
    .globl bench_bare_switch
    .type bench_bare_switch, %function
    .p2align 4
bench_bare_switch: /* x0: where to save sp; x1: the sp to go on with */
    stp x19, x20, [sp, #-96]!
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x16, [sp, #80]
    ldp x19, x20, [sp], #96
    mov x30, x16
    br x16
    .size bench_bare_switch, . - bench_bare_switch

    .globl bench_bare_make
    .type bench_bare_make, %function
    .p2align 4
bench_bare_make: /* x0: top, a multiple of 16; x1: entry */
    sub x0, x0, #96
    stp xzr, x1, [x0, #80]
    ret
    .size bench_bare_make, . - bench_bare_make

    .section .note.GNU-stack, "", %progbits
