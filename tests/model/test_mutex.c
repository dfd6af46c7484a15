/* SPDX-License-Identifier: MIT */
/* The mutex, without spinning and watching: sync/mutex.c over the real parking. Sections exclude
 * each other, nobody waits for ever, and it may be freed by the last owner while an unlock before
 * still returns. */
#include "party.h"
#include "plain_mutex.h"
#include "test.h"

static struct mutex_and_data {
    struct hd__mutex mutex;
    int data, users;
} *shared;

static void setup_mutex(void) {
    party_setup();
    hd__rt.worker_count = 1; /* so nobody spins */
    shared = model_alloc(sizeof *shared);
    shared->users = 2;
    model_name(shared, sizeof *shared, "mutex");
    model_name(&shared->mutex.guard, 4, "guard");
}

static int lock(uint64_t deadline_ns, unsigned flags) {
    return mutex_lock(&shared->mutex, deadline_ns, flags);
}

static void unlock(void) { mutex_unlock(&shared->mutex); }

static void locks(void) {
    MODEL_ASSERT(lock(HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE) == 0);
    shared->data++;
    unlock();
}

static void locks_twice(void) {
    locks();
    locks();
}

static void tries(void) {
    hd__thread_token = model_self() + 1;
    if (!hd__mutex_try(&shared->mutex, hd__mutex_me())) return;
    shared->data++;
    unlock();
}

/* The last one frees it. */
static void locks_and_frees(void) {
    MODEL_ASSERT(lock(HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE) == 0);
    bool last = --shared->users == 0;
    unlock();
    if (last) model_free(shared);
}

static void locks_until(void) {
    int err = lock(1, 0);
    MODEL_ASSERT(err == 0 || err == -ETIMEDOUT);
    if (err) {
        model_outcome("timeout");
        return;
    }
    shared->data++;
    unlock();
}

static void locks_interruptibly(void) {
    int err = lock(HD_FOREVER, 0);
    MODEL_ASSERT(err == 0 || err == -EINTR);
    if (err) return;
    shared->data++;
    unlock();
}

static void expires(void) { party_expire(0); }
static void interrupts(void) { hd__wait_interrupt(&parties[0]); }

static void mutex_is_free(void) {
    MODEL_ASSERT(!(shared->mutex.state & ~(uint64_t)WOKEN) && !shared->mutex.queue.head);
}

static void both_were_in(void) {
    mutex_is_free();
    MODEL_ASSERT(shared->data == 2);
}

static void three_were_in(void) {
    mutex_is_free();
    MODEL_ASSERT(shared->data == 3);
}

/* ---- The programs ---- */

#define PROGRAM(name_, setup_, after_, ...)                                              \
    static const struct model name_ = {.name = #name_, .setup = setup_, .after = after_, \
                                       .steps_max = 400, .threads = {__VA_ARGS__}};      \
    TEST(name_) { model_must_hold(&name_); }

#define LONG(name_, setup_, after_, ...)                                                 \
    static const struct model name_ = {.name = #name_, .setup = setup_, .after = after_, \
                                       .steps_max = 400, .is_long = true,                \
                                       .threads = {__VA_ARGS__}};                        \
    TEST_WITHIN(name_, 900) { model_must_hold(&name_); }

PROGRAM(mutex_two, setup_mutex, both_were_in, locks, locks)
PROGRAM(mutex_again, setup_mutex, three_were_in, locks, locks_twice)
PROGRAM(mutex_freed, setup_mutex, NULL, locks_and_frees, locks_and_frees)
PROGRAM(mutex_deadline, setup_mutex, mutex_is_free, locks_until, locks, expires)
PROGRAM(mutex_interrupted, setup_mutex, mutex_is_free, locks_interruptibly, locks, interrupts)
LONG(mutex_barged, setup_mutex, mutex_is_free, locks, locks, tries)

static const struct model_spared spared[] = {
    {"wake_next cas release->relaxed", NULL}, /* it takes three */
    {NULL, NULL},
};

TEST_WITHIN(mutex_mutants, 1800) {
    static const struct model *const programs[] = {
        &mutex_two, &mutex_freed, &mutex_deadline, &mutex_interrupted, &mutex_barged, NULL};
    model_mutants_must_fail(programs, "src/sync/*", spared);
}
