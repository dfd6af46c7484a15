/* SPDX-License-Identifier: MIT */
/* aarch64 (AAPCS64): the contract of arch/arch.h. Included by it only.
 *
 * Floating-point control is fpcr, loaded only when it changes: writing it drains the pipeline on
 * many cores, and here it can be compared in a register. x29 (the frame pointer) is saved by hand.
 */
#ifndef HD_SRC_ARCH_AARCH64_CONTEXT_H
#define HD_SRC_ARCH_AARCH64_CONTEXT_H

static HD__ALWAYS_INLINE uint64_t hd__arch_fp_read(void) {
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return fpcr;
}

static HD__ALWAYS_INLINE void hd__arch_fp_write(uint64_t next) {
    __asm__ volatile("msr fpcr, %0" : : "r"(next) : "memory");
}

#include "arch/shared/fp_control.h"

static inline uint64_t hd__arch_fp_control(void) {
    return hd__arch_fp_read();
}

static inline void hd__arch_fp_capture(void) {
    hd__arch_fresh_fc = hd__arch_fp_control();
}

/* Everything that a call may change is said to change as well, since a switch is no call. v0 to v31
 * stand for the whole vector registers, whatever their length. x18 is scratch on Linux; where it is
 * reserved all the same, nobody keeps anything in it that is not the kernel thread's. */
#ifdef __ARM_FEATURE_SVE
#define HD__ARCH_CLOBBERS_SVE                                                                     \
    , "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12", "p13",     \
        "p14", "p15", "ffr"
#else
#define HD__ARCH_CLOBBERS_SVE
#endif
#ifdef HD_SELECTIVE_VECTORS
#define HD__ARCH_CLOBBERS_V
#else
#define HD__ARCH_CLOBBERS_V                                                                       \
    , "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13",     \
        "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25",       \
        "v26", "v27", "v28", "v29", "v30", "v31"
#endif
#define HD__ARCH_CLOBBERS                                                                         \
    "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16",    \
        "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28",       \
        "x30", "cc", "memory" HD__ARCH_CLOBBERS_V HD__ARCH_CLOBBERS_SVE

/* The lower halves of v8 to v15, which a call preserves. Within the library, which is compiled
 * without a use of these registers (HD_SELECTIVE_VECTORS), the switch takes care of them, if the
 * context wants it; elsewhere they are among what the statement overwrites, as far as the compiler
 * knows. */
#ifdef HD_SELECTIVE_VECTORS
enum { HD__ARCH_VECTORS = 8 };
static HD__ALWAYS_INLINE void hd__arch_vectors_store(const struct hd__arch_context *c,
                                                     uint64_t *to) {
    if (HD__LIKELY(!(c->without & HD__ARCH_WITHOUT_VECTOR))) {
        __asm__ volatile(
            "stp d8, d9, [%1]\n\t"
            "stp d10, d11, [%1, #16]\n\t"
            "stp d12, d13, [%1, #32]\n\t"
            "stp d14, d15, [%1, #48]"
            : "=m"(*(uint64_t (*)[HD__ARCH_VECTORS])to)
            : "r"(to));
    }
}

static HD__ALWAYS_INLINE void hd__arch_vectors_load(const struct hd__arch_context *c,
                                                    const uint64_t *from) {
    if (HD__LIKELY(!(c->without & HD__ARCH_WITHOUT_VECTOR))) {
        __asm__ volatile(
            "ldp d8, d9, [%0]\n\t"
            "ldp d10, d11, [%0, #16]\n\t"
            "ldp d12, d13, [%0, #32]\n\t"
            "ldp d14, d15, [%0, #48]"
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
    register void *x0 __asm__("x0") = pass;
    register struct hd__arch_context *x1 __asm__("x1") = save;
    register const struct hd__arch_context *x2 __asm__("x2") = to;
    uint64_t vectors[HD__ARCH_VECTORS];
    hd__arch_fp_switch(save, to);
    hd__arch_vectors_store(save, vectors);
    /* hint #36 is the landing pad "bti j", under the name that old assemblers know. */
    __asm__ volatile(
        "mov x3, sp\n\t"
        "adr x4, 1f\n\t"
        "stp x3, x4, [x1]\n\t"
        "str x29, [x1, #16]\n\t"
        "ldr x4, [x2, #8]\n\t"
        "br x4\n"
        "1:\n\t"
        "hint #36\n\t"
        "ldr x3, [x2]\n\t"
        "ldr x29, [x2, #16]\n\t"
        "mov sp, x3"
        : "+r"(x0), "+r"(x1), "+r"(x2)
        :
        : HD__ARCH_CLOBBERS);
    hd__arch_vectors_load(x2, vectors); /* x2 is now the context that continues: this one */
    hd__arch_anything_ran();
    return x0;
}

static HD__ALWAYS_INLINE void hd__arch_jump(const struct hd__arch_context *to, void *pass) {
    register void *x0 __asm__("x0") = pass;
    register const struct hd__arch_context *x2 __asm__("x2") = to;
    hd__arch_fp_enter(to);
    __asm__ volatile(
        "ldr x4, [x2, #8]\n\t"
        "br x4"
        :
        : "r"(x0), "r"(x2)
        : "x4", "memory");
    hd__arch_unknown(); /* is not reached, but all stores before it must be made */
    __builtin_unreachable();
}

static inline void hd__cpu_relax(void) {
    /* isb waits some tens of cycles; yield does nothing on most cores. */
    __asm__ volatile("isb" : : : "memory");
}

static inline uint64_t hd__cycles(void) {
    uint64_t count;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
}

#endif
