/* SPDX-License-Identifier: MIT */
/* Joining: sched/spawn.c, sched/dispatch.h. The direct way, in which the joiner leaves straight to
 * the thread and waits without a lock, against the end of that thread elsewhere and an interruption
 * of the joiner; and the slow way. */
#define PARTY_SPAWNS
#define PARTY_BEGINS(worker) begins(worker)
struct hd__worker;
static void begins(struct hd__worker *w);

#include "party.h"
#include "test.h"

#include "sched/spawn.c"

MODEL_ABSENT(void, hd__ctx_annotated_entry, void *pass HD__UNUSED, void *context HD__UNUSED)
MODEL_ABSENT(void, hd__stack_cache_drain, struct hd__stack_cache *c HD__UNUSED,
             unsigned k HD__UNUSED)
MODEL_ABSENT(struct hd__stack *, hd__stack_get_at, unsigned n HD__UNUSED, unsigned k HD__UNUSED)
MODEL_ABSENT(struct hd__stack *, hd__stack_get_slow, struct hd__stack_cache *c HD__UNUSED,
             unsigned k HD__UNUSED)
MODEL_ABSENT(void, hd__stack_paint, struct hd__stack *s HD__UNUSED)
MODEL_ABSENT(void, hd__stack_unreserve, unsigned k HD__UNUSED, unsigned n HD__UNUSED)
MODEL_ABSENT(void, hd__thread_free_ext, hd_thread *t HD__UNUSED)
MODEL_ABSENT(void, hd__thread_give_slow, struct hd__thread_cache *c HD__UNUSED,
             hd_thread *t HD__UNUSED)
MODEL_ABSENT(void, hd__thread_untune, hd_thread *t HD__UNUSED)
bool hd__rcu_reading(void) { return false; }
MODEL_ABSENT(void, hd__rcu_die, const char *does HD__UNUSED)
MODEL_ABSENT(void, hd__tls_finish, hd_thread *t HD__UNUSED)
MODEL_ABSENT(void, hd__tls_free, hd_thread *t HD__UNUSED)
MODEL_ABSENT(const char *, hd_thread_name, const hd_thread *t HD__UNUSED)
MODEL_ABSENT(void, hd__runtime_check_drain, void)

static hd_thread target;
static struct hd__stack stack;
static char stack_memory[4096];
static hd_thread *direct;
static uint64_t waiting;
static _Atomic bool runs; /* the target does, on worker 1 */
static int joins, interruptions;

static void setup(void) {
    party_setup();
    atomic_init(&target.flags, HD__THREAD_LIVE | HD__THREAD_JOINABLE);
    stack.low = stack_memory;
    stack.top = stack_memory + sizeof stack_memory;
    stack.size = sizeof stack_memory;
    party_worker[0].stacks.head = &stack;
    party_worker[0].stacks.count = 1;
    model_name(&target, sizeof target, "target");
    model_name(&target.lock, sizeof target.lock, "target.lock");
    model_name(&target.ended, sizeof target.ended, "target.ended");
}

static void begins(struct hd__worker *w) {
    direct = settle_start(w, &waiting);
    atomic_store_explicit(&runs, true, memory_order_release);
}

/* The first lines of thread_entry() and the last of run_threads(), the target being on worker 1. */
static void ends(void) {
    if (!atomic_load_explicit(&runs, memory_order_acquire)) model_spin();
    target.arg = &joins;
    hd_thread *next = publish_end(&party_worker[1], &target, direct, waiting);
    if (next) hd__wait_wake_party(next);
}

static void interrupts(void) { hd__wait_interrupt(&parties[0]); }

static int joined(int err, void *result) {
    MODEL_ASSERT(err == 0 || err == -EINTR);
    if (err) {
        interruptions++;
    } else {
        MODEL_ASSERT(result == &joins);
        MODEL_ASSERT(hd__thread_flags(&target) == 0); /* it is free */
        joins++;
    }
    return err;
}

static int join_again(void) {
    void *result = NULL;
    int err = join_slow(&target, &result, HD_FOREVER, NULL);
    return joined(err, result);
}

static void joins_directly(void) {
    void *result = NULL;
    bool done = join_newest(&party_worker[0], &target, NULL);
    if (done) reap(&target, &result);
    if (joined(done ? 0 : -EINTR, result) != 0) join_again();
}

static void joins_slowly(void) {
    atomic_store_explicit(&runs, true, memory_order_release);
    if (join_again() != 0) join_again();
}

/* Finds that it has ended, or waits. */
static void joins_somehow(void) {
    void *result = NULL;
    atomic_store_explicit(&runs, true, memory_order_release);
    int err = join_from(&party_worker[0], &target, &result, HD_FOREVER, NULL);
    joined(err, result);
}

static void joined_once(void) {
    MODEL_ASSERT(joins == 1 && interruptions <= 1);
    MODEL_ASSERT(!(parties[0].park & HD__PARK_WAITING));
    model_outcome("%s", interruptions ? "interrupted" : "joined");
}

#define PROGRAM(name_, outcomes, ...)                                                        \
    static const struct model name_ = {.name = #name_, .setup = setup, .after = joined_once, \
                                       .threads = {__VA_ARGS__}};                            \
    TEST(join_##name_) {                                                                     \
        model_must_hold(&name_);                                                             \
        CHECK_STR_EQ(model_outcomes(), outcomes);                                            \
    }

PROGRAM(directly, "joined", joins_directly, ends)
PROGRAM(directly_interrupted, "interrupted joined", joins_directly, ends, interrupts)
PROGRAM(slowly, "joined", joins_slowly, ends)
PROGRAM(somehow, "joined", joins_somehow, ends)
PROGRAM(slowly_interrupted, "interrupted joined", joins_slowly, ends, interrupts)

#define ORDERED "the queue through which a thread becomes runnable orders its waker before it"
static const struct model_spared spared[] = {
    {"set_waiting cas acq_rel->release", "who interrupts hands nothing over"},
    {"publish_direct cas acq_rel->acquire", ORDERED},
    {"publish_direct cas acq_rel->release", "the target began after its joiner had left"},
    {"publish_direct store#2 release->relaxed", ORDERED},
    {"reap load acquire->relaxed", "the target does nothing but unlock after it says `ended`"},
    {"result_of load acquire->relaxed", ORDERED},
    {"hd__wait_claim_as cas acq_rel->acquire", ORDERED},
    {"hd__wait_claim_as cas acq_rel->release", "the target's lock orders the two"},
    {"hd__wait_interrupt cas acq_rel->acquire", ORDERED},
    {NULL, NULL},
};

TEST(join_mutants) {
    static const struct model *const programs[] = {
        &directly, &somehow, &directly_interrupted, &slowly_interrupted, NULL};
    model_mutants_must_fail(programs, "src/sched/*", spared);
}
