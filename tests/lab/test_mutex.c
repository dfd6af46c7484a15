/* SPDX-License-Identifier: MIT */
/* Locks of a program's own: their kinds, sums, and circles of threads; and which of several GILs a
 * span is about. All made up. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/mutex.h"
#include "timeline_support.h"

static struct probe_mutex_wait waits(pid_t tid, pid_t owner) {
    return (struct probe_mutex_wait){.kind = PROBE_MUTEX_C, .tid = tid, .owner = owner,
                                     .address = (uint64_t)owner << 8};
}

TEST(circles_are_told_from_chains) {
    /* 1 > 2 > 3 > 1; 4 waits for 1; 5 for itself; 6 for 7, which does not wait; 8 for who knows. */
    const struct probe_mutex_wait w[] = {waits(4, 1), waits(1, 2), waits(6, 7), waits(2, 3),
                                         waits(3, 1), waits(5, 5), waits(8, 0)};
    size_t circle[7];
    CHECK_EQ(probe_mutex_circles(w, 7, circle), 2u);
    CHECK_EQ(circle[0], 0u);
    CHECK_EQ(circle[2], 0u);
    CHECK_EQ(circle[6], 0u);
    CHECK_GT(circle[1], 0u);
    CHECK_EQ(circle[3], circle[1]);
    CHECK_EQ(circle[4], circle[1]);
    CHECK_GT(circle[5], 0u);
    CHECK_NE(circle[5], circle[1]);
    CHECK_EQ(probe_mutex_circles(w, 0, circle), 0u);
    CHECK_EQ(probe_mutex_circles(w, 4, circle), 0u); /* without the one that closes it */
}

static uint32_t push(struct probe_stacks *s, uint32_t outer, const char *function,
                     const char *file) {
    return probe_stacks_push(s, outer, &(struct probe_frame){function, file, 7, -1});
}

TEST(kinds_of_locks_are_told_by_functions) {
    static const struct {
        const char *functions[3]; /* innermost last */
        enum probe_mutex_kind kind;
    } cases[] = {
        {{"work", "pthread_mutex_lock", "__lll_lock_wait"}, PROBE_MUTEX_C},
        {{"work", "___pthread_mutex_lock", "libc.so.6+0x9cefe"}, PROBE_MUTEX_C},
        {{"pthread_cond_wait", "__pthread_mutex_cond_lock", "__lll_lock_wait"}, PROBE_MUTEX_C},
        {{"work", "pthread_rwlock_wrlock", "__futex_abstimed_wait"}, PROBE_MUTEX_RW},
        {{"malloc", "_int_malloc", "__lll_lock_wait_private"}, PROBE_MUTEX_OTHER},
        {{"work", "pthread_cond_wait", "__futex_abstimed_wait"}, PROBE_MUTEX_NONE},
        {{"work", "sem_wait", "__new_sem_wait_slow64"}, PROBE_MUTEX_NONE},
    };
    struct probe_stacks *s = probe_stacks_new(1000);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t node = 0;
        for (int k = 0; k < 3; k++)
            node = push(s, node, cases[i].functions[k], "libc.so.6");
        CHECK_MSG(probe_mutex_of_functions(s, node) == cases[i].kind, "case %zu: %d", i,
                  (int)probe_mutex_of_functions(s, node));
    }
    CHECK_EQ(probe_mutex_of_functions(s, 0), PROBE_MUTEX_NONE);
    probe_stacks_free(s);
}

TEST(conditions_and_ends_of_threads_are_no_locks) {
    struct probe_stacks *s = probe_stacks_new(1000);
    struct probe_python_lock plain = {.object = 1}, again = {.object = 1, .recursive = true};
    uint32_t work = push(s, 0, "work", "/app.py");
    uint32_t condition = push(s, work, "Condition.wait", "/usr/lib/python3.11/threading.py");
    uint32_t join = push(s, work, "_wait_for_tstate_lock", "/usr/lib/python3.6/threading.py");
    uint32_t own = push(s, work, "Gate.wait", "/app/gate.py");
    CHECK_EQ(probe_mutex_of_python(s, work, &plain), PROBE_MUTEX_PYTHON);
    CHECK_EQ(probe_mutex_of_python(s, work, &again), PROBE_MUTEX_RLOCK);
    CHECK_EQ(probe_mutex_of_python(s, own, &plain), PROBE_MUTEX_PYTHON);
    CHECK_EQ(probe_mutex_of_python(s, condition, &plain), PROBE_MUTEX_NONE);
    CHECK_EQ(probe_mutex_of_python(s, join, &plain), PROBE_MUTEX_NONE);
    CHECK_EQ(probe_mutex_of_python(s, 0, &plain), PROBE_MUTEX_NONE);
    /* A condition takes its lock again in the same function. */
    CHECK_EQ(probe_mutex_of_python(s, condition, &again), PROBE_MUTEX_RLOCK);
    probe_stacks_free(s);
}

TEST(waits_are_summed_by_lock) {
    struct probe_mutexes m = {0};
    struct probe_mutex_wait w = {.kind = PROBE_MUTEX_PYTHON, .tid = 1, .address = 0x10,
                                 .python = 1};
    probe_mutexes_add(&m, 5, &w, 100);
    w.address = 0x20;
    for (int i = 0; i < 10; i++) {
        w.tid = 1 + i % 3;
        w.python = i < 7 ? 2 : 3;
        probe_mutexes_add(&m, 5, &w, 50);
    }
    probe_mutexes_add(&m, 6, &w, 1); /* of another process */
    probe_mutexes_sort(&m);
    CHECK_EQ(m.count, 3u);
    CHECK_EQ(m.list[0].address, 0x20u);
    CHECK_EQ(m.list[0].ns, 500u);
    CHECK_EQ(m.list[0].count, 10u);
    CHECK_EQ(m.list[0].threads, 3u);
    CHECK_EQ(m.list[0].max_ns, 50u);
    CHECK_EQ(probe_mutex_main_way(&m.list[0])->python, 2u);
    CHECK_EQ(m.list[1].threads, 1u);
    CHECK_EQ(m.list[2].pid, 6);
    probe_mutexes_free(&m);
}

static char *name_of(void *arg, pid_t tid) {
    char *text = NULL;
    (void)arg;
    CHECK_GT(asprintf(&text, "`t%d`", (int)tid), 0);
    return text;
}

static char *lock_of(void *arg, const struct probe_mutex_wait *w) {
    (void)arg;
    return probe_mutex_text((enum probe_mutex_kind)w->kind, w->address, NULL);
}

TEST(circles_are_put_into_words) {
    struct probe_stacks *s = probe_stacks_new(1000);
    struct probe_mutex_wait w[] = {waits(1, 2), waits(2, 1), waits(5, 5)};
    w[0].kind = PROBE_MUTEX_RLOCK;
    w[0].python = push(s, push(s, 0, "work", "/a/app.py"), "Queue.put", "/lib/queue.py");
    char *text = probe_mutex_circle_text(w, 3, s, name_of, lock_of, NULL);
    CHECK_MSG(strcmp(text, "Threads `t1` and `t2` wait for each other in a circle, so that none of "
                           "them can go on: `t1` waits for the threading.RLock at 0x200 (app.py:7 "
                           "(work)), which `t2` has; `t2` waits for the mutex at 0x100, which "
                           "`t1` has. Thread `t5` waits for a lock that it has itself, so that it "
                           "cannot go on: `t5` waits for the mutex at 0x500, which it has.") == 0,
              "%s", text);
    free(text);
    w[1].limited = true;
    text = probe_mutex_circle_text(w, 2, s, name_of, lock_of, NULL);
    CHECK_MSG(strstr(text, "`t1` has (with a time limit). A time limit may end that.") != NULL,
              "%s", text);
    free(text);
    probe_stacks_free(s);
}

TEST(spans_say_which_gil_they_are_about) {
    struct probe_event other = {.kind = PROBE_TAKE, .tid = OTHER, .cpu = -1, .lock = 1};
    begin();
    on(0, MAIN);
    on(0, OTHER);
    on(0, THIRD);
    take(10, MAIN);
    send(other, 20);
    sample(50, MAIN);
    send((struct probe_event){.kind = PROBE_HOLDER, .tid = OTHER, .cpu = -1, .lock = 1}, 50);
    off(1000, MAIN);
    off(1000, OTHER);
    off(1000, THIRD);
    probe_timeline_finish(timeline, at(2000));
    size_t holds = 0;
    for (size_t i = 0; i < timeline->span_count; i++) {
        const struct probe_span *s = &timeline->span[i];
        pid_t tid = timeline->thread[s->thread].tid;
        if (s->state == PROBE_STATE_HOLDS) {
            CHECK_EQ(s->lock, tid == OTHER);
            holds++;
        } else if (s->state == PROBE_STATE_BLOCKED || s->state == PROBE_STATE_ON) {
            CHECK_EQ(s->lock, -1);
        }
    }
    CHECK_GE(holds, 2u);
    probe_timeline_free(timeline);
}
