/* SPDX-License-Identifier: MIT */
/* For test_arch.c: what only assembly can see.
 *
 * test_regs_hold(fn, arg, seed) fills every register that a call preserves with a value made from
 * the seed, calls fn(arg), and returns how many of them have changed. */

#if defined(__x86_64__)
    .text
    .globl test_regs_hold
    .type test_regs_hold, @function
test_regs_hold:
    .cfi_startproc
#if defined(__CET__)
    endbr64
#endif
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    pushq %r12
    .cfi_adjust_cfa_offset 8
    pushq %r13
    .cfi_adjust_cfa_offset 8
    pushq %r14
    .cfi_adjust_cfa_offset 8
    pushq %r15
    .cfi_adjust_cfa_offset 8
    pushq %rdx
    .cfi_adjust_cfa_offset 8
    movq %rdi, %rax
    movq %rsi, %rdi
    leaq 1(%rdx), %rbx
    leaq 2(%rdx), %rbp
    leaq 3(%rdx), %r12
    leaq 4(%rdx), %r13
    leaq 5(%rdx), %r14
    leaq 6(%rdx), %r15
    call *%rax
    popq %rdx
    .cfi_adjust_cfa_offset -8
    xorl %eax, %eax
    .macro differs reg, plus
    leaq \plus(%rdx), %rcx
    cmpq %rcx, \reg
    setne %cl
    movzbl %cl, %ecx
    addl %ecx, %eax
    .endm
    differs %rbx, 1
    differs %rbp, 2
    differs %r12, 3
    differs %r13, 4
    differs %r14, 5
    differs %r15, 6
    popq %r15
    .cfi_adjust_cfa_offset -8
    popq %r14
    .cfi_adjust_cfa_offset -8
    popq %r13
    .cfi_adjust_cfa_offset -8
    popq %r12
    .cfi_adjust_cfa_offset -8
    popq %rbx
    .cfi_adjust_cfa_offset -8
    popq %rbp
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size test_regs_hold, . - test_regs_hold
    .section .note.GNU-stack, "", @progbits

#elif defined(__aarch64__)
    .text
    .globl test_regs_hold
    .type test_regs_hold, %function
test_regs_hold:
    .cfi_startproc
    hint #34 /* bti c */
    sub sp, sp, #176
    .cfi_adjust_cfa_offset 176
    stp x29, x30, [sp]
    .cfi_offset x29, -176
    .cfi_offset x30, -168
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    str x2, [sp, #160]
    mov x9, x0
    mov x0, x1
    .irp n, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29
    add x\n, x2, #\n
    .endr
    .irp n, 8, 9, 10, 11, 12, 13, 14, 15
    add x3, x2, #(100 + \n)
    fmov d\n, x3
    .endr
    blr x9
    ldr x2, [sp, #160]
    mov x0, xzr
    .irp n, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29
    add x3, x2, #\n
    cmp x3, x\n
    cinc x0, x0, ne
    .endr
    .irp n, 8, 9, 10, 11, 12, 13, 14, 15
    add x3, x2, #(100 + \n)
    fmov x4, d\n
    cmp x3, x4
    cinc x0, x0, ne
    .endr
    ldp x29, x30, [sp]
    ldp x19, x20, [sp, #16]
    ldp x21, x22, [sp, #32]
    ldp x23, x24, [sp, #48]
    ldp x25, x26, [sp, #64]
    ldp x27, x28, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #176
    .cfi_adjust_cfa_offset -176
    ret
    .cfi_endproc
    .size test_regs_hold, . - test_regs_hold
    .section .note.GNU-stack, "", %progbits

#elif defined(__riscv)
    .text
    .globl test_regs_hold
    .type test_regs_hold, @function
test_regs_hold:
    .cfi_startproc
    addi sp, sp, -224
    .cfi_adjust_cfa_offset 224
    sd ra, 0(sp)
    .cfi_offset ra, -224
    sd a2, 8(sp)
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    sd s\n, 16 + 8 * \n(sp)
    fsd fs\n, 112 + 8 * \n(sp)
    .endr
    mv t1, a0
    mv a0, a1
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    addi s\n, a2, \n
    addi t2, a2, 100 + \n
    fmv.d.x fs\n, t2
    .endr
    jalr t1
    ld a2, 8(sp)
    li a0, 0
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    addi t2, a2, \n
    xor t2, t2, s\n
    snez t2, t2
    add a0, a0, t2
    addi t2, a2, 100 + \n
    fmv.x.d t3, fs\n
    xor t2, t2, t3
    snez t2, t2
    add a0, a0, t2
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    ld s\n, 16 + 8 * \n(sp)
    fld fs\n, 112 + 8 * \n(sp)
    .endr
    ld ra, 0(sp)
    addi sp, sp, 224
    .cfi_adjust_cfa_offset -224
    ret
    .cfi_endproc
    .size test_regs_hold, . - test_regs_hold
    .section .note.GNU-stack, "", @progbits
#endif
