/* SPDX-License-Identifier: MIT */
/* The contract that each CPU's directory fulfils: contexts, and a few instructions.
 *
 * A *context* is a computation that does not run: where it goes on, its stack pointer, its frame
 * pointer, and its floating-point control state (struct hd__arch_context).
 *
 * The idea: the switch is *inline* assembly. It stores those few words and declares every other
 * register that a call would preserve as overwritten. So
 *  - the compiler itself saves what is live, once, in the prologue of the function that switches,
 *    and not a second time in a routine that it calls;
 *  - its own unwind information then says where everything is: a parked context looks like a
 *    function in the middle of its execution, to gdb and to backtrace(), given pc, sp and fp;
 *  - nothing is written below the stack pointer, and a parked thread's stack is not touched;
 *  - nothing is called and nothing returns, so the CPU's return predictor stays in step.
 *
 * Rejected, with the figures in doc/decisions: a routine that is called and left by an indirect
 * jump (it leaves one entry too many in the return predictor, so every later return of the resumed
 * thread misses, 8 ns here); one that is left by a return instruction (it misses whenever the two
 * threads switched at different places); the words on the stack instead of in the descriptor (one
 * more load before the stack pointer is known).
 *
 * What is preserved is what the ABI's calls preserve: the callee-saved registers and the
 * floating-point *control* state (rounding, exception masks, flush to zero). A context may do
 * without part of it: doc/decisions/selective-state.md.
 *
 * Thread-local variables. A context may go on on another kernel thread, but compilers assume that
 * a thread-local's address is constant within a function. So a function that switches must not
 * touch thread-locals (errno is one) after it, nor be inlined into one that does; reach them
 * through a function that is not inlined.
 *
 * Shadow stacks (x86 SHSTK, arm GCS, riscv Zicfiss) are not switched: entry.S does not carry the
 * mark without which the loader leaves them off. Branch-target enforcement (IBT, BTI) is kept:
 * every target of an indirect jump begins with a landing pad. */
#ifndef HD_SRC_ARCH_ARCH_H
#define HD_SRC_ARCH_ARCH_H

#include "base/base.h"

#include <string.h>

/* Assembly and tools/gdb know the offsets, the same on every CPU. */
struct hd__arch_context {
    void *sp;         /* 0: stack pointer */
    void *pc;         /* 8: where it goes on; a landing pad */
    void *fp;         /* 16: frame pointer, which compilers do not let assembly declare as
                       * overwritten */
    uint32_t fc;      /* 24: floating-point control, in this CPU's form */
    uint16_t x87;     /* 28: x86-64: the x87 unit's */
    uint16_t without; /* 30: HD__ARCH_WITHOUT_*: what neither a stop nor a continuation touches */
};

/* Without FPU: no floating-point control. The context runs with that of whoever ran before.
 * Without vectors: no callee-saved floating-point and vector registers, where the ABI has any. */
enum { HD__ARCH_WITHOUT_FPU = 1, HD__ARCH_WITHOUT_VECTOR = 2 };

_Static_assert(offsetof(struct hd__arch_context, fc) == 24 &&
                   offsetof(struct hd__arch_context, without) == 30 &&
                   sizeof(struct hd__arch_context) == 32, "assembly knows the offsets");

/* Stops the calling context: stores it in *save, continues *to, and passes it `pass`, which is what
 * the call returns there (or the first argument of its entry).
 * Preconditions: *to was filled by hd__arch_make() or by a switch that stored it, and is continued
 * once for each time it was. *save may be published to others only by the context that continues,
 * not before: nobody else may continue it while we still stand on its stack. */
static HD__ALWAYS_INLINE void *hd__arch_switch(struct hd__arch_context *save,
                                               const struct hd__arch_context *to, void *pass);

/* Continues *to without saving anything; the stack that the caller stands on is free as soon as *to
 * runs. */
static HD__ALWAYS_INLINE void hd__arch_jump(const struct hd__arch_context *to, void *pass)
    __attribute__((noreturn));

/* Gives *c the floating-point control state that hd__arch_fp_capture() saw last, and says what it
 * does without. Before hd__arch_make(), which leaves this alone. */
static inline void hd__arch_state(struct hd__arch_context *c, unsigned without);

/* Makes the calling context's floating-point control state that of *c, unless *c does without: the
 * caller is about to run what *c was made for, without a switch. */
static HD__ALWAYS_INLINE void hd__arch_fp_enter(const struct hd__arch_context *c);

/* The calling context's floating-point control, without the exceptions that were raised: what a
 * context without FPU state must leave as it found it. */
static inline uint64_t hd__arch_fp_control(void);

/* For debug builds: notes the present control state in *c, which does without and has no other use
 * for the place; whether it is still the same. */
static inline void hd__arch_fp_note(struct hd__arch_context *c);
static inline bool hd__arch_fp_noted(const struct hd__arch_context *c);

/* Makes *c a fresh context on a stack whose highest usable address is top (a multiple of 16). When
 * it is first continued it calls entry(pass, arg), with pass from the switch; entry never returns.
 * Writes two words below top. */
static inline void hd__arch_make(struct hd__arch_context *c, void *top,
                                 void (*entry)(void *pass, void *arg), void *arg);

/* The floating-point control state that fresh contexts start with, in this CPU's form; at first the
 * one that the ABI gives a new process. */
extern uint64_t hd__arch_fresh_fc;

/* Makes the calling kernel thread's floating-point control state the one that fresh contexts start
 * with. Call it before threads are made, so that they inherit what the program has set up
 * (-ffast-math, fesetround), as POSIX threads do. */
static inline void hd__arch_fp_capture(void);

/* Where a fresh context begins; never called. */
void hd__arch_entry(void);

/* Never called either, but compilers must believe that it may be: to them, assembly cannot change
 * or read a static variable whose address nobody takes, so a value of one could be kept in a
 * register across a switch. An unknown function may call back into anything. */
void hd__arch_unknown(void);

/* Says that any function of the program may have run here. No instructions come of it. Within the
 * function that switches it does not reach static variables, so do not use any there. */
static HD__ALWAYS_INLINE void hd__arch_anything_ran(void) {
    __asm__ goto("" : : : "memory" : unknown);
    return;
unknown:
    hd__arch_unknown();
}

/* Tells the CPU that this is a loop waiting for another CPU. */
static inline void hd__cpu_relax(void);

/* A counter that goes up at a constant rate; not ordered with other instructions. */
static inline uint64_t hd__cycles(void);

/* Starts to bring the line at p into the cache, for writing. */
static inline void hd__prefetch(const void *p) {
    __builtin_prefetch(p, 1, 3);
}

#if defined(__x86_64__) && defined(__LP64__)
#include "arch/x86_64/context.h"
#elif defined(__aarch64__) && defined(__LP64__)
#include "arch/aarch64/context.h"
#elif defined(__riscv) && __riscv_xlen == 64 && defined(__riscv_flen) && __riscv_flen >= 64
#include "arch/riscv64/context.h"
#else
#error "Heddle runs on x86-64, aarch64 and riscv64 (lp64d) only"
#endif

/* Two words at the top of a fresh stack, which entry.S takes off it. */
static inline void hd__arch_make(struct hd__arch_context *c, void *top,
                                 void (*entry)(void *pass, void *arg), void *arg) {
    void **word = (void **)top - 2;
    word[0] = (void *)(uintptr_t)entry;
    word[1] = arg;
    c->sp = word;
    c->pc = (void *)(uintptr_t)hd__arch_entry;
    c->fp = NULL;
}

static inline void hd__arch_state(struct hd__arch_context *c, unsigned without) {
    uint64_t state = hd__arch_fresh_fc | (uint64_t)without << 48; /* fc, x87 and without at once */
    memcpy((char *)c + offsetof(struct hd__arch_context, fc), &state, sizeof state);
}

static inline void hd__arch_fp_note(struct hd__arch_context *c) {
    uint64_t now = hd__arch_fp_control();
    c->fc = (uint32_t)now;
    c->x87 = (uint16_t)(now >> 32);
}

static inline bool hd__arch_fp_noted(const struct hd__arch_context *c) {
    uint64_t now = hd__arch_fp_control();
    return c->fc == (uint32_t)now && c->x87 == (uint16_t)(now >> 32);
}

#endif
