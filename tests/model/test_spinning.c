/* SPDX-License-Identifier: MIT */
/* The mutex's spinning: sync/mutex.c over the real parking, where owners run and nobody else waits
 * for the workers. Newcomers that look before they queue themselves; woken waiters that look, hide
 * the others, and in the end wait in the queue without parking, to be handed the mutex there. How
 * often a thread looks before its time is over is explored, up to a bound. */
#define PARTY_CLOCK
#define PLAIN_MUTEX_SPINS
#include "party.h"
#include "plain_mutex.h"
#include "test.h"

static struct mutex_and_data {
    struct hd__mutex mutex;
    int data, users;
} *shared;

static unsigned patience[MODEL_THREADS]; /* looks at the clock before the time must be over */
static uint64_t clock_ns[MODEL_THREADS];
static bool busy[MODEL_THREADS];         /* somebody waits for the worker, when it is first asked */

uint64_t hd__os_now_ns(void) {
    unsigned self = model_self();
    if (patience[self] == 0 || model_choose(2))
        clock_ns[self] += LOSING_MAX_NS;
    else
        patience[self]--;
    return clock_ns[self];
}

bool hd__look_alone(void) {
    bool was = busy[model_self()];
    busy[model_self()] = false;
    return !was;
}

bool hd__look_runs(struct hd__worker *w, uint64_t token) { return w == &party_worker[token - 1]; }
struct hd__worker *hd__look_runner(uint64_t token) { return &party_worker[token - 1]; }

static void setup(void) {
    party_setup();
    hd__rt.worker_count = 2;
    patience[0] = patience[1] = 2;
    shared = model_alloc(sizeof *shared);
    shared->users = 2;
    model_name(&shared->mutex.guard, 4, "guard");
    model_name(shared, sizeof *shared, "mutex");
}

/* The first parks, and looks only when it is woken; the second takes nothing but what is free. */
static void setup_woken(void) {
    setup();
    busy[0] = true;
    patience[0] = 1;
    patience[1] = 0;
}

static void locks(void) {
    MODEL_ASSERT(mutex_lock(&shared->mutex, HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE) == 0);
    shared->data++;
    mutex_unlock(&shared->mutex);
}

static void give_back(bool may_free) {
    bool last = may_free && --shared->users == 0;
    shared->data++;
    mutex_unlock(&shared->mutex);
    if (last) model_free(shared);
}

static void come_second(bool may_free) {
    hd__thread_token = model_self() + 1;
    if (hd__mutex_try(&shared->mutex, hd__mutex_me())) model_give_up();
    (void)hd__mutex_contend(&shared->mutex, hd__mutex_me(), HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE,
                            NULL, NULL);
    give_back(may_free);
}

/* Twice, if it finds the mutex free. */
static void barge(bool may_free) {
    hd__thread_token = model_self() + 1;
    for (int i = 0; i < 2; i++) {
        if (!hd__mutex_try(&shared->mutex, hd__mutex_me())) model_give_up();
        give_back(may_free && i == 1);
    }
}

static void comes_second(void) { come_second(false); }
static void comes_second_and_frees(void) { come_second(true); }
static void barges(void) { barge(false); }
static void barges_and_frees(void) { barge(true); }

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

#define PROGRAM(name_, setup_, after_, ...)                                                 \
    static const struct model name_ = {.name = #name_, .setup = setup_,                 \
                                       .after = after_, .steps_max = 400,               \
                                       .threads = {__VA_ARGS__}};                       \
    TEST(name_) { model_must_hold(&name_); }

PROGRAM(spinning_two, setup, both_were_in, locks, locks)
PROGRAM(spinning_freed, setup_woken, NULL, comes_second_and_frees, barges_and_frees)
PROGRAM(spinning_woken, setup_woken, three_were_in, comes_second, barges)

static const struct model_spared spared[] = {
    {"wake_next cas release->relaxed", "it takes three: test_mutex.c has them"},
    {"spin_in_queue load acquire->relaxed", "the guard, which it takes then, orders the same"},
    {NULL, NULL},
};

TEST_WITHIN(spinning_mutants, 900) {
    static const struct model *const programs[] = {&spinning_two, &spinning_woken, NULL};
    model_mutants_must_fail(programs, "src/sync/*", spared);
}
