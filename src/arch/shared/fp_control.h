/* SPDX-License-Identifier: MIT */
/* Floating-point control's part of a switch, where it is one register that is cheap to read.
 * Included by the context.h of such a CPU, after its hd__arch_fp_read() and hd__arch_fp_write(). */
#ifndef HD_SRC_ARCH_SHARED_FP_CONTROL_H
#define HD_SRC_ARCH_SHARED_FP_CONTROL_H

/* Written only when it changes: on many cores that drains the pipeline. */
static HD__ALWAYS_INLINE void hd__arch_fp_change(uint64_t now, uint64_t next) {
    if (HD__UNLIKELY(now != next)) {
        hd__arch_fp_write(next);
    }
}

static HD__ALWAYS_INLINE void hd__arch_fp_enter(const struct hd__arch_context *c) {
    if (HD__LIKELY(!(c->without & HD__ARCH_WITHOUT_FPU))) {
        hd__arch_fp_change(hd__arch_fp_read(), c->fc);
    }
}

static HD__ALWAYS_INLINE void hd__arch_fp_switch(struct hd__arch_context *save,
                                                 const struct hd__arch_context *to) {
    if (HD__LIKELY(!((save->without | to->without) & HD__ARCH_WITHOUT_FPU))) {
        uint64_t now = hd__arch_fp_read();
        save->fc = (uint32_t)now;
        hd__arch_fp_change(now, to->fc);
        return;
    }
    if (!(save->without & HD__ARCH_WITHOUT_FPU)) {
        save->fc = (uint32_t)hd__arch_fp_read();
    }
    hd__arch_fp_enter(to);
}

#endif
