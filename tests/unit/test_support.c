/* SPDX-License-Identifier: MIT */
/* The tests' own tools: a check that cannot fail would prove nothing. Each failing check runs in a
 * process that must die of it, with the message that says why. */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

TEST(numbers_compare_by_value) {
    size_t two = 2;
    CHECK_EQ(two, 2);
    CHECK_LT(-1, two);
    CHECK_GT(UINT64_MAX, INT64_MAX);
    CHECK_NE(UINT64_MAX, -1);
    CHECK_LE(INT64_MIN, -1.5);
    CHECK_GE(2.0, two);
    CHECK_EQ(true, 1);
    CHECK_EQ((void *)0, NULL);
}

TEST(failed_comparison_shows_both_values) {
    unsigned many = 70000;
    CHECK_DEATH("CHECK_EQ(many, 2 + 1) failed", CHECK_EQ(many, 2 + 1));
    CHECK_STR_HAS(test_death_output(), "unit/test_support.c:");
    CHECK_STR_HAS(test_death_output(), "many  = 70000 (0x11170)");
    CHECK_STR_HAS(test_death_output(), "2 + 1 = 3");
}

TEST(errors_are_shown_by_name) {
    int result = -EAGAIN;
    CHECK_DEATH("result = -11 (-EAGAIN)", CHECK_OK(result));
    CHECK_DEATH("-ENOMEM = -12 (-ENOMEM)", CHECK_ERR(result, -ENOMEM));
}

TEST(not_a_number_equals_nothing) {
    double nan = strtod("nan", NULL);
    CHECK_NE(nan, nan);
    CHECK_DEATH("CHECK_EQ(nan, nan)", CHECK_EQ(nan, nan));
    CHECK_DEATH("CHECK_LE(nan, 1)", CHECK_LE(nan, 1));
}

TEST(text_and_memory) {
    CHECK_STR_EQ("abc", "abc");
    CHECK_DEATH("\"abd\"", CHECK_STR_EQ("abc", "abd"));
    CHECK_DEATH("(null)", CHECK_STR_EQ("abc", NULL));
    CHECK_DEATH("is not in", CHECK_STR_HAS("abc", "x"));
    CHECK_DEATH("at byte 2 of 3: 0x63, 0x64", CHECK_MEM_EQ("abc", "abd", 3));
}

static void *fail(void *arg) {
    CHECK_MSG(arg != NULL, "no %s", "argument");
    return NULL;
}

TEST(check_fails_the_test_from_any_thread) {
    CHECK_DEATH("no argument", {
        pthread_t thread;
        pthread_create(&thread, NULL, fail, NULL);
        pthread_join(thread, NULL);
    });
}

static void expect_death_of_nothing(void) {
    CHECK_DEATH("", (void)0);
}

TEST(death_must_happen) {
    CHECK_DEATH("it did not die", expect_death_of_nothing());
}

static void expect_reason_of_abort(void) {
    CHECK_DEATH("reason", abort());
}

TEST(death_must_say_why) {
    CHECK_DEATH("without saying \"reason\"", expect_reason_of_abort());
}

TEST(soon_gives_up) {
    uint64_t start = test_now_ns();
    CHECK_SOON(test_now_ns() > start, 1000);
    CHECK_DEATH("still false", CHECK_SOON(test_now_ns() < start, 10));
}

TEST(random_choices_repeat) {
    struct test_rng a = test_rng(1), b = test_rng(1), c = test_rng(2);
    uint64_t first = test_rng_next(&a);
    CHECK_EQ(first, test_rng_next(&b));
    CHECK_NE(first, test_rng_next(&c));
    for (int i = 0; i < 100; i++)
        CHECK_LT(test_rng_below(&a, 10), 10);
}

TEST(skip_ends_the_test) {
    CHECK_DEATH("", SKIP("no %s here", "tool"));
}
