/* SPDX-License-Identifier: MIT */
/* How tests are written. A test program is one or more files of TEST()s, linked with test.c, which
 * holds main(). Every test runs in a process of its own: a failed check, a crash or a hang ends
 * that test alone, whichever thread it happens on, and the next one starts from a clean process.
 * The program prints TAP; what the tests themselves print goes to standard error.
 *
 *     TEST(list_keeps_order) {
 *         CHECK_EQ(first(&list), &a);
 *         CHECK_ERR(hd_join_until(t, NULL, 0), -ETIMEDOUT);
 *         CHECK_DEATH("not a valid thread", hd_join(NULL, NULL));
 *     }
 *
 *     PROGRAM [--list] [--no-fork] [NAME...]      NAME may hold * and ?
 *
 * --no-fork runs the tests in the program itself, for a debugger. Environment: HEDDLE_TEST_SEED
 * repeats a run's random choices, HEDDLE_TEST_SCALE multiplies the length of long tests,
 * HEDDLE_TEST_TIMEOUT replaces each test's time limit (seconds). */
#ifndef HEDDLE_TEST_H
#define HEDDLE_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- what the program was built and started with ---- */
#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#endif
#ifndef TEST_ASAN
#define TEST_ASAN 0
#endif
#ifndef TEST_TSAN
#define TEST_TSAN 0
#endif

/* Whether an emulator of another CPU, or Valgrind, runs the program (the runner says so). */
bool test_under_qemu(void);
bool test_under_valgrind(void);

/* n times HEDDLE_TEST_SCALE (1 by default), less where an instrumented build or an emulator is
 * slow; at least 1. For loops whose length is a matter of thoroughness. */
unsigned long test_iterations(unsigned long n);

/* ---- random choices that can be repeated ---- */
/* The seed of this run; printed at the start and beside every failure. */
uint64_t test_seed(void);

/* A generator of its own for each stream, so that threads share nothing. */
struct test_rng {
    uint64_t state;
};
struct test_rng test_rng(uint64_t stream);
uint64_t test_rng_next(struct test_rng *rng);
uint64_t test_rng_below(struct test_rng *rng, uint64_t limit);

/* ---- tests ---- */
struct test_case {
    const char *name, *file;
    void (*body)(void);
    unsigned timeout_s;
    struct test_case *next;
};
void test_register(struct test_case *c);

#define TEST(name) TEST_WITHIN(name, 30)

/* A test with a time limit of its own, in seconds; slow builds get a multiple of it. */
#define TEST_WITHIN(name, seconds)                                                                 \
    static void test_body_##name(void);                                                            \
    __attribute__((constructor)) static void test_add_##name(void) {                               \
        static struct test_case c = {#name, __FILE__, test_body_##name, seconds, NULL};            \
        test_register(&c);                                                                         \
    }                                                                                              \
    static void test_body_##name(void)

/* Ends the test: it cannot run here, and why. */
#define SKIP(...) test_skip(__VA_ARGS__)
_Noreturn void test_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A line that is shown when the test fails. */
void test_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- checks: from any thread, on small stacks too. The first that fails ends the test. ---- */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            test_fail(__FILE__, __LINE__, "CHECK(%s) failed", #cond);                              \
    } while (0)

/* With an explanation of the caller's. */
#define CHECK_MSG(cond, fmt, ...)                                                                  \
    do {                                                                                           \
        if (!(cond))                                                                               \
            test_fail(__FILE__, __LINE__, "CHECK(%s) failed: " fmt, #cond, ##__VA_ARGS__);         \
    } while (0)

#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

/* Numbers and pointers of any types; signed and unsigned compare by value. */
#define CHECK_EQ(a, b) TEST_COMPARE("CHECK_EQ", #a, #b, a, b, test_order_ == 0)
#define CHECK_NE(a, b) TEST_COMPARE("CHECK_NE", #a, #b, a, b, test_order_ != 0)
#define CHECK_LT(a, b) TEST_COMPARE("CHECK_LT", #a, #b, a, b, test_order_ == -1)
#define CHECK_LE(a, b) TEST_COMPARE("CHECK_LE", #a, #b, a, b, test_order_ == -1 || test_order_ == 0)
#define CHECK_GT(a, b) TEST_COMPARE("CHECK_GT", #a, #b, a, b, test_order_ == 1)
#define CHECK_GE(a, b) TEST_COMPARE("CHECK_GE", #a, #b, a, b, test_order_ == 1 || test_order_ == 0)

/* A call that returns 0, or exactly this -errno. */
#define CHECK_OK(call) TEST_COMPARE("CHECK_OK", #call, "0", call, 0, test_order_ == 0)
#define CHECK_ERR(call, error)                                                                     \
    TEST_COMPARE("CHECK_ERR", #call, #error, call, error, test_order_ == 0)

#define CHECK_STR_EQ(a, b) test_check_str(a, b, #a, #b, __FILE__, __LINE__)
#define CHECK_STR_HAS(text, part) test_check_str_has(text, part, #text, #part, __FILE__, __LINE__)
#define CHECK_MEM_EQ(a, b, size) test_check_mem(a, b, size, #a, #b, __FILE__, __LINE__)

/* That a condition becomes true within so many milliseconds. It polls, sleeping in the kernel: for
 * foreign threads, not for threads of the runtime. */
#define CHECK_SOON(cond, limit_ms)                                                                 \
    do {                                                                                           \
        uint64_t test_start_ = test_now_ns();                                                      \
        while (!(cond))                                                                            \
            test_poll_pause(test_start_, limit_ms, #cond, __FILE__, __LINE__);                     \
    } while (0)

/* That the statements end their process by a signal or a non-zero exit status and that what they
 * printed holds `text`. They run in a fork of the test, so before it starts threads. */
#define CHECK_DEATH(text, ...)                                                                     \
    do {                                                                                           \
        struct test_death test_death_;                                                             \
        if (test_death_fork(&test_death_)) {                                                       \
            __VA_ARGS__;                                                                           \
            test_death_survived();                                                                 \
        }                                                                                          \
        test_death_check(&test_death_, text, #__VA_ARGS__, __FILE__, __LINE__);                    \
    } while (0)

/* All that the last CHECK_DEATH() of this process printed. */
const char *test_death_output(void);

/* ---- what the macros call ---- */
struct test_value {
    enum { TEST_INT, TEST_UINT, TEST_DOUBLE, TEST_POINTER } kind;
    union {
        int64_t i;
        uint64_t u;
        double d;
        const volatile void *p;
    } as;
};

static inline struct test_value test_value_int(long long v) {
    return (struct test_value){TEST_INT, {.i = v}};
}

static inline struct test_value test_value_uint(unsigned long long v) {
    return (struct test_value){TEST_UINT, {.u = v}};
}

static inline struct test_value test_value_double(double v) {
    return (struct test_value){TEST_DOUBLE, {.d = v}};
}

static inline struct test_value test_value_pointer(const volatile void *v) {
    return (struct test_value){TEST_POINTER, {.p = v}};
}

#define TEST_VALUE(x)                                                                              \
    _Generic((x), _Bool                                                                            \
             : test_value_uint, char                                                               \
             : test_value_int, signed char                                                         \
             : test_value_int, short                                                               \
             : test_value_int, int                                                                 \
             : test_value_int, long                                                                \
             : test_value_int, long long                                                           \
             : test_value_int, unsigned char                                                       \
             : test_value_uint, unsigned short                                                     \
             : test_value_uint, unsigned                                                           \
             : test_value_uint, unsigned long                                                      \
             : test_value_uint, unsigned long long                                                 \
             : test_value_uint, float                                                              \
             : test_value_double, double                                                           \
             : test_value_double, default                                                          \
             : test_value_pointer)(x)

#define TEST_COMPARE(what, a_text, b_text, a, b, condition)                                        \
    do {                                                                                           \
        struct test_value test_a_ = TEST_VALUE(a), test_b_ = TEST_VALUE(b);                        \
        int test_order_ = test_compare(&test_a_, &test_b_);                                        \
        if (!(condition))                                                                          \
            test_fail_values(what, a_text, b_text, &test_a_, &test_b_, __FILE__, __LINE__);        \
    } while (0)

/* -1, 0, 1; 2 when unordered (not a number). */
int test_compare(const struct test_value *a, const struct test_value *b);

struct test_death {
    int pid, out;
};

uint64_t test_now_ns(void);
_Noreturn void test_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void test_fail_values(const char *what, const char *a_text, const char *b_text,
                                const struct test_value *a, const struct test_value *b,
                                const char *file, int line);
void test_check_str(const char *a, const char *b, const char *a_text, const char *b_text,
                    const char *file, int line);
void test_check_str_has(const char *text, const char *part, const char *text_text,
                        const char *part_text, const char *file, int line);
void test_check_mem(const void *a, const void *b, size_t size, const char *a_text,
                    const char *b_text, const char *file, int line);
void test_poll_pause(uint64_t start_ns, uint64_t limit_ms, const char *text, const char *file,
                     int line);
bool test_death_fork(struct test_death *death);
_Noreturn void test_death_survived(void);
void test_death_check(struct test_death *death, const char *text, const char *statement,
                      const char *file, int line);

#endif
