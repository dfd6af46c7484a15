/* SPDX-License-Identifier: MIT */
/* riscv64 (lp64d): the contract of arch/arch.h. Included by it only.
 *
 * Floating-point control is fcsr, with its sticky exception flags, written only when it differs. s0
 * (the frame pointer) is saved by hand; gp and tp belong to the program and to the kernel thread.
 */
#ifndef HD_SRC_ARCH_RISCV64_CONTEXT_H
#define HD_SRC_ARCH_RISCV64_CONTEXT_H

static HD__ALWAYS_INLINE uint64_t hd__arch_fcsr(void) {
    uint64_t fcsr;
    __asm__ volatile("frcsr %0" : "=r"(fcsr));
    return fcsr;
}

static HD__ALWAYS_INLINE void hd__arch_fp_change(uint64_t now, uint64_t next) {
    if (HD__UNLIKELY(now != next)) {
        __asm__ volatile("fscsr %0" : : "r"(next) : "memory");
    }
}

static inline void hd__arch_fp_capture(void) {
    hd__arch_fresh_fc = hd__arch_fcsr() & ~(uint64_t)0x1f; /* no exceptions raised so far */
}

/* Everything that a call may change is said to change as well, since a switch is no call. */
#ifdef __riscv_vector
#define HD__ARCH_CLOBBERS_V                                                                       \
    , "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13",     \
        "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25",       \
        "v26", "v27", "v28", "v29", "v30", "v31", "vl", "vtype"
#else
#define HD__ARCH_CLOBBERS_V
#endif
#define HD__ARCH_CLOBBERS                                                                         \
    "a3", "a4", "a5", "a6", "a7", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "ra", "s1", "s2",     \
        "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "memory", "ft0", "ft1", "ft2",    \
        "ft3", "ft4", "ft5", "ft6", "ft7", "ft8", "ft9", "ft10", "ft11", "fa0", "fa1", "fa2",     \
        "fa3", "fa4", "fa5", "fa6", "fa7", "fs0", "fs1", "fs2", "fs3", "fs4", "fs5", "fs6",       \
        "fs7", "fs8", "fs9", "fs10", "fs11" HD__ARCH_CLOBBERS_V

static HD__ALWAYS_INLINE void *hd__arch_switch(struct hd__arch_context *save,
                                               const struct hd__arch_context *to, void *pass) {
    register void *a0 __asm__("a0") = pass;
    register struct hd__arch_context *a1 __asm__("a1") = save;
    register const struct hd__arch_context *a2 __asm__("a2") = to;
    save->fc = hd__arch_fcsr();
    hd__arch_fp_change(save->fc, to->fc);
    /* t1 holds the target: jumps through t0 and ra look like returns to the return predictor. */
    __asm__ volatile(
        "lla t1, 1f\n\t"
        "sd sp, 0(a1)\n\t"
        "sd t1, 8(a1)\n\t"
        "sd s0, 16(a1)\n\t"
        "ld t1, 8(a2)\n\t"
        "jr t1\n"
        "1:\n\t"
        "ld sp, 0(a2)\n\t"
        "ld s0, 16(a2)"
        : "+r"(a0), "+r"(a1), "+r"(a2)
        :
        : HD__ARCH_CLOBBERS);
    hd__arch_anything_ran();
    return a0;
}

static HD__ALWAYS_INLINE void hd__arch_jump(const struct hd__arch_context *to, void *pass) {
    register void *a0 __asm__("a0") = pass;
    register const struct hd__arch_context *a2 __asm__("a2") = to;
    hd__arch_fp_change(hd__arch_fcsr(), to->fc);
    __asm__ volatile(
        "ld t1, 8(a2)\n\t"
        "jr t1"
        :
        : "r"(a0), "r"(a2)
        : "t1", "memory");
    hd__arch_unknown(); /* is not reached, but all stores before it must be made */
    __builtin_unreachable();
}

static inline void hd__cpu_relax(void) {
    /* The pause hint, as a word, for assemblers that do not know Zihintpause. */
    __asm__ volatile(".4byte 0x0100000f" : : : "memory");
}

static inline uint64_t hd__cycles(void) {
    uint64_t count;
    /* The cycle counter itself may be closed to user mode. */
    __asm__ volatile("rdtime %0" : "=r"(count));
    return count;
}

#endif
