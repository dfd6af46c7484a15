/* SPDX-License-Identifier: MIT */
/* x86-64 (System V ABI): the contract of arch/arch.h. Included by it only.
 *
 * Floating-point control is mxcsr (SSE), with its sticky exception flags, and the x87 control word.
 * Both are stored and loaded at each switch of a context that does not do without: such a one has a
 * landing pad of its own, behind the instructions that load them. No vector register is
 * callee-saved.
 * Comparing first and loading only what differs was slower here (7.5 against 5.5 ns): what costs is
 * reading mxcsr, which a comparison waits for while stores and loads of an unchanged value overlap
 * with what comes next. As the flags travel along, each thread has an <fenv.h> environment of its
 * own as far as SSE goes. */
#ifndef HD_SRC_ARCH_X86_64_CONTEXT_H
#define HD_SRC_ARCH_X86_64_CONTEXT_H

static inline uint64_t hd__arch_fp_control(void) {
    uint32_t mxcsr;
    uint16_t x87;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr), "=m"(x87));
    return (uint64_t)x87 << 32 | (mxcsr & ~(uint32_t)0x3f);
}

static HD__ALWAYS_INLINE void hd__arch_fp_enter(const struct hd__arch_context *c) {
    if (HD__LIKELY(!(c->without & HD__ARCH_WITHOUT_FPU))) {
        __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(c->fc), "m"(c->x87) : "memory");
    }
}

static inline void hd__arch_fp_capture(void) {
    hd__arch_fresh_fc = hd__arch_fp_control(); /* a fresh thread has raised no exceptions */
}

/* Everything that a call may change is said to change as well, since a switch is no call. */
#ifdef __AVX512F__
#define HD__ARCH_CLOBBERS_AVX512                                                                  \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",   \
        "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k0", "k1", "k2", "k3", "k4", "k5", \
        "k6", "k7"
#else
#define HD__ARCH_CLOBBERS_AVX512
#endif
#ifdef __APX_F__
#define HD__ARCH_CLOBBERS_APX                                                                     \
    , "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25", "r26", "r27", "r28",  \
        "r29", "r30", "r31"
#else
#define HD__ARCH_CLOBBERS_APX
#endif
#define HD__ARCH_CLOBBERS                                                                         \
    "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory",    \
        "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",  \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "mm0", "mm1", "mm2", "mm3", "mm4", "mm5",    \
        "mm6", "mm7", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)",                 \
        "st(7)" HD__ARCH_CLOBBERS_AVX512 HD__ARCH_CLOBBERS_APX

static HD__ALWAYS_INLINE void *hd__arch_switch(struct hd__arch_context *save,
                                               const struct hd__arch_context *to, void *pass) {
    /* The landing pad, not the departing side, loads rsp and rbp: until then the unwind information
     * still describes the stack that they point into. */
    __asm__ volatile(
        "leaq 1f(%%rip), %%rcx\n\t"
        "testb $1, 30(%%rdi)\n\t"
        "jnz 2f\n\t"
        "stmxcsr 24(%%rdi)\n\t"
        "fnstcw 28(%%rdi)\n"
        "3:\n\t"
        "movq %%rsp, 0(%%rdi)\n\t"
        "movq %%rcx, 8(%%rdi)\n\t"
        "movq %%rbp, 16(%%rdi)\n\t"
        "jmpq *8(%%rsi)\n"
        "2:\n\t"
        "leaq 4f(%%rip), %%rcx\n\t"
        "jmp 3b\n"
        "1:\n\t"
        "endbr64\n\t"
        "ldmxcsr 24(%%rsi)\n\t"
        "fldcw 28(%%rsi)\n"
        "4:\n\t"
        "endbr64\n\t"
        "movq 0(%%rsi), %%rsp\n\t"
        "movq 16(%%rsi), %%rbp"
        : "+a"(pass), "+D"(save), "+S"(to)
        :
        : HD__ARCH_CLOBBERS);
    hd__arch_anything_ran();
    return pass;
}

static HD__ALWAYS_INLINE void hd__arch_jump(const struct hd__arch_context *to, void *pass) {
    __asm__ volatile(
        "jmpq *8(%%rsi)"
        :
        : "a"(pass), "S"(to)
        : "memory");
    hd__arch_unknown(); /* is not reached, but all stores before it must be made */
    __builtin_unreachable();
}

static inline void hd__cpu_relax(void) {
    __asm__ volatile("pause" : : : "memory");
}

static inline uint64_t hd__cycles(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

#endif
