/* SPDX-License-Identifier: MIT */
/* The semaphore: sync/sem.c over the real parking. No permit is lost or given twice, nobody waits
 * for ever, and it may be freed by the waiter while the post that let it go still returns. */
#include "party.h"
#include "test.h"

#include "sync/sem.c"

static hd_sem *sem;
static int posted;

static void setup_sem(void) {
    party_setup();
    sem = model_alloc(sizeof *sem);
    model_name(sem, sizeof *sem, "sem");
}

static void waits(void) {
    MODEL_ASSERT(hd_sem_wait(sem) == 0);
}

static void waits_and_frees(void) {
    MODEL_ASSERT(hd_sem_wait(sem) == 0);
    MODEL_ASSERT(posted == 1);
    model_free(sem);
}

static void posts(void) { hd_sem_post(sem); }
static void expires(void) { party_expire(0); }

static void posts_data(void) {
    posted = 1;
    hd_sem_post(sem);
}

static void waits_until(void) {
    int err = hd_sem_wait_until(sem, 1);
    MODEL_ASSERT(err == 0 || err == -ETIMEDOUT);
    if (err) hd_sem_post(sem); /* so that as many permits are left in all */
}

static void tries(void) {
    if (hd_sem_trywait(sem)) hd_sem_post(sem);
}

static void one_is_left(void) {
    MODEL_ASSERT(((struct sem *)sem)->state == 1 && !((struct sem *)sem)->queue.head);
}

static void none_is_left(void) {
    MODEL_ASSERT(((struct sem *)sem)->state == 0 && !((struct sem *)sem)->queue.head);
}

static void one_or_two(void) {
    uint64_t left = ((struct sem *)sem)->state;
    MODEL_ASSERT((left == 0 || left == 2) && !((struct sem *)sem)->queue.head);
}

/* ---- The programs ---- */

#define PROGRAM(name_, setup_, after_, ...)                                              \
    static const struct model name_ = {.name = #name_, .setup = setup_, .after = after_, \
                                       .steps_max = 400, .threads = {__VA_ARGS__}};      \
    TEST(name_) { model_must_hold(&name_); }

PROGRAM(sem_one, setup_sem, none_is_left, waits, posts)
PROGRAM(sem_freed, setup_sem, NULL, waits_and_frees, posts_data)
PROGRAM(sem_two, setup_sem, one_is_left, waits, posts, posts)
static const struct model sem_two_wait = {.name = "sem_two_wait", .setup = setup_sem,
                                          .after = none_is_left, .steps_max = 400, .is_long = true,
                                          .threads = {waits, waits, posts, posts}};
TEST_WITHIN(sem_two_wait, 900) { model_must_hold(&sem_two_wait); }
PROGRAM(sem_try, setup_sem, none_is_left, waits, posts, tries)
PROGRAM(sem_deadline, setup_sem, one_or_two, waits_until, posts, expires)

TEST(sem_mutants) {
    static const struct model *const programs[] = {&sem_one, &sem_freed, &sem_two, &sem_deadline,
                                                   NULL};
    model_mutants_must_fail(programs, "src/sync/*", NULL);
}
