/* SPDX-License-Identifier: MIT */
/* The number of the thread that runs, which inline functions read: it follows every switch, of
 * whatever kind, and no thread of a later runtime has an earlier one's. */
#include "preempt_test.h"

static uint64_t token(void) {
    uint64_t value = 0;
#ifdef HD__TOKEN_READ
    HD__TOKEN_READ(value);
#else
    SKIP("this CPU has no inline way");
#endif
    return value;
}

static void check_self(void) {
    CHECK_EQ(token(), hd_thread_id(hd_self()));
}

static hd_mutex mutex;
static hd_event go;

static void *switch_often(void *arg) {
    check_self();
    hd_event_wait(&go);
    for (int i = 0; i < 200; i++) {
        check_self();
        hd_yield();
        check_self();
        hd_mutex_lock(&mutex);
        check_self();
        hd_mutex_unlock(&mutex);
        if (i % 50 == 0)
            CHECK_OK(hd_sleep_for(1000));
        check_self();
    }
    return arg;
}

RUNTIME_TEST(follows_switches_and_spawns, 2) {
    hd_thread *t[20];
    check_self();
    for (int i = 0; i < 20; i++)
        t[i] = spawn(switch_often, NULL);
    hd_event_set(&go);
    for (int i = 0; i < 20; i++) {
        join(t[i]);
        check_self();
        join(spawn(switch_often, NULL)); /* joined while it is the newest: switched to directly */
        check_self();
    }
    return 0;
}

static _Atomic int busy_ones;

static void *stay_the_same(void *arg) {
    uint64_t own = hd_thread_id(hd_self());
    atomic_fetch_sub(&busy_ones, 1);
    while (atomic_load(&busy_ones) > 0 || count_of(arg) < 30)
        CHECK_EQ(token(), own);
    return NULL;
}

static void *block_and_look(void *arg) {
    for (int i = 0; i < 20; i++) {
        usleep(500);
        check_self();
    }
    return arg;
}

PREEMPT_TEST(follows_preemptions, 2) {
    static const int kinds[] = {HD_PREEMPT_CARRIER, HD_PREEMPT_LIGHT};
    static struct ticker clock;
    hd_thread *t[6];
    atomic_store(&busy_ones, 4);
    for (int i = 0; i < 4; i++)
        t[i] = spawn_kind(kinds[i % 2], stay_the_same, &clock.turns);
    for (int i = 4; i < 6; i++)
        t[i] = spawn(block_and_look, NULL);
    ticker_start(&clock, check_self);
    for (int i = 0; i < 6; i++)
        join(t[i]);
    check_self();
    CHECK_GT(preemptions(), 0);
    ticker_stop(&clock);
    return 0;
}

static uint64_t first_id;

static int note_first(void *arg) {
    (void)arg;
    check_self();
    first_id = hd_thread_id(hd_self());
    return 0;
}

static int compare_first(void *arg) {
    (void)arg;
    check_self();
    CHECK_GT(hd_thread_id(hd_self()), first_id);
    return 0;
}

TEST(a_kernel_thread_has_its_own_back) {
    CHECK_EQ(token(), HD__TOKEN_NONE);
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), note_first, NULL));
    CHECK_EQ(token(), HD__TOKEN_NONE);
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1), compare_first, NULL));
    CHECK_EQ(token(), HD__TOKEN_NONE);
}
