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

/* Gives c the state in which contexts begin; `without`: HD__ARCH_WITHOUT_*, for good. */
static inline void hd__ctx_state(struct hd__context *c, unsigned without) {
    hd__arch_state(&c->regs, without);
}

/* The calling context is about to run what c, which has its state, was to run: what a switch to c
 * would load is loaded. */
static HD__ALWAYS_INLINE void hd__ctx_enter(const struct hd__context *c) {
    hd__arch_fp_enter(&c->regs);
}

/* Makes c, which has its state, a context that, when first continued, calls entry(pass, arg) on the
 * stack, which must be idle. entry never returns. */
static inline void hd__ctx_place(struct hd__context *c, struct hd__stack *stack,
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

/* Both at once, for a context that keeps all of its state. */
static inline void hd__ctx_make(struct hd__context *c, struct hd__stack *stack,
                                void (*entry)(void *pass, void *arg), void *arg) {
    hd__ctx_state(c, 0);
    hd__ctx_place(c, stack, entry, arg);
}

/* Makes c stand for the calling kernel thread's own stack, so that it can be switched from. Once
 * per kernel thread and c. */
static inline void hd__ctx_adopt(struct hd__context *c) {
    c->regs.sp = NULL;
    c->regs.without = 0;
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

/* What the tools know of c goes to `other`, which ends in its place: c may be discarded as well. */
static inline void hd__ctx_move(struct hd__context *c, struct hd__context *other) {
    *other = *c;
#ifdef HD__ANNOTATED
    c->note.fiber = NULL;
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
