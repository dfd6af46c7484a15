/* SPDX-License-Identifier: MIT */
/* The bare switch on x86-64: six registers and a jump. The jump does not go through `ret`, whose
 * predicted target would be the other side's. */
    .text
    .globl bench_bare_switch
    .type bench_bare_switch, @function
    .p2align 4
bench_bare_switch: /* rdi: where to save rsp; rsi: the rsp to go on with */
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmpq *%rcx
    .size bench_bare_switch, . - bench_bare_switch

    .globl bench_bare_make
    .type bench_bare_make, @function
    .p2align 4
bench_bare_make: /* rdi: top, a multiple of 16; rsi: entry. Six registers, entry, and the
                    return address that entry() expects above its frame */
    leaq -64(%rdi), %rax
    movq %rsi, 48(%rax)
    movq $0, 56(%rax)
    ret
    .size bench_bare_make, . - bench_bare_make

    .section .note.GNU-stack, "", @progbits
