/* SPDX-License-Identifier: MIT */
/* From made-up events to states: what follows from which signs. Times are microseconds. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "timeline_support.h"

/* The thread's entry; times in microseconds from it. */
static const struct probe_thread *entry(int tid) {
    for (size_t i = 0; i < timeline->thread_count; i++) {
        if (timeline->thread[i].tid == tid)
            return &timeline->thread[i];
    }
    FAIL("no thread %d", tid);
}

static double in_state(int tid, enum probe_state state) {
    return (double)entry(tid)->state_ns[state] / 1000;
}

#define CHECK_NEAR(value, wanted, off_by)                                                          \
    CHECK_MSG((value) >= (wanted) - (off_by) && (value) <= (wanted) + (off_by),                    \
              "%s is %g, not %g", #value, (double)(value), (double)(wanted))

static void end(double us) {
    probe_timeline_finish(timeline, at(us));
    for (size_t i = 0; i < timeline->thread_count; i++) { /* no moment is lost or counted twice */
        const struct probe_thread *th = &timeline->thread[i];
        uint64_t sum = 0, last = th->end_ns ? th->end_ns : timeline->end_ns;
        for (int s = 0; s < PROBE_STATES; s++)
            sum += th->state_ns[s];
        if (th->born_ns == 0 && th->tid)
            CHECK_LE(sum, last - timeline->begin_ns);
        else if (th->tid)
            CHECK_EQ(sum, last - th->born_ns);
    }
}

TEST(two_that_count_take_turns) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    on(0, OTHER);
    for (int i = 0; i < 100; i++)
        turn(i * TURN, i % 2 ? OTHER : MAIN, i % 2 ? MAIN : OTHER);
    end(100 * TURN);
    double whole = 100 * TURN;
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_HOLDS), whole / 2, whole / 100);
    CHECK_NEAR(in_state(OTHER, PROBE_STATE_HOLDS), whole / 2, whole / 100);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_WAITS), whole / 2, whole / 100);
    CHECK_NEAR(in_state(OTHER, PROBE_STATE_WAITS), whole / 2, whole / 100);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_BLOCKED), 0, 1);
    CHECK_EQ(timeline->lock_count, 1);
    CHECK_EQ(timeline->lock[0].takes, 100);
    CHECK_EQ(timeline->lock[0].forced, 100);
    CHECK_EQ(entry(MAIN)->forced_from, 50);
    CHECK_EQ(entry(MAIN)->forced_by, 50);
    CHECK_GE(entry(OTHER)->wait.count, 50);
    CHECK_NEAR((double)entry(OTHER)->wait.sum_ns / 1000, in_state(OTHER, PROBE_STATE_WAITS), 10);
    CHECK_NEAR((double)probe_histogram_quantile(&entry(MAIN)->hold, 0.5), 5.0e6, 1.3e6);
    CHECK_EQ(entry(MAIN)->worst_wait_holder, OTHER);
    CHECK_EQ(timeline->convoy_count, 0);
    CHECK_EQ(timeline->pair_count, 2);
    probe_timeline_free(timeline);
}

static void check_convoy(bool looks) {
    begin();
    convoy(looks);
    end(1 + 50 * 10000);
    CHECK_NEAR(in_state(OTHER, PROBE_STATE_WAITS), 50 * 5057, 50);
    CHECK_NEAR(in_state(OTHER, PROBE_STATE_HOLDS), 50 * 50, 50);
    CHECK_NEAR(in_state(OTHER, PROBE_STATE_BLOCKED), 50 * 4888, 5000);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_WAITS), 50 * 112, 100);
    CHECK_EQ(timeline->lock[0].takes, 100);
    CHECK_EQ(timeline->lock[0].forced, 50);
    CHECK_EQ(timeline->convoy_count, 1);
    CHECK_EQ(timeline->thread[timeline->convoy[0].waiter].tid, OTHER);
    CHECK_EQ(timeline->thread[timeline->convoy[0].holder].tid, MAIN);
    CHECK_NEAR((double)timeline->convoy[0].need_ns, 50e3, 1e3);
    CHECK_NEAR((double)timeline->convoy[0].wait_ns, 5057e3, 10e3);
    CHECK_EQ(timeline->convoy[0].times, 50);
}

TEST(short_waiter_behind_long_holder_is_a_convoy) {
    check_convoy(true);
    const struct probe_thread *io = entry(OTHER);
    CHECK_EQ(io->waited_count, 1);
    CHECK_EQ(io->waited[0].stack, 7);
    CHECK_EQ(io->waited[0].ns, io->state_ns[PROBE_STATE_WAITS]);
    CHECK_EQ(io->blocked_on_count, 1);
    CHECK_EQ(io->blocked_on[0].call, 45);
    probe_timeline_free(timeline);
}

TEST(a_convoy_is_seen_without_samples) {
    check_convoy(false);
    probe_timeline_free(timeline);
}

TEST(a_late_sample_makes_no_second_thread) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    on(0, OTHER);
    struct probe_event ends = {.kind = PROBE_EXIT, .tid = OTHER, .pid = MAIN, .lock = -1};
    struct probe_event begins = {.kind = PROBE_THREAD, .tid = OTHER, .pid = MAIN, .lock = -1};
    send(ends, 1000);
    look_call(1001, OTHER, 45);
    sample(1002, OTHER);
    name(1003, OTHER, "late");
    CHECK_EQ(timeline->thread_count, 2);
    send(begins, 1500);
    look_call(1600, OTHER, 45); /* another thread, with its number */
    end(2000);
    CHECK_EQ(timeline->thread_count, 3);
    probe_timeline_free(timeline);
}

/* OTHER has waited for 5 ms, and asks; THIRD, which came 1 ms ago, is the one that is woken. */
TEST(who_takes_is_not_always_who_asked) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    on(0, OTHER);
    off(10, OTHER);
    look_lock(1000, OTHER, 0);
    look_lock(2000, OTHER, 0);
    on(4000, THIRD);
    off(4010, THIRD);
    look_lock(4500, THIRD, 0);
    off(5010, MAIN);
    on(5020, THIRD);
    take(5025, THIRD);
    off(5050, THIRD); /* it goes to sleep, and lets go: nobody asked for that */
    look_call(5060, THIRD, 230);
    on(5070, OTHER);
    take(5075, OTHER);
    end(6000);
    CHECK_EQ(timeline->lock[0].takes, 2);
    CHECK_EQ(timeline->lock[0].forced, 1);
    CHECK_EQ(entry(MAIN)->forced_from, 1);
    probe_timeline_free(timeline);
}

TEST(letting_go_and_taking_again_is_no_hand_over) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    for (int i = 0; i < 10; i++) { /* computes 1 ms, sleeps 9 */
        off(i * 10000 + 1000, MAIN);
        look_call(i * 10000 + 4000, MAIN, 230);
        sample(i * 10000 + 4001, 0);
        on(i * 10000 + 10000, MAIN);
    }
    end(100000);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_HOLDS), 10000, 1);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_BLOCKED), 90000, 1);
    CHECK_EQ(timeline->lock[0].takes, 0);
    CHECK_GE(entry(MAIN)->hold.count, 10);
    CHECK_NEAR((double)timeline->lock[0].free_ns / 1000, 90000, 1);
    CHECK_EQ(timeline->lock[0].looks, 11);
    CHECK_EQ(timeline->lock[0].looks_locked, 1);
    probe_timeline_free(timeline);
}

TEST(who_runs_without_the_lock_is_seen_by_samples) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    for (int i = 1; i <= 100; i++) /* 50 ms with, 50 ms without: it compresses */
        sample(i * 1000, i <= 50 ? MAIN : 0);
    end(100000);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_HOLDS), 50500, 1);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_ON), 49500, 1);
    probe_timeline_free(timeline);
}

TEST(short_spans_are_corrected_by_all_samples_together) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    for (int i = 0; i < 4000; i++) { /* on CPU for 60 us of each 100, 15 of them without the lock */
        if (i % 10 == 0) {
            int when = i / 10 % 4; /* at 15, 30, 45 or 60 us */
            sample(i * 100 + 14 + when * 15, when == 3 ? 0 : MAIN);
        }
        off(i * 100 + 60, MAIN);
        on(i * 100 + 100, MAIN);
    }
    end(400000);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_HOLDS), 4000 * 45, 4000 * 45 * 0.03);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_ON), 4000 * 15, 4000 * 45 * 0.03);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_BLOCKED), 4000 * 40, 1);
    CHECK_NEAR((double)timeline->lock[0].held_ns / 1000, 4000 * 45, 4000 * 45 * 0.03);
    probe_timeline_free(timeline);
}

TEST(a_holder_that_blocks_with_the_lock_is_seen) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    off(1000, MAIN);
    for (int i = 0; i < 8; i++) {
        look_call(1500 + i * 1000, MAIN, 230);
        sample(1500 + i * 1000, MAIN);
    }
    on(10000, MAIN);
    end(11000);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_HOLDS_OFF), 9000, 1);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_HOLDS), 2000, 1);
    CHECK_EQ(entry(MAIN)->hold.count, 1);
    CHECK_EQ(entry(MAIN)->hold.max_ns, 11000000);
    probe_timeline_free(timeline);
}

TEST(a_preempted_holder_keeps_it) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    on(0, OTHER);
    off(20, OTHER);
    look_lock(500, OTHER, 1);
    preempt(1000, MAIN);
    on(3000, MAIN);
    end(4000);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_HOLDS), 2000, 1);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_HOLDS_OFF), 2000, 1);
    CHECK_NEAR(in_state(OTHER, PROBE_STATE_WAITS), 3980, 1);
    CHECK_EQ(entry(MAIN)->preempted, 1);
    CHECK_EQ(entry(MAIN)->held_preempted_ns, 2000000);
    CHECK_EQ(entry(MAIN)->hold.count, 1);
    CHECK_EQ(entry(OTHER)->worst_wait_holder, MAIN);
    probe_timeline_free(timeline);
}

TEST(a_fork_has_another_lock_at_the_same_place) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    struct probe_event e = {.kind = PROBE_ON, .tid = 500, .pid = 500, .cpu = 1, .lock = -1};
    e.ns = at(10);
    probe_timeline_event(timeline, &e);
    e.kind = PROBE_OFF;
    e.ns = at(20);
    probe_timeline_event(timeline, &e);
    for (int i = 1; i < 9; i++) {
        e.kind = PROBE_LOOK;
        e.doing = PROBE_ON_FUTEX;
        e.lock = 0;
        e.ns = at(i * 1000);
        probe_timeline_event(timeline, &e);
    }
    end(10020);
    CHECK_NEAR(in_state(500, PROBE_STATE_BLOCKED), 10000, 0.1);
    CHECK_EQ(entry(500)->blocked_on_count, 1);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_HOLDS), 10020, 0.1);
    probe_timeline_free(timeline);
}

TEST(a_loser_without_a_cpu_is_runnable_first) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    on(0, OTHER);
    off(10, OTHER);
    look_lock(1000, OTHER, 1);
    on(5010, OTHER); /* asks */
    off(5015, OTHER);
    preempt(5030, MAIN); /* has let go, and makes place for the one that it woke */
    on(5031, OTHER);
    take(5032, OTHER);
    on(8000, MAIN); /* goes for the lock */
    off(8005, MAIN);
    on(13005, MAIN);
    off(13008, MAIN);
    end(14000);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_RUNNABLE), 2968, 0.1);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_WAITS), 5995, 0.1);
    CHECK_EQ(entry(MAIN)->forced_from, 1);
    probe_timeline_free(timeline);
}

TEST(threads_begin_and_end) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    send((struct probe_event){.kind = PROBE_THREAD, .tid = OTHER, .value = MAIN, .lock = -1}, 100);
    send((struct probe_event){.kind = PROBE_NAME, .tid = OTHER, .text = "wor\033ker", .lock = -1},
         110);
    on(150, OTHER);
    off(160, OTHER);
    off(200, MAIN);
    on(220, OTHER);
    take(225, OTHER);
    send((struct probe_event){.kind = PROBE_EXIT, .tid = OTHER, .lock = -1}, 1225);
    on(1300, MAIN);
    take(1301, MAIN);
    /* the number comes again */
    send((struct probe_event){.kind = PROBE_THREAD, .tid = OTHER, .value = MAIN, .lock = -1}, 2000);
    end(2500);
    const struct probe_thread *th = entry(OTHER);
    CHECK_EQ(th->parent, MAIN);
    CHECK_EQ(th->born_ns, at(100));
    CHECK_EQ(th->first_ns, at(150));
    CHECK_EQ(th->end_ns, at(1225));
    CHECK_EQ(strcmp(th->name, "wor?ker"), 0);
    CHECK_NEAR(in_state(OTHER, PROBE_STATE_RUNNABLE), 50, 0.1);
    CHECK_NEAR(in_state(OTHER, PROBE_STATE_HOLDS), 1000, 0.1);
    CHECK_EQ(timeline->thread_count, 3);
    CHECK_EQ(timeline->thread[2].tid, OTHER);
    CHECK_EQ(timeline->thread[2].first_ns, 0);
    CHECK_EQ(timeline->thread[2].state_ns[PROBE_STATE_RUNNABLE], 500000);
    probe_timeline_free(timeline);
}

TEST(what_was_lost_is_put_right_by_samples) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    on(0, OTHER);
    off(10, OTHER);
    take(5000, OTHER); /* its coming on CPU was lost */
    send((struct probe_event){.kind = PROBE_LOST, .value = 17, .lock = -1}, 9000);
    sample(10000, MAIN); /* its taking, too */
    end(20000);
    CHECK_EQ(timeline->lost, 17);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_HOLDS), 17500, 1);
    CHECK_NEAR(in_state(OTHER, PROBE_STATE_HOLDS), 2500, 1);
    CHECK_EQ(timeline->lock[0].takes, 1);
    probe_timeline_free(timeline);
}

TEST(samples_alone_show_who_holds_and_who_waits) {
    begin();
    for (int i = 0; i <= 100; i++) { /* turns of 10 ms, seen each ms; nothing else is known */
        bool first = i / 10 % 2 == 0;
        send((struct probe_event){.kind = PROBE_HOLDER,
                                  .tid = first ? MAIN : OTHER,
                                  .value = 5 + (unsigned)(i / 10)},
             i * 1000);
        look_runs(i * 1000 + 1, first ? MAIN : OTHER, 3);
        look_lock(i * 1000 + 2, first ? OTHER : MAIN, 4);
    }
    end(100000);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_HOLDS), 50000, 1500);
    CHECK_NEAR(in_state(OTHER, PROBE_STATE_HOLDS), 50000, 1500);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_WAITS), 50000, 1500);
    CHECK_NEAR(in_state(OTHER, PROBE_STATE_WAITS), 50000, 1500);
    CHECK_EQ(timeline->lock[0].takes, 10); /* by the number */
    CHECK_EQ(entry(MAIN)->voluntary, 0);
    CHECK_EQ(entry(MAIN)->held[0].stack, 3);
    probe_timeline_free(timeline);
}

TEST(exact_events_need_no_guess) {
    begin();
    on(0, MAIN);
    exact(0, MAIN, PROBE_GOT);
    on(0, OTHER);
    exact(10, OTHER, PROBE_WANT);
    off(15, OTHER);
    on(5015, OTHER);
    exact(5020, OTHER, PROBE_FORCE);
    off(5025, OTHER);
    exact(5030, MAIN, PROBE_DROP);
    off(5035, MAIN); /* blocked, it seems */
    on(5060, OTHER);
    exact(5065, OTHER, PROBE_GOT);
    off(6065, OTHER); /* with the lock */
    on(7065, OTHER);
    exact(8065, OTHER, PROBE_DROP);
    end(9000);
    CHECK(timeline->lock[0].exact);
    CHECK_NEAR(in_state(OTHER, PROBE_STATE_WAITS), 5055, 0.1);
    CHECK_NEAR(in_state(OTHER, PROBE_STATE_HOLDS), 2000, 0.1);
    CHECK_NEAR(in_state(OTHER, PROBE_STATE_HOLDS_OFF), 1000, 0.1);
    CHECK_NEAR(in_state(OTHER, PROBE_STATE_ON), 945, 0.1);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_HOLDS), 5030, 0.1);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_BLOCKED), 3965, 0.1);
    CHECK_EQ(timeline->lock[0].takes, 1);
    CHECK_EQ(timeline->lock[0].forced, 1);
    CHECK_EQ(entry(MAIN)->forced_from, 1);
    CHECK_EQ(entry(OTHER)->forced_by, 1);
    probe_timeline_free(timeline);
}

TEST(a_wait_that_is_told_late_has_its_length) {
    begin();
    on(0, MAIN);
    exact(0, MAIN, PROBE_GOT);
    exact(1000, MAIN, PROBE_DROP);
    off(1010, MAIN);
    on(1050, MAIN);
    send((struct probe_event){.kind = PROBE_WANT, .tid = MAIN, .cpu = -1, .value = 40000}, 1050);
    exact(3050, MAIN, PROBE_GOT);
    end(4050);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_WAITS), 2040, 0.1);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_BLOCKED), 0, 0.1);
    CHECK_EQ(entry(MAIN)->worst_wait_ns, 2040000);
    probe_timeline_free(timeline);
}

TEST(a_wait_that_was_none_is_taken_back) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    on(0, OTHER);
    off(10, OTHER);
    look_lock(1000, OTHER, 1);
    on(5010, OTHER);
    off(5015, OTHER);
    preempt(5030, MAIN); /* woken, the other one goes first: as if by force */
    on(5031, OTHER);
    take(5032, OTHER);
    on(5040, MAIN);
    off(5050, MAIN); /* but it has let go to read a file */
    for (int i = 0; i < 9; i++)
        look_call(6000 + i * 1000, MAIN, 0);
    on(15050, MAIN);
    end(15050);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_BLOCKED), 10000, 1);
    CHECK_LE(in_state(MAIN, PROBE_STATE_WAITS), 20);
    probe_timeline_free(timeline);
}

TEST(the_log_of_spans_is_bounded_and_keeps_the_newest) {
    timeline = probe_timeline_new(10, 16);
    on(0, MAIN);
    for (int i = 0; i < 1000; i++) {
        off(i * 100 + 50, MAIN);
        on(i * 100 + 100, MAIN);
    }
    end(100000);
    CHECK_EQ(timeline->span_count, 16);
    CHECK_EQ(timeline->span_count + timeline->spans_dropped, 2000);
    for (size_t i = 1; i < 16; i++)
        CHECK_EQ(timeline->span[i].begin_ns, timeline->span[i - 1].end_ns);
    CHECK_EQ(timeline->span[15].end_ns, at(100000));
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_ON), 50000, 1);
    CHECK_EQ(timeline->lock_count, 0);
    probe_timeline_free(timeline);
}

TEST(threads_too_many_share_an_entry) {
    timeline = probe_timeline_new(4, 100);
    for (int i = 0; i < 50; i++) {
        on(i * 10, 1000 + i);
        off(i * 10 + 4, 1000 + i);
    }
    for (int i = 0; i < 50; i++)
        send((struct probe_event){.kind = PROBE_EXIT, .tid = 1000 + i, .lock = -1}, 1000 + i);
    end(2000);
    CHECK_EQ(timeline->thread_count, 4);
    CHECK_EQ(timeline->threads_dropped, 47);
    CHECK_EQ(timeline->thread[3].state_ns[PROBE_STATE_ON], 47u * 4000);
    CHECK_EQ(timeline->thread[3].voluntary, 47);
    char *title = probe_thread_title(timeline, 3);
    CHECK_EQ(strcmp(title, "other threads"), 0);
    free(title);
    probe_timeline_free(timeline);
}

TEST(settling_changes_nothing_in_the_end) {
    uint64_t waits[2], holds[2];
    for (int settles = 0; settles < 2; settles++) {
        begin();
        sample(0, MAIN);
        on(0, MAIN);
        on(0, OTHER);
        for (int i = 0; i < 20; i++) {
            turn(i * TURN, i % 2 ? OTHER : MAIN, i % 2 ? MAIN : OTHER);
            if (settles)
                probe_timeline_settle(timeline, at(i * TURN + 5085));
        }
        if (settles) {
            probe_timeline_settle(timeline, at(20 * TURN + 1000));
            double sum = 0;
            for (int s = 0; s < PROBE_STATES; s++)
                sum += in_state(MAIN, (enum probe_state)s);
            CHECK_NEAR(sum, 20 * TURN + 1000, 0.1);
        }
        end(20 * TURN + 1000);
        waits[settles] = entry(MAIN)->state_ns[PROBE_STATE_WAITS];
        holds[settles] = entry(MAIN)->state_ns[PROBE_STATE_HOLDS];
        probe_timeline_free(timeline);
    }
    CHECK_EQ(waits[0], waits[1]);
    CHECK_EQ(holds[0], holds[1]);
}

TEST(any_events_in_any_order_do_no_harm) {
    struct test_rng rng = test_rng(1);
    timeline = probe_timeline_new(20, 64);
    probe_timeline_interval(timeline, INTERVAL);
    double us = 0;
    for (unsigned long i = 0; i < test_iterations(100000); i++) {
        us += (double)test_rng_below(&rng, 300) - 10;
        if (us < 0)
            us = 0;
        struct probe_event e = {.kind = (uint8_t)test_rng_below(&rng, PROBE_LOST + 1),
                                .tid = 100 + (int)test_rng_below(&rng, 30),
                                .doing = (uint8_t)test_rng_below(&rng, 4),
                                .preempted = test_rng_below(&rng, 2) == 0,
                                .lock = (int16_t)((int)test_rng_below(&rng, 70) - 1),
                                .cpu = (int)test_rng_below(&rng, 4) - 1,
                                .stack = (uint32_t)test_rng_below(&rng, 900),
                                .value = test_rng_below(&rng, 50),
                                .text = "name"};
        send(e, us);
        if (test_rng_below(&rng, 100) == 0)
            probe_timeline_settle(timeline, at(us));
    }
    probe_timeline_finish(timeline, at(us));
    CHECK_LE(timeline->thread_count, 20);
    CHECK_EQ(timeline->span_count, 64);
    for (size_t i = 0; i < timeline->thread_count; i++) {
        for (int s = 0; s < PROBE_STATES && timeline->thread[i].tid; s++)
            CHECK_LE(timeline->thread[i].state_ns[s], timeline->end_ns - timeline->begin_ns);
    }
    probe_timeline_free(timeline);
}

TEST(a_lock_that_is_let_go_between_samples_is_held_as_samples_say) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    on(0, OTHER);
    for (int i = 0; i < 1000; i++) { /* each takes it for a moment, and works without it */
        take(i * 1000 + 10, i % 2 ? OTHER : MAIN);
        sample(i * 1000 + 600, i % 10 ? 0 : MAIN);
    }
    end(1000000);
    CHECK(timeline->lock[0].by_samples);
    CHECK_NEAR((double)timeline->lock[0].held_ns / 1000, 101000, 3000);
    CHECK_NEAR((double)timeline->lock[0].free_ns / 1000, 899000, 3000);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_HOLDS), 101000, 3000);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_ON), 899000, 3000);
    probe_timeline_free(timeline);
}

TEST(preempted_without_the_lock_goes_on_without_it) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    sample(1000, 0);
    for (int i = 1; i <= 50; i++) {
        preempt(i * 1000 + 100, MAIN);
        on(i * 1000 + 600, MAIN);
    }
    end(60000);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_HOLDS), 500, 1);
    CHECK_NEAR(in_state(MAIN, PROBE_STATE_RUNNABLE), 25000, 1);
    CHECK(!timeline->lock[0].by_samples);
    probe_timeline_free(timeline);
}

TEST(the_lock_of_a_program_that_is_gone_is_held_by_nobody) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    send((struct probe_event){.kind = PROBE_EXEC, .tid = MAIN, .text = "other", .lock = -1}, 10000);
    end(60000);
    CHECK_NEAR((double)(timeline->lock[0].held_ns + timeline->lock[0].free_ns) / 1000, 10000, 1);
    CHECK_NEAR((double)timeline->lock[0].held_ns / 1000, 10000, 1);
    probe_timeline_free(timeline);
}

TEST(a_thread_that_went_to_another_lock_keeps_that) {
    begin();
    sample(0, MAIN);
    on(0, MAIN);
    for (int i = 1; i < 50; i++) { /* a sub-interpreter's, which it never lets go */
        send((struct probe_event){.kind = PROBE_HOLDER, .tid = MAIN, .cpu = -1, .lock = 1},
             i * 1000);
        sample(i * 1000 + 1, 0);
    }
    end(50000);
    CHECK_EQ(timeline->lock_count, 2);
    CHECK_NEAR((double)timeline->lock[1].held_ns / 1000, 49000, 1100);
    CHECK_LE(entry(MAIN)->hold.count, 2);
    probe_timeline_free(timeline);
}
