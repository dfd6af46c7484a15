/* SPDX-License-Identifier: MIT */
/* That the tools understand contexts: they find what is wrong inside one, and nothing else. */
#include "base/spin.h"
#include "ctx/context.h"
#include "ctx/stack.h"
#include "os/kthread.h"

#include "test.h"

#include <stdlib.h>
#include <string.h>

/* A context and who resumed it; the tests keep these static, since a context outlives the frame
 * that makes it. */
struct guest {
    struct hd__context self, host;
    struct hd__stack *stack;
    void (*fn)(void *arg);
    void *arg;
};

static void guest_entry(void *pass, void *arg) {
    struct guest *g = arg;
    g->fn(g->arg);
    hd__ctx_jump(&g->self, &g->host, pass);
}

static void guest_start(struct guest *g, void (*fn)(void *arg), void *arg) {
    unsigned klass = hd__stack_class(256 * 1024);
    g->fn = fn;
    g->arg = arg;
    CHECK_OK(hd__stack_reserve(klass, 1));
    g->stack = hd__stack_get(NULL, klass);
    hd__ctx_make(&g->self, g->stack, guest_entry, g);
}

static HD__NOINLINE void guest_resume(struct guest *g) {
    hd__ctx_switch(&g->host, &g->self, NULL);
}

static HD__NOINLINE void guest_yield(struct guest *g) {
    hd__ctx_switch(&g->self, &g->host, NULL);
}

static void guest_run(struct guest *g, void (*fn)(void *arg), void *arg) {
    hd__ctx_adopt(&g->host);
    guest_start(g, fn, arg);
    guest_resume(g);
    hd__stack_put(NULL, g->stack);
    hd__stack_unreserve(g->stack->klass, 1);
}

/* ---- AddressSanitizer ---- */

static void overrun(void *arg) {
    char buf[16];
    volatile int at = 16;
    memset(buf, 0, sizeof buf);
    ((volatile char *)buf)[at] = 1;
    __asm__ volatile("" : : "r"(buf), "r"(arg) : "memory");
}

TEST(asan_finds_an_overrun_inside_a_context) {
    static struct guest g;
    if (!TEST_ASAN) {
        SKIP("not built with AddressSanitizer");
    }
    CHECK_DEATH("stack-buffer-overflow", guest_run(&g, overrun, NULL));
    /* It can only name the variable if it knows the stack's bounds. */
    CHECK_STR_HAS(test_death_output(), "'buf'");
}

static HD__NOINLINE void leave_now(struct guest *g) {
    hd__ctx_jump(&g->self, &g->host, NULL);
}

/* Through a pointer, since compilers warn of a recursion that they see has no end. */
static void (*volatile leave_for_good)(struct guest *g) = leave_now;

/* Ends in the middle of functions, whose red zones stay behind. */
static HD__NOINLINE void leave_deep(struct guest *g, int depth) {
    volatile char frame[64];
    memset((void *)frame, depth, sizeof frame);
    if (depth == 0) {
        leave_for_good(g);
    } else {
        leave_deep(g, depth - 1);
    }
    frame[0] = frame[1];
}

static void leave(void *arg) {
    leave_deep(arg, 20);
}

static void use_much(void *arg) {
    volatile char frame[16384];
    memset((void *)frame, 1, sizeof frame);
    *(int *)arg += frame[77];
}

TEST(a_stack_left_in_mid_function_can_be_used_again) {
    static struct guest g;
    static int sum;
    for (int i = 0; i < 20; i++) {
        guest_run(&g, leave, &g);
        guest_run(&g, use_much, &sum);
    }
    CHECK_EQ(sum, 20);
}

/* ---- ThreadSanitizer ---- */

static int shared_plain;
static hd__spin shared_lock;

static void touch_plain(void *arg) {
    struct guest *g = arg;
    for (int i = 0; i < 100; i++) {
        shared_plain++;
        guest_yield(g);
    }
}

static void touch_locked(void *arg) {
    struct guest *g = arg;
    for (int i = 0; i < 100; i++) {
        hd__spin_lock(&shared_lock);
        shared_plain++;
        hd__spin_unlock(&shared_lock);
        guest_yield(g);
    }
}

static void carry_to_the_end(void *arg) {
    struct guest *g = arg;
    hd__ctx_adopt(&g->host);
    for (int i = 0; i < 101; i++) {
        guest_resume(g);
    }
}

static void two_carriers(void (*fn)(void *)) {
    static struct guest guests[2];
    struct hd__os_kthread carriers[2];
    for (int i = 0; i < 2; i++) {
        guest_start(&guests[i], fn, &guests[i]);
    }
    for (int i = 0; i < 2; i++) {
        CHECK_OK(hd__os_kthread_create("carrier", carry_to_the_end, &guests[i], &carriers[i]));
    }
    for (int i = 0; i < 2; i++) {
        hd__os_kthread_join(&carriers[i]);
    }
}

TEST(tsan_finds_a_race_between_contexts) {
    if (!TEST_TSAN) {
        SKIP("not built with ThreadSanitizer");
    }
    CHECK_DEATH("data race", {
        two_carriers(touch_plain);
        exit(0); /* the report makes it another status */
    });
    CHECK_STR_HAS(test_death_output(), "touch_plain");
}

TEST(locked_contexts_are_quiet) {
    two_carriers(touch_locked);
    CHECK_EQ(shared_plain, 200);
}

/* Contexts on one carrier take turns, so what they share needs no lock. */
TEST(contexts_of_one_carrier_are_quiet) {
    static struct guest guests[8];
    for (int i = 0; i < 8; i++) {
        hd__ctx_adopt(&guests[i].host);
        guest_start(&guests[i], touch_plain, &guests[i]);
    }
    for (int round = 0; round < 101; round++) {
        for (int i = 0; i < 8; i++) {
            guest_resume(&guests[i]);
        }
    }
    CHECK_EQ(shared_plain, 800);
}

/* Thousands of short contexts: the tools' state for each must go with it. */
TEST(contexts_come_and_go) {
    static struct guest g;
    static int sum;
    unsigned long n = test_iterations(20000);
    for (unsigned long i = 0; i < n; i++) {
        guest_run(&g, use_much, &sum);
    }
    CHECK_EQ(sum, n);
}

TEST(made_but_never_run) {
    static struct guest g;
    static int sum;
    for (unsigned long i = 0; i < test_iterations(20000); i++) {
        guest_start(&g, use_much, &sum);
        hd__ctx_discard(&g.self);
        hd__stack_put(NULL, g.stack);
        hd__stack_unreserve(g.stack->klass, 1);
    }
    CHECK_EQ(sum, 0);
}
