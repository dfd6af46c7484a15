/* SPDX-License-Identifier: MIT */
/* The spinlock: base/spin.h and os/spin.c. */
#include "source.h"
#include "test.h"

#include "os/spin.c"

static hd__spin lock;
static int guarded, tried;

static void adds(void) {
    hd__spin_lock(&lock);
    guarded++;
    hd__spin_unlock(&lock);
}

static void tries(void) {
    if (!hd__spin_trylock(&lock)) return;
    guarded++;
    tried++;
    hd__spin_unlock(&lock);
}

static void adds_twice(void) {
    adds();
    adds();
}

static void is_three(void) { MODEL_ASSERT(guarded == 3); }
static void is_two_or_more(void) { MODEL_ASSERT(guarded == 2 + tried); }

static const struct model three = {
    .name = "spin", .threads = {adds, adds, adds}, .after = is_three};
static const struct model twice = {
    .name = "spin-twice", .threads = {adds_twice, adds}, .after = is_three};
static const struct model trylock = {
    .name = "spin-trylock", .threads = {adds, adds, tries}, .after = is_two_or_more};

TEST(spin_excludes) { model_must_hold(&three); }
TEST(spin_excludes_again_and_again) { model_must_hold(&twice); }
TEST(spin_trylock_excludes) { model_must_hold(&trylock); }

TEST(spin_mutants) {
    static const struct model *const programs[] = {&three, &trylock, NULL};
    model_mutants_must_fail(programs, "src/*", NULL);
}

static void forgets(void) {
    hd__spin_lock(&lock);
    guarded++;
}

TEST(spin_that_is_kept_is_seen) {
    static const struct model m = {.name = "spin-kept", .threads = {forgets, adds}};
    model_must_fail(&m, "stuck");
}
