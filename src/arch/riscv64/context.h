/* SPDX-License-Identifier: MIT */
/* riscv64 (lp64d): the contract of arch/arch.h. Included by it only.
 *
 * Floating-point control is fcsr, with its sticky exception flags, written only when it differs. s0
 * (the frame pointer) is saved by hand; gp and tp belong to the program and to the kernel thread.
 */
#ifndef HD_SRC_ARCH_RISCV64_CONTEXT_H
#define HD_SRC_ARCH_RISCV64_CONTEXT_H

static HD__ALWAYS_INLINE uint64_t hd__arch_fp_read(void) {
    uint64_t fcsr;
    __asm__ volatile("frcsr %0" : "=r"(fcsr));
    return fcsr;
}

static HD__ALWAYS_INLINE void hd__arch_fp_write(uint64_t next) {
    __asm__ volatile("fscsr %0" : : "r"(next) : "memory");
}

#include "arch/shared/fp_control.h"

static inline uint64_t hd__arch_fp_control(void) {
    return hd__arch_fp_read() & ~(uint64_t)0x1f;
}

static inline void hd__arch_fp_capture(void) {
    hd__arch_fresh_fc = hd__arch_fp_control(); /* a fresh thread has raised no exceptions */
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
#ifdef HD_SELECTIVE_VECTORS
#define HD__ARCH_CLOBBERS_FS
#else
#define HD__ARCH_CLOBBERS_FS                                                                      \
    , "fs0", "fs1", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9", "fs10", "fs11"
#endif
#define HD__ARCH_CLOBBERS                                                                         \
    "a3", "a4", "a5", "a6", "a7", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "ra", "s1", "s2",     \
        "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "memory", "ft0", "ft1", "ft2",    \
        "ft3", "ft4", "ft5", "ft6", "ft7", "ft8", "ft9", "ft10", "ft11", "fa0", "fa1", "fa2",     \
        "fa3", "fa4", "fa5", "fa6", "fa7" HD__ARCH_CLOBBERS_FS HD__ARCH_CLOBBERS_V

/* fs0 to fs11, which a call preserves. Within the library, which is compiled without a use of these
 * registers (HD_SELECTIVE_VECTORS), the switch takes care of them, if the context wants it;
 * elsewhere they are among what the statement overwrites, as far as the compiler knows. */
#ifdef HD_SELECTIVE_VECTORS
enum { HD__ARCH_VECTORS = 12 };
static HD__ALWAYS_INLINE void hd__arch_vectors_store(const struct hd__arch_context *c,
                                                     uint64_t *to) {
    if (HD__LIKELY(!(c->without & HD__ARCH_WITHOUT_VECTOR))) {
        __asm__ volatile(
            "fsd fs0, 0(%1)\n\t"
            "fsd fs1, 8(%1)\n\t"
            "fsd fs2, 16(%1)\n\t"
            "fsd fs3, 24(%1)\n\t"
            "fsd fs4, 32(%1)\n\t"
            "fsd fs5, 40(%1)\n\t"
            "fsd fs6, 48(%1)\n\t"
            "fsd fs7, 56(%1)\n\t"
            "fsd fs8, 64(%1)\n\t"
            "fsd fs9, 72(%1)\n\t"
            "fsd fs10, 80(%1)\n\t"
            "fsd fs11, 88(%1)"
            : "=m"(*(uint64_t (*)[HD__ARCH_VECTORS])to)
            : "r"(to));
    }
}

static HD__ALWAYS_INLINE void hd__arch_vectors_load(const struct hd__arch_context *c,
                                                    const uint64_t *from) {
    if (HD__LIKELY(!(c->without & HD__ARCH_WITHOUT_VECTOR))) {
        __asm__ volatile(
            "fld fs0, 0(%0)\n\t"
            "fld fs1, 8(%0)\n\t"
            "fld fs2, 16(%0)\n\t"
            "fld fs3, 24(%0)\n\t"
            "fld fs4, 32(%0)\n\t"
            "fld fs5, 40(%0)\n\t"
            "fld fs6, 48(%0)\n\t"
            "fld fs7, 56(%0)\n\t"
            "fld fs8, 64(%0)\n\t"
            "fld fs9, 72(%0)\n\t"
            "fld fs10, 80(%0)\n\t"
            "fld fs11, 88(%0)"
            :
            : "r"(from), "m"(*(const uint64_t (*)[HD__ARCH_VECTORS])from));
    }
}
#else
enum { HD__ARCH_VECTORS = 1 };
static HD__ALWAYS_INLINE void hd__arch_vectors_store(const struct hd__arch_context *c,
                                                     uint64_t *to) {
    (void)c, (void)to;
}

static HD__ALWAYS_INLINE void hd__arch_vectors_load(const struct hd__arch_context *c,
                                                    const uint64_t *from) {
    (void)c, (void)from;
}
#endif

static HD__ALWAYS_INLINE void *hd__arch_switch(struct hd__arch_context *save,
                                               const struct hd__arch_context *to, void *pass) {
    register void *a0 __asm__("a0") = pass;
    register struct hd__arch_context *a1 __asm__("a1") = save;
    register const struct hd__arch_context *a2 __asm__("a2") = to;
    uint64_t vectors[HD__ARCH_VECTORS];
    hd__arch_fp_switch(save, to);
    hd__arch_vectors_store(save, vectors);
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
    hd__arch_vectors_load(a2, vectors); /* a2 is now the context that continues: this one */
    hd__arch_anything_ran();
    return a0;
}

static HD__ALWAYS_INLINE void hd__arch_jump(const struct hd__arch_context *to, void *pass) {
    register void *a0 __asm__("a0") = pass;
    register const struct hd__arch_context *a2 __asm__("a2") = to;
    hd__arch_fp_enter(to);
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
