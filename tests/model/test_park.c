/* SPDX-License-Identifier: MIT */
/* The park word: thread/thread.h, sched/wait.[ch], and what dispatch.h does for those who park. A
 * thread waits for an object of the simplest kind: a flag with a lock and a queue. */
#include "party.h"
#include "test.h"

static struct object {
    hd__spin lock;
    bool set;
    struct hd__waitq queue;
} *object;

static const char *ended; /* how the wait did */
static bool claimed_flag; /* the waker has claimed it */

static void setup(void) {
    party_setup();
    object = model_alloc(sizeof *object);
    model_name(object, sizeof *object, "object");
}

/* As every object of the runtime does it. */
static int wait_for_object(uint64_t deadline_ns, unsigned flags) {
    struct hd__wait *w = model_alloc(sizeof *w); /* on the waiter's stack, and gone afterwards */
    model_name(w, sizeof *w, "wait");
    hd__wait_init(w, "object", object, NULL);
    hd__spin_lock(&object->lock);
    if (object->set) {
        hd__spin_unlock(&object->lock);
        return 0;
    }
    hd__waitq_push_back(&object->queue, w);
    int err = hd__wait_park(w, &object->lock, deadline_ns, flags);
    if (err != 0) {
        hd__spin_lock(&object->lock);
        hd__waitq_remove(&object->queue, w);
        hd__spin_unlock(&object->lock);
    }
    model_free(w);
    return err;
}

static void outcome(int err) {
    ended = err == 0 ? "notified" : err == -ETIMEDOUT ? "timeout" : "interrupted";
}

static void waits(void) { outcome(wait_for_object(HD_FOREVER, 0)); }
static void waits_deaf(void) { outcome(wait_for_object(HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE)); }
static void waits_until(void) { outcome(wait_for_object(1, 0)); }

static void wakes(void) {
    hd__spin_lock(&object->lock);
    object->set = true;
    struct hd__wait *w = hd__waitq_pop_front(&object->queue);
    bool won = w && hd__wait_claim(w);
    hd__spin_unlock(&object->lock);
    if (!won) return;
    claimed_flag = true;
    hd__wait_wake(w);
}

static void interrupts(void) { hd__wait_interrupt(&parties[0]); }
static void expires(void) { party_expire(0); }

static void count(void) {
    model_outcome("%s%s", ended, parties[0].park & HD__PARK_INTR ? "+pending" : "");
    MODEL_ASSERT(!claimed_flag || ended[0] == 'n');
    MODEL_ASSERT(!object->queue.head);
    MODEL_ASSERT(!(parties[0].park & HD__PARK_WAITING));
    MODEL_ASSERT(!party_worker[0].timers.count);
    if (claimed_flag) MODEL_ASSERT(object->set);
}

#define PROGRAM(name_, outcomes, ...)                                                     \
    static const struct model name_ = {.name = #name_, .setup = setup, .after = count,    \
                                       .threads = {__VA_ARGS__}};                         \
    TEST(park_##name_) {                                                                  \
        model_must_hold(&name_);                                                          \
        CHECK_STR_EQ(model_outcomes(), outcomes);                                         \
    }

PROGRAM(waker_alone, "notified", waits, wakes)
PROGRAM(waker_or_deadline, "notified timeout", waits_until, wakes, expires)
PROGRAM(waker_or_interruption, "interrupted notified+pending", waits, wakes, interrupts)
PROGRAM(waker_of_the_deaf, "notified+pending", waits_deaf, wakes, interrupts)
PROGRAM(all_three, "interrupted notified+pending timeout+pending", waits_until,
        wakes, interrupts, expires)
PROGRAM(two_wakers, "notified", waits, wakes, wakes)

#define ORDERED "the queue through which a thread becomes runnable orders its waker before it"
static const struct model_spared spared[] = {
    {"set_waiting cas acq_rel->release", "who interrupts hands nothing over"},
    {"hd__wait_claim_as cas acq_rel->release", "the object's lock, or the timers', orders the two"},
    {"hd__wait_claim_as cas acq_rel->acquire", ORDERED},
    {"hd__wait_interrupt cas acq_rel->acquire", ORDERED},
    {"result_of load acquire->relaxed", ORDERED},
    {NULL, NULL},
};

TEST(park_mutants) {
    static const struct model *const programs[] = {
        &waker_alone, &two_wakers, &waker_of_the_deaf, &waker_or_interruption, &waker_or_deadline,
        NULL};
    model_mutants_must_fail(programs, "src/*", spared);
}
