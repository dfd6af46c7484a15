/* SPDX-License-Identifier: MIT */
/* The condition variable: sync/cond.c with sync/mutex.c, over the real parking. No signal is lost,
 * none is swallowed by a waiter that gives up, waiters have the mutex again, and who has waited may
 * free both while the signal still returns. */
#include "party.h"
#include "plain_mutex.h"
#include "test.h"

#include "sync/cond.c"

static struct shared {
    hd_mutex mutex;
    hd_cond cond;
    int tokens, taken, waiting;
} *shared;

static struct hd__mutex *mutex(void) { return (struct hd__mutex *)&shared->mutex; }
static void unlock(void) { mutex_unlock(mutex()); }

static void lock(void) {
    MODEL_ASSERT(mutex_lock(mutex(), HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE) == 0);
}

static void setup_cond(void) {
    party_setup();
    hd__rt.worker_count = 1; /* so nobody spins */
    shared = model_alloc(sizeof *shared);
    model_name(&mutex()->guard, 4, "mutex.guard");
    model_name(mutex(), sizeof *mutex(), "mutex");
    model_name(&cond_of(&shared->cond)->guard, 4, "cond.guard");
    model_name(&shared->cond, sizeof shared->cond, "cond");
}

/* ---- What the threads do ---- */

static void takes(void) {
    lock();
    while (!shared->tokens) MODEL_ASSERT(hd_cond_wait(&shared->cond, &shared->mutex) == 0);
    shared->tokens--;
    shared->taken++;
    unlock();
}

static void puts_one(void) {
    lock();
    shared->tokens++;
    hd_cond_signal(&shared->cond);
    unlock();
}

static void puts_one_and_signals_later(void) {
    lock();
    shared->tokens++;
    unlock();
    hd_cond_signal(&shared->cond);
}

static void puts_two(void) {
    lock();
    shared->tokens += 2;
    hd_cond_broadcast(&shared->cond);
    unlock();
}

static void puts_two_and_tells_later(void) {
    lock();
    shared->tokens += 2;
    unlock();
    hd_cond_broadcast(&shared->cond);
}

/* Of the executions in which several wait, those in which nobody is in the way. */
static void lock_at_once(void) {
    hd__thread_token = model_self() + 1;
    if (!hd__mutex_try(mutex(), hd__mutex_me())) model_give_up();
}

/* One wait, however it ends: the thread has the mutex then. */
static void wait_once(uint64_t deadline_ns) {
    lock();
    shared->waiting = 1;
    int err = hd_cond_wait_until(&shared->cond, &shared->mutex, deadline_ns);
    MODEL_ASSERT(err == 0 || err == -ETIMEDOUT || err == -EINTR);
    shared->taken++;
    unlock();
    model_outcome("%s", err == 0 ? "signalled" : "gave-up");
}

static void wait_as(int nth) {
    lock_at_once();
    if (shared->waiting != nth) model_give_up();
    shared->waiting++;
    MODEL_ASSERT(hd_cond_wait(&shared->cond, &shared->mutex) == 0);
    shared->taken++;
    unlock();
}

static void waits_first(void) { wait_as(0); }
static void waits_second(void) { wait_as(1); }
static void waits_until(void) { wait_once(1); }
static void waits_unless_interrupted(void) { wait_once(HD_FOREVER); }

static void expires(void) { party_expire(0); }
static void interrupts(void) { hd__wait_interrupt(&parties[0]); }

/* Waits once, which is ended by nothing but the signal, and frees all. */
static void waits_and_frees(void) {
    lock();
    shared->waiting = 1;
    MODEL_ASSERT(hd_cond_wait(&shared->cond, &shared->mutex) == 0);
    unlock();
    model_free(shared);
}

static bool somebody_waits(void) {
    lock();
    bool waiting = shared->waiting;
    unlock();
    return waiting;
}

static void signals_who_waits(void) {
    if (!somebody_waits()) model_give_up();
    hd_cond_signal(&shared->cond);
}

static void broadcasts_to_who_waits(void) {
    if (!somebody_waits()) model_give_up();
    hd_cond_broadcast(&shared->cond);
}

static void broadcasts_to_both(void) {
    lock_at_once();
    if (shared->waiting != 2) model_give_up();
    hd_cond_broadcast(&shared->cond);
    unlock();
}

static void signals_at_once(void) {
    lock_at_once();
    if (!shared->waiting) model_give_up();
    unlock();
    hd_cond_signal(&shared->cond);
}

static void signals_both(void) {
    lock_at_once();
    if (shared->waiting != 2) model_give_up();
    unlock();
    hd_cond_signal(&shared->cond);
    hd_cond_signal(&shared->cond);
}

static void signals_under_the_mutex(void) {
    lock();
    if (!shared->waiting) model_give_up();
    hd_cond_signal(&shared->cond);
    unlock();
}

/* ---- What must hold then ---- */

static void all_is_free(void) {
    struct cond *c = cond_of(&shared->cond);
    MODEL_ASSERT(!(mutex()->state & ~(uint64_t)WOKEN) && !mutex()->queue.head);
    MODEL_ASSERT(!c->queue.head && !c->waiting);
}

static void one_was_taken(void) {
    all_is_free();
    MODEL_ASSERT(shared->taken == 1 && shared->tokens == 0);
}

static void two_were_taken(void) {
    all_is_free();
    MODEL_ASSERT(shared->taken == 2);
}

/* ---- The programs ---- */

#define PROGRAM(name_, after_, ...)                                                          \
    static const struct model name_ = {.name = #name_, .setup = setup_cond, .after = after_, \
                                       .steps_max = 400, .threads = {__VA_ARGS__}};          \
    TEST(name_) { model_must_hold(&name_); }
PROGRAM(cond_signal, one_was_taken, takes, puts_one)
PROGRAM(cond_signal_later, one_was_taken, takes, puts_one_and_signals_later)
PROGRAM(cond_broadcast_to_one, NULL, takes, puts_two)
PROGRAM(cond_broadcast_later, NULL, takes, puts_two_and_tells_later)
PROGRAM(cond_freed, NULL, waits_and_frees, signals_who_waits)
PROGRAM(cond_freed_after_broadcast, NULL, waits_and_frees, broadcasts_to_who_waits)
PROGRAM(cond_freed_by_the_next_owner, NULL, waits_and_frees, signals_under_the_mutex)
PROGRAM(cond_interrupted, all_is_free, waits_unless_interrupted, signals_at_once, interrupts)
PROGRAM(cond_deadline, all_is_free, waits_until, signals_at_once, expires)
PROGRAM(cond_broadcast, two_were_taken, waits_first, waits_second, broadcasts_to_both)
PROGRAM(cond_two_signals, two_were_taken, waits_first, waits_second, signals_both)

static const struct model_spared spared[] = {
    {"hand_to_next cas release->relaxed", "the next owner is parked, and ordered by being woken"},
    {"wake_next cas release->relaxed", "it takes three: test_mutex.c has them"},
    {NULL, NULL},
};

TEST_WITHIN(cond_mutants, 1800) {
    static const struct model *const programs[] = {
        &cond_signal, &cond_signal_later, &cond_freed, &cond_freed_by_the_next_owner,
        &cond_broadcast, &cond_two_signals, NULL};
    model_mutants_must_fail(programs, "src/sync/*", spared);
}

/* ---- What must be found ---- */

/* As hd_cond_wait(), but that the mutex is given back before the waiter is in the queue. */
static void waits_after_giving_back(void) {
    struct cond *c = cond_of(&shared->cond);
    struct hd__wait *w = model_alloc(sizeof *w);
    lock();
    bool any = shared->tokens;
    unlock();
    if (any) return;
    hd__wait_init(w, "cond", c, NULL);
    w->slot = mutex();
    w->tag = hd__mutex_me();
    hd__spin_lock(&c->guard);
    hd__waitq_push_back(&c->queue, w);
    hd__store_relaxed(&c->waiting, 1);
    MODEL_ASSERT(hd__wait_park(w, &c->guard, HD_FOREVER, 0) == 0);
    hd__mutex_retake(mutex(), w, true, NULL);
    unlock();
}

TEST(cond_a_lost_signal_is_found) {
    static const struct model m = {.name = "cond-lost", .setup = setup_cond, .steps_max = 400,
                                   .threads = {waits_after_giving_back, puts_one}};
    model_must_fail(&m, "stuck");
}

static void claims_and_forgets(void) {
    struct cond *c = cond_of(&shared->cond);
    if (!somebody_waits()) model_give_up();
    hd__spin_lock(&c->guard);
    (void)hd__sync_claim_first(&c->queue);
    note_emptiness(c);
    hd__spin_unlock(&c->guard);
}

TEST(cond_a_claim_without_a_wake_up_is_found) {
    static const struct model m = {.name = "cond-forgotten", .setup = setup_cond, .steps_max = 400,
                                   .threads = {waits_until, claims_and_forgets}};
    model_must_fail(&m, "stuck");
}

/* The signaller looks at the condition once more. */
static void signals_and_looks_again(void) {
    signals_who_waits();
    (void)hd__load_relaxed(&cond_of(&shared->cond)->waiting);
}

TEST(cond_a_look_after_the_signal_is_found) {
    static const struct model m = {.name = "cond-looks", .setup = setup_cond, .steps_max = 400,
                                   .threads = {waits_and_frees, signals_and_looks_again}};
    model_must_fail(&m, "use after free");
}
