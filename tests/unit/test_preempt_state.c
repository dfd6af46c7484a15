/* SPDX-License-Identifier: MIT */
/* What a preempted thread finds as it left it: registers, what belongs to its kernel thread, errno.
 * On one worker, beside a thread that changes all of it in each of its turns. */
#include "preempt_test.h"

#include <fenv.h>
#include <sys/syscall.h>

/* ---- registers that hold known values: preempt_regs.S ---- */

#if defined(__x86_64__)
struct test_regs {
    uint64_t general[15], flags;
    uint8_t vector[32][64];
    uint64_t mask[8];
    uint8_t x87[8][16];
    uint32_t x87_control, mxcsr;
};
_Static_assert(offsetof(struct test_regs, flags) == 120, "known to preempt_regs.S");
_Static_assert(offsetof(struct test_regs, vector) == 128, "known to preempt_regs.S");
_Static_assert(offsetof(struct test_regs, mask) == 2176, "known to preempt_regs.S");
_Static_assert(offsetof(struct test_regs, x87) == 2240, "known to preempt_regs.S");
_Static_assert(offsetof(struct test_regs, x87_control) == 2368, "known to preempt_regs.S");
#elif defined(__aarch64__)
struct test_regs {
    uint64_t general[32];
    uint8_t vector[32][16];
    uint64_t fpcr, fpsr;
};
_Static_assert(offsetof(struct test_regs, vector) == 256, "known to preempt_regs.S");
_Static_assert(offsetof(struct test_regs, fpcr) == 768, "known to preempt_regs.S");
#else
struct test_regs {
    uint64_t general[32];
    uint64_t vector[32];
    uint64_t fcsr;
};
_Static_assert(offsetof(struct test_regs, vector) == 256, "known to preempt_regs.S");
_Static_assert(offsetof(struct test_regs, fcsr) == 512, "known to preempt_regs.S");
#endif

long test_regs_spin(const struct test_regs *in, struct test_regs *out, counter *turns,
                    uint64_t until, long vectors);

static void fill(void *to, size_t bytes, struct test_rng *rng) {
    for (size_t i = 0; i < bytes / 8; i++)
        ((uint64_t *)to)[i] = test_rng_next(rng);
}

static void make_regs(struct test_regs *r, struct test_rng *rng) {
    memset(r, 0, sizeof *r);
    fill(r->general, sizeof r->general, rng);
    fill(r->vector, sizeof r->vector, rng);
#if defined(__x86_64__)
    for (int i = 0; i < 8; i++) {
        r->mask[i] = test_rng_next(rng) & 0xffff;
        long double x = (long double)test_rng_next(rng) / 3;
        memcpy(r->x87[i], &x, 10);
    }
    const uint32_t rounding = (uint32_t)test_rng_below(rng, 4);
    r->x87_control = 0x7f | rounding << 10 | (uint32_t)test_rng_below(rng, 2) << 9 | 0x100;
    r->mxcsr = 0x1f80 | rounding << 13 | (uint32_t)test_rng_below(rng, 2) << 15;
#elif defined(__aarch64__)
    r->fpcr = test_rng_below(rng, 4) << 22 | test_rng_below(rng, 2) << 24;
    r->fpsr = test_rng_below(rng, 32);
#else
    r->fcsr = test_rng_below(rng, 5) << 5 | test_rng_below(rng, 32);
#endif
}

#if defined(__x86_64__)
static void check_regs(const struct test_regs *in, const struct test_regs *out, long vectors) {
    const size_t width = vectors == 2 ? 64 : vectors == 1 ? 32 : 16;
    CHECK_MEM_EQ(out->general, in->general, 12 * 8);
    CHECK(out->flags & 0x400); /* the direction flag */
    for (int i = 0; i < (vectors == 2 ? 32 : 16); i++)
        CHECK_MEM_EQ(out->vector[i], in->vector[i], width);
    if (vectors == 2)
        CHECK_MEM_EQ(out->mask, in->mask, sizeof in->mask);
    for (int i = 0; i < 8; i++)
        CHECK_MEM_EQ(out->x87[i], in->x87[i], 10);
    CHECK_EQ(out->x87_control & 0xffff, in->x87_control);
    CHECK_EQ(out->mxcsr, in->mxcsr);
}

static long widest_vectors(void) {
    return __builtin_cpu_supports("avx512f") ? 2 : __builtin_cpu_supports("avx") ? 1 : 0;
}
#elif defined(__aarch64__)
static void check_regs(const struct test_regs *in, const struct test_regs *out, long vectors) {
    (void)vectors;
    for (int i = 0; i < 27; i++)
        CHECK(i == 18 || out->general[i] == in->general[i]);
    CHECK_MEM_EQ(out->vector, in->vector, sizeof in->vector);
    CHECK_EQ(out->fpcr, in->fpcr);
    CHECK_EQ(out->fpsr & 31, in->fpsr);
}

static long widest_vectors(void) {
    return 0;
}
#else
static void check_regs(const struct test_regs *in, const struct test_regs *out, long vectors) {
    (void)vectors;
    for (int i = 5; i < 28; i++)
        CHECK_EQ(out->general[i], in->general[i]);
    CHECK_EQ(out->general[1], in->general[1]);
    CHECK_MEM_EQ(out->vector, in->vector, sizeof in->vector);
    CHECK_EQ(out->fcsr, in->fcsr);
}

static long widest_vectors(void) {
    return 0;
}
#endif

struct holder {
    struct ticker *ticker;
    long vectors;
    unsigned stream;
};

static void *hold_regs(void *arg) {
    struct holder *h = arg;
    struct test_rng rng = test_rng(h->stream);
    struct test_regs in, out;
    memset(&out, 0, sizeof out); /* of masks, only 16 bits are stored */
    for (unsigned long i = 0; i < test_iterations(60); i++) {
        make_regs(&in, &rng);
        uint64_t until = count_of(&h->ticker->turns) + 2;
        CHECK_EQ(test_regs_spin(&in, &out, &h->ticker->turns, until, h->vectors), 0);
        check_regs(&in, &out, h->vectors);
    }
    return NULL;
}

/* The ticker's turn: all registers that a call may change get other values. */
static void other_regs(void) {
    static struct test_regs in, out;
    static counter none;
    static struct test_rng rng = {12345};
    make_regs(&in, &rng);
    test_regs_spin(&in, &out, &none, 0, widest_vectors());
    errno = 77;
}

static int hold_all(void *arg) {
    struct ticker ticker = {.thread = NULL};
    struct holder h[3];
    hd_thread *t[3];
    const int kind = (int)(intptr_t)arg;
    ticker_start(&ticker, other_regs);
    for (unsigned i = 0; i < 3; i++) {
        h[i] = (struct holder){&ticker, i <= widest_vectors() ? i : 0, i + 10};
        t[i] = spawn_kind(kind ? kind : 1 + (int)i % 2, hold_regs, &h[i]);
    }
    for (unsigned i = 0; i < 3; i++)
        join(t[i]);
    ticker_stop(&ticker);
    return 0;
}

/* The same for threads that do without: what the kernel keeps at a signal is all of it. */
static hd_thread *spawn_without(int preempt, hd_fn fn, void *arg) {
    hd_thread *t = NULL;
    CHECK_OK(hd_spawn(&t, HD_ATTR(.preempt = preempt, .fpu = HD_STATE_NONE,
                                  .vector = HD_STATE_NONE), fn, arg));
    return t;
}

/* It waits for nothing, so it is only ever preempted. */
static int hold_without(void *arg) {
    struct ticker ticker = {.thread = NULL};
    struct holder h[2];
    hd_thread *t[2];
    (void)arg;
    ticker_start(&ticker, other_regs);
    for (unsigned i = 0; i < 2; i++) {
        h[i] = (struct holder){&ticker, i <= widest_vectors() ? i : 0, i + 20};
        t[i] = spawn_without(1 + (int)i % 2, hold_regs, &h[i]);
    }
    for (unsigned i = 0; i < 2; i++)
        join(t[i]);
    ticker_stop(&ticker);
    return 0;
}

static void skip_without_fp_control(void) {
    if (test_under_valgrind())
        SKIP("Valgrind computes with the default rounding and masks only");
    if (TEST_TSAN)
        SKIP("ThreadSanitizer delivers signals in code of its own only, not in a bare loop");
}

TEST_WITHIN(registers_of_carrier_threads, 60) {
    skip_without_fp_control();
    CHECK_OK(hd_run(QUICK(.workers = 1), hold_all, (void *)HD_PREEMPT_CARRIER));
    CHECK_OK(hd_run(QUICK(.workers = 2), hold_all, (void *)HD_PREEMPT_CARRIER));
}

TEST_WITHIN(registers_of_light_threads, 60) {
    skip_without_fp_control();
    CHECK_OK(hd_run(QUICK(.workers = 1), hold_all, (void *)HD_PREEMPT_LIGHT));
    CHECK_OK(hd_run(QUICK(.workers = 2), hold_all, (void *)HD_PREEMPT_LIGHT));
}

TEST_WITHIN(registers_of_both_kinds, 60) {
    skip_without_fp_control();
    CHECK_OK(hd_run(QUICK(.workers = 1), hold_all, NULL));
}

TEST_WITHIN(registers_of_threads_without_state, 60) {
    skip_without_fp_control();
    CHECK_OK(hd_run(QUICK(.workers = 1), hold_without, NULL));
    CHECK_OK(hd_run(QUICK(.workers = 2), hold_without, NULL));
}

/* ---- rounding, seen in results ---- */

static const volatile double one = 1.0, three = 3.0;

static void *round_my_way(void *arg) {
    struct holder *h = arg;
    const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    const int mode = modes[h->stream % 4];
    CHECK_OK(fesetround(mode));
    const double third = one / three;
    uint64_t until = count_of(&h->ticker->turns) + 30;
    while (count_of(&h->ticker->turns) < until) {
        CHECK_EQ(one / three, third);
        CHECK_EQ(fegetround(), mode);
    }
    return NULL;
}

static int round_all(void *arg) {
    (void)arg;
    struct ticker ticker = {.thread = NULL};
    struct holder h[8];
    hd_thread *t[8];
    ticker_start(&ticker, NULL);
    for (unsigned i = 0; i < 8; i++) {
        h[i] = (struct holder){&ticker, 0, i};
        t[i] = spawn_kind(1 + (int)i / 4, round_my_way, &h[i]);
    }
    for (unsigned i = 0; i < 8; i++)
        join(t[i]);
    ticker_stop(&ticker);
    CHECK_EQ(fegetround(), FE_TONEAREST);
    return 0;
}

TEST_WITHIN(rounding_modes, 60) {
    if (test_under_valgrind())
        SKIP("Valgrind computes with the default rounding only");
    CHECK_OK(hd_run(QUICK(.workers = 1), round_all, NULL));
}

/* ---- errno, and what belongs to a kernel thread ---- */

static __thread uint64_t local = 5;

struct owner {
    struct ticker *ticker;
    unsigned number;
};

/* A function of its own for what happens between two waits: compilers keep the addresses of
 * thread-local variables, and after a wait a thread may be on another kernel thread. */
static __attribute__((noinline)) void keep_errno_once(struct owner *o) {
    uint64_t until = count_of(&o->ticker->turns) + 5;
    int *where = &errno;
    errno = 1000 + (int)o->number;
    while (count_of(&o->ticker->turns) < until) {
        CHECK_EQ(errno, 1000 + (int)o->number);
        CHECK_EQ(*where, 1000 + (int)o->number);
    }
}

static void *keep_errno(void *arg) {
    for (int round = 0; round < 10; round++) {
        keep_errno_once(arg);
        hd_yield();
    }
    return NULL;
}

static int errno_of_all(void *arg) {
    struct ticker ticker = {.thread = NULL};
    struct owner o[4];
    hd_thread *t[4];
    (void)arg;
    ticker_start(&ticker, other_regs);
    for (unsigned i = 0; i < 4; i++) {
        o[i] = (struct owner){&ticker, i};
        t[i] = spawn_kind(HD_PREEMPT_CARRIER, keep_errno, &o[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        join(t[i]);
    ticker_stop(&ticker);
    return 0;
}

TEST_WITHIN(errno_stays, 60) {
    skip_without_fp_control();
    CHECK_OK(hd_run(QUICK(.workers = 1), errno_of_all, NULL));
    CHECK_OK(hd_run(QUICK(.workers = 2), errno_of_all, NULL));
}

/* Between two waits it stays on one kernel thread, whose variables nobody else touches. */
static __attribute__((noinline)) void keep_kernel_thread_once(struct owner *o) {
    pthread_t self = pthread_self();
    long tid = syscall(SYS_gettid);
    uint64_t *where = &local, before = local;
    uint64_t until = count_of(&o->ticker->turns) + 5;
    for (uint64_t i = 1; count_of(&o->ticker->turns) < until; i++) {
        local++;
        CHECK_EQ(&local, where);
        CHECK_EQ(local, before + i);
        CHECK(pthread_equal(self, pthread_self()));
        CHECK_EQ(syscall(SYS_gettid), tid);
    }
}

static void *keep_kernel_thread(void *arg) {
    for (int round = 0; round < 10; round++) {
        keep_kernel_thread_once(arg);
        hd_yield();
    }
    return NULL;
}

static int kernel_threads_of_all(void *arg) {
    struct ticker ticker = {.thread = NULL};
    struct owner o[4];
    hd_thread *t[4];
    (void)arg;
    ticker_start(&ticker, NULL);
    for (unsigned i = 0; i < 4; i++) {
        o[i] = (struct owner){&ticker, i};
        t[i] = spawn_kind(HD_PREEMPT_CARRIER, keep_kernel_thread, &o[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        join(t[i]);
    ticker_stop(&ticker);
    return 0;
}

TEST_WITHIN(the_kernel_thread_stays, 60) {
    CHECK_OK(hd_run(QUICK(.workers = 1), kernel_threads_of_all, NULL));
    CHECK_OK(hd_run(QUICK(.workers = 2), kernel_threads_of_all, NULL));
}

/* ---- the signal mask and the alternate stack ---- */

static void *keep_mask(void *arg) {
    struct owner *o = arg;
    const int mine[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGWINCH};
    sigset_t set, old, now;
    for (int round = 0; round < 5; round++) {
        sigemptyset(&set);
        for (int i = 0; i < 4; i++)
            sigaddset(&set, mine[i]);
        CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, &old), 0);
        sigemptyset(&set);
        sigaddset(&set, mine[o->number]);
        CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
        uint64_t until = count_of(&o->ticker->turns) + 5;
        while (count_of(&o->ticker->turns) < until) {
            CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &now), 0);
            for (int i = 0; i < 4; i++)
                CHECK_EQ(sigismember(&now, mine[i]), i == (int)o->number);
        }
        CHECK_EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
        hd_yield();
    }
    return NULL;
}

static void *keep_altstack(void *arg) {
    struct owner *o = arg;
    stack_t mine = {.ss_size = 64 * 1024}, old, now;
    mine.ss_sp = malloc(mine.ss_size);
    for (int round = 0; round < 5; round++) {
        CHECK_EQ(sigaltstack(&mine, &old), 0);
        uint64_t until = count_of(&o->ticker->turns) + 5;
        while (count_of(&o->ticker->turns) < until) {
            CHECK_EQ(sigaltstack(NULL, &now), 0);
            CHECK_EQ(now.ss_sp, mine.ss_sp);
            CHECK_EQ(now.ss_size, mine.ss_size);
            CHECK_EQ(now.ss_flags, 0);
        }
        CHECK_EQ(sigaltstack(&old, NULL), 0);
        hd_yield();
    }
    free(mine.ss_sp);
    return NULL;
}

static int masks_and_stacks(void *arg) {
    struct ticker ticker = {.thread = NULL};
    struct owner o[8];
    hd_thread *t[8];
    (void)arg;
    ticker_start(&ticker, NULL);
    for (unsigned i = 0; i < 8; i++) {
        o[i] = (struct owner){&ticker, i % 4};
        t[i] = spawn_kind(HD_PREEMPT_CARRIER, i < 4 ? keep_mask : keep_altstack, &o[i]);
    }
    for (unsigned i = 0; i < 8; i++)
        join(t[i]);
    ticker_stop(&ticker);
    return 0;
}

TEST_WITHIN(signal_masks_and_alternate_stacks, 60) {
    CHECK_OK(hd_run(QUICK(.workers = 1), masks_and_stacks, NULL));
    CHECK_OK(hd_run(QUICK(.workers = 2), masks_and_stacks, NULL));
}

/* A light thread with another mask than usual is still preempted, some way, and keeps it. */
static int light_masks(void *arg) {
    struct ticker ticker = {.thread = NULL};
    struct owner o[4];
    hd_thread *t[4];
    (void)arg;
    ticker_start(&ticker, NULL);
    for (unsigned i = 0; i < 4; i++) {
        o[i] = (struct owner){&ticker, i};
        t[i] = spawn_kind(HD_PREEMPT_LIGHT, keep_mask, &o[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        join(t[i]);
    ticker_stop(&ticker);
    return 0;
}

TEST_WITHIN(signal_masks_of_light_threads, 60) {
    CHECK_OK(hd_run(QUICK(.workers = 1), light_masks, NULL));
}

/* ---- in the handler of another signal, on its alternate stack ----
 *
 * Most kernel threads that run workers block the host's signals. */

static struct ticker *handler_ticker;
static counter handler_calls;

static void spin_in_handler(int sig) {
    volatile char frame[2000];
    (void)sig;
    frame[0] = 1;
    uint64_t until = count_of(&handler_ticker->turns) + 5;
    while (count_of(&handler_ticker->turns) < until)
        frame[1999] = frame[0];
    count_up(&handler_calls);
}

static void *raise_often(void *arg) {
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, &old), 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
    return arg;
}

PREEMPT_TEST(in_a_signal_handler, 1) {
    if (TEST_TSAN)
        SKIP("ThreadSanitizer delivers no signals while a handler runs");
    struct ticker ticker = {.thread = NULL};
    hd_thread *t[2];
    handler_ticker = &ticker;
    ticker_start(&ticker, NULL);
    struct sigaction action = {.sa_handler = spin_in_handler, .sa_flags = SA_ONSTACK};
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    t[0] = spawn_kind(HD_PREEMPT_CARRIER, raise_often, NULL);
    t[1] = spawn_kind(HD_PREEMPT_LIGHT, raise_often, NULL);
    join(t[0]);
    join(t[1]);
    CHECK_EQ(count_of(&handler_calls), 10);
    ticker_stop(&ticker);
    return 0;
}
