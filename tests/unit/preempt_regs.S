/* SPDX-License-Identifier: MIT */
/* For test_preempt_state.c: registers that hold known values while their thread is preempted.
 *
 *   long test_regs_spin(const struct test_regs *in, struct test_regs *out,
 *                       const _Atomic uint64_t *turns, uint64_t until, long vectors);
 *
 * fills every register that it can spare from `in`, reads *turns until it has reached `until`, and
 * stores the registers into `out`. Returns how many words below the stack pointer have changed,
 * where the ABI has a red zone. The layout of struct test_regs is the C file's. */

#define LOW16 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define HIGH16 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
#define ARM_GENERAL LOW16, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26

#if defined(__x86_64__)
/* vectors: 0 SSE, 1 AVX, 2 AVX-512 (F) */
#define R_GENERAL 0   /* 12 x 8 */
#define R_FLAGS 120
#define R_VECTOR 128  /* 32 x 64 */
#define R_MASK 2176   /* 8 x 8 */
#define R_X87 2240    /* 8 x 16 */
#define R_CONTROL 2368 /* x87 control word, mxcsr */

    .macro vectors_load kind, op
    .irp n, LOW16
    \op R_VECTOR+64*\n(%r13), %\kind\n
    .endr
    .endm
    .macro vectors_store kind, op
    .irp n, LOW16
    \op %\kind\n, R_VECTOR+64*\n(%r13)
    .endr
    .endm

    .text
    .globl test_regs_spin
    .type test_regs_spin, @function
test_regs_spin:
    .cfi_startproc
#if defined(__CET__)
    endbr64
#endif
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    .cfi_adjust_cfa_offset 48
    .cfi_offset %rbp, -16
    .cfi_offset %rbx, -24
    .cfi_offset %r12, -32
    .cfi_offset %r13, -40
    .cfi_offset %r14, -48
    .cfi_offset %r15, -56
    subq $40, %rsp
    .cfi_adjust_cfa_offset 40
    movq %rsi, 0(%rsp)    /* out */
    movq %r8, 8(%rsp)     /* vectors */
    fnstcw 16(%rsp)
    stmxcsr 20(%rsp)
    movq %rdi, %r13
    movq %rdx, %r14       /* turns */
    movq %rcx, %r15       /* until */
    .irp n, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128
    leaq \n(%r15), %rax
    movq %rax, -\n(%rsp)
    .endr
    movq 8(%rsp), %rax
    cmpq $1, %rax
    je 1f
    ja 2f
    vectors_load xmm, movups
    jmp 3f
1:  vectors_load ymm, vmovups
    jmp 3f
2:  vectors_load zmm, vmovups
    .irp n, HIGH16
    vmovups R_VECTOR+64*\n(%r13), %zmm\n
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    kmovw R_MASK+8*\n(%r13), %k\n
    .endr
3:  fninit
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    fldt R_X87+16*\n(%r13)
    .endr
    fldcw R_CONTROL(%r13)
    ldmxcsr R_CONTROL+4(%r13)
    movq R_GENERAL(%r13), %rax
    movq R_GENERAL+8(%r13), %rbx
    movq R_GENERAL+16(%r13), %rcx
    movq R_GENERAL+24(%r13), %rdx
    movq R_GENERAL+32(%r13), %rsi
    movq R_GENERAL+40(%r13), %rdi
    movq R_GENERAL+48(%r13), %rbp
    movq R_GENERAL+56(%r13), %r8
    movq R_GENERAL+64(%r13), %r9
    movq R_GENERAL+72(%r13), %r10
    movq R_GENERAL+80(%r13), %r11
    movq R_GENERAL+88(%r13), %r12
    std
4:  cmpq %r15, (%r14)
    jb 4b
    movq 0(%rsp), %r13
    movq %rax, R_GENERAL(%r13)
    movq %rbx, R_GENERAL+8(%r13)
    movq %rcx, R_GENERAL+16(%r13)
    movq %rdx, R_GENERAL+24(%r13)
    movq %rsi, R_GENERAL+32(%r13)
    movq %rdi, R_GENERAL+40(%r13)
    movq %rbp, R_GENERAL+48(%r13)
    movq %r8, R_GENERAL+56(%r13)
    movq %r9, R_GENERAL+64(%r13)
    movq %r10, R_GENERAL+72(%r13)
    movq %r11, R_GENERAL+80(%r13)
    movq %r12, R_GENERAL+88(%r13)
    /* The flags by way of a register: a push would write below the stack pointer. */
    movq %rsp, %rbp
    leaq -256(%rsp), %rsp
    pushfq
    popq %rax
    movq %rbp, %rsp
    cld
    movq %rax, R_FLAGS(%r13)
    fnstcw R_CONTROL(%r13)
    stmxcsr R_CONTROL+4(%r13)
    .irp n, 7, 6, 5, 4, 3, 2, 1, 0
    fstpt R_X87+16*\n(%r13)
    .endr
    fldcw 16(%rsp)
    ldmxcsr 20(%rsp)
    movq 8(%rsp), %rax
    cmpq $1, %rax
    je 1f
    ja 2f
    vectors_store xmm, movups
    jmp 3f
1:  vectors_store ymm, vmovups
    vzeroupper
    jmp 3f
2:  vectors_store zmm, vmovups
    .irp n, HIGH16
    vmovups %zmm\n, R_VECTOR+64*\n(%r13)
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    kmovw %k\n, R_MASK+8*\n(%r13)
    .endr
    vzeroupper
3:  xorl %eax, %eax
    .irp n, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128
    leaq \n(%r15), %rbx
    cmpq %rbx, -\n(%rsp)
    setne %bl
    movzbl %bl, %ebx
    addq %rbx, %rax
    .endr
    addq $40, %rsp
    .cfi_adjust_cfa_offset -40
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    .cfi_adjust_cfa_offset -48
    ret
    .cfi_endproc
    .size test_regs_spin, . - test_regs_spin
    .section .note.GNU-stack, "", @progbits

#elif defined(__aarch64__)
#define R_GENERAL 0    /* x0 to x26, without x18 */
#define R_VECTOR 256   /* q0 to q31 */
#define R_CONTROL 768  /* fpcr, fpsr */

    .text
    .globl test_regs_spin
    .type test_regs_spin, %function
test_regs_spin:
    .cfi_startproc
    stp x29, x30, [sp, #-192]!
    .cfi_adjust_cfa_offset 192
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    str x1, [sp, #160]
    mrs x9, fpcr
    str x9, [sp, #168]
    mov x28, x0
    mov x29, x2
    mov x30, x3
    add x9, x28, #R_VECTOR
    .irp n, LOW16, HIGH16
    ldr q\n, [x9], #16
    .endr
    ldr x9, [x28, #R_CONTROL]
    msr fpcr, x9
    ldr x9, [x28, #R_CONTROL+8]
    msr fpsr, x9
    .irp n, ARM_GENERAL
    ldr x\n, [x28, #(R_GENERAL + 8 * \n)]
    .endr
1:  ldar x27, [x29]
    cmp x27, x30
    b.lo 1b
    ldr x28, [sp, #160]
    .irp n, ARM_GENERAL
    str x\n, [x28, #(R_GENERAL + 8 * \n)]
    .endr
    mrs x9, fpcr
    str x9, [x28, #R_CONTROL]
    mrs x9, fpsr
    str x9, [x28, #R_CONTROL+8]
    ldr x9, [sp, #168]
    msr fpcr, x9
    add x9, x28, #R_VECTOR
    .irp n, LOW16, HIGH16
    str q\n, [x9], #16
    .endr
    mov x0, #0
    ldp d14, d15, [sp, #144]
    ldp d12, d13, [sp, #128]
    ldp d10, d11, [sp, #112]
    ldp d8, d9, [sp, #96]
    ldp x27, x28, [sp, #80]
    ldp x25, x26, [sp, #64]
    ldp x23, x24, [sp, #48]
    ldp x21, x22, [sp, #32]
    ldp x19, x20, [sp, #16]
    ldp x29, x30, [sp], #192
    .cfi_adjust_cfa_offset -192
    ret
    .cfi_endproc
    .size test_regs_spin, . - test_regs_spin
    .section .note.GNU-stack, "", %progbits

#elif defined(__riscv) && __riscv_xlen == 64
#define R_GENERAL 0    /* x1, x5 to x27 */
#define R_VECTOR 256   /* f0 to f31, 8 bytes each */
#define R_CONTROL 512  /* fcsr */

    .text
    .globl test_regs_spin
    .type test_regs_spin, @function
test_regs_spin:
    .cfi_startproc
    addi sp, sp, -224
    .cfi_adjust_cfa_offset 224
    sd ra, 0(sp)
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    sd s\n, (8 + 8 * \n)(sp)
    fsd fs\n, (104 + 8 * \n)(sp)
    .endr
    sd a1, 200(sp)
    frcsr t0
    sd t0, 208(sp)
    mv t3, a0
    mv t4, a2
    mv t5, a3
    .irp n, LOW16, HIGH16
    fld f\n, (R_VECTOR + 8 * \n)(t3)
    .endr
    ld t0, R_CONTROL(t3)
    fscsr t0
    .irp n, 1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27
    ld x\n, (R_GENERAL + 8 * \n)(t3)
    .endr
1:  ld t6, 0(t4)
    bltu t6, t5, 1b
    ld t3, 200(sp)
    .irp n, 1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27
    sd x\n, (R_GENERAL + 8 * \n)(t3)
    .endr
    .irp n, LOW16, HIGH16
    fsd f\n, (R_VECTOR + 8 * \n)(t3)
    .endr
    frcsr t0
    sd t0, R_CONTROL(t3)
    ld t0, 208(sp)
    fscsr t0
    li a0, 0
    ld ra, 0(sp)
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    ld s\n, (8 + 8 * \n)(sp)
    fld fs\n, (104 + 8 * \n)(sp)
    .endr
    addi sp, sp, 224
    .cfi_adjust_cfa_offset -224
    ret
    .cfi_endproc
    .size test_regs_spin, . - test_regs_spin
    .section .note.GNU-stack, "", @progbits
#endif
