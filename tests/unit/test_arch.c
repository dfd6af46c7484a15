/* SPDX-License-Identifier: MIT */
/* Contexts: what a switch hands over and what it preserves. Through ctx/context.h, so that the
 * instrumented builds check the annotations as well. */
#include "arch/arch.h"
#include "ctx/context.h"
#include "ctx/stack.h"
#include "os/kthread.h"

#include "test.h"

#include <execinfo.h>
#include <fenv.h>
#include <stdlib.h>
#include <string.h>

/* How many of the registers that a call preserves were changed by fn(arg): arch_regs.S. */
long test_regs_hold(void (*fn)(void *), void *arg, uint64_t seed);

/* A coroutine: a context with a stack, and the one that resumed it. */
struct co {
    struct hd__context self, back;
    struct hd__stack *stack;
    void *(*fn)(struct co *co, void *first);
    void *user;
    bool done;
};

/* Not inlined, as the contract of the switch asks. */
static HD__NOINLINE void *co_resume(struct co *co, void *pass) {
    return hd__ctx_switch(&co->back, &co->self, pass);
}

static HD__NOINLINE void *co_yield(struct co *co, void *pass) {
    return hd__ctx_switch(&co->self, &co->back, pass);
}

static void co_entry(void *pass, void *arg) {
    struct co *co = arg;
    void *result = co->fn(co, pass);
    co->done = true;
    hd__ctx_jump(&co->self, &co->back, result);
}

static void co_start(struct co *co, unsigned klass, void *(*fn)(struct co *, void *), void *user) {
    *co = (struct co){ .fn = fn, .user = user };
    CHECK_OK(hd__stack_reserve(klass, 1));
    co->stack = hd__stack_get(NULL, klass);
    hd__ctx_adopt(&co->back);
    hd__ctx_make(&co->self, co->stack, co_entry, co);
}

static void co_finish(struct co *co) {
    unsigned klass = co->stack->klass;
    if (!co->done) {
        hd__ctx_discard(&co->self);
    }
    hd__stack_put(NULL, co->stack);
    hd__stack_unreserve(klass, 1);
}

#define KLASS hd__stack_class(64 * 1024)

/* ---- what is handed over ---- */

static void *echo_plus_one(struct co *co, void *first) {
    uintptr_t value = (uintptr_t)first;
    for (int i = 0; i < 100; i++) {
        value = (uintptr_t)co_yield(co, (void *)(value + 1));
    }
    return (void *)UINTPTR_MAX;
}

TEST(switch_hands_values_both_ways) {
    struct co co;
    co_start(&co, KLASS, echo_plus_one, NULL);
    for (uintptr_t i = 0; i < 100; i++) {
        CHECK_EQ((uintptr_t)co_resume(&co, (void *)(i * 1000003)), i * 1000003 + 1);
    }
    CHECK_EQ((uintptr_t)co_resume(&co, NULL), UINTPTR_MAX);
    CHECK(co.done);
    co_finish(&co);
}

static void *stand_here(struct co *co, void *first) {
    volatile char here = 0;
    CHECK_GE((char *)&here, (char *)co->stack->low);
    CHECK_LT((char *)&here, (char *)co->stack->top);
    return first;
}

TEST(a_context_runs_on_its_stack) {
    if (TEST_ASAN) {
        SKIP("AddressSanitizer may keep locals elsewhere");
    }
    struct co co;
    co_start(&co, KLASS, stand_here, NULL);
    CHECK_EQ(co_resume(&co, &co), &co);
    co_finish(&co);
}

/* Compilers move such variables with instructions that fault unless the stack is aligned. */
static void *aligned_locals(struct co *co, void *first) {
    volatile struct {
        _Alignas(16) uint64_t words[2];
    } a = { { 1, 2 } }, b;
    memcpy((void *)&b, (void *)&a, sizeof b);
    CHECK_EQ((uintptr_t)&b % 16, 0);
    (void)co;
    return first;
}

TEST(a_fresh_stack_is_aligned) {
    /* Sixteen colours: each of them must be. */
    struct co co[16];
    for (int i = 0; i < 16; i++) {
        co_start(&co[i], KLASS, aligned_locals, NULL);
        co_resume(&co[i], NULL);
    }
    for (int i = 0; i < 16; i++) {
        co_finish(&co[i]);
    }
}

static void *just_return(struct co *co, void *first) {
    (void)co;
    return first;
}

TEST(a_stack_serves_many_contexts_in_turn) {
    void *top = NULL;
    for (unsigned long i = 0; i < test_iterations(10000); i++) {
        struct co co;
        co_start(&co, KLASS, just_return, NULL);
        CHECK(top == NULL || top == co.stack->top);
        top = co.stack->top;
        CHECK_EQ((uintptr_t)co_resume(&co, (void *)i), i);
        co_finish(&co);
    }
}

/* ---- what is preserved ---- */

static void yield_only(void *arg) {
    co_yield(arg, NULL);
}

static void resume_only(void *arg) {
    co_resume(arg, NULL);
}

static void *hold_in_coroutine(struct co *co, void *first) {
    struct test_rng rng = test_rng(2);
    (void)first;
    for (;;) {
        long changed = test_regs_hold(yield_only, co, test_rng_next(&rng) >> 1);
        CHECK_EQ(changed, 0);
    }
    return NULL;
}

TEST(callee_saved_registers_survive) {
    struct co co;
    struct test_rng rng = test_rng(3);
    co_start(&co, KLASS, hold_in_coroutine, NULL);
    for (unsigned long i = 0; i < test_iterations(20000); i++) {
        CHECK_EQ(test_regs_hold(resume_only, &co, test_rng_next(&rng) >> 1), 0);
    }
    co_finish(&co);
}

/* Locals of every kind that a compiler keeps in registers, live across switches. */
static HD__NOINLINE uint64_t locals_across(struct co *co, bool inside, uint64_t seed, double x) {
    uint64_t a = seed, b = seed * 3, c = seed ^ 0x5555, d = seed + 11, e = ~seed, f = seed << 7;
    double p = x, q = x * 2, r = x * 3, s = x * 5, t = x * 7;
    for (int i = 0; i < 20; i++) {
        inside ? co_yield(co, NULL) : co_resume(co, NULL);
        a += b, b ^= c, c += d, d ^= e, e += f, f ^= a;
        p += 1, q += p, r += q, s += r, t += s;
    }
    return a ^ b ^ c ^ d ^ e ^ f ^ (uint64_t)(p + q + r + s + t);
}

static uint64_t locals_expected(uint64_t seed, double x) {
    uint64_t a = seed, b = seed * 3, c = seed ^ 0x5555, d = seed + 11, e = ~seed, f = seed << 7;
    double p = x, q = x * 2, r = x * 3, s = x * 5, t = x * 7;
    for (int i = 0; i < 20; i++) {
        a += b, b ^= c, c += d, d ^= e, e += f, f ^= a;
        p += 1, q += p, r += q, s += r, t += s;
    }
    return a ^ b ^ c ^ d ^ e ^ f ^ (uint64_t)(p + q + r + s + t);
}

static void *locals_inside(struct co *co, void *first) {
    (void)first;
    CHECK_EQ(locals_across(co, true, 12345, 2.0), locals_expected(12345, 2.0));
    return NULL;
}

TEST(locals_survive) {
    struct co co;
    co_start(&co, KLASS, locals_inside, NULL);
    co_resume(&co, NULL);
    CHECK_EQ(locals_across(&co, false, 999, 3.0), locals_expected(999, 3.0));
    co_finish(&co);
}

/* ---- floating point ---- */

static const volatile double one = 1.0, three = 3.0;

/* Which way a division that does not come out even is rounded, seen in its result. */
static double third(void) {
    return one / three;
}

static void skip_without_fp_control(void) {
    if (test_under_valgrind()) {
        SKIP("Valgrind computes with the default rounding and masks only");
    }
}

static void *round_up_inside(struct co *co, void *first) {
    double before = third();
    (void)first;
    CHECK_EQ(fegetround(), FE_TONEAREST);
    CHECK_OK(fesetround(FE_UPWARD));
    for (int i = 0; i < 10; i++) {
        co_yield(co, NULL);
        CHECK_EQ(fegetround(), FE_UPWARD);
        CHECK_GT(third(), before);
    }
    return NULL;
}

TEST(rounding_mode_is_the_contexts_own) {
    struct co co;
    skip_without_fp_control();
    double nearest = third();
    co_start(&co, KLASS, round_up_inside, NULL);
    for (int i = 0; i < 10; i++) {
        co_resume(&co, NULL);
        CHECK_EQ(fegetround(), i == 5 ? FE_TOWARDZERO : FE_TONEAREST);
        CHECK_EQ(third(), nearest);
        CHECK_OK(fesetround(i == 4 ? FE_TOWARDZERO : FE_TONEAREST));
    }
    co_resume(&co, NULL);
    CHECK(co.done);
    CHECK_EQ(fegetround(), FE_TONEAREST);
    co_finish(&co);
}

static void *read_rounding(struct co *co, void *first) {
    (void)co, (void)first;
    return (void *)(intptr_t)fegetround();
}

TEST(fresh_contexts_start_with_what_was_captured) {
    struct co co;
    CHECK_OK(fesetround(FE_DOWNWARD));
    co_start(&co, KLASS, read_rounding, NULL);
    CHECK_EQ((intptr_t)co_resume(&co, NULL), FE_TONEAREST);
    co_finish(&co);
    hd__arch_fp_capture();
    CHECK_OK(fesetround(FE_UPWARD));
    co_start(&co, KLASS, read_rounding, NULL);
    CHECK_EQ((intptr_t)co_resume(&co, NULL), FE_DOWNWARD);
    CHECK_EQ(fegetround(), FE_UPWARD);
    co_finish(&co);
}

#ifdef __x86_64__
static void *x87_inside(struct co *co, void *first) {
    (void)first;
    uint16_t word = 0x0c7f; /* truncate, 24 bits of mantissa */
    uint32_t mxcsr = 0x1f80 | 0x8040; /* flush to zero, denormals are zero */
    __asm__ volatile("fldcw %0\n\tldmxcsr %1" : : "m"(word), "m"(mxcsr));
    for (int i = 0; i < 5; i++) {
        uint16_t word_now = 0;
        uint32_t mxcsr_now = 0;
        co_yield(co, NULL);
        __asm__ volatile("fnstcw %0\n\tstmxcsr %1" : "=m"(word_now), "=m"(mxcsr_now));
        CHECK_EQ(word_now, word);
        CHECK_EQ(mxcsr_now & 0xffc0, mxcsr & 0xffc0);
    }
    return NULL;
}

TEST(x87_and_sse_control_words_are_the_contexts_own) {
    struct co co;
    skip_without_fp_control();
    co_start(&co, KLASS, x87_inside, NULL);
    while (!co.done) {
        uint16_t word = 0;
        uint32_t mxcsr = 0;
        co_resume(&co, NULL);
        __asm__ volatile("fnstcw %0\n\tstmxcsr %1" : "=m"(word), "=m"(mxcsr));
        CHECK_EQ(word, 0x37f);
        CHECK_EQ(mxcsr & 0xffc0, 0x1f80);
    }
    co_finish(&co);
}

static void *divide_by_zero_inside(struct co *co, void *first) {
    (void)first;
    volatile double zero = 0, infinite = one / zero;
    CHECK(infinite > 1);
    CHECK(fetestexcept(FE_DIVBYZERO));
    co_yield(co, NULL);
    CHECK(fetestexcept(FE_DIVBYZERO));
    return NULL;
}

TEST(sse_exception_flags_are_the_contexts_own) {
    struct co co;
    skip_without_fp_control();
    feclearexcept(FE_ALL_EXCEPT);
    co_start(&co, KLASS, divide_by_zero_inside, NULL);
    co_resume(&co, NULL);
    CHECK(!fetestexcept(FE_DIVBYZERO));
    co_resume(&co, NULL);
    CHECK(!fetestexcept(FE_DIVBYZERO));
    co_finish(&co);
}
#endif

/* ---- walking the stack ---- */

struct walk {
    int before, after, depth;
};

static HD__NOINLINE int walk_now(void) {
    void *frames[200];
    return backtrace(frames, 200);
}

/* Walks before and after a switch, some calls deep: the same frames must be there, and the walk
 * must end at the entry, not run on into what lies above. */
static HD__NOINLINE void *walk_at_depth(struct co *co, int depth) {
    struct walk *walk = co->user;
    void *result;
    if (depth == 0) {
        walk->before = walk_now();
        if (co->stack != NULL) {
            co_yield(co, NULL);
        }
        walk->after = walk_now();
        return NULL;
    }
    result = walk_at_depth(co, depth - 1);
    __asm__ volatile("" : : "r"(&result) : "memory"); /* no tail call */
    return result;
}

static void *walk_inside(struct co *co, void *first) {
    struct walk *walk = co->user;
    (void)first;
    return walk_at_depth(co, walk->depth);
}

TEST(backtrace_ends_at_the_entry) {
    int shallow = 0;
    struct walk plain = { .depth = 50 };
    struct co outside = { .user = &plain };
    walk_inside(&outside, NULL);
    if (plain.before < 50) {
        SKIP("backtrace() finds %d frames of 50 without any switch", plain.before);
    }
    for (int depth = 5; depth <= 50; depth += 45) {
        struct walk walk = { .depth = depth };
        struct co co;
        co_start(&co, KLASS, walk_inside, &walk);
        co_resume(&co, NULL);
        co_resume(&co, NULL);
        CHECK(co.done);
        CHECK_EQ(walk.before, walk.after);
        CHECK_GT(walk.before, depth);
        CHECK_LT(walk.before, depth + 12);
        CHECK(shallow == 0 || walk.before == shallow + 45);
        shallow = walk.before;
        co_finish(&co);
    }
}

/* ---- many contexts, and kernel threads ---- */

static void *count_up(struct co *co, void *first) {
    uint64_t *sum = co->user, local = 0;
    while (first != NULL) {
        local += (uintptr_t)first;
        *sum = local;
        first = co_yield(co, (void *)(uintptr_t)local);
    }
    return NULL;
}

TEST(many_contexts_in_random_order) {
    enum { CONTEXTS = 200 };
    static struct co co[CONTEXTS];
    static uint64_t sums[CONTEXTS], model[CONTEXTS];
    struct test_rng rng = test_rng(4);
    for (int i = 0; i < CONTEXTS; i++) {
        co_start(&co[i], KLASS, count_up, &sums[i]);
    }
    for (unsigned long step = 0; step < test_iterations(100000); step++) {
        uint64_t i = test_rng_below(&rng, CONTEXTS);
        uint64_t add = test_rng_below(&rng, 1000) + 1;
        model[i] += add;
        CHECK_EQ((uintptr_t)co_resume(&co[i], (void *)(uintptr_t)add), model[i]);
        CHECK_EQ(sums[i], model[i]);
    }
    for (int i = 0; i < CONTEXTS; i++) {
        co_resume(&co[i], NULL);
        CHECK(co[i].done);
        co_finish(&co[i]);
    }
}

/* One context, carried by one kernel thread after the other. */
static void carry(void *arg) {
    struct co *co = arg;
    hd__ctx_adopt(&co->back);
    co_resume(co, (void *)1);
}

static void *through_carriers(struct co *co, void *first) {
    double x = 1.0;
    (void)first;
    CHECK_OK(fesetround(FE_TOWARDZERO));
    for (int i = 0; i < 8; i++) {
        x *= 3.0;
        co_yield(co, NULL);
        CHECK_EQ(fegetround(), FE_TOWARDZERO);
    }
    CHECK_EQ(x, 6561.0);
    return NULL;
}

TEST(contexts_move_between_kernel_threads) {
    struct co co;
    co_start(&co, KLASS, through_carriers, NULL);
    for (int i = 0; i < 9; i++) {
        struct hd__os_kthread k;
        CHECK(!co.done);
        CHECK_OK(hd__os_kthread_create("carrier", carry, &co, &k));
        hd__os_kthread_join(&k);
    }
    CHECK(co.done);
    co_finish(&co);
}

/* ---- the small things ---- */

TEST(cycles_go_up) {
    uint64_t start = hd__cycles();
    for (int i = 0; i < 1000000 && hd__cycles() <= start; i++) {
        hd__cpu_relax();
    }
    CHECK_GT(hd__cycles(), start);
    hd__prefetch(&start);
}
