/* SPDX-License-Identifier: MIT */
/* Where a fresh context begins (x86-64). Arrives with rax = pass and rsi = its context, still on
 * the stack of the context that it follows. Its own stack holds entry and arg. */

    .text
    .globl hd__arch_entry
    .hidden hd__arch_entry
    .type hd__arch_entry, @function
    .p2align 4
hd__arch_entry:
    .cfi_startproc
    /* The outermost frame: an undefined return address ends every unwinder's walk. */
    .cfi_undefined rip
    .cfi_undefined rbp
    .cfi_def_cfa rsp, 0
    endbr64
    testb $1, 30(%rsi)
    jnz 2f
    ldmxcsr 24(%rsi)
    fldcw 28(%rsi)
2:
    movq 0(%rsi), %rsp
    xorl %ebp, %ebp
    movq %rax, %rdi
    popq %rcx
    popq %rsi
    /* entry() finds the stack as after a call, and a return address that the unwind information
     * here covers. A real call would leave an entry in the CPU's return predictor that no return
     * ever takes, and each later return of the context that follows this one would miss. */
    leaq 1f(%rip), %rax
    pushq %rax
    jmpq *%rcx
    nop
1:
    ud2
    .cfi_endproc
    .size hd__arch_entry, . - hd__arch_entry

    /* See arch/arch.h: there so that it can be called, and never is. */
    .globl hd__arch_unknown
    .hidden hd__arch_unknown
    .type hd__arch_unknown, @function
hd__arch_unknown:
    .cfi_startproc
    endbr64
    ud2
    .cfi_endproc
    .size hd__arch_unknown, . - hd__arch_unknown

    /* All exceptions masked, round to nearest, x87 with 64 bits of mantissa. */
    .data
    .globl hd__arch_fresh_fc
    .hidden hd__arch_fresh_fc
    .type hd__arch_fresh_fc, @object
    .p2align 3
hd__arch_fresh_fc:
    .quad 0x0000037f00001f80
    .size hd__arch_fresh_fc, 8

    .section .note.GNU-stack, "", @progbits

#if defined(__CET__) && (__CET__ & 1)
    /* Safe for IBT. Deliberately not marked safe for SHSTK: a linked object is marked only if all
     * its parts are, so the loader does not turn shadow stacks on under us. */
    .section .note.gnu.property, "a", @note
    .p2align 3
    .long 4, 16, 5
    .asciz "GNU"
    .long 0xc0000002, 4, 1, 0
#endif
