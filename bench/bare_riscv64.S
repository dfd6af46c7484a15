/* SPDX-License-Identifier: MIT */
/* The bare switch on RISC-V: s0 to s11 and the return address, and a jump through t1: unlike ra
 * and t0 it is no hint to a predictor of returns. */
    .text
    .globl bench_bare_switch
    .type bench_bare_switch, @function
    .p2align 2
bench_bare_switch: /* a0: where to save sp; a1: the sp to go on with */
    addi sp, sp, -112
    sd s0, 0(sp)
    sd s1, 8(sp)
    sd s2, 16(sp)
    sd s3, 24(sp)
    sd s4, 32(sp)
    sd s5, 40(sp)
    sd s6, 48(sp)
    sd s7, 56(sp)
    sd s8, 64(sp)
    sd s9, 72(sp)
    sd s10, 80(sp)
    sd s11, 88(sp)
    sd ra, 96(sp)
    sd sp, 0(a0)
    mv sp, a1
    ld s0, 0(sp)
    ld s1, 8(sp)
    ld s2, 16(sp)
    ld s3, 24(sp)
    ld s4, 32(sp)
    ld s5, 40(sp)
    ld s6, 48(sp)
    ld s7, 56(sp)
    ld s8, 64(sp)
    ld s9, 72(sp)
    ld s10, 80(sp)
    ld s11, 88(sp)
    ld t1, 96(sp)
    addi sp, sp, 112
    jr t1
    .size bench_bare_switch, . - bench_bare_switch

    .globl bench_bare_make
    .type bench_bare_make, @function
    .p2align 2
bench_bare_make: /* a0: top, a multiple of 16; a1: entry */
    addi a0, a0, -112
    sd zero, 0(a0)
    sd a1, 96(a0)
    ret
    .size bench_bare_make, . - bench_bare_make

    .section .note.GNU-stack, "", @progbits
