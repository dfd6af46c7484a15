/* SPDX-License-Identifier: MIT */
/* Contexts: the switch of arch/arch.h with what the tools must be told. Its contract holds here,
 * the rule about thread-locals included: a function that switches must not be inlined into one
 * that touches thread-locals, and must not touch them itself afterwards. */
#ifndef HD_SRC_CTX_CONTEXT_H
#define HD_SRC_CTX_CONTEXT_H

#include "arch/arch.h"
#include "ctx/annotate.h"
#include "ctx/stack.h"

struct hd__context {
    struct hd__arch_context regs; /* while it does not run; 32 bytes */
#ifdef HD__ANNOTATED
    struct hd__annotation note;
#endif
};

#ifdef HD__ANNOTATED
/* The first function of every context in an annotated build. */
_Noreturn void hd__ctx_annotated_entry(void *pass, void *context);
#endif

/* Makes c a context that, when first continued, calls entry(pass, arg) on the stack, which must be
 * idle. entry never returns. */
static inline void hd__ctx_make(struct hd__context *c, struct hd__stack *stack,
                                void (*entry)(void *pass, void *arg), void *arg) {
#ifdef HD__ANNOTATED
    hd__annotate_make(&c->note, stack->low, stack->size);
    c->note.entry = entry;
    c->note.arg = arg;
    hd__arch_make(&c->regs, stack->top, hd__ctx_annotated_entry, c);
#else
    hd__arch_make(&c->regs, stack->top, entry, arg);
#endif
}

/* Makes c stand for the calling kernel thread's own stack, so that it can be switched from. Once
 * per kernel thread and c. */
static inline void hd__ctx_adopt(struct hd__context *c) {
    c->regs.sp = NULL;
#ifdef HD__ANNOTATED
    hd__annotate_adopt(&c->note);
#endif
}

/* Forgets a context that hd__ctx_make() made, that does not run, and that never will again without
 * having ended through hd__ctx_jump(). */
static inline void hd__ctx_discard(struct hd__context *c) {
    c->regs.sp = NULL;
#ifdef HD__ANNOTATED
    hd__annotate_discard(&c->note);
#endif
}

/* Stops the calling context as `from` and continues `to`, handing it `pass`; returns, when `from`
 * is continued, what it is handed then. */
static HD__ALWAYS_INLINE void *hd__ctx_switch(struct hd__context *from, struct hd__context *to,
                                              void *pass) {
#ifdef HD__ANNOTATED
    hd__annotate_leave(&from->note, &to->note, false);
    pass = hd__arch_switch(&from->regs, &to->regs, pass);
    hd__annotate_arrive(&from->note);
    return pass;
#else
    return hd__arch_switch(&from->regs, &to->regs, pass);
#endif
}

/* Ends the calling context `dying` and continues `to`. The stack and *dying are free as soon as
 * `to` runs. */
static HD__ALWAYS_INLINE void hd__ctx_jump(struct hd__context *dying, struct hd__context *to,
                                           void *pass) __attribute__((noreturn));
static HD__ALWAYS_INLINE void hd__ctx_jump(struct hd__context *dying, struct hd__context *to,
                                           void *pass) {
#ifdef HD__ANNOTATED
    hd__annotate_leave(&dying->note, &to->note, true);
#endif
    (void)dying;
    hd__arch_jump(&to->regs, pass);
}

#endif
