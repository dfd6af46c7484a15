/* SPDX-License-Identifier: MIT */
/* Where threads were blocked: synthetic events of threads that do not exist, so that no look finds
 * more than the events say. */
#include "test.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe/books.h"
#include "probe/places.h"

enum { PID = 0x7ffffff0, T1 = 0x7ffffff1, T2 = 0x7ffffff2 };

static struct probe_stacks *stacks;
static struct probe_places *places;
static struct probe_timeline *timeline;

static void begin(void) {
    stacks = probe_stacks_new(100);
    places = probe_places_new(stacks, true);
    timeline = probe_timeline_new(16, 64);
}

static void end(void) {
    probe_places_free(places);
    probe_timeline_free(timeline);
    probe_stacks_free(stacks);
}

static void tell(struct probe_event e) {
    e.pid = PID;
    e.cpu = -1;
    e.lock = PROBE_NO_LOCK;
    probe_places_event(places, &e);
    probe_timeline_event(timeline, &e);
}

static void on(pid_t tid, uint64_t ns) {
    tell((struct probe_event){.kind = PROBE_ON, .tid = tid, .ns = ns});
}

static void off(pid_t tid, uint64_t ns) {
    tell((struct probe_event){.kind = PROBE_OFF, .tid = tid, .ns = ns});
}

static void on_futex(pid_t tid, uint64_t ns, uint64_t address, uint32_t stack) {
    tell((struct probe_event){.kind = PROBE_LOOK, .tid = tid, .ns = ns, .value = address,
                              .doing = PROBE_ON_FUTEX, .native = stack});
}

static void in_call(pid_t tid, uint64_t ns, long number) {
    tell((struct probe_event){.kind = PROBE_LOOK, .tid = tid, .ns = ns, .value = (uint64_t)number,
                              .doing = PROBE_IN_CALL});
}

static void finish(uint64_t ns) {
    probe_timeline_finish(timeline, ns);
    probe_places_finish(places, timeline, ns);
}

static const struct probe_place *place_of(int call, uint32_t stack) {
    size_t count;
    const struct probe_place *p = probe_places_all(places, &count);
    for (size_t i = 0; i < count; i++) {
        if (p[i].call == call && p[i].stack == stack)
            return &p[i];
    }
    FAIL("there is no place of call %d with stack %u", call, stack);
    return NULL;
}

TEST(a_span_counts_with_its_length_however_often_it_was_looked_at) {
    begin();
    on(T1, 1000);
    off(T1, 2000);
    in_call(T1, 2100, SYS_read);
    on(T1, 900000); /* one look */
    for (uint64_t i = 0; i < 50; i++) { /* fifty looks */
        off(T1, 1000000 + i * 100);
        on_futex(T1, 1000010 + i * 100, 0x1000, 0);
        on(T1, 1000050 + i * 100);
    }
    finish(2000000);
    CHECK_EQ(place_of(SYS_read, 0)->ns, 898000u);
    CHECK_EQ(place_of(SYS_read, 0)->count, 1u);
    CHECK_EQ(place_of(SYS_futex, 0)->ns, 50u * 50);
    CHECK_EQ(place_of(SYS_futex, 0)->count, 50u);
    CHECK_EQ(place_of(SYS_futex, 0)->max_ns, 50u);
    CHECK_EQ(place_of(SYS_futex, 0)->futex, 0x1000u);
    CHECK_EQ(timeline->thread_count, 1u);
    CHECK_EQ(timeline->thread[0].blocked_on_count, 2u);
    CHECK_EQ(timeline->thread[0].blocked_on[0].call, SYS_read);
    CHECK_EQ(timeline->thread[0].blocked_on[0].ns, 898000u);
    CHECK_EQ(timeline->thread[0].blocked_on[1].ns, 2500u);
    end();
}

TEST(what_nobody_looked_at_is_told_apart) {
    begin();
    on(T1, 1000);
    off(T1, 2000);
    on(T1, 5000);
    tell((struct probe_event){.kind = PROBE_OFF, .tid = T1, .ns = 6000, .preempted = true});
    on(T1, 9000);
    off(T1, 10000);
    finish(14000); /* still blocked */
    struct probe_places_counts c = probe_places_counts(places);
    CHECK_EQ(c.blocked_ns, 3000u + 4000);
    CHECK_EQ(c.unseen_ns, 3000u + 4000);
    CHECK_EQ(place_of(-1, 0)->ns, 7000u);
    CHECK_EQ(place_of(-1, 0)->count, 2u);
    end();
}

TEST(stacks_that_come_with_looks_tell_places_apart) {
    begin();
    uint32_t main = probe_stacks_push(stacks, 0, &(struct probe_frame){"main", "app", 0, -1});
    uint32_t one = probe_stacks_push(stacks, main, &(struct probe_frame){"one", "app", 0, -1});
    uint32_t two = probe_stacks_push(stacks, main, &(struct probe_frame){"two", "app", 0, -1});
    for (pid_t t = T1; t <= T2; t++) {
        on(t, 1000);
        off(t, 2000);
        on_futex(t, 2100, 0x1000, t == T1 ? one : two);
        on_futex(t, 2200, 0x1000, t == T1 ? one : two); /* told again */
        on(t, 3000);
        off(t, 4000);
        on_futex(t, 4100, 0x2000, one);
        on(t, 4500);
    }
    finish(5000);
    const struct probe_place *p = place_of(SYS_futex, one);
    CHECK_EQ(p->ns, 1000u + 500 + 500);
    CHECK_EQ(p->threads, 2u);
    CHECK(p->several);
    CHECK_EQ(p->futex, 0u);
    p = place_of(SYS_futex, two);
    CHECK_EQ(p->ns, 1000u);
    CHECK_EQ(p->threads, 1u);
    CHECK(!p->several);
    CHECK_EQ(p->futex, 0x1000u);
    CHECK_EQ(probe_places_counts(places).looks, 4u);
    CHECK_EQ(probe_places_counts(places).stacks, 4u);
    end();
}

TEST(threads_that_come_and_go_are_counted) {
    begin();
    uint64_t ns = 1000;
    for (pid_t i = 0; i < 1000; i++, ns += 100000) { /* numbers come again */
        pid_t tid = T1 - i % 300;
        if (tid == PID)
            tid = T2;
        tell((struct probe_event){.kind = PROBE_THREAD, .tid = tid, .ns = ns, .value = PID});
        on(tid, ns + 50);
        off(tid, ns + 100);
        in_call(tid, ns + 150, SYS_read);
        on(tid, ns + 300);
        tell((struct probe_event){.kind = PROBE_EXIT, .tid = tid, .ns = ns + 400});
    }
    finish(ns);
    const struct probe_births *b = probe_places_births(places);
    CHECK_EQ(b->born, 1000u);
    CHECK_EQ(b->ended, 1000u);
    CHECK_EQ(b->first.count, 1000u);
    CHECK_EQ(b->first.sum_ns, 50000u);
    CHECK_EQ(b->first.max_ns, 50u);
    CHECK_EQ(b->life.sum_ns, 400000u);
    CHECK_EQ(place_of(SYS_read, 0)->ns, 200000u);
    CHECK_EQ(place_of(SYS_read, 0)->threads, 1000u);
    end();
}

TEST(an_endless_variety_of_places_stays_bounded) {
    begin();
    uint64_t ns = 1000;
    on(T1, ns);
    for (long i = 0; i < 20000; i++, ns += 100) {
        off(T1, ns + 10);
        in_call(T1, ns + 20, 1000 + i);
        on(T1, ns + 30);
    }
    finish(ns);
    size_t count;
    uint64_t sum = 0;
    const struct probe_place *p = probe_places_all(places, &count);
    for (size_t i = 0; i < count; i++)
        sum += p[i].ns;
    CHECK_LE(count, 4096u);
    CHECK(p[0].what && strcmp(p[0].what, "many other places") == 0);
    CHECK_EQ(sum, 20000u * 20);
    end();
}

TEST(the_books_of_this_process_are_read) {
    struct probe_book before, after;
    struct probe_books_kept *kept = probe_books_new((pid_t)syscall(SYS_getpid));
    pid_t tid = (pid_t)syscall(SYS_gettid);
    CHECK_OK(probe_book_read(tid, tid, &before));
    CHECK_EQ(before.tid, tid);
    CHECK(before.state == 'R');
    probe_books_now(kept);
    for (volatile unsigned long i = 0; i < 50000000; i++)
        ;
    probe_books_now(kept);
    CHECK_OK(probe_book_read(tid, tid, &after));
    CHECK_GE(after.user_ns, before.user_ns);
    CHECK_EQ(after.begin_ticks, before.begin_ticks);
    CHECK(probe_books_find(kept, tid, &after));
    if (after.exact)
        CHECK_GT(after.run_ns, 0u);
    CHECK(!probe_books_find(kept, PID, &after));
    CHECK_ERR(probe_book_read(PID, PID, &after), -ESRCH);
    probe_books_free(kept);
}
